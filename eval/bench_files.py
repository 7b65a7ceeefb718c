"""Writing and reading a bench's folder: the same bench is the same bytes, and nothing else is read.

Canonical JSON (sorted keys, no white space, UTF-8), one record a line, volumes and items ascending.
`bench_id` is the hash over the hashes of all files but the manifest: predictions are bound to it.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from pydantic import ValidationError

from eval.bench_records import (
    FORMAT_VERSION,
    BenchBaselines,
    BenchItem,
    BenchManifest,
    BenchVolume,
    ReaderKappa,
)
from knee.calls import Record
from knee.errors import BenchError
from knee.keys import canonical_json, content_hash

MANIFEST: Final = "manifest.json"
VOLUMES: Final = "volumes.jsonl"
ITEMS: Final = "items.jsonl"
BASELINES: Final = "baselines.json"
READERS: Final = "readers.json"
CONTENT_FILES: Final = (VOLUMES, ITEMS, BASELINES, READERS)
"""Every file but the manifest, in the order in which they are written."""
_HINT: Final = "build it again with `bench build`, or copy the whole folder anew"
_R = TypeVar("_R", bound=Record)


class Bench(NamedTuple):
    """A bench that was read and checked; its items are streamed from the file."""

    folder: Path
    """Where it lies."""
    manifest: BenchManifest
    """What it is."""
    volumes: dict[str, BenchVolume]
    """Volume id to volume, ascending."""
    baselines: BenchBaselines
    """What the baselines need of training patients."""
    readers: tuple[ReaderKappa, ...]
    """How far clinicians agree with each other."""

    def items(self) -> Iterator[BenchItem]:
        """Yields the items, ascending by volume id and question id.

        Raises:
            BenchError: a line cannot be read, or its volume is not in the bench.
        """
        for number, line in _lines(self.folder / ITEMS):
            item = _record(BenchItem, line, self.folder / ITEMS, number)
            if item.volume_id not in self.volumes:
                raise BenchError(
                    f"{ITEMS} line {number}: volume {item.volume_id!r} is not in {VOLUMES}", _HINT
                )
            yield item


def write_bench(
    folder: Path,
    manifest: BenchManifest,
    volumes: Iterable[BenchVolume],
    items: Iterable[BenchItem],
    baselines: BenchBaselines,
    readers: Iterable[ReaderKappa] = (),
) -> BenchManifest:
    """Writes the files of a bench into a folder and returns its manifest, with hashes and id.

    Args:
        folder: an empty folder that is there.
        manifest: `files` and `bench_id` are filled in here.
        volumes: ascending by id.
        items: ascending by volume id and question id.
        baselines: of training patients.
        readers: how far clinicians agree.
    """
    _write_lines(folder / VOLUMES, volumes)
    _write_lines(folder / ITEMS, items)
    (folder / BASELINES).write_text(_line(baselines), encoding="utf-8")
    _write_lines(folder / READERS, readers)
    files = {name: _hash_of(folder / name) for name in CONTENT_FILES}
    done = manifest.model_copy(update={"files": files, "bench_id": bench_id_of(files)})
    text = json.dumps(done.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return done


def bench_id_of(files: dict[str, str]) -> str:
    """Returns the id of a bench with these files: the hash over their hashes."""
    return content_hash(canonical_json(files))


def read_bench(folder: Path) -> Bench:
    """Returns a bench whose files are all as they were written.

    Raises:
        BenchError: no bench, another format version, a changed or missing file, or phantoms beside
            patients.
    """
    manifest = read_manifest(folder)
    for name in CONTENT_FILES:
        path = folder / name
        if not path.is_file():
            raise BenchError(f"{str(folder)!r} has no {name!r}", _HINT)
        if _hash_of(path) != manifest.files.get(name):
            raise BenchError(f"{str(path)!r} is not the file that the manifest names", _HINT)
    if bench_id_of(manifest.files) != manifest.bench_id:
        raise BenchError(
            f"the files of {str(folder)!r} are not those of the bench {manifest.bench_id!r}", _HINT
        )
    volumes = {
        volume.volume_id: volume
        for volume in (
            _record(BenchVolume, line, folder / VOLUMES, n) for n, line in _lines(folder / VOLUMES)
        )
    }
    _refuse_pooled(volumes.values(), manifest)
    baselines = _record(BenchBaselines, (folder / BASELINES).read_bytes(), folder / BASELINES, 1)
    readers = tuple(
        _record(ReaderKappa, line, folder / READERS, n) for n, line in _lines(folder / READERS)
    )
    return Bench(folder, manifest, volumes, baselines, readers)


def read_manifest(folder: Path) -> BenchManifest:
    """Returns the manifest of a bench.

    Raises:
        BenchError: no bench, or one of another format version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BenchError(
            f"no bench at {str(folder)!r}: {MANIFEST!r} is not there",
            "give the folder that `bench build` made",
        )
    data = path.read_bytes()
    check_version(data, path)
    return _record(BenchManifest, data, path, 1)


def check_version(data: bytes, path: Path) -> None:
    """Refuses a JSON document whose `format_version` is not this program's.

    Raises:
        BenchError: no JSON object, or another version.
    """
    try:
        document: object = json.loads(data)
    except ValueError as error:
        raise BenchError(f"{str(path)!r} is not JSON: {error}", _HINT) from None
    version: object = document.get("format_version") if isinstance(document, dict) else None
    if version is True or version != FORMAT_VERSION:
        raise BenchError(
            f"{str(path)!r} has format version {version!r}, this program reads {FORMAT_VERSION}",
            "use the program that wrote it, or build the bench and run the model again",
        )


def _refuse_pooled(volumes: Iterable[BenchVolume], manifest: BenchManifest) -> None:
    other = [v.volume_id for v in volumes if v.synthetic is not manifest.synthetic]
    if other:
        kind, foreign = (
            ("phantoms", "of a patient") if manifest.synthetic else ("patients", "a phantom")
        )
        raise BenchError(
            f"a bench of {kind} holds {len(other)} volume(s) of the other kind: {other[0]!r} is "
            f"{foreign}",
            "phantoms and patients are never pooled (RULES 26): build two benches",
        )


def _line(record: Record) -> str:
    return canonical_json(record.model_dump(mode="json")) + "\n"


def _write_lines(path: Path, records: Iterable[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(_line, records))


def _hash_of(path: Path) -> str:
    return content_hash(path.read_bytes())


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from enumerate(file, start=1)


def _record(kind: type[_R], data: bytes, path: Path, number: int) -> _R:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BenchError(f"{str(path)!r} line {number}: {where}: {first['msg']}", _HINT) from None
