"""Pseudonyms: nothing that can tell a patient is left in any file of an export."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from knee.errors import InputError
from stages.export import ExportOptions, export
from stages.pseudonyms import Pseudonyms, read_key
from store.export import ExportRequest
from tests.export_cases import BARCODE, DATE, NEW, OLD, PATIENTS, STUDY, make_store

KEY = bytes(range(40))
TELLING = (*PATIENTS, DATE, BARCODE, STUDY, "2005-08-25", "/mnt/oai", OLD, NEW, "20260101")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("pseudonyms") / "knees.duckdb")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path


def told_in(folder: Path) -> set[str]:
    """What of `TELLING` is in any file: its bytes, and for Parquet every value and the metadata."""
    found: set[str] = set()
    for path in folder.rglob("*"):
        texts = [path.relative_to(folder).as_posix()]
        if path.is_file():
            texts.append(path.read_bytes().decode(errors="replace"))
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            texts += [str(file.read().to_pylist()), str(file.schema_arrow.metadata)]
            texts += [str(file.metadata.metadata), str(file.metadata.to_dict())]
        found |= {word for word in TELLING for text in texts if word in text}
    return found


@pytest.mark.parametrize("form", ["parquet", "jsonl", "sft-chat", "release"])
def test_no_file_holds_an_id_a_date_a_barcode_or_a_path(
    store: Path, tmp_path: Path, key_file: Path, form: str
):
    request = ExportRequest(where=f"NOT synthetic AND patient <> '{'9999999'}'")
    plain, out = tmp_path / "plain", tmp_path / "out"
    if form == "parquet":
        # The search finds them where they are: dates and barcodes are in texts and paths.
        export(ExportOptions(store, plain, request, form))
        assert told_in(plain) >= {*PATIENTS, DATE, BARCODE, "2005-08-25", "/mnt/oai", OLD}
    export(ExportOptions(store, out, request, form, key_file))
    assert told_in(out) == set()
    assert "9999999" not in (out / "README.md").read_text()


def test_names_are_the_same_in_each_export_and_give_the_order_of_rows(
    store: Path, tmp_path: Path, key_file: Path
):
    request = ExportRequest(where="NOT synthetic")
    orders: list[list[str]] = []
    for name in ("a", "b"):
        export(ExportOptions(store, tmp_path / name, request, "parquet", key_file))
        table = pq.read_table(tmp_path / name / "data/train/train-00000-of-00001.parquet")
        orders.append(table.column("volume_id").to_pylist())
    names = Pseudonyms(KEY)
    volumes = [names.volume(f"{p}/V00/right/dess") for p in ("9104001", "9104002")]
    assert orders[0] == orders[1] == sorted(volumes * 2)
    other = Pseudonyms(KEY[::-1])
    assert not {other.volume(f"{p}/V00/right/dess") for p in PATIENTS} & set(volumes)
    assert other.key_name != names.key_name


def test_texts_lose_what_tells_and_keep_measurements():
    names = Pseudonyms(KEY, ("9104001", "SUBJ-12", "anna"), (f"x/{STUDY}/scan_{BARCODE}.nii",))
    text = names.text(
        f"SUBJ-12 and anna and 9104001, {STUDY}, scan_{BARCODE}, 8123456, 25.08.2005: 12.3 % of "
        "1234.5 mm³, 2.1 mm on slice 104, grade 2; 33-66 %, V00, see C:\\data\\x or /home/a/b.png."
    )
    for word in ("SUBJ-12", "anna", "9104001", STUDY, BARCODE, "8123456", "2005", "data", "home"):
        assert word not in text, word
    for word in "12.3 % of 1234.5 mm³, 2.1 mm on slice 104, grade 2; 33-66 %, V00":
        assert word in text


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "key file not found"),
        (KEY[:31], 0o600, "has 31 bytes, at least 32"),
        (b"a" * 64, 0o600, "only 1 different bytes"),
        (KEY, 0o644, "has mode 0644: others may use it"),
    ],
)
def test_a_key_file_that_will_not_do_is_refused(
    store: Path, tmp_path: Path, content: bytes | None, mode: int, words: str
):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(InputError, match=words) as error:
        export(ExportOptions(store, tmp_path / "out", ExportRequest(), "parquet", path))
    assert error.value.hint
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="is not a file"):
        read_key(tmp_path)
