"""What a drafter was shown of an image: which slices, cut and windowed how. No pixels are in it."""

from typing import Literal

from pydantic import Field

from knee.calls import Record

PlaneName = Literal["sagittal", "coronal", "axial"]
"""The three planes, by their English names."""


class ShownSlice(Record):
    """One slice as it was sent, enough to make it again and to find a voxel in it."""

    position: int
    """1, 2, … in the order sent."""
    plane: PlaneName
    """Which plane."""
    axis: Literal["i", "j", "k"]
    """The stored array axis on which slices of this plane are counted."""
    index: int
    """Index along that axis, in the frame of the box (the volume as stored)."""
    left: str
    """What the image's left edge is, e.g. `anterior` or `patient's right, lateral`."""
    right: str
    """What its right edge is."""
    width: int
    """Pixels."""
    height: int
    """Pixels, the strip with the markers included."""
    mm_per_pixel: float
    """Edge of a pixel; pixels are square."""
    box_pixels: tuple[int, int, int, int]
    """`left, top, right, bottom` of the region's box in this image, half-open pixels."""
    sha256: str
    """`sha256:<hex>` of the PNG's bytes."""

    @property
    def name(self) -> str:
        """As the prompt and a draft name it, e.g. `sagittal slice 63`."""
        return f"{self.plane} slice {self.index}"


class ShownImages(Record):
    """The slices of one item, and what is the same for all of them."""

    volume_id: str
    """The volume that they are of: the item's, or another knee's in a shuffled control."""
    image_sha256: str
    """Of the image file."""
    percentiles: tuple[float, float]
    """Percentiles of the whole volume's intensities that are shown as black and as white."""
    window: tuple[float, float]
    """Those intensities."""
    box_drawn: bool
    """Whether the region's box is outlined."""
    slices: tuple[ShownSlice, ...] = Field(min_length=1)
    """In the order sent."""

    def indices(self, plane: str | None = None) -> frozenset[int]:
        """Returns the stored indices of the slices shown in one plane, or in any."""
        return frozenset(s.index for s in self.slices if plane in (None, s.plane))
