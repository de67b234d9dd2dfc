"""Shows a Python of a Nix shell the project in the folder that somebody works in, as an editable install does.

Lies in an environment's site-packages and is called from a `.pth` file beside it, at every start of its Python. Shells
name two folders: in `KGEN_PROJECT_SITE` is the project's metadata, with what its backend wrote for an editable install,
and `KGEN_PROJECT` is the project itself.
"""

from __future__ import annotations

import os
import sys


def install() -> None:
    """Put the project on the path, if a shell named one."""
    folder = os.environ.get("KGEN_PROJECT_SITE", "")
    if folder and folder not in sys.path and os.path.isdir(folder):
        import site  # noqa: PLC0415 - it is there already when it calls this

        site.addsitedir(folder)


def located(path: str) -> str:
    """A place in the project, as an absolute path."""
    root = os.environ.get("KGEN_PROJECT", "")
    return os.path.normpath(os.path.join(root, path))


def add(path: str) -> None:
    """Put a folder of the project on the path."""
    folder = located(path)
    if folder not in sys.path:
        sys.path.append(folder)
