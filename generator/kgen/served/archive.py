"""Reads a ZIP archive whose end was fetched already; other parts are fetched on demand."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from kgen.errors import MalformedAnswerError
from kgen.served.file import WHOLE, ServedFile

_ROUND = 64 * 1024

_MEMBER = 8 * 1024 * 1024
"""The largest size in bytes of a file in a wheel that is read alone; those that kgen reads have a few kilobytes."""

_PIECE = 4 * 1024 * 1024
"""Bytes of one range request for a file that is read piece by piece."""

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LIST_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_LIST_END = struct.Struct("<4s4H2LH")
_MANY, _LARGE = 0xFFFF, 0xFFFFFFFF
"""Placeholders in a central directory for numbers that are too large for it, and are given elsewhere (ZIP64)."""

_SPARE = 1024
"""Bytes to request beyond a file's own, because its header may be longer than the central directory says."""

Fetch = Callable[[int, int], bytes]
"""Returns the bytes of the file from one position up to another."""


class SparseFile(io.RawIOBase):
    """A file whose end was fetched already; the rest is fetched when it is read."""

    def __init__(self, start: int, held: bytes, fetch: Fetch) -> None:
        self._start = start
        self._held = held
        self._fetch = fetch
        self._size = start + len(held)
        self._position = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, from the beginning, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the beginning of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """This many bytes from here on; fetches what is missing."""
        rest = max(0, self._size - self._position)
        count = rest if size is None or size < 0 else min(size, rest)
        if count and self._position < self._start:
            self._reach(self._position)
        begin = self._position - self._start
        self._position += count
        return self._held[begin : begin + count] if count else b""

    def piece(self, start: int, end: int) -> bytes:
        """Bytes from any position; only the end of the file is kept in memory."""
        end = min(end, self._size)
        if start >= self._start:
            return self._held[start - self._start : end - self._start]
        return self._fetch(start, end)

    def _reach(self, position: int) -> None:
        if self._start - position > WHOLE:
            raise zipfile.BadZipFile("its list of files is longer than any")
        start = position - position % _ROUND
        self._held = self._fetch(start, self._start) + self._held
        self._start = start


def content(piece: Fetch, item: zipfile.ZipInfo, wheel: ServedFile) -> bytes:
    """The content of one file in a wheel, whose bytes `piece` reads."""
    if item.file_size > _MEMBER or item.compress_size > _MEMBER:
        raise wheel.fault(
            f"{item.filename} in it has {item.file_size} bytes, which is more than any such file",
            kind=MalformedAnswerError,
        )
    name = len(item.filename.encode())
    begin = item.header_offset
    raw = piece(begin, begin + _LOCAL_HEADER.size + name + _SPARE + item.compress_size)
    try:
        signature, *_, name, extra = _LOCAL_HEADER.unpack_from(raw)
        start = _LOCAL_HEADER.size + name + extra
        end = start + item.compress_size
        if end > len(raw):
            raw += piece(begin + len(raw), begin + end)
        found = raw[start:end]
        if item.compress_type == zipfile.ZIP_DEFLATED:
            found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(found, _MEMBER + 1)
        elif item.compress_type != zipfile.ZIP_STORED:
            raise wheel.fault(f"{item.filename} in it is packed in a way that is not known", kind=MalformedAnswerError)
    except (struct.error, zlib.error) as error:
        raise wheel.fault(
            f"what {wheel.host or wheel.url} has under this name is not a wheel: {error}", kind=MalformedAnswerError
        ) from error
    if signature != b"PK\x03\x04" or zlib.crc32(found) != item.CRC:
        raise wheel.fault(
            f"what {wheel.host or wheel.url} has under this name is not a wheel: {item.filename} in it is not what its"
            " list of files says",
            kind=MalformedAnswerError,
        )
    return found


def pieces(piece: Fetch, item: zipfile.ZipInfo, wheel: ServedFile) -> Iterator[bytes]:
    """The content of one file in a wheel, each piece from at most `_PIECE` compressed bytes."""
    header = piece(item.header_offset, item.header_offset + _LOCAL_HEADER.size)
    try:
        signature, *_, name, extra = _LOCAL_HEADER.unpack(header)
    except struct.error:
        signature, name, extra = b"", 0, 0
    position = item.header_offset + _LOCAL_HEADER.size + name + extra
    end = position + item.compress_size
    packed = item.compress_type == zipfile.ZIP_DEFLATED
    if signature != b"PK\x03\x04" or not (packed or item.compress_type == zipfile.ZIP_STORED):
        raise wheel.damaged(f"{item.filename} in it is packed in a way that is not known")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    check = 0
    while position < end:
        raw = piece(position, min(position + _PIECE, end))
        if not raw:
            break
        position += len(raw)
        # a few bytes may decompress to very many
        while raw:
            try:
                content = inflate.decompress(raw, _PIECE) if packed else raw
            except zlib.error as error:
                raise wheel.damaged(f"{item.filename} in it is damaged: {error}") from error
            raw = inflate.unconsumed_tail
            check = zlib.crc32(content, check)
            yield content
    if check != item.CRC:
        raise wheel.damaged(f"{item.filename} in it is not what its list of files says")


def plainly_listed(file: SparseFile, wanted: Callable[[str], bool]) -> list[zipfile.ZipInfo] | None:
    """The few wanted files in a wheel; None if its central directory is unusual or damaged.

    `zipfile` creates an object for each of tens of thousands of files, which takes longer than fetching those that are
    wanted.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    begin = max(0, size - _LIST_END.size - _MANY)
    tail = file.piece(begin, size)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _LIST_END.size > len(tail):
        return None
    _, _, _, here, count, length, start, _ = _LIST_END.unpack_from(tail, place)
    if here != count or count == _MANY or _LARGE in {length, start} or start + length != begin + place:
        return None
    file.seek(start)
    listed = file.read(length)
    found = []
    position = 0
    for _ in range(count):
        if position + _LIST_ENTRY.size > length:
            return None
        fields = _LIST_ENTRY.unpack_from(listed, position)
        if fields[0] != b"PK\x01\x02":
            return None
        flags, method, crc, packed, whole, name, extra, comment, offset = fields[1:]
        position += _LIST_ENTRY.size
        path = listed[position : position + name]
        position += name + extra + comment
        if path.isascii() and wanted(path.decode()):
            if flags & 1 or _LARGE in {packed, whole, offset}:
                return None
            item = zipfile.ZipInfo(path.decode())
            item.compress_type, item.CRC, item.header_offset = method, crc, offset
            item.compress_size, item.file_size = packed, whole
            found.append(item)
    return found


def listed(file: BinaryIO | io.RawIOBase, wheel: ServedFile) -> list[zipfile.ZipInfo]:
    """The files in a wheel, without its folders.

    Raises:
        OutsideError: it is not a wheel.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return [item for item in archive.infolist() if not item.is_dir()]
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        struct.error,
        OverflowError,
        EOFError,
    ) as error:
        raise wheel.fault(
            f"what {wheel.host or wheel.url} has under this name is not a wheel: {error}", kind=MalformedAnswerError
        ) from error
