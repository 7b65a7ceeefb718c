"""Which items fill the quotas: the same ones each time, over patients as evenly as may be.

The quota with the fewest candidates is filled first, and an item counts for every quota that it
matches. So a quota is a number to reach: one that overlaps with a rarer one can end above it, and
one with too few candidates takes them all. What the run has drafted already counts first.

The clinician's grades choose the items and decide nothing else: items are drafted in the order of
their keys, and no prompt tells that or why one was chosen (RULES 5).
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from knee.keys import ItemKey, content_hash, parse_volume_id
from knee.quotas import Quota
from knee.records import Item
from store.quota_rows import QuotaChoice, QuotaCount, QuotaRequest


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that could be drafted, as far as quotas see it."""

    key: ItemKey
    """The item."""
    matched: tuple[int, ...]
    """Numbers (from 1) of the quotas that it counts for."""

    @property
    def patient(self) -> str:
        """The patient: items of one are not independent (RULES 18)."""
        return parse_volume_id(self.key.volume_id).patient


def candidates(items: Iterable[Item], quotas: Sequence[Quota]) -> Iterator[Candidate]:
    """Yields the items that match a quota; one without a box cannot be drafted and is none."""
    for item in items:
        grades = {
            component: read.grade
            for component in item.asked
            if (read := item.clinician_grade(component)) is not None and read.grade is not None
        }
        matched = tuple(
            number
            for number, quota in enumerate(quotas, start=1)
            if quota.matches(item.question.feature, grades)
        )
        if matched and item.finding.box is not None:
            yield Candidate(ItemKey(item.volume_id, item.question_id), matched)


def choose(
    found: Sequence[Candidate],
    quotas: Sequence[Quota],
    request: QuotaRequest,
    drafted: frozenset[ItemKey] = frozenset(),
) -> QuotaChoice:
    """Returns the items that fill the quotas.

    Args:
        found: every item that matches one of them.
        quotas: the quotas, in the order asked for.
        request: what was asked for, to be kept with the items.
        drafted: items that the run has drafted: they count, and are never taken out.
    """
    matching = {
        number: [c for c in found if number in c.matched] for number in range(1, len(quotas) + 1)
    }
    chosen = {c.key: c for c in found if c.key in drafted}
    for number in sorted(matching, key=lambda n: (len(matching[n]), n)):
        have = [c for c in matching[number] if c.key in chosen]
        rest = [c for c in matching[number] if c.key not in chosen]
        n_lacking = quotas[number - 1].wanted - len(have)
        chosen |= {c.key: c for c in _evenly(rest, have, n_lacking)}
    counts = tuple(
        QuotaCount(
            quota.text,
            quota.wanted,
            len(matching[number]),
            sum(c.key in chosen for c in matching[number]),
        )
        for number, quota in enumerate(quotas, start=1)
    )
    return QuotaChoice(request, counts, {key: c.matched for key, c in chosen.items()})


def _evenly(rest: Sequence[Candidate], have: Sequence[Candidate], n: int) -> Iterator[Candidate]:
    """Yields up to `n` of `rest`, each of the patient who has fewest; ties by hash."""
    by_patient: dict[str, list[Candidate]] = {}
    for candidate in rest:
        by_patient.setdefault(candidate.patient, []).append(candidate)
    n_had: dict[str, int] = {}
    for candidate in have:
        n_had[candidate.patient] = n_had.get(candidate.patient, 0) + 1
    # By hash, not by id: ids may follow the order in which patients or sites were enrolled.
    for own in by_patient.values():
        own.sort(key=lambda c: content_hash(f"{c.key.volume_id}#{c.key.question_id}"), reverse=True)
    heap = [(n_had.get(p, 0), content_hash(p), p) for p in by_patient]
    heapq.heapify(heap)
    while heap and n > 0:
        count, order, patient = heapq.heappop(heap)
        yield by_patient[patient].pop()
        n -= 1
        if by_patient[patient]:
            heapq.heappush(heap, (count + 1, order, patient))
