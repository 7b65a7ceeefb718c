"""The client against a real HTTP server in this process."""

import asyncio
from collections.abc import Callable

import pytest

from agents.llm_client import ChatClient, Completion
from agents.preflight import preflight
from knee.errors import InputError, ModelOutputError, ModelUnavailable
from knee.run_config import ModelEndpoint, Sampling
from prompts.render import ChatMessage
from tests.stub_server import Faults, Json, StubServer

ASK = (ChatMessage(role="user", content="grade this"),)
SCHEMA: Json = {
    "type": "object",
    "properties": {"grade": {"enum": [2], "type": "integer"}},
    "required": ["grade"],
    "additionalProperties": False,
}


def endpoint_for(
    base_url: str, *, model: str = "stub", timeout_s: float = 5.0, api_key_env: str | None = None
) -> ModelEndpoint:
    return ModelEndpoint(
        base_url=base_url,
        model=model,
        prompt_id="demo-draft",
        prompt_version=1,
        timeout_s=timeout_s,
        api_key_env=api_key_env,
        licence="Apache-2.0",
    )


class LenientStub(StubServer):
    """Takes every request, however long: a server that would cut the prompt."""

    def _refuse(self, body: Json) -> None:
        return None


async def ask(client: ChatClient, sampling: Sampling | None = None) -> Completion:
    return await client.complete(ASK, SCHEMA, sampling or Sampling())


async def test_complete_returns_text_reason_usage_and_model():
    async with StubServer() as stub, ChatClient(endpoint_for(stub.base_url)) as client:
        completion = await ask(client)
    assert completion.text == '{"grade": 2}'
    assert (completion.finish_reason, completion.model) == ("stop", "stub")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (2, 2)
    assert completion.usage.latency_s > 0


async def test_request_carries_schema_sampling_and_no_unset_seed():
    bodies: list[Json] = []

    def keep(body: Json) -> None:
        bodies.append(body)

    async with StubServer(answer=keep) as stub, ChatClient(endpoint_for(stub.base_url)) as client:
        await ask(client, Sampling(temperature=0.3, max_tokens=77))
    (body,) = bodies
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["response_format"]["json_schema"]["strict"] is True
    assert (body["temperature"], body["max_tokens"]) == (0.3, 77)
    assert "seed" not in body


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_answer_is_read_from_the_reasoning_field_when_content_is_empty(field: str):
    stub = StubServer(answer_field=field)
    async with stub, ChatClient(endpoint_for(stub.base_url)) as client:
        completion = await ask(client)
    assert (completion.text, completion.answer_field) == ('{"grade": 2}', "reasoning")


@pytest.mark.parametrize(
    ("kind", "faults"),
    [
        ("http_500", Faults(http_500=1.0)),
        ("truncated", Faults(truncated=1.0)),
        ("not_json", Faults(not_json=1.0)),
    ],
)
async def test_one_fault_is_retried(kind: str, faults: Faults):
    stub = StubServer(faults=faults)

    async def heal() -> None:
        while not stub.n_requests[kind]:
            await asyncio.sleep(0.01)
        stub.faults = Faults()

    async with stub, ChatClient(endpoint_for(stub.base_url), max_backoff_s=0.05) as client:
        healing = asyncio.create_task(heal())
        completion = await ask(client)
        await healing
    assert completion.text == '{"grade": 2}'
    assert stub.n_requests[kind] >= 1
    assert stub.n_requests["ok"] == 1


async def test_a_hang_ends_with_the_time_out_and_is_retried():
    stub = StubServer(faults=Faults(hang=1.0))
    endpoint = endpoint_for(stub.base_url, timeout_s=0.2)
    async with stub:
        client = ChatClient(
            endpoint.model_copy(update={"base_url": stub.base_url}), max_tries=2, max_backoff_s=0.05
        )
        async with client:
            with pytest.raises(ModelUnavailable, match=r"after 2 tries: no answer within 0.2 s"):
                await ask(client)
    assert stub.n_requests["hang"] == 2


async def test_retries_are_bounded_and_end_as_model_unavailable():
    stub = StubServer(faults=Faults(http_500=1.0))
    async with stub:
        client = ChatClient(endpoint_for(stub.base_url), max_tries=3, max_backoff_s=0.01)
        async with client:
            with pytest.raises(ModelUnavailable, match="HTTP 500"):
                await ask(client)
    assert stub.n_requests["http_500"] == 3


async def test_refused_connection_is_model_unavailable_and_names_the_cause():
    stub = StubServer()
    async with stub:
        url = stub.base_url
    async with ChatClient(endpoint_for(url), max_tries=2, max_backoff_s=0.01) as client:
        with pytest.raises(ModelUnavailable, match=r"refused|Cannot connect|Connect call failed"):
            await ask(client)


async def test_too_long_prompt_is_an_error_of_its_item_and_is_not_retried():
    stub = StubServer(max_model_len=50)
    async with stub, ChatClient(endpoint_for(stub.base_url)) as client:
        with pytest.raises(ModelOutputError) as caught:
            await ask(client, Sampling(max_tokens=64))
    assert caught.value.code == "context_too_long"
    assert stub.n_requests == {"refused": 1}


async def test_wrong_model_is_an_input_error():
    async with StubServer() as stub, ChatClient(endpoint_for(stub.base_url, model="no")) as client:
        with pytest.raises(InputError, match="`no` does not exist"):
            await ask(client)


def test_remote_endpoint_is_refused_unless_allowed():
    endpoint = endpoint_for("http://model.example.org/v1")
    with pytest.raises(InputError, match=r"model\.example\.org.*is not this machine"):
        ChatClient(endpoint)
    ChatClient(endpoint, allow_remote=True)


def test_missing_key_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KNEE_TEST_KEY", raising=False)
    with pytest.raises(InputError, match="KNEE_TEST_KEY"):
        ChatClient(endpoint_for("http://127.0.0.1:9/v1", api_key_env="KNEE_TEST_KEY"))


async def test_a_proxy_in_the_environment_never_sees_local_requests(
    monkeypatch: pytest.MonkeyPatch,
):
    async with StubServer() as proxy, StubServer() as stub:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with ChatClient(endpoint_for(stub.base_url)) as client:
            await ask(client)
    assert stub.n_requests["ok"] == 1
    assert not proxy.n_requests


async def test_find_trouble_asks_for_an_answer_not_for_a_list():
    stub = StubServer(faults=Faults(http_500=1.0))
    async with stub, ChatClient(endpoint_for(stub.base_url)) as client:
        assert "HTTP 500" in (await client.find_trouble() or "")
        stub.faults = Faults()
        assert await client.find_trouble() is None


async def test_preflight_reports_model_context_and_answer_field():
    stub = StubServer(max_model_len=4000, answer_field="reasoning")
    async with stub, ChatClient(endpoint_for(stub.base_url)) as client:
        report = await preflight(client, Sampling(max_tokens=512), ASK)
    assert (report.model, report.max_model_len) == ("stub", 4000)
    assert report.answer_field == "reasoning"
    assert report.longest_prompt_tokens == 2


@pytest.mark.parametrize(
    ("stub", "sampling", "match"),
    [
        (StubServer(models=("a", "b")), Sampling(), r"'stub' is not served.*served: 'a', 'b'"),
        (StubServer(answer=lambda _: "Sure!"), Sampling(), "ignores the JSON schema.*'Sure!'"),
        (StubServer(finish_reason="length"), Sampling(), "did not end within 64 tokens"),
        (StubServer(max_model_len=900), Sampling(max_tokens=900), "900 leaves no room"),
        (StubServer(max_model_len=101), Sampling(max_tokens=100), "does not fit.*101 tokens"),
        (
            LenientStub(max_model_len=101),
            Sampling(max_tokens=100),
            r"has 2 tokens, an answer up to 100, and the context of 'stub' holds 101",
        ),
        (StubServer(faults=Faults(http_500=1.0)), Sampling(), "lists models but does not answer"),
        (StubServer(faults=Faults(not_json=1.0)), Sampling(), "not a chat completion"),
    ],
)
async def test_preflight_finds_what_would_fail_every_item(
    stub: StubServer, sampling: Sampling, match: str
):
    async with stub:
        client = ChatClient(endpoint_for(stub.base_url), max_tries=2, max_backoff_s=0.01)
        async with client:
            with pytest.raises(InputError, match=f"(?s){match}") as caught:
                await preflight(client, sampling, ASK)
    assert caught.value.hint
    assert caught.value.exit_code == 2


async def test_preflight_tells_a_context_too_small_though_the_server_does_not_say_its_size():
    # Refuses what is longer all the same.
    stub = StubServer(max_model_len=101, tells_context=False)
    async with stub, ChatClient(endpoint_for(stub.base_url)) as client:
        with pytest.raises(InputError, match=r"prompt does not fit.*101 tokens") as caught:
            await preflight(client, Sampling(max_tokens=100), ASK)
    assert "max_model_len" in (caught.value.hint or "")


async def test_preflight_tells_a_server_without_chat_completions(
    unused_tcp_port_factory: Callable[[], int],
):
    from aiohttp import web

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "stub"}]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    port = unused_tcp_port_factory()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with ChatClient(endpoint_for(f"http://127.0.0.1:{port}/v1")) as client:
            with pytest.raises(InputError, match=r"chat/completions' answered HTTP 404"):
                await preflight(client, Sampling())
    finally:
        await runner.cleanup()


async def test_preflight_tells_what_speaks_no_http_at_all():
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ChatClient(endpoint_for(f"http://127.0.0.1:{port}/v1")) as client:
        with pytest.raises(InputError, match=rf"no model server answers at .*{port}") as caught:
            await preflight(client, Sampling(), serve_hint="start one")
    assert caught.value.hint == "start one"


async def test_preflight_without_server_names_url_and_says_what_to_do():
    stub = StubServer()
    async with stub:
        url = stub.base_url
    async with ChatClient(endpoint_for(url)) as client:
        with pytest.raises(InputError) as caught:
            await preflight(client, Sampling(), serve_hint="run_pipeline.py serve --config c.toml")
    assert url in caught.value.message
    assert caught.value.hint == "run_pipeline.py serve --config c.toml"


async def test_preflight_tells_a_server_that_speaks_another_protocol(
    unused_tcp_port_factory: Callable[[], int],
):
    from aiohttp import web

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/v1/models", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    port = unused_tcp_port_factory()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with ChatClient(endpoint_for(f"http://127.0.0.1:{port}/v1")) as client:
            with pytest.raises(InputError, match="not an OpenAI-compatible endpoint"):
                await preflight(client, Sampling())
    finally:
        await runner.cleanup()
