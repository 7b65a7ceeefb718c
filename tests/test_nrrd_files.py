import tracemalloc
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knee.errors import InputError
from tools.nrrd_files import read_nrrd
from tools.volumes import load_volume, make_volume

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
DIRECTIONS = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 2.0]])


def write(path: Path, array: Any = ARRAY, **header: Any) -> Path:  # noqa: ANN401
    fields: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": DIRECTIONS,
        "space origin": np.array([10.0, 20.0, 30.0]),
        **header,
    }
    nrrd.write(str(path), array, {k: v for k, v in fields.items() if v is not None})
    return path


@pytest.mark.parametrize(
    ("space", "orientation", "origin"),
    [
        ("left-posterior-superior", "LPS", (-10, -20, 30)),
        ("LPS", "LPS", (-10, -20, 30)),
        ("right-anterior-superior", "RAS", (10, 20, 30)),
        ("left-anterior-superior", "LAS", (-10, 20, 30)),
    ],
)
def test_patient_spaces_become_ras(
    tmp_path: Path, space: str, orientation: str, origin: tuple[float, float, float]
):
    volume = load_volume(write(tmp_path / "a.nrrd", space=space))
    assert volume.orientation == orientation
    assert tuple(volume.affine[:3, 3]) == origin
    assert volume.spacing == (0.5, 0.5, 2.0)
    assert np.array_equal(volume.array, ARRAY)
    assert volume.array.dtype == np.int16


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_every_encoding_is_read(tmp_path: Path, encoding: str):
    assert np.array_equal(load_volume(write(tmp_path / "a.nrrd", encoding=encoding)).array, ARRAY)


@pytest.mark.parametrize("space", ["scanner-xyz", None])
def test_spaces_without_left_and_right_are_refused(tmp_path: Path, space: str | None):
    header: dict[str, Any] = {"space": space}
    if space is None:
        header |= {"space dimension": 3}
    path = write(tmp_path / "a.nrrd", **header)
    with pytest.raises(InputError, match="is in the space") as caught:
        load_volume(path)
    assert repr(space or "") in caught.value.message


def test_four_axes_are_refused(tmp_path: Path):
    array = np.zeros((2, 3, 4, 5), dtype=np.uint8)
    directions = np.vstack([np.full((1, 3), np.nan), DIRECTIONS])
    path = write(tmp_path / "a.nrrd", array, **{"space directions": directions})
    with pytest.raises(InputError, match=r"4 axes of sizes \[2, 3, 4, 5\]"):
        load_volume(path)


def test_truncated_data_are_an_input_error(tmp_path: Path):
    path = write(tmp_path / "a.nrrd", np.random.default_rng(0).random((20, 20, 20)))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cannot be read as NRRD"):
        load_volume(path)


def test_detached_data_are_refused(tmp_path: Path):
    text = write(tmp_path / "a.nrrd", encoding="raw").read_bytes()
    head = text.split(b"\n\n")[0]
    path = tmp_path / "b.nrrd"
    path.write_bytes(head + b"\ndata file: secret.raw\n\n")
    with pytest.raises(InputError, match="in another file"):
        load_volume(path)


def test_a_header_that_claims_too_much_is_refused(tmp_path: Path):
    data = write(tmp_path / "a.nrrd", encoding="raw").read_bytes()
    path = tmp_path / "b.nrrd"
    path.write_bytes(data.replace(b"sizes: 3 4 5", b"sizes: 99999 99999 99999"))
    with pytest.raises(InputError, match="impossible sizes"):
        load_volume(path)


@pytest.fixture(scope="module")
def good_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("nrrd") / "a.nrrd").read_bytes()


def volume_or_refusal(data: bytes) -> str:
    """Reads bytes as `load_volume` does; returns the error's message, or nothing for a volume."""
    tracemalloc.start()
    try:
        array, affine = read_nrrd(data, Path("fuzz.nrrd"))
        volume = make_volume(array, affine, Path("fuzz.nrrd"), "sha256:0")
    except InputError as error:
        return error.message if error.hint else "no hint"
    else:
        assert np.isfinite(volume.affine).all()
        assert volume.array.dtype.kind in "iuf"
        return "fuzz.nrrd"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(4, 240), st.integers(0, 255)), min_size=1, max_size=5)
)
def test_damaged_headers_give_a_volume_or_an_input_error(
    good_bytes: bytes, changes: list[tuple[int, int]]
):
    data = bytearray(good_bytes)
    for position, value in changes:
        data[position % len(data)] = value
    assert "fuzz.nrrd" in volume_or_refusal(bytes(data))


NUMBER = st.one_of(
    st.integers(-(2**70), 2**70).map(str), st.floats().map(str), st.sampled_from(["none", "x", ""])
)
VECTOR = st.lists(NUMBER, max_size=4).map(lambda numbers: f"({','.join(numbers)})")
FIELDS = {
    "type": st.sampled_from(["short", "uchar", "double", "block", "float", "int64", "half", ""]),
    "dimension": NUMBER,
    "space": st.sampled_from(["left-posterior-superior", "RAS", "scanner-xyz", "", "3"]),
    "sizes": st.lists(NUMBER, max_size=5).map(" ".join),
    "space directions": st.lists(st.one_of(VECTOR, st.just("none")), max_size=4).map(" ".join),
    "space origin": VECTOR,
    "space units": st.sampled_from(['"mm" "mm" "mm"', '"um" "um" "um"', '"', "mm"]),
    "kinds": st.sampled_from(["domain domain domain", "list domain domain", ""]),
    "endian": st.sampled_from(["little", "big", "", "middle"]),
    "encoding": st.sampled_from(["raw", "gzip", "bzip2", "ascii", "hex", "", "txt"]),
    "line skip": st.integers(-5, 2**40).map(str),
    "byte skip": st.integers(-5, 2**40).map(str),
    "data file": st.sampled_from(["/etc/passwd", "x.raw", "LIST"]),
    "measurement frame": VECTOR,
}
"""Header fields to what a damaged or hostile file may say in them."""


@settings(max_examples=400, deadline=None)
@given(said=st.sets(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4), d=st.data())
def test_headers_that_claim_anything_give_a_volume_or_an_input_error(
    good_bytes: bytes, said: set[str], d: st.DataObject
):
    head, _, voxels = good_bytes.partition(b"\n\n")
    lines = head.decode("ascii").split("\n")
    for field in sorted(said):
        value = d.draw(FIELDS[field], label=field)
        lines = [line for line in lines if not line.startswith(f"{field}:")]
        lines.append(f"{field}: {value}")
    data = "\n".join(lines).encode("ascii") + b"\n\n" + voxels
    assert "fuzz.nrrd" in volume_or_refusal(data)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_a_header_that_claims_more_than_the_file_holds_allocates_nothing(
    tmp_path: Path, encoding: str
):
    data = write(tmp_path / "a.nrrd", encoding=encoding).read_bytes()
    data = data.replace(b"sizes: 3 4 5", b"sizes: 900 900 900")
    assert "fuzz.nrrd" in volume_or_refusal(data)


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_a_bomb_is_read_only_as_far_as_its_header_wants(tmp_path: Path, encoding: str):
    zeros = np.zeros((100, 300, 400), np.int16)
    data = write(tmp_path / "a.nrrd", zeros, encoding=encoding).read_bytes()
    data = data.replace(b"sizes: 100 300 400", b"sizes: 3 4 5")
    assert volume_or_refusal(data) == "fuzz.nrrd"


@pytest.mark.parametrize("field", ["line skip", "lineskip", "byte skip", "byteskip"])
def test_skips_are_refused(tmp_path: Path, field: str):
    data = write(tmp_path / "a.nrrd", encoding="raw").read_bytes()
    data = data.replace(b"encoding: raw", f"encoding: raw\n{field}: 1000000000000".encode())
    assert "skips lines or bytes" in volume_or_refusal(data)


@pytest.mark.parametrize("origin", ["(inf)", "(10)", "(10,20,nan)", "(10,20)"])
def test_an_origin_that_is_no_three_finite_numbers_is_refused(good_bytes: bytes, origin: str):
    """One number alone would have been taken for all three axes."""
    data = good_bytes.replace(b"space origin: (10,20,30)", f"space origin: {origin}".encode())
    assert data != good_bytes
    with pytest.raises(InputError, match="space origin"):
        read_nrrd(data, Path("fuzz.nrrd"))
