"""The client of an OpenAI-compatible server: one pool, bounded retries, typed failures.

`openai` sends the requests over its aiohttp transport with its own retries off; `tenacity` repeats
what is retryable, with jitter. What a server does wrong ends in one of three errors:
`ModelUnavailable` (wait), `ModelOutputError` (a row with a reason) or `InputError` (a setting).
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import aiohttp
import httpx2
import openai
from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from agents.llm_errors import RetryableFault, TimedOut, explain_fault
from agents.time_limits import TimeLimits
from knee.errors import InputError, ModelOutputError, ModelUnavailable
from knee.records import Usage
from knee.run_config import ModelEndpoint, Sampling
from prompts.render import ChatMessage

JsonSchema = Mapping[str, Any]
"""A JSON schema as `knee.answers.answer_schema` gives it."""

MAX_TRIES = 5
"""Requests for one call at most; 25 % of them failing leaves one call in a thousand without."""
_CONNECT_TIMEOUT_S = 10.0
_HEALTH_TIMEOUT_S = 5.0
_PROBE_MAX_TOKENS = 1


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model."""

    text: str
    """The answer; may be empty."""
    finish_reason: str
    """As the server gave it: `stop`, `length`, …"""
    usage: Usage
    """Tokens, and seconds of the request that succeeded."""
    model: str
    """Model name as the server gave it."""
    answer_field: Literal["content", "reasoning"] = "content"
    """Where the answer lay; a reasoning parser may move it."""


class ChatModel(Protocol):
    """What the graph needs of a model."""

    async def complete(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> Completion:
        """Returns one answer, constrained by `schema` unless it is None.

        Raises:
            ModelUnavailable: the server is away or failing, after all retries.
            ModelOutputError: the server refuses this request, e.g. `context_too_long`.
            InputError: the key, the model name or the address is wrong.
        """
        ...

    async def find_trouble(self) -> str | None:
        """Returns why the server cannot answer now; None when it can."""
        ...


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(BaseModel):
    model_config = ConfigDict(extra="ignore")
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    model_config = ConfigDict(extra="ignore")
    prompt_tokens: int = 0
    completion_tokens: int | None = 0


class _Reply(BaseModel):
    """The parts of a chat completion that are read."""

    model_config = ConfigDict(extra="ignore")
    choices: list[_Choice]
    model: str = ""
    usage: _Tokens | None = None


class ServedModel(BaseModel):
    """One entry of /v1/models."""

    model_config = ConfigDict(extra="ignore")
    id: str
    """Name under which the model is asked for."""
    max_model_len: int | None = None
    """Context in tokens; vLLM reports it, others may not."""


class _ModelList(BaseModel):
    model_config = ConfigDict(extra="ignore")
    data: list[ServedModel]


def _new_client(endpoint: ModelEndpoint, concurrency: int) -> openai.AsyncOpenAI:
    # Only the connection: how long an answer may take is each request's own (`_request`).
    timeout = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT_S)
    key = "none"
    if endpoint.api_key_env is not None:
        key = os.environ.get(endpoint.api_key_env, "")
        if not key:
            raise InputError(
                f"environment variable {endpoint.api_key_env!r} is not set",
                "it should hold the key of the model server (`api_key_env` in the settings file)",
            )
    transport = openai.DefaultAioHttpClient(
        # A pool wait would count as a server time-out: the pool is never the bottleneck.
        limits=httpx2.Limits(max_connections=concurrency + 8, max_keepalive_connections=None),
        timeout=timeout,
        # A proxy named in the environment must not see what is meant for this machine.
        trust_env=not endpoint.is_local,
    )
    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=key,
        max_retries=0,
        timeout=timeout,
        http_client=transport,
    )


class ChatClient:
    """A pool of connections to one model endpoint; use as `async with ChatClient(...)`."""

    def __init__(
        self,
        endpoint: ModelEndpoint,
        *,
        concurrency: int = 64,
        allow_remote: bool = False,
        max_tries: int = MAX_TRIES,
        max_backoff_s: float = 4.0,
    ) -> None:
        """Opens nothing yet; the first request does.

        Args:
            endpoint: address, model, and a time-out of its own if it has one.
            concurrency: most requests in flight.
            allow_remote: must be true for an address that is not this machine's.
            max_tries: requests for one call at most.
            max_backoff_s: longest pause between two tries.

        Raises:
            InputError: the endpoint is remote and not allowed, or its key is not set.
        """
        if not (endpoint.is_local or allow_remote):
            raise InputError(
                f"endpoint {endpoint.base_url!r} is not this machine",
                "set allow_remote = true in the settings file if patient data may be sent there",
            )
        self.endpoint = endpoint
        self._limits = TimeLimits(endpoint.timeout_s)
        self._client = _new_client(endpoint, concurrency)
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(RetryableFault),
            # The first try is made outside of tenacity: on the good path it costs nothing.
            stop=stop_after_attempt(max(1, max_tries - 1)),
            wait=wait_random_exponential(multiplier=0.25, max=max_backoff_s),
            reraise=True,
        )
        self._max_tries = max_tries
        self._first_pause_s = min(0.25, max_backoff_s)

    async def __aenter__(self) -> Self:
        """Returns the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the pool."""
        await self.close()

    async def close(self) -> None:
        """Closes the pool."""
        await self._client.close()

    async def complete(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> Completion:
        """Returns one answer, constrained by `schema` unless it is None (see `ChatModel`)."""
        body = self._body(messages, schema, sampling)
        n_timed_out = 0

        async def send() -> Completion:
            nonlocal n_timed_out
            limit = self._limits.seconds(sampling.max_tokens, n_timed_out)
            try:
                return await self._send(body, limit)
            except TimedOut:
                n_timed_out += 1
                raise

        try:
            return await send()
        except RetryableFault as fault:
            first = fault
        if self._max_tries > 1:
            try:
                await asyncio.sleep(self._first_pause_s)
                # A copy: tenacity keeps the state of a running retry in the object.
                return await self._retrying.copy()(send)
            except RetryableFault as fault:
                first = fault
        raise ModelUnavailable(
            f"no answer from {self.endpoint.base_url!r} after {self._max_tries} tries: {first}",
            "see that the model server runs; the batch can be resumed",
        ) from first

    def _body(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self.endpoint.model,
            "messages": [message.as_sent() for message in messages],
            **sampling.as_sent(),
        }
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema, "strict": True},
            }
        return body

    async def _send(self, body: dict[str, object], limit_s: float) -> Completion:
        """Returns the answer of one request, which may take `limit_s` seconds.

        Raises:
            RetryableFault: no answer, or none that can be read.
            KneeError: an answer that no retry mends.
        """
        start = time.perf_counter()
        content = await self._request("post", "/chat/completions", body, limit_s)
        seconds = time.perf_counter() - start
        try:
            reply = _Reply.model_validate_json(content)
            choice = reply.choices[0]
        except (ValidationError, IndexError) as error:
            raise RetryableFault(f"the body is not a chat completion: {content[:120]!r}") from error
        message, tokens = choice.message, reply.usage or _Tokens()
        self._limits.note(seconds, tokens.completion_tokens or 0)
        reasoning = message.reasoning or message.reasoning_content or ""
        in_content = bool(message.content and message.content.strip()) or not reasoning
        return Completion(
            text=(message.content or "") if in_content else reasoning,
            finish_reason=choice.finish_reason or "unknown",
            usage=Usage(
                prompt_tokens=tokens.prompt_tokens,
                completion_tokens=tokens.completion_tokens or 0,
                latency_s=seconds,
            ),
            model=reply.model or self.endpoint.model,
            answer_field="content" if in_content else "reasoning",
        )

    async def _request(
        self,
        method: Literal["get", "post"],
        path: str,
        body: dict[str, object] | None,
        timeout_s: float,
    ) -> bytes:
        """Returns the body of a successful answer.

        The transport's time-out is one of silence; `asyncio.timeout` bounds the whole request.
        """
        try:
            async with asyncio.timeout(timeout_s):
                if method == "post":
                    response = await self._client.post(path, cast_to=httpx2.Response, body=body)
                else:
                    response = await self._client.get(path, cast_to=httpx2.Response)
                return response.content
        except TimeoutError as error:
            raise TimedOut(f"no answer within {timeout_s:.3g} s") from error
        except openai.APIError as error:
            raise explain_fault(error) from error
        except aiohttp.ClientError as error:
            # The transport lets through what is no HTTP at all.
            raise RetryableFault(f"no HTTP answer: {' '.join(str(error).split())}") from error

    async def served_models(self) -> tuple[ServedModel, ...]:
        """Returns what /v1/models lists.

        Raises:
            ModelUnavailable: the server cannot be reached, or is failing.
            InputError: the address does not speak the OpenAI protocol.
        """
        try:
            content = await self._request("get", "/models", None, _HEALTH_TIMEOUT_S)
        except RetryableFault as fault:
            raise ModelUnavailable(f"{self.endpoint.base_url!r}: {fault}") from fault
        try:
            return tuple(_ModelList.model_validate_json(content).data)
        except ValidationError as error:
            raise InputError(
                f"{self.endpoint.base_url!r} is not an OpenAI-compatible endpoint: its list of "
                f"models reads {content[:80]!r}",
                "base_url usually ends in /v1",
            ) from error

    async def find_trouble(self) -> str | None:
        """Returns why the server cannot answer a request of one token now; None when it can.

        A list of models is not enough: vLLM's front goes on answering when its engine is dead.
        """
        body: dict[str, object] = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": "ready?"}],
            "max_tokens": _PROBE_MAX_TOKENS,
        }
        try:
            limit = self._limits.seconds(_PROBE_MAX_TOKENS)
            await self._request("post", "/chat/completions", body, limit)
        except ModelOutputError:
            return None  # It refused this request, and so it is there.
        except (RetryableFault, InputError) as error:
            return str(error)
        return None
