"""docs/evidence.md says what the code says."""

from collections import Counter

from knee.findings import TEXT_EVIDENCE, EvidenceLevel
from knee.moaks import Feature
from knee.questions import QUESTIONS
from tests.evidence_table import PAGE, described, page


def test_the_page_is_what_the_code_writes():
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "write it anew: python -m tests.evidence_table > docs/evidence.md"


def test_bones_cartilage_and_menisci_carry_about_half_of_the_questions():
    found = described("pymskt", "dess")
    n_text = sum(any(e.level in TEXT_EVIDENCE for e in f.evidence) for f in found.findings)
    assert 25 <= n_text <= 37


def test_an_image_adds_image_evidence_and_changes_no_measured_level_but_the_fat_pads():
    for scheme in ("pymskt", "spl-atlas"):
        without, with_image = described(scheme, None), described(scheme, "dess")
        changes: Counter[tuple[Feature, EvidenceLevel, EvidenceLevel]] = Counter()
        for one, other in zip(without.findings, with_image.findings, strict=True):
            for before, after in zip(one.evidence, other.evidence, strict=True):
                if before.level is not after.level:
                    feature = QUESTIONS[one.question_id].feature
                    changes[feature, before.level, after.level] += 1
        assert changes
        for feature, before, after in changes:
            assert before is EvidenceLevel.NONE
            assert after is EvidenceLevel.IMAGE or feature is Feature.HOFFA_SYNOVITIS
