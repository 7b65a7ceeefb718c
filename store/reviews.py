"""Reviews of texts: added, never changed; they are of a text's hash, so that re-runs keep them."""

from typing import NamedTuple

import duckdb

from knee.errors import InputError
from knee.keys import ItemKey
from knee.review import ReviewReason, ReviewVerdict
from store.arrow_rows import utc_now
from store.writer import StoreWriter

QUEUES = ("accepted", "disagrees", "rejected")
"""States whose items a person may want to look at."""


class ReviewedText(NamedTuple):
    """The text that a review of an item is of."""

    run_id: str
    """The run."""
    key: ItemKey
    """The item."""
    attempt_no: int
    """The attempt that the item's state rests on."""
    text_sha256: str
    """Of its steps and grades."""
    state: str
    """The item's state, by the newest verdict."""


class Opinion(NamedTuple):
    """What one person says."""

    reviewer: str
    """Who."""
    verdict: ReviewVerdict
    """Accept, reject or note."""
    reason: ReviewReason | None = None
    """What is wrong."""
    note: str | None = None
    """In their own words."""
    sample: str | None = None
    """The blinded sample that it comes from."""


class ReviewEntry(NamedTuple):
    """A stored review."""

    review_no: int
    """1, 2, … in the store."""
    reviewer: str
    """Who."""
    verdict: str
    """accept, reject or note."""
    reason: str | None
    """What is wrong."""
    note: str | None
    """In their own words."""
    sample: str | None
    """The blinded sample."""
    run_id: str
    """The run whose text was looked at."""
    reviewed_at: str
    """UTC."""
    is_of_text: bool
    """Whether it is of the text that is shown; False for another text of the same item."""


class QueueEntry(NamedTuple):
    """An item that waits for a person, or was looked at."""

    run_id: str
    """The run."""
    volume_id: str
    """The volume."""
    question_id: int
    """1-69."""
    feature: str
    """What is graded."""
    state: str
    """By the newest verdict."""
    verdict: str | None
    """accept or reject of this text; None when nobody decided."""
    reviewer: str | None
    """Who decided."""
    n_reviews: int
    """Reviews of the text, notes included."""


def reviewed_text(con: duckdb.DuckDBPyConnection, run_id: str, key: ItemKey) -> ReviewedText:
    """Returns the text of an item that a review would be of.

    Raises:
        InputError: the item was not drafted in this run, or its draft could not be parsed.
    """
    item = [run_id, key.volume_id, key.question_id]
    row = con.execute(
        "SELECT coalesce(z.attempt_no, o.n_attempts), o.state FROM v_outcomes o "
        "LEFT JOIN quintuples z USING (run_id, volume_id, question_id) "
        "WHERE o.run_id = ? AND o.volume_id = ? AND o.question_id = ?",
        item,
    ).fetchone()
    name = f"{key.volume_id}#{key.question_id}"
    if row is None:
        raise InputError(f"{name} was not drafted in run {run_id!r}", "`review list` shows items")
    # Asked for by its key, so that no other text is hashed.
    text = con.execute(
        "SELECT text_sha256 FROM v_texts "
        "WHERE run_id = ? AND volume_id = ? AND question_id = ? AND attempt_no = ?",
        [*item, row[0]],
    ).fetchone()
    if text is None:
        raise InputError(
            f"{name} of run {run_id!r} has no text to review: it ended as {row[1]!r} and no answer "
            "could be parsed",
            "`explain` shows what came",
        )
    return ReviewedText(run_id, key, int(row[0]), str(text[0]), str(row[1]))


def put_review(writer: StoreWriter, text: ReviewedText, opinion: Opinion) -> int:
    """Adds a review; returns its number."""
    with writer.transaction() as con:
        row = con.execute("SELECT coalesce(max(review_no), 0) + 1 FROM reviews").fetchall()[0]
        con.execute(
            "INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                row[0],
                *text.key,
                text.run_id,
                text.attempt_no,
                text.text_sha256,
                opinion.reviewer,
                opinion.verdict.value,
                opinion.reason and opinion.reason.value,
                opinion.note,
                opinion.sample,
                utc_now(),
            ],
        )
    return int(row[0])


def reviews_of(con: duckdb.DuckDBPyConnection, text: ReviewedText) -> list[ReviewEntry]:
    """Returns all reviews of an item, the oldest first, those of its other texts too."""
    rows = con.execute(
        "SELECT review_no, reviewer, verdict, reason, note, sample, run_id, "
        "strftime(reviewed_at, '%Y-%m-%d %H:%M:%S'), text_sha256 = ? "
        "FROM reviews WHERE volume_id = ? AND question_id = ? ORDER BY review_no",
        [text.text_sha256, *text.key],
    ).fetchall()
    return [ReviewEntry(*row) for row in rows]


def review_queue(
    con: duckdb.DuckDBPyConnection,
    run_id: str,
    *,
    state: str,
    reviewed: bool | None,
    page: tuple[int, int],
) -> list[QueueEntry]:
    """Returns a page of items of one state, by volume and question.

    Args:
        con: an open store.
        run_id: the run.
        state: one of `QUEUES`.
        reviewed: True for those with a decision, False for those without; None for both.
        page: number from 1, and items a page.
    """
    number, size = page
    rows = con.execute(
        "SELECT o.run_id, o.volume_id, o.question_id, q.feature, o.state, p.verdict, p.reviewer, "
        "coalesce(p.n_reviews, 0) FROM v_outcomes o JOIN questions q USING (question_id) "
        "LEFT JOIN quintuples z USING (run_id, volume_id, question_id) "
        "LEFT JOIN v_review_status p ON p.run_id = o.run_id AND p.volume_id = o.volume_id AND "
        "p.question_id = o.question_id AND p.attempt_no = coalesce(z.attempt_no, o.n_attempts) "
        "WHERE o.run_id = $run AND o.state = $state "
        "AND ($reviewed::BOOLEAN IS NULL OR (p.verdict IS NOT NULL) = $reviewed::BOOLEAN) "
        "ORDER BY o.volume_id, o.question_id LIMIT $size OFFSET $skip",
        {
            "run": run_id,
            "state": state,
            "reviewed": reviewed,
            "size": size,
            "skip": (number - 1) * size,
        },
    ).fetchall()
    return [QueueEntry(*row) for row in rows]
