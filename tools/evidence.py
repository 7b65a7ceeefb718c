"""Evidence per component: how good it is, why, and the rule-based grade (RULES 8-11).

The level depends on what the label map holds, never on what was measured there or graded.
"""

import re

from knee.anatomy import Bone, Compartment, MeniscusPart, Structure, Subregion
from knee.calibration import Calibration, rule_for
from knee.findings import ComponentEvidence, EvidenceLevel, Measurement, MeasurementName
from knee.moaks import Component, Feature, GradeRule, RuleBasis
from knee.questions import Question
from tools.articular_surface import CARTILAGES
from tools.knee_parts import KneeParts
from tools.landmarks import MENISCI
from tools.lesions import BML_LABELS
from tools.menisci import part_of

_CARRIERS: dict[tuple[Feature, Component], MeasurementName] = {
    (Feature.BML, Component.SIZE): MeasurementName.BML_VOLUME_SHARE,
    (Feature.BML, Component.NUMBER): MeasurementName.BML_COUNT,
    (Feature.BML, Component.PERCENT_BML): MeasurementName.BML_SHARE_OF_LESION,
    (Feature.CARTILAGE, Component.SIZE): MeasurementName.SURFACE_LOSS_SHARE,
    (Feature.CARTILAGE, Component.FULL_THICKNESS): MeasurementName.FULL_THICKNESS_SHARE,
    (Feature.OSTEOPHYTE, Component.GRADE): MeasurementName.OSTEOPHYTE_PROTRUSION,
    (Feature.EFFUSION_SYNOVITIS, Component.GRADE): MeasurementName.EFFUSION_VOLUME,
    (Feature.EXTRUSION, Component.GRADE): MeasurementName.EXTRUSION,
    (Feature.ACL, Component.COMPLETE_TEAR): MeasurementName.STRUCTURE_VOLUME,
    (Feature.PCL, Component.COMPLETE_TEAR): MeasurementName.STRUCTURE_VOLUME,
    (Feature.MORPHOLOGY, Component.MORPHOLOGY): MeasurementName.MENISCUS_PART_VOLUME,
}
"""The measurement that carries each component's grade; other components have none."""
_FLUID_SENSITIVE = re.compile(r"\b(IW|T2W?|PD|PDW|INT)\b", re.IGNORECASE)
_FAT_SUPPRESSED = re.compile(r"\b(FS|FATSAT|FAT-SAT|SPAIR|SPIR)\b", re.IGNORECASE)
_STIR = re.compile(r"\bSTIR\b", re.IGNORECASE)
_REASONS: dict[tuple[Feature, Component], str] = {
    (Feature.HOFFA_SYNOVITIS, Component.GRADE): "hyperintensity of the fat pad is a matter of "
    "signal on fluid-sensitive images; a mask holds none",
    (Feature.MENISCAL_CYST, Component.PRESENCE): "no label holds meniscal cysts",
    (Feature.MENISCAL_CYST, Component.TEAR_LOCATION): "a tear is signal inside the meniscus; "
    "a mask holds none",
    (Feature.HYPERTROPHY, Component.PRESENCE): "no normal size of a meniscus is agreed on that "
    "its volume could be held against",
    (Feature.ROOT_TEAR, Component.PRESENCE): "a root tear is a gap of a few millimetres that "
    "segmentations bridge; it is read from the image",
    (Feature.ACL, Component.BML_CYST): "lesions at the footprints are not told apart from "
    "others by a label",
    (Feature.ACL, Component.REPAIR): "tunnels and graft are not labelled",
    (Feature.PCL, Component.BML_CYST): "lesions at the footprints are not told apart from "
    "others by a label",
    (Feature.PATELLAR_TENDON, Component.SIGNAL_ABNORMALITY): "signal inside the tendon is not "
    "in a mask",
}
"""Components that no mask can show, and why."""


def component_evidence(
    parts: KneeParts,
    question: Question,
    component: Component,
    measurements: tuple[Measurement, ...],
    calibration: Calibration | None,
) -> ComponentEvidence:
    """Returns level, reason and rule-based grade of one component."""
    level, reason = _level(parts, question, component)
    carrier = _CARRIERS.get((question.feature, component))
    measured = next((m for m in measurements if m.name is carrier), None)
    if level is EvidenceLevel.NONE or measured is None:
        if level is not EvidenceLevel.NONE:
            level, reason = EvidenceLevel.NONE, "the measurement could not be made here"
        return ComponentEvidence(component=component, level=level, reason=reason)
    rule = rule_for(question.feature, component, calibration)
    if rule is None:
        return ComponentEvidence(
            component=component, level=level, reason=reason, measurement=measured.name
        )
    margin = rule.margin(measured.value)
    return ComponentEvidence(
        component=component,
        level=level,
        reason=reason,
        measurement=measured.name,
        rule_grade=rule.grade(measured.value),
        rule_basis=_basis(component, question.feature, rule),
        margin=margin,
        borderline=measured.sd is not None and margin <= measured.sd,
    )


def is_suitable_for_bml(sequence: str | None) -> bool:
    """Returns whether lesions drawn on a sequence are what MOAKS readers grade (RULES 9).

    Readers grade BML on fluid-sensitive fat-suppressed images: IW, T2 or PD with fat suppression,
    or STIR. DESS shows about half of the lesions, and smaller; an unknown sequence proves nothing.
    """
    if sequence is None:
        return False
    if _STIR.search(sequence):
        return True
    return bool(_FLUID_SENSITIVE.search(sequence) and _FAT_SUPPRESSED.search(sequence))


def _basis(component: Component, feature: Feature, rule: GradeRule) -> RuleBasis:
    # MOAKS' 10 and 75 % are about the share with any loss; what counts as thinned is calibrated.
    if feature is Feature.CARTILAGE and component is Component.SIZE:
        return RuleBasis.CALIBRATED
    return rule.basis


def _level(parts: KneeParts, question: Question, component: Component) -> tuple[EvidenceLevel, str]:
    feature = question.feature
    if (feature, component) in _REASONS:
        return EvidenceLevel.NONE, _REASONS[feature, component]
    if feature is Feature.BML:
        return _bml_level(parts, Subregion(question.site).bone)
    if feature is Feature.CARTILAGE:
        return _cartilage_level(parts, Subregion(question.site))
    if feature is Feature.OSTEOPHYTE:
        bone = Bone(question.site.split("_")[0])
        return _bone_level(parts, bone, "bone beyond the osteophyte-free margin")
    if feature is Feature.EXTRUSION:
        return _extrusion_level(parts, Compartment(question.site.split("_")[0]))
    if feature is Feature.MORPHOLOGY:
        return _morphology_level(parts, MeniscusPart(question.site))
    return _label_level(parts, feature)


def _bone_level(parts: KneeParts, bone: Bone, reason: str) -> tuple[EvidenceLevel, str]:
    if Structure(bone.value) not in parts.knee.schemed:
        return EvidenceLevel.NONE, f"not_in_scheme: no label for the {bone.value}"
    if bone not in parts.plates:
        return (
            EvidenceLevel.NONE,
            f"outside_field_of_view: too little of the {bone.value} is in the volume",
        )
    return EvidenceLevel.MEASURED, reason


def _bml_level(parts: KneeParts, bone: Bone) -> tuple[EvidenceLevel, str]:
    level, reason = _bone_level(parts, bone, "")
    if level is EvidenceLevel.NONE:
        return level, reason
    if BML_LABELS[bone] not in parts.knee.schemed:
        return EvidenceLevel.NONE, (
            f"not_in_scheme: no label for lesions of the {bone.value}; intensity on DESS is no "
            "evidence of a bone marrow lesion"
        )
    sequence = parts.knee.lesion_sequence
    if is_suitable_for_bml(sequence):
        return EvidenceLevel.MEASURED, f"lesion labels drawn on {sequence}"
    shown = "an unknown sequence" if sequence is None else sequence
    return (
        EvidenceLevel.WEAK,
        f"lesion labels drawn on {shown}, which shows about half of the lesions",
    )


def _cartilage_level(parts: KneeParts, subregion: Subregion) -> tuple[EvidenceLevel, str]:
    level, reason = _bone_level(parts, subregion.bone, "cartilage and bone labels")
    if level is EvidenceLevel.NONE:
        return level, reason
    labels = set(CARTILAGES[subregion.bone]) & parts.knee.schemed
    if not labels:
        return (
            EvidenceLevel.NONE,
            f"not_in_scheme: no label for cartilage of the {subregion.bone.value}",
        )
    plate = parts.plates[subregion.bone]
    rays = plate.rays(subregion)
    if not rays.any():
        return (
            EvidenceLevel.NONE,
            "outside_field_of_view: the articular surface is not in the volume",
        )
    if not plate.chart.covered[rays].any():
        return level, "absent: no cartilage voxel is left where cartilage belongs on the bone"
    return level, reason


def _extrusion_level(parts: KneeParts, side: Compartment) -> tuple[EvidenceLevel, str]:
    level, reason = _bone_level(parts, Bone.TIBIA, "meniscus against the osteophyte-free margin")
    structure = MENISCI[side]
    if level is EvidenceLevel.NONE:
        return level, reason
    if structure not in parts.knee.schemed:
        return EvidenceLevel.NONE, f"not_in_scheme: no label for the {side.value} meniscus"
    if not parts.knee.has(structure):
        return (
            EvidenceLevel.NONE,
            f"absent: the {side.value} meniscus has no voxel, nothing can extrude",
        )
    return level, reason


def _morphology_level(parts: KneeParts, part: MeniscusPart) -> tuple[EvidenceLevel, str]:
    side, index = part_of(part)
    name = ("anterior horn", "body", "posterior horn")[index]
    if MENISCI[side] not in parts.knee.schemed:
        return EvidenceLevel.NONE, f"not_in_scheme: no label for the {side.value} meniscus"
    n_voxels = parts.part_voxels.get(part)
    if n_voxels is None:
        return EvidenceLevel.NONE, "without a tibia the meniscus cannot be divided"
    if n_voxels == 0:
        return EvidenceLevel.WEAK, f"absent: no voxel is left of the {name}"
    return (
        EvidenceLevel.NONE,
        "tears are signal inside the meniscus; a mask shows only what is gone",
    )


def _label_level(parts: KneeParts, feature: Feature) -> tuple[EvidenceLevel, str]:
    """Joint fluid, ACL and PCL: read from one label each."""
    structure, level, reason = {
        Feature.EFFUSION_SYNOVITIS: (
            Structure.JOINT_FLUID,
            EvidenceLevel.MEASURED,
            "volume of the joint fluid label",
        ),
        Feature.ACL: (
            Structure.ACL,
            EvidenceLevel.WEAK,
            "volume of the ligament's label; segmentations bridge tears",
        ),
        Feature.PCL: (
            Structure.PCL,
            EvidenceLevel.WEAK,
            "volume of the ligament's label; segmentations bridge tears",
        ),
    }[feature]
    if structure not in parts.knee.schemed:
        return EvidenceLevel.NONE, f"not_in_scheme: no label for {structure.value}"
    if not parts.knee.has(structure):
        return level, f"absent: {structure.value} has no voxel in a map that labels it"
    return level, reason
