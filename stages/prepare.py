"""`prepare`: from a cohort folder to volumes, boxes, findings and clinicians' grades in the store.

Volumes are described in worker processes and written one by one as they are done, so that a killed
`prepare` keeps what it has. A volume that cannot be described is kept as `failed` with its reason
while the others go on; when not one can, nothing is written.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from knee.anatomy import Side
from knee.calibration import load_calibration
from knee.errors import InputError, KneeError
from knee.findings import EvidenceLevel, VolumeFindings
from knee.grades import ClinicianGrade, GradeStatus, ReadsPolicy
from knee.keys import JsonValue
from knee.records import VolumeRecord
from stages.console import emit_json, say, show_table
from stages.coverage import FEATURES, Coverage, show_coverage
from stages.describing import DescribeSettings, describe_all
from stages.split_guard import agree_with_store, refuse_fit_on_test_cohort
from stages.steady_progress import progress_of
from store.connection import check_store
from store.patient_splits import record_splits
from store.writer import WRITE_WAIT_S, StoreWriter
from tools.cohort import Cohort, load_cohort
from tools.cohort_volume import CohortVolume
from tools.moaks_table import MoaksTable, find_moaks_tables, read_moaks_tables
from tools.moaks_variables import load_variables
from tools.segmenters import TrainingPatients, load_training_patients, trained_on

_MAX_REASONS = 20


def volume_record(
    cohort: Cohort,
    volume: CohortVolume,
    training: TrainingPatients,
    reason: str | None = None,
) -> VolumeRecord:
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
        image_source=volume.image_source,
        image_licence=volume.image_licence,
        synthetic=volume.synthetic,
        restricted=volume.restricted,
        segmenter_trained_on=trained_on(volume, training),
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


def _check_store(store: Path) -> None:
    """Refuses a place that cannot be a store before hours are spent on what would go into it.

    Raises:
        InputError: its folder is missing.
        StoreError: the file there is no store.
    """
    if store.exists():
        check_store(store, wait_s=WRITE_WAIT_S)
    elif not store.parent.is_dir():
        raise InputError(f"folder not found: {str(store.parent)!r}", "make the folder first")


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
        self.training = load_training_patients(cohort.root)
        self.n_ready = 0
        self.failed: list[tuple[CohortVolume, KneeError]] = []
        self.coverage = Coverage()
        self.grades: dict[GradeStatus, int] = {}
        self._knee_visits: set[tuple[str, str, Side]] = set()

    def add(self, writer: StoreWriter, volume: CohortVolume, findings: VolumeFindings) -> None:
        """Writes one described volume and counts its evidence and grades."""
        writer.put_volume(volume_record(self.cohort, volume, self.training))
        writer.put_findings(findings)
        writer.put_clinician_grades(self._new_grades(volume))
        self.n_ready += 1
        self.coverage.add(findings)

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
                feature.value: {
                    level.value: self.coverage.components[feature, level]
                    for level in EvidenceLevel
                    if self.coverage.components[feature, level]
                }
                for feature in FEATURES
            },
            "coverage": self.coverage.as_json(),
            "clinician_grades": {status.value: n for status, n in self.grades.items()},
        }


def _without_root(reason: str, root: Path) -> str:
    """A reason with the cohort's paths relative to its root: a store names no place outside it."""
    for shown in (str(root.resolve()), str(root)):
        # Messages quote their paths; only those are shortened, not a word that ends like one.
        for quote in ("'", '"'):
            reason = reason.replace(f"{quote}{shown}/", quote)
    return reason


def _show(prepared: _Prepared) -> None:
    show_coverage(prepared.coverage)
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
    resample: bool = False,
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
        resample: bring label maps that are on another grid onto their image's, by nearest
            neighbour; without it such a volume fails. Images are never resampled.

    Raises:
        InputError: the manifest, a table or the calibration is wrong, a patient has another split
            in the store, or no volume is usable.
        HeldOutPatientError: the calibration was fitted on test patients.
    """
    started = time.monotonic()
    cohort = load_cohort(cohort_root)
    table = load_tables(cohort, moaks, variables, policy or ReadsPolicy())
    fitted = None if calibration is None else load_calibration(calibration)
    _check_store(store)
    splits = agree_with_store(cohort, store)
    refuse_fit_on_test_cohort(fitted, cohort, store)
    prepared = _Prepared(cohort, table, store)
    n_volumes = len(cohort.volumes)
    say(f"describing {n_volumes} volume(s) with {workers} worker(s)")
    with ExitStack() as stack:
        writer: StoreWriter | None = None
        progress = stack.enter_context(progress_of(n_volumes, "describing"))
        for volume, result in describe_all(cohort, DescribeSettings(fitted, resample), workers):
            if isinstance(result, KneeError):
                prepared.failed.append((volume, result))
                progress.done(volume.volume_id, str(result))
                continue
            if writer is None:
                # Only now: a cohort of which nothing can be described leaves no store behind.
                writer = stack.enter_context(StoreWriter(store, create=True))
                writer.put_catalogue()
                record_splits(writer, splits)
            with writer.transaction():
                prepared.add(writer, volume, result)
            progress.done(volume.volume_id)
        if writer is None:
            reasons = "\n".join(f"{v.volume_id}: {e}" for v, e in prepared.failed[:_MAX_REASONS])
            raise InputError(
                f"no volume of cohort {str(cohort_root)!r} could be described:\n{reasons}",
                "nothing was written; mend the files or the manifest",
            )
        for volume, error in prepared.failed:
            reason = _without_root(str(error), cohort.root)
            writer.put_volume(volume_record(cohort, volume, prepared.training, reason))
    if as_json:
        emit_json(prepared.as_json())
    else:
        _show(prepared)
    say(
        f"{prepared.n_ready} volume(s) ready, {len(prepared.failed)} failed, "
        f"{time.monotonic() - started:.1f} s; store: {store}"
    )
    return 1 if prepared.failed else 0
