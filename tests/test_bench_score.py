"""`bench score`: what it writes, and predictions, benches and exports that do not fit."""

import json
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from eval.bench_files import Bench, bench_id_of, read_bench
from eval.bench_records import Prediction, Setting
from eval.prediction_lines import SliceLists
from eval.score_records import BenchScores
from knee.errors import BenchError, InputError
from knee.keys import content_hash
from run_pipeline import main
from stages.bench_score import refuse_trained_on
from stages.export import FORMATS
from stages.training_patients import training_patients
from tests.export_cases import make_store
from tests.synthetic_bench import make_bench, perfect, write_predictions


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench") / "bench"
    return make_bench(folder, n_patients=3, question_ids=(16, 58))


@pytest.fixture
def predictions(bench: Bench, tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "model", bench, perfect)


def lines_of(folder: Path) -> list[str]:
    return (folder / "predictions.jsonl").read_text().splitlines(keepends=True)


def refused(capsys: pytest.CaptureFixture[str], bench: Path, predictions: Path, *more: str) -> str:
    """Runs the command, which must refuse with a hint and write nothing; returns what it said."""
    assert main(["bench", "score", str(bench), str(predictions), *more]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "hint:" in told.err
    assert not (predictions / "scores.json").exists()
    return told.err


def test_scores_are_written_shown_and_read_back(
    bench: Bench, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = write_predictions(tmp_path / "other", bench, perfect, setting=Setting.GUIDED)
    command = ["bench", "score", str(bench.folder), str(predictions), "--other", str(other)]
    assert main([*command, "--json"]) == 0
    told = capsys.readouterr()
    written = (predictions / "scores.json").read_text()
    assert told.out == written
    scores = BenchScores.model_validate_json(written)
    assert scores.bench.bench_id == bench.manifest.bench_id
    assert scores.comparison is not None
    assert scores.comparison.localisation == ()
    assert "gain over" in told.err
    assert "NaN" not in written
    assert main([*command, "--out", str(tmp_path / "no" / "folder.json")]) == 2


def test_settings_that_show_the_box_say_which_boxes_tell_of_the_grade(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    told: dict[Setting, bool] = {}
    for setting in Setting:
        out = write_predictions(tmp_path / setting.value, bench, perfect, setting=setting)
        assert main(["bench", "score", str(bench.folder), str(out)]) == 0
        told[setting] = "extrusion and effusion" in capsys.readouterr().err
    assert {setting for setting, is_told in told.items() if is_told} == {
        Setting.REGION_CROP,
        Setting.GIVEN_BOX,
    }


def test_predictions_of_another_bench_or_version_are_refused(
    bench: Bench, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = make_bench(tmp_path / "bench2", n_patients=3, question_ids=(16,))
    said = refused(capsys, other.folder, predictions)
    assert bench.manifest.bench_id in said
    assert other.manifest.bench_id in said
    run = json.loads((predictions / "run.json").read_text())
    (predictions / "run.json").write_text(json.dumps({**run, "format_version": 99}))
    assert "format version 99" in refused(capsys, bench.folder, predictions)
    (predictions / "run.json").unlink()
    assert "no predictions" in refused(capsys, bench.folder, predictions)


def test_unknown_duplicate_and_broken_lines_are_refused(
    bench: Bench, predictions: Path, capsys: pytest.CaptureFixture[str]
):
    lines = lines_of(predictions)
    path = predictions / "predictions.jsonl"
    path.write_text("".join(lines).replace("p0001/V00", "p9999/V00"))
    assert "'p9999/V00/right/dess#16'" in refused(capsys, bench.folder, predictions)
    path.write_text("".join([*lines, lines[2]]))
    assert "line 7: item 'p0001/V00/right/dess#16' is answered twice" in refused(
        capsys, bench.folder, predictions
    )
    path.write_text("".join([lines[0][:50] + "\n", *lines[1:]]))
    assert "line 1 is no prediction" in refused(capsys, bench.folder, predictions)
    wrong = lines[0].replace('"full_thickness"', '"repair"')
    path.write_text("".join([wrong, *lines[1:]]))
    assert "'repair'" in refused(capsys, bench.folder, predictions)


def test_a_last_line_that_was_cut_off_is_passed_over_with_a_message(
    bench: Bench, predictions: Path, capsys: pytest.CaptureFixture[str]
):
    lines = lines_of(predictions)
    (predictions / "predictions.jsonl").write_text("".join(lines)[:-40])
    assert main(["bench", "score", str(bench.folder), str(predictions)]) == 0
    told = capsys.readouterr().err
    assert "cut off" in told
    assert "1 of 6 item(s) were never answered" in told
    scores = BenchScores.model_validate_json((predictions / "scores.json").read_text())
    assert (scores.items.n_total, scores.items.n_scored, scores.items.n_missing) == (6, 5, 1)


def test_a_changed_bench_or_one_of_another_version_is_refused(bench: Bench, tmp_path: Path):
    copy = Path(shutil.copytree(bench.folder, tmp_path / "copy"))
    with (copy / "items.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(BenchError, match=r"items\.jsonl"):
        read_bench(copy)
    (copy / "items.jsonl").unlink()
    with pytest.raises(BenchError, match=r"has no 'items\.jsonl'"):
        read_bench(copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format_version": 2}))
    with pytest.raises(BenchError, match="format version 2, this program reads 1"):
        read_bench(copy)
    with pytest.raises(BenchError, match="no bench"):
        read_bench(tmp_path)


def test_phantoms_put_among_patients_by_hand_are_refused(tmp_path: Path):
    patients = make_bench(tmp_path / "a", n_patients=2, question_ids=(16,), synthetic=False)
    path = patients.folder / "volumes.jsonl"
    path.write_text(path.read_text().replace('"synthetic":false', '"synthetic":true', 1))
    manifest = json.loads((patients.folder / "manifest.json").read_text())
    files = {**manifest["files"], "volumes.jsonl": content_hash(path.read_bytes())}
    changed = {**manifest, "files": files, "bench_id": bench_id_of(files)}
    (patients.folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(BenchError, match=r"1 volume\(s\) of the other kind") as caught:
        read_bench(patients.folder)
    assert "never pooled" in (caught.value.hint or "")


def make_export(folder: Path, splits: dict[str, list[str]], key: str | None = None) -> Path:
    """Makes what a jsonl export has of these patients."""
    entries: dict[str, object] = {}
    for split, patients in splits.items():
        name = f"data/{split}/{split}-00000-of-00001.jsonl"
        (folder / name).parent.mkdir(parents=True)
        rows = [json.dumps({"volume_id": f"{p}/V00/left/dess"}) + "\n" for p in patients]
        (folder / name).write_text("".join(rows))
        entries[split] = {"rows": len(rows), "files": [name]}
    (folder / "manifest.json").write_text(json.dumps({"splits": entries, "pseudonym_key": key}))
    return folder


def test_patients_of_a_training_export_are_refused(
    bench: Bench, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    seen = make_export(tmp_path / "seen", {"train": ["x", "p0001"], "test": ["p0002"]})
    said = refused(capsys, bench.folder, predictions, "--training-export", str(seen))
    assert "1 of the bench's 3 patients" in said
    assert "'p0001'" in said
    unseen = make_export(tmp_path / "unseen", {"train": ["x"], "test": ["p0002"]})
    refuse_trained_on(bench, unseen)
    assert "in its test split" in capsys.readouterr().err
    hidden = make_export(tmp_path / "hidden", {"train": ["q"]}, key="abc")
    with pytest.raises(InputError, match="pseudonymised"):
        refuse_trained_on(bench, hidden)
    with pytest.raises(InputError, match="no export"):
        training_patients(tmp_path)


def test_the_patients_of_real_exports_are_read_in_every_format(tmp_path: Path):
    store = make_store(tmp_path / "knees.duckdb")
    for name in FORMATS:
        command = ["export", "--store", str(store), "--out", str(tmp_path / name)]
        assert main([*command, "--format", name, "--where", "NOT synthetic"]) == 0
        found = training_patients(tmp_path / name)
        assert found == {"train": {"9104001", "9104002"}, "val": {"9104003"}, "test": {"9104004"}}


def test_slices_that_were_read_before_are_shared_and_lines_are_what_they_are(bench: Bench):
    """Whatever stands in a text, a line is read as it is read whole."""
    item = next(bench.items())
    shown = perfect(bench.volumes[item.volume_id], item)
    odd = shown.model_copy(
        update={"text": 'it says "slices":[] and "slices": [{"plane"', "slices": ()}
    )
    lists = SliceLists()
    for row in (shown, odd):
        for line in (
            row.model_dump_json().encode(),
            json.dumps(row.model_dump(mode="json")).encode(),
        ):
            assert lists.read(line) == Prediction.model_validate_json(line) == row
            assert lists.read(line).slices is lists.read(line).slices
    broken = shown.model_dump_json().replace('"index":3,', '"index":"x",').encode()
    with pytest.raises(ValidationError, match=r"slices\.3\.index"):
        lists.read(broken)
