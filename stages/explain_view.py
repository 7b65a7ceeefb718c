"""What `explain` shows of an item, as plain values for the page, the terminal and `--json`."""

from collections.abc import Iterator
from typing import Any

from knee.discordance import discordant_components
from knee.findings import Finding
from knee.grades import ClinicianGrade
from knee.judgement import Judgement
from knee.moaks import Component
from knee.questions import N_WITH_REGION
from knee.records import Attempt, CheckIssue, ComponentStatus, Control, Grounding, ItemState
from prompts.question_text import question_text
from stages.controls import DISCORDANT
from stages.explained_item import ExplainedItem, SentPrompt
from stages.look_words import question_title, spoken
from store.item_history import VerdictEntry

View = dict[str, Any]
"""Plain values by name; the template and the words read the same ones."""


def item_view(found: ExplainedItem) -> View:
    """Returns everything that is shown of an item, the picture aside."""
    volume, question = found.volume, found.question
    outcome = None if found.history is None else found.history.outcome
    asked = () if found.item is None else found.item.asked
    wording = None if found.run is None else found.run.wording
    text = (
        None
        if question.question_id > N_WITH_REGION or wording is None
        else question_text(question.question_id, wording, asked or question.components)
    )
    return {
        "item": f"{volume.volume_id}#{question.question_id}",
        "title": question_title(question),
        "question": text,
        "state": found.state.value,
        "why": " ".join(_why(found)),
        "warnings": list(_warnings(found)),
        "finding": None if found.item is None else _finding_view(found.item.finding),
        "comparison": list(_comparison(found)),
        "attempts": [
            _attempt_view(attempt, found.prompts[n] if n < len(found.prompts) else None)
            for n, attempt in enumerate(found.attempts)
        ],
        "to_send": _prompt_view(found.prompts[0]) if found.prompts and outcome is None else None,
        "error": None if outcome is None else outcome.error,
        "verdicts": [
            _verdict_view(entry) for entry in (found.history.verdicts if found.history else ())
        ],
        "provenance": list(_provenance(found)),
    }


def _why(found: ExplainedItem) -> Iterator[str]:
    """Yields why the item is in its state, in sentences."""
    history, state = found.history, found.state
    outcome = None if history is None else history.outcome
    if outcome is not None:
        codes = history.verdicts[-1].codes if history and history.verdicts else outcome.codes
        yield _ENDS[state]
        if codes:
            yield f"Reasons: {', '.join(dict.fromkeys(codes))}."
        if outcome.error:
            yield outcome.error.splitlines()[0]
        return
    if found.volume.status != "ready":
        yield f"Nothing was drafted: the volume could not be described ({found.volume.reason})."
        return
    yield from _why_not_drafted(found, state)


_ENDS = {
    ItemState.ACCEPTED: "The last attempt passed every gate.",
    ItemState.REJECTED: "A check or the judge refused the last attempt.",
    ItemState.DISAGREES: "The draft is sound and grades otherwise than the clinician: terminal, "
    "nothing is fed back (RULES 5).",
    ItemState.FAILED: "Infrastructure, after all retries: nothing is said of a draft.",
}


_STALE = {
    "verdict": "a recheck says otherwise",
    "findings": "the volume was described anew",
    "clinician_grade": "the clinician's table changed",
}
"""What `v_quintuples.stale_reasons` says, in words."""


def _why_not_drafted(found: ExplainedItem, state: ItemState) -> Iterator[str]:
    if state is ItemState.NO_REGION:
        yield "Nothing was drafted: the question has no region in this label map."
    elif state is ItemState.UNLABELLED:
        yield "Nothing was drafted: no clinician's grade to compare with."
        if not found.grades:
            yield "The knee-visit is in no table."
        for grade in found.grades:
            yield f"{spoken(grade.component.value).capitalize()}: {spoken(grade.status.value)}."
    elif state is ItemState.NO_EVIDENCE:
        yield "Nothing was drafted: what the clinician read has no evidence that a text can cite."
        evidence = found.item.finding.evidence if found.item else ()
        for entry in evidence:
            yield f"{spoken(entry.component.value).capitalize()}: {entry.reason}."
    else:
        yield f"Not drafted yet: {_what_it_waits_for(found)}."


def _what_it_waits_for(found: ExplainedItem) -> str:
    """Returns why an item with evidence and a clinician's grade is still pending."""
    history = found.history
    if found.run is None or found.item is None:
        return "the store has no run"
    if history is None or history.state is None:
        return f"run {found.run.run_id} does not hold this volume"
    if history.outside_quotas:
        return "it is outside the quotas by which the run's items were chosen"
    if found.run.grounding is Grounding.LABEL_GIVEN and discordant_components(found.item):
        return DISCORDANT
    if found.run.control is not Control.NONE:
        return "the run has not come to it, or its control has nothing to show in its place"
    return "the run has not come to it; the same `generate` goes on"


def _warnings(found: ExplainedItem) -> Iterator[str]:
    if found.volume.synthetic:
        yield "Synthetic: a phantom or a painted image; it says nothing about patients."
    if found.run is not None and found.run.control is not Control.NONE:
        yield (
            f"A negative control ({found.run.control.value}): the drafter did not see what belongs "
            "to this item."
        )
    stale = found.history.stale_reasons if found.history else None
    if stale:
        reasons = "; ".join(_STALE.get(reason, reason) for reason in stale)
        yield f"The quintuple is stale and is not exported: {reasons}."


def _finding_view(finding: Finding) -> View:
    return {
        "region": finding.region,
        "box": None if finding.box is None else list(finding.box.indices),
        "box_source": None if finding.box_source is None else finding.box_source.value,
        "box_reason": finding.box_reason,
        "truncated": finding.truncated,
        "definition": finding.definition_id,
        "measurements": [
            {
                "name": m.name.value,
                "value": m.shown,
                "sd": m.shown_sd,
                "unit": m.unit.value,
                "method": m.method,
                "definition": m.definition_id,
            }
            for m in finding.measurements
        ],
        "evidence": [
            {
                "component": e.component.value,
                "level": e.level.value,
                "reason": e.reason,
                "measurement": None if e.measurement is None else e.measurement.value,
                "rule_grade": e.rule_grade,
                "rule_basis": e.rule_basis.value,
                "borderline": e.borderline,
            }
            for e in finding.evidence
        ],
    }


def _comparison(found: ExplainedItem) -> Iterator[View]:
    """Yields every component: the draft's grade, the clinician's, and where that was read."""
    outcome = None if found.history is None else found.history.outcome
    compared = {c.component: c for c in outcome.components} if outcome else {}
    current = {grade.component: grade for grade in found.grades}
    for component in found.question.components:
        grade, then = current.get(component), compared.get(component)
        clinician = then.clinician_grade if then else (grade.grade if grade else None)
        draft = then.draft_grade if then else None
        status = _status(then.clinician_status.value if then and then.clinician_status else None)
        if then is None:
            status = _status(grade.status.value if grade else None)
        asked = _asked(found, component) if then is None else then.status is ComponentStatus.GRADED
        yield {
            "component": component.value,
            "scale": found.question.scale(component).scale_type.value,
            "asked": asked,
            "draft": draft,
            "clinician": clinician,
            "status": status,
            "agrees": None if None in (draft, clinician) or not asked else draft == clinician,
            "meaning": None
            if clinician is None
            else found.question.scale(component).wording.get(clinician),
            "read_in": None if grade is None else _source(grade),
            "changed_since": then is not None
            and grade is not None
            and (grade.grade, grade.status) != (then.clinician_grade, then.clinician_status),
        }


def _status(name: str | None) -> str:
    """Returns the status in words: missing is never 0."""
    return "in no table" if name is None else spoken(name)


def _asked(found: ExplainedItem, component: Component) -> bool:
    return found.item is not None and component in found.item.asked


def _source(grade: ClinicianGrade) -> str:
    lines = ", ".join(str(line) for line in grade.lines)
    raw = " | ".join(repr(cell) for cell in grade.raw)
    return f"{grade.file}, line {lines}, {grade.variable}: {raw}"


def _attempt_view(attempt: Attempt, sent: SentPrompt | None) -> View:
    usage = attempt.usage
    return {
        "number": attempt.attempt_no,
        "passed": attempt.passed,
        "grade_changed": attempt.grade_changed,
        "prompt": f"{attempt.prompt.prompt_id} v{attempt.prompt.version}",
        "prompt_sha256": attempt.prompt.sha256,
        "prompt_text_sha256": attempt.prompt_text_sha256,
        "model": attempt.model,
        "sampling": ", ".join(f"{k} {v}" for k, v in attempt.sampling.items()),
        "tokens": f"{usage.prompt_tokens} sent, {usage.completion_tokens} generated",
        "latency_s": round(usage.latency_s, 2),
        "finish_reason": attempt.finish_reason,
        "text": attempt.text,
        "steps": [
            {
                "name": spoken(step.name.value),
                "text": step.text,
                "box": None if step.box is None else list(step.box),
                "cites": list(step.cites),
            }
            for step in (attempt.draft.steps if attempt.draft else ())
        ],
        "grades": None
        if attempt.draft is None
        else {c.value: grade for c, grade in attempt.draft.grades.items()},
        "issues": [_issue_view(issue) for issue in attempt.issues],
        "sent": None if sent is None else _prompt_view(sent),
    }


def _prompt_view(sent: SentPrompt) -> View:
    return {
        "messages": [
            {
                **message.model_dump(exclude={"images"}),
                "images": [image.model_dump(exclude={"png"}) for image in message.images],
            }
            for message in sent.messages
        ],
        "warning": sent.warning,
        "no_pixels": sent.no_pixels,
    }


def _issue_view(issue: CheckIssue) -> View:
    return {
        "check": f"{issue.check}@{issue.version}",
        "code": issue.code,
        "severity": issue.severity.value,
        "message": issue.message,
    }


def _verdict_view(entry: VerdictEntry) -> View:
    return {
        "number": entry.verdict_no,
        "by": "the run" if entry.recheck_id is None else f"recheck {entry.recheck_id}",
        "attempt": entry.attempt_no,
        "state": entry.state.value,
        "codes": list(entry.codes),
        "gates": list(entry.gates),
        "recorded_at": f"{entry.recorded_at:%Y-%m-%d %H:%M:%S} UTC",
        "issues": [_issue_view(issue) for issue in entry.issues],
        "judgement": None if entry.judgement is None else _judgement_view(entry.judgement),
    }


def _judgement_view(judgement: Judgement) -> View:
    return {
        "model": judgement.model,
        "passed": judgement.passed,
        "codes": list(judgement.codes),
        "grades": None
        if judgement.grades is None
        else {c.value: grade for c, grade in judgement.grades.items()},
        "marks": [mark.model_dump() for mark in judgement.marks],
        "calls": [
            {
                "number": call.call_no,
                "task": call.task.value,
                "prompt": f"{call.prompt.prompt_id} v{call.prompt.version}",
                "prompt_text_sha256": call.prompt_text_sha256,
                "finish_reason": call.finish_reason,
                "tokens": f"{call.usage.prompt_tokens} sent, "
                f"{call.usage.completion_tokens} generated",
                "text": call.text,
            }
            for call in judgement.calls
        ],
    }


def _provenance(found: ExplainedItem) -> Iterator[tuple[str, str]]:
    """Yields what the item rests on: files, findings, run, versions, hashes."""
    volume, item, run = found.volume, found.item, found.run
    yield "volume", volume.volume_id
    yield "image", volume.image or "none"
    yield "label map", f"{volume.label_map} (scheme {volume.scheme})"
    yield "masks from", volume.mask_source or "not known"
    yield "licence", volume.licence or "not known"
    if found.findings is not None:
        yield "findings", found.findings.findings_id
        yield "tools version", found.findings.tools_version
        yield "side", f"{volume.side}, {found.findings.side_check.value}"
        yield "image sha256", found.findings.image_sha256
        yield "label map sha256", found.findings.label_map_sha256
    outcome = None if found.history is None else found.history.outcome
    if outcome is not None and (item is None or outcome.findings_id != item.findings_id):
        yield "findings shown to the drafter", outcome.findings_id
    if run is None:
        return
    yield "run", f"{run.run_id} ({run.kind.value}, {run.grounding.value}, {run.wording.value})"
    yield "fingerprint", run.fingerprint
    yield "drafter", run.drafter_model
    yield "judge", run.judge_model or "none"
    for ref in run.prompts:
        yield f"prompt {ref.prompt_id} v{ref.version}", ref.sha256
    yield "checks", ", ".join(f"{name}@{version}" for name, version in sorted(run.checks.items()))
    yield from sorted(run.provenance.items())
