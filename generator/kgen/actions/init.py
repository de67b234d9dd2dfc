"""`kgen init`: settings out of what this machine has, written where the project keeps its settings.

Decides and writes; what is printed about it is the caller's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tomli
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from kgen import files
from kgen.actions.plan import request_for
from kgen.errors import SettingsError, UsageError
from kgen.host import Host, python_version_file
from kgen.matrix.candidates import usable_majors
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Backend
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.request import EnvironmentRequest
from kgen.parsers import parse_backend, parse_cuda, parse_python
from kgen.project import KGEN_TOML, PYPROJECT, locate
from kgen.settings import JointEnvironment, Settings
from kgen.solver.accelerator import newest_cuda, solvable
from kgen.solver.python import best_python
from kgen.storage import write_file

_FALLBACK_PLATFORM = "linux-64"
_WIDTH = 88
_PATCHES = 40
"""More patch releases than a minor of CPython ever had."""


class Machine(NamedTuple):
    """The machine that the settings are for: its driver and the compute capabilities of its GPUs, where known."""

    driver: DriverVersion | None = None
    gpus: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key of the settings: its value as TOML, and what is said about it."""

    key: str
    value: str
    comment: str

    @property
    def lines(self) -> list[str]:
        """The comment, folded, and the key."""
        # A GPU's name is whatever its driver says; in a comment it must not begin a line of its own.
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
    cuda: str | None = None,
    cpu: bool = False,
    backends: Sequence[str] = (),
    python: str | None = None,
    nix: bool = False,
) -> tuple[Path, str]:
    """Write settings for the project in this folder: into its `pyproject.toml`, else into a new `kgen.toml`.

    Whatever `pyproject.toml` holds stays as it is, to the byte; the table is put at its end, with its line
    endings. Where TOML does not allow that, as after `tool = {…}`, `kgen.toml` is written instead.

    Args:
        root: the project's folder.
        host: what this machine has.
        matrix: what fits together.
        cuda: the CUDA to ask for; None to choose the newest that this machine and the backends can use.
        cpu: whether to ask for the CPU, whatever there is.
        backends: the backends; none for those that the matrix has as the default.
        python: the CPython minor; None for what the project says by itself, if it does.
        nix: whether Nix is installed here, so that its setting is worth a line.

    Returns:
        The file, and the settings that are in it now.

    Raises:
        SettingsError: there are settings already, or a file that bears on them cannot be read.
        UsageError: an argument is wrong.
        OutsideError: the file cannot be written.
    """
    there = locate(root)
    if there is not None:
        raise SettingsError(f"there are settings already, in {there}", hints=[f"edit {there}", "kgen lock --dry-run"])
    chooser = _Chooser(root, host, matrix, cuda=cuda, cpu=cpu, backends=backends, python=python)
    entries = [*chooser.entries(), *([_NIX] if nix else [])]
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
    """Whether the new file says what the old one did, and besides it `tool.kgen`."""
    expected = tomli.loads(before.decode("utf-8-sig"))
    try:
        found = tomli.loads(after.decode("utf-8-sig"))
    except tomli.TOMLDecodeError:
        return False
    tool = expected.setdefault("tool", {})
    return isinstance(tool, dict) and found == {**expected, "tool": {**tool, "kgen": kgen}}


class _Chooser:
    """Chooses each setting, and says where its value is from."""

    def __init__(
        self,
        root: Path,
        host: Host,
        matrix: CompatibilityMatrix,
        *,
        cuda: str | None,
        cpu: bool,
        backends: Sequence[str],
        python: str | None,
    ) -> None:
        """Judges the arguments.

        Raises:
            SettingsError: a file of the project cannot be read.
            UsageError: an argument is wrong.
        """
        if cuda is not None and cpu:
            raise UsageError("--cuda and --cpu contradict each other", hints=["give one of the two"])
        try:
            names = [parse_backend(name, matrix) for name in dict.fromkeys(backends)]
        except ValueError as error:
            raise UsageError(str(error), hints=["kgen init jax torch"]) from None
        try:
            self._cuda = None if cuda is None else parse_cuda(cuda, matrix)
        except ValueError as error:
            raise UsageError(f"--cuda: {error}", hints=["kgen init --cuda 12"]) from None
        try:
            self._python = None if python is None else parse_python(python, matrix)
        except ValueError as error:
            raise UsageError(f"--python: {error}", hints=["kgen init --python 3.12"]) from None
        self._host = host
        self._matrix = matrix
        self._cpu = cpu
        self._left_out: list[str] = []
        self._named = bool(names)
        self._backends = [
            backend for backend in matrix.backends.values() if backend.name in (names or matrix.default_backends(None))
        ]
        if names:
            self._backends.sort(key=lambda backend: names.index(backend.name))
        known = host.platform is not None and host.platform in matrix.platforms
        self._platform = host.platform if known and host.platform else _FALLBACK_PLATFORM
        self._platform_known = known
        self.project = self._read_project(root)
        self._version_file = python_version_file(root) if python is None else None

    def entries(self) -> Iterator[_Entry]:
        """The settings, in the order of the documentation."""
        accelerator, major = self._accelerator()
        known = f"All there are: {', '.join(self._matrix.backends)}."
        comment = "The backends; each gets an environment of its own. "
        comment += "They were named to kgen init." if self._named else known
        if self._left_out:
            comment += f" Left out, as the matrix has no build that runs on this machine: {', '.join(self._left_out)}."
        yield _Entry(
            "backends",
            _array([backend.name for backend in self._backends]),
            comment,
        )
        yield accelerator
        yield from self._python_entries(major)
        yield _Entry(
            "platforms",
            _array([self._platform]),
            "The platforms to lock for, by conda's names. "
            + ("This is the machine's." if self._platform_known else "The machine's is none that kgen knows."),
        )

    def _read_project(self, root: Path) -> Mapping[str, Any] | None:
        # `locate` has read it, and found it to be TOML.
        try:
            return tomli.loads(files.read(root / PYPROJECT, files.SMALL).decode("utf-8-sig"))
        except FileNotFoundError:
            return None

    def _accelerator(self) -> tuple[_Entry, int | None]:
        """The entry, and the CUDA major that it means; None for the CPU."""
        what = "What is computed on."
        if self._cuda is not None:
            entry = _Entry("cuda", f'"{self._cuda}"', f"{what} This CUDA was asked of kgen init.")
            return entry, None if self._cuda == "auto" else int(self._cuda.partition(".")[0])
        if self._cpu:
            return _Entry("cpu", "true", f"{what} The CPU was asked of kgen init."), None
        major, reason = self._best()
        if major is None:
            return _Entry("cpu", "true", f"{what} {reason}"), None
        return _Entry("cuda", f'"{major}"', f"{what} {reason}"), major

    def _best(self) -> tuple[int | None, str]:
        """The CUDA major that `--cuda auto` takes on this machine, if there is one; and why it is that."""
        if not any(backend.accelerated for backend in self._backends):
            return None, "None of these backends computes on a GPU."
        if not self._host.gpus:
            note = f" ({self._host.note})" if self._host.note else ""
            elsewhere = self._newest(self._backends, Machine())
            instead = f'; for one elsewhere, use cuda="{elsewhere}" instead' if elsewhere is not None else ""
            return None, f"No NVIDIA GPU was found here{note}{instead}."
        here = Machine(self._host.driver, tuple(dict.fromkeys(gpu.capability for gpu in self._host.gpus)))
        gpus = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.capability})" for gpu in self._host.gpus))
        machine = f"driver {self._host.driver or 'of unknown version'} and {gpus}"
        alone = {backend.name: self._newest([backend], here) for backend in self._backends if backend.accelerated}
        found = [major for major in alone.values() if major is not None]
        if not found:
            if usable_majors(self._matrix, here.driver, here.gpus):
                reason = f"On {self._platform} the matrix has no build of these backends"
                return None, f"{reason} for a CUDA that {machine} can use."
            return None, f"There is no CUDA that {machine} can use; `kgen doctor` says what would help."
        shared = self._newest(self._backends, here)
        if shared is None and not self._named:
            shared = self._leave_out(here)
        if shared is None:
            return None, f"No CUDA that {machine} can use serves all of these backends."
        reason = f"The newest CUDA that {machine} can use"
        without = [name for name, major in alone.items() if major is not None and major < max(found)]
        if shared < max(found):
            reason += f", and that all backends have builds for: for {max(found)}, {', '.join(without)} has none"
        return shared, f"{reason}."

    def _leave_out(self, machine: Machine) -> int | None:
        """The newest CUDA that most of the backends can have on a machine; the others are left out."""
        majors = sorted(self._matrix.cuda_majors, reverse=True)
        serving = {
            major: [
                backend for backend in self._backends if not backend.accelerated or self._runs(backend, major, machine)
            ]
            for major in majors
        }
        major = max(majors, key=lambda one: (len(serving[one]), one))
        self._left_out = [backend.name for backend in self._backends if backend not in serving[major]]
        self._backends = serving[major]
        return major

    def _runs(self, backend: Backend, major: int, machine: Machine) -> bool:
        requests = [self._request(backend, Accelerator(cuda=major), machine)]
        return solvable(self._matrix, requests, self._given_python)

    def _newest(self, backends: Sequence[Backend], machine: Machine) -> int | None:
        """The CUDA major that `--cuda auto` takes for these backends on a machine."""
        found = newest_cuda(
            self._matrix,
            lambda accelerator: [self._request(backend, accelerator, machine) for backend in backends],
            self._given_python,
        )
        return None if found is None else found.cuda

    @property
    def _given_python(self) -> str | None:
        return self._python or self._version_file

    def _request(self, backend: Backend, accelerator: Accelerator, machine: Machine) -> EnvironmentRequest:
        asked = Settings(root=Path(), platforms=(self._platform,), driver=machine.driver, gpu=machine.gpus)
        alone = JointEnvironment(name=backend.name, backends=(backend.name,))
        return request_for(alone, asked, accelerator, self._platform, self._matrix)

    def _python_entries(self, major: int | None) -> Iterator[_Entry]:
        what = "The Python of the environments."
        if self._python is not None:
            yield _Entry("python", f'"{self._python}"', f"{what} This one was asked of kgen init.")
            return
        specifiers = self._requires_python()
        if self._version_file is not None or specifiers is None:
            # It is read from `.python-version` each time, or else is what the backends' releases support.
            return
        allowed = [row.version for row in self._matrix.pythons if _allows(specifiers, row.version)]
        accelerator = CPU if major is None else Accelerator(cuda=major)
        requests = [self._request(backend, accelerator, Machine()) for backend in self._backends]
        chosen = best_python(self._matrix, requests, allowed) if allowed else None
        if chosen is not None and solvable(self._matrix, requests, chosen):
            yield _Entry(
                "python",
                f'"{chosen}"',
                f"{what} The best in requires-python for the newest releases of these backends.",
            )

    def _requires_python(self) -> SpecifierSet | None:
        project = (self.project or {}).get("project")
        text = project.get("requires-python") if isinstance(project, dict) else None
        if not isinstance(text, str):
            return None
        try:
            return SpecifierSet(text)
        except InvalidSpecifier:
            # Whoever builds the project will say so; it is no setting of kgen.
            return None


def _allows(specifiers: SpecifierSet, minor: str) -> bool:
    """Whether any patch release of the minor is within the range."""
    return any(f"{minor}.{patch}" in specifiers for patch in range(_PATCHES))


def _array(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
