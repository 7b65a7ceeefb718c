"""Puts the items of a bench to a model: every one ends as a row, none with another one's answer.

An item's trouble (no image, a refused request, no answer after all retries) is its row with the
reason. What is no item's fault ends the run, resumable: Ctrl-C, and a server that stays away.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agents.llm_client import ChatModel, Completion
from agents.open_volumes import IMAGE_MISSING, SlicesUnavailable
from agents.server_guard import ServerGone
from agents.worker_pool import WorkerPool, signals_stop
from eval.answer_parsing import ParsedAnswer, parse_answer
from eval.bench_config import BenchConfig
from eval.bench_prompts import Asked, ask
from eval.bench_records import (
    AnswerStatus,
    BenchControl,
    BenchItem,
    BenchVolume,
    Prediction,
    SentSlice,
    Setting,
)
from eval.coordinates import ReadBox, read_box
from eval.picture_source import BenchPictures, PictureSource
from knee.errors import KneeError, ModelOutputError, ModelUnavailable
from prompts.registry import PromptTemplate


@dataclass(frozen=True, slots=True)
class BenchQuestioner:
    """One run's way of putting an item to its model."""

    volumes: Mapping[str, BenchVolume]
    """The bench's volumes by id."""
    source: PictureSource
    """Where the pictures come from."""
    model: ChatModel
    """Who answers."""
    config: BenchConfig
    """The settings."""
    setting: Setting
    """How items are put."""
    template: PromptTemplate
    """The setting's prompt."""
    control: BenchControl = BenchControl.NONE
    """What is withheld."""
    others: Mapping[str, BenchVolume | None] = field(
        default_factory=dict[str, "BenchVolume | None"]
    )
    """In that control, volume id to another patient's volume."""

    def shown_volume(self, item: BenchItem) -> BenchVolume | None:
        """Returns the volume whose slices an item's model sees; None without images.

        Raises:
            SlicesUnavailable: no other patient's volume can stand for it.
        """
        if self.control is BenchControl.NO_IMAGE:
            return None
        if self.control is BenchControl.NONE:
            return self.volumes[item.volume_id]
        other = self.others.get(item.volume_id)
        if other is None:
            raise SlicesUnavailable(
                f"no other patient's image can stand for {item.volume_id!r}",
                "the control needs another patient with the same side and sequence",
                code=IMAGE_MISSING,
            )
        return other

    def ask(self, item: BenchItem, pictures: BenchPictures) -> Asked:
        """Returns what is sent for an item."""
        return ask(
            item,
            self.volumes[item.volume_id],
            pictures.series,
            pictures.box,
            setting=self.setting,
            template=self.template,
            model=self.config.model,
            pictures=self.config.pictures,
            shown=self.control is not BenchControl.NO_IMAGE,
        )

    async def answer(self, item: BenchItem) -> Prediction:
        """Returns an item's row, whatever became of it.

        Raises:
            ServerGone: the server stayed away; the item has no row.
            InputError: the key, the model or the address is wrong; the item has no row.
        """
        try:
            shown = self.shown_volume(item)
            own = self.volumes[item.volume_id]
            async with self.source.held(item, own, shown) as pictures:
                asked = self.ask(item, pictures)
                return await self._put(item, shown, pictures, asked)
        except SlicesUnavailable as error:
            return _failed(item, f"{error.code}: {error.message}")

    async def _put(
        self, item: BenchItem, shown: BenchVolume | None, pictures: BenchPictures, asked: Asked
    ) -> Prediction:
        slices = _sent(pictures) if shown is not None else ()
        image_volume_id = None if shown is None else shown.volume_id
        model = self.config.model
        schema = asked.schema if model.schema_constrained else None
        try:
            completion = await self.model.complete(asked.messages, schema, model.sampling)
        except ServerGone:
            raise
        except (ModelUnavailable, ModelOutputError) as error:
            failed = _failed(item, _fault(error))
            return failed.model_copy(update={"slices": slices, "image_volume_id": image_volume_id})
        wanted = model.coordinates if self.setting is Setting.LOCALISE else None
        parsed = parse_answer(
            completion.text,
            item.question,
            tuple(entry.component for entry in item.components),
            finish_reason=completion.finish_reason,
            coordinates=wanted,
        )
        read = _read(parsed, pictures, self.config)
        return _row(item, completion, parsed, read, slices, image_volume_id)


def _read(parsed: ParsedAnswer, pictures: BenchPictures, config: BenchConfig) -> ReadBox:
    if parsed.box is None:
        return ReadBox(None, parsed.box_reason)
    found = read_box(parsed.box, pictures.series, config.model.coordinates)
    return found if found.box is None else ReadBox(pictures.to_own(found.box), None)


def _row(
    item: BenchItem,
    completion: Completion,
    parsed: ParsedAnswer,
    read: ReadBox,
    slices: tuple[SentSlice, ...],
    image_volume_id: str | None,
) -> Prediction:
    is_read = parsed.has_grade or read.box is not None
    return Prediction(
        item_id=item.item_id,
        status=AnswerStatus.ANSWERED if is_read else AnswerStatus.UNPARSED,
        grades=parsed.grades,
        box=read.box,
        box_reason=read.reason,
        reasoning=parsed.reasoning,
        text=completion.text.encode("utf-8", "replace").decode(),
        finish_reason=completion.finish_reason,
        image_volume_id=image_volume_id,
        slices=slices,
        usage=completion.usage,
    )


def _sent(pictures: BenchPictures) -> tuple[SentSlice, ...]:
    shown = (image.shown for image in pictures.series.images)
    return tuple(SentSlice(plane=s.plane, index=s.index, sha256=s.sha256) for s in shown)


def _failed(item: BenchItem, error: str) -> Prediction:
    return Prediction(item_id=item.item_id, status=AnswerStatus.FAILED, error=error)


def _fault(error: KneeError) -> str:
    code = error.code if isinstance(error, ModelOutputError) else "no_answer"
    return f"{code}: {error.message}"


class BenchProgress:
    """What is told while a run goes on."""

    def __init__(self, total: int) -> None:
        """Starts counting.

        Args:
            total: items to answer.
        """
        self.total = total
        self.counts: Counter[AnswerStatus] = Counter()
        """Rows by what became of them."""

    @property
    def done(self) -> int:
        """Items that have their row."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended."""

    stopped: str | None
    """Why before its items did; None when all have their row."""
    n_dropped: int
    """Items that were in flight then; they have no row."""


async def run_items(
    items: Iterable[BenchItem],
    answer: Callable[[BenchItem], Awaitable[Prediction]],
    keep: Callable[[Prediction], Awaitable[None]],
    *,
    concurrency: int,
    progress: BenchProgress,
) -> RunEnd:
    """Returns how the run ended, after having answered and kept every item.

    Args:
        items: read as workers become free, never ahead.
        answer: gives an item's row.
        keep: returns once a row is durable.
        concurrency: items in flight.
        progress: counters to keep.

    Raises:
        KneeError: what no retry mends, and what `keep` raises; items in flight are dropped.
    """

    async def keep_and_count(row: Prediction) -> None:
        await keep(row)
        progress.counts[row.status] += 1

    pool = WorkerPool(items, answer, keep_and_count)
    with signals_stop(pool):
        await pool.run(concurrency)
    return RunEnd(pool.message, pool.n_dropped)
