"""The table of the demo model's card, made anew: `python -m tests.bench_demo_model --write`.

Everything goes through the commands that a user has, against one real vLLM server: a cohort of
held-out phantoms, a run with all gates and the bundled model as drafter and judge, its two
controls, and the judge alone on sound and exchanged drafts. Seeds from 300,000 on are in neither
training (100,000 on) nor demo and tests (below 10,000).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from tests.demo_run import CHECKOUT, config_on_free_port, run_command

CARD = CHECKOUT / "agents" / "demo_model" / "README.md"
START, END = "<!-- held-out -->", "<!-- /held-out -->"
"""Between these stands the table."""
SEED = 300_000
"""First seed that nothing else uses."""
_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Bar:
    """One figure with what it should be."""

    name: str
    counts: str
    """`hits/all`, or what the share is made of."""
    share: float
    bar: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        """Whether the bar is met."""
        return self.share >= self.bar if self.at_least else self.share <= self.bar

    def line(self) -> str:
        """Returns a row of the table."""
        sign = "≥" if self.at_least else "≤"
        verdict = "holds" if self.holds else "**missed**"
        shown = f"{self.share:.3f} | {sign} {self.bar:.2f}"
        return f"| {self.name} | {self.counts} | {shown} | {verdict} |"


def macro(totals: Sequence[tuple[int, int]]) -> float:
    """Returns the mean over clinician grades of accepted / drafted."""
    shares = [accepted / drafted for accepted, drafted in totals if drafted]
    return sum(shares) / len(shares)


def grade_totals(store: Path, run_id: str, first_only: bool = False) -> dict[int, tuple[int, int]]:
    """Returns accepted and drafted components for each clinician grade, pooled over features.

    Args:
        store: the DuckDB file.
        run_id: the run.
        first_only: count only what was accepted at the first attempt.
    """
    with duckdb.connect(str(store), read_only=True) as con:
        rows = con.execute(
            "SELECT c.clinician_grade, count(q.attempt_no), count(*) FROM outcome_components c "
            "JOIN outcomes o USING (run_id, volume_id, question_id) "
            "LEFT JOIN quintuples q ON q.run_id = c.run_id AND q.volume_id = c.volume_id "
            "AND q.question_id = c.question_id AND (q.attempt_no = 1 OR NOT ?) "
            "WHERE c.run_id = ? AND c.status = 'graded' AND c.clinician_grade IS NOT NULL "
            "GROUP BY ALL ORDER BY 1",
            [first_only, run_id],
        ).fetchall()
    return {grade: (accepted, drafted) for grade, accepted, drafted in rows}


def above_zero(totals: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Returns accepted and drafted components with a clinician's grade of 1 or more."""
    chosen = [counts for grade, counts in totals.items() if grade >= 1]
    return sum(a for a, _ in chosen), sum(d for _, d in chosen)


@contextmanager
def served(config: Path) -> Generator[str]:
    """Serves a settings file's model; gives the base URL."""
    process = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "run_pipeline.py"), "serve", "--config", str(config)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        if not base_url:
            raise SystemExit("the server did not start; see above")
        yield base_url
    finally:
        # Not SIGINT, which a background job ignores; vLLM's supervisor sees its parent gone.
        process.terminate()
        process.wait(timeout=60)


def run(*arguments: str) -> dict[str, Any]:
    """Runs a command of the pipeline; returns what `--json` printed."""
    done = run_command(*arguments, "--json", timeout_s=_TIMEOUT_S)
    if done.code not in (0, 1):
        raise SystemExit(done.err[-3000:])
    return json.loads(done.out)


def chance_of(figures: dict[str, Any]) -> float:
    """Returns the mean over components of agreement by chance, weighted by their items."""
    rows = figures["acceptance_and_chance_by_component"]
    weighted = [(row["chance"], row["drafted"]) for row in rows if row["chance"] is not None]
    return sum(c * n for c, n in weighted) / sum(n for _, n in weighted)


def measure(folder: Path, knees: int, seed: int, judge_items: int) -> dict[str, Any]:
    """Returns all figures of the card, made through the commands."""
    cohort, store = folder / "cohort", folder / "knees.duckdb"
    config = config_on_free_port(folder)
    calibration = str(config.parent / "calibration-demo.toml")
    findings, scores = folder / "findings.jsonl", folder / "scores.json"
    module = [sys.executable, "-m"]
    if not cohort.exists():
        run("phantom", str(cohort), "--knees", str(knees), "--seed", str(seed))
    run("prepare", str(cohort), "--store", str(store), "--calibration", calibration)
    if not findings.exists():
        make = [*module, "agents.demo_model.phantom_findings", "--out", str(findings)]
        more = ["--seed", str(seed + 1), "--knees", str(max(2, knees // 2))]
        subprocess.run([*make, *more], cwd=CHECKOUT, check=True)
    generate = ("generate", "--store", str(store), "--config", str(config))
    with served(config) as base_url:
        own = run(*generate)
        shuffled = run(*generate, "--control", "shuffled-findings")
        majority = run(*generate, "--control", "always-majority")
        judge = [*module, "agents.demo_model.evaluate", "--findings", str(findings)]
        more = ["--base-url", base_url, "--items", str(judge_items), "--out", str(scores)]
        subprocess.run([*judge, *more], cwd=CHECKOUT, check=True)
    return {
        "store": str(store),
        "own": own,
        "shuffled": shuffled,
        "majority": majority,
        "scores": json.loads(scores.read_text(encoding="utf-8")),
    }


def bars_of(figures: dict[str, Any]) -> list[Bar]:
    """Returns every figure that has a bar."""
    store = Path(figures["store"])
    own, shuffled, majority = (figures[k]["run_id"] for k in ("own", "shuffled", "majority"))
    totals, first = grade_totals(store, own), grade_totals(store, own, first_only=True)
    zero_up, shuffled_totals = above_zero(totals), grade_totals(store, shuffled)
    control = above_zero(grade_totals(store, majority))
    judge = figures["scores"]["judge"]
    exchanged = judge["rejected"]["all steps exchanged"]["all"]
    return [
        Bar(
            "accepted, macro over clinician grades",
            counts_text(totals),
            macro([*totals.values()]),
            0.75,
        ),
        Bar("accepted, grades ≥ 1", _over(zero_up), zero_up[0] / zero_up[1], 0.65),
        Bar(
            "accepted at the first attempt, macro",
            counts_text(first),
            macro([*first.values()]),
            0.60,
        ),
        Bar(
            "findings of another knee: accepted, macro (bar: chance)",
            counts_text(shuffled_totals),
            macro([*shuffled_totals.values()]),
            round(chance_of(figures["shuffled"]), 3),
            at_least=False,
        ),
        Bar(
            "always the majority: accepted, grades ≥ 1",
            _over(control),
            control[0] / control[1],
            0.02,
            at_least=False,
        ),
        Bar(
            "judge's re-answer agrees with the rule's grade",
            judge["sound_agrees"],
            _share(judge["sound_agrees"]),
            0.90,
        ),
        Bar(
            "judge rejects steps exchanged with another grade's item",
            exchanged,
            _share(exchanged),
            0.80,
        ),
    ]


def counts_text(totals: dict[int, tuple[int, int]]) -> str:
    """Returns `grade: hits/all` for each clinician grade."""
    return ", ".join(f"{grade}: {_over(counts)}" for grade, counts in totals.items())


def _over(counts: tuple[int, int]) -> str:
    return f"{counts[0]}/{counts[1]}"


def _share(counts: str) -> float:
    hits, everything = map(int, counts.split("/"))
    return hits / everything


def card_text(figures: dict[str, Any], bars: Sequence[Bar], knees: int, seed: int) -> str:
    """Returns the Markdown between the card's marks."""
    scores = figures["scores"]
    judge = scores["judge"]
    lines = [
        f"{knees} phantom knees of cohort seed {seed}, severities balanced, real vLLM on a CPU,",
        "`configs/demo.toml` with its judge. Counts are components by clinician grade (8: a",
        f"macerated part of a meniscus). The judge alone: {scores['items']} held-out items of",
        f"seed {seed + 1}.",
        "",
        "| figure | counts | share | bar | |",
        "|---|---|--:|--:|---|",
        *(bar.line() for bar in bars),
        "",
        "| feature | accepted of drafted items |",
        "|---|--:|",
        *(
            f"| {row['group']} | {row['accepted']}/{row['drafted']} |"
            for row in figures["own"]["acceptance_by_feature"]
        ),
        "",
        "| judge, draft | rejected | by re-answer | by rubric |",
        "|---|--:|--:|--:|",
        f"| sound (passed: {judge['sound_passed']}) | {_rejected(judge)} | | |",
        *(
            f"| {kind} | {row['all']} | {row['by_reanswer']} | {row['by_rubric']} |"
            for kind, row in judge["rejected"].items()
        ),
        "",
        "| draft alone, first attempt | seen |",
        "|---|--:|",
        f"| pass all checks | {scores['pass_all_checks']} |",
        f"| pass all checks and every grade follows | {scores['pass_and_all_grades_follow']} |",
        f"| box copied without a slip | {scores['box_copied']} |",
        f"| all deciding values copied without a slip | {scores['values_copied']} |",
    ]
    return "\n".join(lines)


def _rejected(judge: dict[str, Any]) -> str:
    passed, everything = map(int, judge["sound_passed"].split("/"))
    return f"{everything - passed}/{everything}"


def write_card(text: str, card: Path = CARD) -> None:
    """Writes the table between the card's marks."""
    old = card.read_text(encoding="utf-8")
    before, rest = old.split(START, 1)
    after = rest.split(END, 1)[1]
    card.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Prints the table; with `--write` the card holds it. Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--knees", type=int, default=16)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--judge-items", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep cohort and store here; made when missing")
    parser.add_argument("--write", action="store_true", help="into the model's card")
    chosen = parser.parse_args()
    if chosen.seed < SEED:
        parser.error(f"seed {chosen.seed!r} may be in training or demo; use {SEED} or more")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(folder, chosen.knees, chosen.seed, chosen.judge_items)
        bars = bars_of(figures)
    text = card_text(figures, bars, chosen.knees, chosen.seed)
    sys.stdout.write(text + "\n")
    if chosen.write:
        write_card(text)
    return int(not all(bar.holds for bar in bars))


if __name__ == "__main__":
    sys.exit(main())
