"""Builds a project as an editable wheel, as PEP 660 has it: a program of the interpreter that has what builds it.

Standard library only, on any CPython that a lock can be for; kgen runs it and never imports it. Its arguments are the
backend, its path in the project, and the folder for the wheel.
"""

import importlib
import importlib.metadata
import os
import re
import sys

_WANTS_MORE = 3


def main() -> int:
    """Build the wheel; 3, and the names on stdout, if the backend wants what is not there."""
    backend, path, folder = sys.argv[1:]
    sys.path[0] = os.path.abspath(path) if path else sys.path[0]  # noqa: PTH100 - runs on old Pythons too
    module, _, attributes = backend.partition(":")
    hooks = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        hooks = getattr(hooks, attribute)
    if not hasattr(hooks, "build_editable"):
        sys.stderr.write(f"{backend} cannot build an editable wheel\n")
        return 1
    asks = getattr(hooks, "get_requires_for_build_editable", None)
    missing = [text for text in (asks(None) if asks is not None else ()) if not _is_there(text)]
    if missing:
        sys.stdout.write("\n".join([*missing, ""]))
        return _WANTS_MORE
    hooks.build_editable(folder, None, None)
    return 0


def _is_there(requirement: str) -> bool:
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
