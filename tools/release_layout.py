"""What the import assumes of the released data set (`release_layout.toml`), checked as a whole."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from knee.anatomy import Side
from knee.errors import InputError
from knee.moaks import Component, Feature, components_of
from knee.questions import QUESTIONS
from knee.splits import Split

LAYOUT_FILE = Path(__file__).parent / "release_layout.toml"
"""The assumptions, each with its mark."""
_SPACES = re.compile(r"[\s_-]+")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Folders(_Part):
    """Folders below the release's root."""

    questions: str
    """Question files and mappings."""
    splits: str
    """Split files."""
    labels: str
    """Label tables."""
    items: str
    """Generated JSON."""


class Files(_Part):
    """File names in those folders."""

    questions: tuple[str, ...]
    """Question files: id to text."""
    texts: str
    """Reasoning templates by question and grade."""
    subregions: str
    """Question to the subregion whose mask it is about."""
    splits: dict[Split, str]
    """One CSV a split."""
    items: dict[Split, str]
    """One JSON list a split."""
    labels: str
    """Regular expression of the label tables' names; group 1 is the visit."""


class SplitColumns(_Part):
    """Columns of the split files."""

    patient: str
    """Patient id."""
    time: str
    """A key of `times`."""
    side: str
    """A key of `sides`."""
    image: str
    """Path of the image."""
    label_map: str
    """Path of the masks."""


class ItemKeys(_Part):
    """Keys of one generated item."""

    image: str
    """Path of the image, as in the split files."""
    prompt: str
    """The question."""
    answer: str
    """Reasoning, and perhaps the final answer behind its mark."""
    final: str
    """The final answer alone."""


class LabelColumns(_Part):
    """Columns of the label tables."""

    patient: str
    """Patient id."""
    side: str
    """A key of `sides`."""
    full_thickness_suffix: str
    """Behind a cartilage variable's name: its full thickness."""


class Boxes(_Part):
    """How boxes are verified."""

    order: tuple[str, ...]
    """Names of the six numbers."""
    min_overlap: float
    """Least median IoU with the masks' own boxes."""
    sample: int
    """Boxes that are compared."""
    min_sample: int
    """Least boxes of one orientation and side."""


class Masks(_Part):
    """Where masks are."""

    folders: tuple[str, ...]
    """Folders of the release in which a mask's path may start."""
    file: str
    """Path with `{label_map}` and `{subregion}`."""


class Answers(_Part):
    """How answers name questions and components."""

    final_mark: str
    """What stands before the final answer."""
    wrappers: tuple[str, ...]
    """Keys around the answer."""
    keys: dict[int, str]
    """Question id to the key of its answer."""
    fields: dict[Feature, dict[Component, tuple[str, ...]]]
    """Feature to component to the names it may have."""

    @model_validator(mode="after")
    def validate_catalogue(self) -> Self:
        """Refuses anything but the 69 questions with all their components, each named once."""
        if set(self.keys) != set(QUESTIONS):
            raise ValueError("answers.keys must name the questions 1 to 69")
        if len({plain(key) for key in self.keys.values()}) != len(QUESTIONS):
            raise ValueError("two questions have one key")
        for feature in Feature:
            named = self.fields.get(feature, {})
            if set(named) != set(components_of(feature)):
                raise ValueError(f"answers.fields.{feature.value} must name its components")
            names = [plain(name) for aliases in named.values() for name in aliases]
            if len(names) != len(set(names)):
                raise ValueError(f"answers.fields.{feature.value} has one name for two components")
        return self


class ReleaseLayout(_Part):
    """All assumptions about the release."""

    version: int
    """Of the file; stored with an import."""
    source: str
    """Mark of the rows."""
    licence: str
    """Licence of the data."""
    author: str
    """Who wrote the reasoning."""
    folders: Folders
    """Where files are."""
    files: Files
    """What they are called."""
    split_columns: SplitColumns
    """Columns of the split files."""
    times: dict[str, str]
    """Time to visit."""
    sides: dict[str, Side]
    """Capitals to side."""
    item_keys: ItemKeys
    """Keys of the generated items."""
    label_columns: LabelColumns
    """Columns of the label tables."""
    boxes: Boxes
    """How boxes are verified."""
    masks: Masks
    """Where masks are."""
    answers: Answers
    """How answers are read."""


def plain(name: str) -> str:
    """Returns a name without case, and with one space for spaces, `_` and `-`.

    Example:
        >>> plain("Hoffa-Synovitis"), plain("medial_meniscal_cyst ")
        ('hoffa synovitis', 'medial meniscal cyst')
    """
    return _SPACES.sub(" ", name).strip().casefold()


@lru_cache(maxsize=4)
def load_layout(path: Path = LAYOUT_FILE) -> ReleaseLayout:
    """Returns the assumptions in a file.

    Raises:
        InputError: the file is missing or not of the expected form.
    """
    try:
        return ReleaseLayout.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}", "mend the file") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{str(path)!r} does not describe a release: {where}: {problem['msg']}",
            f"its form is that of {LAYOUT_FILE.name}",
        ) from error
