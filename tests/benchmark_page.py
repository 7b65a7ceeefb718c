"""Sections of docs/benchmarks.md, each between marks of its own, so that one bench rewrites one."""

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
