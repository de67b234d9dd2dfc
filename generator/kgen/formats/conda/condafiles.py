"""A conda lock on disk: the whole decision and every package with its channel's description, in kgen's own file.

kgen makes conda-lock.yml from it, which has less: no constraints, no sizes, and no instructions for linking noarch
packages. kgen itself installs and checks with this file; users of conda-lock, conda or mamba read theirs.
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
"""The version of the file's form."""

_LONGEST_FILE = 255


class CondaPlatform(NamedTuple):
    """The lock for one platform.

    Attributes:
        specs: the solved match specs.
        virtuals: the versions, with or without a build, of the target machine's virtual packages.
        cuda: the CUDA runtime as major.minor; None on the CPU.
        cudnn: the cuDNN version; None on the CPU.
        request: the rest of the request, in words.
        packages: the packages with their channels' descriptions, sorted by name.
        wheels: the wheels beside them: name, version, filename, url, sha256, size.
    """

    specs: tuple[str, ...]
    virtuals: Mapping[str, str]
    cuda: str | None
    cudnn: str | None
    request: Mapping[str, str]
    packages: tuple[Mapping[str, Any], ...]
    wheels: tuple[Mapping[str, Any], ...]


class CondaFile(NamedTuple):
    """The conda lock of one environment on all platforms.

    Attributes:
        environment: the environment's name.
        backends: the backends, the main one first.
        accelerator: `cpu`, or for example `cuda12`.
        python: the CPython minor, such as `3.12`.
        mode: `full`, or `base` if the frameworks are wheels.
        channels: the channels, highest priority first.
        variables: the variables that select the backend.
        places: further variables, in which `{prefix}` stands for the environment's folder.
        configuration: the texts of files for the environment's own Keras folder, by name; empty without such a folder.
        shared: folders in it that link to the user's.
        names: the conda names of projects of the Python index in the settings.
        kgen: the version of kgen that made the file.
        matrix: the revision of the matrix.
        platforms: the lock for each platform.
        digest: the sha256 of the file; empty before it is written.
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
"""The keys that the file has only if they have a value."""


def text(of: CondaFile) -> str:
    """The file's text, which depends only on its content."""
    data = {
        "schema": SCHEMA,
        **{name: getattr(of, name) for name in of._fields if name not in {"platforms", "digest", *OPTIONAL}},
        **{name: value for name in OPTIONAL if (value := getattr(of, name))},
        "platforms": {name: one._asdict() for name, one in of.platforms.items()},
    }
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path) -> CondaFile:
    """Read a conda lock from its file.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: the file does not have kgen's form; the error names every fault.
    """
    return parse(path, content_of(path))


def parse(path: Path, content: bytes) -> CondaFile:
    """Parse the bytes of a conda lock.

    Raises:
        SettingsError: they do not have kgen's form; the error names every fault.
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
    """The lock for a platform.

    Raises:
        UsageError: there is none for it.
    """
    found = file.platforms.get(platform or "")
    if found is None:
        raise other_platform(FORMAT, file.environment, file.platforms, platform)
    return found


def request_of(file: CondaFile, platform: str, locked: CondaPlatform) -> EnvironmentRequest:
    """The request that a conda lock was made for; its lists are text there.

    Raises:
        ValueError: the lock does not have a valid request.
    """
    head = {name: getattr(file, name) for name in ("environment", "backends", "accelerator", "python")}
    head["isolate-config"] = bool(file.configuration)
    return fields.request_of({**head, "platform": platform, **fields.from_text(locked.request)})


def lockfile(file: CondaFile, path: Path, platform: str | None) -> Lockfile:
    """The lock for a platform, in the general form for code that knows nothing of conda.

    It has conda's packages and the wheels beside them, and no decisions of kgen's solver: here the channel decided.

    Args:
        file: the conda lock.
        path: the path of its file.
        platform: the platform.

    Raises:
        UsageError: there is no lock for the platform.
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
    """The licence of each package, as its channel declares it; packages without one are left out."""
    named = {one["name"]: _licence(str(one.get("license") or "")) for one in packages}
    return {name: licence for name, licence in named.items() if licence is not None}


@functools.lru_cache(maxsize=1024)
def _licence(text: str) -> str | None:
    """The licence that a text names; cached, as hundreds of packages share a few."""
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
    """A package as its channel describes it; rattler checks the parts that kgen does not use."""
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
