"""Writes synthetic DICOM series for tests: every value is chosen here, none is a patient's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import (  # noqa: TID253 - only tests of DICOM import this module
    Dataset,
    FileDataset,
    FileMetaDataset,
)
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage  # noqa: TID253

ROW = (0.0, 1.0, 0.0)
"""Along a row: to posterior (LPS)."""
COLUMN = (0.0, 0.0, -1.0)
"""Along a column: to inferior (LPS)."""
ORIGIN = (30.0, -60.0, 50.0)
"""First voxel of the first slice, LPS mm."""
SPACING = (0.5, 0.25)
"""Between rows, between columns."""
STEP = 1.5
"""Between slices, mm; the slice thickness below is another number on purpose."""
SERIES = "2.25.1001"


def voxels(n_slices: int = 6) -> npt.NDArray[np.int16]:
    """Returns pixels (slice, row, column), every one different."""
    return np.arange(n_slices * 7 * 5, dtype=np.int16).reshape(n_slices, 7, 5)


def slice_dataset(pixels: npt.NDArray[Any], index: int, **fields: Any) -> FileDataset:  # noqa: ANN401
    """Returns one slice; fields replace or, when None, take away what is there."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"2.25.5{index:04}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)  # pyright: ignore[reportArgumentType]
    normal = np.cross(ROW, COLUMN)
    values: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": f"2.25.5{index:04}",
        "SeriesInstanceUID": SERIES,
        "SeriesNumber": 7,
        "InstanceNumber": index + 1,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "PatientName": "Doe^Jane",
        "PatientID": "SECRET-4711",
        "PatientBirthDate": "19500101",
        "StudyDescription": "Doe Jane knee",
        "SliceThickness": 9.0,
        "EchoTime": 4.7,
        "ImageOrientationPatient": [*ROW, *COLUMN],
        "ImagePositionPatient": [float(x) for x in np.array(ORIGIN) + index * STEP * normal],
        "PixelSpacing": list(SPACING),
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": pixels.dtype.itemsize * 8,
        "HighBit": pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **fields,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if fields.get("PixelData", b"") is not None:
        dataset.PixelData = fields.get("PixelData") or pixels.tobytes()
    return dataset


def write_series(
    folder: Path,
    pixels: npt.NDArray[Any] | None = None,
    *,
    names: str = "{:03}",
    changes: Mapping[int, Mapping[str, Any]] | None = None,
    **fields: Any,  # noqa: ANN401
) -> Path:
    """Writes a series into a folder, files named like OAI's (`001`), and returns the folder.

    Args:
        folder: made when it is not there.
        pixels: (slice, row, column).
        names: file name from the 1-based slice number.
        changes: fields of single slices, by 0-based index.
        fields: fields of every slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pixels = voxels() if pixels is None else pixels
    for index, plane in enumerate(pixels):
        extra = {**fields, **(changes or {}).get(index, {})}
        dataset = slice_dataset(plane, index, **extra)
        dataset.save_as(folder / names.format(index + 1), enforce_file_format=True)
    return folder


def write_without_preamble(dataset: Dataset, path: Path, *, implicit: bool) -> None:
    """Writes a data set as it was before DICOM files had a beginning of their own."""
    bare = Dataset()
    bare.update(dataset)
    bare.save_as(path, implicit_vr=implicit, little_endian=True)
