"""A script with its requirements in a comment (PEP 723)."""

from __future__ import annotations

from pathlib import Path

from kgen import files
from kgen.actions import scripts
from kgen.actions.takeover.builder import TakeoverBuilder
from kgen.actions.takeover.source import Source
from kgen.errors import SettingsError, UsageError
from kgen.model import grammar


class _Script(Source):
    files = (f"*{scripts.SUFFIX}",)
    shown = "a script with `# /// script`"

    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        assert path is not None  # noqa: S101 - it has no tool's name
        if not files.is_file(path):
            raise UsageError(f"--from: {path} is not there", hints=["kgen init"])
        try:
            script = scripts.read(path)
        except (OSError, ValueError) as error:
            said = (error.strerror if isinstance(error, OSError) else None) or error
            raise SettingsError(f"{path}: {grammar.printable(str(said))}", hints=["kgen init"]) from None
        builder.left += [f"[tool.{tool}] in {path.name}: uv reads its settings from uv.toml" for tool in script.tools]
        builder.python = script.requires_python
        builder.add_file(path, script.dependencies)


SOURCE = _Script()
