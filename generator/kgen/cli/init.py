"""`kgen init`: settings out of what this machine has, written where the project keeps its settings.

Decides and writes; what is printed about it is the caller's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from kgen import files
from kgen.errors import SettingsError, UsageError
from kgen.host import Host, python_version_file
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Backend, Build, Release
from kgen.project import KGEN_TOML, PYPROJECT, locate
from kgen.settings import parse_backend, parse_cuda, parse_python
from kgen.storage import write_file

_FALLBACK_PLATFORM = "linux-64"
_WIDTH = 88
_PATCHES = 40
"""More patch releases than a minor of CPython ever had."""


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
        names = [backend.name for backend in self._backends]
        yield _Entry(
            "backends",
            _array(names),
            "The backends; each gets an environment of its own. "
            + (
                "They were named to kgen init."
                if self._named
                else f"All there are: {', '.join(self._matrix.backends)}."
            ),
        )
        accelerator, major = self._accelerator()
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
        """The newest CUDA major for this machine and all backends, if there is one; and why it is that."""
        accelerated = [backend for backend in self._backends if backend.accelerated]
        if not accelerated:
            return None, "None of these backends computes on a GPU."
        usable = [major for major in sorted(self._matrix.cuda_majors, reverse=True) if self._usable(major)]
        shared = [major for major in usable if all(self._newest(backend, major) for backend in accelerated)]
        if not self._host.gpus:
            note = f" ({self._host.note})" if self._host.note else ""
            instead = f'; for one elsewhere, use cuda="{shared[0]}" instead' if shared else ""
            return None, f"No NVIDIA GPU was found here{note}{instead}."
        gpus = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.capability})" for gpu in self._host.gpus))
        machine = f"driver {self._host.driver or 'of unknown version'} and {gpus}"
        if not usable:
            return None, f"There is no CUDA that {machine} can use; `kgen doctor` says what would help."
        if not shared:
            reason = f"On {self._platform} these backends have no build for a CUDA that {machine} can use."
            return None, reason
        reason = f"The newest CUDA that {machine} can use"
        without = [backend.name for backend in accelerated if not self._newest(backend, usable[0])]
        if without:
            reason += f", and that all backends have builds for: for {usable[0]}, {', '.join(without)} has none"
        return shared[0], f"{reason}."

    def _usable(self, major: int) -> bool:
        """Whether this machine's driver and each of its GPUs can run code of this CUDA."""
        row = self._matrix.cuda_majors[major]
        driver = self._host.driver
        return (driver is None or driver.reaches(row.driver)) and all(
            gpu.capability in row.gpus for gpu in self._host.gpus
        )

    def _newest(self, backend: Backend, major: int | None) -> Release | None:
        """The newest release of a backend that has a build for this CUDA, or the CPU."""
        releases = reversed(self._matrix.framework(backend.framework).releases)
        return next((release for release in releases if self._builds(release, backend, major)), None)

    def _builds(self, release: Release, backend: Backend, major: int | None) -> list[Build]:
        if release.yanked is not None or release.known_bad is not None or release.version.is_prerelease:
            return []
        wanted = major if backend.accelerated else None
        return [build for build in release.builds if build.cuda_major == wanted and self._platform in build.platforms]

    def _python_entries(self, major: int | None) -> Iterator[_Entry]:
        what = "The Python of the environments."
        if self._python is not None:
            yield _Entry("python", f'"{self._python}"', f"{what} This one was asked of kgen init.")
            return
        specifiers = self._requires_python()
        if self._version_file is not None or specifiers is None:
            # It is read from `.python-version` each time, or else is what the backends' releases support.
            return
        allowed = [row.version for row in reversed(self._matrix.pythons) if _allows(specifiers, row.version)]
        chosen = next((minor for minor in allowed if self._supported(minor, major)), None)
        if chosen is not None:
            yield _Entry(
                "python",
                f'"{chosen}"',
                f"{what} The newest in requires-python that each backend's newest release has wheels for.",
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

    def _supported(self, minor: str, major: int | None) -> bool:
        for backend in self._backends:
            release = self._newest(backend, major)
            builds = self._builds(release, backend, major) if release else []
            if not any(minor in build.pythons for build in builds):
                return False
        return True


def _allows(specifiers: SpecifierSet, minor: str) -> bool:
    """Whether any patch release of the minor is within the range."""
    return any(f"{minor}.{patch}" in specifiers for patch in range(_PATCHES))


def _array(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
