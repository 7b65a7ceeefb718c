"""The main job on the label maps of real knees: boxes and findings, drafts, and what is marked.

No clinician read exists for these knees. The table is written here, with a reading project of its
own that says so, and every volume is marked synthetic, for two of the three images are painted.
"""

import shutil
from pathlib import Path

import duckdb
import nibabel as nib
import numpy as np
import pytest

from knee.anatomy import Side
from tests.demo_run import CommandResult, run_command
from tests.prepared_store import CALIBRATION, stub_process, write_answers, write_config
from tests.real_data import real_file
from tools.segmentation import load_label_map, load_scheme

HEADER = (
    "patient,visit,side,sequence,image,label_map,scheme,mask_source,segmenter,licence,synthetic,"
    "split\n"
)
KNEES = {
    "RP": ("right", "pymskt", "pymskt/SAG_3D_DESS_RIGHT_bones_cart_men_fib-label.nrrd"),
    "LS": ("left", "spl-atlas", "spl-knee-atlas/seg.nrrd"),
    "RC": (
        "right",
        "oaizib-cm",
        "cartimorph/CLAIR-Knee-103R_segmentation_64x128x128.nii.gz",
    ),
}
CARTIMORPH_IMAGE = "cartimorph/CLAIR-Knee-103R_template_64x128x128.nii.gz"
COLUMNS = ("V00MCMFMC", "V00MCMTMC", "V00MCMFLC", "V00MCMTLC", "V00MMXMM", "V00MMXLL")
READPRJ = "SYNTHETIC-TEST"

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def painted(label_map: Path, scheme: str, side: str, out: Path) -> None:
    """Writes an image whose intensity is a made-up one per label, on the label map's grid."""
    labels = load_label_map(label_map, load_scheme(scheme), Side(side))
    shades = np.random.default_rng(0).integers(40, 255, 65536).astype(np.int16)
    shades[0] = 5
    image = shades[labels.volume.array.astype(np.int64)]
    nib.save(nib.Nifti1Image(image, labels.volume.affine), out)  # pyright: ignore[reportPrivateImportUsage]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of three real label maps, with a table that was made up."""
    root = tmp_path_factory.mktemp("real")
    rows: list[str] = []
    for patient, (side, scheme, name) in KNEES.items():
        source = real_file(name)
        label_map = patient + (".nii.gz" if name.endswith(".nii.gz") else source.suffix)
        shutil.copy(source, root / label_map)
        image = f"{patient}-image.nii.gz"
        if patient == "RC":
            shutil.copy(real_file(CARTIMORPH_IMAGE), root / image)
        else:
            painted(source, scheme, side, root / image)
        rows.append(
            f"{patient},V00,{side},dess,{image},{label_map},{scheme},"
            "real label map,unknown,see the source,true,train"
        )
    (root / "cohort.csv").write_text(HEADER + "\n".join(rows) + "\n")
    table = ["|".join(("ID", "SIDE", "READPRJ", "VERSION", *COLUMNS))]
    for patient, (side, _, _) in KNEES.items():
        number = "1: Right" if side == "right" else "2: Left"
        cells = ["0.0: none"] * 4 + ["0: none"] * 2
        table.append("|".join((patient, number, READPRJ, "SYNTHETIC:1", *cells)))
    (root / "kMRI_SQ_MOAKS_BICL00.txt").write_text("\n".join(table) + "\n", encoding="latin-1")
    return root


def prepare(cohort: Path, store: Path) -> CommandResult:
    """Prepares the cohort."""
    return run_command(
        "prepare", str(cohort), "--store", str(store), "--calibration", str(CALIBRATION)
    )


def test_real_knees_are_prepared_drafted_and_marked(cohort: Path, tmp_path: Path):
    store = tmp_path / "real.duckdb"
    done = prepare(cohort, store)
    assert done.code == 0, done.err
    answers = tmp_path / "answers.json"
    assert write_answers(store, answers) > 5
    with stub_process(answers, 0.0) as port:
        config = write_config(tmp_path, port, concurrency=8)
        drafted = run_command("generate", "--store", str(store), "--config", str(config))
    assert drafted.code == 0, drafted.err
    with duckdb.connect(str(store), read_only=True) as con:
        states = dict(
            con.execute("SELECT state, count(*) FROM v_item_states GROUP BY ALL").fetchall()
        )
        projects = con.execute("SELECT DISTINCT unnest(readprj) FROM clinician_grades").fetchall()
        unmarked = con.execute("SELECT count(*) FROM v_item_states WHERE NOT synthetic").fetchone()
        sides = con.execute("SELECT DISTINCT side_check FROM findings_sets").fetchall()
        boxes = dict(
            con.execute(
                "SELECT volume_id, count(*) FROM regions WHERE box IS NOT NULL GROUP BY ALL"
            ).fetchall()
        )
    assert states["accepted"] + states.get("disagrees", 0) + states.get("rejected", 0) > 5
    assert states["unlabelled"] > 100
    assert projects == [(READPRJ,)]
    assert unmarked == (0,)
    assert sides == [("confirmed",)]
    assert min(boxes.values()) >= 20


def test_without_a_table_real_knees_are_unlabelled(cohort: Path, tmp_path: Path):
    root = tmp_path / "cohort"
    shutil.copytree(cohort, root)
    (root / "kMRI_SQ_MOAKS_BICL00.txt").unlink()
    store = tmp_path / "real.duckdb"
    done = prepare(root, store)
    assert done.code == 0, done.err
    drafted = run_command("generate", "--store", str(store), "--config", "configs/demo.toml")
    assert drafted.code == 0, drafted.err
    with duckdb.connect(str(store), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
