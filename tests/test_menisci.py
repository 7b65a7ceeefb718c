import pytest

from knee.anatomy import Compartment, ExtrusionSite, MeniscusPart, Side, Structure
from tests.plateau_knee import BLUNTNESS, HALF_DEPTH, HALF_WIDTH, Plateau, Shape, block
from tools.anatomical_frame import anatomical_knee
from tools.menisci import measure_extrusion, part_mask, part_of
from tools.subregions import make_partition
from tools.tibial_landmarks import TibiaMarks


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
    masks = [part_mask(knee, marks, part) for part in parts]
    assert sum(int(mask.sum()) for mask in masks) == knee.mask(Structure.MEDIAL_MENISCUS).sum()
    assert all(mask.any() for mask in masks)


def test_a_lost_horn_leaves_the_other_parts_where_they_are():
    whole = Plateau(paint=((Structure.MEDIAL_MENISCUS, _meniscus(36.0)),))
    torn = Plateau(paint=((Structure.MEDIAL_MENISCUS, block((24, 36), (-7, 18), (2, 7))),))
    horn, body = MeniscusPart.MEDIAL_MENISCUS_POSTERIOR, MeniscusPart.MEDIAL_MENISCUS_BODY
    assert part_mask(torn.knee(), _marks(torn), horn).sum() < 0.1 * (
        part_mask(whole.knee(), _marks(whole), horn).sum()
    )
    assert part_mask(torn.knee(), _marks(torn), body).sum() == (
        part_mask(whole.knee(), _marks(whole), body).sum()
    )
