"""What PYTHONPATH, or the folder that kgen is called in, has in the place of Python's own modules.

Nothing is imported here that either may have another of.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def hiding() -> str:
    """The first file in a folder of PYTHONPATH that is called like a module of Python's own; empty if there is none."""
    # an empty entry is the working folder, but an empty variable has no entry
    written = os.environ.get("PYTHONPATH", "")  # noqa: TID251 - kgen.host may not be importable
    for folder in written.split(os.pathsep) if written else ():
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


def leave_folder() -> str:
    """Takes the working folder, which `python -m` searches before all others, out of Python's way.

    Returns:
        the file in it that Python has imported in the place of its own before kgen began; empty if there is none.
    """
    folder = _working_folder()
    if not folder or sys.path[:1] != [folder] or getattr(sys.flags, "safe_path", False) or sys.flags.isolated:
        return ""
    del sys.path[0]
    if folder in sys.path:  # Python's own folder, or one that PYTHONPATH names
        return ""
    if folder == _HERE:  # what kgen needs is installed beside it
        sys.path.append(folder)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name in sys.stdlib_module_names and file in {f"{folder}/{name}.py", f"{folder}/{name}/__init__.py"}:
            return file
    return ""


def called_elsewhere(words: Sequence[str]) -> str:
    """The call, in a shell, that searches the working folder for nothing.

    Args:
        words: behind the program.
    """
    beside = os.path.join(os.path.dirname(sys.executable), "kgen")  # noqa: PTH118, PTH120 - as above
    program = (sys.executable, "-P", "-m", "kgen") if sys.version_info >= (3, 11) else (beside,)
    return " ".join(map(_quoted, (*program, *words)))


def _quoted(word: str) -> str:
    # as shlex.quote, which needs `re`
    plain = word and all(letter.isalnum() or letter in "%+,-./:=@_" for letter in word)
    return word if plain else "'" + word.replace("'", "'\"'\"'") + "'"


def program() -> tuple[str, ...]:
    """The words that start this kgen, whatever modules the working folder has."""
    safe = ("-P",) if sys.version_info >= (3, 11) and _HERE in sys.path and _working_folder() != _HERE else ()
    return (sys.executable, *safe, "-m", "kgen")


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - kgen may not import pathlib yet
    except OSError:  # somebody deleted it
        return ""


_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - as above
"""The folder that kgen is installed in."""
