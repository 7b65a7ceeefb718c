"""Quotas of `generate`: how many items with which clinician grades are to be drafted.

    quotas    = quota { "," quota }
    quota     = [ feature [ "." component ] " " ] "grade" ( ">=" | "<=" | "=" ) grade ":" count
    feature   = bml | cartilage | osteophyte | …          (knee.moaks.Feature)
    component = size | full_thickness | morphology | …     (a component of that feature)
    grade     = a grade that the scale has
    count     = a whole number of at least 1

Without a component an item's grade is the highest that the clinician gave to its asked components;
`number` counts lesions and `tear_location` names a place, so neither is one unless it is named.
Quotas choose items. Nothing of them is shown to a drafter (RULES 5).
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from knee.calls import Record
from knee.errors import InputError
from knee.moaks import SCALES, Component, Feature

GRAMMAR = (
    'a quota is "grade>=2:500", "bml grade=3:40" or "bml.number grade>=2:20": feature and '
    "component may be left out; >=, <= or =; a grade; a colon; how many items"
)
"""The hint of every error."""
NOT_SEVERITY = frozenset({Component.NUMBER, Component.TEAR_LOCATION})
"""Components whose grade is a count or a place: not an item's grade unless named."""
_QUOTA = re.compile(
    r"(?:(?P<feature>[^\s.:<>=]+)(?:\.(?P<component>[^\s.:<>=]+))?\s+)?"
    r"grade\s*(?P<operator>>=|<=|=)\s*(?P<grade>\d{1,2})\s*:\s*(?P<wanted>\d{1,9})"
)
_OPERATORS = re.compile(r"[<>=!~]+")


class Comparison(StrEnum):
    """How a grade is compared."""

    AT_LEAST = ">="
    AT_MOST = "<="
    EQUAL = "="


class Quota(Record):
    """So many items with such a grade."""

    feature: Feature | None
    """Only items of this feature; None takes all."""
    component: Component | None
    """The component whose grade counts; None takes the highest of the asked ones."""
    comparison: Comparison
    """How the grade is compared."""
    grade: int
    """With what."""
    wanted: int
    """Items to draft, at least 1."""

    @property
    def group(self) -> str:
        """What it asks for, in its own grammar and without the count.

        Example:
            >>> parse_quotas(["bml.size grade >= 2 : 30"])[0].group
            'bml.size grade>=2'
        """
        feature = "" if self.feature is None else self.feature.value
        component = "" if self.component is None else f".{self.component.value}"
        return f"{feature}{component} grade{self.comparison.value}{self.grade}".strip()

    @property
    def text(self) -> str:
        """The quota in its shortest spelling."""
        return f"{self.group}:{self.wanted}"

    def matches(self, feature: Feature, grades: Mapping[Component, int]) -> bool:
        """Returns whether an item is one of those asked for.

        Args:
            feature: the item's.
            grades: the clinician's grades of its asked components.
        """
        if self.feature is not None and feature is not self.feature:
            return False
        if self.component is not None:
            counting = [g for c, g in grades.items() if c is self.component]
        else:
            counting = [g for c, g in grades.items() if c not in NOT_SEVERITY]
        if not counting:
            return False
        highest = max(counting)
        if self.comparison is Comparison.AT_LEAST:
            return highest >= self.grade
        return (
            highest == self.grade
            if self.comparison is Comparison.EQUAL
            else (highest <= self.grade)
        )


def parse_quotas(texts: Sequence[str]) -> tuple[Quota, ...]:
    """Returns the quotas of one or several `--quota` options, in the order given.

    Raises:
        InputError: one cannot be read, names no feature, component or grade that there is, or
            asks for a group that another one asks for.
    """
    quotas: list[Quota] = []
    for text in texts:
        for part in text.split(","):
            quota = _parse(part.strip(), text)
            twin = next((other for other in quotas if other.group == quota.group), None)
            if twin is not None:
                raise InputError(
                    f"quota {part.strip()!r}: {quota.group!r} is asked for twice "
                    f"({twin.wanted} and {quota.wanted})",
                    "name each group once",
                )
            quotas.append(quota)
    return tuple(quotas)


def _parse(part: str, whole: str) -> Quota:
    match = _QUOTA.fullmatch(part)
    if match is None:
        raise _error(part, _trouble(part, whole))
    feature = None
    if match["feature"] is not None:
        names = [known.value for known in Feature]
        if match["feature"] not in names:
            trouble = f"{match['feature']!r} is no feature; there are {', '.join(names)}"
            raise _error(part, trouble)
        feature = Feature(match["feature"])
    component = _component(part, feature, match["component"])
    grade, wanted = int(match["grade"]), int(match["wanted"])
    if wanted < 1:
        raise _error(part, f"the count {match['wanted']!r} is not at least 1")
    legal = _legal_grades(feature, component)
    if grade not in legal:
        known = ", ".join(str(entry) for entry in legal)
        raise _error(part, f"no scale of {_named(feature, component)} has grade {grade!r}: {known}")
    return Quota(
        feature=feature,
        component=component,
        comparison=Comparison(match["operator"]),
        grade=grade,
        wanted=wanted,
    )


def _component(part: str, feature: Feature | None, name: str | None) -> Component | None:
    if name is None or feature is None:
        return None
    known = [component.value for of, component in SCALES if of is feature]
    if name not in known:
        trouble = f"{name!r} is no component of {feature.value!r}; it has {', '.join(known)}"
        raise _error(part, trouble)
    return Component(name)


def _legal_grades(feature: Feature | None, component: Component | None) -> list[int]:
    """Returns the grades of all scales that a quota can be about, ascending."""
    found: set[int] = set()
    for (of, graded), scale in SCALES.items():
        counts = graded is component if component is not None else graded not in NOT_SEVERITY
        if counts and feature in (None, of):
            found |= set(scale.grades)
    return sorted(found)


def _named(feature: Feature | None, component: Component | None) -> str:
    if feature is None:
        return "any feature"
    return repr(feature.value if component is None else f"{feature.value}.{component.value}")


def _trouble(part: str, whole: str) -> str:
    """Returns what is wrong with a quota that the grammar does not know: its offending part."""
    if not part:
        return f"an empty quota in {whole!r}"
    head, colon, count = part.rpartition(":")
    if not colon:
        return "a colon and how many items are missing"
    if not re.fullmatch(r"\s*\d{1,9}", count):
        return f"{count.strip()!r} is no whole number of items"
    if re.search(r"(^|\s)grade\b", head) is None:
        return f"{head.strip()!r} does not name `grade`"
    before, after = re.split(r"(?:^|(?<=\s))grade", head, maxsplit=1)
    operator = _OPERATORS.match(after.strip())
    if operator is None or operator[0] not in {known.value for known in Comparison}:
        found = operator[0] if operator else after.strip()
        return f"{found!r} is none of the comparisons >=, <= and ="
    grade = after.strip()[operator.end() :].strip()
    if not re.fullmatch(r"\d{1,2}", grade):
        return f"{grade!r} is no grade"
    return f"{before.strip()!r} is neither a feature nor feature.component"


def _error(part: str, trouble: str) -> InputError:
    return InputError(f"quota {part!r}: {trouble}", GRAMMAR)
