"""Restricted data leaves the machine only on a named basis (RULES 25), and the basis is stored."""

from collections.abc import Iterable, Sequence

import duckdb

from eval.bench_config import BenchConfig
from eval.bench_records import BenchVolume
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
        raise _refusal(config.name, remote[0], row[0], f"of the store are restricted, {row[1]!r}")


def refuse_bench_transfer(config: BenchConfig, volumes: Iterable[BenchVolume]) -> None:
    """Refuses to send restricted volumes of a bench to another machine without a basis.

    Args:
        config: the settings.
        volumes: those that would be sent, or asked about.

    Raises:
        InputError: as `refuse_transfer`.
    """
    if config.model.is_local or config.external_transfer_basis is not None:
        return
    restricted = sorted(volume.volume_id for volume in volumes if volume.restricted is not False)
    if restricted:
        told = f"of the bench are restricted, {restricted[0]!r}"
        raise _refusal(config.name, config.model.base_url, len(restricted), told)


def _refusal(name: str, url: str, n: int, told: str) -> InputError:
    return InputError(
        f"settings {name!r}: {url!r} is not this machine, and {n} volume(s) {told} among them",
        "where the data's terms permit it, name the permission: external_transfer_basis = "
        '"…" in the settings file; it is stored with the run',
    )
