"""One cell of a MOAKS table: from its text to grades with a status.

A cell is `code` or `code: text`; only the code counts, and it is read as text: no number passes
through a float, so that `2.1` is size 2 and full thickness 1, and nothing else.

    ``.``, empty, ``.M…``, ``.T…``  missing (`.T` is technical)
    ``.A``                        not read in this project ("not expected")
    ``.P``                        prosthesis: informative, not missing (RULES 20)
    ``0.5``, ``-0.5``, ``-1``     change within a grade: legal at follow-up only, never a grade
    a whole number on the scale   read
    anything else                 off-scale

An `a.f` code is off-scale as a whole when either part is off its scale or f > a: which of the two
is the slip of the pen cannot be known. A code with six decimals or more that lies within 0.001 of
an `a.f` with f > 0 is a binary fraction of a SAS number (`2.0999999046` is 2.1), and is read as
that; one near a whole number is not, for whole numbers have no such fractions. The special codes
are documented for OAI's X-ray readings (kXR_SQ_BU); that the MRI readings use them is assumed.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from knee.grades import GradeStatus
from knee.moaks import Component
from tools.moaks_variables import CodeEncoding, Variable

_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?")
_SPECIAL = re.compile(r"\.([A-Za-z_]?)")
_SPECIAL_STATUS = {
    "A": GradeStatus.NOT_READ_IN_PROJECT,
    "P": GradeStatus.PROSTHESIS,
}
"""SAS special missing letters that are not just missing."""
_CHANGE_CODES = {("", "0", "5"), ("-", "0", "5"), ("-", "1", "")}
"""(sign, whole part, decimals without trailing zeros): 0.5, -0.5, -1 (FACTS 3.1)."""
_FRACTION_DECIMALS = 6
"""No hand writes a code with so many decimals; a float that was printed has them."""
_FRACTION_TOLERANCE = Decimal("0.001")
"""SAS may keep a number in 3 bytes: 12 bits of mantissa, an error below 2^-12 of it."""
_FOLLOW_UP_MORPHOLOGY = 7
"""Progressive partial maceration: needs an earlier visit."""


@dataclass(frozen=True, slots=True)
class CellGrade:
    """What one cell says of one component; the grade is None unless the status is `read`."""

    status: GradeStatus
    grade: int | None = None


def code_of(cell: str) -> str:
    """Returns the code of a `code: text` cell, without white space.

    Example:
        >>> code_of("2.1: 10-75% area, 1-10% full thickness")
        '2.1'
    """
    return cell.partition(":")[0].strip()


def is_unread(cell: str) -> bool:
    """Returns whether a cell says that nobody read it: empty, or a missing code but `.P`."""
    return _special_status(code_of(cell)) not in (None, GradeStatus.PROSTHESIS)


def read_cell(cell: str, variable: Variable, *, is_follow_up: bool) -> dict[Component, CellGrade]:
    """Returns what a cell says of each component of its variable.

    Args:
        cell: the text as it stands in the table.
        variable: what the column holds.
        is_follow_up: whether the visit is after baseline.
    """
    code = code_of(cell)
    special = _special_status(code)
    if special is not None:
        return _same(variable, special)
    number = _split_number(code)
    if number is None:
        return _same(variable, GradeStatus.OFF_SCALE)
    if number in _CHANGE_CODES:
        return _same(variable, GradeStatus.CHANGE_CODE if is_follow_up else GradeStatus.OFF_SCALE)
    sign, whole, decimals = number
    if sign == "-":
        return _same(variable, GradeStatus.OFF_SCALE)
    if variable.encoding is CodeEncoding.SIZE_DOT_FULL_THICKNESS:
        return _read_size_dot_full_thickness(variable, whole, decimals, has_point="." in code)
    if decimals:
        return _same(variable, GradeStatus.OFF_SCALE)
    component = variable.components[0]
    return {component: _read_grade(variable, component, whole, is_follow_up=is_follow_up)}


def _same(variable: Variable, status: GradeStatus) -> dict[Component, CellGrade]:
    return {component: CellGrade(status) for component in variable.components}


def _special_status(code: str) -> GradeStatus | None:
    """Status of an empty cell and of SAS's missing codes, None for anything else."""
    if not code:
        return GradeStatus.MISSING
    match = _SPECIAL.fullmatch(code)
    if match is None:
        return None
    return _SPECIAL_STATUS.get(match[1].upper(), GradeStatus.MISSING)


def _split_number(code: str) -> tuple[str, str, str] | None:
    """(sign, whole part, decimals without trailing zeros) of a number, None for other text."""
    match = _NUMBER.fullmatch(code)
    if match is None or not code.isascii() or not (match[2] or match[3]):
        return None
    whole = match[2].lstrip("0") or "0"
    decimals = (match[3] or "").rstrip("0")
    return ("-" if match[1] == "-" else "", whole, decimals)


def _read_grade(
    variable: Variable, component: Component, whole: str, *, is_follow_up: bool
) -> CellGrade:
    if whole in variable.recode:
        return CellGrade(GradeStatus.READ, variable.recode[whole])
    grade = int(whole) if len(whole) < 9 else 10**9
    if variable.cap is not None:
        grade = min(grade, variable.cap)
    if grade not in variable.scale(component).wording:
        return CellGrade(GradeStatus.OFF_SCALE)
    if component is Component.MORPHOLOGY and grade == _FOLLOW_UP_MORPHOLOGY and not is_follow_up:
        return CellGrade(GradeStatus.OFF_SCALE)
    return CellGrade(GradeStatus.READ, grade)


def _read_size_dot_full_thickness(
    variable: Variable, whole: str, decimals: str, *, has_point: bool
) -> dict[Component, CellGrade]:
    size, full_thickness = variable.components
    if len(decimals) >= _FRACTION_DECIMALS:
        whole, decimals = _without_binary_fraction(whole, decimals)
    full_code = decimals or "0"
    legal = (
        len(whole) == len(full_code) == 1
        and int(whole) in variable.scale(size).wording
        and int(full_code) in variable.scale(full_thickness).wording
        and int(full_code) <= int(whole)
    )
    if not legal:
        return _same(variable, GradeStatus.OFF_SCALE)
    read = {
        size: CellGrade(GradeStatus.READ, int(whole)),
        full_thickness: CellGrade(GradeStatus.READ, int(full_code)),
    }
    # Size 0 leaves nothing to ask: no loss is no full-thickness loss, however it is written.
    if not has_point and whole != "0" and not variable.whole_code_is_dot_zero:
        read[full_thickness] = CellGrade(GradeStatus.MISSING)
    return read


def _without_binary_fraction(whole: str, decimals: str) -> tuple[str, str]:
    """`("2", "0999999046")` → `("2", "1")`; as it is where it is not near an `a.f` with f > 0."""
    value = Decimal(f"{whole}.{decimals}")
    tenths = (value * 10).to_integral_value(ROUND_HALF_EVEN)
    near = abs(value - tenths / 10) < _FRACTION_TOLERANCE
    if not near or tenths % 10 == 0 or len(whole) > 1:
        return whole, decimals
    return str(int(tenths) // 10), str(int(tenths) % 10)
