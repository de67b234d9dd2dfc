"""What ended runs have left behind, whichever command they were: the next command of any kind removes it.

Kept light, as `kgen run` comes by here: the folders are listed, and only what is found brings more modules in.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from kgen import files, host

_SIGN = ".kgen-"
_LOCK = ".kgen.lock"
_SCRATCH = "kgen-"
_MATRIX = "matrix"


def sweep(root: Path, locks: Path, envs: Path | None) -> None:
    """Finishes or removes what ended runs have left in a project, and in the folder for temporary files.

    What a run that is still alive uses is left alone, and what cannot be removed is left for the next run.

    Args:
        root: the project's folder.
        locks: the folder of its locks.
        envs: the folder of its environments; None if that is not known.
    """
    temporary = host.temporary_folder()
    in_locks = any(_seen(folder) for folder in _below(locks))
    in_root, in_envs = _seen(root), envs is not None and _seen(envs)
    in_temporary = any(name.startswith(_SCRATCH) for name in _names(temporary))
    if not (in_locks or in_root or in_envs or in_temporary):
        return
    from kgen import storage  # noqa: PLC0415 - see above

    if in_locks:
        storage.sweep_held(locks, lambda _name: True)
    if in_root:
        # of what is in the root, kgen replaces the folder of the matrix, and single files
        storage.sweep_held(root, lambda name: name == _MATRIX)
    if envs is not None and in_envs:
        storage.sweep(envs)
    if in_temporary:
        storage.sweep(temporary)


def _below(folder: Path) -> Iterable[Path]:
    """The folder, and the folders in it as deep as kgen writes files."""
    yield folder
    for depth in ("*", "*/*"):
        with contextlib.suppress(OSError):
            yield from (path for path in folder.glob(f"{depth}/") if not files.is_link(path))


def _seen(folder: Path) -> bool:
    return any(name == _LOCK or (name.startswith(".") and _SIGN in name) for name in _names(folder))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []
