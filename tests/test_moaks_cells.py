import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee.grades import GradeStatus
from knee.moaks import Component
from tools.moaks_cells import CellGrade, code_of, is_unread, read_cell
from tools.moaks_variables import Variable, load_variables

VARIABLES = load_variables()
SIZE = VARIABLES["MBMSFMA"]
NUMBER = VARIABLES["MBMNFMA"]
CARTILAGE = VARIABLES["MCMFMC"]
MORPHOLOGY = VARIABLES["MMTMB"]
ACL = VARIABLES["MACLTR"]


def one(cell: str, variable: Variable = SIZE, *, is_follow_up: bool = False) -> CellGrade:
    (grade,) = read_cell(cell, variable, is_follow_up=is_follow_up).values()
    return grade


def pair(cell: str, *, is_follow_up: bool = False) -> tuple[CellGrade, CellGrade]:
    read = read_cell(cell, CARTILAGE, is_follow_up=is_follow_up)
    return read[Component.SIZE], read[Component.FULL_THICKNESS]


def read(grade: int) -> CellGrade:
    return CellGrade(GradeStatus.READ, grade)


def none(status: GradeStatus) -> CellGrade:
    return CellGrade(status)


@pytest.mark.parametrize(
    ("cell", "grade"),
    [
        ("0", 0),
        ("0: None", 0),
        ("2: 33-66%", 2),
        (" 3 : >66% ", 3),
        ("1.0", 1),
        ("1.00: <33%", 1),
        ("02", 2),
        ("+1", 1),
        ("2: text: with a colon", 2),
    ],
)
def test_code_and_text_are_told_apart(cell: str, grade: int):
    assert one(cell) == read(grade)


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("", GradeStatus.MISSING),
        ("   ", GradeStatus.MISSING),
        (".", GradeStatus.MISSING),
        (".: Missing Form/Incomplete Workbook", GradeStatus.MISSING),
        (".M: Missing", GradeStatus.MISSING),
        (".T: Technical problems", GradeStatus.MISSING),
        (".A: Not Expected", GradeStatus.NOT_READ_IN_PROJECT),
        (".a", GradeStatus.NOT_READ_IN_PROJECT),
        (".P: Knee replacement", GradeStatus.PROSTHESIS),
        ("4: no such grade", GradeStatus.OFF_SCALE),
        ("-2", GradeStatus.OFF_SCALE),
        ("-0", GradeStatus.OFF_SCALE),
        ("2.5", GradeStatus.OFF_SCALE),
        ("1e0", GradeStatus.OFF_SCALE),
        ("0x1", GradeStatus.OFF_SCALE),
        ("None", GradeStatus.OFF_SCALE),
        ("nan", GradeStatus.OFF_SCALE),
        (": None", GradeStatus.MISSING),
        ("²", GradeStatus.OFF_SCALE),
        ("٣", GradeStatus.OFF_SCALE),
        ("1 2", GradeStatus.OFF_SCALE),
        ("99999999999999999999", GradeStatus.OFF_SCALE),
    ],
)
def test_what_is_no_grade_has_a_status(cell: str, status: GradeStatus):
    assert one(cell) == none(status)


@pytest.mark.parametrize("cell", ["0.5", "-0.5", "-1", ".5", "-.5", "-1.0", "0.50: within-grade"])
def test_change_codes_are_kept_as_such_at_follow_up_only(cell: str):
    assert one(cell, is_follow_up=True) == none(GradeStatus.CHANGE_CODE)
    assert one(cell) == none(GradeStatus.OFF_SCALE)
    assert pair(cell, is_follow_up=True) == (none(GradeStatus.CHANGE_CODE),) * 2
    assert pair(cell) == (none(GradeStatus.OFF_SCALE),) * 2


@pytest.mark.parametrize(
    ("cell", "size", "full"),
    [
        ("0.0: None", 0, 0),
        ("0", 0, 0),
        ("1.0", 1, 0),
        ("1.1", 1, 1),
        ("2.0", 2, 0),
        ("2.1: 10-75% area, 1-10% full thickness", 2, 1),
        ("2.2", 2, 2),
        ("2.20", 2, 2),
        ("3.3", 3, 3),
        ("3.", 3, 0),
        ("2", 2, 0),
    ],
)
def test_cartilage_codes_split_on_the_text(cell: str, size: int, full: int):
    assert pair(cell) == (read(size), read(full))


@pytest.mark.parametrize(
    "cell",
    [
        "2.5",
        "1.2",
        "0.1",
        "3.4",
        "4.0",
        "2.11",
        "12.1",
        "2.1.1",
        "2.09",
        "2.0999",
        "-2.1",
        "1.9999999",
        "0.0000001",
        "3.3999999",
    ],
)
def test_impossible_cartilage_codes_are_off_scale_as_a_whole(cell: str):
    assert pair(cell) == (none(GradeStatus.OFF_SCALE),) * 2


@pytest.mark.parametrize(
    ("cell", "size", "full"),
    [
        ("2.0999999", 2, 1),
        ("2.0999999046325684", 2, 1),
        ("2.1000000000000001", 2, 1),
        ("1.10009765625: truncated to three bytes", 1, 1),
        ("3.2998046875", 3, 3),
        ("2.199999999", 2, 2),
    ],
)
def test_binary_fractions_of_sas_numbers_are_the_codes_they_stand_for(
    cell: str, size: int, full: int
):
    assert pair(cell) == (read(size), read(full))


@given(size=st.integers(1, 3), full=st.integers(1, 3), n_bytes=st.integers(3, 8))
def test_a_sas_number_of_any_length_is_read_as_its_code(size: int, full: int, n_bytes: int):
    if full > size:
        size, full = full, size
    big = struct.pack(">d", float(f"{size}.{full}"))
    (shortened,) = struct.unpack(">d", big[:n_bytes] + bytes(8 - n_bytes))
    assert pair(repr(shortened)) == (read(size), read(full))


def test_missing_cartilage_is_missing_in_both_components():
    assert pair(".: Missing") == (none(GradeStatus.MISSING),) * 2


def test_a_code_without_point_can_be_set_to_leave_full_thickness_missing():
    strict = CARTILAGE.model_copy(update={"whole_code_is_dot_zero": False})
    graded = read_cell("2", strict, is_follow_up=False)
    assert graded[Component.SIZE] == read(2)
    assert graded[Component.FULL_THICKNESS] == none(GradeStatus.MISSING)
    assert read_cell("2.0", strict, is_follow_up=False)[Component.FULL_THICKNESS] == read(0)


@pytest.mark.parametrize(("cell", "grade"), [("3", 3), ("4: 4 lesions", 3), ("11", 3), ("2", 2)])
def test_bml_counts_above_three_are_graded_three(cell: str, grade: int):
    assert one(cell, NUMBER) == read(grade)


def test_progressive_maceration_is_legal_at_follow_up_only():
    cell = "7: Progressive partial maceration"
    assert one(cell, MORPHOLOGY, is_follow_up=True) == read(7)
    assert one(cell, MORPHOLOGY) == none(GradeStatus.OFF_SCALE)
    assert one("8", MORPHOLOGY) == read(8)
    assert one("9", MORPHOLOGY, is_follow_up=True) == none(GradeStatus.OFF_SCALE)


def test_acl_code_2_is_off_scale_unless_it_is_recoded():
    assert one("1", ACL) == read(1)
    assert one("2", ACL) == none(GradeStatus.OFF_SCALE)
    recoded = ACL.model_copy(update={"recode": {"2": 1}})
    assert one("2: Partial", recoded) == read(1)


def test_unread_cells_are_told_from_read_ones():
    assert all(is_unread(cell) for cell in ("", ".", ".: x", ".A: x", ".T"))
    assert not any(is_unread(cell) for cell in ("0", ".5", ".P", "nonsense"))


CELLS = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[+-]?[0-9]{0,3}\.?[0-9]{0,3}(: .*)?", fullmatch=True),
    st.from_regex(r"\.[A-Z]?(: .*)?", fullmatch=True),
)
ZERO = re.compile(r"\+?0*\.?0*")


@given(cell=CELLS, stem=st.sampled_from(sorted(VARIABLES)), follow_up=st.booleans())
def test_no_cell_becomes_grade_0_unless_its_code_is_0(cell: str, stem: str, follow_up: bool):
    variable = VARIABLES[stem]
    code = code_of(cell)
    is_zero = bool(ZERO.fullmatch(code)) and "0" in code
    for component, graded in read_cell(cell, variable, is_follow_up=follow_up).items():
        assert (graded.grade is None) == (graded.status is not GradeStatus.READ)
        if component is Component.FULL_THICKNESS:
            # "2.0", and "2", which is the same number: zero after the point, size before it.
            # Six decimals or more may be a float that was printed; none of those is near zero.
            says_zero = bool(re.fullmatch(r"\+?0*[0-3](\.0*)?|\+?\.0+", code))
        else:
            says_zero = is_zero
        assert (graded.grade == 0) == says_zero


@given(cell=CELLS, stem=st.sampled_from(sorted(VARIABLES)), follow_up=st.booleans())
def test_every_grade_is_on_its_scale(cell: str, stem: str, follow_up: bool):
    variable = VARIABLES[stem]
    graded = read_cell(cell, variable, is_follow_up=follow_up)
    assert set(graded) == set(variable.components)
    for component, grade in graded.items():
        assert grade.grade is None or grade.grade in variable.scale(component).grades
