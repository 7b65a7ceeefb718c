"""Evidence per component: how good it is, why, and the rule-based grade (RULES 8-11).

`measured`  a measurement carries the grade.
`weak`      one does, with a known weakness: lesions drawn on DESS or without their cysts, what
            counts as thinned cartilage, ligaments whose tears segmentations bridge, the fat pad's
            signal on DESS. Its rule-based grade stays, unless the volume cuts the region or its
            bone off: then it is not known.
`image`     nothing is measured, and the image that there is shows it: for drafters that see slices.
`none`      neither, or the region has no box and cannot be asked about.

The level depends on what the label map and its scheme hold, on whether there is an image and of
which sequence, and on nothing that was graded. `docs/evidence.md` shows it by scheme.
"""

import re
from collections.abc import Sequence

from knee.anatomy import Bone, Compartment, MeniscusPart, Structure, Subregion
from knee.calibration import Calibration, rule_for
from knee.findings import ComponentEvidence, EvidenceLevel, Measurement, MeasurementName
from knee.moaks import Component, Feature, GradeRule, RuleBasis
from knee.questions import Question
from tools.articular_surface import cartilage_of
from tools.femoral_landmarks import MENISCAL_MARGINS
from tools.knee_parts import KneeParts
from tools.landmarks import MENISCI
from tools.lesions import BML_LABELS
from tools.menisci import part_of
from tools.signal import NotMeasured
from tools.soft_tissue import LIGAMENT_OF, SoftTissue

_TEAR = (MeasurementName.STRUCTURE_GAP, MeasurementName.STRUCTURE_VOLUME)
_CARRIERS: dict[tuple[Feature, Component], tuple[MeasurementName, ...]] = {
    (Feature.BML, Component.SIZE): (MeasurementName.BML_VOLUME_SHARE,),
    (Feature.BML, Component.NUMBER): (MeasurementName.BML_COUNT,),
    (Feature.BML, Component.PERCENT_BML): (MeasurementName.BML_SHARE_OF_LESION,),
    (Feature.CARTILAGE, Component.SIZE): (MeasurementName.SURFACE_LOSS_SHARE,),
    (Feature.CARTILAGE, Component.FULL_THICKNESS): (MeasurementName.FULL_THICKNESS_SHARE,),
    (Feature.OSTEOPHYTE, Component.GRADE): (MeasurementName.OSTEOPHYTE_PROTRUSION,),
    (Feature.HOFFA_SYNOVITIS, Component.GRADE): (MeasurementName.HOFFA_SIGNAL_SHARE,),
    (Feature.EFFUSION_SYNOVITIS, Component.GRADE): (
        MeasurementName.EFFUSION_VOLUME,
        MeasurementName.EFFUSION_DEPTH,
    ),
    (Feature.EXTRUSION, Component.GRADE): (MeasurementName.EXTRUSION,),
    (Feature.ACL, Component.COMPLETE_TEAR): _TEAR,
    (Feature.PCL, Component.COMPLETE_TEAR): _TEAR,
    (Feature.MORPHOLOGY, Component.MORPHOLOGY): (MeasurementName.MENISCUS_PART_VOLUME,),
}
"""The measurements that can carry each component's grade: the one that its rule reads, else the
first that was made. Other components have none."""
_FLUID_SENSITIVE = re.compile(r"\b(IW|T2W?|PD|PDW|INT)\b", re.IGNORECASE)
_FAT_SUPPRESSED = re.compile(r"\b(FS|FATSAT|FAT-SAT|SPAIR|SPIR)\b", re.IGNORECASE)
_STIR = re.compile(r"\bSTIR\b", re.IGNORECASE)
_IN_THE_IMAGE: dict[tuple[Feature, Component], str] = {
    (Feature.MENISCAL_CYST, Component.PRESENCE): "no label holds meniscal cysts",
    (Feature.MENISCAL_CYST, Component.TEAR_LOCATION): "a tear is signal inside the meniscus; "
    "a mask holds none",
    (Feature.HYPERTROPHY, Component.PRESENCE): "no normal size of a meniscus is agreed on that "
    "its volume could be held against",
    (Feature.ROOT_TEAR, Component.PRESENCE): "a root tear is a gap of a few millimetres that "
    "segmentations bridge",
    (Feature.ACL, Component.BML_CYST): "lesions at the footprints are not told apart from "
    "others by a label",
    (Feature.ACL, Component.REPAIR): "tunnels and graft are not labelled",
    (Feature.PCL, Component.BML_CYST): "lesions at the footprints are not told apart from "
    "others by a label",
    (Feature.PATELLAR_TENDON, Component.SIGNAL_ABNORMALITY): "signal inside the tendon is not "
    "in a mask",
}
"""Components that no mask can show, and why; an image does."""
_THINNED = (
    "cartilage and bone labels; from where on cartilage counts as thinned is fitted on phantoms, "
    "not held against readers, and overstates the loss on real label maps"
)
"""Medial trochlea of the SPL atlas 42 %, lateral patella of pymskt's knee 80 %: far beyond their
full-thickness loss."""
_NO_CYSTS = "a lesion that is all cyst is missed: no label for subchondral_cyst"
_NOT_ON_DESS = "readers grade it on fluid-sensitive fat-suppressed images"
_Judged = tuple[EvidenceLevel, str]
"""A level and its reason; `image` stands for: it would take an image."""


def component_evidence(
    parts: KneeParts,
    tissue: SoftTissue,
    question: Question,
    component: Component,
    measurements: Sequence[Measurement],
    calibration: Calibration | None,
    *,
    has_box: bool,
    truncated: bool = False,
) -> ComponentEvidence:
    """Returns level, reason and rule-based grade of one component.

    Args:
        parts: the measured knee.
        tissue: its soft tissue, with the image where there is one.
        question: the component's question.
        component: one of the question's.
        measurements: what was measured for the question.
        calibration: fitted cut-offs for components that MOAKS gives no numbers for.
        has_box: whether the question's region has a box; without one it cannot be asked about.
        truncated: whether the volume cuts the region off. What lies outside is not known, so a
            measurement is weak and carries no rule-based grade; so where the volume cuts off the
            bone that the region is divided by, which moves its borders (`tools.field_of_view`).
            The joint cavity is cut off in nearly every knee volume; its fluid is measured as far
            as it is shown.
    """
    level, reason = _level(parts, tissue, question, component)
    rule = rule_for(question.feature, component, calibration)
    carrier = _carrier(question.feature, component, measurements, rule)
    if level in (EvidenceLevel.MEASURED, EvidenceLevel.WEAK) and carrier is None:
        level, reason = EvidenceLevel.IMAGE, "the measurement could not be made here"
    cut = _cut_off(parts, question, truncated)
    if cut is not None and level in (EvidenceLevel.MEASURED, EvidenceLevel.WEAK):
        level, reason = EvidenceLevel.WEAK, f"{cut}: {reason}"
    if not has_box and level is not EvidenceLevel.NONE:
        level, reason = EvidenceLevel.NONE, f"no box, where to look is not known: {reason}"
    if level is EvidenceLevel.IMAGE:
        level, reason = _with_image(tissue, question.feature, reason)
    if level not in (EvidenceLevel.MEASURED, EvidenceLevel.WEAK) or carrier is None:
        return ComponentEvidence(component=component, level=level, reason=reason)
    if cut is not None or rule is None or rule.measurement != carrier.name.value:
        return ComponentEvidence(
            component=component, level=level, reason=reason, measurement=carrier.name
        )
    margin = rule.margin(carrier.value)
    return ComponentEvidence(
        component=component,
        level=level,
        reason=reason,
        measurement=carrier.name,
        rule_grade=rule.grade(carrier.value),
        rule_basis=_basis(component, question.feature, rule),
        margin=margin,
        borderline=carrier.sd is not None and margin <= carrier.sd,
    )


def _cut_off(parts: KneeParts, question: Question, truncated: bool) -> str | None:
    """What the volume cuts off, the region or the bone that gives its borders; None for neither."""
    if question.feature is Feature.EFFUSION_SYNOVITIS:
        return None
    bone = _bone_of(question)
    faces = {} if bone is None else {b: parts.knee.cut.get(b, ()) for b in _shapes(parts, bone)}
    cut = [
        f"the {b.value} at its {' and '.join(found)} side" for b, found in faces.items() if found
    ]
    if cut:
        what = " and ".join(cut)
        return f"outside_field_of_view in part: the volume cuts off {what}, which moves borders"
    return "outside_field_of_view in part" if truncated else None


def _bone_of(question: Question) -> Bone | None:
    """The bone whose shape gives a region's borders; None for what its own label bounds."""
    if question.feature in (Feature.BML, Feature.CARTILAGE):
        return Subregion(question.site).bone
    if question.feature is Feature.OSTEOPHYTE:
        return Bone(question.site.split("_")[0])
    if question.feature in (Feature.EXTRUSION, Feature.MORPHOLOGY):
        return Bone.TIBIA
    return None


def _shapes(parts: KneeParts, bone: Bone) -> tuple[Bone, ...]:
    """A bone, and the one that its borders are read from as well.

    The femur's are at the meniscal margins, which are told from lost horns on the tibia's plates.
    """
    femur = parts.partition.femur
    by_menisci = femur is not None and MENISCAL_MARGINS in femur.definition
    return (bone, Bone.TIBIA) if bone is Bone.FEMUR and by_menisci else (bone,)


def _carrier(
    feature: Feature,
    component: Component,
    measurements: Sequence[Measurement],
    rule: GradeRule | None,
) -> Measurement | None:
    made = {m.name: m for m in measurements}
    known = _CARRIERS.get((feature, component), ())
    read = "" if rule is None else rule.measurement
    names = sorted(known, key=lambda name: name.value != read)
    return next((made[name] for name in names if name in made), None)


def _with_image(tissue: SoftTissue, feature: Feature, reason: str) -> _Judged:
    """What an image makes of a component that nothing measures."""
    if tissue.signal is None:
        return EvidenceLevel.NONE, reason
    sequence = tissue.signal.sequence
    if is_suitable_for_bml(sequence):
        return EvidenceLevel.IMAGE, f"to be read from the {sequence} image: {reason}"
    if feature is Feature.BML:
        return EvidenceLevel.NONE, f"{reason}; intensity on {sequence} is no evidence of one"
    limits = f"; {_NOT_ON_DESS}" if feature is Feature.HOFFA_SYNOVITIS else ""
    return EvidenceLevel.IMAGE, f"to be read from the {sequence} image: {reason}{limits}"


def is_suitable_for_bml(sequence: str | None) -> bool:
    """Returns whether lesions drawn on a sequence are what MOAKS readers grade (RULES 9).

    Readers grade BML on fluid-sensitive fat-suppressed images: IW, T2 or PD with fat suppression,
    or STIR. DESS shows about half of the lesions, and smaller; an unknown sequence proves nothing.
    """
    if sequence is None:
        return False
    # A volume's id has no spaces: sag_iw_tse_fs.
    words = sequence.replace("_", " ")
    if _STIR.search(words):
        return True
    return bool(_FLUID_SENSITIVE.search(words) and _FAT_SUPPRESSED.search(words))


def _basis(component: Component, feature: Feature, rule: GradeRule) -> RuleBasis:
    # MOAKS' 10 and 75 % are about the share with any loss; what counts as thinned is calibrated.
    if feature is Feature.CARTILAGE and component is Component.SIZE:
        return RuleBasis.CALIBRATED
    return rule.basis


def _level(
    parts: KneeParts, tissue: SoftTissue, question: Question, component: Component
) -> _Judged:
    feature = question.feature
    if (feature, component) in _IN_THE_IMAGE:
        return EvidenceLevel.IMAGE, _IN_THE_IMAGE[feature, component]
    if feature is Feature.BML:
        return _bml_level(parts, Subregion(question.site).bone, component)
    if feature is Feature.CARTILAGE:
        return _cartilage_level(parts, Subregion(question.site), component)
    if feature is Feature.OSTEOPHYTE:
        bone = Bone(question.site.split("_")[0])
        return _bone_level(parts, bone, "bone beyond the osteophyte-free margin")
    if feature is Feature.EXTRUSION:
        return _extrusion_level(parts, Compartment(question.site.split("_")[0]))
    if feature is Feature.MORPHOLOGY:
        return _morphology_level(parts, MeniscusPart(question.site))
    if feature is Feature.HOFFA_SYNOVITIS:
        return _hoffa_level(tissue)
    if feature is Feature.EFFUSION_SYNOVITIS:
        return _fluid_level(parts)
    return _ligament_level(parts, LIGAMENT_OF[feature])


def _bone_level(parts: KneeParts, bone: Bone, reason: str) -> _Judged:
    if Structure(bone.value) not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for the {bone.value}"
    if bone not in parts.plates:
        return (
            EvidenceLevel.NONE,
            f"outside_field_of_view: too little of the {bone.value} is in the volume",
        )
    return EvidenceLevel.MEASURED, reason


def _bml_level(parts: KneeParts, bone: Bone, component: Component) -> _Judged:
    level, reason = _bone_level(parts, bone, "")
    if level is not EvidenceLevel.MEASURED:
        return level, reason
    if BML_LABELS[bone] not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for lesions of the {bone.value}"
    cysts = Structure.SUBCHONDRAL_CYST
    if component is Component.PERCENT_BML and cysts not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for {cysts.value} to tell them by"
    level, reason = _lesion_labels(parts.knee.lesion_sequence)
    if cysts not in parts.knee.schemed:
        # MOAKS grades size and number of lesions with their cysts.
        return EvidenceLevel.WEAK, f"{reason}; {_NO_CYSTS}"
    return level, reason


def _lesion_labels(sequence: str | None) -> _Judged:
    if is_suitable_for_bml(sequence):
        return EvidenceLevel.MEASURED, f"lesion labels drawn on {sequence}"
    if sequence is None:
        reason = "lesion labels drawn on an unknown sequence: DESS shows about half of the lesions"
    else:
        reason = f"lesion labels drawn on {sequence}, which shows about half of the lesions"
    return EvidenceLevel.WEAK, reason


def _cartilage_level(parts: KneeParts, subregion: Subregion, component: Component) -> _Judged:
    level, reason = _bone_level(parts, subregion.bone, "cartilage and bone labels")
    if level is EvidenceLevel.MEASURED and component is Component.SIZE:
        level, reason = EvidenceLevel.WEAK, _THINNED
    if level not in (EvidenceLevel.MEASURED, EvidenceLevel.WEAK):
        return level, reason
    structure = cartilage_of(subregion)
    if structure not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for {structure.value}"
    plate = parts.plates[subregion.bone]
    rays = plate.rays(subregion)
    if not rays.any():
        return (
            EvidenceLevel.NONE,
            "outside_field_of_view: the articular surface is not in the volume",
        )
    if not plate.chart.covered[rays].any():
        return level, f"absent: no cartilage voxel is left where it belongs on the bone; {reason}"
    return level, reason


def _extrusion_level(parts: KneeParts, side: Compartment) -> _Judged:
    level, reason = _bone_level(parts, Bone.TIBIA, "meniscus against the osteophyte-free margin")
    structure = MENISCI[side]
    if level is not EvidenceLevel.MEASURED:
        return level, reason
    if structure not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for the {side.value} meniscus"
    if not parts.knee.has(structure):
        return (
            EvidenceLevel.NONE,
            f"absent: the {side.value} meniscus has no voxel, nothing can extrude",
        )
    return level, reason


def _morphology_level(parts: KneeParts, part: MeniscusPart) -> _Judged:
    side, index = part_of(part)
    name = ("anterior horn", "body", "posterior horn")[index]
    if MENISCI[side] not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for the {side.value} meniscus"
    n_voxels = parts.part_voxels.get(part)
    if n_voxels is None:
        return EvidenceLevel.IMAGE, "without a tibia the meniscus cannot be divided"
    if n_voxels == 0:
        return EvidenceLevel.WEAK, f"absent: no voxel is left of the {name}"
    return (
        EvidenceLevel.IMAGE,
        "tears are signal inside the meniscus; a mask shows only what is gone",
    )


def _hoffa_level(tissue: SoftTissue) -> _Judged:
    if isinstance(tissue.hoffa, NotMeasured):
        return EvidenceLevel.IMAGE, tissue.hoffa.reason
    sequence = "an image" if tissue.signal is None else tissue.signal.sequence
    # No share has been held against readers on any sequence yet: weak on all of them.
    return (
        EvidenceLevel.WEAK,
        f"signal of the fat pad's label on {sequence}; {_NOT_ON_DESS}, by eye",
    )


def _fluid_level(parts: KneeParts) -> _Judged:
    if Structure.PATELLA in parts.knee.schemed and Bone.PATELLA not in parts.plates:
        return (
            EvidenceLevel.IMAGE,
            "outside_field_of_view: the patella, behind and above which fluid collects",
        )
    return _labelled(
        parts, Structure.JOINT_FLUID, EvidenceLevel.MEASURED, "volume of the joint fluid label"
    )


def _ligament_level(parts: KneeParts, structure: Structure) -> _Judged:
    reason = "gap and volume of the ligament's label; segmentations bridge tears"
    return _labelled(parts, structure, EvidenceLevel.WEAK, reason)


def _labelled(parts: KneeParts, structure: Structure, level: EvidenceLevel, reason: str) -> _Judged:
    if structure not in parts.knee.schemed:
        return EvidenceLevel.IMAGE, f"not_in_scheme: no label for {structure.value}"
    if not parts.knee.has(structure):
        return level, f"absent: {structure.value} has no voxel in a map that labels it"
    return level, reason
