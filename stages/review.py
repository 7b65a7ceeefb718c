"""`review list | show | accept | reject | note`: what people say of single texts."""

from collections.abc import Sequence
from pathlib import Path

from knee.errors import InputError
from knee.keys import ItemKey
from knee.review import ReviewReason, ReviewVerdict
from stages.console import emit, emit_json, say, show_table
from stages.explain import parse_item
from stages.explain_view import item_view
from stages.explain_words import view_lines
from stages.explained_item import load_explained
from stages.look import choose_volume
from store.connection import open_store
from store.queries import newest_run, require_run
from store.reviews import (
    Opinion,
    QueueEntry,
    ReviewedText,
    put_review,
    review_queue,
    reviewed_text,
    reviews_of,
)
from store.writer import StoreWriter

PAGE_SIZE = 50
"""Items a page of `review list`."""


def list_items(
    store: Path,
    run: str | None,
    *,
    state: str,
    reviewed: bool | None,
    page: int,
    as_json: bool,
) -> int:
    """Shows items of a run with what was said of them; returns 0.

    Raises:
        InputError: no such run.
        StoreError: the store cannot be read.
    """
    with open_store(store, read_only=True) as con:
        if run is not None:
            require_run(con, run)
        run_id = run or newest_run(con)
        if run_id is None:
            raise InputError(f"store {str(store)!r} has no run", "`generate` makes one")
        found = review_queue(con, run_id, state=state, reviewed=reviewed, page=(page, PAGE_SIZE))
    if as_json:
        emit_json([entry._asdict() for entry in found])
    else:
        rows = [list(entry[1:]) for entry in found]
        show_table(f"{state} items of {run_id}, page {page}", QueueEntry._fields[1:], rows)
    return 0


def show(store: Path, item: Sequence[str], run: str | None, *, as_json: bool) -> int:
    """Shows one item as `explain` does, and every review of it; returns 0.

    Raises:
        InputError: no such item, or it has no text.
        StoreError: the store cannot be read.
    """
    text = _find(store, item, run)
    with open_store(store, read_only=True) as con:
        view = item_view(load_explained(con, text.key, text.run_id, None))
        entries = reviews_of(con, text)
    if as_json:
        emit_json({"item": view, "reviews": [entry._asdict() for entry in entries]})
        return 0
    for line in view_lines(view):
        emit(line)
    for entry in entries:
        where = "" if entry.is_of_text else f" (of another text, run {entry.run_id})"
        said = "; ".join(word for word in (entry.reason, entry.note) if word)
        when = f"{entry.reviewed_at} {entry.reviewer}"
        emit(f"review {entry.review_no}: {entry.verdict} by {when}{where} {said}".rstrip())
    if not entries:
        emit("no reviews yet")
    return 0


def review(
    store: Path,
    item: Sequence[str],
    run: str | None,
    *,
    verdict: ReviewVerdict,
    by: str,
    reason: ReviewReason | None,
    note: str | None,
) -> int:
    """Records what a person says of an item's present text; returns 0.

    Raises:
        InputError: no such item, it has no text, or the opinion is not complete.
        StoreError: another command is writing the store.
    """
    if not by.strip():
        raise InputError("nobody is named as the reviewer", "--by NAME or initials")
    if verdict is ReviewVerdict.REJECT and reason is None:
        raise InputError("a rejection needs its reason", f"--reason {' | '.join(ReviewReason)}")
    if reason is ReviewReason.OTHER and not note:
        raise InputError("the reason 'other' needs words", "--note TEXT")
    if verdict is ReviewVerdict.NOTE and not (note or "").strip() and reason is None:
        raise InputError("the note is empty", "--note TEXT")
    with StoreWriter(store) as writer:
        text = _find(store, item, run)
        number = put_review(writer, text, Opinion(by.strip(), verdict, reason, note))
    key = f"{text.key.volume_id}#{text.key.question_id}"
    say(f"review {number}: {verdict} {key} of run {text.run_id}")
    return 0


def _find(store: Path, item: Sequence[str], run: str | None) -> ReviewedText:
    name, question = parse_item(item)
    with open_store(store, read_only=True) as con:
        volumes = [
            str(row[0])
            for row in con.execute("SELECT volume_id FROM volumes ORDER BY 1").fetchall()
        ]
        key = ItemKey(choose_volume(name, volumes), question)
        if run is not None:
            require_run(con, run)
        run_id = run or newest_run(con)
        if run_id is None:
            raise InputError(f"store {str(store)!r} has no run", "`generate` makes one")
        return reviewed_text(con, run_id, key)
