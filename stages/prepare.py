"""`prepare`: from a cohort folder to volumes, boxes, findings and clinicians' grades in the store.

Volumes are described in worker processes and written one by one as they are done, so that a killed
`prepare` keeps what it has. A volume that cannot be described is kept as `failed` with its reason
while the others go on; when not one can, nothing is written.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from knee.anatomy import Side
from knee.calibration import Calibration, load_calibration
from knee.errors import InputError, KneeError
from knee.findings import EvidenceLevel, VolumeFindings
from knee.grades import ClinicianGrade, GradeStatus, ReadsPolicy
from knee.keys import JsonValue
from knee.moaks import Feature
from knee.questions import N_WITH_REGION, QUESTIONS
from knee.records import VolumeRecord
from stages.console import emit_json, say, show_table
from store.writer import StoreWriter
from tools.cohort import Cohort, CohortVolume, load_cohort
from tools.moaks_table import MoaksTable, find_moaks_tables, read_moaks_tables
from tools.moaks_variables import load_variables

_MAX_REASONS = 20
EvidenceCounts = dict[Feature, dict[EvidenceLevel, int]]


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker needs to describe one volume."""

    image: Path | None
    label_map: Path
    scheme: str
    side: Side
    volume_id: str
    calibration: Calibration | None


def _describe(task: _Task) -> VolumeFindings:
    """Runs in a worker: reads the files of one volume and describes it."""
    from tools.describe import describe_volume
    from tools.segmentation import check_same_grid, load_label_map, load_scheme
    from tools.volumes import load_volume

    label_map = load_label_map(task.label_map, load_scheme(task.scheme), task.side)
    image = None if task.image is None else load_volume(task.image)
    if image is not None:
        check_same_grid(image, label_map.volume)
    return describe_volume(image, label_map, task.volume_id, calibration=task.calibration)


def describe_all(
    cohort: Cohort, calibration: Calibration | None, workers: int
) -> Iterator[tuple[CohortVolume, VolumeFindings | KneeError]]:
    """Yields each volume with its findings, or the error that kept it from having any.

    At most two volumes a worker are in flight, so that memory does not grow with the cohort.
    """
    waiting: dict[Future[VolumeFindings], CohortVolume] = {}
    left = iter(cohort.volumes)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while True:
            while len(waiting) < 2 * workers and (volume := next(left, None)) is not None:
                task = _Task(
                    image=cohort.image_path(volume),
                    label_map=cohort.label_map_path(volume),
                    scheme=cohort.scheme_reference(volume),
                    side=volume.key.side,
                    volume_id=volume.volume_id,
                    calibration=calibration,
                )
                waiting[pool.submit(_describe, task)] = volume
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                volume = waiting.pop(future)
                error = future.exception()
                if error is None:
                    yield volume, future.result()
                elif isinstance(error, KneeError):
                    yield volume, error
                else:
                    raise error


def volume_record(cohort: Cohort, volume: CohortVolume, reason: str | None = None) -> VolumeRecord:
    """Returns the store's record of a volume; with a reason it is a failed one."""
    return VolumeRecord(
        volume_id=volume.volume_id,
        patient=volume.key.patient,
        visit=volume.key.visit,
        side=volume.key.side.value,
        sequence=volume.key.sequence,
        image=volume.image,
        label_map=volume.label_map,
        cohort_root=str(cohort.root.resolve()),
        scheme=volume.scheme,
        mask_source=volume.mask_source,
        segmenter=volume.segmenter,
        licence=volume.licence,
        synthetic=volume.synthetic,
        split=volume.split.value if volume.split else None,
        status="ready" if reason is None else "failed",
        reason=reason,
    )


def load_tables(
    cohort: Cohort, moaks: Sequence[Path] | None, variables: Path | None, policy: ReadsPolicy
) -> MoaksTable | None:
    """Returns the clinicians' reads: of the tables named, else of those in the cohort folder.

    Raises:
        InputError: a table or the file of variables cannot be read.
    """
    paths = list(moaks) if moaks is not None else list(find_moaks_tables(cohort.root))
    if not paths:
        say("no MOAKS table: every item will be unlabelled, and none is drafted")
        return None
    table = read_moaks_tables(paths, load_variables(variables), policy)
    say(f"MOAKS: {table.n_rows} reads in {len(paths)} table(s); several reads: {policy}")
    if table.unknown_columns:
        say(
            f"  {len(table.unknown_columns)} column(s) match no known variable: "
            + _first_names(table.unknown_columns)
        )
    if table.absent_stems:
        say(
            f"  {len(table.absent_stems)} variable(s) have no column: "
            + _first_names(table.absent_stems)
        )
    return table


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_REASONS
    listed = ", ".join(names[:_MAX_REASONS])
    return listed + (f" and {more} more; `reads check` lists all" if more > 0 else "")


class _Prepared:
    """Counts what was prepared, and writes it."""

    def __init__(self, cohort: Cohort, table: MoaksTable | None, store: Path) -> None:
        self.cohort = cohort
        self.table = table
        self.store = store
        self.n_ready = 0
        self.failed: list[tuple[CohortVolume, KneeError]] = []
        self.evidence: EvidenceCounts = {f: {} for f in Feature if f is not Feature.PERIARTICULAR}
        self.grades: dict[GradeStatus, int] = {}
        self._knee_visits: set[tuple[str, str, Side]] = set()

    def add(self, writer: StoreWriter, volume: CohortVolume, findings: VolumeFindings) -> None:
        """Writes one described volume and counts its evidence and grades."""
        writer.put_volume(volume_record(self.cohort, volume))
        writer.put_findings(findings)
        writer.put_clinician_grades(self._new_grades(volume))
        self.n_ready += 1
        for finding in findings.findings:
            counts = self.evidence[QUESTIONS[finding.question_id].feature]
            for entry in finding.evidence:
                counts[entry.level] = counts.get(entry.level, 0) + 1

    def _new_grades(self, volume: CohortVolume) -> tuple[ClinicianGrade, ...]:
        """Returns the grades of the volume's knee-visit, once even with several sequences."""
        knee_visit = (volume.key.patient, volume.key.visit, volume.key.side)
        if self.table is None or knee_visit in self._knee_visits:
            return ()
        self._knee_visits.add(knee_visit)
        grades = self.table.grades_for(*knee_visit)
        for grade in grades:
            self.grades[grade.status] = self.grades.get(grade.status, 0) + 1
        return grades

    def as_json(self) -> dict[str, JsonValue]:
        """Returns the counts for `--json`."""
        return {
            "store": str(self.store),
            "volumes": {"ready": self.n_ready, "failed": len(self.failed)},
            "failed": {volume.volume_id: str(error) for volume, error in self.failed},
            "evidence": {
                feature.value: {level.value: n for level, n in counts.items()}
                for feature, counts in self.evidence.items()
            },
            "clinician_grades": {status.value: n for status, n in self.grades.items()},
        }


def _show(prepared: _Prepared) -> None:
    levels = list(EvidenceLevel)
    n_questions = {
        f: sum(q.feature is f for q in QUESTIONS.values() if q.question_id <= N_WITH_REGION)
        for f in prepared.evidence
    }
    show_table(
        "evidence by feature (components of all volumes)",
        ["feature", "questions", *(level.value for level in levels)],
        [
            [feature.value, n_questions[feature], *(counts.get(level, 0) for level in levels)]
            for feature, counts in prepared.evidence.items()
        ],
    )
    show_table(
        "clinicians' grades (components of all knee-visits)",
        ["status", "components"],
        [[status.value, prepared.grades.get(status, 0)] for status in GradeStatus],
    )


def prepare(
    cohort_root: Path,
    store: Path,
    *,
    moaks: Sequence[Path] | None,
    variables: Path | None = None,
    policy: ReadsPolicy | None = None,
    calibration: Path | None,
    workers: int,
    as_json: bool,
) -> int:
    """Prepares a cohort; returns 0, or 1 when some volumes failed.

    Args:
        cohort_root: folder with `cohort.csv`.
        store: the DuckDB file; made when it is not there.
        moaks: MOAKS tables; None takes those in the cohort folder.
        variables: TOML file with column names that are not confirmed, or None.
        policy: how several reads of one knee-visit become one; None is `agree_or_conflict`.
        calibration: TOML file with fitted cut-offs, or None.
        workers: worker processes.
        as_json: print the counts on stdout.

    Raises:
        InputError: the manifest, a table or the calibration is wrong, or no volume is usable.
    """
    started = time.monotonic()
    cohort = load_cohort(cohort_root)
    table = load_tables(cohort, moaks, variables, policy or ReadsPolicy())
    fitted = None if calibration is None else load_calibration(calibration)
    prepared = _Prepared(cohort, table, store)
    n_volumes = len(cohort.volumes)
    say(f"describing {n_volumes} volume(s) with {workers} worker(s)")
    with ExitStack() as stack:
        writer: StoreWriter | None = None
        for number, (volume, result) in enumerate(describe_all(cohort, fitted, workers), start=1):
            if isinstance(result, KneeError):
                prepared.failed.append((volume, result))
                say(f"  {number}/{n_volumes} {volume.volume_id} FAILED: {result}")
                continue
            if writer is None:
                # Only now: a cohort of which nothing can be described leaves no store behind.
                writer = stack.enter_context(StoreWriter(store, create=True))
                writer.put_catalogue()
            with writer.transaction():
                prepared.add(writer, volume, result)
            say(f"  {number}/{n_volumes} {volume.volume_id}")
        if writer is None:
            reasons = "\n".join(f"{v.volume_id}: {e}" for v, e in prepared.failed[:_MAX_REASONS])
            raise InputError(
                f"no volume of cohort {str(cohort_root)!r} could be described:\n{reasons}",
                "nothing was written; mend the files or the manifest",
            )
        for volume, error in prepared.failed:
            writer.put_volume(volume_record(cohort, volume, str(error)))
    if as_json:
        emit_json(prepared.as_json())
    else:
        _show(prepared)
    say(
        f"{prepared.n_ready} volume(s) ready, {len(prepared.failed)} failed, "
        f"{time.monotonic() - started:.1f} s; store: {store}"
    )
    return 1 if prepared.failed else 0
