"""An invented item of each question, to see a prompt without a store; no patient, no phantom."""

from knee.calibration import Calibration, rule_for
from knee.findings import (
    UNITS,
    BoxSource,
    ComponentEvidence,
    EvidenceLevel,
    Finding,
    Measurement,
    MeasurementName,
)
from knee.geometry import voxel_box
from knee.moaks import GradeRule
from knee.questions import Question
from knee.records import Wording
from prompts.context import PromptContext, prompt_context

_SHAPE = (384, 384, 160)
_BOX = (121, 186, 140, 222, 31, 74)
_SD_SHARE = 0.08


def sample_context(
    question: Question, wording: Wording, calibration: Calibration | None
) -> PromptContext:
    """Returns what a template may show of an invented item of a question.

    Every component is asked; each that has cut-offs gets a value of grade 1. Components without
    cut-offs have no measurement.
    """
    rules = [rule_for(question.feature, c, calibration) for c in question.components]
    made = {rule.measurement: rule for rule in rules if rule is not None}
    finding = Finding(
        question_id=question.question_id,
        region=question.region,
        box=voxel_box(*_BOX),
        box_source=BoxSource.PARTITION,
        definition_id="invented",
        measurements=tuple(_measurement(rule) for rule in made.values()),
        evidence=tuple(
            ComponentEvidence(component=c, level=EvidenceLevel.MEASURED, reason="invented")
            for c in question.components
        ),
    )
    return prompt_context(
        question,
        finding,
        question.components,
        side="right",
        sequence="dess",
        shape=_SHAPE,
        slice_axis=2,
        wording=wording,
        calibration=calibration,
    )


def _measurement(rule: GradeRule) -> Measurement:
    name = MeasurementName(rule.measurement)
    interval = next(i for i in rule.intervals if i.grade == 1)
    high = interval.low + 1 if interval.high is None else interval.high
    is_count = rule.unit == "count"
    value = interval.low if is_count else round((interval.low + high) / 2, 1)
    return Measurement(
        name=name,
        value=value,
        unit=UNITS[name],
        sd=None if is_count else round(_SD_SHARE * value, 2),
        method="invented, to show the prompt",
        definition_id="invented",
    )
