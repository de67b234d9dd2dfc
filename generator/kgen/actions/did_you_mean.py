"""What users mean who type something else where kgen expects a backend."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from kgen import accelerators
from kgen.accelerators import Kind
from kgen.fields import ACCELERATORS, accelerator_words
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Backend
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.accelerator import Accelerator
from kgen.model.requirement import Requirement, parse_requirement
from kgen.parsers import parse_gpu
from kgen.tables import misspelt, nearest

if TYPE_CHECKING:
    from kgen.actions.request_flags import RequestFlags

_ALIKE = 0.8
"""The least similarity to the name of an older generation's backend, high enough that nobody types one by accident."""


_VERSION = r"[0-9]+(\.[0-9]+)+"
_SHORTEST = 3
"""Names with at most this number of letters are similar to too many others."""
_SHORT = range(2, 4)
"""The number of letters in the short form of a long name."""


_NIGHTLY = "-nightly"
_BETWEEN = r"[\s,;/+&]+"
"""What people type between several names."""
_ALL = ("all", "*", "keras")
"""Words for everything in the settings; Keras is in every environment."""
_FILLERS = frozenset({"on", "with", "for", "and", "using", "in", "the", "why", "of"})
"""Words between names in a sentence."""
_PYTHONS = frozenset({"python", "py", "cpython"})
_VERSIONED = r"(?P<name>[A-Za-z][A-Za-z_-]*?)[-_]?(?P<sign>[=@:]|==)?\s*v?(?P<version>[0-9]+(?:\.[0-9]+)*)(?:\.\*)?"
"""A release in a form that is no requirement: `torch=2.6`, `torch@2.6`, `tf2.15`."""
_NUMBERS = 3
"""The count of numbers in a whole version."""
_PYTHON = r"(?:python|cpython|cp|py)(?:-|==?)?(?P<major>3)\.?(?P<minor>[0-9]{1,2})(?:\.[0-9*]+)?"
_BUILD = (
    r"(?:and-|with-|with_)?(?P<word>[a-z-]+?)(?:[-_]|==?)?(?P<number>[0-9]+(?:\.[0-9]+)?)?"
    r"(?:[-_](?:local|pip|plugin|pjrt))*"
)
"""What names of packages, extras and local versions say about an accelerator: `cu128`, `cuda12-local`, `and-cuda`."""
_GLUED = 2
"""The number of digits of a major in a version without a dot: `128` is 12.8."""


class _Meant(NamedTuple):
    """The meaning of a word in the place of a backend.

    Attributes:
        names: backends and joint environments.
        require: requirements on their frameworks.
        dependencies: packages that are no backend.
        flags: the values of further flags, by the names of their fields.
    """

    names: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    flags: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def hints(name: str, asked: RequestFlags, matrix: CompatibilityMatrix, environments: Collection[str]) -> list[str]:
    """Commands to type instead, or the known names.

    Args:
        name: the word.
        asked: the whole request, which the command repeats; it may have other names that are no backends.
        matrix: the facts.
        environments: the joint environments in the settings.
    """
    known = (*matrix.short_names, *environments)
    plain = _without_fillers(asked.names, known)
    if plain == asked.names:
        return _hints(name, asked, matrix, known)
    asked = asked._replace(names=plain)
    first = next((one for one in plain if one not in known), None)
    return [asked.command_for(plain)] if first is None else _hints(first, asked, matrix, known)


def _hints(name: str, asked: RequestFlags, matrix: CompatibilityMatrix, known: Collection[str]) -> list[str]:
    """The same of names that are no words of a sentence."""
    form = next((one for one in formats.others() if name.endswith(one.suffix)), None)
    if form is not None:  # an environment as it is called on disk
        bare = name.removesuffix(form.suffix)
        if bare in known or _environment(bare, matrix, known) is not None:
            typed = tuple(bare if one == name else one for one in asked.names)
            forms = dict.fromkeys((*asked.installers, form.name)) if asked.command == "lock" else ()
            asked = asked._replace(names=typed, installers=tuple(forms))
            if bare in known:
                return [asked.command_for(typed)]
            return _hints(bare, asked, matrix, known)
    listed = f"the backends are {', '.join(matrix.short_names)}"
    if re.fullmatch(_VERSION, name):
        return [f"to ask for a version, name the package: --require {matrix.short_names[0]}=={name}", listed]
    own = _meant(name, matrix, known)
    if own is None:
        near = _near(name, matrix, known) or _near(name.lower().removesuffix(_NIGHTLY), matrix, known)
        return [listed if near is None else f"did you mean `{near}`?"]
    meant = [own if other == name else _meant(other, matrix, known) or _Meant() for other in asked.names]
    names = [one for each in meant for one in each.names]
    names = names or (_used_with(own, matrix) if own.dependencies else [])
    more: dict[str, Sequence[str]] = {
        "require": [text for each in meant for text in each.require],
        "dependencies": [text for each in meant for text in each.dependencies],
    }
    more = {field: texts for field, texts in more.items() if texts}
    kinds = {field.name for field in ACCELERATORS}
    given = {*asked.given, *(kinds if kinds.intersection(asked.given) else ())}
    said = {field: texts for each in meant for field, texts in each.flags.items()}
    more |= {field: texts for field, texts in said.items() if field not in given}
    command = asked.command_for(dict.fromkeys(names), more)
    return [command, listed] if own.dependencies else [command]


def _without_fillers(words: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Words without those that a sentence has besides, and a number beside what it is the version of: `on cuda 12`."""
    kinds = {spelled for kind in accelerators.known() for spelled in (kind.name, *kind.spelled)}
    found: list[str] = []
    for word in words:
        if word.lower() in _FILLERS and word not in known:
            continue
        if found and re.fullmatch(r"[0-9]+(\.[0-9]+)?", word) and found[-1].lower() in {*kinds, *_PYTHONS}:
            found[-1] += word
        else:
            found.append(word)
    return tuple(found) if found else tuple(words)


def call(text: str, matrix: CompatibilityMatrix, *, flags_alone: bool = False) -> str | None:
    """The `kgen lock` command that a word in the place of a package stands for; None if it is a package.

    Args:
        text: the word.
        matrix: the facts.
        flags_alone: whether the word may stand only for flags, and for no backend.
    """
    from kgen.actions.request_flags import RequestFlags  # noqa: PLC0415 - which imports this module

    asked = RequestFlags("lock", (text,))
    meant = _flag(text, matrix) if flags_alone else _meant(text, matrix, matrix.short_names)
    if meant is None or meant.dependencies or not (meant.names or meant.flags):
        return None
    return asked.command_for(meant.names, {**meant.flags, **({"require": meant.require} if meant.require else {})})


def locking(name: str, matrix: CompatibilityMatrix, environments: Collection[str]) -> RequestFlags | None:
    """The request for an environment of this name that is not locked; None if the name means no environment.

    Args:
        name: the name, in the form of a locked environment.
        matrix: the facts.
        environments: the joint environments in the settings.
    """
    from kgen.actions.request_flags import RequestFlags  # noqa: PLC0415 - which imports this module

    known = (*matrix.short_names, *environments)
    form = next((one for one in formats.others() if name.endswith(one.suffix)), None)
    bare = name if form is None else name.removesuffix(form.suffix)
    meant = _meant(bare, matrix, known)
    if meant is None:
        near = _near(bare, matrix, known)
        meant = None if near is None else _Meant((near,))
    if meant is None or meant.dependencies or len(meant.names) != 1:
        return None
    flags = {**meant.flags, **({"require": meant.require} if meant.require else {})}
    return RequestFlags(names=meant.names, flags=flags, installers=() if form is None else (form.name,))


def _meant(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """The meaning of a word; None if it resembles the name of a backend, or means nothing."""
    if name in known or name in matrix.backends:
        return _Meant((name,))
    parts = [part for part in re.split(_BETWEEN, name) if part]
    several = [_named(part, matrix, known) for part in parts] if parts and parts != [name] else [None]
    if None not in several:
        found = [one for one in several if one is not None]
        flags = {field: texts for one in found for field, texts in one.flags.items()}
        return _Meant(tuple(name for one in found for name in one.names), flags=flags)
    return (
        _flag(name, matrix)
        or _environment(name, matrix, known)
        or _of_build(name, matrix, known)
        or _versioned(name, matrix, known)
        or _wish(name, matrix, known)
    )


def _named(part: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """The meaning of one of several words, each of which must name a backend or an accelerator."""
    lowered = part.lower()
    found = next((one for one in (part, lowered) if one in known or one in matrix.backends), None)
    return _Meant((found,)) if found is not None else _flag(lowered, matrix)


def _flag(name: str, matrix: CompatibilityMatrix) -> _Meant | None:
    """The meaning of a word for flags: `cuda12`, `py311`, `linux-64`, `keras2`, `a100`, `all`."""
    word = name.lower()
    if word in _ALL:
        return _Meant()
    flags = _accelerator(word) or _target(word, matrix)
    return None if flags is None else _Meant(flags=flags)


def _target(word: str, matrix: CompatibilityMatrix) -> Mapping[str, tuple[str, ...]] | None:
    """The flag for a Python, platform, GPU or generation of Keras that a word names; None if it names none."""
    generation, python = word.replace(".", "-"), re.fullmatch(_PYTHON, word)
    if generation in matrix.generations:
        return {"generation": (generation,)}
    if word in matrix.platforms:
        return {"platforms": (word,)}
    if python is not None:
        return {"python": (f"{python['major']}.{python['minor']}",)}
    try:
        architecture = parse_gpu(word, matrix)
    except ValueError:
        return None
    kind = next(one for one in accelerators.probed() if _is_architecture(architecture, one))
    return {kind.name: tuple(accelerator_words(Accelerator(kind.name))[1:]), "gpu": (word,)}


def _is_architecture(text: str, kind: Kind) -> bool:
    try:
        return kind.parse_architecture(text) == text
    except ValueError:
        return False


def _accelerator(word: str) -> Mapping[str, tuple[str, ...]] | None:
    """The flag for an accelerator that a word names; None if it names none."""
    match = re.fullmatch(_BUILD, word)
    kinds = [one for one in accelerators.known() if match is not None and match["word"] in (one.name, *one.spelled)]
    if match is None or not kinds:
        return None
    kind, number = kinds[0], match["number"] or ""
    if "." not in number and len(number) > _GLUED:
        number = f"{number[:_GLUED]}.{number[_GLUED:]}"
    if number and not kind.versioned:
        return None
    try:
        accelerator = Accelerator.numbered(kind.name, number) if number else Accelerator(kind.name)
    except ValueError:
        return None
    return {kind.name: tuple(accelerator_words(accelerator)[1:])}


def _of_build(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """The meaning of a package whose name, extra or local version has an accelerator.

    `jax[cuda12]` is JAX for CUDA 12; so are `jax-cuda12-plugin` and, with its version, `jax==0.6+cuda12`.
    """
    requirement = _requirement(name)
    if requirement is not None and requirement.extras:
        backend = _backend_of(requirement, matrix)
        found = [_accelerator(extra) for extra in requirement.extras]
        if backend is None or None in found:
            return None
        flags = {field: texts for one in found if one is not None for field, texts in one.items()}
        bare = re.sub(r"\s*\[[^]]*\]", "", name, count=1)
        return _Meant((backend,), require=(bare,) if requirement.specifier else (), flags=flags)
    released, _, local = name.partition("+")
    flags_of_local = _accelerator(local) if local else None
    if flags_of_local is not None:
        inner = _wish(released, matrix, known)
        return None if inner is None or not inner.names else inner._replace(flags=flags_of_local)
    first, _, rest = name.lower().partition("-")
    flags_of_rest = _accelerator(rest) if rest else None
    backend = first if first in known else _near(first, matrix, known)
    return None if flags_of_rest is None or backend is None else _Meant((backend,), flags=flags_of_rest)


def _versioned(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """The meaning of a release in a form that is no requirement."""
    match = re.fullmatch(_VERSIONED, name)
    if match is None or match["sign"] == "==":
        return None
    written, version = match["name"], match["version"]
    exact = version if version.count(".") + 1 >= _NUMBERS else f"{version}.*"
    backend = written if written in known else _near(written, matrix, known)
    row = next((one for one in matrix.backends.values() if one.short == backend), None)
    if row is not None:
        return _Meant((row.short,), require=(f"{row.framework}=={exact}",))
    requirement = _requirement(written)
    if requirement is None:
        return None
    if requirement.name == KERAS:
        return _Meant(flags={"keras": (f"=={exact}",)})
    return _Meant(dependencies=(f"{requirement.name}=={exact}",)) if match["sign"] else None


def _wish(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """The meaning of a package's name, or of a requirement."""
    requirement = None if name.lower() in known else _requirement(name)
    if requirement is None:
        return None
    framework = _of_framework(name, requirement, matrix)
    if framework is not None:
        return framework
    if requirement.name == KERAS:
        return _Meant(flags={"keras": (str(requirement.specifier),)})
    if requirement.name.endswith(_NIGHTLY):  # it would have the same files as the release
        return None
    if requirement.name not in matrix.known_projects and _near(name, matrix, known) is not None:
        return None
    return _Meant(dependencies=(name,))


def _of_framework(name: str, requirement: Requirement, matrix: CompatibilityMatrix) -> _Meant | None:
    """The meaning of a requirement on a framework or on its distribution; None for other packages."""
    backend = _backend_of(requirement, matrix)
    if backend is not None:
        return _Meant((backend,), require=(name,))
    row = next((one for one in _default(matrix) if requirement.name in matrix.distributions_of(one.framework)), None)
    if row is None:
        return None
    released = (f"{row.framework}{requirement.specifier}",) if requirement.specifier else ()
    return _Meant((row.short,), require=released)


def _environment(name: str, matrix: CompatibilityMatrix, known: Collection[str]) -> _Meant | None:
    """The meaning of the name of an environment that is not locked: `jax-cuda12-py311` is JAX for CUDA 12 on 3.11."""
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
    """The name that the user most likely meant; None if the word is the name of a real project."""
    if name.lower() in matrix.known_projects:
        return None
    others = {other: named for other, named in matrix.other_names.items() if named in known and len(other) > _SHORTEST}
    near = misspelt(name.lower(), [*known, *others])
    return (
        (None if near is None else others.get(near, near))
        or _short_for(name, matrix.short_names)
        or nearest(name, [one for one in matrix.backends if one not in known], _ALIKE)
    )


def _used_with(meant: _Meant, matrix: CompatibilityMatrix) -> list[str]:
    """The backend that packages are used with: that of the framework they belong to, else the first."""
    projects = {parse_requirement(text).name for text in meant.dependencies}
    frameworks = [row.framework for row in matrix.companions if row.project in projects]
    # torchmetrics and jaxtyping are called after theirs
    frameworks += [row.framework for row in _default(matrix) if any(one.startswith(row.framework) for one in projects)]
    found = (_backend_of(parse_requirement(framework), matrix) for framework in frameworks)
    return [next((backend for backend in found if backend is not None), matrix.short_names[0])]


def _short_for(name: str, known: Collection[str]) -> str | None:
    """The one name that this abbreviates, as `tf`: its first letter, and further letters in their order."""
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


def _default(matrix: CompatibilityMatrix) -> list[Backend]:
    return [matrix.backends[name] for name in matrix.default_backends(None)]


def _backend_of(requirement: Requirement, matrix: CompatibilityMatrix) -> str | None:
    """The backend of the default generation whose framework a requirement names."""
    default = matrix.default_backends(None)
    rows = [row for row in matrix.backends.values() if row.framework == requirement.name]
    found = next((row for row in rows if row.name in default), next(iter(rows), None))
    return None if found is None else found.short
