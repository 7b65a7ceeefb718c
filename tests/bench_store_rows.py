"""Rows for `make bench-store`: a made-up cohort of any size and the drafts of a run over it.

Nothing here is measured on anything. Sentences are drawn from a large pool of made-up prose with
numbers and words that vary, so that texts compress about as English does, not as templates do.
An item is described once (`DraftedItem`); `outcome_of` makes the record that `generate` would keep,
`tables_of` the same rows as Arrow tables, a hundred times as fast. A test holds the two together.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import accumulate
from random import Random
from typing import Any, Final, NamedTuple

import pyarrow as pa

from knee.answers import Draft, Step, StepName
from knee.findings import EvidenceLevel
from knee.grades import GradeStatus
from knee.keys import content_hash
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import (
    Attempt,
    CheckIssue,
    CheckSeverity,
    ComponentComparison,
    ComponentStatus,
    ItemOutcome,
    ItemState,
    PromptRef,
    Usage,
)
from store.answer_text import TextForm
from store.arrow_rows import BOX, GRADES, TEXT, Row, Table, arrow
from store.outcome_rows import (
    ATTEMPTS,
    OUTCOME_COMPONENTS,
    OUTCOMES,
    QUINTUPLES,
    STEP,
)

SEED: Final = 494_140
DRAFTED: Final = tuple(q for q, question in QUESTIONS.items() if question.has_region)
"""The 62 questions that have a region."""
PROMPTS: Final = tuple(
    (PromptRef(prompt_id=name, version=1, sha256=content_hash(text)), text)
    for name, text in (("draft-measured", "Look at {{ region }}."), ("draft", "See {{ region }}."))
)
GATES: Final = ("schema@1", "numbers@2", "compare@1")
CODES: Final = (
    *("number_not_in_findings", "grade_not_from_measurement", "wrong_side", "wrong_region"),
    *("step_missing", "box_differs", "unit_missing", "label_leak"),
)
"""Codes of rejected items, the first ones more often."""
GRADE_WEIGHTS: Final = (0.72, 0.16, 0.08, 0.04)
"""How often a clinician gave 0, 1, 2, 3, about as in the released data set."""
MISSING_SHARE: Final = 0.03
ATTEMPTS_AN_ITEM: Final = 1.6
_STEP_NAMES = [name.value for name in StepName]
_SENTENCES = 200_000
_SENTENCES_A_STEP = 5
_WORDS = 4_000
_NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - the store keeps UTC without a zone
_SAMPLING: Final[dict[str, float | int | str]] = {"temperature": 0.7, "max_tokens": 640, "seed": 7}
_CITES = ("bml_volume_share", "bml_count")


class DraftedAttempt(NamedTuple):
    """One call to the drafter."""

    texts: tuple[str, ...]
    """Of the five steps; ASCII without quotes or backslashes."""
    box: tuple[int, ...]
    """Voxel box."""
    grades: dict[str, int]
    """Component to grade, in MOAKS' order."""
    prompt_no: int
    """Index into `PROMPTS`."""
    usage: tuple[int, int, float]
    """Prompt tokens, completion tokens, seconds."""
    code: str | None
    """What a check found; None when the draft passed."""


class DraftedItem(NamedTuple):
    """How one item ended."""

    run_id: str
    volume_id: str
    question_id: int
    state: ItemState
    codes: tuple[str, ...]
    attempts: tuple[DraftedAttempt, ...]
    clinician: tuple[int | None, ...]
    """The clinician's grade of each component; None when it is missing."""


@cache
def sentences() -> list[str]:
    """Returns the pool: about 105 characters each, words of skewed frequency, varied numbers."""
    rng = Random(SEED)
    words = sorted(
        {"".join(rng.choices("etaoinshrdlucmfwypvbgk", k=2 + i % 9)) for i in range(_WORDS)}
    )
    rng.shuffle(words)
    weights = list(accumulate(1 / (rank + 8) for rank in range(len(words))))
    pool: list[str] = []
    for _ in range(_SENTENCES):
        chosen = rng.choices(words, cum_weights=weights, k=16)
        chosen[rng.randrange(3, 14)] = f"{rng.random() * 60:.1f} %"
        pool.append(" ".join(chosen).capitalize() + ".")
    return pool


def findings_id(volume_id: str) -> str:
    """Returns the id of a volume's only findings."""
    return content_hash(f"findings of {volume_id}")


def clinician_of(volume_id: str) -> dict[int, tuple[int | None, ...]]:
    """Returns the clinician's grade of each component by question; None for a missing one."""
    rng = Random(f"{SEED} {volume_id}")
    rows: dict[int, tuple[int | None, ...]] = {}
    for number, question in QUESTIONS.items():
        drawn: list[int | None] = []
        for component in question.components:
            grades = question.scale(component).grades
            grade = rng.choices(range(4), weights=GRADE_WEIGHTS)[0]
            missing = len(drawn) > 0 and rng.random() < MISSING_SHARE
            drawn.append(None if missing else grades[min(grade, len(grades) - 1)])
        rows[number] = tuple(drawn)
    return rows


def drafted_items(
    run_id: str, volume_ids: Sequence[str], *, accepted: bool = True
) -> Iterator[DraftedItem]:
    """Yields all 62 items of volumes, accepted ones, or ones that ended otherwise."""
    pool = sentences()
    for volume_id in volume_ids:
        rng = Random(f"{SEED} {run_id} {volume_id}")
        clinician = clinician_of(volume_id)
        for question_id in DRAFTED:
            state = ItemState.ACCEPTED if accepted else _other_state(rng)
            yield _item(rng, pool, (run_id, volume_id, question_id, state), clinician[question_id])


def _other_state(rng: Random) -> ItemState:
    states = (ItemState.REJECTED, ItemState.DISAGREES, ItemState.FAILED)
    return rng.choices(states, weights=(60, 35, 5))[0]


def _item(
    rng: Random,
    pool: list[str],
    key: tuple[str, str, int, ItemState],
    clinician: tuple[int | None, ...],
) -> DraftedItem:
    run_id, volume_id, question_id, state = key
    if state is ItemState.FAILED:
        return DraftedItem(run_id, volume_id, question_id, state, ("timeout",), (), clinician)
    n_attempts = rng.choices((1, 2, 3), weights=(55, 30, 15))[0]  # 1.6 on average
    i, j, k = rng.randrange(300), rng.randrange(300), rng.randrange(100)
    box = (i, i + rng.randrange(9, 80), j, j + rng.randrange(9, 80), k, k + rng.randrange(4, 50))
    components = QUESTIONS[question_id].components
    grades = {
        c.value: grade for c, grade in zip(components, clinician, strict=True) if grade is not None
    }
    codes: tuple[str, ...] = ()
    if state is ItemState.REJECTED:
        codes = tuple(dict.fromkeys(_code(rng) for _ in range(rng.choice((1, 1, 2)))))
    elif state is ItemState.DISAGREES:
        codes = ("grade_differs",)
        first = components[0]
        legal = QUESTIONS[question_id].scale(first).grades
        grades[first.value] = legal[(legal.index(grades[first.value]) + 1) % len(legal)]
    attempts: list[DraftedAttempt] = []
    for number in range(1, n_attempts + 1):
        passes = number == n_attempts and state is not ItemState.REJECTED
        attempts.append(
            DraftedAttempt(
                texts=_texts(rng, pool),
                box=box,
                grades=grades,
                prompt_no=int(rng.random() < 0.2),
                usage=(
                    rng.randrange(500, 1500),
                    rng.randrange(500, 900),
                    round(rng.lognormvariate(1.0, 0.4), 3),
                ),
                code=None if passes else _code(rng),
            )
        )
    return DraftedItem(run_id, volume_id, question_id, state, codes, tuple(attempts), clinician)


def _code(rng: Random) -> str:
    return CODES[min(int(rng.expovariate(0.6)), len(CODES) - 1)]


def _texts(rng: Random, pool: list[str]) -> tuple[str, ...]:
    drawn = rng.choices(pool, k=5 * _SENTENCES_A_STEP)
    return tuple(
        f"At {rng.random() * 30:.2f} mm " + " ".join(drawn[first : first + _SENTENCES_A_STEP])
        for first in range(0, len(drawn), _SENTENCES_A_STEP)
    )


def outcome_of(item: DraftedItem) -> ItemOutcome:
    """Returns the record that a run keeps of an item."""
    return ItemOutcome(
        run_id=item.run_id,
        volume_id=item.volume_id,
        question_id=item.question_id,
        findings_id=findings_id(item.volume_id),
        state=item.state,
        codes=item.codes,
        attempts=tuple(_attempt(item, n, a) for n, a in enumerate(item.attempts, 1)),
        components=tuple(_comparisons(item)),
        gates=GATES,
        error="no answer within 60 s" if item.state is ItemState.FAILED else None,
    )


def _attempt(item: DraftedItem, number: int, given: DraftedAttempt) -> Attempt:
    steps = [
        Step(
            name=StepName(name),
            text=text,
            box=given.box if name == "locate" else None,  # pyright: ignore[reportArgumentType]
            cites=_CITES if name == "measure" else (),
        )
        for name, text in zip(_STEP_NAMES, given.texts, strict=True)
    ]
    return Attempt(
        attempt_no=number,
        prompt=PROMPTS[given.prompt_no][0],
        prompt_text_sha256=_prompt_text(item, number),
        model="bench-model",
        sampling=_SAMPLING,
        usage=Usage(
            prompt_tokens=given.usage[0],
            completion_tokens=given.usage[1],
            latency_s=given.usage[2],
        ),
        finish_reason="stop",
        text=_answer(given),
        draft=Draft(
            steps=tuple(steps), grades={Component(name): g for name, g in given.grades.items()}
        ),
        issues=()
        if given.code is None
        else (
            CheckIssue(
                check="numbers",
                version=2,
                code=given.code,
                severity=CheckSeverity.FAIL,
                message=f"{given.code} in step measure",
            ),
        ),
    )


def _comparisons(item: DraftedItem) -> Iterator[ComponentComparison]:
    drafted = item.attempts[-1].grades if item.attempts else {}
    for component, grade in zip(
        QUESTIONS[item.question_id].components, item.clinician, strict=True
    ):
        read = grade is not None
        yield ComponentComparison(
            component=component,
            status=ComponentStatus.GRADED if read else ComponentStatus.UNLABELLED,
            draft_grade=drafted.get(component.value),
            clinician_grade=grade,
            clinician_status=GradeStatus.READ if read else GradeStatus.MISSING,
            evidence=EvidenceLevel.MEASURED,
        )


def _prompt_text(item: DraftedItem, number: int) -> str:
    return content_hash(f"{item.volume_id} {item.question_id} {number}")


def _answer(given: DraftedAttempt) -> str:
    parts = [f'"{n}": {{"text": "{t}"' for n, t in zip(_STEP_NAMES, given.texts, strict=True)]
    parts[0] += f', "box": [{", ".join(map(str, given.box))}]'
    parts[2] += ', "cites": ["' + '", "'.join(_CITES) + '"]'
    grades = ", ".join(f'"{name}": {grade}' for name, grade in given.grades.items())
    return "{" + "}, ".join(parts) + '}, "grades": {' + grades + "}}"


def _content_sha256(item: DraftedItem) -> str:
    """`store.outcome_rows.outcome_hash` of `outcome_of(item)`, written out by hand."""
    attempts = ",".join(_attempt_json(item, n, a) for n, a in enumerate(item.attempts, 1))
    codes = ",".join(f'"{code}"' for code in item.codes)
    gates = ",".join(f'"{gate}"' for gate in GATES)
    drafted = item.attempts[-1].grades if item.attempts else {}
    compared: list[str] = []
    for component, grade in zip(
        QUESTIONS[item.question_id].components, item.clinician, strict=True
    ):
        status, read = ("graded", "read") if grade is not None else ("unlabelled", "missing")
        compared.append(
            f'{{"component":"{component.value}","status":"{status}",'
            f'"draft_grade":{_null(drafted.get(component.value))},'
            f'"clinician_grade":{_null(grade)},"clinician_status":"{read}","evidence":"measured"}}'
        )
    error = '"no answer within 60 s"' if item.state is ItemState.FAILED else "null"
    text = (
        f'{{"run_id":"{item.run_id}","volume_id":"{item.volume_id}",'
        f'"question_id":{item.question_id},"findings_id":"{findings_id(item.volume_id)}",'
        f'"state":"{item.state.value}","codes":[{codes}],"attempts":[{attempts}],'
        f'"components":[{",".join(compared)}],"gates":[{gates}],"error":{error}}}'
    )
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _attempt_json(item: DraftedItem, number: int, given: DraftedAttempt) -> str:
    prompt = PROMPTS[given.prompt_no][0]
    sampling = ",".join(f'"{name}":{value}' for name, value in _SAMPLING.items())
    steps = ",".join(
        f'{{"name":"{name}","text":"{text}","box":'
        + (f"[{','.join(map(str, given.box))}]" if name == "locate" else "null")
        + (',"cites":["' + '","'.join(_CITES) + '"]}' if name == "measure" else ',"cites":[]}')
        for name, text in zip(_STEP_NAMES, given.texts, strict=True)
    )
    grades = ",".join(f'"{name}":{grade}' for name, grade in given.grades.items())
    issues = ""
    if given.code is not None:
        issues = (
            f'{{"check":"numbers","version":2,"code":"{given.code}","severity":"fail",'
            f'"message":"{given.code} in step measure"}}'
        )
    answer = _answer(given).replace('"', '\\"')
    return (
        f'{{"attempt_no":{number},"prompt":{{"prompt_id":"{prompt.prompt_id}",'
        f'"version":{prompt.version},"sha256":"{prompt.sha256}"}},'
        f'"prompt_text_sha256":"{_prompt_text(item, number)}","model":"bench-model",'
        f'"sampling":{{{sampling}}},"usage":{{"prompt_tokens":{given.usage[0]},'
        f'"completion_tokens":{given.usage[1]},"latency_s":{given.usage[2]}}},'
        f'"finish_reason":"stop","text":"{answer}","draft":{{"steps":[{steps}],'
        f'"grades":{{{grades}}}}},"issues":[{issues}],"grade_changed":false}}'
    )


def _null(value: int | None) -> str:
    return "null" if value is None else str(value)


def tables_of(items: Sequence[DraftedItem]) -> dict[str, Table]:
    """Returns the rows of items by table, as the writer makes them of their outcomes."""
    keys = [(item.run_id, item.volume_id, item.question_id) for item in items]
    outcomes = [
        {
            **_key(item),
            "findings_id": findings_id(item.volume_id),
            "state": item.state.value,
            "codes": list(item.codes),
            "gates": list(GATES),
            "complete": None not in item.clinician,
            "error": "no answer within 60 s" if item.state is ItemState.FAILED else None,
            "n_attempts": len(item.attempts),
            "content_sha256": _content_sha256(item),
            "recorded_at": _NOW,
        }
        for item in items
    ]
    components: list[Row] = []
    for item in items:
        drafted = item.attempts[-1].grades if item.attempts else {}
        names = QUESTIONS[item.question_id].components
        for position, (name, grade) in enumerate(zip(names, item.clinician, strict=True)):
            components.append(
                {
                    **_key(item),
                    "position": position,
                    "component": name.value,
                    "status": "unlabelled" if grade is None else "graded",
                    "draft_grade": drafted.get(name.value),
                    "clinician_grade": grade,
                    "clinician_status": "missing" if grade is None else "read",
                    "evidence": "measured",
                }
            )
    quintuples = [
        {
            **_key(item),
            "attempt_no": len(item.attempts),
            "findings_id": findings_id(item.volume_id),
            "components_scored": list(item.attempts[-1].grades),
            "complete": None not in item.clinician,
            "synthetic": True,
            "recorded_at": _NOW,
        }
        for item in items
        if item.state is ItemState.ACCEPTED
    ]
    assert len(keys) == len(outcomes)
    return {
        "outcomes": arrow(outcomes, OUTCOMES),
        "outcome_components": arrow(components, OUTCOME_COMPONENTS),
        "attempts": _attempts_table(items),
        "quintuples": arrow(quintuples, QUINTUPLES),
    }


def _key(item: DraftedItem) -> Row:
    return {
        "run_id": item.run_id,
        "volume_id": item.volume_id,
        "question_id": item.question_id,
    }


def _attempts_table(items: Sequence[DraftedItem]) -> Table:
    rows = [(item, n, a) for item in items for n, a in enumerate(item.attempts, 1)]
    given = [attempt for _, _, attempt in rows]
    n_rows = len(rows)
    prompts = [PROMPTS[attempt.prompt_no][0] for attempt in given]
    columns: dict[str, Any] = {
        "run_id": [item.run_id for item, _, _ in rows],
        "volume_id": [item.volume_id for item, _, _ in rows],
        "question_id": [item.question_id for item, _, _ in rows],
        "attempt_no": [n for _, n, _ in rows],
        "prompt_id": [prompt.prompt_id for prompt in prompts],
        "prompt_version": [prompt.version for prompt in prompts],
        "prompt_sha256": [prompt.sha256 for prompt in prompts],
        "prompt_text_sha256": [_prompt_text(item, n) for item, n, _ in rows],
        "model": ["bench-model"] * n_rows,
        "temperature": [0.7] * n_rows,
        "top_p": [None] * n_rows,
        "max_tokens": [640] * n_rows,
        "seed": [7] * n_rows,
        "sampling_other": [[]] * n_rows,
        "prompt_tokens": [attempt.usage[0] for attempt in given],
        "completion_tokens": [attempt.usage[1] for attempt in given],
        "latency_s": [attempt.usage[2] for attempt in given],
        "finish_reason": ["stop"] * n_rows,
        "parsed": [True] * n_rows,
        "text": [None] * n_rows,
        "text_form": [TextForm.SPACED_ASCII.value] * n_rows,
        "grades": [attempt.grades for attempt in given],
        "issues": [
            []
            if attempt.code is None
            else [
                {
                    "check": "numbers",
                    "version": 2,
                    "code": attempt.code,
                    "severity": "fail",
                    "message": f"{attempt.code} in step measure",
                }
            ]
            for attempt in given
        ],
        "passed": [attempt.code is None for attempt in given],
        "grade_changed": [False] * n_rows,
    }
    arrays = {name: pa.array(values, ATTEMPTS.field(name).type) for name, values in columns.items()}
    arrays["steps"] = _steps_array(given)
    return pa.table({name: arrays[name] for name in ATTEMPTS.names}, schema=ATTEMPTS)


def _steps_array(given: Sequence[DraftedAttempt]) -> Any:  # noqa: ANN401 - pyarrow has no types
    n_steps = 5 * len(given)
    boxes: list[Any] = []
    cites: list[tuple[str, ...]] = []
    for attempt in given:
        boxes += [dict(zip(("i0", "i1", "j0", "j1", "k0", "k1"), attempt.box, strict=True))]
        boxes += [None] * 4
        cites += [(), (), _CITES, (), ()]
    values = pa.StructArray.from_arrays(
        [
            pa.array(_STEP_NAMES * len(given), TEXT),
            pa.array([text for attempt in given for text in attempt.texts], TEXT),
            pa.array(boxes, BOX),
            pa.array(cites, pa.list_(TEXT)),
        ],
        fields=list(STEP),
    )
    return pa.ListArray.from_arrays(pa.array(range(0, n_steps + 1, 5), pa.int32()), values)


assert GRADES.num_fields >= 1
