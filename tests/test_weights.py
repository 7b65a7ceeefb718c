"""The hash of a model folder: other weights under the same name are another model."""

from pathlib import Path

import pytest

from agents import weights
from agents.weights import hash_folder, served_weights
from knee.serve_settings import ServeSettings


def folder_of(path: Path, **contents: bytes) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


def test_other_weights_or_another_template_change_the_hash_and_a_note_does_not(tmp_path: Path):
    first = folder_of(tmp_path / "a", model__safetensors=b"1234", chat__jinja=b"x")
    same = folder_of(tmp_path / "b", model__safetensors=b"1234", chat__jinja=b"x", README__md=b"!")
    other = folder_of(tmp_path / "c", model__safetensors=b"1235", chat__jinja=b"x")
    template = folder_of(tmp_path / "d", model__safetensors=b"1234", chat__jinja=b"y")
    assert hash_folder(first) == hash_folder(same)
    assert len({hash_folder(folder) for folder in (first, other, template)}) == 3


def test_a_large_file_is_known_by_blocks_from_its_first_to_its_last_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weights, "_WHOLE_BYTES", 1000)
    content = bytes(range(256)) * 1000
    trained = bytes(255 - byte for byte in content)
    folders = [
        folder_of(tmp_path / name, model__safetensors=text)
        for name, text in (
            ("a", content),
            ("b", b"!" + content[1:]),
            ("c", content[:-1] + b"!"),
            ("d", content + b"!"),
            ("e", trained),
        )
    ]
    assert len({hash_folder(folder) for folder in folders}) == 5


def settings(model_path: str, *extra_args: str) -> ServeSettings:
    return ServeSettings(
        model_path=model_path, port=8000, max_model_len=2048, extra_args=extra_args
    )


def test_a_folder_has_weights_that_are_known_and_a_hub_name_has_not():
    assert served_weights(None) is None
    assert served_weights(settings("somebody/model-7b")) is None
    demo = served_weights(settings("agents/demo_model/weights"))
    assert demo is not None
    assert demo.startswith("sha256:")


def test_an_adapter_counts_as_weights_of_the_model(tmp_path: Path):
    adapter = folder_of(tmp_path / "knee", adapter_model__safetensors=b"1")
    flag = ("--lora-modules", f"knee={adapter}")
    first = served_weights(settings("somebody/model-7b", *flag))
    (adapter / "adapter_model.safetensors").write_bytes(b"2")
    second = served_weights(settings("somebody/model-7b", *flag))
    assert None not in (first, second)
    assert first != second
