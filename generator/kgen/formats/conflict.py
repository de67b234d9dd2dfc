"""Both sides of a lock that a merge left in conflict."""

from __future__ import annotations

import re
from pathlib import Path

from kgen import gittool
from kgen.errors import SettingsError

_CONFLICT = re.compile(rb"^<<<<<<< .*?^>>>>>>> [^\n]*\n?", re.MULTILINE | re.DOTALL)
_PARTS = re.compile(
    rb"<<<<<<< [^\n]*\n(?P<ours>.*?)^(?:\|\|\|\|\|\|\|[^\n]*\n.*?^)?=======\r?\n(?P<theirs>.*?)^>>>>>>> [^\n]*\n?",
    re.MULTILINE | re.DOTALL,
)


def sides(path: Path, content: bytes, *, merge: bool) -> tuple[bytes, bytes] | None:
    """Both sides of a lock that a merge left in conflict; None if it is in none.

    Args:
        path: where it is.
        content: what is in it.
        merge: whether it may be in conflict.

    Raises:
        SettingsError: it is, and may not be.
    """
    if b"\n>>>>>>> " not in content or not _CONFLICT.search(content):
        return None
    if merge:
        return gittool.sides(path.parent, Path(path.name)) or _sides(content)
    raise SettingsError(
        f"{path} is in conflict after a merge",
        hints=["`kgen lock --merge` solves it again and keeps what both sides share"],
    )


def _sides(content: bytes) -> tuple[bytes, bytes]:
    """Both sides of a file with conflict markers."""
    return _PARTS.sub(lambda part: part["ours"], content), _PARTS.sub(lambda part: part["theirs"], content)
