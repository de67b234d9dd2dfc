"""Nushell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from kgen.shells import Entry, Shell, without_nul

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Nushell(Shell):
    """A shell that evaluates no text: what it sources must be in a file before the line is read."""

    name = "nu"
    programs = ("nu",)
    suffix = "nu"
    completes = True
    reads_pipes = False
    user_files = ("~/.config/nushell/*.nu", "~/.config/nushell/autoload/*.nu")

    def quote(self, text: str) -> str:
        """See the base class; a string in double quotes, since nothing can be escaped in single ones."""
        return f'"{without_nul(text).translate(_ESCAPES)}"'

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:  # noqa: ARG002 - none
        """See the base class."""
        script = self.quote(str(share / f"activate.{self.suffix}"))
        return Entry([program, "--execute", f"source {script}"])

    def hint(self, environment: str, script: PurePath) -> str:  # noqa: ARG002 - it is the script that counts
        """See the base class."""
        return f"source {self.quote(str(script))}"


SHELL = Nushell()
