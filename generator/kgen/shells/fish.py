"""fish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from kgen.shells import Entry, Shell, without_nul


class Fish(Shell):
    r"""A shell in which `\\` and `\'` are the only escapes inside single quotes."""

    name = "fish"
    programs = ("fish",)
    suffix = "fish"
    in_locks = True
    completes = True
    user_files = ("~/.config/fish/config.fish", "~/.config/fish/conf.d/*.fish")

    def quote(self, text: str) -> str:
        """See the base class."""
        escaped = without_nul(text).replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"

    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:  # noqa: ARG002 - none
        """See the base class."""
        script = self.quote(str(share / f"activate.{self.suffix}"))
        return Entry([program, "--interactive", "--init-command", f"source {script}"])

    def hint(self, environment: str, script: PurePath) -> str:  # noqa: ARG002 - fish sources what it reads
        """See the base class."""
        return f"kgen activate {environment} | source"


SHELL = Fish()
