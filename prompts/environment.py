"""The one Jinja2 environment: strict about undefined variables, no autoescape.

Not sandboxed: templates are files of this checkout, and the sandbox doubles the cost of rendering.
What others wrote reaches a template only as a value, never as source.
"""

from functools import lru_cache
from typing import Any

from jinja2 import (
    Environment,
    StrictUndefined,
    Template,
    TemplateSyntaxError,
    UndefinedError,
    meta,
)

from knee.errors import InputError

_ENVIRONMENT = Environment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


@lru_cache(maxsize=64)
def compile_text(source: str, name: str) -> Template:
    """Returns the compiled template of a source text.

    Raises:
        InputError: the text is not a Jinja2 template.
    """
    try:
        return _ENVIRONMENT.from_string(source)
    except TemplateSyntaxError as error:
        raise InputError(f"prompt {name!r}, line {error.lineno}: {error.message}") from error


def used_variables(source: str) -> frozenset[str]:
    """Returns the names of the variables that a template takes from outside."""
    return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(source)))


def render_block(template: Template, block: str, values: dict[str, Any]) -> str:
    """Returns one named block, white space at its ends taken off.

    Raises:
        InputError: the template shows something that `values` does not hold.
    """
    try:
        return "".join(template.blocks[block](template.new_context(values))).strip()
    except UndefinedError as error:
        raise InputError(f"prompt block {block!r}: {error.message}") from error
