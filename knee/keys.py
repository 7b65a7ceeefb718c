"""Keys: how volumes, items and contents are named and hashed (CONTRACTS, "Keys")."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

from knee.anatomy import Side
from knee.errors import InputError

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
"""What JSON can hold."""
HASH_PREFIX = "sha256:"
"""Every content hash says which algorithm made it."""
_PATIENT = re.compile(r"[^/\s|]+")
_VISIT = re.compile(r"V\d{2}")
_SEQUENCE = re.compile(r"[a-z0-9][a-z0-9_+-]*")


class VolumeKey(BaseModel):
    """What names a volume: patient, visit, side and sequence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: str
    """Patient id, a string without `/`, `|` or white space."""
    visit: str
    """`V00` is baseline."""
    side: Side
    """Which knee."""
    sequence: str = "dess"
    """MRI sequence, lower case."""

    @property
    def volume_id(self) -> str:
        """`<patient>/<visit>/<side>/<sequence>`."""
        return f"{self.patient}/{self.visit}/{self.side.value}/{self.sequence}"

    @property
    def is_follow_up(self) -> bool:
        """True for every visit after baseline."""
        return self.visit != "V00"


class ItemKey(NamedTuple):
    """One (volume, question)."""

    volume_id: str
    question_id: int


def parse_volume_id(text: str) -> VolumeKey:
    """Returns the parts of `<patient>/<visit>/<side>[/<sequence>]`.

    Raises:
        InputError: a part is missing or not legal.

    Example:
        >>> parse_volume_id("9001104/V00/right").sequence
        'dess'
    """
    parts = text.split("/")
    hint = "a volume is <patient>/<visit>/<side>[/<sequence>], e.g. 9001104/V00/right/dess"
    if len(parts) not in (3, 4):
        raise InputError(f"volume id {text!r} has {len(parts)} parts", hint)
    patient, visit, side, *rest = parts
    sequence = rest[0] if rest else "dess"
    if not _PATIENT.fullmatch(patient):
        raise InputError(f"volume id {text!r}: patient {patient!r} is not legal", hint)
    if not _VISIT.fullmatch(visit):
        raise InputError(f"volume id {text!r}: visit {visit!r} is not like V00", hint)
    if side not in tuple(Side):
        raise InputError(f"volume id {text!r}: side {side!r} is neither right nor left", hint)
    if not _SEQUENCE.fullmatch(sequence):
        raise InputError(f"volume id {text!r}: sequence {sequence!r} is not legal", hint)
    return VolumeKey(patient=patient, visit=visit, side=Side(side), sequence=sequence)


def canonical_json(value: JsonValue) -> str:
    """Returns JSON with sorted keys and no white space: the same value is the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(value: str | bytes) -> str:
    """Returns `sha256:<hex>` of a text (UTF-8) or of bytes."""
    data = value.encode() if isinstance(value, str) else value
    return HASH_PREFIX + hashlib.sha256(data).hexdigest()
