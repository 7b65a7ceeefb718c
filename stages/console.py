"""Where the stages write: data to stdout, talk to stderr, tables for people."""

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from knee.keys import JsonValue


def say(text: str) -> None:
    """Writes a line of talk to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Writes data to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def emit_json(value: JsonValue) -> None:
    """Writes one JSON document to stdout."""
    emit(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, to_stdout: bool = False
) -> None:
    """Draws a table for people; None is shown as a dash, never as 0."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float | None) for row in rows) and bool(rows)
        table.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(stderr=not to_stdout, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=not to_stdout, highlight=False, width=120)
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def percent(part: int, whole: int) -> str:
    """Returns `part / whole` as `41.7 % (5/12)`; without items there is no share.

    Example:
        >>> percent(5, 12), percent(0, 0)
        ('41.7 % (5/12)', '– (0/0)')
    """
    share = "–" if whole == 0 else f"{100 * part / whole:.1f} %"
    return f"{share} ({part}/{whole})"
