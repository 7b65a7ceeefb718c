"""Writes docs/evidence.md: `python -m tests.evidence_table > docs/evidence.md`.

One healthy phantom is relabelled to each scheme, so that the table shows what a scheme can tell
and nothing of a knee; `tests/test_evidence_table.py` holds the page against this code.
"""

import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from knee.anatomy import Side, Structure
from knee.findings import TEXT_EVIDENCE, EvidenceLevel, VolumeFindings
from knee.moaks import Component, Feature
from knee.questions import QUESTIONS
from tests.phantom_maps import phantom, phantom_image
from tools.describe import describe_volume
from tools.segmentation import LabelMap, label_map_from_volume, load_scheme, scheme_names
from tools.volumes import make_volume

PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"
"""The page that this module writes."""
SEED, SIDE = 71, Side.RIGHT
IMAGES: tuple[tuple[str, str | None], ...] = (
    ("no image", None),
    ("DESS", "dess"),
    ("IW FS", "sag_iw_tse_fs"),
)
"""Heading of a column, and the sequence in the volume's id."""
SHOWN: tuple[tuple[str, str], ...] = (
    ("pymskt", "bones, cartilage and menisci"),
    ("phantom", "all structures, lesions drawn on an IW FS sequence"),
    ("spl-atlas", "bones, cartilage, menisci, ligaments and fat pad"),
    ("bone-lesions-9", "three bones, three cartilages, three lesions of an unknown sequence"),
)
"""Schemes that are shown in full."""
_SIDED = {
    Structure.MEDIAL_TIBIAL_CARTILAGE: Structure.TIBIAL_CARTILAGE,
    Structure.LATERAL_TIBIAL_CARTILAGE: Structure.TIBIAL_CARTILAGE,
    Structure.MEDIAL_MENISCUS: Structure.MENISCUS,
    Structure.LATERAL_MENISCUS: Structure.MENISCUS,
}
_HEAD = """\
# What can be reasoned from, by scheme

Written by `python -m tests.evidence_table`; do not edit. The levels are decided in
`tools/evidence.py` and depend on the label map's scheme, on whether there is an image and of which
sequence, never on a grade:

- **measured**: a measurement carries the grade.
- **weak**: one does, with a weakness that the reason names.
- **image**: nothing is measured, the image shows it; only a model that sees slices can be asked.
- **none**: neither, or the region has no box. Not asked, never guessed at grade 0.

A text-only run asks what is measured or weak.
"""


def relabelled(scheme_name: str) -> LabelMap:
    """Returns the healthy phantom with only the labels of a scheme."""
    scheme, own = load_scheme(scheme_name), load_scheme("phantom")
    made = phantom(SEED, SIDE, 0.0)
    table = np.zeros(max(own.labels) + 1, np.uint8)
    for number, structure in own.labels.items():
        for wanted in (structure, _SIDED.get(structure)):
            if wanted is not None and (numbers := scheme.numbers(wanted)):
                table[number] = numbers[0]
                break
    array = table[np.asarray(made.label_map)]
    volume = make_volume(array, np.asarray(made.affine), Path("phantom.nii.gz"), "sha256:phantom")
    return label_map_from_volume(volume, scheme, SIDE)


@cache
def described(scheme_name: str, sequence: str | None) -> VolumeFindings:
    """Returns the findings of the relabelled phantom with an image of a sequence, or none."""
    image = None if sequence is None else phantom_image(SEED, SIDE, 0.0)
    volume_id = f"P/V00/{SIDE.value}/{sequence or 'dess'}"
    return describe_volume(image, relabelled(scheme_name), volume_id)


def _questions(found: VolumeFindings) -> Counter[str]:
    counts: Counter[str] = Counter()
    for finding in found.findings:
        levels = {entry.level for entry in finding.evidence}
        if levels & TEXT_EVIDENCE:
            counts["text"] += 1
        else:
            counts["image" if EvidenceLevel.IMAGE in levels else "none"] += 1
    return counts


def _components(found: VolumeFindings) -> dict[tuple[Feature, Component], Counter[str]]:
    cells: dict[tuple[Feature, Component], Counter[str]] = {}
    for finding in found.findings:
        feature = QUESTIONS[finding.question_id].feature
        for entry in finding.evidence:
            cells.setdefault((feature, entry.component), Counter())[entry.level.value] += 1
    return cells


def _reasons(found: VolumeFindings, feature: Feature, component: Component) -> str:
    reasons = [
        _in_general(entry.reason)
        for finding in found.findings
        if QUESTIONS[finding.question_id].feature is feature
        for entry in finding.evidence
        if entry.component is component
    ]
    return "; or ".join(dict.fromkeys(reasons))


def _in_general(reason: str) -> str:
    """A reason without what the column says already, and without which bone or side it was."""
    reason = re.sub(r"^to be read from the \w+ image: ", "", reason)
    reason = re.sub(r"the (femur|tibia|patella)\b", "the bone", reason)
    return re.sub(r"the (medial|lateral) meniscus", "the meniscus", reason)


def _cell(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{level} {n}" for level, n in counts.most_common())


def _scheme_table(name: str, what: str) -> list[str]:
    found = {heading: described(name, sequence) for heading, sequence in IMAGES}
    cells = {heading: _components(findings) for heading, findings in found.items()}
    lines = [
        f"## {name}: {what}",
        "",
        f"| feature | component | {' | '.join(found)} | why (with a DESS image) |",
        "|---|---|" + "---|" * (len(found) + 1),
    ]
    for feature, component in cells["DESS"]:
        levels = " | ".join(_cell(cells[heading][feature, component]) for heading in found)
        reason = _reasons(found["DESS"], feature, component)
        name_of = feature.value.replace("_", " ")
        part = component.value.replace("_", " ")
        lines.append(f"| {name_of} | {part} | {levels} | {reason} |")
    return [*lines, ""]


def page() -> str:
    """Returns the whole page."""
    lines = [
        _HEAD,
        "## Questions by scheme, with a DESS image",
        "",
        "Of the 62 questions with a region; a question counts once, by its best component.",
        "",
        "| scheme | from text | from the image only | not at all |",
        "|---|--:|--:|--:|",
    ]
    for name in scheme_names():
        counts = _questions(described(name, "dess"))
        lines.append(f"| {name} | {counts['text']} | {counts['image']} | {counts['none']} |")
    lines.append("")
    for name, what in SHOWN:
        lines += _scheme_table(name, what)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
