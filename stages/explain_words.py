"""`explain` on a terminal: the same as the page, in lines, without texts that take a screen."""

from collections.abc import Iterator
from typing import Any

from stages.explain_view import View


def view_lines(view: View) -> Iterator[str]:
    """Yields the lines of an item; control characters of model text are shown, not sent."""
    for line in _lines(view):
        yield "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def _lines(view: View) -> Iterator[str]:
    yield f"{view['item']}  {view['title']}"
    yield f"state {view['state']}: {view['why']}"
    yield from (f"! {line}" for line in view["warnings"])
    yield from _finding_lines(view["finding"])
    yield "beside the clinician:"
    for c in view["comparison"]:
        agrees = {True: ", same", False: ", DIFFERS", None: ""}[c["agrees"]]
        yield (
            f"  {c['component']}: draft {_dash(c['draft'])}, clinician {_dash(c['clinician'])} "
            f"({c['status']}){agrees}" + ("" if c["asked"] else ", not asked")
        )
    for attempt in view["attempts"]:
        yield from _attempt_lines(attempt)
    for verdict in view["verdicts"]:
        yield from _verdict_lines(verdict)


def _finding_lines(finding: dict[str, Any] | None) -> Iterator[str]:
    if finding is None:
        yield "no finding for this question in this volume"
        return
    reason = f"; {finding['box_reason']}" if finding["box_reason"] else ""
    yield f"box: {_dash(finding['box'])} ({_dash(finding['box_source'])}){reason}"
    yield "measured:" if finding["measurements"] else "measured: nothing"
    for m in finding["measurements"]:
        sd = f" (sd {m['sd']})" if m["sd"] else ""
        yield f"  {m['name']} {m['value']} {m['unit']}{sd}; {m['method']}"
    yield "evidence:"
    for e in finding["evidence"]:
        yield f"  {e['component']}: {e['level']}; {e['reason']}"


def _attempt_lines(attempt: dict[str, Any]) -> Iterator[str]:
    passed = "passed" if attempt["passed"] else "failed"
    yield (
        f"attempt {attempt['number']}: {passed} the checks; {attempt['model']}, "
        f"{attempt['prompt']}, {attempt['tokens']}, finish reason {attempt['finish_reason']}"
    )
    if attempt["sent"] and attempt["sent"]["warning"]:
        yield f"  ! prompt: {attempt['sent']['warning']}"
    for message in attempt["sent"]["messages"] if attempt["sent"] else ():
        for image in message["images"]:
            yield f"  shown: {image['label']}; {image['sha256'][:19]}…"
    for step in attempt["steps"]:
        cites = f" [cites {', '.join(step['cites'])}]" if step["cites"] else ""
        yield f"  {step['name']}: {step['text']}{cites}"
    if not attempt["steps"]:
        yield f"  not parsed: {attempt['text'][:200]}"
    for issue in attempt["issues"]:
        yield f"  {issue['severity']} {issue['check']} {issue['code']}: {issue['message']}"


def _verdict_lines(verdict: dict[str, Any]) -> Iterator[str]:
    codes = f": {', '.join(verdict['codes'])}" if verdict["codes"] else ""
    yield f"verdict {verdict['number']}, {verdict['by']}: {verdict['state']}{codes}"
    judgement = verdict["judgement"]
    if judgement is not None:
        grades = judgement["grades"] or {}
        told = ", ".join(f"{name} {grade}" for name, grade in grades.items()) or "none"
        broken = [mark["item"] for mark in judgement["marks"] if not mark["holds"]]
        yield (
            f"  judge {judgement['model']}: re-answer {told}; "
            f"{len(judgement['marks'])} marks, not holding: {', '.join(broken) or 'none'}"
        )


def _dash(value: object) -> str:
    return "–" if value is None else str(value)
