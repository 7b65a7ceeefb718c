"""Findings in words, for the sheets of `look`."""

from knee.findings import EvidenceLevel, Finding, MeasurementName, VolumeFindings
from knee.moaks import Feature
from knee.questions import QUESTIONS, Question

_TELLING: dict[Feature, tuple[MeasurementName, ...]] = {
    Feature.BML: (MeasurementName.BML_VOLUME_SHARE,),
    Feature.CARTILAGE: (MeasurementName.SURFACE_LOSS_SHARE,),
    Feature.OSTEOPHYTE: (MeasurementName.OSTEOPHYTE_PROTRUSION,),
    Feature.HOFFA_SYNOVITIS: (MeasurementName.HOFFA_SIGNAL_SHARE,),
    Feature.EFFUSION_SYNOVITIS: (MeasurementName.EFFUSION_VOLUME, MeasurementName.EFFUSION_DEPTH),
    Feature.EXTRUSION: (MeasurementName.EXTRUSION,),
    Feature.MORPHOLOGY: (MeasurementName.MENISCUS_PART_VOLUME, MeasurementName.SIGNAL_RATIO),
}
"""What a sheet of a whole volume says of each feature."""
_LIGAMENTS = (Feature.ACL, Feature.PCL, Feature.PATELLAR_TENDON)
_MOST_SITES = 5
"""Sites of a feature that are named on the sheet of a volume, the largest values first."""


_INITIALS = frozenset({"acl", "bml", "pcl"})


def spoken(name: str) -> str:
    """Returns an identifier as words, initials in capitals: `BML volume share`."""
    words = name.split("_")
    return " ".join(word.upper() if word in _INITIALS else word for word in words)


def question_title(question: Question) -> str:
    """Returns `Q19 cartilage: medial central femur`."""
    return f"Q{question.question_id} {spoken(question.feature.value)}: {question.region_name}"


def finding_lines(finding: Finding, *, grades: bool) -> tuple[str, ...]:
    """Returns one finding in words.

    Args:
        finding: region, box, measurements, evidence.
        grades: whether the rule-based grades are named; nobody who reads blind should see them.
    """
    lines = ["# Box"]
    if finding.box is None:
        lines.append(f"none: {finding.box_reason}")
    else:
        source = "" if finding.box_source is None else finding.box_source.value
        lines.append(f"{list(finding.box.indices)} ({source}, voxels as stored)")
        lines += [finding.box_reason] if finding.box_reason else []
        lines += ["cut off by the field of view"] if finding.truncated else []
    lines.append(f"definition {finding.definition_id}")
    lines.append("# Measured")
    lines += [
        f"{spoken(m.name.value)}: {m.shown} {m.unit.value}"
        + (f" (sd {m.shown_sd})" if m.shown_sd else "")
        + f"; {m.method}"
        for m in finding.measurements
    ] or ["nothing"]
    lines.append("# Evidence")
    for entry in finding.evidence:
        lines.append(f"{spoken(entry.component.value)}: {entry.level.value}; {entry.reason}")
        if grades and entry.rule_grade is not None:
            near = ", borderline" if entry.borderline else ""
            lines.append(f"rule-based grade {entry.rule_grade} ({entry.rule_basis.value}{near})")
    return tuple(lines)


def volume_lines(found: VolumeFindings, *, grades: bool) -> tuple[str, ...]:
    """Returns what stands out in a volume, feature by feature.

    Args:
        found: the volume's findings.
        grades: whether the rule-based grades are named; nobody who reads blind should see them.
    """
    lines = [
        "# Volume",
        f"scheme {found.scheme}, side {found.side_check.value}, stored {found.orientation}, "
        f"{' x '.join(str(n) for n in found.shape)} voxels",
    ]
    ligaments: list[str] = []
    unseen: list[str] = []
    for feature in dict.fromkeys(QUESTIONS[f.question_id].feature for f in found.findings):
        mine = [f for f in found.findings if QUESTIONS[f.question_id].feature is feature]
        told = [
            line
            for name in _TELLING.get(feature, ())
            for line in _measured_lines(spoken(feature.value), name, mine)
        ]
        lines += told
        if feature in _LIGAMENTS and (line := _ligament_line(mine[0])):
            ligaments.append(line)
        elif not told:
            levels = {entry.level for finding in mine for entry in finding.evidence}
            best = next(level for level in EvidenceLevel if level in levels)
            unseen.append(f"{spoken(feature.value)}: {best.value}")
    if ligaments:
        lines += ["# Ligaments and tendon", *ligaments]
    if unseen:
        lines += ["# Not measured (best evidence)", "; ".join(unseen)]
    return (*lines, *(_grade_lines(found) if grades else ()))


def _grade_lines(found: VolumeFindings) -> list[str]:
    """Per feature and component, the questions by rule-based grade; ? marks borderline ones."""
    by_grade: dict[str, dict[int, list[str]]] = {}
    for finding in found.findings:
        feature = spoken(QUESTIONS[finding.question_id].feature.value)
        for entry in finding.evidence:
            if entry.rule_grade is None:
                continue
            name = f"{feature} {spoken(entry.component.value)} ({entry.rule_basis.value})"
            shown = f"Q{finding.question_id}{'?' if entry.borderline else ''}"
            by_grade.setdefault(name, {}).setdefault(entry.rule_grade, []).append(shown)
    told = [
        f"{name}: " + "; ".join(f"{g} at {', '.join(graded[g])}" for g in sorted(graded))
        for name, graded in by_grade.items()
    ]
    return ["# Rule-based grades (? borderline)", *(told or ["none"])]


def _measured_lines(feature: str, name: MeasurementName, findings: list[Finding]) -> list[str]:
    """A heading and the sites with their values; nothing where nothing was measured."""
    made = [
        (QUESTIONS[finding.question_id].region_name, measured)
        for finding in findings
        if (measured := finding.measurement(name)) is not None
    ]
    if not made:
        return []
    measure = spoken(name.value)
    heading = f"# {measure[0].upper()}{measure[1:]}"
    heading += "" if feature.split()[0] in measure else f" ({feature})"
    if len(made) == 1:
        (site, measured), *_ = made
        return [heading, f"{measured.shown} {measured.unit.value}  {site}"]
    made.sort(key=lambda pair: -pair[1].value)
    above = [(site, measured) for site, measured in made if measured.value > 0]
    lines = [
        f"{measured.shown} {measured.unit.value}  {site}" for site, measured in above[:_MOST_SITES]
    ]
    if len(above) > _MOST_SITES:
        smaller = len(above) - _MOST_SITES
        lines.append(f"less at {smaller} other site{'s' if smaller > 1 else ''}")
    if len(above) < len(made):
        lines.append(f"0 at {len(made) - len(above)} of {len(made)} sites")
    return [heading, *lines]


def _ligament_line(finding: Finding) -> str:
    """Gap and volume of a ligament's label; empty where neither was measured."""
    made = [
        f"{spoken(measured.name.value).removeprefix('structure ')} {measured.shown} "
        f"{measured.unit.value}"
        for name in (MeasurementName.STRUCTURE_GAP, MeasurementName.STRUCTURE_VOLUME)
        if (measured := finding.measurement(name)) is not None
    ]
    site = QUESTIONS[finding.question_id].region_name
    return f"{site}: {', '.join(made)}" if made else ""
