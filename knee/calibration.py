"""Fitted cut-offs for features to which MOAKS gives no numbers (RULES 10).

A calibration is a TOML file::

    name = "phantom-default"
    patients = ["9001104"]    # optional: whose knees the edges were fitted on; never test patients

    [[rules]]
    feature = "osteophyte"
    component = "grade"
    measurement = "osteophyte_protrusion"
    unit = "mm"
    edges = [1.0, 3.0, 5.0]
    source = "how and on which patients the edges were fitted"
    fit = { population = "…", n_patients = 48, n_cases = 576, fitted_on = "2026-11-25" }

Grade g holds [edges[g-1], edges[g]). Without a calibration such components have no rule-based
grade.
"""

import json
import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from knee.errors import InputError
from knee.findings import UNITS, MeasurementName, Unit
from knee.moaks import SCALES, Component, Feature, GradeRule, RuleBasis, edges_rule


class CalibrationFit(BaseModel):
    """What a rule was fitted on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: str
    """Which patients, for people; of phantoms their seeds."""
    n_patients: int
    """How many patients."""
    n_cases: int
    """How many measured components with a grade."""
    fitted_on: str
    """Date, ISO 8601."""


class CalibratedRule(BaseModel):
    """Cut-offs that turn one measurement into grades."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: Feature
    """The feature graded."""
    component: Component
    """Its component."""
    measurement: MeasurementName
    """The measurement that the edges are about."""
    unit: Unit
    """Unit of the edges; the measurement's own."""
    edges: tuple[float, ...]
    """Lower edges of grades 1, 2, …, ascending and above 0."""
    source: str
    """How and on what the edges were fitted."""
    fit: CalibrationFit | None = None
    """What they were fitted on; None when they were set by hand."""

    @model_validator(mode="after")
    def validate_edges(self) -> Self:
        """Refuses an unknown component, another unit, and edges that do not fit the scale."""
        scale = SCALES.get((self.feature, self.component))
        if scale is None:
            raise ValueError(f"{self.feature.value} has no component {self.component.value!r}")
        if UNITS[self.measurement] is not self.unit:
            raise ValueError(
                f"{self.measurement.value} is given in {UNITS[self.measurement].value!r}, "
                f"not {self.unit.value!r}"
            )
        if len(self.edges) != len(scale.grades) - 1:
            raise ValueError(f"{len(scale.grades)} grades need {len(scale.grades) - 1} edges")
        ascending = all(a < b for a, b in zip((0.0, *self.edges), self.edges, strict=False))
        if not ascending:
            raise ValueError(f"edges must ascend from above 0: {self.edges!r}")
        return self

    def grade_rule(self) -> GradeRule:
        """Returns the rule in the form that MOAKS' own rules have."""
        return edges_rule(
            self.measurement.value,
            self.unit.value,
            self.edges,
            RuleBasis.CALIBRATED,
            self.source,
        )


class Calibration(BaseModel):
    """A named set of calibrated rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the calibration; part of the findings' hash with all its numbers."""
    rules: tuple[CalibratedRule, ...] = ()
    """At most one rule for each (feature, component)."""
    patients: tuple[str, ...] = Field(default=(), exclude=True)
    """Whose knees the edges were fitted on, empty when not known; no number depends on the list,
    so it is in no hash."""

    @model_validator(mode="after")
    def validate_rules(self) -> Self:
        """Refuses two rules for one component."""
        keys = [(rule.feature, rule.component) for rule in self.rules]
        if len(keys) != len(set(keys)):
            raise ValueError("two rules for one (feature, component)")
        return self

    def rule_for(self, feature: Feature, component: Component) -> GradeRule | None:
        """Returns the rule of a component, None when it is not calibrated."""
        for rule in self.rules:
            if rule.feature is feature and rule.component is component:
                return rule.grade_rule()
        return None


def rule_for(
    feature: Feature, component: Component, calibration: Calibration | None
) -> GradeRule | None:
    """Returns MOAKS' own rule of a component, else the calibrated one, else None."""
    own = SCALES[feature, component].rule
    if own is not None or calibration is None:
        return own
    return calibration.rule_for(feature, component)


def load_calibration(path: Path) -> Calibration:
    """Returns the calibration in a TOML file.

    Raises:
        InputError: there is no such file, or it does not hold a calibration.
    """
    try:
        return Calibration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"there is no calibration file {str(path)!r}", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"calibration {str(path)!r} is not TOML: {error}", "mend it") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()[:5]
        )
        raise InputError(
            f"calibration {str(path)!r} does not hold a calibration: {problems}",
            "see the docstring of knee/calibration.py",
        ) from error


def format_calibration(calibration: Calibration, comment: str) -> str:
    """Returns a calibration as TOML that `load_calibration` reads; the comment goes on top."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += ["", f"name = {json.dumps(calibration.name, ensure_ascii=False)}"]
    if calibration.patients:
        lines.append(f"patients = {json.dumps(list(calibration.patients), ensure_ascii=False)}")
    for rule in calibration.rules:
        values = rule.model_dump(mode="json", exclude={"fit"})
        lines += ["", "[[rules]]"]
        lines += [f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in values.items()]
        if rule.fit is not None:
            fields = rule.fit.model_dump(mode="json").items()
            inner = ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v in fields)
            lines.append(f"fit = {{ {inner} }}")
    return "\n".join(lines) + "\n"
