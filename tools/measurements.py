"""From a measured knee to the measurements of one question, with methods and uncertainties.

Uncertainty has two sources, added as variances:

    voxels   an edge lies anywhere within a voxel (uniform, SD of voxel / sqrt 12). A length between
             two edges has sqrt 2 times that; an area or volume has its outline times that, as if
             all of the outline moved together, which is the cautious bound.
    borders  between subregions, and margins without osteophytes, are estimates. Their SDs below are
             those of their errors on the training phantoms (`tests.bench_tools` shows how often a
             true extent lies within 2 SD). A border that moves adds or takes a strip of the
             subregion, in which a finding of share p is there or not: SD sqrt(p (1 - p)) of it.

A count of lesions has no SD: it is off by whole lesions (two that touch are one, one that reaches
over a border counts twice), not by voxels. On the training phantoms 5 of 67 counts were one too
low, the others right. MOAKS' cut-offs are the counts themselves, so that any SD would call every
count borderline, the certain ones too.
"""

import math
from collections.abc import Callable

import numpy as np

from knee.anatomy import (
    Compartment,
    ExtrusionSite,
    MeniscusPart,
    OsteophyteSite,
    Structure,
    Subregion,
)
from knee.findings import UNITS, Measurement, MeasurementName
from knee.moaks import Feature
from knee.questions import Question
from tools import cartilage, effusion, lesions, menisci, osteophytes
from tools.articular_surface import cartilage_of
from tools.bone_cartilage_interface import INTERFACE_DEFINITION
from tools.knee_parts import KneeParts
from tools.landmarks import MENISCI

_EDGE_SD = 1 / math.sqrt(12)
_BORDER_SD_MM = 1.5
"""Of a border between subregions."""
_DENUDED_SD_SHARE = 0.15
"""Of the full-thickness share itself: how far cartilage reached is estimated where it is gone. On
six training phantoms (seeds 1000-1005) the 16 losses of 10 % and more were off by 15 % of
themselves (root mean square), most of them too small, by up to 24 points."""
_THINNED_SD_SHARE = 0.1
"""Of the share with thinned cartilage: where a slope begins to count as thinned."""
_MARGIN_SD_MM = 0.3
"""Of the tibia's osteophyte-free margin."""
_PROTRUSION_SD_MM = 0.5
"""Of an osteophyte's protrusion: the margin under its base is bridged."""
VOLUME_DEFINITION = "structure.volume@1"
"""Volume of a labelled structure: its voxels times the volume of one."""


def measure(parts: KneeParts, question: Question) -> tuple[Measurement, ...]:
    """Returns what can be measured for a question; empty when nothing can."""
    builder = _BUILDERS.get(question.feature)
    return builder(parts, question.site) if builder else ()


def _one(
    name: MeasurementName, value: float, sd: float | None, method: str, definition: str
) -> Measurement:
    return Measurement(
        name=name,
        value=value,
        unit=UNITS[name],
        sd=sd,
        method=method,
        definition_id=definition,
    )


def _share_sd_area(share: float, total_mm2: float, step: float) -> float:
    """SD in percent of a share of a surface: the loss's outline, and the subregion's borders."""
    area = max(share, 1.0) / 100 * total_mm2
    voxels = 2 * math.sqrt(math.pi * area) * step * _EDGE_SD / total_mm2
    return 100 * math.hypot(voxels, _border_sd(share, total_mm2))


def _share_sd_volume(volume_mm3: float, total_mm3: float, step: float) -> float:
    """SD in percent of a share of a volume: the surface of what is in it times the edge's SD."""
    surface = 4.84 * max(volume_mm3, 1.0) ** (2 / 3)
    return 100 * surface * step * _EDGE_SD / total_mm3


def _border_sd(share: float, surface_mm2: float) -> float:
    """SD of a share (percent) that the borders of a subregion make, as a fraction of it."""
    p = min(max(share, 0.0), 100.0) / 100
    return math.sqrt(2 * p * (1 - p)) * _BORDER_SD_MM / math.sqrt(surface_mm2)


def _mean_step(parts: KneeParts) -> float:
    return float(np.prod(parts.knee.spacing)) ** (1 / 3)


def _bml(parts: KneeParts, site: str) -> tuple[Measurement, ...]:
    subregion = Subregion(site)
    numbers = parts.lesions.get(subregion)
    if numbers is None:
        return ()
    wedge = _one(
        MeasurementName.SUBREGION_VOLUME,
        numbers.wedge_mm3,
        None,
        "bone voxels of the subregion within 15 mm of its articular surface",
        lesions.WEDGE_DEFINITION,
    )
    if lesions.BML_LABELS[subregion.bone] not in parts.knee.schemed:
        return (wedge,)
    step, size = _mean_step(parts), numbers.lesion_mm3
    return (
        _one(
            MeasurementName.BML_VOLUME_SHARE,
            numbers.volume_share,
            math.hypot(
                _share_sd_volume(size, numbers.wedge_mm3, step),
                100 * _border_sd(numbers.volume_share, numbers.wedge_mm3 / lesions.WEDGE_DEPTH_MM),
            ),
            "BML and cyst labels over the subregion's bone",
            lesions.LESION_DEFINITION,
        ),
        _one(
            MeasurementName.BML_COUNT,
            float(numbers.n_lesions),
            None,
            "connected lesions of at least 10 mm³ in the subregion",
            lesions.LESION_DEFINITION,
        ),
        *_share_of_lesion(parts, numbers, step),
        _one(
            MeasurementName.BML_VOLUME,
            size,
            4.84 * size ** (2 / 3) * step * _EDGE_SD,
            "BML and cyst labels in the subregion",
            lesions.LESION_DEFINITION,
        ),
        wedge,
    )


def _share_of_lesion(
    parts: KneeParts, numbers: lesions.LesionNumbers, step: float
) -> tuple[Measurement, ...]:
    """BML rather than cyst; nothing from a map without a label for cysts, which are then in it."""
    if Structure.SUBCHONDRAL_CYST not in parts.knee.schemed:
        return ()
    size, cyst = numbers.lesion_mm3, numbers.cyst_mm3
    return (
        _one(
            MeasurementName.BML_SHARE_OF_LESION,
            numbers.bml_share_of_lesion,
            _share_sd_volume(cyst, size, step) if cyst else None,
            "BML label over BML and cyst labels" if size else "0 because there is no lesion",
            lesions.LESION_DEFINITION,
        ),
    )


def _cartilage(parts: KneeParts, site: str) -> tuple[Measurement, ...]:
    subregion = Subregion(site)
    plate = parts.plates.get(subregion.bone)
    labelled = cartilage_of(subregion) in parts.knee.schemed
    numbers = cartilage.measure_cartilage(plate, subregion) if plate and labelled else None
    if plate is None or numbers is None:
        return ()
    found = _cartilage_shares(numbers, math.sqrt(plate.chart.step[0] * plate.chart.step[1]))
    length_sd = math.sqrt(2) * _EDGE_SD * min(parts.knee.spacing)
    for name, value, method in (
        (MeasurementName.MEAN_THICKNESS, numbers.mean_thickness, "along the normal, covered part"),
        (MeasurementName.MIN_THICKNESS, numbers.min_thickness, "5th percentile, covered part"),
    ):
        if value is not None:
            found.append(_one(name, value, length_sd, method, cartilage.THICKNESS_DEFINITION))
    area = _one(
        MeasurementName.SURFACE_AREA,
        numbers.area,
        None,
        "estimated bone-cartilage interface of the subregion",
        INTERFACE_DEFINITION,
    )
    return (*found, area)


def _cartilage_shares(numbers: cartilage.CartilageNumbers, step: float) -> list[Measurement]:
    """Shares of the interface; step is the mm between rays."""
    thinned = _THINNED_SD_SHARE * numbers.thinned_share
    denuded = _DENUDED_SD_SHARE * numbers.full_thickness_share
    return [
        _one(
            name,
            value,
            math.hypot(_share_sd_area(value, numbers.area, step), estimated),
            f"area of the estimated bone-cartilage interface, {what}",
            definition,
        )
        for name, value, what, definition, estimated in (
            (
                MeasurementName.SURFACE_LOSS_SHARE,
                numbers.surface_loss_share,
                "bare or thinned",
                cartilage.SURFACE_LOSS_DEFINITION,
                math.hypot(thinned, denuded),
            ),
            (
                MeasurementName.FULL_THICKNESS_SHARE,
                numbers.full_thickness_share,
                "without cartilage",
                cartilage.FULL_THICKNESS_DEFINITION,
                denuded,
            ),
            (
                MeasurementName.THINNED_SHARE,
                numbers.thinned_share,
                f"thinner than 70 % of {numbers.reference:.1f} mm, less at the edge",
                cartilage.THINNED_DEFINITION,
                thinned,
            ),
        )
    ]


def _osteophyte(parts: KneeParts, site: str) -> tuple[Measurement, ...]:
    margin = parts.margins.get(OsteophyteSite(site))
    if margin is None:
        return ()
    return (
        _one(
            MeasurementName.OSTEOPHYTE_PROTRUSION,
            margin.protrusion_mm,
            math.hypot(math.sqrt(2) * _EDGE_SD * _mean_step(parts), _PROTRUSION_SD_MM),
            "bone beyond the osteophyte-free margin",
            osteophytes.OSTEOPHYTE_DEFINITION,
        ),
    )


def _effusion(parts: KneeParts, _site: str) -> tuple[Measurement, ...]:
    volume = effusion.effusion_ml(parts.knee)
    if volume is None:
        return ()
    sd = 4.84 * (1000 * volume) ** (2 / 3) * _mean_step(parts) * _EDGE_SD / 1000
    name = MeasurementName.EFFUSION_VOLUME
    return (_one(name, volume, sd, "joint fluid label", effusion.EFFUSION_DEFINITION),)


def _extrusion(parts: KneeParts, site: str) -> tuple[Measurement, ...]:
    extrusion = parts.extrusions.get(ExtrusionSite(site))
    if extrusion is None or extrusion.value_mm is None:
        return ()
    coronal = extrusion.axis == 0
    return (
        _one(
            MeasurementName.EXTRUSION,
            extrusion.value_mm,
            math.hypot(math.sqrt(2) * _EDGE_SD * parts.knee.spacing[extrusion.axis], _MARGIN_SD_MM),
            "coronal, at the medial tibial spine" if coronal else "sagittal, mid-compartment",
            menisci.CORONAL_DEFINITION if coronal else menisci.SAGITTAL_DEFINITION,
        ),
    )


def _volume(parts: KneeParts, n_voxels: int, name: MeasurementName, method: str) -> Measurement:
    volume = n_voxels * parts.knee.voxel_mm3
    sd = 4.84 * volume ** (2 / 3) * _mean_step(parts) * _EDGE_SD / 1000
    return _one(name, volume / 1000, sd, method, VOLUME_DEFINITION)


def _morphology(parts: KneeParts, site: str) -> tuple[Measurement, ...]:
    part = MeniscusPart(site)
    if part not in parts.part_voxels or MENISCI[menisci.part_of(part)[0]] not in parts.knee.schemed:
        return ()
    n_voxels = parts.part_voxels[part]
    method = "meniscus label over this third of the plateau"
    return (_volume(parts, n_voxels, MeasurementName.MENISCUS_PART_VOLUME, method),)


def _whole_meniscus(parts: KneeParts, site: str) -> tuple[Measurement, ...]:
    structure = MENISCI[Compartment(site.split("_")[0])]
    if structure not in parts.knee.schemed:
        return ()
    n_voxels = parts.knee.n_voxels(structure)
    return (_volume(parts, n_voxels, MeasurementName.MENISCUS_VOLUME, "meniscus label"),)


def _structure(structure: Structure) -> Callable[[KneeParts, str], tuple[Measurement, ...]]:
    def build(parts: KneeParts, _site: str) -> tuple[Measurement, ...]:
        if structure not in parts.knee.schemed:
            return ()
        n_voxels = parts.knee.n_voxels(structure)
        method = f"{structure.value} label"
        return (_volume(parts, n_voxels, MeasurementName.STRUCTURE_VOLUME, method),)

    return build


_BUILDERS: dict[Feature, Callable[[KneeParts, str], tuple[Measurement, ...]]] = {
    Feature.BML: _bml,
    Feature.CARTILAGE: _cartilage,
    Feature.OSTEOPHYTE: _osteophyte,
    Feature.HOFFA_SYNOVITIS: _structure(Structure.HOFFA_FAT_PAD),
    Feature.EFFUSION_SYNOVITIS: _effusion,
    Feature.EXTRUSION: _extrusion,
    Feature.MORPHOLOGY: _morphology,
    Feature.MENISCAL_CYST: _whole_meniscus,
    Feature.HYPERTROPHY: _whole_meniscus,
    Feature.ROOT_TEAR: _whole_meniscus,
    Feature.ACL: _structure(Structure.ACL),
    Feature.PCL: _structure(Structure.PCL),
    Feature.PATELLAR_TENDON: _structure(Structure.PATELLAR_TENDON),
}
