"""What other tools' files say about a project, as settings of kgen: `kgen init --from`.

kgen does not write down what it reads in every run anyway (`[project]` of `pyproject.toml`). It leaves out what has no
place in its settings, and names that with the reason. Each kind of file is a module in `sources`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kgen import files, lockfiles
from kgen.actions.takeover import sources
from kgen.actions.takeover.builder import Takeover, TakeoverBuilder, table_in, toml_of
from kgen.actions.takeover.source import Source
from kgen.errors import KgenError, UsageError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.project import PYPROJECT
from kgen.tables import nearest


def tools() -> tuple[str, ...]:
    """The tools that can be named without a file: they have a table in `pyproject.toml`, or a file of their own."""
    return tuple(one.tool for one in sources.known() if one.tool is not None)


def names() -> tuple[str, ...]:
    """The usual sources: tools, and files by their usual names."""
    return (*tools(), *(name for one in sources.known() for name in one.usual))


def take_over(root: Path, source: str, matrix: CompatibilityMatrix) -> Takeover:
    """Read another tool's files.

    Args:
        root: the project's folder.
        source: the name of a tool, or the path of a file.
        matrix: the facts.

    Raises:
        UsageError: the source is unknown or absent.
        SettingsError: the file cannot be read.
    """
    builder = TakeoverBuilder(root, matrix)
    path = None if source in tools() else Path(source)
    kind = next((one for one in sources.known() if one.is_named(source)), None)
    if path is not None and path.name == PYPROJECT:
        kind, path = _of_tables(table_in(toml_of(path), "tool", path.name)), None
    if kind is None:
        near = nearest(source, tools())
        *shown, last = (*tools(), *(one.shown for one in sources.known() if one.shown is not None))
        raise UsageError(
            f"--from: `{grammar.shown(source)}` is not what kgen can take over",
            hints=[f"did you mean `--from {near}`?" if near else f"give {', '.join(shown)} or {last}"],
        )
    kind.read(builder, path)
    return builder.found(source)


def _of_tables(tables: Mapping[str, object]) -> Source:
    """The tool whose table has the project's requirements; without one, uv, which reads the standard's table."""
    named = [one for one in sources.known() if one.tool is not None]
    return next((one for one in named if one.stands_alone and one.tool in tables), None) or next(
        one for one in named if not one.stands_alone
    )


def source_in(root: Path, matrix: CompatibilityMatrix) -> tuple[str | None, Sequence[str]]:
    """The source that `kgen init` takes over if the user names none.

    Args:
        root: the project's folder.
        matrix: the facts.

    Returns:
        The only readable source with the project's requirements, if nothing is locked yet; and notes on such sources.
    """
    found = _sources_in(root)
    if not found or lockfiles.environments(root):
        return None, ()
    name, *others = found
    if others:
        ways = " or ".join(f"`kgen init --from {one}`" for one in found)
        return None, (f"{' and '.join(found)} are not read; {ways}, in the place of these settings, takes one over",)
    try:
        take_over(root, name, matrix)
    except KgenError as error:
        return None, (f"{name} is not taken over: {error.message}",)
    return name, (f"{name} is taken over, as with `kgen init --from {name}`",)


def _sources_in(root: Path) -> tuple[str, ...]:
    """The sources with a project's requirements, if `[project]` of its `pyproject.toml` has none.

    Args:
        root: the project's folder.

    Returns:
        The names of files, and of the tools with a table in `pyproject.toml`.
    """
    if not files.exists(root / PYPROJECT):
        return tuple(name for one in sources.known() for name in one.usual if files.is_file(root / name))
    try:
        data = toml_of(root / PYPROJECT)
    except KgenError:  # who reads it for what it says reports it
        return ()
    tool = data.get("tool")
    if "project" in data or not isinstance(tool, Mapping):
        return ()
    alone = (one.tool for one in sources.known() if one.stands_alone)
    return tuple(name for name in alone if name is not None and name in tool)
