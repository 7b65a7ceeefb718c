"""The layout of the released 3DReasonKnee data set, the counterpart of `import-release`.

What is assumed of it is in `tools/release_layout.toml`. The order of the six numbers of a box is
inferred from two question texts; the export says so, and which axes it took.
"""

import csv
import json
from collections.abc import Iterable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Final

from knee.errors import InputError
from knee.geometry import to_release_order, voxel_box
from knee.keys import JsonValue
from knee.moaks import Component
from knee.questions import QUESTIONS
from knee.records import Wording
from knee.splits import Split
from prompts.question_text import question_text
from stages.export_chat import FINAL_MARK, scored_grades, step_texts
from stages.export_folder import write_json
from stages.export_writers import Files, Row, Shard
from store.export import ExportRows, Table
from tools.release_layout import ReleaseLayout, load_layout

STAMP: Final = "box_order.json"
"""Beside the data: how boxes are to be read."""
_SEQUENCE = "dess"
_SIDES = {"right": "RIGHT", "left": "LEFT"}


def check_fits(rows: ExportRows) -> None:
    """Refuses what the layout cannot say.

    Raises:
        InputError: rows without a released split, of a visit or sequence that the release does not
            know, or an item twice.
    """
    if set(rows.splits) - set(Split):
        raise InputError(
            f"{rows.splits.get('unassigned', 0)} rows have no split: the release's layout has "
            "train, val and test",
            "run `splits assign --store` first",
        )
    visits = set(_times(load_layout()))
    found = rows.fetch(
        "SELECT DISTINCT v.visit, v.sequence, c.volume_id FROM chosen c JOIN volumes v "
        "USING (volume_id) ORDER BY c.volume_id"
    )
    for visit, sequence, volume_id in found:
        if visit not in visits or sequence != _SEQUENCE:
            raise InputError(
                f"volume {volume_id!r}: the release's layout has no visit {visit!r} of "
                f"sequence {sequence!r}",
                f"leave it out with --where; visits are {sorted(visits)!r}, sequence {_SEQUENCE!r}",
            )
    twice = rows.fetch(
        "SELECT volume_id, question_id FROM chosen GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"
    )
    if twice:
        raise InputError(
            f"question {twice[0][1]} of {twice[0][0]!r} is selected from several runs",
            "the layout has one answer for each; name one run",
        )


def write_questions(folder: Path, wording: Wording) -> None:
    """Writes the question file and the stamp."""
    layout = load_layout()
    target = folder / layout.folders.questions
    target.mkdir(parents=True)
    texts: dict[str, JsonValue] = {str(n): release_prompt(n, wording) for n in QUESTIONS}
    write_json(target / layout.files.questions[0], texts)
    stamp: dict[str, JsonValue] = {
        "box_order": "inferred",
        "order": list(layout.boxes.order),
        "slice_axis": "the axis of the stored array that runs left-right, from its stored end",
        "x_axis": "the first of the two other array axes",
        "y_axis": "the second of them",
        "start": "0-based",
        "end": "exclusive",
        "source": "questions 58 and 59 of the released question files name four of the six numbers;"
        " axes, origin and ends are this program's choice",
    }
    write_json(folder / STAMP, stamp)


class ReleaseItems(Files):
    """The item file of one split: a JSON list."""

    def name_of(self, number: int) -> str:
        """Returns the path of the split's file."""
        layout = load_layout()
        return f"{layout.folders.items}/{layout.files.items[Split(self.split)]}"

    def add(self, table: Table) -> None:
        """Writes a table; there are no shards."""
        if not self.shards:
            super().add(table.slice(0, 0))
        self.write(table)
        self.shards[-1] = Shard(self.shards[-1].name, self.shards[-1].rows + table.num_rows)

    def open(self, path: Path, stack: ExitStack) -> None:
        """Opens the list; the stack ends it."""
        self._file = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        self._file.write("[")
        stack.callback(self._file.write, "\n]\n")

    def write(self, table: Table) -> None:
        """Writes an entry for each row."""
        for row in table.to_pylist():
            self._file.write("\n" if self._is_first else ",\n")
            self._file.write(json.dumps(item(row), ensure_ascii=False, allow_nan=False))
            self._is_first = False

    _is_first = True


def write_volumes(folder: Path, split: str, volumes: Iterable[Row]) -> None:
    """Writes the split file of one split.

    Args:
        folder: the export.
        split: train, val or test.
        volumes: its volumes in order: patient, visit, side, image, label_map.
    """
    layout = load_layout()
    columns, times = layout.split_columns, _times(layout)
    path = folder / layout.folders.splits / layout.files.splits[Split(split)]
    path.parent.mkdir(parents=True, exist_ok=True)
    names = (columns.patient, columns.time, columns.side, columns.image, columns.label_map)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for volume in volumes:
            side, time = _SIDES[volume["side"]], times[volume["visit"]]
            image = image_path(volume)
            writer.writerow([volume["patient"], time, side, image, volume["label_map"]])


def item(row: Row) -> dict[str, str]:
    """Returns a row as an item: image, prompt, answer with reasoning and box, final diagnosis."""
    keys = load_layout().item_keys
    final = final_diagnosis(row)
    parts = step_texts(row)
    if row["box"] is not None and row["slice_axis"] is not None:
        box = voxel_box(*(int(row["box"][name]) for name in ("i0", "i1", "j0", "j1", "k0", "k1")))
        parts.append(f"Bounding box: {list(to_release_order(box, int(row['slice_axis'])))}")
    return {
        keys.image: image_path(row),
        keys.prompt: release_prompt(int(row["question_id"]), Wording(row["wording"])),
        keys.answer: "\n".join((*parts, f"{FINAL_MARK} {final}")),
        keys.final: final,
    }


def final_diagnosis(row: Row) -> str:
    """Returns the grades in the release's answer format; what was not graded is left out."""
    number = int(row["question_id"])
    grades = scored_grades(row)
    fields = _fields(number)
    values = {fields[c]: grades[c.value] for c in fields if c.value in grades}
    names = load_layout().answers
    return json.dumps({names.wrappers[0]: {names.keys[number]: values}}, ensure_ascii=False)


@lru_cache(maxsize=256)
def release_prompt(question_id: int, wording: Wording) -> str:
    """Returns a question with its answer format, as the release's prompts end."""
    question = QUESTIONS[question_id]
    fields = {
        name: f"(grade from {question.scale(c).grades[0]}-{question.scale(c).grades[-1]})"
        for c, name in _fields(question_id).items()
    }
    names = load_layout().answers
    shown = json.dumps({names.wrappers[0]: {names.keys[question_id]: fields}}, ensure_ascii=False)
    for placeholder in fields.values():
        shown = shown.replace(f'"{placeholder}"', placeholder)
    text = question_text(question_id, wording, question.components)
    return f"{text}\nThe output format should be a JSON object with the MOAKS scores: {shown}"


def image_path(row: Row) -> str:
    """Returns the path that names a volume; the label map's where there is no image."""
    return str(row["image"] or row["label_map"])


def _fields(question_id: int) -> dict[Component, str]:
    aliases = load_layout().answers.fields[QUESTIONS[question_id].feature]
    return {c: aliases[c][0] for c in QUESTIONS[question_id].components}


def _times(layout: ReleaseLayout) -> dict[str, str]:
    """Visit to the release's word for it."""
    return {visit: time for time, visit in reversed(layout.times.items())}
