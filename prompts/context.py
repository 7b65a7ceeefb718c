"""What a template may show of an item, built without any access to clinicians' grades.

The rule-based grade, its margin and its borderline flag are left out on purpose: a drafter sees
measurements and cut-offs and has to apply them (RULES 5, CONTRACTS "The graph").
"""

import tomllib
from functools import lru_cache
from typing import Any

from knee.calibration import Calibration, rule_for
from knee.errors import InputError
from knee.findings import Finding, Unit
from knee.moaks import SCALES, Component, Feature, GradeRule, Interval
from knee.questions import Question
from knee.records import Record, Wording
from knee.shown_images import PlaneName, ShownImages
from prompts.examples import DATA, ShownExample, ShownMeasurement, shown_examples
from prompts.neutral import neutralise
from prompts.question_text import question_ask, question_look, question_text

FEATURES_FILE = DATA / "features.toml"
"""Names and planes of the features."""
PROTOCOLS_FILE = DATA / "protocols.toml"
"""How each feature is read."""


class Cut(Record):
    """The values that belong to one grade, in words short enough for a line."""

    grade: int
    """The grade."""
    text: str
    """E.g. `<2`, `2 to <3`, `10 to 75`, `>75`, `0`."""


class ShownRule(Record):
    """The cut-offs of a component."""

    measurement: str
    """The measurement that is cut."""
    unit: str
    """Unit of the cut-offs."""
    basis: str
    """`MOAKS` for cut-offs printed there, `calibrated` for fitted ones."""
    cuts: tuple[Cut, ...]
    """Ascending by grade."""


class GradeMeaning(Record):
    """One grade of a scale."""

    grade: int
    """The grade."""
    meaning: str
    """In MOAKS' terms."""


class AskedComponent(Record):
    """One asked component with its scale."""

    key: str
    """Key under `grades` in the answer."""
    scale_type: str
    """ordinal, count, binary or nominal."""
    grades: tuple[GradeMeaning, ...]
    """The legal grades, ascending."""
    rule: ShownRule | None
    """Cut-offs; None where there are neither MOAKS' nor fitted ones."""


class Protocol(Record):
    """How a reader works on a feature."""

    where: str
    """Where to look."""
    planes: str
    """In which planes."""
    measure: str
    """What to measure."""
    mimics: str
    """What looks alike and is not it."""
    scale: str
    """How the scale is applied."""
    limits: str
    """What the sequence does not show."""


class PlaneSlices(Record):
    """The slices of one plane that are shown behind the text."""

    plane: str
    """`sagittal`, `coronal` or `axial`."""
    axis: str
    """`i`, `j` or `k`: the stored array axis on which they are counted."""
    indices: tuple[int, ...]
    """Stored indices, in the order shown."""
    mm_per_pixel: str
    """Edge of a pixel in mm."""


class PromptImages(Record):
    """What a template may say of the slices that are shown behind the text."""

    planes: tuple[PlaneSlices, ...]
    """In the order shown."""
    black: str
    """Intensity shown as black."""
    white: str
    """Intensity shown as white."""
    black_percentile: str
    """Percentile of the whole volume that it is."""
    white_percentile: str
    """Percentile of the whole volume that it is."""
    box_drawn: bool
    """Whether the box is outlined."""


class PromptContext(Record):
    """Everything that a template may show; its fields are the declared variables."""

    question_id: int
    """1-62."""
    question_text: str
    """The question in the run's wording, with the scales of the asked components."""
    feature: str
    """Key of the feature."""
    feature_name: str
    """The feature in words."""
    region_name: str
    """The region in words."""
    side: str
    """`right` or `left`."""
    sequence: str
    """MRI sequence, neutralised."""
    planes: tuple[str, ...]
    """Planes in which the feature is read at this site, the most telling first."""
    shape: tuple[int, int, int]
    """Array shape as stored, in voxels."""
    box: tuple[int, int, int, int, int, int]
    """`i0, i1, j0, j1, k0, k1`, half-open, the volume's voxel frame."""
    box_axis: str
    """`i`, `j` or `k`: the array axis on which sagittal slices are counted."""
    first_slice: int
    """First sagittal slice of the box."""
    last_slice: int
    """Last sagittal slice of the box, inclusive."""
    truncated: bool
    """True where the field of view cuts the region off."""
    measurements: tuple[ShownMeasurement, ...]
    """In the finding's order; empty when nothing was measured."""
    components: tuple[AskedComponent, ...]
    """The asked components, in MOAKS' order."""
    protocol: Protocol
    """The reading protocol of the feature."""
    ask: str = ""
    """What is asked, in one sentence; `question_text` begins with it."""
    look: str = ""
    """How the feature looks; empty in the zero-shot wording."""
    examples: tuple[ShownExample, ...] = ()
    """Worked examples of the feature, on the run's own scale; empty where there is none."""
    images: PromptImages | None = None
    """The slices that are shown behind the text; None when there are none."""


def reading_planes(question: Question) -> tuple[PlaneName, ...]:
    """Returns the planes in which a question is read, the most telling first."""
    names = _feature_data()[question.feature.value]
    return tuple(names.get("site_planes", {}).get(question.site, names["planes"]))


def prompt_context(
    question: Question,
    finding: Finding,
    asked: tuple[Component, ...],
    *,
    side: str,
    sequence: str,
    shape: tuple[int, int, int],
    slice_axis: int,
    wording: Wording,
    calibration: Calibration | None,
    images: ShownImages | None = None,
) -> PromptContext:
    """Returns what a template may show of one item.

    Args:
        question: the question; must be the finding's.
        finding: region, box and measurements.
        asked: components to grade, not empty.
        side: `right` or `left`.
        sequence: MRI sequence of the image.
        shape: array shape as stored, in voxels.
        slice_axis: stored array axis (0-2) that runs left-right.
        wording: which wording of the question is shown.
        calibration: fitted cut-offs, None when the run has none.
        images: the slices that are shown behind the text, None without any.

    Raises:
        InputError: the finding is another question's, has no box, or nothing is asked.
    """
    if finding.question_id != question.question_id:
        raise InputError(
            f"finding {finding.region!r} is not question {question.question_id}'s",
            "the finding and the question of an item belong together",
        )
    if finding.box is None:
        raise InputError(
            f"{finding.region!r} has no box: {finding.box_reason!r}",
            "an item without a box cannot be drafted",
        )
    if not asked:
        raise InputError(f"{finding.region!r}: no component is asked", "skip the item")
    box = finding.box.indices
    names = _feature_data()[question.feature.value]
    return PromptContext(
        question_id=question.question_id,
        question_text=question_text(question.question_id, wording, asked),
        feature=question.feature.value,
        feature_name=names["name"],
        region_name=question.region_name,
        side=side,
        sequence=neutralise(sequence, 40),
        planes=reading_planes(question),
        shape=shape,
        box=box,
        box_axis="ijk"[slice_axis],
        first_slice=box[2 * slice_axis],
        last_slice=box[2 * slice_axis + 1] - 1,
        truncated=finding.truncated,
        measurements=_shown_measurements(finding),
        components=tuple(_asked(question, component, calibration) for component in asked),
        protocol=reading_protocol(question.feature),
        ask=question_ask(question.question_id),
        look=question_look(question.question_id) if wording is Wording.GUIDED else "",
        examples=shown_examples(question.feature, asked, calibration),
        images=None if images is None else _prompt_images(images),
    )


def _prompt_images(images: ShownImages) -> PromptImages:
    planes = dict.fromkeys(entry.plane for entry in images.slices)
    of_plane = {p: [entry for entry in images.slices if entry.plane == p] for p in planes}
    return PromptImages(
        planes=tuple(
            PlaneSlices(
                plane=plane,
                axis=slices[0].axis,
                indices=tuple(entry.index for entry in slices),
                mm_per_pixel=f"{slices[0].mm_per_pixel:.2f}",
            )
            for plane, slices in of_plane.items()
        ),
        black=f"{images.window[0]:.4g}",
        white=f"{images.window[1]:.4g}",
        black_percentile=f"{images.percentiles[0]:g}",
        white_percentile=f"{images.percentiles[1]:g}",
        box_drawn=images.box_drawn,
    )


@lru_cache(maxsize=1)
def _feature_data() -> dict[str, dict[str, Any]]:
    return tomllib.loads(FEATURES_FILE.read_text(encoding="utf-8"))


def feature_name(feature: Feature) -> str:
    """Returns a feature in words."""
    return _feature_data()[feature.value]["name"]


@lru_cache(maxsize=len(Feature))
def reading_protocol(feature: Feature) -> Protocol:
    """Returns how a reader works on a feature."""
    data = tomllib.loads(PROTOCOLS_FILE.read_text(encoding="utf-8"))[feature.value]
    return Protocol.model_validate({key: text for key, text in data.items() if key != "sources"})


def _shown_measurements(finding: Finding) -> tuple[ShownMeasurement, ...]:
    return tuple(
        ShownMeasurement(
            name=m.name.value,
            value=m.shown,
            unit=m.unit.value,
            sd=m.shown_sd,
            method=neutralise(m.method, 120),
        )
        for m in finding.measurements
    )


@lru_cache(maxsize=256)
def grade_meanings(feature: Feature, component: Component) -> tuple[GradeMeaning, ...]:
    """Returns the legal grades of a component with their meaning, ascending."""
    scale = SCALES[feature, component]
    return tuple(GradeMeaning(grade=g, meaning=scale.wording[g]) for g in scale.grades)


def _asked(
    question: Question, component: Component, calibration: Calibration | None
) -> AskedComponent:
    rule = rule_for(question.feature, component, calibration)
    return AskedComponent(
        key=component.value,
        scale_type=question.scale(component).scale_type.value,
        grades=grade_meanings(question.feature, component),
        rule=None if rule is None else _shown_rule(rule),
    )


def _shown_rule(rule: GradeRule) -> ShownRule:
    return ShownRule(
        measurement=rule.measurement,
        unit=rule.unit,
        basis="MOAKS" if rule.basis.value == "moaks" else rule.basis.value,
        cuts=tuple(Cut(grade=i.grade, text=_interval(i, rule.unit)) for i in rule.intervals),
    )


def _interval(interval: Interval, unit: str) -> str:
    low, high = f"{interval.low:g}", interval.high
    if high is None:
        return f"{low} or more" if interval.low_closed else f"more than {low}"
    if unit == Unit.COUNT.value or interval.low == high:
        return low
    if interval.low == 0:
        return (
            f"less than {high:g}" if interval.low_closed else f"more than 0 and less than {high:g}"
        )
    return f"{low} to {high:g}" if interval.high_closed else f"{low} to less than {high:g}"
