"""Describes a cohort's volumes in worker processes, each in memory of its own.

A volume that cannot be described is yielded with its error while the others go on; when the system
kills a worker, only the volume that kills it again fails.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from knee.anatomy import Side
from knee.calibration import Calibration
from knee.errors import InputError, KneeError
from knee.findings import VolumeFindings
from stages.console import say
from tools.cohort import Cohort
from tools.cohort_volume import CohortVolume


@dataclass(frozen=True, slots=True)
class DescribeSettings:
    """What is the same for all volumes of a cohort."""

    calibration: Calibration | None = None
    """Fitted cut-offs, or None."""
    resample: bool = False
    """Bring label maps on other grids onto their images' grids."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker needs to describe one volume."""

    image: Path | None
    label_map: Path
    scheme: str
    side: Side
    volume_id: str
    settings: DescribeSettings


def _describe(task: _Task) -> VolumeFindings:
    """Runs in a worker: reads the files of one volume and describes it."""
    from tools.describe import describe_volume
    from tools.dicom_ends import ENDS_UNKNOWN
    from tools.segmentation import load_label_map, load_scheme, on_image_grid
    from tools.volumes import load_volume

    label_map = load_label_map(task.label_map, load_scheme(task.scheme), task.side)
    image = None if task.image is None else load_volume(task.image)
    if image is not None:
        label_map = on_image_grid(image, label_map, resample=task.settings.resample)
    doubts = () if image is None else tuple(n for n in image.notes if n != ENDS_UNKNOWN)
    for note in (*doubts, *label_map.notes):
        say(f"  {task.volume_id}: {note}")
    return describe_volume(image, label_map, task.volume_id, calibration=task.settings.calibration)


def describe_all(
    cohort: Cohort, settings: DescribeSettings, workers: int
) -> Iterator[tuple[CohortVolume, VolumeFindings | KneeError]]:
    """Yields each volume with its findings, or the error that kept it from having any.

    At most two volumes a worker are in flight, so that memory does not grow with the cohort. When
    the system kills a worker (memory ran out), nobody can tell which volume it was: each that was
    in flight is described again on its own, and only the one that kills its worker again fails.
    """
    left = iter(cohort.volumes)
    while in_flight := (yield from _describe_in_pool(cohort, settings, workers, left)):
        for volume in in_flight:
            yield from _describe_alone(cohort, settings, volume)


def _describe_in_pool(
    cohort: Cohort, settings: DescribeSettings, workers: int, left: Iterator[CohortVolume]
) -> Generator[tuple[CohortVolume, VolumeFindings | KneeError], None, list[CohortVolume]]:
    """Yields volumes as they are done; returns those in flight when a worker was killed."""
    waiting: dict[Future[VolumeFindings], CohortVolume] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while True:
            while len(waiting) < 2 * workers and (volume := next(left, None)) is not None:
                try:
                    waiting[pool.submit(_describe, _task(cohort, volume, settings))] = volume
                except BrokenProcessPool:
                    return [*waiting.values(), volume]
            if not waiting:
                return []
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                volume = waiting.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    return [volume, *waiting.values()]
                yield volume, _result(future, volume)


def _describe_alone(
    cohort: Cohort, settings: DescribeSettings, volume: CohortVolume
) -> Iterator[tuple[CohortVolume, VolumeFindings | KneeError]]:
    """Yields one volume, described by a worker that has nothing else to do."""
    killed = yield from _describe_in_pool(cohort, settings, 1, iter((volume,)))
    if killed:
        yield (
            volume,
            InputError(
                f"the worker that described {volume.label_map!r} was killed by the system",
                "most often memory ran out: give it more, or a smaller volume",
            ),
        )


def _task(cohort: Cohort, volume: CohortVolume, settings: DescribeSettings) -> _Task:
    return _Task(
        image=cohort.image_path(volume),
        label_map=cohort.label_map_path(volume),
        scheme=cohort.scheme_reference(volume),
        side=volume.key.side,
        volume_id=volume.volume_id,
        settings=settings,
    )


def _result(future: Future[VolumeFindings], volume: CohortVolume) -> VolumeFindings | KneeError:
    error = future.exception()
    if isinstance(error, MemoryError):
        return InputError(
            f"memory ran out while {volume.label_map!r} was described",
            "use fewer --workers, or a smaller volume",
        )
    return error if isinstance(error, KneeError) else future.result()
