"""Quotas: their grammar, what they match, and which items fill them."""

import random
from collections import Counter

import pytest

from knee.errors import InputError
from knee.keys import ItemKey
from knee.moaks import Component, Feature
from knee.quotas import parse_quotas
from stages.quota_choice import Candidate, candidates, choose
from store.quota_rows import QuotaChoice, QuotaRequest
from tests.sample_items import sample_item


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["grade>=2:500"], ["grade>=2:500"]),
        (["grade>=2:500,grade=0:200"], ["grade>=2:500", "grade=0:200"]),
        (["grade<=1:5", "bml grade>=2:500"], ["grade<=1:5", "bml grade>=2:500"]),
        (["bml.number  grade >= 2 : 20 "], ["bml.number grade>=2:20"]),
        (["morphology grade=8:3"], ["morphology grade=8:3"]),
    ],
)
def test_quotas_are_read_in_their_order(given: list[str], read: list[str]):
    assert [quota.text for quota in parse_quotas(given)] == read


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "an empty quota"),
        ("grade>=2:5,", "an empty quota in 'grade>=2:5,'"),
        ("grade>=2", "a colon and how many items are missing"),
        ("grade>2:5", "'>' is none of the comparisons"),
        ("grade=>2:5", "'=>' is none of the comparisons"),
        ("grade 2:5", "'2' is none of the comparisons"),
        ("grade>=x:5", "'x' is no grade"),
        ("grade>=9:5", "has grade 9: 0, 1, 2, 3, 4, 5, 6, 7, 8"),
        ("bml grade>=4:5", "no scale of 'bml' has grade 4: 0, 1, 2, 3"),
        ("grade>=2:0", "the count '0' is not at least 1"),
        ("grade>=2:-5", "'-5' is no whole number of items"),
        ("grade>=2:1e3", "'1e3' is no whole number of items"),
        ("size>=2:5", "'size>=2' does not name `grade`"),
        ("bmlgrade>=1:3", "'bmlgrade>=1' does not name `grade`"),
        ("BML grade>=2:5", "'BML' is no feature"),
        ("bml.width grade>=1:3", "'width' is no component of 'bml'; it has size, number"),
        ("bml osteophyte grade>=1:3", "'bml osteophyte' is neither a feature"),
    ],
)
def test_what_is_no_quota_is_told_with_its_part(text: str, part: str):
    with pytest.raises(InputError) as caught:
        parse_quotas([text])
    assert part in caught.value.message
    assert 'a quota is "grade>=2:500"' in str(caught.value)


def test_a_group_is_asked_for_once():
    with pytest.raises(InputError, match=r"'grade>=1' is asked for twice \(3 and 4\)"):
        parse_quotas(["grade>=1:3", "grade >= 1:4"])


def test_an_items_grade_is_the_highest_that_is_no_count_and_no_place():
    (two, number) = parse_quotas(["grade>=2:1", "bml.number grade>=2:1"])
    lesions = {Component.SIZE: 1, Component.NUMBER: 3}
    assert not two.matches(Feature.BML, lesions)
    assert number.matches(Feature.BML, lesions)
    assert two.matches(Feature.BML, {Component.SIZE: 0, Component.PERCENT_BML: 2})
    assert not two.matches(Feature.BML, {Component.NUMBER: 3}), "a count alone is no grade"
    assert not number.matches(Feature.CARTILAGE, {Component.SIZE: 3})
    (none,) = parse_quotas(["grade=0:1"])
    assert none.matches(Feature.CARTILAGE, {Component.SIZE: 0, Component.FULL_THICKNESS: 0})
    assert not none.matches(Feature.CARTILAGE, {Component.SIZE: 1, Component.FULL_THICKNESS: 0})


def test_only_what_can_be_drafted_is_a_candidate():
    quotas = parse_quotas(["grade>=1:9"])
    items = [
        sample_item(1, grade=2),
        sample_item(2, grade=0),
        sample_item(3, grade=None),
        sample_item(4, grade=3, boxed=False),
    ]
    found = list(candidates(items, quotas))
    assert [c.key.volume_id for c in found] == [items[0].volume_id]


def pool(n_patients: int, n_items: int, matched: tuple[int, ...]) -> list[Candidate]:
    return [
        Candidate(ItemKey(f"{patient:04}/V00/right/dess", question), matched)
        for patient in range(n_patients)
        for question in range(1, n_items + 1)
    ]


def chosen(
    found: list[Candidate], quotas: list[str], drafted: frozenset[ItemKey] = frozenset()
) -> QuotaChoice:
    return choose(found, parse_quotas(quotas), QuotaRequest(tuple(quotas), None, None), drafted)


def patients(choice: QuotaChoice) -> Counter[str]:
    return Counter(key.volume_id.split("/")[0] for key in choice.items)


def test_a_quota_is_spread_over_patients_as_evenly_as_they_allow():
    found = pool(7, 10, (1,))
    shares = patients(chosen(found, ["grade>=1:25"]))
    assert sorted(shares.values()) == [3, 3, 3, 4, 4, 4, 4]
    poor = [c for c in found if c.key.volume_id > "0003" or c.key.question_id == 1]
    shares = patients(chosen(poor, ["grade>=1:25"]))
    assert sorted(shares.values()) == [1, 1, 1, 5, 5, 6, 6]


def test_the_rarest_quota_is_filled_first_and_its_items_count_for_the_others():
    rare = [Candidate(ItemKey(f"{n:04}/V00/left/dess", 1), (1, 2)) for n in range(4)]
    common = pool(40, 3, (1,))
    choice = chosen([*common, *rare], ["grade>=1:10", "grade>=3:4"])
    assert {c.key for c in rare} <= choice.items.keys()
    assert [(c.wanted, c.available, c.chosen) for c in choice.counts] == [(10, 124, 10), (4, 4, 4)]
    assert len(choice.items) == 10


def test_a_quota_that_cannot_be_filled_takes_all_and_says_so():
    choice = chosen(pool(2, 3, (1,)), ["grade>=1:500"])
    assert [(c.wanted, c.available, c.chosen) for c in choice.counts] == [(500, 6, 6)]


def test_the_choice_does_not_depend_on_the_order_of_the_store():
    found = pool(9, 9, (1,))
    expected = chosen(found, ["grade>=1:30"]).items
    for seed in range(3):
        random.Random(seed).shuffle(found)
        assert chosen(found, ["grade>=1:30"]).items == expected
    assert len({key.question_id for key in expected}) > 4, "not the first questions of each knee"


def test_what_is_drafted_already_counts_and_is_never_taken_out():
    found = pool(5, 6, (1,))
    drafted = frozenset(c.key for c in found if c.key.volume_id.startswith("0000"))
    choice = chosen(found, ["grade>=1:10"], drafted)
    assert drafted <= choice.items.keys()
    assert len(choice.items) == 10
    assert sorted(patients(choice).values()) == [1, 1, 1, 1, 6]
    few = chosen(found, ["grade>=1:2"], drafted)
    assert few.items.keys() == drafted
