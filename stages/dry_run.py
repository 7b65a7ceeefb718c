"""`generate --dry-run`: what a run would draft and cost. Nobody is called, nothing is written.

The store is read without its writer's lock, and what a killed run left in the journal is counted
where it lies: the next real start commits it.
"""

from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass

from knee.keys import ItemKey, JsonValue
from knee.moaks import Feature
from knee.records import ItemState
from stages.console import emit, emit_json, say, show_table
from stages.controls import work_of
from stages.quota_plan import choice_json, show_choice
from stages.run_images import open_slice_source
from stages.run_plan import GenerateOptions, RunPlan, make_plan
from stages.settings import load_settings
from stages.token_estimate import (
    MAX_RENDERED,
    Cost,
    PromptSurvey,
    TokenEstimate,
    estimate_tokens,
)
from stages.token_ratio import token_ratio
from store.items import Selection
from store.journal import journalled_states
from store.reader import StoreReader
from store.selection_counts import FeatureState, earlier_cost, feature_states

_DRAFTABLE = frozenset(
    {
        ItemState.PENDING,
        ItemState.ACCEPTED,
        ItemState.REJECTED,
        ItemState.DISAGREES,
        ItemState.FAILED,
    }
)
"""States of items that are read and have evidence."""
_COVERAGE = ("feature", "questions", "read", "evidence", "drafted", "to draft")


@dataclass(frozen=True, slots=True)
class FeatureCoverage:
    """How far the questions of one feature get."""

    feature: Feature
    """The feature."""
    questions: int
    """Its questions in all selected volumes."""
    read: int
    """Those of which a clinician read a component."""
    evidence: int
    """Those of which a component is both read and has evidence: they are asked."""
    drafted: int
    """Those that the run has drafted already."""
    to_draft: int
    """Those that this command would draft: its limit, quotas and control considered."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would do."""

    plan: RunPlan
    """The run."""
    states: dict[ItemState, int]
    """Items of the selection by state; all eight."""
    coverage: tuple[FeatureCoverage, ...]
    """By feature."""
    survey: PromptSurvey
    """The items to draft."""
    estimate: TokenEstimate
    """Calls and tokens."""
    n_journalled: int
    """Finished items that only the journal holds."""
    left_out: Counter[str]
    """Items that the control cannot draft."""


def dry_run(options: GenerateOptions) -> int:
    """Shows what `generate` with the same options would do.

    Raises:
        InputError: settings, prompt, quotas or selection are not as asked.
        StoreError: no store, or a foreign one.
    """
    config = load_settings(options.config)
    store = StoreReader(options.store)
    found = _survey(make_plan(options, config, store), store)
    if options.as_json:
        emit_json(_as_json(found))
    else:
        _show(found)
    say("dry run: nobody was called and nothing was written")
    return 0


def _survey(plan: RunPlan, store: StoreReader) -> DryRun:
    run_id = plan.resumes
    # Before the store: an item that is committed in between is found in both.
    journalled = {} if run_id is None else journalled_states(store.path, run_id)
    with store.reading() as con:
        counts = feature_states(con, plan.selection, run_id)
        before = earlier_cost(
            con,
            plan.run.kind,
            plan.run.drafter_model,
            plan.template.sha256,
            plan.run.judge_model,
        )
    states = {state: sum(c.items for c in counts if c.state is state) for state in ItemState}
    every = 1 + states[ItemState.PENDING] // MAX_RENDERED
    slices = None
    if plan.images is not None:
        slices = open_slice_source(plan.images, store, Selection(), plan.options.cohort_root)
    survey = PromptSurvey(plan, every, slices)
    left_out = Counter[str]()
    n_journalled = 0
    only_journalled: Counter[Feature] = Counter()
    with nullcontext() if slices is None else closing(slices):
        for work in work_of(plan, store, run_id, left_out=left_out):
            state = journalled.get(ItemKey(work.item.volume_id, work.item.question_id))
            if state is None:
                survey.add(work)
                continue
            n_journalled += 1
            states[ItemState.PENDING] -= 1
            states[state] += 1
            only_journalled[work.item.question.feature] += 1
    return DryRun(
        plan=plan,
        states=states,
        coverage=tuple(_coverage(counts, survey.items, only_journalled)),
        survey=survey,
        estimate=estimate_tokens(survey, token_ratio(plan.config.serve, survey.texts), before),
        n_journalled=n_journalled,
        left_out=left_out,
    )


def _coverage(
    counts: list[FeatureState], to_draft: Counter[Feature], journalled: Counter[Feature]
) -> list[FeatureCoverage]:
    rows: list[FeatureCoverage] = []
    for feature in dict.fromkeys(count.feature for count in counts):
        own = [count for count in counts if count.feature is feature]
        rows.append(
            FeatureCoverage(
                feature,
                sum(c.items for c in own),
                sum(c.read for c in own),
                sum(c.items for c in own if c.state in _DRAFTABLE),
                sum(c.items for c in own if c.state.is_drafted) + journalled[feature],
                to_draft[feature],
            )
        )
    return rows


def _show(found: DryRun) -> None:
    plan = found.plan
    resumed = "a new run" if plan.resumes is None else f"run {plan.resumes}, resumed"
    show_table(
        f"items of the selection by state ({resumed})",
        ["state", "items"],
        [[state.value, n] for state, n in found.states.items()],
        to_stdout=True,
    )
    show_table(
        "coverage by feature (questions of the selected volumes)",
        _COVERAGE,
        [
            [c.feature.value, c.questions, c.read, c.evidence, c.drafted, c.to_draft]
            for c in found.coverage
        ],
        to_stdout=True,
    )
    if plan.quotas is not None:
        show_choice(plan.quotas, to_stdout=True)
    _show_estimate(found)
    for note in _notes(found):
        say(note)
    for prompt in found.survey.shown():
        longest = ", the longest" if prompt is found.survey.longest else ""
        name = f"{prompt.key.volume_id}#{prompt.key.question_id}"
        for message in prompt.messages:
            emit(f"--- {name} ({prompt.feature.value}{longest}), {message.role}\n{message.content}")
            for image in message.images:
                emit(f"[{image.label}; PNG of {len(image.png):,} bytes, {image.sha256}]")


def _show_estimate(found: DryRun) -> None:
    estimate = found.estimate
    rows: list[tuple[str, Cost]] = [("drafts, if each passes at once", estimate.first_drafts)]
    n_revisions = found.plan.max_revisions
    if n_revisions:
        rows.append((f"drafts, if each is revised {n_revisions} time(s)", estimate.all_revisions))
    if estimate.judging is not None:
        rows.append(("judge, if each draft reaches it", estimate.judging))
    rows.append(("at most, in all", estimate.most))
    if estimate.as_before is not None:
        rows.append((f"as {estimate.n_before} earlier item(s) took", estimate.as_before))
    show_table(
        f"calls and tokens for {found.survey.items.total()} item(s) to draft; bounds have every "
        "answer as long as max_tokens allows",
        ["", "calls", "prompt tokens", "completion tokens"],
        [[name, *cost] for name, cost in rows],
        to_stdout=True,
    )
    say(f"tokens: {estimate.ratio.method}")


def _notes(found: DryRun) -> list[str]:
    survey, serve = found.survey, found.plan.config.serve
    notes: list[str] = []
    if not survey.items.total():
        notes.append("nothing is left to draft")
    if survey.slices is not None:
        n = max((len(m.images) for p in survey.shown() for m in p.messages), default=0)
        notes.append(
            f"one item of each feature was drawn, with up to {n} slice(s): their tokens are the "
            "model's own and are not in the estimate"
        )
    if survey.every > 1:
        notes.append(f"every {survey.every}th prompt was rendered ({survey.n_rendered})")
    if survey.n_boxless:
        notes.append(f"{survey.n_boxless} item(s) have no box: they will end as failed, unsent")
    notes += [f"{n} item(s) stay pending, {reason}" for reason, n in found.left_out.items()]
    if found.n_journalled:
        notes.append(
            f"{found.n_journalled} finished item(s) lie in the journal; the next start commits them"
        )
    wanted = found.estimate.longest_tokens + found.plan.config.drafter.sampling.max_tokens
    if serve is not None and wanted > serve.max_model_len:
        notes.append(
            f"the longest prompt and its answer may take {wanted} tokens, serve.max_model_len is "
            f"{serve.max_model_len}"
        )
    return notes


def _as_json(found: DryRun) -> dict[str, JsonValue]:
    plan, survey = found.plan, found.survey
    return {
        "dry_run": True,
        "run_id": plan.resumes,
        "kind": plan.run.kind.value,
        "control": plan.control.value,
        "states": {state.value: n for state, n in found.states.items()},
        "coverage": [
            {
                "feature": c.feature.value,
                "questions": c.questions,
                "read": c.read,
                "evidence": c.evidence,
                "drafted": c.drafted,
                "to_draft": c.to_draft,
            }
            for c in found.coverage
        ],
        "to_draft": survey.items.total(),
        "without_box": survey.n_boxless,
        "journalled": found.n_journalled,
        "left_out": dict(found.left_out),
        "quota": None if plan.quotas is None else choice_json(plan.quotas),
        "rendered": survey.n_rendered,
        "estimate": found.estimate.as_json(),
        "notes": _notes(found),
        "prompts": [
            {
                "volume_id": prompt.key.volume_id,
                "question_id": prompt.key.question_id,
                "feature": prompt.feature.value,
                "characters": prompt.n_characters,
                "longest": prompt is survey.longest,
                "messages": [
                    {
                        **message.model_dump(exclude={"images"}),
                        "images": [i.model_dump(exclude={"png"}) for i in message.images],
                    }
                    for message in prompt.messages
                ],
            }
            for prompt in survey.shown()
        ],
    }
