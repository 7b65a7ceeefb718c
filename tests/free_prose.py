"""Drafts in free prose, written by hand apart from the reasoning grammar, over drawn findings.

Four parts in `tests/data` were written one after another, each after the checks had been mended for
the one before; the last one counts apart. A block is a region, the grades that the text is about,
the findings cited, and five steps; `{side}` and `{<measurement>}` are filled from findings drawn to
those grades, `{s0}` and `{s1}` from the box. Sides and values are drawn several times for each.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from agents.checks.context import CheckContext
from agents.demo_model.corpus import SHAPE
from agents.demo_model.grammar import DraftTask
from knee.anatomy import Side
from knee.calibration import rule_for
from knee.findings import (
    UNITS,
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
    Unit,
)
from knee.geometry import voxel_box
from knee.moaks import Component, Interval, RuleBasis
from knee.questions import Question, question_by_region
from tests.mutation_bases import SLICE_AXIS, STEPS, Base, demo_calibration, rendered_context

FIRST = Path(__file__).parent / "data" / "free_prose_first.txt"
"""Written beside the checks."""
LATER = Path(__file__).parent / "data" / "free_prose_later.txt"
"""Written after the first part passed, and read once before anything was mended."""
THIRD = Path(__file__).parent / "data" / "free_prose_third.txt"
"""The same after the second part was mended for."""
HELD_OUT = Path(__file__).parent / "data" / "free_prose_held_out.txt"
"""Written last; no check was changed after it was read."""
PARTS = (FIRST, LATER, THIRD, HELD_OUT)
"""In the order written."""
DRAWS = 2
"""Findings drawn for each block and side."""
_SD = {Unit.PERCENT: 0.4, Unit.MM: 0.1, Unit.ML: 0.11, Unit.MM3: 9.0, Unit.RATIO: 0.02}
_FREE: dict[MeasurementName, tuple[float, float]] = {
    MeasurementName.MEAN_THICKNESS: (1.1, 2.9),
    MeasurementName.MIN_THICKNESS: (0.2, 0.9),
    MeasurementName.BML_VOLUME: (120.0, 2400.0),
    MeasurementName.EFFUSION_DEPTH: (2.0, 9.0),
    MeasurementName.HOFFA_SIGNAL_SHARE: (2.0, 60.0),
    MeasurementName.MENISCUS_VOLUME: (1.4, 3.2),
    MeasurementName.MENISCUS_HEIGHT: (4.6, 7.9),
    MeasurementName.MENISCUS_PART_VOLUME: (0.3, 1.1),
    MeasurementName.MENISCUS_PART_HEIGHT: (3.4, 7.2),
    MeasurementName.STRUCTURE_VOLUME: (0.7, 2.4),
    MeasurementName.STRUCTURE_GAP: (1.6, 6.8),
    MeasurementName.SIGNAL_RATIO: (1.1, 2.4),
}


@dataclass(frozen=True)
class Block:
    """One draft with slots."""

    region: str
    """`<feature>:<site>`."""
    grades: dict[str, int]
    """What the text grades."""
    cites: tuple[str, ...]
    """Measurements cited."""
    texts: tuple[str, ...]
    """The five steps."""

    @property
    def question(self) -> Question:
        """The question."""
        return question_by_region(self.region)


def read_blocks(path: Path) -> list[Block]:
    """Returns the blocks of a file of free prose."""
    blocks: list[Block] = []
    for chunk in path.read_text(encoding="utf-8").split("# ")[1:]:
        head, *steps = chunk.strip().splitlines()
        region, grades, cites = (part.strip() for part in head.split("|"))
        texts = tuple(step.partition(" ")[2] for step in steps)
        assert len(texts) == len(STEPS), head
        pairs = (pair.split("=") for pair in grades.split())
        blocks.append(Block(region, {key: int(g) for key, g in pairs}, tuple(cites.split()), texts))
    return blocks


@lru_cache(maxsize=4)
def prose_bases(path: Path) -> tuple[Base, ...]:
    """Returns the drafts of a file: each block on both sides, `DRAWS` findings each."""
    return tuple(_bases(path))


def _bases(path: Path) -> Iterator[Base]:
    rng = Random(path.name)
    for n, block in enumerate(read_blocks(path)):
        for side in Side:
            for draw in range(DRAWS):
                context = _context(block, side, rng)
                name = f"{block.region}/{side.value}/{path.stem}{n + 1}.{draw}"
                yield Base(name, "prose", context, _filled(block, context))


def _context(block: Block, side: Side, rng: Random) -> CheckContext:
    i0, j0, k0 = (rng.randint(20, 70) for _ in range(3))
    box = voxel_box(
        i0, i0 + rng.randint(30, 60), j0, j0 + rng.randint(30, 60), k0, k0 + rng.randint(18, 40)
    )
    question = block.question
    finding = Finding(
        question_id=question.question_id,
        region=question.region,
        box=box,
        box_source=BoxSource.PARTITION,
        definition_id="test@1",
        measurements=tuple(_measurement(MeasurementName(c), block, rng) for c in block.cites),
        evidence=tuple(_evidence(component, block) for component in question.components),
    )
    asked = tuple(Component(key) for key in block.grades)
    return rendered_context(DraftTask(finding, side, asked, (), demo_calibration()))


def _measurement(name: MeasurementName, block: Block, rng: Random) -> Measurement:
    unit = UNITS[name]
    return Measurement(
        name=name,
        value=_value(name, block, rng),
        unit=unit,
        sd=_SD.get(unit),
        method="label map",
        definition_id="test@1",
    )


def _value(name: MeasurementName, block: Block, rng: Random) -> float:
    """A value that the block's grade has, at least three standard deviations from a cut-off."""
    for key, grade in block.grades.items():
        rule = rule_for(block.question.feature, Component(key), demo_calibration())
        if rule is not None and rule.measurement == name.value:
            interval = next(i for i in rule.intervals if i.grade == grade)
            return _inside(interval, UNITS[name], rng)
    if name is MeasurementName.STRUCTURE_GAP and block.grades.get("presence") == 0:
        return 0.0
    if name is MeasurementName.SURFACE_LOSS_SHARE:
        return rng.uniform(12.0, 70.0)  # shown for context: size is not asked
    low, high = _FREE[name]
    return rng.uniform(low, high)


def _inside(interval: Interval, unit: Unit, rng: Random) -> float:
    if interval.high == interval.low:
        return interval.low
    if unit is Unit.COUNT:
        return interval.low if interval.high is not None else interval.low + rng.randint(0, 2)
    high = interval.high
    if high is None:
        high = 99.0 if unit is Unit.PERCENT else interval.low * 1.8
    margin = 3 * _SD[unit]
    return rng.uniform(interval.low + margin, high - margin)


def _evidence(component: Component, block: Block) -> ComponentEvidence:
    rule = rule_for(block.question.feature, component, demo_calibration())
    measured = rule is not None and rule.measurement in block.cites
    return ComponentEvidence(
        component=component,
        level=EvidenceLevel.MEASURED if measured else EvidenceLevel.IMAGE,
        reason="test",
        measurement=MeasurementName(rule.measurement) if rule is not None and measured else None,
        rule_basis=RuleBasis.NONE if rule is None else rule.basis,
    )


def _filled(block: Block, context: CheckContext) -> dict[str, object]:
    assert context.finding.box is not None
    box = context.finding.box.indices
    slots = {
        "side": context.side,
        "Side": context.side.capitalize(),
        "s0": str(box[2 * SLICE_AXIS]),
        "s1": str(box[2 * SLICE_AXIS + 1] - 1),
    }
    for m in context.finding.measurements:
        slots[m.name.value] = m.shown
        if m.shown_sd is not None:
            slots[f"{m.name.value}.sd"] = m.shown_sd
    texts = [re.sub(r"\{([^}]+)\}", lambda match: slots[match[1]], text) for text in block.texts]
    answer: dict[str, object] = {
        step: {"text": text} for step, text in zip(STEPS, texts, strict=True)
    }
    answer["locate"] = {"text": texts[0], "box": list(box)}
    answer["measure"] = {"text": texts[2], "cites": list(block.cites)}
    answer["grades"] = dict(block.grades)
    assert SHAPE[SLICE_AXIS] > box[5]
    return answer
