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


def places() -> tuple[Path, ...]:
    """The files that may hold the user's token, that of these surroundings first.

    HOME and XDG_STATE_HOME differ between a shell, a job and a container of one user; the home folder that the system
    has for the user does not.
    """
    base = host.variable("XDG_STATE_HOME") or ""
    folders = [Path(base)] if base.startswith("/") else []
    folders += [home / ".local" / "state" for home in (host.home(), _system_home()) if home is not None]
    return tuple(folder / "kgen" / "token" for folder in dict.fromkeys(folders))


def _system_home() -> Path | None:
    """The home folder that the system has for the user; None without one, and where it is another user's."""
    import pwd  # noqa: PLC0415 - no other system than Unix has it

    with contextlib.suppress(KeyError, OSError):
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
        if home.stat().st_uid == os.geteuid():
            return files.resolved(home)
    return None


def tokens() -> frozenset[str]:
    """The user's tokens, whatever the surroundings were in which each was made."""
    return frozenset(filter(None, map(_read, places())))


def token() -> str:
    """The user's token, which is made when it is first asked for.

    Empty where nothing can be kept for the user: then environments are told apart by what they hold alone.
    """
    there = places()
    if not there:
        return ""
    found = next(filter(None, map(_read, there)), "")
    path = there[0]
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
