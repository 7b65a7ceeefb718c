"""Sections of docs/benchmarks.md, each between marks of its own, so that one bench rewrites one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

PAGE = Path("docs/benchmarks.md")


def write_section(name: str, heading: str, text: str, page: Path = PAGE) -> None:
    """Writes a section of a Markdown page anew, or behind the others; what stands around it stays.

    Args:
        name: of its marks, `<!-- name -->` and `<!-- /name -->`.
        heading: without `##`.
        text: Markdown below the heading.
        page: made where it is not there.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    body = f"{start}\n## {heading}\n\n{text.strip()}\n{end}\n"
    old = page.read_text(encoding="utf-8") if page.is_file() else "# Benchmarks\n\n"
    if start in old and end in old:
        before, rest = old.split(start, 1)
        new = before + body + rest.split(end, 1)[1].lstrip("\n")
    else:
        new = old.rstrip("\n") + "\n\n" + body
    page.write_text(new, encoding="utf-8")


def write_parts(
    name: str, heading: str, head: str, parts: Mapping[str, str], order: Sequence[str]
) -> None:
    """Writes a section of parts that are measured one by one; parts not given stay as they are.

    Args:
        name: as of `write_section`.
        heading: without `##`.
        head: what stands above the parts.
        parts: part to its Markdown.
        order: all parts, in the order of the page.
    """
    old = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    texts: list[str] = []
    for part in order:
        start, end = f"<!-- {name}: {part} -->", f"<!-- /{name}: {part} -->"
        if part in parts:
            texts.append(f"{start}\n{parts[part].strip()}\n{end}\n")
        elif start in old and end in old:
            texts.append(f"{start}{old.split(start, 1)[1].split(end, 1)[0]}{end}\n")
    write_section(name, heading, "\n".join([head, *texts]))
