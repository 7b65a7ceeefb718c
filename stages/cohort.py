"""`cohort check`, `cohort summary` and `cohort scan`: a cohort before it is prepared."""

from collections import Counter
from pathlib import Path

from knee.keys import JsonValue
from stages.console import emit_json, percent, say, show_table
from tools.cohort import load_cohort
from tools.cohort_check import check_cohort
from tools.cohort_scan import ScannedSeries, ScanStatus, scan_tree
from tools.cohort_skeleton import SCAN_NAME, Skeleton, write_skeleton
from tools.cohort_summary import CohortSummary, SegmenterOverlap, summarise
from tools.segmenters import load_training_patients

_MAX_SHOWN = 20


def check(root: Path, *, as_json: bool) -> int:
    """Checks a cohort's manifest, files and patients; returns 0 when nothing is wrong.

    Raises:
        InputError: lists what is wrong, the first 20 and their number.
    """
    cohort = check_cohort(root)
    patients = len({volume.key.patient for volume in cohort.volumes})
    if as_json:
        emit_json({"volumes": len(cohort.volumes), "patients": patients, "problems": 0})
    say(f"{len(cohort.volumes)} volume(s) of {patients} patient(s): nothing wrong")
    return 0


def summary(root: Path, *, as_json: bool) -> int:
    """Shows a cohort in counts; returns 0.

    Raises:
        InputError: the manifest, or `segmenters.toml`, is wrong.
    """
    cohort = load_cohort(root)
    counts = summarise(cohort, load_training_patients(root))
    if as_json:
        emit_json(_summary_json(counts))
        return 0
    say(
        f"{counts.volumes} volume(s), {counts.knee_visits} knee-visit(s), {counts.knees} knee(s), "
        f"{counts.patients} patient(s); {counts.without_image} without an image"
    )
    show_table(
        "volumes and patients",
        ["by", "value", "volumes", "patients"],
        [[g.grouping, g.value, g.volumes, g.patients] for g in counts.groups],
        to_stdout=True,
    )
    show_table(
        "masks of patients that their segmenter was trained on (segmenters.toml)",
        ["segmenter", "volumes", "trained on", "test volumes", "trained on"],
        [
            [s.segmenter, s.volumes, *_overlap(s, test=False), s.test_volumes, *_overlap(s)]
            for s in counts.segmenters
        ],
        to_stdout=True,
    )
    return 0


def scan(root: Path, out: Path, *, label_map: str, scheme: str, as_json: bool) -> int:
    """Scans a folder tree and writes a manifest skeleton; returns 0, or 1 when something is open.

    Raises:
        InputError: there is no series, or the manifest is there already.
    """
    say(f"reading one header of each series below {str(root)!r}")
    scanned = scan_tree(root)
    base = write_skeleton(root, out, scanned, Skeleton(label_map, scheme))
    counts = Counter(entry.status for entry in scanned)
    unclear = [entry for entry in scanned if entry.status is ScanStatus.UNCLEAR]
    if as_json:
        emit_json(
            {
                "manifest_folder": str(out),
                "paths_relative_to": str(base),
                "series": {status.value: counts[status] for status in ScanStatus},
                "unclear": {entry.path: entry.reason for entry in unclear},
            }
        )
    _tell(scanned, unclear, counts, out)
    if base != out:
        say(
            f"paths are relative to {str(base)!r}: put the completed cohort.csv there, with the "
            "label maps"
        )
    return 1 if unclear else 0


def _tell(
    scanned: tuple[ScannedSeries, ...],
    unclear: list[ScannedSeries],
    counts: Counter[ScanStatus],
    out: Path,
) -> None:
    visits = Counter(e.visit for e in scanned if e.status is ScanStatus.LISTED)
    say(
        f"{counts[ScanStatus.LISTED]} of {len(scanned)} series are in the manifest"
        + "".join(f", {visit} {n}" for visit, n in sorted(visits.items(), key=str))
        + f"; {counts[ScanStatus.OTHER_SEQUENCE]} are of other sequences"
    )
    if unclear:
        say(f"{len(unclear)} cannot be told and are left out (all in {SCAN_NAME}):")
        for entry in unclear[:_MAX_SHOWN]:
            say(f"  {entry.path}: {entry.reason}")
        if len(unclear) > _MAX_SHOWN:
            say(f"  … and {len(unclear) - _MAX_SHOWN} more")
    say(f"complete label_map, scheme, mask_source, segmenter and licences in {out / 'cohort.csv'}")


def _overlap(overlap: SegmenterOverlap, *, test: bool = True) -> list[str]:
    part, whole = (
        (overlap.test_trained_on, overlap.test_volumes)
        if test
        else (overlap.trained_on, overlap.volumes)
    )
    return ["not known" if part is None else percent(part, whole)]


def _summary_json(counts: CohortSummary) -> dict[str, JsonValue]:
    groups: dict[str, dict[str, JsonValue]] = {}
    for group in counts.groups:
        entry: JsonValue = {"volumes": group.volumes, "patients": group.patients}
        groups.setdefault(group.grouping, {})[group.value] = entry
    return {
        "volumes": counts.volumes,
        "patients": counts.patients,
        "knees": counts.knees,
        "knee_visits": counts.knee_visits,
        "without_image": counts.without_image,
        "groups": groups,
        "segmenters": [overlap._asdict() for overlap in counts.segmenters],
    }
