"""Released items as records: volume, question, grades beside the label tables, box."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from knee.keys import parse_volume_id
from knee.moaks import Component, illegal_combinations
from knee.questions import QUESTIONS
from knee.released import ReleasedGrade, ReleasedItem, ReleasedVolume
from tools.release_answers import ReleasedAnswer, question_in, read_answer
from tools.release_files import RawItem, item_files, read_items
from tools.release_labels import LabelTables
from tools.release_masks import BoxCandidate, BoxPlacer

_SAMPLE_STRIDE = 97
"""Every so manieth item is tried as a sample: prime to 62, so that all questions come up."""


class Unplaced(NamedTuple):
    """An entry that has no volume or question; it is counted and told, not stored."""

    file: str
    """File name."""
    position: int
    """Place in the file, from 0."""
    reason: str
    """`code: detail`."""


class ItemReader:
    """Turns entries of the item files into records."""

    def __init__(
        self,
        volumes: tuple[ReleasedVolume, ...],
        questions: Mapping[str, Mapping[int, str]],
        labels: LabelTables,
    ) -> None:
        self._by_image = {volume.image: volume for volume in volumes}
        self._by_end: dict[tuple[str, ...], ReleasedVolume | None] = {}
        for volume in volumes:
            end = _end(volume.image)
            # Two images with one end: it names neither.
            self._by_end[end] = None if end in self._by_end else volume
        self._questions = {
            _plain(text): number for texts in questions.values() for number, text in texts.items()
        }
        self._labels = labels

    def volume_of(self, image: str) -> ReleasedVolume | None:
        """Returns the volume of an image path: the same path, or the same last three parts."""
        return self._by_image.get(image) or self._by_end.get(_end(image))

    def question_of(self, prompt: str) -> int | None:
        """Returns the question of a prompt: the same text, or the only answer key it shows."""
        return self._questions.get(_plain(prompt)) or question_in(prompt)

    def candidates(self, root: Path) -> Iterator[BoxCandidate]:
        """Yields boxes to verify, spread over all files, volumes and questions.

        First every 97th item, then the others, so that a small release has enough of them.
        """
        for is_spread in (True, False):
            for path in item_files(root).values():
                for raw in read_items(path):
                    if (raw.position % _SAMPLE_STRIDE == 0) is not is_spread:
                        continue
                    volume, number = self.volume_of(raw.image), self.question_of(raw.prompt)
                    if volume is None or number is None:
                        continue
                    answer = read_answer(raw.answer, number, raw.final)
                    if answer.box is not None:
                        yield BoxCandidate(volume, number, answer.box)

    def items(self, root: Path, placer: BoxPlacer) -> Iterator[ReleasedItem | Unplaced]:
        """Yields every entry of all item files as a record, or why it has none."""
        seen: dict[tuple[str, int], str] = {}
        for split, path in item_files(root).items():
            for raw in read_items(path):
                volume, number = self.volume_of(raw.image), self.question_of(raw.prompt)
                where = f"{path.name} {raw.position}"
                if volume is None:
                    reason = f"unknown_image: {raw.image!r} is in no split file"
                elif number is None:
                    reason = f"unknown_question: {raw.prompt[:80]!r}"
                elif volume.split is not split:
                    reason = f"other_split: {volume.volume_id!r} is released as {volume.split!r}"
                elif (volume.volume_id, number) in seen:
                    reason = f"repeated: as {seen[volume.volume_id, number]}"
                else:
                    seen[volume.volume_id, number] = where
                    yield self._item(raw, volume, number, path.name, placer)
                    continue
                yield Unplaced(path.name, raw.position, reason)

    def _item(
        self, raw: RawItem, volume: ReleasedVolume, number: int, file: str, placer: BoxPlacer
    ) -> ReleasedItem:
        answer = read_answer(raw.answer, number, raw.final)
        box, reason = placer.place(volume, answer.box)
        is_follow_up = parse_volume_id(volume.volume_id).is_follow_up
        illegal = illegal_combinations(
            QUESTIONS[number].feature, answer.grades, is_follow_up=is_follow_up
        )
        unmapped = [f"{component.value}: {why}" for component, why in answer.unmapped.items()]
        return ReleasedItem(
            volume_id=volume.volume_id,
            question_id=number,
            text=answer.reasoning,
            raw_answer=answer.final,
            raw_box=answer.box,
            box=box,
            box_reason=reason,
            problems=(*unmapped, *answer.notes, *(f"illegal: {text}" for text in illegal)),
            grades=tuple(
                self._grade(answer, volume, number, component)
                for component in QUESTIONS[number].components
            ),
            file=file,
            position=raw.position,
        )

    def _grade(
        self, answer: ReleasedAnswer, volume: ReleasedVolume, number: int, component: Component
    ) -> ReleasedGrade:
        grade = answer.grades.get(component)
        knee_visit = (volume.patient, volume.visit, volume.side)
        compared = self._labels.compare(knee_visit, (number, component), grade)
        return ReleasedGrade(
            component=component,
            grade=grade,
            problem=answer.unmapped.get(component),
            label_status=compared.status if compared else None,
            label_grades=compared.grades if compared else None,
            flag=compared.flag if compared else None,
        )


def _plain(text: str) -> str:
    return " ".join(text.split())


def _end(image: str) -> tuple[str, ...]:
    return tuple(image.replace("\\", "/").split("/")[-3:])
