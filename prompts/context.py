"""What a template may show of an item; blind, without any access to clinicians' grades.

The rule-based grade, its margin and its borderline flag are left out on purpose: a drafter sees
measurements and cut-offs and has to apply them (RULES 5, CONTRACTS "The graph"). Only a run that is
marked `label_given` hands clinicians' grades in, and only a template that shows `given_grades` has
them.
"""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

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


class GivenGrade(Record):
    """A grade that a drafter is told, in a run of grounding `label_given` alone."""

    component: str
    """Key of the component."""
    grade: int
    """The clinician's grade."""
    meaning: str
    """What it means, in MOAKS' terms."""


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
    given_grades: tuple[GivenGrade, ...] = ()
    """The grades that the drafter is told, in MOAKS' order; empty in every blind run."""


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
    given: Mapping[Component, int] | None = None,
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
        given: the clinician's grades of the asked components; None in a blind run.

    Raises:
        InputError: the finding is another question's, has no box, or nothing is asked.
    """
    place = _Place(_box_of(question, finding, asked), side, sequence, shape, slice_axis)
    plain = _context(question, finding, asked, place, _Run(wording, calibration))
    if images is None and given is None:
        return plain
    more = {
        "images": None if images is None else _prompt_images(images),
        "given_grades": () if given is None else _given(question.feature, given),
    }
    return plain.model_copy(update=more)


class _Place(NamedTuple):
    """Where a region is, in which image."""

    box: tuple[int, int, int, int, int, int]
    side: str
    sequence: str
    shape: tuple[int, int, int]
    slice_axis: int


class _Run(NamedTuple):
    """What a run settles for all of its prompts."""

    wording: Wording
    calibration: Calibration | None


def _context(
    question: Question,
    finding: Finding,
    asked: tuple[Component, ...],
    place: _Place,
    run: _Run,
) -> PromptContext:
    box, feature, question_id = place.box, question.feature, question.question_id
    return PromptContext(
        question_id=question_id,
        question_text=question_text(question_id, run.wording, asked),
        feature=feature.value,
        feature_name=_feature_data()[feature.value]["name"],
        region_name=question.region_name,
        side=place.side,
        sequence=neutralise(place.sequence, 40),
        planes=reading_planes(question),
        shape=place.shape,
        box=box,
        box_axis="ijk"[place.slice_axis],
        first_slice=box[2 * place.slice_axis],
        last_slice=box[2 * place.slice_axis + 1] - 1,
        truncated=finding.truncated,
        measurements=_shown_measurements(finding),
        components=tuple(_asked(question, component, run.calibration) for component in asked),
        protocol=reading_protocol(feature),
        ask=question_ask(question_id),
        look=question_look(question_id) if run.wording is Wording.GUIDED else "",
        examples=shown_examples(feature, asked, run.calibration),
    )


def _box_of(
    question: Question, finding: Finding, asked: tuple[Component, ...]
) -> tuple[int, int, int, int, int, int]:
    """Returns the finding's box; refuses what belongs to no item that is drafted."""
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
    return finding.box.indices


def _given(feature: Feature, given: Mapping[Component, int]) -> tuple[GivenGrade, ...]:
    return tuple(
        GivenGrade(component=c.value, grade=g, meaning=SCALES[feature, c].wording[g])
        for c, g in given.items()
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
