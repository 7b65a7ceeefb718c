"""Queries with a name: `store/named_queries/<name>.sql`, for `sql --named NAME`.

Each begins with a line that says what it answers, then one line a parameter:
`-- $run =: what it is` has no value unless given (NULL), `-- $limit = 50: …` has that one, and
`-- $volume: …` must be given.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from knee.errors import InputError

_FOLDER: Final = Path(__file__).parent / "named_queries"
_PARAMETER: Final = re.compile(r"-- \$(\w+)(?: =(?: ?([^:]*))?)?: (.+)")
_OPTIONAL: Final = re.compile(r"-- \$\w+ =")


class QueryParameter(NamedTuple):
    """One parameter of a named query."""

    name: str
    """Without the dollar."""
    words: str
    """What it is."""
    required: bool
    """Whether it must be given."""
    default: str | None
    """Its value when it is not given; None is NULL."""


class NamedQuery(NamedTuple):
    """A query with a name."""

    name: str
    """From the file's name."""
    words: str
    """What it answers."""
    parameters: tuple[QueryParameter, ...]
    """In the order of the file."""
    sql: str
    """The whole file."""

    def bind(self, given: Mapping[str, str]) -> dict[str, str | None]:
        """Returns the value of every parameter.

        Raises:
            InputError: one is missing, or is not known.
        """
        names = [parameter.name for parameter in self.parameters]
        strange = sorted(given.keys() - set(names))
        if strange:
            takes = ", ".join(names) or "none"
            raise InputError(
                f"query {self.name!r} has no parameter {strange[0]!r}", f"it takes: {takes}"
            )
        for parameter in self.parameters:
            if parameter.required and parameter.name not in given:
                raise InputError(
                    f"query {self.name!r} needs {parameter.name!r}: {parameter.words}",
                    f"give it as --params {parameter.name}=VALUE",
                )
        return {p.name: given.get(p.name, p.default) for p in self.parameters}


def load_named_queries() -> tuple[NamedQuery, ...]:
    """Returns all named queries, by name."""
    return tuple(_parse(path) for path in sorted(_FOLDER.glob("*.sql")))


def named_query(name: str) -> NamedQuery:
    """Returns one named query.

    Raises:
        InputError: there is none of that name.
    """
    for query in load_named_queries():
        if query.name == name:
            return query
    raise InputError(f"no query is named {name!r}", "`sql --list` shows them")


def _parse(path: Path) -> NamedQuery:
    text = path.read_text(encoding="utf-8")
    first, *rest = text.splitlines()
    parameters: list[QueryParameter] = []
    for line in rest:
        match = _PARAMETER.fullmatch(line)
        if match is None:
            break
        required = _OPTIONAL.match(line) is None
        parameters.append(QueryParameter(match[1], match[3], required, match[2] or None))
    return NamedQuery(path.stem, first.removeprefix("-- "), tuple(parameters), text)
