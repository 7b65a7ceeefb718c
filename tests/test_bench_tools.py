"""The benchmark's own arithmetic, and one phantom all the way through."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from knee.anatomy import Side
from knee.calibration import load_calibration
from knee.errors import InputError
from knee.moaks import Component, Feature, RuleBasis
from tests import bench_phantoms
from tests.bench_cases import Case, compare, describe_knee
from tests.bench_phantoms import Draw, draw_knee, plan
from tests.bench_scores import (
    accuracy_table,
    far,
    macro,
    macro_interval,
    margin_rows,
    missed_bars,
)
from tests.bench_tools import CALIBRATION, calibrate
from tests.benchmark_page import write_section


def _case(true: int, grade: int, *, knee: str = "a", margin: float = 2.0) -> Case:
    return Case(
        knee=knee,
        grid="dess",
        feature=Feature.EXTRUSION,
        component=Component.GRADE,
        site="medial_meniscus_medial",
        basis=RuleBasis.MOAKS,
        whole=True,
        true_grade=true,
        true_extent=2.5,
        grade=grade,
        value=2.7,
        sd=0.3,
        borderline=False,
        margin=margin,
        margin_voxels=margin,
    )


def test_macro_weighs_grades_alike():
    cases = [_case(0, 0)] * 98 + [_case(3, 3), _case(3, 0)]
    assert macro(cases) == pytest.approx(0.75)
    assert macro([]) is None


def test_the_interval_is_over_knees():
    one_knee = [_case(0, i % 2, knee="a") for i in range(100)]
    assert macro_interval(one_knee) is None
    knees = [_case(0, int(i < 10), knee=str(i)) for i in range(20) for _ in range(50)]
    interval = macro_interval(knees)
    assert interval is not None
    # 20 knees, not 1,000 cases: the half-width is some 1.96 * sqrt(0.25 / 20).
    assert interval[1] - interval[0] > 0.3


def test_only_cases_a_voxel_from_a_threshold_count_for_the_bars():
    near = [_case(g, 3 - g, margin=0.4) for g in range(4)]
    good = [_case(g, g) for g in range(4)] * 3
    assert len(far([*near, *good])) == 12
    assert missed_bars([*near, *good]) == []
    assert missed_bars([*good, _case(2, 1)] * 2) == ["overall 0.938 < 0.95"]
    assert "| extrusion | grade | 0.750 | 1.000" in accuracy_table([*near, *good])


def test_counts_have_no_place_on_the_curve():
    rows = margin_rows([_case(1, 1, margin=0.6), _case(1, 1, margin=math.inf)])
    assert [(row["voxels_from"], row["cases"]) for row in rows] == [("0.5", "1")]


def test_the_page_keeps_what_others_wrote(tmp_path: Path):
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\n## Speed\n\nfast\n", encoding="utf-8")
    write_section("bench", "Bench", "first", page)
    write_section("bench", "Bench", "second", page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n\n## Speed\n\nfast\n\n<!-- bench -->")
    assert "second" in text
    assert "first" not in text
    assert text.count("<!-- /bench -->") == 1


def test_held_out_phantoms_are_refused_for_calibration(tmp_path: Path):
    knees = plan(4, 9000, "coarse", Draw.CONTINUOUS)
    cases = [_case(g, g, knee=knee.name) for knee in knees for g in range(4)]
    spurs = [replace(case, feature=Feature.OSTEOPHYTE) for case in cases]
    with pytest.raises(InputError, match="not training patients"):
        calibrate(knees, spurs, tmp_path / "out.toml")
    assert not (tmp_path / "out.toml").exists()


@pytest.mark.slow
def test_a_phantom_is_drawn_once_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_phantoms, "CACHE", tmp_path)
    (knee,) = plan(1, 1001, "coarse", Draw.CONTINUOUS)
    assert knee.side is Side.RIGHT
    drawn = draw_knee(knee)
    again = draw_knee(knee)
    assert (again.labels == drawn.labels).all()
    assert again.truth == drawn.truth
    cases, missing = compare(drawn, describe_knee(drawn, load_calibration(CALIBRATION)))
    assert len(cases) == 15 * 3 + 14 * 2 + 12 + 4 + 1
    assert {m.feature for m in missing} == {Feature.HOFFA_SYNOVITIS}
    assert sum(case.is_right for case in cases) > 0.7 * len(cases)
