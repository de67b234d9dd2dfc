"""What PYTHONPATH has in the place of Python's own modules; nothing is imported here that it may have another of."""

from __future__ import annotations

import os
import sys


def hiding() -> str:
    """The first file in a folder of PYTHONPATH that is called like a module of Python's own; empty if there is none."""
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):  # noqa: TID251 - kgen.host may not be importable
        try:
            names = sorted(os.listdir(folder or "."))  # noqa: PTH208 - as above
        except OSError:
            continue
        for name in names:
            module, _, ending = name.partition(".")
            whole = ending == "py" or (not ending and os.path.isfile(f"{folder or '.'}/{name}/__init__.py"))  # noqa: PTH113 - as above
            if whole and module in sys.stdlib_module_names and module not in sys.builtin_module_names:
                return f"{folder or '.'}/{name}"
    return ""
