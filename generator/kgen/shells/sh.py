"""POSIX's shell, and what else reads its language: dash, ash, ksh, mksh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from kgen.shells import Entry, Shell, without_nul


class Sh(Shell):
    """A shell that reads the file which `ENV` names."""

    name = "sh"
    programs: tuple[str, ...] = ("sh", "dash", "ash", "ksh", "mksh")
    suffix = "sh"
    in_locks = True
    borrows: tuple[str, ...] = ("ENV",)
    start_files: Mapping[str, str] = MappingProxyType({"sh/shrc": "activation/shrc.j2"})
    user_files: tuple[str, ...] = ("/etc/profile", "/etc/profile.d/*.sh", "~/.profile")

    @property
    def script(self) -> str:
        """See the base class; every tool for virtual environments calls this one so."""
        return "activate"

    def quote(self, text: str) -> str:
        """See the base class.

        `shlex.quote` would not do: it leaves `=ls` bare, which zsh replaces by the path of `ls`.
        """
        escaped = without_nul(text).replace("'", "'\"'\"'")
        return f"'{escaped}'"

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:
        """See the base class."""
        return Entry([program, "-i"], {"_KGEN_OLD_ENV": borrowed["ENV"], "ENV": str(share / "sh/shrc")})


SHELL = Sh()
