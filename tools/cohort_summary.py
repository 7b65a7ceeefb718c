"""`cohort summary`: what a cohort holds, in counts; what is not known is counted as such."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tools.cohort import Cohort
from tools.cohort_volume import CohortVolume
from tools.segmenters import TrainingPatients, trained_on

NOT_KNOWN = "not known"
"""Stands for an empty cell."""
GROUPINGS: Mapping[str, Callable[[CohortVolume], str | None]] = {
    "visit": lambda v: v.key.visit,
    "side": lambda v: v.key.side.value,
    "sequence": lambda v: v.key.sequence,
    "scheme": lambda v: v.scheme,
    "mask_source": lambda v: v.mask_source,
    "segmenter": lambda v: v.segmenter,
    "licence": lambda v: v.licence,
    "image_source": lambda v: v.image_source,
    "image_licence": lambda v: v.image_licence,
    "split": lambda v: v.split.value if v.split else "not assigned",
    "synthetic": lambda v: str(v.synthetic).lower(),
    "restricted": lambda v: str(v.restricted).lower(),
}
"""What volumes are counted by."""


class GroupCount(NamedTuple):
    """One value of one grouping."""

    grouping: str
    """A key of GROUPINGS."""
    value: str
    """The value; `not known` for an empty cell."""
    volumes: int
    """Volumes that have it."""
    patients: int
    """Their patients."""


class SegmenterOverlap(NamedTuple):
    """How many volumes of a segmenter are of patients that it was trained on (RULES 19)."""

    segmenter: str
    """The name, `not known` for an empty cell."""
    volumes: int
    """Volumes that it segmented."""
    trained_on: int | None
    """... whose patient it was trained on; None when its training patients are not known."""
    test_volumes: int
    """Volumes in the test split that it segmented."""
    test_trained_on: int | None
    """... whose patient it was trained on: masks that are better than they will be elsewhere."""


class CohortSummary(NamedTuple):
    """A cohort in counts."""

    volumes: int
    """Rows of the manifest."""
    patients: int
    """Patients."""
    knees: int
    """(patient, side)."""
    knee_visits: int
    """(patient, visit, side)."""
    without_image: int
    """Volumes that are a label map alone."""
    groups: tuple[GroupCount, ...]
    """By grouping, then by value."""
    segmenters: tuple[SegmenterOverlap, ...]
    """By segmenter."""


def summarise(cohort: Cohort, training: TrainingPatients) -> CohortSummary:
    """Returns a cohort's counts.

    Args:
        cohort: the cohort.
        training: training patients of the segmenters, as far as they are known.
    """
    volumes = cohort.volumes
    return CohortSummary(
        volumes=len(volumes),
        patients=len({v.key.patient for v in volumes}),
        knees=len({(v.key.patient, v.key.side) for v in volumes}),
        knee_visits=len({v.knee_visit for v in volumes}),
        without_image=sum(v.image is None for v in volumes),
        groups=tuple(g for name in GROUPINGS for g in _counts(name, volumes)),
        segmenters=_overlaps(volumes, training),
    )


def _counts(grouping: str, volumes: tuple[CohortVolume, ...]) -> list[GroupCount]:
    value_of = GROUPINGS[grouping]
    counts: Counter[str] = Counter()
    patients: dict[str, set[str]] = {}
    for volume in volumes:
        value = value_of(volume) or NOT_KNOWN
        counts[value] += 1
        patients.setdefault(value, set()).add(volume.key.patient)
    return [GroupCount(grouping, v, counts[v], len(patients[v])) for v in sorted(counts)]


def _overlaps(
    volumes: tuple[CohortVolume, ...], training: TrainingPatients
) -> tuple[SegmenterOverlap, ...]:
    by_segmenter: dict[str | None, list[CohortVolume]] = {}
    for volume in volumes:
        by_segmenter.setdefault(volume.segmenter, []).append(volume)
    overlaps: list[SegmenterOverlap] = []
    for segmenter, own in sorted(by_segmenter.items(), key=lambda pair: pair[0] or ""):
        known = segmenter is not None and segmenter in training
        seen = [v for v in own if trained_on(v, training)]
        overlaps.append(
            SegmenterOverlap(
                segmenter=segmenter or NOT_KNOWN,
                volumes=len(own),
                trained_on=len(seen) if known else None,
                test_volumes=sum(v.split == "test" for v in own),
                test_trained_on=sum(v.split == "test" for v in seen) if known else None,
            )
        )
    return tuple(overlaps)
