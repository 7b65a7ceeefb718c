"""Records of the released data set: made by tools, kept by the store, never mixed with our own.

Its reasoning is a template by (question, grade), not a clinician's on the patient; its grades may
stand for reads that are missing. Both are said in every row.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from knee.geometry import Box3D
from knee.moaks import Component
from knee.splits import Split


class LabelFlag(StrEnum):
    """What the label table says against a released grade."""

    ZERO_FOR_MISSING = "zero_for_missing"
    """Released as 0, and nothing was read: a silent zero."""
    GRADE_FOR_MISSING = "grade_for_missing"
    """Released as another grade, and nothing was read."""
    GRADE_FOR_OFF_SCALE = "grade_for_off_scale"
    """Released as a grade, and what was read is none."""
    CONFLICT = "conflict"
    """One of several reads that differ."""
    DIFFERS = "differs"
    """None of the reads."""


class LabelStatus(StrEnum):
    """What the label table's reads of a component come to."""

    READ = "read"
    MISSING = "missing"
    OFF_SCALE = "off_scale"
    CONFLICT = "conflict"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReleasedVolume(_Record):
    """One row of the split files."""

    volume_id: str
    """`<patient>/<visit>/<side>/dess`."""
    patient: str
    """Patient id."""
    visit: str
    """From the release's time."""
    side: str
    """`right` or `left`."""
    split: Split
    """As released."""
    image: str
    """Path in the split file."""
    label_map: str
    """Path in the split file."""


class ReleasedGrade(_Record):
    """One component of a released item."""

    component: Component
    """The component."""
    grade: int | None
    """As released; None when it could not be mapped."""
    problem: str | None
    """Why there is no grade."""
    label_status: LabelStatus | None = None
    """What the label table says; None when it is not there."""
    label_grades: tuple[int, ...] | None = None
    """Different grades of its reads, ascending."""
    flag: LabelFlag | None = None
    """What it says against the grade."""


class ReleasedItem(_Record):
    """One released (volume, question)."""

    volume_id: str
    """The volume."""
    question_id: int
    """1-69."""
    text: str | None
    """The reasoning: a template by grade."""
    raw_answer: str
    """The part that holds the grades."""
    raw_box: tuple[int, ...] | None
    """Six numbers as released."""
    box: Box3D | None
    """Voxel box in the array of the release's masks; None unless the order is verified."""
    box_reason: str | None
    """Why there is no box."""
    problems: tuple[str, ...]
    """What could not be mapped or is odd, `code: detail`."""
    grades: tuple[ReleasedGrade, ...]
    """All components of the question, in MOAKS' order."""
    file: str
    """File name."""
    position: int
    """Place in the file, from 0."""


class ReleasedHeader(_Record):
    """What is said of a whole import."""

    source: str
    """Mark of the rows."""
    licence: str
    """Licence of the data."""
    author: str
    """Who wrote the reasoning."""
    folder: str
    """Where it was read from."""
    layout_version: int
    """Version of the assumptions."""
    content_sha256: str
    """Over the files that were read."""
    box_order: str | None
    """Verified order, in words; None when it was not verified."""
    box_overlap: float | None
    """Least median IoU of the groups verified."""
