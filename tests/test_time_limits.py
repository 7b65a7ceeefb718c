"""How long one answer may take."""

import pytest

from agents.llm_client import ChatClient
from agents.time_limits import TimeLimits
from knee.errors import ModelUnavailable
from knee.run_config import ModelEndpoint, Sampling
from prompts.render import ChatMessage
from tests.stub_server import Faults, StubServer

ASK = (ChatMessage(role="user", content="grade this"),)


def measured(seconds: float, tokens: int, n: int = 40) -> TimeLimits:
    limits = TimeLimits()
    for _ in range(n):
        limits.note(seconds, tokens)
    return limits


def test_before_anything_is_measured_the_limit_grows_with_max_tokens():
    assert TimeLimits().seconds(640) == 190
    assert TimeLimits().seconds(4096) == 1054


def test_measured_answers_are_stretched_to_max_tokens():
    assert measured(5.0, 400).seconds(1024) == pytest.approx(10 + 2 * 5 * 2.56)
    # The slowest counts, and an answer as long as allowed is not stretched.
    limits = measured(1.0, 640)
    for _ in range(16):
        limits.note(12.0, 640)
    assert limits.seconds(640) == 34


def test_a_measured_limit_is_never_longer_than_the_unmeasured_one():
    assert measured(60.0, 2).seconds(640) == 190
    assert measured(60.0, 0).seconds(640) == 190


def test_few_answers_settle_nothing():
    assert measured(0.1, 600, n=31).seconds(640) == 190
    assert measured(0.1, 600, n=32).seconds(640) < 11


def test_a_time_out_doubles_the_next_limit_twice():
    limits = TimeLimits()
    assert [limits.seconds(40, n) for n in range(4)] == [40, 80, 160, 160]


def test_the_settings_own_limit_stays_as_it_is():
    limits = TimeLimits(7)
    for _ in range(40):
        limits.note(60, 10)
    assert [limits.seconds(4096, n) for n in range(3)] == [7, 7, 7]


async def test_a_client_sizes_its_limit_and_doubles_it_after_a_time_out(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("agents.time_limits.GRACE_S", 0.05)
    monkeypatch.setattr("agents.time_limits.SLOWEST_TOKENS_PER_S", 640.0)
    async with StubServer(faults=Faults(hang=1.0)) as stub:
        endpoint = ModelEndpoint(
            base_url=stub.base_url,
            model="stub",
            prompt_id="demo-draft",
            prompt_version=1,
            licence="none",
        )
        async with ChatClient(endpoint, max_tries=3, max_backoff_s=0.01) as client:
            # 0.05 s + 32 / 640 s, then twice and four times that.
            with pytest.raises(ModelUnavailable, match=r"after 3 tries: no answer within 0.4 s"):
                await client.complete(ASK, None, Sampling(max_tokens=32))
    assert stub.n_requests["hang"] == 3
