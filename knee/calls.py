"""What every call to a model leaves behind, whoever makes it: drafter or judge."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of the frozen records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptRef(Record):
    """Which prompt text was sent."""

    prompt_id: str
    """Folder under prompts/templates."""
    version: int
    """1, 2, …"""
    sha256: str
    """`sha256:` over the template's bytes."""


class Usage(Record):
    """What one call cost."""

    prompt_tokens: int = 0
    """Tokens sent."""
    completion_tokens: int = 0
    """Tokens generated."""
    latency_s: float = 0.0
    """Seconds from sending to the last byte."""
