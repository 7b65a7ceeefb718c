"""What a failed request means: wait and try again, a row with a reason, or a setting to mend.

    no connection, time-out, 408, 409, 429, 5xx, a body that is no answer   RetryableFault
    400, 413, 422                                                           ModelOutputError
    401, 403, 404 and the rest                                              InputError

The aiohttp transport reports a refused connection as a time-out; the message names the cause.
"""

import re

import openai

from knee.errors import InputError, KneeError, ModelOutputError

RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which the same request may succeed."""
_REFUSED_STATUS = frozenset({400, 413, 422})
_CONTEXT = re.compile(
    r"context[ _](length|window)|max(imum)?[ _](model|context)[ _]len|too (long|large|many tokens)"
    r"|longer than the maximum",
    re.IGNORECASE,
)
_EXCERPT = 300
"""Characters of a server's message that are kept."""


class RetryableFault(Exception):  # noqa: N818 - never leaves agents.llm_client
    """One request failed in a way that may pass; internal to the client."""


class TimedOut(RetryableFault):
    """One request ran into its limit (`agents.time_limits`)."""


def explain_fault(error: openai.APIError) -> RetryableFault | KneeError:
    """Returns what a failed request means, to be raised in place of `error`.

    Args:
        error: as the `openai` package raised it.
    """
    if not isinstance(error, openai.APIStatusError):
        return RetryableFault(_connection_message(error))
    status, text = error.status_code, _excerpt(error.response.text)
    if status >= 500 or status in RETRYABLE_STATUS:
        return RetryableFault(f"HTTP {status}: {text}")
    if status in _REFUSED_STATUS:
        code = "context_too_long" if _CONTEXT.search(text) else "request_refused"
        return ModelOutputError(
            f"the server refused the request (HTTP {status}): {text!r}", code=code, text=""
        )
    if status in (401, 403):
        return InputError(
            f"the server at {_url(error)!r} refused the key (HTTP {status})",
            "set `api_key_env` to the environment variable that holds the key",
        )
    if status == 404:
        return InputError(
            f"{_url(error)!r} answered HTTP 404: {text!r}",
            "check `model` and `base_url` (it ends in /v1) in the settings file",
        )
    return InputError(f"{_url(error)!r} answered HTTP {status}: {text!r}", "check `base_url`")


def _url(error: openai.APIError) -> str:
    return str(error.request.url)


def _connection_message(error: openai.APIError) -> str:
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    name = "no connection" if cause is None else type(cause).__name__
    detail = "" if cause is None else _excerpt(str(cause))
    return f"{name}: {detail}" if detail else name


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _EXCERPT else flat[:_EXCERPT] + "…"
