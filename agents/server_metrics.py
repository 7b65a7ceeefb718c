"""What vLLM tells at `/metrics`: prompt tokens that it did not compute, seconds to a first token.

The counters count from the server's start and over everything that it serves, so that a run's
figure is a difference, and is a run's own only while nobody else asks the server.
"""

import re
import urllib.error
import urllib.request
from typing import NamedTuple
from urllib.parse import urlsplit

_COUNTER = re.compile(
    r"^vllm:prefix_cache_(queries|hits)(?:_total)?(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>\S+)$",
    re.MULTILINE,
)
_FIRST_TOKEN = re.compile(
    r"^vllm:time_to_first_token_seconds_(sum|count)(?:\{(?P<labels>[^}]*)\})?\s+(?P<value>\S+)$",
    re.MULTILINE,
)
_MODEL = re.compile(r'model_name="((?:[^"\\]|\\.)*)"')
_TIMEOUT_S = 2.0
_MAX_BYTES = 8_000_000


class PrefixCacheCounts(NamedTuple):
    """Prompt tokens looked up in the prefix cache, and found there."""

    queries: int
    """Tokens looked up."""
    hits: int
    """Tokens found: their keys and values were not computed again."""

    @property
    def hit_rate(self) -> float | None:
        """Share found; None when nothing was looked up."""
        return self.hits / self.queries if self.queries else None

    def since(self, earlier: "PrefixCacheCounts") -> "PrefixCacheCounts | None":
        """Returns what came since earlier counts; None when the server started anew between."""
        queries, hits = self.queries - earlier.queries, self.hits - earlier.hits
        return PrefixCacheCounts(queries, hits) if queries >= 0 and hits >= 0 else None


class FirstTokenTimes(NamedTuple):
    """Answers that began, and how long they took to begin."""

    seconds: float
    """Seconds from a request's arrival to its first token, added up."""
    n: int
    """Answers."""

    def mean_since(self, earlier: "FirstTokenTimes") -> float | None:
        """Returns the mean of what came since; None when nothing did, or the server restarted."""
        n = self.n - earlier.n
        return (self.seconds - earlier.seconds) / n if n > 0 else None


class ServerCounters(NamedTuple):
    """A server's counters at one moment; None for what it does not count."""

    prefix_cache: PrefixCacheCounts | None
    """Of the prefix cache."""
    first_token: FirstTokenTimes | None
    """Of the time to the first token."""


def parse_prefix_cache(text: str, model: str) -> PrefixCacheCounts | None:
    """Returns the counters of a model, engines added up; None when the text has none.

    Args:
        text: Prometheus' text form, as vLLM serves it.
        model: the name under which the server lists the model.
    """
    found = _add_up(_COUNTER, text, model)
    if found.keys() != {"queries", "hits"}:
        return None
    return PrefixCacheCounts(round(found["queries"]), round(found["hits"]))


def parse_first_token(text: str, model: str) -> FirstTokenTimes | None:
    """Returns the times to a first token of a model, engines added up; None without any."""
    found = _add_up(_FIRST_TOKEN, text, model)
    if found.keys() != {"sum", "count"}:
        return None
    return FirstTokenTimes(found["sum"], round(found["count"]))


def _add_up(pattern: re.Pattern[str], text: str, model: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for match in pattern.finditer(text):
        named = _MODEL.search(match["labels"] or "")
        if named is None or named[1] == model:
            found[match[1]] = found.get(match[1], 0.0) + float(match["value"])
    return found


def read_prefix_cache(base_url: str, model: str) -> PrefixCacheCounts | None:
    """Returns a server's counters; None where it has no `/metrics` or no such counters.

    Args:
        base_url: of the OpenAI-compatible API, e.g. `http://127.0.0.1:8765/v1`; nothing but a GET
            without content is sent there.
        model: the model's name.
    """
    return read_counters(base_url, model).prefix_cache


def read_counters(base_url: str, model: str) -> ServerCounters:
    """Returns what a server counts; see `read_prefix_cache`."""
    parts = urlsplit(base_url)
    address = f"{parts.scheme}://{parts.netloc}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            text = answer.read(_MAX_BYTES).decode("utf-8", errors="replace")
        return ServerCounters(parse_prefix_cache(text, model), parse_first_token(text, model))
    except (urllib.error.URLError, OSError, ValueError):
        # Another kind of server: there is no figure then, which is no reason to stop a run.
        return ServerCounters(None, None)
