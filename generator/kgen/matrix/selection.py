"""The variables and files that select an environment's backend: derived from the matrix, never taken from a lock.

A lock contains a copy for readers without kgen, and kgen compares the two. No repository can change the matrix that
they are derived from (:mod:`kgen.matrix.origin`), so nothing in a lock is executed or decides where kgen writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen import accelerators
from kgen.errors import SettingsError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.lockfile import Lockfile
from kgen.model.requirement import canonical_name
from kgen.project import SHARE

OWN_KERAS = f"{SHARE}/keras"
"""Keras's folder inside an environment that has its own."""


class Selection(NamedTuple):
    """What selects the backend of an environment.

    Attributes:
        variables: environment variables that a process needs.
        places: further variables, in which `{prefix}` stands for the environment's folder.
        configuration: file name in the environment's own Keras folder -> its text; empty if there is no such folder.
        shared: folders in it that are links to the user's.
    """

    variables: Mapping[str, str]
    places: Mapping[str, str] = MappingProxyType({})
    configuration: Mapping[str, str] = MappingProxyType({})
    shared: tuple[str, ...] = ()

    @property
    def own(self) -> dict[str, Any]:
        """Everything but the variables, in the form that locks have."""
        return {key: value for key, value in self._asdict().items() if key != "variables"}


def selection(matrix: CompatibilityMatrix, backends: Sequence[str], accelerator: str, *, isolated: bool) -> Selection:
    """The selection of the first of these backends on an accelerator; the matrix must know each of them.

    Args:
        matrix: the facts.
        backends: the backends of the environment, the most important first.
        accelerator: the accelerator's name, such as `cuda12`, whose kind may need variables of its own.
        isolated: whether Keras's settings are in the environment's own folder.
    """
    backend = matrix.backends[backends[0]]
    kind = matrix.accelerators.get(accelerators.named(accelerator).kind)
    variables = {**({} if kind is None else kind.environment), **backend.environment}
    if not isolated:
        return Selection(variables, backend.places)
    generation = matrix.generations[backend.generation]
    return Selection(
        variables=variables,
        places={**backend.places, generation.home: f"{{prefix}}/{OWN_KERAS}"},
        configuration={
            name: text.replace("{backend}", backend.selected) for name, text in generation.configuration.items()
        },
        shared=generation.shared,
    )


def require_known(matrix: CompatibilityMatrix, lock: Lockfile) -> None:
    """Check that the matrix knows the backends and the accelerator of a lock.

    Raises:
        SettingsError: it does not.
    """
    unknown = [f"the backend {name}" for name in lock.backends if name not in matrix.backends]
    unknown += [] if lock.platform in matrix.platforms else [f"the platform {lock.platform}"]
    unknown += [] if any(row.version == lock.python for row in matrix.pythons) else [f"Python {lock.python}"]
    if unknown:
        raise SettingsError(
            f"{lock.path} is for {' and '.join(unknown)}, which the matrix of this kgen does not know",
            hints=["kgen check", "kgen lock"],
        )


def differences(
    matrix: CompatibilityMatrix,
    backends: Sequence[str],
    accelerator: str,
    found: Selection,
    *,
    isolated: bool | None = None,
) -> Iterator[tuple[str, str]]:
    """Where a lock's selection differs from the matrix's: the key in the lock, and what is wrong with it.

    Args:
        matrix: the facts.
        backends: the backends of the lock.
        accelerator: the name of its accelerator.
        found: the selection in the lock.
        isolated: whether Keras's settings belong in the environment's own folder; None to take the lock's word for it.
    """
    unknown = [name for name in backends if name not in matrix.backends]
    if unknown:
        yield "backends", f"`{grammar.shown(unknown[0])}` is none that the matrix of this kgen knows"
        return
    if isolated is None:
        isolated = bool(found.configuration or found.shared)
    wanted = selection(matrix, backends, accelerator, isolated=isolated)
    for key in Selection._fields:
        has, should = getattr(found, key), getattr(wanted, key)
        if dict(has) != dict(should) if isinstance(should, Mapping) else tuple(has) != tuple(should):
            yield key, f"is not what selects {backends[0]}: it was edited by hand, or made by another kgen"


class UnknownSource(NamedTuple):
    """A source distribution that only a lock vouches for.

    Attributes:
        what: what is wrong with it, as the rest of a sentence about the lock.
        name: the project whose build the settings can allow; None if they cannot.
    """

    what: str
    name: str | None = None


def unknown_sources(
    matrix: CompatibilityMatrix, lock: Lockfile, allowed: Collection[str] = ()
) -> Iterator[UnknownSource]:
    """The source distributions that only the lock vouches for; building one runs its code.

    Args:
        matrix: the facts.
        lock: the lock.
        allowed: projects whose build the user's settings allow; what the lock says about that does not count.
    """
    # what a lock says about its backends is checked elsewhere; for one that nobody knows, nobody vouches
    is_known = {*lock.backends} <= matrix.backends.keys()
    rows = matrix.generation_of(lock.backends).sources if is_known else ()
    known = {(canonical_name(one.name), str(one.version)) for one in rows}
    for file in lock.files:
        name = canonical_name(file.name)
        if file.is_source and (name, file.version) not in known and name not in allowed:
            what = f"has {file.filename}: building it runs its code, and neither the matrix nor `build` in the settings"
            yield UnknownSource(f"{what} names it", name)
    for file in lock.build:
        if file.is_source:
            yield UnknownSource(f"builds with {file.filename}, which is not a wheel")
