"""Nothing is said of the patient: symptoms, age, cause, treatment, other scans, the future.

A draft knows one knee at one visit. What this check sees is a list of words for which a text on one
region has no use; a history in other words is the judge's (`no_history` in the rubric).
"""

import re

from agents.checks.context import Material, issue, quote
from knee.moaks import Feature
from knee.records import CheckIssue

_PERSON = (
    r"\b(?:he|she|his|her|hers|him)\b"
    r"|\b\d{1,3}[ -]?(?:years?|yrs?|y)[ /-]?(?:old|o\b)|\baged? \d|\b(?:man|woman|male|female)\b"
    r"|\b(?:athlete|obes\w+|overweight|bmi|person|owner|family|middle age|elderly|weight loss)\b"
)
_SYMPTOMS = (
    r"\b(?:pain\w*|ach(?:e|es|ing)|symptom\w*|tender\w*|stiff\w*|limp\w*|discomfort"
    r"|complain\w*|report(?:s|ed) "
    r"(?:pain|swelling|locking|giving)|clinically|on examination|giving way)\b"
)
_CAUSES = (
    r"\b(?:injur\w+|trauma\w*|accident\w*|mishap|twist(?:ed|ing) (?:of|injur\w*|the knee)"
    r"|sports?|sprain\w*|fall from"
    r"|osteoarthritis of long standing|long[- ]standing|known (?:oa|osteoarthritis))\b"
)
_CARE = (
    r"\b(?:surg(?:ery|ical\w*)|operat(?:ed|ion|ive\w*)|arthroscop\w+|treat(?:ed|ment)|physiotherap\w+|medication"
    r"|arthroplast\w+|meniscectom\w+|injection\w*|therap(?:y|ies))\b"
)
_OTHER_SCANS = (
    r"\b(?:previous(?:ly)?|prior|earlier|last|former|next|subsequent|baseline|follow-?up|repeat)\s+(?:\w+\s+)?(?:visit"
    r"|scans?|mri|mr|exam\w*|stud(?:y|ies)|images|imaging|radiographs?|x-?rays?)\b"
    r"|\b(?:compared (?:with|to)|since|unchanged (?:from|since)|than at|at) (?:the "
    r"|an? )?(?:baseline|previous|prior"
    r"|earlier|last|follow-?up)\b"
    r"|\b(?:has|have|had) (?:progressed|worsened|improved|healed|resolved)\b"
    r"|\bover (?:the )?(?:years|months|time)\b|\bfor (?:many )?(?:years|months|weeks)\b"
    r"|\b(?:last|next|past|previous) (?:year|winter|summer|month|week)|\bin the past\b"
    r"|\byears? before\b"
    r"|\bolder (?:pictures|images|scans)\b|\bno change (?:against|from|since)\b|\bby now\b"
    r"|\bcarried out\b"
    r"|\bhas become (?:larger|smaller|worse)\b|\bmay (?:be|become|get) worse\b|\bin youth\b"
    r"|\b(?:years|months|weeks) ago\b|\bradiographs?\b|\bx-?rays?\b"
)
_ANY = (_PERSON, _SYMPTOMS, _CAUSES, _OTHER_SCANS)
_HISTORY = re.compile("|".join((*_ANY, _CARE)))
_REPAIRED = re.compile("|".join(_ANY))
"""Of the anterior cruciate ligament MOAKS asks whether it was repaired."""


def check_history(material: Material) -> list[CheckIssue]:
    """Returns an issue for each step that tells of the patient or of another scan."""
    is_acl = material.context.question.feature is Feature.ACL
    pattern = _REPAIRED if is_acl else _HISTORY
    found: list[CheckIssue] = []
    if pattern.search(material.prose) is None:
        return found
    for step in material.steps:
        match = pattern.search(step.prose)
        if match is not None:
            message = f"{step.name.value}: {quote(match[0])}: say nothing of the patient's history"
            found.append(issue("history", "invented_history", message))
    return found
