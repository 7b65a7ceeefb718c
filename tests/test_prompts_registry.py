"""Prompts by id and version: hashed, checked at load."""

import re

import pytest
from jinja2 import Environment, nodes

from knee.errors import InputError
from knee.moaks import Feature
from prompts.context import PromptContext
from prompts.environment import used_variables
from prompts.question_text import QUESTION_FOLDER
from prompts.registry import (
    REVISION_VARIABLES,
    TEMPLATES,
    PromptKind,
    build_prompt,
    list_prompts,
    load_prompt,
    load_prompt_for,
)

_MINIMAL = "{% block user %}{{ side }}{% endblock %}{% block revise %}{{ codes }}{% endblock %}"


def test_the_two_prompts_are_known_by_id_and_version():
    assert {(p.prompt_id, p.version) for p in list_prompts()} >= {("draft", 1), ("demo-draft", 1)}


def test_an_unknown_prompt_names_the_known_ones():
    with pytest.raises(InputError, match="no prompt 'draught' version 1") as caught:
        load_prompt("draught", 1)
    assert "draft v1" in str(caught.value)
    with pytest.raises(InputError, match="version 99"):
        load_prompt("draft", 99)


def test_a_reference_carries_a_tagged_hash():
    reference = load_prompt("draft", 1).ref
    assert (reference.prompt_id, reference.version) == ("draft", 1)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", reference.sha256)


def test_another_text_has_another_hash():
    first, second = build_prompt("x", 1, _MINIMAL), build_prompt("x", 1, _MINIMAL + " ")
    assert first.sha256 != second.sha256


def test_the_hash_covers_the_data_that_a_prompt_shows_and_no_other(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
):
    changed = QUESTION_FOLDER / "scale.jinja2"
    shows = _MINIMAL.replace("{{ side }}", "{{ question_text }}")
    before = (build_prompt("x", 1, shows).sha256, build_prompt("x", 1, _MINIMAL).sha256)
    read = type(changed).read_bytes

    def other(self: object) -> bytes:
        data = read(self)  # pyright: ignore[reportArgumentType]
        return data + b"!" if self == changed else data

    monkeypatch.setattr(type(changed), "read_bytes", other)
    after = (build_prompt("x", 1, shows).sha256, build_prompt("x", 1, _MINIMAL).sha256)
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "{% block user %}{{ clinician }}{% endblock %}{% block revise %}x{% endblock %}",
            "clinic",
        ),
        (
            "{% block user %}{{ grade }}{% endblock %}{% block revise %}x{% endblock %}",
            "undeclared",
        ),
        ("{% block user %}x{% endblock %}", "blocks"),
        ("plain", "blocks"),
        (_MINIMAL + "{% block judge %}x{% endblock %}", "blocks"),
        ("{% block user %}{{ side }", "line 1"),
    ],
)
def test_a_wrong_template_is_refused_when_it_is_loaded(source: str, said: str):
    with pytest.raises(InputError, match=said):
        build_prompt("x", 1, source)


def test_declared_variables_hold_nothing_of_a_clinician_or_a_rule_based_grade():
    declared = " ".join(PromptContext.model_fields)
    for word in ("clinician", "rule_grade", "margin", "borderline", "label"):
        assert word not in declared
    assert {"codes", "issues"} == REVISION_VARIABLES


def test_templates_hold_no_logic_beyond_if_and_for():
    files = sorted(TEMPLATES.rglob("*.jinja2"))
    assert len(files) >= 2 + len(Feature) + 1
    forbidden = (nodes.Assign, nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import)
    for path in files:
        tree = Environment(autoescape=True).parse(path.read_text("utf-8"))
        assert not list(tree.find_all((*forbidden, nodes.Extends, nodes.FromImport))), path
        assert {f.name for f in tree.find_all(nodes.Filter)} <= {"join"}, path
        called = [c.node for c in tree.find_all(nodes.Call)]
        assert all(isinstance(n, nodes.Getattr) and n.attr == "items" for n in called), path


def test_no_template_names_a_variable_of_the_other_kind():
    for prompt in list_prompts():
        allowed = prompt.kind.variables | prompt.kind.revision_variables
        assert used_variables(prompt.source) <= allowed


def test_a_blind_reanswer_may_show_no_measurement_and_no_box():
    assert not {"measurements", "box", "first_slice"} & PromptKind.JUDGE_REANSWER.variables
    source = _MINIMAL.replace("{{ side }}", "{{ measurements }}")
    build_prompt("judge-rubric-x", 1, source)
    with pytest.raises(InputError, match="measurements"):
        build_prompt("judge-reanswer-x", 1, source)
    with pytest.raises(InputError, match="steps"):
        build_prompt("x", 1, _MINIMAL.replace("{{ side }}", "{{ steps }}"))


def test_a_prompt_for_something_else_is_refused():
    with pytest.raises(InputError, match="'draft'"):
        load_prompt_for(PromptKind.JUDGE_RUBRIC, "draft", 1)
    with pytest.raises(InputError, match="no judge's prompt"):
        load_prompt_for(PromptKind.DRAFT, "judge-rubric", 1)


def test_the_rubric_is_part_of_the_hash_of_what_shows_it():
    assert "invented" not in load_prompt("judge-rubric", 1).source
    assert "no_history" in load_prompt("judge-rubric", 1).full_text
    assert "no_history" not in load_prompt("judge-reanswer", 1).full_text


def test_every_feature_has_a_question_template_of_its_own():
    for feature in Feature:
        assert (QUESTION_FOLDER / f"{feature.value}.jinja2").is_file()


def test_a_prompt_may_declare_its_measurements_and_they_are_part_of_its_hash():
    text = '[measurements]\ncartilage = ["mean_thickness", "surface_area"]\n'
    prompt = build_prompt("x", 1, _MINIMAL, text)
    assert prompt.shown == {"cartilage": ("mean_thickness", "surface_area")}
    assert prompt.sha256 != build_prompt("x", 1, _MINIMAL).sha256
    assert text in prompt.full_text


@pytest.mark.parametrize(
    "text",
    [
        "[measurements\n",
        '[measurements]\ncartilage = ["no_such_measurement"]\n',
        '[measurements]\nno_such_feature = ["mean_thickness"]\n',
        'other = "x"\n',
    ],
)
def test_wrong_settings_beside_a_template_are_told(text: str):
    with pytest.raises(InputError, match="settings of prompt 'x v1'"):
        build_prompt("x", 1, _MINIMAL, text)


def test_the_demo_prompt_names_all_features_with_a_region_and_draft_none():
    shown = load_prompt("demo-draft", 1).shown
    assert set(shown) == {f.value for f in Feature} - {Feature.PERIARTICULAR.value}
    assert load_prompt("draft", 1).shown == {}
