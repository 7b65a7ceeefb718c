from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee.errors import InputError
from knee.grades import GradeStatus, ReadsPolicy, ReadsPolicyKind, parse_reads_policy
from tools.moaks_cells import CellGrade
from tools.moaks_policy import join_reads

MISSING = CellGrade(GradeStatus.MISSING)
PROSTHESIS = CellGrade(GradeStatus.PROSTHESIS)
CONFLICT = CellGrade(GradeStatus.CONFLICT)
OFF = CellGrade(GradeStatus.OFF_SCALE)


def read(grade: int) -> CellGrade:
    return CellGrade(GradeStatus.READ, grade)


@pytest.mark.parametrize(
    ("cells", "ranks", "joined", "taken"),
    [
        ([read(0)], [0], read(0), [True]),
        ([MISSING], [0], MISSING, [False]),
        ([PROSTHESIS], [0], PROSTHESIS, [True]),
        ([read(1), read(1), MISSING], [0, 0, 0], read(1), [True, True, False]),
        ([read(1), read(2)], [0, 0], CONFLICT, [False, False]),
        ([read(1), read(2)], [1, 0], read(2), [False, True]),
        ([read(1), MISSING], [1, 0], read(1), [True, False]),
        ([read(1), OFF], [1, 0], read(1), [True, False]),
        ([read(1), PROSTHESIS], [1, 0], PROSTHESIS, [False, True]),
        ([read(1), PROSTHESIS], [0, 0], CONFLICT, [False, False]),
        ([read(1), read(2), read(1)], [0, 0, 1], CONFLICT, [False, False, False]),
        ([read(1), read(1)], [0, 1], read(1), [True, False]),
        ([OFF, MISSING], [1, 0], OFF, [False, False]),
    ],
)
def test_reads_together(
    cells: Sequence[CellGrade], ranks: list[int], joined: CellGrade, taken: list[bool]
):
    found = join_reads(cells, ranks)
    assert (found.cell, list(found.taken)) == (joined, taken)


CELLS = st.one_of(
    st.integers(0, 3).map(read),
    st.sampled_from(
        [s for s in GradeStatus if s not in (GradeStatus.READ, GradeStatus.CONFLICT)]
    ).map(CellGrade),
)


@given(st.lists(st.tuples(CELLS, st.integers(0, 2)), min_size=1, max_size=6))
def test_a_joined_grade_was_given_by_every_read_that_it_was_taken_from(
    reads: list[tuple[CellGrade, int]],
):
    cells, ranks = [c for c, _ in reads], [r for _, r in reads]
    cell, taken = join_reads(cells, ranks)
    assert all(c == cell for c, was in zip(cells, taken, strict=True) if was)
    if cell.status is GradeStatus.READ:
        assert any(taken)
        # No grade out of nothing, above all no 0 that nobody read.
        assert cell.grade in {c.grade for c in cells if c.status is GradeStatus.READ}
    else:
        assert cell.grade is None


@given(st.lists(st.tuples(CELLS, st.integers(0, 2)), min_size=1, max_size=6))
def test_the_order_of_rows_says_nothing(reads: list[tuple[CellGrade, int]]):
    forward = join_reads([c for c, _ in reads], [r for _, r in reads])
    backward = join_reads([c for c, _ in reads[::-1]], [r for _, r in reads[::-1]])
    assert forward.cell == backward.cell
    assert forward.taken == backward.taken[::-1]


@pytest.mark.parametrize(
    "text", ["agree_or_conflict", "most_complete", "project_priority:22,30,63*,*"]
)
def test_policies_are_written_as_they_are_read(text: str):
    assert str(parse_reads_policy(text)) == text


def test_projects_are_ranked_by_name_or_beginning():
    policy = ReadsPolicy(kind=ReadsPolicyKind.PROJECT_PRIORITY, projects=("65", "63A", "63*", "22"))
    assert [policy.rank(p) for p in ("65", "63A", "63F", "22", "30")] == [0, 1, 2, 3, None]


@pytest.mark.parametrize(
    "text",
    [
        "newest",
        "",
        "project_priority",
        "project_priority:",
        "most_complete:22",
        "project_priority:22,22",
        "project_priority:22,,30",
    ],
)
def test_what_is_no_policy_is_an_input_error(text: str):
    with pytest.raises(InputError, match="is no policy") as caught:
        parse_reads_policy(text)
    assert "project_priority:22,30" in str(caught.value.hint)
