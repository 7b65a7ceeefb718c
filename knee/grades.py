"""Clinicians' grades: per component, with a status, because missing is never 0."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from knee.moaks import Component


class GradeStatus(StrEnum):
    """What the table says of one component (CONTRACTS, "Components")."""

    READ = "read"
    MISSING = "missing"
    OFF_SCALE = "off_scale"
    CHANGE_CODE = "change_code"
    CONFLICT = "conflict"
    NOT_READ_IN_PROJECT = "not_read_in_project"
    PROSTHESIS = "prosthesis"


class ClinicianGrade(BaseModel):
    """One component of one question in one knee-visit, as a clinician read it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: str
    """Patient id as in the table."""
    visit: str
    """`V00`…"""
    side: str
    """`right` or `left`."""
    question_id: int
    """1-69."""
    component: Component
    """The component."""
    status: GradeStatus
    """Only `read` carries a grade."""
    grade: int | None
    """The grade; None unless the status is `read`."""
    raw: tuple[str, ...]
    """The cells as they stand in the table, one for each row read."""
    variable: str
    """The table's column."""
    file: str
    """The table's file name."""
    lines: tuple[int, ...]
    """1-based line of each row read."""
    readprj: tuple[str, ...]
    """Reading project of each row."""
    version: tuple[str, ...]
    """VERSION of each row."""

    @model_validator(mode="after")
    def validate_grade(self) -> Self:
        """A grade is there if and only if it was read."""
        if (self.status is GradeStatus.READ) != (self.grade is not None):
            raise ValueError(f"status {self.status.value!r} with grade {self.grade!r}")
        return self
