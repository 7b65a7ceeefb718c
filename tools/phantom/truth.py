"""What is really in a phantom: extents measured on its own shapes, and the grades they mean."""

from pydantic import BaseModel, ConfigDict

from knee.anatomy import ExtrusionSite, MeniscusPart, OsteophyteSite
from knee.moaks import Component, Feature, RuleBasis
from tools.phantom.defects import measure_defect
from tools.phantom.marrow import measure_marrow
from tools.phantom.menisci import extrusion_mm
from tools.phantom.plate import SUBREGIONS
from tools.phantom.scales import (
    BML_CUTS_PERCENT,
    CARTILAGE_CUTS_PERCENT,
    EFFUSION_CUTS_ML,
    EXTRUSION_CUTS_MM,
    HOFFA_CUTS_PERCENT,
    OSTEOPHYTE_CUTS_MM,
    grade_extent,
    grade_share,
    margin_to,
)
from tools.phantom.sick_knee import SickKnee
from tools.phantom.soft_tissue import effusion_ml


class TruthRecord(BaseModel):
    """The truth of one component at one site."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: Feature
    """MOAKS feature."""
    site: str
    """Site as in `knee.questions`."""
    component: Component
    """MOAKS component."""
    extent: float | None = None
    """Continuous extent as drawn; None where the phantom draws a category only."""
    unit: str | None = None
    """`%`, `mm`, `mL` or `count`."""
    grade: int | None
    """None where the structure is gone and the grade has no meaning."""
    margin: float | None = None
    """Distance of the extent to the nearest threshold, in its unit; None for counts, categories
    and for extents of exactly nothing."""
    basis: RuleBasis
    """`none` for categories: the phantom draws the finding or does not."""
    reason: str | None = None
    """Why there is no grade."""


def _share(
    feature: Feature,
    site: str,
    component: Component,
    percent: float,
    cuts: tuple[float, float],
) -> TruthRecord:
    return TruthRecord(
        feature=feature,
        site=site,
        component=component,
        extent=round(percent, 3),
        unit="%",
        grade=grade_share(percent, cuts),
        margin=round(margin_to(percent, (0.0, *cuts)), 3) if percent > 0.0 else None,
        basis=RuleBasis.MOAKS,
    )


def _extent(
    feature: Feature,
    site: str,
    value: float,
    unit: str,
    cuts: tuple[float, float, float],
    basis: RuleBasis,
) -> TruthRecord:
    return TruthRecord(
        feature=feature,
        site=site,
        component=Component.GRADE,
        extent=round(value, 3),
        unit=unit,
        grade=grade_extent(value, cuts),
        margin=round(margin_to(value, cuts), 3),
        basis=basis,
    )


def _drawn(
    feature: Feature,
    site: str,
    component: Component,
    grade: int | None,
    reason: str | None = None,
) -> TruthRecord:
    return TruthRecord(
        feature=feature,
        site=site,
        component=component,
        grade=grade,
        basis=RuleBasis.NONE,
        reason=reason,
    )


def _marrow_records(knee: SickKnee) -> list[TruthRecord]:
    records: list[TruthRecord] = []
    for sick in knee.sick_plates():
        for number, subregion in enumerate(SUBREGIONS):
            if subregion.bone is not sick.plate.bone:
                continue
            extent = measure_marrow(sick.plate, number, sick.lesions, knee.model.pose.scale)
            site, cuts = subregion.value, BML_CUTS_PERCENT
            count = TruthRecord(
                feature=Feature.BML,
                site=site,
                component=Component.NUMBER,
                extent=float(extent.n_lesions),
                unit="count",
                grade=min(extent.n_lesions, 3),
                basis=RuleBasis.MOAKS,
            )
            records += [
                _share(Feature.BML, site, Component.SIZE, extent.percent_of_wedge, cuts),
                count,
                _share(Feature.BML, site, Component.PERCENT_BML, extent.percent_bml, cuts),
            ]
    return records


def _cartilage_records(knee: SickKnee) -> list[TruthRecord]:
    records: list[TruthRecord] = []
    for sick in knee.sick_plates():
        for number, subregion in enumerate(SUBREGIONS):
            if subregion.bone is not sick.plate.bone or not subregion.is_articular:
                continue
            extent = measure_defect(sick.plate, number, sick.thickness)
            site, cuts = subregion.value, CARTILAGE_CUTS_PERCENT
            full = Component.FULL_THICKNESS
            records += [
                _share(Feature.CARTILAGE, site, Component.SIZE, extent.percent_any, cuts),
                _share(Feature.CARTILAGE, site, full, extent.percent_full, cuts),
            ]
    return records


def _osteophyte_records(knee: SickKnee) -> list[TruthRecord]:
    heights = {spur.site: spur.protrusion * knee.model.pose.scale for spur in knee.spurs}
    feature, cuts, basis = Feature.OSTEOPHYTE, OSTEOPHYTE_CUTS_MM, RuleBasis.CALIBRATED
    return [
        _extent(feature, site.value, heights.get(site, 0.0), "mm", cuts, basis)
        for site in OsteophyteSite
    ]


def _meniscus_records(knee: SickKnee) -> list[TruthRecord]:
    records: list[TruthRecord] = []
    for site in ExtrusionSite:
        reach = extrusion_mm(knee.model.shape, knee.meniscus_state, site)
        feature, cuts = Feature.EXTRUSION, EXTRUSION_CUTS_MM
        if reach is None:
            gone = "the meniscus is completely macerated there"
            records.append(_drawn(feature, site.value, Component.GRADE, None, gone))
            continue
        mm = max(reach * knee.model.pose.scale, 0.0)
        records.append(_extent(feature, site.value, mm, "mm", cuts, RuleBasis.MOAKS))
    for part in MeniscusPart:
        code = knee.morphology.get(part, 0)
        records.append(_drawn(Feature.MORPHOLOGY, part.value, Component.MORPHOLOGY, code))
    for side in ("medial", "lateral"):
        gone = knee.morphology.get(MeniscusPart(f"{side}_meniscus_posterior"), 0) == 8
        grade, reason = (None, "the posterior horn is completely macerated") if gone else (0, None)
        site = f"{side}_posterior_root"
        records.append(_drawn(Feature.ROOT_TEAR, site, Component.PRESENCE, grade, reason))
    return records


def _knee_records(knee: SickKnee) -> list[TruthRecord]:
    hoffa, effusion = Feature.HOFFA_SYNOVITIS, Feature.EFFUSION_SYNOVITIS
    fluid = effusion_ml(knee.model, knee.tissue)
    own = RuleBasis.CALIBRATED
    absent = (
        (Feature.MENISCAL_CYST, "medial_meniscus", Component.PRESENCE),
        (Feature.MENISCAL_CYST, "lateral_meniscus", Component.PRESENCE),
        (Feature.HYPERTROPHY, "medial_meniscus", Component.PRESENCE),
        (Feature.HYPERTROPHY, "lateral_meniscus", Component.PRESENCE),
        (Feature.ACL, "acl", Component.REPAIR),
        (Feature.PCL, "pcl", Component.COMPLETE_TEAR),
        (Feature.PATELLAR_TENDON, "patellar_tendon", Component.SIGNAL_ABNORMALITY),
    )
    return [
        _extent(hoffa, "hoffa_fat_pad", knee.hoffa_percent, "%", HOFFA_CUTS_PERCENT, own),
        _extent(effusion, "joint_cavity", fluid, "mL", EFFUSION_CUTS_ML, own),
        _drawn(Feature.ACL, "acl", Component.COMPLETE_TEAR, int(knee.acl_torn)),
        # Visibly absent: the phantom draws these structures whole and without signal.
        *(_drawn(feature, site, component, 0) for feature, site, component in absent),
    ]


def measure_truth(knee: SickKnee) -> tuple[TruthRecord, ...]:
    """Returns a record per component of every feature that the phantom models.

    The extents are sums over the phantom's own tables and edges, after drawing; targets are not
    looked at. A component without a record is not modelled: missing, not 0.
    """
    return (
        *_marrow_records(knee),
        *_cartilage_records(knee),
        *_osteophyte_records(knee),
        *_meniscus_records(knee),
        *_knee_records(knee),
    )
