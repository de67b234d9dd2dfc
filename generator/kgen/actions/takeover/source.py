"""What kgen has to know of a kind of file that a project is taken over from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Protocol

from kgen.actions.takeover.builder import TakeoverBuilder, table_in, texts_in, toml_of
from kgen.errors import UsageError
from kgen.project import PYPROJECT


class Source(Protocol):
    """A kind of file.

    Attributes:
        tool: the name of the tool whose file, or table in `pyproject.toml`, it is, and by which it can be named; None
            where a path names it.
        stands_alone: whether such a table says what a project requires that has no table `[project]`.
        files: patterns of the names of such files.
        usual: the names that they have as a rule, in the folder of a project.
        shown: what people call it; None where that is its tool.
    """

    tool: str | None = None
    stands_alone: bool = False
    files: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    shown: str | None = None

    def is_named(self, source: str) -> bool:
        """Whether this is what a user calls so: a tool, or a path."""
        return source == self.tool or any(fnmatch(Path(source).name, pattern) for pattern in self.files)

    @abstractmethod
    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        """Take over what it says.

        Args:
            builder: collects that.
            path: the file; None for that of the tool in the project's folder.

        Raises:
            UsageError: it is not there.
            SettingsError: it cannot be understood.
        """


def add_project(builder: TakeoverBuilder, data: Mapping[str, Any]) -> None:
    """Take over which backends `[project]` requires; kgen reads the rest of it by itself.

    Args:
        builder: collects them.
        data: the content of `pyproject.toml`.
    """
    project = data.get("project")
    if isinstance(project, Mapping):
        for text in texts_in(project.get("dependencies")):
            builder.add(text, known=True)


def table_of_tool(builder: TakeoverBuilder, tool: str) -> Mapping[str, Any]:
    """The table of a tool in `pyproject.toml`, after what `[project]` says beside it.

    Args:
        builder: collects that.
        tool: the name of the table.

    Raises:
        UsageError: there is none.
        SettingsError: the file cannot be understood.
    """
    data = toml_of(builder.root / PYPROJECT)
    add_project(builder, data)
    tables = table_in(data, "tool", PYPROJECT)
    if tool not in tables:
        raise UsageError(f"--from: {PYPROJECT} has no table [tool.{tool}]", hints=["kgen init"])
    return table_in(tables, tool, PYPROJECT)
