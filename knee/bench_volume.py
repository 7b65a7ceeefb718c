"""A volume of a test patient in ReasonKnee-Bench: the store gives it, the bench keeps it."""

from knee.calls import Record
from knee.geometry import Affine


class BenchVolume(Record):
    """One volume of a test patient."""

    volume_id: str
    """`<patient>/<visit>/<side>/<sequence>`."""
    patient: str
    """Patient id; the unit of every interval and test."""
    visit: str
    """`V00`…"""
    side: str
    """`right` or `left`."""
    sequence: str
    """MRI sequence of the image; the reads may rest on others (RULES 9)."""
    shape: tuple[int, int, int] | None
    """Array shape as stored; None for a volume that could not be described."""
    affine: Affine | None
    """Stored voxel indices to RAS mm; None like the shape."""
    image: str | None
    """Image file, relative to the cohort's root; None when there is only a label map."""
    image_sha256: str | None
    """Of the image; None without one."""
    mask_source: str | None
    """Where the masks come from, from which the boxes are."""
    segmenter: str | None
    """Who or what drew the masks."""
    segmenter_trained_on: bool | None
    """Whether the segmenter was trained on this patient (RULES 19); None when not known."""
    licence: str | None
    """Licence of the masks; None when not known."""
    image_licence: str | None
    """Licence of the image where it has one of its own."""
    restricted: bool | None
    """True where the data may not leave the machine (RULES 25); None when not known."""
    synthetic: bool
    """True for phantoms; never pooled with patients."""
