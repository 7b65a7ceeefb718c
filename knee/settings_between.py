"""What is wrong between settings of one file, whatever is wrong with others beside them.

Works on a settings file as read, so that these problems are told together with those of single
values; a value of a wrong type is its own problem and passed over here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from knee.serve_settings import is_loopback
from knee.toml_lines import KeyPath

DRAFTER_TOKENS = 1024
"""`drafter.sampling.max_tokens` where a file does not set it."""
JUDGE_TOKENS = 768
"""`judge.sampling.max_tokens` where a file does not set it."""

_Problem = tuple[KeyPath, str]


class _Role(NamedTuple):
    name: str
    server: tuple[str, ...]
    """Path of the part that says how its server is started."""
    tokens: int
    """`sampling.max_tokens` unless set."""


_ROLES = (
    _Role("drafter", ("serve",), DRAFTER_TOKENS),
    _Role("judge", ("judge", "serve"), JUDGE_TOKENS),
)


def problems_between(data: Mapping[str, Any]) -> Iterator[_Problem]:
    """Yields the key and what is wrong there, in the order of the roles.

    Args:
        data: settings as read.
    """
    for role in _ROLES:
        endpoint = _table(data, (role.name,))
        yield from _remote(role, endpoint, allowed=data.get("allow_remote") is True)
        server = _table(data, role.server)
        if server:
            yield from _server(role, endpoint, server)
    ports = [_table(data, role.server).get("port") for role in _ROLES]
    if isinstance(ports[0], int) and ports[0] == ports[1]:
        yield ("judge", "serve", "port"), f"{ports[1]!r} is the drafter's own, serve.port"


def is_local_url(url: str) -> bool:
    """Returns whether a base URL leads to this machine; what is no URL does not."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _remote(role: _Role, endpoint: Mapping[str, Any], *, allowed: bool) -> Iterator[_Problem]:
    url = endpoint.get("base_url")
    if isinstance(url, str) and not allowed and not is_local_url(url):
        yield (
            (role.name, "base_url"),
            f"{url!r} is not this machine; patient data would leave it: set "
            "allow_remote = true if that is permitted",
        )


def _server(
    role: _Role, endpoint: Mapping[str, Any], server: Mapping[str, Any]
) -> Iterator[_Problem]:
    part = ".".join(role.server)
    longest = _table(endpoint, ("sampling",)).get("max_tokens", role.tokens)
    context = server.get("max_model_len")
    if isinstance(longest, int) and isinstance(context, int) and longest >= context:
        yield (
            (role.name, "sampling", "max_tokens"),
            f"{longest!r} leaves no room for a prompt in {part}.max_model_len {context!r}",
        )
    url, port = endpoint.get("base_url"), server.get("port")
    asked = _port(url) if isinstance(url, str) and is_local_url(url) else None
    if asked is not None and isinstance(port, int) and asked != port:
        yield (
            (role.name, "base_url"),
            f"{url!r} asks another port than the server listens on, {part}.port {port!r}",
        )
    host = server.get("host")
    if isinstance(host, str) and not is_loopback(host) and endpoint.get("api_key_env") is None:
        yield (
            (*role.server, "host"),
            f"{host!r} lets other machines ask the server, which needs a key: set "
            f"{role.name}.api_key_env to the environment variable that holds it",
        )


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    for name in path:
        data = data.get(name) or {}
        if not isinstance(data, dict):
            return {}
    return data
