"""`look`: one knee or one item on one sheet, as a PNG.

The source is a cohort folder, whose volume is described here and now, or a store, whose findings
are shown as they are. The subregions in colour are computed anew from the label map either way.
"""

from dataclasses import dataclass
from pathlib import Path

from knee.anatomy import Side
from knee.calibration import load_calibration
from knee.errors import InputError
from knee.findings import Finding, VolumeFindings
from knee.keys import JsonValue
from knee.questions import N_WITH_REGION, QUESTIONS
from knee.records import VolumeRecord
from stages.console import emit, emit_json, say
from stages.look_words import finding_lines, question_title, volume_lines
from stages.prepare import volume_record
from store.connection import open_store
from store.loading import load_findings
from store.loading import load_volume as load_volume_record
from tools.cohort import load_cohort
from tools.describe import describe_volume
from tools.knee_parts import measure_parts
from tools.look_sheet import Words, look_png
from tools.segmentation import LabelMap, load_label_map, load_scheme, on_image_grid
from tools.segmenters import load_training_patients
from tools.volumes import Volume, load_volume

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class LookOptions:
    """What the command line says."""

    source: Path
    """Cohort folder or store."""
    volume: str
    """Volume id, or the beginning of one that fits no other."""
    question: int | None = None
    """1-62; None shows the whole knee."""
    out: Path | None = None
    """PNG to write; None names one after the volume in the working directory."""
    cohort_root: Path | None = None
    """Where a store's images lie now."""
    calibration: Path | None = None
    """Fitted cut-offs for a cohort's volume."""
    grades: bool = False
    """Whether rule-based grades are named."""
    as_json: bool = False
    """Print path and findings on stdout."""


def look(options: LookOptions) -> int:
    """Draws a sheet and prints its path.

    Raises:
        InputError: no such source, volume or question, a file that cannot be read, or a folder
            that is not there.
        StoreError: the store cannot be read.
    """
    _check(options)
    record, root, stored = _find(options)
    image, label_map = _load(record, root)
    if stored is None:
        fitted = None if options.calibration is None else load_calibration(options.calibration)
        stored = describe_volume(image, label_map, record.volume_id, calibration=fitted)
    title, lines, finding = _words(stored, options)
    png = look_png(
        image,
        label_map,
        measure_parts(label_map),
        Words(f"{record.volume_id}   {title}", lines),
        None if finding is None else finding.box,
    )
    path = options.out or Path(_file_name(record.volume_id, options.question))
    path.write_bytes(png)
    if options.as_json:
        emit_json(_as_json(path, stored, finding))
    else:
        emit(str(path))
    return 0


def _check(options: LookOptions) -> None:
    question = options.question
    if question is not None and not 1 <= question <= N_WITH_REGION:
        raise InputError(
            f"question {question!r} has no region", f"questions with one are 1 to {N_WITH_REGION}"
        )
    if options.out is not None and not options.out.parent.is_dir():
        raise InputError(f"no such folder: {str(options.out.parent)!r}", "make it first")
    if not options.source.exists():
        raise InputError(
            f"no such cohort folder or store: {str(options.source)!r}", "check the path"
        )


def _find(options: LookOptions) -> tuple[VolumeRecord, Path, VolumeFindings | None]:
    """The volume's record, where its files lie, and its findings where a store has them."""
    if options.source.is_dir():
        cohort = load_cohort(options.source)
        known = {volume.volume_id: volume for volume in cohort.volumes}
        volume = known[choose_volume(options.volume, list(known))]
        training = load_training_patients(cohort.root)
        return volume_record(cohort, volume, training), cohort.root, None
    with open_store(options.source, read_only=True) as con:
        rows = con.execute("SELECT volume_id, findings_id FROM volumes ORDER BY ALL").fetchall()
        current: dict[str, str | None] = {str(volume): findings for volume, findings in rows}
        record = load_volume_record(con, choose_volume(options.volume, list(current)))
        findings_id = current[record.volume_id]
        if record.status != "ready" or findings_id is None:
            raise InputError(
                f"volume {record.volume_id!r} could not be described: {record.reason}",
                "mend its files and prepare the cohort again",
            )
        found = load_findings(con, record.volume_id, findings_id)
    return record, options.cohort_root or Path(record.cohort_root), found


def choose_volume(wanted: str, known: list[str]) -> str:
    """Returns the volume that a name or the beginning of one means.

    Raises:
        InputError: it fits none, or several.
    """
    if wanted in known:
        return wanted
    fitting = [name for name in known if name.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    named = ", ".join(repr(name) for name in (fitting or known)[:_MOST_NAMED])
    many = "fits several volumes" if fitting else "is no volume here"
    raise InputError(f"{wanted!r} {many}", f"there are {len(fitting or known)}: {named}")


def _load(record: VolumeRecord, root: Path) -> tuple[Volume | None, LabelMap]:
    is_file = record.scheme.endswith(".toml")
    scheme = load_scheme(str(root / record.scheme) if is_file else record.scheme)
    label_map = load_label_map(root / record.label_map, scheme, Side(record.side))
    if record.image is None:
        say("no image: the labels are shown in grey")
        return None, label_map
    image = load_volume(root / record.image)
    # What `prepare` let through on another grid was resampled there; here as well, and it is said.
    label_map = on_image_grid(image, label_map, resample=True)
    for note in label_map.notes:
        say(note)
    return image, label_map


def _words(
    found: VolumeFindings, options: LookOptions
) -> tuple[str, tuple[str, ...], Finding | None]:
    if options.question is None:
        return "all of the knee", volume_lines(found, grades=options.grades), None
    finding = next(f for f in found.findings if f.question_id == options.question)
    if finding.box is None:
        say(f"no box: {finding.box_reason}; the whole knee is shown")
    lines = finding_lines(finding, grades=options.grades)
    return question_title(QUESTIONS[options.question]), lines, finding


def _file_name(volume_id: str, question: int | None) -> str:
    return volume_id.replace("/", "_") + ("" if question is None else f"_q{question}") + ".png"


def _as_json(path: Path, found: VolumeFindings, finding: Finding | None) -> dict[str, JsonValue]:
    shown = found.findings if finding is None else (finding,)
    return {
        "picture": str(path),
        "volume_id": found.volume_id,
        "findings": [entry.model_dump(mode="json") for entry in shown],
    }
