"""Names of the knee's structures and of the MOAKS sites on them.

Sides: in RAS millimetres +x points to the patient's right. The *medial* side of a right knee is
therefore at smaller x than its lateral side, and the reverse in a left knee (`medial_sign`).

The 15 MOAKS subregions follow Hunter et al., Osteoarthritis Cartilage 2011;19:990-1002
(PMC4058435): 14 articular ones (cartilage and bone marrow lesions) and the subspinous one (bone
marrow lesions only). Osteophytes have 12 sites of their own.
"""

from enum import StrEnum


class Side(StrEnum):
    """Which knee of the patient."""

    RIGHT = "right"
    LEFT = "left"


def medial_sign(side: Side) -> int:
    """Returns the sign of the x axis (RAS, +x = patient's right) that points medially.

    Example:
        >>> medial_sign(Side.RIGHT), medial_sign(Side.LEFT)
        (-1, 1)
    """
    return -1 if side is Side.RIGHT else 1


class Structure(StrEnum):
    """What one label of a label map can stand for.

    `tibial_cartilage` and `meniscus` are the unsided labels of maps that do not tell medial from
    lateral; they are split by side before anything is measured.
    """

    FEMUR = "femur"
    TIBIA = "tibia"
    PATELLA = "patella"
    FIBULA = "fibula"
    FEMORAL_CARTILAGE = "femoral_cartilage"
    TIBIAL_CARTILAGE = "tibial_cartilage"
    MEDIAL_TIBIAL_CARTILAGE = "medial_tibial_cartilage"
    LATERAL_TIBIAL_CARTILAGE = "lateral_tibial_cartilage"
    PATELLAR_CARTILAGE = "patellar_cartilage"
    MENISCUS = "meniscus"
    MEDIAL_MENISCUS = "medial_meniscus"
    LATERAL_MENISCUS = "lateral_meniscus"
    ACL = "acl"
    PCL = "pcl"
    MCL = "mcl"
    LCL = "lcl"
    PATELLAR_TENDON = "patellar_tendon"
    QUADRICEPS_TENDON = "quadriceps_tendon"
    HOFFA_FAT_PAD = "hoffa_fat_pad"
    JOINT_FLUID = "joint_fluid"
    FEMORAL_BML = "femoral_bml"
    TIBIAL_BML = "tibial_bml"
    PATELLAR_BML = "patellar_bml"
    SUBCHONDRAL_CYST = "subchondral_cyst"
    OTHER = "other"
    """A labelled structure that no question is about (muscle, vessel, nerve, skin)."""


class Bone(StrEnum):
    """The three bones that MOAKS subregions lie on."""

    FEMUR = "femur"
    TIBIA = "tibia"
    PATELLA = "patella"


class Compartment(StrEnum):
    """Medial or lateral; `midline` only for the subspinous region and whole-knee features."""

    MEDIAL = "medial"
    LATERAL = "lateral"
    MIDLINE = "midline"


class Subregion(StrEnum):
    """The 15 MOAKS subregions, named bone_compartment_part."""

    PATELLA_MEDIAL = "patella_medial"
    PATELLA_LATERAL = "patella_lateral"
    FEMUR_MEDIAL_TROCHLEA = "femur_medial_trochlea"
    FEMUR_MEDIAL_CENTRAL = "femur_medial_central"
    FEMUR_MEDIAL_POSTERIOR = "femur_medial_posterior"
    FEMUR_LATERAL_TROCHLEA = "femur_lateral_trochlea"
    FEMUR_LATERAL_CENTRAL = "femur_lateral_central"
    FEMUR_LATERAL_POSTERIOR = "femur_lateral_posterior"
    TIBIA_MEDIAL_ANTERIOR = "tibia_medial_anterior"
    TIBIA_MEDIAL_CENTRAL = "tibia_medial_central"
    TIBIA_MEDIAL_POSTERIOR = "tibia_medial_posterior"
    TIBIA_LATERAL_ANTERIOR = "tibia_lateral_anterior"
    TIBIA_LATERAL_CENTRAL = "tibia_lateral_central"
    TIBIA_LATERAL_POSTERIOR = "tibia_lateral_posterior"
    TIBIA_SUBSPINOUS = "tibia_subspinous"

    @property
    def bone(self) -> Bone:
        """The bone that the subregion lies on."""
        return Bone(self.value.split("_")[0])

    @property
    def compartment(self) -> Compartment:
        """Medial or lateral, `midline` for the subspinous region."""
        part = self.value.split("_")[1]
        return Compartment.MIDLINE if part == "subspinous" else Compartment(part)

    @property
    def is_articular(self) -> bool:
        """True for the 14 subregions that carry cartilage."""
        return self is not Subregion.TIBIA_SUBSPINOUS


class OsteophyteSite(StrEnum):
    """The 12 sites at which MOAKS grades osteophytes."""

    PATELLA_SUPERIOR = "patella_superior"
    PATELLA_INFERIOR = "patella_inferior"
    PATELLA_MEDIAL = "patella_medial"
    PATELLA_LATERAL = "patella_lateral"
    FEMUR_MEDIAL_ANTERIOR = "femur_medial_anterior"
    FEMUR_MEDIAL_CENTRAL = "femur_medial_central"
    FEMUR_MEDIAL_POSTERIOR = "femur_medial_posterior"
    FEMUR_LATERAL_ANTERIOR = "femur_lateral_anterior"
    FEMUR_LATERAL_CENTRAL = "femur_lateral_central"
    FEMUR_LATERAL_POSTERIOR = "femur_lateral_posterior"
    TIBIA_MEDIAL = "tibia_medial"
    TIBIA_LATERAL = "tibia_lateral"


class ExtrusionSite(StrEnum):
    """Meniscus and direction of the four extrusion grades."""

    MEDIAL_MENISCUS_ANTERIOR = "medial_meniscus_anterior"
    MEDIAL_MENISCUS_MEDIAL = "medial_meniscus_medial"
    LATERAL_MENISCUS_ANTERIOR = "lateral_meniscus_anterior"
    LATERAL_MENISCUS_LATERAL = "lateral_meniscus_lateral"


class MeniscusPart(StrEnum):
    """Anterior horn, body and posterior horn of either meniscus."""

    MEDIAL_MENISCUS_ANTERIOR = "medial_meniscus_anterior"
    MEDIAL_MENISCUS_BODY = "medial_meniscus_body"
    MEDIAL_MENISCUS_POSTERIOR = "medial_meniscus_posterior"
    LATERAL_MENISCUS_ANTERIOR = "lateral_meniscus_anterior"
    LATERAL_MENISCUS_BODY = "lateral_meniscus_body"
    LATERAL_MENISCUS_POSTERIOR = "lateral_meniscus_posterior"
