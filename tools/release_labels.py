"""The release's label tables, to hold its grades against: was this read at all?

They are OAI's MOAKS tables as CSV, the cartilage code split into two columns (`V00MCMPM` and
`V00MCMPM.1`). Stems are those of `moaks_variables.toml`. A knee-visit may have several rows.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from knee.errors import InputError
from knee.moaks import Component, ComponentScale
from knee.questions import QUESTIONS
from knee.released import LabelFlag, LabelStatus
from tools.cohort import list_problems
from tools.moaks_variables import CodeEncoding, Variable, load_variables
from tools.release_files import assumption_fails
from tools.release_layout import ReleaseLayout, load_layout

_CODE = re.compile(r"(\d{1,4})(?:\.0*)?")
_PAIR = re.compile(r"(\d)\.(\d)0*")
_MISSING = frozenset({"", "nan", "null", "none", "na", "n/a"})

_Target = tuple[int, Component]


class LabelCompared(NamedTuple):
    """What the label tables say of one released grade."""

    status: LabelStatus
    """Of the component."""
    grades: tuple[int, ...]
    """Different grades of the reads, ascending."""
    flag: LabelFlag | None
    """What they say against the released grade."""


class _Column(NamedTuple):
    position: int
    target: _Target
    part: int | None
    """0 or 1: this part of an `a.f` code; None for the code itself."""


class LabelTables:
    """All rows of the label tables by knee-visit."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str], dict[_Target, list[str | int]]] = {}
        self.files: list[Path] = []
        self.n_rows = 0

    def compare(
        self, knee_visit: tuple[str, str, str], target: _Target, grade: int | None
    ) -> LabelCompared | None:
        """Returns what the tables say of a grade; None when they have no such cell.

        Args:
            knee_visit: patient, visit, side.
            target: question id and component.
            grade: the released grade, None when it could not be mapped.
        """
        cells = self._cells.get(knee_visit, {}).get(target)
        if not cells:
            return None
        grades = tuple(sorted({cell for cell in cells if isinstance(cell, int)}))
        if not grades:
            is_off = LabelStatus.OFF_SCALE.value in cells
            status = LabelStatus.OFF_SCALE if is_off else LabelStatus.MISSING
            return LabelCompared(status, (), _flag_unread(grade, is_off=is_off))
        status = LabelStatus.READ if len(grades) == 1 else LabelStatus.CONFLICT
        flag: LabelFlag | None = None
        if grade is not None and grade not in grades:
            flag = LabelFlag.DIFFERS
        elif status is LabelStatus.CONFLICT:
            flag = LabelFlag.CONFLICT
        return LabelCompared(status, grades, flag)

    def add(self, path: Path, visit: str) -> None:
        """Adds one table.

        Raises:
            InputError: it cannot be read, lacks a column, or has rows without patient or side.
        """
        layout = load_layout()
        problems: list[str] = []
        try:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                reader = csv.reader(file)
                header = [cell.strip() for cell in next(reader, [])]
                who = _who(header, path, layout)
                _refuse_repeats(header, path)
                columns = _columns(header, visit, layout)
                if not columns:
                    raise assumption_fails(
                        f"{path.name!r} has no column of a MOAKS variable at {visit}",
                        "[files] labels",
                    )
                for cells in reader:
                    problem = self._add_row(cells, who, visit, columns, layout)
                    if problem is not None:
                        problems.append(f"line {reader.line_num}: {problem}")
        except (OSError, csv.Error) as error:
            raise InputError(f"{str(path)!r} cannot be read: {error}", "check the file") from error
        if problems:
            raise InputError(
                f"label table {str(path)!r} has {list_problems(problems)}",
                "every row needs a patient and a side",
            )
        self.files.append(path)

    def _add_row(
        self,
        cells: list[str],
        who: tuple[int, int],
        visit: str,
        columns: Iterable[_Column],
        layout: ReleaseLayout,
    ) -> str | None:
        if not any(cell.strip() for cell in cells):
            return None
        if len(cells) <= max(who):
            return f"{len(cells)} cells"
        patient = cells[who[0]].strip().removesuffix(".0")
        code = cells[who[1]].partition(":")[0].strip().upper().removesuffix(".0")
        side = layout.sides.get(code)
        if not patient or side is None:
            return f"patient {patient!r}, side {cells[who[1]]!r}"
        self.n_rows += 1
        row = self._cells.setdefault((patient, visit, side.value), {})
        for column in columns:
            text = cells[column.position] if column.position < len(cells) else ""
            scale = QUESTIONS[column.target[0]].scale(column.target[1])
            row.setdefault(column.target, []).append(_read(text, column.part, scale))
        return None


def read_labels(root: Path) -> LabelTables:
    """Returns the label tables of a release; without any, no grade is compared.

    Raises:
        InputError: a table is not as assumed.
    """
    layout = load_layout()
    tables = LabelTables()
    folder = root / layout.folders.labels
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = re.fullmatch(layout.files.labels, path.name)
        if match is not None:
            tables.add(path, f"V{match[1]}")
    return tables


def _who(header: list[str], path: Path, layout: ReleaseLayout) -> tuple[int, int]:
    names = [name.upper() for name in header]
    wanted = (layout.label_columns.patient, layout.label_columns.side)
    for name in wanted:
        if name.upper() not in names:
            raise assumption_fails(
                f"{path.name!r} has no column {name!r}; it begins with {header[:10]!r}",
                "[label_columns]",
            )
    return names.index(wanted[0].upper()), names.index(wanted[1].upper())


def _refuse_repeats(header: list[str], path: Path) -> None:
    """Two columns of one name: which is the size, and which the full thickness, is not said."""
    names = [name.upper() for name in header if name]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise assumption_fails(
            f"{path.name!r} has the column {repeated!r} {names.count(repeated)} times",
            "[label_columns] full_thickness_suffix",
        )


def _columns(header: list[str], visit: str, layout: ReleaseLayout) -> list[_Column]:
    positions = {name.upper(): index for index, name in enumerate(header)}
    suffix = layout.label_columns.full_thickness_suffix.upper()
    columns: list[_Column] = []
    for stem, variable in load_variables().items():
        name = next((n for n in (f"{visit}{stem}", stem) if n in positions), None)
        if name is not None:
            columns += _columns_of(variable, positions[name], positions.get(name + suffix))
    return columns


def _columns_of(variable: Variable, index: int, second: int | None) -> list[_Column]:
    targets = [(variable.question_id, component) for component in variable.components]
    if variable.encoding is not CodeEncoding.SIZE_DOT_FULL_THICKNESS:
        return [_Column(index, targets[0], None)]
    if second is None:
        return [_Column(index, targets[0], 0), _Column(index, targets[1], 1)]
    return [_Column(index, targets[0], None), _Column(second, targets[1], None)]


def _read(text: str, part: int | None, scale: ComponentScale) -> int | str:
    """A grade, or the status `missing` or `off_scale`."""
    code = text.partition(":")[0].strip()
    if code.casefold() in _MISSING or code.startswith("."):
        return LabelStatus.MISSING.value
    match = _CODE.fullmatch(code) if part is None else _PAIR.fullmatch(code)
    if match is None and part is not None and (whole := _CODE.fullmatch(code)) is not None:
        number = int(whole[1]) if part == 0 else 0
    elif match is None:
        return LabelStatus.OFF_SCALE.value
    else:
        number = int(match[1 if part is None else part + 1])
    if scale.component is Component.NUMBER:
        number = min(number, max(scale.grades))
    return number if number in scale.wording else LabelStatus.OFF_SCALE.value


def _flag_unread(grade: int | None, *, is_off: bool) -> LabelFlag | None:
    if grade is None:
        return None
    if is_off:
        return LabelFlag.GRADE_FOR_OFF_SCALE
    return LabelFlag.ZERO_FOR_MISSING if grade == 0 else LabelFlag.GRADE_FOR_MISSING
