"""An OpenAI-compatible server for tests: lists models, answers chat requests, and fails on demand.

In one process with a test (`async with StubServer(...)`), or as a process of its own that can be
killed (`python -m tests.stub_server --port P --answers FILE`). Requests and errors have the shapes
that vLLM sends. Answers are keyed by the prompt: `prompt_key` of the messages.
"""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from knee.keys import content_hash

Json = dict[str, Any]
Answer = Callable[[Json], str | None]
"""From a request to the answer's text; None answers the least that the schema allows."""


@dataclass(frozen=True)
class Faults:
    """Shares of requests that go wrong, and how."""

    http_500: float = 0.0
    hang: float = 0.0
    truncated: float = 0.0
    not_json: float = 0.0
    seed: int = 0

    def kinds(self) -> dict[str, float]:
        """Returns each kind with its share."""
        return {
            "http_500": self.http_500,
            "hang": self.hang,
            "truncated": self.truncated,
            "not_json": self.not_json,
        }


def prompt_key(messages: Sequence[Mapping[str, str]]) -> str:
    """Returns the hash under which a prompt's answer is kept."""
    return content_hash("\n".join(f"{m['role']}:{m['content']}" for m in messages))


def minimal_answer(schema: Json) -> Any:  # noqa: ANN401 - any JSON value
    """Returns the least value that a schema of `knee.answers` allows."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {key: minimal_answer(sub) for key, sub in schema["properties"].items()}
    if kind == "array":
        return [minimal_answer(schema["items"])] * int(schema.get("minItems", 0))
    if kind == "integer":
        return int(schema.get("minimum", 0))
    return "x" * int(schema.get("minLength", 1))


def count_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    """Returns the stub's idea of a prompt's tokens: its words; a data URL is one."""
    return sum(len(str(message["content"]).split()) for message in messages)


def count_images(messages: Sequence[Mapping[str, Any]]) -> int:
    """Returns how many images a request holds."""
    parts = [part for m in messages if isinstance(m["content"], list) for part in m["content"]]
    return sum(part["type"] == "image_url" for part in parts)


@dataclass
class StubServer:
    """The server; `base_url` is known once it runs."""

    answer: Answer = lambda _: None
    models: tuple[str, ...] = ("stub",)
    max_model_len: int | None = None
    tells_context: bool = True
    """Whether /v1/models names `max_model_len`; vLLM does, others do not."""
    latency_s: float = 0.0
    latency_spread_s: float = 0.0
    faults: Faults = field(default_factory=Faults)
    poisoned: frozenset[str] = frozenset()
    """Prompts (`prompt_key`) that get HTTP 500 every time."""
    max_images: int | None = None
    """Images of a request at most; None takes any number."""
    finish_reason: str = "stop"
    answer_field: str = "content"
    n_requests: Counter[str] = field(default_factory=Counter[str])
    """Requests by what became of them: `ok`, `refused`, a kind of fault, `/v1/models`."""
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None
    _random: random.Random = field(default_factory=random.Random)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens: on a free port the first time, on the same one after a stop."""
        self._random.seed(self.faults.seed)
        app = web.Application()
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/health", self._health)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Goes away; connections break."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _list_models(self, _: web.Request) -> web.Response:
        self.n_requests["/v1/models"] += 1
        data = [
            {"id": name, "object": "model"}
            | ({"max_model_len": self.max_model_len} if self.tells_context else {})
            for name in self.models
        ]
        return web.json_response({"object": "list", "data": data})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            refused = self._refuse(body)
            if refused is not None:
                self.n_requests["refused"] += 1
                return refused
            kind = self._draw_fault(body)
            self.n_requests[kind or "ok"] += 1
            if kind is not None:
                return await self._fail(kind, request)
            wait = self.latency_s + self._random.random() * self.latency_spread_s
            if wait:
                await asyncio.sleep(wait)
            return web.json_response(self._reply(body))
        finally:
            self.in_flight -= 1

    def _refuse(self, body: Json) -> web.Response | None:
        model, tokens = body["model"], count_tokens(body["messages"])
        if model not in self.models:
            return _error(404, f"The model `{model}` does not exist.", "NotFoundError")
        n_images = count_images(body["messages"])
        if self.max_images is not None and n_images > self.max_images:
            # vLLM's own words.
            text = f"At most {self.max_images} image(s) may be provided in one prompt."
            return _error(400, text, "BadRequestError")
        wanted = tokens + int(body.get("max_tokens", 0))
        if self.max_model_len is not None and wanted > self.max_model_len:
            return _error(
                400,
                f"This model's maximum context length is {self.max_model_len} tokens. However, "
                f"you requested {wanted} tokens. Please reduce the length of the messages.",
                "BadRequestError",
            )
        return None

    def _draw_fault(self, body: Json) -> str | None:
        if self.poisoned and prompt_key(body["messages"]) in self.poisoned:
            return "http_500"
        draw = self._random.random()
        for kind, share in self.faults.kinds().items():
            if draw < share:
                return kind
            draw -= share
        return None

    async def _fail(self, kind: str, request: web.Request) -> web.StreamResponse:
        if kind == "http_500":
            return _error(500, "EngineCore encountered an issue.", "InternalServerError")
        if kind == "not_json":
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        if kind == "truncated":
            response = web.StreamResponse(headers={"Content-Length": "4000"})
            response.content_type = "application/json"
            await response.prepare(request)
            await response.write(b'{"choices": [{"message": {"content": "half of')
            if request.transport is not None:
                request.transport.close()
            return response
        await asyncio.sleep(3600)
        raise AssertionError("a hang does not end")

    def _reply(self, body: Json) -> Json:
        text = self.answer(body)
        if text is None:
            schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
            text = "ok" if schema is None else json.dumps(minimal_answer(schema))
        message: Json = {"role": "assistant", "content": None, self.answer_field: text}
        return {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": {
                "prompt_tokens": count_tokens(body["messages"]),
                "completion_tokens": len(text.split()),
                "total_tokens": count_tokens(body["messages"]) + len(text.split()),
            },
        }


def _error(status: int, message: str, kind: str) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


def answers_by_prompt(answers: Mapping[str, str]) -> Answer:
    """Returns the answer function of a table from `prompt_key` to text."""
    return lambda body: answers.get(prompt_key(body["messages"]))


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description="OpenAI-compatible stub server")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before an answer")
    parser.add_argument("--spread", type=float, default=0.0, help="seconds added by chance")
    parser.add_argument("--answers", type=Path, help="JSON: prompt key to answer")
    parser.add_argument("--model", default="stub")
    parser.add_argument("--poison", type=Path, help="JSON: prompt keys that always get HTTP 500")
    for name in Faults().kinds():
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of such answers")
    parser.add_argument("--max-images", type=int, help="images of a request at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    answers: dict[str, str] = {}
    if options.answers is not None:
        answers = json.loads(options.answers.read_text(encoding="utf-8"))

    poisoned = frozenset[str]()
    if options.poison is not None:
        poisoned = frozenset(json.loads(options.poison.read_text(encoding="utf-8")))

    async def serve() -> None:
        server = StubServer(
            answer=answers_by_prompt(answers),
            models=(options.model,),
            latency_s=options.latency,
            latency_spread_s=options.spread,
            faults=Faults(
                **{name: getattr(options, name) for name in Faults().kinds()}, seed=options.seed
            ),
            poisoned=poisoned,
            max_images=options.max_images,
            port=options.port,
        )
        async with server:
            await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
