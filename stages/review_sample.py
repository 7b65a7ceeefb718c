"""`review sample draw | read | disputes | result`: a blinded, stratified sample (RULES 21)."""

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path

from knee.errors import InputError
from knee.keys import ItemKey
from stages.console import emit_json, say, show_table
from stages.review_figures import sample_figures
from stages.review_sheet import read_sheet, sheet_rows, write_sheet
from store.connection import open_store
from store.queries import newest_run, require_run
from store.review_samples import load_sample, population, put_reads, put_sample
from store.writer import StoreWriter

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Drawn = tuple[str, ItemKey, str, float]
"""Code, item, stratum, and the weight of the stratum."""


def draw_items(
    items: Sequence[tuple[ItemKey, str]], name: str, seed: int, n_accepted: int, n_refused: int
) -> list[Drawn]:
    """Returns a stratified draw, at least one item of each stratum.

    The strata of accepted items share `n_accepted` as evenly as their sizes allow, those of items
    that the judge refused `n_refused`. So rare grades and features are drawn more often than they
    occur, and the weights undo that.

    Args:
        items: key and stratum of everything that could be drawn.
        name: of the sample; part of the seed and of the codes.
        seed: of the draw.
        n_accepted: accepted items that are wanted.
        n_refused: items refused by the judge that are wanted.
    """
    strata: dict[str, list[ItemKey]] = {}
    for key, stratum in items:
        strata.setdefault(stratum, []).append(key)
    drawn: list[Drawn] = []
    for prefix, wanted in (("accepted:", n_accepted), ("judge:", n_refused)):
        chosen = {stratum: keys for stratum, keys in strata.items() if stratum.startswith(prefix)}
        for stratum, n in _shares({s: len(keys) for s, keys in chosen.items()}, wanted).items():
            keys = sorted(chosen[stratum], key=lambda key: _hash(seed, name, *key))
            for key in keys[:n]:
                drawn.append((_hash("code", seed, name, *key)[:10], key, stratum, len(keys) / n))
    return sorted(drawn)


def draw(
    store: Path,
    name: str,
    run: str | None,
    *,
    readers: tuple[str, str],
    size: int,
    refused: int,
    seed: int,
    out: Path,
) -> int:
    """Draws a sample and writes a sheet for each reader; returns 0.

    Raises:
        InputError: the name is taken, there is nothing to draw, or a sheet is there already.
        StoreError: another command is writing the store.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"sample name {name!r} is not legal", "letters, digits, `.`, `_`, `-`")
    if len({*readers}) != 2 or not all(_NAME.fullmatch(reader) for reader in readers):
        raise InputError(f"readers {readers!r} are not two names", "letters, digits, `.`, `_`, `-`")
    if not out.is_dir():
        raise InputError(f"no such folder: {str(out)!r}", "make it first")
    with StoreWriter(store) as writer:
        with writer.reading() as con:
            if run is not None:
                require_run(con, run)
            run_id = run or newest_run(con)
            items = [] if run_id is None else population(con, run_id)
        drawn = draw_items(items, name, seed, size, refused)
        if run_id is None or not drawn:
            raise InputError(f"run {run_id!r} has no accepted item to draw", "--run names another")
        with writer.transaction() as con:
            # In one transaction with the sheets: no sample without them.
            put_sample(writer, name, run_id, seed, readers, drawn)
            sample = load_sample(con, name)
            for reader in readers:
                write_sheet(out / f"{name}.{reader}.csv", sheet_rows(con, sample.items, reader))
    n_accepted = sum(stratum.startswith("accepted:") for _, _, stratum, _ in drawn)
    say(
        f"sample {name}: {n_accepted} accepted and {len(drawn) - n_accepted} refused item(s) of "
        f"{run_id}; sheets in {out}"
    )
    return 0


def read(store: Path, name: str, reader: str, sheet: Path, *, adjudicates: bool) -> int:
    """Records a filled sheet; what is settled by it becomes a review; returns 0.

    Raises:
        InputError: the sheet is not as asked, or the reader is none of this sample.
        StoreError: another command is writing the store.
    """
    with StoreWriter(store) as writer:
        with writer.reading() as con:
            sample = load_sample(con, name)
        if adjudicates == (reader in sample.readers):
            raise InputError(
                f"{reader!r} is {'a' if adjudicates else 'no'} reader of sample {name!r}",
                f"its readers are {' and '.join(sample.readers)}; a third one settles differences",
            )
        reads = read_sheet(sheet, sample, reader, adjudicates=adjudicates)
        disputed = {item.code for item in sample.disputed()}
        known = {r.code for some in sample.reads.values() for r in some if r.reader == reader}
        early = [r.code for r in reads if adjudicates and r.code not in disputed | known]
        if early:
            raise InputError(f"the two readers do not differ about item {early[0]!r}")
        n_new = put_reads(writer, name, reads)
        with writer.reading() as con:
            after = load_sample(con, name)
    settled = sum(after.final(item.code) is not None for item in after.items)
    say(
        f"sample {name}: {n_new} new read(s) of {reader}; settled {settled} of {len(after.items)}, "
        f"to settle {len(after.disputed())}"
    )
    return 0


def disputes(store: Path, name: str, out: Path) -> int:
    """Writes the sheet of the items about which the two readers differ; returns 0.

    Raises:
        InputError: no such sample, or the file is there already.
    """
    with open_store(store, read_only=True) as con:
        sample = load_sample(con, name)
        rows = sheet_rows(con, sample.disputed(), "adjudicator")
    write_sheet(out, rows)
    say(f"{len(rows)} item(s) to settle in {out}")
    return 0


def result(store: Path, name: str, *, as_json: bool) -> int:
    """Shows error rate, agreement of the readers and the judge's sensitivity; returns 0.

    Raises:
        InputError: no such sample.
    """
    with open_store(store, read_only=True) as con:
        sample = load_sample(con, name)
    figures, reasons = sample_figures(sample)
    if as_json:
        emit_json({"figures": [f.as_json() for f in figures], "reasons": dict(reasons)})
        return 0
    rows = [[f.name, f.shown(), f.n, f.words] for f in figures]
    show_table(f"sample {name} of {sample.run_id}", ["figure", "value", "n", ""], rows)
    if reasons:
        show_table("what is wrong with accepted items", ["reason", "items"], [*map(list, reasons)])
    return 0


def _shares(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    """Returns how many of each stratum: as even as the sizes allow, at least one of each."""
    left, shares = wanted, dict[str, int]()
    for number, (stratum, size) in enumerate(sorted(sizes.items(), key=lambda s: (s[1], s[0]))):
        shares[stratum] = max(1, min(size, math.floor(left / (len(sizes) - number))))
        left -= shares[stratum]
    return shares


def _hash(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
