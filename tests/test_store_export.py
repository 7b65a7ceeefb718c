"""Which rows an export has, what it refuses, and what its rows weigh."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knee.errors import InputError
from store.export import ExportRequest, open_export
from store.export_flow import SMOOTHING, stages_by
from store.writer import StoreWriter
from tests.export_cases import NEW, OLD, PATIENTS, ROWS, bare_question, make_store, volume_id
from tests.store_records import volume

PATIENTS_ONLY = "NOT synthetic"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("export") / "knees.duckdb")


def request(where: str | None = PATIENTS_ONLY, **changes: object) -> ExportRequest:
    return ExportRequest(where=where)._replace(**changes)


def rows_of(store: Path, wanted: ExportRequest) -> list[dict[str, Any]]:
    """The rows of all splits together; each split comes in order."""
    with open_export(store, wanted, bare_question) as rows:
        found = [row for _, table in rows.tables() for row in table.to_pylist()]
    return sorted(found, key=lambda row: (row["volume_id"], row["question_id"], row["run_id"]))


def keys(rows: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    return [(row["patient"], row["question_id"], row["run_id"]) for row in rows]


@pytest.fixture
def changed(store: Path) -> Iterator[StoreWriter]:
    """A writer for one test; what is known of 9104002's volume is put back behind it."""
    with StoreWriter(store) as writer:
        yield writer
        with writer.transaction() as con:
            con.execute(
                "UPDATE volumes SET split = 'train', licence = 'CC0-1.0' WHERE patient = '9104002'"
            )
            con.execute("DELETE FROM patient_splits")


def test_each_item_comes_once_from_the_newest_blind_production_run(store: Path):
    rows = rows_of(store, request())
    assert keys(rows) == ROWS
    first = rows[0]
    assert first["grades"]["size"] == first["clinician_grades"]["size"] == 1
    assert (first["box"]["i1"], first["slice_axis"], first["question"]) == (10, 2, "What is there?")
    assert (first["readprj"], first["author"]) == (["15"], "model")
    assert "cohort_root" not in first


def test_label_given_rows_come_only_when_asked_for_and_behind_blind_ones(store: Path):
    rows = rows_of(store, request(label_given=True))
    assert keys(rows) == [*ROWS[:1], ("9104001", 2, "given"), *ROWS[1:]]


def test_named_runs_give_all_their_rows_and_a_control_is_refused(store: Path):
    rows = rows_of(store, request(run_ids=(OLD, NEW)))
    assert keys(rows) == [("9104001", 1, OLD), *ROWS]
    for run_id, words in (("lost", "no run 'lost'"), ("control", "is the negative control")):
        with pytest.raises(InputError, match=words):
            rows_of(store, request(run_ids=(run_id,)))


def test_phantoms_must_be_named_and_come_alone(store: Path):
    with pytest.raises(InputError, match="1 of 7 selected rows are synthetic") as error:
        rows_of(store, request(None))
    assert "--only-synthetic" in str(error.value.hint)
    with open_export(store, request(None, synthetic=True), bare_question) as rows:
        assert (rows.total, rows.splits) == (1, {"unassigned": 1})


def test_patients_without_a_split_or_in_two_are_refused(store: Path, changed: StoreWriter):
    with changed.transaction() as con:
        con.execute("UPDATE volumes SET split = NULL WHERE patient = '9104002'")
    with pytest.raises(InputError, match=r"1 selected patient\(s\) have no split: '9104002'"):
        rows_of(store, request())
    with changed.transaction() as con:
        con.execute("UPDATE volumes SET split = 'train' WHERE patient = '9104002'")
        con.execute(
            "INSERT INTO patient_splits "
            "VALUES ('9104002', 'test', 'hashed', 1, NULL, TIMESTAMP '2026-01-01')"
        )
    with pytest.raises(InputError, match=r"'9104002' in \['test', 'train'\]"):
        rows_of(store, request())
    assert len(rows_of(store, request("NOT synthetic AND patient <> '9104002'"))) == 4


def test_several_licences_need_all_of_them_named(store: Path, changed: StoreWriter):
    changed.put_volume(
        volume("9104002", synthetic=False).model_copy(update={"licence": None, "split": "train"})
    )
    with pytest.raises(InputError, match=r"2 values of licence: \['CC0-1.0', 'not known'\]"):
        rows_of(store, request())
    named = ("CC0-1.0", "not known", "Apache-2.0")
    assert len(rows_of(store, request(licences=named))) == 6
    with pytest.raises(InputError, match="licence 'not known' are selected, which is not named"):
        rows_of(store, request(licences=("CC0-1.0", "Apache-2.0")))
    with pytest.raises(InputError, match="no selected row has the licence 'MIT'"):
        rows_of(store, request(licences=(*named, "MIT")))


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("nope = 1", "nope"),
        ("feature =", "syntax error"),
        ("false", "no accepted quintuple"),
        ("  ", "is empty"),
        ("true); DROP TABLE runs; SELECT (1", "3 statements"),
        ("true) UNION ALL SELECT (1", "more than a condition"),
        ("true) ORDER BY (1", "more than a condition"),
        ("patient = $patient", "more than a condition"),
        ("random() < 0.5", "calls 'random'"),
        ("current_date > '2000-01-01'", "calls 'current_date'"),
        ("question_id IN (SELECT 1 FROM runs USING SAMPLE 1)", "draws a sample"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 0", "disabled by configuration"),
        ("(SELECT count(*) FROM read_blob('kne' || 'es.duckdb')) > 0", "not even the store's own"),
        ("(SELECT count(*) FROM '/etc/passwd') > 0", "does not exist|disabled"),
    ],
)
def test_a_condition_is_one_that_reads_and_never_changes(store: Path, where: str, words: str):
    with pytest.raises(InputError, match=words):
        rows_of(store, request(where))


def test_without_reference_grades_nothing_is_read_or_chosen_by_them(store: Path):
    (first, *_) = rows_of(store, request(reference_grades=False))
    gone = {"steps", "grades", "clinician_grades", "readprj", "selection_weight", "grade_changed"}
    assert not gone & first.keys()
    assert first["steps_sha256"].startswith("sha256:")
    for where, words in (
        ("grades.size = 1", "grades"),
        ("steps[1].text LIKE '%1%'", "steps"),
        ("question_id IN (SELECT question_id FROM clinician_grades)", "looks into other tables"),
    ):
        with pytest.raises(InputError, match=words):
            rows_of(store, request(where, reference_grades=False))


def test_the_flow_counts_everything_that_was_lost(store: Path):
    with open_export(store, request("NOT synthetic AND question_id = 1"), bare_question) as rows:
        (total,) = stages_by(rows.con)
        by_question = {s.group[0]: s.counts for s in stages_by(rows.con, "question_id")}
        by_project = {s.group[0]: s.counts[1] for s in stages_by(rows.con, "readprj")}
    n_all = len(PATIENTS) * 118
    # Questions 1, 2 and 16 were read: 3 + 3 + 2 components a knee; all have box and evidence.
    assert total.counts == (n_all, 32, 32, 32, 4 * 3 + 2 * 2 + 3, 4 * 3 + 2 + 3, 4 * 3)
    assert by_question["1"] == (12, 12, 12, 12, 12, 12, 12)
    assert by_question["16"] == (8, 8, 8, 8, 4, 2, 0)
    assert by_project == {"15": 32, "none": 0}


def test_a_weight_is_the_smoothed_inverse_of_acceptance(store: Path):
    weights = {
        (r["patient"], r["question_id"]): r["selection_weight"] for r in rows_of(store, request())
    }
    # BML size: 7 read at grade 1, of which 4 accepted, 1 at grade 2, accepted; 8 and 5 in all.
    overall = 5 / 8
    common = (7 + SMOOTHING) / (4 + SMOOTHING * overall)
    rare = (1 + SMOOTHING) / (1 + SMOOTHING * overall)
    cartilage = 4 / 1
    mean = (4 * common + rare + cartilage) / 6
    assert weights["9104001", 1] == pytest.approx(common / mean, abs=1e-5)
    assert weights["9104002", 2] == pytest.approx(rare / mean, abs=1e-5)
    assert weights["9104001", 16] == pytest.approx(cartilage / mean, abs=1e-5)
    assert sum(weights.values()) / 6 == pytest.approx(1, abs=1e-5)
    part = rows_of(store, request(f"volume_id = '{volume_id('9104002')}'"))
    assert [r["selection_weight"] for r in part] == [weights["9104002", 1], weights["9104002", 2]]
