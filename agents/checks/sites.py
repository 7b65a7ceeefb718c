"""What a text may call the region of a question: bone, compartment, part, direction.

A region phrase is a run of anatomical words ("posterior horn of the lateral meniscus"). Each word
fills a slot; a phrase contradicts a site when a slot holds a word that the site does not have.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from knee.anatomy import Compartment
from knee.moaks import Feature
from knee.questions import QUESTIONS, Question

COMPARTMENTS = {
    "medial": "medial",
    "medially": "medial",
    "lateral": "lateral",
    "laterally": "lateral",
}
"""Words that name a compartment."""
PARTS = {
    "anterior": "anterior",
    "anteriorly": "anterior",
    "central": "central",
    "weight-bearing": "central",
    "weightbearing": "central",
    "load-bearing": "central",
    "posterior": "posterior",
    "posteriorly": "posterior",
    "superior": "superior",
    "inferior": "inferior",
    "trochlea": "trochlea",
    "trochlear": "trochlea",
    "subspinous": "subspinous",
    "body": "body",
    "root": "root",
}
"""Words that name a part of a bone or meniscus."""
STRUCTURES = {
    "femur": "femur",
    "femoral": "femur",
    "femoro": "femur",
    "condyle": "femur",
    "condylar": "femur",
    "trochlea": "femur",
    "trochlear": "femur",
    "tibia": "tibia",
    "tibial": "tibia",
    "plateau": "tibia",
    "subspinous": "tibia",
    "patella": "patella",
    "patellar": "patella",
    "kneecap": "patella",
    "fibula": "fibula",
    "fibular": "fibula",
    "meniscus": "meniscus",
    "meniscal": "meniscus",
    "horn": "meniscus",
}
"""Words that name a bone or the meniscus."""
_FILLERS = frozenset({"subregion", "region", "third", "aspect", "side", "compartment", "facet"})
_DIRECTIONS = frozenset({*COMPARTMENTS, *PARTS} - STRUCTURES.keys())
_TOLD = frozenset({*COMPARTMENTS, *PARTS, *STRUCTURES, *_FILLERS})
_ALIASES: dict[str, tuple[str, ...]] = {
    "central": ("centre", "center", "middle", "mid"),
    "posterior": ("back", "dorsal"),
    "anterior": ("front", "ventral"),
    "superior": ("upper", "base"),
    "inferior": ("lower", "apex"),
}
"""Words by which `locate` may name a part, and which elsewhere name none."""
_WORD = re.compile(r"(?:weight|load)-bearing|[^\W\d_]+")
_JOINT = re.compile(r"-|\s*,\s*|\s+(?:(?:part\s+|portion\s+)?of\s+)?(?:the\s+)?")
_DIRECTION = re.compile(
    r"\s+to\b(?!\s+(?:medial|lateral|anterior|posterior|central|superior|inferior))"
)


@dataclass(frozen=True)
class Phrase:
    """One run of anatomical words."""

    text: str
    """As written, folded."""
    start: int
    """Where it begins."""
    words: frozenset[str]
    """Its words."""
    compartments: frozenset[str]
    """medial, lateral."""
    parts: frozenset[str]
    """Values of `PARTS`."""
    structures: frozenset[str]
    """Values of `STRUCTURES`."""


@dataclass(frozen=True)
class Site:
    """What the region of a question may be called."""

    structures: frozenset[str]
    """Bones or menisci that the region lies on."""
    also: frozenset[str]
    """Structures that a text of this feature names beside it."""
    compartments: frozenset[str]
    """Empty where the region is on neither side."""
    parts: frozenset[str]
    """Words for its part."""
    any_part: bool
    """True where parts are not told apart."""
    required: tuple[frozenset[str], ...]
    """Words of which `locate` must hold one each."""


def find_phrases(prose: str) -> list[Phrase]:
    """Returns the runs of anatomical words of a folded text."""
    runs: list[list[re.Match[str]]] = []
    for match in _WORD.finditer(prose):
        word = match[0]
        if word not in _TOLD:
            continue
        if word in _DIRECTIONS and _DIRECTION.match(prose, match.end()):
            continue  # "posterior to the tibia" is a direction and names no part of it
        if runs and _JOINT.fullmatch(prose[runs[-1][-1].end() : match.start()]):
            runs[-1].append(match)
        else:
            runs.append([match])
    return [_phrase(prose, run) for run in runs]


def _phrase(prose: str, run: list[re.Match[str]]) -> Phrase:
    words = frozenset(match[0] for match in run)
    return Phrase(
        text=prose[run[0].start() : run[-1].end()],
        start=run[0].start(),
        words=words,
        compartments=frozenset(COMPARTMENTS[w] for w in words if w in COMPARTMENTS),
        parts=frozenset(PARTS[w] for w in words if w in PARTS),
        structures=frozenset(STRUCTURES[w] for w in words if w in STRUCTURES),
    )


_MENISCUS_FEATURES = frozenset(
    {
        Feature.EXTRUSION,
        Feature.MORPHOLOGY,
        Feature.MENISCAL_CYST,
        Feature.HYPERTROPHY,
        Feature.ROOT_TEAR,
    }
)
_BONE_FEATURES = frozenset({Feature.BML, Feature.CARTILAGE, Feature.OSTEOPHYTE})
_NAMED: dict[str, tuple[frozenset[str], ...]] = {
    "hoffa_fat_pad": (frozenset({"hoffa", "hoffa's", "infrapatellar"}),),
    "joint_cavity": (
        frozenset({"retropatellar", "suprapatellar", "joint", "bursa", "recess", "cavity"}),
    ),
    "acl": (frozenset({"acl", "anterior cruciate"}),),
    "pcl": (frozenset({"pcl", "posterior cruciate"}),),
    "patellar_tendon": (frozenset({"patellar tendon", "patellar ligament"}),),
}


@lru_cache(maxsize=128)
def site_of(question_id: int) -> Site:
    """Returns what the region of a question (1-69) may be called."""
    question = QUESTIONS[question_id]
    sides = (
        frozenset[str]()
        if question.compartment is Compartment.MIDLINE
        else frozenset({question.compartment.value})
    )
    if question.feature in _BONE_FEATURES:
        return _bone_site(question, sides)
    if question.feature in _MENISCUS_FEATURES:
        return _meniscus_site(question, sides)
    every = frozenset({"femur", "tibia", "patella", "meniscus", "fibula"})
    named = _NAMED.get(question.site, (frozenset(question.region_name.lower().split()[-1:]),))
    return Site(every, every, frozenset(), frozenset(), any_part=True, required=named)


def _bone_site(question: Question, sides: frozenset[str]) -> Site:
    bone, *rest = question.site.split("_")
    parts = frozenset(word for word in rest if word not in ("medial", "lateral"))
    allowed = parts
    if bone == "femur" and parts & {"trochlea", "anterior"}:
        allowed = frozenset({"trochlea", "anterior"})
    # The patella's four osteophyte sites exclude each other; its cartilage has no such parts.
    if bone == "patella" and question.feature is not Feature.OSTEOPHYTE:
        allowed = parts | {"superior", "inferior", "central"}
    bones = frozenset(w for w, structure in STRUCTURES.items() if structure == bone)
    required = [bones, *(frozenset({side}) for side in sides)]
    if parts:
        words = {w for w, part in PARTS.items() if part in allowed}
        required.append(frozenset(words.union(*(_ALIASES.get(part, ()) for part in allowed))))
    return Site(
        structures=frozenset({bone}),
        also=frozenset({bone}),
        compartments=sides,
        parts=allowed,
        any_part=not parts and bone == "tibia",
        required=tuple(required),
    )


def _meniscus_site(question: Question, sides: frozenset[str]) -> Site:
    words = question.site.split("_")
    parts = frozenset(words[2:]) - {"medial", "lateral"}
    if question.feature is Feature.ROOT_TEAR:
        parts = frozenset({"posterior", "root"})
    whole = question.feature in (Feature.MENISCAL_CYST, Feature.HYPERTROPHY)
    if question.feature is Feature.EXTRUSION and not parts:
        allowed = frozenset({"body", "central"})
    else:
        allowed = parts
    required = [frozenset({"meniscus", "meniscal"}), *(frozenset({side}) for side in sides)]
    if question.feature is Feature.ROOT_TEAR:
        required.append(frozenset({"root"}))
    elif parts:
        required.append(frozenset(w for w, part in PARTS.items() if part in parts))
    also = frozenset({"meniscus", "tibia", "femur"})
    return Site(frozenset({"meniscus"}), also, sides, allowed, whole, tuple(required))
