"""What a blinded sample says: error rate, the readers' agreement, the judge's worth (RULES 21)."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from eval.agreement import (
    Statistic,
    Weighting,
    kappa_with_interval,
    pair_tables,
    share_with_interval,
)
from knee.keys import JsonValue, parse_volume_id
from store.review_samples import Sample, SampleItem

_WORDS = (0, 1)
_JUDGE = ("sensitivity", "specificity")


class Figure(NamedTuple):
    """One figure of a sample."""

    name: str
    """What it is."""
    value: Statistic
    """With its interval over patients, or why there is none."""
    n: int
    """Items that it rests on."""
    words: str
    """How it is defined."""

    def shown(self) -> str:
        """Returns it for people."""
        if self.value.value is None:
            return f"– ({self.value.reason})"
        if self.value.low is None or self.value.high is None:
            return f"{self.value.value:.3f} (no interval: {self.value.no_interval})"
        return f"{self.value.value:.3f} [{self.value.low:.3f}, {self.value.high:.3f}]"

    def as_json(self) -> dict[str, JsonValue]:
        """Returns it for programs."""
        return {"figure": self.name, "n": self.n, "words": self.words, **self.value._asdict()}


def sample_figures(sample: Sample) -> tuple[list[Figure], list[tuple[str, int]]]:
    """Returns the figures, and how often each reason was given for accepted items.

    Shares weigh an item by its stratum, so that they speak of all items of the run and not of the
    sample; intervals are bootstrapped over patients (RULES 18).
    """
    settled = [(item, f.verdict) for item in sample.items if (f := sample.final(item.code))]
    wrong = {item.code for item, verdict in settled if verdict == "wrong"}
    items = [item for item, _ in settled]
    accepted = [item for item in items if item.stratum.startswith("accepted:")]
    judged = "of items that were accepted, or refused by the judge"

    def is_wrong(item: SampleItem) -> bool:
        return item.code in wrong

    figures = [
        _share("error rate", accepted, is_wrong, "accepted items whose text is wrong"),
        _grades(sample),
        _kappa(sample),
    ]
    if len(accepted) == len(items):
        # Without refused items both would be numbers about nothing.
        none = Statistic(None, "no item that the judge refused is settled")
        figures += [Figure(f"judge: {name}", none, 0, judged) for name in _JUDGE]
    else:
        figures += [
            _share(
                f"judge: {_JUDGE[0]}",
                [item for item in items if is_wrong(item)],
                lambda item: not item.stratum.startswith("accepted:"),
                f"wrong items that the judge refused, {judged}",
            ),
            _share(
                f"judge: {_JUDGE[1]}",
                [item for item in items if not is_wrong(item)],
                lambda item: item.stratum.startswith("accepted:"),
                f"sound items that the judge let pass, {judged}",
            ),
        ]
    reasons = Counter(
        final.reason
        for item in accepted
        if (final := sample.final(item.code)) is not None and final.reason is not None
    )
    return figures, reasons.most_common()


def _share(
    name: str, items: Iterable[SampleItem], has_it: Callable[[SampleItem], bool], words: str
) -> Figure:
    hits: dict[str, float] = {}
    totals: dict[str, float] = {}
    n = 0
    for item in items:
        patient = _patient(item)
        totals[patient] = totals.get(patient, 0) + item.weight
        hits[patient] = hits.get(patient, 0) + item.weight * has_it(item)
        n += 1
    patients = sorted(totals)
    value = share_with_interval([hits[p] for p in patients], [totals[p] for p in patients])
    return Figure(name, value, n, words)


def _kappa(sample: Sample) -> Figure:
    pairs: dict[str, list[tuple[int, int]]] = {}
    n = 0
    for item in sample.items:
        said = {r.reader: r.verdict for r in sample.reads.get(item.code, ())}
        if all(reader in said for reader in sample.readers):
            one, other = (int(said[reader] == "wrong") for reader in sample.readers)
            pairs.setdefault(_patient(item), []).append((one, other))
            n += 1
    tables = pair_tables(pairs, _WORDS)
    value = kappa_with_interval(tables, Weighting.NONE, _WORDS)
    return Figure(
        "kappa of the readers", value, n, "on ok or wrong, before differences are settled"
    )


def _grades(sample: Sample) -> Figure:
    pairs: dict[str, list[tuple[int, int]]] = {}
    n = 0
    for item in sample.items:
        given = [r.grades for r in sample.reads.get(item.code, ()) if r.reader in sample.readers]
        if len(given) == len(sample.readers) and all(given):
            for component in given[0].keys() & given[1].keys():
                same = int(given[0][component] == given[1][component])
                pairs.setdefault(_patient(item), []).append((same, 1))
                n += 1
    patients = sorted(pairs)
    hits = [sum(same for same, _ in pairs[p]) for p in patients]
    value = share_with_interval(hits, [len(pairs[p]) for p in patients])
    return Figure("same grade", value, n, "components to which both readers gave the same grade")


def _patient(item: SampleItem) -> str:
    return parse_volume_id(item.text.key.volume_id).patient
