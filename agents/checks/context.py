"""What a check is given, and how it reports."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

from agents.checks.numerals import spell_digits
from knee.answers import Draft, StepName
from knee.calibration import Calibration, rule_for
from knee.findings import Finding, Measurement, MeasurementName
from knee.moaks import Component, GradeRule
from knee.questions import Question
from knee.records import CheckIssue, CheckSeverity
from knee.shown_images import ShownImages

CHECK_VERSIONS: dict[str, int] = {
    "schema": 1,
    "length": 1,
    "scale": 1,
    "combinations": 1,
    "steps": 2,
    "box": 1,
    "laterality": 2,
    "region": 2,
    "feature": 2,
    "numbers": 3,
    "citations": 1,
    "slices": 1,
    "grade_follows": 2,
    "consistency": 2,
    "prompt_copy": 2,
    "leak": 2,
    "history": 1,
    "compare": 1,
}
"""Every check and its version; a change of what a check accepts raises the version."""

_DASHES = re.compile("[\u2010-\u2015\u2212]")
_PLUS_MINUS = re.compile(r"\+\s*/\s*-")
_SNAKE = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)+")
_SENTENCES = re.compile(r"[.;](?:\s|$)")
_MEASUREMENT_NAMES = frozenset(name.value for name in MeasurementName)


@dataclass(frozen=True)
class CheckContext:
    """What an answer is held against; holds no clinician's grade."""

    question: Question
    """The question."""
    finding: Finding
    """The finding that the prompt showed."""
    asked: tuple[Component, ...]
    """The asked components, in MOAKS' order."""
    side: str
    """`right` or `left`."""
    is_follow_up: bool
    """Whether the visit is after baseline."""
    shape: tuple[int, int, int]
    """Array shape as stored, in voxels."""
    slice_axis: int
    """Stored array axis (0-2) that runs left-right."""
    calibration: Calibration | None
    """Fitted cut-offs, None when the run has none."""
    prompt_text: str
    """The rendered prompt, for the copied-prompt check; may be empty."""
    sequence: str
    """MRI sequence; a text may name it."""
    images: ShownImages | None = None
    """The slices that the drafter saw; None when it saw none."""
    images_withheld: bool = False
    """True in a control of a run with images that shows none."""

    @cached_property
    def rules(self) -> dict[Component, GradeRule]:
        """The rule of each asked component that has one."""
        rules = {c: rule_for(self.question.feature, c, self.calibration) for c in self.asked}
        return {component: rule for component, rule in rules.items() if rule is not None}

    @cached_property
    def edges(self) -> dict[str | None, frozenset[float]]:
        """Cut-offs of the asked components, 0 among them, by unit; under None those of all."""
        found: dict[str | None, set[float]] = {None: set()}
        for rule in self.rules.values():
            for unit in (None, rule.unit):
                found.setdefault(unit, set()).update((0.0, *rule.edges))
        return {unit: frozenset(edges) for unit, edges in found.items()}

    @cached_property
    def shown(self) -> tuple[tuple[Measurement, str, float], ...]:
        """Measurements of the finding, each with its unit and its value as shown."""
        return tuple((m, m.unit.value, float(m.shown)) for m in self.finding.measurements)

    @cached_property
    def measured(self) -> dict[str, Measurement]:
        """Measurements of the finding by name."""
        return {m.name.value: m for m in self.finding.measurements}

    def carrier(self, component: Component) -> Measurement | None:
        """Returns the measurement that carries a component's grade, None without one."""
        rule = self.rules.get(component)
        if rule is not None and rule.measurement in self.measured:
            return self.measured[rule.measurement]
        named = self.finding.evidence_for(component).measurement
        return None if named is None else self.measured.get(named.value)


@dataclass(frozen=True)
class StepProse:
    """A step's text, prepared once for all checks."""

    name: StepName
    """Which step."""
    text: str
    """Lower case, NFKC, plain dashes; the ids of measurements stand as written."""
    prose: str
    """The same with ids of measurements masked and other underscores opened to spaces."""

    @cached_property
    def spelled(self) -> str:
        """`text` with number words before a unit in digits; most checks of numbers read it."""
        return spell_digits(self.text)

    @cached_property
    def prose_sentences(self) -> tuple[str, ...]:
        """The sentences of `prose`, number words before a unit in digits."""
        return tuple(_SENTENCES.split(spell_digits(self.prose)))


@dataclass(frozen=True)
class Material:
    """One parsed draft with everything that the checks look at."""

    draft: Draft
    """The parsed answer."""
    context: CheckContext
    """What it is held against."""
    steps: tuple[StepProse, ...]
    """Prepared texts in the order written."""

    @cached_property
    def prose(self) -> str:
        """The prose of all steps, a line each."""
        return "\n".join(step.prose for step in self.steps)

    def step(self, name: StepName) -> StepProse:
        """Returns a step's prepared text; the parser guarantees that each is there."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[StepName, StepProse]:
        return {step.name: step for step in reversed(self.steps)}


def prepare(draft: Draft, context: CheckContext) -> Material:
    """Returns the material of a draft: texts folded to one spelling."""
    steps: list[StepProse] = []
    for step in draft.steps:
        text = without_sequence(fold(step.text), context.sequence)
        steps.append(StepProse(step.name, text, _SNAKE.sub(_open_id, text)))
    return Material(draft, context, tuple(steps))


def without_sequence(text: str, sequence: str) -> str:
    """Returns a folded text without the name of the sequence, in which digits claim nothing."""
    name = sequence.lower()
    return _word(name).sub(" ", text) if name and name in text else text


@lru_cache(maxsize=32)
def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def fold(text: str) -> str:
    """Returns `text` in lower case, NFKC, with plain dashes, quotes and `±`.

    Example:
        >>> fold("1843 mm³ – 2 +/- 1")
        '1843 mm3 - 2 ± 1'
    """
    if text.isascii() and "+" not in text:
        return text.lower()
    plain = unicodedata.normalize("NFKC", text).lower()
    return _PLUS_MINUS.sub("±", _DASHES.sub("-", plain).replace("\u2019", "'"))


def _open_id(match: re.Match[str]) -> str:
    return " · " if match[0] in _MEASUREMENT_NAMES else match[0].replace("_", " ")


def issue(
    check: str, code: str, message: str, severity: CheckSeverity = CheckSeverity.FAIL
) -> CheckIssue:
    """Returns an issue of a check in its present version."""
    return CheckIssue(
        check=check,
        version=CHECK_VERSIONS[check],
        code=code,
        severity=severity,
        message=message,
    )


def quote(text: str, limit: int = 60) -> str:
    """Returns a short quotation of a draft's own words for a message."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(plain if len(plain) <= limit else plain[: limit - 1] + "…")
