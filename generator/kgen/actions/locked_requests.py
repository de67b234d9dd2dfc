"""What the locks of a project were asked to be, as settings or calls, for one that was locked by flags alone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import files, lockfiles
from kgen.actions.requirements import with_project
from kgen.errors import KgenError
from kgen.fields import LOCKED, Field, Scope, Shape, accelerator_words, flags_of, lock_command, lock_data, request_of
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.settings import Settings

_UNVOUCHED = frozenset({"build"})
"""Fields that locks never put into settings: building runs code, which only the user can allow."""

_APART = frozenset({"environment", "backends", "accelerator", "platform"})
"""What of locks may differ that are of one set of settings."""


class Setting(NamedTuple):
    """A key of the settings, with its value as TOML."""

    key: str
    value: str


def requests(root: Path) -> tuple[EnvironmentRequest, ...]:
    """What the locks of a project were made for, in the default form; nothing of those that cannot be read.

    Args:
        root: the project's folder.
    """
    found = []
    for environment in lockfiles.environments(root):
        for path in environment.platforms.values():
            with contextlib.suppress(OSError, KgenError, ValueError):
                _, data = lockfiles.parse(path, files.read(path))
                found.append(request_of(data["tool"]["kgen"]))
    return tuple(found)


def is_portable(root: Path) -> bool:
    """Whether something is locked, and all of it in the portable form; as far as it can be read.

    Args:
        root: the project's folder.
    """
    hosts = []
    for environment in lockfiles.environments(root):
        for path in environment.platforms.values():
            with contextlib.suppress(KgenError):
                hosts.append(lockfiles.read(path).names_hosts)
    return bool(hosts) and not any(hosts)


def commands(asked: Sequence[EnvironmentRequest], *words: str) -> tuple[str, ...]:
    """The calls of `kgen lock` that ask for requests, each for those that it can ask for together.

    Args:
        asked: the requests.
        words: what is typed at the end of each.
    """
    together: dict[str, list[EnvironmentRequest]] = {}
    for request in asked:
        alone = request.name if request.joint else ""
        said = {key: value for key, value in lock_data(request).items() if key not in {"environment", "backends"}}
        together.setdefault(json.dumps([alone, said], default=str), []).append(request)
    return tuple(" ".join((lock_command(*group), *words)) for group in together.values())


def settings(root: Path, asked: Sequence[EnvironmentRequest], matrix: CompatibilityMatrix) -> tuple[Setting, ...]:
    """Settings that ask for the same; nothing where nothing is asked, or settings cannot say it in one way.

    Args:
        root: the project's folder: what its files require is not a setting.
        asked: the requests.
        matrix: the facts.
    """
    if not asked:
        return ()
    able = [one for one in asked if any(matrix.backends[name].accelerated for name in one.backends)] or list(asked)
    first = able[0]
    # a lock of a backend that computes on the CPU alone does not say for which GPU and driver it was asked
    on_cpu = first._replace(accelerator=CPU, driver=None, gpus=())
    alike = all(_said(one) == _said(first if one in able else on_cpu) for one in asked)
    same = len({one.accelerator for one in able}) == 1
    if not alike or not same or any(one.joint or one.python_named or one.targets for one in asked):
        return ()
    return (
        Setting("backends", _array(dict.fromkeys(one.backends[0] for one in asked))),
        _of_accelerator(first.accelerator),
        Setting("platforms", _array(dict.fromkeys(one.platform for one in asked))),
        *_others(root, first),
    )


def _said(request: EnvironmentRequest) -> Mapping[str, object]:
    """What a lock says about its request, without what may differ between locks of one set of settings."""
    return {key: value for key, value in lock_data(request).items() if key not in _APART}


def _of_accelerator(accelerator: Accelerator) -> Setting:
    _, *value = accelerator_words(accelerator)
    return Setting(accelerator.kind, json.dumps(value[0]) if value else "true")


def _others(root: Path, request: EnvironmentRequest) -> Iterator[Setting]:
    """The settings of everything else that a lock holds of its request."""
    for field, values in flags(root, request):
        if field.key is not None and not values:
            yield Setting(field.key, "true")
        elif field.key is not None:
            yield Setting(field.key, _array(values) if field.shape is Shape.MANY else json.dumps(values[0]))


def flags(root: Path, request: EnvironmentRequest) -> Iterator[tuple[Field, list[str]]]:
    """The flags that ask for everything else that a lock holds of its request, but for its backends and accelerator.

    Args:
        root: the project's folder: what its files require is asked for without a flag.
        request: the request.

    Yields:
        A field, and the values of its flag; none where it takes none.
    """
    own = with_project(Settings(root=root)).required.dependencies
    asked = request._replace(dependencies=tuple(one for one in request.dependencies if one not in own))
    known = {field.name for field in flags_of(Scope.LOCK)} - _UNVOUCHED
    for field, entry in LOCKED:
        if field.name in known and field.key is not None and entry.attribute not in {"accelerator", "platform"}:
            words = list(field.typed(getattr(asked, entry.attribute)))
            if words:
                yield field, [word for word in words if word != field.flag]


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(map(json.dumps, values))}]"
