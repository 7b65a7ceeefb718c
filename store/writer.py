"""The one writer of a store.

It holds the writer lock from enter to exit, so that there is one `prepare` or `generate` at a
time, and opens the DuckDB file only inside a transaction, so that others can read in between.
"""

import math
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final, Self

import duckdb

from knee.errors import InputError, StoreError
from knee.findings import VolumeFindings
from knee.grades import ClinicianGrade
from knee.keys import content_hash
from knee.records import ItemOutcome, PromptRef, Run, RunKind, VolumeRecord
from store.arrow_rows import (
    FINDINGS_SETS,
    RUNS,
    VOLUMES,
    arrow,
    clinician_table,
    component_rows,
    finding_tables,
    findings_set_row,
    from_rows,
    question_rows,
    run_row,
    utc_now,
    volume_row,
)
from store.connection import (
    COMMIT_MEMORY,
    POLL_S,
    create_store,
    keep_log,
    open_store,
    put_log_away,
    translate,
)
from store.inserting import (
    exists,
    insert,
    insert_new_outcomes,
    refuse_test_volumes,
    settled_split,
    unique_outcomes,
)
from store.items import Selection, evidence_levels, run_sees_images, select_volumes
from store.journal import Journal, item_key, journalled_runs
from store.outcome_rows import outcome_child_tables, outcome_table
from store.queries import find_run
from store.reader import StoreReader
from store.write_sql import BIND_ITEMS, REBIND_ITEMS, STAGE_GRADES, UPDATE_VOLUME
from store.writer_lock import WriterLock

WRITE_WAIT_S: Final = 300.0
"""How long a commit waits for readers; what it would commit is in the journal meanwhile."""
LOG_WAIT_S: Final = 10.0
"""How long a writer that ends waits for readers, to put its log into the file."""
RUN_STATES: Final = ("running", "finished", "stopped")
"""States of a run."""


_BOUND_TOGETHER = 1000
"""Volumes that are bound to a run together: all 7,970 at once take DuckDB 1 GB and more."""


class StoreWriter(StoreReader):
    """Writes records into a store; use it as a context manager, from any number of threads.

    On entering, what the journal holds from a killed process is committed (`recovered` counts it).

    Raises:
        InputError: no such store, and `create` is false.
        StoreError: not a store, or another command is writing it (on entering).
    """

    def __init__(self, path: Path, *, create: bool = False, wait_s: float = WRITE_WAIT_S) -> None:
        super().__init__(path, wait_s=wait_s)
        self.recovered = 0
        self._create = create
        self._file_lock = WriterLock(path)
        self._thread_lock = threading.RLock()
        self._open: duckdb.DuckDBPyConnection | None = None
        self._bound: dict[str, dict[str, bool]] = {}
        self._closed_at = -math.inf

    def __enter__(self) -> Self:
        if not self.path.exists():
            if not self._create:
                raise InputError(
                    f"store not found: {str(self.path)!r}",
                    "run `run_pipeline.py prepare` to make one",
                )
            create_store(self.path)
        self._file_lock.acquire()
        try:
            # Says at once what is wrong with the file, and brings its schema up to date.
            self._close(open_store(self.path, read_only=False, wait_s=self._wait_s))
            self.recovered = self._recover()
        except BaseException:
            self._file_lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # What is in the log is committed and is read by whoever opens the store: a log that cannot
        # be put away now, for a reader or a full disk, is no failure.
        try:
            with suppress(StoreError):
                put_log_away(self.path, wait_s=min(self._wait_s, LOG_WAIT_S))
        finally:
            self._file_lock.release()

    @contextmanager
    def transaction(self, *, memory: str | None = None) -> Generator[duckdb.DuckDBPyConnection]:
        """Opens the store for one transaction; nested uses join the outer one.

        Everything that is put inside is committed together, or not at all.

        Args:
            memory: as of `open_store`; of no account within another transaction.
        """
        with self._thread_lock:
            if self._open is not None:
                yield self._open
                return
            # Commits back to back leave the file for less time than lies between two tries of a
            # waiting reader, which could then wait for ever.
            time.sleep(max(0.0, self._closed_at + 1.5 * POLL_S - time.monotonic()))
            con = open_store(
                self.path, read_only=False, wait_s=self._wait_s, known=True, memory=memory
            )
            self._open = con
            try:
                keep_log(con)
                con.begin()
                yield con
                con.commit()
            except (duckdb.Error, OSError) as error:
                self._bound.clear()
                raise translate(error, self.path) from error
            except BaseException:
                self._bound.clear()
                raise
            finally:
                self._open = None
                self._close(con)
                self._closed_at = time.monotonic()

    @contextmanager
    def reading(self) -> Generator[duckdb.DuckDBPyConnection]:
        """Opens the store for queries, from the writing process; close it soon."""
        with self._thread_lock:
            if self._open is not None:
                yield self._open
                return
            with open_store(self.path, read_only=True, wait_s=self._wait_s, known=True) as con:
                yield con

    def put_catalogue(self) -> None:
        """Puts the 69 questions and their components; replaces what was there."""
        with self.transaction() as con:
            for table, rows in (("questions", question_rows()), ("components", component_rows())):
                con.execute(f"DELETE FROM {table}")
                insert(con, table, from_rows(rows))

    def put_prompts(self, prompts: Sequence[tuple[PromptRef, str]]) -> None:
        """Puts prompt templates; those that are there already stay.

        Raises:
            StoreError: a text does not have the hash that its reference names.
        """
        for ref, text in prompts:
            if content_hash(text) != ref.sha256:
                raise StoreError(
                    f"prompt {ref.prompt_id!r} v{ref.version} has sha256 {content_hash(text)!r}, "
                    f"its reference says {ref.sha256!r}",
                    "the file was changed while it was read",
                )
        with self.transaction() as con:
            for ref, text in prompts:
                con.execute(
                    "INSERT OR IGNORE INTO prompts VALUES (?, ?, ?, ?, ?)",
                    [ref.prompt_id, ref.version, ref.sha256, text, utc_now()],
                )

    def put_volume(self, volume: VolumeRecord) -> None:
        """Puts a volume, or renews what is known of it; its findings stay.

        A volume without a split takes the one that its patient has.

        Raises:
            StoreError: the patient has another split (RULES 19).
        """
        with self.transaction() as con:
            row = {**volume_row(volume), "split": settled_split(con, volume)}
            insert(con, "volumes", arrow([row], VOLUMES), UPDATE_VOLUME)

    def put_findings(self, findings: VolumeFindings) -> bool:
        """Puts the findings of a volume and makes them the current ones.

        Returns:
            True when they are new; False when the same findings were there already.

        Raises:
            StoreError: the volume is unknown, or the same id is there with other findings.
        """
        key = [findings.volume_id, findings.findings_id]
        row = findings_set_row(findings)
        with self.transaction() as con:
            if not exists(con, "volumes WHERE volume_id = ?", key[:1]):
                raise StoreError(f"findings of an unknown volume: {findings.volume_id!r}")
            known = con.execute(
                "SELECT content_sha256 FROM findings_sets WHERE volume_id = ? AND findings_id = ?",
                key,
            ).fetchone()
            if known is not None and known[0] != row["content_sha256"]:
                raise StoreError(
                    f"findings {findings.findings_id!r} of {findings.volume_id!r} are in the "
                    "store with other content",
                    "a measurement changed without its definition's or the tools' version",
                )
            if known is None:
                insert(con, "findings_sets", arrow([row], FINDINGS_SETS))
                for table, rows in finding_tables(findings).items():
                    insert(con, table, rows)
            con.execute("UPDATE volumes SET findings_id = ? WHERE volume_id = ?", key[::-1])
        return known is None

    def put_clinician_grades(self, grades: Sequence[ClinicianGrade]) -> int:
        """Puts clinicians' grades; returns how many are new or differ from the ones there.

        A grade that differs becomes the current revision; the earlier one stays.
        """
        with self.transaction() as con:
            con.register("given_grades", clinician_table(grades))
            con.execute(STAGE_GRADES)
            row = con.execute("SELECT count(*) FROM changed_grades").fetchone()
            con.execute(
                "UPDATE clinician_grades SET is_current = false FROM changed_grades c "
                "WHERE (clinician_grades.patient, clinician_grades.visit, clinician_grades.side, "
                "clinician_grades.question_id, clinician_grades.component) "
                "= (c.patient, c.visit, c.side, c.question_id, c.component)"
            )
            con.execute(
                "INSERT INTO clinician_grades BY NAME "
                "SELECT *, true AS is_current, ?::TIMESTAMP AS loaded_at FROM changed_grades",
                [utc_now()],
            )
            con.execute("DROP TABLE changed_grades")
            con.unregister("given_grades")
        return int(row[0]) if row is not None else 0

    def start_or_resume_run(self, run: Run) -> tuple[str, bool]:
        """Starts a run, or resumes the one with the same fingerprint, kind and control.

        Returns:
            The run's id (of the run there, when it is resumed), and whether it is resumed.

        Raises:
            StoreError: another run has the same id.
        """
        with self.transaction() as con:
            known = find_run(con, run.fingerprint, run.kind, run.control)
            if known is not None:
                con.execute(
                    "UPDATE runs SET state = 'running', n_starts = n_starts + 1, resumed_at = ?, "
                    "finished_at = NULL WHERE run_id = ?",
                    [utc_now(), known],
                )
                return known, True
            if exists(con, "runs WHERE run_id = ?", [run.run_id]):
                raise StoreError(f"another run has the id {run.run_id!r}", "choose another id")
            insert(con, "runs", arrow([run_row(run)], RUNS))
        return run.run_id, False

    def bind_volumes(self, run_id: str, volume_ids: Sequence[str] | None = None) -> int:
        """Binds all 69 questions of volumes to a run, each to the volume's current findings.

        Volumes that are bound already keep their findings; the starting state of items that are
        not finished is renewed. States of a run are counted over its bound volumes.

        Args:
            run_id: a run of this store.
            volume_ids: all volumes that have findings when None.

        Returns:
            How many items of these volumes are pending.

        Raises:
            StoreError: there is no such run.
            HeldOutPatientError: a trial is given volumes of test patients (RULES 19).
        """
        with self.transaction() as con:
            kind = con.execute("SELECT kind FROM runs WHERE run_id = ?", [run_id]).fetchone()
            if kind is None:
                raise StoreError(f"no run {run_id!r} in the store")
            if volume_ids is None:
                volume_ids = select_volumes(con, Selection())
            if kind[0] == RunKind.TRIAL.value:
                refuse_test_volumes(con, volume_ids)
            levels = evidence_levels(sees_images=run_sees_images(con, run_id))
            for first in range(0, len(volume_ids), _BOUND_TOGETHER):
                part = list(volume_ids[first : first + _BOUND_TOGETHER])
                for statement in (BIND_ITEMS, REBIND_ITEMS):
                    con.execute(statement, {"run": run_id, "volumes": part, "levels": levels})
            row = con.execute(
                "SELECT count(*) FROM run_items i LEFT JOIN outcomes o "
                "USING (run_id, volume_id, question_id) WHERE i.run_id = $run "
                "AND i.volume_id IN (SELECT unnest($volumes)) "
                "AND o.run_id IS NULL AND i.starting_state = 'pending'",
                {"run": run_id, "volumes": list(volume_ids)},
            ).fetchone()
        self._bound.pop(run_id, None)
        return int(row[0]) if row is not None else 0

    def put_outcomes(self, run_id: str, outcomes: Sequence[ItemOutcome]) -> int:
        """Puts finished items in one transaction, each exactly once.

        Args:
            run_id: a run of this store.
            outcomes: items of bound volumes; one that is there already is ignored.

        Returns:
            How many were new.

        Raises:
            StoreError: an item is there with another outcome, is of another run or of a volume
                that is not bound; or the disk is full (exit code 3). Nothing is written then.
        """
        unique = unique_outcomes(run_id, outcomes)
        synthetic = self._bound_volumes(run_id)
        unbound = sorted({o.volume_id for o in unique.values()} - synthetic.keys())
        if unbound:
            raise StoreError(
                f"run {run_id!r} is not bound to the volume {unbound[0]!r}",
                "bind_volumes comes before put_outcomes",
            )
        # Before the file is opened, which then nobody else can: rows take longer than the commit.
        parents = outcome_table(unique.values())
        children = outcome_child_tables(list(unique.values()), synthetic)
        with self.transaction(memory=COMMIT_MEMORY) as con:
            fresh = insert_new_outcomes(con, unique, parents)
            if len(fresh) < len(unique):
                children = outcome_child_tables(fresh, synthetic)
            for table, rows in children.items():
                if rows.num_rows:
                    insert(con, table, rows)
        return len(fresh)

    def finish_run(self, run_id: str, state: str = "finished") -> None:
        """Marks a run as `finished`, or `stopped` when it ended early."""
        if state not in RUN_STATES:
            raise StoreError(f"{state!r} is not a state of a run", f"one of {RUN_STATES!r}")
        with self.transaction() as con:
            con.execute(
                "UPDATE runs SET state = ?, finished_at = ? WHERE run_id = ?",
                [state, utc_now(), run_id],
            )

    def _recover(self) -> int:
        n_new = 0
        for run_id in journalled_runs(self.path):
            with Journal(self.path, run_id) as journal:
                replayed = journal.replay()
                while batch := list(islice(replayed, 256)):
                    n_new += self.put_outcomes(run_id, batch)
                    journal.drop(item_key(outcome) for outcome in batch)
                # A file that a kill left empty goes as well.
                journal.drop(())
        return n_new

    def _bound_volumes(self, run_id: str) -> dict[str, bool]:
        """Returns a run's volumes with whether they are synthetic; cached, for we alone write."""
        with self._thread_lock:
            if run_id not in self._bound:
                with self.reading() as con:
                    rows = con.execute(
                        "SELECT DISTINCT volume_id, synthetic FROM run_items "
                        "JOIN volumes USING (volume_id) WHERE run_id = ?",
                        [run_id],
                    ).fetchall()
                self._bound[run_id] = {str(volume): bool(synthetic) for volume, synthetic in rows}
            return self._bound[run_id]

    def _close(self, con: duckdb.DuckDBPyConnection) -> None:
        try:
            con.close()
        except duckdb.Error as error:
            raise translate(error, self.path) from error
