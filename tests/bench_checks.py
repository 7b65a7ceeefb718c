"""`make bench-checks`: what share of spoiled drafts the checks catch, and how many sound ones fail.

    python -m tests.bench_checks [--write] [--small]

Every kind of mutant of `tests.draft_mutations`, made from grammar drafts of every gradable question
on both knees, the hand-written drafts, and free prose. A mutant is caught when a failing issue has
a code of its kind; any other failure is an accident. `--write` puts the tables into
`docs/benchmarks.md`; the exit status is 1 when a bar is missed.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from tests.benchmark_page import write_section
from tests.draft_mutations import BAR, Kind, Mutant, kinds, mutants_of
from tests.free_prose import HELD_OUT, PARTS, prose_bases
from tests.mutation_bases import Base, failing, grammar_bases, hand_bases, report_on

SEED = 77
GRAMMAR_BAR, PROSE_BAR = 0.01, 0.03
"""False alarms that are let through, on clean grammar drafts and on free prose."""


@dataclass(frozen=True)
class Row:
    """One kind with its mutants."""

    kind: Kind
    mutants: tuple[Mutant, ...]

    def share(self, *, prose: bool | None = None) -> tuple[int, int]:
        """Returns (caught, made), of free prose alone, of the others alone, or of all."""
        chosen = [m for m in self.mutants if prose is None or (m.base.source == "prose") is prose]
        return sum(m.caught for m in chosen), len(chosen)

    @property
    def met(self) -> bool:
        """Whether the kind's bar is met; True where it has none."""
        caught, made = self.share(prose=None if self.kind.bar_on_prose else False)
        return self.kind.bar is None or (made > 0 and caught >= self.kind.bar * made)


def run_kinds(bases: Sequence[Base], lent: Sequence[Base], at_most: int) -> list[Row]:
    """Returns each kind's mutants of all bases, at most `at_most` for a kind and base."""
    rng = random.Random(SEED)
    return [
        Row(kind, tuple(m for base in bases for m in mutants_of(kind, base, at_most, rng)))
        for kind in kinds(lent)
    ]


def false_alarms(bases: Sequence[Base]) -> list[tuple[Base, set[str]]]:
    """Returns the clean drafts that fail, with their codes."""
    reports = ((base, failing(report_on(base, base.answer))) for base in bases)
    return [(base, codes) for base, codes in reports if codes]


def milliseconds(bases: Sequence[Base]) -> float:
    """Returns CPU milliseconds a clean draft, the least of five passes."""
    passes: list[float] = []
    for _ in range(5):
        start = time.process_time()
        false_alarms(bases)
        passes.append(time.process_time() - start)
    return 1000 * min(passes) / len(bases)


def _share(caught: int, made: int) -> str:
    return f"{caught / made:.3f} ({made})" if made else "–"


def table(rows: Sequence[Row]) -> list[str]:
    """Returns the lines of the table of kinds."""
    lines = [
        "| kind | mutants | grammar and hand-written | free prose | bar | features, worst first |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        made = Counter(m.base.feature.value for m in row.mutants)
        caught = Counter(m.base.feature.value for m in row.mutants if m.caught)
        worst = sorted(made, key=lambda name: (caught[name] / made[name], name))
        missed = [f"{n} {caught[n]}/{made[n]}" for n in worst[:3] if caught[n] < made[n]]
        bar = "–" if row.kind.bar is None else f"{row.kind.bar:.2f}"
        if row.kind.bar is not None and not row.kind.bar_on_prose:
            bar += " (not on prose)"
        lines.append(
            f"| {row.kind.name} | {len(row.mutants)} | {_share(*row.share(prose=False))} "
            f"| {_share(*row.share(prose=True))} | {bar} | {len(made)}"
            f"{': ' + ', '.join(missed) if missed else ''} |"
        )
    return lines


def worst_cases(rows: Sequence[Row]) -> list[str]:
    """Returns a line for one uncaught mutant of each kind that has any."""
    lines: list[str] = []
    for row in rows:
        missed = next((m for m in row.mutants if not m.caught), None)
        if missed is not None and isinstance(missed.answer, dict):
            changed = [
                str(value)[:150]
                for key, value in missed.answer.items()
                if value != missed.base.answer.get(key)
            ]
            lines.append(f"- {row.kind.name}, {missed.base.name}: `{' | '.join(changed)}`")
    return lines


def prose_lines() -> tuple[list[str], bool]:
    """Returns the false alarms on each part of the free prose, and whether the bar is met."""
    lines: list[str] = []
    all_bad = all_made = 0
    for part in PARTS:
        bases = prose_bases(part)
        bad = false_alarms(bases)
        all_bad, all_made = all_bad + len(bad), all_made + len(bases)
        codes = Counter(code for _, found in bad for code in found)
        lines.append(
            f"| {part.stem} | {len(bases)} | {len(bad)} | {len(bad) / len(bases):.3f} "
            f"| {', '.join(f'{c} {n}' for c, n in codes.most_common())} |"
        )
    held_out = false_alarms(prose_bases(HELD_OUT))
    met = len(held_out) <= PROSE_BAR * len(prose_bases(HELD_OUT))
    return [*lines, f"| all | {all_made} | {all_bad} | {all_bad / all_made:.3f} | |"], met


def report(n_grammar: int, at_most: int) -> tuple[str, bool]:
    """Returns the page and whether every bar is met."""
    grammar = list(grammar_bases(n_grammar, SEED))
    clean = list(grammar_bases(10 * n_grammar, SEED + 1))
    prose = [base for part in PARTS for base in prose_bases(part)[::4]]
    rows = run_kinds([*grammar, *hand_bases(), *prose], list(islice(clean, 92)), at_most)
    alarms = false_alarms(clean)
    lines, prose_met = prose_lines()
    barred = [row for row in rows if row.kind.bar is not None]
    caught = sum(row.share()[0] for row in barred)
    made = sum(row.share()[1] for row in barred)
    page = [
        f"{made} mutants of {len(barred)} kinds with a bar, {caught} caught ({caught / made:.4f}); "
        f"bars missed: {', '.join(r.kind.name for r in rows if not r.met) or 'none'}. Caught"
        f" means a "
        "failing issue with a code of the kind. Kinds without a bar are reported. `…_later` are "
        "phrases written after the patterns.",
        "",
        *table(rows),
        "",
        "### Uncaught, one of each kind",
        "",
        *worst_cases(rows),
        "",
        "### False alarms",
        "",
        f"Clean grammar drafts: {len(alarms)} of {len(clean)} ({len(alarms) / len(clean):.4f}; bar "
        f"{GRAMMAR_BAR}). CPU: {milliseconds(clean[:300]):.2f} ms a draft (least of five passes). "
        f"Free prose, bar {PROSE_BAR} on the held-out part:",
        "",
        "| part | drafts | refused | share | codes |",
        "|---|--:|--:|--:|---|",
        *lines,
    ]
    met = all(row.met for row in rows) and len(alarms) <= GRAMMAR_BAR * len(clean) and prose_met
    return "\n".join(page), met


def main() -> int:
    """Runs the suite; returns 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/benchmarks.md"
    )
    parser.add_argument(
        "--small", action="store_true", help="one grammar draft a question and knee"
    )
    chosen = parser.parse_args()
    page, met = report(92, 2) if chosen.small else report(184, 4)
    sys.stdout.write(f"{page}\n")
    if chosen.write:
        write_section("bench-checks", "Deterministic checks (`make bench-checks`)", page)
    return 0 if met else 1


if __name__ == "__main__":
    assert BAR == 0.99
    sys.exit(main())
