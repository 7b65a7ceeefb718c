"""What makes a run another run, and what does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.fingerprint import RunIdentity, new_run_id, run_fingerprint
from knee.calibration import Calibration
from knee.records import Control, Grounding, PromptRef, Wording

BASE: dict[str, Any] = {
    "prompts": [
        PromptRef(prompt_id="draft", version=1, sha256="sha256:aa"),
        PromptRef(prompt_id="judge", version=1, sha256="sha256:bb"),
    ],
    "drafter_model": "demo",
    "judge_model": None,
    "sampling": {"temperature": 0.0, "max_tokens": 512},
    "max_revisions": 2,
    "checks": {"schema": 1, "numbers": 1},
    "warn_only": ["region", "numbers"],
    "grounding": Grounding.BLIND,
    "wording": Wording.GUIDED,
    "control": Control.NONE,
    "calibration": None,
    "findings_ids": ["sha256:01", "sha256:02"],
}


def fingerprint_with(changed: dict[str, Any]) -> str:
    """Returns the fingerprint of BASE with some values replaced."""
    return run_fingerprint(RunIdentity(**dict[str, Any]({**BASE, **changed})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompts", [PromptRef(prompt_id="draft", version=1, sha256="sha256:ac")]),
        ("drafter_model", "other"),
        ("judge_model", "demo"),
        ("sampling", {"temperature": 0.1, "max_tokens": 512}),
        ("max_revisions", 3),
        ("checks", {"schema": 1, "numbers": 2}),
        ("warn_only", ["region"]),
        ("grounding", Grounding.LABEL_GIVEN),
        ("wording", Wording.ZERO_SHOT),
        ("control", Control.SHUFFLED_FINDINGS),
        ("calibration", Calibration(name="fitted", rules=())),
        ("findings_ids", ["sha256:01", "sha256:03"]),
        ("judge", {"max_repairs": 1}),
        ("weights", "sha256:07"),
    ],
)
def test_what_decides_outcomes_changes_the_fingerprint(name: str, value: object):
    assert fingerprint_with({name: value}) != fingerprint_with({})


def test_order_and_repeats_do_not_change_the_fingerprint():
    shuffled = {
        "prompts": BASE["prompts"][::-1],
        "sampling": {"max_tokens": 512, "temperature": 0.0},
        "checks": {"numbers": 1, "schema": 1},
        "warn_only": ["numbers", "region", "numbers"],
        "findings_ids": ["sha256:02", "sha256:01", "sha256:02"],
    }
    assert fingerprint_with(shuffled) == fingerprint_with({})
    assert fingerprint_with({}).startswith("sha256:")


def test_run_ids_are_short_unique_and_sort_by_time():
    start = datetime(2026, 11, 23, 9, 30, 5, tzinfo=UTC)
    ids = [new_run_id(start + timedelta(seconds=s)) for s in range(100)]
    assert ids == sorted(ids)
    assert ids[0].startswith("20261123-093005-")
    assert all(len(run_id) == 20 for run_id in ids)
    assert len({new_run_id(start) for _ in range(50)}) > 45


def test_a_judges_settings_change_the_fingerprint_and_no_judge_leaves_it_as_it_was():
    judged = {"judge": {"max_repairs": 1, "versions": {"masking": 1}}}
    other = {"judge": {"max_repairs": 1, "versions": {"masking": 2}}}
    assert fingerprint_with(judged) != fingerprint_with(other)
    assert fingerprint_with({"judge": None}) == fingerprint_with({})
