"""The 69 diagnostic questions as (feature, region), with the released ids.

Ids 1-69 equal those of the released 3DReasonKnee question files. 1-62 have a region; 63-69 (the
periarticular items) have none in the release and are `no_region` unless a label map holds them.
A question is a (feature, site); its wording is a template (`prompts/`).
"""

from pydantic import BaseModel, ConfigDict

from knee.anatomy import (
    Compartment,
    ExtrusionSite,
    MeniscusPart,
    OsteophyteSite,
    Subregion,
)
from knee.errors import InputError
from knee.moaks import SCALES, Component, ComponentScale, Feature, components_of

N_QUESTIONS = 69
"""Questions in the catalogue."""
N_WITH_REGION = 62
"""Questions 1-62 have a region."""


class Question(BaseModel):
    """One diagnostic question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: int
    """1-69, as released."""
    feature: Feature
    """What is graded."""
    site: str
    """Where: a value of Subregion, OsteophyteSite, ExtrusionSite, MeniscusPart, or a name."""
    region_name: str
    """The region in words, as prompts and texts name it."""
    compartment: Compartment
    """Medial, lateral, or midline where the question is about neither."""

    @property
    def region(self) -> str:
        """`<feature>:<site>`, the key of the region; each question has a region of its own."""
        return f"{self.feature.value}:{self.site}"

    @property
    def components(self) -> tuple[Component, ...]:
        """The components in MOAKS' order."""
        return components_of(self.feature)

    @property
    def has_region(self) -> bool:
        """True for questions 1-62."""
        return self.question_id <= N_WITH_REGION

    def scale(self, component: Component) -> ComponentScale:
        """Returns the scale of one of the question's components."""
        return SCALES[self.feature, component]


def _compartment(site: str) -> Compartment:
    words = site.split("_")
    # "medial_meniscus_medial" and "femur_medial_central" alike: the first side word decides.
    for word in words:
        if word in ("medial", "lateral"):
            return Compartment(word)
    return Compartment.MIDLINE


def _bone_site_name(site: str) -> str:
    """`femur_medial_central` -> `medial central femur`; the patella has no third part."""
    bone, *rest = site.split("_")
    if rest[-1] == "trochlea":
        return f"{rest[0]} femoral trochlea"
    return f"{' '.join(rest)} {bone}"


_EXTRUSION_NAMES = {
    ExtrusionSite.MEDIAL_MENISCUS_ANTERIOR: "anterior margin of the medial meniscus",
    ExtrusionSite.MEDIAL_MENISCUS_MEDIAL: "medial margin of the medial meniscus",
    ExtrusionSite.LATERAL_MENISCUS_ANTERIOR: "anterior margin of the lateral meniscus",
    ExtrusionSite.LATERAL_MENISCUS_LATERAL: "lateral margin of the lateral meniscus",
}
_PART_NAMES = {"anterior": "anterior horn", "body": "body", "posterior": "posterior horn"}


def _meniscus_part_name(site: str) -> str:
    side, _, part = site.split("_")
    return f"{_PART_NAMES[part]} of the {side} meniscus"


_KNEE_SITES: tuple[tuple[Feature, str, str], ...] = (
    (Feature.MENISCAL_CYST, "medial_meniscus", "medial meniscus"),
    (Feature.MENISCAL_CYST, "lateral_meniscus", "lateral meniscus"),
    (Feature.HYPERTROPHY, "medial_meniscus", "medial meniscus"),
    (Feature.HYPERTROPHY, "lateral_meniscus", "lateral meniscus"),
    (Feature.ROOT_TEAR, "medial_posterior_root", "posterior root of the medial meniscus"),
    (Feature.ROOT_TEAR, "lateral_posterior_root", "posterior root of the lateral meniscus"),
    (Feature.ACL, "acl", "anterior cruciate ligament"),
    (Feature.PCL, "pcl", "posterior cruciate ligament"),
    (Feature.PATELLAR_TENDON, "patellar_tendon", "patellar tendon"),
    (Feature.PERIARTICULAR, "pes_anserine_bursitis", "pes anserine bursa"),
    (Feature.PERIARTICULAR, "iliotibial_band_signal", "iliotibial band"),
    (Feature.PERIARTICULAR, "popliteal_cyst", "popliteal fossa"),
    (Feature.PERIARTICULAR, "infrapatellar_bursitis", "infrapatellar bursa"),
    (Feature.PERIARTICULAR, "prepatellar_bursitis", "prepatellar bursa"),
    (Feature.PERIARTICULAR, "ganglion_cyst", "tissues around the knee"),
    (Feature.PERIARTICULAR, "loose_bodies", "joint cavity"),
)


def _sites() -> list[tuple[Feature, str, str]]:
    """All (feature, site, region name) in the order of the released ids."""
    rows = [(Feature.BML, s.value, _bone_site_name(s.value)) for s in Subregion]
    rows += [
        (Feature.CARTILAGE, s.value, _bone_site_name(s.value)) for s in Subregion if s.is_articular
    ]
    rows += [(Feature.OSTEOPHYTE, s.value, _bone_site_name(s.value)) for s in OsteophyteSite]
    rows += [
        (Feature.HOFFA_SYNOVITIS, "hoffa_fat_pad", "Hoffa's fat pad"),
        (Feature.EFFUSION_SYNOVITIS, "joint_cavity", "retropatellar and suprapatellar joint space"),
    ]
    rows += [(Feature.EXTRUSION, s.value, _EXTRUSION_NAMES[s]) for s in ExtrusionSite]
    rows += [(Feature.MORPHOLOGY, s.value, _meniscus_part_name(s.value)) for s in MeniscusPart]
    rows += list(_KNEE_SITES)
    return rows


QUESTIONS: dict[int, Question] = {
    number: Question(
        question_id=number,
        feature=feature,
        site=site,
        region_name=name,
        compartment=_compartment(site),
    )
    for number, (feature, site, name) in enumerate(_sites(), start=1)
}
"""Question id to question, 1-69."""


def question_by_region(region: str) -> Question:
    """Returns the question of a region key `<feature>:<site>`.

    Raises:
        InputError: no question has that region.
    """
    for question in QUESTIONS.values():
        if question.region == region:
            return question
    raise InputError(f"no question has the region {region!r}", "regions are `<feature>:<site>`")


def parse_question_ids(text: str) -> tuple[int, ...]:
    """Returns the ids of a selection such as `1-29,44`, ascending and without repeats.

    Raises:
        InputError: not a list of numbers and ranges, or an id outside 1-69.
    """
    ids: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise InputError(f"questions {text!r}: cannot read {part!r}", "write e.g. 1-29,44")
        chosen = range(int(low), int(high or low) + 1)
        if not chosen or chosen[0] < 1 or chosen[-1] > N_QUESTIONS:
            raise InputError(
                f"questions {text!r}: {part!r} is outside 1-{N_QUESTIONS}", "ids as released"
            )
        ids.update(chosen)
    return tuple(sorted(ids))
