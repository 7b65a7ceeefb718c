"""Which slices a chat shows: those that the drafter saw, or else slices through the region's box.

A quintuple that was drafted from slices has them on record, and its steps speak of them; they are
what a chat shows. One that was drafted from text alone was drafted by somebody who saw nothing: its
chat gets slices through the box in the planes that the question is read in, and says so.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

from knee.anatomy import Side
from knee.questions import QUESTIONS
from knee.run_config import ImageSettings
from knee.shown_images import PlaneName
from prompts.context import reading_planes
from stages.export_writers import Row
from tools.planes import PLANES
from tools.slice_images import choose_slices, edge_names

UNSEEN: Final = ImageSettings(box_drawn=False)
"""How slices that no drafter saw are drawn: as a drafter's by default, but without the outline,
which would give the place away that a model is to find."""
AxisName: TypeAlias = Literal["i", "j", "k"]
_AXES: Final[tuple[AxisName, AxisName, AxisName]] = ("i", "j", "k")
_LOW, _HIGH = ("i0", "j0", "k0"), ("i1", "j1", "k1")
_CODES: Final = ("LR", "PA", "IS")
"""Codes of a stored axis that runs against and along each canonical one, in the order of PLANES."""


class SliceRef(NamedTuple):
    """One slice of a volume."""

    path: str
    """Where the picture is, relative to the export."""
    volume: str | None
    """Image file of the volume, relative to the cohort's root."""
    plane: PlaneName
    """`sagittal`, `coronal` or `axial`."""
    axis: AxisName
    """Axis of the stored array on which slices of this plane are counted."""
    slice_index: int
    """Index along it, as boxes count."""
    left: str
    """What the left edge of the picture is."""
    right: str
    """What the right edge is."""
    box_pixels: list[int] | None
    """`left, top, right, bottom` of the region's box in the picture, half-open; None where it was
    not drawn yet."""
    sha256: str | None
    """Hash of the picture; None where it was not drawn yet."""


def is_seen(row: Row) -> bool:
    """Returns whether the drafter of a row was shown slices."""
    return bool(row["shown_slices"])


def slices_of(row: Row) -> tuple[SliceRef, ...]:
    """Returns the slices of a row in their order; none where there is no image or no box."""
    if row["image"] is None or row["box"] is None:
        return ()
    if is_seen(row):
        return tuple(
            SliceRef(
                path=picture_path(row, shown["plane"], int(shown["index"])),
                volume=row["image"],
                plane=shown["plane"],
                axis=shown["axis"],
                slice_index=int(shown["index"]),
                left=shown["left"],
                right=shown["right"],
                box_pixels=list(shown["box_pixels"]),
                sha256=digest,
            )
            for shown, digest in zip(row["shown_slices"], row["shown_sha256"], strict=True)
        )
    if row["orientation"] is None:
        return ()
    side = Side(row["side"])
    return tuple(
        SliceRef(
            picture_path(row, plane, index),
            row["image"],
            plane,
            axis,
            index,
            *edge_names(plane, side),
            None,
            None,
        )
        for plane in planes_of(row)
        for axis, index in _through_box(row, plane)
    )


def planes_of(row: Row) -> tuple[PlaneName, ...]:
    """Returns the planes that a row's question is read in, the most telling first."""
    return reading_planes(QUESTIONS[int(row["question_id"])])


def picture_path(row: Row, plane: str, index: int) -> str:
    """Returns where the picture of a slice is; runs may show the same slice in other ways."""
    volume = str(row["volume_id"]).replace("/", "_")
    return f"images/{row['run_id']}/{volume}/q{int(row['question_id']):02d}-{plane}-{index:04d}.png"


def _through_box(row: Row, plane: PlaneName) -> tuple[tuple[AxisName, int], ...]:
    """Stored axis and indices of the slices of a plane, in the order in which they are drawn."""
    codes, shape = str(row["orientation"]), list[int](row["shape"])
    against, along = _CODES[PLANES.index(plane)]
    axis = next(number for number, code in enumerate(codes) if code in (against, along))
    low = max(int(row["box"][_LOW[axis]]), 0)
    high = min(int(row["box"][_HIGH[axis]]), shape[axis])
    if codes[axis] == along:
        chosen = choose_slices(low, high, UNSEEN.n_slices)
    else:
        n = shape[axis]
        chosen = tuple(n - 1 - c for c in choose_slices(n - high, n - low, UNSEEN.n_slices))
    return tuple((_AXES[axis], index) for index in chosen)
