"""The locks of a project on disk: which environments exist, by which names, and the content of a lock.

Reads only kgen's own form, and reports every deviation: somebody who edited a lock by hand should know before something
is installed from it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from kgen import accelerators, files, host, replay
from kgen.errors import LOCK, NotLockedError, OtherPlatformError, SettingsError, Unlocked, UsageError
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.accelerator import CPU
from kgen.model.format import Format
from kgen.project import LOCKS

if TYPE_CHECKING:  # a run that finds its environment complete reads no lock
    from kgen.model.lockfile import LockedFile, LockedTree, Lockfile
    from kgen.tables import Table

SCHEMA = 1
"""The version of `[tool.kgen]` in a lock."""

_FILES = ("wheels", "sdist", "archive")
"""The keys for a file from which a package is installed."""
_TREES = ("directory", "vcs")
"""The keys for a source tree from which a package is built."""

_SEAL = "# sha256 of the lines above: "

# Not compiled: a run that finds its environment complete needs only two of them.
PYLOCK = r"pylock\.(?P<platform>[a-z0-9-]+)\.toml"
_HOOK = r"(de)?activate\.d/kgen\.[a-z0-9]+"


class LockedEnvironment(NamedTuple):
    """A folder in `locks/`.

    Attributes:
        name: its name, such as `jax-cuda12`.
        folder: its path.
        platforms: platform -> its lock.
    """

    name: str
    folder: Path
    platforms: Mapping[str, Path]


def filename(platform: str) -> str:
    """The name of the lock for a platform: `pylock.linux-64.toml`."""
    return f"pylock.{platform}.toml"


def is_hook(path: str) -> bool:
    """Whether a path in the folder of an environment's locks is a hook, written by any version of kgen."""
    return re.fullmatch(_HOOK, path) is not None


def environments(root: Path) -> tuple[LockedEnvironment, ...]:
    """Every environment that the project has a lock for, sorted by name."""
    found = []
    replay.looked(root / LOCKS)
    try:
        folders = sorted((root / LOCKS).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise files.unreadable(root / LOCKS, error) from error
    for folder in folders:
        replay.looked(folder)
        if re.fullmatch(grammar.NAME, folder.name) and files.is_folder(folder):
            try:
                inside = list(folder.iterdir())
            except OSError as error:
                raise files.unreadable(folder, error) from error
            locks = {match["platform"]: path for path in inside if (match := re.fullmatch(PYLOCK, path.name))}
            if locks:
                found.append(LockedEnvironment(name=folder.name, folder=folder, platforms=dict(sorted(locks.items()))))
    return tuple(found)


def choose(root: Path, name: str) -> LockedEnvironment:
    """The environment of this name, or the only one with this name before its accelerator: `jax`.

    Raises:
        UsageError: there is none, or there are several.
    """
    return only(name, called(root, name))


def only(name: str, found: Sequence[LockedEnvironment]) -> LockedEnvironment:
    """The only environment that a name stands for.

    Raises:
        UsageError: there are several.
    """
    if len(found) > 1:
        names = tuple(one.name for one in found)
        fault = UsageError(f"`{name}` is locked more than once: {', '.join(names)}", hints=["give one of these names"])
        fault.readings = (name, names)
        raise fault
    return found[0]


def called(root: Path, name: str) -> tuple[LockedEnvironment, ...]:
    """The environments that a name may stand for: the full name, without accelerator or Python, or Keras's name.

    Raises:
        UsageError: there is none.
    """
    known = {environment.name: environment for environment in environments(root)}
    if name in known:
        return (known[name],)
    if not known:
        raise NotLockedError(
            f"nothing is locked in {root}: there is no {LOCKS}/ with an environment",
            hints=[LOCK],
            unlocked=Unlocked(name),
        )
    ending = f"-{accelerators.pattern()}"
    short = [one for one in known if re.fullmatch(f"{re.escape(name)}(?:{ending}|-py[0-9]+)", one)]
    if not short and (python := grammar.python_in(name)) is not None:  # `jax-py311` for `jax-cuda12-py311`
        of_python = grammar.python_ending(python)
        backend = re.escape(name.removesuffix(of_python))
        short = [one for one in known if one.endswith(of_python) and re.fullmatch(f"{backend}{ending}", one)]
    short = short or [one for one, of in known.items() if _is_of_backend(of, name)]
    if short:
        return tuple(known[one] for one in short)
    from kgen.tables import misspelt  # noqa: PLC0415 - only a mistake pays for it

    backends = {accelerators.without_ending(one): one for one in known}
    backend = accelerators.without_ending(name)
    # compare backends only: `torch-cuda12` is similar to `jax-cuda12`, but torch is not similar to jax
    near = misspelt(backend.lower(), [*known, *backends] if backend == name else backends)
    said = [f"did you mean `{backends.get(near, near)}`?", LOCK] if near else [LOCK, f"locked are {', '.join(known)}"]
    fault = NotLockedError(
        f"there is no locked environment `{grammar.shown(name)}` in {root / LOCKS}",
        hints=said,
        unlocked=Unlocked(name),
    )
    fault.readings = (name, ())
    raise fault


def _is_of_backend(environment: LockedEnvironment, name: str) -> bool:
    """Whether an environment has only the backend with this name in Keras: `theano` is `keras2-theano`."""
    short = accelerators.without_ending(environment.name)
    if not short.endswith(f"-{name}"):
        return False
    return read(next(iter(environment.platforms.values()))).backends == (short,)


def choose_on_disk(root: Path, name: str, form: Format | None = None) -> tuple[LockedEnvironment, Format]:
    """The environment of this name, and the form of its locks: `jax-cuda12-conda` has a conda lock.

    Args:
        root: the project.
        name: its name, on disk or among the locks, or the name of its backend if that is locked once.
        form: the form, if the call determines it; None if the name does.

    Raises:
        UsageError: there is none, or there are several; or it is not locked in that form.
    """
    called_so, found, form = called_in_form(root, name, form)
    chosen = only(called_so, found)
    require_form(chosen, form)
    return chosen, form


def called_in_form(
    root: Path, name: str, form: Format | None = None
) -> tuple[str, tuple[LockedEnvironment, ...], Format]:
    """The environments that a name may stand for, and the form of their locks: `jax-conda` has conda locks.

    Args:
        root: the project.
        name: its name, on disk or among the locks, or without the accelerator or the Python.
        form: the form if the name includes none; None for the default one.

    Returns:
        The name without its form, the environments, and the form.

    Raises:
        UsageError: there is none.
    """
    bare, of = form_of(name, form)
    try:
        return bare, called(root, bare), of
    except NotLockedError as error:
        # a joint environment may have a name with this end, and takes precedence
        for one in formats.others():
            shorter = name.removesuffix(one.suffix)
            if shorter != name and form in (None, one):
                with contextlib.suppress(NotLockedError):
                    return shorter, called(root, shorter), one
        if error.unlocked is not None:
            error.unlocked = error.unlocked._replace(installer=of.name)
        raise


def form_of(name: str, form: Format | None = None) -> tuple[str, Format]:
    """The name among the locks of an environment on disk, and the form of its locks.

    Args:
        name: its name.
        form: the form if the name includes none; None for the default one.
    """
    for one in formats.others():
        if re.fullmatch(rf".+-{accelerators.pattern()}{one.suffix}", name):
            return name.removesuffix(one.suffix), one
    return name, form or formats.default()


def require_form(environment: LockedEnvironment, form: Format) -> None:
    """Check that an environment is locked in a form.

    Raises:
        UsageError: it is not.
    """
    if not form.is_default and lock_path(environment, form) is None:
        raise OtherPlatformError(
            f"{environment.name} is not locked for {form.name}",
            hints=[LOCK],
            unlocked=Unlocked(environment.name, installer=form.name),
        )


def lock_path(environment: LockedEnvironment, form: Format, platform: str | None = None) -> Path | None:
    """The lock of an environment in a form; None if there is none.

    Args:
        environment: the environment.
        form: the form.
        platform: the platform of the lock; a file for several platforms is not opened to check. None for any.
    """
    try:
        inside = sorted(environment.folder.iterdir())
    except OSError as error:
        raise files.unreadable(environment.folder, error) from error
    for path in inside:
        of = form.platform_of(path.name)
        if of is not None and (platform is None or of in {"", platform}):
            return path
    return None


def lock_of(environment: LockedEnvironment, form: Format, platform: str | None) -> Path:
    """The lock of an environment in a form for a platform.

    Raises:
        UsageError: it is not locked for that platform.
    """
    path = lock_path(environment, form, platform or "")
    if path is None:
        raise OtherPlatformError(
            f"{environment.name} is locked for {', '.join(environment.platforms)}, and {instead(platform)}",
            hints=[LOCK] if platform else [],
            unlocked=Unlocked(environment.name, platform, form.name),
        )
    return path


def instead(platform: str | None) -> str:
    """What a lock would have to be for: this machine's platform, or another that was asked for."""
    if platform is not None and platform != host.subdir():
        return f"not for {platform}"
    return f"this machine is {platform or 'of a platform that kgen does not know'}"


def digest(content: bytes) -> str:
    """The digest of a lock: the sha256 of its bytes."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL

    return hashlib.sha256(content).hexdigest()


def seal(text: str) -> str:
    """A lock's text with its seal, the sha256 of everything above, as last line: it reveals edits without rendering."""
    return f"{text}{_SEAL}{digest(text.encode())}\n"


def is_as_sealed(content: bytes) -> bool | None:
    """Whether a lock is identical to what was sealed; None if it has no seal, as older kgens wrote none."""
    above, mark, last = content.rpartition(_SEAL.encode())
    return last == f"{digest(above)}\n".encode() if mark else None


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """The digest of files, by their paths: the sha256 of the list that sha256sum would print for them."""
    return digest("".join(f"{digest(content)}  {path}\n" for path, content in sorted(files.items())).encode())


def read(path: Path) -> Lockfile:
    """The lock in this file.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: it does not have the form that kgen writes; with every fault.
    """
    return parse(path, content_of(path))[0]


def content_of(path: Path) -> bytes:
    """The bytes of a file in the folder of an environment.

    Raises:
        OutsideError: the file cannot be read.
    """
    try:
        return files.read(path)
    except OSError as error:
        raise files.unreadable(path, error) from error


def parse(path: Path, content: bytes) -> tuple[Lockfile, Mapping[str, Any]]:
    """The lock in these bytes, and all of their data.

    Raises:
        SettingsError: they do not have the form that kgen writes; with every fault.
    """
    import tomli  # noqa: PLC0415 - see above

    from kgen.tables import Table  # noqa: PLC0415

    try:
        data = tomli.loads(content.decode())
    except (ValueError, RecursionError) as error:
        said = grammar.shown(str(error).partition("\n")[0])
        raise SettingsError(f"{path} is not valid TOML: {said}", hints=["kgen lock"]) from None
    faults: list[str] = []
    lock = _lockfile(Table(data, "", faults), path, digest(content))
    if faults:
        listed = "\n".join(f"{path}: {fault}" for fault in faults)
        raise SettingsError(listed, hints=["`kgen lock` writes it again, from the settings"])
    return lock, data


DECIDED: Mapping[str, str] = MappingProxyType(
    {
        "schema": "the version of this form of locks",
        "kgen": "the version of kgen that made the lock",
        "matrix": "the revision of the matrix that kgen used",
        "environment": "the name of the environment",
        "cudnn": "the version of cuDNN",
        "driver": "the oldest driver that serves the environment",
        "packages": "the frameworks, Keras and what kgen's solver decided besides -> version",
        "libraries": "the accelerator's libraries -> version",
        "variables": "variables that select the backend -> value",
        "places": "further variables; `{prefix}` stands for the folder of the environment",
        "configuration": "files of Keras's settings in the environment -> text",
        "shared": "folders in the environment that are links to the user's",
        "hooks": "the digest of the hooks beside the lock",
        "indexes": "packages that come from a framework's own index -> its label",
        "licences": "what each package declares",
        "size": "the bytes to download; absent where the index does not say",
        "on-cpu": "backends whose frameworks dependencies bring along, and that compute on the CPU",
        "build": "the files that build source distributions, source trees and the project itself",
        "warnings": "what speaks against the lock, as sentences",
        "why": "a reason for each decision, with its source. One by receipts also has their number and `devices`, one"
        " that uv or a dependency gave the `newer` release and the `bound`",
    }
)
"""What a lock contains besides its request: key of `[tool.kgen]` -> meaning.

The key of the accelerator's toolkit version is the name of the accelerator: `cuda = "12.8"`.
"""


def _lockfile(top: Table, path: Path, sha256: str) -> Lockfile:
    kgen = top.table("tool").table("kgen")
    schema = kgen.get("schema", int, required=True)
    if schema is not None and schema != SCHEMA:
        kgen.fault("schema", f"is {schema}, and this kgen reads {SCHEMA}")
    environment = kgen.parsed("environment", grammar.environment, required=True) or ""
    python = kgen.parsed("python", grammar.python, required=True) or ""
    platform = kgen.parsed("platform", grammar.platform, required=True) or ""
    accelerator = kgen.parsed("accelerator", accelerators.named, required=True)
    if environment and environment != path.parent.name:
        kgen.fault("environment", f"is `{environment}`, and the folder is {grammar.shown(path.parent.name)}")
    elif (
        environment
        and accelerator is not None
        and not environment.removesuffix(grammar.python_ending(python)).endswith(f"-{accelerator.name}")
    ):
        kgen.fault("accelerator", f"is `{accelerator.name}`, and the environment is `{environment}`")
    named = re.fullmatch(PYLOCK, path.name)
    if platform and named is not None and named["platform"] != platform:
        kgen.fault("platform", f"is `{platform}`, and the file is {path.name}")
    _unused(top, kgen)
    accelerator = accelerator or CPU
    _request(kgen, accelerator.kind)
    trees: list[LockedTree] = []
    locked = tuple(_files(top, "packages", trees))
    from kgen.model.lockfile import Lockfile  # noqa: PLC0415 - see above

    return Lockfile(
        path=path,
        form=formats.default(),
        digest=sha256,
        environment=environment,
        backends=_backends(kgen),
        accelerator=accelerator.name,
        python=python,
        platform=platform,
        runtime=kgen.parsed(accelerator.kind, grammar.runtime),
        cudnn=kgen.parsed("cudnn", grammar.version),
        driver=kgen.parsed("driver", lambda text: grammar.driver(text.removeprefix(">="))),
        packages=kgen.parsed_mapping("packages", grammar.project, grammar.version, required=True),
        libraries=kgen.parsed_mapping("libraries", grammar.project, grammar.version),
        variables=kgen.parsed_mapping("variables", grammar.variable, grammar.line, required=True),
        indexes=kgen.parsed_mapping("indexes", grammar.project, grammar.label),
        licences=kgen.parsed_mapping("licences", grammar.project, grammar.line),
        files=locked,
        places=kgen.parsed_mapping("places", grammar.variable, grammar.line),
        configuration=kgen.parsed_mapping("configuration", grammar.file, grammar.line),
        shared=kgen.parsed_texts("shared", grammar.file),
        hooks=kgen.parsed("hooks", grammar.sha256),
        build=tuple(_files(kgen, "build")),
        allow_overlap=kgen.parsed_texts("allow-overlap", grammar.pair),
        trees=tuple(trees),
        on_cpu=kgen.parsed_texts("on-cpu", grammar.backend),
    )


def _backends(kgen: Table) -> tuple[str, ...]:
    found = kgen.parsed_texts("backends", grammar.backend)
    if kgen.raw("backends") in (None, []):
        kgen.fault("backends", "names none")
    if len(set(found)) < len(found):
        kgen.fault("backends", "names one twice")
    return found


def _unused(top: Table, kgen: Table) -> None:
    """Check what kgen writes for other tools and for people; writing a lock again needs it in this form."""
    top.parsed("requires-python", grammar.line)
    top.parsed_texts("environments", grammar.line)
    for row in kgen.tables("why"):
        for key in ("subject", "rule", "source"):
            row.prose(key)
        if row.has("receipts"):  # used when the version is kept
            row.get("receipts", int)
            row.parsed("subject", _release)
            row.texts("devices")
        if row.has("newer"):  # likewise
            row.parsed("newer", grammar.version)
            row.parsed("subject", _release)
            row.prose("bound")
        row.close()
    for key in ("kgen", "matrix"):
        kgen.parsed(key, grammar.line)
    kgen.get("size", int)
    kgen.texts("warnings")


def _release(text: str) -> str:
    """A project and its version, such as `torch 2.6.0`.

    Raises:
        ValueError: it is not one.
    """
    name, _, version = text.partition(" ")
    return f"{grammar.project(name)} {grammar.version(version)}"


def _request(kgen: Table, kind: str) -> None:
    """Check the recorded request, which :func:`kgen.fields.request_of` turns into a request."""
    from packaging.version import Version  # noqa: PLC0415 - see above

    from kgen.model.driver import DriverVersion  # noqa: PLC0415
    from kgen.model.ranges import VersionRange  # noqa: PLC0415
    from kgen.model.request import TargetMachine, other_frameworks  # noqa: PLC0415
    from kgen.model.requirement import parse_requirement  # noqa: PLC0415

    def version(text: str) -> Version:
        return Version(grammar.version(text))

    kgen.parsed(f"{kind}-limit", grammar.runtime)
    kgen.parsed("glibc", version)
    kgen.parsed("macos", version)
    kgen.parsed("driver-asked", DriverVersion)
    kgen.parsed_texts("gpus", grammar.architecture)
    kgen.parsed_texts("targets", TargetMachine.parse)
    kgen.parsed("keras", VersionRange)
    kgen.parsed_texts("requirements", parse_requirement)
    kgen.parsed_texts("dependencies", parse_requirement)
    kgen.parsed_texts("constraints", parse_requirement)
    kgen.parsed("other-frameworks", other_frameworks)
    kgen.parsed_texts("build-asked", grammar.project)
    kgen.parsed_texts("build-requires", parse_requirement)
    kgen.parsed("exclude-newer", grammar.day)
    kgen.parsed_texts("uv", str)
    kgen.get("isolate-config", bool)
    kgen.get("torch-index", bool)


def _files(of: Table, key: str, trees: list[LockedTree] | None = None) -> Iterable[LockedFile]:
    """The files in an array of tables; source trees are added to `trees` if they are allowed."""
    import urllib.parse  # noqa: PLC0415 - see above

    from kgen.model.lockfile import LockedFile  # noqa: PLC0415

    seen: set[str] = set()
    for package in of.tables(key):
        name = package.parsed("name", grammar.project, required=True) or ""
        is_tree = trees is not None and any(package.has(key) for key in _TREES)
        is_direct = trees is not None and package.has("archive")
        version = package.parsed("version", grammar.version, required=not is_tree) or ""
        package.parsed("requires-python", grammar.line)
        package.parsed("index", grammar.url)
        if name in seen:
            package.fault("name", f"`{name}` is there twice")
        seen.add(name)
        _require_one_source(package, name)
        if trees is not None and is_tree:
            trees.append(_tree(package, name, version or None))
            continue
        is_source = package.has("sdist")
        single = "archive" if is_direct else "sdist"
        wheels = [package.table(single)] if is_source or is_direct else list(package.tables("wheels"))
        package.close()
        if len(wheels) != 1:
            package.fault("wheels", f"has {len(wheels)} files; kgen locks one")
            continue
        wheel = wheels[0]
        url = wheel.parsed("url", grammar.url)
        path = wheel.get("path", str, required=not wheel.has("url"))
        if url is not None and path is not None:
            wheel.fault("path", "is there beside `url`")
        file = (
            urllib.parse.unquote((url or "").partition("#")[0].partition("?")[0].rpartition("/")[2])
            if path is None
            else path.rpartition("/")[2]
            if is_direct
            else path
        )
        is_source = is_source or (is_direct and not file.endswith(".whl"))
        try:
            (grammar.source if is_source else grammar.wheel)(file)
            if is_direct and path is not None:
                grammar.place(path)
        except ValueError as error:
            if path is not None or url is not None:
                wheel.fault("url" if path is None else "path", str(error))
        hashes = wheel.table("hashes")
        sha256 = hashes.parsed("sha256", grammar.sha256, required=True) or ""
        size = wheel.get("size", int)
        if size is not None and size < 0:
            wheel.fault("size", "is negative")
        hashes.close()
        wheel.close()
        place = path if is_direct else None
        yield LockedFile(name, version, file, url, sha256, size, direct=is_direct, path=place)


def _require_one_source(package: Table, name: str) -> None:
    """Check that a package has only one source: uv reads the file too, and must find the one that kgen checked."""
    sources = [kind for kind in (*_FILES, *_TREES) if package.has(kind)]
    if len(sources) > 1:
        package.fault("name", f"`{name}` has several sources ({' and '.join(sources)}); kgen locks one")


def _tree(package: Table, name: str, version: str | None) -> LockedTree:
    """A package that is built from a folder, or from a commit of a repository."""
    from kgen.model.lockfile import LockedTree  # noqa: PLC0415 - see above

    own = package.table("tool").table("kgen")
    sha256 = own.parsed("sha256", grammar.sha256, required=package.has("directory"))
    if package.has("directory"):
        folder = package.table("directory")
        path = folder.parsed("path", grammar.place, required=True)
        if folder.get("editable", bool) is not True:
            folder.fault("editable", "is not true; kgen installs folders editable")
        folder.close()
        package.close()
        return LockedTree(name, version, path=path, sha256=sha256)
    vcs = package.table("vcs")
    if vcs.get("type", str, required=True) not in {"git", None}:
        vcs.fault("type", "is not `git`")
    url = vcs.parsed("url", grammar.repository, required=True)
    commit = vcs.parsed("commit-id", grammar.commit, required=True)
    revision = vcs.parsed("requested-revision", grammar.revision)
    subdirectory = vcs.parsed("subdirectory", grammar.below)
    vcs.close()
    package.close()
    return LockedTree(name, version, None, None, url, commit, revision, subdirectory)
