"""Schemes: what the numbers of a label map stand for, as data files.

A scheme is `tools/schemes/<name>.toml`, or a user's own file of the same form::

    name = "phantom"
    source = "where the numbers come from"
    sided = true                                  # menisci and tibial cartilages have a side
    lesion_source_sequence = "SAG IW TSE FS"      # optional: what lesion labels were drawn on
    [labels]
    1 = "femur"                                   # a value of knee.anatomy.Structure
    [side_labels.right]                           # optional: numbers that change with the side
    5 = "lateral_meniscus"
    [side_labels.left]
    5 = "medial_meniscus"
    [files]                                       # optional: for a folder of one mask a file,
    "femur_bone" = "femur"                        # file name without suffix to structure

0 is background and is not listed. Several numbers may name one structure. A number that is in
the map and not in the scheme is an error, never background: it may be the lesion.
"""

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from knee.anatomy import Side, Structure
from knee.errors import InputError

SCHEMES_FOLDER = Path(__file__).parent / "schemes"
"""Where the schemes that come with the pipeline are."""
MAX_LABEL = 100_000
"""Largest label number that is believed; label maps of knees have tens of labels."""
UNSIDED: dict[Structure, tuple[Structure, Structure]] = {
    Structure.TIBIAL_CARTILAGE: (
        Structure.MEDIAL_TIBIAL_CARTILAGE,
        Structure.LATERAL_TIBIAL_CARTILAGE,
    ),
    Structure.MENISCUS: (Structure.MEDIAL_MENISCUS, Structure.LATERAL_MENISCUS),
}
"""Structures whose label does not tell medial from lateral, with what they are split into."""


class Scheme(BaseModel):
    """What the numbers of a label map stand for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the scheme, e.g. `oaizib-cm`."""
    source: str
    """Where the numbers come from, for people."""
    sided: bool
    """False where menisci or tibial cartilages carry one label for both sides."""
    lesion_source_sequence: str | None = None
    """MRI sequence that the lesion labels were drawn on; None when unknown or without lesions."""
    labels: dict[int, Structure]
    """Label number (1 and above) to structure, the same for either side."""
    side_labels: dict[Side, dict[int, Structure]] = {}
    """Further numbers whose structure depends on the side; both sides have the same numbers."""
    sided_by_declaration: tuple[Structure, ...] = ()
    """Structures whose side was taken from the declared one, so that they cannot vouch for it."""
    files: dict[str, Structure] = {}
    """For a folder of masks: file name (lower case, underscores, no suffix) to structure."""

    @model_validator(mode="after")
    def validate_labels(self) -> Self:
        """Refuses background, numbers out of range or given twice, and a wrong `sided`."""
        tables = [self.labels, *self.side_labels.values()]
        if not any(tables):
            raise ValueError("a scheme has at least one label")
        bad = sorted(n for table in tables for n in table if not 0 < n <= MAX_LABEL)
        if bad:
            raise ValueError(f"label numbers must be 1 to {MAX_LABEL} (0 is background): {bad!r}")
        unsided = sorted(UNSIDED.keys() & self.structures)
        if self.sided == bool(unsided):
            raise ValueError(f"sided = {self.sided!r}, but the unsided structures are {unsided!r}")
        self._check_side_labels()
        nowhere = sorted(set(self.files.values()) - self.structures)
        if nowhere:
            raise ValueError(f"files name structures that have no label: {nowhere!r}")
        return self

    def _check_side_labels(self) -> None:
        if not self.side_labels:
            return
        right, left = (self.side_labels.get(side, {}).keys() for side in Side)
        if right != left:
            raise ValueError(f"side_labels: right has {sorted(right)!r}, left {sorted(left)!r}")
        twice = sorted(right & self.labels.keys())
        if twice:
            raise ValueError(f"numbers are in labels and in side_labels: {twice!r}")

    @property
    def structures(self) -> set[Structure]:
        """Every structure that has a number, on either side."""
        return {s for t in (self.labels, *self.side_labels.values()) for s in t.values()}

    def for_side(self, side: Side) -> "Scheme":
        """Returns the scheme whose `labels` hold all numbers of one side; itself if it has none."""
        own = self.side_labels.get(side)
        if own is None:
            return self
        changed = {s for table in self.side_labels.values() for s in table.values()}
        return self.model_copy(
            update={
                "labels": {**self.labels, **own},
                "side_labels": {},
                "sided_by_declaration": tuple(sorted(changed)),
            }
        )

    def numbers(self, structure: Structure) -> tuple[int, ...]:
        """Returns the label numbers of a structure, ascending; empty when not in the scheme."""
        return tuple(sorted(n for n, s in self.labels.items() if s is structure))


def scheme_names() -> tuple[str, ...]:
    """Returns the names of the schemes that come with the pipeline, in alphabetical order."""
    return tuple(sorted(path.stem for path in SCHEMES_FOLDER.glob("*.toml")))


def load_scheme(name_or_path: str) -> Scheme:
    """Returns a scheme by its name, or from a user's own TOML file.

    Raises:
        InputError: there is no such scheme, or the file does not hold one.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path
    path = Path(name_or_path) if is_path else SCHEMES_FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        raise InputError(
            f"there is no scheme {name_or_path!r}",
            f"schemes are {', '.join(scheme_names())}, or the path of a TOML file",
        )
    try:
        return Scheme.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"scheme {str(path)!r} is not TOML: {error}", "mend the file") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()[:5]
        )
        raise InputError(
            f"scheme {str(path)!r} does not hold a scheme: {problems}",
            f"structures are {', '.join(Structure)}",
        ) from error
