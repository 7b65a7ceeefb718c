"""`import-release`: the released 3DReasonKnee data set into the store, kept apart from ours.

Everything that can be wrong with the release as a whole is found before the store is opened; then
all of it is written in one transaction, or nothing. Single entries that cannot be mapped are kept
with their reason, and counted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from knee.errors import InputError
from knee.keys import JsonValue
from knee.released import ReleasedHeader, ReleasedItem
from stages.console import emit_json, say, show_table
from store.released import ReleaseContent, imported_hash, put_release
from store.writer import StoreWriter
from tools.release_files import (
    files_hash,
    item_files,
    read_questions,
    read_released_volumes,
    read_subregions,
    read_templates,
)
from tools.release_items import ItemReader, Unplaced
from tools.release_labels import LabelTables, read_labels
from tools.release_layout import load_layout
from tools.release_masks import BoxPlacer, ReleaseMasks, verify_boxes

_MAX_SHOWN = 20


def import_release(folder: Path, store: Path, *, boxes: bool, as_json: bool) -> int:
    """Imports a release; returns 0, or 1 when entries could not be placed or mapped.

    Args:
        folder: the release's root, which holds `data/`.
        store: the DuckDB file; made when it is not there.
        boxes: verify the order of the boxes against masks; else they stay raw numbers.
        as_json: print the counts on stdout.

    Raises:
        InputError: the release is not as `release_layout.toml` assumes, its boxes do not fit its
            masks, or a patient has another split in the store. Nothing is written then.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}", "give the release's root folder")
    layout = load_layout()
    volumes = read_released_volumes(folder)
    questions = read_questions(folder)
    templates = read_templates(folder)
    labels = read_labels(folder)
    say(_found(len(volumes), labels, templates))
    reader = ItemReader(volumes, questions, labels)
    placer = _placer(folder, reader, boxes=boxes)
    header = ReleasedHeader(
        source=layout.source,
        licence=layout.licence,
        author=layout.author,
        folder=str(folder.resolve()),
        layout_version=layout.version,
        content_sha256=files_hash(_files(folder, labels), folder),
        box_order=_order_words(placer),
        box_overlap=min((v.overlap for v in placer.orders.values()), default=None),
    )
    progress = _Progress()
    items = progress.watch(reader.items(folder, placer))
    content = ReleaseContent(header, volumes, questions, templates, items)
    is_new = not store.exists()
    try:
        counts = _write(store, content, progress)
    except BaseException:
        # An import that fails leaves no store behind that was not there before.
        if is_new:
            store.unlink(missing_ok=True)
        raise
    _tell(counts, progress, placer, store, as_json=as_json)
    return 1 if progress.unplaced or counts["components_unmapped"] else 0


def _write(store: Path, content: ReleaseContent, progress: "_Progress") -> dict[str, int]:
    header = content.header
    with StoreWriter(store, create=True) as writer:
        with writer.reading() as con:
            earlier = imported_hash(con, header.source)
        if earlier is not None:
            same = "the same files" if earlier == header.content_sha256 else "other files"
            say(f"an earlier import of {same} is replaced")
        with writer.transaction():
            writer.put_catalogue()
            counts = put_release(writer, content, progress.counts)
            if not counts["items"]:
                raise InputError(
                    f"not one of {progress.n_entries} entries of {header.folder!r} could be "
                    f"placed; the first: {progress.first_reason()}",
                    "image paths and prompts do not match the split and question files",
                )
    return counts


class _Progress:
    """Lets the records through to the store, and keeps account of the others."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.unplaced: list[Unplaced] = []
        self.reasons: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.n_entries = 0

    def watch(self, entries: Iterator[ReleasedItem | Unplaced]) -> Iterator[ReleasedItem]:
        for entry in entries:
            self.n_entries += 1
            if isinstance(entry, Unplaced):
                self.reasons[entry.reason.partition(":")[0]] += 1
                if len(self.unplaced) < _MAX_SHOWN:
                    self.unplaced.append(entry)
                continue
            self.notes.update({problem.partition(":")[0] for problem in entry.problems})
            yield entry
        self.counts.update({f"unplaced.{code}": n for code, n in sorted(self.reasons.items())})
        self.counts.update({f"items_with.{code}": n for code, n in sorted(self.notes.items())})

    def first_reason(self) -> str:
        return self.unplaced[0].reason if self.unplaced else "there is none"


def _placer(folder: Path, reader: ItemReader, *, boxes: bool) -> BoxPlacer:
    if not boxes:
        say("boxes are kept as raw numbers: their order is not verified")
        return BoxPlacer(None, {})
    subregions = read_subregions(folder)
    if subregions is None:
        raise InputError(
            f"no {load_layout().files.subregions!r} in the release: boxes cannot be verified",
            "--without-boxes imports the rest",
        )
    say("verifying the order of the boxes against masks")
    placer = verify_boxes(ReleaseMasks(folder, subregions), reader.candidates(folder))
    if not placer.orders:
        say("  no answer has a box")
    for (orientation, side), verified in placer.orders.items():
        say(
            f"  {side} knees, {orientation} arrays: {verified.order.words}; median IoU "
            f"{verified.overlap:.3f} over {verified.n_boxes} boxes (next order "
            f"{verified.next_overlap:.3f}: {verified.next_order.words})"
        )
    return placer


def _files(folder: Path, labels: LabelTables) -> list[Path]:
    """The files that were read, masks left out."""
    layout = load_layout()
    questions = folder / layout.folders.questions
    named = [*layout.files.questions, layout.files.texts, layout.files.subregions]
    paths = [questions / name for name in named]
    paths += [folder / layout.folders.splits / name for name in layout.files.splits.values()]
    return [*(path for path in paths if path.exists()), *item_files(folder).values(), *labels.files]


def _found(n_volumes: int, labels: LabelTables, templates: frozenset[str] | None) -> str:
    tables = f"{labels.n_rows} reads in {len(labels.files)} label table(s)"
    if not labels.files:
        tables = "no label table: zeros that stand for missing reads cannot be told"
    texts = "no template file" if templates is None else f"{len(templates)} templates"
    return f"{n_volumes} volume(s) in the split files; {tables}; {texts}"


def _order_words(placer: BoxPlacer) -> str | None:
    words = [
        f"{side}/{orientation}: {verified.order.words}"
        for (orientation, side), verified in sorted(placer.orders.items())
    ]
    return " | ".join(words) or None


def _tell(
    counts: dict[str, int], progress: _Progress, placer: BoxPlacer, store: Path, *, as_json: bool
) -> None:
    if as_json:
        document: dict[str, JsonValue] = {
            "store": str(store),
            "counts": counts,
            "boxes": _order_words(placer),
            "unplaced": [f"{u.file} {u.position}: {u.reason}" for u in progress.unplaced],
        }
        emit_json(document)
    else:
        show_table(
            "released data set (source 3dreasonknee; see v_released)",
            ["what", "number"],
            [[name.replace("_", " ").replace(".", ": "), n] for name, n in counts.items()],
        )
    n_unplaced = sum(progress.reasons.values())
    if n_unplaced:
        say(f"{n_unplaced} entries could not be placed; the first {len(progress.unplaced)}:")
        for entry in progress.unplaced:
            say(f"  {entry.file} {entry.position}: {entry.reason}")
    say(
        f"{counts['items']} item(s) of {counts['volumes']} volume(s), {counts['grades']} grades; "
        f"{counts['components_unmapped']} component(s) could not be mapped; store: {store}"
    )
