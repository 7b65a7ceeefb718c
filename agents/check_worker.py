"""A process that runs the checks: `python -m agents.check_worker`, started by `agents.check_pool`.

The first line it reads is a `CheckSetup`, which it answers with `READY`; each line after it is a
`CheckRequest`. It answers each request with one line, a `CheckReport`, in the order of the
requests, and ends with its input.
"""

import gc
import sys

from agents.checks.context import CheckContext
from agents.checks.run import CheckReport, check_answer
from knee.calibration import Calibration
from knee.findings import Finding
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Record
from knee.shown_images import ShownImages

READY = b"ready\n"
"""The first line that it writes."""
_COLLECT_AFTER = 20_000
"""As in `agents.batch`: the checks make many short-lived objects and no cycles."""


class CheckSetup(Record):
    """What is the same for all answers of a run."""

    calibration: Calibration | None
    """Fitted cut-offs."""
    warn_only: tuple[str, ...]
    """Checks that only warn."""


class CheckRequest(Record):
    """One answer and what it is held against: the fields of a `CheckContext`, fit for a line."""

    text: str
    finish_reason: str
    question_id: int
    finding: Finding
    asked: tuple[Component, ...]
    side: str
    is_follow_up: bool
    shape: tuple[int, int, int]
    slice_axis: int
    prompt_text: str
    sequence: str
    images: ShownImages | None
    images_withheld: bool

    @classmethod
    def of(cls, text: str, finish_reason: str, context: CheckContext) -> "CheckRequest":
        """Returns the request for an answer; the calibration is the setup's."""
        return cls(
            text=text,
            finish_reason=finish_reason,
            question_id=context.question.question_id,
            finding=context.finding,
            asked=context.asked,
            side=context.side,
            is_follow_up=context.is_follow_up,
            shape=context.shape,
            slice_axis=context.slice_axis,
            prompt_text=context.prompt_text,
            sequence=context.sequence,
            images=context.images,
            images_withheld=context.images_withheld,
        )

    def context(self, calibration: Calibration | None) -> CheckContext:
        """Returns what the answer is held against."""
        return CheckContext(
            question=QUESTIONS[self.question_id],
            finding=self.finding,
            asked=self.asked,
            side=self.side,
            is_follow_up=self.is_follow_up,
            shape=self.shape,
            slice_axis=self.slice_axis,
            calibration=calibration,
            prompt_text=self.prompt_text,
            sequence=self.sequence,
            images=self.images,
            images_withheld=self.images_withheld,
        )


def answer(line: bytes, setup: CheckSetup) -> CheckReport:
    """Returns the report on the request of a line."""
    request = CheckRequest.model_validate_json(line)
    context = request.context(setup.calibration)
    return check_answer(request.text, request.finish_reason, context, frozenset(setup.warn_only))


def main() -> None:
    """Answers requests until there are no more."""
    lines, replies = sys.stdin.buffer, sys.stdout.buffer
    # Whatever else would print must not stand between two reports.
    sys.stdout = sys.stderr
    setup = CheckSetup.model_validate_json(lines.readline())
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    replies.write(READY)
    replies.flush()
    for line in lines:
        replies.write(answer(line, setup).model_dump_json().encode() + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
