"""Nix as the tests meet it: a store of their own, no cache, no registry, and a nixpkgs made of this machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.wheelhouse import Wheel

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
flake-registry =
warn-dirty = false
"""
NIXPKGS_PACKAGES = {
    "hatchling": "1.29.0",
    "jinja2": "3.1.6",
    "nvidia-ml-py": "13.580.82",
    "packaging": "26.0",
    "platformdirs": "4.5.1",
    "requests": "2.32.5",
    "rich": "14.2.0",
    "tomli": "2.3.0",
}
"""Versions of a nixpkgs that is older in one thing than what kgen needs."""
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
            folder: an empty one.
            pypi: what the nixpkgs in it takes for the Python index's file server.
        """
        settings = folder / "etc"
        settings.mkdir(parents=True)
        (settings / "nix.conf").write_text(NIX_CONF)
        stub = folder / "nixpkgs"
        shutil.copytree(STUB, stub)
        (stub / "machine.json").write_text(json.dumps(_machine(pypi), indent=1))
        home = folder / "home"
        home.mkdir()
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
        }
        return cls(folder=folder, nixpkgs=stub, environment=environment)

    def run(
        self, *words: str | Path, cwd: Path | None = None, fails: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of nix to its end.

        Raises:
            NixError: it failed and should not have, or the other way round.
        """
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if (done.returncode != 0) is not fails:
            raise NixError(f"{' '.join(str(word) for word in words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def flake(self, *words: str | Path, cwd: Path | None = None, fails: bool = False, **environment: str) -> str:
        """Run a command of nix that works on a flake; stdout, or stderr where it is to fail."""
        override = ("--override-input", "nixpkgs", f"path:{self.nixpkgs}", "--no-write-lock-file")
        position = next((index for index, word in enumerate(words) if word == "-c"), len(words))
        done = self.run("nix", *words[:position], *override, *words[position:], cwd=cwd, fails=fails, **environment)
        return done.stderr if fails else done.stdout

    def evaluate(self, expression: str, *, fails: bool = False) -> object:
        """The value of an expression in which `kgen` is the library and `pkgs` the packages; else what nix said."""
        bound = (
            f"let kgen = import {ROOT}/nix; machine = builtins.fromJSON (builtins.readFile {self.nixpkgs}/machine.json);"
            f' pkgs = import {self.nixpkgs}/packages.nix {{ inherit machine; system = "{SYSTEM}"; }}; in {expression}'
        )
        done = self.run("nix", "eval", "--impure", "--json", "--expr", bound, fails=fails)
        return done.stderr if fails else json.loads(done.stdout)

    def seed(self, files: Iterable[Path]) -> None:
        """Put files into the store, where fetching them would."""
        listed = [str(file) for file in files]
        if listed:
            self.run("nix-store", "--add-fixed", "sha256", *listed)


def _machine(pypi: str) -> dict[str, object]:
    return {
        "systems": [SYSTEM, "aarch64-linux", "aarch64-darwin"],
        "minors": [f"3.{minor}" for minor in range(8, 17)],
        "pythons": {
            MINOR: {
                "executable": os.path.realpath(sys._base_executable),  # type: ignore[attr-defined]
                "library": sysconfig.get_path("stdlib"),
            }
        },
        "python3": f"python{MINOR.replace('.', '')}",
        "packages": NIXPKGS_PACKAGES,
        "libraries": [_library(name) for name in LIBRARIES],
        "tools": "/usr/bin",
        "certificates": os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        "pypi": pypi,
    }


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
