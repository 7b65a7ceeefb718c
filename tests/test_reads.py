"""Several reads from the tables into the store and out again: policies, conflicts, quality."""

import csv
import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest

from knee.grades import GradeStatus
from knee.moaks import Component, Feature
from stages.quality_numbers import gather_quality, is_discordant
from store.connection import create_store, open_store
from store.migrations import MIGRATIONS, apply_migrations
from store.reads import MeasuredGrade, ReadGroup, knee_visit_counts, status_counts
from store.writer import StoreWriter
from tests.demo_run import run_command
from tests.moaks_tables import write_table
from tests.prepared_store import CALIBRATION
from tests.store_records import clinician_grades, volume

SECOND = "kMRI_FNIH_SQ_MOAKS_BICL00.txt"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantom knees that were read twice: the second project differs in one column."""
    folder = tmp_path_factory.mktemp("reads")
    made = run_command("phantom", str(folder / "cohort"), "--knees", "2", "--seed", "11")
    assert made.code == 0, made.err
    first = (folder / "cohort" / "kMRI_SQ_MOAKS_BICL00.txt").read_text("latin-1")
    header, *rows = (line.split("|") for line in first.splitlines())
    second = [dict(zip(header, row, strict=True)) for row in rows]
    for row in second:
        row["READPRJ"], row["VERSION"] = "PH2", "PH2:1"
        row["V00MEFFWK"] = "3: large" if not row["V00MEFFWK"].startswith("3") else "0: none"
        row["V00MSYIC"] = ".: Missing"
    write_table(folder / "cohort" / SECOND, header[4:], second, header[:4])
    return folder / "cohort"


def prepared(cohort: Path, store: Path, *options: str) -> Path:
    done = run_command(
        "prepare", str(cohort), "--store", str(store), "--calibration", str(CALIBRATION), *options
    )
    assert done.code == 0, done.err
    return store


@pytest.fixture(scope="module")
def store(cohort: Path) -> Path:
    return prepared(cohort, cohort.parent / "agree.duckdb")


def rows(store: Path, query: str) -> list[tuple[object, ...]]:
    with open_store(store, read_only=True) as con:
        return con.execute(query).fetchall()


def test_the_ambiguous_subset_can_be_queried(store: Path):
    found = rows(store, "SELECT question_id, status, grade, n_reads, projects FROM v_ambiguous")
    assert found == [(43, "conflict", None, 2, ["PH2", "PHANTOM"])] * 2


def test_every_read_is_kept_with_what_it_says_and_where_it_stands(store: Path):
    found = rows(
        store,
        "SELECT readprj, status, grade, raw, file, line, taken FROM v_clinician_reads "
        "WHERE question_id = 43 AND patient = (SELECT min(patient) FROM volumes) ORDER BY readprj",
    )
    assert [row[0] for row in found] == ["PH2", "PHANTOM"]
    assert found[0][4:] == (SECOND, 2, False)
    assert found[1][4:] == ("kMRI_SQ_MOAKS_BICL00.txt", 2, False)
    assert all(str(row[3]).startswith(f"{row[2]}: ") for row in found)
    n_bad = rows(
        store,
        "SELECT count(*) FROM v_clinician_reads WHERE (grade IS NOT DISTINCT FROM 0) <> "
        "regexp_matches(raw, CASE component WHEN 'full_thickness' THEN '^[0-3][.]0:' "
        "ELSE '^0([.]0)?:' END)",
    )
    assert n_bad == [(0,)]


def test_a_policy_chooses_and_is_recorded(cohort: Path, tmp_path: Path):
    policy = "project_priority:PH2,*"
    chosen = prepared(cohort, tmp_path / "s.duckdb", "--reads-policy", policy)
    found = rows(chosen, "SELECT DISTINCT policy FROM clinician_grades WHERE is_current")
    assert found == [(policy,)]
    taken = rows(
        chosen,
        "SELECT status, grade, read_grades, readprj, taken FROM clinician_grades "
        "WHERE question_id = 43 AND is_current",
    )
    for status, grade, given, projects, was_taken in taken:
        assert isinstance(given, list)
        assert (status, projects, was_taken) == ("read", ["PH2", "PHANTOM"], [True, False])
        assert grade == given[0]
    # The set-aside read stays, and so does the ambiguity.
    assert rows(chosen, "SELECT count(*) FROM v_ambiguous") == [(2,)]
    # Hoffa is missing in the first project: the second one's read is taken.
    hoffa = rows(chosen, "SELECT DISTINCT status, taken FROM clinician_grades WHERE question_id=42")
    assert hoffa == [("read", [False, True])]
    again = prepared(cohort, chosen, "--reads-policy", "agree_or_conflict")
    revised = rows(
        again,
        "SELECT revision, status FROM clinician_grades WHERE question_id = 43 AND is_current",
    )
    assert revised == [(2, "conflict")] * 2


def test_conflicts_of_tables_and_of_a_store_are_the_same(cohort: Path, store: Path, tmp_path: Path):
    tables = sorted(str(path) for path in cohort.glob("kMRI_*"))
    of_tables = run_command("reads", "conflicts", *tables, "--json", "--out", str(tmp_path / "t"))
    of_store = run_command(
        "reads", "conflicts", "--store", str(store), "--json", "--out", str(tmp_path / "s")
    )
    assert of_tables.code == of_store.code == 0, of_tables.err + of_store.err
    assert json.loads(of_tables.out) == json.loads(of_store.out)
    found = json.loads(of_store.out)
    assert found["conflicts"] == 2
    effusion = next(row for row in found["agreement"] if row["feature"] == "effusion_synovitis")
    assert (effusion["pairs"], effusion["patients"], effusion["conflicts"]) == (2, 2, 2)
    assert effusion["kappa_quadratic_low"] is None
    assert effusion["kappa_quadratic_note"] == "2 pairs, fewer than 10"
    with (tmp_path / "s" / "conflicts.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert (tmp_path / "t" / "conflicts.csv").read_text() == (
        tmp_path / "s" / "conflicts.csv"
    ).read_text()
    assert [row["question_id"] for row in listed] == ["43", "43"]
    assert f"{SECOND}:2" in listed[0]["reads"]
    assert listed[0]["grade"] == ""
    shown = run_command("reads", "conflicts", "--store", str(store))
    assert shown.code == 0
    assert "conflict" in shown.out
    assert "NA" in shown.err


def test_agreement_is_by_scale(store: Path):
    done = run_command("reads", "conflicts", "--store", str(store), "--json")
    for row in json.loads(done.out)["agreement"]:
        if row["scale"] in ("nominal", "binary"):
            assert row["kappa_linear"] is None
            assert row["scale"] in row["kappa_linear_note"]
    parts = {(r["feature"], r["part"]) for r in json.loads(done.out)["agreement"]}
    assert ("cartilage", "tibia") in parts
    assert ("acl", "all") in parts


def test_the_quality_report_is_one_file_with_pictures_and_its_numbers_are_the_stores(store: Path):
    done = run_command("reads", "quality", "--store", str(store), "--json", "--pictures", "2")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    path = Path(found["report"])
    assert done.err.strip().splitlines()[-1] == str(path)
    html = path.read_text()
    assert "Synthetic" in html
    assert html.count("data:image/png;base64,") == min(2, found["discordant"])
    assert found["discordant"] > 0
    assert not re.search(r'(src|href)="(?!data:)', html)
    (n_read,) = rows(
        store, "SELECT count(*) FROM clinician_grades WHERE is_current AND status = 'read'"
    )[0]
    assert found["statuses"]["read"] == n_read
    assert found["statuses"]["conflict"] == found["ambiguous"] == 2
    with (path.parent / "distribution_by_site.csv").open(newline="") as file:
        sites = list(csv.DictReader(file))
    assert sum(int(row["read"]) for row in sites) == n_read
    zeros = rows(store, "SELECT count(*) FROM clinician_grades WHERE is_current AND grade = 0")
    assert [(sum(int(row["grade_0"]) for row in sites),)] == zeros
    with (path.parent / "discordant.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == found["discordant"]
    with (path.parent / "distribution_by_readprj.csv").open(newline="") as file:
        assert {row["readprj"] for row in csv.DictReader(file)} == {"PHANTOM", "PH2"}


def test_counts_come_in_the_order_of_moaks(store: Path):
    with open_store(store, read_only=True) as con:
        by_feature = status_counts(con, synthetic=True, by_site=False)
        by_site = status_counts(con, synthetic=True, by_site=True)
    assert [row.group.component.value for row in by_feature[:4]] == [
        "size",
        "number",
        "percent_bml",
        "size",
    ]
    assert [row.group.label for row in by_site[:4]] == ["patella_medial"] * 3 + ["patella_lateral"]
    assert len(by_site) == 111


def test_the_report_says_why_there_is_no_picture(store: Path, tmp_path: Path):
    done = run_command(
        "reads", "quality", "--store", str(store), "--cohort-root", str(tmp_path), "--out",
        str(tmp_path / "q"), "--pictures", "1",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "No picture:" in (tmp_path / "q" / "index.html").read_text()


def test_bad_tables_leave_the_store_as_it_was(cohort: Path, store: Path, tmp_path: Path):
    kept = Path(shutil.copy(store, tmp_path / "kept.duckdb"))
    before = kept.read_bytes()
    bad = tmp_path / "kMRI_X_MOAKS_BICL00.txt"
    bad.write_text("ID|SIDE|V00MEFFWK\n1|3|0\n2|1|0\n2|1|0\n|1|0\n")
    good = cohort / "kMRI_SQ_MOAKS_BICL00.txt"
    semi = tmp_path / "kMRI_Y_MOAKS_BICL00.txt"
    semi.write_text("ID;SIDE;V00MEFFWK\n1;1;0\n")
    done = run_command(
        "prepare", str(cohort), "--store", str(kept), "--moaks", str(bad), str(good), str(semi)
    )
    assert done.code == 2
    assert "4 problems" in done.err
    for words in ("line 2: SIDE '3'", "line 4: the read of 2 right", "line 5: ID ''", "delimiter"):
        assert words in done.err
    assert "hint:" in done.err
    assert "Traceback" not in done.err
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["reads", "conflicts"], "not of neither or both"),
        (["reads", "conflicts", "--store", "none.duckdb"], "store not found"),
        (["reads", "quality", "--store", "none.duckdb"], "store not found"),
        (["reads", "check", "none.txt"], "there is no MOAKS table"),
        (["reads", "conflicts", "none.txt", "--reads-policy", "newest"], "is no policy"),
    ],
)
def test_bad_requests_are_told(options: list[str], words: str):
    done = run_command(*options)
    assert done.code == 2
    assert words in done.err
    assert "hint:" in done.err
    assert "Traceback" not in done.err


def test_an_output_that_cannot_be_a_folder_is_told(store: Path, tmp_path: Path):
    taken = tmp_path / "file"
    taken.touch()
    for command in ("conflicts", "quality"):
        done = run_command("reads", command, "--store", str(store), "--out", str(taken))
        assert done.code == 2
        assert f"folder {str(taken)!r} cannot be made" in done.err
        assert "Traceback" not in done.err


def test_a_store_without_grades_has_no_quality(tmp_path: Path):
    empty = tmp_path / "s.duckdb"
    create_store(empty)
    done = run_command("reads", "quality", "--store", str(empty))
    assert done.code == 2
    assert "has no clinicians' grades" in done.err


def test_check_lists_what_does_not_match_and_takes_the_users_names(tmp_path: Path):
    cells = {"V00MOSPS": "1", "V00MYOST": "2", "V00MEFFWK": "0"}
    table = write_table(tmp_path / "kMRI_SQ_MOAKS_BICL00.txt", list(cells), [cells])
    done = run_command("reads", "check", str(table), "--json")
    found = json.loads(done.out)
    assert found["columns_without_variable"] == [f"{table.name}: V00MYOST"]
    assert "MOSPI" in found["variables_without_column"]
    assert found["assumed_names_found"] == ["MOSPS"]
    assert found["component_reads"]["read"] == 2
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[[group]]\nprefix = "MYOST"\nfeature = "osteophyte"\ncomponents = ["grade"]\n'
        'status = "assumed"\nsites = { "" = "patella_inferior" }\n'
    )
    done = run_command("reads", "check", str(table), "--json", "--variables", str(mine))
    found = json.loads(done.out)
    assert found["columns_without_variable"] == []
    assert found["component_reads"]["read"] == 3


def test_phantoms_and_patients_are_never_pooled(tmp_path: Path):
    mixed = tmp_path / "s.duckdb"
    with StoreWriter(mixed, create=True) as writer:
        writer.put_catalogue()
        for patient, synthetic, grade in (("9001", True, 3), ("9002", False, 1)):
            record = volume(patient, synthetic=synthetic)
            writer.put_volume(record)
            writer.put_clinician_grades(clinician_grades(record, grade=grade))
    with open_store(mixed, read_only=True) as con:
        for synthetic, grade in ((True, 3), (False, 1)):
            assert knee_visit_counts(con, synthetic=synthetic).knee_visits == 1
            counts = status_counts(con, synthetic=synthetic, by_site=False)
            assert {g for row in counts for g in row.grades} == {grade}
            gathered = gather_quality(con, synthetic=synthetic)
            group = ReadGroup(Feature.BML, Component.SIZE, "")
            assert gathered.majority[group].majority == grade
            assert gathered.positive[group].low is None
    done = run_command("reads", "quality", "--store", str(mixed), "--json")
    assert "1 phantom knee-visit(s) are left out" in done.err
    assert json.loads(done.out)["knee_visits"] == 1


def test_grades_loaded_before_reads_were_kept_stay_and_say_so(monkeypatch: pytest.MonkeyPatch):
    con = duckdb.connect()
    monkeypatch.setattr("store.migrations.MIGRATIONS", MIGRATIONS[:1])
    apply_migrations(con)
    con.execute(
        "INSERT INTO clinician_grades VALUES ('1', 'V00', 'right', 43, 'grade', 1, 'read', 2, "
        "['2: medium'], 'V00MEFFWK', 'a.txt', [2], ['65'], ['SQ:65'], true, now()::TIMESTAMP)"
    )
    con.execute("INSERT INTO questions VALUES (43, 'effusion_synovitis', 's', 'r', 'n', 'm', true)")
    monkeypatch.undo()
    apply_migrations(con)
    found = con.execute("SELECT policy, read_status, taken, grade FROM clinician_grades").fetchall()
    assert found == [("agree_or_conflict", [], [], 2)]
    found = con.execute("SELECT read_no, raw, readprj, status FROM v_clinician_reads").fetchall()
    assert found == [(1, "2: medium", "65", None)]
    con.close()


@pytest.mark.parametrize(
    ("feature", "component", "clinician", "rule", "borderline", "expected"),
    [
        (Feature.CARTILAGE, Component.SIZE, 1, 1, False, False),
        (Feature.CARTILAGE, Component.SIZE, 1, 2, False, True),
        (Feature.CARTILAGE, Component.SIZE, 1, 2, True, False),
        (Feature.CARTILAGE, Component.SIZE, 0, 2, True, True),
        (Feature.MORPHOLOGY, Component.MORPHOLOGY, 2, 3, True, True),
    ],
)
def test_discordant_is_beyond_the_measurements_uncertainty(
    feature: Feature, component: Component, clinician: int, rule: int, borderline: bool,
    expected: bool,
):  # fmt: skip
    found = MeasuredGrade(
        "1/V00/right/dess", 16, feature, "s", component, clinician, rule, "moaks", "measured",
        borderline, None, None, None, None, (), None,
    )  # fmt: skip
    assert is_discordant(found) is expected


def test_combinations_that_cannot_be_are_listed(tmp_path: Path):
    path = tmp_path / "s.duckdb"
    record = volume("9002", synthetic=False)
    grades = clinician_grades(record, (1,), grade=0)
    number = next(g for g in grades if g.component is Component.NUMBER)
    grades = [g for g in grades if g is not number] + [number.model_copy(update={"grade": 2})]
    with StoreWriter(path, create=True) as writer:
        writer.put_catalogue()
        writer.put_volume(record)
        writer.put_clinician_grades(grades)
    with open_store(path, read_only=True) as con:
        (found,) = gather_quality(con, synthetic=False).illegal
    assert (found.patient, found.question_id) == ("9002", 1)
    assert "size 0 with number 2" in found.problem
    assert GradeStatus.READ is number.status


def test_a_prosthesis_beside_a_grade_is_in_the_conflict_report(tmp_path: Path):
    path = write_table(
        tmp_path / "kMRI_SQ_MOAKS_BICL00.txt",
        ("V00MEFFWK", "V00MSYIC"),
        [
            {"READPRJ": "22", "V00MEFFWK": "2: medium", "V00MSYIC": ".: Missing"},
            {"READPRJ": "65", "V00MEFFWK": ".P: prosthesis", "V00MSYIC": "1: mild"},
        ],
    )
    for policy, outcome in (
        ("agree_or_conflict", "conflict"),
        ("project_priority:65,22", "prosthesis"),
    ):
        options = ("--reads-policy", policy, "--json", "--out", str(tmp_path / "out"))
        done = run_command("reads", "conflicts", str(path), *options)
        assert done.code == 0, done.err
        assert json.loads(done.out) == {"conflicts": 1, "agreement": []}
        with (tmp_path / "out" / "conflicts.csv").open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
        assert (row["question_id"], row["status"], row["grades_given"]) == ("43", outcome, "2")
        assert "22 SQ:65: 2; 65 SQ:65: prosthesis" in row["reads"]
