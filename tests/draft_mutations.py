"""Every kind of mutant: how it is made, which codes are its own, and what share must be caught."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from tests import mutants_numbers as numbers
from tests import mutants_places as places
from tests import mutants_soft as soft
from tests import mutants_words as words
from tests.mutation_bases import Base, failing, report_on

BAR = 0.99
"""Share of a kind's mutants that must be caught."""


@dataclass(frozen=True)
class Kind:
    """One way to spoil a draft."""

    name: str
    """Of the function that makes it."""
    make: Callable[[Base], Iterator[object]]
    """Yields spoiled answers to a base's item."""
    codes: frozenset[str]
    """Failing codes that say what is wrong; another one is an accident and does not count."""
    bar: float | None = BAR
    """Share that must be caught; None is only reported."""
    bar_on_prose: bool = True
    """Whether the bar is held on spoiled free prose too, or on grammar and hand-written drafts."""


@dataclass(frozen=True)
class Mutant:
    """One spoiled draft with what the checks said."""

    kind: str
    base: Base
    answer: object
    codes: frozenset[str]
    """Failing codes."""
    caught: bool
    """Whether one of them is the kind's own."""


_REGION = ("other_region", "region_not_named", "wrong_compartment", "wrong_margin")
_NUMBER = (
    "number_not_in_findings",
    "number_of_other_measurement",
    "cited_value_missing",
    "sd_not_in_findings",
    "number_without_unit",
    "number_unexplained",
    "false_comparison",
)
_GRADE = ("grade_text_mismatch", "grade_does_not_follow", "scale_misquoted", "false_comparison")
_OPPOSITE = ("denies_finding", "asserts_finding", "size_word_mismatch")


def _kind(
    make: Callable[..., Iterator[object]],
    *codes: str,
    bar: float | None = BAR,
    name: str = "",
    on_prose: bool = True,
) -> Kind:
    return Kind(name or make.__name__, make, frozenset(codes), bar, on_prose)


def kinds(others: Sequence[Base]) -> tuple[Kind, ...]:
    """Returns every kind; `others` lend their numbers to `number_of_another_item`."""
    lent = partial(numbers.number_of_another_item, others=others)
    return (
        _kind(places.wrong_side, "wrong_side"),
        _kind(places.wrong_compartment, *_REGION),
        _kind(places.neighbour_subregion, *_REGION),
        _kind(places.other_feature, "other_feature", "feature_not_named", "other_region"),
        _kind(numbers.changed_number, *_NUMBER),
        _kind(numbers.count_changed, *_NUMBER, "count_mismatch"),
        _kind(numbers.number_as_cut_off, *_NUMBER, on_prose=False),
        _kind(lent, *_NUMBER, name="number_of_another_item"),
        _kind(numbers.swapped_values, *_NUMBER, on_prose=False),
        _kind(numbers.swapped_unit, *_NUMBER, "unit_mismatch"),
        _kind(numbers.dropped_unit, *_NUMBER),
        _kind(numbers.grade_off_by_one, *_GRADE),
        _kind(numbers.grade_with_false_interval, *_GRADE, on_prose=False),
        _kind(numbers.grade_in_object_only, *_GRADE, *_OPPOSITE),
        _kind(numbers.grade_in_text_only, *_GRADE),
        _kind(numbers.off_scale, "off_scale", "wrong_type"),
        _kind(numbers.illegal_combination, "illegal_combination"),
        _kind(places.shifted_box, "box_mismatch", "box_text_mismatch"),
        _kind(places.slice_outside, "slice_outside_box"),
        _kind(words.missing_step, "missing_step", "missing_key"),
        _kind(words.reordered_steps, "step_order"),
        _kind(words.empty_step, "empty_step", "step_too_short"),
        _kind(numbers.unknown_finding, "unknown_finding"),
        _kind(numbers.evidence_not_cited, "evidence_not_cited"),
        _kind(words.observe_denies_conclude, *_OPPOSITE),
        _kind(words.conclude_denies_observe, *_OPPOSITE),
        _kind(words.copied_prompt, "prompt_copied"),
        _kind(words.leaked_label, "label_leak"),
        _kind(words.control_characters, "control_character"),
        _kind(words.repetition, "repetition"),
        _kind(words.wrong_form, "not_json", "duplicate_key", "extra_key", "wrong_type", "too_long"),
        _kind(words.leaked_label_later, "label_leak", bar=None),
        _kind(soft.free_prose_contradiction, *_OPPOSITE, bar=None),
        _kind(soft.laterality_by_anatomy, "wrong_compartment", bar=None),
        _kind(soft.laterality_by_anatomy_later, "wrong_compartment", bar=None),
        _kind(soft.invented_history, "invented_history", bar=None),
        _kind(soft.invented_history_later, "invented_history", bar=None),
    )


def mutants_of(kind: Kind, base: Base, at_most: int, rng: Random) -> Iterator[Mutant]:
    """Yields a base's mutants of a kind, drawn at random where there are more than `at_most`.

    An answer that is the clean one again is dropped: it is no mutant.
    """
    clean = json.dumps(base.answer, ensure_ascii=False)
    answers: dict[str, object] = {}
    for answer in kind.make(base):
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        if text != clean:
            answers.setdefault(text, answer)
    chosen = list(answers.values())
    if len(chosen) > at_most:
        chosen = rng.sample(chosen, at_most)
    for answer in chosen:
        codes = frozenset(failing(report_on(base, answer)))
        yield Mutant(kind.name, base, answer, codes, bool(codes & kind.codes))
