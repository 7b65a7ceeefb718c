"""What each exported column can carry: an id, a path, free text; and what a grade follows from.

Both lists name what is known to be harmless. A column that nobody has put on them (of a later
view) is left out where ids or grades must not go out.
"""

from enum import StrEnum
from typing import Final


class Carries(StrEnum):
    """What the values of a column can give away."""

    NOTHING = "nothing"
    """Numbers and words of closed sets."""
    VOLUME = "volume"
    """A volume id."""
    PATIENT = "patient"
    """A patient id."""
    RUN = "run"
    """A run id, which begins with a date."""
    FILE = "file"
    """A path."""
    DIGEST = "digest"
    """A hash over a patient's files: who has the files can make it again."""
    TEXT = "text"
    """Free text, written by a person or a model."""


CARRIES: Final[dict[str, Carries]] = {
    **dict.fromkeys(
        (
            *("visit", "side", "sequence", "split", "question_id", "feature", "site", "region"),
            *("region_name", "compartment", "question", "box", "box_world", "box_source"),
            *("truncated", "definition_id", "grades", "clinician_grades", "components_scored"),
            *("complete", "kind", "control", "grounding", "wording", "prompt_id", "author"),
            *("prompt_version", "prompt_sha256", "attempt_no", "n_attempts", "grade_changed"),
            *("scheme", "synthetic", "restricted", "segmenter_trained_on", "status"),
            *("stale_reasons", "verdict_no", "selection_weight", "slice_axis", "orientation"),
            *("shape", "shown_slices", "shown_window", "shown_box_drawn"),
        ),
        Carries.NOTHING,
    ),
    "volume_id": Carries.VOLUME,
    "patient": Carries.PATIENT,
    "run_id": Carries.RUN,
    "image": Carries.FILE,
    "label_map": Carries.FILE,
    "findings_id": Carries.DIGEST,
    "shown_sha256": Carries.DIGEST,
    "steps_sha256": Carries.NOTHING,
    **dict.fromkeys(
        (
            *("steps", "gates", "model", "judge_model", "mask_source", "segmenter", "licence"),
            *("model_licence", "image_source", "image_licence", "readprj"),
        ),
        Carries.TEXT,
    ),
}
"""Column to what it can carry."""

WITHHELD: Final = (
    *("steps", "grades", "clinician_grades", "grade_changed", "readprj", "selection_weight"),
)
"""What goes with the reference grades (RULES 25). An accepted draft's grades are the clinician's;
its steps name grade and threshold, and a judge had to arrive at the grade from the first three
alone; the weight is made from the grade."""


def kept_without_grades(column: str) -> bool:
    """Returns whether a column may go out where reference grades may not."""
    return column in CARRIES and column not in WITHHELD
