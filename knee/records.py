"""Volumes, runs and what a run produces, item by item.

Agents make these records and the store keeps them; both know only this module.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from knee.answers import Draft
from knee.calls import PromptRef as PromptRef
from knee.calls import Record as Record
from knee.calls import Usage as Usage
from knee.findings import IMAGE_EVIDENCE, TEXT_EVIDENCE, EvidenceLevel, Finding
from knee.grades import ClinicianGrade, GradeStatus
from knee.judgement import Judgement
from knee.moaks import Component
from knee.questions import QUESTIONS, Question
from knee.shown_images import ShownImages


class ItemState(StrEnum):
    """The closed set of states of one (volume, question) in one run (CONTRACTS)."""

    NO_REGION = "no_region"
    UNLABELLED = "unlabelled"
    NO_EVIDENCE = "no_evidence"
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DISAGREES = "disagrees"
    FAILED = "failed"

    @property
    def is_drafted(self) -> bool:
        """True for the states that count in acceptance's denominator."""
        return self in _DRAFTED


_DRAFTED = frozenset(
    {ItemState.ACCEPTED, ItemState.REJECTED, ItemState.DISAGREES, ItemState.FAILED}
)


class RunKind(StrEnum):
    """What a run is for; only production runs are exported by default."""

    PRODUCTION = "production"
    TRIAL = "trial"
    CONTROL = "control"


class Grounding(StrEnum):
    """Whether the drafter was shown the clinician's grade."""

    BLIND = "blind"
    LABEL_GIVEN = "label_given"


class Wording(StrEnum):
    """Which wording of the question a prompt shows."""

    GUIDED = "guided"
    ZERO_SHOT = "zero_shot"


class Control(StrEnum):
    """Negative controls (RULES 7)."""

    NONE = "none"
    SHUFFLED_FINDINGS = "shuffled-findings"
    """The drafter sees the findings of another patient's knee."""
    NO_FINDINGS = "no-findings"
    """The drafter sees the question without its measurements."""
    ALWAYS_MAJORITY = "always-majority"
    """No model: always the commonest grade of the training patients, with the item's findings."""


class ComponentStatus(StrEnum):
    """What became of a component in a quintuple."""

    GRADED = "graded"
    UNLABELLED = "unlabelled"
    NO_EVIDENCE = "no_evidence"


class VolumeRecord(Record):
    """One volume of a cohort, as the store keeps it."""

    volume_id: str
    """`<patient>/<visit>/<side>/<sequence>`."""
    patient: str
    """Patient id."""
    visit: str
    """`V00`…"""
    side: str
    """`right` or `left`."""
    sequence: str
    """MRI sequence of the image, lower case."""
    image: str | None
    """Image file, relative to the cohort's root; None when there is only a label map."""
    label_map: str
    """Label map file, relative to the cohort's root."""
    cohort_root: str
    """Folder of the cohort when it was prepared; `--cohort-root` overrides it."""
    scheme: str
    """Label-map scheme."""
    mask_source: str | None
    """Where the masks come from; None when not known."""
    segmenter: str | None
    """Who or what drew the masks, with version; None when not known."""
    licence: str | None
    """Licence of the masks, and of the image when it has none of its own; None when not known."""
    synthetic: bool
    """True for phantoms and painted images."""
    split: str | None
    """train, val, test; None when the cohort does not say."""
    status: str
    """`ready`, or `failed` when the volume could not be described."""
    reason: str | None = None
    """Why it failed."""
    image_source: str | None = None
    """Where the image comes from; None when not known."""
    image_licence: str | None = None
    """Licence of the image; None when not known."""
    restricted: bool | None = None
    """True where the data may not leave the machine (RULES 25); None when not known."""
    segmenter_trained_on: bool | None = None
    """Whether the segmenter was trained on this patient (RULES 19); None when not known."""


class CheckSeverity(StrEnum):
    """A failure sends the draft back or rejects it; a warning is kept beside it."""

    FAIL = "fail"
    WARN = "warn"


class CheckIssue(Record):
    """One thing a deterministic check found."""

    check: str
    """Name of the check, e.g. `numbers`."""
    version: int
    """Version of the check."""
    code: str
    """Machine-readable reason, e.g. `number_not_in_findings`."""
    severity: CheckSeverity
    """Whether it counts against the draft."""
    message: str
    """Fit to be fed back to the drafter: label-free, says what and where."""


class Attempt(Record):
    """One call to the drafter and what the checks said of it."""

    attempt_no: int
    """1 for the first draft; revisions count on."""
    prompt: PromptRef
    """The template that was rendered."""
    prompt_text_sha256: str
    """Hash of the rendered messages, to be re-rendered by `store verify`."""
    model: str
    """Model name as served."""
    sampling: dict[str, float | int | str]
    """Temperature, top_p, max_tokens, seed."""
    usage: Usage
    """Tokens and latency."""
    finish_reason: str
    """As the server gave it."""
    text: str
    """The raw answer."""
    draft: Draft | None
    """The parsed answer; None when it could not be parsed."""
    issues: tuple[CheckIssue, ...]
    """What the checks found."""
    grade_changed: bool = False
    """True when a revision gave another grade than the attempt before."""

    @property
    def passed(self) -> bool:
        """True when the answer parsed and nothing failed."""
        return self.draft is not None and not any(
            issue.severity is CheckSeverity.FAIL for issue in self.issues
        )


class ComponentComparison(Record):
    """A draft's grade beside the clinician's."""

    component: Component
    """The component."""
    status: ComponentStatus
    """Whether it was asked, and if not why."""
    draft_grade: int | None
    """The draft's; None when not asked or not drafted."""
    clinician_grade: int | None
    """The clinician's; None unless `read`."""
    clinician_status: GradeStatus | None
    """The table's status; None when the knee-visit is in no table."""
    evidence: EvidenceLevel
    """Evidence of the component in this run."""


class Item(Record):
    """One (volume, question) as the graph receives it.

    The clinician's grades travel with the item for the comparison; prompts are rendered from
    `finding` and `question` alone.
    """

    volume_id: str
    """`<patient>/<visit>/<side>/<sequence>`."""
    question_id: int
    """1-69."""
    findings_id: str
    """The findings that the item was bound to."""
    side: str
    """`right` or `left`."""
    visit: str
    """`V00`…"""
    sequence: str
    """MRI sequence of the image."""
    slice_axis: int
    """Stored array axis that runs left-right (sagittal slices)."""
    shape: tuple[int, int, int]
    """Array shape as stored."""
    finding: Finding
    """Region, box, measurements, evidence."""
    clinician: tuple[ClinicianGrade, ...]
    """One per component; empty when the knee-visit is in no table."""
    synthetic: bool
    """True for phantoms and painted images."""
    sees_images: bool = False
    """Whether the drafter is shown slices of the image; what only those show is asked then."""

    @property
    def question(self) -> Question:
        """The question of the catalogue."""
        return QUESTIONS[self.question_id]

    def clinician_grade(self, component: Component) -> ClinicianGrade | None:
        """Returns the clinician's grade of a component, None when no table has the knee-visit."""
        return next((g for g in self.clinician if g.component is component), None)

    def status_of(self, component: Component) -> ComponentStatus:
        """Returns whether a component is asked: read by a clinician, and with evidence shown."""
        grade = self.clinician_grade(component)
        if grade is None or grade.status is not GradeStatus.READ:
            return ComponentStatus.UNLABELLED
        if self.finding.evidence_for(component).level not in self.evidence_levels:
            return ComponentStatus.NO_EVIDENCE
        return ComponentStatus.GRADED

    @property
    def evidence_levels(self) -> frozenset[EvidenceLevel]:
        """The levels of evidence that the drafter can reason from."""
        return IMAGE_EVIDENCE if self.sees_images else TEXT_EVIDENCE

    @property
    def asked(self) -> tuple[Component, ...]:
        """The asked components, in MOAKS' order."""
        return tuple(
            c for c in self.question.components if self.status_of(c) is ComponentStatus.GRADED
        )

    @property
    def starting_state(self) -> ItemState:
        """`pending` when something is asked, else the reason why nothing is.

        `unlabelled` when no component was read; `no_evidence` when some were, and none of those
        has evidence.
        """
        statuses = [self.status_of(c) for c in self.question.components]
        if ComponentStatus.GRADED in statuses:
            return ItemState.PENDING
        if ComponentStatus.NO_EVIDENCE in statuses:
            return ItemState.NO_EVIDENCE
        return ItemState.UNLABELLED


_RETRIED = "retried."


def retried_code(n_failed: int) -> str:
    """Returns the code of an outcome before which `n_failed` tries of the item had failed."""
    return f"{_RETRIED}{n_failed}"


class ItemOutcome(Record):
    """How one item of a run ended, with every attempt."""

    run_id: str
    """The run."""
    volume_id: str
    """The volume."""
    question_id: int
    """The question."""
    findings_id: str
    """The findings that were used (of another knee in a shuffled control)."""
    state: ItemState
    """accepted, rejected, disagrees or failed."""
    codes: tuple[str, ...] = ()
    """Reasons: check codes, or the failure's name."""
    attempts: tuple[Attempt, ...] = ()
    """In order; may be empty when the server never answered."""
    components: tuple[ComponentComparison, ...] = ()
    """Every component of the question with its status."""
    gates: tuple[str, ...] = ()
    """The gates it passed through, as `name@version`."""
    error: str | None = None
    """Message of an infrastructure failure."""
    judgement: Judgement | None = None
    """What the judge said; None without one, and for an item that did not reach it."""
    images: ShownImages | None = None
    """The slices that its drafter was shown; None in a run without images."""

    @model_validator(mode="after")
    def validate_state(self) -> Self:
        """An outcome is a drafted state, and an accepted one ends with a passing attempt."""
        if not self.state.is_drafted:
            raise ValueError(f"{self.state.value!r} is not the outcome of a draft")
        if self.state is ItemState.ACCEPTED and not (self.attempts and self.attempts[-1].passed):
            raise ValueError("an accepted item ends with an attempt that passed")
        if self.state is ItemState.ACCEPTED and self.judgement and not self.judgement.passed:
            raise ValueError(f"accepted against the judge: {self.judgement.codes!r}")
        return self

    @property
    def n_retries(self) -> int:
        """How many tries of the item had failed before this one."""
        found = (code for code in self.codes if code.startswith(_RETRIED))
        return max((int(code.removeprefix(_RETRIED)) for code in found), default=0)

    @property
    def complete(self) -> bool:
        """True when every component of the question was graded."""
        return all(c.status is ComponentStatus.GRADED for c in self.components)


class Run(Record):
    """What identifies and describes a run."""

    run_id: str
    """Short, sortable, unique in the store."""
    fingerprint: str
    """`sha256:` over prompts, models, sampling, checks, grounding, wording and findings ids."""
    kind: RunKind
    """production, trial or control."""
    control: Control
    """Which control; `none` for the others."""
    grounding: Grounding
    """blind or label_given."""
    wording: Wording
    """guided or zero_shot."""
    prompts: tuple[PromptRef, ...]
    """Every prompt that the run can send."""
    drafter_model: str
    """Model name as served."""
    judge_model: str | None
    """None while there is no judge."""
    checks: dict[str, int]
    """Check to version."""
    sampling: dict[str, float | int | str]
    """As sent."""
    images: str | None = None
    """How slices were shown, as JSON (identity); None in a run that drafts from text alone."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Commit, dirty flag, package versions, base URL, concurrency, settings file: not identity."""
