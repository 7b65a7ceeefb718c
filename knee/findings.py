"""Findings: what was measured in one region of one volume, with units, methods and evidence."""

import math
from enum import StrEnum
from functools import lru_cache
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from knee.geometry import Affine, Box3D
from knee.moaks import Component, RuleBasis


class Unit(StrEnum):
    """Units that a measurement can have."""

    PERCENT = "%"
    MM = "mm"
    MM2 = "mm²"
    MM3 = "mm³"
    ML = "mL"
    COUNT = "count"
    RATIO = "ratio"


class MeasurementName(StrEnum):
    """Every measurement there is; the name is also the id by which a draft cites it."""

    BML_VOLUME_SHARE = "bml_volume_share"
    BML_COUNT = "bml_count"
    BML_SHARE_OF_LESION = "bml_share_of_lesion"
    BML_VOLUME = "bml_volume"
    SUBREGION_VOLUME = "subregion_volume"
    SURFACE_LOSS_SHARE = "surface_loss_share"
    FULL_THICKNESS_SHARE = "full_thickness_share"
    THINNED_SHARE = "thinned_share"
    MEAN_THICKNESS = "mean_thickness"
    MIN_THICKNESS = "min_thickness"
    P10_THICKNESS = "p10_thickness"
    MEDIAN_THICKNESS = "median_thickness"
    P90_THICKNESS = "p90_thickness"
    SURFACE_AREA = "surface_area"
    OSTEOPHYTE_PROTRUSION = "osteophyte_protrusion"
    EXTRUSION = "extrusion"
    MENISCUS_VOLUME = "meniscus_volume"
    MENISCUS_HEIGHT = "meniscus_height"
    MENISCUS_PART_VOLUME = "meniscus_part_volume"
    MENISCUS_PART_HEIGHT = "meniscus_part_height"
    EFFUSION_VOLUME = "effusion_volume"
    EFFUSION_DEPTH = "effusion_depth"
    STRUCTURE_VOLUME = "structure_volume"
    STRUCTURE_GAP = "structure_gap"
    SIGNAL_RATIO = "signal_ratio"
    HOFFA_SIGNAL_SHARE = "hoffa_signal_share"


UNITS: dict[MeasurementName, Unit] = {
    MeasurementName.BML_VOLUME_SHARE: Unit.PERCENT,
    MeasurementName.BML_COUNT: Unit.COUNT,
    MeasurementName.BML_SHARE_OF_LESION: Unit.PERCENT,
    MeasurementName.BML_VOLUME: Unit.MM3,
    MeasurementName.SUBREGION_VOLUME: Unit.MM3,
    MeasurementName.SURFACE_LOSS_SHARE: Unit.PERCENT,
    MeasurementName.FULL_THICKNESS_SHARE: Unit.PERCENT,
    MeasurementName.THINNED_SHARE: Unit.PERCENT,
    MeasurementName.MEAN_THICKNESS: Unit.MM,
    MeasurementName.MIN_THICKNESS: Unit.MM,
    MeasurementName.P10_THICKNESS: Unit.MM,
    MeasurementName.MEDIAN_THICKNESS: Unit.MM,
    MeasurementName.P90_THICKNESS: Unit.MM,
    MeasurementName.SURFACE_AREA: Unit.MM2,
    MeasurementName.OSTEOPHYTE_PROTRUSION: Unit.MM,
    MeasurementName.EXTRUSION: Unit.MM,
    MeasurementName.MENISCUS_VOLUME: Unit.ML,
    MeasurementName.MENISCUS_HEIGHT: Unit.MM,
    MeasurementName.MENISCUS_PART_VOLUME: Unit.ML,
    MeasurementName.MENISCUS_PART_HEIGHT: Unit.MM,
    MeasurementName.EFFUSION_VOLUME: Unit.ML,
    MeasurementName.EFFUSION_DEPTH: Unit.MM,
    MeasurementName.STRUCTURE_VOLUME: Unit.ML,
    MeasurementName.STRUCTURE_GAP: Unit.MM,
    MeasurementName.SIGNAL_RATIO: Unit.RATIO,
    MeasurementName.HOFFA_SIGNAL_SHARE: Unit.PERCENT,
}
"""The one unit in which each measurement is given."""

DECIMALS: dict[Unit, int] = {
    Unit.PERCENT: 1,
    Unit.MM: 1,
    Unit.MM2: 0,
    Unit.MM3: 0,
    Unit.ML: 2,
    Unit.COUNT: 0,
    Unit.RATIO: 2,
}
"""Decimals with which a measurement is shown to a drafter."""


class Measurement(BaseModel):
    """One number with everything needed to trace it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: MeasurementName
    """What was measured; unique within a finding, and the id that a draft cites."""
    value: float = Field(allow_inf_nan=False)
    """In `unit`; never NaN: what cannot be measured is not there."""
    unit: Unit
    """The unit of value and sd."""
    sd: float | None = Field(default=None, allow_inf_nan=False, ge=0)
    """Standard deviation, from the voxel size at least; None when it is not known."""
    method: str
    """How, in a few words."""
    definition_id: str
    """The definition and its version, e.g. `extrusion.coronal@1`."""

    @model_validator(mode="after")
    def validate_unit(self) -> Self:
        """Refuses a unit other than the measurement's own."""
        if UNITS[self.name] is not self.unit:
            raise ValueError(f"{self.name.value} is given in {UNITS[self.name].value!r}")
        return self

    @property
    def shown(self) -> str:
        """The value as a drafter sees it, without unit: rounded to `DECIMALS`.

        A positive value that would round to 0 is shown with one significant digit: 0 must mean
        that nothing is there.
        """
        return _shown(self.value, self.unit)

    @property
    def shown_sd(self) -> str | None:
        """The standard deviation as a drafter sees it, None when it is not known."""
        return None if self.sd is None else _shown(self.sd, self.unit)


@lru_cache(maxsize=4096)
def _shown(value: float, unit: Unit) -> str:
    text = f"{value:.{DECIMALS[unit]}f}"
    if value != 0 and float(text) == 0:
        text = f"{value:.{-math.floor(math.log10(abs(value)))}f}"
    return text


class BoxSource(StrEnum):
    """Where a box comes from."""

    MASK = "mask"
    """The structure itself is labelled."""
    PARTITION = "partition"
    """A subregion computed from labelled structures."""
    DERIVED = "derived"
    """An anatomical rule."""


class EvidenceLevel(StrEnum):
    """What there is to reason from, per component; never depends on the clinician's grade."""

    MEASURED = "measured"
    """A measurement carries the grade."""
    WEAK = "weak"
    """One does, with a weakness that the reason names."""
    IMAGE = "image"
    """Only the image shows it: for drafters that see slices."""
    NONE = "none"
    """Nothing honest can be said."""


TEXT_EVIDENCE = frozenset({EvidenceLevel.MEASURED, EvidenceLevel.WEAK})
"""Levels that a drafter who sees measurements and no image can reason from."""
IMAGE_EVIDENCE = TEXT_EVIDENCE | {EvidenceLevel.IMAGE}
"""Levels that a drafter who sees slices as well can reason from."""


class ComponentEvidence(BaseModel):
    """Evidence for one component, and the rule-based grade where a rule applies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: Component
    """The component."""
    level: EvidenceLevel
    """How good the evidence is."""
    reason: str
    """Why, in words a reader understands."""
    measurement: MeasurementName | None = None
    """The measurement that carries the grade, when there is one."""
    rule_grade: int | None = None
    """Grade that the rule gives to the measurement. Never shown to a drafter."""
    rule_basis: RuleBasis = RuleBasis.NONE
    """Where the rule's numbers come from."""
    margin: float | None = None
    """Distance to the nearest threshold, in the measurement's unit."""
    borderline: bool = False
    """True when the threshold lies within the measurement's uncertainty (one SD)."""


class Finding(BaseModel):
    """Region, box and measurements of one question in one volume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: int
    """1-62."""
    region: str
    """`<feature>:<site>`."""
    box: Box3D | None
    """In the volume's voxel frame; None when it cannot be had."""
    box_world: Box3D | None = None
    """The same in RAS mm, all eight corners moved."""
    box_source: BoxSource | None
    """How the box was found; None without a box."""
    box_reason: str | None = None
    """Why there is no box, or what it falls back to."""
    truncated: bool = False
    """True where the field of view cuts the region off."""
    definition_id: str
    """Definition of the region and its version."""
    measurements: tuple[Measurement, ...] = ()
    """What was measured; empty when nothing could be."""
    evidence: tuple[ComponentEvidence, ...]
    """One entry for each component of the question."""

    @model_validator(mode="after")
    def validate_names(self) -> Self:
        """Refuses repeated measurements and a box without source."""
        names = [m.name for m in self.measurements]
        if len(names) != len(set(names)):
            raise ValueError(f"{self.region}: a measurement is there twice: {names!r}")
        if (self.box is None) != (self.box_source is None):
            raise ValueError(f"{self.region}: box and box_source go together")
        return self

    def evidence_for(self, component: Component) -> ComponentEvidence:
        """Returns the evidence of one component of this question."""
        return next(e for e in self.evidence if e.component is component)

    def measurement(self, name: MeasurementName) -> Measurement | None:
        """Returns a measurement by name, None when it was not made."""
        return next((m for m in self.measurements if m.name is name), None)


class SideCheck(StrEnum):
    """Outcome of holding the declared side against the anatomy."""

    CONFIRMED = "confirmed"
    UNVERIFIED = "unverified"


class VolumeFindings(BaseModel):
    """All findings of one volume, with what they were computed from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    volume_id: str
    """`<patient>/<visit>/<side>/<sequence>`."""
    findings_id: str
    """`sha256:` over image, label map, scheme, definitions and tools version."""
    scheme: str
    """Name of the label map's scheme."""
    tools_version: str
    """Version of the measuring code."""
    side_check: SideCheck
    """Whether the side could be confirmed from the anatomy."""
    shape: tuple[int, int, int]
    """Array shape as stored."""
    affine: Affine
    """Voxel to RAS mm."""
    orientation: str
    """Axis codes of the stored array, e.g. `PIR`."""
    image_sha256: str
    """Hash of the image file's bytes; of the label map's when there is no image."""
    label_map_sha256: str
    """Hash of the label map file's bytes."""
    findings: tuple[Finding, ...]
    """One per question with a region, ascending by id."""
