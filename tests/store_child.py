"""A process of its own that writes a store, to be killed, waited for or refused.

Run as `python -m tests.store_child WHAT STORE`; each step is announced on stdout.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from knee.errors import KneeError
from knee.records import ItemOutcome
from store.items import Selection
from store.journal import Journal, item_key
from store.writer import StoreWriter
from tests.store_records import clinician_grades, findings, outcome, run, volume

RUN = "r1"
QUESTIONS = tuple(range(5, 26))
BATCH = 7


def fill(path: Path, patients: tuple[str, ...] = ("9001", "9002")) -> None:
    """Makes a store with a run whose items are all pending."""
    with StoreWriter(path, create=True) as writer, writer.transaction():
        writer.put_catalogue()
        for patient in patients:
            record = volume(patient)
            writer.put_volume(record)
            writer.put_findings(findings(record.volume_id, QUESTIONS))
            writer.put_clinician_grades(clinician_grades(record, QUESTIONS))
        writer.start_or_resume_run(run(RUN))
        writer.bind_volumes(RUN)


def expected(path: Path) -> list[ItemOutcome]:
    """The outcomes that a run over everything has."""
    with StoreWriter(path) as writer:
        items = list(writer.items(Selection()))
    return [outcome(RUN, item.volume_id, item.question_id) for item in items]


def generate(
    path: Path, drafting_s: float = 0.0, tell: Callable[[str], None] | None = None
) -> None:
    """Finishes item after item as `generate` does, announcing every step.

    Args:
        path: the store.
        drafting_s: time that drafting a batch takes; the file is closed meanwhile.
        tell: what announces; stdout when None.
    """
    tell = tell or say
    with StoreWriter(path) as writer, Journal(path, RUN) as journal:
        tell(f"recovered {writer.recovered}")
        items = list(writer.items(Selection(), run_id=RUN))
        for start in range(0, len(items), BATCH):
            batch = [outcome(RUN, i.volume_id, i.question_id) for i in items[start : start + BATCH]]
            for one in batch:
                journal.append(one)
                tell(f"journalled {one.volume_id} {one.question_id}")
            tell("committing")
            writer.put_outcomes(RUN, batch)
            tell("committed")
            journal.drop(item_key(one) for one in batch)
            tell("dropped")
            time.sleep(drafting_s)
        writer.finish_run(RUN)
    tell("done")


def generate_telling(path: Path, tell: Callable[[str], None]) -> None:
    """Generates in a fork of a process that has the imports already; each step goes to `tell`."""
    generate(path, tell=tell)


def generate_drafting(path: Path) -> None:
    """Generates with drafts that take their time, as a model's do."""
    generate(path, drafting_s=0.25)


def hold(path: Path) -> None:
    """Is the writer until stdin ends, the file closed between transactions."""
    with StoreWriter(path):
        say("holding")
        sys.stdin.read()


def keep_open(path: Path) -> None:
    """Keeps the DuckDB file itself open until stdin ends."""
    with StoreWriter(path) as writer, writer.transaction():
        say("holding")
        sys.stdin.read()


def fill_disk(path: Path) -> None:
    """Commits more than the process may write, then again without the bound."""
    items = expected(path)
    large = [one.model_copy(update={"error": "x" * 300_000}) for one in items]
    with StoreWriter(path) as writer:
        writer.put_outcomes(RUN, items[:5])
        bound = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (bound, resource.RLIM_INFINITY))
        try:
            writer.put_outcomes(RUN, large[5:])
        except KneeError as error:
            say(f"exit code {error.exit_code}: {error.message}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        say(f"finished {len(writer.finished_keys(RUN))}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    WHAT = {
        "generate": generate,
        "generate_drafting": generate_drafting,
        "hold": hold,
        "keep_open": keep_open,
        "fill_disk": fill_disk,
    }
    WHAT[sys.argv[1]](Path(sys.argv[2]))
