"""The box is the region's to the voxel, and slices that a text names lie inside it."""

import re

from agents.checks.context import CheckContext, Material, StepProse, issue, quote
from knee.answers import StepName
from knee.records import CheckIssue

SLICES = re.compile(
    r"(?:\b(?P<plane>sagittal|coronal|axial)\s+)?\bslices?\s+(?:numbers?\s+|no\.?\s*|index\s+|from\s+)?"
    r"(?P<numbers>\d+(?:\s*(?:to|-|through|until|and|,|or)\s*\d+)*)(?:\s+of\s+(?P<total>\d+))?(?!\.?\d|\s*(?:%|mm|ml))"
)
"""A naming of slices by number, in folded text: groups `plane`, `numbers`, `total`."""
_RANGE = re.compile(r"(\d+)\s*(?:to|-|through|until)\s*(\d+)")


def check_box(material: Material) -> list[CheckIssue]:
    """Returns issues for another box than the finding's and for slices outside it."""
    found: list[CheckIssue] = []
    context = material.context
    box = None if context.finding.box is None else context.finding.box.indices
    locate = material.draft.step(StepName.LOCATE)
    if box is None or locate is None or locate.box != box:
        message = "locate.box is not the box given for this region: copy its six numbers in order"
        found.append(issue("box", "box_mismatch", message))
    for step in material.steps:
        found += _outside(step, context)
    return found


def slice_spans(text: str) -> list[tuple[int, int]]:
    """Returns where the slice numbers of a text stand, as (start, end)."""
    if "slice" not in text:
        return []
    return [(match.start("numbers"), match.end()) for match in SLICES.finditer(text)]


def _outside(step: StepProse, context: CheckContext) -> list[CheckIssue]:
    if "slice" not in step.text:
        return []
    for match in SLICES.finditer(step.text):
        ranges = _ranges(context, match["plane"])
        if match["total"] is not None and int(match["total"]) not in context.shape:
            ranges = []
        # The end of a half-open range may be written as the box has it.
        written = _RANGE.sub(lambda m: f"{m[1]} {max(int(m[1]), int(m[2]) - 1)}", match["numbers"])
        loose = [int(n) for n in re.findall(r"\d+", written)]
        if not any(all(low <= n < high for n in loose) for low, high in ranges):
            message = f"{step.name.value}: {quote(match[0])} is not inside the box"
            return [issue("box", "slice_outside_box", message)]
    return []


def _ranges(context: CheckContext, plane: str | None) -> list[tuple[int, int]]:
    """The index ranges a slice may be in; coronal and axial are told apart by no stored axis."""
    if context.finding.box is None:
        return []
    box = context.finding.box.indices
    sagittal = context.slice_axis
    axes = [n for n in range(3) if plane is None or (n == sagittal) == (plane == "sagittal")]
    return [(box[2 * axis], box[2 * axis + 1]) for axis in axes]
