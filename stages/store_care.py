"""`store verify` and `store backup`."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from knee.keys import ItemKey
from stages.console import emit_json, say, show_table
from stages.explained_item import load_explained
from store.backup import copy_store
from store.connection import open_store
from store.long_reading import long_reading
from store.verifying import (
    Problem,
    findings_hash_problem,
    outcome_hash_problems,
    prompt_hash_problems,
    structure_problems,
)

CHUNK = 32
"""Volumes, or items, for which the store is open at a time: a batch commits in between."""


def verify(
    store: Path, *, contents: bool, prompts: bool, config: Path | None, as_json: bool
) -> int:
    """Checks keys, parents, counts and hashes; returns 0, or 1 when something does not fit.

    Args:
        store: the DuckDB file; only read.
        contents: hash findings and outcomes again, which reads every text.
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
        problems += _summed("findings: content is not the hashed one", _findings(store))
        problems += _summed("outcomes: content is not the hashed one", _outcomes(store))
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


def _summed(where: str, examples: Iterator[str]) -> list[Problem]:
    found = list(examples)
    return [Problem("hash", where, len(found), found[0])] if found else []


def _findings(store: Path) -> Iterator[str]:
    for part in _batched(_keys(store, "volume_id, findings_id FROM findings_sets"), CHUNK):
        with open_store(store, read_only=True) as con:
            for volume_id, findings_id in part:
                problem = findings_hash_problem(con, volume_id, findings_id)
                if problem is not None:
                    yield problem


def _outcomes(store: Path) -> Iterator[str]:
    for part in _batched(_keys(store, "DISTINCT run_id, volume_id FROM outcomes"), CHUNK):
        with open_store(store, read_only=True) as con:
            for run_id, volume_id in part:
                yield from outcome_hash_problems(con, run_id, volume_id)


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


def _batched(keys: list[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    rest = iter(keys)
    while part := tuple(islice(rest, size)):
        yield part


def _keys(store: Path, what: str) -> list[tuple[Any, ...]]:
    with open_store(store, read_only=True) as con:
        return con.execute(f"SELECT {what} ORDER BY ALL").fetchall()
