"""Nix as the tests meet it: a store of their own, no cache, no registry, and a nixpkgs made of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import urllib.parse
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import tomli
from tests.command import Kgen
from tests.loopback import Handler, Server, running
from tests.pinned import assert_pinned, locking
from tests.record_locks import cpu, label
from tests.wheelhouse import Wheel

from kgen import host
from kgen.emitters.hooks import render_hooks

ROOT = Path(__file__).resolve().parents[1]
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SYSTEM = "x86_64-linux"
STUB = Path(__file__).resolve().parent / "nixpkgs"
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")
LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1")
NIX_CONF = """\
experimental-features = nix-command flakes
sandbox = false
build-users-group =
substitute = false
max-jobs = auto
warn-dirty = false
"""
SECONDS = 900


class NixError(Exception):
    """What nix said when it failed."""


@dataclass(frozen=True, kw_only=True)
class Nix:
    """Runs nix with everything of its own below one folder.

    Attributes:
        folder: where its store, its settings and its caches are.
        nixpkgs: the flake that takes the place of nixpkgs.
        environment: what every run of it gets.
    """

    folder: Path
    nixpkgs: Path
    environment: Mapping[str, str]

    @classmethod
    def at(cls, folder: Path, *, pypi: str = "http://127.0.0.1:9") -> Nix:
        """Prepare a folder.

        Args:
            folder: an empty one, or one that was prepared before.
            pypi: what the nixpkgs in it takes for the Python index's file server.
        """
        settings = folder / "etc"
        if not settings.exists():
            cls._prepare(folder, pypi)
        home = folder / "home"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("NIX_", "KGEN_", "KERAS_"))},
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "NIX_CONF_DIR": str(settings),
            "NIX_STORE_DIR": str(folder / "store"),
            "NIX_STATE_DIR": str(folder / "state"),
            "NIX_LOG_DIR": str(folder / "log"),
            "NIX_LOCALSTATE_DIR": str(folder / "var"),
            "KERAS_HOME": str(home / "keras"),
            # `nix develop` leaves a folder there each time
            "TMPDIR": str(folder / "tmp"),
        }
        return cls(folder=folder, nixpkgs=folder / "nixpkgs", environment=environment)

    @staticmethod
    def _prepare(folder: Path, pypi: str) -> None:
        settings = folder / "etc"
        settings.mkdir(parents=True)
        (folder / "home").mkdir()
        (folder / "tmp").mkdir()
        registry = settings / "registry.json"
        registry.write_text('{"flakes": [], "version": 2}\n')
        (settings / "nix.conf").write_text(f"{NIX_CONF}flake-registry = {registry}\n")
        shutil.copytree(STUB, folder / "nixpkgs")
        (folder / "nixpkgs" / "machine.json").write_text(json.dumps(_machine(pypi), indent=1))

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        fails: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of nix to its end.

        Raises:
            NixError: it failed and should not have, or the other way round.
        """
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd or self.folder,
            env={**self.environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if (done.returncode != 0) is not fails:
            raise NixError(f"{' '.join(str(word) for word in words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def flake(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        fails: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command of nix that works on a flake; stdout, or stderr where it is to fail."""
        override = ("--override-input", "nixpkgs", f"path:{self.nixpkgs}", "--no-write-lock-file")
        position = next((index for index, word in enumerate(words) if word in {"-c", "--"}), len(words))
        done = self.run(
            "nix", *words[:position], *override, *words[position:], cwd=cwd, fails=fails, variables=variables
        )
        return done.stderr if fails else done.stdout

    def evaluate(self, expression: str, *, fails: bool = False) -> object:
        """The value of an expression in which `kgen` is the library and `pkgs` the packages; else what nix said."""
        done = self.run("nix", "eval", "--impure", "--json", "--expr", self._bound(expression), fails=fails)
        return done.stderr if fails else json.loads(done.stdout)

    def said(self, expression: str) -> str:
        """What nix says to people when it evaluates an expression."""
        return self.run("nix", "eval", "--impure", "--expr", self._bound(expression)).stderr

    def _bound(self, expression: str) -> str:
        return (
            f"let kgen = import {ROOT}/nix;"
            f" machine = builtins.fromJSON (builtins.readFile {self.nixpkgs}/machine.json);"
            f' pkgs = import {self.nixpkgs}/packages.nix {{ inherit machine; system = "{SYSTEM}"; }}; in {expression}'
        )

    def build(self, expression: str, *, fails: bool = False) -> Path | str:
        """Build what an expression gives; its place in the store, or what nix said where it is to fail."""
        link = self.folder / "result"
        words = (
            "nix",
            "build",
            "--impure",
            "--print-build-logs",
            "--out-link",
            link,
            "--expr",
            self._bound(expression),
        )
        done = self.run(*words, fails=fails)
        return done.stderr if fails else link.resolve()

    def seed(self, files: Iterable[Path]) -> None:
        """Put files into the store, where fetching them would."""
        listed = [str(file) for file in files]
        if listed:
            self.run("nix-store", "--add-fixed", "sha256", *listed)


def image_of(stream: Path) -> tuple[list[str], dict[str, Any]]:
    """The tags of the image that a program writes, and what the image says of its process."""
    written = subprocess.run([stream], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        (manifest,) = json.loads(_member(archive, "manifest.json"))
        return manifest["RepoTags"], json.loads(_member(archive, manifest["Config"]))["config"]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()


def _machine(pypi: str) -> dict[str, object]:
    return {
        "systems": [SYSTEM, "aarch64-linux", "aarch64-darwin"],
        "minors": [f"3.{minor}" for minor in range(7, 17)],
        "pythons": _pythons(),
        "python3": f"python{MINOR.replace('.', '')}",
        "libraries": [_library(name) for name in LIBRARIES],
        "loader": "/lib64/ld-linux-x86-64.so.2",
        "tools": "/usr/bin",
        "certificates": os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        "pypi": pypi,
    }


def _pythons() -> dict[str, dict[str, str]]:
    """This interpreter, and those of other minors that pyenv has."""
    found = {}
    for minor in (f"3.{minor}" for minor in range(7, 17)):
        for interpreter in host.pyenv_interpreters(minor)[:1]:
            prefix = interpreter.resolve().parent.parent
            headers = next(prefix.glob(f"include/python{minor}*"))
            found[minor] = {
                "executable": str(interpreter.resolve()),
                "library": str(prefix / "lib" / f"python{minor}"),
                "headers": str(headers),
            }
    found[MINOR] = {
        "executable": os.path.realpath(sys._base_executable),  # type: ignore[attr-defined]
        "library": sysconfig.get_path("stdlib"),
        "headers": sysconfig.get_path("include"),
    }
    return found


def _library(name: str) -> str:
    return next(f"{folder}/{name}" for folder in LIBRARY_FOLDERS if Path(folder, name).exists())


def copy_of_repository(target: Path) -> Path:
    """The repository as a flake without git, so that what is not yet committed is in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def with_executables(wheel: Wheel, paths: Collection[str]) -> bytes:
    """The content of a wheel in which these files have the bit that lets them run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for member in source.infolist():
            content = source.read(member)
            if member.filename in paths:
                member.external_attr = 0o100755 << 16
            target.writestr(member, content)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class File:
    """A wheel's file as a lock names it."""

    name: str
    version: str
    filename: str
    content: bytes

    @classmethod
    def of(cls, wheel: Wheel, content: bytes | None = None) -> File:
        """A made wheel; its content may be one that was worked on."""
        content = wheel.content if content is None else content
        return cls(name=wheel.name, version=wheel.version, filename=wheel.filename, content=content)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def written(self, folder: Path) -> Path:
        """Itself, in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.filename
        path.write_bytes(self.content)
        return path


def lock_text(
    environment: str,
    files: Sequence[File],
    *,
    root: str | None = None,
    cuda: str | None = None,
    variables: Mapping[str, str] | None = None,
    build: Sequence[File] = (),
    builds_project: bool = False,
    python: str = MINOR,
) -> str:
    """A lock in kgen's form, with no judge in between; with URLs below `root`, or portable.

    Args:
        environment: its name.
        files: what is installed.
        root: where the files are; None for a portable lock.
        cuda: the version of CUDA.
        variables: what selects the backend.
        build: what builds those of the files that are source distributions.
        builds_project: whether it builds the project itself.
        python: the CPython.
    """

    def entry(table: str, file: File) -> str:
        where = f'path = "{file.filename}"' if root is None else f'url = "{root}/{file.filename.replace("+", "%2B")}"'
        row = f'{{ {where}, size = {len(file.content)}, hashes = {{ sha256 = "{file.sha256}" }} }}'
        kind = f"wheels = [{row}]" if file.filename.endswith(".whl") else f"sdist = {row}"
        return f'[[{table}]]\nname = "{file.name}"\nversion = "{file.version}"\n{kind}\n'

    accelerator = f"cuda{cuda.partition('.')[0]}" if cuda else "cpu"
    rows = [entry("packages", file) for file in sorted(files, key=lambda file: file.name)]
    return "\n".join(
        [
            (
                '# Made by kgen: by a test.\nlock-version = "1.0"\n'
                "environments = [\"sys_platform == 'linux' and platform_machine == 'x86_64'\"]\n"
                f'requires-python = "=={python}.*"\ncreated-by = "kgen"\n'
            ),
            *rows,
            f'[tool.kgen]\nschema = 1\nkgen = "0"\nenvironment = "{environment}"\nbackends = ["numpy"]\n'
            f'accelerator = "{accelerator}"\n'
            f'python = "{python}"\nplatform = "linux-64"\n'
            + (f'cuda = "{cuda}"\n' if cuda else "")
            + ('build-requires = ["x"]\n' if builds_project else "")
            + f"size = {sum(len(file.content) for file in files)}\n",
            "\n".join(
                ["[tool.kgen.variables]", *(f"{name} = {json.dumps(value)}" for name, value in variables.items()), ""]
                if variables
                else []
            ),
            *(entry("tool.kgen.build", file) for file in build),
        ]
    )


def write_environment(locks: Path, environment: str, text: str, variables: Mapping[str, str] | None = None) -> Path:
    """The folder of an environment with a lock and the hooks; returns the lock."""
    folder = locks / environment
    lock = folder / "pylock.linux-64.toml"
    folder.mkdir(parents=True)
    lock.write_text(text)
    for path, hook in render_hooks(environment, variables or {"KERAS_BACKEND": "numpy"}).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(hook)
    return lock


@contextlib.contextmanager
def serving_files(files: Mapping[str, tuple[str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """A server on the loopback interface: path -> kind and content; gives its root, and what it was asked for."""
    asked: list[str] = []

    class Files(Handler):
        def answer(self) -> None:
            asked.append(self.path)
            kind, content = files.get(self.path, ("", b""))
            self.send(200 if kind else 404, content, {"Content-Type": kind or "text/plain"})

    with running(Server(Files)) as server:
        yield server.root, asked


class LockError(Exception):
    """Locks and wheels of the real index cannot be had."""


def locked_wheels(cache: Path, backends: Sequence[str]) -> tuple[Path, list[Path]]:
    """A project with kgen's locks of these backends for the CPU, and the files of them, from a cache.

    Raises:
        LockError: they are not in the cache, and kgen or the index could not help.
        MissingLockError: there is no committed lock of such a backend for this Python.
    """
    project = cache / "-".join(backends)
    if not (project / "done").exists():
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS")
        found = {} if links is None else {"UV_FIND_LINKS": links}
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **found}
        names = [label(backend, MINOR) for backend in backends]
        with locking(Kgen(folder=project, temporary=project, environment=environment), *names) as kgen:
            done = kgen("lock", *cpu(*backends, MINOR), timeout=SECONDS)
        if done.status != 0:
            raise LockError(done.stderr)
        for lock in project.glob("locks/*/pylock.*.toml"):
            assert_pinned(lock, *names)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda url: _fetch(url, cache / "wheels"), _urls(project)))
        (project / "done").touch()
    return project, [cache / "wheels" / _filename(url) for url in _urls(project)]


def _urls(project: Path) -> list[str]:
    locks = [tomli.loads(path.read_text()) for path in sorted(project.glob("locks/*/pylock.*.toml"))]
    return list(dict.fromkeys(package["wheels"][0]["url"] for lock in locks for package in lock["packages"]))


def _filename(url: str) -> str:
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])


def _fetch(url: str, folder: Path) -> None:
    """Nix judges the content: it finds a file under its hash only."""
    folder.mkdir(exist_ok=True)
    target = folder / _filename(url)
    if target.exists():
        return
    partial = target.with_suffix(".part")
    if url.startswith("file:"):
        shutil.copy(urllib.parse.unquote(urllib.parse.urlsplit(url).path), partial)
    else:
        answer = requests.get(url, timeout=120)
        answer.raise_for_status()
        partial.write_bytes(answer.content)
    partial.rename(target)
