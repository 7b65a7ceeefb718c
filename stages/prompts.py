"""`prompts list`, `show` and `diff`: which prompt texts there are, what they say, what changed."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from knee.errors import InputError
from prompts.registry import PromptKind, PromptTemplate, data_parts, list_prompts
from stages.console import emit, emit_json, say, show_table
from stages.prompt_names import full_name, named_prompt
from store.connection import open_store

_KINDS = {
    PromptKind.DRAFT: "draft",
    PromptKind.JUDGE_REANSWER: "judge: re-answer",
    PromptKind.JUDGE_RUBRIC: "judge: rubric",
    PromptKind.BENCH: "ReasonKnee-Bench",
}


def list_all(*, as_json: bool) -> int:
    """Lists all prompts with version, use and hash."""
    known = list_prompts()
    if as_json:
        emit_json(
            [{"prompt_id": p.prompt_id, "version": p.version, "sha256": p.sha256} for p in known]
        )
        return 0
    rows = [[p.prompt_id, p.version, _KINDS[p.kind], p.sha256[:19] + "…"] for p in known]
    show_table("prompts", ["prompt", "version", "for", "sha256"], rows, to_stdout=True)
    return 0


def show(name: str, store: Path | None, *, as_json: bool) -> int:
    """Shows the source of a prompt, or of what a store keeps under a hash.

    Args:
        name: `PROMPT`, `PROMPT@2`, a template file, or with a store `sha256:…` (its beginning).
        store: where an unsaved template was tried.
        as_json: the text with its reference.

    Raises:
        InputError: no such prompt, version or hash.
    """
    if name.startswith("sha256:"):
        return _show_stored(name, store, as_json=as_json)
    template = named_prompt(name)
    if as_json:
        emit_json({**template.ref.model_dump(), "source": template.source})
    else:
        emit(template.source)
    return 0


def _show_stored(sha256: str, store: Path | None, *, as_json: bool) -> int:
    if store is None:
        raise InputError(f"{sha256!r} is looked up in a store", "name it with --store")
    with open_store(store, read_only=True) as con:
        rows = con.execute(
            "SELECT DISTINCT prompt_id, version, sha256, text FROM prompts "
            "WHERE starts_with(sha256, ?)",
            [sha256.rstrip("….")],
        ).fetchall()
    if len({row[2] for row in rows}) != 1:
        raise InputError(
            f"{len(rows)} prompts of the store {str(store)!r} begin with {sha256!r}",
            '`sql --store … "SELECT prompt_id, version, sha256 FROM prompts"` lists them',
        )
    prompt_id, version, full, text = rows[0]
    if as_json:
        stored = {"prompt_id": prompt_id, "version": version, "sha256": full, "full_text": text}
        emit_json(stored)
    else:
        emit(text)
    return 0


def diff(first: str, second: str, *, as_json: bool) -> int:
    """Shows what changed between two prompts: template, settings, and data that only one shows.

    Raises:
        InputError: no such prompt or version.
    """
    a, b = named_prompt(first), named_prompt(second)
    lines = list(prompt_diff(a, b))
    if as_json:
        emit_json(
            {
                "a": a.ref.model_dump(),
                "b": b.ref.model_dump(),
                "diff": "\n".join(lines),
                "identical": a.sha256 == b.sha256,
            }
        )
        return 0
    if lines:
        emit("\n".join(lines))
    else:
        say(f"{full_name(a)} and {full_name(b)} say the same ({a.sha256[:19]}…)")
    return 0


def prompt_diff(a: PromptTemplate, b: PromptTemplate) -> Iterator[str]:
    """Yields a unified diff of template and settings, and of each data file that only one shows."""
    names = full_name(a), full_name(b)
    yield from text_diff(a.source, b.source, f"{names[0]} template", f"{names[1]} template")
    yield from text_diff(
        a.settings_text, b.settings_text, f"{names[0]} settings", f"{names[1]} settings"
    )
    shown_a, shown_b = data_parts(a), data_parts(b)
    for file in sorted(shown_a.keys() | shown_b.keys()):
        yield from text_diff(
            shown_a.get(file, ""),
            shown_b.get(file, ""),
            f"{names[0]} shows {file}" if file in shown_a else f"{names[0]} does not show {file}",
            f"{names[1]} shows {file}" if file in shown_b else f"{names[1]} does not show {file}",
        )


def text_diff(a: str, b: str, name_a: str, name_b: str) -> Iterator[str]:
    """Yields the lines of a unified diff; none where the texts are the same."""
    yield from difflib.unified_diff(
        a.splitlines(), b.splitlines(), name_a, name_b, n=2, lineterm=""
    )
