"""`demo`: the main job on phantom knees, with a real vLLM server and the bundled model.

phantoms → findings → drafts → store → report, and once more with the findings exchanged between
knees: what is accepted there is accepted by chance, and stands beside the real figure.
"""

import time
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from agents.serve_checks import checks_before_start
from agents.vllm_server import RunningServer, ServerLabel, start_server, stop_server
from knee.errors import InputError
from knee.keys import JsonValue
from knee.moaks import Feature
from knee.records import Control
from knee.run_config import RunConfig, load_run_config
from stages.console import emit_json, percent, say, show_table
from stages.generate import GenerateOptions, generate
from stages.phantom import PhantomSettings, make_phantom_cohort
from stages.prepare import prepare
from stages.report import reports_folder
from stages.serve import WaitingLine, serve_settings
from stages.summary import RunSummary, load_summary
from store.connection import open_store

FEATURES = (
    Feature.BML,
    Feature.CARTILAGE,
    Feature.OSTEOPHYTE,
    Feature.EXTRUSION,
    Feature.EFFUSION_SYNOVITIS,
    Feature.HOFFA_SYNOVITIS,
    Feature.ACL,
    Feature.PCL,
)
"""Features that masks give evidence for; the demo shows each."""
_LOG = "vllm.log"


def demo(out: Path, *, knees: int, seed: int, config_path: Path, as_json: bool) -> int:
    """Runs the demo; a second call with the same folder goes on where the first ended.

    Args:
        out: folder for cohort, store, log and report.
        knees: phantom knees, at least 2 (the control exchanges them).
        seed: seed of the phantoms; below 10,000, which the demo model was not trained on.
        config_path: settings file with a [serve] part.
        as_json: print the figures on stdout.

    Raises:
        InputError: settings, folder or environment are not as asked.
    """
    started = time.monotonic()
    _check(out, knees, seed)
    config = load_run_config(config_path)
    store, cohort = out / "knees.duckdb", out / "cohort"
    code = 0
    with _server_meanwhile(config, config_path, out / _LOG) as wait_for_server:
        _make_folder(out)
        if not cohort.exists():
            make_phantom_cohort(cohort, knees, seed, PhantomSettings(), as_json=False)
        calibration = config_path.parent / config.calibration if config.calibration else None
        prepare(cohort, store, moaks=None, calibration=calibration, workers=2, as_json=False)
        server = wait_for_server()
        say(f"vLLM ready after {server.ready_s:.0f} s")
        for control in (None, Control.SHUFFLED_FINDINGS.value):
            say("\n" + ("drafting" if control is None else "control: findings of another knee"))
            options = GenerateOptions(
                store=store,
                config=config_path,
                control=control,
                quiet=control is not None,
                show_first_since=started if control is None else None,
            )
            code = max(code, generate(options))
            if code > 1:
                return code
    seconds = time.monotonic() - started
    real, shuffled = (load_summary(store, _newest(store, c)) for c in ("none", "shuffled-findings"))
    page = reports_folder(store) / real.run_id / "index.html"
    if as_json:
        emit_json(_as_json(real, shuffled, store, page, seconds))
    _show(real, shuffled, store, seconds)
    say(str(page))
    return code


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {str(out)!r}: {error.strerror}", "name another with --out"
        ) from error


def _check(out: Path, knees: int, seed: int) -> None:
    if knees < 2:
        raise InputError(f"the demo needs 2 knees or more, got {knees!r}", "--knees 2")
    if not 0 <= seed < 10_000:
        raise InputError(
            f"seed {seed!r} is not one of the demo's", "0 to 9999: the model has not seen those"
        )
    held = {path.name for path in out.iterdir()} if out.is_dir() else set[str]()
    # A demo that was killed while its knees were drawn leaves a log and half of a cohort.
    foreign = {name for name in held if name != _LOG and not name.startswith(".cohort.")}
    if foreign and "cohort" not in held:
        raise InputError(
            f"folder {str(out)!r} holds something that is no demo", "name another with --out"
        )


@contextmanager
def _server_meanwhile(
    config: RunConfig, config_path: Path, log: Path
) -> Generator["_WaitForServer"]:
    """Starts the server while the knees are made; it is down again when the block is left."""
    settings = serve_settings(config, config_path)
    for _ in checks_before_start(settings, config.drafter):
        pass  # What a server lacks is told before anything is made.
    say(f"starting vLLM for {config.drafter.model!r} meanwhile; log: {log}")
    label = ServerLabel(config.name, str(config_path.resolve()))
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(
            start_server, settings, config.drafter, log, WaitingLine(), label=label
        )
        try:
            yield _WaitForServer(starting)
        finally:
            if starting.exception() is None:
                stop_server(starting.result())


class _WaitForServer:
    """Returns the server once it is ready, or raises why it is not."""

    def __init__(self, starting: Future[RunningServer]) -> None:
        self._starting = starting

    def __call__(self) -> RunningServer:
        return self._starting.result()


def _newest(store: Path, control: str) -> str:
    with open_store(store, read_only=True) as con:
        row = con.execute("SELECT max(run_id) FROM runs WHERE control = ?", [control]).fetchone()
    assert row is not None, "max() gives a row"
    return str(row[0])


def _groups(summary: RunSummary) -> dict[str, str]:
    rows = {row.group: row for row in (*summary.acceptance, *summary.by_feature)}
    wanted = ["all", "grade 0", "grade >= 1", *(feature.value for feature in FEATURES)]
    shown = {
        name: percent(rows[name].accepted, rows[name].drafted) if name in rows else percent(0, 0)
        for name in wanted
    }
    macro = summary.macro_over_grades
    shown["macro over grades"] = "–" if macro is None else f"{100 * macro:.1f} %"
    return shown


def _show(real: RunSummary, shuffled: RunSummary, store: Path, seconds: float) -> None:
    own, other = _groups(real), _groups(shuffled)
    show_table(
        "accepted of drafted items: own findings, and findings of another knee (chance)",
        ["items", "own findings", "exchanged findings"],
        [[name, own[name], other[name]] for name in own],
    )
    say(f"coverage: {percent(real.coverage.drafted, real.coverage.all)} of all 69 questions")
    say(f"{seconds:.0f} s in all. Look around:")
    say(f'  .venv/bin/python run_pipeline.py sql --store {store} "SELECT * FROM v_acceptance"')


def _as_json(
    real: RunSummary, shuffled: RunSummary, store: Path, page: Path, seconds: float
) -> dict[str, JsonValue]:
    return {
        "store": str(store),
        "report": str(page),
        "seconds": round(seconds, 1),
        "own_findings": real.as_json(),
        "exchanged_findings": shuffled.as_json(),
    }
