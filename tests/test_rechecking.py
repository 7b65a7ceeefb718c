"""One stored attempt, checked again: what gets a new verdict and what keeps its earlier one."""

import asyncio

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.records import ItemState
from knee.run_config import Sampling
from knee.verdict import Recheck, Verdict
from prompts.registry import load_prompt
from stages.recheck_plan import RecheckPlan
from stages.rechecking import UNREVISED, Stored, recheck_item
from tests.image_items import image_item
from tests.store_records import outcome, run


def checked_again(state: ItemState) -> Verdict | str:
    """Rechecks an item that ended in `state` on a draft that no check lets pass."""
    recheck = Recheck(
        recheck_id="x1",
        run_id="r1",
        fingerprint="sha256:f",
        checks={},
        warn_only=(),
        judge_model=None,
    )
    plan = RecheckPlan(run("r1"), None, None, None, recheck)
    template = load_prompt("draft", 1)
    context = GraphContext("r1", ScriptedChatModel(lambda _: ""), template, Sampling(), 0)
    task = prepare_task(image_item(), context)
    drafted = outcome("r1", task.item.volume_id, task.item.question_id)
    attempt = drafted.attempts[-1].model_copy(update={"text": "no draft"})
    return asyncio.run(recheck_item(Stored(task, attempt, state, (), None), plan, None))


def test_what_a_server_left_unrevised_is_not_rejected():
    assert checked_again(ItemState.FAILED) == UNREVISED


def test_what_was_drafted_to_its_end_is():
    verdict = checked_again(ItemState.ACCEPTED)
    assert isinstance(verdict, Verdict)
    assert verdict.state is ItemState.REJECTED
