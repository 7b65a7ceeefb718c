"""Pseudonyms: HMAC-SHA256 with a key of the user's, over everything that can tell a patient.

The same key gives the same names in every export, so that exports can be joined; without the key
a name cannot be traced, nor can it be tried out. Names are letters alone, so that none can look
like an id, a date or a barcode.
"""

import hmac
import re
import stat
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa

from knee.errors import InputError
from knee.keys import parse_volume_id
from stages.export_writers import Row
from store.export import Schema, Table
from store.export_columns import CARRIES, Carries

MIN_KEY_BYTES: Final = 32
"""As long as the hash."""
_MIN_DIFFERENT = 12
_NAME_BYTES = 12
FIRST_LETTERS: Final = "abcdefghijklmnop"
"""Letters of a name: hexadecimal digits under other signs."""
PATIENT_PREFIX: Final = "p-"
"""How the name of a patient begins."""
_LETTERS = bytes.maketrans(b"0123456789abcdef", FIRST_LETTERS.encode())
_MIN_TOKEN = 4
"""Shorter ids cannot be told from other words in free text."""
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".dcm", ".zip", ".h5")
_TOKEN = re.compile(r"[A-Za-z0-9]*\d[A-Za-z0-9]*")
_WORD = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_REMOVED = (
    (re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?[\\/][\w.~-]+(?:[\\/][\w.~-]*)+"), "[path]"),
    (re.compile(r"\b(?:19|20)\d{2}[-./](?:0?[1-9]|1[0-2])[-./](?:[0-2]?\d|3[01])\b"), "[date]"),
    (re.compile(r"\b(?:[0-2]?\d|3[01])[-./](?:0?[1-9]|1[0-2])[-./](?:19|20)\d{2}\b"), "[date]"),
    (
        re.compile(
            r"(?<![0-9A-Za-z.])(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?![0-9A-Za-z])"
        ),
        "[date]",
    ),
    (re.compile(r"(?<![0-9A-Za-z.])\d{7,}(?![0-9A-Za-z])"), "[number]"),
)


def read_key(path: Path) -> bytes:
    """Returns the key in a file, every byte of it.

    Raises:
        InputError: no such file, others may read it, or it is too short or too plain.
    """
    hint = "make one: umask 077; head -c 32 /dev/urandom > KEYFILE"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"key file {str(path)!r} is not a file", hint)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputError(
                f"key file {str(path)!r} has mode {stat.S_IMODE(mode):04o}: others may use it",
                f"chmod 600 {path}",
            )
        key = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"key file not found: {str(path)!r}", hint) from error
    except OSError as error:
        raise InputError(f"key file {str(path)!r} cannot be read: {error}", hint) from error
    if len(key) < MIN_KEY_BYTES:
        raise InputError(
            f"key file {str(path)!r} has {len(key)} bytes, at least {MIN_KEY_BYTES} are needed",
            hint,
        )
    if len(set(key)) < _MIN_DIFFERENT:
        raise InputError(
            f"key file {str(path)!r} has only {len(set(key))} different bytes: it can be guessed",
            hint,
        )
    return key


class Pseudonyms:
    """Names for everything of a store that can tell a patient."""

    def __init__(self, key: bytes, patients: Iterable[str] = (), paths: Iterable[str] = ()) -> None:
        self._key = key
        self._tokens: dict[str, str] = {}
        for patient in patients:
            self._know(patient, self.patient(patient))
        for path in paths:
            for part in re.split(r"[\\/]", path):
                self._know(part, self._name("path", part))
                for token in _TOKEN.findall(part):
                    self._know(token, self._name("path", token))
        self._scrubbed = lru_cache(maxsize=4096)(self._scrub)

    @property
    def key_name(self) -> str:
        """Tells two keys apart, and nothing of either."""
        return self._name("key", "")

    def patient(self, patient: str) -> str:
        """Returns the name of a patient."""
        return f"{PATIENT_PREFIX}{self._name('patient', patient)}"

    def volume(self, volume_id: str) -> str:
        """Returns a volume id with the patient's name; visit, side and sequence tell nobody."""
        key = parse_volume_id(volume_id)
        return key.model_copy(update={"patient": self.patient(key.patient)}).volume_id

    def run(self, run_id: str) -> str:
        """Returns the name of a run: its id begins with a date."""
        return f"run-{self._name('run', run_id)}"

    def file(self, path: str, volume_id: str, column: str) -> str:
        """Returns a path that says only which volume, and which kind of file."""
        suffix = next((end for end in _SUFFIXES if path.lower().endswith(end)), "")
        return str(PurePosixPath(self.volume(volume_id)) / (column + suffix))

    def digest(self, value: str) -> str:
        """Returns the name of a hash that was made from a patient's files."""
        return f"hmac:{self._name('digest', value)}"

    def text(self, text: str) -> str:
        """Returns a text without ids, paths, dates and long numbers."""
        if len(text) < 200:
            return self._scrubbed(text)
        return self._scrub(text)

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any value of a column
        """Returns a value with every text in it as `text` makes it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            entries: dict[Any, Any] = value
            return {key: self.value(entry) for key, entry in entries.items()}
        if isinstance(value, list):
            return [self.value(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
        return value

    def row(self, row: Row) -> Row:
        """Returns a row with every column treated as it needs; unknown columns are left out."""
        return {
            name: self._cell(name, value, row) for name, value in row.items() if name in CARRIES
        }

    def keeps(self, column: str) -> bool:
        """Returns whether a column goes out under pseudonyms."""
        return column in CARRIES

    def table(self, table: Table) -> Table:
        """Returns a table of rows, each as `row` makes it."""
        rows = [self.row(row) for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=self.schema(table.schema))

    def schema(self, schema: Schema) -> Schema:
        """Returns the schema of `table`'s result."""
        return pa.schema([field for field in schema if field.name in CARRIES])

    def _cell(self, name: str, value: Any, row: Row) -> Any:  # noqa: ANN401 - any value
        carries = CARRIES[name]
        if value is None or carries is Carries.NOTHING:
            return value
        if carries is Carries.TEXT:
            return self.value(value)
        if carries is Carries.FILE:
            return self.file(str(value), str(row["volume_id"]), name)
        if carries is Carries.DIGEST and isinstance(value, list):
            digests: list[str] = value
            return [self.digest(digest) for digest in digests]
        make = {
            Carries.VOLUME: self.volume,
            Carries.PATIENT: self.patient,
            Carries.RUN: self.run,
            Carries.DIGEST: self.digest,
        }[carries]
        return make(str(value))

    def _know(self, text: str, name: str) -> None:
        if len(text) >= _MIN_TOKEN and text.lower() not in _PLAIN:
            self._tokens.setdefault(text, name)

    def _scrub(self, text: str) -> str:
        for pattern, name in _REMOVED[:1]:
            text = pattern.sub(name, text)
        for found in (_WORD, _TOKEN):
            # Most texts hold none: looking them up at once is ten times faster than one by one.
            known = self._tokens.keys() & set(found.findall(text))
            for token in sorted(known, key=len, reverse=True):
                whole = rf"(?<![A-Za-z0-9]){re.escape(token)}(?![A-Za-z0-9])"
                text = re.sub(whole, self._tokens[token], text)
        for pattern, name in _REMOVED[1:]:
            text = pattern.sub(name, text)
        return text

    def _name(self, kind: str, value: str) -> str:
        message = f"{kind}\0{value}".encode()
        digest = hmac.new(self._key, message, "sha256").digest()[:_NAME_BYTES]
        return digest.hex().encode().translate(_LETTERS).decode()


_PLAIN: Final = frozenset(
    {
        *("images", "image", "labels", "label", "masks", "mask", "segmentation", "data", "dess"),
        *("image.nii.gz", "labels.nii.gz", "label.nii.gz", "mask.nii.gz", "right", "left", "home"),
        *("cohort", "store", "demo", "knees", "knee", "root", "work", "mnt", "scratch", "users"),
    }
)
"""Parts of paths that are words of the texts as well."""
