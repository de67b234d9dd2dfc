"""zsh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from kgen.shells import Entry
from kgen.shells.sh import Sh


class Zsh(Sh):
    """A shell of POSIX's language that reads its files in the folder which `ZDOTDIR` names."""

    name = "zsh"
    programs = ("zsh",)
    completes = True
    borrows = ("ZDOTDIR",)
    start_files = MappingProxyType({"zsh/.zshenv": "activation/zshenv.j2", "zsh/.zshrc": "activation/zshrc.j2"})
    user_files = ("/etc/zsh/zshenv", "/etc/zsh/zshrc", "~/.zshenv", "~/.zprofile", "~/.zshrc")

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:
        """See the base class."""
        return Entry([program, "-i"], {"_KGEN_OLD_ZDOTDIR": borrowed["ZDOTDIR"], "ZDOTDIR": str(share / "zsh")})


SHELL = Zsh()
