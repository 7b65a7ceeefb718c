"""A settings file held against the prompts, checks and calibration that there are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agents.checks.run import CHECK_VERSIONS
from knee.calibration import load_calibration
from knee.errors import InputError
from knee.records import Grounding
from knee.run_config import JudgeEndpoint, RunConfig, read_settings
from knee.toml_lines import KeyPath
from prompts.registry import PromptKind, load_prompt_for
from stages.run_identity import grounding_problem

_PROMPTS = (
    ("drafter", PromptKind.DRAFT, "prompt_id", "prompt_version"),
    ("judge", PromptKind.JUDGE_REANSWER, "prompt_id", "prompt_version"),
    ("judge", PromptKind.JUDGE_RUBRIC, "rubric_prompt_id", "rubric_prompt_version"),
)
"""Table, what its prompt is for, and the two keys that name it."""


def load_settings(path: Path) -> RunConfig:
    """Returns the settings of a run, known to name prompts, checks and a calibration that exist.

    Raises:
        InputError: the file cannot be read, or something in it is wrong; every problem is named
            with its line.
    """
    file = read_settings(path)
    error = file.error(list(_problems(file.data, path.parent)))
    if error is not None or file.config is None:
        raise error or InputError(f"settings file {str(path)!r} cannot be used")
    return file.config


def _problems(data: Mapping[str, Any], folder: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yields what the file's own rules cannot see; values of a wrong type are theirs to tell."""
    yield from _grounding_problems(data)
    calibration = data.get("calibration")
    if isinstance(calibration, str):
        try:
            load_calibration(folder / calibration)
        except InputError as error:
            yield ("calibration",), error.message
    for table, kind, id_key, version_key in _PROMPTS:
        part = data.get(table)
        if isinstance(part, dict):
            yield from _prompt_problems(table, part, kind, id_key, version_key)
    checks = data.get("checks")
    named = checks.get("warn_only") if isinstance(checks, dict) else None
    names = {name for name in named if isinstance(name, str)} if isinstance(named, list) else set()
    unknown = sorted(names - CHECK_VERSIONS.keys())
    if unknown:
        known = ", ".join(sorted(CHECK_VERSIONS))
        yield ("checks", "warn_only"), f"names no check: {unknown!r}; the checks are {known}"


def _grounding_problems(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    part = data.get("drafter")
    try:
        grounding = Grounding(data.get("grounding", Grounding.BLIND))
        if isinstance(part, dict):
            template = load_prompt_for(
                PromptKind.DRAFT, part.get("prompt_id", ""), part.get("prompt_version", 0)
            )
            trouble = grounding_problem(grounding, template)
            if trouble is not None:
                place = ("grounding",) if "grounding" in data else ("drafter", "prompt_id")
                yield place, f"{trouble[0]} ({trouble[1]})"
    except (InputError, ValueError, TypeError):
        return  # What is no grounding and no prompt is told as such.


def _prompt_problems(
    table: str, part: Mapping[str, Any], kind: PromptKind, id_key: str, version_key: str
) -> Iterator[tuple[KeyPath, str]]:
    defaults = JudgeEndpoint.model_fields
    judging = kind is not PromptKind.DRAFT
    prompt_id = part.get(id_key, defaults[id_key].default if judging else None)
    version = part.get(version_key, defaults[version_key].default if judging else None)
    if not isinstance(prompt_id, str) or not isinstance(version, int) or version < 1:
        return
    try:
        load_prompt_for(kind, prompt_id, version)
    except InputError as error:
        yield (table, id_key), f"{error.message} ({error.hint})"
