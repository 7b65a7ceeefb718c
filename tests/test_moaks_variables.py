from pathlib import Path

import pytest

from knee.errors import InputError
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from tools.moaks_variables import CodeEncoding, StemStatus, load_variables

GROUP = """
[[group]]
prefix = "MBMS"
feature = "bml"
components = ["size"]
status = "confirmed"
sites = { FMA = "femur_medial_trochlea" }
"""


def test_every_component_of_all_69_questions_has_one_column():
    variables = load_variables()
    graded = [(v.question_id, c) for v in variables.values() for c in v.components]
    expected = {(q.question_id, c) for q in QUESTIONS.values() for c in q.components}
    assert len(graded) == len(set(graded))
    assert set(graded) == expected
    assert len(expected) == 118


@pytest.mark.parametrize(
    ("stem", "question_id", "component"),
    [
        ("MBMSFMA", 3, Component.SIZE),
        ("MBMSSS", 15, Component.SIZE),
        ("MBMNTLP", 14, Component.NUMBER),
        ("MBMPPM", 1, Component.PERCENT_BML),
        ("MCMPM", 16, Component.SIZE),
        ("MCMTLP", 29, Component.FULL_THICKNESS),
        ("MOSPS", 30, Component.GRADE),
        ("MOSTL", 41, Component.GRADE),
        ("MSYIC", 42, Component.GRADE),
        ("MEFFWK", 43, Component.GRADE),
        ("MMXMA", 44, Component.GRADE),
        ("MMXMM", 45, Component.GRADE),
        ("MMXLA", 46, Component.GRADE),
        ("MMXLL", 47, Component.GRADE),
        ("MMTMA", 48, Component.MORPHOLOGY),
        ("MMTLP", 53, Component.MORPHOLOGY),
        ("MMRTM", 58, Component.PRESENCE),
        ("MMRTL", 59, Component.PRESENCE),
        ("MACLTR", 60, Component.COMPLETE_TEAR),
        ("MACLBML", 60, Component.BML_CYST),
    ],
)
def test_stems_belong_to_their_questions(stem: str, question_id: int, component: Component):
    variable = load_variables()[stem]
    assert variable.question_id == question_id
    assert component in variable.components


def test_unconfirmed_names_are_marked():
    variables = load_variables()
    assumed = {v.feature for v in variables.values() if v.status is StemStatus.ASSUMED}
    assert Feature.OSTEOPHYTE in assumed
    assert Feature.CARTILAGE not in assumed
    assert variables["MCMFMA"].encoding is CodeEncoding.SIZE_DOT_FULL_THICKNESS


def own_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_users_file_names_what_is_not_confirmed(tmp_path: Path):
    mine = """
[[group]]
prefix = "mostk"
feature = "osteophyte"
components = ["grade"]
status = "assumed"
sites = { m = "tibia_medial" }
"""
    variables = load_variables(own_file(tmp_path, mine))
    assert "MOSTM" not in variables
    assert variables["MOSTKM"].question_id == 40
    assert variables["MOSTKM"].status is StemStatus.SET_BY_USER
    assert variables["MOSTL"].status is StemStatus.ASSUMED
    assert len(variables) == len(load_variables())


def test_confirmed_names_are_fixed(tmp_path: Path):
    renamed = own_file(tmp_path, GROUP.replace("MBMS", "XBMS"))
    with pytest.raises(InputError, match=r"gives 'XBMSFMA'.*but 'MBMSFMA' as size.*is confirmed"):
        load_variables(renamed)
    moved = own_file(tmp_path, GROUP.replace("femur_medial_trochlea", "femur_medial_central"))
    with pytest.raises(InputError, match="'MBMSFMA' as size of question 3 is confirmed"):
        load_variables(moved)


def test_how_the_codes_of_a_confirmed_name_are_read_can_be_set(tmp_path: Path):
    acl = """
[[group]]
prefix = "MACLTR"
feature = "acl"
components = ["complete_tear"]
status = "confirmed"
recode = { "2" = 1 }
sites = { "" = "acl" }
"""
    assert load_variables(own_file(tmp_path, acl))["MACLTR"].recode == {"2": 1}
    assert load_variables()["MACLTR"].recode == {}


def test_a_users_name_that_another_column_has_is_refused(tmp_path: Path):
    taken = """
[[group]]
prefix = "MOSTL"
feature = "osteophyte"
components = ["grade"]
status = "assumed"
sites = { "" = "tibia_medial" }
"""
    with pytest.raises(InputError, match="'MOSTL' twice"):
        load_variables(own_file(tmp_path, taken))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[group]\n", "is not TOML"),
        (GROUP.replace('"bml"', '"bone"'), "feature"),
        (GROUP.replace('["size"]', '["size", "number"]'), r"1 component\(s\)"),
        (GROUP.replace('"size"', '"repair"'), "has no 'repair'"),
        (GROUP.replace("medial_trochlea", "nowhere"), "bml:femur_nowhere"),
        (GROUP + GROUP, "'MBMSFMA' twice"),
        (GROUP + GROUP.replace("MBMS", "MXXX"), "to both 'MBMSFMA' and 'MXXXFMA'"),
        (GROUP + "surprise = 1\n", "surprise"),
        (GROUP + 'recode = { "4" = 9 }\n', "recode '4' = 9 is not on its scale"),
        (GROUP + 'recode = { "." = 0 }\n', "recode '.' = 0 is not on its scale"),
    ],
)
def test_wrong_files_are_input_errors(tmp_path: Path, text: str, words: str):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        load_variables(path)


def test_a_missing_file_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="there is no file"):
        load_variables(tmp_path / "none.toml")
