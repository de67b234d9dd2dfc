"""A conda lock on disk: all that was decided and every package as its channel describes it, in one file of kgen's own.

conda-lock.yml is made from it and says less: it has no constraints, no sizes, and not what noarch packages need to be
linked. Who installs or checks reads this file; who has conda-lock, conda or mamba reads theirs.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen import accelerators, fields, licences
from kgen.errors import SettingsError
from kgen.formats.conda import FORMAT
from kgen.formats.interface import other_platform
from kgen.lockfiles import content_of, digest
from kgen.model import grammar
from kgen.model.licence import Declared
from kgen.model.lockfile import LockedFile, Lockfile
from kgen.model.request import EnvironmentRequest
from kgen.tables import Table, mismatch

SCHEMA = 1
"""The form of the records."""

_LONGEST_FILE = 255


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
        python: the CPython minor, such as `3.12`.
        mode: `full`, or `base` where the frameworks are wheels.
        channels: the channels, the first having the say.
        variables: what a process must find in its environment for the backend to be selected.
        places: further variables, in which `{prefix}` stands for the folder of the environment.
        configuration: name of a file for Keras's own folder in the environment -> its text; empty without one.
        shared: folders in it that are links to those of the user's.
        names: project of the Python index -> what the settings said that conda calls it.
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
    names: Mapping[str, str] = MappingProxyType({})


OPTIONAL = ("places", "configuration", "shared", "names")
"""What is in the file only where it says something."""


def text(of: CondaFile) -> str:
    """The file's text, the same for the same content."""
    data = {
        "schema": SCHEMA,
        **{name: getattr(of, name) for name in of._fields if name not in {"platforms", "digest", *OPTIONAL}},
        **{name: value for name in OPTIONAL if (value := getattr(of, name))},
        "platforms": {name: one._asdict() for name, one in of.platforms.items()},
    }
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path) -> CondaFile:
    """The conda lock in this file.

    Raises:
        OutsideError: it cannot be read.
        SettingsError: it does not have the form that kgen writes; with every fault.
    """
    return parse(path, content_of(path))


def parse(path: Path, content: bytes) -> CondaFile:
    """The conda lock that these bytes are.

    Raises:
        SettingsError: they do not have the form that kgen writes; with every fault.
    """
    hints = ["`kgen lock --conda` writes it again"]
    try:
        data: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not a conda lock of kgen: {grammar.shown(str(error))}", hints=hints) from None
    if type(data) is not dict:
        raise SettingsError(f"{path} is not a conda lock of kgen: {mismatch(data, dict)}", hints=hints)
    faults: list[str] = []
    found = _file(Table(data, "", faults), path, digest(content))
    if faults:
        listed = "\n".join(f"{path} is not a conda lock of kgen: {fault}" for fault in faults)
        raise SettingsError(listed, hints=hints)
    return found


def _file(top: Table, path: Path, sha256: str) -> CondaFile:
    schema = top.get("schema", int, required=True)
    if schema is not None and schema != SCHEMA:
        top.fault("schema", f"is `{schema}`, and should be `{SCHEMA}`")
    environment = top.parsed("environment", grammar.environment, required=True) or ""
    named = top.parsed("accelerator", accelerators.named, required=True)
    accelerator = "" if named is None else named.name
    if environment and environment != path.parent.name:
        top.fault("environment", f"is `{environment}`, and should be `{grammar.shown(path.parent.name)}`")
    elif environment and accelerator and not re.fullmatch(f".*-{re.escape(accelerator)}(?:-py[0-9]+)?", environment):
        top.fault("accelerator", f"is `{accelerator}`, and the environment is `{environment}`")
    platforms = top.table("platforms")
    top.get("platforms", dict, required=True)
    found = {}
    for name in sorted(platforms):
        try:
            grammar.platform(name)
        except ValueError as error:
            platforms.fault(name, str(error))
        found[name] = _platform(platforms.table(name))
    made = CondaFile(
        environment=environment,
        backends=_required_texts(top, "backends", grammar.backend),
        accelerator=accelerator,
        python=top.parsed("python", grammar.python, required=True) or "",
        mode=top.parsed("mode", grammar.backend, required=True) or "",
        channels=_required_texts(top, "channels", grammar.line),
        variables=top.parsed_mapping("variables", grammar.variable, grammar.line, required=True),
        kgen=top.parsed("kgen", grammar.line, required=True) or "",
        matrix=top.parsed("matrix", grammar.line, required=True) or "",
        platforms=found,
        digest=sha256,
        places=top.parsed_mapping("places", grammar.variable, grammar.line),
        configuration=top.parsed_mapping("configuration", grammar.file, grammar.line),
        shared=top.parsed_texts("shared", grammar.file),
        names=top.parsed_mapping("names", grammar.project, grammar.conda_package),
    )
    top.close()
    return made


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
        raise other_platform(FORMAT, file.environment, file.platforms, platform)
    return found


def request_of(file: CondaFile, platform: str, locked: CondaPlatform) -> EnvironmentRequest:
    """The request that a conda lock says it was made for, which has lists as text.

    Raises:
        ValueError: what it says is not a request.
    """
    head = {name: getattr(file, name) for name in ("environment", "backends", "accelerator", "python")}
    head["isolate-config"] = bool(file.configuration)
    return fields.request_of({**head, "platform": platform, **fields.from_text(locked.request)})


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
        form=FORMAT,
        digest=file.digest,
        environment=f"{file.environment}{FORMAT.suffix}",
        backends=file.backends,
        accelerator=file.accelerator,
        python=file.python,
        platform=str(platform),
        runtime=locked.cuda,
        cudnn=locked.cudnn,
        driver=None,
        packages={},
        libraries={},
        variables=file.variables,
        places=file.places,
        configuration=file.configuration,
        shared=file.shared,
        files=tuple(sorted(files, key=lambda one: one.name)),
        licences=declared_licences(locked.packages),
        # the file is one for all platforms: the others of them are no change of this one
        part=digest(repr((locked, file.channels, file.mode, file.variables)).encode()),
    )


def declared_licences(packages: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """Package -> its licence, as its channel names it; without those of which that is not known."""
    named = {one["name"]: _licence(str(one.get("license") or "")) for one in packages}
    return {name: licence for name, licence in named.items() if licence is not None}


@functools.lru_cache(maxsize=1024)
def _licence(text: str) -> str | None:
    """The licence that a text names; hundreds of packages have the same few."""
    return licences.name(Declared(text=text))


def _platform(row: Table) -> CondaPlatform:
    for key in ("packages", "wheels"):
        row.get(key, list, required=True)
    found = CondaPlatform(
        specs=row.parsed_texts("specs", grammar.line),
        virtuals=row.parsed_mapping("virtuals", grammar.conda_package, grammar.line, required=True),
        cuda=row.parsed("cuda", grammar.runtime),
        cudnn=row.parsed("cudnn", grammar.conda_version),
        request=row.parsed_mapping("request", grammar.line, grammar.line, required=True),
        packages=tuple(_package(one) for one in row.tables("packages")),
        wheels=tuple(_wheel(one) for one in row.tables("wheels")),
    )
    row.close()
    return found


def _required_texts(table: Table, key: str, parse: Callable[[str], str]) -> tuple[str, ...]:
    found = table.parsed_texts(key, parse)
    if table.raw(key) in (None, []):
        table.fault(key, "names none")
    return found


def _package(row: Table) -> Mapping[str, Any]:
    """A package as its channel describes it; what kgen does not use of it, rattler judges."""
    row.parsed("name", grammar.conda_package, required=True)
    row.parsed("version", grammar.conda_version, required=True)
    row.parsed("build", grammar.conda_version, required=True)
    row.parsed("subdir", grammar.backend, required=True)
    row.parsed("fn", _package_file, required=True)
    row.parsed("url", _package_url, required=True)
    row.parsed("channel", grammar.line, required=True)
    row.parsed("md5", grammar.md5, required=True)
    row.parsed("sha256", grammar.sha256, required=True)
    if row.raw("license") is not None:
        row.get("license", str)
    _size(row)
    return row.data


def _wheel(row: Table) -> Mapping[str, Any]:
    row.parsed("name", grammar.project, required=True)
    row.parsed("version", grammar.version, required=True)
    row.parsed("filename", grammar.wheel, required=True)
    row.parsed("url", grammar.url, required=True)
    row.parsed("sha256", grammar.sha256, required=True)
    _size(row)
    return row.data


def _size(row: Table) -> None:
    if row.raw("size") is not None:
        size = row.get("size", int)
        if size is not None and size < 0:
            row.fault("size", "is negative")


def _package_file(text: str) -> str:
    if re.fullmatch(grammar.CONDA_FILE, text) is None or len(text) > _LONGEST_FILE:
        raise ValueError(f"`{grammar.shown(text)}` is not the file of a conda package")
    return text


def _package_url(text: str) -> str:
    if "?" in grammar.url(text):
        raise ValueError(f"`{grammar.shown(text)}` is not where a conda package is")
    _package_file(text.rpartition("/")[2])
    return text
