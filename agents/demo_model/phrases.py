"""Wordings of the five steps, by feature and measurement.

A text never names another side, compartment or bone than the question's own, and never a number
that is neither a finding nor a cut-off of the scale: the deterministic checks hold it to that.
"""

from random import Random

from knee.anatomy import Side
from knee.findings import Measurement, MeasurementName, Unit
from knee.moaks import Component, Feature, GradeRule, Interval
from knee.questions import Question

CONTEXT_SHARE = 0.15
"""Share of answers that cite one measurement which does not decide a grade."""

LABELS: dict[MeasurementName, tuple[str, ...]] = {
    MeasurementName.BML_VOLUME_SHARE: ("lesion share of the subregion", "share of lesion volume"),
    MeasurementName.BML_COUNT: ("number of lesions", "lesion count"),
    MeasurementName.BML_SHARE_OF_LESION: ("share of the lesion that is not cyst",),
    MeasurementName.BML_VOLUME: ("lesion volume",),
    MeasurementName.SUBREGION_VOLUME: ("volume of the subregion",),
    MeasurementName.SURFACE_LOSS_SHARE: ("surface with any loss", "surface loss"),
    MeasurementName.FULL_THICKNESS_SHARE: ("surface with full-thickness loss", "denuded surface"),
    MeasurementName.THINNED_SHARE: ("thinned surface",),
    MeasurementName.MEAN_THICKNESS: ("mean thickness",),
    MeasurementName.MIN_THICKNESS: ("smallest thickness",),
    MeasurementName.SURFACE_AREA: ("surface area",),
    MeasurementName.OSTEOPHYTE_PROTRUSION: ("protrusion", "bony protrusion"),
    MeasurementName.EXTRUSION: ("extrusion", "measured extrusion"),
    MeasurementName.MENISCUS_VOLUME: ("meniscus volume",),
    MeasurementName.MENISCUS_PART_VOLUME: ("volume of this part",),
    MeasurementName.EFFUSION_VOLUME: ("fluid volume", "effusion volume"),
    MeasurementName.EFFUSION_DEPTH: ("fluid depth",),
    MeasurementName.STRUCTURE_VOLUME: ("volume of the structure",),
    MeasurementName.STRUCTURE_GAP: ("gap in the structure",),
    MeasurementName.SIGNAL_RATIO: ("signal ratio",),
}
"""How a text names each measurement."""

_PLANES: dict[Feature, tuple[str, ...]] = {
    Feature.BML: ("sagittal and coronal planes", "sagittal plane"),
    Feature.CARTILAGE: ("sagittal and coronal planes", "sagittal plane"),
    Feature.OSTEOPHYTE: ("sagittal and coronal planes", "coronal plane"),
    Feature.EXTRUSION: ("coronal and sagittal planes",),
    Feature.EFFUSION_SYNOVITIS: ("axial and sagittal planes", "sagittal plane"),
}
_DEFAULT_PLANES = ("sagittal and coronal planes",)

_SUBJECTS: dict[Feature, tuple[str, ...]] = {
    Feature.BML: ("bone marrow lesions", "bone marrow signal"),
    Feature.CARTILAGE: ("cartilage", "the cartilage surface"),
    Feature.OSTEOPHYTE: ("osteophytes", "the bony margin"),
    Feature.HOFFA_SYNOVITIS: ("synovitis",),
    Feature.EFFUSION_SYNOVITIS: ("effusion", "joint fluid"),
    Feature.EXTRUSION: ("extrusion", "meniscal position"),
    Feature.MORPHOLOGY: ("meniscal morphology",),
    Feature.MENISCAL_CYST: ("a meniscal cyst",),
    Feature.HYPERTROPHY: ("hypertrophy",),
    Feature.ROOT_TEAR: ("a root tear",),
    Feature.ACL: ("the ligament",),
    Feature.PCL: ("the ligament",),
    Feature.PATELLAR_TENDON: ("the tendon",),
    Feature.PERIARTICULAR: ("this structure",),
}

_ABSENT: dict[Feature, tuple[str, ...]] = {
    Feature.BML: ("No lesion is marked in the subregion.", "The subregion holds no lesion."),
    Feature.CARTILAGE: (
        "The cartilage cover is complete.",
        "No part of the surface has lost cartilage.",
    ),
    Feature.OSTEOPHYTE: ("The margin is smooth.", "Nothing stands out from the margin."),
    Feature.EFFUSION_SYNOVITIS: ("No fluid is marked in the joint.",),
    Feature.EXTRUSION: ("The meniscus does not reach past the bony edge.",),
}
_PRESENT: dict[Feature, tuple[str, ...]] = {
    Feature.BML: ("A lesion is marked in the subregion.", "Lesion tissue lies in the subregion."),
    Feature.CARTILAGE: (
        "Part of the surface has lost cartilage.",
        "The cartilage cover is not complete.",
    ),
    Feature.OSTEOPHYTE: ("Bone stands out from the margin.", "The margin bears a bony outgrowth."),
    Feature.EFFUSION_SYNOVITIS: ("Fluid is marked in the joint.", "Joint fluid is seen."),
    Feature.EXTRUSION: (
        "The meniscus reaches past the bony edge.",
        "Meniscal tissue lies outside the bony edge.",
    ),
}
_DEFAULT_ABSENT = ("Nothing is marked here.",)
_DEFAULT_PRESENT = ("The structure is marked here.",)

COMPONENT_NAMES: dict[Component, str] = {
    Component.SIZE: "size",
    Component.NUMBER: "number",
    Component.PERCENT_BML: "percent BML",
    Component.FULL_THICKNESS: "full-thickness loss",
    Component.GRADE: "the feature",
    Component.MORPHOLOGY: "morphology",
    Component.PRESENCE: "presence",
    Component.TEAR_LOCATION: "tear location",
    Component.COMPLETE_TEAR: "complete tear",
    Component.BML_CYST: "lesion or cyst at the insertion",
    Component.REPAIR: "repair",
    Component.SIGNAL_ABNORMALITY: "abnormal signal",
}
"""How a text names each component."""


def locate_text(question: Question, side: Side, rng: Random) -> str:
    """Returns where the region is: knee, region, planes."""
    planes = rng.choice(_PLANES.get(question.feature, _DEFAULT_PLANES))
    region = question.region_name
    return rng.choice(
        (
            f"{side.value.capitalize()} knee, {region}, in the {planes}.",
            f"The {region} of the {side.value} knee, seen in the {planes}.",
            f"The box holds the {region} of the {side.value} knee; {planes}.",
            f"In the {planes}: {region}, {side.value} knee.",
        )
    )


def observe_text(question: Question, deciding: list[Measurement], rng: Random) -> str:
    """Returns what is seen, without number or grade: present where a deciding value is above 0."""
    present = any(float(m.shown) > 0 for m in deciding)
    feature = question.feature
    seen = (
        _PRESENT.get(feature, _DEFAULT_PRESENT)
        if present
        else _ABSENT.get(feature, _DEFAULT_ABSENT)
    )
    sentences = [rng.choice(seen)]
    if rng.random() < 0.4:
        subject = rng.choice(_SUBJECTS[feature])
        sentences.insert(
            0,
            rng.choice((f"The question is about {subject}.", f"The {question.region_name} is read for {subject}.")),
        )
    return " ".join(sentences)


def value_text(measurement: Measurement) -> str:
    """Returns value and unit as the prompt shows them; a count stands alone."""
    if measurement.unit in (Unit.COUNT, Unit.RATIO):
        return measurement.shown
    return f"{measurement.shown} {measurement.unit.value}"


def measure_text(cited: tuple[Measurement, ...], rng: Random) -> str:
    """Returns the cited values, in the order of the citations, in one of three forms."""
    form = rng.randrange(3)
    parts: list[str] = []
    for measurement in cited:
        label = rng.choice(LABELS[measurement.name])
        value = value_text(measurement)
        parts.append((f"{label} {value}", f"{label} is {value}", f"{label}: {value}")[form])
    text = (", ", " and ", "; ")[form].join(parts)
    return f"{text[0].upper()}{text[1:]}."


def interval_text(interval: Interval, unit: str, rng: Random) -> str:
    """Returns an interval of a rule in words, e.g. `at least 2 and below 3 mm`."""
    unit = "" if unit == "count" else f" {unit}"
    low, high = _plain(interval.low), interval.high
    if high is None:
        if interval.low_closed:
            return rng.choice((f"{low}{unit} or more", f"at least {low}{unit}"))
        return rng.choice((f"above {low}{unit}", f"more than {low}{unit}"))
    if high == interval.low:
        return f"{low}{unit}"
    if interval.low == 0:
        return rng.choice((f"below {_plain(high)}{unit}", f"less than {_plain(high)}{unit}"))
    if interval.high_closed:
        return rng.choice(
            (f"{low} to {_plain(high)}{unit}", f"between {low} and {_plain(high)}{unit}")
        )
    return rng.choice(
        (
            f"at least {low} and below {_plain(high)}{unit}",
            f"from {low} to less than {_plain(high)}{unit}",
        )
    )


def _plain(number: float) -> str:
    return f"{number:g}"


def scale_text(
    component: Component,
    measurement: Measurement,
    rule: GradeRule,
    grade: int,
    is_count: bool,
    rng: Random,
) -> str:
    """Returns one sentence: value, the interval it falls in, the grade of that interval."""
    value = value_text(measurement)
    name = COMPONENT_NAMES[component]
    if is_count:
        return rng.choice(
            (
                f"A count of {value} is {name} grade {grade}.",
                f"{value} by count means {name} grade {grade}.",
            )
        )
    interval = next(i for i in rule.intervals if i.grade == grade)
    within = interval_text(interval, rule.unit, rng)
    if interval.high == interval.low:
        return rng.choice(
            (f"{value} is none: {name} grade {grade}.", f"With {value}, {name} is grade {grade}.")
        )
    return rng.choice(
        (
            f"{value} is {within}: {name} grade {grade}.",
            f"For {name}, {value} is {within}, so grade {grade}.",
            f"{value} falls in the interval {within}, which is {name} grade {grade}.",
        )
    )


def conclude_text(
    question: Question, side: Side, grades: dict[Component, int], rng: Random
) -> str:
    """Returns the conclusion: knee, region and the grade of every asked component."""
    given = ", ".join(
        f"grade {grade}" if component is Component.GRADE else f"{COMPONENT_NAMES[component]} {grade}"
        for component, grade in grades.items()
    )
    region = question.region_name
    return rng.choice(
        (
            f"{side.value.capitalize()} knee, {region}: {given}.",
            f"The {region} of the {side.value} knee has {given}.",
            f"Conclusion for the {region}, {side.value} knee: {given}.",
        )
    )
