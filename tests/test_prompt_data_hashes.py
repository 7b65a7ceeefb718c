"""A prompt's hash covers every data file that its text can come from, and no other.

What a text comes from is not asked of the registry: each data file is changed as it is read,
every prompt is rendered for every feature, and the prompts whose text changed depend on the file.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knee.calibration import load_calibration
from knee.moaks import Feature
from knee.questions import QUESTIONS, Question
from knee.records import Wording
from knee.shown_images import ShownImages, ShownSlice
from prompts import context, examples, judging, question_text
from prompts.bench import bench_context
from prompts.bench_messages import render_bench
from prompts.context import PromptContext
from prompts.examples import DATA
from prompts.judging import QuotedStep, render_judge
from prompts.question_text import QUESTION_FOLDER
from prompts.registry import PromptKind, PromptTemplate, build_prompt, list_prompts
from prompts.render import render_draft
from stages.prompt_sample import sample_context

FILES = sorted((*DATA.rglob("*.*"), *QUESTION_FOLDER.glob("*.*")))
FIRST = [next(q for q in QUESTIONS.values() if q.feature is f) for f in Feature]
CALIBRATION = load_calibration(Path("configs/calibration-demo.toml"))
"""With it the worked examples are shown; without it others are."""
IMAGES_ALONE = (
    "{% block user %}{% if images is not none %}{{ images.planes[0].plane }}{% endif %}"
    "{% endblock %}{% block revise %}{% endblock %}"
)
_CHANGES: tuple[tuple[str, str], ...] = (
    (r'(?m)^(name|where|planes|measure|mimics|scale|limits|statement) = "', r'\1 = "zz '),
    (r'"text": "', '"text": "zz '),
    (r"(?m)^\[concise\]", "[brief]"),
    (r"({% block \w+ %}\n)", r"\1zz "),
    # The planes of a feature: the first of them, and so the slices that are spoken of.
    (r'\["sagittal"', '["axial"'),
)


def _changed(text: str) -> str:
    for pattern, other in _CHANGES:
        text = re.sub(pattern, other, text)
    return text


@pytest.fixture
def touch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Makes one file read as if it were changed; nothing on disk is."""
    read_bytes, read_text = Path.read_bytes, Path.read_text

    def change(target: Path) -> None:
        assert _changed(read_text(target, encoding="utf-8")) != read_text(target, encoding="utf-8")

        def other_bytes(self: Path) -> bytes:
            data = read_bytes(self)
            return _changed(data.decode()).encode() if self == target else data

        def other_text(self: Path, encoding: str | None = None) -> str:
            text = read_text(self, encoding=encoding)
            return _changed(text) if self == target else text

        monkeypatch.setattr(Path, "read_bytes", other_bytes)
        monkeypatch.setattr(Path, "read_text", other_text)
        _forget()

    yield change
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for module in (context, examples, judging, question_text):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _with_slices(question: Question) -> PromptContext:
    plane = context.reading_planes(question)[0]
    shown = ShownImages(
        volume_id="a/V00/right/dess",
        image_sha256="sha256:0",
        percentiles=(1, 99),
        window=(0, 9),
        box_drawn=True,
        slices=(
            ShownSlice(
                position=1,
                plane=plane,
                axis="i",
                index=1,
                left="anterior",
                right="posterior",
                width=9,
                height=9,
                mm_per_pixel=1,
                box_pixels=(1, 1, 2, 2),
                sha256="sha256:0",
            ),
        ),
    )
    plain = sample_context(question, Wording.GUIDED, CALIBRATION)
    images = context._prompt_images(shown)  # pyright: ignore[reportPrivateUsage]
    return plain.model_copy(update={"images": images})


def _bench_texts(prompt: PromptTemplate) -> list[str]:
    contexts = [
        bench_context(
            question,
            question.components,
            side="right",
            sequence="dess",
            guided=True,
            convention="voxels",
            shape=(9, 9, 9),
            pictures=(),
            shown=True,
            percentiles=(1, 99),
            known_indices=(0, 1, 0, 1, 0, 1),
        )
        for question in FIRST
    ]
    return [m.content for shown in contexts for m in render_bench(prompt, shown, ())]


def _texts(prompt: PromptTemplate, contexts: list[PromptContext]) -> list[str]:
    if prompt.kind is PromptKind.BENCH:
        return _bench_texts(prompt)
    steps = [QuotedStep(name="locate", text="x")]
    return [
        message.content
        for shown in contexts
        for message in (
            render_draft(prompt, shown)
            if prompt.kind is PromptKind.DRAFT
            else render_judge(prompt, shown, steps)
        )
    ]


def _state() -> dict[str, tuple[str, list[str]]]:
    """Returns hash and texts of every prompt, as the files read now."""
    contexts = [_with_slices(question) for question in FIRST]
    known = [("images-alone", 1, IMAGES_ALONE, "")]
    known += [(p.prompt_id, p.version, p.source, p.settings_text) for p in list_prompts()]
    prompts = [build_prompt(*parts) for parts in known]
    return {f"{p.prompt_id}@{p.version}": (p.sha256, _texts(p, contexts)) for p in prompts}


@pytest.fixture(scope="module")
def untouched() -> dict[str, tuple[str, list[str]]]:
    _forget()
    return _state()


def test_the_files_are_all_there(untouched: dict[str, tuple[str, list[str]]]):
    assert len(FILES) >= 3 + len(Feature) + 5
    assert {p.suffix for p in FILES} == {".toml", ".jinja2"}
    assert len(untouched) == len(list_prompts()) + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_a_file_changes_in_a_prompt_changes_its_hash(
    path: Path,
    untouched: dict[str, tuple[str, list[str]]],
    touch: Callable[[Path], None],
):
    touch(path)
    now = _state()
    other_text = {name for name, (_, texts) in now.items() if texts != untouched[name][1]}
    other_hash = {name for name, (sha256, _) in now.items() if sha256 != untouched[name][0]}
    assert other_text, "some prompt shows the file"
    assert other_hash == other_text
