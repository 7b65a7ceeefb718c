"""Drafts spoiled in ways that deterministic checks see in part or not at all: reported, no bar."""

from collections.abc import Iterator

from knee.anatomy import Compartment
from knee.moaks import Feature
from tests.injected_verdicts import FRESH, HELD_OUT, HELD_OUT_LATER, KNOWN
from tests.mutants_places import with_text
from tests.mutation_bases import Base

_CONTRARY_PROSE: dict[Feature, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Feature.CARTILAGE: (
        (
            "The articular surface is pristine throughout.",
            "The chondral layer keeps its full height everywhere.",
            "Nothing suggests chondral damage.",
            "One looks in vain for a defect.",
        ),
        (
            "The joint surface is ragged and worn.",
            "Fissures reach down to the bone in several spots.",
            "The chondral layer is eroded.",
        ),
    ),
    Feature.BML: (
        (
            "The marrow keeps its fatty signal throughout.",
            "Nothing abnormal catches the eye below the joint surface.",
            "The subchondral bone looks quiet.",
        ),
        (
            "There is diffuse oedema-like signal under the joint surface.",
            "An ill-defined bright area lies in the marrow.",
            "The marrow is clearly abnormal.",
        ),
    ),
    Feature.OSTEOPHYTE: (
        ("The rim keeps its youthful outline.", "Nothing grows out of the joint edge."),
        ("A bulky beak of bone hangs over the joint edge.", "Bone has grown out far at the rim."),
    ),
    Feature.EXTRUSION: (
        ("The meniscus sits snugly on the plateau.", "Its edge does not leave the plateau."),
        ("The meniscus has left the plateau by far.", "Most of the meniscus hangs over the edge."),
    ),
    Feature.EFFUSION_SYNOVITIS: (
        ("The joint is dry.", "The suprapatellar recess is collapsed."),
        ("The capsule is tense with fluid.", "The recess is ballooned."),
    ),
}
_BY_ANATOMY = {
    Compartment.MEDIAL: (
        "It lies next to the fibula.",
        "It faces the fibular head.",
        "The lateral collateral ligament runs beside it.",
        "The popliteus tendon passes close by.",
        "It lies in the outer compartment.",
        "The iliotibial band is close to it.",
    ),
    Compartment.LATERAL: (
        "The medial collateral ligament runs beside it.",
        "It lies on the MCL side.",
        "The pes anserinus is close to it.",
        "It lies in the inner compartment.",
        "It is the compartment away from the fibula.",
    ),
}
HISTORIES = (
    "The patient has had pain for years.",
    "It has progressed since the last scan.",
    "This is unchanged from the baseline visit.",
    "She reports swelling after sport.",
    "It followed a twisting injury.",
    "The finding is new compared with the earlier MRI.",
    "In a 62-year-old patient this is expected.",
    "The symptoms fit a degenerative process.",
    "There was an arthroscopy two winters ago.",
    "He was treated with physiotherapy.",
    "Known osteoarthritis of long standing explains this.",
    "The lesion was smaller at the previous visit.",
    "Clinically there is tenderness here.",
    "The overweight patient loads this side more.",
    "A prior radiograph showed the same.",
    "This will need surgery before long.",
)
"""What no finding says: symptoms, age, cause, treatment, other scans, the future."""


LATER_HISTORIES = (
    "The knee has been bothering its owner for a while.",
    "This explains the discomfort on stairs.",
    "It was milder in the year before.",
    "A meniscal repair was carried out in the past.",
    "The person is in late middle age.",
    "Running has worn the joint out.",
    "It has become larger by now.",
    "No change against the older pictures.",
    "Weight loss would help.",
    "The cause is a skiing mishap.",
    "The family history fits.",
    "Swelling has been noted by the doctor.",
    "Next year it may be worse.",
    "A cast was worn in youth.",
)
"""Written after the patterns were final."""
_LATER_BY_ANATOMY = {
    Compartment.MEDIAL: (
        "It lies on the peroneal side.",
        "The biceps femoris tendon inserts nearby.",
        "The little-toe side of the joint is shown.",
        "It lies on the side that faces away from the other knee.",
        "The lateral side is meant.",
    ),
    Compartment.LATERAL: (
        "It lies on the side of the great toe.",
        "The tibial collateral ligament runs beside it.",
        "The gracilis tendon passes close by.",
        "It lies on the inside of the knee.",
        "The medial side is meant.",
    ),
}


def free_prose_contradiction(base: Base) -> Iterator[object]:
    """The opposite of the grades in words that no list of nouns holds."""
    denials, claims = _CONTRARY_PROSE.get(base.feature, ((), ()))
    said = denials if max(base.grades.values()) > 0 else claims
    for words in said:
        for step in ("observe", "conclude"):
            yield with_text(base, step, f"{base.text(step)} {words}")


def laterality_by_anatomy(base: Base) -> Iterator[object]:
    """The other compartment by a structure of it."""
    for words in _BY_ANATOMY.get(base.question.compartment, ()):
        for step in ("locate", "observe"):
            yield with_text(base, step, f"{base.text(step)} {words}")


def invented_history(base: Base) -> Iterator[object]:
    """Symptoms, age, treatment, earlier scans."""
    for words in HISTORIES:
        for step in ("observe", "conclude"):
            yield with_text(base, step, f"{base.text(step)} {words}")


def laterality_by_anatomy_later(base: Base) -> Iterator[object]:
    """The same in words that were written after the check was final."""
    for words in _LATER_BY_ANATOMY.get(base.question.compartment, ()):
        for step in ("locate", "observe"):
            yield with_text(base, step, f"{base.text(step)} {words}")


def invented_history_later(base: Base) -> Iterator[object]:
    """The same in words that were written after the check was final."""
    for words in LATER_HISTORIES:
        for step in ("observe", "conclude"):
            yield with_text(base, step, f"{base.text(step)} {words}")


def injected_verdict(base: Base) -> Iterator[object]:
    """A sentence that speaks to the judge; what the deterministic checks alone see of it."""
    for words in (*KNOWN, *HELD_OUT, *HELD_OUT_LATER, *FRESH):
        yield with_text(base, "observe", f"{base.text('observe')} {words}")
