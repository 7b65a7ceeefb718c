"""Our top-level names are plain words: nobody else may claim them in an environment we run in."""

from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "eval", "knee", "prompts", "stages", "store", "tests", "tools")


def our_names() -> set[str]:
    """The packages, and every module that lies at the top of the checkout."""
    return {*PACKAGES, *(path.stem for path in CHECKOUT.glob("*.py"))}


def claims(installed: Iterable[Distribution], names: set[str]) -> set[tuple[str, str]]:
    """(name, distribution) for each of the names that a distribution installs at its top level."""
    return {
        (top, distribution.name)
        for distribution in installed
        for file in distribution.files or ()
        if file.suffix == ".py" and (top := file.parts[0].removesuffix(".py")) in names
    }


def site_packages(environment: str) -> list[str]:
    return [str(path) for path in CHECKOUT.glob(f"{environment}/lib/python*/site-packages")]


# The demo model is trained in the server's environment, by our own modules.
@pytest.mark.parametrize("environment", [".venv", ".venv-vllm"])
def test_no_installed_distribution_claims_our_names(environment: str):
    paths = site_packages(environment)
    if not paths:
        pytest.skip(f"{environment} has not been set up in this checkout")
    assert claims(distributions(path=paths), our_names()) == set()


def test_a_distribution_that_claims_one_of_our_names_is_found(tmp_path: Path):
    info = tmp_path / "greedy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\n")
    (info / "RECORD").write_text(
        "tools/__init__.py,,\ngreedy/tools/x.py,,\nrun_pipeline.py,,\nknee.txt,,\n"
    )
    found = claims(distributions(path=[str(tmp_path)]), {*PACKAGES, "run_pipeline"})
    assert found == {("tools", "greedy"), ("run_pipeline", "greedy")}


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_resolves_inside_the_checkout(name: str):
    spec = PathFinder.find_spec(name)
    assert spec is not None
    assert spec.origin == str(CHECKOUT / name / "__init__.py")


def test_every_folder_with_modules_is_one_of_our_packages():
    folders = {path.parent.name for path in CHECKOUT.glob("[!.]*/__init__.py")}
    assert folders == set(PACKAGES)
