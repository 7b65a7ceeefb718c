"""LangGraph's tracing: off whatever the environment says, unless the settings file asks for it.

LangGraph brings langsmith, which sends inputs and outputs (patient data) to a server when one of
`LANGSMITH_TRACING`, `LANGCHAIN_TRACING_V2` and their kind is `true`. Its tracing context comes
before the environment. Two variables of the first generation end every call with an error as long
as tracing is off; they are taken out of this process's environment.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager

from langsmith.run_helpers import tracing_context

_FIRST_GENERATION = ("LANGCHAIN_TRACING", "LANGCHAIN_HANDLER")


@contextmanager
def tracing_switched(*, on: bool) -> Generator[None]:
    """Holds tracing off for the enclosed calls; `on` leaves the decision to the environment."""
    if on:
        yield
        return
    for name in _FIRST_GENERATION:
        os.environ.pop(name, None)
    with tracing_context(enabled=False):
        yield
