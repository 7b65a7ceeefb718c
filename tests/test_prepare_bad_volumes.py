"""Volumes that cannot be: each is one failed row with its reason, and the rest goes on."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import nibabel as nib
import numpy as np
from pydicom import dcmread  # noqa: TID253 - writes a file that pydicom cannot decode
from pydicom.uid import JPEGLosslessSV1  # noqa: TID253

from knee.anatomy import Side
from tests.demo_run import run_command
from tests.dicom_series import voxels, write_series
from tests.small_knee import AFFINE, block_labels, write_nifti
from tests.test_cli_bad_input import HEADER

LABELS = block_labels(Side.RIGHT)


def with_bytes(path: Path, position: int, numbers: list[float]) -> None:
    """Writes float32 numbers into the header of an uncompressed NIfTI file."""
    data = bytearray(path.read_bytes())
    data[position : position + 4 * len(numbers)] = np.array(numbers, "<f4").tobytes()
    path.write_bytes(bytes(data))


def sform(path: Path, rows: list[list[float]]) -> Path:
    """Writes the block knee with another sform."""
    write_nifti(path, LABELS)
    with_bytes(path, 280, [number for row in rows for number in row])
    return path


def truncated(folder: Path) -> None:
    path = write_nifti(folder / "map.nii.gz", LABELS)
    path.write_bytes(path.read_bytes()[:-200])


def four_axes(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", np.stack([LABELS, LABELS], axis=-1))


def not_finite(folder: Path) -> None:
    path = sform(folder / "map.nii", [[float("nan"), 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    path.rename(folder / "map.nii.gz")


def singular(folder: Path) -> None:
    path = sform(folder / "map.nii", [[2, 2, 0, 0], [2, 2, 0, 0], [0, 0, 2, 0]])
    path.rename(folder / "map.nii.gz")


def zero_size(folder: Path) -> None:
    path = sform(folder / "map.nii", [[2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]])
    path.rename(folder / "map.nii.gz")


def claims_too_much(folder: Path) -> None:
    path = write_nifti(folder / "map.nii", LABELS)
    data = bytearray(path.read_bytes())
    data[40:48] = np.array([3, 3000, 3000, 200], "<i2").tobytes()
    (folder / "map.nii.gz").write_bytes(gzip.compress(bytes(data)))


def damaged_header(folder: Path) -> None:
    path = write_nifti(folder / "map.nii", LABELS)
    data = bytearray(path.read_bytes())
    data[344:348] = b"n+1-"
    (folder / "map.nii.gz").write_bytes(gzip.compress(bytes(data)))


def empty(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", LABELS * 0)


def outside_the_scheme(folder: Path) -> None:
    labels = LABELS.copy()
    labels[0, 0, :7] = 99
    write_nifti(folder / "map.nii.gz", labels)


def wrong_side(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", block_labels(Side.LEFT))


def swapped_menisci(folder: Path) -> None:
    labels = LABELS.copy()
    labels[LABELS == 9], labels[LABELS == 10] = 10, 9
    write_nifti(folder / "map.nii.gz", labels)


def other_grid(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", LABELS)
    write_nifti(folder / "i.nii", LABELS[1:].astype(np.int16)).rename(folder / "image")


def missing_slices(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", LABELS)
    (write_series(folder / "image") / "003").unlink()


def two_series(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", LABELS)
    write_series(folder / "image")
    write_series(
        folder / "image", voxels(4), names="b{}", SeriesInstanceUID="2.25.9", SeriesNumber=8
    )


def unreadable_syntax(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", LABELS)
    path = write_series(folder / "image") / "002"
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset["PixelData"].is_undefined_length = True
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0\1\2\3\4"
    dataset.save_as(path, enforce_file_format=True)


def block_series(folder: Path, **fields: str) -> Path:
    """Writes the block knee as DICOM: index i to the right, j to anterior, k up, 2 mm, in LPS."""
    return write_series(
        folder,
        (LABELS.astype(np.int16) * 20).transpose(2, 1, 0),
        changes={
            k: {"ImagePositionPatient": [-AFFINE[0, 3], -AFFINE[1, 3], AFFINE[2, 3] + 2.0 * k]}
            for k in range(40)
        },
        ImageOrientationPatient=[-1, 0, 0, 0, -1, 0],
        PixelSpacing=[2, 2],
        **fields,
    )


def other_laterality(folder: Path) -> None:
    write_nifti(folder / "map.nii.gz", LABELS)
    block_series(folder / "image", ImageLaterality="L")


def mirrored_qform(folder: Path) -> None:
    image = nib.Nifti1Image(LABELS, AFFINE)
    image.set_qform(np.diag([-1.0, 1, 1, 1]) @ AFFINE, code=1)
    image.to_filename(folder / "map.nii.gz")


CASES: dict[Callable[[Path], None], tuple[str, ...]] = {
    truncated: ("map.nii.gz", "cannot be read as NIfTI"),
    four_axes: ("(40, 40, 40, 2)",),
    not_finite: ("not finite", "nan"),
    singular: ("singular",),
    zero_size: ("voxel size of zero",),
    claims_too_much: ("(3000, 3000, 200)", "1800000352 bytes"),
    damaged_header: ("magic string", "cannot be read as NIfTI"),
    empty: ("is empty", "64000"),
    outside_the_scheme: ("99 (7 voxels)", "'pymskt'"),
    wrong_side: ("declared 'right'", "anatomy shows 'left'"),
    swapped_menisci: ("lateral_meniscus", "medial_meniscus", "contradicts itself", "mm"),
    other_grid: ("not on the grid", "(39, 40, 40)", "--resample"),
    missing_slices: ("1 slice(s) are missing", "'002'", "'004'"),
    two_series: ("2 series", "series 7", "series 8"),
    other_laterality: ("image", "declared 'right'", "Laterality says 'left'"),
    mirrored_qform: ("contradict each other", "sform", "qform"),
    unreadable_syntax: ("JPEG Lossless", "'002'"),
}


def manifest_row(name: str, label_map: str, image: str = "", scheme: str = "pymskt") -> str:
    return f"{name},V00,right,dess,{image},{label_map},{scheme},test,test,CC0-1.0,true,train\n"


def write_bad(root: Path) -> str:
    """Makes every bad volume in a folder of its own; returns the manifest's rows."""
    rows = ""
    for case in CASES:
        name = case.__name__
        (root / name).mkdir(parents=True)
        case(root / name)
        image = f"{name}/image" if (root / name / "image").exists() else ""
        rows += manifest_row(name, f"{name}/map.nii.gz", image)
    return rows


def assert_reasons(reasons: dict[str, str]) -> None:
    assert len(reasons) == len(CASES)
    for case, words in CASES.items():
        reason = reasons[f"{case.__name__}/V00/right/dess"]
        assert "hint:" in reason
        for word in words:
            assert word in reason, (case.__name__, reason)


def test_bad_volumes_alone_are_bad_input_and_leave_no_store(tmp_path: Path):
    (tmp_path / "cohort.csv").write_text(HEADER + write_bad(tmp_path))
    store = tmp_path / "s.duckdb"
    done = run_command("prepare", str(tmp_path), "--store", str(store))
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    # What nibabel and pydicom say on their own of damaged headers.
    assert "Warning" not in done.err
    assert "future errors are likely" not in done.err
    assert "hint:" in done.err
    assert not store.exists()
    for words in CASES.values():
        assert words[0] in done.err


def test_bad_volumes_among_good_ones_fail_and_the_rest_goes_on(tmp_path: Path):
    write_nifti(tmp_path / "good.nii.gz", LABELS)
    rows = manifest_row("good", "good.nii.gz") + write_bad(tmp_path)
    (tmp_path / "cohort.csv").write_text(HEADER + rows)
    store = tmp_path / "s.duckdb"
    done = run_command("prepare", str(tmp_path), "--store", str(store), "--json")
    assert done.code == 1, done.err
    assert "Traceback" not in done.err
    said = json.loads(done.out)
    assert said["volumes"] == {"ready": 1, "failed": len(CASES)}
    assert_reasons(said["failed"])
    with duckdb.connect(str(store), read_only=True) as con:
        failed = con.execute(
            "SELECT volume_id, reason FROM volumes WHERE status = 'failed'"
        ).fetchall()
        findings = con.execute("SELECT DISTINCT volume_id FROM findings_sets").fetchall()
    assert_reasons(dict(failed))
    # Paths in a store are relative to the cohort's root.
    assert not any(str(tmp_path) in reason for _, reason in failed)
    assert "'truncated/map.nii.gz'" in dict(failed)["truncated/V00/right/dess"]
    assert findings == [("good/V00/right/dess",)]


def test_another_grid_is_resampled_only_on_request(tmp_path: Path):
    write_nifti(tmp_path / "map.nii.gz", LABELS)
    image = np.repeat(LABELS.astype(np.int16), 2, axis=0)
    write_nifti(tmp_path / "image.nii.gz", image, AFFINE @ np.diag([0.5, 1, 1, 1]))
    row = manifest_row("finer", "map.nii.gz", "image.nii.gz")
    (tmp_path / "cohort.csv").write_text(HEADER + row)
    store = tmp_path / "s.duckdb"
    refused = run_command("prepare", str(tmp_path), "--store", str(store))
    assert refused.code == 2
    assert "--resample" in refused.err
    assert not store.exists()
    done = run_command("prepare", str(tmp_path), "--store", str(store), "--resample")
    assert done.code == 0, done.err
    assert "finer/V00/right/dess: label map resampled onto the image's grid" in done.err
    with duckdb.connect(str(store), read_only=True) as con:
        found = con.execute("SELECT scheme, shape FROM findings_sets").fetchone()
    assert found is not None
    assert found[0] == "pymskt (resampled)"
    assert list(found[1]) == [80, 40, 40]


def test_a_folder_of_masks_and_a_dicom_image_are_a_volume(tmp_path: Path):
    masks = tmp_path / "masks"
    masks.mkdir()
    names = {5: "femur", 1: "femoral_cartilage", 6: "tibia", 8: "fibula", 10: "medial_meniscus"}
    for number, name in names.items():
        write_nifti(masks / f"{name}.nii.gz", np.isin(LABELS, [number]).astype(np.uint8))
    block_series(tmp_path / "dicom", Laterality="R")
    write_nifti(tmp_path / "map.nii.gz", LABELS)
    rows = manifest_row("masks", "masks", "dicom", "masks") + manifest_row("file", "map.nii.gz")
    (tmp_path / "cohort.csv").write_text(HEADER + rows)
    store = tmp_path / "s.duckdb"
    done = run_command("prepare", str(tmp_path), "--store", str(store))
    assert done.code == 0, done.err
    with duckdb.connect(str(store), read_only=True) as con:
        found = con.execute(
            "SELECT scheme, side_check, image_sha256 <> label_map_sha256, shape "
            "FROM findings_sets WHERE volume_id LIKE 'masks/%'"
        ).fetchall()
        boxes = [
            con.execute(
                "SELECT question_id, box FROM regions WHERE volume_id LIKE ? AND question_id = 45 "
                "AND box IS NOT NULL",
                [f"{name}/%"],
            ).fetchall()
            for name in ("masks", "file")
        ]
    assert found == [("masks", "confirmed", True, (40, 40, 40))]
    assert boxes[0]
    assert boxes[0] == boxes[1]
