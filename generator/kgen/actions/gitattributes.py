"""Have git merge locks by solving them again."""

from __future__ import annotations

import shlex
from pathlib import Path

from kgen import files, gittool
from kgen.errors import SettingsError
from kgen.model import format as formats
from kgen.storage import write_file

ATTRIBUTES = ".gitattributes"
"""The file that tells git which files are merged how."""
_LINES = (
    "locks/** -text",  # else git puts the line endings of Windows into locks and hooks where it is set to
    *(f"locks/*/{name} merge=kgen" for form in formats.known() for name in form.files),
)


def merge_locks_with_git(root: Path) -> None:
    """Have git merge locks with `kgen merge-driver`: which files is committed, the command is configured in this clone.

    Args:
        root: the project's folder, in a git repository.

    Raises:
        SettingsError: the attributes that are there are not text.
        OutsideError: they cannot be read or written, or git refuses.
    """
    path = root / ATTRIBUTES
    try:
        text = files.read_text(path)
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise files.unreadable(path, error) from None
    except ValueError:
        raise SettingsError(f"{path} is not UTF-8 text", hints=[f"edit {shlex.quote(str(path))}"]) from None
    missing = [line for line in _LINES if line not in text.splitlines()]
    if missing:
        start = text if text.endswith("\n") or not text else f"{text}\n"
        write_file(path, (start + "".join(f"{line}\n" for line in missing)).encode())
    gittool.configure(root, "merge.kgen.name", "locks are solved again, keeping what both sides share")
    gittool.configure(root, "merge.kgen.driver", "kgen merge-driver %O %A %B %P")
