"""`cohort` and `splits` as a user runs them, and what `prepare` and `generate` ask of splits."""

import json
import shutil
from pathlib import Path

import pytest

from tests.demo_run import CHECKOUT, run_command
from tests.prepared_store import CALIBRATION
from tests.test_cohort_scan import write_series
from tools.cohort import load_cohort
from tools.phantom.cohort import write_cohort
from tools.phantom.grid import make_grid

SMALL = make_grid((2.4, 1.4, 1.4), (46, 100, 100))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantom knees whose manifest has no split; never changed by a test."""
    root = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(root, 6, 3, SMALL)
    manifest = root / "cohort.csv"
    header, *rows = manifest.read_text().splitlines()
    assert header.endswith(",split")
    stripped = [row.rpartition(",")[0] + "," for row in rows]
    manifest.write_text("\n".join((header, *stripped)) + "\n")
    return root


@pytest.fixture
def cohort(phantoms: Path, tmp_path: Path) -> Path:
    shutil.copytree(phantoms, tmp_path / "cohort")
    return tmp_path / "cohort"


def splits_of(root: Path) -> dict[str, str]:
    return {v.key.patient: str(v.split) for v in load_cohort(root).volumes}


def test_check_and_summary_of_a_sound_cohort(cohort: Path):
    done = run_command("cohort", "check", str(cohort), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"volumes": 6, "patients": 6, "problems": 0}
    done = run_command("cohort", "summary", str(cohort), "--json")
    assert done.code == 0, done.err
    groups = json.loads(done.out)["groups"]
    assert groups["synthetic"] == {"true": {"volumes": 6, "patients": 6}}
    assert groups["split"] == {"not assigned": {"volumes": 6, "patients": 6}}
    assert "train" not in run_command("cohort", "summary", str(cohort)).out.split("masks of")[0]


def test_check_lists_all_problems_and_changes_nothing(cohort: Path):
    manifest = cohort / "cohort.csv"
    lines = manifest.read_text().splitlines()
    lines += [lines[1], lines[2].replace("images/", "../images/"), "a,b"]
    manifest.write_text("\n".join(lines) + "\n")
    before = sorted(path.name for path in cohort.iterdir())
    done = run_command("cohort", "check", str(cohort))
    assert done.code == 2
    assert "3 problems" in done.err
    assert "hint:" in done.err
    assert sorted(path.name for path in cohort.iterdir()) == before


def test_scan_writes_a_skeleton_and_says_what_is_open(tmp_path: Path):
    write_series(tmp_path / "tree", "0.E.1/9001104/20050825/10000001")
    write_series(tmp_path / "tree", "0.E.1/9001104/20050825/10000002", "SAG_3D_DESS")
    done = run_command("cohort", "scan", str(tmp_path / "tree"), "--out", str(tmp_path), "--json")
    assert done.code == 1, done.err
    answer = json.loads(done.out)
    assert answer["series"] == {"listed": 1, "other_sequence": 0, "unclear": 1}
    assert "does not name one side" in done.err
    again = run_command("cohort", "scan", str(tmp_path / "tree"), "--out", str(tmp_path))
    assert again.code == 2
    nothing = run_command("cohort", "scan", str(tmp_path / "none"), "--out", str(tmp_path / "o"))
    assert nothing.code == 2
    assert not (tmp_path / "o").exists()


def test_splits_are_assigned_once_and_stay(cohort: Path):
    done = run_command("splits", "assign", str(cohort), "--seed", "5", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["new_patients"] == 6
    assert json.loads(done.out)["sources"]["stratified"] == 6
    first = splits_of(cohort)
    # The table is gone, a patient is gone, and another comes: nobody moves.
    next(cohort.glob("kMRI*")).unlink()
    manifest = cohort / "cohort.csv"
    header, gone, *rest = manifest.read_text().splitlines()
    assert header.endswith(",split")
    new = rest[0].replace(rest[0].split(",")[0], "NEW1").rpartition(",")[0] + ","
    manifest.write_text("\n".join((header, *rest, new)) + "\n")
    done = run_command("splits", "assign", str(cohort), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["new_patients"] == 1
    second = splits_of(cohort)
    assert {p: s for p, s in second.items() if p != "NEW1"}.items() <= first.items()
    manifest.write_text("\n".join((header, gone, *rest, new)) + "\n")
    assert run_command("splits", "assign", str(cohort)).code == 0
    assert splits_of(cohort) == {**first, "NEW1": second["NEW1"]}
    assert run_command("splits", "check", str(cohort)).code == 0


def test_another_seed_than_the_recorded_one_is_refused(cohort: Path):
    assert run_command("splits", "assign", str(cohort), "--seed", "5").code == 0
    before = (cohort / "cohort.csv").read_bytes()
    done = run_command("splits", "assign", str(cohort), "--seed", "6")
    assert done.code == 2
    assert "seed 6 is not the recorded one: [5]" in done.err
    assert (cohort / "cohort.csv").read_bytes() == before


def test_released_splits_are_kept(cohort: Path, tmp_path: Path):
    patients = sorted({v.key.patient for v in load_cohort(cohort).volumes})
    released = tmp_path / "released.csv"
    lines = [f"{patient},test" for patient in patients[:4]]
    released.write_text("\n".join(("patient,split", *lines, "elsewhere,val")) + "\n")
    done = run_command("splits", "assign", str(cohort), "--released", str(released), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["sources"]["released"] == 4
    splits = splits_of(cohort)
    assert [splits[p] for p in patients[:4]] == ["test"] * 4
    # What was not recorded as released cannot become so later.
    released.write_text(f"patient,split\n{patients[0]},train\n")
    done = run_command("splits", "assign", str(cohort), "--released", str(released))
    assert done.code == 2
    assert "is recorded as 'test' (released), released as 'train'" in done.err
    assert splits_of(cohort) == splits


@pytest.mark.parametrize("where", ["manifest", "release"])
def test_a_person_written_in_two_ways_is_not_drawn_twice(cohort: Path, tmp_path: Path, where: str):
    manifest = cohort / "cohort.csv"
    patient = load_cohort(cohort).volumes[0].key.patient
    released = tmp_path / "released.csv"
    released.write_text(f"patient,split\n{patient.lower()},test\n")
    command = ["splits", "assign", str(cohort)]
    if where == "manifest":
        header, first, second, *rows = manifest.read_text().splitlines()
        second = second.replace(second.partition(",")[0], patient.lower(), 1)
        manifest.write_text("\n".join((header, first, second, *rows)) + "\n")
    else:
        command += ["--released", str(released)]
    before = manifest.read_bytes()
    done = run_command(*command)
    assert done.code == 2
    assert f"patients {patient!r} and {patient.lower()!r} may be one person" in done.err
    assert manifest.read_bytes() == before
    assert not (cohort / "splits.csv").exists()


@pytest.mark.parametrize("shares", ["0.7,0.3", "1,1,1", "a,b,c", "0.9,-0.1,0.2", "nan,nan,nan"])
def test_wrong_shares_are_refused(cohort: Path, shares: str):
    done = run_command("splits", "assign", str(cohort), f"--shares={shares}")
    assert done.code == 2
    assert "are not three numbers" in done.err
    assert not (cohort / "splits.csv").exists()


def test_a_leak_is_told_by_check(cohort: Path):
    assert run_command("splits", "assign", str(cohort)).code == 0
    manifest = cohort / "cohort.csv"
    lines = manifest.read_text().splitlines()
    cells = lines[1].split(",")
    cells[1], cells[-1] = "V01", "val" if cells[-1] != "val" else "test"
    cells[4] = ""
    cells[5] = "labels/later.nii.gz"
    manifest.write_text("\n".join((*lines, ",".join(cells))) + "\n")
    done = run_command("splits", "check", str(cohort))
    assert done.code == 2
    assert f"patient {cells[0]!r} is in split" in done.err


def test_a_store_keeps_the_splits_that_it_was_prepared_with(cohort: Path, tmp_path: Path):
    """One store through its life: splits of the manifest, a patient without one, the guards."""
    store = tmp_path / "knees.duckdb"
    run_command("splits", "assign", str(cohort))
    manifest = cohort / "cohort.csv"
    header, *rows = manifest.read_text().splitlines()
    # One test patient, one train patient, one patient without a split.
    kept = [
        row.rpartition(",")[0] + f",{s}"
        for row, s in zip(rows[:3], ("test", "train", ""), strict=True)
    ]
    (cohort / "splits.csv").unlink()
    manifest.write_text("\n".join((header, *kept)) + "\n")
    patients = [row.split(",")[0] for row in kept]

    fitted = tmp_path / "fitted.toml"
    text = CALIBRATION.read_text()
    fitted.write_text(f'patients = ["{patients[0]}"]\n{text}')
    command = ("prepare", str(cohort), "--store", str(store), "--workers", "1")
    done = run_command(*command, "--calibration", str(fitted))
    assert done.code == 2
    assert f"calibration with 1 test patient(s): {patients[0]!r}" in done.err
    assert not store.exists()
    fitted.write_text(f'patients = ["{patients[1]}"]\n{text}')
    done = run_command(*command, "--calibration", str(fitted))
    assert done.code == 0, done.err

    done = run_command("splits", "check", "--store", str(store), "--json")
    assert done.code == 0, done.err
    assert "1 patient(s) have no split yet" in done.err
    done = run_command("splits", "assign", "--store", str(store), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["new_patients"] == 1
    assert json.loads(done.out)["sources"]["manifest"] == 2

    manifest.write_text("\n".join((header, kept[0].removesuffix("test") + "train")) + "\n")
    done = run_command(*command)
    assert done.code == 2
    assert f"patient {patients[0]!r} is in split 'train', but in 'test' in the store" in done.err

    # A manifest that names no split, and none of the test patient's volumes, hides nobody.
    manifest.write_text("\n".join((header, kept[1].removesuffix("train"))) + "\n")
    fitted.write_text(f'patients = ["{patients[0]}"]\n{text}')
    done = run_command(*command, "--calibration", str(fitted))
    assert done.code == 2
    assert f"calibration with 1 test patient(s): {patients[0]!r}" in done.err

    config = (CHECKOUT / "configs" / "demo.toml").read_text()
    (tmp_path / "demo.toml").write_text(config)
    (tmp_path / "calibration-demo.toml").write_text(f'patients = ["{patients[0]}"]\n{text}')
    done = run_command(
        "generate", "--store", str(store), "--config", str(tmp_path / "demo.toml"), "--dry-run"
    )
    assert done.code == 2
    assert "calibration with 1 test patient" in done.err


def test_a_cohort_or_a_store_is_named_and_not_both(cohort: Path, tmp_path: Path):
    assert run_command("splits", "check").code == 2
    both = run_command("splits", "check", str(cohort), "--store", str(tmp_path / "s.duckdb"))
    assert both.code == 2
    none = run_command("splits", "check", "--store", str(tmp_path / "s.duckdb"))
    assert none.code == 2
    assert "store not found" in none.err
