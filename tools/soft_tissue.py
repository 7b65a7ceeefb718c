"""Menisci, fat pad, fluid and ligaments of one knee: measured once, then told by question.

Uncertainties: a length between two label edges has sqrt(2) times the SD of one edge, which lies
anywhere within its voxel (step / sqrt 12); shares and ratios of signal carry what their own module
says.
"""

import math
from dataclasses import dataclass

from knee.anatomy import Compartment, MeniscusPart, Structure, Subregion
from knee.findings import UNITS, Measurement, MeasurementName
from knee.moaks import Feature
from knee.questions import Question
from tools import effusion, hoffa, ligaments, meniscal_parts, thickness
from tools.articular_surface import cartilage_of
from tools.hoffa import HoffaSignal
from tools.knee_parts import KneeParts
from tools.ligaments import Continuity
from tools.meniscal_parts import PartNumbers
from tools.signal import KneeSignal, NotMeasured

_LENGTH_SD = math.sqrt(2 / 12)
LIGAMENT_OF: dict[Feature, Structure] = {
    Feature.ACL: Structure.ACL,
    Feature.PCL: Structure.PCL,
    Feature.PATELLAR_TENDON: Structure.PATELLAR_TENDON,
}
"""The structure that a ligament question is about."""


@dataclass(frozen=True)
class SoftTissue:
    """What was measured beside bones and cartilage.

    Attributes:
        signal: the image, None without one.
        hoffa: bright share of the fat pad, or why there is none.
        parts: per meniscal part; empty without a tibia.
        menisci: per compartment.
        effusion_depth_mm: None without label or femur.
        continuity: per ligament, or why it cannot be measured.
    """

    signal: KneeSignal | None
    hoffa: HoffaSignal | NotMeasured
    parts: dict[MeniscusPart, PartNumbers]
    menisci: dict[Compartment, PartNumbers]
    effusion_depth_mm: float | None
    continuity: dict[Structure, Continuity | NotMeasured]


def measure_soft_tissue(parts: KneeParts, signal: KneeSignal | None) -> SoftTissue:
    """Returns the soft tissue of a measured knee; without an image, no signal is measured."""
    found = {site: meniscal_parts.part_numbers(parts, site, signal) for site in MeniscusPart}
    return SoftTissue(
        signal=signal,
        hoffa=hoffa.hoffa_signal(parts.knee, signal),
        parts={site: numbers for site, numbers in found.items() if numbers is not None},
        menisci={
            side: meniscal_parts.whole_numbers(parts, side, signal)
            for side in (Compartment.MEDIAL, Compartment.LATERAL)
        },
        effusion_depth_mm=effusion.effusion_depth_mm(parts),
        continuity={s: ligaments.continuity(parts, s) for s in ligaments.LIGAMENTS},
    )


def further_measurements(
    parts: KneeParts, tissue: SoftTissue, question: Question
) -> tuple[Measurement, ...]:
    """Returns what is known of a question beyond `measurements.measure`; empty for nothing."""
    feature = question.feature
    if feature is Feature.CARTILAGE:
        return _thickness(parts, Subregion(question.site))
    if feature is Feature.HOFFA_SYNOVITIS:
        return _hoffa(tissue.hoffa)
    if feature is Feature.EFFUSION_SYNOVITIS:
        return _depth(parts, tissue)
    if feature is Feature.MORPHOLOGY:
        return _of_part(parts, tissue.parts.get(MeniscusPart(question.site)))
    if feature is Feature.HYPERTROPHY:
        numbers = tissue.menisci[Compartment(question.site.split("_")[0])]
        return _height(parts, numbers, MeasurementName.MENISCUS_HEIGHT)
    if feature in LIGAMENT_OF:
        return _gap(parts, tissue.continuity[LIGAMENT_OF[feature]])
    return ()


def _one(
    name: MeasurementName, value: float, sd: float | None, method: str, definition: str
) -> Measurement:
    return Measurement(
        name=name, value=value, unit=UNITS[name], sd=sd, method=method, definition_id=definition
    )


def _thickness(parts: KneeParts, subregion: Subregion) -> tuple[Measurement, ...]:
    plate = parts.plates.get(subregion.bone)
    if plate is None or cartilage_of(subregion) not in parts.knee.schemed:
        return ()
    found = thickness.thickness_percentiles(plate, subregion)
    if found is None:
        return ()
    sd = _LENGTH_SD * min(parts.knee.spacing)
    return tuple(
        _one(
            name,
            value,
            sd,
            f"{share} of the covered surface, along the normal",
            thickness.PERCENTILES_DEFINITION,
        )
        for name, value, share in (
            (MeasurementName.P10_THICKNESS, found.p10, "10th percentile"),
            (MeasurementName.MEDIAN_THICKNESS, found.median, "50th percentile"),
            (MeasurementName.P90_THICKNESS, found.p90, "90th percentile"),
        )
    )


def _hoffa(found: HoffaSignal | NotMeasured) -> tuple[Measurement, ...]:
    if isinstance(found, NotMeasured):
        return ()
    return (
        _one(
            MeasurementName.HOFFA_SIGNAL_SHARE,
            found.share,
            found.sd,
            "fat pad voxels brighter than halfway from marrow to cartilage",
            hoffa.HOFFA_DEFINITION,
        ),
    )


def _depth(parts: KneeParts, tissue: SoftTissue) -> tuple[Measurement, ...]:
    if tissue.effusion_depth_mm is None:
        return ()
    return (
        _one(
            MeasurementName.EFFUSION_DEPTH,
            tissue.effusion_depth_mm,
            _LENGTH_SD * parts.knee.spacing[1],
            "front to back, behind and above the patella, deepest 50 mm²",
            effusion.DEPTH_DEFINITION,
        ),
    )


def _height(
    parts: KneeParts, numbers: PartNumbers, name: MeasurementName
) -> tuple[Measurement, ...]:
    if numbers.height_mm is None:
        return ()
    sd = _LENGTH_SD * parts.knee.spacing[2]
    method = "95th percentile over columns seen from above"
    return (_one(name, numbers.height_mm, sd, method, meniscal_parts.HEIGHT_DEFINITION),)


def _of_part(parts: KneeParts, numbers: PartNumbers | None) -> tuple[Measurement, ...]:
    if numbers is None:
        return ()
    height = _height(parts, numbers, MeasurementName.MENISCUS_PART_HEIGHT)
    ratio = numbers.signal
    if isinstance(ratio, NotMeasured):
        return height
    return (
        *height,
        _one(
            MeasurementName.SIGNAL_RATIO,
            ratio.value,
            ratio.sd,
            "median signal over that of femoral and tibial marrow",
            meniscal_parts.SIGNAL_DEFINITION,
        ),
    )


def _gap(parts: KneeParts, found: Continuity | NotMeasured) -> tuple[Measurement, ...]:
    if isinstance(found, NotMeasured):
        return ()
    return (
        _one(
            MeasurementName.STRUCTURE_GAP,
            found.gap_mm,
            _LENGTH_SD * parts.knee.spacing[2],
            f"longest stretch without the label on {found.course_mm:.0f} mm of course",
            ligaments.GAP_DEFINITION,
        ),
    )
