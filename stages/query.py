"""`sql`: read-only SQL over a store, also while a batch runs."""

from collections.abc import Sequence
from pathlib import Path

from knee.errors import InputError
from stages.console import say
from store.sql import run_sql


def query(
    store: Path, text: str, output_format: str, out: Path | None, params: Sequence[str]
) -> int:
    """Runs one reading statement; rows go to stdout, or to `out`.

    Raises:
        InputError: the statement is wrong or does not only read; parquet without a file.
        StoreError: the store cannot be read.
    """
    if output_format == "parquet" and out is None:
        raise InputError("parquet is not for a terminal", "name a file: --out rows.parquet")
    n_rows = run_sql(store, text, list(params) or None, output_format, out)
    say(f"{n_rows} row(s)" + (f" in {out}" if out is not None else ""))
    return 0
