"""`store verify` and `store backup`."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb

from knee.keys import ItemKey
from stages.console import emit_json, say, show_table
from stages.explained_item import load_explained
from store.backup import copy_store
from store.connection import open_store
from store.content_hashes import (
    FindingsKey,
    OutcomeKey,
    unproven_findings,
    unproven_outcomes,
)
from store.long_reading import long_reading
from store.verifying import (
    Problem,
    findings_hash_problem,
    outcome_hash_problems,
    prompt_hash_problems,
    read_everything,
    structure_problems,
)

CHUNK: Final = 32
"""Items for which the store is open at a time: a batch commits in between."""
STRETCH: Final = 64
"""Volumes whose contents the database hashes at once; some 100 MB of text."""
_WORKERS: Final = min(4, os.cpu_count() or 1)
_VOLUMES: Final = (
    "volume_id FROM (SELECT volume_id FROM findings_sets UNION SELECT volume_id FROM outcomes)"
)
_T = TypeVar("_T")


def verify(
    store: Path, *, contents: bool, prompts: bool, config: Path | None, as_json: bool
) -> int:
    """Checks keys, parents, counts and hashes; returns 0, or 1 when something does not fit.

    Args:
        store: the DuckDB file; only read.
        contents: read every block, and hash findings and outcomes again.
        prompts: render the prompt of every attempt again and compare it with its hash.
        config: settings whose calibration prompts are rendered with; None looks for the run's.
        as_json: print the problems on stdout.

    Raises:
        InputError: the settings are not as asked.
        StoreError: the store cannot be read.
    """
    with long_reading(store) as con:
        problems = [*structure_problems(con), *prompt_hash_problems(con)]
        if contents:
            read_everything(con)
    if contents:
        findings, outcomes = _contents(store)
        problems += _summed("findings: content is not the hashed one", findings)
        problems += _summed("outcomes: content is not the hashed one", outcomes)
    if prompts:
        problems += _summed(
            "attempts: rendered again it is not what was sent", _sent(store, config)
        )
    if as_json:
        emit_json([problem._asdict() for problem in problems])
    elif problems:
        show_table("what does not fit", Problem._fields, [list(p) for p in problems])
    looked = ["keys, parents, counts, templates", *(["contents"] if contents else [])]
    looked += ["rendered prompts"] if prompts else []
    say(f"{store}: {len(problems) or 'no'} problem(s) in {', '.join(looked)}")
    return 1 if problems else 0


def backup(store: Path, target: Path) -> int:
    """Copies the store into a new file; returns 0.

    Raises:
        InputError: no such store, or something is at `target`.
        StoreError: it cannot be copied.
    """
    copy_store(store, target)
    say(f"backup of {store}: {target}, {target.stat().st_size / 1e6:.1f} MB")
    return 0


def _summed(where: str, examples: Iterable[str]) -> list[Problem]:
    found = list(examples)
    return [Problem("hash", where, len(found), found[0])] if found else []


def _contents(store: Path) -> tuple[list[str], list[str]]:
    """Returns the findings and the outcomes whose content is not the hashed one.

    The database hashes stretches of volumes, several at a time; what it cannot prove is made again
    as a record and hashed.
    """
    findings: list[str] = []
    outcomes: list[str] = []
    volumes = [str(row[0]) for row in _keys(store, _VOLUMES)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        for part in _batched(volumes, STRETCH * _WORKERS):
            ends = [(p[0], p[-1]) for p in _batched(part, STRETCH)]
            with open_store(store, read_only=True) as con:
                cursors = [con.cursor() for _ in ends]
                unproven = list(pool.map(_unproven, cursors, ends))
                for sets, _ in unproven:
                    findings += filter(None, (findings_hash_problem(con, *key) for key in sets))
                # By run and volume, as the records are loaded.
                for run_id, volume_id in sorted({key[:2] for _, keys in unproven for key in keys}):
                    outcomes += outcome_hash_problems(con, run_id, volume_id)
    return findings, outcomes


def _unproven(
    con: duckdb.DuckDBPyConnection, ends: tuple[str, str]
) -> tuple[list[FindingsKey], list[OutcomeKey]]:
    with con:
        return unproven_findings(con, *ends), unproven_outcomes(con, *ends)


def _sent(store: Path, config: Path | None) -> Iterator[str]:
    keys = _keys(store, "run_id, volume_id, question_id FROM outcomes WHERE n_attempts > 0")
    for part in _batched(keys, CHUNK):
        with open_store(store, read_only=True) as con:
            for run_id, volume_id, question_id in part:
                key = ItemKey(volume_id, question_id)
                found = load_explained(con, key, run_id, config)
                for number, sent in enumerate(found.prompts, 1):
                    if sent.warning is not None:
                        name = f"{run_id} {volume_id}#{question_id}"
                        yield f"{name} attempt {number}: {sent.warning}"


def _batched(keys: Sequence[_T], size: int) -> Iterator[tuple[_T, ...]]:
    rest = iter(keys)
    while part := tuple(islice(rest, size)):
        yield part


def _keys(store: Path, what: str) -> list[tuple[Any, ...]]:
    with open_store(store, read_only=True) as con:
        return con.execute(f"SELECT {what} ORDER BY ALL").fetchall()
