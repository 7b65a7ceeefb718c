"""`serve status` and `serve stop`: the servers that this checkout started."""

from pathlib import Path

from agents.server_state import ServerEntry, find_server, list_servers, stop_entry
from knee.errors import InputError
from knee.keys import JsonValue
from stages.console import emit_json, say, show_table
from stages.settings import load_settings

_COLUMNS = ("port", "role", "model", "state", "restarts", "process", "since (UTC)", "detached")


def status(*, as_json: bool) -> int:
    """Shows the servers; those that ended without cleaning up are marked and their files go."""
    entries = list_servers()
    if as_json:
        emit_json([_as_json(entry) for entry in entries])
    elif entries:
        show_table("servers of this checkout", _COLUMNS, [_row(e) for e in entries], to_stdout=True)
        for entry in entries:
            say(f"log of port {entry.state.port}: {entry.state.log}")
    else:
        say("no server of this checkout runs")
    for entry in entries:
        if not entry.running:
            stop_entry(entry)
    return 0


def stop(port: int | None, config_path: Path | None, *, all_of_them: bool) -> int:
    """Ends servers and every process of theirs; nothing to end is no error with `--all`.

    Raises:
        InputError: none runs there, or it does not end.
    """
    if all_of_them:
        entries = list_servers()
    else:
        ports = [port] if port is not None else _ports(config_path)
        entries = [entry for entry in map(find_server, ports) if entry is not None]
    ended = [entry.state for entry in entries if stop_entry(entry)]
    for state in ended:
        say(f"stopped {state.role} {state.model!r} on port {state.port}")
    if not ended and not all_of_them:
        where = f"on port {port}" if port is not None else f"of {str(config_path)!r}"
        raise InputError(f"no server of this checkout runs {where}", "`serve status` lists them")
    return 0


def _ports(config_path: Path | None) -> list[int]:
    assert config_path is not None, "the command line asks for one of the three"
    return [server.settings.port for server in load_settings(config_path).servers]


def _phase(entry: ServerEntry) -> str:
    return entry.state.phase if entry.running else "ended"


def _row(entry: ServerEntry) -> list[object]:
    state = entry.state
    return [
        state.port,
        state.role,
        state.model,
        _phase(entry),
        state.restarts,
        state.supervisor_pid,
        state.started_at.removesuffix("+00:00"),
        "yes" if state.detached else "no",
    ]


def _as_json(entry: ServerEntry) -> JsonValue:
    return {**entry.state.model_dump(mode="json"), "state": _phase(entry)}
