"""The graph of one item: its ways, its bounds, and what no prompt may show."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, Protocol, cast

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langgraph.errors import GraphRecursionError
from langgraph.graph import END
from langsmith import utils as langsmith_utils

from agents import graph
from agents.context import GraphContext
from agents.graph import draw_mermaid, prepare_task, run_item
from agents.judge import JudgeContext
from agents.llm_client import Completion
from agents.nodes import revision_sampling
from agents.scripted_model import ScriptedAnswer, ScriptedChatModel
from agents.server_guard import ServerGone
from agents.state import ItemGraphState
from knee.errors import InputError, ModelOutputError, ModelUnavailable
from knee.records import ComponentStatus, Item, ItemState, Usage
from knee.run_config import Sampling
from prompts.registry import load_prompt
from prompts.render import ChatMessage
from tests.sample_items import sample_answer, sample_item
from tests.scripted_judge import honest_answer, marks

GOOD = sample_answer()
OFF_SCALE = json.dumps(json.loads(GOOD) | {"grades": {"grade": 7}})


def scripted(*answers: ScriptedAnswer) -> ScriptedChatModel:
    """Returns a model that gives the answers in order, the last one for ever."""
    left = list(answers)
    return ScriptedChatModel(lambda _: left.pop(0) if len(left) > 1 else left[0])


def context_for(
    model: ScriptedChatModel,
    *,
    max_revisions: int = 2,
    sampling: Sampling | None = None,
    judge: ScriptedChatModel | None = None,
) -> GraphContext:
    return GraphContext(
        run_id="run-1",
        model=model,
        template=load_prompt("demo-draft", 1),
        sampling=sampling or Sampling(),
        max_revisions=max_revisions,
        judge=None if judge is None else judge_context(judge),
    )


def judge_context(model: ScriptedChatModel) -> JudgeContext:
    prompts = load_prompt("judge-reanswer", 1), load_prompt("judge-rubric", 1)
    return JudgeContext(model, "judge-7b", *prompts, Sampling())


def sent_text(model: ScriptedChatModel) -> str:
    return "\n".join(m.content for messages in model.received for m in messages)


async def test_sound_draft_with_the_clinicians_grade_is_accepted(item: Item):
    model = scripted(GOOD)
    outcome = await run_item(item, context_for(model))
    assert outcome.state is ItemState.ACCEPTED
    assert (len(outcome.attempts), outcome.codes, outcome.error) == (1, (), None)
    assert outcome.complete
    assert outcome.findings_id == item.findings_id
    assert {"schema@1", "compare@1", "judge:none"} <= set(outcome.gates)
    assert outcome.judgement is None
    (component,) = outcome.components
    assert (component.draft_grade, component.clinician_grade) == (2, 2)


async def test_sound_draft_with_another_grade_disagrees_and_is_not_asked_again():
    model = scripted(GOOD)
    outcome = await run_item(sample_item(grade=3), context_for(model, max_revisions=5))
    assert outcome.state is ItemState.DISAGREES
    assert outcome.codes == ("grade_differs.grade",)
    assert len(model.received) == 1
    assert "compare@1" not in outcome.gates


async def test_failed_draft_is_revised_with_the_issues_and_then_accepted(item: Item):
    model = scripted("no JSON at all", GOOD)
    outcome = await run_item(item, context_for(model))
    first, second = outcome.attempts
    assert outcome.state is ItemState.ACCEPTED
    assert (first.attempt_no, first.draft, second.attempt_no) == (1, None, 2)
    assert [issue.code for issue in first.issues] == ["not_json"]
    revision = model.received[1]
    assert revision[: len(model.received[0])] == model.received[0]
    assert revision[-2] == ChatMessage(role="assistant", content="no JSON at all")
    assert "not_json" in revision[-1].content
    assert first.prompt_text_sha256 != second.prompt_text_sha256


@pytest.mark.parametrize("max_revisions", [0, 1, 10])
async def test_revisions_are_bounded_and_end_as_rejected(item: Item, max_revisions: int):
    model = scripted(OFF_SCALE)
    outcome = await run_item(item, context_for(model, max_revisions=max_revisions))
    assert outcome.state is ItemState.REJECTED
    assert outcome.codes == ("off_scale",)
    assert len(model.received) == len(outcome.attempts) == 1 + max_revisions
    assert outcome.components[0].clinician_grade == 2
    assert outcome.components[0].status is ComponentStatus.GRADED


async def test_no_message_depends_on_the_clinicians_grade():
    """Every way through the graph: accepted, disagreeing, revised, rejected."""
    scripts = ((GOOD,), ("no JSON", GOOD), (OFF_SCALE,))
    for answers in scripts:
        seen: list[list[tuple[ChatMessage, ...]]] = []
        for grade in (0, 1, 2, 3):
            model = scripted(*answers)
            await run_item(sample_item(grade=grade), context_for(model))
            seen.append(model.received)
            text = sent_text(model)
            assert "read by the clinician" not in text
            assert "clinician_reads" not in text
            assert "SECRETPRJ" not in text
        assert seen[0] == seen[1] == seen[2] == seen[3]


async def test_rule_based_grade_and_margin_reach_no_message(item: Item):
    """`rule_grade` of another value leaves the messages as they are."""
    evidence = item.finding.evidence[0]
    other = evidence.model_copy(update={"rule_grade": 0, "margin": 99.5, "borderline": True})
    finding = item.finding.model_copy(update={"evidence": (other,)})
    context = context_for(scripted(GOOD))
    changed = item.model_copy(update={"finding": finding})
    assert prepare_task(item, context).messages == prepare_task(changed, context).messages


async def test_revision_that_changes_a_grade_says_so(item: Item):
    wrong = json.loads(sample_answer(grade=3))
    # Steps in a wrong order parse to a draft and fail: the grade of the first draft is known.
    disordered = json.dumps({"observe": wrong.pop("observe")} | wrong)
    outcome = await run_item(item, context_for(scripted(disordered, "junk", GOOD)))
    assert [a.grade_changed for a in outcome.attempts] == [False, False, True]
    assert outcome.state is ItemState.ACCEPTED


async def test_truncated_answer_is_an_attempt_with_a_reason_of_its_own(item: Item):
    cut = Completion(GOOD[:80], "length", Usage(completion_tokens=64), "scripted")
    outcome = await run_item(item, context_for(scripted(cut, GOOD)))
    first = outcome.attempts[0]
    assert (first.finish_reason, first.text) == ("length", GOOD[:80])
    assert [issue.code for issue in first.issues] == ["length"]
    assert first.usage.completion_tokens == 64
    assert outcome.state is ItemState.ACCEPTED


async def test_greedy_run_warms_up_on_revision_and_records_it(item: Item):
    model = scripted("junk", "junk", GOOD)
    outcome = await run_item(item, context_for(model))
    assert [a.sampling["temperature"] for a in outcome.attempts] == [0.0, 0.3, 0.6]
    assert [s.temperature for s in model.samplings] == [0.0, 0.3, 0.6]


def test_sampled_run_keeps_its_temperature_and_warming_is_bounded():
    assert revision_sampling(Sampling(temperature=0.7), 3).temperature == 0.7
    assert revision_sampling(Sampling(temperature=0.0), 9).temperature == 1.0


async def test_server_failure_is_failed_never_rejected_and_keeps_attempts(item: Item):
    model = scripted("junk", ModelUnavailable("HTTP 500", "wait"))
    outcome = await run_item(item, context_for(model))
    assert outcome.state is ItemState.FAILED
    assert [a.text for a in outcome.attempts] == ["junk"]
    assert outcome.codes == ("not_json", "model_unavailable")
    assert outcome.error == "HTTP 500\nhint: wait"


@pytest.mark.parametrize(
    ("code", "answers", "state"),
    [
        ("context_too_long", (), ItemState.FAILED),
        ("context_too_long", ("junk",), ItemState.REJECTED),
        # The server's own reason says nothing against the draft.
        ("request_refused", ("junk",), ItemState.FAILED),
    ],
)
async def test_refused_request_is_a_state_of_its_item(
    item: Item, code: str, answers: tuple[str, ...], state: ItemState
):
    refusal = ModelOutputError("too long", code=code, text="")
    outcome = await run_item(item, context_for(scripted(*answers, refusal)))
    assert outcome.state is state
    assert outcome.codes == (*(("not_json",) if answers else ()), code)
    assert len(outcome.attempts) == len(answers)


@pytest.mark.parametrize("error", [ServerGone("gone"), InputError("no such model")])
async def test_what_concerns_the_run_leaves_the_graph(item: Item, error: InputError | ServerGone):
    with pytest.raises(type(error)):
        await run_item(item, context_for(scripted(error)))


async def test_shuffled_control_shows_another_knee_and_compares_with_the_own_grades():
    own = sample_item(1, grade=0, extrusion_mm=0.5, side="right")
    other = sample_item(2, grade=2, extrusion_mm=3.4, side="left")
    model = scripted(sample_answer(2, 3.4, side="left"))
    outcome = await run_item(own, context_for(model), shown=other)
    text = sent_text(model)
    assert "3.4" in text
    assert "0.5" not in text
    assert "left knee" in text
    assert outcome.attempts[0].passed
    assert outcome.state is ItemState.DISAGREES
    assert outcome.components[0].clinician_grade == 0
    assert (outcome.volume_id, outcome.findings_id) == (own.volume_id, other.findings_id)


async def test_finding_without_box_fails_its_item_and_nothing_is_sent():
    model = scripted(GOOD)
    outcome = await run_item(sample_item(boxed=False), context_for(model))
    assert (outcome.state, outcome.codes) == (ItemState.FAILED, ("no_box",))
    assert "outside the field of view" in (outcome.error or "")
    assert not model.received


def test_mermaid_text_names_every_node_and_every_way_to_end():
    text = draw_mermaid()
    for arrow in (
        "__start__ --> draft",
        "draft --> check",
        "check -.-> revise",
        "revise --> check",
        "check -.-> compare",
        "check -.-> rejected",
        "compare -.-> accepted",
        "compare -.-> disagrees",
        "compare -.-> judge",
        "judge -.-> accepted",
        "judge -.-> rejected",
    ):
        assert arrow in text


async def test_what_agrees_is_judged_and_the_judge_is_among_the_gates(item: Item):
    judge = ScriptedChatModel(honest_answer)
    outcome = await run_item(item, context_for(scripted(GOOD), judge=judge))
    assert outcome.state is ItemState.ACCEPTED
    assert outcome.judgement is not None
    assert outcome.judgement.passed
    assert "judge:judge-7b@judge-reanswer/1+judge-rubric/1" in outcome.gates
    assert {"masking@1", "judge@2", "compare@1"} <= set(outcome.gates)
    assert len(judge.received) == 2


async def test_what_the_judge_refuses_is_rejected_and_not_revised(item: Item):
    judge = ScriptedChatModel(lambda _: '{"reason": "", "grades": {"grade": 0}}')
    drafter = scripted(GOOD)
    outcome = await run_item(item, context_for(drafter, judge=judge, max_revisions=5))
    assert outcome.state is ItemState.REJECTED
    assert outcome.codes == ("judge_reanswer_differs.grade",)
    assert len(drafter.received) == 1, "nothing that the judge says is fed back"
    assert "compare@1" in outcome.gates
    assert not any(gate.startswith("judge") for gate in outcome.gates)


async def test_the_judge_is_not_asked_about_what_is_rejected_or_disagrees():
    judge = ScriptedChatModel(honest_answer)
    disagreeing = await run_item(sample_item(grade=3), context_for(scripted(GOOD), judge=judge))
    rejected = await run_item(sample_item(), context_for(scripted(OFF_SCALE), judge=judge))
    assert (disagreeing.state, rejected.state) == (ItemState.DISAGREES, ItemState.REJECTED)
    assert judge.received == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelUnavailable("HTTP 500", "wait"), "judge_model_unavailable"),
        (ModelOutputError("long", code="context_too_long", text=""), "judge_context_too_long"),
    ],
)
async def test_a_judge_that_fails_leaves_its_item_failed_never_rejected(
    item: Item, error: ModelUnavailable | ModelOutputError, code: str
):
    judge = ScriptedChatModel(lambda _: error)
    outcome = await run_item(item, context_for(scripted(GOOD), judge=judge))
    assert (outcome.state, outcome.codes) == (ItemState.FAILED, (code,))
    assert outcome.attempts[-1].passed
    assert outcome.components[0].draft_grade == 2


async def test_a_judge_that_is_gone_ends_the_batch_and_not_the_item(item: Item):
    judge = ScriptedChatModel(lambda _: ServerGone("gone"))
    with pytest.raises(ServerGone):
        await run_item(item, context_for(scripted(GOOD), judge=judge))


async def test_no_message_to_the_judge_depends_on_the_clinicians_grade():
    """The judge is reached only where the draft agrees; then its prompts are the draft's own."""
    seen: list[str] = []
    for grade in (2, 3):
        judge = ScriptedChatModel(honest_answer)
        await run_item(sample_item(grade=grade), context_for(scripted(GOOD), judge=judge))
        seen.append(sent_text(judge))
    assert "read by the clinician" not in seen[0]
    assert "SECRETPRJ" not in seen[0]
    assert seen[1] == ""


async def test_longest_way_through_the_graph_stays_within_its_bound(item: Item):
    judge = ScriptedChatModel(lambda _: marks({}))
    drafter = scripted(*["junk"] * 10, GOOD)
    outcome = await run_item(item, context_for(drafter, max_revisions=10, judge=judge))
    assert len(outcome.attempts) == 11
    assert outcome.codes == ("judge_unparsed",)


@pytest.mark.parametrize("max_revisions", [0, 2])
async def test_a_graph_that_would_go_round_for_ever_is_stopped(
    item: Item, max_revisions: int, monkeypatch: pytest.MonkeyPatch
):
    """The bound holds even where a check never says that no revision is left."""

    def never_settled(_: object) -> Literal["revise"]:
        return "revise"

    monkeypatch.setitem(graph.WAYS, "check", (never_settled, graph.WAYS["check"][1]))
    compiled = graph.build_graph()
    monkeypatch.setattr(graph, "item_graph", lambda: compiled)
    model = scripted(OFF_SCALE)
    with pytest.raises(GraphRecursionError):
        await run_item(item, context_for(model, max_revisions=max_revisions))
    assert len(model.received) <= 3 + max_revisions


def test_the_graph_keeps_no_checkpoint_and_its_state_holds_five_channels():
    compiled = graph.item_graph()
    assert compiled.checkpointer in (None, False)
    assert compiled.store is None
    assert compiled.cache is None
    held = {"task", "attempts", "components", "judgement", "verdict"}
    assert set(ItemGraphState.__annotations__) == held
    assert set(compiled.builder.channels) == held
    assert graph.item_graph() is compiled, "compiled once"


async def test_every_way_to_end_that_the_graph_has_is_taken(
    item: Item, monkeypatch: pytest.MonkeyPatch
):
    """The ways are read from the graph's table: one that is added needs an item that takes it."""
    ways = {
        (node, way)
        for node, (_, targets) in graph.WAYS.items()
        for way, target in targets.items()
        if target == END
    }
    taken: set[tuple[str, str]] = set()
    for node, (router, targets) in list(graph.WAYS.items()):

        def noting(
            state: ItemGraphState,
            node: str = node,
            router: Callable[[ItemGraphState], str] = router,
        ) -> str:
            way = router(state)
            taken.add((node, way))
            return way

        monkeypatch.setitem(graph.WAYS, node, (noting, targets))
    compiled = graph.build_graph()
    monkeypatch.setattr(graph, "item_graph", lambda: compiled)
    honest, refusing = (
        ScriptedChatModel(honest_answer),
        scripted('{"reason": "", "grades": {"grade": 0}}'),
    )
    for answer, grade, judge in (
        (GOOD, 2, None),
        (GOOD, 3, None),
        (OFF_SCALE, 2, None),
        (GOOD, 2, honest),
        (GOOD, 2, refusing),
    ):
        context = context_for(scripted(answer), max_revisions=1, judge=judge)
        await run_item(sample_item(grade=grade), context)
    assert len(ways) == 5
    assert ways <= taken


async def test_a_drafter_without_findings_is_held_against_the_items_own(item: Item):
    bare = item.model_copy(update={"finding": item.finding.model_copy(update={"measurements": ()})})
    model = scripted(GOOD)
    outcome = await run_item(item, context_for(model, max_revisions=0), bare, item)
    assert "3.4" not in sent_text(model)
    assert outcome.attempts[0].passed
    assert outcome.findings_id == item.findings_id


class TracerSpy(AsyncCallbackHandler):
    """Stands in for LangSmith's tracer and counts how often one is made."""

    made = 0

    def __init__(self, **_: object) -> None:
        TracerSpy.made += 1


@pytest.fixture
def tracing_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """Returns a function that sets tracing variables; LangSmith's cache of them is emptied."""
    TracerSpy.made = 0
    monkeypatch.setattr("langchain_core.tracers.langchain.LangChainTracer", TracerSpy)

    def set_variables(names: Sequence[str]) -> None:
        for name in names:
            monkeypatch.setenv(name, "true")
        forget_environment()

    return set_variables


@pytest.mark.parametrize(
    "names",
    [
        ["LANGSMITH_TRACING"],
        ["LANGSMITH_TRACING_V2"],
        ["LANGCHAIN_TRACING_V2"],
        ["LANGCHAIN_TRACING"],
        ["LANGCHAIN_TRACING", "LANGCHAIN_HANDLER", "LANGSMITH_TRACING"],
    ],
)
async def test_tracing_stays_off_whatever_the_environment_says(
    item: Item, tracing_environment: Callable[[Sequence[str]], None], names: list[str]
):
    tracing_environment(names)
    outcome = await run_item(item, context_for(scripted(GOOD)))
    assert outcome.state is ItemState.ACCEPTED
    assert TracerSpy.made == 0


async def test_tracing_follows_the_environment_only_when_the_settings_ask_for_it(
    item: Item, tracing_environment: Callable[[Sequence[str]], None]
):
    tracing_environment(["LANGSMITH_TRACING"])
    await run_item(item, replace(context_for(scripted(GOOD)), tracing=True))
    assert TracerSpy.made > 0


@pytest.fixture(autouse=True)
def _fresh_langsmith_cache() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """No test's variables are remembered by another."""
    forget_environment()
    yield
    forget_environment()


def forget_environment() -> None:
    """Empties LangSmith's cache of environment variables."""
    cast("_LruCached", langsmith_utils.get_env_var).cache_clear()


class _LruCached(Protocol):
    def cache_clear(self) -> None: ...
