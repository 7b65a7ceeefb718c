from pathlib import Path

import pytest

from knee.anatomy import Side
from knee.errors import InputError
from knee.grades import ClinicianGrade, GradeStatus, parse_reads_policy
from knee.moaks import SCALES, Component
from knee.questions import QUESTIONS, question_by_region
from tests.moaks_tables import write_table
from tools.moaks_table import MoaksTable, find_moaks_tables, read_moaks_tables
from tools.moaks_variables import StemStatus, load_variables
from tools.phantom.table import GUESSED_STEMS, MISSING, Read, format_table
from tools.phantom.table import VARIABLES as PHANTOM_VARIABLES

NAME = "kMRI_SQ_MOAKS_BICL00.txt"


def table(tmp_path: Path, *rows: dict[str, str], name: str = NAME) -> MoaksTable:
    columns = list(dict.fromkeys(c for row in rows for c in row if c.startswith("V0")))
    return read_moaks_tables([write_table(tmp_path / name, columns, rows)])


def only(found: MoaksTable, component: Component | None = None) -> ClinicianGrade:
    (grade,) = (
        g
        for g in found.grades_for("9000001", "V00", Side.RIGHT)
        if component in (None, g.component)
    )
    return grade


def test_a_grade_carries_where_it_comes_from(tmp_path: Path):
    found = table(tmp_path, {"V00MBMSFMA": "2: 33-66%"})
    assert only(found) == ClinicianGrade(
        patient="9000001",
        visit="V00",
        side="right",
        question_id=3,
        component=Component.SIZE,
        status=GradeStatus.READ,
        grade=2,
        raw=("2: 33-66%",),
        variable="V00MBMSFMA",
        file=NAME,
        lines=(2,),
        readprj=("65",),
        version=("SQ:65",),
        policy="agree_or_conflict",
        read_files=(NAME,),
        read_status=(GradeStatus.READ,),
        read_grades=(2,),
        taken=(True,),
    )


def test_both_components_come_from_one_cartilage_cell(tmp_path: Path):
    found = table(tmp_path, {"V00MCMPM": "2.1: 10-75% area, 1-10% full thickness"})
    size, full = found.grades_for("9000001", "V00", "right")
    assert (size.question_id, size.component, size.grade) == (16, Component.SIZE, 2)
    assert (full.question_id, full.component, full.grade) == (16, Component.FULL_THICKNESS, 1)


def test_grades_come_in_the_order_of_questions_and_only_for_columns_that_exist(tmp_path: Path):
    row = {"V00MEFFWK": "1", "V00MBMPPM": "0", "V00MBMSPM": "0", "V00MCMPM": "0.0"}
    grades = table(tmp_path, row).grades_for("9000001", "V00", Side.RIGHT)
    assert [g.question_id for g in grades] == [1, 1, 16, 16, 43]
    assert [g.component.value for g in grades[:2]] == ["size", "percent_bml"]


def test_a_knee_visit_that_is_not_in_the_table_has_no_grades(tmp_path: Path):
    found = table(tmp_path, {"V00MEFFWK": "1"})
    assert found.grades_for("9000001", "V00", Side.LEFT) == ()
    assert found.grades_for("9000001", "V02", Side.RIGHT) == ()
    assert found.grades_for("9999999", "V00", Side.RIGHT) == ()
    assert found.knee_visits() == (("9000001", "V00", Side.RIGHT),)


@pytest.mark.parametrize(
    ("cell", "side"),
    [
        ("1", Side.RIGHT),
        ("1.0", Side.RIGHT),
        ("Right", Side.RIGHT),
        ("right", Side.RIGHT),
        ("1: Right", Side.RIGHT),
        ("R", Side.RIGHT),
        ("2", Side.LEFT),
        ("2.0", Side.LEFT),
        ("Left", Side.LEFT),
        ("2: Left", Side.LEFT),
        ("L", Side.LEFT),
        (" 2 : left ", Side.LEFT),
    ],
)
def test_every_spelling_of_the_side_is_understood(tmp_path: Path, cell: str, side: Side):
    found = table(tmp_path, {"SIDE": cell, "V00MEFFWK": "1"})
    assert found.knee_visits() == (("9000001", "V00", side),)


@pytest.mark.parametrize("cell", ["", ".", "3: Bilateral", "0", "1: Left", "Both", "12"])
def test_an_unknown_side_is_an_input_error_with_its_line(tmp_path: Path, cell: str):
    with pytest.raises(InputError, match="line 2: SIDE") as caught:
        table(tmp_path, {"SIDE": cell, "V00MEFFWK": "1"})
    assert repr(cell) in caught.value.message


def test_all_rows_with_problems_are_listed_with_a_count(tmp_path: Path):
    with pytest.raises(InputError, match="25 problems") as caught:
        table(tmp_path, *[{"SIDE": "9", "V00MEFFWK": "1"}] * 25)
    assert caught.value.message.count("line ") == 20
    assert "5 more" in caught.value.message


@pytest.mark.parametrize("missing", ["ID", "SIDE"])
def test_a_table_without_key_columns_names_what_it_has(tmp_path: Path, missing: str):
    keys = [key for key in ("ID", "SIDE", "READPRJ") if key != missing]
    path = write_table(tmp_path / NAME, ["V00MEFFWK"], [{"V00MEFFWK": "1"}], keys)
    with pytest.raises(InputError, match=f"has no column {missing}; found") as caught:
        read_moaks_tables([path])
    assert "READPRJ, V00MEFFWK" in caught.value.message


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_another_delimiter_is_an_input_error(tmp_path: Path, delimiter: str):
    path = write_table(tmp_path / NAME, ["V00MEFFWK"], [{"V00MEFFWK": "1"}], delimiter=delimiter)
    with pytest.raises(InputError, match="wrong delimiter: its first line has neither") as caught:
        read_moaks_tables([path])
    assert repr(delimiter) in caught.value.message


@pytest.mark.parametrize("cell", ["9000001", "9000001.0", " 9000001 "])
def test_ids_are_the_same_however_they_were_exported(tmp_path: Path, cell: str):
    assert table(tmp_path, {"ID": cell, "V00MEFFWK": "1"}).knee_visits()[0][0] == "9000001"


def test_reads_that_agree_are_one_grade_with_two_rows(tmp_path: Path):
    found = table(
        tmp_path,
        {"READPRJ": "22", "V00MEFFWK": "1: Small"},
        {"READPRJ": "63A", "VERSION": "SQ:61", "V00MEFFWK": "1"},
    )
    grade = only(found)
    assert (grade.status, grade.grade) == (GradeStatus.READ, 1)
    assert grade.readprj == ("22", "63A")
    assert grade.version == ("SQ:65", "SQ:61")
    assert grade.lines == (2, 3)
    assert grade.raw == ("1: Small", "1")


def test_reads_that_disagree_are_a_conflict_per_component(tmp_path: Path):
    found = table(
        tmp_path, {"READPRJ": "22", "V00MCMPM": "2.0"}, {"READPRJ": "65", "V00MCMPM": "2.1"}
    )
    assert only(found, Component.SIZE).grade == 2
    full = only(found, Component.FULL_THICKNESS)
    assert (full.status, full.grade) == (GradeStatus.CONFLICT, None)
    assert full.raw == ("2.0", "2.1")


@pytest.mark.parametrize(
    ("cells", "status", "grade"),
    [
        (("2", "."), GradeStatus.READ, 2),
        (("", "0"), GradeStatus.READ, 0),
        (("1", "9"), GradeStatus.READ, 1),
        (("1", ".P: Prosthesis"), GradeStatus.CONFLICT, None),
        ((".", ".P: Prosthesis"), GradeStatus.PROSTHESIS, None),
        ((".", "9"), GradeStatus.OFF_SCALE, None),
        ((".", ".A: Not Expected"), GradeStatus.MISSING, None),
        ((".A", ".A"), GradeStatus.NOT_READ_IN_PROJECT, None),
        ((".", ""), GradeStatus.MISSING, None),
    ],
)
def test_two_reads_together(
    tmp_path: Path, cells: tuple[str, str], status: GradeStatus, grade: int | None
):
    rows = [{"READPRJ": prj, "V00MEFFWK": c} for prj, c in zip("AB", cells, strict=True)]
    found = only(table(tmp_path, *rows))
    assert (found.status, found.grade) == (status, grade)


def test_counts_above_three_agree_when_their_grade_does(tmp_path: Path):
    rows = [{"READPRJ": prj, "V00MBMNPM": cell} for prj, cell in (("22", "4"), ("65", "6"))]
    found = only(table(tmp_path, *rows))
    assert (found.status, found.grade, found.raw) == (GradeStatus.READ, 3, ("4", "6"))


def test_a_column_that_a_whole_project_lacks_was_not_read_in_it(tmp_path: Path):
    rows = [
        {"ID": str(n), "READPRJ": prj, "V00MEFFWK": "1", "V00MSYIC": hoffa}
        for n, (prj, hoffa) in enumerate([("22", ".: Missing")] * 12 + [("65", "1")] * 12)
    ]
    rows[-1]["V00MSYIC"] = ".: Missing"
    found = table(tmp_path, *rows)
    status = {
        patient: next(
            g.status for g in found.grades_for(patient, "V00", "right") if g.question_id == 42
        )
        for patient in ("0", "22", "23")
    }
    assert status == {
        "0": GradeStatus.NOT_READ_IN_PROJECT,
        "22": GradeStatus.READ,
        "23": GradeStatus.MISSING,
    }


def test_morphology_7_and_change_codes_depend_on_the_visit(tmp_path: Path):
    cells = {"V03MMTMB": "7: Progressive", "V03MBMSPM": "0.5: within-grade"}
    found = table(tmp_path, cells, name="kMRI_SQ_MOAKS_BICL03.txt")
    bml, morphology = found.grades_for("9000001", "V03", "right")
    assert bml.status is GradeStatus.CHANGE_CODE
    assert morphology.grade == 7
    baseline = only(table(tmp_path, {"V00MMTMB": "7: Progressive"}))
    assert baseline.status is GradeStatus.OFF_SCALE


def test_the_visit_may_be_in_the_files_name_or_in_a_column(tmp_path: Path):
    by_name = write_table(tmp_path / "kMRI_SQ_MOAKS_BICL06.txt", ["MEFFWK"], [{"MEFFWK": "1"}])
    assert read_moaks_tables([by_name]).knee_visits()[0][1] == "V06"
    by_column = write_table(
        tmp_path / "poma.txt",
        ["MEFFWK"],
        [{"VISIT": "0", "MEFFWK": "1"}, {"VISIT": "5: 36-month", "MEFFWK": "2"}],
        ("ID", "SIDE", "VISIT"),
    )
    found = read_moaks_tables([by_column])
    assert [visit for _, visit, _ in found.knee_visits()] == ["V00", "V05"]
    assert found.grades_for("9000001", "V05", "right")[0].grade == 2


def test_a_visit_that_nothing_tells_is_an_input_error(tmp_path: Path):
    path = write_table(tmp_path / "table.txt", ["MEFFWK"], [{"MEFFWK": "1"}])
    with pytest.raises(InputError, match="which visit"):
        read_moaks_tables([path])


def test_a_file_name_that_contradicts_the_columns_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"'V03' by its name.*\['V00'\]"):
        table(tmp_path, {"V00MEFFWK": "1"}, name="kMRI_SQ_MOAKS_BICL03.txt")


def test_unknown_columns_and_absent_stems_are_listed(tmp_path: Path):
    found = table(tmp_path, {"V00MEFFWK": "1", "V00MXYZ": "3"})
    assert found.unknown_columns == (f"{NAME}: V00MXYZ",)
    assert "MEFFWK" not in found.absent_stems
    assert "MSYIC" in found.absent_stems
    assert len(found.absent_stems) == len(found.variables) - 1


def test_names_in_lower_case_are_understood(tmp_path: Path):
    path = write_table(
        tmp_path / NAME, ["v00meffwk"], [{"id": "7", "side": "2", "v00meffwk": "3"}], ("id", "side")
    )
    (grade,) = read_moaks_tables([path]).grades_for("7", "V00", "left")
    assert (grade.grade, grade.variable, grade.readprj) == (3, "v00meffwk", ("",))


def by_policy(tmp_path: Path, text: str, *rows: dict[str, str]) -> MoaksTable:
    columns = list(dict.fromkeys(c for row in rows for c in row if c.startswith("V0")))
    path = write_table(tmp_path / NAME, columns, rows)
    return read_moaks_tables([path], policy=parse_reads_policy(text))


def test_project_priority_takes_the_first_project_that_says_anything(tmp_path: Path):
    rows = (
        {"READPRJ": "65", "V00MEFFWK": "1", "V00MCMPM": "2.1", "V00MSYIC": "0"},
        {"READPRJ": "63A", "V00MEFFWK": ".", "V00MCMPM": "2.0", "V00MSYIC": "9"},
    )
    found = by_policy(tmp_path, "project_priority:63*,65", *rows)
    grades = {(g.question_id, g.component): g for g in found.grades_for("9000001", "V00", "right")}
    full = grades[16, Component.FULL_THICKNESS]
    assert (full.grade, full.taken, full.read_grades) == (0, (False, True), (1, 0))
    assert full.is_ambiguous
    assert full.policy == "project_priority:63*,65"
    assert grades[43, Component.GRADE].taken == (True, False)
    hoffa = grades[42, Component.GRADE]
    assert (hoffa.grade, hoffa.read_status[1]) == (0, GradeStatus.OFF_SCALE)


def test_reads_of_one_project_that_disagree_conflict_whatever_its_priority(tmp_path: Path):
    rows = (
        {"READPRJ": "65", "VERSION": "SQ:61", "V00MEFFWK": "1"},
        {"READPRJ": "65", "VERSION": "SQ:65", "V00MEFFWK": "2"},
        {"READPRJ": "22", "V00MEFFWK": "1"},
    )
    assert only(by_policy(tmp_path, "project_priority:65,*", *rows)).status is GradeStatus.CONFLICT


def test_an_order_that_leaves_a_project_out_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"does not name the project\(s\) '30', '61'"):
        by_policy(
            tmp_path,
            "project_priority:65",
            *({"READPRJ": prj, "V00MEFFWK": "1"} for prj in ("65", "61", "30")),
        )


def test_most_complete_takes_the_read_with_most_grades_component_by_component(tmp_path: Path):
    rows = (
        {"READPRJ": "22", "V00MEFFWK": "1", "V00MSYIC": "3", "V00MBMSPM": "."},
        {"READPRJ": "65", "V00MEFFWK": "2", "V00MSYIC": ".", "V00MCMPM": "0.0", "V00MBMSPM": "1"},
    )
    found = by_policy(tmp_path, "most_complete", *rows)
    grades = {(g.question_id, g.component): g for g in found.grades_for("9000001", "V00", "right")}
    assert grades[43, Component.GRADE].grade == 2
    assert grades[42, Component.GRADE].grade == 3
    assert grades[43, Component.GRADE].taken == (False, True)


def test_equally_complete_reads_that_disagree_conflict(tmp_path: Path):
    rows = ({"READPRJ": "22", "V00MEFFWK": "1"}, {"READPRJ": "65", "V00MEFFWK": "2"})
    assert only(by_policy(tmp_path, "most_complete", *rows)).status is GradeStatus.CONFLICT


@pytest.mark.parametrize(
    ("name", "columns", "row", "words"),
    [
        ("poma.txt", ["V03MEFFWK"], {"VISIT": "0"}, "VISIT '0', but 'V03' by columns"),
        ("kMRI_X_MOAKS_BICL03.txt", ["MEFFWK"], {"VISIT": "0"}, "but 'V03' by the file's name"),
        ("poma.txt", ["V00MEFFWK", "V01MEFFWK"], {"VISIT": "0"}, "are of several visits"),
        ("poma.txt", ["MEFFWK"], {"VISIT": "baseline"}, "'baseline' is not a visit number"),
    ],
)
def test_what_says_the_visit_must_agree(
    tmp_path: Path, name: str, columns: list[str], row: dict[str, str], words: str
):
    keys = ("ID", "SIDE", "VISIT")
    path = write_table(tmp_path / name, columns, [row | dict.fromkeys(columns, "1")], keys)
    with pytest.raises(InputError, match=words):
        read_moaks_tables([path])


def test_a_visit_column_that_agrees_does_no_harm(tmp_path: Path):
    row = {"VISIT": "3: 24-month", "V03MEFFWK": "1"}
    keys = ("ID", "SIDE", "VISIT")
    path = write_table(tmp_path / "kMRI_X_MOAKS_BICL03.txt", ["V03MEFFWK"], [row], keys)
    assert read_moaks_tables([path]).knee_visits() == (("9000001", "V03", Side.RIGHT),)


@pytest.mark.parametrize("other", ["1", "2"])
def test_a_read_that_is_there_twice_is_an_input_error(tmp_path: Path, other: str):
    words = "the same" if other == "1" else "other"
    with pytest.raises(
        InputError, match=f"line 3: the read of 9000001 right V00.*line 2, with {words} cells"
    ):
        table(tmp_path, {"V00MEFFWK": "1"}, {"SIDE": "1: Right", "V00MEFFWK": other})


def test_another_version_is_another_read(tmp_path: Path):
    rows = ({"VERSION": "SQ:61", "V00MEFFWK": "1"}, {"VERSION": "SQ:65", "V00MEFFWK": "1"})
    assert only(table(tmp_path, *rows)).version == ("SQ:61", "SQ:65")


def test_two_releases_of_one_table_are_two_files_for_one_visit(tmp_path: Path):
    first = write_table(tmp_path / NAME, ["V00MEFFWK"], [{"VERSION": "1", "V00MEFFWK": "1"}])
    second = write_table(
        tmp_path / "kmri_sq_moaks_bicl00.csv",
        ["V00MEFFWK"],
        [{"VERSION": "2", "V00MEFFWK": "1"}],
        delimiter=",",
    )
    with pytest.raises(InputError, match=r"two files for one visit: 1 knee.*READPRJ '65'"):
        read_moaks_tables([first, second])


def test_problems_of_all_files_are_in_one_listing(tmp_path: Path):
    paths = [
        write_table(tmp_path / "semicolon_BICL00.txt", ["V00MEFFWK"], [{}], delimiter=";"),
        write_table(tmp_path / "no_side_BICL00.txt", ["V00MEFFWK"], [{}], ("ID", "READPRJ")),
        write_table(
            tmp_path / "rows_BICL00.txt",
            ["V00MEFFWK"],
            [{"SIDE": "3: Both"}, {"ID": ""}, {"READPRJ": "22"}, {"READPRJ": "22"}],
            ("ID", "SIDE", "READPRJ"),
        ),
        write_table(tmp_path / "again_BICL00.txt", ["V00MEFFWK"], [{"READPRJ": "22"}]),
        tmp_path / "gone_BICL00.txt",
    ]
    (tmp_path / "wide_BICL00.txt").write_bytes("ID|SIDE|V00MEFFWK\n".encode("utf-16"))
    with pytest.raises(InputError, match="the 6 MOAKS tables have 8 problems") as caught:
        read_moaks_tables([*paths, tmp_path / "wide_BICL00.txt"])
    for words in (
        "'semicolon_BICL00.txt': wrong delimiter",
        "'no_side_BICL00.txt': it has no column SIDE",
        "'rows_BICL00.txt': line 2: SIDE '3: Both'",
        "'rows_BICL00.txt': line 3: ID ''",
        "'rows_BICL00.txt': line 5: the read of 9000001 right V00, READPRJ '22'",
        "'rows_BICL00.txt' and 'again_BICL00.txt' are two files for one visit",
        "there is no MOAKS table",
        "'wide_BICL00.txt': it is not a text file",
    ):
        assert words in caught.value.message


@pytest.mark.parametrize("cell", ["b'9000001'", 'b"9000001"', "b'9000001.0'"])
def test_printed_bytes_are_what_they_hold(tmp_path: Path, cell: str):
    row = {"ID": cell, "SIDE": "b'1: Right'", "READPRJ": "b'65'", "V00MEFFWK": "1"}
    path = tmp_path / NAME
    path.write_text("|".join(row) + "\n" + "|".join(row.values()) + "\n")
    (grade,) = read_moaks_tables([path]).grades_for("9000001", "V00", "right")
    assert grade.readprj == ("65",)


def test_two_tables_of_one_visit_are_joined(tmp_path: Path):
    main = write_table(tmp_path / NAME, ["V00MEFFWK"], [{"V00MEFFWK": "1"}])
    fnih = write_table(
        tmp_path / "kMRI_FNIH_SQ_MOAKS_BICL00.txt",
        ["V00MEFFWK", "V00MACLBML"],
        [{"READPRJ": "22", "V00MEFFWK": "2", "V00MACLBML": "0"}],
    )
    found = read_moaks_tables([main, fnih])
    effusion, acl = found.grades_for("9000001", "V00", "right")
    assert effusion.status is GradeStatus.CONFLICT
    assert effusion.file == f"{NAME}; kMRI_FNIH_SQ_MOAKS_BICL00.txt"
    assert (acl.grade, acl.lines) == (0, (2,))
    assert find_moaks_tables(tmp_path) == (fnih, main)


def test_the_same_table_twice_is_an_input_error(tmp_path: Path):
    path = write_table(tmp_path / NAME, ["V00MEFFWK"], [{"V00MEFFWK": "1"}])
    copy = tmp_path / "copy_BICL00.txt"
    copy.write_bytes(path.read_bytes())
    for pair in ([path, path], [path, copy]):
        with pytest.raises(InputError, match="are the same table"):
            read_moaks_tables(pair)


def test_latin_1_text_is_read(tmp_path: Path):
    assert only(table(tmp_path, {"V00MEFFWK": "1: klein, \xe4hnlich"})).raw == (
        "1: klein, \xe4hnlich",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "its first line has neither '\\|' nor ','"),
        (b"ID|SIDE|V00MEFFWK\n", "it has no rows"),
        (b"ID|SIDE|V00MEFFWK\n1|1\n", "line 2: 2 cells, the header has 3"),
        (b"ID|SIDE|V00MEFFWK\n|1|1\n", "ID '' is not a patient id"),
        (b"ID|SIDE|V00MEFFWK\n.|1|1\n", "ID '.' is not a patient id"),
        (b"ID|SIDE|KL\n1|1|1\n", "no column that is a known MOAKS variable"),
        (b"ID|SIDE|V00MEFFWK|v00meffwk\n1|1|1|2\n", "there twice"),
        (b"ID|ID|SIDE|V00MEFFWK\n1|1|1|2\n", "'ID' twice"),
        (b"ID|SIDE|MEFFWK|V00MSYIC\n1|1|1|2\n", "and without"),
        ("ID|SIDE|V00MEFFWK\n1|1|1\n".encode("utf-16"), "not a text file"),
    ],
)
def test_what_is_not_a_moaks_table_is_an_input_error(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / NAME
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_moaks_tables([path])
    assert caught.value.hint


def test_a_missing_table_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="there is no MOAKS table"):
        read_moaks_tables([tmp_path / NAME])


def test_trailing_delimiters_do_no_harm(tmp_path: Path):
    path = tmp_path / NAME
    path.write_bytes(b"ID|SIDE|V00MEFFWK\n1|1|2|\n")
    assert read_moaks_tables([path]).grades_for("1", "V00", "right")[0].grade == 2


def test_every_column_that_the_phantom_writes_is_read_as_what_it_is():
    # The phantom keeps a list of its own; agreement says nothing about OAI's real names.
    read = load_variables()
    for stem, written in PHANTOM_VARIABLES.items():
        question = question_by_region(f"{written.feature.value}:{written.site}")
        assert read[stem].question_id == question.question_id
        assert read[stem].components == written.components
        if stem in GUESSED_STEMS:
            assert read[stem].status is StemStatus.ASSUMED


def test_grades_that_the_phantom_writes_come_back(tmp_path: Path):
    components = dict.fromkeys(Component, 2) | {Component.FULL_THICKNESS: 1}
    cells: dict[str, str] = {}
    for stem, variable in PHANTOM_VARIABLES.items():
        top = max(SCALES[variable.feature, variable.components[0]].grades)
        codes = [str(min(components[c], top)) for c in variable.components]
        cells[stem] = f"{'.'.join(codes)}: text"
    cells["MSYIC"] = MISSING
    path = tmp_path / NAME
    path.write_bytes(format_table([Read("PH000001", Side.LEFT, cells)]))
    grades = read_moaks_tables([path]).grades_for("PH000001", "V00", "left")
    assert len(grades) == sum(len(v.components) for v in PHANTOM_VARIABLES.values())
    for grade in grades:
        if grade.question_id == 42:
            assert grade.status is GradeStatus.MISSING
        else:
            question = QUESTIONS[grade.question_id]
            top = max(question.scale(grade.component).grades)
            assert grade.grade == min(components[grade.component], top)


def test_a_code_that_is_split_over_two_columns_is_refused(tmp_path: Path):
    # The released label tables: the size, and the full thickness under the name that pandas gives
    # a second column. Read alone, the size 2 would say that full thickness is 0.
    columns = ("V00MCMPM", "V00MCMPM.1", "V00MBMSPM", "OTHER.1")
    path = write_table(
        tmp_path / "kMRI_SQ_MOAKS_BICL00.txt", columns, [{"V00MCMPM": "2", "V00MCMPM.1": "1"}]
    )
    with pytest.raises(InputError) as caught:
        read_moaks_tables([path])
    assert "1 problem" in caught.value.message
    assert "column 'V00MCMPM.1' is a second 'V00MCMPM'" in caught.value.message
