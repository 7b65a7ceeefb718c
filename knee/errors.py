"""Every error a user can meet, grouped by who must act.

    KneeError                 the root; carries a message and a hint
    ├── InputError            the data or the user must change something      (exit code 2)
    │   └── HeldOutPatientError   test patients where they must not be (RULES 19)
    ├── ModelUnavailable      the server is away: wait, retry                 (exit code 2 or 3)
    ├── ModelOutputError      the model must answer again, else a rejected row
    ├── StoreError            the DuckDB file must be looked after            (exit code 2 or 3)
    └── BenchError            the bench file or the predictions do not fit

A message says what happened and gives the offending value by `!r`; the hint says what to do about
it. `str(error)` puts both on lines of their own, the second beginning with `hint: `.
"""

import sys
from collections.abc import Callable


class KneeError(Exception):
    """Root of the project's errors: one message, and optionally one hint."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class InputError(KneeError):
    """The data or the user's request must change: a bad file, table, setting or selection."""


class HeldOutPatientError(InputError):
    """Test patients were given to a trial, to few-shot examples or to a fit (RULES 19).

    Attributes:
        patients: the patients that are held out, ascending.
    """

    def __init__(self, message: str, *, patients: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.patients = patients


class ModelUnavailable(KneeError):  # noqa: N818 - the name is the state, as in CONTRACTS
    """The model server cannot be reached or is failing; the same request may succeed later."""

    exit_code = 3


class ModelOutputError(KneeError):
    """The model answered, and the answer is not one we can use; `code` names the reason.

    Attributes:
        code: machine-readable reason, e.g. `length`, `not_json`, `schema`.
        text: the raw answer as received, kept for the attempt's row.
    """

    def __init__(self, message: str, *, code: str, text: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.code = code
        self.text = text


class StoreError(KneeError):
    """The store file is not usable: foreign, corrupt, held by another process, disk full."""

    def __init__(self, message: str, hint: str | None = None, *, exit_code: int = 2) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


class BenchError(KneeError):
    """The bench file, the predictions or the model do not fit each other."""


def exit_code_of(script: Callable[[], None]) -> int:
    """Runs a script beside the command line (`python -m …`); returns its exit code.

    A `KneeError` is told on stderr as `run_pipeline.py` tells it, in place of a traceback.
    """
    try:
        script()
    except KneeError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0
