"""A copy of a draft with a fault that nobody can overlook, to see whether the judge still reads.

A text can ask its judge for a favour in words that no pattern knows; what it cannot do is make the
judge blind to its own faults alone. The copy holds every sentence of the draft, whatever it asks
for, on the wrong knee: right and left, medial and lateral change places in all steps. A judge that
marks every essential item of the copy as holding has not held the text against what is known, so
that its marks on the draft itself are worth nothing.

What this does not stop: a text that talks its judge out of some faults and not out of this one.
"""

import re

from knee.answers import Draft, StepName

_SWAPPED = {"right": "left", "left": "right", "medial": "lateral", "lateral": "medial"}
_PLACES = re.compile(
    # Joined words too: "anterolateral", "medially", "right-sided".
    r"(right|left|medial|lateral)(?=ly\b|\b|-)",
    re.IGNORECASE,
)
_KNEE = re.compile(r"\b(?:right|left)(?:-sided|-hand)?\W+(?:\w+\W+)?knee\b", re.IGNORECASE)
"""The knee with its side; "cartilage is left" and "right at the margin" name none."""


def plant_fault(draft: Draft, side: str) -> Draft:
    """Returns the draft on the wrong knee and the wrong side of it.

    Args:
        draft: a draft that passed the checks.
        side: `right` or `left`: the knee's.

    Example:
        >>> _swap("Medial tibia of the right knee.")
        'Lateral tibia of the left knee.'
    """
    other = _SWAPPED[side]
    steps = tuple(step.model_copy(update={"text": _swap(step.text)}) for step in draft.steps)
    if not any(_KNEE.search(step.text) for step in draft.steps):
        steps = tuple(
            step.model_copy(update={"text": f"This is the {other} knee. {step.text}"})
            if step.name is StepName.LOCATE
            else step
            for step in steps
        )
    return draft.model_copy(update={"steps": steps})


def _swap(text: str) -> str:
    return _PLACES.sub(_other, text)


def _other(match: re.Match[str]) -> str:
    word = _SWAPPED[match[1].lower()]
    return word.capitalize() if match[1][0].isupper() else word
