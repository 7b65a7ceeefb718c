"""What a prompt of ReasonKnee-Bench may show of an item.

No grade, no measurement, no rule and no reasoning text is among it: a model is asked what a reader
was asked, about the pictures that it is shown (RULES 22).
"""

from knee.moaks import Component
from knee.questions import Question
from knee.records import Record, Wording
from prompts.context import GradeMeaning, Protocol, feature_name, grade_meanings, reading_protocol
from prompts.neutral import neutralise
from prompts.question_text import question_text


class BenchScale(Record):
    """One component that is asked for."""

    key: str
    """Key under `grades` in the answer."""
    grades: tuple[GradeMeaning, ...]
    """The legal grades, ascending."""


class BenchPictures(Record):
    """The pictures of one plane that stand behind the text."""

    plane: str
    """`sagittal`, `coronal` or `axial`."""
    first: int
    """Number of the first picture, from 1."""
    last: int
    """Number of the last one."""
    axis: str
    """`i`, `j` or `k`: the stored array axis on which its slices are counted."""
    indices: tuple[int, ...]
    """Stored index of each picture's slice, in the order shown."""
    width: int
    """Pixels."""
    height: int
    """Pixels, the strip above the slice included."""
    mm_per_pixel: str
    """Edge of a pixel in mm."""
    across: str
    """Stored axis and indices from the slice's left to its right edge, e.g. `j from 383 to 0`."""
    down: str
    """The same from its top to its bottom."""


class KnownBox(Record):
    """The region's box in the pictures of one plane, in the model's own numbers."""

    plane: str
    """Which plane."""
    first: int
    """First picture that shows it."""
    last: int
    """Last one."""
    rectangle: tuple[int, int, int, int]
    """`x0, y0, x1, y1`."""


class BenchContext(Record):
    """Everything that a bench prompt may show; its fields are the declared variables."""

    question_text: str
    """The question, with the scales of the components asked."""
    feature_name: str
    """The feature in words."""
    region_name: str
    """The region in words."""
    side: str
    """`right` or `left`."""
    sequence: str
    """MRI sequence, neutralised."""
    components: tuple[BenchScale, ...]
    """The components asked, in MOAKS' order."""
    protocol: Protocol
    """The reading protocol of the feature."""
    convention: str
    """`pixels_sent`, `per_mille` or `voxels`: in which numbers boxes are given."""
    shape: tuple[int, int, int]
    """Array shape as stored."""
    pictures: tuple[BenchPictures, ...]
    """What is shown, plane by plane."""
    shown: bool
    """False in the control without images: the pictures are withheld."""
    black_percentile: str
    """Percentile of the volume's intensities that is black."""
    white_percentile: str
    """Percentile that is white."""
    cut: bool = False
    """Whether the pictures are cut around the region."""
    known_boxes: tuple[KnownBox, ...] = ()
    """The region's box in pictures; empty where it is not given, or is given in indices."""
    known_indices: tuple[int, int, int, int, int, int] | None = None
    """The region's box in indices of the stored array; None like the other."""


def bench_context(
    question: Question,
    asked: tuple[Component, ...],
    *,
    side: str,
    sequence: str,
    guided: bool,
    convention: str,
    shape: tuple[int, int, int],
    pictures: tuple[BenchPictures, ...],
    shown: bool,
    percentiles: tuple[float, float],
    cut: bool = False,
    known_boxes: tuple[KnownBox, ...] = (),
    known_indices: tuple[int, int, int, int, int, int] | None = None,
) -> BenchContext:
    """Returns what a bench prompt may show of one item.

    Args:
        question: the question.
        asked: components that clinicians read, in MOAKS' order.
        side: `right` or `left`.
        sequence: MRI sequence of the image.
        guided: whether the question's text says how the feature looks.
        convention: in which numbers boxes are given.
        shape: array shape as stored.
        pictures: what is shown, plane by plane.
        shown: whether the pictures are really sent.
        percentiles: intensities shown as black and as white.
        cut: whether the pictures are cut around the region.
        known_boxes: the region's box in pictures, where it is given.
        known_indices: the region's box in indices, where it is given.
    """
    wording = Wording.GUIDED if guided else Wording.ZERO_SHOT
    return BenchContext(
        question_text=question_text(question.question_id, wording, asked),
        feature_name=feature_name(question.feature),
        region_name=question.region_name,
        side=side,
        sequence=neutralise(sequence, 40),
        components=tuple(
            BenchScale(key=c.value, grades=grade_meanings(question.feature, c)) for c in asked
        ),
        protocol=reading_protocol(question.feature),
        convention=convention,
        shape=shape,
        pictures=pictures,
        shown=shown,
        black_percentile=f"{percentiles[0]:g}",
        white_percentile=f"{percentiles[1]:g}",
        cut=cut,
        known_boxes=known_boxes,
        known_indices=known_indices,
    )
