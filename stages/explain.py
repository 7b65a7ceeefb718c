"""`explain`: one item, from the image to its verdicts; on the terminal, or on one HTML page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from knee.errors import InputError
from knee.keys import ItemKey
from knee.questions import N_QUESTIONS
from stages.console import emit, emit_json, say
from stages.explain_view import View, item_view
from stages.explain_words import view_lines
from stages.explained_item import ExplainedItem, load_explained
from stages.look import choose_volume
from stages.pictures import Pictures
from stages.sent_slices import SliceDrawer
from store.connection import open_store
from store.queries import newest_run, require_run

_TEMPLATES = Path(__file__).parent / "templates"
_HINT = "name an item as <volume_id>#<question id>, or as volume and question: 9001/V00/right 19"
_QUESTION = re.compile(r"[Qq]?(\d{1,3})")


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What the command line says."""

    item: tuple[str, ...]
    """`<volume>#<question>`, or both apart."""
    store: Path
    """The DuckDB file."""
    run: str | None = None
    """Run id; None takes the newest."""
    out: Path | None = None
    """HTML file to write; None shows the item on the terminal."""
    config: Path | None = None
    """Settings whose calibration the run's prompts were rendered with."""
    cohort_root: Path | None = None
    """Where the images lie now."""
    as_json: bool = False
    """Print everything but the picture on stdout."""


def explain(options: ExplainOptions) -> int:
    """Shows one item; returns 0.

    Raises:
        InputError: no such volume, question or run, or the page cannot be written.
        StoreError: the store cannot be read.
    """
    name, question = parse_item(options.item)
    if options.out is not None:
        _check_out(options.out)
    with open_store(options.store, read_only=True) as con:
        volumes = [
            str(row[0])
            for row in con.execute("SELECT volume_id FROM volumes ORDER BY 1").fetchall()
        ]
        key = ItemKey(choose_volume(name, volumes), question)
        if options.run is not None:
            require_run(con, options.run)
        run_id = options.run or newest_run(con)
        # Only the page has room for pictures; without it no image is opened.
        slices = None if options.out is None else SliceDrawer(con, options.cohort_root)
        found = load_explained(con, key, run_id, options.config, slices)
    view = item_view(found)
    if options.as_json:
        emit_json(view)
    elif options.out is None:
        for line in view_lines(view):
            emit(line)
        say("--out FILE.html shows it with its pictures, prompts and raw answers")
    if options.out is not None:
        _write(options.out, _page(found, view, options.cohort_root))
        (say if options.as_json else emit)(str(options.out))
    return 0


def parse_item(words: Sequence[str]) -> tuple[str, int]:
    """Returns the beginning of a volume id, and a question id, from what the command line names.

    Raises:
        InputError: the words name no item.
    """
    if len(words) == 1 and "#" in words[0]:
        volume, _, question = words[0].rpartition("#")
    elif len(words) == 2:
        volume, question = words
    else:
        raise InputError(f"{' '.join(words)!r} names no item", _HINT)
    match = _QUESTION.fullmatch(question.strip())
    if match is None or not 1 <= int(match[1]) <= N_QUESTIONS:
        raise InputError(f"{question!r} is no question: 1 to {N_QUESTIONS}", _HINT)
    if not volume.strip():
        raise InputError(f"{' '.join(words)!r} names no volume", _HINT)
    return volume.strip(), int(match[1])


def _check_out(out: Path) -> None:
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{str(out)!r} is no HTML file", "name it like item.html")
    if not out.parent.is_dir():
        raise InputError(f"no such folder: {str(out.parent)!r}", "make it first")
    if out.is_dir():
        raise InputError(f"{str(out)!r} is a folder", "name a file")


def _page(found: ExplainedItem, view: View, cohort_root: Path | None) -> str:
    finding = None if found.item is None else found.item.finding
    picture, trouble = None, "the question has no finding here"
    if finding is not None:
        title = f"{found.volume.volume_id}   {found.question.region_name}"
        picture, trouble = Pictures(cohort_root).draw(found.volume, finding.box, title)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("explain.html.jinja2")
    # The view is told without bytes (`--json`); here are those of every slice, once.
    images = [i for p in found.prompts for m in p.messages for i in m.images]
    return template.render(
        view=view,
        picture=picture,
        no_picture=trouble,
        slices=list({image.sha256: image for image in images}.values()),
        no_pixels=next((p.no_pixels for p in found.prompts if p.no_pixels), None),
    )


def _write(out: Path, page: str) -> None:
    half = out.with_name(f".{out.name}.part")
    try:
        half.write_text(page, encoding="utf-8", errors="backslashreplace")
        half.replace(out)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise InputError(
            f"cannot write the page {str(out)!r}: {error.strerror}", "name another file with --out"
        ) from error
