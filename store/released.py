"""The released data set in the store: tables of its own, one transaction, kept apart from ours."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

import duckdb
import pyarrow as pa

from knee.keys import content_hash
from knee.released import ReleasedHeader, ReleasedItem, ReleasedVolume
from knee.splits import PatientSplit, SplitSource
from store.arrow_rows import BOX, TEXT, Row, arrow, box_value, from_rows, utc_now
from store.inserting import insert
from store.patient_splits import record_splits
from store.writer import StoreWriter

_BATCH = 2_000
"""Items inserted at a time; memory does not grow with the release."""
_TABLES = ("released_grades", "released_items", "released_volumes", "released_questions")
_ITEMS = pa.schema(
    {
        "source": TEXT,
        "volume_id": TEXT,
        "question_id": pa.int16(),
        "text_sha256": TEXT,
        "raw_answer": TEXT,
        "raw_box": pa.list_(pa.int32()),
        "box": BOX,
        "box_reason": TEXT,
        "problems": pa.list_(TEXT),
        "file": TEXT,
        "position": pa.int32(),
    }
)
_GRADES = pa.schema(
    {
        "source": TEXT,
        "volume_id": TEXT,
        "question_id": pa.int16(),
        "component": TEXT,
        "grade": pa.int16(),
        "problem": TEXT,
        "label_status": TEXT,
        "label_grades": pa.list_(pa.int16()),
        "flag": TEXT,
    }
)
_TEXTS = pa.schema({"text_sha256": TEXT, "text": TEXT, "is_template": pa.bool_()})
_IMPORTS = pa.schema(
    {
        **dict.fromkeys(ReleasedHeader.model_fields, TEXT),
        "layout_version": pa.int32(),
        "box_overlap": pa.float64(),
        "counts": pa.map_(TEXT, pa.int64()),
        "imported_at": pa.timestamp("us"),
    }
)


class ReleaseContent(NamedTuple):
    """Everything of a release that is stored."""

    header: ReleasedHeader
    """What is said of the whole."""
    volumes: tuple[ReleasedVolume, ...]
    """Rows of the split files."""
    questions: Mapping[str, Mapping[int, str]]
    """File name to question id to text."""
    templates: frozenset[str] | None
    """All reasoning templates; None when their file is absent."""
    items: Iterable[ReleasedItem]
    """Items, read while they are stored."""


def imported_hash(con: duckdb.DuckDBPyConnection, source: str) -> str | None:
    """Returns the content hash of an earlier import, None when there is none."""
    row = con.execute(
        "SELECT content_sha256 FROM released_imports WHERE source = ?", [source]
    ).fetchone()
    return None if row is None else str(row[0])


def put_release(
    writer: StoreWriter, content: ReleaseContent, counts: Mapping[str, int]
) -> dict[str, int]:
    """Puts a release in one transaction, in place of an earlier import of the same source.

    Args:
        writer: the store's writer.
        content: the release; its items are read here.
        counts: a live mapping of further counts, read when all items are stored.

    Returns:
        `counts` with the numbers of volumes, items, texts and grades.

    Raises:
        InputError: a patient has another split in the store already.
        StoreError: it cannot be written. Nothing is written then.
    """
    source = content.header.source
    with writer.transaction() as con:
        for table in _TABLES:
            con.execute(f"DELETE FROM {table} WHERE source = ?", [source])
        con.execute("DELETE FROM released_imports WHERE source = ?", [source])
        con.execute(
            "DELETE FROM released_texts WHERE text_sha256 NOT IN "
            "(SELECT text_sha256 FROM released_items WHERE text_sha256 IS NOT NULL)"
        )
        record_splits(writer, _patient_splits(content.volumes))
        _put_questions(con, content)
        per_volume = _put_items(con, content)
        _put_volumes(con, content, per_volume)
        done = {**counts, **_counts(con, source)}
        row = {
            **content.header.model_dump(mode="json"),
            "counts": list(done.items()),
            "imported_at": utc_now(),
        }
        insert(con, "released_imports", arrow([row], _IMPORTS))
    return done


def _patient_splits(volumes: Iterable[ReleasedVolume]) -> list[PatientSplit]:
    splits = {volume.patient: volume.split for volume in volumes}
    return [
        PatientSplit(patient=patient, split=split, source=SplitSource.RELEASED)
        for patient, split in splits.items()
    ]


def _put_questions(con: duckdb.DuckDBPyConnection, content: ReleaseContent) -> None:
    rows: list[Row] = [
        {
            "source": content.header.source,
            "file": file,
            "question_id": number,
            "text": text,
        }
        for file, texts in content.questions.items()
        for number, text in sorted(texts.items())
    ]
    insert(con, "released_questions", from_rows(rows))


def _put_items(con: duckdb.DuckDBPyConnection, content: ReleaseContent) -> dict[str, int]:
    """Inserts items, grades and new texts; returns volume to number of items."""
    source = content.header.source
    known = {
        str(row[0]) for row in con.execute("SELECT text_sha256 FROM released_texts").fetchall()
    }
    per_volume: dict[str, int] = {}
    left = iter(content.items)
    while batch := list(islice(left, _BATCH)):
        items: list[Row] = []
        grades: list[Row] = []
        texts: list[Row] = []
        for item in batch:
            per_volume[item.volume_id] = per_volume.get(item.volume_id, 0) + 1
            key: Row = {
                "source": source,
                "volume_id": item.volume_id,
                "question_id": item.question_id,
            }
            sha256 = None if item.text is None else content_hash(item.text)
            if item.text is not None and sha256 is not None and sha256 not in known:
                known.add(sha256)
                texts.append(_text_row(sha256, item.text, content.templates))
            items.append(key | _item_row(item, sha256))
            grades += [key | grade.model_dump(mode="json") for grade in item.grades]
        insert(con, "released_texts", arrow(texts, _TEXTS))
        insert(con, "released_items", arrow(items, _ITEMS))
        insert(con, "released_grades", arrow(grades, _GRADES))
    return per_volume


def _text_row(sha256: str, text: str, templates: frozenset[str] | None) -> Row:
    is_template = None if templates is None else text.strip() in templates
    return {"text_sha256": sha256, "text": text, "is_template": is_template}


def _item_row(item: ReleasedItem, sha256: str | None) -> Row:
    return {
        "text_sha256": sha256,
        "raw_answer": item.raw_answer,
        "raw_box": None if item.raw_box is None else list(item.raw_box),
        "box": box_value(None if item.box is None else item.box.indices),
        "box_reason": item.box_reason,
        "problems": list(item.problems),
        "file": item.file,
        "position": item.position,
    }


def _put_volumes(
    con: duckdb.DuckDBPyConnection, content: ReleaseContent, per_volume: Mapping[str, int]
) -> None:
    rows: list[Row] = [
        {
            "source": content.header.source,
            **volume.model_dump(mode="json"),
            "n_items": per_volume.get(volume.volume_id, 0),
        }
        for volume in content.volumes
    ]
    insert(con, "released_volumes", from_rows(rows))


def _counts(con: duckdb.DuckDBPyConnection, source: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, query in (
        ("volumes", "FROM released_volumes WHERE source = $source"),
        ("volumes_without_items", "FROM released_volumes WHERE source = $source AND n_items = 0"),
        ("items", "FROM released_items WHERE source = $source"),
        ("items_with_box", "FROM released_items WHERE source = $source AND box IS NOT NULL"),
        ("texts", "FROM released_texts"),
        ("texts_not_templates", "FROM released_texts WHERE NOT is_template"),
        ("grades", "FROM released_grades WHERE source = $source AND grade IS NOT NULL"),
        ("components_unmapped", "FROM released_grades WHERE source = $source AND grade IS NULL"),
    ):
        parameters = {"source": source} if "$source" in query else {}
        row = con.execute(f"SELECT count(*) {query}", parameters).fetchone()
        counts[name] = int(row[0]) if row is not None else 0
    for name, column in (("flag", "flag"), ("unmapped", "split_part(problem, ':', 1)")):
        for value, n in con.execute(
            f"SELECT {column} AS value, count(*) FROM released_grades WHERE source = ? "
            "AND value IS NOT NULL GROUP BY ALL ORDER BY ALL",
            [source],
        ).fetchall():
            counts[f"{name}.{value}"] = int(n)
    return counts
