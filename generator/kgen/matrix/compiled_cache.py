"""The records of the matrix as they were read, kept in the cache: reading TOML takes ten times as long.

The TOML is the truth. A compiled file is used only if it was made from this very text by these very readers, and if it
is what was written; it is data, and kgen makes only records of the matrix from it. Whatever is wrong with it,
the TOML is read as if it were not there.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import io
import os
import pickle
import sys
import time
from pathlib import Path

from packaging.version import Version

from kgen import __version__, accelerators, caches
from kgen.matrix import reader, records
from kgen.model import accelerator, architecture, driver, ranges

_DIGEST = hashlib.sha256().digest_size
_UNUSED = 30 * 24 * 3600
"""Seconds after which an unread compiled file is deleted: its matrix has changed since."""

_MADE_OF = {
    **{(records.__name__, name): kind for name, kind in vars(records).items() if isinstance(kind, type)},
    ("packaging.version", "Version"): Version,
    ("kgen.model.ranges", "VersionRange"): ranges.VersionRange,
    ("kgen.model.ranges", "Comparison"): ranges.Comparison,
    ("kgen.model.driver", "DriverVersion"): driver.DriverVersion,
    ("kgen.model.accelerator", "Accelerator"): accelerator.Accelerator,
    ("kgen.model.architecture", "Architectures"): architecture.Architectures,
    ("kgen.model.architecture", "DeviceCode"): architecture.DeviceCode,
    ("datetime", "date"): datetime.date,
}
"""All that a compiled file can hold besides plain containers, text and numbers."""


class _Reader(pickle.Unpickler):
    """Makes records, and nothing else: a file in a cache must not be able to run anything."""

    def find_class(self, module_name: str, global_name: str) -> type:
        try:
            return _MADE_OF[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"`{module_name}.{global_name}` is not a record") from None


class CompiledFiles:
    """The compiled files of a cache folder."""

    def __init__(self, folder: Path) -> None:
        """Those in this folder, which is made when the first of them is written."""
        self._folder = folder

    def load(self, name: str, text: str) -> object | None:
        """The records of a matrix file; None if they are not there, or not usable.

        Args:
            name: the file, such as `libraries/triton.toml`.
            text: its text.
        """
        key = _key(name, text)
        path = self._path(name, key)
        try:
            data = path.read_bytes()
            if data[:_DIGEST] != key or data[_DIGEST : 2 * _DIGEST] != hashlib.sha256(data[2 * _DIGEST :]).digest():
                return None
            found: object = _Reader(io.BytesIO(data[2 * _DIGEST :])).load()
        except (OSError, pickle.UnpicklingError, ValueError, TypeError, EOFError, AttributeError, MemoryError):
            return None
        return found

    def save(self, name: str, text: str, found: object) -> None:
        """Keep the records of a matrix file, if the cache can be written."""
        key = _key(name, text)
        payload = pickle.dumps(found, protocol=5)
        path = self._path(name, key)
        with contextlib.suppress(OSError):
            # a torn file is found out by its digest, and read as if it were not there
            caches.keep(path, key + hashlib.sha256(payload).digest() + payload)
            self._sweep(name, path)

    def _path(self, name: str, key: bytes) -> Path:
        return self._folder / f"{_stem(name)}.{key[:8].hex()}"

    def _sweep(self, name: str, kept: Path) -> None:
        oldest = time.time() - _UNUSED
        for other in self._folder.glob(f"{_stem(name)}.*"):
            if other != kept and other.stat().st_atime < oldest:
                other.unlink()


def _stem(name: str) -> str:
    return name.removesuffix(".toml").replace("/", "--")


def _key(name: str, text: str) -> bytes:
    return hashlib.sha256(f"{_readers()}\0{name}\0{text}".encode()).digest()


@functools.cache
def _readers() -> str:
    """What tells the readers of one kgen from those of another, and from themselves before they were edited."""
    stamps = []
    for module in (records, reader, ranges, driver, accelerator, architecture):
        state = os.stat(str(module.__file__))  # noqa: PTH116 - a Path costs more than the rest, and every run asks
        stamps.append(f"{state.st_mtime_ns}-{state.st_size}")
    # a file may name any kind of accelerator that there is a module of
    return f"{__version__} {sys.version_info[:2]} {' '.join(stamps)} {' '.join(accelerators.names())}"
