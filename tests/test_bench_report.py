"""Perfect answers from the runner through scoring to the report, and what the report refuses."""

import json
import re
from pathlib import Path

import pytest

from eval.bench_config import load_bench_config
from eval.bench_files import read_bench
from eval.bench_records import Coordinates, Prediction, ReaderKappa, Setting
from eval.localization import BoxBaseline, BoxMetric, best_iou_of_slices
from eval.mean_boxes import grid_of
from eval.prediction_log import PredictionLog
from eval.score_records import BenchScores
from eval.severity import Form, Metric
from knee.moaks import Component, Feature
from run_pipeline import main
from stages.bench_report_tables import feature_tables, model_table
from tests.bench_knees import write_small_bench
from tests.synthetic_bench import make_bench, write_predictions
from tests.synthetic_bench import perfect as perfect_answers
from tests.test_bench_run import answered, perfect, prediction_run, write_config

IDS = (4, 43, 45)


async def predict(bench_folder: Path, out: Path, coordinates: Coordinates, n_slices: int) -> None:
    bench, root = read_bench(bench_folder), bench_folder.parent / "cohort"
    path = write_config(out.parent, coordinates=coordinates.value, n_slices=n_slices)
    config = load_bench_config(path)
    found, _ = await answered(bench, root, config, Setting.LOCALISE, perfect)
    run = prediction_run(bench).model_copy(
        update={
            "setting": Setting.LOCALISE,
            "coordinates": coordinates,
            "images": config.pictures.identity,
            "n_items": len(found),
        }
    )
    with PredictionLog(out, run) as log:
        log.append(found)


def score(bench: Path, out: Path) -> BenchScores:
    assert main(["bench", "score", str(bench), str(out)]) == 0
    return BenchScores.model_validate_json((out / "scores.json").read_bytes())


@pytest.mark.parametrize("coordinates", Coordinates)
async def test_a_perfect_model_scores_one_everywhere_and_what_slices_allow(
    tmp_path: Path, coordinates: Coordinates
):
    bench = write_small_bench(tmp_path / "knees", codes=("RAS", "PIR", "LPS"), question_ids=IDS)
    out = tmp_path / "perfect"
    await predict(bench, out, coordinates, 256)
    scores = score(bench, out)
    assert scores.items.n_scored == scores.items.n_total == 9
    ones = {Metric.EXACT, Metric.MACRO_RECALL, Metric.WITHIN_ONE, Metric.MACRO_F1}
    figures = [f for row in scores.grading for f in row.figures if f.form is Form.PRIMARY]
    assert {f.value for f in figures if f.metric in ones and f.reason is None} == {1.0}
    for row in scores.localisation:
        found = {f.metric: f for f in row.figures if f.form is Form.PRIMARY}
        assert found[BoxMetric.IOU].value == 1.0
        assert found[BoxMetric.HIT_50].value == 1.0
        (centre,) = [f for f in row.figures if f.metric is BoxMetric.CENTRE_MM]
        assert centre.value == 0.0
    # With few slices it reaches exactly the ceiling that is shown beside it.
    few = tmp_path / "few"
    await predict(bench, few, coordinates, 4)
    for row in score(bench, few).localisation:
        (iou,) = [f for f in row.figures if (f.metric, f.form) == (BoxMetric.IOU, Form.PRIMARY)]
        assert iou.value == pytest.approx(iou.baselines[BoxBaseline.BEST_OF_SLICES], abs=1e-9)
        if row.feature is None and row.question_id is None:
            assert (iou.value == 1.0) is (coordinates is Coordinates.VOXELS)
    if coordinates is Coordinates.PIXELS_SENT:
        report(bench, [out, few], tmp_path / "report")


def report(bench: Path, folders: list[Path], out: Path) -> None:
    root = ("--cohort-root", str(bench.parent / "cohort"))
    assert main(["bench", "report", str(bench), *map(str, folders), "--out", str(out), *root]) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "http" not in re.sub(r"base64,[^\"]+", "", page), "self-contained"
    assert page.count("<article>") == 2 * 6
    assert page.count("data:image/png;base64,") >= 2 * 6
    for part in ("gain over mean box", "Confusion matrices", "IoU of boxes", "Synthetic"):
        assert part in page or part == "Synthetic"
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "different kinds of pictures" in text
    assert "| m · localise | none | 9 / 9 | 0 | 0 |" in text
    assert text.count("\n## ") == 8
    assert "# Against the baselines" in text
    first = next(line for line in text.splitlines() if line.startswith("| m · localise | none"))
    assert "| 1.000 | 1.000 |" in first, "macro recall, and that of findings"


def test_a_report_refuses_runs_without_scores_and_of_another_bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bench = write_small_bench(tmp_path / "one", codes=("RAS",), question_ids=(4,))
    run = prediction_run(read_bench(bench))
    row = Prediction.model_validate(
        {"item_id": "B000/V00/right/dess#4", "status": "failed", "error": "x: y"}
    )
    out = tmp_path / "pred"
    with PredictionLog(out, run) as log:
        log.append([row])

    def refused() -> str:
        code = main(["bench", "report", str(bench), str(out), "--out", str(tmp_path / "r")])
        assert code == 2
        assert not (tmp_path / "r").exists()
        return capsys.readouterr().err

    told = refused()
    assert "has no 'scores.json'" in told
    assert "bench score" in told
    score(bench, out)
    path = out / "scores.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "scores_version": 99}))
    assert "version 99" in refused()
    values["bench"]["bench_id"] = "sha256:0"
    path.write_text(json.dumps(values))
    assert "one bench together" in refused()
    path.write_text("{}")
    assert "cannot be read" in refused()


def test_readers_stand_beside_the_figures_with_their_weighting_and_part(tmp_path: Path):
    """The published ceilings are of the tibia (RULES 20); a kappa is weighted as its figure is."""
    bench = make_bench(tmp_path / "bench", n_patients=2, question_ids=(24, 58))
    scores = score(bench.folder, write_predictions(tmp_path / "m", bench, perfect_answers))
    kinds = (("none", 0.3), ("quadratic", 0.6))
    kappas = [
        ReaderKappa(
            feature=feature, component=component, part="all", weighting=name, kappa=value, n_pairs=7
        )
        for feature, component in (
            (Feature.CARTILAGE, Component.SIZE),
            (Feature.ROOT_TEAR, Component.PRESENCE),
        )
        for name, value in kinds
    ]
    published = kappas[0].model_copy(update={"part": "tibia", "kappa": None, "published": 0.36})
    (table,) = feature_tables([scores.model_copy(update={"readers": (*kappas, published)})])
    rows = {row[0]: row[-2:] for row in table.rows}
    assert rows["cartilage size"] == ("0.60 (7 pairs)", "tibia 0.36")
    assert rows["root_tear presence"] == ("0.30 (7 pairs)", "–")
    (models,) = [model_table([scores])]
    shown = dict(zip(models.columns, models.rows[0], strict=True))
    assert shown["macro recall of findings"] == "1.000"
    n = scores.headlines[0]
    assert shown["graded / components"] == f"{n.counts.n_total} / {n.counts.n_total}"
    assert shown["of them with finding"] == f"{n.n_positive} / {n.n_positive}"


def test_the_ceiling_is_that_of_pictures_on_either_side_of_a_flip():
    from eval.bench_records import SentSlice
    from tools.slice_images import choose_slices

    straight = grid_of((40, 10, 10), ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
    flipped = grid_of((40, 10, 10), ((-1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
    indices = choose_slices(0, 40, 7)
    for low, high in ((3, 9), (0, 40), (11, 12), (30, 40)):
        own = [SentSlice(plane="sagittal", index=i, sha256="") for i in indices]
        turned = [SentSlice(plane="sagittal", index=39 - i, sha256="") for i in indices]
        first = best_iou_of_slices((low, high, 0, 10, 0, 10), straight, own)
        second = best_iou_of_slices((40 - high, 40 - low, 0, 10, 0, 10), flipped, turned)
        assert first == second
        assert 0 < first <= 1
