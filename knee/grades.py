"""Clinicians' grades: per component, with a status, because missing is never 0.

A knee-visit may have been read several times, in other projects (READPRJ) or versions. What each
read said stays with the grade, and so does the policy by which the reads became one.
"""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from knee.errors import InputError
from knee.moaks import Component

_ANY = "*"
"""Ends a name of the project order that stands for all that begin alike."""


class GradeStatus(StrEnum):
    """What the table says of one component (CONTRACTS, "Components")."""

    READ = "read"
    MISSING = "missing"
    OFF_SCALE = "off_scale"
    CHANGE_CODE = "change_code"
    CONFLICT = "conflict"
    NOT_READ_IN_PROJECT = "not_read_in_project"
    PROSTHESIS = "prosthesis"


class ReadsPolicyKind(StrEnum):
    """How several reads of one knee-visit become one grade, for each component by itself."""

    AGREE_OR_CONFLICT = "agree_or_conflict"
    """The grade that all reads with a grade gave, else a conflict."""
    PROJECT_PRIORITY = "project_priority"
    """What the first project in a given order says that says anything."""
    MOST_COMPLETE = "most_complete"
    """What the read with the most grades in that knee-visit says, of those that say anything."""


class ReadsPolicy(BaseModel):
    """A policy with its order of projects; `str()` gives the form that options and stores use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ReadsPolicyKind = ReadsPolicyKind.AGREE_OR_CONFLICT
    """How reads become one."""
    projects: tuple[str, ...] = ()
    """READPRJ from the most trusted to the least; `63*` is every project that begins with 63, and
    `*` every other one. Only for `project_priority`."""

    @model_validator(mode="after")
    def validate_projects(self) -> Self:
        """An order is there if and only if the policy is about projects."""
        wants = self.kind is ReadsPolicyKind.PROJECT_PRIORITY
        if wants != bool(self.projects):
            raise ValueError(f"{self.kind.value!r} with the projects {self.projects!r}")
        if len(set(self.projects)) != len(self.projects) or "" in self.projects:
            raise ValueError(f"the projects {self.projects!r} repeat a name or have an empty one")
        return self

    def __str__(self) -> str:
        return ":".join((self.kind.value, *((",".join(self.projects),) if self.projects else ())))

    def rank(self, project: str) -> int | None:
        """Returns a project's place in the order, 0 first; None when the order does not name it."""
        for place, name in enumerate(self.projects):
            if project == name or (name.endswith(_ANY) and project.startswith(name[:-1])):
                return place
        return None


def parse_reads_policy(text: str) -> ReadsPolicy:
    """Returns the policy of `agree_or_conflict`, `most_complete` or `project_priority:22,30,65`.

    Raises:
        InputError: no such policy, or an order that is missing, not wanted or repeats a project.

    Example:
        >>> str(parse_reads_policy("project_priority:22, 30, 63*"))
        'project_priority:22,30,63*'
    """
    kind, _, order = text.partition(":")
    projects = tuple(name.strip() for name in order.split(",")) if order.strip() else ()
    hint = (
        "agree_or_conflict, most_complete, or project_priority:22,30,63*,* (first is trusted most)"
    )
    if kind.strip() not in tuple(ReadsPolicyKind):
        raise InputError(f"{text!r} is no policy for several reads", hint)
    try:
        return ReadsPolicy(kind=ReadsPolicyKind(kind.strip()), projects=projects)
    except ValueError as error:
        raise InputError(f"{text!r} is no policy for several reads", hint) from error


class ClinicianGrade(BaseModel):
    """One component of one question in one knee-visit, as clinicians read it."""

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
    """The table's file name; several are joined by `; `."""
    lines: tuple[int, ...]
    """1-based line of each row read."""
    readprj: tuple[str, ...]
    """Reading project of each row."""
    version: tuple[str, ...]
    """VERSION of each row."""
    policy: str = Field(default=ReadsPolicyKind.AGREE_OR_CONFLICT.value)
    """How the reads became one: `str()` of the ReadsPolicy."""
    read_files: tuple[str, ...] = ()
    """File name of each row read; this and the next three are empty where they were not kept."""
    read_status: tuple[GradeStatus, ...] = ()
    """What each read says by itself."""
    read_grades: tuple[int | None, ...] = ()
    """The grade that each read gives; None unless its status is `read`."""
    taken: tuple[bool, ...] = ()
    """Which reads the grade was taken from; the others were set aside."""

    @model_validator(mode="after")
    def validate_grade(self) -> Self:
        """A grade is there if and only if it was read, by the whole and by each read."""
        for status, grade in (
            (self.status, self.grade),
            *zip(self.read_status, self.read_grades, strict=False),
        ):
            if (status is GradeStatus.READ) != (grade is not None):
                raise ValueError(f"status {status.value!r} with grade {grade!r}")
        return self

    @model_validator(mode="after")
    def validate_reads(self) -> Self:
        """What is kept of each read is kept of all of them."""
        n_reads = len(self.raw)
        for name in ("read_files", "read_status", "read_grades", "taken"):
            n = len(getattr(self, name))
            if n not in (0, n_reads):
                raise ValueError(f"{n} {name} for {n_reads} reads")
        return self

    @property
    def distinct_grades(self) -> tuple[int, ...]:
        """The grades that the reads gave, each once, ascending."""
        return tuple(sorted({grade for grade in self.read_grades if grade is not None}))

    @property
    def is_ambiguous(self) -> bool:
        """Whether reads gave different grades, whatever the policy then made of them (RULES 20)."""
        return len(self.distinct_grades) > 1

    @property
    def reads_differ(self) -> bool:
        """Whether reads gave different grades, or one a grade and another a prosthesis.

        A prosthesis is no grade, so that the second kind has no pair for a kappa; but it is a
        conflict, and nobody may overlook it.
        """
        has_prosthesis = GradeStatus.PROSTHESIS in self.read_status
        return self.is_ambiguous or (has_prosthesis and bool(self.distinct_grades))
