"""The phantom's own regions: where each of the questions 1-62 asks, from the healthy shapes.

A region is a set of knee-frame points whose bounding box is that of the region, with a margin in
real mm. It is computed on the healthy knee of the seed, so that pathology never moves it: the ACL
that is torn, the meniscus that is macerated and the cartilage that is gone have the region that
they would have. Only an extruded meniscus is where it is. Nothing here knows how regions are found
in a label map. A knee parted by `bone_rules.without_menisci` has the regions of a map without
menisci.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from knee.anatomy import Bone, ExtrusionSite, MeniscusPart, OsteophyteSite, Subregion
from knee.errors import InputError
from knee.geometry import Box3D, voxel_box
from knee.moaks import Feature
from knee.questions import Question
from tools.phantom.grid import Grid
from tools.phantom.hoffa import fat_pad_points
from tools.phantom.marrow import points_below
from tools.phantom.menisci import build_menisci
from tools.phantom.meniscus_course import (
    MeniscusState,
    edges,
    horn_end_degrees,
    margin_distance,
    taper,
)
from tools.phantom.model import KneeModel
from tools.phantom.plate import SUBREGIONS, Plate
from tools.phantom.shape import FloatArray
from tools.phantom.soft_tissue import Band, build_soft_tissue
from tools.phantom.spurs import femoral_margin
from tools.phantom.tibia import COMPARTMENT_X, SPINE_Y, outline_radius
from tools.phantom.tibial_parts import across_of, meniscus_part_names

MARGIN_MM = 8.0
"""RULES 12: around osteophyte margins, extrusion margins and posterior roots."""
CYST_MARGIN_MM = 10.0
"""RULES 12 has 8 to 10 mm around the meniscus."""
_PLATE_MIDDLE = (0.2, 0.8)
"""The tibia's osteophyte sites: the middle three fifths of the plate's length; beyond lie the
corners that MOAKS does not grade."""
_FULL_EFFUSION_ML = 17.0
"""The most that the phantom draws: how far the joint cavity's wall can be pushed."""
_RESTING_ML = 1.5
_POUCH_MM = 50.0
"""Real mm above the patella to which the suprapatellar pouch reaches: three fingers' breadth
(Gray's Anatomy); the fluid that the phantom draws does not fill its top."""
_TIP_DEG = 3.0
"""The attachment's centre lies this far before the horn's end."""
_OF_MENISCI = (Feature.MORPHOLOGY, Feature.MENISCAL_CYST, Feature.HYPERTROPHY)


class Region(NamedTuple):
    """A region of one knee.

    Attributes:
        points: knee-frame mm, shape (n, 3).
        margin_mm: real mm that the box reaches beyond the points, on every side.
    """

    points: FloatArray
    margin_mm: float = 0.0


def find_region(
    model: KneeModel, question: Question, extrusion: dict[ExtrusionSite, float] | None = None
) -> Region:
    """Returns the region of a question.

    Args:
        model: the healthy knee.
        question: 1 to 62.
        extrusion: knee-frame mm, where the menisci lie (`MeniscusState.extrusion`); None for in
            place.

    Raises:
        InputError: the question has no region (63-69).
    """
    if question.feature in _OF_MENISCI:
        return _meniscus(model, question, MeniscusState(extrusion or {}))
    builder = _BUILDERS.get(question.feature)
    if builder is None:
        raise InputError(f"question {question.question_id!r} has no region", "1 to 62 have one")
    return builder(model, question.site)


def region_box(model: KneeModel, grid: Grid, region: Region) -> tuple[Box3D, bool] | None:
    """Returns a region's box in a grid's stored voxels, and whether the grid cuts it off.

    The box holds the voxels whose centre lies within the bounding box of the region's points, taken
    along the grid's axes; at least one voxel on each axis. None where nothing is left of it.
    """
    ras = model.pose.to_ras(region.points.astype(np.float64))
    index = (ras - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    reach = region.margin_mm / np.linalg.norm(grid.affine[:3, :3], axis=0)
    low, high = index.min(axis=0) - reach, index.max(axis=0) + reach
    lower, upper = np.ceil(low).astype(int), np.floor(high).astype(int) + 1
    thin = lower >= upper
    lower[thin] = np.rint((low + high)[thin] / 2).astype(int)
    upper[thin] = lower[thin] + 1
    size = np.asarray(grid.shape)
    cut_low, cut_high = np.maximum(lower, 0), np.minimum(upper, size)
    if bool((cut_low >= cut_high).any()):
        return None
    truncated = bool((lower < 0).any() or (upper > size).any())
    (i0, j0, k0), (i1, j1, k1) = cut_low.tolist(), cut_high.tolist()
    return voxel_box(i0, i1, j0, j1, k0, k1), truncated


def _plate_of(model: KneeModel, bone: Bone) -> Plate:
    return next(plate for plate in model.plates() if plate.bone is bone)


def _cells(plate: Plate, subregion: Subregion) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.nonzero(plate.subregion == SUBREGIONS.index(subregion))
    return rows, columns


def _bml(model: KneeModel, site: str) -> Region:
    """The bone wedge: from the surface to the wedge's depth below it."""
    subregion = Subregion(site)
    plate = _plate_of(model, subregion.bone)
    rows, columns = _cells(plate, subregion)
    depths = np.append(np.float32(0.0), plate.layers())
    points = points_below(plate, rows, columns, depths)
    inside = depths[None, :] <= plate.max_depth[rows, columns][:, None]
    return Region(points[inside])


def _cartilage(model: KneeModel, site: str) -> Region:
    """Where healthy cartilage lies: the bone's surface and the cartilage's."""
    subregion = Subregion(site)
    plate = _plate_of(model, subregion.bone)
    rows, columns = _cells(plate, subregion)
    surface = -plate.cartilage[rows, columns]
    depths = np.stack([np.zeros_like(surface), surface], axis=1)
    return Region(points_below(plate, rows, columns, depths).reshape(-1, 3))


def _osteophyte(model: KneeModel, site: str) -> Region:
    """The site's stretch of the margin that carries no osteophyte."""
    bone, first, *rest = OsteophyteSite(site).value.split("_")
    if bone == "femur":
        return Region(_femoral_stretch(model, first, rest[0]), MARGIN_MM)
    if bone == "tibia":
        return Region(_tibial_stretch(model, first), MARGIN_MM)
    return Region(_patellar_stretch(model, first), MARGIN_MM)


def _femoral_stretch(model: KneeModel, side: str, part: str) -> FloatArray:
    """The condyle's outer margin over the angles at which the subregion reaches the outer side."""
    femur = model.femur
    name = "trochlea" if part == "anterior" else part
    mine = femur.subregion == SUBREGIONS.index(Subregion(f"femur_{side}_{name}"))
    sign = -1.0 if side == "medial" else 1.0
    outer = femur.u * sign > model.shape.condyle_x
    columns = np.flatnonzero(mine[outer].any(axis=0))
    points = [femoral_margin(model, sign, float(femur.v[column])) for column in columns]
    return np.asarray(points, np.float32)


def _tibial_stretch(model: KneeModel, side: str) -> FloatArray:
    sign = -1.0 if side == "medial" else 1.0
    tibia = model.tibia
    plate = (tibia.cartilage > 0.0) & (tibia.points[..., 0] * sign > 0.0)
    ends = tibia.points[..., 1][plate]
    low, high = float(ends.min()), float(ends.max())
    azimuth = np.linspace(-np.pi, np.pi, 1441, dtype=np.float32)
    radius = outline_radius(model.shape, azimuth)
    x, y = radius * np.cos(azimuth), SPINE_Y + radius * np.sin(azimuth)
    middle = [low + share * (high - low) for share in _PLATE_MIDDLE]
    here = (x * sign > COMPARTMENT_X) & (y >= middle[0]) & (y <= middle[1])
    level = float(np.median(tibia.points[..., 2][plate]))
    return np.stack([x[here], y[here], np.full(int(here.sum()), level)], axis=1).astype(np.float32)


def _patellar_stretch(model: KneeModel, pole: str) -> FloatArray:
    """The disc's edge, halfway between back and front, in the quarter that faces the pole."""
    patella = model.patella
    plate = patella.plate
    bone = patella.front > plate.surface + 0.5
    rim = bone & ~(
        np.roll(bone, 1, 0) & np.roll(bone, -1, 0) & np.roll(bone, 1, 1) & np.roll(bone, -1, 1)
    )
    x, z = plate.points[..., 0], plate.points[..., 2]
    used = [np.ptp(a[bone]) / 2 + a[bone].min() for a in (x, z)]
    across, up = x - used[0], z - used[1]
    facing = {
        "superior": up > np.abs(across),
        "inferior": -up > np.abs(across),
        "lateral": across >= np.abs(up),
        "medial": -across >= np.abs(up),
    }[pole]
    here = rim & facing
    y = 0.5 * (plate.surface + patella.front)
    return np.stack([x[here], y[here], z[here]], axis=1).astype(np.float32)


def _hoffa(model: KneeModel, _site: str) -> Region:
    tissue = build_soft_tissue(model, _RESTING_ML)
    x, y, z = fat_pad_points(model, tissue, 1.0)
    return Region(np.stack([x, y, z], axis=1))


def _joint_cavity(model: KneeModel, _site: str) -> Region:
    """Everything that the fluid of a severe effusion fills in front of the femur, and the pouch."""
    tissue = build_soft_tissue(model, _FULL_EFFUSION_ML)
    recess = tissue.recess
    x, z = np.meshgrid(recess.u, recess.v, indexing="ij")
    filled = recess.profile > 0.0
    back = recess.back
    front = back + tissue.distension * recess.profile
    points = [np.stack([x[filled], wall[filled], z[filled]], axis=1) for wall in (back, front)]
    top = points[1][points[1][:, 2].argmax()].copy()
    shape = model.shape
    top[2] = shape.patella_z + shape.patella_half_height + _POUCH_MM / model.pose.scale
    return Region(np.concatenate([*points, top[None]]).astype(np.float32))


def _side(site: str) -> str:
    return site.split("_")[0]


def _extrusion(model: KneeModel, site: str) -> Region:
    """The tibial margin at the reference slice."""
    where = ExtrusionSite(site)
    side, sign = _side(site), -1.0 if _side(site) == "medial" else 1.0
    anterior = where.value.endswith("anterior")
    reach = float(margin_distance(model.shape, side, np.asarray([90.0 if anterior else 0.0]))[0])
    x = sign * COMPARTMENT_X if anterior else sign * (COMPARTMENT_X + reach)
    y = SPINE_Y + (reach if anterior else 0.0)
    plate = (model.tibia.cartilage > 0.0) & (model.tibia.points[..., 0] * sign > 0.0)
    level = float(np.median(model.tibia.points[..., 2][plate]))
    return Region(np.asarray([[x, y, level]], np.float32), MARGIN_MM)


def _meniscus(model: KneeModel, question: Question, state: MeniscusState) -> Region:
    """A meniscus or one part of it, and the space around it in which its cysts lie."""
    menisci = build_menisci(
        model.shape, model.tibia, model.femoral_floor, model.plate_borders, state
    )
    side = _side(question.site)
    here = (menisci.top > menisci.bottom) & (menisci.lateral == (side == "lateral"))
    x, y = model.tibia.points[..., 0], model.tibia.points[..., 1]
    if question.feature is Feature.MORPHOLOGY:
        part = MeniscusPart(question.site).value.split("_")[2]
        names = meniscus_part_names(model.plate_borders[side], across_of(side, x), y)
        here &= names == part
    points = [
        np.stack([x[here], y[here], height[here]], axis=1)
        for height in (menisci.bottom, menisci.top)
    ]
    margin = CYST_MARGIN_MM if question.feature is Feature.MENISCAL_CYST else 0.0
    return Region(np.concatenate(points), margin)


def _root(model: KneeModel, site: str) -> Region:
    """The tip of the posterior horn, where it has tapered towards its outer edge."""
    side = _side(site)
    degrees = np.asarray([-(horn_end_degrees(side) - _TIP_DEG)])
    outer, width = edges(model.shape, side, MeniscusState(), degrees)
    reach = float(outer[0] - 0.5 * taper(side, degrees)[0] * width[0])
    angle = np.deg2rad(float(degrees[0]))
    sign = -1.0 if side == "medial" else 1.0
    x = sign * (COMPARTMENT_X + reach * np.cos(angle))
    y = SPINE_Y + reach * np.sin(angle)
    tibia = model.tibia
    row = int(np.abs(tibia.u - x).argmin())
    column = int(np.abs(tibia.v - y).argmin())
    return Region(np.asarray([[x, y, tibia.surface[row, column]]], np.float32), MARGIN_MM)


def _band_points(band: Band) -> FloatArray:
    """Points on a band's surface, its rounded ends within the bone included."""
    steps = np.linspace(0.0, 1.0, 24)[:, None]
    course = np.concatenate(
        [a + steps * (b - a) for a, b in zip(band.course[:-1], band.course[1:], strict=True)]
    )
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    rise = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)
    half = np.asarray([band.half_width, band.half_thickness, band.half_thickness])
    ball = np.stack(
        [
            np.outer(np.cos(angle), np.cos(rise)),
            np.outer(np.sin(angle), np.cos(rise)),
            np.outer(np.ones(angle.size), np.sin(rise)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    return (course[:, None] + ball[None] * half).reshape(-1, 3).astype(np.float32)


def _band(name: str) -> Callable[[KneeModel, str], Region]:
    def build(model: KneeModel, _site: str) -> Region:
        tissue = build_soft_tissue(model, _RESTING_ML)
        bands = {
            "acl": tissue.acl,
            "pcl": tissue.pcl,
            "patellar_tendon": tissue.patellar_tendon,
        }
        return Region(_band_points(bands[name]))

    return build


_BUILDERS: dict[Feature, Callable[[KneeModel, str], Region]] = {
    Feature.BML: _bml,
    Feature.CARTILAGE: _cartilage,
    Feature.OSTEOPHYTE: _osteophyte,
    Feature.HOFFA_SYNOVITIS: _hoffa,
    Feature.EFFUSION_SYNOVITIS: _joint_cavity,
    Feature.EXTRUSION: _extrusion,
    Feature.ROOT_TEAR: _root,
    Feature.ACL: _band("acl"),
    Feature.PCL: _band("pcl"),
    Feature.PATELLAR_TENDON: _band("patellar_tendon"),
}
