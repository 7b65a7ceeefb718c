"""`prompts compare`: two trials, or two prompts tried on the same items, side by side."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from knee.errors import InputError
from knee.keys import ItemKey
from knee.records import Control, Grounding, Run, RunKind
from stages.chance import accepted_share, expected_by_chance
from stages.compare_page import write_page
from stages.compare_tables import comparison_json, show_comparison
from stages.comparison import Comparison, ControlLine
from stages.console import emit_json, say
from stages.prompt_names import drafting_prompt
from stages.settings import load_settings
from stages.summary import load_summary
from stages.trial import TrialOptions, try_prompts
from stages.trial_figures import code_rates, compare_groups, cost_rows, pair_items
from store.connection import open_store
from store.loading import load_run
from store.queries import Acceptance, require_run
from store.trial_comparison import control_runs_of, load_trial_items

_RUN_ID = re.compile(r"\d{8}-\d{6}-\w{4}")


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What the command line says beside A and B."""

    store: Path
    """The DuckDB file."""
    trial: TrialOptions | None
    """How prompts are tried; None without a settings file: runs alone can be compared then."""
    seed: int = 0
    """Of resampling and permutation."""
    html: Path | None = None
    """File for the drafts side by side."""
    as_json: bool = False
    """Print the figures as JSON."""


def compare(first: str, second: str, options: CompareOptions) -> int:
    """Compares two trials; prompts are tried on the same items before.

    Args:
        first: A, a run id or a prompt.
        second: B, a run id or a prompt.
        options: the command line.

    Returns:
        0, or the larger exit code of the trials.

    Raises:
        InputError: no such run or prompt, no trial, or no item in common.
    """
    code, run_ids = _runs_of(first, second, options)
    if run_ids is None:
        return code
    comparison = load_comparison(options.store, *run_ids, seed=options.seed)
    if options.as_json:
        emit_json(comparison_json(comparison))
    else:
        show_comparison(comparison)
    if options.html is not None:
        say(str(write_page(comparison, options.store, options.html)))
    return code


def _runs_of(
    first: str, second: str, options: CompareOptions
) -> tuple[int, tuple[str, str] | None]:
    """Returns both runs, trying what is a prompt; None when a trial stopped early."""
    names = (first, second)
    is_run = tuple(_RUN_ID.fullmatch(name) is not None for name in names)
    if all(is_run):
        return 0, names
    templates = [drafting_prompt(n) for n, known in zip(names, is_run, strict=True) if not known]
    if options.trial is None:
        prompt = names[is_run.index(False)]
        raise InputError(
            f"to try prompt {prompt!r} a settings file is needed", "name it with --config"
        )
    if len({t.sha256 for t in templates}) < len(templates):
        raise InputError(
            f"{first!r} and {second!r} are the same prompt",
            "one trial would be compared with itself",
        )
    if load_settings(options.trial.config).grounding is not Grounding.BLIND:
        raise InputError(
            f"trials with settings {str(options.trial.config)!r} would be shown grades: their "
            "agreement means nothing",
            'compare with grounding = "blind"; `prompts try` tries a prompt that tells grades',
        )
    keys = None
    for name, known in zip(names, is_run, strict=True):
        if known:
            keys = _keys_of(options.store, name)
    results = try_prompts(templates, options.trial, keys=keys, quiet=True)
    code = max(result.code for result in results)
    if code > 1:
        return code, None
    tried = iter([result.run_id or "" for result in results])
    run_a, run_b = (n if known else next(tried) for n, known in zip(names, is_run, strict=True))
    return code, (run_a, run_b)


def _keys_of(store: Path, run_id: str) -> list[ItemKey]:
    with open_store(store, read_only=True) as con:
        require_run(con, run_id)
        _require_trial(load_run(con, run_id))
        return list(load_trial_items(con, run_id))


def load_comparison(store: Path, run_a: str, run_b: str, *, seed: int = 0) -> Comparison:
    """Returns what two trials of a store amount to, on the items that both have.

    Raises:
        InputError: no such run, one is no trial, or they have no item in common.
    """
    if run_a == run_b:
        raise InputError(f"run {run_a!r} would be compared with itself", "name two runs")
    with open_store(store, read_only=True) as con:
        runs: list[Run] = []
        for run_id in (run_a, run_b):
            require_run(con, run_id)
            runs.append(load_run(con, run_id))
        for run in runs:
            _require_trial(run)
        items = [load_trial_items(con, run.run_id) for run in runs]
        controls = [control_runs_of(con, run.run_id) for run in runs]
    pairs, left_out = pair_items(*items)
    if not pairs:
        raise InputError(
            f"runs {run_a!r} and {run_b!r} have no item to compare: {left_out.only_a} and "
            f"{left_out.only_b} items are in one alone, {left_out.changed} changed, "
            f"{left_out.failed} failed",
            "`prompts compare RUN PROMPT --config …` tries a prompt on the items of a run",
        )
    return Comparison(
        run_a=runs[0],
        run_b=runs[1],
        pairs=pairs,
        left_out=left_out,
        groups=compare_groups(pairs, seed=seed),
        codes=code_rates(pairs),
        costs=cost_rows(pairs),
        controls=tuple(
            line
            for run, found in zip(runs, controls, strict=True)
            for line in _control_lines(store, run.run_id, found)
        ),
        differences=tuple(_differences(*runs)),
    )


def _require_trial(run: Run) -> None:
    if run.kind is not RunKind.TRIAL:
        raise InputError(
            f"run {run.run_id!r} is of kind {run.kind.value!r}, not a trial",
            "`prompts try` makes trials: they hold no test patients",
        )
    if run.grounding is not Grounding.BLIND:
        raise InputError(
            f"run {run.run_id!r} was shown grades: its agreement means nothing",
            'compare trials of grounding = "blind"',
        )


def _control_lines(store: Path, run_id: str, controls: dict[Control, str]) -> Iterator[ControlLine]:
    """Yields what a trial accepted beside chance, and each control of the same items."""
    for name, of_run in ((None, run_id), *controls.items()):
        figures = load_summary(store, of_run)
        everything = next(
            (row for row in figures.acceptance if row.group == "all"), Acceptance("all", 0, 0, 0, 0)
        )
        components = accepted_share(figures.chance)
        yield ControlLine(
            trial=run_id,
            control=name,
            run_id=of_run,
            accepted=everything.accepted,
            drafted=everything.drafted,
            components_accepted=components.accepted,
            components_drafted=components.drafted,
            chance=expected_by_chance(figures.chance),
        )


def _differences(a: Run, b: Run) -> Iterator[tuple[str, str, str]]:
    """Yields what differs between the runs: name, of A, of B."""
    pairs = {
        "drafter's prompt": (_prompt(a), _prompt(b)),
        "judge's prompts": (str(a.prompts[1:]), str(b.prompts[1:])),
        "model": (a.drafter_model, b.drafter_model),
        "judge": (a.judge_model or "none", b.judge_model or "none"),
        "wording": (a.wording.value, b.wording.value),
        "sampling": (str(a.sampling), str(b.sampling)),
        "checks": (str(a.checks), str(b.checks)),
        "calibration": (a.provenance.get("calibration", ""), b.provenance.get("calibration", "")),
        "code": (a.provenance.get("code", ""), b.provenance.get("code", "")),
    }
    for name, (of_a, of_b) in pairs.items():
        if of_a != of_b:
            yield name, of_a, of_b


def _prompt(run: Run) -> str:
    prompt = run.prompts[0]
    return f"{prompt.prompt_id}@{prompt.version} {prompt.sha256[:19]}…"
