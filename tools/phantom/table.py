"""The MOAKS table of a phantom cohort, in OAI's ASCII form (FACTS 3.1, 3.2).

`|` between columns, latin-1, values as "code: text", columns ID, SIDE, READPRJ, VERSION and the
variables with their visit prefix. READPRJ and VERSION are the phantom's own, so that a synthetic
read is never taken for a clinician's.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from knee.anatomy import ExtrusionSite, MeniscusPart, OsteophyteSite, Side, Subregion
from knee.moaks import SCALES, Component, Feature
from tools.phantom.truth import TruthRecord

READPRJ = "PHANTOM"
VERSION = "PHANTOM:1"
MISSING = ".: Missing Form/Incomplete Workbook"
FILE_NAME = "kMRI_SQ_MOAKS_BICL00.txt"
PREFIX = "V00"

_SUBREGION_CODES = {
    Subregion.FEMUR_MEDIAL_TROCHLEA: "FMA",
    Subregion.FEMUR_MEDIAL_CENTRAL: "FMC",
    Subregion.FEMUR_MEDIAL_POSTERIOR: "FMP",
    Subregion.FEMUR_LATERAL_TROCHLEA: "FLA",
    Subregion.FEMUR_LATERAL_CENTRAL: "FLC",
    Subregion.FEMUR_LATERAL_POSTERIOR: "FLP",
    Subregion.TIBIA_MEDIAL_ANTERIOR: "TMA",
    Subregion.TIBIA_MEDIAL_CENTRAL: "TMC",
    Subregion.TIBIA_MEDIAL_POSTERIOR: "TMP",
    Subregion.TIBIA_LATERAL_ANTERIOR: "TLA",
    Subregion.TIBIA_LATERAL_CENTRAL: "TLC",
    Subregion.TIBIA_LATERAL_POSTERIOR: "TLP",
    Subregion.TIBIA_SUBSPINOUS: "SS",
    Subregion.PATELLA_MEDIAL: "PM",
    Subregion.PATELLA_LATERAL: "PL",
}

_OSTEOPHYTE_CODES = {
    OsteophyteSite.PATELLA_SUPERIOR: "PS",
    OsteophyteSite.PATELLA_INFERIOR: "PI",
    OsteophyteSite.PATELLA_MEDIAL: "PM",
    OsteophyteSite.PATELLA_LATERAL: "PL",
    OsteophyteSite.FEMUR_MEDIAL_ANTERIOR: "FMA",
    OsteophyteSite.FEMUR_MEDIAL_CENTRAL: "FMC",
    OsteophyteSite.FEMUR_MEDIAL_POSTERIOR: "FMP",
    OsteophyteSite.FEMUR_LATERAL_ANTERIOR: "FLA",
    OsteophyteSite.FEMUR_LATERAL_CENTRAL: "FLC",
    OsteophyteSite.FEMUR_LATERAL_POSTERIOR: "FLP",
    OsteophyteSite.TIBIA_MEDIAL: "TM",
    OsteophyteSite.TIBIA_LATERAL: "TL",
}

_EXTRUSION_CODES = {
    ExtrusionSite.MEDIAL_MENISCUS_ANTERIOR: "MA",
    ExtrusionSite.MEDIAL_MENISCUS_MEDIAL: "MM",
    ExtrusionSite.LATERAL_MENISCUS_ANTERIOR: "LA",
    ExtrusionSite.LATERAL_MENISCUS_LATERAL: "LL",
}

_MORPHOLOGY_CODES = {
    MeniscusPart.MEDIAL_MENISCUS_ANTERIOR: "MA",
    MeniscusPart.MEDIAL_MENISCUS_BODY: "MB",
    MeniscusPart.MEDIAL_MENISCUS_POSTERIOR: "MP",
    MeniscusPart.LATERAL_MENISCUS_ANTERIOR: "LA",
    MeniscusPart.LATERAL_MENISCUS_BODY: "LB",
    MeniscusPart.LATERAL_MENISCUS_POSTERIOR: "LP",
}


class Variable(NamedTuple):
    """A column of the table: one component at one site; cartilage columns hold two."""

    feature: Feature
    site: str
    components: tuple[Component, ...]


def _guessed() -> dict[str, Variable]:
    variables = {
        f"MOS{code}": Variable(Feature.OSTEOPHYTE, site.value, (Component.GRADE,))
        for site, code in _OSTEOPHYTE_CODES.items()
    }
    for code, site in (("M", "medial_meniscus"), ("L", "lateral_meniscus")):
        present, tear = (Component.PRESENCE,), (Component.TEAR_LOCATION,)
        variables[f"MMCY{code}"] = Variable(Feature.MENISCAL_CYST, site, present)
        variables[f"MMCT{code}"] = Variable(Feature.MENISCAL_CYST, site, tear)
        variables[f"MMHY{code}"] = Variable(Feature.HYPERTROPHY, site, present)
    variables["MACLRP"] = Variable(Feature.ACL, "acl", (Component.REPAIR,))
    variables["MPCLTR"] = Variable(Feature.PCL, "pcl", (Component.COMPLETE_TEAR,))
    variables["MPCLBML"] = Variable(Feature.PCL, "pcl", (Component.BML_CYST,))
    signal = (Component.SIGNAL_ABNORMALITY,)
    variables["MPTSIG"] = Variable(Feature.PATELLAR_TENDON, "patellar_tendon", signal)
    return variables


GUESSED_STEMS: dict[str, Variable] = _guessed()
"""Columns whose names no source confirms (FACTS 3.2, [M]): the phantom's own choice."""


def _known() -> dict[str, Variable]:
    variables: dict[str, Variable] = {}
    for subregion, code in _SUBREGION_CODES.items():
        site = subregion.value
        variables[f"MBMS{code}"] = Variable(Feature.BML, site, (Component.SIZE,))
        variables[f"MBMN{code}"] = Variable(Feature.BML, site, (Component.NUMBER,))
        variables[f"MBMP{code}"] = Variable(Feature.BML, site, (Component.PERCENT_BML,))
        if subregion.is_articular:
            both = (Component.SIZE, Component.FULL_THICKNESS)
            variables[f"MCM{code}"] = Variable(Feature.CARTILAGE, site, both)
    for extrusion, code in _EXTRUSION_CODES.items():
        grade = (Component.GRADE,)
        variables[f"MMX{code}"] = Variable(Feature.EXTRUSION, extrusion.value, grade)
    for part, code in _MORPHOLOGY_CODES.items():
        morphology = (Component.MORPHOLOGY,)
        variables[f"MMT{code}"] = Variable(Feature.MORPHOLOGY, part.value, morphology)
    for side, code in (("medial", "M"), ("lateral", "L")):
        present = (Component.PRESENCE,)
        variables[f"MMRT{code}"] = Variable(Feature.ROOT_TEAR, f"{side}_posterior_root", present)
    effusion, hoffa = Feature.EFFUSION_SYNOVITIS, Feature.HOFFA_SYNOVITIS
    variables["MEFFWK"] = Variable(effusion, "joint_cavity", (Component.GRADE,))
    variables["MSYIC"] = Variable(hoffa, "hoffa_fat_pad", (Component.GRADE,))
    variables["MACLTR"] = Variable(Feature.ACL, "acl", (Component.COMPLETE_TEAR,))
    variables["MACLBML"] = Variable(Feature.ACL, "acl", (Component.BML_CYST,))
    return variables


VARIABLES: dict[str, Variable] = _known() | GUESSED_STEMS
"""All columns of the table by stem (the name without its visit prefix)."""


class Read(NamedTuple):
    """One row of the table."""

    patient: str
    side: Side
    cells: Mapping[str, str]
    """Stem → "code: text"."""


def write_cells(
    truth: Sequence[TruthRecord], missing_share: float, rng: np.random.Generator
) -> dict[str, str]:
    """Returns the cell of every variable for one knee.

    Args:
        truth: the knee's records; a variable without one is missing.
        missing_share: chance that a cell is missing although the truth is known.
        rng: stream that chooses those cells.
    """
    grades = {(r.feature, r.site, r.component): r.grade for r in truth}
    cells: dict[str, str] = {}
    for stem, variable in VARIABLES.items():
        lost = rng.random() < missing_share
        found = [grades.get((variable.feature, variable.site, c)) for c in variable.components]
        known = [grade for grade in found if grade is not None]
        whole = len(known) == len(found) and not lost
        cells[stem] = _format(variable, known) if whole else MISSING
    return cells


def _format(variable: Variable, grades: list[int]) -> str:
    texts = [
        SCALES[variable.feature, component].wording[grade]
        for component, grade in zip(variable.components, grades, strict=True)
    ]
    # Cartilage: size and full thickness share one value, "2.1".
    code = ".".join(str(grade) for grade in grades)
    return f"{code}: {'; '.join(texts)}"


def format_table(reads: Sequence[Read]) -> bytes:
    """Returns the table's file content."""
    columns = ["ID", "SIDE", "READPRJ", "VERSION", *(PREFIX + stem for stem in VARIABLES)]
    lines = ["|".join(columns)]
    for read in reads:
        side = "1: Right" if read.side is Side.RIGHT else "2: Left"
        cells = [read.cells[stem] for stem in VARIABLES]
        lines.append("|".join([read.patient, side, READPRJ, VERSION, *cells]))
    return ("\n".join(lines) + "\n").encode("latin-1")
