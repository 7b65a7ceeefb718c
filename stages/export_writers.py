"""One split of an export as files: Parquet, JSON lines, or chats to train on."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from store.export import GROUP_ROWS, Schema, Table

SHARD_ROWS: Final = 50_000
"""Rows of a shard; a multiple of the rows of a table."""
Row = dict[str, Any]
"""A row of `v_quintuples` and what the export adds, column to value."""


class Shard(NamedTuple):
    """One file that was written."""

    name: str
    """Path in the export."""
    rows: int
    """Quintuples in it."""


def shard_name(split: str, number: int, n_rows: int, suffix: str) -> str:
    """Returns `data/<split>/<split>-<number>-of-<all><suffix>`, as data set loaders expect.

    Example:
        >>> shard_name("train", 0, 50_001, ".parquet")
        'data/train/train-00000-of-00002.parquet'
    """
    n_shards = -(-n_rows // SHARD_ROWS)
    return f"data/{split}/{split}-{number:05d}-of-{n_shards:05d}{suffix}"


def write_parquet(
    folder: Path, split: str, n_rows: int, tables: Iterable[Table], schema: Schema
) -> list[Shard]:
    """Writes zstd Parquet, shards of `SHARD_ROWS` rows in groups of `GROUP_ROWS`."""
    shards: list[Shard] = []
    for number, part in enumerate(_parts(tables)):
        name = shard_name(split, number, n_rows, ".parquet")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        n_written = 0
        with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
            for table in part:
                writer.write_table(table, row_group_size=GROUP_ROWS)
                n_written += table.num_rows
        shards.append(Shard(name, n_written))
    return shards


def write_json_lines(
    folder: Path,
    split: str,
    n_rows: int,
    tables: Iterable[Table],
    record: Callable[[Row], Row],
) -> list[Shard]:
    """Writes one JSON object a line, in shards as Parquet has them.

    Args:
        folder: the export.
        split: name of the split.
        n_rows: its rows.
        tables: its rows in order.
        record: what becomes of a row.
    """
    shards: list[Shard] = []
    for number, part in enumerate(_parts(tables)):
        name = shard_name(split, number, n_rows, ".jsonl")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        n_written = 0
        with (folder / name).open("w", encoding="utf-8", newline="\n") as file:
            for table in part:
                for row in table.to_pylist():
                    line = json.dumps(record(row), ensure_ascii=False, allow_nan=False)
                    file.write(line + "\n")
                    n_written += 1
        shards.append(Shard(name, n_written))
    return shards


def _parts(tables: Iterable[Table]) -> Iterator[Iterator[Table]]:
    """Cuts a stream of tables into streams of `SHARD_ROWS` rows; use one up before the next."""
    stream = iter(tables)
    first = next(stream, None)
    while first is not None:
        waiting: list[Table] = [first]

        def part(waiting: list[Table] = waiting) -> Iterator[Table]:
            n_rows = 0
            while waiting:
                table = waiting.pop()
                n_rows += table.num_rows
                yield table
                following = next(stream, None)
                if following is not None:
                    waiting.append(following)
                if n_rows >= SHARD_ROWS:
                    return

        yield part()
        first = waiting.pop() if waiting else None
