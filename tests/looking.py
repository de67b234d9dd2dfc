"""Runs a command of kgen's and prints, as JSON, each path that it looked at and did not note for :mod:`kgen.replay`.

    python -m tests.looking lock jax --cpu

It watches every function of Python's that looks at a disk, and so names a look that somebody adds and does not note.
kgen's own code is left out, which the answer is bound to otherwise, and so are what Python itself needs, and copies in
kgen's cache that a digest of the original names.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kgen import replay

_WATCHED = ("stat", "lstat", "open", "scandir", "listdir", "readlink", "access")
_CODE = Path(str(replay.__file__)).parent
_PYTHONS = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_OWN = (_CODE, *_PYTHONS, Path("/proc"), Path(os.devnull))
_COPIES = "compiled-matrix"
"""The folder of what was read of the matrix, by the digest of its text."""


def _is_kgens() -> bool:
    """Whether kgen's code looks, and not Python while it imports."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("importlib"):
            return False
        if name.startswith("kgen.") and name != "kgen.replay":
            return True
        frame = frame.f_back
    return False


def main(words: list[str]) -> None:
    """Run a command under watch."""
    looked: set[str] = set()

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - stands for any of them
            if args and not isinstance(args[0], int) and _is_kgens():
                looked.add(os.path.abspath(os.fsdecode(args[0])))  # noqa: PTH100 - as the noting does
            return function(*args, **options)

        return call

    if replay.again(words):
        sys.exit("the answer was there")
    witness = replay._witness
    for name in _WATCHED:
        setattr(os, name, watched(getattr(os, name)))
    builtins.open = io.open = watched(open)
    from kgen.cli.main import run  # noqa: PLC0415 - it looks at files while it is imported, as in a process of kgen

    status = run(words)
    if witness is None or not witness.is_repeatable:
        sys.exit(f"something was to be done; exit status {status}")
    unseen = [path for path in looked - witness.seen.keys() if not _is_left_out(Path(path))]
    # a folder on the way to what was noted is asked for by `resolve`, which looks for links; and so is the home folder,
    # where the search for settings ends
    above = {str(parent) for path in (*witness.seen, str(_CODE)) for parent in Path(path).parents} | {str(Path.home())}
    sys.stderr.write(json.dumps(sorted(set(unseen) - above)) + "\n")


def _is_left_out(path: Path) -> bool:
    scratch = Path(tempfile.gettempdir())
    if path == scratch or any(one.parent == scratch and one.name.startswith("kgen-") for one in (path, *path.parents)):
        return True  # a folder of this run's own, and where it is made
    return any(path.is_relative_to(own) for own in _OWN) or path.parent.name == _COPIES


if __name__ == "__main__":
    main(sys.argv[1:])
