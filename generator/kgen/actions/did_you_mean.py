"""What users mean who type something else where a backend is expected."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from kgen import accelerators
from kgen.fields import ACCELERATORS, accelerator_words
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.requirement import Requirement, parse_requirement
from kgen.tables import nearest

if TYPE_CHECKING:
    from kgen.actions.plan import RequestFlags

_ALIKE = 0.8
"""How alike a name must be to that of a backend of an older generation, so that nobody types one by accident."""


_VERSION = r"[0-9]+(\.[0-9]+)+"
_SHORT = range(2, 4)
"""So many letters has what people write in the place of a long name."""


class _Meant(NamedTuple):
    """What a word in the place of a backend asks for.

    Attributes:
        names: backends and joint environments.
        require: what is required of the framework of one.
        dependencies: packages that are no backend.
        flags: name of a field -> what its flag is given, as the name of an environment says it.
    """

    names: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    flags: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def hints(name: str, asked: RequestFlags, matrix: CompatibilityMatrix, environments: Collection[str]) -> list[str]:
    """Commands to type instead, or what is known.

    Args:
        name: what was typed.
        asked: the whole request, which the command repeats; other names in it may be no backends either.
        matrix: the facts.
        environments: the joint environments of the settings.
    """
    known = (*matrix.short_names, *environments)
    form = next((one for one in formats.others() if name.endswith(one.suffix)), None)
    if form is not None:  # an environment as it is called on disk
        bare = name.removesuffix(form.suffix)
        if bare in known or _environment(bare, matrix, known) is not None:
            typed = tuple(bare if one == name else one for one in asked.names)
            forms = dict.fromkeys((*asked.installers, form.name)) if asked.command == "lock" else ()
            asked = asked._replace(names=typed, installers=tuple(forms))
            if bare in known:
                return [asked.command_for(typed)]
            return hints(bare, asked, matrix, environments)
    listed = f"the backends are {', '.join(matrix.short_names)}"
    if re.fullmatch(_VERSION, name):
        return [f"to ask for a version, name the package: --require {matrix.short_names[0]}=={name}", listed]
    own = _meant(name, matrix, known)
    if own is None:
        near = _near(name, matrix, known)
        return [listed if near is None else f"did you mean `{near}`?"]
    meant = [own if other == name else _meant(other, matrix, known) or _Meant() for other in asked.names]
    names = [one for each in meant for one in each.names] or _used_with(own, matrix)
    more: dict[str, Sequence[str]] = {
        "require": [text for each in meant for text in each.require],
        "dependencies": [text for each in meant for text in each.dependencies],
    }
    more = {field: texts for field, texts in more.items() if texts}
    kinds = {field.name for field in ACCELERATORS}
    given = {*asked.given, *(kinds if kinds.intersection(asked.given) else ())}
    more |= {field: texts for field, texts in own.flags.items() if field not in given}
    command = asked.command_for(dict.fromkeys(names), more)
    return [command, listed] if own.dependencies else [command]


def _meant(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """What a word asks for; None where it is like the name of a backend, or nothing that can be asked for."""
    if name in known or name in matrix.backends:
        return _Meant((name,))
    parts = [part.strip() for part in name.split(",") if part.strip()]
    if parts and parts != [name] and all(part in known or part in matrix.backends for part in parts):
        return _Meant(tuple(parts))
    return _environment(name, matrix, known) or _wish(name, matrix, known)


def _wish(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """What the name of a package, or a requirement of it, asks for."""
    requirement = None if name.lower() in known else _requirement(name)
    if requirement is None:
        return None
    backend = _backend_of(requirement, matrix)
    if backend is not None:
        return _Meant((backend,), require=(name,))
    if requirement.name not in matrix.known_projects and _near(name, matrix, known) is not None:
        return None
    return _Meant(dependencies=(name,))


def _environment(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """What the name of an environment that is not locked asks for: `jax-cuda12-py311` is JAX for CUDA 12 on 3.11."""
    short = accelerators.without_ending(name)
    if short == name:
        return None
    backend = short if short in known or short in matrix.backends else _near(short, matrix, known)
    if backend is None:
        return None
    accelerator, python = accelerators.in_name(name), grammar.python_in(name)
    flags: dict[str, tuple[str, ...]] = {accelerator.kind: tuple(accelerator_words(accelerator)[1:])}
    return _Meant((backend,), flags=flags | ({} if python is None else {"python": (python,)}))


def _near(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> str | None:
    """The name that was most likely meant."""
    return (
        nearest(name.lower(), known)
        or _short_for(name, matrix.short_names)
        or nearest(name, list(matrix.backends), _ALIKE)
    )


def _used_with(meant: _Meant, matrix: CompatibilityMatrix) -> list[str]:
    """The backend that packages are used with: that of the framework which they belong to, or else the first."""
    projects = {parse_requirement(text).name for text in meant.dependencies}
    frameworks = [row.framework for row in matrix.companions if row.project in projects]
    found = (_backend_of(parse_requirement(framework), matrix) for framework in frameworks)
    return [next((backend for backend in found if backend is not None), matrix.short_names[0])]


def _short_for(name: str, known: Collection[str]) -> str | None:
    """The one name that this is short for, as `tf` is: its first letter, and more of its letters in their order."""
    if len(name) not in _SHORT:
        return None
    letters = re.compile("[a-z-]*".join(map(re.escape, name.lower())))
    found = [one for one in known if letters.match(one)]
    return found[0] if len(found) == 1 else None


def _requirement(text: str) -> Requirement | None:
    try:
        return parse_requirement(text)
    except ValueError:
        return None


def _backend_of(requirement: Requirement, matrix: CompatibilityMatrix) -> str | None:
    """The backend of the default generation whose framework a requirement names."""
    default = matrix.default_backends(None)
    rows = [row for row in matrix.backends.values() if row.framework == requirement.name]
    found = next((row for row in rows if row.name in default), next(iter(rows), None))
    return None if found is None else found.short
