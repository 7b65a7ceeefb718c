"""Reading protocols and few-shot examples: whole, with sources, and never a patient's numbers."""

import json
import re
import tomllib
from dataclasses import replace

import pytest

from agents.checks.copying import WINDOW_WORDS
from agents.checks.run import CheckContext, check_answer
from knee.calibration import Calibration, load_calibration, rule_for
from knee.findings import (
    UNITS,
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
)
from knee.geometry import voxel_box
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from knee.records import CheckSeverity, Wording
from prompts.context import PROTOCOLS_FILE, Protocol, prompt_context
from prompts.examples import EXAMPLES_FOLDER, Example, load_examples, shown_examples
from prompts.registry import TEMPLATES, build_prompt, load_prompt
from prompts.render import render_draft
from tests.draft_cases import CASES, SHAPE, failing_codes, report_of
from tests.prepared_store import CALIBRATION as DEMO_CALIBRATION

_PROTOCOLS = tomllib.loads(PROTOCOLS_FILE.read_text(encoding="utf-8"))
_DEMO = load_calibration(DEMO_CALIBRATION)
_EXAMPLES = [
    pytest.param(example, id=f"{feature.value}-{number}")
    for feature in Feature
    if (file := load_examples(feature)) is not None
    for number, example in enumerate(file.examples, start=1)
]
DEMO_DRAFT_SHA256 = "sha256:29404fc2f35d19941632721"
"""The demo model was trained on prompts of this template and data."""


def test_every_feature_has_a_protocol_of_all_parts_each_with_a_known_source():
    known = set(_PROTOCOLS["sources"])
    assert set(_PROTOCOLS) == {feature.value for feature in Feature} | {"sources"}
    for feature in Feature:
        parts = dict(_PROTOCOLS[feature.value])
        sources = parts.pop("sources")
        assert set(parts) == set(Protocol.model_fields) == set(sources), feature
        for name, text in parts.items():
            assert len(text) >= 7, (feature, name)
            assert sources[name], (feature, name)
            assert set(sources[name]) <= known, (feature, name)


def test_every_source_is_used():
    used = {s for f in Feature for names in _PROTOCOLS[f.value]["sources"].values() for s in names}
    assert used == set(_PROTOCOLS["sources"])


def test_protocols_name_no_number_that_is_no_cut_off_and_no_grade():
    """A drafter may use no number that was not measured, so none may be there to be taken."""
    for feature in Feature:
        allowed = {"1", "2", "3", "4", "5", "6", "7", "8", "0", "10", "33", "66", "75"}
        text = " ".join(_PROTOCOLS[feature.value][part] for part in Protocol.model_fields)
        assert set(re.findall(r"\d+(?:\.\d+)?", text)) <= allowed, feature


def test_what_dess_does_not_show_is_said_where_readers_do_not_grade_on_it():
    for feature in (Feature.BML, Feature.HOFFA_SYNOVITIS):
        assert "DESS" in _PROTOCOLS[feature.value]["limits"]


def test_a_changed_protocol_leaves_the_demo_prompt_as_its_model_learned_it():
    assert load_prompt("demo-draft", 1).sha256.startswith(DEMO_DRAFT_SHA256)


def _finding(example: Example) -> Finding:
    question = example.question
    return Finding(
        question_id=question.question_id,
        region=question.region,
        box=voxel_box(*example.box),
        box_source=BoxSource.PARTITION,
        definition_id="example",
        measurements=tuple(
            Measurement(
                name=entry.name,
                value=entry.value,
                unit=UNITS[entry.name],
                sd=entry.sd,
                method="invented",
                definition_id="example",
            )
            for entry in example.measurements
        ),
        evidence=tuple(
            ComponentEvidence(component=c, level=EvidenceLevel.MEASURED, reason="example")
            for c in question.components
        ),
    )


def _context(example: Example, prompt_text: str = "") -> CheckContext:
    return CheckContext(
        question=example.question,
        finding=_finding(example),
        asked=example.question.components,
        side=example.side.value,
        is_follow_up=False,
        shape=(384, 384, 160),
        slice_axis=2,
        calibration=_DEMO,
        prompt_text=prompt_text,
        sequence="dess",
    )


@pytest.mark.parametrize("example", _EXAMPLES)
def test_an_example_is_a_sound_answer_to_its_own_item(example: Example):
    report = check_answer(example.shown.answer, "stop", _context(example), frozenset())
    assert [i for i in report.issues if i.severity is CheckSeverity.FAIL] == []
    for component in example.question.components:
        rule = rule_for(example.question.feature, component, _DEMO)
        assert rule is not None
        assert example.cut_offs[component] == rule.edges
        (value,) = (m.value for m in example.measurements if m.name.value == rule.measurement)
        graded = next(i.grade for i in rule.intervals if i.holds(value))
        assert json.loads(example.answer)["grades"][component.value] == graded


@pytest.mark.parametrize("example", _EXAMPLES)
def test_what_is_seen_can_be_said_again_without_counting_as_copied(example: Example):
    """Numbers and regions break other runs of words; `observe` has none, so it must be short."""
    observed = json.loads(example.answer)["observe"]["text"]
    assert len(observed.split()) < WINDOW_WORDS


def test_every_file_states_an_origin_without_patients():
    files = sorted(EXAMPLES_FOLDER.glob("*.toml"))
    assert {path.stem for path in files} >= {"bml", "cartilage", "extrusion"}
    for path in files:
        origin = tomllib.loads(path.read_text(encoding="utf-8"))["origin"]
        assert "no patient" in origin
        assert load_examples(Feature(path.stem)) is not None


@pytest.mark.parametrize(
    "case", [c for c in CASES if load_examples(c.question.feature)], ids=lambda c: c.name
)
def test_an_examples_numbers_are_refused_as_an_items(case: object):
    """The answer to the item with each number of an example in place of its own."""
    chosen = next(c for c in CASES if c is case)
    file = load_examples(chosen.question.feature)
    assert file is not None
    for example in file.examples:
        assert not report_of(chosen, example.shown.answer).passed
        for entry in example.shown.measurements:
            own = chosen.context.measured.get(entry.name)
            if own is None or own.shown == entry.value:
                continue
            unit = "" if entry.unit == "count" else entry.unit
            answer = chosen.answer
            answer["measure"]["text"] = f"{entry.name} is {entry.value} {unit}."
            codes = failing_codes(report_of(chosen, answer))
            assert "number_of_other_measurement" in codes, (chosen.name, entry)


def test_examples_of_a_fitted_scale_are_shown_on_that_scale_alone():
    asked = (Component.GRADE,)
    assert len(shown_examples(Feature.OSTEOPHYTE, asked, _DEMO)) == 1
    rules = tuple(
        rule.model_copy(update={"edges": (1.2, 3.0, 5.0)})
        if rule.feature is Feature.OSTEOPHYTE
        else rule
        for rule in _DEMO.rules
    )
    assert shown_examples(Feature.OSTEOPHYTE, asked, Calibration(name="x", rules=rules)) == ()
    assert shown_examples(Feature.OSTEOPHYTE, asked, None) == ()
    assert len(shown_examples(Feature.EXTRUSION, asked, None)) == 2
    assert shown_examples(Feature.MORPHOLOGY, (Component.MORPHOLOGY,), _DEMO) == ()


def test_examples_are_part_of_the_hash_of_what_shows_them():
    minimal = "{% block user %}{{ side }}{% endblock %}{% block revise %}x{% endblock %}"
    shows = build_prompt("x", 1, minimal.replace("{{ side }}", "{{ examples }}"))
    for path in EXAMPLES_FOLDER.glob("*.toml"):
        assert path.read_text(encoding="utf-8") in shows.full_text
    assert "invented" not in build_prompt("x", 1, minimal).full_text


def test_draft_v2_shows_the_examples_and_v1_stays_without():
    case = next(c for c in CASES if c.name == "cartilage_partial")
    first, second = (
        "\n".join(m.content for m in render_draft(load_prompt("draft", version), case.prompt))
        for version in (1, 2)
    )
    assert "37.3 %" in second
    assert "37.3 %" not in first
    assert second.count("Answer: {") == 2
    assert (TEMPLATES / "draft" / "v1.jinja2").is_file()


def test_a_copied_example_is_a_copied_prompt():
    """With the example in the prompt, its longer sentences are the prompt's own words."""
    case = replace(next(c for c in CASES if c.name == "cartilage_partial"))
    context = replace(
        case.context,
        prompt_text="\n".join(
            m.content for m in render_draft(load_prompt("draft", 2), case.prompt)
        ),
    )
    answer = case.answer
    answer["observe"]["text"] = (
        "Follow the surface for thinning, steps and bare bone, and estimate two shares of this "
        "subregion's cartilage surface."
    )
    report = check_answer(json.dumps(answer), "stop", context, frozenset())
    assert "prompt_copied" in failing_codes(report)
    clean = check_answer(json.dumps(case.answer), "stop", context, frozenset())
    assert failing_codes(clean) == set()


_ITEM_PART = "\n\nQuestion\n"


def _prompts_of(feature: Feature) -> list[str]:
    """Draft v2 of every question of a feature, both sides, as one text."""
    texts: list[str] = []
    for question in QUESTIONS.values():
        if question.feature is not feature:
            continue
        for number, side in enumerate(("right", "left")):
            finding = Finding(
                question_id=question.question_id,
                region=question.region,
                box=voxel_box(1 + number, 9, 2, 8, 3, 7),
                box_source=BoxSource.PARTITION,
                definition_id="test",
                evidence=tuple(
                    ComponentEvidence(component=c, level=EvidenceLevel.IMAGE, reason="test")
                    for c in question.components
                ),
            )
            context = prompt_context(
                question,
                finding,
                question.components,
                side=side,
                sequence="dess",
                shape=SHAPE,
                slice_axis=2,
                wording=Wording.GUIDED,
                calibration=_DEMO,
            )
            messages = render_draft(load_prompt("draft", 2), context)
            texts.append("\n".join(m.content for m in messages))
    return texts


@pytest.mark.parametrize("feature", Feature)
def test_items_of_a_feature_share_the_longest_prefix_that_they_can(feature: Feature):
    """Nothing that a feature's items have in common stands behind what tells them apart.

    Extrusion is read in two ways by site, which the site's own lines say last.
    """
    texts = _prompts_of(feature)
    heads = {text.split(_ITEM_PART)[0] for text in texts}
    assert len(heads) == (2 if feature is Feature.EXTRUSION else 1)
    first, *others = (text.splitlines() for text in texts)
    shared = next(n for n, line in enumerate(first) if any(o[n : n + 1] != [line] for o in others))
    behind = set(first[shared:]).intersection(*(set(o[shared:]) for o in others))
    too_late = sorted(line for line in behind if len(line) > 60)
    assert too_late == [], "these lines are the same in all of them"
    assert sum(map(len, first[:shared])) > 0.8 * sum(map(len, first))


def test_items_of_different_features_share_the_whole_system_message():
    starts = {_prompts_of(feature)[0].split("How ")[0] for feature in Feature}
    assert len(starts) == 1
