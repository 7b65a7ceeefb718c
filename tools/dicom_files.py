"""The DICOM files of a folder: which are slices, of which series, and what their headers say.

Only what a slice's place and values need is taken from a header. Names, dates, numbers of the
patient, and free text (a series description may hold any of them) are not read, so that they
reach no message, no store and no converted file.
"""

import logging
import math
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knee.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_PREFIX = b"DICM"
"""At byte 128 of a DICOM file."""
_BARE_BEGINNINGS = (b"\x02\x00\x00\x00", b"\x08\x00")
"""How a DICOM file without preamble begins: its first tag, group 2 or 8."""
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR, a media's table of contents."""
_COMPANIONS = frozenset(
    {".txt", ".json", ".csv", ".tsv", ".xml", ".html", ".pdf", ".md", ".png", ".jpg", ".jpeg"}
    | {".gz", ".nii", ".zip", ".log", ".db", ".ini", ".exe", ".inf"}
)
"""Suffixes of files that may lie beside slices; what has another suffix or none must be DICOM."""
_LATERALITY_TAGS = ("ImageLaterality", "Laterality")
"""Of the image and of the series; either may say which of two paired body parts is shown."""
_MAX_SIDE = 4096
"""Most rows or columns that are believed; a knee slice has 256 to 1024."""
_MAX_NAMED = 5
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    RuntimeError,
)
"""What pydicom raises on damaged files."""


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What the header of one single-frame image says.

    Attributes:
        path: the file.
        series: Series Instance UID.
        series_number: Series Number as written; empty when it is not there.
        instance: Instance Number as written; empty when it is not there.
        n_images: Images in Acquisition as written; empty when it is not there.
        echo_time: Echo Time in ms as written; empty when it is not there.
        modality: `MR` for what is read.
        image_type: e.g. (`ORIGINAL`, `PRIMARY`, `M`).
        shape: columns and rows; (0, 0) for what is no image.
        n_frames: frames in the file.
        orientation: direction cosines, in LPS, along a row and then along a column.
        position: centre of the first voxel, LPS mm.
        pixel_spacing: mm between rows, mm between columns.
        transfer_syntax: UID of how the pixels are encoded.
        pixel_type: bits allocated, 1 for signed or 0, samples per pixel.
        photometric: `MONOCHROME2` for what is read.
        scaling: Rescale Slope and Rescale Intercept; (1, 0) when they are not there.
        laterality: `R`, `L` or another code of Image Laterality and Laterality; none when neither
            is there, both where they differ.
    """

    path: Path
    series: str
    series_number: str
    instance: str
    n_images: str
    echo_time: str
    modality: str
    image_type: tuple[str, ...]
    shape: tuple[int, int]
    n_frames: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    transfer_syntax: str
    pixel_type: tuple[int, int, int]
    photometric: str
    scaling: tuple[float, float]
    laterality: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name, by which messages call it."""
        return self.path.name


def series_headers(folder: Path, series_number: int | None = None) -> list[SliceHeader]:
    """Returns the headers of a folder's one series, by file name.

    Subfolders are not entered. Hidden files, DICOMDIR and files of other kinds (`.txt`, `.json`)
    are passed over; a file that should be a slice and is not (empty, cut off) is an error.

    Args:
        folder: where the files are.
        series_number: Series Number of the wanted one; None where there is only one.

    Raises:
        InputError: no DICOM file, several series, or something that is no plain MR slice.
    """
    headers = list(_folder_headers(folder))
    if not headers:
        n_folders = sum(entry.is_dir() for entry in folder.iterdir())
        raise InputError(
            f"folder {str(folder)!r} holds no DICOM image ({n_folders} subfolders)",
            "give the folder that directly holds the slices of one series",
        )
    chosen = _one_series(headers, folder, series_number)
    for header in chosen:
        _check_slice(header)
    return chosen


@contextmanager
def quiet_pydicom() -> Generator[None]:
    """Keeps pydicom from warning of all that is not quite right; what matters becomes an error."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def named(names: Sequence[str]) -> str:
    """Returns the first five names quoted, and how many more there are."""
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(repr(name) for name in names[:_MAX_NAMED]) + more


def _folder_headers(folder: Path) -> Iterator[SliceHeader]:
    strays: list[str] = []
    try:
        for path in sorted(folder.iterdir()):
            if path.is_dir() or path.name.startswith("."):
                continue
            if not _is_dicom(path):
                if path.suffix.lower() not in _COMPANIONS:
                    strays.append(path.name)
                continue
            header = _read_header(path)
            if header is not None:
                yield header
    except OSError as error:
        raise InputError(
            f"folder {str(folder)!r} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if strays:
        raise InputError(
            f"folder {str(folder)!r} holds files that are not DICOM: {named(strays)}",
            "a cut-off copy of a slice looks like this: copy it again, or move the file away",
        )


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(132)
    return head[128:] == _PREFIX or head.startswith(_BARE_BEGINNINGS)


def _read_header(path: Path) -> SliceHeader | None:
    """The header of an image file; None for a DICOMDIR."""
    from pydicom import dcmread

    try:
        with quiet_pydicom():
            dataset = dcmread(path, stop_before_pixels=True, force=True)
            if _text(dataset.file_meta, "MediaStorageSOPClassUID") == _DIRECTORY_CLASS:
                return None
            header = _slice_header(path, dataset)
    except READ_ERRORS as error:
        raise InputError(
            f"{str(path)!r} cannot be read as DICOM: {type(error).__name__}: {error}",
            "the file may be cut off or damaged; copy it again",
        ) from error
    _check_understood(header)
    return header


def _check_understood(header: SliceHeader) -> None:
    """Refuses a header that says nothing because nobody knows how it is written."""
    from pydicom.uid import AllTransferSyntaxes

    known = {str(uid) for uid in AllTransferSyntaxes}
    if not header.modality and header.transfer_syntax not in known:
        raise InputError(
            f"{header.name!r} cannot be read: its transfer syntax {header.transfer_syntax!r} is "
            "not known",
            "write the series anew in a standard one, e.g. with `gdcmconv --raw` or `dcmconv`",
        )


def _slice_header(path: Path, dataset: "FileDataset") -> SliceHeader:
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    # Without preamble a file does not say how it is encoded; pydicom found it out by reading.
    implicit, _ = dataset.original_encoding
    bare = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return SliceHeader(
        path=path,
        series=_text(dataset, "SeriesInstanceUID"),
        series_number=_text(dataset, "SeriesNumber"),
        instance=_text(dataset, "InstanceNumber"),
        n_images=_text(dataset, "ImagesInAcquisition"),
        echo_time=_text(dataset, "EchoTime"),
        modality=_text(dataset, "Modality"),
        image_type=_values(dataset, "ImageType", str),
        shape=(int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0)),
        n_frames=int(dataset.get("NumberOfFrames") or 1),
        orientation=_values(dataset, "ImageOrientationPatient", float),
        position=_values(dataset, "ImagePositionPatient", float),
        pixel_spacing=_values(dataset, "PixelSpacing", float),
        transfer_syntax=_text(dataset.file_meta, "TransferSyntaxUID") or str(bare),
        pixel_type=(
            int(dataset.get("BitsAllocated") or 0),
            int(dataset.get("PixelRepresentation") or 0),
            int(dataset.get("SamplesPerPixel") or 1),
        ),
        photometric=_text(dataset, "PhotometricInterpretation"),
        scaling=(
            float(_text(dataset, "RescaleSlope") or 1.0),
            float(_text(dataset, "RescaleIntercept") or 0.0),
        ),
        laterality=tuple(sorted({_text(dataset, tag).upper() for tag in _LATERALITY_TAGS} - {""})),
    )


def _text(dataset: "Dataset", keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _values(dataset: "Dataset", keyword: str, as_type: Callable[[Any], Any]) -> tuple[Any, ...]:
    value = dataset.get(keyword)
    if value is None or value == "":
        return ()
    several = [value] if isinstance(value, (str, int, float)) else list(value)
    return tuple(as_type(one) for one in several)


def _one_series(
    headers: list[SliceHeader], folder: Path, series_number: int | None
) -> list[SliceHeader]:
    groups: dict[str, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(header.series, []).append(header)
    shown = "; ".join(_shown_series(group) for group in groups.values())
    wanted = [
        group
        for group in groups.values()
        if series_number is None or group[0].series_number == str(series_number)
    ]
    if not wanted:
        raise InputError(
            f"folder {str(folder)!r} holds no series {series_number!r}: it has {shown}",
            "name one of these by its number",
        )
    if len(wanted) > 1:
        raise InputError(
            f"folder {str(folder)!r} holds {len(wanted)} series: {shown}",
            "put each series into a folder of its own, or `convert --series NUMBER` the one wanted",
        )
    return wanted[0]


def _shown_series(group: list[SliceHeader]) -> str:
    first = group[0]
    columns, rows = first.shape
    return (
        f"series {first.series_number or 'without number'} ({first.modality or 'no modality'}, "
        f"{columns} x {rows}, {len(group)} files, the first {first.name!r})"
    )


def _check_slice(header: SliceHeader) -> None:
    """Refuses what is not one plain slice of an MR volume."""
    name = header.name
    if header.modality != "MR":
        raise InputError(
            f"{name!r} is not an MR image: its modality is {header.modality!r}",
            "give a folder with the slices of one MR series and nothing else",
        )
    if any(part.upper().startswith("LOCALI") for part in header.image_type):
        raise InputError(
            f"{name!r} is a localiser: its image type is {list(header.image_type)!r}",
            "give the series of the knee volume; a localiser only plans it",
        )
    if header.n_frames > 1:
        raise InputError(
            f"{name!r} is a multi-frame image: it has {header.n_frames} frames",
            "convert it to single-frame files, or to .nii.gz with dcm2niix",
        )
    wanted = {
        "ImageOrientationPatient": (header.orientation, 6),
        "ImagePositionPatient": (header.position, 3),
        "PixelSpacing": (header.pixel_spacing, 2),
    }
    for keyword, (values, n_values) in wanted.items():
        if len(values) != n_values:
            raise InputError(
                f"{name!r} does not say where it is: {keyword} is {list(values)!r}",
                "export the series from the scanner or archive again, with its geometry",
            )
    if not all(1 < side <= _MAX_SIDE for side in header.shape):
        columns, rows = header.shape
        raise InputError(
            f"{name!r} has an impossible size: {columns} columns, {rows} rows",
            "the file is damaged, or no image",
        )
    _check_values(header)
    _check_decodable(header)


def _check_values(header: SliceHeader) -> None:
    bits, _, samples = header.pixel_type
    if samples != 1 or header.photometric != "MONOCHROME2" or bits not in (8, 16, 32):
        raise InputError(
            f"{header.name!r} does not hold one grey value a voxel: photometric interpretation "
            f"{header.photometric!r}, {samples} sample(s) of {bits} bits",
            "give the original images, not screenshots or colour maps",
        )
    slope, intercept = header.scaling
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise InputError(
            f"{header.name!r} has RescaleSlope {slope!r} and RescaleIntercept {intercept!r}",
            "its header is damaged; export the series again",
        )


def _check_decodable(header: SliceHeader) -> None:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    with quiet_pydicom():
        uid = UID(header.transfer_syntax)
        try:
            available = get_decoder(uid).is_available
        except NotImplementedError:
            available = False
    if not available:
        raise InputError(
            f"{header.name!r} cannot be decoded: its transfer syntax is {uid.name!r}",
            "decompress the series first, e.g. with `gdcmconv --raw` or `dcmdjpeg`",
        )
