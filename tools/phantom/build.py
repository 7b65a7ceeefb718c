"""One phantom: healthy knee, pathology, voxels and truth."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, Side
from tools.phantom.appearance import BIAS, NOISE_SD, paint_image
from tools.phantom.defects import paint_defect
from tools.phantom.grid import DEMO_GRID, Grid
from tools.phantom.hoffa import build_synovitis
from tools.phantom.marrow import paint_marrow
from tools.phantom.menisci import Menisci, build_menisci
from tools.phantom.meniscus_course import MeniscusState
from tools.phantom.model import KneeModel, build_model
from tools.phantom.pathology import Absence, Pathology, Severity, draw_pathology
from tools.phantom.plate import SUBREGIONS, Plate
from tools.phantom.raster import rasterise
from tools.phantom.sick_knee import SickKnee, SickPlate
from tools.phantom.soft_tissue import TORN_ACL_STUMP, build_soft_tissue
from tools.phantom.spurs import place_spur
from tools.phantom.tissues import label_lookup
from tools.phantom.truth import TruthRecord, measure_truth


@dataclass(frozen=True, eq=False)
class Phantom:
    """What a scanner, a segmenter and an all-knowing reader would hand over."""

    seed: int
    side: Side
    image: NDArray[np.int16]
    label_map: NDArray[np.uint8]
    affine: NDArray[np.float64]
    """Voxel index to RAS mm."""
    truth: tuple[TruthRecord, ...]
    knee: SickKnee
    """The shapes themselves, for analytic regions (`model.find_subregions(knee.model, …)`)."""


def paint_plate(model: KneeModel, plate: Plate, pathology: Pathology, seed: int) -> SickPlate:
    """Returns a plate's cartilage and lesion tables with its share of the pathology."""
    thickness = plate.cartilage.copy()
    lesions = np.zeros((*plate.surface.shape, plate.layers().size), np.uint8)
    for number, subregion in enumerate(SUBREGIONS):
        if subregion.bone is not plate.bone:
            continue
        # A stream per subregion: a lesion here never moves one elsewhere.
        rng = np.random.default_rng([seed, 3, number])
        if (marrow := pathology.bml.get(subregion)) is not None:
            paint_marrow(plate, number, marrow, model.pose.scale, lesions, rng)
        rng = np.random.default_rng([seed, 4, number])
        if (defect := pathology.cartilage.get(subregion)) is not None:
            paint_defect(plate, number, defect, thickness, rng)
    return SickPlate(plate, thickness, lesions)


def _menisci(model: KneeModel, pathology: Pathology) -> tuple[MeniscusState, Menisci]:
    scale = model.pose.scale
    extrusion = {site: mm / scale for site, mm in pathology.extrusion_mm.items()}
    kept = {part: 0.0 if code == 8 else 0.5 for part, code in pathology.morphology.items()}
    state = MeniscusState(extrusion, kept)
    return state, build_menisci(
        model.shape, model.tibia, model.femoral_floor, model.plate_borders, state
    )


def build_knee(seed: int, side: Side, pathology: Pathology) -> SickKnee:
    """Returns the knee of a seed with a given pathology, as shapes only."""
    model = build_model(seed, side)
    state, menisci = _menisci(model, pathology)
    plates = {p.bone: paint_plate(model, p, pathology, seed) for p in model.plates()}
    spurs = tuple(place_spur(model, site, mm) for site, mm in pathology.osteophyte_mm.items())
    acl_left = 0.0 if pathology.acl_gone else TORN_ACL_STUMP if pathology.acl_torn else 1.0
    tissue = build_soft_tissue(model, pathology.effusion_ml, acl_left)
    synovitis = build_synovitis(
        model, tissue, pathology.hoffa_share, np.random.default_rng([seed, 7])
    )
    return SickKnee(
        model=model,
        femur=plates[Bone.FEMUR],
        tibia=plates[Bone.TIBIA],
        patella=plates[Bone.PATELLA],
        meniscus_state=state,
        menisci=menisci,
        morphology=dict(pathology.morphology),
        spurs=spurs,
        tissue=tissue,
        synovitis=synovitis,
        acl_torn=pathology.acl_torn or pathology.acl_gone,
    )


def make_phantom(
    seed: int,
    side: Side,
    grid: Grid = DEMO_GRID,
    severity: Severity = None,
    *,
    clear_of_thresholds: bool = True,
    pathology: Pathology | None = None,
    absent: Collection[Absence] = (),
    noise_sd: float = NOISE_SD,
    bias: float = BIAS,
) -> Phantom:
    """Returns the phantom of a seed; the same arguments give the same voxels.

    Args:
        seed: anatomy, pathology and noise come from separate streams of it, so that two phantoms
            of one seed and different pathology are the same knee.
        side: a left knee is the mirror image of the right one of its seed (the noise is not).
        grid: where to draw.
        severity: see `pathology.Severity`; ignored when `pathology` is given.
        clear_of_thresholds: keep extents away from the grades' borders.
        pathology: findings to draw instead of random ones.
        absent: structures that are gone without a voxel, whatever else is drawn.
        noise_sd: standard deviation of the noise, in image units (cartilage is about 190).
        bias: how far the coil's sensitivity departs from 1 along each axis, 0 to 0.5.

    Raises:
        InputError: severity, noise or bias are out of range.
    """
    if pathology is None:
        pathology = draw_pathology(seed, severity, clear_of_thresholds=clear_of_thresholds)
    knee = build_knee(seed, side, pathology.without(absent))
    tissue: NDArray[np.uint8] = rasterise(knee, grid)
    image = paint_image(tissue, grid, np.random.default_rng([seed, 5]), noise_sd, bias)
    labels = label_lookup()[tissue]
    return Phantom(seed, side, image, labels, grid.affine, measure_truth(knee), knee)
