"""Writes small `.sas7bdat` files for tests: 64-bit, little-endian, not compressed, UTF-8.

The layout follows ReadStat's writer (MIT licence, Evan Miller): a file header, pages of subheaders
that describe the columns, pages of rows. Two readers must accept what it writes: pyreadstat, and
pandas, whose reader is another program. SAS itself has read none of it.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

Cell = float | str | None
"""A number, a text, or None for missing; in a numeric column `.A` … `.Z` and `._` are special."""

_MAGIC = bytes.fromhex("000000000000000000000000c2ea8160b31411cfbd92080009c7318c181f1011")
_HEADER = 8192
_PAGE_HEADER = 40
_POINTER = 24
_TEXT_OFFSET = 28
_META, _DATA = 0x0000, 0x0100
_ROW_SIZE, _COLUMN_SIZE = 0xF7F7F7F7, 0xF6F6F6F6
_FORMAT, _ATTRIBUTES, _TEXT, _NAME = 0xFFFFFBFE, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFF


def write_sas7bdat(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Path:
    """Writes a table; a column is text when its first row that is not None holds a text."""
    widths = [_width(column, rows) for column in range(len(columns))]
    data_rows = [_row(row, widths) for row in rows]
    row_length = len(data_rows[0])
    page_size = 4096
    while page_size - _PAGE_HEADER < max(row_length, _TEXT_OFFSET + 24 * len(columns) + 64):
        page_size *= 2
    subheaders = _subheaders(columns, widths, row_length, len(rows), page_size)
    pages = _meta_pages(subheaders, page_size)
    per_page = (page_size - _PAGE_HEADER) // row_length
    for start in range(0, len(data_rows), per_page):
        part = data_rows[start : start + per_page]
        head = bytes(32) + struct.pack("<HHHH", _DATA, len(part), 0, 0)
        pages.append((head + b"".join(part)).ljust(page_size, b"\0"))
    path.write_bytes(_file_header(page_size, len(pages)) + b"".join(pages))
    return path


def _width(column: int, rows: Sequence[Sequence[Cell]]) -> int:
    """Bytes of a text column; 0 for a numeric one."""
    cells = [row[column] for row in rows if row[column] is not None]
    texts = [cell for cell in cells if isinstance(cell, str)]
    if not texts or texts[0].startswith(".") or not isinstance(cells[0], str):
        return 0
    return max(len(text.encode()) for text in texts)


def _row(row: Sequence[Cell], widths: Sequence[int]) -> bytes:
    parts: list[bytes] = []
    for cell, width in zip(row, widths, strict=True):
        if width:
            parts.append((cell if isinstance(cell, str) else "").encode().ljust(width))
        elif cell is None or isinstance(cell, str):
            tag = cell[1] if cell else "."
            # A NaN whose sixth byte is the complement of the letter.
            parts.append(bytes((0, 0, 0, 0, 0, ~ord(tag) & 0xFF, 0xFF, 0xFF)))
        else:
            parts.append(struct.pack("<d", cell))
    return b"".join(parts)


def _file_header(page_size: int, n_pages: int) -> bytes:
    start = _MAGIC + b"\x33\0\0\x22\0\x01\0" + b"1" + bytes(30) + bytes([20]) + bytes(13)
    start += b"SAS FILE" + b"MOAKS".ljust(32) + bytes(32) + b"DATA    "
    end = struct.pack("<dd", 1.9e9, 1.9e9) + bytes(16)
    end += struct.pack("<IIQ", _HEADER, page_size, n_pages) + bytes(8)
    end += b"9.0101M0" + b"9.0401M6Linux".ljust(16, b"\0")
    return (start + end).ljust(_HEADER, b"\0")


class _Texts:
    """The pool of names; each is referred to by its place in it."""

    def __init__(self) -> None:
        self.data = b""

    def put(self, text: str) -> bytes:
        encoded = text.encode()
        reference = struct.pack("<HHH", 0, len(self.data) + _TEXT_OFFSET, len(encoded))
        self.data += encoded.ljust(-(-len(encoded) // 4) * 4, b"\0")
        return reference


def _signed(signature: int) -> bytes:
    return struct.pack("<q", signature - (1 << 32) if signature >= 0xFF000000 else signature)


def _subheaders(
    columns: Sequence[str], widths: Sequence[int], row_length: int, n_rows: int, page_size: int
) -> list[tuple[int, bytes]]:
    """The column descriptions as (signature, bytes)."""
    texts = _Texts()
    names = b"".join(texts.put(name) + bytes(2) for name in columns)
    size = bytearray(808)
    for offset, value in ((40, row_length), (48, n_rows), (72, len(columns)), (104, page_size)):
        struct.pack_into("<q", size, offset, value)
    size[128:144] = b"\xff" * 16
    attributes = b""
    offset = 0
    for name, width in zip(columns, widths, strict=True):
        flag = 4 if len(name) <= 8 else 2048
        attributes += struct.pack("<QIHBB", offset, width or 8, flag, 2 if width else 1, 0)
        offset += width or 8
    found = [
        (_ROW_SIZE, bytes(size[8:])),
        (_COLUMN_SIZE, struct.pack("<qq", len(columns), 0)),
        (_TEXT, _sized(bytes(8) + b" " * 8 + bytes(8) + texts.data + bytes(12), head=4)),
        (_NAME, _sized(names + bytes(12))),
        (_ATTRIBUTES, _sized(attributes + bytes(12))),
    ]
    return found + [(_FORMAT, bytes(56))] * len(columns)


def _sized(body: bytes, head: int = 8) -> bytes:
    """A subheader's body behind its own length, less signature and padding."""
    return struct.pack("<H", len(body) + head + 8 - 20) + bytes(head + 2 - 4) + body


def _meta_pages(subheaders: list[tuple[int, bytes]], page_size: int) -> list[bytes]:
    pages: list[bytes] = []
    left = [_signed(signature) + body for signature, body in subheaders]
    kinds = [int(signature >= 0xFFFFFFF8) for signature, _ in subheaders]
    while left:
        page = bytearray(page_size)
        end, pointer, n = page_size, _PAGE_HEADER, 0
        while left and len(left[0]) + _POINTER <= end - pointer:
            body, kind = left.pop(0), kinds.pop(0)
            end -= len(body)
            page[end : end + len(body)] = body
            struct.pack_into("<QQBB", page, pointer, end, len(body), 0, kind)
            pointer += _POINTER
            n += 1
        struct.pack_into("<HHHH", page, 32, _META, n, n, 0)
        pages.append(bytes(page))
    return pages
