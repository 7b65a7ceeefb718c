"""Drafts spoiled in form, order, wording, or by saying two things at once."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, permutations
from random import Random

from agents.demo_model import phrases
from agents.demo_model.grammar import grade_task, measured_components
from knee.moaks import Feature
from tests.mutants_places import with_text
from tests.mutation_bases import STEPS, Base

LEAKS = (
    "This agrees with the clinician's grade.",
    "According to the reference standard this holds.",
    "The radiologist scored it alike.",
    "It was graded by the reader before.",
    "The ground truth says the same.",
    "That is the correct grade.",
    "The expected answer is known.",
    "The reader's score is the same.",
    "This matches the reference grade.",
    "The label is the same grade.",
    "As given by the expert, the lesion stays as it is.",
    "The gold standard reading agrees with this.",
    "In keeping with the known grade, nothing is changed.",
    "The MOAKS table lists the same value.",
    "The prompt asks for this grade.",
    "The instructions say so.",
    "My previous answer was the same.",
    "The rule-based grade is the same.",
    "The clinician gave this grade too.",
    "The target label fits this.",
    "The clinicians' consensus reading is identical.",
    "The annotation in the data set is the same.",
    "The MOAKS reader had called it so.",
    "The official read comes to the same grade.",
    "Human readers scored this region likewise.",
    "The stored grade for this item agrees.",
    "It was assigned this grade in the reading project.",
    "The released label supports this.",
    "The reference reader saw the same.",
    "This is the grade on record.",
    "The answer given in the task is the same.",
    "As the system message demands, the scale is applied.",
    "The task description asks for five steps.",
    "The grade provided by the radiologist is kept.",
    "The human grade is the same.",
)
"""Label talk that the patterns were made for."""
LATER_LEAKS = (
    "The reader of the study came to the same result for this lesion.",
    "Radiologists agreed on this grade.",
    "The truth is grade 2 as well.",
    "This is what the experts decided.",
    "The human reading is no different.",
    "It is the grade that was wanted.",
    "The scoring sheet has the same entry.",
    "The grade in the table is the same.",
    "As required by the user, the numbers are kept.",
    "The consensus grade is identical.",
    "The readers' file holds this value too.",
    "An independent reader would confirm it, and one did.",
    "My first attempt said otherwise.",
    "The question already contains the answer.",
    "The doctor's grade is alike.",
)
"""Written after the patterns were final; measured apart."""
_CONTROLS = (
    "\x00",
    "\x07",
    "\x1b",
    "\x7f",
    "\t",
    "\r",
    "\u202e",
    "\u200b",
    "\u2066",
    "\ufeff",
    "\ue000",
    "\u00ad",
)


def missing_step(base: Base) -> Iterator[object]:
    """A step, or the grades, left out."""
    for step in (*STEPS, "grades"):
        answer = copy.deepcopy(base.answer)
        del answer[step]
        yield answer


def reordered_steps(base: Base) -> Iterator[object]:
    """The steps in another order."""
    for first, second in pairwise(STEPS):
        order = list(STEPS)
        n = order.index(first)
        order[n], order[n + 1] = second, first
        yield {key: copy.deepcopy(base.answer)[key] for key in (*order, "grades")}
    for n, order in enumerate(permutations(STEPS)):
        if n % 17 == 5:
            yield {key: copy.deepcopy(base.answer)[key] for key in (*order, "grades")}


def empty_step(base: Base) -> Iterator[object]:
    """A step that says nothing."""
    for step in STEPS:
        for text in ("", "  ", "...", "Seen."):
            yield with_text(base, step, text)


def observe_denies_conclude(base: Base) -> Iterator[object]:
    """`observe` of a grammar draft finds nothing where something is graded, or the reverse."""
    task = base.task
    if task is None:
        return
    seen = grade_task(replace(task, asked=measured_components(task)))
    top = max(g.grade for g in seen)
    asked_top = max(base.grades.values())
    if top > 0 and asked_top == 0:
        return  # another component carries the finding: the observation may name it
    value = max(float(g.measurement.shown) for g in seen)
    said = {
        phrases.observe_text(base.feature, value if below else 0.0, 0 if top > 0 else 1, Random(n))
        for n in range(24)
        for below in (True, False)
    }
    for text in sorted(said):
        yield with_text(base, "observe", text)


def conclude_denies_observe(base: Base) -> Iterator[object]:
    """A sentence at the end of `observe` or `conclude` that says the opposite of the grades."""
    feature, grades = base.feature, base.grades
    if feature in (Feature.ACL, Feature.PCL):
        if "complete_tear" not in grades:
            return
        torn = grades["complete_tear"] > 0
        claims = ["There is no complete tear." if torn else "A complete tear is seen."]
    else:
        lost = base.context.measured.get("surface_loss_share")
        if feature is Feature.CARTILAGE and "size" not in grades and lost is not None:
            return  # loss that is measured and not asked may be named
        top = grades["presence"] if "presence" in grades else max(grades.values())
        claims = (_DENIALS if top > 0 else _AFFIRMATIONS).get(feature, [])
    for claim in claims:
        for step in ("observe", "conclude"):
            yield with_text(base, step, f"{base.text(step)} {claim}")
            yield with_text(base, step, f"{claim} {base.text(step)}")


_DENIALS: dict[Feature, list[str]] = {
    Feature.CARTILAGE: ["No cartilage loss is seen here."],
    Feature.BML: ["There is no bone marrow lesion."],
    Feature.OSTEOPHYTE: ["There is no osteophyte at this site."],
    Feature.EXTRUSION: ["The view shows no extrusion."],
    Feature.EFFUSION_SYNOVITIS: ["No effusion can be seen."],
    Feature.ROOT_TEAR: ["There is no root tear."],
    Feature.MORPHOLOGY: ["The meniscus is normal."],
    Feature.MENISCAL_CYST: ["No meniscal cyst is seen."],
    Feature.HYPERTROPHY: ["There is no hypertrophy."],
    Feature.PATELLAR_TENDON: ["No signal abnormality is seen."],
    Feature.HOFFA_SYNOVITIS: ["No hyperintensity of the fat pad is seen."],
}
_AFFIRMATIONS: dict[Feature, list[str]] = {
    Feature.CARTILAGE: ["A clear cartilage defect is seen."],
    Feature.BML: ["A large bone marrow lesion is visible."],
    Feature.OSTEOPHYTE: ["A large osteophyte is seen."],
    Feature.EXTRUSION: ["There is marked extrusion."],
    Feature.EFFUSION_SYNOVITIS: ["A large effusion is seen."],
    Feature.ROOT_TEAR: ["A root tear is seen."],
    Feature.MORPHOLOGY: ["A complex tear is seen."],
    Feature.MENISCAL_CYST: ["A meniscal cyst is seen."],
    Feature.HYPERTROPHY: ["A definite hypertrophy is seen."],
    Feature.PATELLAR_TENDON: ["A clear signal abnormality is seen."],
    Feature.HOFFA_SYNOVITIS: ["A marked hyperintensity is seen."],
}


def copied_prompt(base: Base) -> Iterator[object]:
    """Twenty-five and more words of the prompt's instructions or protocol, copied."""
    for sentence in re.split(r"(?<=[.:])\s", base.context.prompt_text):
        words = sentence.split()
        # Lines of the scale may be repeated; instructions may not.
        if len(words) >= 20 and not re.match(r"(?:\w+: )?0 =", sentence) and "%" not in sentence:
            text = " ".join(words[:32]).replace("{", "").replace("}", "")
            for step in ("observe", "conclude"):
                yield with_text(base, step, f"{base.text(step)} {text}"[:600])


def leaked_label(base: Base) -> Iterator[object]:
    """Talk of a reader's grade, a reference, the prompt."""
    for step in ("observe", "apply_scale", "conclude"):
        for words in LEAKS:
            yield with_text(base, step, f"{base.text(step)} {words}")


def leaked_label_later(base: Base) -> Iterator[object]:
    """The same in words that were written after the patterns."""
    for step in ("observe", "conclude"):
        for words in LATER_LEAKS:
            yield with_text(base, step, f"{base.text(step)} {words}")


def control_characters(base: Base) -> Iterator[object]:
    """Control, format, private-use characters, raw and escaped."""
    raw = json.dumps(base.answer, ensure_ascii=False)
    for character in _CONTROLS:
        yield with_text(base, "measure", base.text("measure").replace(" ", f" {character}", 1))
        start = base.text("observe")[:4]
        yield raw.replace(start, start + character, 1)
        escaped = f"\\u{ord(character):04x}"
        yield raw.replace(start, start + escaped, 1)


def repetition(base: Base) -> Iterator[object]:
    """A sentence or a run of words over and over."""
    observe = base.text("observe")
    yield with_text(base, "observe", " ".join(["The finding is seen here."] * 5))
    yield with_text(base, "observe", (observe + " and it is seen" * 12)[:600])
    yield with_text(base, "conclude", f"{base.text('conclude')} {'So it stands as said. ' * 3}")


def wrong_form(base: Base) -> Iterator[object]:
    """No JSON object, or one of another form."""
    raw = json.dumps(base.answer)
    yield from (raw[:-1], f"Here it is: {raw}", "", "[]", "null", raw + raw, f"```json\n{raw}\n```")
    yield raw.replace('"grades":', '"grades": {}, "grades":')
    yield base.answer | {"note": "more"}
    answer = copy.deepcopy(base.answer)
    answer["observe"] = "a text"
    yield answer
    yield with_text(base, "observe", "long " * 200)
