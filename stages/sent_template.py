"""The template of a stored attempt as it was sent, and what to say where it cannot be had."""

from typing import NamedTuple

import duckdb

from knee.errors import InputError
from knee.records import PromptRef
from prompts.registry import UNSAVED, PromptTemplate, build_prompt, load_prompt
from store.prompt_sources import load_prompt_source


class SentTemplate(NamedTuple):
    """A template and how far it is the one that was sent."""

    template: PromptTemplate
    """With the hash of the one that was sent, unless `changed` says otherwise."""
    changed: str | None
    """What is not as it was; None where the hash is the stored one."""


def sent_template(con: duckdb.DuckDBPyConnection, ref: PromptRef) -> SentTemplate:
    """Returns the template that a reference names.

    The saved prompt, if it still has that hash; else the one built from the store's parts, on the
    data files as they are now; else the saved prompt as it is now.

    Raises:
        InputError: it is neither saved nor kept in its parts.
    """
    saved, missing = _saved(ref)
    if saved is not None and saved.sha256 == ref.sha256:
        return SentTemplate(saved, None)
    name = f"{ref.prompt_id} v{ref.version}"
    kept = load_prompt_source(con, ref.sha256)
    if kept is not None:
        built = build_prompt(ref.prompt_id, ref.version, kept.source, kept.settings)
        if built.sha256 == ref.sha256:
            return SentTemplate(built, None)
        return SentTemplate(built, f"data that the template {name} shows was changed since")
    if saved is None:
        raise missing or InputError(f"no prompt {name!r}")
    return SentTemplate(saved, f"the template {name} was changed since")


def _saved(ref: PromptRef) -> tuple[PromptTemplate | None, InputError | None]:
    if ref.prompt_id.startswith(UNSAVED):
        name = f"{ref.prompt_id} v{ref.version}"
        return None, InputError(
            f"the template {name!r} ({ref.sha256[:19]}…) was never saved, and the store does not "
            "keep its parts",
            "it was tried before stores kept them: try it again",
        )
    try:
        return load_prompt(ref.prompt_id, ref.version), None
    except InputError as error:
        return None, error
