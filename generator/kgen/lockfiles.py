"""The locks of a project on disk: which environments there are, by which names, and what is in a lock.

Reads kgen's own form only, and says what is wrong where a file has another: whoever has edited a lock by hand
should hear of it before something is installed from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kgen.errors import SettingsError, UsageError
from kgen.project import LOCKS

if TYPE_CHECKING:  # a run that finds its environment whole reads no lock
    from kgen.model.lockfile import LockedFile, Lockfile
    from kgen.tables import Table

SCHEMA = 1
"""The form of `[tool.kgen]` in a lock."""

CONDA_RECORDS = "conda-records.json"
"""What conda's lock is made of, beside it; :mod:`kgen.condafiles` reads it."""

CONDA = "-conda"
"""What the name of an environment ends with that is made from what is locked for conda."""

_SEAL = "# sha256 of the lines above: "

# Texts, not compiled: a run that finds its environment whole needs two of them.
_NAME = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_FILE = r"pylock\.(?P<platform>[a-z0-9-]+)\.toml"
_ACCELERATOR = r"-(?:cpu|cuda[0-9]+)"
_SHA256 = r"[0-9a-f]{64}"
_WHEEL = r"[A-Za-z0-9_.!+-]+\.whl"
_SOURCE = r"[A-Za-z0-9_.!+-]+\.(?:tar\.gz|zip)"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


class LockedEnvironment(NamedTuple):
    """A folder of `locks/`.

    Attributes:
        name: its name, as `jax-cuda12`.
        folder: where it is.
        platforms: platform -> its lock.
    """

    name: str
    folder: Path
    platforms: Mapping[str, Path]


def filename(platform: str) -> str:
    """The name of the lock of a platform: `pylock.linux-64.toml`."""
    return f"pylock.{platform}.toml"


def environments(root: Path) -> tuple[LockedEnvironment, ...]:
    """Every environment that the project has a lock of, sorted by name."""
    found = []
    try:
        folders = sorted((root / LOCKS).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise SettingsError(f"{root / LOCKS} cannot be read: {error.strerror or error}") from error
    for folder in folders:
        if re.fullmatch(_NAME, folder.name) and folder.is_dir():
            files = {match["platform"]: path for path in folder.iterdir() if (match := re.fullmatch(_FILE, path.name))}
            if files:
                found.append(LockedEnvironment(name=folder.name, folder=folder, platforms=dict(sorted(files.items()))))
    return tuple(found)


def choose(root: Path, name: str) -> LockedEnvironment:
    """The environment of this name, or the only one that it names without its accelerator: `jax`.

    Raises:
        UsageError: there is none, or there are several.
    """
    known = {environment.name: environment for environment in environments(root)}
    if name in known:
        return known[name]
    if not known:
        raise UsageError(f"nothing is locked in {root}: there is no {LOCKS}/ with an environment", hints=["kgen lock"])
    short = [one for one in known if re.fullmatch(re.escape(name) + _ACCELERATOR, one)]
    if len(short) == 1:
        return known[short[0]]
    if short:
        raise UsageError(f"`{name}` is locked more than once: {', '.join(short)}", hints=["give one of these names"])
    from kgen.tables import nearest  # noqa: PLC0415 - only a mistake pays for it

    backends = {re.sub(_ACCELERATOR + "$", "", one): one for one in known}
    near = nearest(name, [*known, *backends])
    raise UsageError(
        f"there is no locked environment `{name}` in {root / LOCKS}",
        hints=[
            f"did you mean `{backends.get(near, near)}`?" if near else f"locked are {', '.join(known)}",
            "kgen lock",
        ],
    )


def choose_on_disk(root: Path, name: str, *, conda: bool = False) -> tuple[LockedEnvironment, bool]:
    """The environment of this name, and whether the one of conda's is meant: `jax-cuda12-conda` is.

    Args:
        root: the project.
        name: its name, on disk or among the locks, or that of its backend if that is locked once.
        conda: whether the one of conda's is meant anyway.

    Raises:
        UsageError: there is none, or there are several; or it is not locked for conda.
    """
    if re.fullmatch(rf".+{_ACCELERATOR}{CONDA}", name):
        name, conda = name.removesuffix(CONDA), True
    chosen = choose(root, name)
    if conda and not for_conda(chosen):
        short = re.sub(_ACCELERATOR + "$", "", chosen.name)
        raise UsageError(f"{chosen.name} is not locked for conda", hints=[f"kgen lock --conda {short}"])
    return chosen, conda


def for_conda(environment: LockedEnvironment) -> bool:
    """Whether there is a lock for conda beside those of wheels."""
    return (environment.folder / CONDA_RECORDS).exists()


def lock_of(environment: LockedEnvironment, platform: str | None) -> Path:
    """The lock of an environment for a platform.

    Raises:
        UsageError: it is not locked for that platform.
    """
    path = environment.platforms.get(platform or "")
    if path is None:
        raise UsageError(
            f"{environment.name} is locked for {', '.join(environment.platforms)}, and this machine is"
            f" {platform or 'of a platform that kgen does not know'}",
            hints=[f"kgen lock --platform {platform}"] if platform else [],
        )
    return path


def digest(content: bytes) -> str:
    """What identifies a lock: the sha256 of its bytes."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL

    return hashlib.sha256(content).hexdigest()


def seal(text: str) -> str:
    """A lock's text with its last line: the sha256 of all above it, so that an edit is seen without rendering anew."""
    return f"{text}{_SEAL}{digest(text.encode())}\n"


def is_as_sealed(content: bytes) -> bool | None:
    """Whether a lock is still, to the byte, what was sealed; None if it never was: older kgens did not."""
    above, mark, last = content.rpartition(_SEAL.encode())
    return last == f"{digest(above)}\n".encode() if mark else None


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """What identifies files, by their paths: the sha256 of the list of theirs that sha256sum would make."""
    return digest("".join(f"{digest(content)}  {path}\n" for path, content in sorted(files.items())).encode())


def read(path: Path) -> Lockfile:
    """The lock in this file.

    Raises:
        SettingsError: it cannot be read, or has not the form that kgen writes; with every fault.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}", hints=["kgen lock"]) from error
    return parse(path, content)[0]


def parse(path: Path, content: bytes) -> tuple[Lockfile, Mapping[str, Any]]:
    """The lock that these bytes are, and all that is in them.

    Raises:
        SettingsError: they have not the form that kgen writes; with every fault.
    """
    import tomli  # noqa: PLC0415 - see above

    from kgen.tables import Table  # noqa: PLC0415

    try:
        data = tomli.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}", hints=["kgen lock"]) from None
    faults: list[str] = []
    lock = _lockfile(Table(data, "", faults), path, digest(content))
    if faults:
        listed = "\n".join(f"{path}: {fault}" for fault in faults)
        raise SettingsError(listed, hints=["`kgen lock` writes it again, from the settings"])
    return lock, data


def _lockfile(top: Table, path: Path, sha256: str) -> Lockfile:
    kgen = top.table("tool").table("kgen")
    schema = kgen.get("schema", int, required=True)
    if schema is not None and schema != SCHEMA:
        kgen.fault("schema", f"is {schema}, and this kgen reads {SCHEMA}")
    environment = kgen.text("environment")
    if environment != path.parent.name:
        kgen.fault("environment", f"is `{environment}`, and the folder is {path.parent.name}")
    variables = kgen.mapping("variables", str)
    for name in (*variables, *kgen.mapping("places", str)):
        if not re.fullmatch(_VARIABLE, name):
            kgen.fault("variables", f"`{name}` is not the name of an environment variable")
    from kgen.model.lockfile import Lockfile  # noqa: PLC0415 - see above

    return Lockfile(
        path=path,
        digest=sha256,
        environment=environment,
        backends=kgen.texts("backends"),
        accelerator=kgen.text("accelerator"),
        python=kgen.text("python"),
        platform=kgen.text("platform"),
        cuda=kgen.get("cuda", str),
        cudnn=kgen.get("cudnn", str),
        driver=(kgen.get("driver", str) or "").removeprefix(">=") or None,
        packages=kgen.mapping("packages", str),
        libraries=kgen.mapping("libraries", str),
        variables=variables,
        indexes=kgen.mapping("indexes", str),
        licences=kgen.mapping("licences", str),
        files=tuple(_files(top.tables("packages"))),
        places=kgen.mapping("places", str),
        configuration=kgen.mapping("configuration", str),
        shared=kgen.texts("shared"),
        hooks=kgen.get("hooks", str),
        build=tuple(_files(kgen.tables("build"))),
    )


def _files(packages: Iterable[Table]) -> Iterable[LockedFile]:
    import urllib.parse  # noqa: PLC0415 - see above

    from kgen.model.lockfile import LockedFile  # noqa: PLC0415

    for package in packages:
        name, version = package.text("name"), package.text("version")
        is_source = package.has("sdist")
        wheels = [package.table("sdist")] if is_source else list(package.tables("wheels"))
        if len(wheels) != 1 or (is_source and package.has("wheels")):
            package.fault("wheels", f"has {len(wheels)} files; kgen locks one")
            continue
        wheel = wheels[0]
        url = wheel.get("url", str)
        place = wheel.get("path", str, required=url is None) or url or ""
        file = urllib.parse.unquote(place.rpartition("/")[2])
        if not re.fullmatch(_SOURCE if is_source else _WHEEL, file):
            what = "a source distribution" if is_source else "a wheel"
            wheel.fault("url" if url else "path", f"`{file}` is not the name of {what}")
        sha256 = wheel.table("hashes").text("sha256")
        if not re.fullmatch(_SHA256, sha256):
            wheel.fault("hashes.sha256", "is no sha256")
        yield LockedFile(name=name, version=version, filename=file, url=url, sha256=sha256, size=wheel.get("size", int))
