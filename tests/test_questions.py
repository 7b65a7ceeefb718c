"""The catalogue of 69 questions, and the released files where they are at hand."""

import json
import re
from pathlib import Path

import pytest

from knee.anatomy import Compartment
from knee.errors import InputError
from knee.moaks import Component, Feature
from knee.questions import (
    N_QUESTIONS,
    N_WITH_REGION,
    QUESTIONS,
    Question,
    parse_question_ids,
    question_by_region,
)

RELEASED = Path(__file__).parents[1].parent / "shared" / "reference" / "3dreasonknee"
"""The released question files, where the folder lies beside the checkout."""
FILES = ("questions_nobbox_guided.json", "questions_nobbox_zeroshot.json")
_KEYS = {
    "Size of BML (including cyst)": Component.SIZE,
    "Number of BML within subregion": Component.NUMBER,
    "% of lesion that is BML (excluding cyst)": Component.PERCENT_BML,
    "Size of lesion": Component.SIZE,
    "Depth of lesion": Component.FULL_THICKNESS,
    "grade": Component.GRADE,
    "morphology": Component.MORPHOLOGY,
    "presence": Component.PRESENCE,
    "tear_location": Component.TEAR_LOCATION,
    "Complete Tear": Component.COMPLETE_TEAR,
    "Associated with BML/cyst at site of insertion or origin": Component.BML_CYST,
    "ACL Repair": Component.REPAIR,
    "Signal Abnormality": Component.SIGNAL_ABNORMALITY,
}
_FIELD = re.compile(r'"([^"]+)":\s*\(?(?:grade from )?(\d)\s*[-|]\s*(\d)\)?')


def test_ids_run_from_1_to_69_and_the_first_62_have_a_region():
    assert list(QUESTIONS) == list(range(1, N_QUESTIONS + 1))
    assert sum(q.has_region for q in QUESTIONS.values()) == N_WITH_REGION == 62
    assert len({q.region for q in QUESTIONS.values()}) == N_QUESTIONS


def test_the_62_questions_with_a_region_hold_111_grades():
    fields = [c for q in QUESTIONS.values() if q.has_region for c in q.components]
    assert len(fields) == 111  # FACTS 1.5: 45 + 28 + 12 + 2 + 4 + 6 + 4 + 2 + 2 + 3 + 2 + 1


@pytest.mark.parametrize(
    ("number", "region", "compartment"),
    [
        (3, "bml:femur_medial_trochlea", Compartment.MEDIAL),
        (15, "bml:tibia_subspinous", Compartment.MIDLINE),
        (29, "cartilage:tibia_lateral_posterior", Compartment.LATERAL),
        (30, "osteophyte:patella_superior", Compartment.MIDLINE),
        (46, "extrusion:lateral_meniscus_anterior", Compartment.LATERAL),
        (58, "root_tear:medial_posterior_root", Compartment.MEDIAL),
        (62, "patellar_tendon:patellar_tendon", Compartment.MIDLINE),
    ],
)
def test_a_question_is_a_feature_at_a_site(number: int, region: str, compartment: Compartment):
    assert QUESTIONS[number].region == region
    assert QUESTIONS[number].compartment is compartment
    assert question_by_region(region) == QUESTIONS[number]


def test_an_unknown_region_is_an_input_error():
    with pytest.raises(InputError, match="bml:elbow"):
        question_by_region("bml:elbow")


def test_a_selection_of_ids_is_read_ascending_without_repeats():
    assert parse_question_ids("44,1-3,2") == (1, 2, 3, 44)


@pytest.mark.parametrize("text", ["", "a", "0", "70", "5-2", "1-", "1-99", "-3"])
def test_a_wrong_selection_is_an_input_error(text: str):
    with pytest.raises(InputError):
        parse_question_ids(text)


def _released(name: str) -> dict[int, str]:
    path = RELEASED / name
    if not path.is_file():
        pytest.skip("no released question files: ../shared/reference/3dreasonknee is not there")
    return {int(k): str(text) for k, text in json.loads(path.read_text("utf-8")).items()}


def _subject(question: Question) -> str:
    """The words by which the released texts name a question's region, or its finding."""
    site = question.site.replace("_", " ")
    side = site.split()[0]
    return {
        Feature.BML: f"in the {site} subregion",
        Feature.CARTILAGE: f"in the {site} subregion",
        Feature.OSTEOPHYTE: f"at the {site} location",
        Feature.HOFFA_SYNOVITIS: "assess hoffa-synovitis",
        Feature.EFFUSION_SYNOVITIS: "assess effusion-synovitis",
        Feature.EXTRUSION: f"measure {site} extrusions",
        Feature.MORPHOLOGY: f"describe the {site} morphology",
        Feature.MENISCAL_CYST: f"detect a {side} meniscal cyst",
        Feature.HYPERTROPHY: f"detect {side} meniscal hypertrophy",
        Feature.ROOT_TEAR: f"root tear at the {side[0]}mrt",
        Feature.ACL: "assess the acl",
        Feature.PCL: "assess the pcl",
        Feature.PATELLAR_TENDON: "assess the patellar tendon",
        Feature.PERIARTICULAR: site,
    }[question.feature]


def _fields(text: str) -> dict[Component, tuple[int, int]]:
    """Components and ranges of a released text.

    Tolerant where the release is not uniform (FACTS 1.5): `MOAKS_scores`, `MOAKS_grade` or no
    wrapper, unbalanced braces (58, 59), and a bare value under the finding's name (44, 45).
    """
    found: dict[Component, tuple[int, int]] = {}
    for key, low, high in _FIELD.findall(text):
        component = _KEYS.get(key, Component.GRADE if key.endswith("extrusion") else None)
        assert component is not None, key
        found[component] = (int(low), int(high))
    return found


@pytest.mark.realdata
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("number", QUESTIONS)
def test_region_components_and_scale_equal_the_released_question(number: int, name: str):
    text = _released(name)[number]
    question = QUESTIONS[number]
    assert _subject(question) in text.lower()
    scales = {c: question.scale(c).grades for c in question.components}
    assert _fields(text) == {c: (grades[0], grades[-1]) for c, grades in scales.items()}


@pytest.mark.realdata
@pytest.mark.parametrize("name", FILES)
def test_the_release_holds_the_same_69_ids(name: str):
    assert sorted(_released(name)) == list(QUESTIONS)
