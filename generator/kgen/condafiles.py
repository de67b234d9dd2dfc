"""A conda lock on disk: all that was decided and every package as its channel describes it, in one file of kgen's own.

conda-lock.yml is made from it and says less: it has no constraints, no sizes, and not what noarch packages need to be
linked. Who installs or checks reads this file; who has conda-lock, conda or mamba reads theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen import licences
from kgen.errors import SettingsError, UsageError
from kgen.lockfiles import CONDA, CONDA_RECORDS, digest
from kgen.model.licence import Declared
from kgen.model.lockfile import LockedFile, Lockfile

RECORDS = CONDA_RECORDS
CONDA_LOCK = "conda-lock.yml"
SCHEMA = 1
"""The form of the records."""

_HASHES = {"md5": r"[0-9a-f]{32}", "sha256": r"[0-9a-f]{64}"}
_TEXTS = ("name", "version", "build", "subdir", "fn", "url", "channel")
_WHEEL_TEXTS = ("name", "version", "filename", "url", "sha256")


class CondaPlatform(NamedTuple):
    """What is locked for one platform.

    Attributes:
        specs: the match specs that were solved.
        virtuals: the virtual packages of the target machine: name -> version, with a build or not.
        cuda: the CUDA runtime as major.minor; None on the CPU.
        cudnn: the cuDNN; None on the CPU.
        request: what else was asked, in words.
        packages: its packages as the channels describe them, sorted by name.
        wheels: the wheels that come to them: name, version, filename, url, sha256, size.
    """

    specs: tuple[str, ...]
    virtuals: Mapping[str, str]
    cuda: str | None
    cudnn: str | None
    request: Mapping[str, str]
    packages: tuple[Mapping[str, Any], ...]
    wheels: tuple[Mapping[str, Any], ...]


class CondaFile(NamedTuple):
    """The conda lock of one environment, all platforms.

    Attributes:
        environment: its name.
        backends: its backends, the most important first.
        accelerator: `cpu`, or as `cuda12`.
        python: the CPython minor, as `3.12`.
        mode: `full`, or `base` where the frameworks are wheels.
        channels: the channels, the first having the say.
        variables: what a process must find in its environment for the backend to be selected.
        places: further variables, in which `{prefix}` stands for the folder of the environment.
        configuration: name of a file for Keras's own folder in the environment -> its text; empty without one.
        shared: folders in it that are links to those of the user's.
        kgen: the version of kgen that made it.
        matrix: the revision of the matrix that it was made with.
        platforms: platform -> what is locked for it.
        digest: the sha256 of the file; empty before it is one.
    """

    environment: str
    backends: tuple[str, ...]
    accelerator: str
    python: str
    mode: str
    channels: tuple[str, ...]
    variables: Mapping[str, str]
    kgen: str
    matrix: str
    platforms: Mapping[str, CondaPlatform]
    digest: str = ""
    places: Mapping[str, str] = MappingProxyType({})
    configuration: Mapping[str, str] = MappingProxyType({})
    shared: tuple[str, ...] = ()


OWN_FOLDER = ("places", "configuration", "shared")
"""What is in the file only where it says something."""


def text(of: CondaFile) -> str:
    """The file's text, the same for the same content."""
    data = {
        "schema": SCHEMA,
        **{name: getattr(of, name) for name in of._fields if name not in {"platforms", "digest", *OWN_FOLDER}},
        **{name: value for name in OWN_FOLDER if (value := getattr(of, name))},
        "platforms": {name: one._asdict() for name, one in of.platforms.items()},
    }
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path) -> CondaFile:
    """The conda lock in this file.

    Raises:
        SettingsError: it cannot be read, or has not the form that kgen writes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}", hints=["kgen lock --conda"]) from error
    return parse(path, content)


def parse(path: Path, content: bytes) -> CondaFile:
    """The conda lock that these bytes are.

    Raises:
        SettingsError: they have not the form that kgen writes.
    """
    try:
        data: Any = json.loads(content)
        _must_be("schema", data["schema"], SCHEMA)
        _must_be("environment", data["environment"], path.parent.name)
        return CondaFile(
            environment=str(data["environment"]),
            backends=tuple(map(str, data["backends"])),
            accelerator=str(data["accelerator"]),
            python=str(data["python"]),
            mode=str(data["mode"]),
            channels=tuple(map(str, data["channels"])),
            variables=_texts(data["variables"]),
            kgen=str(data["kgen"]),
            matrix=str(data["matrix"]),
            platforms={name: _platform(one) for name, one in sorted(data["platforms"].items())},
            digest=digest(content),
            places=_variables(data.get("places", {})),
            configuration=_texts(data.get("configuration", {})),
            shared=tuple(map(str, data.get("shared", ()))),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        raise SettingsError(
            f"{path} is no conda lock of kgen: {what}", hints=["`kgen lock --conda` writes it again"]
        ) from None


def shared(ours: CondaFile, theirs: CondaFile, platform: str) -> tuple[Mapping[str, Any], ...]:
    """The packages that two conda locks agree on for a platform."""
    both = [one.platforms[platform].packages if platform in one.platforms else () for one in (ours, theirs)]
    there = {(one["url"], one["sha256"]) for one in both[1]}
    return tuple(one for one in both[0] if (one["url"], one["sha256"]) in there)


def platform_of(file: CondaFile, platform: str | None) -> CondaPlatform:
    """What is locked for a platform.

    Raises:
        UsageError: nothing is.
    """
    found = file.platforms.get(platform or "")
    if found is None:
        raise UsageError(
            f"{file.environment} is locked for conda on {', '.join(file.platforms)}, and this machine is"
            f" {platform or 'of a platform that kgen does not know'}",
            hints=[f"kgen lock --conda --platform {platform}"] if platform else [],
        )
    return found


def lockfile(file: CondaFile, path: Path, platform: str | None) -> Lockfile:
    """What is locked for a platform, as who knows nothing of conda looks at a lock.

    Its packages are conda's, and the wheels that come to them. The decisions of kgen's own solver are not in it: here
    they are a channel's.

    Args:
        file: the conda lock.
        path: where it was read.
        platform: the platform.

    Raises:
        UsageError: nothing is locked for it.
    """
    locked = platform_of(file, platform)
    files = [
        LockedFile(one["name"], one["version"], one.get("fn") or one["filename"], one["url"], one["sha256"], size)
        for one in (*locked.packages, *locked.wheels)
        for size in [one.get("size") if isinstance(one.get("size"), int) else None]
    ]
    return Lockfile(
        path=path,
        digest=file.digest,
        environment=f"{file.environment}{CONDA}",
        backends=file.backends,
        accelerator=file.accelerator,
        python=file.python,
        platform=str(platform),
        cuda=locked.cuda,
        cudnn=locked.cudnn,
        driver=None,
        packages={},
        libraries={},
        variables=file.variables,
        places=file.places,
        configuration=file.configuration,
        shared=file.shared,
        files=tuple(sorted(files, key=lambda one: one.name)),
        conda=True,
    )


def _texts(data: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    return {str(name): str(value) for name, value in data.items()}


def _variables(data: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    for name in data:
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
            raise ValueError(f"`{name}` is not the name of an environment variable")
    return _texts(data)


def declared_licences(locked: CondaPlatform) -> Mapping[str, str]:
    """Package -> its licence, as its channel names it; without those of which that is not known."""
    named = {one["name"]: licences.name(Declared(text=str(one.get("license") or ""))) for one in locked.packages}
    return {name: licence for name, licence in named.items() if licence is not None}


def _must_be(key: str, value: object, wanted: object) -> None:
    if value != wanted:
        raise ValueError(f"{key} is `{value}`, and should be `{wanted}`")


def _platform(data: Any) -> CondaPlatform:  # noqa: ANN401 - JSON
    return CondaPlatform(
        specs=tuple(map(str, data["specs"])),
        virtuals={str(name): str(value) for name, value in data["virtuals"].items()},
        cuda=None if data["cuda"] is None else str(data["cuda"]),
        cudnn=None if data["cudnn"] is None else str(data["cudnn"]),
        request={str(name): str(value) for name, value in data["request"].items()},
        packages=tuple(_checked(one, _TEXTS, _HASHES) for one in data["packages"]),
        wheels=tuple(_checked(one, _WHEEL_TEXTS, {"sha256": _HASHES["sha256"]}) for one in data["wheels"]),
    )


def _checked(row: Any, texts: Sequence[str], hashes: Mapping[str, str]) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    for key in texts:
        if not isinstance(row[key], str) or not row[key]:
            raise ValueError(f"a package has no {key}")
    for key, pattern in hashes.items():
        if re.fullmatch(pattern, str(row.get(key))) is None:
            raise ValueError(f"{row['name']}: {key} is none")
    return dict(row)
