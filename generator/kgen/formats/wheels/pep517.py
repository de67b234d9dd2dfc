"""Builds a wheel of a project, or an editable one as PEP 660 has it, with the interpreter that has what builds it.

Standard library only, on any CPython that a lock can be for; kgen and its Nix library run it and never import it. Its
arguments are the backend, its path in the project, the folder for the wheel, and which wheel: `wheel` or `editable`.
"""

import importlib
import os
import re
import sys

try:
    from importlib import metadata
except ImportError:  # CPython 3.7 and older: a backend that lacks something fails on its own
    metadata = None  # type: ignore[assignment]

_WANTS_MORE = 3
_LOCKS = "locks"
"""The folder that kgen writes into a project."""


def main() -> int:
    """Build the wheel; 3, and the names on stdout, if the backend wants what is not there."""
    backend, path, folder, kind = sys.argv[1:]
    sys.path[0] = os.path.abspath(path) if path else sys.path[0]  # noqa: PTH100 - runs on old Pythons too
    module, _, attributes = backend.partition(":")
    hooks = importlib.import_module(module)
    if module.partition(".")[0] == "setuptools":
        _leave_out_locks()
    for attribute in filter(None, attributes.split(".")):
        hooks = getattr(hooks, attribute)
    build = getattr(hooks, f"build_{kind}", None)
    if build is None:
        sys.stderr.write(f"{backend} cannot build {'an editable wheel' if kind == 'editable' else 'a wheel'}\n")
        return 1
    asks = getattr(hooks, f"get_requires_for_build_{kind}", None)
    missing = [text for text in (asks(None) if asks is not None else ()) if not _is_there(text)]
    if missing:
        sys.stdout.write("\n".join([*missing, ""]))
        return _WANTS_MORE
    build(folder, None, None)
    return 0


def _leave_out_locks() -> None:
    """Have setuptools, where it finds packages by itself, not take the folder of the locks for one: it would refuse."""
    try:
        finder = importlib.import_module("setuptools.discovery").FlatLayoutPackageFinder
    except ImportError:  # one that finds nothing by itself
        return
    if not os.path.exists(os.path.join(_LOCKS, "__init__.py")):  # noqa: PTH110, PTH118 - runs on old Pythons too
        finder.DEFAULT_EXCLUDE = (*finder.DEFAULT_EXCLUDE, _LOCKS, _LOCKS + ".*")


def _is_there(requirement: str) -> bool:
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
    if metadata is None:
        return True
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
