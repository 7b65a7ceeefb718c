"""How a command names a prompt: `PROMPT` (its newest version), `PROMPT@2`, or a template file."""

from pathlib import Path

from knee.errors import InputError
from prompts.registry import (
    PromptKind,
    PromptTemplate,
    list_prompts,
    load_prompt,
    load_prompt_file,
)


def named_prompt(name: str) -> PromptTemplate:
    """Returns the prompt that a name or a path to a `.jinja2` file means.

    Raises:
        InputError: no such prompt, version or file, or the file is no prompt.
    """
    if name.endswith(".jinja2"):
        return load_prompt_file(Path(name))
    prompt_id, at, version_text = name.partition("@")
    version_text = version_text.removeprefix("v")
    versions = [p.version for p in list_prompts() if p.prompt_id == prompt_id]
    if at and not version_text.isdecimal():
        raise InputError(f"prompt {name!r}: version {version_text!r} is not a number", "PROMPT@2")
    version = int(version_text) if at else max(versions, default=1)
    return load_prompt(prompt_id, version)


def drafting_prompt(name: str) -> PromptTemplate:
    """Returns the prompt of a name, which must be a drafter's.

    Raises:
        InputError: as `named_prompt`, or it is a judge's or the benchmark's.
    """
    template = named_prompt(name)
    if template.kind is not PromptKind.DRAFT:
        if template.kind is PromptKind.BENCH:
            raise InputError(
                f"prompt {name!r} is the benchmark's, not a drafter's",
                "`prompts show` prints it; `bench run --setting` puts it to a model",
            )
        raise InputError(
            f"prompt {name!r} is a judge's, not a drafter's",
            "set the judge's prompts in the settings file's [judge] and try a drafter's prompt",
        )
    return template


def full_name(template: PromptTemplate) -> str:
    """Returns `PROMPT@2`."""
    return f"{template.prompt_id}@{template.version}"
