"""Chats to fine-tune a vision-language model on: `messages` and `images`, a JSON object a line.

This is the format that ms-swift reads as it is, and LLaMA-Factory as `sharegpt` (its
`dataset_info.json` is written beside). `images` names pictures in the export, in the order of the
`<image>` marks in the user's message; `slices` says which slice of which volume each is, and
`slices_seen_by_drafter` whether the text was written by one who saw them.
"""

import json
from typing import Any, Final

from knee.answers import StepName
from knee.keys import JsonValue
from stages.export_pictures import ChatPictures
from stages.export_slices import SliceRef, is_seen, slices_of
from stages.export_writers import Row

SYSTEM: Final = "You are a radiologist. You are given a question and slices of a knee MRI."
"""The system message; the same for every row."""
FINAL_MARK: Final = "Final diagnosis:"
"""What stands before the grades, as in the released data set's training code."""
_SIDE_COLUMNS: Final = (
    *("run_id", "volume_id", "question_id", "split", "feature", "region", "box", "box_world"),
    *("grades", "clinician_grades", "components_scored", "complete", "model", "author", "gates"),
    *("grounding", "licence", "image_licence", "model_licence", "synthetic", "selection_weight"),
)


def chat(row: Row, pictures: ChatPictures | None = None) -> Row:
    """Returns a row as a chat: slices and question, then steps and grades.

    Args:
        row: a row of an export with slices.
        pictures: writes them; None leaves references.
    """
    slices = slices_of(row)
    if pictures is not None:
        slices = pictures.draw(row, slices)
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": _shown(slices, row) + str(row["question"])},
        {"role": "assistant", "content": answer(row)},
    ]
    return {
        "messages": messages,
        "images": [one.path for one in slices],
        "slices": [one._asdict() for one in slices],
        "slices_seen_by_drafter": is_seen(row),
        "box_outlined": bool(row["shown_box_drawn"]),
        "source_image": row["image"],
        **{name: row.get(name) for name in _SIDE_COLUMNS},
    }


def _shown(slices: tuple[SliceRef, ...], row: Row) -> str:
    """A line for each slice: its name, its edges, and the mark where the picture goes."""
    lines = [
        f"{one.plane.capitalize()} slice {one.slice_index} (left edge: {one.left}; right edge: "
        f"{one.right}): <image>\n"
        for one in slices
    ]
    return "".join((f"Slices of a {row['side']} knee.\n", *lines)) if lines else ""


def answer(row: Row) -> str:
    """Returns the steps, a paragraph each, and the grades as JSON behind `FINAL_MARK`."""
    grades = json.dumps(scored_grades(row), ensure_ascii=False)
    return "\n".join((*step_texts(row), f"{FINAL_MARK} {grades}"))


def step_texts(row: Row) -> list[str]:
    """Returns the texts of the steps in their order."""
    order = {name.value: number for number, name in enumerate(StepName)}
    steps: list[dict[str, Any]] = sorted(row["steps"], key=lambda step: order[step["name"]])
    return [str(step["text"]) for step in steps]


def scored_grades(row: Row) -> dict[str, int]:
    """Returns component to grade; a component that was not graded is not in it, and never 0."""
    grades: dict[str, int | None] = row["grades"]
    return {
        name: grade
        for name, grade in grades.items()
        if grade is not None and name in row["components_scored"]
    }


def dataset_info(files: dict[str, list[str]]) -> dict[str, JsonValue]:
    """Returns LLaMA-Factory's description of the splits.

    Args:
        files: split to its files; LLaMA-Factory reads a folder as one data set.
    """
    return {
        f"reasonknee_{split}": {
            "file_name": names[0].rpartition("/")[0],
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "images": "images"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
                "system_tag": "system",
            },
        }
        for split, names in files.items()
    }
