"""bash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from kgen.shells import Entry
from kgen.shells.sh import Sh


class Bash(Sh):
    """A shell of POSIX's language that can be told which file to read in the place of `~/.bashrc`."""

    name = "bash"
    programs = ("bash",)
    completes = True
    describes = False
    borrows = ()
    start_files = MappingProxyType({"bash/bashrc": "activation/bashrc.j2"})
    user_files = ("/etc/bash.bashrc", "~/.bash_profile", "~/.bashrc")

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:  # noqa: ARG002 - none
        """See the base class."""
        return Entry([program, "--rcfile", str(share / "bash/bashrc"), "-i"])


SHELL = Bash()
