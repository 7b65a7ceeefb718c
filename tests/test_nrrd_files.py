from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knee.errors import InputError
from tools.nrrd_files import read_nrrd
from tools.volumes import load_volume

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


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(4, 240), st.integers(0, 255)), min_size=1, max_size=5)
)
def test_damaged_headers_give_a_volume_or_an_input_error(
    good_bytes: bytes, changes: list[tuple[int, int]]
):
    data = bytearray(good_bytes)
    for position, value in changes:
        data[position % len(data)] = value
    try:
        array, affine = read_nrrd(bytes(data), Path("fuzz.nrrd"))
    except InputError as error:
        message = error.message
    else:
        message = "fuzz.nrrd"
        assert array.ndim == 3
        assert affine.shape == (4, 4)
    assert "fuzz.nrrd" in message
