"""One split of an export as files: Parquet, JSON lines, or chats to train on."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from store.export import Schema, Table

GROUP_ROWS: Final = 5_000
"""Rows of a row group."""

SHARD_ROWS: Final = 50_000
"""Rows of a shard; a multiple of `GROUP_ROWS`."""
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


class Files(ABC):
    """The files of one split: tables go in, in order and of `GROUP_ROWS` rows each."""

    def __init__(self, folder: Path, split: str, n_rows: int) -> None:
        self.folder = folder
        self.split = split
        self.n_rows = n_rows
        self.shards: list[Shard] = []
        self._stack = ExitStack()

    def add(self, table: Table) -> None:
        """Writes a table; the last one may be shorter than the others."""
        if not self.shards or self.shards[-1].rows >= SHARD_ROWS:
            self.close()
            name = self.name_of(len(self.shards))
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            self.open(self.folder / name, self._stack)
            self.shards.append(Shard(name, 0))
        self.write(table)
        last = self.shards[-1]
        self.shards[-1] = last._replace(rows=last.rows + table.num_rows)

    def close(self) -> None:
        """Closes what is open."""
        self._stack.close()

    @abstractmethod
    def name_of(self, number: int) -> str:
        """Returns the path of a shard in the export."""

    @abstractmethod
    def open(self, path: Path, stack: ExitStack) -> None:
        """Opens a shard; the stack closes it."""

    @abstractmethod
    def write(self, table: Table) -> None:
        """Writes into the shard that is open."""


class ParquetFiles(Files):
    """zstd Parquet in groups of `GROUP_ROWS`."""

    def __init__(self, folder: Path, split: str, n_rows: int, schema: Schema) -> None:
        super().__init__(folder, split, n_rows)
        self._schema = schema

    def name_of(self, number: int) -> str:
        """Returns the path of a shard."""
        return shard_name(self.split, number, self.n_rows, ".parquet")

    def open(self, path: Path, stack: ExitStack) -> None:
        """Opens a shard."""
        writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._writer: Any = stack.enter_context(writer)

    def write(self, table: Table) -> None:
        """Writes a row group."""
        self._writer.write_table(table.combine_chunks(), row_group_size=GROUP_ROWS)


class JsonLines(Files):
    """One JSON object a line."""

    def __init__(
        self, folder: Path, split: str, n_rows: int, record: Callable[[Row], Row] | None = None
    ) -> None:
        super().__init__(folder, split, n_rows)
        self._record = record

    def name_of(self, number: int) -> str:
        """Returns the path of a shard."""
        return shard_name(self.split, number, self.n_rows, ".jsonl")

    def open(self, path: Path, stack: ExitStack) -> None:
        """Opens a shard."""
        self._file = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))

    def write(self, table: Table) -> None:
        """Writes a line for each row."""
        for row in table.to_pylist():
            record = row if self._record is None else self._record(row)
            line = json.dumps(record, ensure_ascii=False, allow_nan=False)
            self._file.write(line + "\n")


def regroup(tables: Iterable[tuple[str, Table]]) -> Iterator[tuple[str, Table]]:
    """Yields tables of exactly `GROUP_ROWS` rows of one split, then what is left of each.

    The bytes of a file then do not depend on how its rows arrive.
    """
    waiting: dict[str, list[Table]] = {}
    for split, table in tables:
        parts = [*waiting.get(split, []), table]
        n_rows = sum(part.num_rows for part in parts)
        if n_rows >= GROUP_ROWS:
            whole = pa.concat_tables(parts)
            for start in range(0, n_rows - GROUP_ROWS + 1, GROUP_ROWS):
                yield split, whole.slice(start, GROUP_ROWS)
            parts = [whole.slice(n_rows - n_rows % GROUP_ROWS)]
        waiting[split] = parts
    for split, parts in waiting.items():
        rest = pa.concat_tables(parts)
        if rest.num_rows:
            yield split, rest
