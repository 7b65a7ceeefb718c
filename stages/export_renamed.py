"""Rows under pseudonyms, in the order of their new names.

In the order of the ids, the place of a row would tell who it is. So renamed rows are dealt into
sixteen files by the first letter of the patient's name, and each file is sorted when all are there;
memory holds one of them. Nothing is put aside under its own name.
"""

import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute

from stages.pseudonyms import FIRST_LETTERS, PATIENT_PREFIX, Pseudonyms
from store.export import Table

_COMPUTE: Any = pyarrow.compute  # its functions are made when it is imported
_ORDER = [("volume_id", "ascending"), ("question_id", "ascending"), ("run_id", "ascending")]


@contextmanager
def renamed(
    tables: Iterable[tuple[str, Table]], names: Pseudonyms, folder: Path
) -> Generator[Iterator[tuple[str, Table]]]:
    """Yields the renamed tables of all splits, in the order of the new names.

    Args:
        tables: splits with some of their rows.
        names: pseudonyms.
        folder: the export; what is put aside lies in it meanwhile.
    """
    aside = folder / ".aside"
    aside.mkdir()
    try:
        dealt = _deal(tables, names, aside)
        yield (pair for split, letter in sorted(dealt) for pair in _sorted(aside, split, letter))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _deal(
    tables: Iterable[tuple[str, Table]], names: Pseudonyms, aside: Path
) -> set[tuple[str, str]]:
    writers: dict[tuple[str, str], Any] = {}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with ExitStack() as stack:
        for split, table in tables:
            new = names.table(table)
            letters = _COMPUTE.utf8_slice_codeunits(
                new.column("patient"), len(PATIENT_PREFIX), len(PATIENT_PREFIX) + 1
            )
            for letter in FIRST_LETTERS:
                part = new.filter(_COMPUTE.equal(letters, letter))
                if not part.num_rows:
                    continue
                if (split, letter) not in writers:
                    path = str(aside / f"{split}-{letter}")
                    writer = pa.ipc.new_file(path, new.schema, options=options)
                    writers[split, letter] = stack.enter_context(writer)
                writers[split, letter].write_table(part)
    return set(writers)


def _sorted(aside: Path, split: str, letter: str) -> Iterator[tuple[str, Table]]:
    with pa.OSFile(str(aside / f"{split}-{letter}")) as file:
        table = pa.ipc.open_file(file).read_all()
    yield split, table.sort_by(_ORDER)
