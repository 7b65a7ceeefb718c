"""The drafts of two trials that differ, side by side: one self-contained HTML file."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from knee.errors import InputError
from knee.keys import ItemKey
from knee.questions import QUESTIONS
from knee.records import Attempt, ComponentStatus, ItemOutcome, ItemState
from stages.compare_tables import comparison_lines, comparison_tables
from stages.comparison import Comparison
from stages.prompts import text_diff
from stages.trial_figures import PairedItem
from store.connection import open_store
from store.loading import load_outcomes
from store.trial_comparison import stored_prompt_text

MAX_DRAFTS = 150
"""Items shown; the rest is counted."""
_TEMPLATES = Path(__file__).parent / "templates"
_RAW_LIMIT = 2000
_WORD = re.compile(r"\s+|[^\s]+")
_SECTIONS = {
    "gained": "Accepted in B, not in A",
    "lost": "Accepted in A, not in B",
    "ended": "Ended otherwise, accepted in neither or both",
    "graded": "Same end, other grades in the first draft",
    "faulted": "Same end and grades, other faults in the first draft",
    "worded": "Other words alone",
}
"""How drafts differ, the most telling first."""


class Segment(NamedTuple):
    """A part of a text, and whether the other text has it too."""

    text: str
    """Words with their white space."""
    is_changed: bool
    """True where the other text has something else."""


class ShownStep(NamedTuple):
    """A step of a draft."""

    name: str
    """Which."""
    segments: list[Segment]
    """Its text."""


class ShownDraft(NamedTuple):
    """One item's first draft in one run, and how the item ended."""

    state: str
    """How the item ended."""
    attempts: int
    """Answers of the drafter."""
    grades: str
    """The first draft's grades."""
    issues: list[str]
    """What the checks found in the first draft."""
    end_codes: str
    """Why the item ended so."""
    steps: list[ShownStep]
    """Empty when it could not be read."""
    raw: str
    """The answer itself when it could not be read."""


class ShownPair(NamedTuple):
    """One item of both runs."""

    title: str
    """Question and region."""
    meta: str
    """Volume and clinician's grades."""
    a: ShownDraft
    """Of A."""
    b: ShownDraft
    """Of B."""


class ShownSection(NamedTuple):
    """Items that differ in one way."""

    anchor: str
    """Its place in the page."""
    title: str
    """In which way."""
    n: int
    """How many items there are."""
    drafts: list[ShownPair]
    """Those that are shown."""


def write_page(comparison: Comparison, store: Path, path: Path) -> Path:
    """Writes the page of a comparison and returns its path.

    Raises:
        InputError: the file cannot be written.
    """
    runs = (comparison.run_a, comparison.run_b)
    with open_store(store, read_only=True) as con:
        keys = [pair.a.key for pair in comparison.pairs]
        a, b = (
            {
                ItemKey(outcome.volume_id, outcome.question_id): outcome
                for outcome in load_outcomes(con, run.run_id, keys)
            }
            for run in runs
        )
        texts = [stored_prompt_text(con, run.prompts[0].sha256) or "" for run in runs]
    sections, n_same = _sections(comparison.pairs, a, b)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template("compare.html.jinja2").render(
        names=[f"{run.prompts[0].prompt_id}@{run.prompts[0].version}" for run in runs],
        lines=list(comparison_lines(comparison)),
        tables=[table for table in comparison_tables(comparison) if table.rows],
        prompt_diff=list(text_diff(texts[0], texts[1], "A", "B")),
        sections=sections,
        n_same=n_same,
        n_more=sum(section.n - len(section.drafts) for section in sections),
    )
    half = path.with_name(f".{path.name}.part")
    try:
        half.write_text(html, encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot write {str(path)!r}: {error.strerror}", "name another file with --html"
        ) from error
    return path


def _sections(
    pairs: Sequence[PairedItem],
    a: dict[ItemKey, ItemOutcome],
    b: dict[ItemKey, ItemOutcome],
) -> tuple[list[ShownSection], int]:
    """Returns the items that differ, by how they do, and how many do not."""
    found: dict[str, list[ItemKey]] = {name: [] for name in _SECTIONS}
    n_same = 0
    for pair in pairs:
        way = _way(pair, a[pair.a.key], b[pair.b.key])
        if way is None:
            n_same += 1
        else:
            found[way].append(pair.a.key)
    left = MAX_DRAFTS
    sections: list[ShownSection] = []
    for name, keys in found.items():
        shown = keys[:left]
        left -= len(shown)
        if keys:
            drafts = [_shown_pair(a[key], b[key]) for key in shown]
            sections.append(ShownSection(name, _SECTIONS[name], len(keys), drafts))
    return sections, n_same


def _way(pair: PairedItem, a: ItemOutcome, b: ItemOutcome) -> str | None:
    """Returns how two drafts of an item differ most, None when they are the same."""
    accepted = [item.state is ItemState.ACCEPTED for item in pair]
    texts = [outcome.attempts[0].text if outcome.attempts else "" for outcome in (a, b)]
    ways = {
        "gained": accepted == [False, True],
        "lost": accepted == [True, False],
        "ended": pair.a.state is not pair.b.state,
        "graded": pair.a.first_grades != pair.b.first_grades,
        "faulted": pair.a.codes != pair.b.codes,
        "worded": texts[0] != texts[1],
    }
    return next((name for name, differs in ways.items() if differs), None)


def _shown_pair(a: ItemOutcome, b: ItemOutcome) -> ShownPair:
    question = QUESTIONS[a.question_id]
    graded = [
        f"{_spoken(c.component.value)} {c.clinician_grade}"
        for c in a.components
        if c.status is ComponentStatus.GRADED
    ]
    texts_a, texts_b = _step_texts(a), _step_texts(b)
    return ShownPair(
        title=f"Q{question.question_id} {_spoken(question.feature.value)}: {question.region_name}",
        meta=f"{a.volume_id} · clinician: {', '.join(graded)}",
        a=_shown_draft(a, texts_a, texts_b),
        b=_shown_draft(b, texts_b, texts_a),
    )


def _step_texts(outcome: ItemOutcome) -> dict[str, str]:
    draft = outcome.attempts[0].draft if outcome.attempts else None
    return {step.name.value: step.text for step in draft.steps} if draft else {}


def _shown_draft(outcome: ItemOutcome, own: dict[str, str], other: dict[str, str]) -> ShownDraft:
    first: Attempt | None = outcome.attempts[0] if outcome.attempts else None
    grades = first.draft.grades if first is not None and first.draft is not None else {}
    raw = "" if first is None or first.draft is not None else first.text[:_RAW_LIMIT]
    return ShownDraft(
        state=outcome.state.value,
        attempts=len(outcome.attempts),
        grades=", ".join(f"{_spoken(c.value)} {grade}" for c, grade in grades.items()) or "none",
        issues=[f"{i.code}: {i.message}" for i in (first.issues if first else ())],
        end_codes=", ".join(outcome.codes),
        steps=[
            ShownStep(_spoken(name), list(mark_changes(text, other.get(name, ""))))
            for name, text in own.items()
        ],
        raw=raw or ("no answer" if first is None else ""),
    )


def mark_changes(text: str, other: str) -> Iterator[Segment]:
    """Yields the parts of a text, those marked that the other text does not have there.

    Example:
        >>> [part for part in mark_changes("grade 2 here", "grade 3 here") if part.is_changed]
        [Segment(text='2', is_changed=True)]
    """
    words, others = _WORD.findall(text), _WORD.findall(other)
    matcher = difflib.SequenceMatcher(None, others, words, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if start < end:
            yield Segment("".join(words[start:end]), kind != "equal")


def _spoken(name: str) -> str:
    return name.replace("_", " ")
