"""What a recheck holds a run's attempts against, settled before any of them is read."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from agents.checks.run import CHECK_VERSIONS
from agents.fingerprint import new_run_id
from knee.calibration import Calibration
from knee.errors import InputError
from knee.keys import JsonValue, canonical_json, content_hash
from knee.records import Run
from knee.run_config import RunConfig
from knee.verdict import Recheck
from stages.judge_plan import JudgePlan, plan_judge
from stages.run_identity import code_revision
from stages.run_plan import load_configured_calibration
from stages.settings import load_settings
from store.loading import load_run
from store.queries import require_run

_NO_CALIBRATION = "none"
"""As a run's provenance names it."""


@dataclass(frozen=True, slots=True)
class RecheckPlan:
    """A recheck before it starts."""

    run: Run
    """The run."""
    config: RunConfig | None
    """Settings of the recheck; None without."""
    calibration: Calibration | None
    """Fitted cut-offs."""
    judge: JudgePlan | None
    """The judge to ask; None keeps what an earlier one said."""
    recheck: Recheck
    """The recheck's record."""

    @property
    def warn_only(self) -> frozenset[str]:
        """Checks that only warn."""
        return frozenset(self.recheck.warn_only)

    def resumed(self, earlier: Recheck) -> "RecheckPlan":
        """Returns the plan that goes on with an earlier recheck of the same identity."""
        return replace(self, recheck=earlier)


def make_recheck_plan(
    con: duckdb.DuckDBPyConnection, run_id: str, config_path: Path | None
) -> RecheckPlan:
    """Returns the plan of a recheck.

    Raises:
        InputError: no such run; settings, calibration or prompts are not as asked; or the run was
            drafted with a calibration and no settings name it.
    """
    require_run(con, run_id)
    run = load_run(con, run_id)
    config = None if config_path is None else load_settings(config_path)
    calibration = None
    if config is not None and config_path is not None:
        calibration = load_configured_calibration(config, config_path)
    used = run.provenance.get("calibration", _NO_CALIBRATION)
    if config is None and used != _NO_CALIBRATION:
        raise InputError(
            f"run {run_id!r} was drafted with the calibration {used!r}, and it is not named",
            "name the settings file with --config: its calibration, warnings and judge are used",
        )
    judge = None
    if config is not None:
        judge = plan_judge(config, sees_images=run.images is not None)
    warn_only = () if config is None else tuple(sorted(set(config.checks.warn_only)))
    row = con.execute("SELECT max(loaded_at)::VARCHAR FROM clinician_grades").fetchone()
    identity: dict[str, JsonValue] = {
        "checks": dict(CHECK_VERSIONS),
        "warn_only": warn_only,
        "calibration": None if calibration is None else calibration.model_dump_json(),
        "judge": None if judge is None else _judge_identity(judge),
        # A table that was loaded anew is another comparison.
        "grades_of": None if row is None else row[0],
    }
    recheck = Recheck(
        recheck_id=new_run_id(),
        run_id=run_id,
        fingerprint=content_hash(canonical_json(identity)),
        checks=CHECK_VERSIONS,
        warn_only=warn_only,
        judge_model=None if judge is None else judge.endpoint.model,
        prompts=() if judge is None else judge.refs,
        provenance={
            "settings": "none" if config is None else config.name,
            "calibration": _NO_CALIBRATION if calibration is None else calibration.name,
            "code": code_revision(),
        },
    )
    return RecheckPlan(run, config, calibration, judge, recheck)


def _judge_identity(judge: JudgePlan) -> dict[str, JsonValue]:
    return {
        "model": judge.endpoint.model,
        "prompts": [ref.sha256 for ref in judge.refs],
        **judge.identity,
    }
