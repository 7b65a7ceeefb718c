"""Prompts by id and version: `templates/<prompt_id>/v<N>.jinja2`, hashed and checked at load.

A prompt's sha256 covers the template's bytes, and behind them those of the data files whose
content its variables show: a changed reading protocol is a changed prompt, and leaves prompts that
do not show it alone.

Beside a template may lie `v<N>.toml`, which is part of the prompt and of its hash: its table
`[measurements]` names per feature which measurements the prompt shows, in which order. A feature
that it does not name, and a prompt without it, shows all.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, lru_cache
from pathlib import Path

from jinja2 import Template
from pydantic import BaseModel, ConfigDict, ValidationError

from knee.errors import InputError
from knee.findings import MeasurementName
from knee.keys import content_hash
from knee.moaks import Feature
from knee.records import PromptRef
from prompts.bench import BenchContext
from prompts.context import FEATURES_FILE, PROTOCOLS_FILE, PromptContext
from prompts.environment import compile_text, used_variables
from prompts.examples import DATA, EXAMPLES_FOLDER
from prompts.question_text import QUESTION_FOLDER

TEMPLATES = Path(__file__).parent / "templates"
"""One folder a prompt id."""
REVISION_VARIABLES = frozenset({"codes", "issues"})
"""What a `revise` block may show beyond the context."""
GIVEN_GRADES = "given_grades"
"""The variable that holds clinicians' grades; a prompt that names it is never a blind run's."""
_VERSION = re.compile(r"v([1-9]\d*)\.jinja2")
_QUESTIONS, _SCALE = QUESTION_FOLDER / "*.jinja2", QUESTION_FOLDER / "scale.jinja2"
_DATA_OF: dict[str, Path] = {
    "feature_name": FEATURES_FILE,
    "planes": FEATURES_FILE,
    # A feature's planes decide which slices there are to speak of.
    "images": FEATURES_FILE,
    "protocol": PROTOCOLS_FILE,
    "question_text": _QUESTIONS,
    "ask": _QUESTIONS,
    "look": _QUESTIONS,
    "examples": EXAMPLES_FOLDER / "*.toml",
    "rubric": DATA / "rubric.toml",
}
"""Variable to the data files that it is made from; tests/test_prompt_data_hashes.py holds it."""
_REANSWER = frozenset(
    {"question_text", "feature_name", "region_name", "side", "sequence", "components", "steps"}
)
"""What the blind re-answer may show: the question, its scale and the masked steps."""


class PromptKind(Enum):
    """What a prompt is for; decides which variables it may show."""

    DRAFT = ""
    """Any id that is not a judge's or a bench's."""
    JUDGE_REANSWER = "judge-reanswer"
    """Ids that begin so: the judge's blind re-answer."""
    JUDGE_RUBRIC = "judge-rubric"
    """Ids that begin so: the judge's rubric."""
    BENCH = "bench-"
    """Ids that begin so: a setting of ReasonKnee-Bench."""

    @property
    def variables(self) -> frozenset[str]:
        """The declared variables, those of the `revise` block aside."""
        context = frozenset(PromptContext.model_fields)
        if self is PromptKind.JUDGE_REANSWER:
            return _REANSWER
        if self is PromptKind.JUDGE_RUBRIC:
            # A judge is told no grade, whatever the drafter was told.
            return context - {GIVEN_GRADES} | {"steps", "rubric"}
        if self is PromptKind.BENCH:
            return frozenset(BenchContext.model_fields)
        return context

    @property
    def needed_blocks(self) -> frozenset[str]:
        """The blocks that it must have; an answer to a bench is never revised."""
        return frozenset({"user"}) if self is PromptKind.BENCH else frozenset({"user", "revise"})

    @property
    def revision_variables(self) -> frozenset[str]:
        """What its `revise` block may show beyond them."""
        if self is PromptKind.BENCH:
            return frozenset()
        return REVISION_VARIABLES if self is PromptKind.DRAFT else frozenset({"codes"})


def prompt_kind(prompt_id: str) -> PromptKind:
    """Returns what a prompt is for, by its id."""
    named = (PromptKind.JUDGE_REANSWER, PromptKind.JUDGE_RUBRIC, PromptKind.BENCH)
    return next((kind for kind in named if prompt_id.startswith(kind.value)), PromptKind.DRAFT)


class PromptSettings(BaseModel):
    """What `v<N>.toml` beside a template says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measurements: dict[Feature, tuple[MeasurementName, ...]] = {}
    """Per feature, the measurements that are shown, in this order."""


@dataclass(frozen=True)
class PromptTemplate:
    """One version of one prompt."""

    prompt_id: str
    """Folder under prompts/templates."""
    version: int
    """1, 2, …"""
    sha256: str
    """`sha256:` over the template and the data files that it shows."""
    source: str
    """The template's text."""
    full_text: str
    """The template and the data files that it shows, as hashed: what the store keeps."""
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Feature to the names of the measurements that it shows; a feature not named shows all."""
    settings_text: str = ""
    """What stands in the `.toml` beside it."""

    @property
    def ref(self) -> PromptRef:
        """The reference kept with every attempt."""
        return PromptRef(prompt_id=self.prompt_id, version=self.version, sha256=self.sha256)

    @cached_property
    def compiled(self) -> Template:
        """The compiled template."""
        return compile_text(self.source, f"{self.prompt_id} v{self.version}")

    @property
    def kind(self) -> PromptKind:
        """What it is for."""
        return prompt_kind(self.prompt_id)

    @cached_property
    def shows_images(self) -> bool:
        """Whether it speaks of slices that are shown behind it."""
        return "images" in used_variables(self.source)

    @cached_property
    def gives_grades(self) -> bool:
        """Whether it tells the clinician's grades: for runs of grounding `label_given` alone."""
        return GIVEN_GRADES in used_variables(self.source)

    @property
    def has_system(self) -> bool:
        """Whether a system message is sent."""
        return "system" in self.compiled.blocks


def list_prompts() -> tuple[PromptTemplate, ...]:
    """Returns every prompt, by id and version."""
    return tuple(load_prompt(prompt_id, version) for prompt_id, version in _known())


@lru_cache(maxsize=64)
def load_prompt(prompt_id: str, version: int) -> PromptTemplate:
    """Returns one version of a prompt, checked.

    Raises:
        InputError: no such prompt (the known ones are named), a block is missing or unknown, or a
            variable is not declared.
    """
    if (prompt_id, version) not in _known():
        raise _unknown(prompt_id, version)
    path = TEMPLATES / prompt_id / f"v{version}.jinja2"
    beside = path.with_suffix(".toml")
    settings = beside.read_text(encoding="utf-8") if beside.is_file() else ""
    return build_prompt(prompt_id, version, path.read_text(encoding="utf-8"), settings)


def load_prompt_for(kind: PromptKind, prompt_id: str, version: int) -> PromptTemplate:
    """Returns one version of a prompt that must be of a kind.

    Raises:
        InputError: as `load_prompt`, or the prompt is for something else.
    """
    if (prompt_id, version) not in _known():
        raise _unknown(prompt_id, version, kind)
    template = load_prompt(prompt_id, version)
    if template.kind is not kind:
        wanted = kind.value or "no judge's prompt and no bench's"
        raise InputError(
            f"prompt {prompt_id!r} cannot be used here: its id should be {wanted!r}…",
            "`run_pipeline.py prompts` lists the prompts",
        )
    return template


def _unknown(prompt_id: str, version: int, kind: PromptKind | None = None) -> InputError:
    known = (entry for entry in _known() if kind in (None, prompt_kind(entry[0])))
    named = ", ".join(f"{name} v{number}" for name, number in known)
    return InputError(f"no prompt {prompt_id!r} version {version!r}", f"there are: {named}")


UNSAVED = "unsaved/"
"""A prompt that lies outside the templates is known by this and its file's stem, version 0."""


def load_prompt_file(path: Path) -> PromptTemplate:
    """Returns the prompt of a template file anywhere, and of the `.toml` beside it, if any.

    A file that says what a saved prompt says, settings included, is that prompt.

    Raises:
        InputError: no such file, not text, or as `load_prompt`.
    """
    beside = path.with_suffix(".toml")
    try:
        source = path.read_text(encoding="utf-8")
        settings = beside.read_text(encoding="utf-8") if beside.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"template file {str(path)!r} cannot be read: {error}",
            "a template is a text file with the blocks `user` and `revise` (docs/prompts.md)",
        ) from error
    if path == beside:
        raise InputError(f"{str(path)!r} is no template file", "name the .jinja2 file")
    template = build_prompt(f"{UNSAVED}{path.stem}", 0, source, settings)
    saved = (p for p in list_prompts() if p.kind is template.kind)
    return next((p for p in saved if p.sha256 == template.sha256), template)


def build_prompt(
    prompt_id: str, version: int, source: str, settings_text: str = ""
) -> PromptTemplate:
    """Returns the prompt of a template's text, checked; `prompts try` uses it on unsaved ones.

    Args:
        prompt_id: its id.
        version: its version.
        source: the template.
        settings_text: what stands in the `.toml` beside it; empty when there is none.

    Raises:
        InputError: as `load_prompt`.
    """
    name = f"{prompt_id} v{version}"
    blocks = frozenset(compile_text(source, name).blocks)
    kind = prompt_kind(prompt_id)
    needed = kind.needed_blocks
    if not needed <= blocks or blocks - needed - {"system"}:
        wanted = " and ".join(f"`{block}`" for block in sorted(needed, reverse=True))
        raise InputError(
            f"prompt {name!r} has the blocks {sorted(blocks)!r}",
            f"a prompt has {wanted}, and may have `system`",
        )
    used = used_variables(source)
    unknown = sorted(used - kind.variables - kind.revision_variables)
    if unknown:
        declared = ", ".join(sorted(kind.variables))
        raise InputError(
            f"prompt {name!r} uses undeclared variables: {unknown!r}", f"declared are: {declared}"
        )
    full_text = source + "".join(text for _, text in _data_texts(used)) + settings_text
    sha256 = content_hash(full_text)
    shown = _shown_measurements(settings_text, name)
    return PromptTemplate(prompt_id, version, sha256, source, full_text, shown, settings_text)


def _shown_measurements(settings_text: str, name: str) -> dict[str, tuple[str, ...]]:
    try:
        settings = PromptSettings.model_validate(tomllib.loads(settings_text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the settings of prompt {name!r} are not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"the settings of prompt {name!r} are wrong at {place!r}: {first['msg']}",
            "features and measurements are those of knee.moaks and knee.findings",
        ) from error
    return {
        feature.value: tuple(entry.value for entry in names)
        for feature, names in settings.measurements.items()
    }


def data_parts(template: PromptTemplate) -> dict[str, str]:
    """Returns the data files that a prompt shows: path under `prompts/` to content."""
    texts = _data_texts(used_variables(template.source))
    return {str(path.relative_to(TEMPLATES.parent)): text for path, text in texts}


def _data_texts(used: frozenset[str]) -> Iterator[tuple[Path, str]]:
    shown = {path for name in used if name in _DATA_OF for path in _files(_DATA_OF[name])}
    if "question_text" not in used:
        shown.discard(_SCALE)  # Only the whole question holds the scale.
    for path in sorted(shown):
        # Bytes, not lines: what is hashed is the file as it is.
        yield path, path.read_bytes().decode("utf-8")


def _files(named: Path) -> Iterator[Path]:
    return named.parent.glob(named.name)


@lru_cache(maxsize=1)
def _known() -> tuple[tuple[str, int], ...]:
    found = [
        (path.parent.name, int(match[1]))
        for path in TEMPLATES.glob("*/*.jinja2")
        if (match := _VERSION.fullmatch(path.name))
    ]
    return tuple(sorted(found))
