"""What a validation needs of a lock, and the digest that ties a receipt to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli

from kgen import lockfiles
from kgen.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A lock of one environment on one platform.

    Attributes:
        environment: its name, as `jax-cuda12`.
        platform: conda's name of its platform.
        folder: where it is.
        file: the name of its file.
        sha256: the digest of that file, in hex.
        backends: the backends that it serves, the one that it selects first.
        accelerator: `cpu`, `cuda12`.
        packages: normalised name -> version.
    """

    environment: str
    platform: str
    folder: Path
    file: str
    sha256: str
    backends: tuple[str, ...]
    accelerator: str
    packages: Mapping[str, str]

    @property
    def accelerated(self) -> bool:
        """Whether it is for a GPU."""
        return self.accelerator != "cpu"


def read(folder: Path, platform: str) -> Locked | None:
    """The lock of an environment for a platform; None if it has none.

    Raises:
        SettingsError: the file cannot be read, or is no lock of kgen.
    """
    path = folder / lockfiles.filename(platform)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}", hints=[f"ls -l {path}"]) from error
    try:
        data = tomli.loads(content.decode())
        decided = data["tool"]["kgen"]
        return Locked(
            environment=str(decided["environment"]),
            platform=platform,
            folder=folder,
            file=path.name,
            sha256=hashlib.sha256(content).hexdigest(),
            backends=tuple(map(str, decided["backends"])),
            accelerator=str(decided["accelerator"]),
            packages={str(row["name"]): str(row["version"]) for row in data["packages"]},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is no lock of kgen: {error}", hints=["kgen lock"]) from None


def digest(folder: Path, file: str) -> str | None:
    """The sha256 of a lock's file, in hex; None if it is not there."""
    try:
        return hashlib.sha256((folder / file).read_bytes()).hexdigest()
    except OSError:
        return None
