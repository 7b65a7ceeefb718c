"""One row per component of a phantom: the rule-based grade beside the truth.

How far an extent lies from a threshold, in voxels (h is the cube root of a voxel's volume):

    share of a surface   |r(extent) - r(threshold)| / h, r the radius of the disc with that share of
                         the subregion's area
    share of a volume    the same with a ball; for the share of BML in a lesion with its cyst's ball
    length               |extent - threshold| / the voxel's edge in the direction measured along
    volume of fluid      as a share of a volume, one ball

So a case is at least one voxel from a threshold when moving the outline of a compact lesion by one
voxel does not make its grade another one; ragged or several lesions have longer outlines, so that
no case is left out that should be in. Counts have no margin and are always among them, and so are
extents of nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from knee.calibration import Calibration
from knee.findings import Finding, MeasurementName, VolumeFindings
from knee.moaks import Component, Feature, RuleBasis
from knee.questions import QUESTIONS
from tests.bench_phantoms import DrawnKnee
from tests.phantom_maps import as_label_map
from tools.describe import describe_volume
from tools.phantom.truth import TruthRecord

_SHARE_CUTS: dict[tuple[Feature, Component], tuple[float, ...]] = {
    (Feature.BML, Component.SIZE): (0.0, 33.0, 66.0),
    (Feature.BML, Component.PERCENT_BML): (0.0, 33.0, 66.0),
    (Feature.CARTILAGE, Component.SIZE): (0.0, 10.0, 75.0),
    (Feature.CARTILAGE, Component.FULL_THICKNESS): (0.0, 10.0, 75.0),
}
_EFFUSION_CUTS_ML = (3.0, 7.0, 13.0)


@dataclass(frozen=True)
class Case:
    """One component of one site of one phantom.

    Attributes:
        knee: name of the phantom.
        grid: name of its grid.
        feature: what the question is about.
        component: the component.
        site: where.
        basis: of the rule-based grade.
        whole: whether no part of the menisci is macerated: lost horns leave borders to fallbacks.
        true_grade: from the phantom's truth.
        true_extent: in `unit`; None for what has none.
        grade: rule-based grade.
        value: measured, in the same unit.
        sd: its stated standard deviation, None when none was stated.
        borderline: whether the evidence says so.
        margin: distance of the true extent to the nearest threshold in `unit`; infinite for counts
            and for extents of nothing.
        margin_voxels: the same in voxels.
    """

    knee: str
    grid: str
    feature: Feature
    component: Component
    site: str
    basis: RuleBasis
    whole: bool
    true_grade: int
    true_extent: float | None
    grade: int
    value: float
    sd: float | None
    borderline: bool
    margin: float
    margin_voxels: float

    @property
    def is_right(self) -> bool:
        """Whether the measured grade is the true one."""
        return self.grade == self.true_grade

    @property
    def error(self) -> float | None:
        """Measured less true extent."""
        return None if self.true_extent is None else self.value - self.true_extent


@dataclass(frozen=True)
class Unmeasured:
    """A component with a true grade and no rule-based one."""

    knee: str
    feature: Feature
    component: Component
    site: str
    true_grade: int
    reason: str


def describe_knee(drawn: DrawnKnee, calibration: Calibration) -> VolumeFindings:
    """Returns the findings of a phantom."""
    label_map = as_label_map(drawn.labels, drawn.affine, drawn.knee.side)
    volume_id = f"{drawn.knee.seed}/V00/{drawn.knee.side.value}"
    return describe_volume(None, label_map, volume_id, calibration=calibration)


def compare(drawn: DrawnKnee, found: VolumeFindings) -> tuple[list[Case], list[Unmeasured]]:
    """Returns a case for every component that has both grades, and what could not be measured.

    Components that the phantom draws as a category only (no extent) are left out.
    """
    truth = {(r.feature, r.site, r.component): r for r in drawn.truth}
    spacing = np.linalg.norm(drawn.affine[:3, :3], axis=0)
    whole = not any(r.grade for r in drawn.truth if r.feature is Feature.MORPHOLOGY)
    cases: list[Case] = []
    missing: list[Unmeasured] = []
    for finding in found.findings:
        question = QUESTIONS[finding.question_id]
        for evidence in finding.evidence:
            record = truth.get((question.feature, question.site, evidence.component))
            if record is None or record.grade is None or record.extent is None:
                continue
            if evidence.rule_grade is None or evidence.measurement is None:
                missing.append(
                    Unmeasured(
                        drawn.knee.name,
                        question.feature,
                        evidence.component,
                        question.site,
                        record.grade,
                        evidence.reason,
                    )
                )
                continue
            measured = finding.measurement(evidence.measurement)
            assert measured is not None
            assert evidence.rule_basis is not None
            margin, voxels = _margins(record, finding, truth, spacing)
            cases.append(
                Case(
                    knee=drawn.knee.name,
                    grid=drawn.knee.grid,
                    feature=question.feature,
                    component=evidence.component,
                    site=question.site,
                    basis=evidence.rule_basis,
                    whole=whole,
                    true_grade=record.grade,
                    true_extent=record.extent,
                    grade=evidence.rule_grade,
                    value=measured.value,
                    sd=measured.sd,
                    borderline=bool(evidence.borderline),
                    margin=margin,
                    margin_voxels=voxels,
                )
            )
    return cases, missing


def _margins(
    record: TruthRecord,
    finding: Finding,
    truth: dict[tuple[Feature, str, Component], TruthRecord],
    spacing: np.ndarray,
) -> tuple[float, float]:
    """Distance of a true extent to the nearest threshold, in its unit and in voxels."""
    extent = record.extent
    if record.margin is None or extent is None:
        return math.inf, math.inf
    edge = float(np.prod(spacing)) ** (1 / 3)
    if record.unit == "mm":
        axis = _axis(record)
        return record.margin, record.margin / float(spacing[axis])
    if record.feature is Feature.EFFUSION_SYNOVITIS:
        radii = [_ball_mm(1000 * ml) for ml in (extent, *_EFFUSION_CUTS_ML)]
    elif record.feature is Feature.CARTILAGE:
        area = _value(finding, MeasurementName.SURFACE_AREA)
        cuts = _SHARE_CUTS[record.feature, record.component]
        radii = [math.sqrt(share / 100 * area / math.pi) for share in (extent, *cuts)]
    else:
        wedge = _value(finding, MeasurementName.SUBREGION_VOLUME)
        size = truth[record.feature, record.site, Component.SIZE].extent or 0
        shares = (extent, *_SHARE_CUTS[record.feature, record.component])
        if record.component is Component.PERCENT_BML:
            volumes = [(100 - share) / 100 * size / 100 * wedge for share in shares]
        else:
            volumes = [share / 100 * wedge for share in shares]
        radii = [_ball_mm(volume) for volume in volumes]
    return record.margin, min(abs(radii[0] - other) for other in radii[1:]) / edge


def _ball_mm(volume_mm3: float) -> float:
    return (3 * volume_mm3 / (4 * math.pi)) ** (1 / 3)


def _value(finding: Finding, name: MeasurementName) -> float:
    measurement = finding.measurement(name)
    assert measurement is not None, (finding.region, name)
    return measurement.value


def _axis(record: TruthRecord) -> int:
    """Array axis (left-right, front-back, up-down) along which a length is measured."""
    if record.feature is Feature.EXTRUSION:
        return 1 if record.site.endswith("anterior") else 0
    return 2 if record.site in {"patella_superior", "patella_inferior"} else 0
