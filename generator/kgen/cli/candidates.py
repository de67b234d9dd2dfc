"""The possible values of arguments, for shells that complete them; each value has a description.

Nobody can read an error while typing, and the command itself will report it. Where a file cannot be read, there are no
candidates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from kgen import accelerators, lockfiles, project
from kgen.cli import registry
from kgen.errors import KgenError

Candidate = tuple[str, str]
"""A value and its description."""

Candidates = Callable[[], list[Candidate]]


def _quiet(find: Callable[[], Iterable[Candidate]]) -> Candidates:
    @functools.wraps(find)
    def found() -> list[Candidate]:
        try:
            return list(find())
        except KgenError:
            return []

    return found


@_quiet
def environments() -> Iterable[Candidate]:
    """The locked environments, and the backends with exactly one locked environment."""
    locked = lockfiles.environments(project.find_root(Path.cwd()))
    for one in locked:
        yield one.name, f"locked for {', '.join(one.platforms)}"
    shorts = [accelerators.without_ending(one.name) for one in locked]
    for short in dict.fromkeys(shorts):
        if short and shorts.count(short) == 1:
            yield short, "where it is locked once"


@_quiet
def backends() -> Iterable[Candidate]:
    """The backends of the matrix, and the joint environments of the settings."""
    from kgen import settings  # noqa: PLC0415 - slow to import, and only a shell that completes asks
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    matrix = origin.current()
    for name, row in matrix.backends.items():
        yield name, f"Keras on {row.framework}"  # its title is in a file that takes a while to read
    for name, joint in settings.read(project.find_root(Path.cwd()), matrix).environments.items():
        yield name, " and ".join(joint.backends)


@_quiet
def platforms() -> Iterable[Candidate]:
    """The platforms of the matrix."""
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    return [(name, "") for name in origin.current().platforms]


@_quiet
def pythons() -> Iterable[Candidate]:
    """The minors of CPython, newest first."""
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    return [(row.version, f"released {row.released}") for row in reversed(origin.current().pythons)]


def versions(kind: str) -> Candidates:
    """The versions for the flag of an accelerator."""

    def found() -> Iterable[Candidate]:
        from kgen.matrix import origin  # noqa: PLC0415 - as above

        majors = [(str(major), "") for major in origin.current().majors(kind)]
        return [(accelerators.AUTO, "the newest that this machine can use"), *majors]

    return _quiet(found)


@_quiet
def generations() -> Iterable[Candidate]:
    """The generations of Keras."""
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    return [(name, one.title) for name, one in origin.current().generations.items()]


@_quiet
def images() -> Iterable[Candidate]:
    """The images that kgen can take versions from, newest first."""
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    return [(name, one.title) for name, one in reversed(list(origin.current().images.items()))]


@_quiet
def hubs() -> Iterable[Candidate]:
    """The libraries of models."""
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    named = {hub: texts for one in origin.current().generations.values() for hub, texts in one.hubs.items()}
    return [(hub, ", ".join(texts)) for hub, texts in named.items()]


@_quiet
def commands() -> Iterable[Candidate]:
    """The commands of kgen."""
    return [(name, one.purpose) for name, one in registry.declarations().items()]


@_quiet
def facts() -> Iterable[Candidate]:
    """The names of the tables that `kgen matrix show` prints."""
    from kgen.actions.matrix_show import subjects  # noqa: PLC0415 - as above
    from kgen.matrix import origin  # noqa: PLC0415 - as above

    matrix = origin.current()
    return [(name, "") for name in (*matrix.framework_names, *subjects(matrix))]


@_quiet
def formats() -> Iterable[Candidate]:
    """The formats of `kgen export`."""
    from kgen.actions.export import FORMATS  # noqa: PLC0415 - as above

    return [(name, "") for name in FORMATS]


def of(*names: str) -> Candidates:
    """Candidates with these values."""
    return lambda: [(name, "") for name in names]


def completing(find: Candidates) -> Callable[[typer.Context, list[str], str], list[Candidate]]:
    """The function that Typer calls for the candidates of a parameter."""

    def complete(ctx: typer.Context, args: list[str], incomplete: str) -> list[Candidate]:
        del ctx, args
        return [one for one in find() if one[0].startswith(incomplete)]

    return complete


BY_FIELD = {
    **{kind.name: versions(kind.name) for kind in accelerators.known() if kind.versioned},
    "python": pythons,
    "platforms": platforms,
    "generation": generations,
    "hubs": hubs,
}
"""The function that lists the candidates of each field's flag."""
