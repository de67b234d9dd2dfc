"""A CPython that can be moved, made of the one that runs the tests: what `uv python install` would fetch."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.conda_packages import MINOR, interpreter_files

from kgen.loader import elf

_OF_GLIBC = re.compile(r"(lib(c|m|dl|pthread|rt|util)|ld-linux-[a-z0-9_-]+)\.so\.[0-9]")
_LIBPYTHON = re.compile(r"libpython[0-9.]+\.so\.[0-9.]+")


def make(prefix: Path) -> Path:
    """Make one in a folder: without the modules that use libraries of this system.

    Args:
        prefix: the folder, which is not there yet.
    """
    base = Path(sys.base_prefix).resolve()
    for path in interpreter_files(base):
        target = prefix / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() and (path.parent / path.readlink()).resolve().is_relative_to(base):
            target.symlink_to(path.readlink())
            continue
        try:
            found = elf.read(path)
        except ValueError:
            shutil.copy(path, target)
            continue
        if all(_OF_GLIBC.fullmatch(name) or _LIBPYTHON.fullmatch(name) for name in found.needed):
            content = path.read_bytes()
            for folder in {folder for folder in (*found.rpath, *(found.runpath or ())) if folder.startswith("/")}:
                here = b"$ORIGIN/../lib"
                assert len(folder) >= len(here)
                content = content.replace(folder.encode() + b"\0", here.ljust(len(folder), b"\0") + b"\0")
            target.write_bytes(content)
            shutil.copymode(path, target)
    if not (prefix / f"bin/python{MINOR}").is_file():
        pytest.skip(f"{base} has a program that needs more of its system than glibc, as Debian's own")
    return prefix


def installed_by_uv(folder: Path) -> Path:
    """The same as uv has it in its folder of interpreters (UV_PYTHON_INSTALL_DIR).

    Args:
        folder: the folder.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    return make(folder / f"cpython-{version}-linux-x86_64-gnu")


__all__ = ["MINOR", "installed_by_uv", "make"]
