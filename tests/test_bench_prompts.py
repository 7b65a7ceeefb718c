"""The five bench prompts for all 69 questions: rendered whole, without a grade, and hashed."""

import json
from pathlib import Path

import pytest

from eval.bench_config import BenchModel, PictureSettings
from eval.bench_files import read_bench
from eval.bench_prompts import ask, setting_prompt
from eval.bench_records import BenchComponent, BenchItem, Coordinates, Setting
from eval.pictures import blank_volume, draw_series
from knee.anatomy import Side
from knee.errors import InputError
from knee.geometry import voxel_box
from knee.questions import QUESTIONS
from prompts.registry import PromptKind, build_prompt, list_prompts, load_prompt_for
from tests.bench_knees import write_small_bench
from tests.stub_server import minimal_answer

PICTURES = PictureSettings(n_slices=3, max_pixels=64)
BOX = voxel_box(6, 12, 10, 22, 14, 20)


@pytest.fixture(scope="module")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    return write_small_bench(folder, codes=("RAS",), question_ids=(4,))


def item(question_id: int, volume_id: str) -> BenchItem:
    question = QUESTIONS[question_id]
    components = tuple(
        BenchComponent(component=c, grade=0, accepted=(0,), readprj=("SECRETPRJ",))
        for c in question.components
    )
    return BenchItem(
        volume_id=volume_id,
        question_id=question_id,
        box=None,
        box_source=None,
        box_reason="none",
        components=components,
    )


@pytest.mark.parametrize("setting", Setting)
@pytest.mark.parametrize("coordinates", Coordinates)
def test_every_question_is_put_in_every_setting(
    bench_folder: Path, setting: Setting, coordinates: Coordinates
):
    (volume,) = read_bench(bench_folder).volumes.values()
    planes = ("sagittal", "coronal")
    series = draw_series(blank_volume(volume), Side.RIGHT, planes, (0, 1), PICTURES)
    template = setting_prompt(setting, 1)
    model = BenchModel(
        base_url="http://127.0.0.1:1/v1",
        model="m",
        licence="none",
        coordinates=coordinates,
        tokens_per_image=1,
    )
    features = {question.feature: number for number, question in QUESTIONS.items()}
    for number, question in QUESTIONS.items():
        if coordinates is not Coordinates.PIXELS_SENT and number not in features.values():
            continue
        asked_item = item(number, volume.volume_id)
        for box in (None, BOX):
            asked = ask(
                asked_item,
                volume,
                series,
                box,
                setting=setting,
                template=template,
                model=model,
                pictures=PICTURES,
                shown=True,
            )
            text = "".join(message.content for message in asked.messages)
            assert question.region_name in text
            assert all(f"{c.value}: one of 0, 1" in text for c in question.components)
            assert "4 to 6: coronal slices" in text
            for secret in ("SECRETPRJ", volume.patient, "{{", "{%"):
                assert secret not in text
            assert ("could not be had" in text) is (
                box is None and setting in (Setting.REGION_CROP, Setting.GIVEN_BOX)
            )
            answer = minimal_answer(dict(asked.schema))
            keys = ["reasoning", "box", "grades"] if setting is Setting.LOCALISE else None
            assert list(answer) == (keys or ["reasoning", "grades"])
            assert list(answer["grades"]) == [c.value for c in question.components]
            json.dumps(asked.schema)
            assert len(asked.messages[-1].images) == 6


def test_indices_in_words_are_those_at_the_edges_of_a_slice(bench_folder: Path):
    (volume,) = read_bench(bench_folder).volumes.values()
    series = draw_series(blank_volume(volume), Side.RIGHT, ("sagittal",), (0, 1), PICTURES)
    model = BenchModel(
        base_url="http://127.0.0.1:1/v1",
        model="m",
        licence="none",
        coordinates=Coordinates.VOXELS,
        tokens_per_image=1,
    )
    asked = ask(
        item(4, volume.volume_id),
        volume,
        series,
        None,
        setting=Setting.LOCALISE,
        template=setting_prompt(Setting.LOCALISE, 1),
        model=model,
        pictures=PICTURES,
        shown=True,
    )
    # Stored as RAS: anterior, the last index of j, is on the left; superior, of k, is up.
    wanted = "columns run along axis j from 47 to 0, its rows along axis k from 39 to 0"
    assert wanted in asked.messages[-1].content
    image = series.images[0]
    x, y = image.origin
    assert image.voxel_at(x + 0.5, y + 0.5)[1:] == (47, 39)


def test_a_bench_prompt_is_of_its_own_kind_and_may_show_nothing_measured():
    own = [p for p in list_prompts() if p.kind is PromptKind.BENCH]
    assert {p.prompt_id for p in own} == {
        f"bench-{setting.value.replace('_', '-')}" for setting in Setting
    }
    assert len({p.sha256 for p in own}) == len(own) == 5
    assert not {"measurements", "examples", "rule"} & PromptKind.BENCH.variables
    with pytest.raises(InputError, match="undeclared"):
        build_prompt("bench-x", 1, "{% block user %}{{ measurements }}{% endblock %}")
    with pytest.raises(InputError, match="has the blocks"):
        build_prompt("bench-x", 1, "{% block revise %}x{% endblock %}")
    with pytest.raises(InputError, match="cannot be used here"):
        load_prompt_for(PromptKind.DRAFT, "bench-guided", 1)
