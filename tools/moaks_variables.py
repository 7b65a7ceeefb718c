"""Which column of a MOAKS table holds which component (`moaks_variables.toml`).

Names that are confirmed are fixed. For the others a user can give a file of the same form with the
names of the own copy; it may also say how the codes of any column are read (`cap`, `recode`,
`whole_code_is_dot_zero`), but not give a confirmed name another meaning.
"""

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from knee.errors import InputError
from knee.moaks import SCALES, Component, ComponentScale, Feature
from knee.questions import question_by_region

VARIABLES_FILE = Path(__file__).parent / "moaks_variables.toml"
"""The names that come with the pipeline."""


class StemStatus(StrEnum):
    """How sure it is that OAI's files use a name."""

    CONFIRMED = "confirmed"
    ASSUMED = "assumed"
    SET_BY_USER = "set_by_user"


class CodeEncoding(StrEnum):
    """How a cell's code carries the grade."""

    GRADE = "grade"
    """The code is the grade."""
    SIZE_DOT_FULL_THICKNESS = "size_dot_full_thickness"
    """`a.f`: size before the point, full thickness after it."""


class Variable(BaseModel):
    """One column of the table, by its stem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stem: str
    """Column name without its `Vxx` prefix, upper case."""
    question_id: int
    """1-69."""
    feature: Feature
    """The question's feature."""
    components: tuple[Component, ...]
    """What the code grades: one component, or size and full thickness."""
    status: StemStatus
    """Whether the name is confirmed."""
    encoding: CodeEncoding = CodeEncoding.GRADE
    """How the code is read."""
    cap: int | None = None
    """Codes above it are graded as it."""
    recode: dict[str, int] = {}
    """Further legal codes (as written, without decimals) and their grades."""
    whole_code_is_dot_zero: bool = True
    """For `a.f` codes: whether `2` means `2.0`."""

    @model_validator(mode="after")
    def validate_components(self) -> Self:
        """Refuses components that the feature does not have."""
        wanted = 2 if self.encoding is CodeEncoding.SIZE_DOT_FULL_THICKNESS else 1
        if len(self.components) != wanted:
            raise ValueError(f"{self.stem}: {self.encoding.value!r} has {wanted} component(s)")
        for component in self.components:
            if (self.feature, component) not in SCALES:
                raise ValueError(f"{self.stem}: {self.feature.value} has no {component.value!r}")
        self._validate_recode()
        return self

    def _validate_recode(self) -> None:
        """Codes are whole numbers as written, and become grades of the scale."""
        if self.recode and self.encoding is not CodeEncoding.GRADE:
            raise ValueError(f"{self.stem}: {self.encoding.value!r} cannot be recoded")
        for code, grade in self.recode.items():
            legal = self.scale(self.components[0]).grades
            if not (code.isascii() and code.isdecimal()) or grade not in legal:
                raise ValueError(f"{self.stem}: recode {code!r} = {grade!r} is not on its scale")

    def scale(self, component: Component) -> ComponentScale:
        """Returns the scale of one of the variable's components."""
        return SCALES[self.feature, component]


class _Group(BaseModel):
    """One `[[group]]` of the file: variables that differ by their site alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    feature: Feature
    components: tuple[Component, ...]
    status: StemStatus
    encoding: CodeEncoding = CodeEncoding.GRADE
    cap: int | None = None
    recode: dict[str, int] = {}
    whole_code_is_dot_zero: bool = True
    sites: dict[str, str]

    def variables(self) -> list[Variable]:
        shared = self.model_dump(exclude={"prefix", "sites"})
        return [
            Variable(
                stem=(self.prefix + code).upper(),
                question_id=question_by_region(f"{self.feature.value}:{site}").question_id,
                **shared,
            )
            for code, site in self.sites.items()
        ]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    group: tuple[_Group, ...]


def load_variables(user_file: Path | None = None) -> dict[str, Variable]:
    """Returns stem to variable, in the order of question id and component.

    Args:
        user_file: names that replace the assumed ones, component by component; None for none.

    Raises:
        InputError: the file is missing, is not of the expected form, names a stem twice, gives one
            component of a question two columns, or changes a confirmed name.
    """
    variables = _read_variables(VARIABLES_FILE)
    if user_file is not None:
        given = [
            variable.model_copy(update={"status": StemStatus.SET_BY_USER})
            for variable in _read_variables(user_file)
        ]
        variables = _override(variables, given, user_file)
    variables.sort(key=lambda v: (v.question_id, list(Component).index(v.components[0])))
    return {variable.stem: variable for variable in variables}


def _read_variables(path: Path) -> list[Variable]:
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        variables = [variable for group in file.group for variable in group.variables()]
    except FileNotFoundError as error:
        raise InputError(f"there is no file {str(path)!r}", "check the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{str(path)!r} is not TOML: {error}", "mend the file") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{str(path)!r} does not describe MOAKS variables: {where}: {problem['msg']}",
            f"its form is that of {VARIABLES_FILE.name}",
        ) from error
    _refuse_repeats(variables, path)
    return variables


def _override(known: list[Variable], given: list[Variable], path: Path) -> list[Variable]:
    """The known variables with those of the user's file in the place of what they replace."""
    confirmed = {v.stem: v for v in known if v.status is StemStatus.CONFIRMED}
    owners = {(v.question_id, c): v for v in confirmed.values() for c in v.components}
    for variable in given:
        fixed = confirmed.get(variable.stem)
        if fixed is None:
            taken = [owners.get((variable.question_id, c)) for c in variable.components]
            fixed = next((owner for owner in taken if owner is not None), None)
        if fixed is not None and (fixed.stem, fixed.question_id, fixed.components) != (
            variable.stem,
            variable.question_id,
            variable.components,
        ):
            raise InputError(
                f"{str(path)!r} gives {_told(variable)}, but {_told(fixed)} is confirmed",
                "confirmed names are fixed; give names for the assumed ones alone",
            )
    renewed = {(v.question_id, component) for v in given for component in v.components}
    kept = [
        variable
        for variable in known
        if not any(
            (variable.question_id, component) in renewed for component in variable.components
        )
    ]
    both = [*kept, *given]
    _refuse_repeats(both, path)
    return both


def _told(variable: Variable) -> str:
    components = " and ".join(component.value for component in variable.components)
    return f"{variable.stem!r} as {components} of question {variable.question_id}"


def _refuse_repeats(variables: list[Variable], path: Path) -> None:
    stems: set[str] = set()
    graded: dict[tuple[int, Component], str] = {}
    for variable in variables:
        if variable.stem in stems:
            raise InputError(f"{str(path)!r} names {variable.stem!r} twice", "keep one of them")
        stems.add(variable.stem)
        for component in variable.components:
            other = graded.setdefault((variable.question_id, component), variable.stem)
            if other != variable.stem:
                raise InputError(
                    f"{str(path)!r} gives {component.value!r} of question "
                    f"{variable.question_id!r} to both {other!r} and {variable.stem!r}",
                    "one component has one column",
                )
