"""`bench run`: what is sent, refused and kept; perfect models; stop and resume."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from agents.scripted_model import ScriptedChatModel
from eval.bench_config import BenchConfig, load_bench_config
from eval.bench_files import Bench, read_bench
from eval.bench_prompts import setting_prompt
from eval.bench_records import (
    AnswerStatus,
    BenchControl,
    BenchItem,
    BenchPart,
    Coordinates,
    Prediction,
    PredictionRun,
    Setting,
)
from eval.bench_selection import ItemSelection, choose_items
from eval.coordinates import IndexBox, best_box, write_box
from eval.other_patients import other_patients
from eval.picture_source import PictureSource
from eval.prediction_log import PredictionLog, read_run
from eval.vlm_runner import BenchProgress, BenchQuestioner, run_items
from knee.errors import BenchError, InputError
from knee.geometry import intersection_over_union
from prompts.render import ChatMessage
from run_pipeline import main
from tests.bench_knees import QUESTION_IDS, write_small_bench
from tests.demo_run import CHECKOUT
from tests.prepared_store import stub_process

SETTINGS = """name = "stub"
{more}
[model]
base_url = "{url}"
model = "stub"
licence = "none"
timeout_s = 20
coordinates = "{coordinates}"
schema_constrained = {schema}
tokens_per_image = 4
{model}
[model.sampling]
max_tokens = 64
[pictures]
n_slices = {n_slices}
max_pixels = 64
pad_to = 4
[load]
concurrency = 4
server_wait_s = 2
"""


def write_config(
    folder: Path,
    port: int = 9,
    *,
    coordinates: str = "pixels_sent",
    schema: str = "true",
    n_slices: int = 3,
    more: str = "",
    model: str = "",
    url: str | None = None,
) -> Path:
    path = folder / "bench.toml"
    path.write_text(
        SETTINGS.format(
            url=url or f"http://127.0.0.1:{port}/v1",
            coordinates=coordinates,
            schema=schema,
            n_slices=n_slices,
            more=more,
            model=model,
        ),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bench(tmp_path_factory.mktemp("bench"))


def run(bench: Path, config: Path, out: Path, *more: str, setting: str = "zero_shot") -> int:
    root = ("--cohort-root", str(bench.parent / "cohort"))
    return main(
        [
            *("bench", "run", str(bench), "--config", str(config), "--setting", setting),
            *("--out", str(out), *root, *more),
        ]
    )


def rows(out: Path) -> list[Prediction]:
    lines = (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [Prediction.model_validate_json(line) for line in lines]


def answers_file(folder: Path, answers: dict[str, str] | None = None) -> Path:
    path = folder / "answers.json"
    path.write_text(json.dumps(answers or {}))
    return path


Answer = Callable[[BenchItem, BenchQuestioner], str]


def empty_answer(_item: BenchItem, _asker: BenchQuestioner) -> str:
    return "{}"


def saying(texts: list[str]) -> Callable[[Sequence[ChatMessage]], str]:
    """A model that says the first of some texts, which come later."""
    return lambda _: texts[0]


async def answered(
    bench: Bench,
    root: Path,
    config: BenchConfig,
    setting: Setting,
    answer: Answer,
    control: BenchControl = BenchControl.NONE,
    question_ids: Sequence[int] = QUESTION_IDS,
) -> tuple[list[Prediction], list[tuple[ChatMessage, ...]]]:
    """Every item's row, from a model that knows which item it is asked."""
    others = (
        other_patients(tuple(bench.volumes.values()))
        if control is BenchControl.OTHER_PATIENT_IMAGE
        else {}
    )
    found: list[Prediction] = []
    received: list[tuple[ChatMessage, ...]] = []
    with closing(PictureSource(root, config, setting)) as source:
        for item in bench.items():
            if item.question_id not in question_ids:
                continue
            texts: list[str] = []
            model = ScriptedChatModel(saying(texts))
            asker = BenchQuestioner(
                volumes=bench.volumes,
                source=source,
                model=model,
                config=config,
                setting=setting,
                template=setting_prompt(setting, 1),
                control=control,
                others=others,
            )
            texts.append(answer(item, asker))
            found.append(await asker.answer(item))
            received += [tuple(messages) for messages in model.received]
        assert source.budget.held == 0
    return found, received


def perfect(item: BenchItem, asker: BenchQuestioner) -> str:
    volume = asker.volumes[item.volume_id]
    pictures = asker.source.draw_now(item, volume, asker.shown_volume(item))
    assert pictures.box is not None
    box = write_box(pictures.box, pictures.series, asker.config.model.coordinates)
    told: object
    if isinstance(box, IndexBox):
        told = list(box.indices)
    else:
        told = {"first": box.first, "last": box.last, "rectangle": list(box.rectangle)}
    grades = {c.component.value: c.grade for c in item.components}
    return json.dumps({"reasoning": "seen", "box": told, "grades": grades})


@pytest.mark.parametrize("coordinates", Coordinates)
async def test_a_perfect_model_is_perfect_in_each_convention(
    bench_folder: Path, tmp_path: Path, coordinates: Coordinates
):
    bench, root = read_bench(bench_folder), bench_folder.parent / "cohort"
    # One in sagittal, one in axial and one in coronal pictures.
    ids = (4, 43, 45)
    items = {item.item_id: item for item in bench.items() if item.question_id in ids}
    path = write_config(tmp_path, coordinates=coordinates.value, n_slices=256)
    config = load_bench_config(path)
    found, _ = await answered(bench, root, config, Setting.LOCALISE, perfect, question_ids=ids)
    assert len(found) == len(items)
    for row in found:
        item = items[row.item_id]
        assert row.status is AnswerStatus.ANSWERED
        assert [entry.grade for entry in row.grades] == [c.grade for c in item.components]
        assert row.box is not None
        assert item.box is not None
        overlap = intersection_over_union(row.box, item.box)
        # Voxels of 0.7 mm beside pixels of 0.365 mm, and per mille of 72 pixels: still exact.
        assert overlap == 1.0, (coordinates, row.item_id)
    few = load_bench_config(write_config(tmp_path, coordinates=coordinates.value, n_slices=4))
    found, _ = await answered(bench, root, few, Setting.LOCALISE, perfect, question_ids=ids)
    with closing(PictureSource(root, few, Setting.LOCALISE)) as source:
        for row in found:
            item = items[row.item_id]
            own = bench.volumes[item.volume_id]
            series = source.draw_now(item, own, own).series
            assert item.box is not None
            assert row.box is not None
            best = 1.0
            if coordinates is not Coordinates.VOXELS:
                best = intersection_over_union(best_box(item.box, series), item.box)
            assert intersection_over_union(row.box, item.box) == best


@pytest.mark.parametrize("setting", Setting)
async def test_each_setting_sends_its_pictures_and_its_words_and_no_label(
    bench_folder: Path, tmp_path: Path, setting: Setting
):
    bench, root = read_bench(bench_folder), bench_folder.parent / "cohort"
    config = load_bench_config(write_config(tmp_path))
    found, received = await answered(bench, root, config, setting, empty_answer)
    assert {row.status for row in found} == {AnswerStatus.UNPARSED}
    for row, messages in zip(found, received, strict=True):
        text = messages[-1].content
        images = messages[-1].images
        assert [image.sha256 for image in images] == [s.sha256 for s in row.slices]
        assert len(images) == 3
        assert images[1].label.startswith(f"Picture 2: {row.slices[1].plane} slice ")
        whole = "".join(message.content for message in messages)
        assert ("How " in text and "Limits:" in text) is (setting is Setting.GUIDED)
        assert ("inside of the rectangle" in text) is (setting is Setting.GIVEN_BOX)
        assert ("`box`" in whole) is (setting is Setting.LOCALISE)
        assert ("cut around the region" in text) is (setting is Setting.REGION_CROP)
        for secret in (row.item_id.split("/")[0], "readprj", '"65"', "V00"):
            assert secret not in whole
        assert row.image_volume_id == row.item_id.partition("#")[0]
    indices = {row.item_id: [s.index for s in row.slices] for row in found}
    sagittal = indices["B000/V00/right/dess#4"]
    assert sagittal == ([7, 9, 11] if setting is Setting.REGION_CROP else [4, 12, 20])


async def test_controls_withhold_the_knee_and_nothing_else(bench_folder: Path, tmp_path: Path):
    bench, root = read_bench(bench_folder), bench_folder.parent / "cohort"
    config = load_bench_config(write_config(tmp_path, coordinates="voxels"))
    setting = Setting.LOCALISE
    real, sent = await answered(bench, root, config, setting, perfect)
    control = BenchControl.NO_IMAGE
    none, blind = await answered(bench, Path("/nowhere"), config, setting, perfect, control)
    control = BenchControl.OTHER_PATIENT_IMAGE
    other, lent = await answered(bench, root, config, setting, perfect, control)
    for n, row in enumerate(real):
        assert none[n].box == row.box
        assert (none[n].slices, none[n].image_volume_id) == ((), None)
        assert not blind[n][-1].images
        text = sent[n][-1].content
        assert (
            blind[n][-1].content.replace(
                "\nThe pictures are withheld. Give the answer that you "
                "hold most likely without them.",
                "",
            )
            == text
        )
        assert other[n].image_volume_id not in (None, row.image_volume_id)
        assert {s.sha256 for s in other[n].slices}.isdisjoint({s.sha256 for s in row.slices})
        # Another storage order, and the box lands in the item's own volume all the same.
        assert other[n].box == row.box
        assert len(lent[n][-1].images) == len(sent[n][-1].images)
    assert other_patients(tuple(bench.volumes.values())) == other_patients(
        tuple(reversed(bench.volumes.values()))
    )
    with pytest.raises(BenchError, match="no other patient"):
        other_patients(list(bench.volumes.values())[:1])


def test_a_run_is_kept_resumed_and_done(
    bench_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "pred"
    with stub_process(answers_file(tmp_path), 0.0) as port:
        config = write_config(tmp_path, port)
        assert run(bench_folder, config, out, "--limit", "9") == 0
        before = (out / "predictions.jsonl").read_bytes()
        # A torn last line, and one row less: both are asked again, the others are not.
        lines = before.splitlines(keepends=True)
        (out / "predictions.jsonl").write_bytes(b"".join(lines[:-2]) + lines[-2][:40])
        assert run(bench_folder, config, out, "--limit", "9", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["statuses"] == {"answered": 9, "unparsed": 0, "failed": 0}
        assert run(bench_folder, config, out, "--limit", "9") == 0
        assert "0 of 9 item(s) to ask" in capsys.readouterr().err
        # Another run does not go on here.
        for more in (("--limit", "8"), ("--part", "balanced"), ("--control", "no_image")):
            assert run(bench_folder, config, out, *more) == 2
            assert "predictions of another run" in capsys.readouterr().err
        assert run(bench_folder, config, out, "--limit", "9", setting="guided") == 2
        write_config(tmp_path, port, n_slices=2)
        assert run(bench_folder, config, out, "--limit", "9") == 2
        assert "images" in capsys.readouterr().err
    found = rows(out)
    assert len({row.item_id for row in found}) == len(found) == 9
    assert len({row.item_id.split("/")[0] for row in found}) == 3
    assert (
        b"".join(lines[:-2])
        == (out / "predictions.jsonl").read_bytes()[: len(b"".join(lines[:-2]))]
    )
    stored = read_run(out)
    assert stored.limited_to == "9 of 27 items, evenly spaced"
    assert stored.n_items == 9
    assert stored.bench_id == read_bench(bench_folder).manifest.bench_id
    assert stored.prompt.prompt_id == "bench-zero-shot"


def test_a_missing_and_a_changed_image_fail_their_items_and_are_tried_again_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bench = write_small_bench(tmp_path / "knees", question_ids=(4, 42))
    cohort, out = bench.parent / "cohort", tmp_path / "pred"
    (cohort / "B000.nii.gz").rename(tmp_path / "away.nii.gz")
    (cohort / "B001.nii.gz").write_bytes((cohort / "B002.nii.gz").read_bytes())
    with stub_process(answers_file(tmp_path), 0.0) as port:
        config = write_config(tmp_path, port)
        assert run(bench, config, out) == 1
        told = capsys.readouterr().err
        assert "1 of 3 volume(s) have no image at hand" in told
        codes = {row.item_id: (row.error or "").partition(":")[0] for row in rows(out)}
        assert codes == {
            "B000/V00/right/dess#4": "image_missing",
            "B000/V00/right/dess#42": "image_missing",
            "B001/V00/right/dess#4": "image_changed",
            "B001/V00/right/dess#42": "image_changed",
            "B002/V00/right/dess#4": "",
            "B002/V00/right/dess#42": "",
        }
        assert run(bench, config, out) == 1
        assert "0 of 6 item(s) to ask" in capsys.readouterr().err
        (tmp_path / "away.nii.gz").rename(cohort / "B000.nii.gz")
        assert run(bench, config, out, "--retry-failed") == 1
        assert "4 failed item(s) are asked again" in capsys.readouterr().err
    statuses = {row.item_id: row.status.value for row in rows(out)}
    assert len(rows(out)) == len(statuses) == 6
    assert sorted(statuses.values()) == ["answered"] * 4 + ["failed"] * 2


def test_what_cannot_work_is_refused_before_a_row_is_written(
    bench_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "pred"

    def refused(config: Path, *more: str, hint: str = "hint: ", bench: Path = bench_folder) -> str:
        assert run(bench, config, out, *more) == 2
        told = capsys.readouterr().err
        assert hint in told
        assert "Traceback" not in told
        assert not out.exists()
        return told

    no_server = refused(write_config(tmp_path), hint="add --serve")
    assert "no model server answers" in no_server
    many = refused(write_config(tmp_path, model="max_images = 2"), hint="pictures.n_slices")
    assert "3 picture(s)" in many
    budget = refused(write_config(tmp_path, model="context = 200"), hint="max_model_len")
    assert "3 picture(s) of 4 are 12" in budget
    away = refused(write_config(tmp_path), "--cohort-root", str(tmp_path / "x"), hint="--cohort")
    assert "none of 3 volume(s) has its image" in away
    assert "holds no item" in refused(write_config(tmp_path), "--questions", "63-69")
    remote = write_config(tmp_path, url="http://models.example/v1")
    assert "allow_remote" in refused(remote, hint="tiny.toml")
    stored = json.loads((bench_folder / "manifest.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps({**stored, "format_version": 99}))
    assert "99" in refused(write_config(tmp_path), bench=other)
    with stub_process(answers_file(tmp_path), 0.0, more=("--max-images", "2")) as port:
        told = refused(write_config(tmp_path, port), hint="pictures.n_slices")
        assert "2 image(s) a prompt at most" in told
        unconstrained = write_config(tmp_path, port, schema="false")
        assert "2 image(s) a prompt at most" in refused(unconstrained)
    with stub_process(answers_file(tmp_path), 0.0, more=("--max-images", "0")) as port:
        assert "takes no images" in refused(write_config(tmp_path, port), hint="vision-language")
        assert run(bench_folder, write_config(tmp_path, port), out, "--control", "no_image") == 0


def test_settings_are_told_all_at_once_with_their_lines(tmp_path: Path):
    path = write_config(tmp_path)
    text = path.read_text().replace("max_pixels = 64", "max_pixels = 1\nsharpness = 2")
    path.write_text(text.replace('"pixels_sent"', '"inches"').replace("[load]", "[loda]"))
    with pytest.raises(InputError) as caught:
        load_bench_config(path)
    told = caught.value.message
    assert "4 problem(s)" in told
    for part in ("line 8: model.coordinates", "pictures.max_pixels", "sharpness", "loda"):
        assert part in told
    path.write_text('name = "x"\n[drafter]\n')
    with pytest.raises(InputError, match="model") as caught:
        load_bench_config(path)
    assert "generate" in (caught.value.hint or "")


def test_restricted_volumes_go_to_another_machine_on_a_named_basis_alone(tmp_path: Path):
    from stages.transfer_guard import refuse_bench_transfer

    bench = read_bench(write_small_bench(tmp_path / "knees", codes=("RAS",), question_ids=(4,)))
    (volume,) = bench.volumes.values()
    url = "https://models.example/v1"
    config = load_bench_config(write_config(tmp_path, url=url, more="allow_remote = true"))
    refuse_bench_transfer(config, [volume])
    for restricted in (True, None):
        held = volume.model_copy(update={"restricted": restricted})
        with pytest.raises(InputError, match="restricted") as caught:
            refuse_bench_transfer(config, [held])
        assert "external_transfer_basis" in (caught.value.hint or "")
        basis = 'allow_remote = true\nexternal_transfer_basis = "contract 7"'
        named = load_bench_config(write_config(tmp_path, url=url, more=basis))
        refuse_bench_transfer(named, [held])


def test_ctrl_c_stops_in_order_and_the_printed_command_goes_on(bench_folder: Path, tmp_path: Path):
    out = tmp_path / "pred"
    with stub_process(answers_file(tmp_path), 0.4) as port:
        config = write_config(tmp_path, port)
        command = [sys.executable, str(CHECKOUT / "run_pipeline.py"), "bench", "run"]
        command += [str(bench_folder), "--config", str(config), "--setting", "zero_shot"]
        command += ["--out", str(out), "--cohort-root", str(bench_folder.parent / "cohort")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (out / "predictions.jsonl").exists() or len(rows(out)) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 3, told
        assert f"--out {out}" in told.partition("resume with: ")[2]
        n_kept = len(rows(out))
        assert 4 <= n_kept < 27
        again = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert f"{27 - n_kept} of 27 item(s) to ask" in again.stderr
    found = rows(out)
    assert len({row.item_id for row in found}) == len(found) == 27


async def test_a_server_that_stays_away_stops_the_run_and_loses_no_row(bench_folder: Path):
    from agents.server_guard import ServerGone

    bench = read_bench(bench_folder)
    items = list(bench.items())
    kept: list[Prediction] = []

    async def answer(item: BenchItem) -> Prediction:
        if len(kept) >= 5:
            raise ServerGone("gone")
        await asyncio.sleep(0)
        return Prediction(item_id=item.item_id, status=AnswerStatus.FAILED, error="x: y")

    async def keep(row: Prediction) -> None:
        await asyncio.sleep(0.001)
        kept.append(row)

    progress = BenchProgress(len(items))
    end = await run_items(items, answer, keep, concurrency=3, progress=progress)
    assert end.stopped is not None
    assert progress.done == len(kept) < len(items)
    assert end.n_dropped >= 1


def prediction_run(bench: Bench) -> PredictionRun:
    return PredictionRun(
        format_version=1,
        bench_id=bench.manifest.bench_id,
        model="m",
        licence="none",
        setting=Setting.ZERO_SHOT,
        control=BenchControl.NONE,
        prompt=setting_prompt(Setting.ZERO_SHOT, 1).ref,
        coordinates=Coordinates.VOXELS,
        images="{}",
        sampling={},
        schema_constrained=True,
        n_items=1,
    )


def test_a_predictions_folder_is_locked_and_holds_its_own_run_alone(
    bench_folder: Path, tmp_path: Path
):
    run_now = prediction_run(read_bench(bench_folder))
    row = Prediction(item_id="a", status=AnswerStatus.FAILED, error="x: y")
    with PredictionLog(tmp_path / "p", run_now) as log:
        log.append([row])
        with (
            pytest.raises(BenchError, match="another process"),
            PredictionLog(tmp_path / "p", run_now),
        ):
            pass
    other = run_now.model_copy(update={"model": "n", "provenance": {"commit": "1"}})
    with pytest.raises(BenchError, match="model: 'm' there, 'n' now"):
        PredictionLog(tmp_path / "p", other).check()
    PredictionLog(tmp_path / "p", run_now.model_copy(update={"provenance": {"c": "1"}})).check()
    lines = (tmp_path / "p" / "predictions.jsonl").read_bytes()
    (tmp_path / "p" / "predictions.jsonl").write_bytes(b"{}\n" + lines)
    with (
        pytest.raises(BenchError, match="line 1 is damaged"),
        PredictionLog(tmp_path / "p", run_now),
    ):
        pass
    (tmp_path / "p" / "predictions.jsonl").write_bytes(lines * 2)
    with pytest.raises(BenchError, match="two rows"), PredictionLog(tmp_path / "p", run_now):
        pass
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "notes.txt").touch()
    with pytest.raises(BenchError, match="other files"):
        PredictionLog(tmp_path / "q", run_now).check()


def test_the_command_line_knows_every_setting_control_and_part():
    from stages.cli import bench_running

    for names, values in (
        ("_SETTINGS", Setting),
        ("_CONTROLS", BenchControl),
        ("_PARTS", BenchPart),
    ):
        told: tuple[str, ...] = getattr(bench_running, names)
        assert set(told) == {value.value for value in values} - {"none"}


def test_a_selection_is_said_in_words_and_spread_over_patients(bench_folder: Path):
    items = list(read_bench(bench_folder).items())
    chosen = choose_items(items, ItemSelection(limit=3))
    assert [item.volume_id.split("/")[0] for item in chosen.items] == ["B000", "B001", "B002"]
    whole = choose_items(items, ItemSelection(limit=500))
    assert (len(whole.items), whole.limited_to) == (27, None)
    named = choose_items(items, ItemSelection(questions="4,42", limit=2))
    assert named.limited_to == "questions 4,42; 2 of 6 items, evenly spaced"
