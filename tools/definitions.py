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
    Feature.BML: "The subregion's bone: bml.wedge-15mm@1.",
    Feature.CARTILAGE: "The subregion's estimated bone-cartilage interface with a layer of 2.5 mm "
    "(femur), 3 mm (tibia) or 3.5 mm (patella) on it, cartilage or denuded bone alike.",
    Feature.OSTEOPHYTE: "The site's stretch of osteophyte-free margin, 8 mm around it.",
    Feature.HOFFA_SYNOVITIS: "The labelled fat pad with 3 mm around it; else from the notch to "
    "the patellar tendon, from 24 mm below the plateau to 14 mm above the patella's lower end.",
    Feature.EFFUSION_SYNOVITIS: "Retropatellar and suprapatellar space: the condyles' width, from "
    "the trochlea to 50 mm above the patella, femur to the patella's back. The fluid label "
    "does not change it.",
    Feature.EXTRUSION: "8 mm around the osteophyte-free tibial margin at the reference slice.",
    Feature.MORPHOLOGY: "That third of the meniscus; where it is gone, the plateau's rim there.",
    Feature.MENISCAL_CYST: "The meniscus, or its place on the plateau, with 10 mm around it.",
    Feature.HYPERTROPHY: "The meniscus, or its place on the plateau.",
    Feature.ROOT_TEAR: "8 mm around the posterior root's attachment: 3 mm inside the plate's "
    "inner edge, a fifth of the plateau's depth from behind.",
    Feature.ACL: "The labelled ligament with 3 mm for its footprints; else its course in the "
    "notch, from the lateral condyle to the front of the plateau.",
    Feature.PCL: "The labelled ligament with 3 mm for its footprints; else its course in the "
    "notch, from the medial condyle to the back of the tibia 14 mm below the plateau.",
    Feature.PATELLAR_TENDON: "The labelled tendon with 3 mm around it; else from the patella's "
    "lower pole to 42 mm below the plateau.",
}


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
