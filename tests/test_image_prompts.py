"""Prompts with slices, looked at by people: `prompts render`, `explain` and `recheck`."""

import asyncio
import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agents.graph import run_item
from agents.scripted_model import ScriptedChatModel
from agents.slice_source import ImageFile, SliceSource
from knee.records import Run
from knee.run_config import ImageSettings
from prompts.registry import PromptTemplate, load_prompt, load_prompt_file
from run_pipeline import main
from stages.run_images import images_identity
from store.items import Selection
from store.prompt_sources import PromptSource, put_prompt_sources
from store.writer import StoreWriter
from tests.image_items import QUESTION, image_answer, image_store, write_image
from tests.store_records import run
from tests.test_draft_images import context_for
from tests.test_vision_run import changed, write_settings
from tools.volumes import load_volume

SETTINGS = ImageSettings(n_slices=2, max_pixels=128)
KEY = f"I0001/V00/right/dess#{QUESTION.question_id}"
_DATA_URL = re.compile(r'src="data:image/png;base64,([^"]+)"')


def drafted_store(folder: Path, template: PromptTemplate, *, keep: bool = True) -> Path:
    """A store with one accepted item that was drafted from slices with a template.

    `keep`: the template's parts are in the store, as a trial puts them.
    """
    store = image_store(folder, 1)
    with StoreWriter(store) as writer:
        started = _run(template)
        writer.put_prompts([(template.ref, template.full_text)])
        if keep:
            parts = PromptSource(template.sha256, template.source, template.settings_text)
            put_prompt_sources(writer, [parts])
        writer.start_or_resume_run(started)
        writer.bind_volumes("r1")
        (item,) = writer.items(Selection(sees_images=True))
        path = folder / "cohort" / "1.nii.gz"
        files = {item.volume_id: ImageFile(path, {item.findings_id: load_volume(path).sha256})}
        model = ScriptedChatModel(lambda _: image_answer())
        source = SliceSource(files, SETTINGS)
        context = replace(context_for(model, source), run_id="r1", template=template)
        writer.put_outcomes("r1", [asyncio.run(run_item(item, context))])
    return store


def _run(template: PromptTemplate) -> Run:
    return run("r1").model_copy(
        update={"prompts": (template.ref,), "images": images_identity(SETTINGS)}
    )


def shown_hashes(store: Path) -> list[str]:
    with duckdb.connect(str(store), read_only=True) as con:
        rows = con.execute("SELECT unnest(slices).sha256 FROM shown_images").fetchall()
    return [row[0] for row in rows]


def embedded_hashes(page: str) -> list[str]:
    return [
        "sha256:" + hashlib.sha256(base64.b64decode(found)).hexdigest()
        for found in _DATA_URL.findall(page)
    ]


def test_the_page_of_an_image_item_holds_the_slices_that_were_sent(tmp_path: Path):
    store = drafted_store(tmp_path, load_prompt("draft-images", 1))
    sent = shown_hashes(store)
    assert len(sent) == 4
    out = tmp_path / "item.html"
    assert main(["explain", KEY, "--store", str(store), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert [found for found in embedded_hashes(page) if found in sent] == sent
    assert "its hash is the stored one" in page
    assert "<figcaption" in page
    # Without the image the page says so, and shows none in their place.
    (tmp_path / "cohort").rename(tmp_path / "moved")
    assert main(["explain", KEY, "--store", str(store), "--out", str(out)]) == 0
    away = out.read_text(encoding="utf-8")
    assert embedded_hashes(away) == []
    assert all(sha256 in away for sha256 in sent)
    assert "if the cohort was moved" in away or "is not at" in away
    moved = ["--cohort-root", str(tmp_path / "moved")]
    assert main(["explain", KEY, "--store", str(store), "--out", str(out), *moved]) == 0
    assert len(embedded_hashes(out.read_text(encoding="utf-8"))) >= len(sent)


def test_another_image_in_its_place_is_not_taken_for_what_was_sent(tmp_path: Path):
    store = drafted_store(tmp_path, load_prompt("draft-images", 1))
    path = tmp_path / "cohort" / "1.nii.gz"
    write_image(path, seed=99)
    out = tmp_path / "item.html"
    assert main(["explain", KEY, "--store", str(store), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert not set(embedded_hashes(page)) & set(shown_hashes(store))
    assert "is not the one that its findings were made from" in page


def test_a_prompt_with_slices_is_rendered_and_its_slices_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = image_store(tmp_path, 1)
    config = write_settings(tmp_path / "vision.toml", 9)
    given = ["prompts", "render", "draft-images", "--store", str(store), "--config", str(config)]
    out = tmp_path / "slices"
    assert main([*given, "--out", str(out), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    images = told["messages"][-1]["images"]
    files = sorted(out.iterdir())
    assert [f.name for f in files] == [
        "01-sagittal-slice-7.png",
        "02-sagittal-slice-10.png",
        "03-coronal-slice-13.png",
        "04-coronal-slice-19.png",
    ]
    written = ["sha256:" + hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
    assert written == [image["sha256"] for image in images]
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in files)
    assert main(given) == 0
    text = capsys.readouterr().out
    assert text.count("; PNG of ") == 4
    assert "[sagittal slice 7 (axis i); left edge: anterior" in text
    assert main([*given, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_what_cannot_be_rendered_with_slices_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = image_store(tmp_path, 1)
    config = write_settings(tmp_path / "vision.toml", 9)
    out = ["--out", str(tmp_path / "slices")]
    where = ["--store", str(store)]
    assert main(["prompts", "render", "draft", *where, *out]) == 2
    assert "the prompt is of text alone" in capsys.readouterr().err
    assert main(["prompts", "render", "draft-images", *out]) == 2
    assert "an invented knee has none" in capsys.readouterr().err
    assert main(["prompts", "render", "draft", *where, "--config", str(config)]) == 2
    assert "says nothing of them" in capsys.readouterr().err
    changed(config, "n_slices = 2", 'planes = ["axial"]')
    assert main(["prompts", "render", "draft-images", *where, "--config", str(config)]) == 2
    assert "without a slice" in capsys.readouterr().err
    (tmp_path / "cohort").rename(tmp_path / "moved")
    assert main(["prompts", "render", "draft-images", *where, *out]) == 2
    assert "--cohort-root" in capsys.readouterr().err
    assert not (tmp_path / "slices").exists()


def unsaved(folder: Path) -> PromptTemplate:
    """A template that is tried and then lost."""
    path = folder / "mine.jinja2"
    saved = load_prompt("draft-images", 1)
    path.write_text(saved.source.replace("Rules:", "These rules bind:"), encoding="utf-8")
    template = load_prompt_file(path)
    assert template.sha256 != saved.sha256
    path.unlink()
    return template


def test_an_unsaved_template_is_built_again_from_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    template = unsaved(tmp_path)
    assert template.prompt_id == "unsaved/mine"
    store = drafted_store(tmp_path, template)
    out = tmp_path / "item.html"
    assert main(["explain", KEY, "--store", str(store), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert "its hash is the stored one" in page
    assert "These rules bind:" in page
    given = ["recheck", "--store", str(store), "--run", "r1", "--json"]
    assert main(given) == 0
    told = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert told["checked_now"] == {"accepted": 1}
    assert told["other_prompts"] == {}


def test_a_template_that_is_nowhere_kept_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = drafted_store(tmp_path, unsaved(tmp_path), keep=False)
    assert main(["recheck", "--store", str(store), "--run", "r1"]) == 2
    told = capsys.readouterr().err
    assert "'unsaved/mine v0' (sha256:" in told
    assert "hint: it was tried before stores kept them" in told


def test_recheck_tells_that_a_prompt_is_not_the_one_that_was_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = drafted_store(tmp_path, load_prompt("draft-images", 1))
    with duckdb.connect(str(store)) as con:
        con.execute("DELETE FROM prompt_sources")
        con.execute("UPDATE attempts SET prompt_sha256 = 'sha256:other'")
    assert main(["recheck", "--store", str(store), "--run", "r1", "--dry-run"]) == 0
    told = capsys.readouterr().err
    assert "1 item(s) were checked against another prompt than was sent" in told
    assert "the template draft-images v1 was changed since" in told
    with duckdb.connect(str(store)) as con:
        con.execute(
            "INSERT INTO prompt_sources VALUES ('sha256:other', "
            "'{% block user %}old {{ protocol.where }}{% endblock %}"
            "{% block revise %}{% endblock %}', '')"
        )
    assert main(["recheck", "--store", str(store), "--run", "r1", "--dry-run"]) == 0
    assert "data that the template draft-images v1 shows was changed" in capsys.readouterr().err
    with duckdb.connect(str(store)) as con:
        sha256 = load_prompt("draft-images", 1).sha256
        con.execute("UPDATE attempts SET prompt_sha256 = ?, prompt_text_sha256 = 'x'", [sha256])
    assert main(["recheck", "--store", str(store), "--run", "r1", "--dry-run"]) == 0
    assert "what the template shows of the item was changed since" in capsys.readouterr().err
