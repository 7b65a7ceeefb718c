"""`bench build` on stores made by hand: what is in a bench, and what never is."""

import json
import shutil
from pathlib import Path

import pytest

from eval.bench_files import CONTENT_FILES, Bench, read_bench
from eval.bench_records import BenchItem, BenchPart
from eval.mean_boxes import SidedBox, grid_of, mean_boxes
from knee.errors import BenchError, InputError
from knee.grades import ClinicianGrade, GradeStatus
from knee.moaks import Component
from knee.questions import QUESTIONS
from run_pipeline import main
from stages.bench_build import NO_REGION, VOLUME_FAILED, BenchOptions, build
from store.connection import open_store
from store.writer import StoreWriter
from tests import store_records as records

BML, CARTILAGE, BURSA = 1, 16, 63


def read(patient: str, question: int, grade: int, *, visit: str = "V00") -> list[ClinicianGrade]:
    volume = records.volume(patient, visit=visit)
    return records.clinician_grades(volume, (question,), grade=grade)


def several(
    grade: ClinicianGrade,
    given: tuple[int | None, ...],
    status: GradeStatus,
    policy: str = "agree_or_conflict",
) -> ClinicianGrade:
    """The same component with several reads; None is a prosthesis."""
    n = len(given)
    return grade.model_copy(
        update={
            "status": status,
            "grade": given[0] if status is GradeStatus.READ else None,
            "raw": ("x",) * n,
            "lines": tuple(range(n)),
            "readprj": tuple(f"{22 - number}" for number in range(n)),
            "version": ("1",) * n,
            "policy": policy,
            "read_files": ("a",) * n,
            "read_status": tuple(
                GradeStatus.PROSTHESIS if one is None else GradeStatus.READ for one in given
            ),
            "read_grades": given,
            "taken": (True,) * n,
        }
    )


def put(
    writer: StoreWriter,
    patient: str,
    split: str,
    grades: list[ClinicianGrade],
    *,
    questions: tuple[int, ...] = (BML, CARTILAGE),
    synthetic: bool = False,
    visit: str = "V00",
) -> None:
    volume = records.volume(patient, synthetic=synthetic, visit=visit)
    writer.put_volume(volume.model_copy(update={"split": split}))
    if questions:
        writer.put_findings(records.findings(volume.volume_id, questions))
    writer.put_clinician_grades(grades)


@pytest.fixture
def store(first_store: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(first_store, tmp_path / "knees.duckdb"))


@pytest.fixture(scope="module")
def first_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test patients (one volume failed), two training patients, one for validation."""
    path = tmp_path_factory.mktemp("store") / "knees.duckdb"
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        size, depth = read("t1", CARTILAGE, 1)
        put(
            writer,
            "t1",
            "test",
            [
                *read("t1", BML, 2),
                size,
                several(depth, (0, 1, 0), GradeStatus.CONFLICT),
                *read("t1", BURSA, 0),
            ],
        )
        failed = records.volume("t2", synthetic=False)
        writer.put_volume(
            failed.model_copy(update={"split": "test", "status": "failed", "reason": "no file"})
        )
        writer.put_clinician_grades(read("t2", CARTILAGE, 3))
        put(writer, "a1", "train", [*read("a1", BML, 1), *read("a1", CARTILAGE, 2)])
        put(writer, "a2", "train", read("a2", CARTILAGE, 2))
        put(writer, "v1", "val", read("v1", CARTILAGE, 3))
        run_id, _ = writer.start_or_resume_run(records.run())
        writer.bind_volumes(run_id)
        writer.put_outcomes(
            run_id, [records.outcome(run_id, "t1/V00/right/dess", BML, grade=2, clinician=2)]
        )
    return path


def built(store: Path, name: str = "bench", seed: int = 0) -> Bench:
    assert build(BenchOptions(store=store, out=store.parent / name, seed=seed)) == 0
    return read_bench(store.parent / name)


def items_of(bench: Bench) -> dict[tuple[str, int], BenchItem]:
    return {(item.volume_id.partition("/")[0], item.question_id): item for item in bench.items()}


def test_every_read_of_test_patients_is_an_item_and_nothing_else(store: Path):
    bench = built(store)
    items = items_of(bench)
    assert set(items) == {("t1", BML), ("t1", CARTILAGE), ("t1", BURSA), ("t2", CARTILAGE)}
    bml = items["t1", BML]
    assert [(c.component, c.grade, c.accepted) for c in bml.components] == [
        (component, 2, (2,)) for component in QUESTIONS[BML].components
    ]
    assert bml.box == records.finding(BML).box
    assert bml.box_source == "partition"
    assert {c.rule_grade for c in bml.components} == {1}
    assert bench.manifest.n_components == {"all": 7, "balanced": 7, "ambiguous": 1}
    assert (bench.manifest.n_items, bench.manifest.n_patients) == (4, 2)
    assert bench.manifest.definitions == ("subregion@1",)
    assert not bench.manifest.synthetic


def test_a_conflict_of_grades_is_ambiguous_and_accepts_each_of_them(store: Path):
    size, depth = items_of(built(store))["t1", CARTILAGE].components
    assert size.grade == 1
    assert size.parts == (BenchPart.BALANCED,)
    assert (depth.grade, depth.accepted, depth.parts) == (None, (0, 1), (BenchPart.AMBIGUOUS,))
    assert depth.readprj == ("20", "21", "22")


def test_items_without_box_or_description_are_in_the_bench_with_their_reason(store: Path):
    bench = built(store)
    items = items_of(bench)
    assert items["t1", BURSA].box is None
    assert items["t1", BURSA].box_reason == NO_REGION
    failed = items["t2", CARTILAGE]
    assert failed.box is None
    assert failed.box_reason == VOLUME_FAILED
    assert failed.components[0].rule_grade is None
    volume = bench.volumes["t2/V00/right/dess"]
    assert (volume.shape, volume.affine, volume.image_sha256) == (None, None, None)
    assert bench.volumes["t1/V00/right/dess"].image_sha256 is not None


def test_what_drafters_did_leaves_no_byte(store: Path):
    before = built(store)
    with open_store(store, read_only=False) as con:
        for (table,) in con.execute(
            "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name) "
            "WHERE column_name = 'run_id' GROUP BY ALL"
        ).fetchall():
            con.execute(f"DELETE FROM {table}")
        left = con.execute("SELECT count(*) FROM quintuples").fetchone()
        assert left == (0,)
    after = built(store, "again")
    for name in (*CONTENT_FILES,):
        assert (before.folder / name).read_bytes() == (after.folder / name).read_bytes()
    assert before.manifest.bench_id == after.manifest.bench_id
    third = built(store, "other_seed", seed=1)
    assert third.manifest.seed == 1


def test_baselines_are_of_training_patients_alone(store: Path):
    bench = built(store)
    grades = {(g.question_id, g.component): g.counts for g in bench.baselines.grades}
    assert grades[CARTILAGE, Component.SIZE] == {2: 2}
    assert grades[BML, Component.SIZE] == {1: 1}
    assert (bench.baselines.n_volumes, bench.baselines.n_patients) == (2, 2)
    grid = grid_of((160, 384, 90), records.AFFINE)
    own = mean_boxes(
        SidedBox(q, "right", box, grid)
        for q in (BML, CARTILAGE)
        for box in [records.finding(q).box] * 2
        if box is not None
    )
    assert bench.baselines.mean_boxes == own


def test_other_grades_and_boxes_of_test_patients_change_no_baseline(store: Path, tmp_path: Path):
    before = (built(store).folder / "baselines.json").read_bytes()
    with StoreWriter(store) as writer, writer.transaction():
        writer.put_clinician_grades(read("t1", BML, 3))
        volume = records.volume("t3", synthetic=False)
        writer.put_volume(volume.model_copy(update={"split": "test"}))
        writer.put_findings(records.findings(volume.volume_id, (BML, 20)))
        writer.put_clinician_grades([*read("t3", BML, 3), *read("t3", 20, 3)])
    after = built(store, "changed")
    assert (after.folder / "baselines.json").read_bytes() == before
    assert after.manifest.n_items == 6


def test_a_prosthesis_and_other_statuses_are_no_items(store: Path):
    with StoreWriter(store) as writer, writer.transaction():
        (size, depth), bml = read("t1", CARTILAGE, 1), read("t1", BML, 2)
        missing = {"status": GradeStatus.MISSING, "grade": None}
        prosthesis = {"status": GradeStatus.PROSTHESIS, "grade": None}
        writer.put_clinician_grades(
            [
                size.model_copy(update=prosthesis),
                several(depth, (1, None), GradeStatus.CONFLICT),
                *(grade.model_copy(update=missing) for grade in bml),
            ]
        )
    assert set(items_of(built(store))) == {("t1", BURSA), ("t2", CARTILAGE)}


def test_reads_that_differ_are_ambiguous_whatever_a_policy_chose(store: Path):
    with StoreWriter(store) as writer, writer.transaction():
        size, _ = read("t1", CARTILAGE, 1)
        chosen = several(size, (1, 2), GradeStatus.READ, "project_priority:22,21")
        writer.put_clinician_grades([chosen])
    bench = built(store)
    size = items_of(bench)["t1", CARTILAGE].components[0]
    assert (size.grade, size.accepted) == (None, (1, 2))
    assert "project_priority:22,21" in bench.manifest.policies
    kappas = [k for k in bench.readers if k.feature == "cartilage" and k.part == "all"]
    assert kappas
    assert all(kappa.n_pairs >= 1 for kappa in kappas)


def test_published_reader_kappas_are_there_with_their_source(store: Path):
    published = [k for k in built(store).readers if k.published is not None]
    assert {(k.feature, k.part, k.published) for k in published} == {
        ("cartilage", "tibia", 0.36),
        ("osteophyte", "tibia", 0.49),
    }
    assert all("PMC4058435" in (k.published_source or "") for k in published)
    assert all(k.kappa is None and k.reason for k in published)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE volumes SET split = 'train'; DELETE FROM patient_splits", "no test patients"),
        ("UPDATE volumes SET synthetic = true WHERE patient = 'a1'", "phantoms beside patients"),
        ("DELETE FROM clinician_grades WHERE patient LIKE 't%'", "nothing was read"),
        (
            "INSERT INTO patient_splits VALUES ('t1', 'train', 'manifest', NULL, NULL, now())",
            "several splits",
        ),
    ],
)
def test_stores_that_make_no_bench_are_refused_and_nothing_is_left(
    store: Path, change: str, said: str
):
    with open_store(store, read_only=False) as con:
        con.execute("DELETE FROM patient_splits WHERE patient = 't1'")
        con.execute(change)
    with pytest.raises(BenchError, match=said) as caught:
        built(store)
    assert caught.value.hint
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def test_the_command_tells_what_it_built_and_refuses_a_full_folder(
    store: Path, capsys: pytest.CaptureFixture[str]
):
    out = store.parent / "bench"
    command = ["bench", "build", "--store", str(store), str(out), "--name", "mine", "--json"]
    assert main(command) == 0
    done = capsys.readouterr()
    told = json.loads(done.out)
    assert told["name"] == "mine"
    assert told["bench_id"] == read_bench(out).manifest.bench_id
    assert "multi-sequence reference" in done.err
    assert main(command) == 2
    assert "hint:" in capsys.readouterr().err
    with pytest.raises(InputError, match="not found"):
        build(BenchOptions(store=store.parent / "none.duckdb", out=store.parent / "x"))
