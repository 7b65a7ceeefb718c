"""`graph`: the graph of one item as Mermaid, drawn from the compiled graph itself."""

from agents.graph import draw_mermaid
from stages.console import emit


def graph() -> int:
    """Prints the Mermaid text."""
    emit(draw_mermaid())
    return 0
