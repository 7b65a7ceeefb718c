"""Blinded samples of drafted items, and what readers said of them (RULES 21)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb

from knee.errors import InputError
from knee.keys import ItemKey
from knee.review import ReviewReason, ReviewVerdict
from store.arrow_rows import utc_now
from store.reviews import Opinion, ReviewedText, put_review, reviewed_text
from store.writer import StoreWriter

_POPULATION = """
SELECT o.volume_id, o.question_id,
    CASE o.state WHEN 'accepted' THEN 'accepted' ELSE 'judge' END || ':' || q.feature || ':'
    || CASE WHEN g.highest IS NULL THEN 'unread' WHEN g.highest = 0 THEN '0' ELSE '1+' END
FROM v_outcomes o JOIN questions q USING (question_id)
LEFT JOIN judgements j USING (run_id, volume_id, question_id, verdict_no)
LEFT JOIN (
    SELECT run_id, volume_id, question_id,
        max(clinician_grade) FILTER (component <> 'tear_location') AS highest
    FROM outcome_components WHERE status = 'graded' GROUP BY ALL
) g USING (run_id, volume_id, question_id)
WHERE o.run_id = ? AND (o.state = 'accepted' OR (o.state = 'rejected' AND NOT j.passed))
ORDER BY o.volume_id, o.question_id
"""


class SampleItem(NamedTuple):
    """An item of a sample."""

    code: str
    """What the sheets call it."""
    text: ReviewedText
    """Its text."""
    stratum: str
    """`<accepted|judge>:<feature>:<0|1+|unread>`."""
    weight: float
    """Items of the stratum / those drawn."""


class Read(NamedTuple):
    """One reader's word on one item."""

    code: str
    """The item."""
    reader: str
    """Who."""
    adjudicates: bool
    """Whether it settles a difference."""
    verdict: str
    """`ok` or `wrong`."""
    reason: str | None
    """What is wrong."""
    grades: Mapping[str, int]
    """The reader's own grades; empty when not given."""
    note: str | None
    """In their own words."""


class Sample(NamedTuple):
    """A sample with all reads so far."""

    name: str
    """Its name."""
    run_id: str
    """The run."""
    readers: tuple[str, str]
    """The two readers."""
    items: tuple[SampleItem, ...]
    """By code."""
    reads: Mapping[str, tuple[Read, ...]]
    """Code to its reads; the two readers' first."""

    def final(self, code: str) -> Read | None:
        """Returns the word that holds: the one both gave, or the adjudicator's; None so far."""
        reads = self.reads.get(code, ())
        settled = [read for read in reads if read.adjudicates]
        if settled:
            return settled[0]
        first = [read for read in reads if read.reader in self.readers]
        agree = len(first) == len(self.readers) and len({read.verdict for read in first}) == 1
        return first[0] if agree else None

    def disputed(self) -> tuple[SampleItem, ...]:
        """Returns items that both readers read and that nobody has settled."""
        return tuple(
            item
            for item in self.items
            if len({r.reader for r in self.reads.get(item.code, ())} & set(self.readers)) == 2
            and self.final(item.code) is None
        )


def population(con: duckdb.DuckDBPyConnection, run_id: str) -> list[tuple[ItemKey, str]]:
    """Returns what a sample is drawn from with its stratum: accepted, and refused by the judge."""
    rows = con.execute(_POPULATION, [run_id]).fetchall()
    return [(ItemKey(str(v), int(q)), str(stratum)) for v, q, stratum in rows]


def put_sample(
    writer: StoreWriter,
    name: str,
    run_id: str,
    seed: int,
    readers: tuple[str, str],
    drawn: Sequence[tuple[str, ItemKey, str, float]],
) -> None:
    """Records a sample: code, item, stratum and weight of each.

    Raises:
        InputError: the name is taken.
    """
    with writer.transaction() as con:
        if con.execute("SELECT 1 FROM review_samples WHERE name = ?", [name]).fetchall():
            raise InputError(f"there is a sample {name!r} already", "take another name")
        con.execute(
            "INSERT INTO review_samples VALUES (?, ?, ?, ?, ?)",
            [name, run_id, seed, list(readers), utc_now()],
        )
        for code, key, stratum, weight in drawn:
            text = reviewed_text(con, run_id, key)
            con.execute(
                "INSERT INTO review_sample_items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    *(name, code, run_id, *key, text.attempt_no, text.text_sha256, text.state),
                    *(stratum, weight),
                ],
            )


def load_sample(con: duckdb.DuckDBPyConnection, name: str) -> Sample:
    """Returns a sample.

    Raises:
        InputError: there is none of that name.
    """
    row = con.execute(
        "SELECT run_id, readers FROM review_samples WHERE name = ?", [name]
    ).fetchone()
    if row is None:
        known = con.execute("SELECT name FROM review_samples ORDER BY drawn_at").fetchall()
        raise InputError(
            f"no sample {name!r} was drawn",
            f"drawn are: {', '.join(n for (n,) in known) or 'none'}",
        )
    items = con.execute(
        "SELECT code, run_id, volume_id, question_id, attempt_no, text_sha256, state, stratum, "
        "weight FROM review_sample_items WHERE sample = ? ORDER BY code",
        [name],
    ).fetchall()
    reads: dict[str, list[Read]] = {}
    for code, reader, adjudicates, verdict, reason, grades, note in con.execute(
        "SELECT code, reader, adjudicates, verdict, reason, grades, note FROM review_reads "
        "WHERE sample = ? ORDER BY adjudicates, reader",
        [name],
    ).fetchall():
        read = Read(code, reader, adjudicates, verdict, reason, dict(grades), note)
        reads.setdefault(str(code), []).append(read)
    return Sample(
        name,
        str(row[0]),
        (str(row[1][0]), str(row[1][1])),
        tuple(
            SampleItem(code, ReviewedText(run, ItemKey(v, q), number, sha, state), stratum, weight)
            for code, run, v, q, number, sha, state, stratum, weight in items
        ),
        {code: tuple(some) for code, some in reads.items()},
    )


def put_reads(writer: StoreWriter, name: str, reads: Sequence[Read]) -> int:
    """Records reads and, of each item that is settled by them, the review; returns new reads.

    Raises:
        InputError: a reader has said something else of an item before.
    """
    n_new = 0
    with writer.transaction() as con:
        before = load_sample(con, name)
        for read in reads:
            known = [r for r in before.reads.get(read.code, ()) if r.reader == read.reader]
            if known and known[0] == read:
                continue
            if known:
                raise InputError(
                    f"{read.reader!r} has read item {read.code!r} before, and said "
                    f"{known[0].verdict!r}: a read is not changed",
                    "settle it with `review sample read --adjudicates`",
                )
            con.execute(
                "INSERT INTO review_reads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    *(name, read.code, read.reader, read.adjudicates, read.verdict, read.reason),
                    *(dict(read.grades), read.note, utc_now()),
                ],
            )
            n_new += 1
        after = load_sample(con, name)
        for item in after.items:
            final = after.final(item.code)
            if final is not None and before.final(item.code) is None:
                put_review(writer, item.text, _opinion(after, final))
    return n_new


def _opinion(sample: Sample, final: Read) -> Opinion:
    who = final.reader if final.adjudicates else "+".join(sample.readers)
    verdict = ReviewVerdict.ACCEPT if final.verdict == "ok" else ReviewVerdict.REJECT
    reason = None if final.reason is None else ReviewReason(final.reason)
    return Opinion(who, verdict, reason, final.note, sample.name)
