"""What another tool's files say of a project, as settings of kgen: `kgen init --from`.

What kgen reads by itself each time (`[project]` of `pyproject.toml`) is not written down again. What has no place in
kgen's settings is left out, and named with the reason.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tomli
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from kgen import conda_only, files, lockfiles, parsers, uvtool
from kgen.actions import scripts
from kgen.actions.pythons import RequiresPython, poetry_range
from kgen.actions.requirements import PIXI, given_in
from kgen.errors import KgenError, SettingsError, UsageError
from kgen.formats import interface
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.requirement import Requirement
from kgen.project import PYPROJECT
from kgen.settings import Settings
from kgen.tables import mismatch, nearest

TOOLS = ("uv", "poetry", "pixi")
"""What can be named without a file: their tables are in `pyproject.toml`, or in a file of a fixed name."""

_SOURCES = ("requirements.txt", "environment.yml", "environment.yaml", PIXI)
"""Files that say what a project requires, under the names that they have as a rule."""

_NO_DEFAULTS = "nodefaults"
"""The entry that keeps conda from asking other channels than those of the file."""

_PATCHES = 40
"""More patch releases than a minor of CPython ever had."""


class Entry(NamedTuple):
    """A key of the settings.

    Attributes:
        key: the key.
        values: the texts of its array.
        comment: the comment beside it.
    """

    key: str
    values: tuple[str, ...]
    comment: str


class Takeover(NamedTuple):
    """What is taken over.

    Attributes:
        backends: those whose frameworks are required, as kgen calls them; none where nothing says so.
        platforms: those that the matrix knows; none where nothing says so.
        python: the Pythons that are allowed; None where nothing says so.
        entries: further settings.
        left: what is left out, each with the reason.
    """

    backends: tuple[str, ...]
    platforms: tuple[str, ...]
    python: RequiresPython | None
    entries: tuple[Entry, ...]
    left: tuple[str, ...]


def take_over(root: Path, source: str, matrix: CompatibilityMatrix) -> Takeover:
    """Read what another tool's files say.

    Args:
        root: the project's folder.
        source: `uv`, `poetry`, `pixi`, or the path of an `environment.yml`, a file of requirements, a script, a
            `pixi.toml` or a `pyproject.toml`.
        matrix: the facts.

    Raises:
        UsageError: it is none of these, or is not there.
        SettingsError: it cannot be understood.
    """
    reader = _Reader(root, matrix)
    path = Path(source)
    if source in TOOLS:
        reader.read_tool(source)
    elif path.suffix in {".yml", ".yaml"}:
        reader.read_environment(path)
    elif path.suffix in {".txt", ".in"}:
        reader.read_requirements(path)
    elif path.suffix == scripts.SUFFIX:
        reader.read_script(path)
    elif path.name == PIXI:
        reader.read_pixi(_toml(path), path.name)
    elif path.name == PYPROJECT:
        tables = _table(_toml(path), "tool", path.name)
        reader.read_tool(next((tool for tool in ("poetry", "pixi") if tool in tables), "uv"))
    else:
        near = nearest(source, TOOLS)
        raise UsageError(
            f"--from: `{grammar.shown(source)}` is not what kgen can take over",
            hints=[
                f"did you mean `--from {near}`?"
                if near
                else f"give {', '.join(TOOLS)}, environment.yml, requirements.txt or a script with `# /// script`"
            ],
        )
    return reader.found(source)


def source_in(root: Path, matrix: CompatibilityMatrix) -> tuple[str | None, Sequence[str]]:
    """What `kgen init` takes a project over from, where that is not named.

    Args:
        root: the project's folder.
        matrix: the facts.

    Returns:
        The one source that says what the project requires, where nothing is locked yet and it can be read; and what is
        to be said of such sources.
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
    """What in a folder says what its project requires, where `[project]` of its `pyproject.toml` does not.

    Args:
        root: the project's folder.

    Returns:
        Files by their names, and the tools whose tables `pyproject.toml` has.
    """
    if not (root / PYPROJECT).exists():
        return tuple(name for name in _SOURCES if (root / name).is_file())
    try:
        data = _toml(root / PYPROJECT)
    except KgenError:  # who reads it for what it says reports it
        return ()
    tool = data.get("tool")
    if "project" in data or not isinstance(tool, Mapping):
        return ()
    return tuple(name for name in ("poetry", "pixi") if name in tool)


def _text_of(path: Path) -> str:
    try:
        return files.read_text(path, files.SMALL, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"--from: {path} is not there", hints=["kgen init"]) from None
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(f"{path} cannot be read: {said}", hints=[f"ls -l {files.typed(path)}"]) from None


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomli.loads(_text_of(path))
    except (tomli.TOMLDecodeError, RecursionError) as error:
        said = grammar.shown(str(error).partition("\n")[0])
        raise SettingsError(f"{path} is not valid TOML: {said}", hints=[f"edit {files.typed(path)}"]) from None


@dataclass
class _Reader:
    """Collects what files of one project say."""

    root: Path
    matrix: CompatibilityMatrix
    backends: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)
    python: str | None = None
    lists: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def found(self, source: str) -> Takeover:
        return Takeover(
            backends=tuple(dict.fromkeys(self.backends)),
            platforms=tuple(dict.fromkeys(self.platforms)),
            python=self._allowed(),
            entries=tuple(
                Entry(key, tuple(dict.fromkeys(values)), f"Taken over from {source}.")
                for key, values in self.lists.items()
                if values
            ),
            left=tuple(dict.fromkeys(map(grammar.printable, self.left))),
        )

    def _allowed(self) -> RequiresPython | None:
        if self.python is None:
            return None
        try:
            allowed = SpecifierSet(self.python)
        except InvalidSpecifier:
            self.left.append(f"python {self.python}: it is not a range of versions")
            return None
        minors = (row.version for row in self.matrix.pythons)
        return RequiresPython(
            self.python, tuple(one for one in minors if any(f"{one}.{patch}" in allowed for patch in range(_PATCHES)))
        )

    # -- one requirement -----------------------------------------------------------------------------------------------

    def add(self, text: str, *, known: bool = False) -> None:
        """Take a requirement over.

        Args:
            text: as the standard writes it.
            known: whether kgen reads it by itself, so that it says of the backends alone.
        """
        try:
            requirement = parsers.parse_dependency(text)
        except ValueError as error:
            self.left.append(str(error))
            return
        backend = self._backend_of(requirement)
        if backend is not None:
            self.backends.append(backend)
        if known:
            return
        decided = backend is not None or requirement.name in {one.package for one in self.matrix.generations.values()}
        if not decided:
            self.lists.setdefault("dependencies", []).append(str(requirement))
        elif requirement.specifier:
            wanted = Requirement(f"{requirement.name}{requirement.specifier}")
            self.lists.setdefault("require", []).append(str(wanted))

    def _backend_of(self, requirement: Requirement) -> str | None:
        """The backend whose framework this is; none for what is required for its own sake, as NumPy is."""
        default = self.matrix.default_backends(None)
        rows = [self.matrix.backends[name] for name in default]
        return next((row.short for row in rows if row.accelerated and row.framework == requirement.name), None)

    # -- uv, Poetry and pixi -------------------------------------------------------------------------------------------

    def read_tool(self, tool: str) -> None:
        if tool == "pixi" and (self.root / PIXI).is_file():
            self.read_pixi(_toml(self.root / PIXI), PIXI)
            return
        data = _toml(self.root / PYPROJECT)
        tables = _table(data, "tool", PYPROJECT)
        project = data.get("project")
        if isinstance(project, Mapping):
            for text in _texts(project.get("dependencies")):
                self.add(text, known=True)
        if tool == "uv":
            self._read_uv(data, _table(tables, "uv", PYPROJECT))
        elif tool not in tables:
            raise UsageError(f"--from: {PYPROJECT} has no table [tool.{tool}]", hints=["kgen init"])
        elif tool == "poetry":
            self._read_poetry(_table(tables, "poetry", PYPROJECT))
        else:
            self.read_pixi(_table(tables, "pixi", PYPROJECT), PYPROJECT)

    def _read_uv(self, data: Mapping[str, Any], table: Mapping[str, Any]) -> None:
        groups = _table(data, "dependency-groups", PYPROJECT)
        wanted = table.get("default-groups", ["dev"])
        chosen = list(groups) if wanted == "all" else [name for name in _texts(wanted) if name in groups]
        if chosen:
            self.lists["groups"] = chosen
        for text in _texts(table.get("dev-dependencies")):
            self.add(text)
        for name, row in _table(table, "sources", PYPROJECT).items():
            rows = row if isinstance(row, list) else [row]
            # one place is read from there whenever kgen locks
            if len(rows) > 1 and not all(isinstance(one, Mapping) and "index" in one for one in rows):
                self.left.append(f"the sources of {name} in [tool.uv.sources]: kgen locks one place for all")

    def _read_poetry(self, table: Mapping[str, Any]) -> None:
        named = _table(table, "group", PYPROJECT)
        groups = {name: _table(named, name, PYPROJECT) for name in named}
        for name, group in groups.items():
            if group.get("optional"):
                self.left.append(f"group {name} of Poetry: it is optional; `kgen add` takes what is in it")
        every = [
            _table(table, "dependencies", PYPROJECT),
            _table(table, "dev-dependencies", PYPROJECT),
            *(_table(group, "dependencies", PYPROJECT) for group in groups.values() if not group.get("optional")),
        ]
        for rows in every:
            for name, value in rows.items():
                version = value.get("version", "*") if isinstance(value, Mapping) else value
                if name == "python":
                    self.python = poetry_range(str(version))
                    continue
                if isinstance(value, Mapping) and value.get("optional") is True:
                    self.left.append(f"{name}: it is optional, for an extra of Poetry; `kgen add {name}` takes it")
                    continue
                self._add_row(name, value, version, poetry_range)
        if table.get("source"):
            self.left.append("[[tool.poetry.source]]: uv asks its own indexes; name them as `[[index]]` in uv.toml")

    def _add_row(self, name: str, value: object, version: object, ranges: Callable[[str], str]) -> None:
        extras = _texts(value.get("extras")) if isinstance(value, Mapping) else []
        foreign = {"git", "path", "url", "file"} & set(value) if isinstance(value, Mapping) else set()
        named = f"[{','.join(extras)}]" if extras else ""
        if foreign and isinstance(value, Mapping):
            self.add(f"{name}{named} @ {_place(value)}")
            return
        if isinstance(version, list):
            self.left.append(f"{name}: it has a list of versions, and kgen locks one requirement for all")
            return
        if not isinstance(version, str):
            self.left.append(f"{name}: its version {mismatch(version, str)}")
            return
        self.add(f"{name}{named}{ranges(version)}")

    def read_pixi(self, table: Mapping[str, Any], where: str) -> None:
        head = _table(table, "workspace" if "workspace" in table else "project", where)
        self._platforms(_texts(head.get("platforms")))
        # a channel of pixi's may have a priority, which their order says too
        rows = head.get("channels", [])
        if not isinstance(rows, list):
            raise SettingsError(f"{where}, channels: {mismatch(rows, list)}")
        self._channels(_texts([one.get("channel") if isinstance(one, Mapping) else one for one in rows]))
        self._add_packages_of_pixi(table, where)
        for name, value in _table(table, "pypi-dependencies", where).items():
            version = value.get("version", "*") if isinstance(value, Mapping) else value
            if not (isinstance(value, Mapping) and value.get("editable")):
                self._add_row(name, value, version, lambda text: "" if text == "*" else text)
        targets = _table(table, "target", where)
        for platform in targets:
            target = _table(targets, platform, where)
            if platform in _SELECTORS:
                self._add_packages_of_pixi(target, where, _SELECTORS[platform])
            if others := sorted(target.keys() - ({"dependencies"} if platform in _SELECTORS else ())):
                self.left.append(f"target.{platform} of {where} ({', '.join(others)}): kgen has no such thing")
        for key, what in _ONLY_IN_PIXI.items():
            if rows := _table(table, key, where):
                self.left.append(f"{what} of {where} ({', '.join(rows)}): kgen has no such thing")
        if table.get("system-requirements"):
            rows = _table(table, "system-requirements", where)
            wanted = ", ".join(f"{name} {value}" for name, value in rows.items())
            self.left.append(f"system-requirements {wanted}: kgen asks for `cuda`, `driver` and `glibc` by themselves")

    def _add_packages_of_pixi(self, table: Mapping[str, Any], where: str, marker: str = "") -> None:
        for name, value in _table(table, "dependencies", where).items():
            version = value.get("version", "*") if isinstance(value, Mapping) else value
            if isinstance(version, str):
                self._add_match(name, "" if version == "*" else version, marker)
            else:
                self.left.append(f"{name}: its version {mismatch(version, str)}")

    def _channels(self, names: Sequence[str]) -> None:
        """Take channels over, which count for `kgen lock --conda`; those that count by themselves need not be named."""
        found = []
        for name in dict.fromkeys(names):
            if name == _NO_DEFAULTS:  # kgen asks no such channel
                continue
            try:
                found.append(parsers.parse_channel(name))
            except ValueError as error:
                self.left.append(f"channel {grammar.shown(name)}: {error}")
        distinct = list(dict.fromkeys(found))
        if distinct and tuple(distinct) != Settings(root=self.root).channels:
            self.lists["channels"] = distinct

    def _platforms(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self.matrix.platforms:
                self.platforms.append(name)
            else:
                self.left.append(f"platform {name}: the matrix does not know it")

    # -- conda ---------------------------------------------------------------------------------------------------------

    def read_environment(self, path: Path) -> None:
        said = _Environment(_text_of(path), path).found
        if "dependencies" not in said:
            raise SettingsError(f"{path} has no `dependencies`", hints=["conda env export --from-history"])
        for key, values in said.items():
            plain = [one.partition(_SELECTED)[0] for one in values]
            if key == "dependencies":
                self._add_rows_of_conda(values)
            elif key == "pip":
                self._add_rows_of_pip(plain, path.parent)
            elif key == "channels":
                self._channels(plain)
            elif key == "platforms":
                self._platforms(plain)
            elif key == "variables":
                self.left.append("variables: set them where you run the project")
            elif key not in {"name", "prefix"}:
                self.left.append(f"{key}: kgen has no such thing")

    def _add_rows_of_conda(self, texts: Sequence[str]) -> None:
        """Take over dependencies, each with the selector behind it, if any, as a marker."""
        for text in texts:
            spec, _, selector = text.partition(_SELECTED)
            match = _CONDA_SPEC.fullmatch(spec)
            if match is None:
                self.left.append(f"{spec}: it is not a requirement that kgen can read")
            elif selector and selector not in _SELECTORS:
                self.left.append(
                    f"{spec}  # [{selector}]: kgen knows the selectors {', '.join(filter(None, _SELECTORS))}"
                )
            else:
                inside = dict(_IN_BRACKETS.findall(match["inside"] or ""))
                version = inside.get("version", match["rest"].strip()).strip("'\"")
                self._add_match(match["name"], version, _SELECTORS.get(selector, ""))

    def _add_rows_of_pip(self, texts: Sequence[str], folder: Path) -> None:
        """Take over what an environment of conda has pip install; files that are named are relative to its own."""
        for text in texts:
            named = re.fullmatch(r"(?:-r|--requirement)[ =](?P<file>\S+)", text)
            egg = re.fullmatch(r"(?P<place>[a-z]+\+[^#\s]+)#egg=(?P<name>[A-Za-z0-9._-]+)", text)
            if named is not None and (folder / named["file"]).is_file():
                self.read_requirements(folder / named["file"])
            elif egg is not None:
                self.add(f"{egg['name']} @ {egg['place']}")
            elif text.startswith("-") and not re.match(r"-e|--editable", text):
                self.left.append(f"pip's `{text}`: name files with `kgen lock -r`, and indexes in uv.toml")
            else:
                self.add(text)

    def _add_match(self, name: str, version: str, marker: str = "") -> None:
        """Take over what conda calls a package, in its own way to write versions.

        Args:
            name: conda's name of it.
            version: the range, and what comes after it.
            marker: where it is wanted; none for everywhere.
        """
        ranges = _conda_range(version)
        if ranges is None and not self._only_in_conda(name, version):
            self.left.append(f"{name} {version}: only conda reads such versions")
            return
        if name == "python" and ranges is not None:
            self.python = ranges
        elif name in {"pip", "setuptools", "wheel"}:
            self.left.append(f"{name}: no environment of kgen needs it")
        elif reason := self._only_in_conda(name, version):
            self.left.append(f"{f'{name} {version}'.strip()}: {reason}")
        else:
            project = self.matrix.channel_projects.get(name) or conda_only.packages().projects.get(name, name)
            self.add(f"{project}{ranges or ''}{marker and f'; {marker}'}")

    def _only_in_conda(self, name: str, version: str) -> str | None:
        """Why a package of conda is nothing to take over; None for one of a project of the index."""
        only = conda_only.packages()
        kind = only.kind_of(name)
        number = re.match(r"[=<>~!\s]*([0-9]+(?:\.[0-9]+)?)", version)
        if kind == "cuda":
            asks = f"; `kgen lock --cuda {number[1]}` asks for it" if number is not None else ""
            return f"kgen chooses CUDA{asks}"
        if kind == "parts" or name in self.matrix.channel_runtimes:
            return "kgen chooses it, with CUDA"
        if kind == "builds":
            return "it says which build is meant; `kgen lock --cpu` or `--cuda` says that to kgen"
        return "it is not a Python package; the system has it, or wheels bring it along" if kind == "system" else None

    # -- requirements --------------------------------------------------------------------------------------------------

    def read_requirements(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"--from: {path} is not there", hints=["kgen init"])
        content = _text_of(path)
        if any(sign.search(content) for form in formats.known() for sign in interface.signs(form).values()):
            raise UsageError(
                f"--from: {path} lists what is installed, and not what the project asks for",
                hints=[f"kgen lock --from {shlex.quote(str(path))}   # takes the versions", "kgen init"],
            )
        texts = uvtool.requirements_in(uvtool.find(), path.absolute(), root=self.root)
        before = len(self.left)
        for text in texts:
            self.add(text, known=True)
        refused = len(self.left) > before
        for line in content.splitlines():
            if re.match(r"\s*(-i|--index-url|--extra-index-url|-f|--find-links)\b", line):
                self.left.append(f"{line.split()[0]} in {path.name}: uv asks its own indexes; name them in uv.toml")
        if not refused:
            self._name(path)
            return
        # the file as it stands could not be locked
        for text in texts:
            self.add(text)

    def _name(self, path: Path) -> None:
        """Have a file of requirements read whenever kgen locks."""
        inside = path.resolve().is_relative_to(self.root.resolve())
        place = os.path.relpath(path.resolve(), self.root.resolve()) if inside else str(path)
        named = (place,) if inside else given_in(Path.cwd(), self.root, [place])
        self.lists.setdefault("requirements", []).extend(named)

    def read_script(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"--from: {path} is not there", hints=["kgen init"])
        try:
            script = scripts.read(path)
        except (OSError, ValueError) as error:
            said = (error.strerror if isinstance(error, OSError) else None) or error
            raise SettingsError(f"{path}: {grammar.printable(str(said))}", hints=["kgen init"]) from None
        self.left += [f"[tool.{tool}] in {path.name}: uv reads its settings from uv.toml" for tool in script.tools]
        self.python = script.requires_python
        before = len(self.left)
        for text in script.dependencies:
            self.add(text, known=True)
        if len(self.left) == before:
            self._name(path)
            return
        for text in script.dependencies:
            self.add(text)


_ONLY_IN_PIXI = {
    "feature": "features",
    "tasks": "tasks",
    "activation": "activation",
    "host-dependencies": "host-dependencies",
    "build-dependencies": "build-dependencies",
    "dependency-overrides": "dependency-overrides",
    "constraints": "constraints",
    "pypi-options": "options of pip's index",
}
"""Tables of pixi that are not taken over -> what is in them."""


def _table(of: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """A table of a file; empty if it has none of that name.

    Raises:
        SettingsError: it is something else.
    """
    value = of.get(key, {})
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}, {key}: {mismatch(value, dict)}")
    return value


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _place(row: Mapping[str, Any]) -> str:
    """Where Poetry or pixi take a package from, as the standard writes it."""
    if isinstance(row.get("git"), str):
        at = next((f"@{row[key]}" for key in ("rev", "tag", "branch") if isinstance(row.get(key), str)), "")
        below = f"#subdirectory={row['subdirectory']}" if isinstance(row.get("subdirectory"), str) else ""
        # `git@host:path` is ssh's short form, which no URL is
        url = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"ssh://git@\1/", row["git"])
        return f"git+{url}{at}{below}"
    return str(next(row[key] for key in ("path", "file", "url") if key in row))


_CONDA_SPEC = re.compile(
    r"(?:[A-Za-z0-9_./:-]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?P<rest>(?:[ =<>!~][^\[]*)?)(?:\[(?P<inside>.*)\])?"
)
_IN_BRACKETS = re.compile(r"""([a-z_0-9]+)\s*=\s*('[^']*'|"[^"]*"|[^,'"\s]+)""")

_SELECTED = "  # "
"""What stands between a requirement and its selector."""

_SELECTORS: Mapping[str, str] = {
    "": "",
    "linux": "sys_platform == 'linux'",
    "linux64": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "linux-64": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "aarch64": "sys_platform == 'linux' and platform_machine == 'aarch64'",
    "linux-aarch64": "sys_platform == 'linux' and platform_machine == 'aarch64'",
    "osx": "sys_platform == 'darwin'",
    "arm64": "sys_platform == 'darwin' and platform_machine == 'arm64'",
    "osx-arm64": "sys_platform == 'darwin' and platform_machine == 'arm64'",
    "osx64": "sys_platform == 'darwin' and platform_machine == 'x86_64'",
    "osx-64": "sys_platform == 'darwin' and platform_machine == 'x86_64'",
    "unix": "sys_platform != 'win32'",
    "win": "sys_platform == 'win32'",
    "win64": "sys_platform == 'win32'",
    "win-64": "sys_platform == 'win32'",
}
"""Where a line of an `environment.yml` counts, as conda-lock reads it, as a marker of the standard."""


def _conda_range(text: str) -> str | None:
    """Conda's way to write a range, in the standard's; None where that has no such thing."""
    text = text.strip()
    # the build behind a version is conda's alone
    text = re.sub(r"^(=?[0-9][^=\s,|]*)[=\s][^=].*$", r"\1", text)
    text = re.sub(r"(?<=[0-9*])\s+[^\s0-9<>=!~,|][^\s,|]*$|^=?\*(?:[=\s].*)?$", "", text)
    parts = []
    for part in filter(None, (one.strip().replace(" ", "") for one in text.split(","))):
        match = re.fullmatch(r"(?P<sign>==|=|>=|<=|>|<|!=|~=)?(?P<version>[0-9][0-9A-Za-z.]*?)(?P<star>\.?\*)?", part)
        if match is None:
            return None
        sign, version = match["sign"] or "=", match["version"]
        if sign == "=" or (sign in {"==", "!="} and match["star"]):
            parts.append(f"{'!=' if sign == '!=' else '=='}{version}.*")
        else:
            parts.append(f"{sign}{version}")
    return ",".join(parts)


_LISTS = frozenset({"channels", "dependencies", "platforms"})
_MERGE = "tag:yaml.org,2002:merge"


class _Environment:
    """The lists of an `environment.yml`, by their keys.

    YAML is read as far as its nodes: a version is the text that stands there, and a node knows its line, behind which
    conda-lock's selector is a comment.

    Raises:
        SettingsError: it is not YAML, or not as an `environment.yml` is.
    """

    def __init__(self, text: str, path: Path) -> None:
        import yaml  # noqa: PLC0415 - an environment is taken over once

        self._path = path
        self._lines = text.splitlines()
        self.found: dict[str, list[str]] = {}
        try:
            # libyaml bounds the nesting, which costs Python's own reader minutes
            top = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            before = text[: getattr(error, "position", 0) or 0]
            raise self._refused(mark.line if mark is not None else before.count("\n")) from None
        if top is None:
            return
        for key, value in {key.value: value for key, value in self._rows(top)}.items():
            self._add(key, value)

    def _rows(self, node: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - PyYAML's
        """The keys of a map and their values; what is merged into it comes before its own."""
        if not isinstance(node.value, list) or node.id != "mapping":
            raise self._refused(node.start_mark.line)
        own = []
        for key, value in node.value:
            if key.id != "scalar":
                raise self._refused(key.start_mark.line)
            if key.tag != _MERGE:
                own.append((key, value))
            elif depth:  # nobody writes more, and maps that merge each other have no end
                raise self._refused(key.start_mark.line)
            else:
                yield from self._rows(value, depth + 1)
        yield from own

    def _add(self, key: str, node: Any) -> None:  # noqa: ANN401 - PyYAML's
        if key not in _LISTS:
            self.found.setdefault(key, [])
            return
        self.found[key] = []
        if node.id != "sequence":
            if node.id == "scalar" and not node.value:  # a key alone
                return
            raise self._refused(node.start_mark.line)
        for one in node.value:
            if one.id == "mapping":
                for inner, rows in self._rows(one):
                    found = self.found.setdefault(inner.value, [])
                    if rows.id == "sequence":
                        found += [text for row in rows.value for text in self._texts(row)]
                    elif rows.value:
                        raise self._refused(rows.start_mark.line)
            else:
                self.found[key] += [f"{text}{self._selector(one)}" for text in self._texts(one)]

    def _texts(self, node: Any) -> list[str]:  # noqa: ANN401 - PyYAML's
        """What is asked for in a row; with `|` several, one on each line."""
        if node.id != "scalar":
            raise self._refused(node.start_mark.line)
        return [line.strip() for line in node.value.splitlines() if line.strip()]

    def _selector(self, node: Any) -> str:  # noqa: ANN401 - PyYAML's
        """The selector of conda-lock's that stands behind a row."""
        line = self._lines[node.end_mark.line : node.end_mark.line + 1]
        behind = re.match(r"\s*#\s*\[([^\]]*)\]", line[0][node.end_mark.column :]) if line else None
        return f"{_SELECTED}{behind[1].strip()}" if behind is not None else ""

    def _refused(self, line: int) -> SettingsError:
        # what is begun and has no end is noticed behind the last line
        line = min(line, max(len(self._lines) - 1, 0))
        shown = self._lines[line].strip() if self._lines else ""
        return SettingsError(
            f"{self._path}, line {line + 1}: not as environment.yml has it: {grammar.shown(shown)}",
            hints=["conda env export --from-history"],
        )
