"""What can be reasoned from before any model is called: counted by feature, with the reasons."""

from collections import Counter
from collections.abc import Sequence

from knee.findings import TEXT_EVIDENCE, EvidenceLevel, VolumeFindings
from knee.keys import JsonValue
from knee.moaks import Feature
from knee.questions import N_WITH_REGION, QUESTIONS
from stages.console import percent, say, show_table

FEATURES: tuple[Feature, ...] = tuple(
    dict.fromkeys(q.feature for q in QUESTIONS.values() if q.question_id <= N_WITH_REGION)
)
"""Features of the questions that have a region, in the catalogue's order."""
_TOP_REASONS = 12


class Coverage:
    """Counts components by evidence level and reason, and questions that can be drafted."""

    def __init__(self) -> None:
        self.n_volumes = 0
        self.components: Counter[tuple[Feature, EvidenceLevel]] = Counter()
        self.reasons: Counter[tuple[Feature, EvidenceLevel, str]] = Counter()
        self.questions: Counter[Feature] = Counter()
        """Questions of all volumes."""
        self.from_text: Counter[Feature] = Counter()
        """Questions with a component that measurements carry: a text model can draft them."""
        self.from_image: Counter[Feature] = Counter()
        """Questions of which only an image shows something."""

    def add(self, findings: VolumeFindings) -> None:
        """Counts one described volume."""
        self.n_volumes += 1
        for finding in findings.findings:
            feature = QUESTIONS[finding.question_id].feature
            levels = {entry.level for entry in finding.evidence}
            self.questions[feature] += 1
            self.from_text[feature] += bool(levels & TEXT_EVIDENCE)
            self.from_image[feature] += bool(
                EvidenceLevel.IMAGE in levels and not levels & TEXT_EVIDENCE
            )
            for entry in finding.evidence:
                self.components[feature, entry.level] += 1
                self.reasons[feature, entry.level, entry.reason] += 1

    def rows(self) -> list[list[object]]:
        """Returns a row a feature: name, questions, from text, from image only, levels."""
        return [
            [
                feature.value,
                self.questions[feature],
                self.from_text[feature],
                self.from_image[feature],
                *(self.components[feature, level] for level in EvidenceLevel),
            ]
            for feature in FEATURES
        ]

    def top_reasons(self, levels: Sequence[EvidenceLevel]) -> list[list[object]]:
        """Returns the commonest reasons of some levels: feature, level, components, reason."""
        chosen = [entry for entry in self.reasons.most_common() if entry[0][1] in levels]
        return [
            [feature.value, level.value, count, reason]
            for (feature, level, reason), count in chosen[:_TOP_REASONS]
        ]

    def as_json(self) -> dict[str, JsonValue]:
        """Returns the counts for `--json`; reasons of all levels, the commonest first."""
        return {
            "questions": {
                feature.value: {
                    "all": self.questions[feature],
                    "from_text": self.from_text[feature],
                    "from_image_only": self.from_image[feature],
                }
                for feature in FEATURES
            },
            "reasons": [
                {
                    "feature": feature.value,
                    "level": level.value,
                    "components": count,
                    "reason": reason,
                }
                for (feature, level, reason), count in self.reasons.most_common()
            ],
        }


def show_coverage(coverage: Coverage) -> None:
    """Prints coverage by feature and why the rest cannot be measured."""
    levels = list(EvidenceLevel)
    show_table(
        f"evidence by feature ({coverage.n_volumes} volume(s); questions, then components)",
        ["feature", "questions", "from text", "image only", *(level.value for level in levels)],
        coverage.rows(),
    )
    short = (EvidenceLevel.WEAK, EvidenceLevel.IMAGE, EvidenceLevel.NONE)
    show_table(
        "why not measured (components, commonest first)",
        ["feature", "level", "components", "reason"],
        coverage.top_reasons(short),
    )
    n_all, n_text = coverage.questions.total(), coverage.from_text.total()
    say(
        f"coverage: {percent(n_text, n_all)} of the questions with a region can be drafted from "
        f"measurements, {percent(coverage.from_image.total(), n_all)} more only by a model that "
        "sees the image"
    )
