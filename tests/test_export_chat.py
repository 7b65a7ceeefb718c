"""Chats with slices: those that the drafter saw, drawn again to the byte, and others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knee.anatomy import Side
from knee.geometry import voxel_box
from knee.keys import content_hash
from knee.run_config import ImageSettings
from prompts.context import reading_planes
from run_pipeline import main
from stages.export_slices import UNSEEN, slices_of
from stages.run_images import images_identity
from store.writer import StoreWriter
from tests.image_items import QUESTION, image_item, image_knee, image_store
from tests.small_knee import stored_as, write_nifti
from tests.store_records import outcome, run
from tools.slice_images import SliceStyle, draw_slices
from tools.volumes import load_volume

SETTINGS = ImageSettings(n_slices=2, max_pixels=96)
KEY = bytes(range(40))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knee 1 was drafted from slices, knee 2 from text."""
    folder = tmp_path_factory.mktemp("chat")
    path = image_store(folder)
    seen = run("seen").model_copy(
        update={"images": images_identity(SETTINGS), "fingerprint": content_hash("seen")}
    )
    shown = image_knee(folder, SETTINGS).source.draw_now(image_item()).shown
    with StoreWriter(path) as writer:
        for one, number, images in ((seen, 1, shown), (run("text"), 2, None)):
            item = image_item(number)
            writer.start_or_resume_run(one)
            writer.bind_volumes(one.run_id)
            last = outcome(one.run_id, item.volume_id, item.question_id, grade=0, clinician=0)
            last = last.model_copy(update={"findings_id": item.findings_id, "images": images})
            writer.put_outcomes(one.run_id, [last])
    return path


def export(store: Path, out: Path, *more: str) -> list[dict[str, Any]]:
    """Exports the chats of both knees; returns them by volume."""
    command = ["export", "--store", str(store), "--out", str(out), "--format", "sft-chat"]
    assert main([*command, "--only-synthetic", *more]) == 0
    lines = [line for p in out.glob("data/*/*.jsonl") for line in p.read_text().splitlines()]
    return sorted(map(json.loads, lines), key=lambda chat: chat["run_id"])


def check_as_trainers_do(chat: dict[str, Any]) -> None:
    """What ms-swift and LLaMA-Factory's `sharegpt` ask of a chat with pictures."""
    roles = [message["role"] for message in chat["messages"]]
    assert roles == ["system", "user", "assistant"]
    assert all(isinstance(message["content"], str) for message in chat["messages"])
    marks = [message["content"].count("<image>") for message in chat["messages"]]
    assert marks == [0, len(chat["images"]), 0]
    assert all(not Path(name).is_absolute() for name in chat["images"])
    assert chat["images"] == [one["path"] for one in chat["slices"]]
    assert len(set(chat["images"])) == len(chat["images"])


def test_a_chat_names_the_slices_that_its_drafter_saw(store: Path, tmp_path: Path):
    seen, text = export(store, tmp_path / "out")
    for chat in (seen, text):
        check_as_trainers_do(chat)
    assert (seen["slices_seen_by_drafter"], seen["box_outlined"]) == (True, True)
    assert [(s["plane"], s["axis"], s["slice_index"]) for s in seen["slices"]] == [
        *[("sagittal", "i", 7), ("sagittal", "i", 10), ("coronal", "j", 13), ("coronal", "j", 19)]
    ]
    assert {s["volume"] for s in seen["slices"]} == {"1.nii.gz"}
    assert all(s["sha256"].startswith("sha256:") and s["box_pixels"] for s in seen["slices"])
    user = seen["messages"][1]["content"]
    assert user.startswith(
        "Slices of a right knee.\nSagittal slice 7 (left edge: anterior; right edge: posterior): "
        "<image>\nSagittal slice 10"
    )
    assert (text["slices_seen_by_drafter"], text["box_outlined"]) == (False, False)
    assert [s["slice_index"] for s in text["slices"]] == [6, 7, 9, 10, 11, 11, 13, 16, 18, 20]
    assert {(s["sha256"], s["box_pixels"]) for s in text["slices"]} == {(None, None)}
    card = (tmp_path / "out/README.md").read_text()
    assert "**The pictures are not in this export**" in card
    assert not (tmp_path / "out/images").exists()


def test_pictures_are_drawn_again_to_the_byte_and_listed_in_the_checksums(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    first = export(store, tmp_path / "a", "--with-images")
    assert "14 picture(s) drawn" in capsys.readouterr().err
    sums = (tmp_path / "a/SHA256SUMS").read_text()
    for chat in first:
        check_as_trainers_do(chat)
        for one in chat["slices"]:
            png = (tmp_path / "a" / one["path"]).read_bytes()
            assert content_hash(png) == one["sha256"]
            assert f"{one['sha256'].removeprefix('sha256:')}  {one['path']}\n" in sums
            assert len(one["box_pixels"]) == 4
    export(store, tmp_path / "b", "--with-images")
    assert (tmp_path / "b/SHA256SUMS").read_text() == sums


def test_pictures_of_another_image_are_refused_and_nothing_is_left(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["export", "--store", str(store), "--out", str(tmp_path / "out"), "--only-synthetic"]
    chat = [*command, "--format", "sft-chat", "--with-images"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for arguments, words in (
        ([*command, "--with-images"], "format 'parquet' has no pictures"),
        ([*chat, "--cohort-root", str(moved)], "is not at"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    image = np.zeros((24, 48, 40), np.int16)
    for number in (1, 2):
        write_nifti(moved / f"{number}.nii.gz", *stored_as(image, np.eye(4), "RAS"))
    assert main([*chat, "--cohort-root", str(moved)]) == 2
    assert "is not the one that its findings were made from" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_a_picture_that_is_not_what_was_shown_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("tools.slice_images.BOX_COLOUR", (255, 0, 0))
    monkeypatch.setattr("tools.slice_images._palette", lambda: [0] * 768)
    command = ["export", "--store", str(store), "--out", str(tmp_path / "out"), "--only-synthetic"]
    assert main([*command, "--format", "sft-chat", "--with-images"]) == 2
    assert "is not the picture that the drafter was shown" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_pseudonymised_chats_have_pictures_and_no_hash_of_one(store: Path, tmp_path: Path):
    key = tmp_path / "key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    plain = export(store, tmp_path / "plain", "--with-images")
    hidden = export(store, tmp_path / "out", "--with-images", "--pseudonymise", str(key))
    assert sum(len(chat["images"]) for chat in hidden) == 14
    told = {s["sha256"] for chat in plain for s in chat["slices"]} | {"I0001", "I0002", "seen/"}
    for path in (tmp_path / "out").rglob("*"):
        name = path.relative_to(tmp_path / "out").as_posix()
        text = name if path.is_dir() else name + path.read_bytes().decode(errors="replace")
        if path.name == "SHA256SUMS":
            continue  # Over what the export itself holds.
        assert not {word for word in told if word in text}, path


@pytest.mark.parametrize("codes", ["RAS", "PIR", "LIA", "SAL"])
def test_references_are_the_slices_that_would_be_drawn(tmp_path: Path, codes: str):
    array = np.random.default_rng(1).integers(0, 900, (24, 31, 27)).astype(np.int16)
    path = write_nifti(tmp_path / "v.nii.gz", *stored_as(array, np.diag([0.7, 0.4, 0.4, 1]), codes))
    volume = load_volume(path)
    assert volume.orientation == codes
    rng = np.random.default_rng(2)
    for _ in range(5):
        low = [int(rng.integers(0, n - 1)) for n in volume.shape]
        high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, volume.shape, strict=True)]
        box = voxel_box(*(v for pair in zip(low, high, strict=True) for v in pair))
        names = ("i0", "i1", "j0", "j1", "k0", "k1")
        row: dict[str, Any] = {
            "volume_id": "P/V00/right/dess", "run_id": "r", "side": "right", "image": "v.nii.gz",
            "question_id": QUESTION.question_id, "box": dict(zip(names, box.indices, strict=True)),
            "orientation": codes, "shape": list(volume.shape), "shown_slices": None,
        }  # fmt: skip
        refs = slices_of(row)
        planes = reading_planes(QUESTION)
        drawn = draw_slices(volume, box, Side.RIGHT, planes, (0.0, 900.0), SliceStyle())
        assert [(r.plane, r.axis, r.slice_index) for r in refs] == [
            (d.shown.plane, d.shown.axis, d.shown.index) for d in drawn
        ]
    assert UNSEEN.n_slices == SliceStyle().n_slices
