import numpy as np
import numpy.typing as npt
import pytest

from knee.anatomy import Compartment, ExtrusionSite, MeniscusPart, Side, Structure
from tests.plateau_knee import BLUNTNESS, HALF_DEPTH, HALF_WIDTH, Field, Plateau, Shape, block
from tools.anatomical_frame import anatomical_knee
from tools.menisci import measure_extrusion, part_of, part_voxels, part_within
from tools.subregions import make_partition
from tools.tibial_landmarks import BorderRule, TibiaMarks


def _meniscus(outer: float, front: float = 18.0) -> Shape:
    """A block on the medial plate from 12 mm to `outer`, from -18 mm to `front`."""
    return block((12, outer), (-18, front), (2, 7))


def _extrusion(plateau: Plateau, site: ExtrusionSite, side: Side = Side.RIGHT) -> float | None:
    knee = anatomical_knee(plateau.label_map(side))
    marks = make_partition(knee)[0].tibia
    assert marks is not None
    return measure_extrusion(knee, marks, site).value_mm


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("beyond", [2.1, 4.2, 7.0])
def test_extrusion_is_the_distance_beyond_the_tibial_margin(side: Side, beyond: float):
    plateau = Plateau(paint=((Structure.MEDIAL_MENISCUS, _meniscus(HALF_WIDTH + beyond)),))
    value = _extrusion(plateau, ExtrusionSite.MEDIAL_MENISCUS_MEDIAL, side)
    assert value == pytest.approx(beyond, abs=0.5)


def test_anterior_extrusion_is_read_in_the_middle_of_the_compartment():
    # The margin at m = 22.5 mm, half way between the plate's inner edge and the outer margin.
    margin = HALF_DEPTH * (1 - (22.5 / HALF_WIDTH) ** BLUNTNESS) ** (1 / BLUNTNESS)
    meniscus = _meniscus(30.0, front=margin + 3.0)
    plateau = Plateau(paint=((Structure.MEDIAL_MENISCUS, meniscus),))
    value = _extrusion(plateau, ExtrusionSite.MEDIAL_MENISCUS_ANTERIOR)
    assert value == pytest.approx(3.0, abs=0.6)


def test_a_meniscus_within_the_margin_is_not_extruded():
    plateau = Plateau(paint=((Structure.MEDIAL_MENISCUS, _meniscus(34.0)),))
    assert _extrusion(plateau, ExtrusionSite.MEDIAL_MENISCUS_MEDIAL) == 0


def test_a_meniscus_that_is_gone_has_no_extrusion():
    assert _extrusion(Plateau(), ExtrusionSite.MEDIAL_MENISCUS_MEDIAL) is None
    only_behind = block((12, 40), (-18, -10), (2, 7))
    plateau = Plateau(paint=((Structure.MEDIAL_MENISCUS, only_behind),))
    assert _extrusion(plateau, ExtrusionSite.MEDIAL_MENISCUS_MEDIAL) is None


def test_an_osteophyte_does_not_move_the_margin():
    spur = block((34, HALF_WIDTH + 4), (-4, 4), (-6, 0))
    plateau = Plateau(
        paint=(
            (Structure.TIBIA, spur),
            (Structure.MEDIAL_MENISCUS, _meniscus(HALF_WIDTH + 4.2)),
        )
    )
    value = _extrusion(plateau, ExtrusionSite.MEDIAL_MENISCUS_MEDIAL)
    assert value == pytest.approx(4.2, abs=1.0)


def _marks(plateau: Plateau) -> TibiaMarks:
    marks = make_partition(plateau.knee())[0].tibia
    assert marks is not None
    return marks


def test_the_three_parts_make_up_the_meniscus():
    plateau = Plateau(paint=((Structure.MEDIAL_MENISCUS, _meniscus(36.0)),))
    knee, marks = plateau.knee(), _marks(plateau)
    parts = [p for p in MeniscusPart if part_of(p)[0] is Compartment.MEDIAL]
    masks = [found[1] for part in parts if (found := part_within(knee, marks, part)) is not None]
    whole = knee.within(Structure.MEDIAL_MENISCUS)
    assert whole is not None
    assert np.array_equal(np.sum(masks, axis=0), whole[1])
    assert all(mask.any() for mask in masks)


def _c_shaped(m: Field, a: Field, s: Field) -> npt.NDArray[np.bool_]:
    """A ring open towards the midline, as wide as a third of the plate."""
    away = ((m - 20) / 16) ** 2 + (a / 20) ** 2
    hole = ((m - 20) / 7) ** 2 + (a / 8) ** 2
    return (away <= 1) & (hole >= 1) & ((m > 24) | (np.abs(a) > 8)) & (s >= 2) & (s < 7)


def _without_back(m: Field, a: Field, s: Field) -> npt.NDArray[np.bool_]:
    return _c_shaped(m, a, s) & (a > -7)


def test_a_lost_horn_leaves_the_other_parts_where_they_are():
    whole = Plateau(paint=((Structure.MEDIAL_MENISCUS, _c_shaped),))
    torn = Plateau(paint=((Structure.MEDIAL_MENISCUS, _without_back),))
    horn, body = MeniscusPart.MEDIAL_MENISCUS_POSTERIOR, MeniscusPart.MEDIAL_MENISCUS_BODY
    assert part_voxels(torn.knee(), _marks(torn), horn) < 0.1 * (
        part_voxels(whole.knee(), _marks(whole), horn)
    )
    # The border behind the body moves from the horn's free edge to the plate's third.
    assert part_voxels(torn.knee(), _marks(torn), body) == pytest.approx(
        part_voxels(whole.knee(), _marks(whole), body), rel=0.15
    )


def test_parts_are_divided_at_the_horns_free_edges_and_extrusion_moves_no_border():
    marks = _marks(Plateau(paint=((Structure.MEDIAL_MENISCUS, _c_shaped),)))
    back, front = marks.thirds_a[Compartment.MEDIAL]
    plate = marks.plate_a[Compartment.MEDIAL]
    rules = marks.border_rules[Compartment.MEDIAL]
    assert rules == (BorderRule.MENISCAL_HORN, BorderRule.MENISCAL_HORN)
    # The hole is 16 mm long in the middle of a plate of 40 mm.
    assert front - back == pytest.approx(16, abs=1.5)
    assert (front + back) / 2 == pytest.approx(sum(plate) / 2, abs=1.0)

    def pushed(m: Field, a: Field, s: Field) -> npt.NDArray[np.bool_]:
        return _c_shaped(m, a - np.where(a > 0, 5.0, 0.0), s) & (np.abs(a) < 60)

    moved = _marks(Plateau(paint=((Structure.MEDIAL_MENISCUS, pushed),)))
    limit = 3.0
    assert moved.thirds_a[Compartment.MEDIAL][0] == pytest.approx(back, abs=0.5)
    assert moved.thirds_a[Compartment.MEDIAL][1] - front < limit + 0.5
    lateral = marks.border_rules[Compartment.LATERAL]
    assert lateral == (BorderRule.EQUAL_THIRDS, BorderRule.EQUAL_THIRDS)
    assert marks.definition == "equal thirds / meniscal horns"
