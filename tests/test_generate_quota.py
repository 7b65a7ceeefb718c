"""`generate --quota`, end to end over a stub server: what is drafted, kept, and not told."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agents.context import GraphContext
from agents.graph import prepare_task
from agents.scripted_model import ScriptedChatModel
from knee.errors import InputError
from knee.keys import ItemKey
from knee.records import ItemOutcome
from knee.run_config import Sampling
from prompts.registry import load_prompt
from stages.generate import GenerateOptions, generate
from stages.quota_plan import plan_quota
from stages.summary import load_summary
from store.connection import open_store
from store.items import Selection
from store.queries import count_left, newest_run
from store.quota_rows import QuotaChoice, put_choice, quota_progress
from store.reader import StoreReader
from store.writer import StoreWriter
from tests.hand_made_store import make_store, write_settings
from tests.store_records import outcome, run
from tests.stub_server import StubServer

# Rare grades are uneven: the first patient alone has three of them.
READS = {
    "9001": {1: 3, 2: 2, 3: 2, 16: 0},
    "9002": {1: 2, 2: 0, 3: 0, 16: 1},
    "9003": {1: 0, 2: 0, 3: 1, 16: 2},
    "9004": {1: 0, 2: None, 3: 0, 16: 0},
}
QUOTA = "grade>=2:3,grade=0:2"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store before any run."""
    return make_store(tmp_path_factory.mktemp("quota") / "knees.duckdb", READS)


class Setting:
    """A copy of the store, a server that answers the least that the schema allows, and commands."""

    def __init__(self, store: Path, folder: Path, server: StubServer) -> None:
        self.store = folder / "knees.duckdb"
        shutil.copy(store, self.store)
        self.server = server
        self.config = write_settings(folder, server.port)
        self.sent: list[str] = []

    async def generate(self, *quota: str, **more: Any) -> int:  # noqa: ANN401
        options = GenerateOptions(self.store, self.config, quota=quota, quiet=True, **more)
        return await asyncio.to_thread(generate, options)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.store), read_only=True) as con:
            return con.execute(query).fetchall()

    def drafted(self) -> list[tuple[str, int]]:
        return self.sql("SELECT volume_id[:4], question_id FROM outcomes ORDER BY ALL")

    def run(self) -> str:
        with open_store(self.store, read_only=True) as con:
            return newest_run(con) or ""


@pytest.fixture
async def setting(original: Path, tmp_path: Path) -> AsyncIterator[Setting]:
    async with StubServer() as server:
        made = Setting(original, tmp_path, server)

        def answer(body: dict[str, Any]) -> str | None:
            schema = body["response_format"]["json_schema"]["schema"]
            if "state" not in schema["properties"]:  # a draft: the probes ask for a state
                made.sent.append(body["messages"][-1]["content"])
            return None

        server.answer = answer
        yield made


async def test_the_items_of_a_quota_are_drafted_also_after_a_stop_and_tell_nothing_of_it(
    setting: Setting, original: Path
):
    assert await setting.generate(QUOTA, limit=2) == 0
    assert len(setting.drafted()) == 2
    chosen = setting.sql("SELECT volume_id[:4], question_id FROM run_quota_items ORDER BY ALL")
    with duckdb.connect(str(setting.store)) as con:
        # A choice made now would be another one.
        con.execute(
            "UPDATE clinician_grades SET grade = 0 WHERE patient = '9004' AND status = 'read'"
        )
        con.execute("UPDATE clinician_grades SET grade = 3 WHERE patient = '9003'")
    assert await setting.generate() == 0, "without --quota a run keeps the one it had"
    drafted = setting.drafted()
    assert drafted == chosen
    _check_choice(drafted)
    _check_figures(setting)
    assert setting.sql("SELECT count(*) FROM runs") == [(1,)]
    # Neither prompt nor order tells why an item was chosen: both are those of a run of all items.
    assert setting.sent == [_prompt(original, patient, question) for patient, question in drafted]
    assert not any("quota" in text or "grade>=" in text for text in setting.sent)


def _check_choice(drafted: list[tuple[str, int]]) -> None:
    """Two items of grade 0, and three of grade 2 or more of three patients."""
    rare = [patient for patient, question in drafted if (READS[patient][question] or 0) >= 2]
    assert rare == ["9001", "9002", "9003"], "one of each patient, not three of the first"
    assert sum(READS[patient][question] == 0 for patient, question in drafted) == 2


def _check_figures(setting: Setting) -> None:
    assert setting.sql("SELECT count(*) FROM v_item_states WHERE state = 'pending'") == [(10,)]
    summary = load_summary(setting.store, setting.run())
    assert [(q.quota, q.wanted, q.chosen, q.n_drafted) for q in summary.quotas] == [
        ("grade>=2:3", 3, 3, 3),
        ("grade=0:2", 2, 2, 2),
    ]
    assert setting.sql("SELECT provenance['quota'] FROM runs") == [(QUOTA,)]
    ((n_read, n_drafted),) = setting.sql(
        "SELECT sum(n_read), sum(n_drafted) FROM v_selection WHERE feature IN ('bml', 'cartilage')"
    )
    graded = setting.sql("SELECT count(*) FROM outcome_components WHERE status = 'graded'")
    assert n_read == 3 * 11 + 1 * 8, "what is read does not depend on the quota"
    assert [(n_drafted,)] == graded
    page = next(setting.store.parent.rglob("index.html")).read_text(encoding="utf-8")
    assert "Items were chosen by quota" in page
    assert "grade&gt;=2:3" in page


def _prompt(store: Path, patient: str, question: int) -> str:
    chosen = Selection(question_ids=(question,))
    items = [i for i in StoreReader(store).items(chosen) if i.volume_id.startswith(patient)]
    context = GraphContext(
        run_id="none",
        model=ScriptedChatModel(lambda _: ""),
        template=load_prompt("draft", 1),
        sampling=Sampling(),
        max_revisions=0,
    )
    return prepare_task(items[0], context).messages[-1].content


def drafted_keys(choice: QuotaChoice | None) -> set[ItemKey]:
    assert choice is not None
    return set(choice.items)


@pytest.fixture(scope="module")
def writer(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreWriter]:
    """A copy of the store with a run that drafted two items of grade 0."""
    path = tmp_path_factory.mktemp("choices") / "knees.duckdb"
    shutil.copy(original, path)
    with StoreWriter(path) as made:
        made.start_or_resume_run(run("r1"))
        made.bind_volumes("r1")
        first = plan_quota(["grade=0:2"], Selection(), "r1", made)
        assert first is not None
        assert put_choice(made, "r1", first) == 1
        made.put_outcomes("r1", [_outcome(key, made) for key in sorted(first.items)])
        yield made


def _outcome(key: ItemKey, writer: StoreWriter) -> ItemOutcome:
    made = outcome("r1", key.volume_id, key.question_id, grade=0, clinician=0)
    with writer.reading() as con:
        row = con.execute(
            "SELECT findings_id FROM volumes WHERE volume_id = ?", [key.volume_id]
        ).fetchone()
    assert row is not None
    return made.model_copy(update={"findings_id": row[0]})


def test_a_further_quota_counts_what_is_drafted_and_an_earlier_one_is_found_again(
    writer: StoreWriter,
):
    done = writer.finished_keys("r1")
    assert len(done) == 2
    more = plan_quota(["grade=0:4"], Selection(), "r1", writer)
    assert done < drafted_keys(more)
    assert len(drafted_keys(more)) == 4
    assert more is not None
    assert put_choice(writer, "r1", more) == 2
    assert plan_quota([], Selection(), "r1", writer) == more._replace(choice_no=2), "the last one"
    again = plan_quota(["grade = 0 : 2"], Selection(), "r1", writer)
    assert again is not None
    assert (again.choice_no, drafted_keys(again)) == (1, done)
    assert put_choice(writer, "r1", again) == 1, "what is kept is not kept twice"
    with writer.reading() as con:
        assert [(q.choice_no, q.n_drafted) for q in quota_progress(con, "r1")] == [(1, 2), (2, 2)]


def test_none_lifts_the_quotas_of_a_run_and_a_new_run_has_none(writer: StoreWriter):
    assert plan_quota(["none"], Selection(), "r1", writer) is None
    assert plan_quota([], Selection(), None, writer) is None
    with pytest.raises(InputError, match="and other quotas at once"):
        plan_quota(["none", "grade=0:4"], Selection(), "r1", writer)


def test_a_quota_chooses_within_the_selection_and_one_that_nothing_matches_is_told(
    writer: StoreWriter,
):
    some = plan_quota(["grade>=2:9"], Selection(question_ids=(16,), limit=1), None, writer)
    assert drafted_keys(some) == {ItemKey("9003/V00/right/dess", 16)}
    assert some is not None
    assert some.request.questions == "16"
    with pytest.raises(InputError, match="no item that can be drafted matches 'morphology grade"):
        plan_quota(["morphology grade=8:1"], Selection(), None, writer)


def test_chosen_items_are_counted_and_loaded_alone(writer: StoreWriter):
    keys = frozenset({ItemKey("9001/V00/right/dess", 1), ItemKey("9003/V00/right/dess", 16)})
    chosen = Selection(chosen=keys)
    assert [ItemKey(i.volume_id, i.question_id) for i in writer.items(chosen)] == sorted(keys)
    with writer.reading() as con:
        assert count_left(con, "r1", chosen) == 2
        assert count_left(con, "r1", chosen._replace(limit=1)) == 1
        assert count_left(con, "r1", chosen._replace(question_ids=(16,))) == 1
