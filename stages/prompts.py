"""`prompts`: which prompt texts there are, and what one says."""

from knee.errors import InputError
from prompts.registry import list_prompts, load_prompt
from stages.console import emit, emit_json, show_table


def list_or_show(wanted: str | None, *, as_json: bool) -> int:
    """Lists all prompts, or shows the source of `PROMPT` (its newest version) or `PROMPT@2`.

    Raises:
        InputError: no such prompt or version.
    """
    known = list_prompts()
    if wanted is None:
        rows = [[p.prompt_id, p.version, p.sha256[:19] + "…"] for p in known]
        if as_json:
            emit_json(
                [
                    {"prompt_id": p.prompt_id, "version": p.version, "sha256": p.sha256}
                    for p in known
                ]
            )
        else:
            show_table("prompts", ["prompt", "version", "sha256"], rows, to_stdout=True)
        return 0
    prompt_id, _, version_text = wanted.partition("@")
    versions = [p.version for p in known if p.prompt_id == prompt_id]
    if version_text and not version_text.isdecimal():
        raise InputError(f"prompt {wanted!r}: version {version_text!r} is not a number", "PROMPT@2")
    version = int(version_text) if version_text else max(versions, default=1)
    template = load_prompt(prompt_id, version)
    if as_json:
        emit_json(
            {
                "prompt_id": template.prompt_id,
                "version": template.version,
                "sha256": template.sha256,
                "source": template.source,
            }
        )
    else:
        emit(template.source)
    return 0
