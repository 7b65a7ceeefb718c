"""Prefix-cache counters of a server, in vLLM's text form."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agents.server_metrics import (
    FirstTokenTimes,
    PrefixCacheCounts,
    parse_first_token,
    parse_prefix_cache,
    read_prefix_cache,
)
from stages.prefix_cache import cache_line
from tests.stub_server import StubServer

# As vLLM 0.32 writes it.
TEXT = """\
# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="demo"} 12000.0
vllm:prefix_cache_queries_created{engine="0",model_name="demo"} 1.76e+09
vllm:prefix_cache_hits_total{engine="0",model_name="demo"} 9000.0
vllm:prefix_cache_hits_total{engine="1",model_name="demo"} 600.0
vllm:prefix_cache_queries_total{engine="1",model_name="demo"} 1e3
vllm:prefix_cache_hits_total{engine="0",model_name="judge"} 7.0
vllm:external_prefix_cache_queries_total{engine="0",model_name="demo"} 5.0
"""


def test_engines_of_the_model_are_added_up_and_other_models_left_out():
    assert parse_prefix_cache(TEXT, "demo") == PrefixCacheCounts(13_000, 9_600)
    assert parse_prefix_cache(TEXT, "other") is None
    assert parse_prefix_cache("", "demo") is None
    assert parse_prefix_cache(TEXT.replace("hits_total", "hits"), "demo") == (13_000, 9_600)


def test_a_runs_figure_is_a_difference():
    before = PrefixCacheCounts(100, 40)
    assert cache_line(before, PrefixCacheCounts(300, 190)) == (
        "prefix cache: 75.0 % of 200 prompt tokens were computed already (150/200)"
    )
    assert cache_line(before, before) is None, "nothing was asked"
    assert cache_line(before, PrefixCacheCounts(50, 10)) is None, "the server started anew"
    assert PrefixCacheCounts(0, 0).hit_rate is None


async def test_a_server_without_metrics_or_none_at_all_gives_no_figure():
    async with StubServer() as server:
        found = await asyncio.to_thread(read_prefix_cache, server.base_url, "stub")
        address = server.base_url
    assert found is None
    assert read_prefix_cache(address, "stub") is None


@pytest.mark.parametrize("body", [TEXT.encode(), b"\xff" + TEXT.encode()])
def test_the_counters_are_read_beside_the_api(body: bytes):
    asked: list[str] = []

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=server.handle_request, daemon=True).start()
    found = read_prefix_cache(f"http://127.0.0.1:{server.server_port}/v1", "demo")
    server.server_close()
    assert found == (13_000, 9_600)
    assert asked == ["/metrics"]


def test_the_time_to_a_first_token_is_a_mean_over_what_came_since():
    text = (
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="demo"} 3.0\n'
        'vllm:time_to_first_token_seconds_count{engine="0",model_name="demo"} 10.0\n'
        'vllm:time_to_first_token_seconds_sum{engine="0",model_name="demo"} 5.0\n'
        'vllm:time_to_first_token_seconds_count{engine="0",model_name="judge"} 99.0\n'
    )
    found = parse_first_token(text, "demo")
    assert found == FirstTokenTimes(5.0, 10)
    assert found is not None
    assert FirstTokenTimes(8.0, 14).mean_since(found) == 0.75
    assert found.mean_since(found) is None, "nothing was asked"
    assert FirstTokenTimes(0.5, 1).mean_since(found) is None, "the server started anew"
    assert parse_first_token("", "demo") is None
