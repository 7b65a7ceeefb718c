"""`look`: sheets of phantoms of both sides, from a cohort and from a store."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from knee.anatomy import Bone, Side, Subregion
from knee.moaks import Component
from stages.look_words import finding_lines, volume_lines
from tests.demo_run import run_command
from tests.phantom_maps import phantom_image, phantom_map
from tests.real_data import PYMSKT, SPL, real_file
from tools.articular_surface import CARTILAGES
from tools.describe import describe_volume
from tools.knee_parts import measure_parts
from tools.look_sheet import Words, look_png
from tools.segmentation import load_label_map, load_scheme
from tools.slices import BOX_COLOUR
from tools.subregion_overlay import SUBREGION_COLOURS, SubregionOverlay, subregion_overlay
from tools.subregions import NOWHERE, ORDER

PANEL = 420


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantom knees, a right and a left one."""
    root = tmp_path_factory.mktemp("look") / "cohort"
    done = run_command("phantom", str(root), "--knees", "2", "--seed", "31")
    assert done.code == 0, done.err
    return root


def picture(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def volumes_of(cohort: Path) -> list[str]:
    rows = (cohort / "cohort.csv").read_text().splitlines()[1:]
    return ["/".join(row.split(",")[:4]) for row in rows]


def test_a_knee_is_drawn_in_two_rows_and_an_item_in_one(cohort: Path, tmp_path: Path):
    volume = volumes_of(cohort)[0]
    out, item = tmp_path / "knee.png", tmp_path / "item.png"
    done = run_command("look", str(cohort), volume, "--out", str(out))
    assert (done.code, done.out.strip()) == (0, str(out)), done.err
    done = run_command("look", str(cohort), volume, "--question", "24", "--out", str(item))
    assert done.code == 0, done.err
    whole, one = picture(out.read_bytes()), picture(item.read_bytes())
    assert whole.shape[1] == one.shape[1]
    assert whole.shape[0] > one.shape[0] + 300
    box = np.array(BOX_COLOUR)
    for column in range(3):
        x = column * (PANEL + 6)
        panel = one[28 : 28 + PANEL, x : x + PANEL]
        assert (panel == box).all(axis=-1).sum() > 80
    assert not (whole[28 : 28 + PANEL, : 3 * PANEL] == box).all(axis=-1).any()


def test_a_store_shows_its_own_findings(cohort: Path, tmp_path: Path):
    store = tmp_path / "knees.duckdb"
    assert run_command("prepare", str(cohort), "--store", str(store)).code == 0
    volume = volumes_of(cohort)[1]
    from_store = run_command(
        "look", str(store), volume, "--question", "45", "--json", "--out", str(tmp_path / "a.png")
    )
    from_files = run_command(
        "look", str(cohort), volume, "--question", "45", "--json", "--out", str(tmp_path / "b.png")
    )
    assert from_store.code == from_files.code == 0, from_store.err
    first, second = json.loads(from_store.out), json.loads(from_files.out)
    assert first["findings"] == second["findings"]
    assert len(first["findings"]) == 1
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    moved = run_command("look", str(store), volume, "--cohort-root", str(tmp_path))
    assert moved.code == 2
    assert "hint:" in moved.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("PH9",), "'PH9' is no volume here"),
        (("PH31",), "fits several volumes"),
        (("{volume}", "--question", "63"), "question 63 has no region"),
        (("{volume}", "--out", "no/such/folder/x.png"), "no such folder"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_exit_2(
    cohort: Path, arguments: Sequence[str], said: str
):
    volume = volumes_of(cohort)[0]
    done = run_command("look", str(cohort), *(a.format(volume=volume) for a in arguments))
    assert done.code == 2
    assert said in done.err
    assert "hint:" in done.err
    assert "Traceback" not in done.err


def test_a_source_that_is_not_there_is_told(tmp_path: Path):
    done = run_command("look", str(tmp_path / "nothing"), "P/V00/right")
    assert done.code == 2
    assert "no such cohort folder or store" in done.err


def test_the_rule_based_grade_is_named_only_when_asked_for():
    found = describe_volume(
        phantom_image(71, Side.RIGHT, 0.6), phantom_map(71, Side.RIGHT, 0.6), "P/V00/right"
    )
    finding = found.findings[3]
    assert not any("grade" in line for line in finding_lines(finding, grades=False))
    assert any("rule-based grade" in line for line in finding_lines(finding, grades=True))


def test_the_rule_based_grades_of_a_whole_knee_are_named_only_when_asked_for(
    cohort: Path, tmp_path: Path
):
    found = describe_volume(None, phantom_map(71, Side.RIGHT, 0.6), "P/V00/right")
    blind, told = (volume_lines(found, grades=grades) for grades in (False, True))
    assert not any("grade" in line for line in blind)
    assert told[: len(blind)] == blind
    assert told[len(blind)].startswith("# Rule-based grades")
    size = found.findings[3].evidence_for(Component.SIZE)
    (line,) = (line for line in told if line.startswith("BML size (moaks): "))
    assert re.search(rf"\b{size.rule_grade} at [^;]*\bQ4\b", line)
    assert "# BML volume share" in told
    assert not any("Bml" in line or "bml" in line for line in told)
    volume = volumes_of(cohort)[0]
    pictures: list[bytes] = []
    for options in ((), ("--grades",)):
        out = tmp_path / "knee.png"
        assert run_command("look", str(cohort), volume, "--out", str(out), *options).code == 0
        pictures.append(out.read_bytes())
    assert pictures[0] != pictures[1]


def _overlay(side: Side, codes: str | None = None, seed: int = 72) -> SubregionOverlay:
    return subregion_overlay(measure_parts(phantom_map(seed, side, 0.6, codes)))


@pytest.mark.parametrize("side", list(Side))
def test_medial_is_on_the_inner_side_and_every_cartilage_voxel_has_a_subregion(side: Side):
    overlay = _overlay(side)
    label_map = phantom_map(72, side, 0.6).canonical()
    assert set(overlay.present()) == set(Subregion)
    x = {
        s: np.argwhere(overlay.bone == ORDER.index(s))[:, 0].mean()
        for s in (Subregion.TIBIA_MEDIAL_CENTRAL, Subregion.TIBIA_LATERAL_CENTRAL)
    }
    medial_is_low = bool(x[Subregion.TIBIA_MEDIAL_CENTRAL] < x[Subregion.TIBIA_LATERAL_CENTRAL])
    assert medial_is_low is (side is Side.RIGHT)
    for structure in (s for bone in Bone for s in CARTILAGES[bone]):
        assert (overlay.cartilage[label_map.mask(structure)] != NOWHERE).all()


def test_the_overlay_of_a_knee_that_was_turned_upright_takes_the_nearest_voxel():
    parts = measure_parts(phantom_map(71, Side.RIGHT, 0.6))
    assert parts.knee.frame.turn is not None
    overlay = subregion_overlay(parts).cartilage
    label_map = phantom_map(71, Side.RIGHT, 0.6).canonical()
    cartilage = np.zeros(overlay.shape, np.bool_)
    for structure in (s for bone in Bone for s in CARTILAGES[bone]):
        cartilage |= label_map.mask(structure)
    # Thin layers lose voxels of their surface there and back; none lands far from the layer.
    assert (overlay[cartilage] != NOWHERE).mean() > 0.9
    assert cartilage[overlay != NOWHERE].mean() > 0.9


def test_the_overlay_does_not_depend_on_the_storage_order():
    first, second = _overlay(Side.LEFT), _overlay(Side.LEFT, "PIR")
    assert np.array_equal(first.bone, second.bone)
    assert np.array_equal(first.cartilage, second.cartilage)


def test_colours_are_of_all_subregions_and_differ():
    assert set(SUBREGION_COLOURS) == set(Subregion)
    assert len(set(SUBREGION_COLOURS.values())) == len(Subregion)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "scheme", "side"), [(PYMSKT, "pymskt", Side.RIGHT), (SPL, "spl-atlas", Side.LEFT)]
)
def test_real_knees_are_drawn_with_all_subregions(name: str, scheme: str, side: Side):
    label_map = load_label_map(real_file(name), load_scheme(scheme), side)
    parts = measure_parts(label_map)
    assert set(subregion_overlay(parts).present()) == set(Subregion)
    sheet = picture(look_png(None, label_map, parts, Words("real", ("# words", "mm²"))))
    assert sheet.shape[1] > 3 * PANEL
    # Cartilage is filled: its colours are all over the sheet, medial and lateral.
    flat = sheet.reshape(-1, 3).astype(np.int32)
    assert (flat.max(axis=1) - flat.min(axis=1) > 90).sum() > 10_000
