"""Two trials of the same items in figures: agreement, acceptance, faults, cost.

Agreement is the first draft's, before any revision: what a drafter says blind. It is macro over the
clinician's grades (RULES 17); a draft that cannot be read agrees with nothing. Grades of nominal
scales are names: they are cells of their own within a feature, and left out over all features.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eval.paired import PairedCounts, PairedFigure, compare_paired, holm
from knee.keys import ItemKey
from knee.moaks import Feature
from knee.records import ItemState
from store.trial_comparison import ComparedComponent, TrialItem

ALL = "all"
"""Name of the group of all items."""


class PairedItem(NamedTuple):
    """One item in both runs."""

    a: TrialItem
    """Of run A."""
    b: TrialItem
    """Of run B."""


class LeftOut(NamedTuple):
    """Items that are not compared, by reason."""

    only_a: int
    """Finished in A alone."""
    only_b: int
    """Finished in B alone."""
    changed: int
    """With other findings or clinician grades in B than in A."""
    failed: int
    """Failed for infrastructure in one of them: nothing is known of the prompt."""


class FigureKind(NamedTuple):
    """One figure that is compared."""

    key: str
    """Name in JSON."""
    title: str
    """In words."""
    unit: str = "components"
    """What is counted."""


AGREEMENT = FigureKind("agreement", "first-attempt blind agreement, macro over clinician grades")
POSITIVES = FigureKind("agreement_grade_1_or_more", "the same for clinician grades >= 1 alone")
ACCEPTANCE_MACRO = FigureKind("acceptance_macro", "acceptance, macro over clinician grades")
ACCEPTANCE = FigureKind("acceptance", "acceptance = accepted / drafted items", "items")
KINDS = (AGREEMENT, POSITIVES, ACCEPTANCE_MACRO, ACCEPTANCE)
"""All figures, in the order shown."""


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The figures of one feature, or of all."""

    group: str
    """`all` or a feature."""
    n_items: int
    """Items compared."""
    n_patients: int
    """Their patients."""
    figures: Mapping[str, PairedFigure]
    """By `FigureKind.key`."""
    holm_p: Mapping[str, float | None]
    """p of each figure, adjusted over the features; None for `all` and where nothing was tested."""


class CodeRate(NamedTuple):
    """How often a check found something in first drafts."""

    code: str
    """The code."""
    a: float
    """Of 100 items of A."""
    b: float
    """Of 100 items of B."""


class CostRow(NamedTuple):
    """One figure of cost, an item."""

    name: str
    """What."""
    a: float
    """Of A."""
    b: float
    """Of B."""


def pair_items(
    a: Mapping[ItemKey, TrialItem], b: Mapping[ItemKey, TrialItem]
) -> tuple[list[PairedItem], LeftOut]:
    """Returns the items that both runs have in the same form, and what is left out."""
    pairs: list[PairedItem] = []
    changed = failed = 0
    for key in sorted(a.keys() & b.keys()):
        pair = PairedItem(a[key], b[key])
        if pair.a.findings_id != pair.b.findings_id or pair.a.components != pair.b.components:
            changed += 1
        elif ItemState.FAILED in (pair.a.state, pair.b.state):
            failed += 1
        else:
            pairs.append(pair)
    return pairs, LeftOut(len(a.keys() - b.keys()), len(b.keys() - a.keys()), changed, failed)


def compare_groups(pairs: Sequence[PairedItem], *, seed: int = 0) -> list[GroupFigures]:
    """Returns the figures of all items, then of each feature in MOAKS' order."""
    features = [f for f in Feature if any(pair.a.feature is f for pair in pairs)]
    figures = {
        ALL: _figures(pairs, seed, over_features=True),
        **{
            f.value: _figures([p for p in pairs if p.a.feature is f], seed, over_features=False)
            for f in features
        },
    }
    adjusted = {
        kind.key: holm({f.value: figures[f.value][kind.key].test.p for f in features})
        for kind in KINDS
    }
    return [
        GroupFigures(
            group=name,
            n_items=len(members),
            n_patients=len({pair.a.patient for pair in members}),
            figures=figures[name],
            holm_p={kind.key: adjusted[kind.key].get(name) for kind in KINDS},
        )
        for name, members in (
            (name, [p for p in pairs if name in (ALL, p.a.feature.value)]) for name in figures
        )
    ]


class _Unit(NamedTuple):
    patient: str
    cell: str
    hit_a: bool
    hit_b: bool


def _figures(
    pairs: Sequence[PairedItem], seed: int, *, over_features: bool
) -> dict[str, PairedFigure]:
    def counted(units: Iterable[_Unit]) -> PairedFigure:
        return compare_paired(_count(list(units)), seed=seed)

    def by_component(hit: Callable[[TrialItem, ComparedComponent], bool]) -> list[_Unit]:
        return [
            _Unit(pair.a.patient, _cell(part), hit(pair.a, part), hit(pair.b, part))
            for pair in pairs
            for part in pair.a.components
            if not (over_features and part.is_nominal)
        ]

    agreeing = by_component(
        lambda item, part: item.first_grades.get(part.component) == part.clinician_grade
    )
    accepted = by_component(lambda item, _: item.state is ItemState.ACCEPTED)
    items = [
        _Unit(
            pair.a.patient,
            ALL,
            pair.a.state is ItemState.ACCEPTED,
            pair.b.state is ItemState.ACCEPTED,
        )
        for pair in pairs
    ]
    return {
        AGREEMENT.key: counted(agreeing),
        POSITIVES.key: counted(unit for unit in agreeing if _is_positive(unit.cell)),
        ACCEPTANCE_MACRO.key: counted(accepted),
        ACCEPTANCE.key: counted(items),
    }


def _cell(part: ComparedComponent) -> str:
    grade = str(part.clinician_grade)
    return f"{part.component.value}={grade}" if part.is_nominal else grade


def _is_positive(cell: str) -> bool:
    return cell.isdecimal() and int(cell) >= 1


def _count(units: Sequence[_Unit]) -> PairedCounts:
    patients = {name: n for n, name in enumerate(sorted({unit.patient for unit in units}))}
    cells = {name: n for n, name in enumerate(sorted({unit.cell for unit in units}))}
    tables = np.zeros((3, len(patients), len(cells)))
    for unit in units:
        place = patients[unit.patient], cells[unit.cell]
        for table, counts in zip(tables, (unit.hit_a, unit.hit_b, True), strict=True):
            table[place] += counts
    return PairedCounts(*tables)


def code_rates(pairs: Sequence[PairedItem]) -> list[CodeRate]:
    """Returns how often each code was found in 100 first drafts, largest change first."""
    codes = {code for pair in pairs for item in pair for code in item.codes}
    per = 100 / max(len(pairs), 1)
    rates = [
        CodeRate(
            code,
            per * sum(code in pair.a.codes for pair in pairs),
            per * sum(code in pair.b.codes for pair in pairs),
        )
        for code in codes
    ]
    return sorted(rates, key=lambda rate: (-abs(rate.b - rate.a), -rate.a, rate.code))


def cost_rows(pairs: Sequence[PairedItem]) -> list[CostRow]:
    """Returns means an item: attempts, tokens and seconds of the drafter."""
    n = max(len(pairs), 1)

    def mean(name: str, of: Callable[[TrialItem], float]) -> CostRow:
        return CostRow(
            name, sum(of(pair.a) for pair in pairs) / n, sum(of(pair.b) for pair in pairs) / n
        )

    return [
        mean("attempts", lambda item: item.attempts),
        mean("prompt tokens", lambda item: item.prompt_tokens),
        mean("generated tokens", lambda item: item.completion_tokens),
        mean("seconds", lambda item: item.seconds),
    ]
