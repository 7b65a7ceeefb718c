"""What is really in a phantom: extents measured on its own shapes, and the grades they mean."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from knee.anatomy import ExtrusionSite, MeniscusPart, OsteophyteSite
from tools.phantom.lesions import measure_defect, measure_marrow
from tools.phantom.menisci import extrusion_mm
from tools.phantom.plate import SUBREGIONS
from tools.phantom.scales import (
    BML_CUTS_PERCENT,
    CARTILAGE_CUTS_PERCENT,
    EFFUSION_CUTS_ML,
    EXTRUSION_CUTS_MM,
    HOFFA_CUTS_PERCENT,
    OSTEOPHYTE_CUTS_MM,
    Basis,
    grade_extent,
    grade_share,
    margin_to,
)
from tools.phantom.sick_knee import SickKnee
from tools.phantom.soft_tissue import effusion_ml

KNEE_SITE = "knee"
"""Site of a feature that is graded once per knee."""


class TruthFeature(StrEnum):
    """Features that the phantom knows the truth of."""

    BML = "bml"
    CARTILAGE = "cartilage"
    OSTEOPHYTE = "osteophyte"
    HOFFA_SYNOVITIS = "hoffa_synovitis"
    EFFUSION_SYNOVITIS = "effusion_synovitis"
    MENISCAL_EXTRUSION = "meniscal_extrusion"
    MENISCAL_MORPHOLOGY = "meniscal_morphology"
    MENISCAL_ROOT_TEAR = "meniscal_root_tear"
    ACL = "acl"


class TruthRecord(BaseModel):
    """The truth of one component at one site."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: TruthFeature
    site: str
    """Value of `Subregion`, `OsteophyteSite`, `ExtrusionSite` or `MeniscusPart`, or `knee`."""
    component: str
    """`size`, `number`, `percent_bml`, `full_thickness`, `grade`, `tear`."""
    extent: float | None
    """Continuous extent as drawn; None where the phantom draws a category only."""
    unit: str | None
    grade: int | None
    """None where the structure is gone and the grade has no meaning."""
    margin: float | None
    """Distance of the extent to the nearest threshold, in its unit."""
    basis: Basis
    absent_because: str | None = None
    """Why there is no grade."""


def _share(
    feature: TruthFeature, site: str, component: str, percent: float, cuts: tuple[float, float]
) -> TruthRecord:
    return TruthRecord(
        feature=feature,
        site=site,
        component=component,
        extent=round(percent, 3),
        unit="%",
        grade=grade_share(percent, cuts),
        # Nothing at all is never near a threshold: 0 is drawn as 0.
        margin=round(margin_to(percent, (0.0, *cuts)) if percent > 0.0 else cuts[0], 3),
        basis=Basis.MOAKS,
    )


def _extent(
    feature: TruthFeature,
    site: str,
    value: float,
    unit: str,
    cuts: tuple[float, float, float],
    basis: Basis,
) -> TruthRecord:
    return TruthRecord(
        feature=feature,
        site=site,
        component="grade",
        extent=round(value, 3),
        unit=unit,
        grade=grade_extent(value, cuts),
        margin=round(margin_to(value, cuts), 3),
        basis=basis,
    )


def _drawn(
    feature: TruthFeature, site: str, component: str, grade: int | None, reason: str | None = None
) -> TruthRecord:
    return TruthRecord(
        feature=feature,
        site=site,
        component=component,
        extent=None,
        unit=None,
        grade=grade,
        margin=None,
        basis=Basis.DRAWN,
        absent_because=reason,
    )


def _marrow_records(knee: SickKnee) -> list[TruthRecord]:
    records: list[TruthRecord] = []
    for sick in knee.sick_plates():
        for number, subregion in enumerate(SUBREGIONS):
            if subregion.bone is not sick.plate.bone:
                continue
            extent = measure_marrow(sick.plate, number, sick.lesions, knee.model.pose.scale)
            site, feature = subregion.value, TruthFeature.BML
            records += [
                _share(feature, site, "size", extent.percent_of_wedge, BML_CUTS_PERCENT),
                TruthRecord(
                    feature=feature,
                    site=site,
                    component="number",
                    extent=float(extent.count),
                    unit="lesions",
                    grade=min(extent.count, 3),
                    margin=None,
                    basis=Basis.MOAKS,
                ),
                _share(feature, site, "percent_bml", extent.percent_bml, BML_CUTS_PERCENT),
            ]
    return records


def _cartilage_records(knee: SickKnee) -> list[TruthRecord]:
    records: list[TruthRecord] = []
    for sick in knee.sick_plates():
        for number, subregion in enumerate(SUBREGIONS):
            if subregion.bone is not sick.plate.bone or not subregion.is_articular:
                continue
            extent = measure_defect(sick.plate, number, sick.thickness)
            site, feature, cuts = subregion.value, TruthFeature.CARTILAGE, CARTILAGE_CUTS_PERCENT
            records += [
                _share(feature, site, "size", extent.percent_any, cuts),
                _share(feature, site, "full_thickness", extent.percent_full, cuts),
            ]
    return records


def _osteophyte_records(knee: SickKnee) -> list[TruthRecord]:
    heights = {spur.site: spur.protrusion * knee.model.pose.scale for spur in knee.spurs}
    return [
        _extent(
            TruthFeature.OSTEOPHYTE,
            site.value,
            heights.get(site, 0.0),
            "mm",
            OSTEOPHYTE_CUTS_MM,
            Basis.CALIBRATED,
        )
        for site in OsteophyteSite
    ]


def _meniscus_records(knee: SickKnee) -> list[TruthRecord]:
    records: list[TruthRecord] = []
    for site in ExtrusionSite:
        reach = extrusion_mm(knee.model.shape, knee.meniscus_state, site)
        feature = TruthFeature.MENISCAL_EXTRUSION
        if reach is None:
            records.append(_drawn(feature, site.value, "grade", None, "meniscus macerated"))
            continue
        mm = max(reach * knee.model.pose.scale, 0.0)
        record = _extent(feature, site.value, mm, "mm", EXTRUSION_CUTS_MM, Basis.MOAKS)
        records.append(record)
    for part in MeniscusPart:
        code = knee.morphology.get(part, 0)
        records.append(_drawn(TruthFeature.MENISCAL_MORPHOLOGY, part.value, "grade", code))
    for side in ("medial", "lateral"):
        gone = knee.morphology.get(MeniscusPart(f"{side}_meniscus_posterior"), 0) == 8
        grade, reason = (None, "posterior horn macerated") if gone else (0, None)
        feature = TruthFeature.MENISCAL_ROOT_TEAR
        records.append(_drawn(feature, f"{side}_meniscus", "tear", grade, reason))
    return records


def measure_truth(knee: SickKnee) -> tuple[TruthRecord, ...]:
    """Returns a record per component of every feature that the phantom models.

    The extents are sums over the phantom's own tables and edges, after drawing; targets are not
    looked at.
    """
    hoffa = 100.0 * knee.hoffa_share
    fluid = effusion_ml(knee.model, knee.tissue)
    whole_knee = [
        _extent(
            TruthFeature.HOFFA_SYNOVITIS,
            KNEE_SITE,
            hoffa,
            "%",
            HOFFA_CUTS_PERCENT,
            Basis.CALIBRATED,
        ),
        _extent(
            TruthFeature.EFFUSION_SYNOVITIS,
            KNEE_SITE,
            fluid,
            "mL",
            EFFUSION_CUTS_ML,
            Basis.CALIBRATED,
        ),
        _drawn(TruthFeature.ACL, KNEE_SITE, "tear", int(knee.acl_torn)),
    ]
    return (
        *_marrow_records(knee),
        *_cartilage_records(knee),
        *_osteophyte_records(knee),
        *_meniscus_records(knee),
        *whole_knee,
    )
