"""Restricted data leaves the machine only on a named basis (RULES 25), and the basis is stored."""

from collections.abc import Sequence

import duckdb

from knee.errors import InputError
from knee.run_config import ModelEndpoint, RunConfig


def refuse_transfer(
    config: RunConfig,
    endpoints: Sequence[ModelEndpoint],
    con: duckdb.DuckDBPyConnection,
) -> None:
    """Refuses settings that would send restricted volumes to another machine without a basis.

    A volume of which nobody said whether it is restricted counts as restricted.

    Args:
        config: the settings.
        endpoints: the servers that would be sent something.
        con: an open store.

    Raises:
        InputError: an endpoint is not this machine, the store holds restricted volumes, and the
            settings name no `external_transfer_basis`.
    """
    remote = [endpoint.base_url for endpoint in endpoints if not endpoint.is_local]
    if not remote or config.external_transfer_basis is not None:
        return
    row = con.execute(
        "SELECT count(*), min(volume_id) FROM volumes WHERE restricted IS NOT FALSE"
    ).fetchall()[0]
    if row[0]:
        raise InputError(
            f"settings {config.name!r}: {remote[0]!r} is not this machine, and {row[0]} volume(s) "
            f"of the store are restricted, {row[1]!r} among them",
            "where the data's terms permit it, name the permission: external_transfer_basis = "
            '"…" in the settings file; it is stored with the run',
        )
