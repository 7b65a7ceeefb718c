"""Drafts spoiled in side, region, feature, box and slice."""

import copy
import re
from collections.abc import Iterator
from typing import Any

from agents.demo_model.phrases import FEATURE_WORDS
from knee.moaks import Feature
from knee.questions import QUESTIONS
from tests.mutation_bases import STEPS, Base

_OTHER_SIDE = {"right": "left", "left": "right"}
_CLAIMS: dict[Feature, tuple[str, ...]] = {
    Feature.CARTILAGE: ("A clear cartilage defect is seen.", "There is focal cartilage loss."),
    Feature.BML: ("A large bone marrow lesion is visible.", "Marrow edema is present as well."),
    Feature.OSTEOPHYTE: ("A large osteophyte is seen.", "A bony spur is present as well."),
    Feature.EXTRUSION: ("There is marked extrusion.", "A clear extrusion of 4 mm is seen."),
    Feature.EFFUSION_SYNOVITIS: ("A large effusion is seen.", "A joint effusion is present."),
    Feature.HOFFA_SYNOVITIS: ("Moderate Hoffa-synovitis is present.",),
    Feature.MORPHOLOGY: ("A radial tear is present.", "A partial maceration is seen."),
    Feature.ROOT_TEAR: ("A root tear is seen.",),
    Feature.ACL: ("A complete tear of the anterior cruciate ligament is seen.",),
    Feature.PCL: ("The posterior cruciate ligament is ruptured.",),
    Feature.MENISCAL_CYST: ("A parameniscal cyst is present.",),
    Feature.PATELLAR_TENDON: ("There is patellar tendinopathy.",),
    Feature.HYPERTROPHY: ("A clear meniscal hypertrophy is seen.",),
}
# These belong to what is graded: tears of ligaments and roots, lesions at their attachments.
_OWN_MATTER: dict[Feature, frozenset[Feature]] = {
    Feature.ACL: frozenset({Feature.BML, Feature.MORPHOLOGY}),
    Feature.PCL: frozenset({Feature.BML, Feature.MORPHOLOGY}),
    Feature.ROOT_TEAR: frozenset({Feature.MORPHOLOGY}),
    Feature.MORPHOLOGY: frozenset({Feature.ROOT_TEAR}),
    Feature.MENISCAL_CYST: frozenset({Feature.MORPHOLOGY}),
}


def with_text(base: Base, step: str, text: str) -> dict[str, Any]:
    """Returns the base's answer with another text in one step."""
    answer = copy.deepcopy(base.answer)
    answer[step]["text"] = text
    return answer


def swapped(base: Base, step: str, words: dict[str, str], tail: str = "") -> Iterator[object]:
    """Yields the step with each occurrence of each word exchanged, one at a time."""
    text = base.text(step)
    pattern = rf"\b(?:{'|'.join(map(re.escape, words))})\b{tail}"
    for match in re.finditer(pattern, text, re.IGNORECASE):
        other = words[match[0].lower()]
        yield with_text(base, step, text[: match.start()] + other + text[match.end() :])


def wrong_side(base: Base) -> Iterator[object]:
    """The other knee, in place of this one or added."""
    side = base.context.side
    other = _OTHER_SIDE[side]
    not_left_over = r"(?! (?:out|over|aside|behind|intact|angle))"
    for step in STEPS:
        yield from swapped(base, step, {side: other}, not_left_over)
    for step in ("observe", "measure", "apply_scale"):
        for words in (
            f"This is the {other} knee.",
            f"Seen in the {other} leg.",
            f"The {other}-sided finding is the same.",
            f"{other.upper()} KNEE.",
            f"Knee: {other}.",
        ):
            yield with_text(base, step, f"{base.text(step)} {words}")


def wrong_compartment(base: Base) -> Iterator[object]:
    """Medial for lateral and the reverse, at sites that lie on one side."""
    region = base.question.region
    if "medial" in region or "lateral" in region:
        for step in STEPS:
            if "medial to lateral" not in base.text(step):
                yield from swapped(base, step, {"medial": "lateral", "lateral": "medial"})


def neighbour_subregion(base: Base) -> Iterator[object]:
    """The name of every other region of the feature, in place of this one or as a claim."""
    own = base.question.region_name
    for other in QUESTIONS.values():
        if other.feature is not base.feature or other == base.question or not other.has_region:
            continue
        for step in STEPS:
            text = base.text(step)
            start = text.lower().find(own)
            if start >= 0:
                changed = text[:start] + other.region_name + text[start + len(own) :]
                yield with_text(base, step, changed)
        noun = FEATURE_WORDS[base.feature]
        yield with_text(
            base, "observe", f"{base.text('observe')} The {other.region_name} is shown."
        )
        yield with_text(
            base,
            "conclude",
            f"{base.text('conclude')} So much for {noun} of the {other.region_name}.",
        )
        yield with_text(base, "locate", f"The box holds the {other.region_name}.")


def other_feature(base: Base) -> Iterator[object]:
    """Another feature's finding, claimed beside this one or in its place."""
    own = base.feature
    for feature, claims in _CLAIMS.items():
        if feature is own or feature in _OWN_MATTER.get(own, frozenset()):
            continue
        for claim in claims:
            for step in ("observe", "conclude"):
                yield with_text(base, step, f"{base.text(step)} {claim}")
                yield with_text(base, step, f"{claim} {base.text(step)}")
        word = FEATURE_WORDS[own]
        for step in STEPS:
            text = base.text(step)
            if word in text and feature not in (Feature.MORPHOLOGY, Feature.HYPERTROPHY):
                yield with_text(base, step, text.replace(word, FEATURE_WORDS[feature], 1))


def shifted_box(base: Base) -> Iterator[object]:
    """Another box than the finding's, in the numbers or in the text."""
    box = base.answer["locate"]["box"]
    for n in range(6):
        for shift in (-1, 1, 7):
            answer = copy.deepcopy(base.answer)
            answer["locate"]["box"][n] += shift
            if answer["locate"]["box"][n] >= 0:
                yield answer
    i0, i1, j0, j1, k0, k1 = box
    answer = copy.deepcopy(base.answer)
    answer["locate"]["box"] = [j0, j1, i0, i1, k0, k1]
    if answer["locate"]["box"] != box:
        yield answer
    for words in (
        f"The box is {i0 + 1} {i1} {j0} {j1} {k0} {k1}.",
        f"Box [{i0}, {i1}, {j0}, {j1}, {k0}, {k1 + 3}].",
        f"Box {i0}, {i1}, {j0}, {j1 + 11}, {k0}, {k1}.",
    ):
        yield with_text(base, "locate", f"{base.text('locate')} {words}")


def slice_outside(base: Base) -> Iterator[object]:
    """A slice number outside the box, with and without a plane."""
    context = base.context
    assert context.finding.box is not None
    box = context.finding.box.indices
    low, high = box[2 * context.slice_axis], box[2 * context.slice_axis + 1]
    far = max(box) + 40
    for words in (
        f"It is best seen on sagittal slice {high}.",
        f"See sagittal slices {max(low - 9, 0)} to {high + 5}.",
        f"Sagittal slice {high + 3} shows it.",
        f"Slice {far} shows it.",
        f"On coronal slice {far} it is clear.",
        f"Axial slices {far} and {far + 1} show it.",
        f"Sagittal slice {low} of {max(context.shape) + 7} shows it.",
    ):
        for step in ("locate", "observe"):
            yield with_text(base, step, f"{base.text(step)} {words}")
