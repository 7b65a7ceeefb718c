"""What ReasonKnee-Bench reads and writes: its items, and what a model answered.

A bench is a folder: `manifest.json`, `volumes.jsonl`, `items.jsonl`, `baselines.json` and
`readers.json`. Predictions are a folder of their own: `run.json` and the append-only
`predictions.jsonl`. Nothing a model wrote is ever an input of the bench, and no quintuple is
(RULES 22).
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from knee.bench_volume import BenchVolume as BenchVolume
from knee.calls import PromptRef, Record, Usage
from knee.findings import BoxSource
from knee.geometry import Box3D, Frame
from knee.moaks import Component, Feature, RuleBasis
from knee.questions import QUESTIONS, Question

FORMAT_VERSION = 1
"""Of the folders' files; a bench or predictions of another version are refused."""


class BenchPart(StrEnum):
    """Named parts of a bench; a component is in `all` whatever else it is in, unless ambiguous."""

    BALANCED = "balanced"
    """As many of each grade as the rarest grade of the component has, drawn with a stated seed."""
    AMBIGUOUS = "ambiguous"
    """Reads gave different grades: credit for either, never pooled with the others (RULES 20)."""


class BenchComponent(Record):
    """One component of one item: what clinicians read, and what the measurement rule says."""

    component: Component
    """The component."""
    grade: int | None
    """The grade read; None for an ambiguous component."""
    accepted: tuple[int, ...] = Field(min_length=1)
    """Grades that count as right: the one read, or each that a read of an ambiguous one gave."""
    readprj: tuple[str, ...]
    """Reading projects, each once, ascending."""
    parts: tuple[BenchPart, ...] = ()
    """Named parts that it belongs to."""
    rule_grade: int | None = None
    """What the rule gives to the measurement of the label map; a baseline, never sent."""
    rule_basis: RuleBasis = RuleBasis.NONE
    """Where the rule's numbers come from."""

    @model_validator(mode="after")
    def validate_grade(self) -> Self:
        """A read component accepts its grade alone; an ambiguous one has several and no grade."""
        is_ambiguous = BenchPart.AMBIGUOUS in self.parts
        if is_ambiguous != (self.grade is None) or (
            self.grade is not None and self.accepted != (self.grade,)
        ):
            raise ValueError(f"grade {self.grade!r} with the accepted grades {self.accepted!r}")
        return self


class BenchItem(Record):
    """One (volume, question) with at least one component that clinicians read."""

    volume_id: str
    """The volume."""
    question_id: int
    """1-69."""
    box: Box3D | None
    """The region's box in the stored voxel frame; None when it cannot be had."""
    box_source: BoxSource | None
    """Where it comes from; sources are never pooled (RULES 24)."""
    box_reason: str | None
    """Why there is none, or what it falls back to."""
    components: tuple[BenchComponent, ...] = Field(min_length=1)
    """The components read, in MOAKS' order."""

    @property
    def item_id(self) -> str:
        """`<volume_id>#<question_id>`, the key of a prediction."""
        return f"{self.volume_id}#{self.question_id}"

    @property
    def question(self) -> Question:
        """The question of the catalogue."""
        return QUESTIONS[self.question_id]


class MeanBox(Record):
    """Mean box of the training volumes, for one question and side."""

    question_id: int
    """1-62."""
    side: str
    """`right` or `left`."""
    n: int
    """Training boxes that went in, whatever their source."""
    lower: tuple[float, float, float]
    """Mean lower corner as a share (0-1) of the volume's extent along x, y, z of RAS."""
    upper: tuple[float, float, float]
    """Mean upper corner, alike."""


class TrainGrades(Record):
    """How often each grade was read in training patients."""

    question_id: int
    """1-69."""
    component: Component
    """The component."""
    counts: dict[int, int]
    """Grade to how often; grades that never occur are left out."""


class BenchBaselines(Record):
    """What the baselines need of the training patients; nothing of the test patients is in it."""

    n_volumes: int
    """Training volumes that the boxes are of."""
    n_patients: int
    """Training patients that the grades are of."""
    mean_boxes: tuple[MeanBox, ...]
    """By question and side."""
    grades: tuple[TrainGrades, ...]
    """By question and component."""


class ReaderKappa(Record):
    """How far clinicians agree with each other on one component: a ceiling (RULES 20)."""

    feature: Feature
    """What is graded."""
    component: Component
    """The component."""
    part: str
    """`all`, or a bone."""
    weighting: str
    """`none`, `linear` or `quadratic`: how disagreements count."""
    kappa: float | None
    """Kappa of pairs of reads in this bench's store; None where there are none."""
    reason: str | None = None
    """Why there is none."""
    low: float | None = None
    """Lower end of its 95 % interval over patients; None without one."""
    high: float | None = None
    """Upper end."""
    no_interval: str | None = None
    """Why there is no interval."""
    n_pairs: int = 0
    """Pairs of reads of one component."""
    n_patients: int = 0
    """Patients with a pair, whatever their split."""
    published: float | None = None
    """Between-reader kappa of MOAKS' own paper; None where it names none."""
    published_source: str | None = None
    """Where that is from."""


class BenchManifest(Record):
    """What a bench is, and the hashes of its files."""

    format_version: int
    """`FORMAT_VERSION` of the program that wrote it."""
    bench_id: str
    """`sha256:` over the hashes of the other files; predictions are bound to it."""
    name: str
    """As the user called it."""
    files: dict[str, str]
    """File name to `sha256:<hex>`."""
    n_volumes: int
    """Volumes."""
    n_patients: int
    """Patients."""
    n_items: int
    """Items."""
    n_components: dict[str, int]
    """Components by part: `all` (read), `balanced`, `ambiguous`."""
    seed: int
    """Of the balanced part."""
    policies: tuple[str, ...]
    """Policies by which several reads became one."""
    definitions: tuple[str, ...]
    """`definition_id` of the regions, ascending."""
    synthetic: bool
    """Whether the knees are phantoms."""
    statements: tuple[str, ...]
    """What a reader of any figure must know, in sentences."""


class Setting(StrEnum):
    """How an item is put to a model; each is a prompt version of its own."""

    ZERO_SHOT = "zero_shot"
    """Question and scale, slices evenly spaced through the volume."""
    GUIDED = "guided"
    """With the reading protocol of the feature as well."""
    REGION_CROP = "region_crop"
    """Only slices through the box, cut around it."""
    GIVEN_BOX = "given_box"
    """The box in words, slices of the whole volume."""
    LOCALISE = "localise"
    """The box is asked for beside the grades."""


class BenchControl(StrEnum):
    """What a model scores without the knee that it is asked about (RULES 24)."""

    NONE = "none"
    NO_IMAGE = "no_image"
    OTHER_PATIENT_IMAGE = "other_patient_image"


class Coordinates(StrEnum):
    """In which numbers a model gives a box."""

    PIXELS_SENT = "pixels_sent"
    """Pixels of the pictures as they were sent; slices by the picture's number, 1, 2, …"""
    PER_MILLE = "per_mille"
    """0-1000 along each edge of a picture; slices by the picture's number."""
    VOXELS = "voxels"
    """Indices of the stored array; slices by the index that the picture shows."""


class AnswerStatus(StrEnum):
    """What became of an item; every one of them is a row."""

    ANSWERED = "answered"
    """Something could be read of the answer; a component that could not has its reason."""
    UNPARSED = "unparsed"
    """An answer came, and nothing could be read of it."""
    FAILED = "failed"
    """No answer came, after all retries."""


class PredictedGrade(Record):
    """One component as a model answered it."""

    component: Component
    """The component."""
    grade: int | None
    """The grade; None when none could be read. Never a default."""
    reason: str | None = None
    """Why there is none, `code: detail`; None with a grade."""

    @model_validator(mode="after")
    def validate_grade(self) -> Self:
        """Either a grade or a reason."""
        if (self.grade is None) == (self.reason is None):
            raise ValueError(f"grade {self.grade!r} with the reason {self.reason!r}")
        return self


class SentSlice(Record):
    """One picture that was sent."""

    plane: str
    """`sagittal`, `coronal` or `axial`."""
    index: int
    """Index along its stored axis."""
    sha256: str
    """Of the PNG."""


class Prediction(Record):
    """One line of `predictions.jsonl`."""

    item_id: str
    """`<volume_id>#<question_id>`."""
    status: AnswerStatus
    """What became of it."""
    grades: tuple[PredictedGrade, ...] = ()
    """Every component of the bench item, in its order; empty when failed."""
    box: Box3D | None = None
    """In the stored voxel frame; None unless the setting asks for one and it could be read."""
    box_reason: str | None = None
    """Why a box that was asked for could not be read, `code: detail`."""
    reasoning: str | None = None
    """What the model wrote before its grades; None without."""
    text: str = ""
    """The raw answer."""
    finish_reason: str | None = None
    """As the server gave it."""
    error: str | None = None
    """Of a failed item."""
    image_volume_id: str | None = None
    """The volume whose slices were sent; another patient's in that control, None without images."""
    slices: tuple[SentSlice, ...] = ()
    """What was sent, in order."""
    usage: Usage = Usage()
    """Tokens and latency."""

    @model_validator(mode="after")
    def validate_status(self) -> Self:
        """A failed item has an error and no grade; boxes are in voxels."""
        if (self.status is AnswerStatus.FAILED) != (self.error is not None):
            raise ValueError(f"status {self.status.value!r} with the error {self.error!r}")
        if self.status is AnswerStatus.FAILED and self.grades:
            raise ValueError("a failed item has no grades")
        if self.box is not None and self.box.frame is not Frame.VOXEL_IJK:
            raise ValueError("a predicted box is in the stored voxel frame")
        return self


class PredictionRun(Record):
    """`run.json`: what was asked of which model; the identity of a predictions folder."""

    format_version: int
    """`FORMAT_VERSION` of the program that wrote it."""
    bench_id: str
    """The bench that it answers."""
    model: str
    """Name as served."""
    licence: str
    """Of the model's weights."""
    setting: Setting
    """How items are put."""
    control: BenchControl
    """`none` for the real run."""
    prompt: PromptRef
    """The prompt version."""
    coordinates: Coordinates
    """In which numbers the model gives boxes."""
    images: str
    """How slices are chosen and drawn, as JSON; the same for all models that are compared."""
    sampling: dict[str, float | int | str]
    """As sent."""
    schema_constrained: bool
    """Whether answers were constrained by a JSON schema or read by the tolerant parser."""
    n_items: int
    """Items that were to be answered (a limit makes it smaller than the bench)."""
    limited_to: str | None = None
    """The selection, in words; None for the whole bench."""
    provenance: dict[str, str] = Field(default_factory=dict)
    """Commit, versions, base URL: not identity."""
