"""A model that answers what a test tells it to. No settings file and no command can reach it."""

from collections.abc import Callable, Sequence

from agents.llm_client import Completion, JsonSchema
from knee.errors import KneeError
from knee.records import Usage
from knee.run_config import Sampling
from prompts.render import ChatMessage

ScriptedAnswer = str | Completion | KneeError
"""A text, an entire completion, or an error to raise."""


class ScriptedChatModel:
    """Answers by a function of the messages and keeps every message that it was sent."""

    def __init__(self, answer: Callable[[Sequence[ChatMessage]], ScriptedAnswer]) -> None:
        self._answer = answer
        self.received: list[tuple[ChatMessage, ...]] = []
        """The messages of every call, in order."""
        self.samplings: list[Sampling] = []
        """The sampling of every call, in order."""

    async def complete(
        self, messages: Sequence[ChatMessage], schema: JsonSchema | None, sampling: Sampling
    ) -> Completion:
        """Returns what the function says, or raises it when it is an error."""
        del schema
        self.received.append(tuple(messages))
        self.samplings.append(sampling)
        answer = self._answer(messages)
        if isinstance(answer, KneeError):
            raise answer
        if isinstance(answer, Completion):
            return answer
        return Completion(text=answer, finish_reason="stop", usage=Usage(), model="scripted")

    async def find_trouble(self) -> str | None:
        """Returns None: a script is always there."""
        return None
