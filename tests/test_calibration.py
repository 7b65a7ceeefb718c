from pathlib import Path

import pytest
from pydantic import ValidationError

from knee.calibration import CalibratedRule, Calibration, load_calibration
from knee.errors import InputError
from knee.findings import MeasurementName, Unit
from knee.moaks import Component, Feature, RuleBasis

GOOD = """
name = "fitted"

[[rules]]
feature = "osteophyte"
component = "grade"
measurement = "osteophyte_protrusion"
unit = "mm"
edges = [1.2, 2.1, 4.1]
source = "forty phantoms"
"""


def _rule(**changes: object) -> CalibratedRule:
    fields: dict[str, object] = {
        "feature": Feature.OSTEOPHYTE,
        "component": Component.GRADE,
        "measurement": MeasurementName.OSTEOPHYTE_PROTRUSION,
        "unit": Unit.MM,
        "edges": (1.0, 3.0, 5.0),
        "source": "test",
    }
    return CalibratedRule.model_validate(fields | changes)


def test_a_calibration_file_gives_calibrated_rules(tmp_path: Path):
    path = tmp_path / "calibration.toml"
    path.write_text(GOOD, encoding="utf-8")
    rule = load_calibration(path).rule_for(Feature.OSTEOPHYTE, Component.GRADE)
    assert rule is not None
    assert rule.basis is RuleBasis.CALIBRATED
    assert [rule.grade(v) for v in (0, 1.2, 2.0, 2.1, 9)] == [0, 1, 1, 2, 3]
    assert load_calibration(path).rule_for(Feature.HOFFA_SYNOVITIS, Component.GRADE) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": (3.0, 1.0, 5.0)}, "ascend"),
        ({"edges": (0.0, 1.0, 5.0)}, "ascend"),
        ({"edges": (1.0, 3.0)}, "need 3 edges"),
        ({"unit": Unit.ML}, "is given in 'mm'"),
        ({"component": Component.SIZE}, "has no component"),
    ],
)
def test_rules_that_fit_no_scale_are_refused(changes: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        _rule(**changes)


def test_two_rules_for_one_component_are_refused():
    with pytest.raises(ValidationError, match="two rules"):
        Calibration(name="twice", rules=(_rule(), _rule()))


@pytest.mark.parametrize(
    ("text", "message"),
    [("name = ", "is not TOML"), ("rules = 3\nname = 'x'", "does not hold a calibration")],
)
def test_a_bad_file_is_one_message(tmp_path: Path, text: str, message: str):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_calibration(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load_calibration(tmp_path / "nowhere.toml")


def test_whose_knees_the_edges_were_fitted_on_is_known_and_in_no_hash(tmp_path: Path):
    path = tmp_path / "fitted.toml"
    path.write_text('name = "a"\npatients = ["9000001", "9000002"]\n', encoding="utf-8")
    fitted = load_calibration(path)
    path.write_text('name = "a"\n', encoding="utf-8")
    assert fitted.patients == ("9000001", "9000002")
    assert load_calibration(path).patients == ()
    assert fitted.model_dump_json() == load_calibration(path).model_dump_json()
