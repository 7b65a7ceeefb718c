"""Every definition id with its text: what a box or a measurement rests on.

The texts are part of a volume's `findings_id`: whoever changes a definition raises its number.
"""

import inspect
from types import ModuleType

from knee.moaks import Feature
from tools import (
    bone_cartilage_interface,
    cartilage,
    effusion,
    lesions,
    menisci,
    osteophytes,
    subregions,
)

_REGIONS: dict[Feature, str] = {
    Feature.BML: f"The subregion's bone: {lesions.WEDGE_DEFINITION}.",
    Feature.CARTILAGE: "The subregion's estimated bone-cartilage interface with a layer of 2.2 mm "
    "(femur), 2.6 mm (tibia) or 3.2 mm (patella) on it, tapering to half within 5 mm of the "
    "plate's edge; cartilage or denuded bone alike.",
    Feature.OSTEOPHYTE: "The site's stretch of osteophyte-free margin (tools.site_margins), 8 mm "
    "around it.",
    Feature.HOFFA_SYNOVITIS: "The labelled fat pad; else from the notch to the patellar tendon and "
    "from the tibia's front to the patella's apex, in proportions of the tibia.",
    Feature.EFFUSION_SYNOVITIS: "Retropatellar and suprapatellar space: nine tenths of the knee's "
    "width, from the patella's apex to 50 mm above its base, from the recesses beside the trochlea "
    "to the patella's middle. The fluid label does not change it.",
    Feature.EXTRUSION: "8 mm around the osteophyte-free tibial margin at the reference slice; "
    "a meniscus that reaches nearly out of it widens it, to 2 mm beyond the meniscus.",
    Feature.MORPHOLOGY: f"That part of the meniscus ({menisci.PART_DEFINITION}); where it is gone, "
    "its place on the plateau.",
    Feature.MENISCAL_CYST: "The meniscus, or its place on the plateau, with 10 mm around it; lost "
    "parts count with their place.",
    Feature.HYPERTROPHY: "The meniscus, or its place on the plateau; lost parts count with their "
    "place.",
    Feature.ROOT_TEAR: "8 mm around the posterior root's attachment: at the plate's inner edge, "
    "from behind at 0.23 (medial) and 0.30 (lateral) of the compartment's depth.",
    Feature.ACL: "The labelled ligament with 3 mm into the lateral condyle and the plateau for its "
    "footprints; else, and for a stump, its course in proportions of the tibia.",
    Feature.PCL: "The labelled ligament with 3 mm into the medial condyle for its footprint; else, "
    "and for a stump, its course in proportions of the tibia.",
    Feature.PATELLAR_TENDON: "The labelled tendon; else, and for a stump, from the patella's lower "
    "pole to the tuberosity in proportions of the tibia.",
}
"""What each feature's regions hold; boxes follow the volume's axes."""


def _documented(module: ModuleType, *ids: str) -> dict[str, str]:
    text = inspect.getdoc(module) or ""
    return dict.fromkeys(ids, text)


DEFINITIONS: dict[str, str] = {
    **{f"region.{feature.value}@2": text for feature, text in _REGIONS.items()},
    **_documented(subregions, subregions.SUBREGION_DEFINITION),
    **_documented(bone_cartilage_interface, bone_cartilage_interface.INTERFACE_DEFINITION),
    **_documented(
        cartilage,
        cartilage.THICKNESS_DEFINITION,
        cartilage.FULL_THICKNESS_DEFINITION,
        cartilage.THINNED_DEFINITION,
        cartilage.SURFACE_LOSS_DEFINITION,
    ),
    **_documented(lesions, lesions.WEDGE_DEFINITION, lesions.LESION_DEFINITION),
    **_documented(osteophytes, osteophytes.OSTEOPHYTE_DEFINITION),
    **_documented(
        menisci,
        menisci.PART_DEFINITION,
        menisci.CORONAL_DEFINITION,
        menisci.SAGITTAL_DEFINITION,
    ),
    **_documented(effusion, effusion.EFFUSION_DEFINITION),
    "structure.volume@1": "Voxels of a label times the volume of one voxel.",
}
"""Definition id to its text."""
