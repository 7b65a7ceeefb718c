"""A store made by hand in milliseconds: patients, questions and grades as a test wants them."""

from collections.abc import Mapping
from pathlib import Path

from knee.findings import EvidenceLevel
from knee.keys import content_hash
from store.writer import StoreWriter
from tests.store_records import clinician_grades, finding, findings, volume

Grades = Mapping[str, Mapping[int, int | None]]
"""Patient to question (1-62, with a region) to the clinician's grade of all its components; None
where nobody read it."""


def make_store(
    path: Path, grades: Grades, *, without_evidence: frozenset[tuple[str, int]] = frozenset()
) -> Path:
    """Makes a store with a knee a patient; returns its path.

    Args:
        path: the DuckDB file to make.
        grades: what there is.
        without_evidence: (patient, question) whose components have no evidence.
    """
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        for patient, reads in grades.items():
            record = volume(patient)
            found = tuple(
                finding(
                    question,
                    evidence=EvidenceLevel.NONE
                    if (patient, question) in without_evidence
                    else EvidenceLevel.MEASURED,
                )
                for question in sorted(reads)
            )
            writer.put_volume(record)
            writer.put_findings(findings(record.volume_id).model_copy(update={"findings": found}))
            for question, grade in reads.items():
                if grade is not None:
                    writer.put_clinician_grades(clinician_grades(record, (question,), grade=grade))
    return path


def write_settings(folder: Path, port: int = 9, *, max_revisions: int = 0) -> Path:
    """Writes settings for a stub server without a calibration; returns the file's path."""
    path = folder / "made.toml"
    path.write_text(
        f"""name = "made"
[drafter]
base_url = "http://127.0.0.1:{port}/v1"
model = "stub"
prompt_id = "draft"
prompt_version = 1
licence = "none"
timeout_s = 20
[drafter.sampling]
max_tokens = 256
[batch]
concurrency = 1
max_revisions = {max_revisions}
commit_items = 5
commit_seconds = 0.2
server_wait_s = 2
""",
        encoding="utf-8",
    )
    return path


def file_hashes(folder: Path) -> dict[str, str]:
    """Returns every file below a folder with the hash of its bytes and its time of change."""
    return {
        str(
            path.relative_to(folder)
        ): f"{content_hash(path.read_bytes())} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
