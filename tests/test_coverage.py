"""Coverage before a run: components and questions by feature, with the reasons."""

from collections import Counter

from knee.findings import EvidenceLevel
from knee.moaks import Feature
from stages.coverage import FEATURES, Coverage
from tests.evidence_table import described


def _coverage() -> Coverage:
    coverage = Coverage()
    coverage.add(described("pymskt", "dess"))
    coverage.add(described("phantom", "dess"))
    return coverage


def test_every_component_is_counted_once():
    coverage = _coverage()
    assert coverage.n_volumes == 2
    assert coverage.components.total() == coverage.reasons.total() == 2 * 111
    assert coverage.questions.total() == 2 * 62
    assert Feature.PERIARTICULAR not in FEATURES


def test_questions_are_told_by_their_best_component():
    coverage = _coverage()
    rows = {str(row[0]): row for row in coverage.rows()}
    # 15 questions with lesion labels, 15 without: three components each.
    assert rows["bml"][:4] == ["bml", 30, 15, 0]
    # The tear of a labelled ACL is weak, footprint and repair are in the image.
    assert rows["acl"][:4] == ["acl", 2, 1, 1]
    assert rows["patellar_tendon"][:4] == ["patellar_tendon", 2, 0, 2]


def test_reasons_come_commonest_first_and_only_of_the_levels_asked_for():
    coverage = _coverage()
    top = coverage.top_reasons([EvidenceLevel.NONE])
    assert top
    counts = [row[2] for row in top]
    assert counts == sorted(counts, key=lambda n: -n if isinstance(n, int) else 0)
    assert {row[1] for row in top} == {"none"}
    assert "not_in_scheme: no label for lesions of the" in str(top[0][3])


def test_the_json_holds_all_reasons():
    answer = _coverage().as_json()
    reasons = answer["reasons"]
    assert isinstance(reasons, list)
    seen: Counter[str] = Counter()
    for entry in reasons:
        assert isinstance(entry, dict)
        count = entry["components"]
        assert isinstance(count, int)
        seen["all"] += count
    assert seen["all"] == 2 * 111
