"""Which items of a bench a model is asked, and how that is said in words."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from eval.bench_records import BenchItem, BenchPart
from knee.errors import BenchError
from knee.questions import parse_question_ids


class ItemSelection(NamedTuple):
    """What the command line asks for."""

    part: BenchPart | None = None
    """Items with a component in this part alone; None for all."""
    questions: str | None = None
    """Ids and ranges; None for all."""
    limit: int | None = None
    """Items at most, evenly spaced; None for all."""


class ChosenItems(NamedTuple):
    """The items that are asked."""

    items: tuple[BenchItem, ...]
    """In the bench's order."""
    limited_to: str | None
    """The selection in words; None for the whole bench."""


def choose_items(items: Iterable[BenchItem], selection: ItemSelection) -> ChosenItems:
    """Returns the items that a selection names.

    A limit takes items evenly spaced over the bench's order, the middles of equal parts, so that
    few items are of many patients.

    Raises:
        BenchError: none is left.
        InputError: the questions are no list of ids.
    """
    words: list[str] = []
    chosen = list(items)
    if selection.part is not None:
        part = selection.part
        chosen = [i for i in chosen if any(part in c.parts for c in i.components)]
        words.append(f"items with a component of the part {part.value!r}")
    if selection.questions is not None:
        ids = set(parse_question_ids(selection.questions))
        chosen = [item for item in chosen if item.question_id in ids]
        words.append(f"questions {selection.questions}")
    if selection.limit is not None and selection.limit < len(chosen):
        n, limit = len(chosen), selection.limit
        chosen = [chosen[(2 * k + 1) * n // (2 * limit)] for k in range(limit)]
        words.append(f"{limit} of {n} items, evenly spaced")
    if not chosen:
        raise BenchError(
            "the selection holds no item of the bench: " + ("; ".join(words) or "it is empty"),
            "see `manifest.json` for what the bench holds",
        )
    return ChosenItems(tuple(chosen), "; ".join(words) or None)


def left_to_do(items: Iterable[BenchItem], done: Mapping[str, object]) -> list[BenchItem]:
    """Returns the items that have no row yet."""
    return [item for item in items if item.item_id not in done]
