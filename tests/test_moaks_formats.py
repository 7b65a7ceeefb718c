import gzip
from pathlib import Path

import pytest

from knee.errors import InputError
from knee.grades import GradeStatus
from tests.sas7bdat_writer import write_sas7bdat
from tools.moaks_formats import open_table
from tools.moaks_table import read_moaks_tables

SAS_FILE = Path(__file__).parent / "sas_special_missing.sas7bdat.gz"
"""Written by SAS itself: `missing_test.sas7bdat` of pyreadstat's tests (Apache-2.0, copyright 2018
Hoffmann-La Roche); one row of special missing values. No real MOAKS table may be redistributed."""


def rows_of(path: Path) -> list[tuple[int, list[str]]]:
    return list(open_table(path).rows)


def test_special_missing_values_of_a_file_that_sas_wrote_stay_apart(tmp_path: Path):
    path = tmp_path / "table.sas7bdat"
    path.write_bytes(gzip.decompress(SAS_FILE.read_bytes()))
    table = open_table(path)
    assert table.header == tuple(f"var{number}" for number in range(1, 10))
    assert list(table.rows) == [(1, [".A", ".B", ".C", ".X", ".Y", ".Z", "._", ".", "1.0"])]


def test_a_sas_table_is_read_as_its_ascii_form_is(tmp_path: Path):
    header = ["ID", "SIDE", "READPRJ", "VERSION", "V00MCMPM", "V00MBMNPM", "V00MEFFWK", "V00MSYIC"]
    rows = [
        [9000001.0, 1.0, "22", "SQ:22", 2.1, 5.0, ".P", ".A"],
        [9000001.0, 2.0, "63A", "SQ:61", ".T", None, 0.0, 3.0],
    ]
    path = write_sas7bdat(tmp_path / "kmri_sq_moaks_bicl00.sas7bdat", header, rows)
    table = read_moaks_tables([path])
    right = {
        (g.question_id, g.component.value): g for g in table.grades_for("9000001", "V00", "right")
    }
    left = {
        (g.question_id, g.component.value): g for g in table.grades_for("9000001", "V00", "left")
    }
    assert (right[16, "size"].grade, right[16, "full_thickness"].grade) == (2, 1)
    assert right[16, "size"].raw == ("2.1",)
    assert (right[1, "number"].grade, right[1, "number"].raw) == (3, ("5.0",))
    assert right[43, "grade"].status is GradeStatus.PROSTHESIS
    assert right[42, "grade"].status is GradeStatus.NOT_READ_IN_PROJECT
    assert left[16, "size"].status is GradeStatus.MISSING
    assert left[16, "size"].raw == (".T",)
    assert left[1, "number"].status is GradeStatus.MISSING
    assert (left[43, "grade"].grade, left[42, "grade"].grade) == (0, 3)
    assert (left[43, "grade"].readprj, left[43, "grade"].lines) == (("63A",), (2,))


def test_numbers_of_keys_are_plain_in_sas_files_too(tmp_path: Path):
    header = ["id", "side", "readprj", "V00MEFFWK"]
    path = write_sas7bdat(tmp_path / "a.sas7bdat", header, [[9000001.0, 2.0, 22.0, 1.0]])
    (grade,) = read_moaks_tables([path]).grades_for("9000001", "V00", "left")
    assert grade.readprj == ("22",)


def test_pandas_reads_what_the_tests_write_as_sas(tmp_path: Path):
    # Another reader than ours: the tests' files are what they claim to be.
    import pandas as pd

    rows = [["A1", 1.0, 2.1], ["B22", 2.0, None]] * 300
    path = write_sas7bdat(tmp_path / "a.sas7bdat", ["ID", "SIDE", "V00MBMSFMAX"], rows)
    frame = pd.DataFrame(pd.read_sas(path, encoding="infer"))
    assert list(frame.columns) == ["ID", "SIDE", "V00MBMSFMAX"]
    assert len(frame) == 600
    assert frame["ID"].tolist()[:2] == ["A1", "B22"]
    assert frame["V00MBMSFMAX"].isna().tolist()[:2] == [False, True]


@pytest.mark.parametrize("cut", [10, 5000, 9000])
def test_a_damaged_sas_file_is_an_input_error(tmp_path: Path, cut: int):
    data = gzip.decompress(SAS_FILE.read_bytes())
    path = tmp_path / "a.sas7bdat"
    path.write_bytes(data[:cut])
    with pytest.raises(InputError, match="cannot be read as a SAS file"):
        open_table(path)


def test_quoted_csv_cells_may_hold_the_delimiter_and_line_ends(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('ID,SIDE,V00MEFFWK\n1,1,"1: small, or\nso"\n2,2,"0: ""none"""\n')
    assert rows_of(path) == [
        (3, ["1", "1", "1: small, or\nso"]),
        (4, ["2", "2", '0: "none"']),
    ]


def test_line_ends_of_every_system_are_understood(tmp_path: Path):
    path = tmp_path / "a.txt"
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes(f"ID|SIDE|V00MEFFWK{end}1|1|2{end}".encode())
        assert rows_of(path)[0] == (2, ["1", "1", "2"])
        assert read_moaks_tables([path]).n_rows == 1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_texts_keep_their_letters(tmp_path: Path, encoding: str):
    path = tmp_path / "a.txt"
    path.write_bytes("ID|SIDE|V00MEFFWK\n1|1|1: \xe4hnlich\n".encode(encoding))
    assert open_table(path).header[0] == "ID"
    assert rows_of(path)[0][1][2] == "1: \xe4hnlich"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("ID|SIDE\n".encode("utf-16"), "not a text file"),
        (b"PK\x03\x04\x00\x00zip", "not a text file"),
        (b"\xef\xbb\xbfID|SIDE\n1|\xe4\n", "marked as UTF-8 and is not"),
        (b"ID;SIDE\n", "wrong delimiter.*but ';'"),
        (b"ID\tSIDE\n", r"wrong delimiter.*but '\\t'"),
        (b"ID SIDE\n", "wrong delimiter"),
        (b"", "wrong delimiter"),
    ],
)
def test_what_is_no_table_is_an_input_error(tmp_path: Path, data: bytes, words: str):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        open_table(path)
    assert caught.value.hint


def test_a_quote_left_open_swallows_no_row(tmp_path: Path):
    path = tmp_path / "kMRI_SQ_MOAKS_BICL00.txt"
    path.write_text(
        'ID|SIDE|V00MCMPM|V00MBMSPM\n9000001|1|"2.1: a|0: b\n9000002|1|0.0|1\n9000003|1|0.0"|3\n'
    )
    with pytest.raises(InputError) as caught:
        read_moaks_tables([path])
    assert "line 4" in caught.value.message
    assert "a quote is left open" in caught.value.message


def test_a_text_over_several_lines_is_one_cell(tmp_path: Path):
    path = tmp_path / "kMRI_SQ_MOAKS_BICL00.csv"
    path.write_text('ID,SIDE,V00MCMPM\n9000001,1,"2.1: 10-75%, area\nand more"\n')
    (size, full) = read_moaks_tables([path]).grades_for("9000001", "V00", "right")
    assert (size.grade, full.grade) == (2, 1)
