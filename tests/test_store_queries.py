from pathlib import Path

import pytest

from knee.answers import StepName
from knee.errors import InputError
from knee.findings import EvidenceLevel
from knee.keys import ItemKey
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from knee.records import Control, ItemState, RunKind
from store.connection import open_store
from store.items import Selection, load_items, sagittal_axis, settled_volumes
from store.loading import outcome_examples
from store.queries import (
    Acceptance,
    acceptance,
    acceptance_by_clinician_grade,
    acceptance_by_feature,
    code_counts,
    count_left,
    coverage,
    current_findings_ids,
    find_run,
    finished_keys,
    item_states,
    newest_run,
    require_run,
    run_cost,
    selection_states,
    state_table,
)
from store.writer import StoreWriter
from tests.store_records import clinician_grades, finding, findings, outcome, run, volume

V1, V2 = "9001/V00/right/dess", "9002/V03/right/dess"
READ = (1, 16, 30)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two knees; questions 1, 2, 16, 30 have a region, 30 no evidence, 2 no clinician's grade."""
    path = tmp_path_factory.mktemp("queries") / "knees.duckdb"
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        for record in (volume("9001"), volume("9002", visit="V03")):
            writer.put_volume(record)
            writer.put_findings(findings(record.volume_id))
            grade = 0 if record.patient == "9001" else 2
            writer.put_clinician_grades(clinician_grades(record, READ, grade=grade))
        broken = volume("9003").model_copy(update={"status": "failed", "reason": "no labels"})
        writer.put_volume(broken)
        writer.start_or_resume_run(run())
        writer.bind_volumes("r1")
        writer.put_outcomes(
            "r1",
            [
                outcome("r1", V1, 1, grade=0, clinician=0),
                outcome("r1", V2, 1, state=ItemState.DISAGREES, grade=1, clinician=2),
                outcome("r1", V2, 16, grade=2, clinician=2),
            ],
        )
        writer.start_or_resume_run(run("c1", kind=RunKind.CONTROL))
        writer.bind_volumes("c1", [V1])
        # A shuffled control: drafted from the other knee's findings.
        swapped = outcome("c1", V1, 1, grade=0, clinician=0)
        swapped = swapped.model_copy(update={"findings_id": findings(V2).findings_id})
        writer.put_outcomes("c1", [swapped])
    return path


def test_items_join_findings_grades_and_volume_in_the_order_of_their_keys(store: Path):
    with open_store(store, read_only=True) as con:
        items = list(load_items(con, Selection()))
    assert [(i.volume_id, i.question_id) for i in items] == [(V1, 1), (V1, 16), (V2, 1), (V2, 16)]
    item = items[2]
    assert item.finding == findings(V2).findings[0]
    assert list(item.clinician) == clinician_grades(volume("9002", visit="V03"), (1,), grade=2)
    assert (item.side, item.visit, item.sequence) == ("right", "V03", "dess")
    assert (item.slice_axis, item.shape, item.synthetic) == (2, (160, 384, 90), True)
    assert item.findings_id == findings(V2).findings_id
    assert item.starting_state is ItemState.PENDING


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(visit="V03"), [(V2, 1), (V2, 16)]),
        (Selection(question_ids=(2, 16)), [(V1, 16), (V2, 16)]),
        (Selection(limit=3), [(V1, 1), (V1, 16), (V2, 1)]),
        (Selection(limit=0), []),
        (Selection(volume_ids=(V2, "9003/V00/right/dess"), limit=1), [(V2, 1)]),
        (Selection(volume_ids=(V1,), pending_only=False), [(V1, 1), (V1, 2), (V1, 16), (V1, 30)]),
        (Selection(visit="V99"), []),
    ],
)
def test_a_selection_chooses_items(store: Path, selection: Selection, keys: list[tuple[str, int]]):
    with open_store(store, read_only=True) as con:
        items = list(load_items(con, selection))
    assert [(i.volume_id, i.question_id) for i in items] == keys


def test_the_writer_leaves_out_what_a_run_has_finished(store: Path):
    with StoreWriter(store) as writer:
        left = [(i.volume_id, i.question_id) for i in writer.items(Selection(), run_id="r1")]
        assert left == [(V1, 16)]
        # The limit belongs to the selection: asking for the same two again drafts nothing new.
        assert len(list(writer.items(Selection(limit=2), run_id="r1", chunk=1))) == 1
        assert list(writer.items(Selection(limit=1), run_id="r1")) == []
        with writer.reading() as con:
            assert count_left(con, "r1", Selection()) == 1
            assert count_left(con, "r1", Selection(limit=1)) == 0
            assert count_left(con, "r1", Selection(question_ids=(1,))) == 0
            assert finished_keys(con, "r1") == {ItemKey(V1, 1), ItemKey(V2, 1), ItemKey(V2, 16)}


def test_volumes_of_which_nothing_is_left_are_passed_over_unless_grades_came(tmp_path: Path):
    path = tmp_path / "knees.duckdb"
    third = "9003/V00/right/dess"
    with StoreWriter(path, create=True) as writer:
        writer.put_catalogue()
        for patient in ("9001", "9002", "9003"):
            record = volume(patient)
            writer.put_volume(record)
            writer.put_findings(findings(record.volume_id))
            writer.put_clinician_grades(clinician_grades(record, (1, 16)))
        writer.start_or_resume_run(run())
        writer.bind_volumes("r1")
        done = [(patient, q) for patient in ("9001", "9002") for q in (1, 16)]
        writer.put_outcomes("r1", [outcome("r1", f"{p}/V00/right/dess", q) for p, q in done])
        with writer.reading() as con:
            settled = settled_volumes(con, "r1", Selection())
            assert settled == {"9001/V00/right/dess": 2, "9002/V00/right/dess": 2}
            some = Selection(question_ids=(1,), chosen=frozenset({ItemKey(third, 1)}))
            assert settled_volumes(con, "r1", some) == {}

        def left(limit: int | None = None, chunk: int = 16) -> list[tuple[str, int]]:
            items = writer.items(Selection(limit=limit), run_id="r1", chunk=chunk)
            return [(item.volume_id, item.question_id) for item in items]

        assert left() == [(third, 1), (third, 16)]
        assert left(5, 1) == [(third, 1)]
        assert left(4, 1) == left(3, 1) == left(4) == []
        # A table that was loaded since the start may make more of a finished volume pending.
        writer.put_clinician_grades(clinician_grades(volume("9001"), (2,)))
        with writer.reading() as con:
            assert settled_volumes(con, "r1", Selection()) == {"9002/V00/right/dess": 2}
        assert left() == [("9001/V00/right/dess", 2), (third, 1), (third, 16)]


def test_states_cover_all_69_questions_of_the_runs_volumes(store: Path):
    with open_store(store, read_only=True) as con:
        states = dict(item_states(con, "r1"))
        assert len(states) == 2 * 69
        assert {
            key: state for key, state in states.items() if state is not ItemState.NO_REGION
        } == {
            ItemKey(V1, 1): ItemState.ACCEPTED,
            ItemKey(V1, 2): ItemState.UNLABELLED,
            ItemKey(V1, 16): ItemState.PENDING,
            ItemKey(V1, 30): ItemState.NO_EVIDENCE,
            ItemKey(V2, 1): ItemState.DISAGREES,
            ItemKey(V2, 2): ItemState.UNLABELLED,
            ItemKey(V2, 16): ItemState.ACCEPTED,
            ItemKey(V2, 30): ItemState.NO_EVIDENCE,
        }
        table = state_table(con, "r1")
        assert list(table) == list(ItemState)
        assert sum(table.values()) == 138
        assert table[ItemState.REJECTED] == 0
        share = coverage(con, "r1")
        assert (share.drafted, share.all, share.share) == (3, 138, 3 / 138)


def test_sql_and_python_give_the_same_starting_states(store: Path):
    with open_store(store, read_only=True) as con:
        items = list(load_items(con, Selection(pending_only=False)))
        states = selection_states(con, Selection())
    for state in (ItemState.PENDING, ItemState.UNLABELLED, ItemState.NO_EVIDENCE):
        assert states[state] == sum(item.starting_state is state for item in items) > 0
    assert states[ItemState.NO_REGION] == 138 - len(items)


def test_acceptance_comes_with_its_counts(store: Path):
    with open_store(store, read_only=True) as con:
        assert acceptance(con, "r1") == [
            Acceptance("all", 2, 0, 1, 0),
            Acceptance("grade 0", 1, 0, 0, 0),
            Acceptance("grade >= 1", 1, 0, 1, 0),
        ]
        assert [row.share for row in acceptance(con, "r1")] == [2 / 3, 1.0, 0.5]
        assert acceptance_by_feature(con, "r1") == [
            Acceptance("bml", 1, 0, 1, 0),
            Acceptance("cartilage", 1, 0, 0, 0),
        ]
        rows = acceptance_by_clinician_grade(con, "r1")
        assert [(r.feature, r.component, r.clinician_grade, r.items.accepted) for r in rows] == [
            (Feature.BML, Component.SIZE, 0, 1),
            (Feature.BML, Component.SIZE, 2, 0),
            (Feature.BML, Component.NUMBER, 0, 1),
            (Feature.BML, Component.NUMBER, 2, 0),
            (Feature.BML, Component.PERCENT_BML, 0, 1),
            (Feature.BML, Component.PERCENT_BML, 2, 0),
            (Feature.CARTILAGE, Component.SIZE, 2, 1),
            (Feature.CARTILAGE, Component.FULL_THICKNESS, 2, 1),
        ]
        assert rows[1].items == Acceptance("grade 2", 0, 0, 1, 0)
        assert acceptance(con, "none")[0].share is None


def test_reasons_and_cost_of_a_run(store: Path):
    with open_store(store, read_only=True) as con:
        assert [(*row,) for row in code_counts(con, "r1")] == [
            (ItemState.DISAGREES, "number_not_in_findings", 1)
        ]
        cost = run_cost(con, "r1")
        assert (cost.attempts, cost.prompt_tokens, cost.completion_tokens) == (6, 4200, 1260)
        assert (cost.median_latency_s, cost.elapsed_s) == (1.25, None)
        assert run_cost(con, "none").median_latency_s is None


def test_runs_are_found_by_identity(store: Path):
    with open_store(store, read_only=True) as con:
        assert newest_run(con) == "c1"
        assert newest_run(con, RunKind.PRODUCTION) == "r1"
        assert newest_run(con, RunKind.TRIAL) is None
        assert find_run(con, run().fingerprint, RunKind.PRODUCTION, Control.NONE) == "r1"
        assert find_run(con, run().fingerprint, RunKind.TRIAL, Control.NONE) is None
        assert len(current_findings_ids(con)) == 2
        require_run(con, "r1")
        with pytest.raises(InputError, match="no run 'r7'") as error:
            require_run(con, "r7")
        assert error.value.hint == "runs, newest first: c1, r1"


def test_a_shuffled_control_is_compared_with_its_own_knee_and_shows_no_box(store: Path):
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT box IS NULL, clinician_grades['size'], control FROM v_quintuples "
            "WHERE run_id = 'c1'"
        ).fetchall()
        assert rows == [(True, 0, "shuffled-findings")]
        assert outcome_examples(con, "c1", 5)[0].box is None


def test_examples_are_spread_over_features_and_can_be_drawn(store: Path):
    with open_store(store, read_only=True) as con:
        examples = outcome_examples(con, "r1", 5)
        assert [(e.feature, e.outcome.volume_id) for e in examples] == [
            (Feature.BML, V1),
            (Feature.CARTILAGE, V2),
        ]
        assert len(outcome_examples(con, "r1", 1)) == 1
    example = examples[1]
    assert example.volume == volume("9002", visit="V03")
    assert example.box == findings(V2).findings[2].box
    assert (example.shape, example.slice_axis) == ((160, 384, 90), 2)
    assert example.affine == findings(V2).affine
    assert example.last.draft is not None
    assert example.last.draft.step(StepName.LOCATE) is not None


def test_selection_goes_from_all_to_accepted_without_growing(store: Path):
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT component, clinician_grade, sum(n_all), sum(n_read), sum(n_boxed), "
            "sum(n_evidence), sum(n_drafted), sum(n_accepted) FROM v_selection "
            "WHERE run_id = 'r1' AND feature = 'bml' AND component = 'size' "
            "GROUP BY ALL ORDER BY clinician_grade NULLS FIRST"
        ).fetchall()
        assert rows == [
            ("size", None, 28, 0, 0, 0, 0, 0),
            ("size", 0, 1, 1, 1, 1, 1, 1),
            ("size", 2, 1, 1, 1, 1, 1, 0),
        ]
        growing = con.execute(
            "SELECT count(*) FROM v_selection WHERE n_read > n_all OR n_boxed > n_read "
            "OR n_evidence > n_boxed OR n_drafted > n_evidence OR n_accepted > n_drafted"
        ).fetchall()
        assert growing == [(0,)]
        total = con.execute("SELECT sum(n_all)::INT FROM v_selection WHERE run_id = 'r1'")
        n_components = sum(len(question.components) for question in QUESTIONS.values())
        assert total.fetchall() == [(2 * n_components,)]


def test_the_catalogue_is_all_69_questions_with_their_scales(store: Path):
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT question_id, region, list(component ORDER BY position) FROM questions "
            "JOIN components USING (question_id) GROUP BY ALL ORDER BY question_id"
        ).fetchall()
        edges = con.execute(
            "SELECT grades, wording[1], rule_edges FROM components "
            "WHERE question_id = 1 AND component = 'size'"
        ).fetchall()
    assert rows == [
        (q.question_id, q.region, [c.value for c in q.components]) for q in QUESTIONS.values()
    ]
    assert edges == [([0, 1, 2, 3], "none", [33.0, 66.0])]


def test_the_sagittal_axis_follows_from_the_orientation():
    assert [sagittal_axis(codes) for codes in ("PIR", "LAS", "ARS")] == [2, 0, 1]


def test_what_only_an_image_shows_is_no_evidence_for_a_text_run(tmp_path: Path):
    """Question 1 is measured, 2 weak, 16 in the image only, 30 has nothing; SQL as Python."""
    path, record, ids = tmp_path / "levels.duckdb", volume("9001"), (1, 2, 16, 30)
    made = findings(record.volume_id).model_copy(
        update={
            "findings": tuple(
                finding(question, evidence=level)
                for question, level in zip(ids, EvidenceLevel, strict=True)
            )
        }
    )
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        writer.put_volume(record)
        writer.put_findings(made)
        writer.put_clinician_grades(clinician_grades(record, ids))
    with open_store(path, read_only=True) as con:
        items = list(load_items(con, Selection(pending_only=False)))
        states = selection_states(con, Selection())
    assert [item.starting_state for item in items] == [
        ItemState.PENDING,
        ItemState.PENDING,
        ItemState.NO_EVIDENCE,
        ItemState.NO_EVIDENCE,
    ]
    assert (states[ItemState.PENDING], states[ItemState.NO_EVIDENCE]) == (2, 2)
