"""Writes small MOAKS tables in OAI's ASCII form for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

KEYS = ("ID", "SIDE", "READPRJ", "VERSION")


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    keys: Sequence[str] = KEYS,
    delimiter: str = "|",
) -> Path:
    """Writes a table; a cell that a row does not give is empty, keys have sensible defaults."""
    defaults = {"ID": "9000001", "SIDE": "1: Right", "READPRJ": "65", "VERSION": "SQ:65"}
    header = [*keys, *columns]
    lines = [delimiter.join(header)]
    lines += [delimiter.join({**defaults, **row}.get(c, "") for c in header) for row in rows]
    path.write_bytes("\r\n".join([*lines, ""]).encode("latin-1"))
    return path
