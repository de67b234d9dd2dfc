"""`kgen init`: choose settings for this machine and write them where the project keeps its settings.

This module decides and writes; its caller prints.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from kgen import accelerators, files, settings, uvsettings, uvtool
from kgen.actions import locked_requests
from kgen.actions.environment_request import request_for
from kgen.actions.plan import required_backends
from kgen.actions.pythons import required
from kgen.actions.requirements import with_project
from kgen.actions.takeover.builder import Takeover
from kgen.actions.uv_sources import mirror_in_sources
from kgen.errors import KgenError, SettingsError, UsageError
from kgen.formats.wheels.lock import has_wheel, supported_tags
from kgen.host import Host, python_version_file
from kgen.host import find_links as host_find_links
from kgen.matrix.candidates import usable_majors
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Backend
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.parsers import parse_backend, parse_python
from kgen.project import KGEN_TOML, PYPROJECT, locate
from kgen.settings import JointEnvironment, Settings
from kgen.solver.accelerator import newest_version, solvable
from kgen.solver.python import best_python, equally_good
from kgen.solver.resolve import solve
from kgen.storage import write_file

_FALLBACK_PLATFORM = "linux-64"
_COMPUTED_ON = "What is computed on."
_WIDTH = 79
"""The width of a comment in columns; kgen prints the file too, and most terminals have 80 columns."""


class Machine(NamedTuple):
    """The machine that the settings are for: its driver and the architectures of its GPUs, where known."""

    driver: DriverVersion | None = None
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key of the settings: its value as TOML, and a comment."""

    key: str
    value: str
    comment: str

    @property
    def lines(self) -> list[str]:
        """The comment, folded, and the key."""
        # A driver may report any text as a GPU's name; in a comment it must not start a new line.
        plain = "".join(character for character in " ".join(self.comment.split()) if character.isprintable())
        folded = textwrap.wrap(plain, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        return [*folded, f"{self.key} = {self.value}"]


_NIX = _Entry(
    "nix",
    "true",
    "Whether kgen lock writes a flake.nix for `nix develop`, where there is none. Nix is installed here.",
)


def write_settings(
    root: Path,
    host: Host,
    matrix: CompatibilityMatrix,
    *,
    accelerator: Accelerator | None = None,
    backends: Sequence[str] = (),
    python: str | None = None,
    nix: bool = False,
    find_links: Collection[str] | None = (),
    installed: Callable[[str], bool] | None = None,
    taken: Takeover | None = None,
) -> tuple[Path, str]:
    """Write settings for the project in this folder: into its `pyproject.toml`, else into a new `kgen.toml`.

    The content of `pyproject.toml` keeps every byte; kgen appends its table with the file's line endings. Where TOML
    does not allow another table, as after `tool = {…}`, kgen writes `kgen.toml` instead.

    Args:
        root: the project's folder.
        host: this machine's devices and platform.
        matrix: the facts.
        accelerator: the accelerator to set; a kind without a version stands for the best at any time. None to choose
            the newest version that this machine and the backends can use.
        backends: the backends; empty for the matrix's default.
        python: the CPython minor; None for the one that the project names, if any.
        nix: whether Nix is installed here, so that kgen writes its setting.
        find_links: the names of the wheels in uv's folders besides its indexes; their builds need no index of the
            framework's own. None if the folders cannot be listed, and may have any wheel.
        installed: returns whether this machine has a CPython of a minor; None where that does not matter.
        taken: settings taken over from another tool's files; explicit arguments win over them.

    Returns:
        The file, and the settings in it. Without arguments, in a project with locks, the settings repeat the requests
        of the locks, if one set of settings can.

    Raises:
        SettingsError: there are settings already, or a file that kgen needs cannot be read.
        UsageError: an argument is wrong.
        OutsideError: the file cannot be written.
    """
    there = locate(root)
    if there is not None:
        raise SettingsError(
            f"there are settings already, in {there}", hints=[f"edit {files.typed(there)}", "kgen lock --dry-run"]
        )
    locked = () if backends or accelerator or python or taken else locked_requests.requests(root)
    named = bool(backends)
    backends = backends or (taken.backends if taken is not None else ())
    chooser = _Chooser(root, host, matrix, accelerator=accelerator, backends=backends, python=python)
    chooser.installed = installed
    chooser.taken = taken
    chooser.named = named
    if not backends:
        chooser.take_required()
    more = [_Entry(one.key, _array(one.values), one.comment) for one in (taken.entries if taken is not None else ())]
    kept = [_Entry(key, value, "") for key, value in locked_requests.settings(root, locked, matrix)]
    kept[:1] = [replace(one, comment="What the locks were asked to be that are there.") for one in kept[:1]]
    entries = [*(kept or chooser.entries(find_links=find_links)), *more, *([_NIX] if nix else [])]
    body = "\n".join("\n".join(entry.lines) for entry in entries) + "\n"
    project = root / PYPROJECT
    if chooser.project is not None:
        table = f"[tool.kgen]\n{body}"
        before = files.read(project, files.SMALL)
        after = _appended(before, table)
        if _adds_only(before, after, tomli.loads(body)):
            write_file(project, after)
            return project, table
    own = root / KGEN_TOML
    write_file(own, body.encode())
    return own, body


def interpreter_here(minor: str) -> bool:
    """Whether this machine has a CPython of this minor; true as well if uv cannot tell."""
    return uvtool.has_interpreter(minor) is not False


def wheels_here() -> tuple[str, ...] | None:
    """The names of the wheels in the folders of UV_FIND_LINKS; None if a folder cannot be listed."""
    names: list[str] = []
    for place in host_find_links():
        try:
            names += [path.name for path in Path(place).iterdir() if path.suffix == ".whl"]
        except OSError:
            return None
    return tuple(names)


def _appended(before: bytes, table: str) -> bytes:
    """The file with the table at its end, an empty line before it."""
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    gap = b""
    if before and not before.endswith(b"\n"):
        gap = newline * 2
    elif before and not before.endswith((b"\n\n", b"\n\r\n")):
        gap = newline
    return before + gap + newline.join(line.encode() for line in table.split("\n"))


def _adds_only(before: bytes, after: bytes, kgen: Mapping[str, Any]) -> bool:
    """Whether the new file has the content of the old one and `tool.kgen`, and nothing else."""
    expected = tomli.loads(before.decode("utf-8-sig"))
    try:
        found = tomli.loads(after.decode("utf-8-sig"))
    except tomli.TOMLDecodeError:
        return False
    tool = expected.setdefault("tool", {})
    return isinstance(tool, dict) and found == {**expected, "tool": {**tool, "kgen": kgen}}


class _Chooser:
    """Chooses each setting, and states in a comment where its value comes from."""

    def __init__(
        self,
        root: Path,
        host: Host,
        matrix: CompatibilityMatrix,
        *,
        accelerator: Accelerator | None,
        backends: Sequence[str],
        python: str | None,
    ) -> None:
        """Check the arguments.

        Raises:
            SettingsError: a file of the project cannot be read.
            UsageError: an argument is wrong.
        """
        names = []
        for name in dict.fromkeys(backends):
            try:
                names.append(parse_backend(name, matrix))
            except ValueError as error:
                fault = UsageError(str(error), hints=["kgen init jax torch"])
                fault.readings = (name, ())
                raise fault from None
        try:
            self._python = None if python is None else parse_python(python, matrix)
        except ValueError as error:
            raise UsageError(f"--python: {error}", hints=["kgen init --python 3.12"]) from None
        self._host = host
        self._matrix = matrix
        self._asked = accelerator
        self._kind = accelerators.kind(host.best)
        self._left_out: list[str] = []
        self._may_use_own_index = False
        self._uses_own_index = False
        self._named = bool(names)
        self._backends = [
            backend for backend in matrix.backends.values() if backend.name in (names or matrix.default_backends(None))
        ]
        if names:
            self._backends.sort(key=lambda backend: names.index(backend.name))
        known = host.platform is not None and host.platform in matrix.platforms
        self._platform = host.platform if known and host.platform else _FALLBACK_PLATFORM
        self._platform_known = known
        self._root = root
        self.installed: Callable[[str], bool] | None = None
        self.taken: Takeover | None = None
        self.named = False
        self.project = self._read_project(root)
        self._version_file = python_version_file(root) if python is None else None

    def take_required(self) -> None:
        """Keep only the backends whose frameworks the project requires, if it requires any."""
        names = required_backends(self._required, self._matrix)
        if names:
            self._named = True
            self._backends = [self._matrix.backends[name] for name in names]

    def entries(self, *, find_links: Collection[str] | None) -> Iterator[_Entry]:
        """The settings, in the order of the documentation.

        Args:
            find_links: the wheels in folders; see :func:`write_settings`.
        """
        self._may_use_own_index = find_links is not None
        entry, accelerator = self._accelerator()
        known = f"All there are: {', '.join(self._matrix.backends)}."
        comment = "The backends; each gets an environment of its own. "
        asked_for = "They were named to kgen init." if self.named else "The project requires them."
        comment += asked_for if self._named else known
        if self._left_out:
            comment += f" Left out, as the matrix has no build that runs on this machine: {', '.join(self._left_out)}."
        yield _Entry(
            "backends",
            _array([backend.name for backend in self._backends]),
            comment,
        )
        yield entry
        pythons = list(self._python_entries(accelerator))
        yield from pythons
        asked = () if self.taken is None else self.taken.platforms
        whose = "This is the machine's." if self._platform_known else "kgen does not know this machine's."
        yield _Entry(
            "platforms",
            _array(asked or [self._platform]),
            f"The platforms to lock for, by conda's names. {'They were asked for before.' if asked else whose}",
        )
        if find_links is not None:
            python = self._given_python or next((one.value.strip('"') for one in pythons), None)
            yield from self._own_index(accelerator, python, find_links)

    def _own_index(self, accelerator: Accelerator, python: str | None, wheels: Collection[str]) -> Iterator[_Entry]:
        """The setting for a framework's own index, if only that has the build that `kgen lock` would choose."""
        names: dict[str, None] = {}
        for backend in self._backends:
            request = self._request(backend, accelerator, Machine())
            request = request._replace(python=python or best_python(self._matrix, [request]))
            found = solve(self._matrix, request)
            if isinstance(found, Resolution):
                target = found.request
                platform = self._matrix.platforms[target.platform]
                supported = supported_tags(platform, target.python, target.glibc, target.macos)
                names |= dict.fromkeys(name for name in found.local if not has_wheel(wheels, name, supported))
        if names:
            titles = " and ".join(self._matrix.framework(name).title for name in names)
            where = "for the CPU" if accelerator == CPU else f"for {accelerators.title(accelerator)}"
            what = f"Whether builds are used that only PyTorch's own index has: those of {titles} {where} are there."
            shaped = uvsettings.shape(self._root)
            mirrors = (mirror_in_sources(shaped, name, self._matrix) for name in names)
            mirror = next((one for one in mirrors if one is not None), None)
            if mirror is None:
                yield _Entry("torch-index", "true", f"{what} A mirror of it may stand here, by its URL.")
            else:
                yield _Entry("torch-index", f'"{mirror}"', f"{what} This is where uv's `sources` have it from.")

    def _read_project(self, root: Path) -> Mapping[str, Any] | None:
        # `locate` has read the file already, so it is valid TOML.
        try:
            return tomli.loads(files.read(root / PYPROJECT, files.SMALL).decode("utf-8-sig"))
        except FileNotFoundError:
            return None

    def _accelerator(self) -> tuple[_Entry, Accelerator]:
        """The entry, and the accelerator that it stands for; the CPU if a later run chooses the version."""
        asked = self._asked
        if asked is not None:
            kind = accelerators.kind(asked.kind)
            value = _value_of(asked)
            what = "The CPU" if asked == CPU else f"This {kind.title}"
            return _Entry(asked.kind, value, f"{_COMPUTED_ON} {what} was asked of kgen init."), (
                asked if asked.version or not kind.versioned else CPU
            )
        found, reason = self._best()
        if found is None:
            return _Entry("cpu", "true", f"{_COMPUTED_ON} {reason}"), CPU
        return _Entry(found.kind, _value_of(found), f"{_COMPUTED_ON} {reason}"), found

    def _best(self) -> tuple[Accelerator | None, str]:
        """The accelerator that `auto` takes on this machine, or None, and the reason."""
        kind, here = self._kind, self._host.of(self._kind.name)
        if not any(backend.accelerated for backend in self._backends):
            return None, "None of these backends computes on a GPU."
        if not here.gpus:
            note = f" ({here.note})" if here.note else ""
            elsewhere = self._newest(self._backends, Machine())
            instead = f"; for one elsewhere, use {kind.name}={_value_of(elsewhere)} instead" if elsewhere else ""
            return None, f"No {kind.device_noun} was found here{note}{instead}."
        target = Machine(here.driver, here.architectures)
        gpus = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.architecture})" for gpu in here.gpus))
        machine = f"driver {here.driver or 'of unknown version'} and {gpus}"
        alone = self._newest_alone(target)
        if not any(alone.values()) and self._may_use_own_index:
            # a build from a framework's own index is better than one for the CPU
            self._uses_own_index = True
            alone = self._newest_alone(target)
            self._uses_own_index = any(alone.values())
        found = [one for one in alone.values() if one is not None]
        if not found:
            if usable_majors(self._matrix, kind.name, self._platform, target.driver, target.gpus):
                reason = f"On {self._platform} the matrix has no build of these backends"
                return None, f"{reason} for a {kind.title} that {machine} can use."
            return None, f"There is no {kind.title} that {machine} can use; `kgen doctor` says what would help."
        shared = self._newest(self._backends, target)
        if shared is None and not self._named:
            shared = self._leave_out(target)
        if shared is None:
            return None, f"No {kind.title} that {machine} can use serves all of these backends."
        reason = f"The newest {kind.title} that {machine} can use"
        best = max(found)
        without = [name for name, one in alone.items() if one is not None and one < best]
        if shared < best:
            reason += f", and that all backends have builds for: for {best.number}, {', '.join(without)} has none"
        return shared, f"{reason}."

    def _newest_alone(self, machine: Machine) -> dict[str, Accelerator | None]:
        """The newest version that each backend alone has a build for on a machine."""
        return {one.name: self._newest([one], machine) for one in self._backends if one.accelerated}

    def _leave_out(self, machine: Machine) -> Accelerator:
        """The newest version that most of the backends have a build for; leaves the other backends out."""
        majors = [row.accelerator for row in self._matrix.majors(self._kind.name).values()]
        serving = {
            major: [
                backend for backend in self._backends if not backend.accelerated or self._runs(backend, major, machine)
            ]
            for major in majors
        }
        chosen = max(majors, key=lambda one: (len(serving[one]), one))
        self._left_out = [backend.name for backend in self._backends if backend not in serving[chosen]]
        self._backends = serving[chosen]
        return chosen

    def _runs(self, backend: Backend, accelerator: Accelerator, machine: Machine) -> bool:
        requests = [self._request(backend, accelerator, machine)]
        return solvable(self._matrix, requests, self._given_python)

    def _newest(self, backends: Sequence[Backend], machine: Machine) -> Accelerator | None:
        """The version that `auto` takes for these backends on a machine."""
        return newest_version(
            self._matrix,
            self._kind.name,
            lambda accelerator: [self._request(backend, accelerator, machine) for backend in backends],
            self._given_python,
        )

    @functools.cached_property
    def _required(self) -> Settings:
        """The requirements of the project and of the taken settings, which every choice has to fit."""
        values = {one.key: list(one.values) for one in (() if self.taken is None else self.taken.entries)}
        try:
            return with_project(settings.of_keys(self._root, values, self._matrix))
        except KgenError:
            return Settings(root=self._root)  # `kgen lock` will say what is wrong with it, and where

    @property
    def _given_python(self) -> str | None:
        return self._python or self._version_file

    def _request(self, backend: Backend, accelerator: Accelerator, machine: Machine) -> EnvironmentRequest:
        asked = self._required._replace(platforms=(self._platform,), driver=machine.driver, gpu=machine.gpus)
        alone = JointEnvironment(name=backend.name, backends=(backend.name,))
        request = request_for(alone, asked, accelerator, self._platform, self._matrix)
        return request._replace(own_index=request.own_index or self._uses_own_index)

    def _python_entries(self, accelerator: Accelerator) -> Iterator[_Entry]:
        what = "The Python of the environments."
        if self._python is not None:
            yield _Entry("python", f'"{self._python}"', f"{what} This one was asked of kgen init.")
            return
        allowed = required(self._root, self._matrix) or (None if self.taken is None else self.taken.python)
        if self._version_file is not None or (allowed is None and self.installed is None):
            # kgen reads `.python-version` in every run; without it, kgen chooses what the backends support.
            return
        requests = [self._request(backend, accelerator, Machine()) for backend in self._backends]
        if allowed is None:
            yield from self._installed_python(requests, what)
            return
        minors = allowed.minors
        chosen = best_python(self._matrix, requests, minors) if minors else None
        if chosen is not None and self.installed is not None and not self.installed(chosen):
            equal = equally_good(self._matrix, requests, chosen, minors)
            here = next((one for one in equal if self.installed(one)), None)
            if here is not None:
                gives = f"It gives the same releases of these backends as Python {chosen}, which is not installed here."
                yield _Entry("python", f'"{here}"', f"{what} {gives}")
                return
        if chosen is not None and solvable(self._matrix, requests, chosen):
            yield _Entry(
                "python",
                f'"{chosen}"',
                f"{what} The best in requires-python for the newest releases of these backends.",
            )
        elif minors and self.taken is not None and allowed == self.taken.python:
            # kgen reads the other tool's files only now; `kgen lock` will say what does not fit this Python
            newest = max(minors, key=lambda one: tuple(map(int, one.split("."))))
            yield _Entry("python", f'"{newest}"', f"{what} The newest in `{allowed.text}`, of what was taken over.")

    def _installed_python(self, requests: Sequence[EnvironmentRequest], what: str) -> Iterator[_Entry]:
        """An installed Python, if it serves all backends as well as the absent one that `kgen lock` would take."""
        if self.installed is None:
            return
        each = {request: best_python(self._matrix, [request]) for request in requests}
        absent = dict.fromkeys(python for python in each.values() if not self.installed(python))
        if not absent:
            return
        equal = [equally_good(self._matrix, [request], python) for request, python in each.items()]
        here = next((one for one in equal[0] if all(one in several for several in equal) and self.installed(one)), None)
        if here is not None:
            named = " or ".join(absent)
            gives = f"It gives the same releases of these backends as Python {named}, which is not installed here."
            yield _Entry("python", f'"{here}"', f"{what} {gives}")


def _value_of(accelerator: Accelerator) -> str:
    """The value of an accelerator's key in the settings."""
    kind = accelerators.kind(accelerator.kind)
    return f'"{accelerator.number or accelerators.AUTO}"' if kind.versioned else "true"


def _array(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
