"""Where kgen keeps what it can make again. Imports nothing that a call with nothing to do can be spared."""

from __future__ import annotations

import os
import sys


def cache(name: str) -> str:
    """A folder in kgen's own cache, which KGEN_CACHE_DIR moves; it may not be there yet.

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
