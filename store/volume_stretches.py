"""A large table in stretches of volumes, so that joins of many tables fit into little memory.

A condition on the volume's id as a range of literals is carried down to every table that is joined
by it, where it skips what cannot match; a list of volumes is not.
"""

from typing import Final, NamedTuple

import duckdb


class VolumeStretch(NamedTuple):
    """Volumes that follow each other in the order of their ids."""

    first: str
    """Id of the first one."""
    last: str
    """Id of the last one."""

    def holds(self, column: str) -> str:
        """Returns the SQL condition that a column of volume ids is in the stretch."""
        return f"{column} BETWEEN {_quoted(self.first)} AND {_quoted(self.last)}"


NOTHING: Final = VolumeStretch("", "")
"""No volume at all."""


def volume_stretches(
    con: duckdb.DuckDBPyConnection, table: str, n_rows: int
) -> list[VolumeStretch]:
    """Returns all volumes of a table in stretches of about `n_rows` rows, whole volumes each.

    Args:
        con: an open store.
        table: with a column `volume_id`.
        n_rows: rows at which a stretch ends.
    """
    counted = con.execute(
        f"SELECT volume_id, count(*) FROM {table} GROUP BY ALL ORDER BY volume_id"
    ).fetchall()
    stretches: list[VolumeStretch] = []
    first, n = "", 0
    for volume_id, count in counted:
        first = first if n else str(volume_id)
        n += int(count)
        if n >= n_rows:
            stretches.append(VolumeStretch(first, str(volume_id)))
            n = 0
    if n:
        stretches.append(VolumeStretch(first, str(counted[-1][0])))
    return stretches


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
