"""Chats to fine-tune a vision-language model on: `messages` and `images`, a JSON object a line.

This is the format that ms-swift reads as it is, and LLaMA-Factory as `sharegpt` (its
`dataset_info.json` is written beside). The images themselves are not in the export: `images` names
where the trainer finds them, `slices` says which slice each is.
"""

import json
from typing import Any, Final, NamedTuple

from knee.answers import StepName
from knee.keys import JsonValue
from stages.export_writers import Row

MAX_SLICES: Final = 8
"""Slices of a chat, spread evenly over the box."""
SYSTEM: Final = "You are a radiologist. You are given a question and slices of a knee MRI."
"""The system message; the same for every row."""
FINAL_MARK: Final = "Final diagnosis:"
"""What stands before the grades, as in the released data set's training code."""
_SIDE_COLUMNS: Final = (
    *("run_id", "volume_id", "question_id", "split", "feature", "region", "box", "box_world"),
    *("grades", "clinician_grades", "components_scored", "complete", "model", "author", "gates"),
    *("grounding", "licence", "image_licence", "model_licence", "synthetic", "selection_weight"),
)


class SliceRef(NamedTuple):
    """One slice of a volume."""

    path: str
    """Where the trainer finds it, relative to its image folder."""
    plane: str
    """`sagittal`, `coronal` or `axial`."""
    axis: int
    """Axis of the stored array on which slices of this plane are counted, 0-2."""
    slice_index: int
    """Index along it."""


def slices_of(row: Row) -> tuple[SliceRef, ...]:
    """Returns the sagittal slices that a chat shows: evenly spread over the box, ends included.

    The seam for slices that a drafter was really shown: where the store knows them, they belong
    here instead.

    Raises:
        KeyError: the row has no box or axis; `chat` leaves those without images.
    """
    axis, box = int(row["slice_axis"]), row["box"]
    first = int(box[("i0", "j0", "k0")[axis]])
    last = int(box[("i1", "j1", "k1")[axis]]) - 1
    n_slices = min(MAX_SLICES, last - first + 1)
    indices = [
        first + round(number * (last - first) / max(1, n_slices - 1)) for number in range(n_slices)
    ]
    folder = str(row["volume_id"]).replace("/", "_")
    return tuple(
        SliceRef(f"slices/{folder}/sagittal-{index:04d}.png", "sagittal", axis, index)
        for index in indices
    )


def chat(row: Row) -> Row:
    """Returns a row as a chat: slices and question, then steps and grades."""
    slices = slices_of(row) if row["box"] is not None and row["slice_axis"] is not None else ()
    shown = ", ".join(str(one.slice_index) for one in slices)
    where = f"Sagittal slices {shown} of a {row['side']} knee.\n" if slices else ""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "<image>" * len(slices) + where + str(row["question"])},
        {"role": "assistant", "content": answer(row)},
    ]
    return {
        "messages": messages,
        "images": [one.path for one in slices],
        "slices": [one._asdict() for one in slices],
        "source_image": row["image"],
        **{name: row.get(name) for name in _SIDE_COLUMNS},
    }


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
