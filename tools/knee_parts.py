"""Everything that boxes and evidence are read from, computed once for a volume."""

from dataclasses import dataclass

from knee.anatomy import Bone, ExtrusionSite, MeniscusPart, OsteophyteSite, Subregion
from tools.anatomical_frame import Knee, anatomical_knee
from tools.cartilage import Plate, make_plates
from tools.lesions import BoneWedges, LesionNumbers, cut_wedges, measure_lesions
from tools.menisci import Extrusion, measure_extrusion, part_voxels
from tools.osteophytes import MarginSite, measure_osteophytes
from tools.segmentation import LabelMap
from tools.subregions import Partition, make_partition


@dataclass(frozen=True)
class KneeParts:
    """One knee, divided and measured; dictionaries lack what the volume does not show.

    Attributes:
        knee: the label map in its anatomical frame.
        partition: borders of the subregions.
        plates: per bone, the articular surface with its cartilage.
        wedges: per bone, the bone under the subregions.
        lesions: per subregion, what the lesion labels show.
        margins: per site, the osteophyte-free margin and what juts out of it.
        extrusions: per site, the extrusion; empty without a tibia.
        part_voxels: per part of a meniscus, its number of voxels; empty without a tibia.
    """

    knee: Knee
    partition: Partition
    plates: dict[Bone, Plate]
    wedges: dict[Bone, BoneWedges]
    lesions: dict[Subregion, LesionNumbers]
    margins: dict[OsteophyteSite, MarginSite]
    extrusions: dict[ExtrusionSite, Extrusion]
    part_voxels: dict[MeniscusPart, int]


def measure_parts(label_map: LabelMap) -> KneeParts:
    """Returns the measured knee of a label map.

    Raises:
        InputError: the label map holds no structure that a question is about.
    """
    knee = anatomical_knee(label_map)
    partition, charts = make_partition(knee)
    plates = make_plates(knee, partition, charts)
    wedges = {bone: cut_wedges(knee, plate, partition) for bone, plate in plates.items()}
    lesions: dict[Subregion, LesionNumbers] = {}
    for bone in wedges:
        lesions.update(measure_lesions(knee, wedges[bone]))
    marks = partition.tibia
    return KneeParts(
        knee=knee,
        partition=partition,
        plates=plates,
        wedges=wedges,
        lesions=lesions,
        margins=measure_osteophytes(knee, partition, charts),
        extrusions={}
        if marks is None
        else {site: measure_extrusion(knee, marks, site) for site in ExtrusionSite},
        part_voxels={}
        if marks is None
        else {part: part_voxels(knee, marks, part) for part in MeniscusPart},
    )
