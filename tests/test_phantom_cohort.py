"""A phantom cohort is a folder that the pipeline can read, whole or not there at all."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

import tools.phantom.cohort as cohort_module
from knee.anatomy import Side
from knee.errors import InputError
from knee.moaks import Component, Feature, RuleBasis
from tools.phantom.build import Phantom
from tools.phantom.cohort import (
    MANIFEST_COLUMNS,
    CohortKnee,
    plan_cohort,
    split_of,
    write_cohort,
)
from tools.phantom.grid import SMALL_GRID
from tools.phantom.table import (
    FILE_NAME,
    GUESSED_STEMS,
    MISSING,
    VARIABLES,
    Read,
    format_table,
    write_cells,
)
from tools.phantom.truth import TruthRecord


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(out, 4, 8, SMALL_GRID, severity="balanced")
    return out


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_table(cohort: Path) -> list[dict[str, str]]:
    lines = (cohort / FILE_NAME).read_text(encoding="latin-1").splitlines()
    header = lines[0].split("|")
    return [dict(zip(header, line.split("|"), strict=True)) for line in lines[1:]]


def all_bytes(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_the_manifest_names_files_that_are_there_and_says_synthetic(cohort: Path) -> None:
    rows = read_rows(cohort / "cohort.csv")
    assert (cohort / "cohort.csv").read_text(encoding="utf-8").splitlines()[0] == (
        "patient,visit,side,sequence,image,label_map,scheme,mask_source,segmenter,licence,"
        "synthetic,split"
    )
    assert len(rows) == 4
    assert {row["side"] for row in rows} == {"right", "left"}
    for row in rows:
        assert row["patient"].startswith("PH")
        assert (row["synthetic"], row["licence"], row["scheme"]) == ("true", "CC0-1.0", "phantom")
        assert row["split"] in {"train", "val", "test"}
        image = Nifti1Image.from_filename(cohort / row["image"])
        labels = Nifti1Image.from_filename(cohort / row["label_map"])
        assert image.shape == labels.shape == SMALL_GRID.shape
        assert image.affine is not None
        assert labels.affine is not None
        assert np.allclose(image.affine, SMALL_GRID.affine, atol=1e-4)
        assert np.array_equal(image.affine, labels.affine)
        assert image.get_data_dtype() == np.int16
        assert np.asarray(image.dataobj).min() >= 0
        assert len(np.unique(np.asarray(labels.dataobj))) > 15


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_cohort(tmp_path / name, 2, 5, SMALL_GRID)
    first, again = all_bytes(tmp_path / "a"), all_bytes(tmp_path / "b")
    assert first == again
    assert len(first) == 4 + 2 * 2


def test_gzip_files_carry_no_time(cohort: Path) -> None:
    for path in (cohort / "images").iterdir():
        assert path.read_bytes()[4:8] == b"\0\0\0\0"
        assert gzip.decompress(path.read_bytes())


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not empty"):
        write_cohort(tmp_path, 1, 0, SMALL_GRID)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled_and_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_cohort(tmp_path / "empty", 1, 0, SMALL_GRID)
    assert (tmp_path / "empty" / "cohort.csv").exists()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="not a folder"):
        write_cohort(tmp_path / "file", 1, 0, SMALL_GRID)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def fill_disk(_folder: Path, _phantom: Phantom, row: dict[str, str]) -> None:
        calls.append(row["patient"])
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(cohort_module, "_write_volumes", fill_disk)
    with pytest.raises(InputError, match="No space left"):
        write_cohort(tmp_path / "out", 3, 0, SMALL_GRID)
    assert list(tmp_path.iterdir()) == []
    assert len(calls) == 2


@pytest.mark.parametrize(("n_knees", "seed"), [(0, 1), (-3, 1), (10_000, 1), (2, -1)])
def test_numbers_out_of_range_are_refused(n_knees: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(n_knees if seed >= 0 else seed)):
        write_cohort(tmp_path / "out", n_knees, seed, SMALL_GRID)


def test_cohorts_of_different_seeds_share_no_patient_and_no_knee() -> None:
    plans = [plan_cohort(50, seed) for seed in (1, 2, 11)]
    patients = [knee.patient for plan in plans for knee in plan]
    seeds = [knee.seed for plan in plans for knee in plan]
    assert len(set(patients)) == len(patients)
    assert len(set(seeds)) == len(seeds)


def test_every_split_turns_up_and_depends_on_the_patient_alone() -> None:
    splits = [split_of(knee.patient) for knee in plan_cohort(200, 3)]
    assert set(splits) == {"train", "val", "test"}
    assert splits == [split_of(knee.patient) for knee in plan_cohort(200, 3)]


def test_progress_is_told_after_every_knee(tmp_path: Path) -> None:
    told: list[CohortKnee] = []
    write_cohort(tmp_path / "out", 2, 4, SMALL_GRID, split="train", on_knee=told.append)
    assert [knee.patient for knee in told] == ["PH040000", "PH040001"]
    assert {row["split"] for row in read_rows(tmp_path / "out" / "cohort.csv")} == {"train"}


def test_the_table_has_oais_columns_and_code_text_values(cohort: Path) -> None:
    rows = read_table(cohort)
    assert list(rows[0])[:4] == ["ID", "SIDE", "READPRJ", "VERSION"]
    assert {"V00MBMSFMA", "V00MCMTMC", "V00MOSTM", "V00MMXMM", "V00MEFFWK", "V00MSYIC"} <= set(
        rows[0]
    )
    manifest = {row["patient"]: row["side"] for row in read_rows(cohort / "cohort.csv")}
    for row in rows:
        side = {"1: Right": "right", "2: Left": "left"}[row["SIDE"]]
        assert manifest[row["ID"]] == side
        assert (row["READPRJ"], row["VERSION"]) == ("PHANTOM", "PHANTOM:1")
        for column, value in row.items():
            if column.startswith("V00"):
                code, text = value.split(": ", 1)
                assert text
                assert code == "." or all(part.isdigit() for part in code.split("."))


def test_the_table_agrees_with_the_truth_or_is_missing(cohort: Path) -> None:
    document = json.loads((cohort / "truth.json").read_text(encoding="utf-8"))
    truth = {
        (knee["patient"], record.feature, record.site, record.component): record
        for knee in document
        for record in (TruthRecord.model_validate(r) for r in knee["records"])
    }
    missing = 0
    for row in read_table(cohort):
        for stem, variable in VARIABLES.items():
            cell = row[f"V00{stem}"]
            grades = [
                record.grade
                if (record := truth.get((row["ID"], variable.feature, variable.site, c)))
                else None
                for c in variable.components
            ]
            if cell == MISSING:
                missing += None not in grades
                continue
            assert cell.split(":")[0] == ".".join(str(g) for g in grades)
    assert 1 <= missing <= 0.08 * 4 * len(VARIABLES)


def test_cartilage_cells_hold_size_and_full_thickness_in_one_value() -> None:
    components = ((Component.SIZE, 2), (Component.FULL_THICKNESS, 1))
    truth = [
        TruthRecord(
            feature=Feature.CARTILAGE,
            site="femur_medial_central",
            component=component,
            grade=grade,
            basis=RuleBasis.MOAKS,
        )
        for component, grade in components
    ]
    cells = write_cells(truth, 0.0, np.random.default_rng(0))
    assert cells["MCMFMC"].startswith("2.1: ")
    assert cells["MCMFMA"] == MISSING
    assert write_cells(truth, 1.0, np.random.default_rng(0))["MCMFMC"] == MISSING


def test_what_the_phantom_does_not_model_is_missing_and_not_zero(cohort: Path) -> None:
    for row in read_table(cohort):
        assert {row["V00MMCTM"], row["V00MPCLBML"], row["V00MACLBML"]} == {MISSING}


def test_guessed_columns_are_listed_apart() -> None:
    assert {"MOSTM", "MMCYM", "MMHYL", "MPTSIG"} <= set(GUESSED_STEMS)
    assert not {"MBMSFMA", "MCMPM", "MMXMM", "MEFFWK"} & set(GUESSED_STEMS)


def test_an_empty_table_still_has_its_header() -> None:
    assert format_table([]).decode("latin-1").startswith("ID|SIDE|READPRJ|VERSION|V00MBMSFMA|")
    read = Read("PH1", Side.LEFT, dict.fromkeys(VARIABLES, MISSING))
    assert b"\nPH1|2: Left|PHANTOM|PHANTOM:1|.: Missing" in format_table([read])


def test_the_manifest_columns_are_the_contract() -> None:
    assert len(MANIFEST_COLUMNS) == 12
