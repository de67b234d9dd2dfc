"""A file of requirements, as pip reads it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from kgen import files
from kgen.actions import requirement_files
from kgen.actions.takeover.builder import TakeoverBuilder, text_of
from kgen.actions.takeover.source import Source
from kgen.errors import UsageError
from kgen.formats import interface
from kgen.model import format as formats


class _RequirementsTxt(Source):
    files = ("*.txt", "*.in")
    usual = ("requirements.txt",)
    shown = "requirements.txt"

    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        assert path is not None  # noqa: S101 - it has no tool's name
        read(builder, path)


def read(builder: TakeoverBuilder, path: Path) -> None:
    """Take over a requirements file.

    Args:
        builder: collects the settings.
        path: the file.

    Raises:
        UsageError: there is no such file, or it lists what is installed.
        SettingsError: the file cannot be read.
    """
    if not files.is_file(path):
        raise UsageError(f"--from: {path} is not there", hints=["kgen init"])
    content = text_of(path)
    if any(sign.search(content) for form in formats.known() for sign in interface.signs(form).values()):
        raise UsageError(
            f"--from: {path} lists what is installed, and not what the project asks for",
            hints=[f"kgen lock --from {shlex.quote(str(path))}   # takes the versions", "kgen init"],
        )
    inner = tuple(requirement_files.with_inner(str(path.absolute()), builder.root))
    builder.add_file(path, requirement_files.requirements_in(str(path.absolute()), builder.root, inner))
    for line in content.splitlines():
        if re.match(r"\s*(-i|--index-url|--extra-index-url|-f|--find-links)\b", line):
            builder.left.append(f"{line.split()[0]} in {path.name}: uv asks its own indexes; name them in uv.toml")


SOURCE = _RequirementsTxt()
