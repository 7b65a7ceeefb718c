"""Fixtures for all tests, and a network that ends at this machine."""

import fcntl
import ipaddress
import os
import socket
from typing import Any

import pytest

from knee.records import Item
from tests.demo_run import DemoRun, run_demo
from tests.sample_items import sample_item


def _is_here(address: Any) -> bool:  # noqa: ANN401 - a socket address of any family
    if not isinstance(address, tuple):
        return True  # a path: a Unix socket
    host = str(address[0])  # pyright: ignore[reportUnknownArgumentType]
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Lets no test connect to another machine; processes that a test starts are not held back."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: Any) -> None:  # noqa: ANN401
        if not _is_here(address):
            raise AssertionError(f"a test tried to connect to {address!r}")
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:  # noqa: ANN401
        if not _is_here(address):
            raise AssertionError(f"a test tried to connect to {address!r}")
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the demo first: nothing else takes as long, and nothing should wait for it at the end.

    With `-n`, `--dist loadfile` keeps a file's tests in one worker. (Groups of pytest-xdist 3.8 do
    nothing under pytest 9.2, which no longer takes node ids from where it puts their names.)
    """
    items.sort(key=lambda test: not _shares_demo(test))


def _shares_demo(test: pytest.Item) -> bool:
    return "demo_run" in getattr(test, "fixturenames", ())


@pytest.fixture
def item() -> Item:
    """An extrusion of 3.4 mm, read as grade 2."""
    return sample_item()


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo, run once with the real vLLM server and the bundled model, by whom it needs first.

    Workers share the folder above their own; the others wait for the one that runs it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = shared / "demo-run"
        if not folder.exists():
            folder.mkdir()
            run_demo(folder)
        return DemoRun.of(folder)
