"""Settings of a run, read from a TOML file; all problems are reported at once.

Identity (in the run's fingerprint): prompts, models, sampling, checks, judge, grounding, wording.
Not identity: URLs, concurrency, time-outs, how the server is started.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from knee.errors import InputError
from knee.keys import JsonValue
from knee.questions import parse_question_ids
from knee.records import Grounding, Wording
from knee.serve_settings import ServeSettings
from knee.settings_between import DRAFTER_TOKENS, JUDGE_TOKENS, is_local_url, problems_between
from knee.shown_images import PlaneName
from knee.toml_lines import KeyPath, key_lines, line_of


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sampling(_Settings):
    """How tokens are drawn. No seed by default: it kills vLLM's CPU engine under concurrency."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=DRAFTER_TOKENS, ge=16)
    """Bound on the answer's length in tokens."""
    seed: int | None = None
    """Provenance, not reproducibility: batching changes results all the same."""

    def as_sent(self) -> dict[str, float | int | str]:
        """Returns the sampling values as a request carries them, unset ones left out."""
        return self.model_dump(exclude_none=True)


class ModelEndpoint(_Settings):
    """One model behind an OpenAI-compatible server."""

    base_url: str
    """E.g. `http://127.0.0.1:8765/v1`."""
    model: str = Field(min_length=1)
    """Name as the server lists it under /v1/models."""
    api_key_env: str | None = None
    """Environment variable that holds the key; None sends a placeholder."""
    prompt_id: str
    """Prompt folder under prompts/templates."""
    prompt_version: int = Field(ge=1)
    """Version of the prompt."""
    sampling: Sampling = Sampling()
    """How tokens are drawn."""
    timeout_s: float | None = Field(default=None, gt=0)
    """Longest wait for one answer, in seconds; None sizes it to `sampling.max_tokens` and to the
    speed measured (`agents.time_limits`)."""
    licence: str
    """Licence of the model's weights; travels to every row."""

    @property
    def is_local(self) -> bool:
        """True for loopback addresses and `localhost`."""
        return is_local_url(self.base_url)


class ImageSettings(_Settings):
    """Which slices a drafter is shown, and how (docs/images.md)."""

    planes: tuple[PlaneName, ...] = ("sagittal", "coronal", "axial")
    """Planes that may be shown; an item gets those of them that its feature is read in."""
    n_slices: int = Field(default=5, ge=1, le=64)
    """Slices in each plane at most, evenly spaced through the box."""
    max_pixels: int = Field(default=448, ge=64, le=2048)
    """Longest edge of a slice in pixels; a larger one is made smaller, none is made larger."""
    margin_mm: float | None = Field(default=None, ge=0, le=200)
    """Slices are cut so far around the box; None shows them whole."""
    box_drawn: bool = True
    """Whether the region's box is outlined."""
    percentiles: tuple[float, float] = (1.0, 99.5)
    """Percentiles of the volume's intensities that are shown as black and as white."""
    in_flight_mb: float = Field(default=256.0, gt=0)
    """Megabytes of images, as they are sent, that all items in flight hold at most."""
    open_volumes: int = Field(default=4, ge=1, le=64)
    """Volumes that are kept open."""
    threads: int = Field(default=2, ge=1, le=32)
    """Threads that read volumes and draw slices."""

    @field_validator("planes")
    @classmethod
    def validate_planes(cls, value: tuple[PlaneName, ...]) -> tuple[PlaneName, ...]:
        """Refuses no plane, and one that is there twice."""
        if not value or len(set(value)) != len(value):
            raise ValueError("name each plane once, and at least one")
        return value

    @field_validator("percentiles")
    @classmethod
    def validate_percentiles(cls, value: tuple[float, float]) -> tuple[float, float]:
        """Refuses what is no range of percentiles."""
        if not 0 <= value[0] < value[1] <= 100:
            raise ValueError("two percentiles, 0 to 100, the lower one first")
        return value

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What decides the pixels; how many are held at once does not."""
        return self.model_dump(mode="json", exclude={"in_flight_mb", "open_volumes", "threads"})


class DrafterEndpoint(ModelEndpoint):
    """The drafter; with `images` it is shown slices beside the text."""

    images: ImageSettings | None = None
    """How slices are shown; None drafts from text alone."""


class JudgeEndpoint(ModelEndpoint):
    """The judge: may be another model and server than the drafter's."""

    prompt_id: str = "judge-reanswer"
    """Prompt of the blind re-answer."""
    prompt_version: int = Field(default=1, ge=1)
    """Its version."""
    rubric_prompt_id: str = "judge-rubric"
    """Prompt of the rubric."""
    rubric_prompt_version: int = Field(default=2, ge=1)
    """Its version."""
    sampling: Sampling = Sampling(max_tokens=JUDGE_TOKENS)
    """How its answers are drawn; greedy by default."""
    max_repairs: int = Field(default=1, ge=0, le=5)
    """Further tries for an answer that cannot be read, for each task."""
    decoy: bool = True
    """Whether what would pass is put to it once more on the wrong knee: a judge that does not
    notice, or was talked into a favour, accepts nothing (docs/judge.md). One call a draft."""
    serve: ServeSettings | None = None
    """How `serve` starts the judge's own server; None when it is the drafter's, or somebody
    else starts it."""


class CheckSettings(_Settings):
    """Which checks only warn."""

    warn_only: tuple[str, ...] = ()
    """Names of checks; `schema`, `scale` and `compare` cannot be among them."""

    @field_validator("warn_only")
    @classmethod
    def validate_warn_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuses to soften the checks that must hold."""
        fixed = sorted({"schema", "scale", "compare"} & set(value))
        if fixed:
            raise ValueError(f"these checks cannot be turned into warnings: {fixed!r}")
        return value


class BatchSettings(_Settings):
    """How many requests run at once and how long the batch waits for a lost server."""

    concurrency: int = Field(default=16, ge=1, le=4096)
    """Requests with the servers at once; a quarter more items are prepared, checked or written
    meanwhile."""
    max_revisions: int = Field(default=2, ge=0, le=10)
    """Revisions after the first draft."""
    commit_items: int = Field(default=1024, ge=1)
    """Finished items after which a store transaction is made before its time. They are safe in the
    journal meanwhile; a transaction opens the file, which costs as much as hundreds of rows."""
    commit_seconds: float = Field(default=2.0, gt=0)
    """Longest time a finished item waits for its transaction."""
    check_workers: int | None = Field(default=None, ge=0, le=16)
    """Processes that run the checks beside the one that talks to the server; 0 runs them in it.
    None is one where 32 or more items are in flight and there is a second core, else 0."""
    server_wait_s: float = Field(default=300.0, ge=0)
    """How long the batch waits for a server that went away before it stops (exit 3)."""


class RunConfig(_Settings):
    """One settings file."""

    name: str
    """Short name, kept as provenance."""
    grounding: Grounding = Grounding.BLIND
    """blind unless the run is marked."""
    wording: Wording = Wording.GUIDED
    """Which wording of the question is shown."""
    allow_remote: bool = False
    """Must be true before anything is sent to an address that is not this machine's."""
    external_transfer_basis: str | None = Field(default=None, min_length=3)
    """What permits to send restricted volumes to another machine (contract, waiver); stored with
    the run. Without it a remote server is refused for a store that holds restricted volumes."""
    tracing: bool = False
    """LangGraph's tracing stays off, whatever the environment says, unless this is true."""
    calibration: str | None = None
    """TOML file with fitted cut-offs, relative to the settings file."""
    questions: str = "1-69"
    """Ids and ranges that are drafted unless `--questions` says otherwise; not identity."""
    drafter: DrafterEndpoint
    """The model that drafts."""
    judge: JudgeEndpoint | None = None
    """Who judges what agrees with the clinician; None accepts it without a judge."""
    checks: CheckSettings = CheckSettings()
    """Which checks only warn."""
    batch: BatchSettings = BatchSettings()
    """How the batch runs."""
    serve: ServeSettings | None = None
    """How `serve` starts the drafter's server; None when somebody else does."""

    @field_validator("questions")
    @classmethod
    def validate_questions(cls, value: str) -> str:
        """Refuses what names no question."""
        try:
            parse_question_ids(value)
        except InputError as error:
            raise ValueError(error.message) from error
        return value

    @model_validator(mode="after")
    def validate_whole(self) -> Self:
        """Refuses settings that contradict each other, the first of them named."""
        for path, message in problems_between(self.model_dump(mode="json")):
            raise ValueError(f"{'.'.join(map(str, path))}: {message}")
        return self

    @property
    def servers(self) -> tuple["DescribedServer", ...]:
        """The servers that the file says how to start; the drafter's first."""
        found: list[DescribedServer] = []
        if self.serve is not None:
            found.append(DescribedServer("drafter", "serve", self.drafter, self.serve))
        if self.judge is not None and self.judge.serve is not None:
            found.append(DescribedServer("judge", "judge.serve", self.judge, self.judge.serve))
        return tuple(found)

    @property
    def judge_on_the_drafters_server(self) -> "DescribedServer | None":
        """The judge as it is asked on `[serve]`'s server; None where it is asked elsewhere."""
        if self.serve is None or self.judge is None or self.judge.serve is not None:
            return None
        if self.judge.base_url != self.drafter.base_url:
            return None
        return DescribedServer("judge", "serve", self.judge, self.serve)


class DescribedServer(NamedTuple):
    """A server that a settings file says how to start."""

    role: Literal["drafter", "judge"]
    """Whose it is."""
    part: str
    """The file's part: `serve` or `judge.serve`."""
    endpoint: ModelEndpoint
    """How the model is asked."""
    settings: ServeSettings
    """How it is started."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A settings file as read, with everything that is wrong with it."""

    path: Path
    """The file."""
    data: Mapping[str, Any]
    """What stands in it."""
    lines: Mapping[KeyPath, int]
    """Line of each key."""
    config: RunConfig | None
    """The settings; None when they are not valid."""
    problems: tuple[tuple[KeyPath, str], ...]
    """Key and what is wrong there."""

    def error(self, more: Sequence[tuple[KeyPath, str]] = ()) -> InputError | None:
        """Returns one error that names every problem with its line, None without any.

        Args:
            more: problems that were found outside: key and what is wrong there.
        """
        placed = [
            (line_of(self.lines, path), ".".join(str(part) for part in path) or "file", text)
            for path, text in (*self.problems, *more)
        ]
        if not placed:
            return None
        placed.sort(key=lambda entry: (entry[0] or 0, entry[1]))
        told = "\n".join(
            f"  {'' if line is None else f'line {line}: '}{place}: {text}"
            for line, place, text in placed
        )
        return InputError(
            f"settings file {str(self.path)!r} has {len(placed)} problem(s):\n{told}",
            "see configs/demo.toml for a complete example",
        )


def load_run_config(path: Path) -> RunConfig:
    """Returns the settings of a TOML file.

    Raises:
        InputError: the file is missing, is not TOML, or has wrong settings; all of them are named.
    """
    file = read_settings(path)
    error = file.error()
    if error is not None or file.config is None:
        raise error or InputError(f"settings file {str(path)!r} cannot be used")
    return file.config


def read_settings(path: Path) -> SettingsFile:
    """Returns a settings file with its problems.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(
            f"settings file not found: {str(path)!r}", "see configs/ for examples"
        ) from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"settings file {str(path)!r} cannot be read: {error.strerror}", "name a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"settings file {str(path)!r} is not TOML: {error}") from error
    config, problems = None, ()
    try:
        # As JSON, so that strictness leaves lists for tuples and names for closed sets alone:
        # `tracing = 1` is no true, `concurrency = true` no number.
        config = RunConfig.model_validate_json(json.dumps(data, default=_no_json), strict=True)
    except ValidationError as error:
        own = (_problem(issue) for issue in error.errors(include_url=False) if issue["loc"])
        problems = (*own, *problems_between(data))
    return SettingsFile(path, data, key_lines(text), config, problems)


def _no_json(value: object) -> dict[str, str]:
    """Returns what no setting takes, for a date or a time, which TOML has and JSON has not."""
    return {"a date or time": str(value)}


def _problem(issue: ErrorDetails) -> tuple[KeyPath, str]:
    # A problem of a whole part has all of its settings as input: its message names what is wrong.
    shown = "" if isinstance(issue["input"], dict) else f" (got {issue['input']!r})"[:160]
    return issue["loc"], issue["msg"] + shown
