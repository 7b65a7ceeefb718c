"""Cut-offs that MOAKS does not give: fitted on train patients, stored with their source.

MOAKS names osteophytes "small, medium, large" and effusion by its look; a number for them comes
from a fit (RULES 10). A calibrated rule only warns, and its figures are reported apart.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from knee.errors import InputError
from knee.findings import UNITS, MeasurementName
from knee.moaks import SCALES, Component, Feature, GradeRule, RuleBasis, edges_rule


class CalibratedRule(BaseModel):
    """The cut-offs of one component."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: Feature
    """The feature."""
    component: Component
    """The component."""
    measurement: MeasurementName
    """The measurement that is cut."""
    edges: tuple[float, ...]
    """Ascending, in the measurement's unit: grade g holds [edges[g-1], edges[g])."""
    source: str
    """What they were fitted on."""

    @model_validator(mode="after")
    def validate_edges(self) -> "CalibratedRule":
        """Refuses edges that are not ascending or do not fit the scale."""
        if list(self.edges) != sorted(set(self.edges)) or min(self.edges, default=0) <= 0:
            raise ValueError(f"edges must be positive and ascending: {self.edges!r}")
        grades = SCALES[self.feature, self.component].grades
        if len(self.edges) != len(grades) - 1:
            raise ValueError(f"{len(grades)} grades need {len(grades) - 1} edges: {self.edges!r}")
        return self

    @property
    def rule(self) -> GradeRule:
        """The same as a grade rule with basis `calibrated`."""
        return edges_rule(
            self.measurement.value,
            UNITS[self.measurement].value,
            self.edges,
            RuleBasis.CALIBRATED,
            self.source,
        )


class Calibration(BaseModel):
    """A set of calibrated rules with a name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Kept in the findings id."""
    rules: tuple[CalibratedRule, ...]
    """At most one for each component."""

    def rule_for(self, feature: Feature, component: Component) -> GradeRule | None:
        """Returns the calibrated rule of a component, None when there is none."""
        for rule in self.rules:
            if rule.feature is feature and rule.component is component:
                return rule.rule
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
    """Returns the calibration of a TOML file.

    Raises:
        InputError: the file is missing or wrong.
    """
    try:
        return Calibration.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"calibration file not found: {str(path)!r}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise InputError(f"calibration file {str(path)!r} is wrong: {error}") from error
