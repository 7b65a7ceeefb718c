"""From the box that a model writes to the stored voxel frame, and back, in each convention.

A model gives a box in the numbers that it was trained to give (`Coordinates`):

    pixels_sent  first and last picture, and `[x0, y0, x1, y1]` in pixels of the picture as sent
    per_mille    the same, each edge of the picture counted 0 to 1000
    voxels       `[i0, i1, j0, j1, k0, k1]`: indices of the stored array, half-open; slices by the
                 index that stands above the picture

x grows to the right and y downwards, from the picture's top left corner, strip and black filling
included. A picture stands for its part of the volume (`eval.pictures`). In the plane a corner goes
to the nearest voxel edge; axes are turned and flipped by the affine, exactly.
"""

from typing import NamedTuple

from eval.bench_records import Coordinates
from eval.pictures import PictureSeries, PlanePictures
from knee.calls import Record
from knee.geometry import Box3D, Frame, voxel_box
from tools.volumes import canonical_box_to_stored, stored_box_to_canonical

MILLE = 1000.0
_LARGEST = 1e6
"""No picture and no volume is larger; what is beyond is no coordinate."""


class PictureBox(Record):
    """A box in pictures."""

    first: int
    """Number of the first picture that shows it, from 1."""
    last: int
    """Number of the last one, which shows it as well."""
    rectangle: tuple[float, float, float, float]
    """`x0, y0, x1, y1`, in pixels or per mille."""


class IndexBox(Record):
    """A box in indices of the stored array."""

    indices: tuple[float, float, float, float, float, float]
    """`i0, i1, j0, j1, k0, k1`, half-open."""


AnswerBox = PictureBox | IndexBox
"""A box as a model gave it."""


class ReadBox(NamedTuple):
    """A model's box in the stored voxel frame, or why there is none."""

    box: Box3D | None
    """Half-open, inside the volume."""
    reason: str | None
    """`code: detail`; None with a box."""


def read_box(answer: AnswerBox, series: PictureSeries, coordinates: Coordinates) -> ReadBox:
    """Returns a model's box in the stored voxel frame, clipped to the volume.

    Edges in the wrong order are put in order, as they say the same. A box that is empty, outside,
    or in pictures that were not sent is none.

    Args:
        answer: as the model gave it.
        series: the pictures that it saw.
        coordinates: its convention.
    """
    if isinstance(answer, IndexBox):
        return _of_indices(answer, series)
    first, last = sorted((answer.first, answer.last))
    plane, other = series.plane_of(first), series.plane_of(last)
    if plane is None or other is None:
        n = sum(len(entry.images) for entry in series.planes)
        return ReadBox(None, f"picture_not_shown: {first!r} to {last!r} of {n} pictures")
    if plane is not other:
        return ReadBox(None, f"pictures_of_two_planes: {first!r} to {last!r}")
    through = (plane.parts[first - plane.first][0], plane.parts[last - plane.first][1])
    return _of_rectangle(answer, through, plane, series, coordinates)


def write_box(box: Box3D, series: PictureSeries, coordinates: Coordinates) -> AnswerBox:
    """Returns how a perfect model gives a box: whole numbers, in pictures of the first plane.

    Args:
        box: half-open, stored indices.
        series: the pictures.
        coordinates: the convention.
    """
    if coordinates is Coordinates.VOXELS:
        return IndexBox(indices=box.indices)
    return picture_box(box, series.planes[0], series, coordinates)


def picture_box(
    box: Box3D, plane: PlanePictures, series: PictureSeries, coordinates: Coordinates
) -> PictureBox:
    """Returns a box in the pictures of one plane, rounded to whole pixels or per mille."""
    bounds = stored_box_to_canonical(box, series.volume).indices
    through, rows, columns = plane.axes
    low, high = best_parts(plane, bounds[2 * through], bounds[2 * through + 1])
    image = plane.images[0]
    x = [
        image.origin[0] + (image.corner[1] - edge) / image.voxels_per_pixel[1]
        for edge in (bounds[2 * columns + 1], bounds[2 * columns])
    ]
    y = [
        image.origin[1] + (image.corner[0] - edge) / image.voxels_per_pixel[0]
        for edge in (bounds[2 * rows + 1], bounds[2 * rows])
    ]
    width, height = plane.size
    if coordinates is Coordinates.PER_MILLE:
        x, y = [v * MILLE / width for v in x], [v * MILLE / height for v in y]
    (x0, x1), (y0, y1) = _whole(x), _whole(y)
    return PictureBox(first=plane.first + low, last=plane.first + high, rectangle=(x0, y0, x1, y1))


def best_parts(plane: PlanePictures, low: int, high: int) -> tuple[int, int]:
    """Returns first and last of the pictures (from 0) whose parts fit [low, high) best, by IoU."""
    best, found = -1.0, (0, 0)
    for first, (start, _) in enumerate(plane.parts):
        for last in range(first, len(plane.parts)):
            end = plane.parts[last][1]
            shared = max(0, min(end, high) - max(start, low))
            overlap = shared / (end - start + high - low - shared)
            if overlap > best:
                best, found = overlap, (first, last)
    return found


def best_box(box: Box3D, series: PictureSeries) -> Box3D:
    """Returns the nearest box that can be said in pictures of the first plane, pixels aside."""
    plane = series.planes[0]
    bounds = list(stored_box_to_canonical(box, series.volume).indices)
    through = plane.axes[0]
    first, last = best_parts(plane, bounds[2 * through], bounds[2 * through + 1])
    bounds[2 * through], bounds[2 * through + 1] = plane.parts[first][0], plane.parts[last][1]
    return canonical_box_to_stored(voxel_box(*bounds), series.volume)


def _whole(values: list[float]) -> tuple[float, float]:
    """Two edges as whole numbers, never the same one."""
    low, high = round(values[0]), round(values[1])
    return float(low), float(max(high, low + 1))


def _of_indices(answer: IndexBox, series: PictureSeries) -> ReadBox:
    if not all(abs(value) <= _LARGEST for value in answer.indices):
        return ReadBox(None, f"outside_volume: {list(answer.indices)!r}")
    bounds: list[int] = []
    for axis in range(3):
        edges = sorted(answer.indices[2 * axis : 2 * axis + 2])
        low, high = (min(max(round(edge), 0), series.volume.shape[axis]) for edge in edges)
        if low >= high:
            return ReadBox(None, f"empty_box: {list(answer.indices)!r}")
        bounds += [low, high]
    return ReadBox(_box(bounds), None)


def _of_rectangle(
    answer: PictureBox,
    through: tuple[int, int],
    plane: PlanePictures,
    series: PictureSeries,
    coordinates: Coordinates,
) -> ReadBox:
    shown = f"rectangle {list(answer.rectangle)!r}"
    if not all(abs(value) <= _LARGEST for value in answer.rectangle):
        return ReadBox(None, f"outside_picture: {shown}")
    width, height = plane.size
    scale = (width / MILLE, height / MILLE) if coordinates is Coordinates.PER_MILLE else (1.0, 1.0)
    xs = [value * scale[0] for value in sorted(answer.rectangle[0::2])]
    ys = [value * scale[1] for value in sorted(answer.rectangle[1::2])]
    if xs[0] == xs[1] or ys[0] == ys[1]:
        return ReadBox(None, f"empty_box: {shown}")
    image = plane.images[0]
    axis, rows, columns = plane.axes
    canonical = series.volume.to_canonical().shape
    ranges: dict[int, tuple[int, int]] = {axis: through}
    places = (
        (columns, xs, image.origin[0], image.corner[1], image.voxels_per_pixel[1]),
        (rows, ys, image.origin[1], image.corner[0], image.voxels_per_pixel[0]),
    )
    for along, edges, origin, corner, per_pixel in places:
        # Indices fall with growing pixels: the right edge is the low one.
        low, high = (corner - (edge - origin) * per_pixel for edge in reversed(edges))
        if high <= 0 or low >= canonical[along]:
            return ReadBox(None, f"outside_picture: {shown}")
        ranges[along] = _nearest_edges(low, high, canonical[along])
    bounds = [edge for a in range(3) for edge in ranges[a]]
    return ReadBox(canonical_box_to_stored(_box(bounds), series.volume), None)


def _nearest_edges(low: float, high: float, n: int) -> tuple[int, int]:
    """Voxel edges nearest to a range that meets [0, n), at least one voxel apart."""
    first, last = min(max(round(low), 0), n - 1), min(max(round(high), 1), n)
    return (first, last) if first < last else (first, first + 1)


def _box(bounds: list[int]) -> Box3D:
    i0, i1, j0, j1, k0, k1 = bounds
    return Box3D(frame=Frame.VOXEL_IJK, lower=(i0, j0, k0), upper=(i1, j1, k1))
