"""PowerShell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

from kgen.shells import Entry, Shell, without_nul

# PowerShell takes these for a straight single quote, and two of any of them inside quotes for one literal.
_SINGLE_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")


class PowerShell(Shell):
    """A shell in whose strings every kind of single quote is doubled."""

    name = "pwsh"
    programs = ("pwsh", "powershell")
    suffix = "ps1"
    in_locks = True
    completes = True

    def quote(self, text: str) -> str:
        """See the base class."""
        escaped = _SINGLE_QUOTES.sub(r"\1\1", without_nul(text))
        return f"'{escaped}'"

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:  # noqa: ARG002 - none
        """See the base class."""
        return Entry([program, "-NoExit", "-File", str(share / f"activate.{self.suffix}")])

    def hint(self, environment: str, script: PurePath) -> str:  # noqa: ARG002 - PowerShell evaluates what it reads
        """See the base class."""
        return f"kgen activate {environment} | Out-String | Invoke-Expression"


SHELL = PowerShell()
