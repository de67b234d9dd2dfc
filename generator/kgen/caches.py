"""The folder of kgen's cache, for what can be recreated. Imports nothing slow: `kgen.replay` uses this module."""

from __future__ import annotations

import os
import sys


def folder(name: str) -> str:
    """A folder in kgen's cache, which KGEN_CACHE_DIR moves; it may not exist yet.

    Raises:
        RuntimeError: this user has no home folder.
    """
    variable = os.environ.get  # noqa: TID251 - asked before `kgen.host` is imported
    override = variable("KGEN_CACHE_DIR")
    if override:
        base = override
    elif sys.platform.startswith("linux"):  # as platformdirs has it, which is slow to import, and every command asks
        home = variable("XDG_CACHE_HOME") or ""
        base = os.path.join(home if home.startswith("/") else "~/.cache", "kgen")  # noqa: PTH118 - so is pathlib
    else:
        import platformdirs  # noqa: PLC0415 - as above

        base = platformdirs.user_cache_dir("kgen")
    found = os.path.expanduser(base)  # noqa: PTH111 - as above
    if found.startswith("~"):
        raise RuntimeError("there is no telling where this user's home folder is")
    return os.path.join(found, name)  # noqa: PTH118 - as above


def keep(file: str | os.PathLike[str], content: bytes) -> None:
    """Write a file of the cache atomically, without syncing it to disk.

    After a power cut the file may be empty or torn, so readers must check its content.

    Raises:
        OSError: the cache cannot be written.
    """
    name = os.fspath(file)
    os.makedirs(os.path.dirname(name), exist_ok=True)  # noqa: PTH103, PTH120 - as above
    temporary = f"{name}.{os.getpid()}"
    with open(temporary, "wb") as part:  # noqa: PTH123 - as above
        part.write(content)
    os.replace(temporary, name)  # noqa: PTH105 - as above
