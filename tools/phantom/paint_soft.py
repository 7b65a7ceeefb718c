"""Painters of menisci, ligaments, fluid and fat pad."""

import numpy as np

from tools.phantom.femur import polar
from tools.phantom.hoffa import fat_pad
from tools.phantom.plate import sample
from tools.phantom.sick_knee import SickKnee
from tools.phantom.slab import Box, Slab
from tools.phantom.tissues import Tissue

_JOINT_BOX = Box((-50.0, -40.0, -8.0), (50.0, 40.0, 22.0))


def paint_menisci(slab: Slab, knee: SickKnee) -> None:
    """Writes both menisci."""
    part = slab.empty_in(_JOINT_BOX)
    plate = knee.tibia.plate
    row, column = plate.index_of(part.x, part.y)
    top = sample(knee.menisci.top, row, column)
    bottom = sample(knee.menisci.bottom, row, column)
    inside = (part.z > bottom) & (part.z < top)
    code = np.where(part.x > 0.0, Tissue.LATERAL_MENISCUS, Tissue.MEDIAL_MENISCUS)
    part.write(np.where(inside, code, 0))


def paint_bands(slab: Slab, knee: SickKnee) -> None:
    """Writes cruciate ligaments and the tendons of the extensor."""
    bands = (
        (knee.tissue.acl, Tissue.ACL),
        (knee.tissue.pcl, Tissue.PCL),
        (knee.tissue.patellar_tendon, Tissue.PATELLAR_TENDON),
        (knee.tissue.quadriceps_tendon, Tissue.QUADRICEPS_TENDON),
    )
    for band, code in bands:
        low = band.course.min(axis=0) - band.half_width
        high = band.course.max(axis=0) + band.half_width
        part = slab.empty_in(Box(tuple(low), tuple(high)))
        part.write(np.where(band.holds(part.x, part.y, part.z), code, 0))


def paint_fluid(slab: Slab, knee: SickKnee) -> None:
    """Writes the fluid of the suprapatellar and retropatellar recess."""
    part = slab.empty_in(Box((-36.0, 5.0, 20.0), (36.0, 80.0, 82.0)))
    back, profile = knee.tissue.recess.at(part.x, part.z)
    depth = knee.tissue.distension * profile
    behind = part.y - back
    part.write(np.where((behind > 0.0) & (behind < depth), Tissue.JOINT_FLUID, 0))


def paint_fat_pad(slab: Slab, knee: SickKnee) -> None:
    """Writes Hoffa's fat pad and its bright part."""
    part = slab.empty_in(Box((-30.0, 7.0, -22.0), (30.0, 70.0, 32.0)))
    inside = fat_pad(knee.model, knee.tissue, part.x, part.y, part.z)
    code = np.full(inside.shape, Tissue.HOFFA_FAT_PAD, np.uint8)
    if knee.synovitis is not None:
        code[knee.synovitis.bright(part.x, part.y, part.z)] = Tissue.HOFFA_SYNOVITIS
    part.write(np.where(inside, code, 0))


def paint_joint_gap(slab: Slab, knee: SickKnee) -> None:
    """Synovial fluid between the surfaces: bright in the image, not labelled."""
    part = slab.empty_in(_JOINT_BOX)
    plate = knee.tibia.plate
    row, column = plate.index_of(part.x, part.y)
    height = sample(plate.surface, row, column)
    floor = sample(np.minimum(knee.model.femoral_floor, 40.0), row, column)
    bearing = sample(plate.cartilage, row, column) > 0.0
    gap = bearing & (part.z > height) & (part.z < np.minimum(floor + 3.0, height + 8.0))
    # Between the spines and in the notch lies synovium and fat, not free fluid.
    notch = ~bearing & ((part.x / 14.0) ** 2 + ((part.y + 2.0) / 20.0) ** 2 < 1.0)
    notch &= (part.z > height) & (part.z < 20.0)
    part.write(
        np.where(gap & (floor < 39.0), Tissue.JOINT_GAP, np.where(notch, Tissue.SYNOVIUM, 0))
    )
    front = slab.empty_in(Box((-24.0, 20.0, 14.0), (26.0, 60.0, 60.0)))
    patella = knee.patella.plate
    row, column = patella.index_of(front.x, front.z)
    ahead = sample(patella.surface, row, column) - front.y
    angle, radius = polar(front.y, front.z)
    femoral = knee.femur.plate
    r, c = femoral.index_of(front.x, angle)
    beyond = radius - sample(femoral.surface, r, c)
    covered = sample(patella.cartilage, row, column) > 0.0
    between = covered & (ahead > 0.0) & (beyond > 0.0) & (beyond < 8.0)
    # A film of fluid where the surfaces are close, folds of synovium where they part.
    film = np.where(ahead + beyond < 7.5, Tissue.JOINT_GAP, Tissue.SYNOVIUM)
    front.write(np.where(between, film, 0))
