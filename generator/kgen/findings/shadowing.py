"""What a folder that Python searches has in the place of what is locked."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kgen.findings.shape import ExaminedEnvironment


def shadowed(one: ExaminedEnvironment, folder: str) -> list[str]:
    """The locked packages that a folder has modules of, sorted.

    Args:
        one: the environment.
        folder: the folder, which may not be there.
    """
    known = [*(file.name for file in one.lock.files), *one.lock.packages]
    names = {re.sub(r"[-_.]+", "_", name): name for name in known}
    return sorted({names[name] for name in _modules(folder) if name in names})


def _modules(folder: str) -> frozenset[str]:
    """What may be imported from a folder, by the names of its packages and modules."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return frozenset()
    packages = {name for name in names if (Path(folder) / name / "__init__.py").is_file()}
    # `name.py`, and `name.cpython-312-x86_64-linux-gnu.so`
    return frozenset(packages | {name.partition(".")[0] for name in names if name.endswith((".py", ".so"))})
