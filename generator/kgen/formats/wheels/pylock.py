"""A lock as PEP 751 text. The form is kgen's own: one wheel a package, no dates, nothing of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import tomli

from kgen import templates
from kgen.errors import JudgementError
from kgen.explain.reasons import reason_data, warning_text
from kgen.fields import lock_data
from kgen.lockfiles import SCHEMA, digest_of_files, is_as_sealed, seal
from kgen.matrix.records import Platform
from kgen.model.causes import SharedRelease
from kgen.model.lockfile import LockedTree

if TYPE_CHECKING:  # slow to import, and who only looks at a lock needs none of it
    from kgen.formats.wheels.lock import Lock, LockedWheel
    from kgen.model.resolution import Resolution

_ROWS = frozenset({"why", "build"})
"""What of `[tool.kgen]` is arrays of tables."""


def toml_text(value: str) -> str:
    """A TOML basic string. JSON's escapes are TOML's, but for DEL, which JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return toml_text(str(value))


def render(
    lock: Lock,
    *,
    platform: Platform,
    variables: Mapping[str, str],
    hooks: Mapping[str, str],
    revision: str,
    version: str,
    portable: bool,
    places: Mapping[str, str] = MappingProxyType({}),
    configuration: Mapping[str, str] = MappingProxyType({}),
    shared: Sequence[str] = (),
) -> str:
    """The text of a lock.

    Args:
        lock: the lock.
        variables: what selects its backend in a process's environment.
        platform: its platform.
        hooks: path -> text of the files that set them.
        revision: the revision of the matrix that it was solved with.
        version: kgen's version.
        portable: whether files are named by `path`, without an index's host.
        places: further variables, in which `{prefix}` stands for the folder of the environment.
        configuration: name -> text of the files in Keras's own folder in the environment.
        shared: folders in it that are links to those of the user's.

    Raises:
        JudgementError: the text is not a PEP 751 lock after all.
    """
    resolution = lock.resolution
    request = resolution.request
    # what else was locked in the same call is not part of the request, and the same request gives the same lock
    of_itself = [one for one in resolution.why if not isinstance(one.ground, SharedRelease)]
    own = {
        "shared": tuple(shared) or None,
        "hooks": digest_of_files({path: text.encode() for path, text in hooks.items()}),
    }
    text = templates.render(
        "pylock.toml.j2",
        environment=request.environment,
        platform=request.platform,
        marker=toml_text(marker(platform)),
        requires_python=toml_text(f"=={request.python}.*"),
        wheels=sorted(
            [*(_wheel_row(wheel, portable=portable) for wheel in lock.wheels), *map(_tree_row, lock.trees)],
            key=lambda row: str(row["name"]).strip('"'),
        ),
        kgen={
            key: _toml(value)
            for key, value in {**_decided(lock, revision, version), **own}.items()
            if value is not None
        },
        tables={
            "packages": _versions(resolution.packages),
            **({"libraries": _versions(resolution.libraries)} if resolution.libraries else {}),
            **({"indexes": indexes} if (indexes := _indexes(lock)) else {}),
            **({"licences": _versions(lock.licences)} if lock.licences else {}),
            "variables": {name: _toml(value) for name, value in variables.items()},
            **({"places": _versions(places)} if places else {}),
            **({"configuration": _versions(configuration)} if configuration else {}),
        },
        build=[_wheel_row(wheel, portable=portable) for wheel in lock.build],
        why=[{key: _toml(value) for key, value in reason_data(one).items() if key != "kind"} for one in of_itself],
    )
    from packaging.pylock import Pylock, PylockValidationError  # noqa: PLC0415 - who only reads locks needs none

    try:
        Pylock.from_dict(tomli.loads(text))
    except (ValueError, PylockValidationError) as error:
        raise JudgementError(f"{request.environment}: the lock would not be valid: {error}") from error
    return seal(text)


def is_own(content: bytes, data: Mapping[str, Any]) -> bool:
    """Whether a lock is as kgen wrote it: an edit by hand leaves another text.

    Args:
        content: the file.
        data: what is in it, found to be a lock by :func:`kgen.lockfiles.parse`.
    """
    sealed = is_as_sealed(content)
    if sealed is not None:
        return sealed
    try:
        return _again(data).encode("utf-8", "surrogatepass") == content
    except (KeyError, ValueError, TypeError, AttributeError):  # what kgen would have written is not in it
        return False


def again(data: Mapping[str, Any]) -> str:
    """The text of a lock with this content, whether or not it is on disk."""
    return seal(_again(data))


def _again(data: Mapping[str, Any]) -> str:
    """The text, without a seal, that kgen writes of what is in a lock."""
    kgen = data["tool"]["kgen"]
    return templates.render(
        "pylock.toml.j2",
        environment=kgen["environment"],
        platform=kgen["platform"],
        marker=", ".join(map(toml_text, data["environments"])),
        requires_python=toml_text(data["requires-python"]),
        wheels=[_wheel_again(package) for package in data["packages"]],
        kgen={key: _toml(value) for key, value in kgen.items() if key not in _ROWS and not isinstance(value, dict)},
        tables={key: _versions(value) for key, value in kgen.items() if isinstance(value, dict)},
        build=[_wheel_again(package) for package in kgen.get("build", ())],
        why=[{key: _toml(value) for key, value in row.items()} for row in kgen.get("why", ())],
    )


def _wheel_again(package: Mapping[str, Any]) -> Mapping[str, object]:
    if "directory" in package or "vcs" in package:
        folder, vcs = package.get("directory", {}), package.get("vcs", {})
        return _tree_row(
            LockedTree(
                package["name"],
                package.get("version"),
                path=folder.get("path"),
                sha256=package["tool"]["kgen"]["sha256"] if folder else None,
                url=vcs.get("url"),
                commit=vcs.get("commit-id"),
                revision=vcs.get("requested-revision"),
                subdirectory=vcs.get("subdirectory"),
            )
        )
    is_source, direct = "sdist" in package, "archive" in package
    (wheel,) = [package["archive" if direct else "sdist"]] if is_source or direct else package["wheels"]
    where = next(key for key in ("path", "url") if key in wheel)
    requires_python = package.get("requires-python")
    return {
        "name": toml_text(package["name"]),
        "version": toml_text(package["version"]),
        "requires_python": None if requires_python is None else toml_text(requires_python),
        "index": toml_text(package["index"]) if "index" in package else None,
        "where": where,
        "location": toml_text(wheel[where]),
        "size": wheel.get("size"),
        "sha256": toml_text(wheel["hashes"]["sha256"]),
        "is_source": is_source,
        "direct": direct,
        "source": None,
    }


def _tree_row(tree: LockedTree) -> Mapping[str, object]:
    """A source tree: what PEP 751 says about it, and of a folder what its metadata was made from."""
    if tree.path is not None:
        facts = f"path = {toml_text(tree.path)}, editable = true"
        own = toml_text(tree.sha256 or "")
        source = f"directory = {{ {facts} }}\ntool = {{ kgen = {{ sha256 = {own} }} }}"
    else:
        said = {
            "type": "git",
            "url": tree.url,
            "requested-revision": tree.revision,
            "commit-id": tree.commit,
            "subdirectory": tree.subdirectory,
        }
        source = f"vcs = {{ {', '.join(f'{key} = {toml_text(v)}' for key, v in said.items() if v is not None)} }}"
    version = None if tree.version is None else toml_text(tree.version)
    return {
        "name": toml_text(tree.name), "version": version, "requires_python": None, "index": None, "source": source,
    }  # fmt: skip


def marker(platform: Platform) -> str:
    """The environment marker of a platform."""
    values = platform.markers
    return f"sys_platform == '{values['sys_platform']}' and platform_machine == '{values['platform_machine']}'"


def _wheel_row(wheel: LockedWheel, *, portable: bool) -> Mapping[str, object]:
    return {
        "name": toml_text(wheel.name),
        "version": toml_text(str(wheel.version)),
        "requires_python": None if wheel.requires_python is None else toml_text(wheel.requires_python),
        "index": None if portable or wheel.index is None else toml_text(wheel.index),
        **_location(wheel, portable=portable),
        "size": wheel.size,
        "sha256": toml_text(wheel.sha256),
        "is_source": wheel.is_source,
        "direct": wheel.direct,
        "source": None,
    }


def _location(wheel: LockedWheel, *, portable: bool) -> Mapping[str, str]:
    if wheel.direct:
        where = "url" if wheel.path is None else "path"
        return {"where": where, "location": toml_text(wheel.path or wheel.url)}
    return {"where": "path" if portable else "url", "location": toml_text(wheel.filename if portable else wheel.url)}


def _indexes(lock: Lock) -> dict[str, str]:
    """Package -> which of its framework's own indexes it is from, without a host: `cu126`."""
    labels = dict(lock.resolution.local)
    labels |= {name: labels[framework] for name, framework in lock.resolution.beside.items()}
    return {wheel.name: _toml(labels[wheel.name]) for wheel in lock.wheels if wheel.index is not None}


def _versions(versions: Mapping[str, object]) -> dict[str, str]:
    return {toml_text(name) if not name.isidentifier() else name: _toml(str(v)) for name, v in versions.items()}


def accelerator_data(resolution: Resolution) -> dict[str, str | None]:
    """What a lock says about its accelerator's libraries and driver."""
    runtime = resolution.runtime
    return {
        **({runtime.kind: runtime.number} if runtime and runtime.version else {}),
        "cudnn": None if resolution.cudnn is None else str(resolution.cudnn),
        "driver": None if resolution.driver is None else f">={resolution.driver}",
    }


def _decided(lock: Lock, revision: str, version: str) -> dict[str, Any]:
    resolution = lock.resolution
    request = resolution.request
    return {
        "schema": SCHEMA,
        "kgen": version,
        **lock_data(request),
        "matrix": revision,
        **accelerator_data(resolution),
        "on-cpu": sorted(request.cpu_members) or None,
        "size": lock.size,
        "warnings": [warning_text(one) for one in resolution.warnings] or None,
    }
