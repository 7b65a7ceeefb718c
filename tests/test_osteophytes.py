import numpy as np
import pytest

from knee.anatomy import OsteophyteSite, Structure
from tests.plateau_knee import HALF_WIDTH, Plateau, ball
from tools.margins import open_outline, smooth_margin
from tools.osteophytes import measure_osteophytes
from tools.subregions import make_partition


def _disc(bump: float = 0.0) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """A disc of 30 mm on a 0.5 mm grid, with a bump 10 mm wide on its side."""
    x, y = np.meshgrid(*(np.arange(-45, 45, 0.5),) * 2, indexing="ij")
    return (x**2 + y**2 <= 900) | ((np.abs(y) <= 5) & (x > 0) & (x <= 30 + bump))


def test_opening_takes_a_bump_away_and_leaves_a_round_margin():
    plain, bumped = (open_outline(_disc(b), (0.5, 0.5), 14.0) for b in (0.0, 6.0))
    assert plain.beyond.max() <= 0.5
    assert bumped.beyond.max() == pytest.approx(6.0, abs=1.3)
    assert (bumped.opened & ~plain.opened).sum() * 0.25 < 8.0


def test_the_smooth_margin_runs_below_a_bump():
    curve = smooth_margin(open_outline(_disc(6.0), (0.5, 0.5), 14.0), (0.5, 0.5))
    radius = np.hypot(*(curve.points - np.asarray(curve.centre)).T)
    assert radius == pytest.approx(30.0, abs=0.6)
    tip = np.argwhere(_disc(6.0))
    assert curve.beyond(tip, (0.5, 0.5)).max() == pytest.approx(6.0, abs=1.0)


def test_an_outline_too_small_for_the_disc_stays_as_it_is():
    small = np.zeros((20, 20), np.bool_)
    small[5:15, 5:15] = True
    outline = open_outline(small, (0.5, 0.5), 14.0)
    assert np.array_equal(outline.opened, small)
    assert not outline.beyond.any()


@pytest.mark.parametrize("height", [3.0, 5.0])
def test_protrusion_of_a_tibial_spur_is_its_height(height: float):
    knee = Plateau(paint=((Structure.TIBIA, ball(HALF_WIDTH + height - 6.0, 0, -4, 6.0)),)).knee()
    partition, charts = make_partition(knee)
    sites = measure_osteophytes(knee, partition, charts)
    assert sites[OsteophyteSite.TIBIA_MEDIAL].protrusion_mm == pytest.approx(height, abs=1.0)
    assert sites[OsteophyteSite.TIBIA_LATERAL].protrusion_mm < 1.0


def test_the_margin_does_not_follow_the_osteophyte():
    spur = Plateau(paint=((Structure.TIBIA, ball(HALF_WIDTH, 0, -4, 6.0)),)).knee()
    outer: list[float] = []
    for knee in (spur, Plateau().knee()):
        partition, _ = make_partition(knee)
        assert partition.tibia is not None
        offset = knee.frame.offset[0] * knee.spacing[0]
        outer.append(float(partition.tibia.margin.points[:, 0].max()) + offset)
    assert outer[0] == pytest.approx(outer[1], abs=1.0)


def test_bones_that_are_not_there_have_no_sites():
    knee = Plateau().knee()
    partition, charts = make_partition(knee)
    sites = measure_osteophytes(knee, partition, charts)
    assert set(sites) == {OsteophyteSite.TIBIA_MEDIAL, OsteophyteSite.TIBIA_LATERAL}
