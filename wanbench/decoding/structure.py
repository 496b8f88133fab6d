"""Does a file end before its own structure does? FFmpeg passes over most such endings in silence.

Ours, after the containers' specifications: ISO 14496-12 (boxes), RFC 8794 and 9559 (EBML, Matroska), Microsoft's RIFF, GIF89a.
Only lengths are read, so the cost does not grow with the pictures.
"""

from __future__ import annotations

import os
from typing import BinaryIO

FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
EBML_SEGMENT, EBML_CLUSTER = 0x18538067, 0x1F43B675
RIFF_UNKNOWN = (0, 0xFFFFFFFF)
"""What writers leave in a length that they could not come back to fill in."""
GIF_EXTENSION, GIF_IMAGE, GIF_TRAILER = 0x21, 0x2C, 0x3B


def missing_bytes(file: BinaryIO) -> int | None:
    """Bytes that the file's last part lacks, at least: 0 when it is whole, None when its structure does not tell.

    Never raises for damage, which may make the answer None.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    magic = file.read(12)
    if magic[4:8] in FIRST_BOXES:
        return _missing_of_boxes(file, size)
    if magic[:4] == EBML_MAGIC:
        return _missing_of_ebml(file, size)
    if magic[:4] == b"RIFF" and magic[8:] == b"AVI ":
        return _missing_of_riff(file, size)
    return _missing_of_gif(file, size) if magic[:4] == b"GIF8" else None


def _missing_of_boxes(file: BinaryIO, size: int) -> int | None:
    position, kind = 0, b""
    while position + 8 <= size:
        file.seek(position)
        length, kind = int.from_bytes(file.read(4)), file.read(4)
        if length == 1:
            length = int.from_bytes(file.read(8))
        if length < 8:  # 0: up to the end of the file, wherever that is
            return None
        if position + length > size:  # any other kind may be what somebody appended
            return position + length - size if kind in (b"mdat", b"moof", b"moov") else None
        position += length
    return 8 - (size - position) if kind == b"moof" else 0  # a fragment's list of samples, and no samples


def _missing_of_ebml(file: BinaryIO, size: int) -> int | None:
    position = 0
    while position < size:
        file.seek(position)
        identity, length = _ebml_number(file, keep_marker=True), _ebml_number(file, keep_marker=False)
        if identity is None or length is None:
            return 1 if file.tell() >= size else None
        content = file.tell()
        if length < 0:
            if identity not in (EBML_SEGMENT, EBML_CLUSTER):
                return None
            position = content  # of unknown length: it lasts as long as its children
            continue
        if content + length > size:
            return content + length - size
        position = content + length
    return 0


def _ebml_number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """The next variable-length number; -1 for the length "unknown" (all ones), None when there is none."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    if len(rest) < width - 1:
        return None
    value = int.from_bytes(first + rest)
    bare = value & ((1 << 7 * width) - 1)
    if keep_marker:
        return value
    return -1 if bare == (1 << 7 * width) - 1 else bare


def _missing_of_riff(file: BinaryIO, size: int) -> int | None:
    """Frames lie in `movi` lists; an index that is cut off after them costs nothing."""
    position, seen = 0, False
    while position + 12 <= size:
        file.seek(position)
        kind, length, form = file.read(4), int.from_bytes(file.read(4), "little"), file.read(4)
        if kind == b"RIFF":
            position += 12
            continue
        if kind == b"LIST" and form == b"movi":
            if length in RIFF_UNKNOWN:
                return None
            if position + 8 + length > size:
                return position + 8 + length - size
            seen = True
        position += 8 + length + length % 2
    return 0 if seen else None


def _missing_of_gif(file: BinaryIO, size: int) -> int | None:
    file.seek(10)
    packed = file.read(1)
    file.seek(13 + _palette_bytes(packed))
    while introducer := file.read(1):
        if introducer[0] == GIF_TRAILER:
            return 0
        if introducer[0] == GIF_EXTENSION:
            file.seek(1, os.SEEK_CUR)
        elif introducer[0] == GIF_IMAGE:
            packed = file.read(9)[8:]
            file.seek(1 + _palette_bytes(packed), os.SEEK_CUR)
        elif introducer[0]:  # damaged somewhere before: only the last byte tells
            file.seek(max(0, size - 16))
            return 0 if file.read().rstrip(b"\0").endswith(b";") else 1
        else:
            continue  # zeros between blocks: decoders pass over them
        while count := file.read(1):
            if not count[0]:
                break
            file.seek(count[0], os.SEEK_CUR)
    return max(1, file.tell() - size)


def _palette_bytes(packed: bytes) -> int:
    return 3 << (packed[0] & 7) + 1 if packed and packed[0] & 0x80 else 0
