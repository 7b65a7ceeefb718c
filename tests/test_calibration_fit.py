from pathlib import Path

import numpy as np
import pytest

from knee.calibration import CalibratedRule, Calibration, format_calibration, load_calibration
from knee.errors import InputError
from knee.findings import MeasurementName
from knee.moaks import Component, Feature
from tools.calibration_fit import CalibrationCase, fit_edge, fit_rule


def _cases(split: str = "train", n: int = 400) -> list[CalibrationCase]:
    """Values uniform over 0 to 8 mm; the true edges are 1.5, 3 and 6 mm, with noise at them."""
    rng = np.random.default_rng(4)
    values = rng.uniform(0, 8, n)
    grades = np.searchsorted([1.5, 3, 6], values + rng.normal(0, 0.2, n), side="right")
    return [
        CalibrationCase(f"P{i}", split, float(v), int(g))
        for i, (v, g) in enumerate(zip(values, grades, strict=True))
    ]


def _fit(cases: list[CalibrationCase]) -> CalibratedRule:
    return fit_rule(
        Feature.OSTEOPHYTE,
        Component.GRADE,
        MeasurementName.OSTEOPHYTE_PROTRUSION,
        cases,
        "made up",
        "2026-01-01",
    )


def test_edges_are_found_again_and_written_with_what_they_were_fitted_on(tmp_path: Path):
    rule = _fit(_cases())
    assert rule.edges == pytest.approx((1.5, 3, 6), abs=0.3)
    assert rule.fit is not None
    assert (rule.fit.n_patients, rule.fit.fitted_on) == (400, "2026-01-01")
    calibration = Calibration(name='a "name"', rules=(rule,), patients=("P1", "P2"))
    path = tmp_path / "fitted.toml"
    path.write_text(format_calibration(calibration, "What this is.\n\nMore."), encoding="utf-8")
    assert load_calibration(path) == calibration


def test_a_rare_grade_weighs_as_much_as_a_common_one():
    common = [CalibrationCase("a", "train", v, 0) for v in np.linspace(0, 2.4, 500)]
    rare = [CalibrationCase("b", "train", v, 1) for v in (2.0, 2.6, 2.8, 3.0, 3.2)]
    # Fewest errors would be at 2.5; a fifth of the rare ones is dearer than a sixth of the others.
    assert fit_edge([*common, *rare], 1) < 2.01


def test_patients_that_are_not_for_training_are_refused():
    cases = [*_cases(), CalibrationCase("T1", "test", 2.0, 1)]
    with pytest.raises(InputError, match="not training patients, such as 'T1'"):
        _fit(cases)


def test_a_grade_with_too_few_cases_is_refused():
    with pytest.raises(InputError, match="training cases of grade 3"):
        _fit([case for case in _cases() if case.grade < 3])


def test_values_that_do_not_tell_grades_apart_are_refused():
    cases = [CalibrationCase(c.patient, "train", 8 - c.value, c.grade) for c in _cases()]
    with pytest.raises(InputError, match="do not ascend"):
        _fit(cases)
