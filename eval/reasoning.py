"""Deterministic checks of what a model wrote before its grades (`agents.checks`), counted by code.

Only checks that need no measurement are run: a benchmarked model is shown slices, not findings, and
writes free prose, not steps. They say where the text names another side, region or feature,
contradicts its own grades, tells a history, speaks of labels, or repeats itself. They say nothing
of whether what is described is there; the grades do that.
"""

from collections import Counter
from typing import Final

import numpy as np

from agents.checks.consistency import check_consistency
from agents.checks.context import CheckContext, Material, prepare
from agents.checks.copying import check_leak
from agents.checks.feature import check_feature
from agents.checks.grades import check_combinations
from agents.checks.history import check_history
from agents.checks.laterality import check_laterality
from agents.checks.region import check_region
from agents.checks.steps import check_length
from eval.bench_records import Prediction
from eval.bench_table import BenchTable, Booleans
from knee.answers import Draft, Step, StepName
from knee.findings import ComponentEvidence, EvidenceLevel, Finding
from knee.keys import content_hash
from knee.questions import QUESTIONS
from knee.records import CheckIssue

MAX_CHECKED: Final = 5_000
"""Items whose text is checked; of a larger bench those with the smallest hashes of their ids."""
LEFT_OUT: Final = frozenset({"grade_not_stated", "region_not_named", "feature_not_named"})
"""Codes that ask for a form which free prose before the grades need not have."""
CHECKS: Final = (
    *(check_length, check_combinations, check_laterality, check_region, check_feature),
    *(check_consistency, check_leak, check_history),
)
"""Checks that need neither findings nor cut-offs."""


class ReasoningCounts:
    """Texts that were checked, and what was found, while predictions are read."""

    def __init__(self, chosen: Booleans, table: BenchTable) -> None:
        self._chosen, self._table = chosen, table
        self.n_chosen = int(chosen.sum())
        """Items whose text would be checked."""
        self.n_checked = 0
        """Of them, those with a text and at least one grade."""
        self.n_sound = 0
        """Of those, texts without any issue."""
        self.codes: Counter[str] = Counter()
        """Texts with an issue of a code at least once."""

    @classmethod
    def of_bench(cls, table: BenchTable) -> "ReasoningCounts":
        """Returns counts at 0 for a bench; the items are the same for every model."""
        chosen = np.ones(len(table.row_of), bool)
        if len(chosen) > MAX_CHECKED:
            hashes = np.array([content_hash(item)[-16:] for item in table.row_of])
            chosen[:] = False
            chosen[np.argsort(hashes, kind="stable")[:MAX_CHECKED]] = True
        return cls(chosen, table)

    def add(self, row: int, prediction: Prediction) -> None:
        """Checks the text of one item, if it is among the chosen."""
        if not self._chosen[row] or not prediction.reasoning:
            return
        volume = self._table.volumes[self._table.items.volume[row]]
        issues = reasoning_issues(prediction, side=volume.side, visit=volume.visit)
        if issues is None:
            return
        self.n_checked += 1
        codes = {issue.code for issue in issues}
        self.n_sound += not codes
        self.codes.update(codes)


def reasoning_issues(prediction: Prediction, *, side: str, visit: str) -> list[CheckIssue] | None:
    """Returns what the checks find in one text; None without a text or any grade.

    Args:
        prediction: with the grades that the text is held against.
        side: `right` or `left`.
        visit: `V00`…
    """
    grades = {one.component: one.grade for one in prediction.grades if one.grade is not None}
    if not prediction.reasoning or not grades:
        return None
    question = QUESTIONS[int(prediction.item_id.rpartition("#")[2])]
    context = CheckContext(
        question=question,
        finding=Finding(
            question_id=question.question_id,
            region=question.region,
            box=None,
            box_source=None,
            definition_id="none",
            evidence=tuple(
                ComponentEvidence(component=c, level=EvidenceLevel.IMAGE, reason="slices")
                for c in question.components
            ),
        ),
        asked=tuple(grades),
        side=side,
        is_follow_up=visit != "V00",
        shape=(1, 1, 1),
        slice_axis=0,
        calibration=None,
        prompt_text="",
        sequence="",
    )
    # Prose without steps counts as what was observed; the others are there and say nothing.
    texts = {StepName.OBSERVE: prediction.reasoning}
    draft = Draft(
        steps=tuple(Step(name=name, text=texts.get(name, "")) for name in StepName), grades=grades
    )
    material: Material = prepare(draft, context)
    found = [issue for check in CHECKS for issue in check(material)]
    return [issue for issue in found if issue.code not in LEFT_OUT]
