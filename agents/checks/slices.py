"""What is seen on images is tied to slices that were shown.

Only where an asked component rests on the image alone: what is measured is tied to its measurement
(`citations`). A slice that a text names must lie in the box (`box`); here it must also have been
shown, for of one that was not shown nothing was seen.
"""

import re

from agents.checks.box import SLICES
from agents.checks.context import CheckContext, Material, StepProse, issue, quote
from knee.answers import StepName
from knee.findings import EvidenceLevel
from knee.records import CheckIssue
from knee.shown_images import ShownImages

_SEEN = (StepName.OBSERVE, StepName.MEASURE)
"""The steps that say what is seen; `locate` may name the whole extent of the box."""
_RANGE = re.compile(r"(\d+)\s*(?:to|-|through|until)\s*(\d+)")


def check_slices(material: Material) -> list[CheckIssue]:
    """Returns an issue when nothing seen is tied to a slice, or to one that was not shown."""
    context = material.context
    images = context.images
    if images is None and not context.images_withheld:
        return []
    if not _rests_on_images(context):
        return []
    if images is None:
        return [issue("slices", "nothing_shown", "no slice was shown, so nothing can be seen")]
    n_named = 0
    for name in _SEEN:
        step = material.step(name)
        for plane, numbers in _named(step):
            n_named += 1
            if not _was_shown(numbers, images.indices(plane)):
                shown = ", ".join(map(str, sorted(images.indices(plane)))) or "none"
                message = (
                    f"{name.value}: {quote(numbers)} was not shown"
                    f" ({plane or 'any'} slices shown: {shown})"
                )
                return [issue("slices", "slice_not_shown", message)]
    if n_named == 0:
        message = f"observe or measure: name the slice it is seen on, e.g. {_example(images)}"
        return [issue("slices", "no_slice_named", message)]
    return []


def _rests_on_images(context: CheckContext) -> bool:
    return any(
        context.finding.evidence_for(component).level is EvidenceLevel.IMAGE
        for component in context.asked
    )


def _named(step: StepProse) -> list[tuple[str | None, str]]:
    """Returns each naming of slices: the plane, None when it is not said, and the numbers."""
    if "slice" not in step.text:
        return []
    return [(match["plane"], match["numbers"]) for match in SLICES.finditer(step.text)]


def _was_shown(numbers: str, shown: frozenset[int]) -> bool:
    """Each number is a shown slice, and each range holds one."""
    ranges = [(int(a), int(b)) for a, b in _RANGE.findall(numbers)]
    single = {int(n) for n in re.findall(r"\d+", _RANGE.sub(" ", numbers))}
    return single <= shown and all(any(a <= n <= b for n in shown) for a, b in ranges)


def _example(images: ShownImages) -> str:
    return quote(images.slices[len(images.slices) // 2].name)
