"""Drafting from slices: what is sent and hashed, what is asked, what the checks hold it against."""

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agents.context import GraphContext
from agents.graph import prepare_task, run_item
from agents.llm_client import ChatClient
from agents.open_volumes import IMAGE_CHANGED, IMAGE_MISSING, IMAGE_UNREADABLE, ByteBudget
from agents.preflight import preflight
from agents.scripted_model import ScriptedAnswer, ScriptedChatModel
from agents.slice_source import ImageFile, SliceSource
from knee.errors import InputError
from knee.keys import content_hash
from knee.records import ComponentStatus, Item, ItemOutcome, ItemState
from knee.run_config import ImageSettings, ModelEndpoint, Sampling
from prompts.registry import load_prompt
from prompts.render import ChatMessage, MessageImage, hash_messages
from tests.image_items import (
    BOX,
    ImageKnee,
    image_answer,
    image_item,
    image_knee,
    write_image,
)
from tests.stub_server import StubServer, count_images


@pytest.fixture
def knee(tmp_path: Path) -> ImageKnee:
    return image_knee(tmp_path)


def context_for(
    model: ScriptedChatModel, source: SliceSource | None, *, max_revisions: int = 0
) -> GraphContext:
    return GraphContext(
        run_id="run-1",
        model=model,
        template=load_prompt("draft-images", 1),
        sampling=Sampling(),
        max_revisions=max_revisions,
        images=source,
    )


async def drafted(
    knee: ImageKnee, *answers: ScriptedAnswer, max_revisions: int = 0
) -> tuple[ItemOutcome, ScriptedChatModel]:
    left = list(answers)
    model = ScriptedChatModel(lambda _: left.pop(0) if len(left) > 1 else left[0])
    context = context_for(model, knee.source, max_revisions=max_revisions)
    return await run_item(knee.item, context), model


async def test_a_draft_that_names_its_slices_is_accepted_and_they_are_kept(knee: ImageKnee):
    outcome, model = await drafted(knee, image_answer())
    assert outcome.state is ItemState.ACCEPTED, outcome.codes
    assert outcome.images is not None
    shown = [(s.plane, s.axis, s.index) for s in outcome.images.slices]
    assert shown == [
        ("sagittal", "i", 7),
        ("sagittal", "i", 10),
        ("coronal", "j", 13),
        ("coronal", "j", 19),
    ]
    (messages,) = model.received
    sent = messages[-1].images
    assert [image.sha256 for image in sent] == [s.sha256 for s in outcome.images.slices]
    assert all(content_hash(image.png) == image.sha256 for image in sent)
    assert sent[2].label.startswith(
        "coronal slice 13 (axis j); left edge: patient's right, lateral"
    )
    assert outcome.attempts[0].prompt_text_sha256 == hash_messages(messages)
    assert knee.source.budget.held == 0


async def test_what_only_the_image_shows_is_asked_only_where_it_is_shown():
    text_only = image_item(sees_images=False)
    assert text_only.asked == ()
    assert text_only.starting_state is ItemState.NO_EVIDENCE
    assert text_only.status_of(text_only.question.components[0]) is ComponentStatus.NO_EVIDENCE
    assert image_item().starting_state is ItemState.PENDING


async def test_a_revision_sends_the_same_slices_again(knee: ImageKnee):
    outcome, model = await drafted(knee, image_answer(grade=7), image_answer(), max_revisions=1)
    assert outcome.state is ItemState.ACCEPTED
    first, second = model.received
    assert second[: len(first)] == first
    assert sum(len(m.images) for m in second) == 4


def test_the_prompt_states_window_slices_and_edges_and_no_grade(knee: ImageKnee):
    images = knee.source.draw_now(knee.item)
    context = context_for(ScriptedChatModel(lambda _: ""), knee.source)
    task = prepare_task(knee.item, context, images=images)
    text = "\n".join(message.content for message in task.messages)
    assert "sagittal: 7, 10 (axis i" in text
    assert "percentiles 1 and 99.5 of the whole volume" in text
    low, high = images.shown.window
    assert f"from {low:.4g} (black) to {high:.4g} (white)" in text
    assert "yellow rectangle" in text
    whole = text + "".join(part.label for part in images.parts)
    for secret in ("SECRETGRADE", "SECRETPRJ", "clinician_reads", knee.item.volume_id):
        assert secret not in whole
    other = knee.item.model_copy(update={"clinician": image_item(grade=8).clinician})
    assert prepare_task(other, context, images=images).messages == task.messages


@pytest.mark.parametrize(
    ("step", "text", "code"),
    [
        ("observe", "On sagittal slice 8 the meniscus is dark and whole.", "slice_not_shown"),
        ("observe", "On coronal slice 7 the meniscus is dark and whole.", "slice_outside_box"),
        ("observe", "On sagittal slices 6 to 9 the meniscus is whole.", None),
        ("observe", "On sagittal slices 8 to 9 the meniscus is whole.", "slice_not_shown"),
        ("observe", "On slices 7 and 19 the meniscus is dark and whole.", "slice_outside_box"),
        ("measure", "On coronal slice 13 it is 4.2 mm high.", "number_not_in_findings"),
        ("measure", "On coronal slice 13 it is 30 % thinner.", "number_not_in_findings"),
        ("measure", "On coronal slice 13 its extrusion is 3.5.", "number_without_unit"),
        ("measure", "On coronal slice 13 there are 2 dark bands.", None),
    ],
)
async def test_what_is_seen_is_tied_to_slices_and_nothing_is_measured(
    knee: ImageKnee, step: str, text: str, code: str | None
):
    changed = {step: {"text": text} if step == "observe" else {"text": text, "cites": []}}
    outcome, _ = await drafted(knee, image_answer(changed))
    assert outcome.state is (ItemState.ACCEPTED if code is None else ItemState.REJECTED)
    assert code is None or code in outcome.codes, outcome.attempts[0].issues


async def test_a_draft_without_any_slice_is_told_to_name_one(knee: ImageKnee):
    vague = {
        "observe": {"text": "The meniscus is dark and its outline is whole."},
        "measure": {"text": "Nothing was measured in this region.", "cites": []},
    }
    outcome, _ = await drafted(knee, image_answer(vague))
    assert outcome.codes == ("no_slice_named",)
    cited = {"measure": {"text": "Judged on coronal slice 13.", "cites": ["meniscus_volume"]}}
    outcome, _ = await drafted(knee, image_answer(cited))
    assert outcome.codes == ("unknown_finding",)


async def test_a_drafter_from_whom_the_slices_are_withheld_is_never_accepted(knee: ImageKnee):
    blind = knee.item.model_copy(update={"sees_images": False})
    model = ScriptedChatModel(lambda _: image_answer())
    outcome = await run_item(knee.item, context_for(model, knee.source), blind, knee.item)
    assert outcome.state is ItemState.REJECTED
    assert outcome.codes == ("nothing_shown",)
    assert outcome.images is None
    assert not any(message.images for message in model.received[0])
    assert "none are shown" in model.received[0][-1].content


def broken(knee: ImageKnee, kind: str) -> Item:
    if kind == IMAGE_MISSING:
        knee.path.unlink()
    elif kind == IMAGE_UNREADABLE:
        knee.path.write_bytes(knee.path.read_bytes()[:2000])
    else:
        write_image(knee.path, seed=99)
    return knee.item


@pytest.mark.parametrize("kind", [IMAGE_MISSING, IMAGE_UNREADABLE, IMAGE_CHANGED])
async def test_an_image_that_cannot_be_had_fails_its_item_and_sends_nothing(
    knee: ImageKnee, kind: str
):
    broken(knee, kind)
    outcome, model = await drafted(knee, image_answer())
    assert outcome.state is ItemState.FAILED
    assert outcome.codes == (kind,)
    assert outcome.error is not None
    assert "image" in outcome.error
    assert "hint:" in outcome.error
    assert model.received == []
    assert knee.source.budget.held == 0


async def test_a_volume_is_opened_once_for_all_its_items_and_few_stay_open(tmp_path: Path):
    knees = [image_knee(tmp_path, number=n) for n in range(1, 4)]
    files: dict[str, ImageFile] = {}
    for entry in knees:
        files |= entry.files
    source = SliceSource(files, ImageSettings(n_slices=1, open_volumes=2))

    async def look(item: Item) -> None:
        async with source.held(item):
            await asyncio.sleep(0.01)

    await asyncio.gather(*(look(knees[0].item) for _ in range(20)))
    assert source.n_opened == 1
    for number in (1, 0, 2, 0, 1):
        await look(knees[number].item)
    assert source.n_opened == 4, "1, 2, 3, and 2 again: it was the one unused longest"
    source.close()


async def test_drawing_leaves_the_event_loop_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    knee = image_knee(tmp_path)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    import time

    from agents import open_volumes

    real = open_volumes.load_volume

    def slow(path: Path) -> object:
        time.sleep(0.15)
        return real(path)

    monkeypatch.setattr(open_volumes, "load_volume", slow)
    clock = asyncio.create_task(tick())
    async with knee.source.held(knee.item):
        pass
    clock.cancel()
    assert ticks >= 8


async def test_the_bytes_held_stay_within_the_bound_and_a_giant_passes_alone():
    budget = ByteBudget(100)
    order: list[str] = []

    async def hold(name: str, n_bytes: int) -> None:
        await budget.acquire(n_bytes)
        order.append(name)
        await asyncio.sleep(0.005)
        budget.release(n_bytes)

    names = ["a", "giant", "b", "c", "d"]
    sizes = [60, 500, 50, 50, 40]
    await asyncio.gather(*(hold(n, size) for n, size in zip(names, sizes, strict=True)))
    assert order == names
    assert budget.held == 0
    assert budget.most_held == 500
    await asyncio.gather(*(hold(str(n), 30) for n in range(20)))
    assert budget.held == 0


async def test_one_who_gives_up_waiting_takes_nothing_and_blocks_nobody():
    budget = ByteBudget(10)
    await budget.acquire(10)
    waiting = [asyncio.create_task(budget.acquire(5)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    budget.release(10)
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert budget.held == 5
    budget.release(5)
    assert budget.held == 0
    await asyncio.wait_for(budget.acquire(10), 1)


async def test_concurrent_items_hold_no_more_than_the_settings_allow(tmp_path: Path):
    knee = image_knee(tmp_path, ImageSettings(n_slices=5, max_pixels=64, in_flight_mb=0.4))
    model = ScriptedChatModel(lambda _: image_answer())
    context = context_for(model, knee.source)
    outcomes = await asyncio.gather(*(run_item(knee.item, context) for _ in range(12)))
    assert {outcome.state for outcome in outcomes} <= {ItemState.ACCEPTED, ItemState.REJECTED}
    assert len(model.received) == 12
    assert 0 < knee.source.budget.most_held <= 400_000
    assert knee.source.budget.held == 0


def test_the_hash_of_a_prompt_covers_its_images_and_not_their_absence():
    png = b"\x89PNG one"
    image = MessageImage(label="sagittal slice 7", png=png, sha256=content_hash(png))
    other = image.model_copy(update={"sha256": content_hash(b"two")})
    plain = ChatMessage(role="user", content="x")
    hashes = [
        hash_messages([plain]),
        hash_messages([plain.model_copy(update={"images": (image,)})]),
        hash_messages([plain.model_copy(update={"images": (other,)})]),
        hash_messages([plain.model_copy(update={"images": (image, other)})]),
        hash_messages([plain.model_copy(update={"images": (other, image)})]),
    ]
    assert len(set(hashes)) == 5
    # As it was before there were images.
    assert hashes[0] == content_hash('[["user","x"]]')


def endpoint(url: str) -> ModelEndpoint:
    return ModelEndpoint(
        base_url=url, model="stub", prompt_id="draft-images", prompt_version=1, licence="none"
    )


async def test_images_go_out_as_data_urls_each_behind_its_name(knee: ImageKnee):
    bodies: list[str] = []

    def keep(body: dict[str, object]) -> None:
        bodies.append(json.dumps(body["messages"]))

    images = knee.source.draw_now(knee.item)
    message = ChatMessage(role="user", content="grade this", images=images.parts)
    async with StubServer(answer=keep) as stub, ChatClient(endpoint(stub.base_url)) as client:
        await client.complete([message], None, Sampling())
    (sent,) = json.loads(bodies[0])
    kinds = [part["type"] for part in sent["content"]]
    assert kinds == ["text", *["text", "image_url"] * 4]
    assert [part["text"] for part in sent["content"][1::2]] == [p.label for p in images.parts]
    for part, image in zip(sent["content"][2::2], images.parts, strict=True):
        head, _, data = part["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == image.png


@pytest.mark.parametrize(
    ("limit", "match", "hint"),
    [
        (None, None, None),
        (8, None, None),
        (7, r"with 7 image\(s\) a prompt at most, and items are shown up to 8", 'image": 8'),
        (0, "takes no images", "vision-language model"),
    ],
)
async def test_preflight_asks_for_as_many_images_as_a_prompt_has(
    limit: int | None, match: str | None, hint: str | None
):
    most: list[int] = []

    def count(body: dict[str, list[dict[str, str]]]) -> None:
        most.append(count_images(body["messages"]))

    stub = StubServer(answer=count, max_images=limit)
    async with stub, ChatClient(endpoint(stub.base_url)) as client:
        if match is None:
            await preflight(client, Sampling(), n_images=8)
            assert max(most) == 8
            return
        with pytest.raises(InputError, match=match) as caught:
            await preflight(client, Sampling(), n_images=8)
    assert caught.value.exit_code == 2
    assert hint is not None
    assert hint in (caught.value.hint or "")


def test_settings_decide_the_pixels_and_nothing_else_is_identity(knee: ImageKnee):
    settings = ImageSettings(n_slices=2)
    held = replace(knee, source=SliceSource(knee.files, ImageSettings(n_slices=2, threads=1)))
    assert settings.identity == ImageSettings(n_slices=2, threads=1, open_volumes=9).identity
    assert held.source.draw_now(knee.item) == knee.source.draw_now(knee.item)
    for changed in (
        ImageSettings(n_slices=2, box_drawn=False),
        ImageSettings(n_slices=2, margin_mm=1.0),
        ImageSettings(n_slices=2, percentiles=(5.0, 95.0)),
        ImageSettings(n_slices=2, planes=("coronal",)),
    ):
        assert changed.identity != settings.identity
        drawn = SliceSource(knee.files, changed).draw_now(knee.item)
        assert drawn.parts != knee.source.draw_now(knee.item).parts
    assert BOX[2] <= 13 < BOX[3]
