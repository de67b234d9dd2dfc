"""tcsh, which is what most systems have for csh."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from kgen.shells import Entry, Shell, without_nul

_APART = re.compile(r"[^A-Za-z0-9_./:,+@-]", re.ASCII)


class Tcsh(Shell):
    """A shell without functions, in which text that is evaluated loses its lines: what it sources must be in a file."""

    name = "tcsh"
    programs = ("tcsh", "csh")
    suffix = "csh"
    borrows = ("HOME",)
    start_files = MappingProxyType({"tcsh/.tcshrc": "activation/tcshrc.j2"})
    leave_file = True
    user_files = ("/etc/csh.cshrc", "/etc/csh.login", "~/.tcshrc", "~/.cshrc", "~/.login")

    def quote(self, text: str) -> str:
        """See the base class.

        History is substituted inside of quotes too, by a sign that is the user's choice, and settings say what a
        backslash means there. So what may be a sign stands outside, behind a backslash, where that means the same in
        any case; the end of a line alone stands inside.

        What is quoted may stand in no branch and no loop: looking for the end of what it skips, tcsh sees no quotes.
        """
        return "'" + _APART.sub(_apart, without_nul(text)) + "'"

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:
        """See the base class."""
        return Entry([program, "-i"], {"_KGEN_OLD_HOME": borrowed["HOME"], "HOME": str(share / "tcsh")})

    def hint(self, environment: str, script: PurePath) -> str:  # noqa: ARG002 - it is the script that counts
        """See the base class."""
        return f"source {self.quote(str(script))}"


def _apart(sign: re.Match[str]) -> str:
    if sign[0] == "\n":
        return "\\\n"
    return f"'\\{sign[0]}'" if sign[0].isascii() else sign[0]


SHELL = Tcsh()
