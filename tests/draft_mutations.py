"""Ways to spoil a clean draft; each yields answers that a check must catch."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from agents.checks.terms import NAMED_BESIDE
from knee.findings import UNITS
from knee.moaks import SCALES, Component, Feature, RuleBasis
from knee.questions import QUESTIONS
from tests.draft_cases import CASES, Case

STEPS = ("locate", "observe", "measure", "apply_scale", "conclude")
Mutator = Callable[[Case], Iterator[object]]

_OTHER_BONE = {"femur": "tibia", "femoral": "tibial", "tibia": "femur", "tibial": "femoral"}
_OTHER_PART = {
    "central": "posterior",
    "posterior": "anterior",
    "anterior": "posterior",
    "superior": "inferior",
    "trochlea": "posterior femur",
    "weight-bearing": "posterior",
    "subspinous": "lateral central",
}
_BONES = (Feature.BML, Feature.CARTILAGE, Feature.OSTEOPHYTE)
_WITH_PARTS = (*_BONES, Feature.MORPHOLOGY, Feature.EXTRUSION)
_LEAKS = (
    "This agrees with the clinician's grade.",
    "According to the reference standard this holds.",
    "The radiologist scored it alike.",
    "It was graded by the reader before.",
    "The ground truth says the same.",
    "That is the correct grade.",
    "The expected answer is known.",
)
_CONTROLS = ("\x00", "\x07", "\x1b", "\x7f", "\t", "\r", "\u202e", "\u200b", "\u2066", "\ufeff")
_DENIALS: dict[Feature, str] = {
    Feature.CARTILAGE: "No cartilage loss is seen here.",
    Feature.BML: "There is no bone marrow lesion.",
    Feature.OSTEOPHYTE: "There is no osteophyte at this site.",
    Feature.EXTRUSION: "The view shows no extrusion.",
    Feature.EFFUSION_SYNOVITIS: "No effusion can be seen.",
    Feature.ROOT_TEAR: "There is no root tear.",
    Feature.MORPHOLOGY: "The meniscus is normal.",
}
_CLAIMS: dict[Feature, str] = {
    Feature.CARTILAGE: "A clear cartilage defect is seen.",
    Feature.BML: "A large bone marrow lesion is visible.",
    Feature.OSTEOPHYTE: "A large osteophyte is seen.",
    Feature.EXTRUSION: "There is marked extrusion.",
    Feature.EFFUSION_SYNOVITIS: "A large effusion is seen.",
    Feature.ACL: "A complete tear of the anterior cruciate ligament is seen.",
}


def _with_text(case: Case, step: str, text: str) -> dict[str, Any]:
    answer = copy.deepcopy(case.answer)
    answer[step]["text"] = text
    return answer


def _swapped(case: Case, step: str, words: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yields the step with each occurrence of each word exchanged, one at a time."""
    text = str(case.answer[step]["text"])
    for match in re.finditer(
        rf"\b(?:{'|'.join(map(re.escape, words))})\b(?! out)", text, re.IGNORECASE
    ):
        other = words[match[0].lower()]
        yield _with_text(case, step, text[: match.start()] + other + text[match.end() :])


def wrong_side(case: Case) -> Iterator[object]:
    for step in STEPS:
        yield from _swapped(case, step, {"right": "left", "left": "right"})


def wrong_compartment(case: Case) -> Iterator[object]:
    if "medial" not in case.region and "lateral" not in case.region:
        return
    for step in STEPS:
        if "medial to lateral" in case.answer[step]["text"]:
            continue
        yield from _swapped(case, step, {"medial": "lateral", "lateral": "medial"})


def neighbour_part(case: Case) -> Iterator[object]:
    if case.question.feature in _WITH_PARTS:
        for step in ("locate", "conclude"):
            yield from _swapped(case, step, _OTHER_PART)


def other_bone(case: Case) -> Iterator[object]:
    if case.question.feature in _BONES:
        for step in STEPS:
            yield from _swapped(case, step, _OTHER_BONE)


def region_of_another(case: Case) -> Iterator[object]:
    """Names every other region of the same feature in `locate` and nothing else."""
    if case.question.feature not in _WITH_PARTS:
        return
    for other in QUESTIONS.values():
        if other.feature is case.question.feature and other != case.question:
            yield _with_text(case, "locate", f"The box holds the {other.region_name}.")


def other_feature(case: Case) -> Iterator[object]:
    for feature, claim in _CLAIMS.items():
        own = case.question.feature
        if feature is not own and feature not in NAMED_BESIDE.get(own, frozenset()):
            yield _with_text(case, "observe", claim)


def _values(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?=\s*(?:%|mm|mL|percent))", text))


def changed_number(case: Case) -> Iterator[object]:
    for step in ("measure", "apply_scale"):
        text = str(case.answer[step]["text"])
        for match in _values(text):
            for factor, shift in ((1.0, 0.7), (10.0, 0.0), (1.0, 13.0)):
                plain = match[0].replace(",", "")
                decimals = len(plain.partition(".")[2])
                changed = f"{float(plain) * factor + shift:.{max(decimals, 1)}f}"
                if float(changed) != float(plain):
                    yield _with_text(
                        case, step, text[: match.start()] + changed + text[match.end() :]
                    )


def number_of_another_item(case: Case) -> Iterator[object]:
    text = str(case.answer["measure"]["text"])
    own = {f"{m.shown}" for m in case.finding.measurements}
    for match in _values(text):
        for other in CASES:
            for m in other.finding.measurements:
                if float(m.shown) not in {float(value) for value in own}:
                    changed = text[: match.start()] + m.shown + text[match.end() :]
                    if changed != text:
                        yield _with_text(case, "measure", changed)


def swapped_unit(case: Case) -> Iterator[object]:
    text = str(case.answer["measure"]["text"])
    others = {"%": "mm", "percent": "mm", "mm": "%", "mL": "mm", "mm³": "mm"}
    for match in re.finditer(r"(?<=\d)\s*(mm³|mm|mL|%|percent)(?!\w)", text):
        for unit in (others[match[1]], "cm"):
            yield _with_text(
                case, "measure", f"{text[: match.start()]} {unit}{text[match.end() :]}"
            )


def dropped_unit(case: Case) -> Iterator[object]:
    text = str(case.answer["measure"]["text"])
    for match in re.finditer(r"(?<=\d)\s*(?:mm³|mm|mL|%|percent)(?!\w)", text):
        # An SD may go without its unit, and "6.1 ± 0.3 mm" writes one unit for both.
        is_sd = re.search(r"(?:sd|sd of|deviation|±) [\d.]*$", text[: match.start()])
        if not is_sd and not re.match(r" \(sd| ±", text[match.end() :]):
            yield _with_text(case, "measure", text[: match.start()] + text[match.end() :])


def grade_off_by_one(case: Case) -> Iterator[object]:
    """Moves a grade in `grades`, and in a second mutant in all texts as well."""
    for key, grade in case.grades.items():
        component = Component(key)
        scale = SCALES[case.question.feature, component]
        for other in (grade - 1, grade + 1):
            if other not in scale.grades or key in case.borderline:
                continue
            answer = copy.deepcopy(case.answer)
            answer["grades"][key] = other
            # Yes/no and named grades may stand in words that do not carry the number.
            if f"grade {grade}" in answer["conclude"]["text"] or scale.rule is not None:
                yield answer
            if (
                scale.rule is not None
                and scale.rule.basis is RuleBasis.MOAKS
                and _carried(case, key)
            ):
                everywhere = copy.deepcopy(answer)
                for step in STEPS:
                    everywhere[step]["text"] = re.sub(
                        rf"\bgrade {grade}\b", f"grade {other}", everywhere[step]["text"]
                    )
                yield everywhere


def _carried(case: Case, key: str) -> bool:
    return case.context.carrier(Component(key)) is not None


def grade_in_text_only(case: Case) -> Iterator[object]:
    for step in ("apply_scale", "conclude"):
        text = str(case.answer[step]["text"])
        for match in re.finditer(r"\bgrade (\d)\b(?! would)", text):
            changed = text[: match.start(1)] + str((int(match[1]) + 1) % 4) + text[match.end(1) :]
            answer = _with_text(case, step, changed)
            # Where two components share no word with the number, the other's grade may be meant.
            if len(case.grades) == 1 or step == "conclude":
                yield answer


def off_scale(case: Case) -> Iterator[object]:
    for key in case.grades:
        for wrong in (9, -1, 2.5, 1.0, "1", None, True):
            answer = copy.deepcopy(case.answer)
            answer["grades"][key] = wrong
            yield answer


def illegal_combination(case: Case) -> Iterator[object]:
    keys = set(case.grades)
    wrong: list[dict[str, int]] = []
    if {"size", "full_thickness"} <= keys:
        wrong += [{"size": 0, "full_thickness": 1}, {"size": 1, "full_thickness": 3}]
    if {"size", "number"} <= keys:
        wrong += [{"size": 0, "number": 2}, {"size": 2, "number": 0}]
    if "morphology" in keys:
        wrong.append({"morphology": 7})
    for grades in wrong:
        answer = copy.deepcopy(case.answer)
        answer["grades"].update(grades)
        yield answer


def shifted_box(case: Case) -> Iterator[object]:
    for n in range(6):
        for shift in (-1, 1, 7):
            answer = copy.deepcopy(case.answer)
            answer["locate"]["box"][n] += shift
            yield answer
    answer = copy.deepcopy(case.answer)
    i0, i1, j0, j1, k0, k1 = case.box
    answer["locate"]["box"] = [j0, j1, i0, i1, k0, k1]
    yield answer
    for words in (
        f"The box is {i0 + 1} {i1} {j0} {j1} {k0} {k1}.",
        f"Box [{i0}, {i1}, 0, 5, 1, 2].",
    ):
        yield _with_text(case, "locate", case.texts[0] + " " + words)


def slice_outside(case: Case) -> Iterator[object]:
    low, high = case.box[0], case.box[1]
    for words in (
        f"It is best seen on sagittal slice {high}.",
        f"See sagittal slices {low - 9} to {high - 1}.",
        f"Sagittal slice {low - 1} shows it.",
        "Slice 300 shows it.",
    ):
        yield _with_text(case, "observe", case.texts[1] + " " + words)


def missing_step(case: Case) -> Iterator[object]:
    for step in (*STEPS, "grades"):
        answer = copy.deepcopy(case.answer)
        del answer[step]
        yield answer


def reordered_steps(case: Case) -> Iterator[object]:
    for first, second in pairwise(STEPS):
        order = [*STEPS, "grades"]
        n = order.index(first)
        order[n], order[n + 1] = second, first
        yield {key: copy.deepcopy(case.answer)[key] for key in order}


def empty_step(case: Case) -> Iterator[object]:
    for step in STEPS:
        for text in ("", "  ", "...", "Seen."):
            yield _with_text(case, step, text)


def unknown_finding(case: Case) -> Iterator[object]:
    for name in ("lesion_area", "bml_volumes", "t2_value"):
        answer = copy.deepcopy(case.answer)
        answer["measure"]["cites"].append(name)
        yield answer
        yield _with_text(case, "measure", f"{case.texts[2]} The {name} agrees.")
    other = next(n for n in UNITS if n not in case.measured)
    answer = copy.deepcopy(case.answer)
    answer["measure"]["cites"].append(other.value)
    yield answer


def evidence_not_cited(case: Case) -> Iterator[object]:
    carriers = {c.name.value for k in case.asked if (c := case.context.carrier(k)) is not None}
    for name in carriers:
        answer = copy.deepcopy(case.answer)
        answer["measure"]["cites"].remove(name)
        yield answer


def contradiction(case: Case) -> Iterator[object]:
    feature, top = case.question.feature, max(case.grades.values())
    claim = _DENIALS.get(feature) if top > 0 else _CLAIMS.get(feature)
    if claim is not None:
        for step in ("observe", "conclude"):
            number = STEPS.index(step)
            yield _with_text(case, step, f"{case.texts[number]} {claim}")
            yield _with_text(case, step, f"{claim} {case.texts[number]}")


def copied_prompt(case: Case) -> Iterator[object]:
    for sentence in re.split(r"(?<=[.:])\s", case.context.prompt_text):
        words = sentence.split()
        # Lines of the scale may be repeated; instructions may not.
        if len(words) >= 20 and not re.match(r"(?:\w+: )?0 =", sentence) and "%" not in sentence:
            yield _with_text(case, "observe", f"{case.texts[1]} {' '.join(words[:40])}")


def leaked_label(case: Case) -> Iterator[object]:
    for step in ("observe", "conclude"):
        for words in _LEAKS:
            yield _with_text(case, step, f"{case.texts[STEPS.index(step)]} {words}")


def control_characters(case: Case) -> Iterator[object]:
    for character in _CONTROLS:
        yield _with_text(case, "measure", case.texts[2].replace(" ", f" {character}", 1))
        raw = json.dumps(case.answer, ensure_ascii=False)
        yield raw.replace(case.texts[1][:4], case.texts[1][:4] + character, 1)


def repetition(case: Case) -> Iterator[object]:
    yield _with_text(case, "observe", " ".join(["The finding is seen here."] * 5))
    yield _with_text(case, "observe", case.texts[1] + " and it is seen" * 12)


def wrong_form(case: Case) -> Iterator[object]:
    raw = json.dumps(case.answer)
    yield from (raw[:-1], f"Here it is: {raw}", "", "[]", "null", raw + raw, f"```json\n{raw}\n```")
    yield raw.replace('"grades":', '"grades": {}, "grades":')
    yield case.answer | {"note": "more"}
    answer = copy.deepcopy(case.answer)
    answer["observe"] = "a text"
    yield answer
    yield _with_text(case, "observe", "long " * 200)


MUTATORS: dict[str, Mutator] = {
    mutate.__name__: mutate
    for mutate in (
        wrong_side,
        wrong_compartment,
        neighbour_part,
        other_bone,
        region_of_another,
        other_feature,
        changed_number,
        number_of_another_item,
        swapped_unit,
        dropped_unit,
        grade_off_by_one,
        grade_in_text_only,
        off_scale,
        illegal_combination,
        shifted_box,
        slice_outside,
        missing_step,
        reordered_steps,
        empty_step,
        unknown_finding,
        evidence_not_cited,
        contradiction,
        copied_prompt,
        leaked_label,
        control_characters,
        repetition,
        wrong_form,
    )
}
"""Every kind of mutant."""
