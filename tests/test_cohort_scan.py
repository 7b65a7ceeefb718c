from pathlib import Path

import pytest

from knee.errors import InputError
from tools.cohort import load_cohort, read_manifest
from tools.cohort_scan import ScannedSeries, ScanStatus, scan_tree, sequence_of, side_of
from tools.cohort_skeleton import Skeleton, write_skeleton

DESS = "SAG_3D_DESS_RIGHT"


def write_series(root: Path, path: str, description: str | None = DESS, **tags: str) -> Path:
    """Writes a series of one DICOM file without pixels."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder = root / path
    folder.mkdir(parents=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(folder / "001"), {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    if description is not None:
        header.SeriesDescription = description
    for name, value in tags.items():
        setattr(header, name, value)
    header.save_as(folder / "001")
    return folder


def by_path(root: Path) -> dict[str, ScannedSeries]:
    return {entry.path: entry for entry in scan_tree(root)}


def test_patient_visit_side_and_barcode_are_told(tmp_path: Path):
    path = "0.E.1/9001104/20050825/10498212"
    write_series(tmp_path, path, PatientID="9001104", Laterality="R")
    (entry,) = scan_tree(tmp_path)
    assert entry.status is ScanStatus.LISTED
    assert (entry.patient, entry.visit, entry.side, entry.sequence) == (
        "9001104",
        "V00",
        "right",
        "dess",
    )
    assert entry.barcode == "016610498212"
    assert entry.description == DESS


@pytest.mark.parametrize(
    ("description", "side"),
    [
        ("SAG_3D_DESS_RIGHT", "right"),
        ("SAG 3D DESS WE LEFT", "left"),
        ("L/SAG 3D DESS WE", "left"),
        ("SAG_3D_DESS", None),
        ("SAG_3D_DESS_RIGHT_LEFT", None),
        ("BRIGHT SAG DESS", None),
    ],
)
def test_the_side_is_a_word_of_the_description(description: str, side: str | None):
    assert side_of(description) == side


@pytest.mark.parametrize(
    ("description", "sequence"),
    [
        ("SAG_3D_DESS_RIGHT", "dess"),
        ("COR_MPR_RIGHT", None),
        ("COR MPR of SAG DESS", None),
        ("SAG_IW_TSE_LEFT", None),
        ("3D_DESS_RIGHT", None),
    ],
)
def test_only_the_sagittal_dess_is_dess(description: str, sequence: str | None):
    assert sequence_of(description) == sequence


def test_what_cannot_be_told_is_listed_and_left_out(tmp_path: Path):
    base = "9001104/20050825"
    write_series(tmp_path, f"0.E.1/{base}/10000001", "SAG_3D_DESS")
    write_series(tmp_path, f"baseline/{base}/10000002")
    write_series(tmp_path, f"7.E.1/{base}/10000003")
    write_series(tmp_path, f"0.E.1/{base}/10000004", None)
    write_series(tmp_path, f"0.E.1/{base}/10000005", PatientID="9999999")
    write_series(tmp_path, f"0.E.1/{base}/10000006", Laterality="L")
    write_series(tmp_path, f"0.E.1/{base}/10000007", "COR_IW_TSE_LEFT")
    write_series(tmp_path, "0.E.1/9001104/20051399/10000008", "SAG_3D_DESS_LEFT")
    write_series(tmp_path, "0.E.1/notes/20050825/10000009")
    (tmp_path / f"0.E.1/{base}/10000010").mkdir()
    (tmp_path / f"0.E.1/{base}/10000010/001").write_text("no DICOM")
    found = by_path(tmp_path)
    words = {
        f"0.E.1/{base}/10000001": "does not name one side",
        f"baseline/{base}/10000002": "release 'baseline' is not one whose visit is known",
        f"7.E.1/{base}/10000003": "release '7.E.1'",
        f"0.E.1/{base}/10000004": "no SeriesDescription",
        f"0.E.1/{base}/10000005": "of patient '9999999'",
        f"0.E.1/{base}/10000006": "laterality is 'L'",
        "0.E.1/9001104/20051399/10000008": "not a date",
        "0.E.1/notes/20050825/10000009": "<release>/<patient>",
        f"0.E.1/{base}/10000010": "not DICOM",
    }
    for path, expected in words.items():
        assert found[path].status is ScanStatus.UNCLEAR, path
        assert expected in str(found[path].reason), path
    assert found[f"0.E.1/{base}/10000007"].status is ScanStatus.OTHER_SEQUENCE
    assert found[f"baseline/{base}/10000002"].visit is None


def test_of_two_scans_of_one_knee_neither_is_chosen(tmp_path: Path):
    write_series(tmp_path, "0.E.1/9001104/20050825/10000001")
    write_series(tmp_path, "0.C.2/9001104/20050826/10000002")
    write_series(tmp_path, "0.E.1/9001104/20050825/10000003", "SAG_3D_DESS_LEFT")
    found = by_path(tmp_path)
    assert "one of 2 series" in str(found["0.E.1/9001104/20050825/10000001"].reason)
    assert found["0.C.2/9001104/20050826/10000002"].status is ScanStatus.UNCLEAR
    assert found["0.E.1/9001104/20050825/10000003"].status is ScanStatus.LISTED


def test_visits_that_do_not_follow_their_dates_are_left_out(tmp_path: Path):
    write_series(tmp_path, "0.E.1/9001104/20060825/10000001")
    write_series(tmp_path, "1.E.1/9001104/20050825/10000002")
    write_series(tmp_path, "0.E.1/9001105/20050825/10000003")
    write_series(tmp_path, "1.E.1/9001105/20060825/10000004")
    found = by_path(tmp_path)
    assert "do not follow the dates" in str(found["0.E.1/9001104/20060825/10000001"].reason)
    assert found["1.E.1/9001104/20050825/10000002"].status is ScanStatus.UNCLEAR
    assert found["1.E.1/9001105/20060825/10000004"].visit == "V01"


def test_the_root_may_be_a_release_or_lie_above(tmp_path: Path):
    write_series(tmp_path, "OAI/images/0.E.1/9001104/20050825/10000001")
    for root in (tmp_path, tmp_path / "OAI/images", tmp_path / "OAI/images/0.E.1"):
        assert [e.visit for e in scan_tree(root)] == ["V00"]


def test_a_tree_without_series_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no <release>"):
        scan_tree(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        scan_tree(tmp_path / "none")


def test_the_skeleton_lacks_the_label_maps_alone(tmp_path: Path):
    write_series(tmp_path, "images/0.E.1/9001104/20050825/10000001")
    write_series(tmp_path, "images/0.E.1/9001104/20050825/10000002", "SAG_3D_DESS")
    base = write_skeleton(tmp_path / "images", tmp_path, scan_tree(tmp_path / "images"), Skeleton())
    assert base == tmp_path
    assert set(read_manifest(tmp_path).problems) == {
        "line 2: label_map is empty",
        "line 2: scheme '' is none of " + ", ".join(_schemes()) + ", and no .toml file",
    }
    listing = (tmp_path / "scan.csv").read_text()
    assert "does not name one side" in listing
    with pytest.raises(InputError, match=r"there is a cohort\.csv"):
        write_skeleton(tmp_path / "images", tmp_path, scan_tree(tmp_path / "images"), Skeleton())


def test_a_pattern_of_label_maps_completes_the_skeleton(tmp_path: Path):
    write_series(tmp_path, "0.E.1/9001104/20050825/10000001")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/9001104_V00_right.nii.gz").touch()
    pattern = Skeleton("masks/{patient}_{visit}_{side}.nii.gz", "oai-zib")
    write_skeleton(tmp_path, tmp_path, scan_tree(tmp_path), pattern)
    (volume,) = load_cohort(tmp_path).volumes
    assert volume.image == "0.E.1/9001104/20050825/10000001"
    assert volume.restricted is True
    with pytest.raises(InputError, match="cannot be filled in"):
        write_skeleton(tmp_path, tmp_path / "b", scan_tree(tmp_path), Skeleton("{knee}", ""))
    assert not (tmp_path / "b").exists()


def test_paths_are_relative_to_the_tree_when_the_manifest_cannot_lie_above(tmp_path: Path):
    write_series(tmp_path / "tree", "0.E.1/9001104/20050825/10000001")
    tree, out = tmp_path / "tree", tmp_path / "out"
    assert write_skeleton(tree, out, scan_tree(tree), Skeleton()) == tree
    assert ",0.E.1/9001104/20050825/10000001," in (out / "cohort.csv").read_text()


def _schemes() -> list[str]:
    from tools.segmentation import scheme_names

    return sorted({*scheme_names(), "masks"})
