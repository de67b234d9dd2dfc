"""Locks what kgen's package in Nix is made of: `python -m tests.lock_nix`, in the repository's root.

Writes `nix/kgen-lock.json`: for each platform and each CPython that nixpkgs may have, the wheels that kgen runs on and
those that build it, by hash, at the versions of `tests/requirements.txt`. It names no host: nixpkgs knows where its
Python index is. Of uv it takes the wheel for musl, whose program is linked with nothing and so runs on NixOS too.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli
from packaging import tags
from packaging.pylock import Package, Pylock

from kgen.emitters.nix import PLATFORMS
from kgen.formats.wheels.lock import best_wheel, supported_tags
from kgen.matrix.compatibility import CompatibilityMatrix, load
from kgen.uvtool import find

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "nix" / "kgen-lock.json"
MINORS = ("3.11", "3.12", "3.13", "3.14")
_MUSL = {"linux-64": "musllinux_1_1_x86_64", "linux-aarch64": "musllinux_1_1_aarch64"}
_UV = {
    "linux-64": ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"),
    "linux-aarch64": ("aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl"),
    "osx-arm64": ("macos", "macos"),
}
"""Platform -> what uv calls it, and what it calls it for uv itself."""


def main() -> int:
    """Writes the lock; returns the exit status."""
    matrix = load(ROOT / "matrix")
    files: dict[str, Any] = {}
    targets: dict[str, dict[str, dict[str, list[str]]]] = {}
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {"run": project["project"]["dependencies"], "build": project["build-system"]["requires"]}
    for platform, minor, (kind, requirements) in itertools.product(PLATFORMS, MINORS, wanted.items()):
        chosen = sorted(_wheels(matrix, platform, minor, requirements), key=lambda row: str(row["name"]))
        names = [str(row.pop("filename")) for row in chosen]
        files.update(zip(names, chosen, strict=True))
        targets.setdefault(platform, {}).setdefault(minor, {})[kind] = names
    data = {"files": dict(sorted(files.items())), "targets": targets}
    LOCK.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return 0


def _wheels(
    matrix: CompatibilityMatrix, platform: str, minor: str, requirements: list[str]
) -> Iterator[dict[str, str | int | None]]:
    supported = supported_tags(matrix.platforms[platform], minor, None)
    # before all others, for the one package that has such a wheel beside one for glibc
    musl = {tags.Tag("py3", "none", _MUSL[platform]): -1} if platform in _MUSL else {}
    ordinary, static = _UV[platform]
    closed = [package for package in _closed(ordinary, minor, requirements) if package.name != "uv"]
    closed += [package for package in _closed(static, minor, requirements) if package.name == "uv"]
    for package in closed:
        wheel = best_wheel(package, {**supported, **(musl if package.name == "uv" else {})})
        if wheel is None:
            raise LookupError(f"{package.name} {package.version} has no wheel for {platform} and Python {minor}")
        yield {
            "name": package.name,
            "version": str(package.version),
            "filename": urllib.parse.unquote(wheel.filename),
            "sha256": wheel.hashes["sha256"],
            "size": wheel.size,
        }


def _closed(platform: str, minor: str, requirements: list[str]) -> list[Package]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pylock.toml")
        command = [
            *(find(), "pip", "compile", "-", "--constraints", "tests/requirements.txt", "--quiet"),
            *("--only-binary", ":all:", "--python-version", minor, "--python-platform", platform),
            *("--format", "pylock.toml", "--output-file", str(path)),
        ]
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            input="\n".join(requirements),
            text=True,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return list(Pylock.from_dict(tomli.loads(path.read_text(encoding="utf-8"))).packages)


if __name__ == "__main__":
    sys.exit(main())
