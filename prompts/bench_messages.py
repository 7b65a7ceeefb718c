"""From a bench prompt and an item's context to the messages that are sent."""

from prompts.bench import BenchContext
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage, MessageImage, first_messages


def render_bench(
    template: PromptTemplate, context: BenchContext, images: tuple[MessageImage, ...] = ()
) -> tuple[ChatMessage, ...]:
    """Returns the messages of one item: `system` if the prompt has one, then `user`.

    Args:
        template: a prompt of kind `bench-`.
        context: the item's context.
        images: what is shown behind the user's text.

    Raises:
        InputError: the template shows something that the context does not hold.
    """
    values = {name: getattr(context, name) for name in BenchContext.model_fields}
    return first_messages(template, values, images)
