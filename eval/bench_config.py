"""Settings of a model that ReasonKnee-Bench asks, read from a TOML file; all problems at once.

`[model]` is the model and how it answers, `[pictures]` which slices all models are shown. What is
compared must have the same `[pictures]`: they stand in `run.json`.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from eval.bench_records import Coordinates
from knee.errors import InputError
from knee.keys import JsonValue, canonical_json
from knee.run_config import ImageSettings, ModelEndpoint, Sampling, ServeSettings, SettingsFile
from knee.shown_images import PlaneName
from knee.toml_lines import KeyPath, key_lines
from tools.slice_images import RENDERING_VERSION

_EXAMPLE = "see configs/bench/tiny.toml for a complete example"
_PARTS = {"name", "model"}
"""What every file has."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BenchSampling(Sampling):
    """Sampling as the server takes it; hosted models refuse some of it."""

    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Under which name the bound is sent."""
    max_tokens_only: bool = False
    """Whether nothing but the bound is sent: models that reason first take no temperature."""

    def as_sent(self) -> dict[str, float | int | str]:
        """Returns the sampling values as a request carries them."""
        own = {"max_tokens_key", "max_tokens_only", "max_tokens"}
        values: dict[str, float | int | str] = {}
        if not self.max_tokens_only:
            values |= self.model_dump(exclude_none=True, exclude=own)
        return values | {self.max_tokens_key: self.max_tokens}


class BenchModel(ModelEndpoint):
    """The model that answers, behind an OpenAI-compatible server."""

    prompt_id: str = Field(default="bench", pattern="^bench$")
    """Prefix of the prompts' folders: the setting's name follows."""
    prompt_version: int = Field(default=1, ge=1)
    """Version of the setting's prompt."""
    # The records are frozen, so that a narrower type is safe.
    sampling: BenchSampling = BenchSampling()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How tokens are drawn; greedy by default."""
    coordinates: Coordinates
    """In which numbers it gives boxes; what it was trained to give."""
    schema_constrained: bool = True
    """Whether answers are constrained by a JSON schema; False reads them with the tolerant parser
    alone."""
    max_reasoning: int = Field(default=900, ge=16, le=10_000)
    """Characters of the schema's `reasoning`: 80 words are asked for; without a bound a weak model
    runs to its token limit."""
    tokens_per_image: int = Field(ge=1, le=16384)
    """Tokens of one picture at most, with the line of text before it."""
    context: int | None = Field(default=None, ge=128)
    """Context in tokens, for servers that do not tell it."""
    max_images: int | None = Field(default=None, ge=0)
    """Pictures of one request at most; None where the server is to say."""

    @property
    def sent(self) -> dict[str, float | int | str]:
        """What bounds and draws an answer, as `run.json` holds it."""
        bound = {"max_reasoning": self.max_reasoning} if self.schema_constrained else {}
        return self.sampling.as_sent() | bound


class PictureSettings(_Settings):
    """Which slices are shown and how: the same for all models that are compared."""

    planes: tuple[PlaneName, ...] = Field(default=("sagittal", "coronal", "axial"), min_length=1)
    """Planes that may be shown; an item gets those in which its feature is read."""
    max_planes: int = Field(default=1, ge=1, le=3)
    """Planes of one item at most, the most telling first."""
    n_slices: int = Field(default=32, ge=1, le=256)
    """Slices in each plane at most, evenly spaced: through the volume, or through the box."""
    max_pixels: int = Field(default=448, ge=64, le=2048)
    """Longest edge of a picture without its strip; larger ones are made smaller, none larger."""
    pad_to: int = Field(default=28, ge=1, le=64)
    """Width and height are filled up with black, at the right and the bottom, to a multiple of
    this: models that cut pictures into patches (28 pixels in Qwen2.5-VL) then resample nothing, and
    pixels are those that were sent."""
    margin_mm: float = Field(default=10.0, ge=0, le=200)
    """In the setting `region_crop`, pictures are cut so far around the box."""
    percentiles: tuple[float, float] = (1.0, 99.5)
    """Percentiles of the volume's intensities that are shown as black and as white."""

    @model_validator(mode="after")
    def validate_ranges(self) -> Self:
        """Refuses a plane that is there twice, and what is no range of percentiles."""
        # The same rules as for a drafter's slices.
        ImageSettings(planes=self.planes, percentiles=self.percentiles)
        return self

    @property
    def identity(self) -> str:
        """What decides the pictures, as JSON: `run.json` holds it."""
        fields: dict[str, JsonValue] = self.model_dump(mode="json")
        return canonical_json({**fields, "rendering": RENDERING_VERSION})


class LoadSettings(_Settings):
    """How much is in flight; no part of a run's identity."""

    concurrency: int = Field(default=16, ge=1, le=4096)
    """Items in flight."""
    in_flight_mb: float = Field(default=256.0, gt=0)
    """Megabytes of pictures, as they are sent, that all items in flight hold at most."""
    open_volumes: int = Field(default=4, ge=1, le=64)
    """Volumes that are kept open."""
    threads: int = Field(default=2, ge=1, le=32)
    """Threads that read volumes and draw slices."""
    server_wait_s: float = Field(default=300.0, ge=0)
    """How long a server that went away is waited for before the run stops (exit 3)."""


class BenchConfig(_Settings):
    """One settings file."""

    name: str = Field(min_length=1)
    """Short name, kept as provenance."""
    allow_remote: bool = False
    """Must be true before anything is sent to an address that is not this machine's."""
    external_transfer_basis: str | None = Field(default=None, min_length=3)
    """What permits to send restricted volumes to another machine (RULES 25); kept with the run."""
    model: BenchModel
    """The model."""
    pictures: PictureSettings = PictureSettings()
    """Which slices all models are shown."""
    load: LoadSettings = LoadSettings()
    """How much is in flight."""
    serve: ServeSettings | None = None
    """How `bench run --serve` starts the server; None when somebody else does."""

    @model_validator(mode="after")
    def validate_whole(self) -> Self:
        """Refuses a remote model that is not allowed, and an answer that fills the context."""
        if not (self.model.is_local or self.allow_remote):
            raise ValueError(
                f"model.base_url {self.model.base_url!r} is not this machine; patient data would "
                "leave it: set allow_remote = true if that is permitted"
            )
        context = self.context
        if context is not None and self.model.sampling.max_tokens >= context:
            raise ValueError(
                f"model.sampling.max_tokens {self.model.sampling.max_tokens!r} leaves no room for "
                f"a prompt in the context of {context!r} tokens"
            )
        return self

    @property
    def context(self) -> int | None:
        """Tokens of the context as far as the file says."""
        if self.model.context is not None or self.serve is None:
            return self.model.context
        return self.serve.max_model_len

    @property
    def image_settings(self) -> ImageSettings:
        """The same in the form in which `agents.slice_source` takes what is held."""
        return ImageSettings(
            percentiles=self.pictures.percentiles,
            in_flight_mb=self.load.in_flight_mb,
            open_volumes=self.load.open_volumes,
            threads=self.load.threads,
        )


def planes_shown(
    pictures: PictureSettings, reading: tuple[PlaneName, ...]
) -> tuple[PlaneName, ...]:
    """Returns the planes that are shown of those in which a feature is read, in that order."""
    shown: list[PlaneName] = []
    for plane in reading:
        if pictures.planes.count(plane):
            shown.append(plane)
    return tuple(shown[: pictures.max_planes])


def load_bench_config(path: Path) -> BenchConfig:
    """Returns the settings of a TOML file.

    Raises:
        InputError: the file is missing, is not TOML, or has wrong settings; all of them are named
            with their lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(f"settings file not found: {str(path)!r}", "see configs/bench/") from None
    except OSError as error:
        raise InputError(
            f"settings file {str(path)!r} cannot be read: {error.strerror}", "name a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"settings file {str(path)!r} is not TOML: {error}", _EXAMPLE) from error
    try:
        return BenchConfig.model_validate(data)
    except ValidationError as error:
        issues = error.errors(include_url=False)
    problems = tuple(_problem(issue) for issue in issues)
    told = SettingsFile(path, data, key_lines(text), None, problems).error()
    assert told is not None, "a validation error has at least one problem"
    hint = "".join(_hints(data)) or _EXAMPLE
    raise InputError(told.message, hint)


def is_bench_config(path: Path) -> bool:
    """Returns whether a settings file is one of a benched model rather than of a run."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return False
    return data.keys() >= _PARTS and "drafter" not in data


def _problem(issue: ErrorDetails) -> tuple[KeyPath, str]:
    shown = "" if isinstance(issue["input"], dict | BaseModel) else f" (got {issue['input']!r})"
    return issue["loc"], issue["msg"] + shown[:160]


def _hints(data: Mapping[str, Any]) -> Iterator[str]:
    if "drafter" in data:
        yield "a settings file of `generate` is none of a bench: "
        yield _EXAMPLE
