"""The locks: complete, hashed, free of addresses, and in step with pyproject.toml."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
REQUIREMENTS = CHECKOUT / "requirements"
LOCKS = ("pipeline", "dev", "vllm-cpu", "vllm-gpu")
PINNED = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[0-9][^ ;]*)( ; .+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


class Entry(NamedTuple):
    """One requirement of a lock: what is pinned, and the options that follow it."""

    pin: str
    options: list[str]


def read_lock(text: str) -> list[Entry]:
    """The requirements of a lock, comments left out, continued lines joined."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = bare.replace("\\\n", "\0").splitlines()
    parts = [[part.strip() for part in line.split("\0")] for line in joined if line.strip()]
    return [Entry(pin, options) for pin, *options in parts]


def lock_text(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def versions(name: str) -> dict[str, str]:
    matches = [PINNED.fullmatch(entry.pin) for entry in read_lock(lock_text(name))]
    return {match["name"]: match["version"] for match in matches if match is not None}


def wanted(group: str | None) -> list[Requirement]:
    """The requirements of pyproject.toml: the dependencies, or those of a dependency group."""
    table = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = table["dependency-groups"][group] if group else table["project"]["dependencies"]
    return [Requirement(line) for line in lines]


def named(file: str) -> list[Requirement]:
    """The requirements of a `.in` file."""
    lines = (REQUIREMENTS / file).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def unmet(requirements: list[Requirement], locked: Mapping[str, str]) -> list[str]:
    """Those whose package is not locked, or locked at a version outside their range."""
    pins = [locked.get(canonicalize_name(requirement.name)) for requirement in requirements]
    return [
        str(requirement)
        for requirement, pin in zip(requirements, pins, strict=True)
        if pin is None or not requirement.specifier.contains(pin)
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_pins_one_version_and_has_a_hash(lock: str):
    entries = read_lock(lock_text(lock))
    assert len(entries) > 30
    assert [entry.pin for entry in entries if not PINNED.fullmatch(entry.pin)] == []
    assert [entry.pin for entry in entries if not entry.options] == []
    options = {option for entry in entries for option in entry.options}
    assert {option for option in options if not HASH.fullmatch(option)} == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_an_index_an_address_or_a_folder(lock: str):
    text = lock_text(lock)
    assert re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|^-[a-z]", text) is None
    assert re.search(r"(^|\s)(@|/\w)", text) is None


@pytest.mark.parametrize("lock", ["pipeline", "dev"])
def test_the_pipeline_is_locked_without_torch_and_vllm(lock: str):
    assert {"torch", "transformers", "vllm", "vllm-cpu"}.isdisjoint(versions(lock))


def test_the_pipeline_lock_meets_the_dependencies_of_the_project():
    assert unmet(wanted(None), versions("pipeline")) == []


def test_the_development_lock_meets_dependencies_and_the_dev_group():
    assert unmet(wanted(None) + wanted("dev"), versions("dev")) == []


def test_the_development_lock_holds_the_very_versions_of_the_pipeline_lock():
    pipeline, dev = versions("pipeline"), versions("dev")
    assert {name: dev.get(name) for name in pipeline} == pipeline


@pytest.mark.parametrize("lock", ["vllm-cpu", "vllm-gpu"])
def test_a_vllm_lock_meets_its_input(lock: str):
    assert unmet(named(f"{lock}.in"), versions(lock)) == []


def test_the_cpu_lock_leaves_out_what_breaks_or_serves_nothing_there():
    excluded = {requirement.name for requirement in named("vllm-cpu.excludes")}
    assert excluded >= {"torchvision", "torchaudio", "torchcodec"}
    assert excluded.isdisjoint(versions("vllm-cpu"))


def test_both_vllm_locks_hold_the_same_release_of_vllm():
    assert versions("vllm-cpu")["vllm-cpu"] == versions("vllm-gpu")["vllm"]


def test_the_installed_environment_is_the_locked_one():
    installed = CHECKOUT / ".venv" / ".installed.txt"
    if not installed.exists():
        pytest.skip(".venv was not made by `make setup`")
    assert installed.read_text(encoding="utf-8") == lock_text("dev"), "run `make setup`"


def test_unmet_reports_a_pin_outside_the_range_and_a_missing_one():
    requirements = [Requirement("a>=2"), Requirement("b"), Requirement("c>=1")]
    assert unmet(requirements, {"a": "1.9", "c": "1.0"}) == ["a>=2", "b"]
