"""How many calls and tokens a run would take, from the prompts that it would send."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from agents.batch import WorkItem
from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from agents.slice_source import SliceSource, SlicesUnavailable
from agents.state import ItemImages, ItemTask
from knee.answers import StepName
from knee.keys import ItemKey, JsonValue
from knee.moaks import Feature
from knee.records import Item
from prompts.judging import QuotedStep, render_judge
from prompts.render import ChatMessage
from stages.run_plan import RunPlan
from stages.token_ratio import TokenRatio
from store.selection_counts import EarlierCost

MAX_RENDERED = 20_000
"""Prompts that are rendered; of more items every n-th is."""
N_SHOWN = 3
"""Prompts that are shown."""
_MEASURED_A_FEATURE = 15
"""Prompts of each feature that the tokenizer reads."""
STAND_IN_STEPS = tuple(QuotedStep(name=name.value, text="a long step " * 20) for name in StepName)
"""Steps as long as drafts write them, for the judge's prompts before there are drafts."""


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A rendered prompt and whose it is."""

    key: ItemKey
    """The item."""
    feature: Feature
    """Its feature."""
    messages: tuple[ChatMessage, ...]
    """As they would be sent."""

    @property
    def n_characters(self) -> int:
        """Length of all messages."""
        return sum(len(message.content) for message in self.messages)


@dataclass
class PromptSurvey:
    """Goes over the items to draft and keeps counts, a few texts and the longest prompt."""

    plan: RunPlan
    every: int = 1
    """Every n-th item is rendered."""
    slices: SliceSource | None = None
    """Where slices come from; with it one item of each feature is drawn and rendered."""
    items: Counter[Feature] = field(default_factory=Counter[Feature])
    n_boxless: int = 0
    n_rendered: int = 0
    n_characters: int = 0
    judge_characters: list[int] = field(default_factory=list[int])
    """Of all of the judge's prompts together, for the items that were measured."""
    texts: list[str] = field(default_factory=list[str])
    longest: ShownPrompt | None = None
    _first: dict[Feature, ShownPrompt] = field(default_factory=dict[Feature, ShownPrompt])
    _measured: Counter[Feature] = field(default_factory=Counter[Feature])
    _undrawn: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._context: GraphContext = self.plan.context(
            ScriptedChatModel(lambda _: ""), self.plan.run.run_id
        )

    def add(self, work: WorkItem) -> None:
        """Counts an item, and renders its prompt where it is one of those that are."""
        number, feature = self.items.total(), work.item.question.feature
        self.items[feature] += 1
        if (work.shown or work.item).finding.box is None:
            self.n_boxless += 1
            return
        if number % self.every and feature in self._first:
            return
        seen, images = work.shown or work.item, None
        if self.slices is not None and seen.sees_images:
            images = None if feature in self._first else self._draw(self.slices, seen)
            if images is None:
                return
        task = prepare_task(work.item, self._context, work.shown, work.held_against, images)
        key = ItemKey(work.item.volume_id, work.item.question_id)
        shown = ShownPrompt(key, feature, task.messages)
        self.n_rendered += 1
        self.n_characters += shown.n_characters
        self._first.setdefault(feature, shown)
        if self.longest is None or shown.n_characters > self.longest.n_characters:
            self.longest = shown
        if self._measured[feature] < _MEASURED_A_FEATURE:
            self._measured[feature] += 1
            self.texts += [message.content for message in task.messages]
            self.judge_characters += self._judge_characters(task)

    def _draw(self, slices: SliceSource, seen: Item) -> ItemImages | None:
        """Returns an item's slices; None where they cannot be had, and of that volume any more."""
        if seen.volume_id in self._undrawn:
            return None
        try:
            return slices.draw_now(seen)
        except SlicesUnavailable:
            self._undrawn.add(seen.volume_id)
            return None

    @property
    def n_sent(self) -> int:
        """Items whose prompt would be sent."""
        return self.items.total() - self.n_boxless

    @property
    def mean_characters(self) -> float:
        """Of one prompt; 0 without any."""
        return self.n_characters / self.n_rendered if self.n_rendered else 0.0

    def shown(self) -> tuple[ShownPrompt, ...]:
        """Returns the longest prompt and the first ones of other features, in their order."""
        if self.longest is None:
            return ()
        others = [p for feature, p in self._first.items() if feature is not self.longest.feature]
        return (self.longest, *others[: N_SHOWN - 1])

    def _judge_characters(self, task: ItemTask) -> Iterator[int]:
        if self.plan.judge is not None:
            judge = self.plan.judge
            templates = (judge.reanswer, *[judge.rubric] * judge.rubric_calls)
            yield sum(
                len(message.content)
                for template in templates
                for message in render_judge(template, task.prompt, STAND_IN_STEPS)
            )


class Cost(NamedTuple):
    """Calls and tokens."""

    calls: int
    """Calls that are answered."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens generated."""

    def plus(self, other: "Cost") -> "Cost":
        """Returns both together."""
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """What a run would take: bounds from its prompts, and what earlier items took."""

    ratio: TokenRatio
    """Characters a token."""
    longest_tokens: int
    """Of the longest rendered prompt."""
    first_drafts: Cost
    """Each draft passes at once; each answer is as long as it may be."""
    all_revisions: Cost
    """Each draft is revised as often as it may be."""
    judging: Cost | None
    """Each draft reaches the judge, and its answers are read at once; None without a judge."""
    as_before: Cost | None
    """As earlier items of this model, prompt and judge; None where there are none."""
    n_before: int
    """How many those are."""

    @property
    def most(self) -> Cost:
        """The upper bound of all, repairs of the judge's answers aside."""
        return self.all_revisions if self.judging is None else self.all_revisions.plus(self.judging)

    def as_json(self) -> dict[str, JsonValue]:
        """Returns the numbers for `--json`."""
        return {
            "method": self.ratio.method,
            "characters_per_token": round(self.ratio.characters, 3),
            "longest_prompt_tokens": self.longest_tokens,
            "drafts_that_pass_at_once": dict(self.first_drafts._asdict()),
            "drafts_revised_to_the_end": dict(self.all_revisions._asdict()),
            "judge": None if self.judging is None else dict(self.judging._asdict()),
            "at_most": dict(self.most._asdict()),
            "as_earlier_items": None
            if self.as_before is None
            else {"items": self.n_before, **self.as_before._asdict()},
        }


def estimate_tokens(
    survey: PromptSurvey, ratio: TokenRatio, before: EarlierCost | None
) -> TokenEstimate:
    """Returns the estimate for the items that were gone over.

    Args:
        survey: the items to draft.
        ratio: characters a token.
        before: what earlier items took; None where there are none.
    """
    plan, n = survey.plan, survey.n_sent
    asked = 0 if plan.majority is not None else n  # that control's drafter is no model
    longest_answer = plan.config.drafter.sampling.max_tokens
    first = Cost(asked, ratio.tokens(asked * survey.mean_characters), asked * longest_answer)
    rounds = 1 + plan.max_revisions
    # A revision is sent the whole prompt again and the answer that it is to mend.
    mended = asked * plan.max_revisions * longest_answer
    revised = Cost(
        first.calls * rounds,
        first.prompt_tokens * rounds + mended,
        first.completion_tokens * rounds,
    )
    return TokenEstimate(
        ratio=ratio,
        longest_tokens=ratio.tokens(0 if survey.longest is None else survey.longest.n_characters),
        first_drafts=first,
        all_revisions=revised,
        judging=_judging(survey, ratio),
        as_before=None if before is None else _scaled(before, n),
        n_before=0 if before is None else before.items,
    )


def _judging(survey: PromptSurvey, ratio: TokenRatio) -> Cost | None:
    judge, n = survey.plan.judge, survey.n_sent
    if judge is None:
        return None
    measured = survey.judge_characters
    mean = sum(measured) / len(measured) if measured else 0.0
    calls = n * (1 + judge.rubric_calls)
    return Cost(calls, ratio.tokens(n * mean), calls * judge.endpoint.sampling.max_tokens)


def _scaled(before: EarlierCost, n: int) -> Cost:
    share = n / before.items
    return Cost(
        round(share * (before.attempts + before.judge_calls)),
        round(share * (before.prompt_tokens + before.judge_prompt_tokens)),
        round(share * (before.completion_tokens + before.judge_completion_tokens)),
    )
