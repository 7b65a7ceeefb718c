"""Pictures for reports: the slices through a box of a volume in the store, as base64 PNG.

Pictures need the volumes' files; where those are away, the reason comes instead.
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from knee.anatomy import Side
from knee.errors import KneeError
from knee.geometry import Box3D
from knee.records import VolumeRecord
from tools.segmentation import LabelMap, load_label_map, load_scheme, on_image_grid
from tools.slices import sheet_png
from tools.volumes import Volume, load_volume

_PANEL_MM = 130.0
_PANEL_PIXELS = 390


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one volume, or why they cannot be shown."""

    image: Volume | None
    label_map: LabelMap | None
    trouble: str | None


class Pictures:
    """Draws sheets; keeps the volume drawn last, so ask volume by volume."""

    def __init__(self, cohort_root: Path | None) -> None:
        self._root = cohort_root
        self._loaded: dict[str, _Files] = {}

    def draw(self, volume: VolumeRecord, box: Box3D | None, title: str) -> tuple[str | None, str]:
        """Returns a base64 PNG of the slices through a box (stored voxels), or None and why."""
        if volume.volume_id not in self._loaded:
            self._loaded = {volume.volume_id: self._load(volume)}
        files = self._loaded[volume.volume_id]
        if files.trouble is not None:
            return None, files.trouble
        png = sheet_png(
            files.image,
            files.label_map,
            box,
            title=title,
            panel_mm=_PANEL_MM,
            panel_pixels=_PANEL_PIXELS,
        )
        return base64.b64encode(png).decode(), ""

    def _load(self, volume: VolumeRecord) -> _Files:
        root = self._root or Path(volume.cohort_root)
        try:
            image = None if volume.image is None else load_volume(root / volume.image)
            is_file = volume.scheme.endswith(".toml")
            scheme = load_scheme(str(root / volume.scheme) if is_file else volume.scheme)
            label_map = load_label_map(root / volume.label_map, scheme, Side(volume.side))
            if image is not None:
                # What `prepare` let through on another grid was resampled there; here as well.
                label_map = on_image_grid(image, label_map, resample=True)
        except KneeError as error:
            return _Files(None, None, error.message)
        return _Files(image, label_map, None)
