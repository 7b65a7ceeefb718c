"""Reads the files of the released data set, by the assumptions of `release_layout.toml`.

A file that is not as assumed stops the import with the assumption named; nothing is guessed.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from knee.errors import InputError, KneeError
from knee.keys import HASH_PREFIX, JsonValue, parse_volume_id
from knee.questions import QUESTIONS
from knee.released import ReleasedVolume
from knee.splits import Split
from tools.cohort import list_problems
from tools.release_answers import question_in
from tools.release_layout import LAYOUT_FILE, ReleaseLayout, load_layout

_CHUNK = 1 << 20
"""Characters of an item file that are read at a time."""


class RawItem(NamedTuple):
    """One entry of an item file."""

    image: str
    """Path of the image."""
    prompt: str
    """The question."""
    answer: JsonValue
    """Reasoning, and perhaps the final answer."""
    final: JsonValue
    """The final answer."""
    position: int
    """Place in the file, from 0."""


def assumption_fails(what: str, part: str) -> InputError:
    """Returns the error for a release that is not as assumed."""
    return InputError(
        f"the release is not as assumed: {what}",
        f"the assumption is {part} in {LAYOUT_FILE.name}; correct it there if your copy differs",
    )


def read_released_volumes(root: Path) -> tuple[ReleasedVolume, ...]:
    """Returns the rows of all split files, in their order.

    Raises:
        InputError: a file or column is missing, or rows are wrong: unknown time or side, a
            knee-visit twice, a patient in two splits (first 20 and their number).
    """
    layout = load_layout()
    volumes: list[ReleasedVolume] = []
    problems: list[str] = []
    for split in Split:
        name = layout.files.splits.get(split)
        if name is None:
            raise assumption_fails(f"no file for split {split.value!r}", "[files] splits")
        path = root / layout.folders.splits / name
        for line, row in _split_rows(path, layout):
            try:
                volumes.append(_volume(row, split, layout))
            except KneeError as error:
                problems.append(f"{name} line {line}: {error.message}")
    problems += _repeats(volumes)
    if not volumes and not problems:
        problems = ["they list no volume"]
    if problems:
        raise InputError(
            f"the split files of {str(root)!r} have {list_problems(problems)}",
            f"times and sides are in {LAYOUT_FILE.name}; a patient is in one split",
        )
    return tuple(volumes)


def read_released_splits(root: Path) -> dict[str, Split]:
    """Returns patient to released split, from the release's folder.

    Raises:
        InputError: as `read_released_volumes`.
    """
    return {volume.patient: volume.split for volume in read_released_volumes(root)}


def read_questions(root: Path) -> dict[str, dict[int, str]]:
    """Returns file name to question id to text, of all question files.

    Raises:
        InputError: none is there, or one is not of the form `{"1": "text"}`, or a text shows
            another question's answer key than the catalogue has under its id.
    """
    layout = load_layout()
    folder = root / layout.folders.questions
    files = {name: folder / name for name in layout.files.questions if (folder / name).exists()}
    if not files:
        raise assumption_fails(
            f"none of {list(layout.files.questions)!r} in {str(folder)!r}", "[files] questions"
        )
    return {name: read_question_file(path) for name, path in files.items()}


def read_question_file(path: Path) -> dict[int, str]:
    """Returns question id to text of one question file; see `read_questions`."""
    data = _load_json(path)
    problems: list[str] = []
    questions: dict[int, str] = {}
    for key, text in data.items() if isinstance(data, dict) else ():
        number = int(key) if str(key).isdecimal() else 0
        if number not in QUESTIONS or not isinstance(text, str):
            problems.append(f"{key!r} is no question id from 1 to 69 with a text")
            continue
        shown = question_in(text)
        if shown != number:
            problems.append(f"question {number}: its text shows the answer key of {shown!r}")
        questions[number] = text
    if not questions and not problems:
        problems = ["it is no object of question id to text"]
    if problems:
        raise InputError(
            f"question file {str(path)!r} has {list_problems(problems)}",
            f"the answer keys are in {LAYOUT_FILE.name}, [answers.keys]",
        )
    return questions


def read_templates(root: Path) -> frozenset[str] | None:
    """Returns all reasoning templates without surrounding space; None when the file is absent.

    How the mapping is nested does not matter: every text in it counts.
    """
    layout = load_layout()
    path = root / layout.folders.questions / layout.files.texts
    if not path.exists():
        return None
    return frozenset(text.strip() for text in _texts_in(_load_json(path)) if text.strip())


def read_subregions(root: Path) -> dict[int, tuple[str, ...]] | None:
    """Returns question id to the names of its subregions' masks; None when the file is absent.

    Raises:
        InputError: it is not of the form `{"1": "name"}` or `{"1": ["name", …]}`.
    """
    layout = load_layout()
    path = root / layout.folders.questions / layout.files.subregions
    if not path.exists():
        return None
    data = _load_json(path)
    subregions: dict[int, tuple[str, ...]] = {}
    for key, value in data.items() if isinstance(data, dict) else ():
        names = [value] if isinstance(value, str) else value
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not str(key).isdecimal() or not is_list:
            raise assumption_fails(
                f"{path.name!r} has {key!r}: {value!r}, not a question id and its subregion(s)",
                "[files] subregions",
            )
        subregions[int(key)] = tuple(names)
    if not subregions:
        raise assumption_fails(f"{path.name!r} is no object", "[files] subregions")
    return subregions


def item_files(root: Path) -> dict[Split, Path]:
    """Returns the item file of each split.

    Raises:
        InputError: one is missing.
    """
    layout = load_layout()
    paths = {s: root / layout.folders.items / name for s, name in layout.files.items.items()}
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        raise assumption_fails(f"no item file {missing[0]!r}", "[files] items")
    return paths


def read_items(path: Path) -> Iterator[RawItem]:
    """Yields the items of a file; memory holds one chunk, whatever the file's size.

    Raises:
        InputError: it is not a JSON list of objects with the assumed keys.
    """
    keys = load_layout().item_keys
    for position, item in enumerate(_stream_list(path)):
        wanted = (keys.image, keys.prompt, keys.answer)
        missing = [key for key in wanted if not isinstance(item, dict) or key not in item]
        if missing:
            raise assumption_fails(
                f"entry {position} of {path.name!r} has no {missing[0]!r}", "[item_keys]"
            )
        image, prompt = item[keys.image], item[keys.prompt]
        if not isinstance(image, str) or not isinstance(prompt, str):
            raise assumption_fails(
                f"entry {position} of {path.name!r}: image or prompt is no text", "[item_keys]"
            )
        yield RawItem(image, prompt, item[keys.answer], item.get(keys.final), position)


def files_hash(paths: list[Path], root: Path) -> str:
    """Returns one hash over the names and bytes of files."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()}\0{digest}\n".encode())
    return HASH_PREFIX + whole.hexdigest()


def _split_rows(path: Path, layout: ReleaseLayout) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise assumption_fails(f"no split file {str(path)!r}", "[files] splits") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}", "check the file") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = layout.split_columns.model_dump().values()
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise assumption_fails(
            f"{path.name!r} has no column {missing[0]!r}; found {reader.fieldnames!r}",
            "[split_columns]",
        )
    for row in reader:
        yield reader.line_num, {column: (row[column] or "").strip() for column in columns}


def _volume(row: dict[str, str], split: Split, layout: ReleaseLayout) -> ReleasedVolume:
    columns = layout.split_columns
    visit = layout.times.get(row[columns.time].upper())
    side = layout.sides.get(row[columns.side].upper().removesuffix(".0"))
    patient = row[columns.patient].removesuffix(".0")
    if visit is None:
        raise InputError(f"time {row[columns.time]!r} is none of {list(layout.times)!r}")
    if side is None:
        raise InputError(f"side {row[columns.side]!r} is none of {list(layout.sides)!r}")
    if not row[columns.image]:
        raise InputError("no image path")
    key = parse_volume_id(f"{patient}/{visit}/{side.value}")
    return ReleasedVolume(
        volume_id=key.volume_id,
        patient=patient,
        visit=visit,
        side=side.value,
        split=split,
        image=row[columns.image],
        label_map=row[columns.label_map],
    )


def _repeats(volumes: list[ReleasedVolume]) -> list[str]:
    problems: list[str] = []
    seen: set[str] = set()
    images: dict[str, str] = {}
    splits: dict[str, Split] = {}
    for volume in volumes:
        if volume.volume_id in seen:
            problems.append(f"volume {volume.volume_id!r} is there twice")
        seen.add(volume.volume_id)
        owner = images.setdefault(volume.image, volume.volume_id)
        if owner != volume.volume_id:
            problems.append(f"image {volume.image!r} is of {owner!r} and {volume.volume_id!r}")
        first = splits.setdefault(volume.patient, volume.split)
        if first is not volume.split:
            problems.append(
                f"patient {volume.patient!r} is in {first.value!r} and {volume.split.value!r}"
            )
    return problems


def _load_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {str(path)!r}", "check the folder") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is not JSON: {error}", "check the file") from error


def _texts_in(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _texts_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts_in(entry)


def _stream_list(path: Path) -> Iterator[Any]:
    """Yields the entries of a JSON list, decoded one by one."""
    decoder = json.JSONDecoder()
    buffer, position, ended = "", 0, False
    try:
        with path.open(encoding="utf-8") as file:
            buffer = file.read(_CHUNK).lstrip("\ufeff \t\r\n")
            if not buffer.startswith("["):
                raise assumption_fails(f"{path.name!r} is no JSON list", "[files] items")
            position = 1
            while True:
                position = _skip(buffer, position)
                if buffer[position : position + 1] == "]":
                    return
                try:
                    value, end = decoder.raw_decode(buffer, position)
                    # A number at the very end may go on in the next chunk; objects may not.
                    is_whole = end < len(buffer) or ended
                except json.JSONDecodeError as error:
                    if ended:
                        raise _not_json(path, error) from error
                    value, end, is_whole = None, position, False
                if is_whole:
                    yield value
                    position = end
                    continue
                more = file.read(_CHUNK)
                ended = not more
                buffer, position = buffer[position:] + more, 0
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}", "check the file") from error


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n,":
        position += 1
    return position


def _not_json(path: Path, error: json.JSONDecodeError) -> InputError:
    return InputError(
        f"{str(path)!r} is not a whole JSON list: {error.msg} near its end",
        "the file may be cut off; download it again",
    )
