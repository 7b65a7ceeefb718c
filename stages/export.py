"""`export`: accepted quintuples as a folder to train on, with its card and checksums."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from knee.errors import InputError
from knee.keys import JsonValue
from knee.moaks import Component
from knee.records import Wording
from knee.splits import Split
from prompts.question_text import question_text
from stages.console import emit_json, say
from stages.export_card import card
from stages.export_chat import chat, dataset_info
from stages.export_folder import export_folder, write_json
from stages.export_pictures import PLAIN, ChatPictures, Renaming
from stages.export_release import ReleaseItems, check_fits, write_questions, write_volumes
from stages.export_renamed import renamed
from stages.export_writers import (
    GROUP_ROWS,
    SHARD_ROWS,
    Files,
    JsonLines,
    ParquetFiles,
    Row,
    Shard,
    regroup,
)
from stages.pseudonyms import Pseudonyms, read_key
from store.connection import open_store
from store.export import ExportRequest, ExportRows, Schema, open_export
from store.export_facts import ExportFacts, known_ids, load_facts
from store.migrations import APPLICATION, SCHEMA_VERSION
from store.shown_image_rows import stored_images

FORMATS: Final = ("parquet", "jsonl", "sft-chat", "release")
"""What `--format` may name."""
MANIFEST: Final = "manifest.json"
"""What was exported, for programs."""
CARD: Final = "README.md"
"""The data card."""
_WITH_ANSWERS = ("sft-chat", "release")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the command line says."""

    store: Path
    """The DuckDB file."""
    out: Path
    """Folder to make."""
    request: ExportRequest
    """Which rows."""
    output_format: str = "parquet"
    """One of `FORMATS`."""
    key_file: Path | None = None
    """Pseudonymises with this key."""
    with_images: bool = False
    """Chats: draws their slices into the export."""
    cohort_root: Path | None = None
    """Where the images lie now; None takes where they were prepared."""
    as_json: bool = False
    """Print counts on stdout."""


def export(options: ExportOptions) -> int:
    """Writes an export and returns 0.

    Raises:
        InputError: the folder holds something, nothing matches, a mixture is not named, or the
            format cannot say what is selected.
        StoreError: the store cannot be read, or the disk is full (exit code 3).
    """
    if not options.request.reference_grades and options.output_format in _WITH_ANSWERS:
        raise InputError(
            f"format {options.output_format!r} is made of answers, which hold the grades",
            "without reference grades take parquet or jsonl; `attach-grades` completes them",
        )
    is_chat = options.output_format == "sft-chat"
    if options.with_images and not is_chat:
        raise InputError(
            f"format {options.output_format!r} has no pictures", "--with-images is for sft-chat"
        )
    names = None if options.key_file is None else _pseudonyms(options.store, options.key_file)
    # The folder comes first: what is wrong with it is told before the store is searched.
    with (
        export_folder(options.out) as folder,
        open_export(
            options.store,
            options.request._replace(slices=is_chat),
            question_words,
        ) as rows,
    ):
        facts = load_facts(rows)
        pictures = _pictures(folder, rows, options, names) if options.with_images else None
        shards = _write(folder, rows, options.output_format, names, pictures)
        manifest = _manifest(rows, facts, options, shards, names)
        write_json(folder / MANIFEST, manifest)
        text = card(rows, facts, manifest, names)
        (folder / CARD).write_text(text, encoding="utf-8")
    _tell(rows, facts, shards, options)
    if pictures is not None:
        say(f"{pictures.n_written} picture(s) drawn; those that a drafter saw are the very same")
    return 0


def _pictures(
    folder: Path, rows: ExportRows, options: ExportOptions, names: Pseudonyms | None
) -> ChatPictures:
    found = rows.fetch(
        "SELECT run_id, images FROM runs SEMI JOIN chosen USING (run_id) WHERE images IS NOT NULL"
    )
    runs = {str(run_id): str(images) for run_id, images in found}
    naming = PLAIN if names is None else Renaming(names.volume, names.run, names.digest)
    return ChatPictures(folder, stored_images(rows.con), runs, options.cohort_root, naming)


def _pseudonyms(store: Path, key_file: Path) -> Pseudonyms:
    key = read_key(key_file)
    with open_store(store, read_only=True) as con:
        patients, paths = known_ids(con)
    return Pseudonyms(key, patients, paths)


def question_words(question_id: int, wording: str, components: tuple[str, ...]) -> str:
    """Returns the text of a question as its rows have it."""
    chosen = tuple(Component(component) for component in components)
    return question_text(question_id, Wording(wording), chosen)


def _write(
    folder: Path,
    rows: ExportRows,
    output_format: str,
    names: Pseudonyms | None,
    pictures: ChatPictures | None,
) -> dict[str, list[Shard]]:
    """Writes all splits in one pass; returns the files of each."""
    splits = dict(rows.splits)
    if output_format == "release":
        _write_release(folder, rows, names)
        splits = {split.value: splits.get(split.value, 0) for split in Split}
    schema = rows.schema if names is None else names.schema(rows.schema)
    as_chat = None if output_format != "sft-chat" else partial(chat, pictures=pictures)
    with ExitStack() as stack:
        files = {
            split: _files(folder, split, n_rows, output_format, schema, as_chat)
            for split, n_rows in splits.items()
        }
        for one in files.values():
            stack.callback(one.close)
        if output_format == "release":
            # All three files, also of splits that are empty: readers expect them.
            for one in files.values():
                one.add(schema.empty_table())
        tables = rows.tables()
        if names is not None:
            tables = stack.enter_context(renamed(tables, names, folder))
        for split, table in regroup(tables):
            files[split].add(table)
    shards = {split: one.shards for split, one in files.items()}
    if output_format == "sft-chat":
        listed = {split: [shard.name for shard in parts] for split, parts in shards.items()}
        write_json(folder / "dataset_info.json", dataset_info(listed))
    return shards


def _files(
    folder: Path,
    split: str,
    n_rows: int,
    output_format: str,
    schema: Schema,
    as_chat: Callable[[Row], Row] | None,
) -> Files:
    if output_format == "parquet":
        return ParquetFiles(folder, split, n_rows, schema)
    if output_format == "release":
        return ReleaseItems(folder, split, n_rows)
    return JsonLines(folder, split, n_rows, as_chat)


def _write_release(folder: Path, rows: ExportRows, names: Pseudonyms | None) -> None:
    """Writes question and split files."""
    check_fits(rows)
    wordings = rows.fetch("SELECT DISTINCT wording FROM chosen ORDER BY 1")
    write_questions(folder, Wording(wordings[0][0]))
    columns: tuple[str, ...] = ("volume_id", "patient", "visit", "side", "image", "label_map")
    columns = (*columns, "split")
    found = rows.fetch(
        f"SELECT {', '.join(columns)} FROM volumes "
        "WHERE volume_id IN (SELECT volume_id FROM chosen)"
    )
    volumes: list[Row] = [dict(zip(columns, values, strict=True)) for values in found]
    if names is not None:
        volumes = [names.row(volume) for volume in volumes]
    volumes.sort(key=lambda volume: str(volume["volume_id"]))
    for split in Split:
        write_volumes(folder, split.value, (v for v in volumes if v["split"] == split.value))


def _manifest(
    rows: ExportRows,
    facts: ExportFacts,
    options: ExportOptions,
    shards: dict[str, list[Shard]],
    names: Pseudonyms | None,
) -> dict[str, JsonValue]:
    request = options.request
    run_ids = list(rows.run_ids if names is None else map(names.run, rows.run_ids))
    columns = [name for name in rows.columns if names is None or names.keeps(name)]
    document: dict[str, Any] = {
        "application": APPLICATION,
        "schema_version": SCHEMA_VERSION,
        "format": options.output_format,
        "rows": rows.total,
        "rows_per_shard": SHARD_ROWS if options.output_format != "release" else None,
        "rows_per_group": GROUP_ROWS if options.output_format == "parquet" else None,
        "run_ids": sorted(run_ids),
        "where": request.where,
        "label_given": request.label_given,
        "synthetic": request.synthetic,
        "reference_grades": request.reference_grades,
        "pictures": options.with_images,
        "pseudonym_key": None if names is None else names.key_name,
        **facts.as_json(),
        "columns": columns,
        "splits": {
            split: {"rows": sum(part.rows for part in parts), "files": [p.name for p in parts]}
            for split, parts in shards.items()
        },
        "files": [
            {"name": part.name, "rows": part.rows} for parts in shards.values() for part in parts
        ],
    }
    if names is not None:
        kept = {key: document[key] for key in ("run_ids", "columns", "files", "splits")}
        document = {**document, "where": _hidden(request.where)}
        document = {**{k: names.value(v) for k, v in document.items()}, **kept}
    return document


def _hidden(where: str | None) -> str | None:
    """A condition may name patients; that there was one is told."""
    return None if where is None else "(not shown: pseudonymised)"


def _tell(
    rows: ExportRows, facts: ExportFacts, shards: dict[str, list[Shard]], options: ExportOptions
) -> None:
    if options.as_json:
        emit_json(
            {
                "folder": str(options.out),
                "rows": rows.total,
                "files": sum(len(parts) for parts in shards.values()),
                "splits": dict(rows.splits),
            }
        )
    if facts.n_restricted and options.request.reference_grades:
        say(
            f"{facts.n_restricted} row(s) are of restricted volumes: texts and grades fall under "
            "their terms; --no-reference-grades leaves out what follows from a clinician's grade"
        )
    by_split = ", ".join(f"{split} {n}" for split, n in rows.splits.items())
    say(f"{rows.total} quintuple(s) in {options.out}: {by_split}")
