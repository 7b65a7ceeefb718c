"""A bench through the real vLLM server: a tiny model of random weights, two settings, one start."""

import json
from pathlib import Path

import pytest

from agents.vllm_server import running_server
from eval.bench_config import load_bench_config
from eval.bench_files import read_bench
from eval.bench_records import AnswerStatus
from run_pipeline import main
from tests.bench_knees import write_small_bench
from tests.bench_vlm import make_config
from tests.test_bench_run import rows


@pytest.mark.vllm
def test_a_tiny_model_answers_a_bench_through_real_vllm(tmp_path: Path):
    bench = write_small_bench(tmp_path / "knees")
    path = make_config(tmp_path)
    config = load_bench_config(path)
    assert config.serve is not None
    runs = (("localise", None), ("zero_shot", "no_image"))
    folders = [tmp_path / name for name, _ in runs]
    with running_server(config.serve, config.model, tmp_path / "vllm.log"):
        for (setting, control), out in zip(runs, folders, strict=True):
            more = [] if control is None else ["--control", control]
            command = ["bench", "run", str(bench), "--config", str(path), "--setting", setting]
            command += ["--cohort-root", str(bench.parent / "cohort"), "--out", str(out)]
            assert main([*command, *more, "--limit", "6"]) == 0
    shapes = {v.volume_id: v.shape for v in read_bench(bench).volumes.values()}
    localised, blind = (rows(out) for out in folders)
    for row in (*localised, *blind):
        assert row.status in (AnswerStatus.ANSWERED, AnswerStatus.UNPARSED)
        assert row.usage.completion_tokens > 0
    assert any(row.status is AnswerStatus.ANSWERED for row in localised)
    assert any(row.box is not None for row in localised)
    for row in localised:
        assert len(row.slices) == config.pictures.n_slices
        # 16 tokens a picture, and text.
        assert row.usage.prompt_tokens > 16 * config.pictures.n_slices
        if row.box is not None:
            shape = shapes[row.item_id.partition("#")[0]]
            assert shape is not None
            assert all(edge >= 0 for edge in row.box.lower)
            assert all(edge <= n for edge, n in zip(row.box.upper, shape, strict=True))
    assert all(not row.slices and row.image_volume_id is None for row in blind)
    for out in folders:
        assert main(["bench", "score", str(bench), str(out)]) == 0
        assert json.loads((out / "scores.json").read_text())["items"]["n_total"] == 27
    report = tmp_path / "report"
    command = ["bench", "report", str(bench), *map(str, folders), "--out", str(report)]
    assert main([*command, "--cohort-root", str(bench.parent / "cohort")]) == 0
    assert "tiny-vision · localise" in (report / "index.html").read_text(encoding="utf-8")
