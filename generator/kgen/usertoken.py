"""Tells environments that this user's kgen made from folders that another user put in their place.

A repository can hold a folder that looks like an environment, down to kgen's record of it, and `kgen run` would execute
what is in it. It cannot know the token: random text, made once for each user, which kgen writes into what it makes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kgen import files, host

_BYTES = 16
_LONGEST = 1024


def place() -> Path | None:
    """The file that holds the token; None where the user has no home."""
    base = host.variable("XDG_STATE_HOME") or ""
    if base.startswith("/"):
        return Path(base) / "kgen" / "token"
    home = host.home()
    return None if home is None else home / ".local" / "state" / "kgen" / "token"


def token() -> str:
    """The user's token, which is made when it is first asked for.

    Empty where nothing can be kept for the user: then environments are told apart by what they hold alone.
    """
    path = place()
    if path is None:
        return ""
    found = _read(path)
    if not found:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            import secrets  # noqa: PLC0415 - asked once in the life of a user

            fresh = path.with_name(f"{path.name}.{os.getpid()}")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(_BYTES))
            try:
                # of two runs that make one at the same time, both go on with that of the first
                os.link(fresh, path)
            finally:
                fresh.unlink()
        found = _read(path)
    return found


def _read(path: Path) -> str:
    try:
        text = files.read(path, _LONGEST).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if text.isalnum() else ""
