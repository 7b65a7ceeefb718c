"""Another patient's knee in place of the item's own, and boxes carried from one to the other.

The choice depends on the bench alone: of the volumes of other patients with the same side and
sequence, those of the same grid where there are any, the one that the volume's own id hashes to.
"""

from collections.abc import Sequence
from hashlib import sha256

from eval.bench_records import BenchVolume
from knee.errors import BenchError
from knee.geometry import Box3D, voxel_box
from tools.volumes import Volume, canonical_box_to_stored, stored_box_to_canonical


def other_patients(volumes: Sequence[BenchVolume]) -> dict[str, BenchVolume | None]:
    """Returns for each volume the one shown in its place; None where no other patient has one.

    Args:
        volumes: all volumes of the bench.

    Raises:
        BenchError: not one volume has another patient's to stand for it.
    """
    with_image = [v for v in volumes if v.image is not None and v.shape is not None]
    found = {volume.volume_id: _other(volume, with_image) for volume in volumes}
    if not any(found.values()):
        raise BenchError(
            f"the bench has no other patient's image for any of its {len(volumes)} volume(s)",
            "this control needs two patients with an image of the same side and sequence",
        )
    return found


def _other(volume: BenchVolume, volumes: Sequence[BenchVolume]) -> BenchVolume | None:
    others = [
        other
        for other in volumes
        if other.patient != volume.patient
        and (other.side, other.sequence) == (volume.side, volume.sequence)
    ]
    same_grid = [other for other in others if other.shape == volume.shape]
    chosen = sorted(same_grid or others, key=lambda other: other.volume_id)
    if not chosen:
        return None
    number = int.from_bytes(sha256(volume.volume_id.encode()).digest()[:8])
    return chosen[number % len(chosen)]


def carry_box(box: Box3D, source: Volume, target: Volume) -> Box3D:
    """Returns a box at the same place of another volume, as shares of its extent along RAS.

    On the same grid it is the same box.

    Args:
        box: half-open voxel box in stored indices of `source`.
        source: only shape and affine are used.
        target: likewise.
    """
    bounds = stored_box_to_canonical(box, source).indices
    shapes = (source.to_canonical().shape, target.to_canonical().shape)
    moved: list[int] = []
    for axis in range(3):
        n_from, n_to = shapes[0][axis], shapes[1][axis]
        low = min(max(round(bounds[2 * axis] * n_to / n_from), 0), n_to - 1)
        high = min(max(round(bounds[2 * axis + 1] * n_to / n_from), low + 1), n_to)
        moved += [low, high]
    return canonical_box_to_stored(voxel_box(*moved), target)
