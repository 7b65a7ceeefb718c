"""Wordings of the five steps, by feature and measurement.

A text names no side, compartment, bone or feature but the question's own, and no number that is
neither a finding nor a cut-off of an asked component: the deterministic checks hold it to that.
"""

from random import Random

from knee.anatomy import Side
from knee.findings import Measurement, MeasurementName, Unit
from knee.moaks import Component, Feature, Interval
from knee.questions import Question

LABELS: dict[MeasurementName, tuple[str, ...]] = {
    MeasurementName.BML_VOLUME_SHARE: ("lesion share of the subregion", "subregion volume share"),
    MeasurementName.BML_COUNT: ("number of lesions", "lesion count"),
    MeasurementName.BML_SHARE_OF_LESION: ("BML share of the lesion", "BML part of the lesion"),
    MeasurementName.BML_VOLUME: ("lesion volume",),
    MeasurementName.SUBREGION_VOLUME: ("volume of the subregion",),
    MeasurementName.SURFACE_LOSS_SHARE: ("surface with any loss", "share of surface loss"),
    MeasurementName.FULL_THICKNESS_SHARE: ("full-thickness share", "full-thickness loss"),
    MeasurementName.THINNED_SHARE: ("thinned share",),
    MeasurementName.MEAN_THICKNESS: ("mean thickness",),
    MeasurementName.MIN_THICKNESS: ("smallest thickness",),
    MeasurementName.SURFACE_AREA: ("surface area",),
    MeasurementName.OSTEOPHYTE_PROTRUSION: ("protrusion", "osteophyte protrusion"),
    MeasurementName.EXTRUSION: ("extrusion", "measured extrusion"),
    MeasurementName.MENISCUS_VOLUME: ("meniscus volume",),
    MeasurementName.MENISCUS_PART_VOLUME: ("volume of this part",),
    MeasurementName.EFFUSION_VOLUME: ("effusion volume", "fluid volume"),
    MeasurementName.EFFUSION_DEPTH: ("fluid depth",),
    MeasurementName.STRUCTURE_VOLUME: ("volume of the structure",),
    MeasurementName.STRUCTURE_GAP: ("gap in the structure",),
    MeasurementName.HOFFA_SIGNAL_SHARE: ("bright share of the fat pad",),
    MeasurementName.SIGNAL_RATIO: ("signal ratio",),
}
"""How a text names each measurement."""

FEATURE_WORDS: dict[Feature, str] = {
    Feature.BML: "bone marrow lesion",
    Feature.CARTILAGE: "cartilage loss",
    Feature.OSTEOPHYTE: "osteophyte",
    Feature.HOFFA_SYNOVITIS: "Hoffa-synovitis",
    Feature.EFFUSION_SYNOVITIS: "effusion-synovitis",
    Feature.EXTRUSION: "meniscal extrusion",
    Feature.MORPHOLOGY: "meniscal morphology",
    Feature.MENISCAL_CYST: "meniscal cyst",
    Feature.HYPERTROPHY: "meniscal hypertrophy",
    Feature.ROOT_TEAR: "meniscal root tear",
    Feature.ACL: "anterior cruciate ligament",
    Feature.PCL: "posterior cruciate ligament",
    Feature.PATELLAR_TENDON: "patellar tendon",
    Feature.PERIARTICULAR: "periarticular finding",
}
"""What a text calls each feature."""

NOTHING: dict[Feature, tuple[str, ...]] = {
    Feature.BML: (
        "No bone marrow lesion is labelled in the subregion.",
        "The subregion is free of any bone marrow lesion.",
    ),
    Feature.CARTILAGE: (
        "The cartilage covers the whole surface.",
        "No cartilage loss is found on the surface.",
    ),
    Feature.OSTEOPHYTE: (
        "No osteophyte is found at the margin.",
        "The margin runs smooth, without an osteophyte.",
    ),
    Feature.EFFUSION_SYNOVITIS: ("No effusion is labelled.", "The joint space shows no effusion."),
    Feature.EXTRUSION: (
        "No extrusion is found.",
        "The meniscus ends at the margin, without extrusion.",
    ),
    Feature.HOFFA_SYNOVITIS: (
        "No Hoffa-synovitis is found.",
        "The fat pad shows no hyperintensity.",
    ),
    Feature.ACL: ("No complete tear is found.", "The ligament runs through, without a tear."),
    Feature.PCL: ("No complete tear is found.", "The ligament runs through, without a tear."),
}
"""Seen when the deciding measurement is 0."""
BELOW: dict[Feature, tuple[str, ...]] = {
    Feature.OSTEOPHYTE: (
        "The contour rises a little, without a definite osteophyte.",
        "No definite osteophyte is found at the margin.",
    ),
    Feature.EFFUSION_SYNOVITIS: (
        "Fluid is labelled, in a physiologic amount and without effusion.",
        "The fluid is physiologic, with no effusion.",
    ),
    Feature.EXTRUSION: (
        "The meniscus ends close to the margin, so extrusion is not definite.",
        "The outer edge of the meniscus lies near the margin, with no definite extrusion.",
    ),
    Feature.HOFFA_SYNOVITIS: (
        "Little of the fat pad is bright, with no definite Hoffa-synovitis.",
        "The fat pad is bright in a small spot, without definite Hoffa-synovitis.",
    ),
    Feature.ACL: ("The ligament is labelled almost throughout, without a complete tear.",),
    Feature.PCL: ("The ligament is labelled almost throughout, without a complete tear.",),
}
"""Seen when something is measured, yet less than the first cut-off above 0."""
_SOMETHING: dict[Feature, tuple[str, ...]] = {
    Feature.BML: (
        "A bone marrow lesion is labelled in the subregion.",
        "Part of the subregion is labelled as bone marrow lesion.",
    ),
    Feature.CARTILAGE: (
        "The cartilage does not cover the whole surface.",
        "Cartilage loss is found on part of the surface.",
    ),
    Feature.OSTEOPHYTE: (
        "An osteophyte stands out from the margin.",
        "The contour is raised by an osteophyte.",
    ),
    Feature.EFFUSION_SYNOVITIS: (
        "An effusion is labelled in the joint space.",
        "The joint space holds an effusion.",
    ),
    Feature.EXTRUSION: (
        "The meniscus reaches past the margin, which is extrusion.",
        "Extrusion is found: the meniscus lies past the margin.",
    ),
    Feature.HOFFA_SYNOVITIS: (
        "Part of the fat pad is bright, which is Hoffa-synovitis.",
        "Hoffa-synovitis is found in the fat pad.",
    ),
    Feature.ACL: (
        "The ligament is interrupted, which is a complete tear.",
        "A complete tear is found.",
    ),
    Feature.PCL: (
        "The ligament is interrupted, which is a complete tear.",
        "A complete tear is found.",
    ),
    Feature.MORPHOLOGY: (
        "Nothing is left of the meniscus in this part, which is complete maceration.",
        "The meniscus is absent in this part: complete maceration.",
    ),
}
"""Seen when the grade is above 0."""

_LEADS = (
    "",
    "",
    "In the box: ",
    "Seen in the label map: ",
)


def locate_text(question: Question, side: Side, planes: tuple[str, ...], rng: Random) -> str:
    """Returns where the region is: knee, region, planes."""
    where = f"{' and '.join(planes[:2])} {'planes' if len(planes) > 1 else 'plane'}"
    region = question.region_name
    return rng.choice(
        (
            f"{side.value.capitalize()} knee, {region}, {where}.",
            f"The {region} of the {side.value} knee is read in the {where}.",
            f"The box holds the {region} of the {side.value} knee ({where}).",
            f"Region: {region}, {side.value} knee, {where}.",
        )
    )


def observe_text(feature: Feature, top_value: float, top_grade: int, rng: Random) -> str:
    """Returns what is seen, without number or grade.

    Args:
        feature: what the question is about.
        top_value: largest deciding value as shown.
        top_grade: largest grade of the asked components.
        rng: chooses the wording.
    """
    if top_grade > 0:
        seen = _SOMETHING[feature]
    elif top_value > 0 and feature in BELOW:
        seen = BELOW[feature]
    else:
        seen = NOTHING[feature]
    lead, sentence = rng.choice(_LEADS), rng.choice(seen)
    return lead + (sentence if not lead else f"{sentence[0].lower()}{sentence[1:]}")


def value_text(measurement: Measurement) -> str:
    """Returns value and unit as the prompt shows them; a count stands alone."""
    if measurement.unit in (Unit.COUNT, Unit.RATIO):
        return measurement.shown
    return f"{measurement.shown} {measurement.unit.value}"


def measure_text(cited: tuple[Measurement, ...], rng: Random) -> str:
    """Returns the cited values in the order of the citations."""
    verb, joint = rng.choice(((" is ", ", "), (" is ", " and the "), (" comes to ", ", ")))
    if any(m.unit is Unit.COUNT for m in cited):
        verb = " is "
    text = joint.join(f"{rng.choice(LABELS[m.name])}{verb}{value_text(m)}" for m in cited)
    return f"The {text}."


def interval_text(interval: Interval, unit: str) -> str:
    """Returns an interval of a rule as the prompt words it, with its unit."""
    unit = "" if unit == Unit.COUNT.value else f" {unit}"
    low, high = f"{interval.low:g}", interval.high
    if high is None:
        return f"{low}{unit} or more" if interval.low_closed else f"more than {low}{unit}"
    if high == interval.low:
        return f"{low}{unit}"
    if interval.low == 0:
        return f"less than {high:g}{unit}"
    return (
        f"{low} to {high:g}{unit}" if interval.high_closed else f"{low} to less than {high:g}{unit}"
    )


def scale_text(component: Component, value: str, within: str, grade: int, rng: Random) -> str:
    """Returns one sentence: the value, the interval that holds it, the grade of that interval."""
    name = grade_name(component)
    if value == within:
        return rng.choice((f"{value} gives {name} {grade}.", f"{value} means {name} {grade}."))
    return rng.choice(
        (
            f"{value} is {within}, which gives {name} {grade}.",
            f"{value} lies in the range {within}: {name} {grade}.",
            f"{value} is {within}, hence {name} {grade}.",
        )
    )


def grade_name(component: Component) -> str:
    """Returns how a text names a component's grade."""
    return "grade" if component is Component.GRADE else f"{component.value} grade"


def conclude_text(question: Question, side: Side, grades: dict[Component, int], rng: Random) -> str:
    """Returns the conclusion: feature, knee, region and the grade of every asked component."""
    given = " and ".join(f"{grade_name(c)} {grade}" for c, grade in grades.items())
    feature, region = FEATURE_WORDS[question.feature], question.region_name
    given = given.removeprefix(f"{feature.split()[-1]} ")  # no "meniscal morphology morphology"
    return rng.choice(
        (
            f"{side.value.capitalize()} knee, {region}: {feature} {given}.",
            f"The {region} of the {side.value} knee has {feature} {given}.",
            f"For {feature}, the {region} of the {side.value} knee gets {given}.",
        )
    )
