"""Restricted volumes are sent to another machine only on a named basis."""

from pathlib import Path

import pytest

from knee.errors import InputError
from knee.run_config import DrafterEndpoint, RunConfig
from stages.transfer_guard import refuse_transfer
from store.connection import create_store, open_store
from store.writer import StoreWriter
from tests.store_records import volume


def config(url: str, basis: str | None = None) -> RunConfig:
    drafter = DrafterEndpoint(
        base_url=url, model="m", prompt_id="draft", prompt_version=1, licence="MIT"
    )
    return RunConfig(name="t", allow_remote=True, external_transfer_basis=basis, drafter=drafter)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "knees.duckdb"
    create_store(path)
    return path


@pytest.mark.parametrize("restricted", [True, None])
def test_a_remote_server_is_refused_until_a_basis_is_named(store: Path, restricted: bool | None):
    with StoreWriter(store) as writer, writer.transaction():
        writer.put_volume(volume().model_copy(update={"restricted": restricted}))
    with open_store(store, read_only=True) as con:
        remote = config("https://models.example.org/v1")
        with pytest.raises(InputError, match="1 volume") as caught:
            refuse_transfer(remote, [remote.drafter], con)
        assert "external_transfer_basis" in str(caught.value.hint)
        local = config("http://127.0.0.1:1/v1")
        refuse_transfer(local, [local.drafter], con)
        named = config("https://models.example.org/v1", "data use agreement 12")
        refuse_transfer(named, [named.drafter], con)


def test_a_store_without_restricted_volumes_may_go_anywhere(store: Path):
    with StoreWriter(store) as writer, writer.transaction():
        writer.put_volume(volume().model_copy(update={"restricted": False}))
    with open_store(store, read_only=True) as con:
        remote = config("https://models.example.org/v1")
        refuse_transfer(remote, [remote.drafter], con)
