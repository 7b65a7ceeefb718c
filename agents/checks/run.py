"""All checks of one answer, in order; the entry for graph, recheck and trainer."""

from collections.abc import Callable

from agents.checks.box import check_box
from agents.checks.citations import check_citations
from agents.checks.compare import agrees, compare_with_clinician
from agents.checks.comparisons import check_comparisons
from agents.checks.consistency import check_consistency
from agents.checks.context import CHECK_VERSIONS, CheckContext, Material, prepare
from agents.checks.copying import check_leak, check_prompt_copy
from agents.checks.cutoffs import check_cutoffs
from agents.checks.feature import check_feature
from agents.checks.fractions import check_fractions
from agents.checks.grades import check_combinations, check_grade_follows
from agents.checks.history import check_history
from agents.checks.labels import check_labels
from agents.checks.laterality import check_laterality
from agents.checks.numbers import check_numbers
from agents.checks.parsing import parse_answer
from agents.checks.region import check_region
from agents.checks.slices import check_slices
from agents.checks.steps import check_length, check_steps
from knee.answers import Draft
from knee.records import CheckIssue, CheckSeverity, Record

__all__ = [
    "CHECK_VERSIONS",
    "CheckContext",
    "CheckReport",
    "agrees",
    "check_answer",
    "compare_with_clinician",
]

NEVER_WARN = frozenset({"schema", "scale", "compare"})
"""Checks that no setting can soften."""

_CHECKS: tuple[Callable[[Material], list[CheckIssue]], ...] = (
    check_length,
    check_combinations,
    check_steps,
    check_box,
    check_laterality,
    check_region,
    check_feature,
    check_numbers,
    check_fractions,
    check_comparisons,
    check_labels,
    check_citations,
    check_slices,
    check_grade_follows,
    check_consistency,
    check_cutoffs,
    check_prompt_copy,
    check_leak,
    check_history,
)


class CheckReport(Record):
    """What the checks said of one answer."""

    draft: Draft | None
    """The parsed answer; None when its form cannot be used."""
    issues: tuple[CheckIssue, ...]
    """In the order of the checks."""

    @property
    def passed(self) -> bool:
        """True when there is a draft and nothing failed."""
        return self.draft is not None and not any(
            i.severity is CheckSeverity.FAIL for i in self.issues
        )


def check_answer(
    text: str, finish_reason: str, context: CheckContext, warn_only: frozenset[str]
) -> CheckReport:
    """Returns the draft and the issues of an answer; pure, and never raises for what a model wrote.

    Args:
        text: the answer as received.
        finish_reason: as the server gave it.
        context: what the answer is held against.
        warn_only: names of checks whose failures only warn; `NEVER_WARN` are not softened.
    """
    draft, issues = parse_answer(text, finish_reason, context)
    if draft is not None:
        material = prepare(draft, context)
        for check in _CHECKS:
            issues.extend(check(material))
    soft = warn_only - NEVER_WARN
    return CheckReport(
        draft=draft,
        issues=tuple(
            i.model_copy(update={"severity": CheckSeverity.WARN}) if i.check in soft else i
            for i in issues
        ),
    )
