"""`sql`: read-only SQL over a store, also while a batch runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knee.errors import InputError
from stages.console import emit, say
from store.named_queries import load_named_queries, named_query
from store.sql import Parameters, run_sql
from store.user_tables import parse_with


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What the command line says."""

    store: Path | None
    """The DuckDB file."""
    text: str | None
    """The query; None with `named`."""
    named: str | None = None
    """Name of a query of ours; None with `text`."""
    output_format: str = "table"
    """`table`, `csv`, `json` or `parquet`."""
    out: Path | None = None
    """File to write; None is stdout."""
    values: tuple[str, ...] = ()
    """Values for each `?`."""
    named_values: tuple[str, ...] = ()
    """`key=value` for each `$key`."""
    tables: tuple[str, ...] = ()
    """`name=file` of the user's own tables."""


def query(options: QueryOptions) -> int:
    """Runs one reading statement; rows go to stdout, or to a file; returns 0.

    Raises:
        InputError: the statement is wrong or does not only read; a parameter or table is not as
            asked; parquet without a file.
        StoreError: the store cannot be read.
    """
    if options.store is None:
        raise InputError("no store is named", "add --store knees.duckdb")
    if options.output_format == "parquet" and options.out is None:
        raise InputError("parquet is not for a terminal", "name a file: --out rows.parquet")
    text, parameters = _statement(options)
    n_rows = run_sql(
        options.store,
        text,
        parameters,
        options.output_format,
        options.out,
        parse_with(list(options.tables)),
    )
    say(f"{n_rows} row(s)" + (f" in {options.out}" if options.out is not None else ""))
    return 0


def list_queries() -> int:
    """Prints the named queries with their parameters; returns 0."""
    for named in load_named_queries():
        emit(f"{named.name}\n    {named.words}")
        for parameter in named.parameters:
            given = "required" if parameter.required else parameter.default
            emit(f"    ${parameter.name}: {parameter.words}" + (f" [{given}]" if given else ""))
    return 0


def _statement(options: QueryOptions) -> tuple[str, Parameters | None]:
    values = _named_values(options.named_values)
    if (options.text is None) == (options.named is None):
        raise InputError(
            "give a query, or the name of one with --named", "`sql --list` shows the named ones"
        )
    if options.values and (values or options.named is not None):
        raise InputError("--param is for ? and --params for $name", "use one of the two")
    if options.named is not None:
        named = named_query(options.named)
        return named.sql, named.bind(values) or None
    return options.text or "", values or list(options.values) or None


def _named_values(words: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in words:
        key, found, value = word.partition("=")
        if not found or not key.isidentifier():
            raise InputError(f"--params {word!r} is not key=value", "like --params feature=bml")
        if key in values:
            raise InputError(f"--params gives {key!r} twice", "give each parameter once")
        values[key] = value
    return values
