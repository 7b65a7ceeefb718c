"""From a bench prompt and an item's context to the messages that are sent."""

from prompts.bench import BenchContext
from prompts.environment import render_block
from prompts.registry import PromptTemplate
from prompts.render import ChatMessage, MessageImage


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
    text = render_block(template.compiled, "user", values)
    user = ChatMessage(role="user", content=text, images=images)
    if not template.has_system:
        return (user,)
    system = render_block(template.compiled, "system", values)
    return (ChatMessage(role="system", content=system), user)
