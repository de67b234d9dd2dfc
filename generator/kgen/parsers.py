"""Parsers of single values in requests: text -> value, or the error.

Settings, flags and locks share them, so that a value means the same everywhere.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from kgen import accelerators
from kgen.accelerators import AUTO, Kind
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model import direct, grammar
from kgen.model import format as formats
from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import OTHER_FRAMEWORKS
from kgen.model.requirement import Requirement, canonical_name, parse_requirement, required_name
from kgen.tables import nearest

CONDA = ("full", "base")
"""The ways to fill a conda environment."""
_GLIBC = r"2\.(?:0|[1-9][0-9]{0,2})"
_MACOS = r"1[0-9](?:\.[0-9]{1,2})?|[2-9][0-9](?:\.[0-9]{1,2})?"
_MOMENT = r"(?s)(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ][0-9].*"
_LABEL = r"(?:(?:cu|cuda|rocm)-?)?(1[0-9]|[0-9])\.?([0-9]{0,2})(?:\.[0-9]+)*"
"""An accelerator's version as labels of builds and downloads spell it: `cu118`, `cuda12`, `rocm6.4`, `12.6.1`."""
_PATCH = r"(?P<minor>[0-9]+\.[0-9]+)\.[0-9]+\S*"
_SECRET = r"://[^/@\s]*:[^/@\s]*@|https?://[^/@\s]*@"  # noqa: S105 - a pattern of one
"""A user alone, as in `ssh://git@host`, is not a secret."""
"""Where a project finds kgen's own flake if it does not say: by its name in Nix's registry, which has no host in it."""
OWN_INDEX = grammar.YES
"""The value of `torch-index` for PyTorch's own index, wherever uv finds it."""
_CHANNEL = r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*|" + grammar.URL
_SUBDIR = r"noarch|(?:emscripten|freebsd|linux|osx|wasi|win|zos)-[a-z0-9]+"
_FLAKE = r"[a-zA-Z][a-zA-Z0-9+._-]*:[!-~]+"


def parse_backend(text: str, matrix: CompatibilityMatrix) -> str:
    """The name of a backend in the matrix.

    Raises:
        ValueError: the matrix has none of this name.
    """
    return text if text in matrix.backends else known(text, matrix.short_names, "backend")


def parse_generation(text: str, matrix: CompatibilityMatrix) -> str:
    """The name of a generation of Keras in the matrix.

    Raises:
        ValueError: the matrix has none of this name.
    """
    return known(text, tuple(matrix.generations), "generation")


def parse_hub(text: str, matrix: CompatibilityMatrix) -> str:
    """The field of a library of models: `cv`, `nlp`.

    Raises:
        ValueError: no generation has such a library.
    """
    hubs = dict.fromkeys(hub for generation in matrix.generations.values() for hub in generation.hubs)
    return known(text, tuple(hubs), "library of models")


_SYSTEMS = {
    "arm64": "darwin",
    "mac": "darwin",
    "macos": "darwin",
    "osx": "darwin",
    "win": "windows",
    "win64": "windows",
    "wsl": "linux",
    "wsl2": "linux",
    "jetson": "aarch64",
    "sbsa": "aarch64",
}
"""What people call a system -> what markers call it."""

_PLATFORMS_OF_OTHERS = {
    "osx-64": "Macs with an Intel processor, for which frameworks no longer publish wheels",
    "win-arm64": "Windows on Arm",
    "win-32": "32-bit Windows",
    "linux-32": "32-bit Linux",
    "linux-ppc64le": "POWER",
}
"""Platforms that conda has a name for and no framework has wheels for today: nothing near is meant by them."""


def parse_platform(text: str, matrix: CompatibilityMatrix) -> str:
    """A platform in the matrix, as a conda subdir.

    Raises:
        ValueError: the matrix has none of this name.
    """
    names = tuple(matrix.platforms)
    if text in names:
        return text
    listed = f"known are {', '.join(names)}"
    other = _PLATFORMS_OF_OTHERS.get(text.lower())
    if other is not None:
        raise ValueError(f"the matrix has no rows for `{shown(text)}`, {other}; {listed}")
    written = _SYSTEMS.get(text.lower(), text.lower())
    called = {name: {one.lower() for one in row.markers.values()} for name, row in matrix.platforms.items()}
    meant = next((name for name in names if written in called[name]), None) or nearest(text, names)
    guess = f"did you mean `{meant}`? K{listed[1:]}" if meant else listed
    raise ValueError(f"unknown platform `{shown(text)}`; {guess}")


def several(text: str, parse: Callable[[str], object]) -> tuple[str, ...]:
    """The values in a text that should be one value, such as `a,b` or `a b`; () if these are not values either.

    Args:
        text: what the user typed, which is not a value.
        parse: parses a value; raises ValueError.
    """
    parts = tuple(filter(None, re.split(r"[\s,;]+", text)))
    try:
        return parts if len(parts) > 1 and all(parse(part) is not None for part in parts) else ()
    except ValueError:
        return ()


def parse_python(text: str, matrix: CompatibilityMatrix) -> str:
    """A CPython minor in the matrix, such as `3.12`.

    Raises:
        ValueError: it is not a minor, or the matrix does not have it.
    """
    known = [row.version for row in matrix.pythons]
    if text in known:
        return text
    patch = re.fullmatch(_PATCH, text)
    if patch is not None and patch["minor"] in known:
        raise ValueError(f"`{shown(text)}` names a patch release; give the minor, `{patch['minor']}`")
    if text.endswith("t") and text[:-1] in known:
        usable = [minor for minor in known if _is_served(minor, matrix)]
        raise ValueError(
            f"`{shown(text)}` is the free-threaded build of Python {text[:-1]}, for which the matrix has no wheels;"
            f" give `{text[:-1] if text[:-1] in usable or not usable else usable[-1]}`"
        )
    meant = [minor for minor in _minors_in(text) if minor in known]
    if len(meant) == 1:
        raise ValueError(f"`{shown(text)}` is not a minor release of Python; did you mean `{meant[0]}`?")
    if meant and not re.search("[<>~!]", text):
        raise ValueError(
            f"`{shown(text)}` names several minors; `{' '.join(f'--python {minor}' for minor in meant)}`, or `pythons`"
            " in the settings, asks for each"
        )
    raise ValueError(f"unknown Python `{shown(text)}`; known are {', '.join(known)}")


def _minors_in(text: str) -> tuple[str, ...]:
    """The minors that a text names in another form: `python3.11`, `cp311`, `==3.11.*` or `3.11,3.12`."""
    found = re.finditer(r"(?<![0-9.])3\.?(?P<minor>[0-9]{1,2})(?![0-9])", text[: grammar.SHOWN])
    return tuple(dict.fromkeys(f"3.{one['minor']}" for one in found))


def _is_served(python: str, matrix: CompatibilityMatrix) -> bool:
    """Whether a Python has a framework that computes on accelerators, and everything that Keras needs."""
    rows = (build for name in matrix.accelerated_frameworks for build in matrix.framework(name).releases[-1].builds)
    needed = (required_name(text) for build in matrix.framework(KERAS).releases[-1].builds for text in build.requires)
    libraries = (library for name in needed if (library := matrix.library(name)) is not None)
    return any(python in build.pythons for build in rows) and all(
        any(python in release.pythons for release in library.releases) for library in libraries
    )


def parse_accelerator(text: str, matrix: CompatibilityMatrix, kind: Kind) -> Accelerator:
    """The value of an accelerator kind's flag: `12`, `12.6`, or `auto` for the kind without a version.

    Raises:
        ValueError: it is not one of these, or the matrix has no such major.
    """
    if not kind.versioned or text == AUTO:
        return Accelerator(kind.name)
    try:
        found = Accelerator.numbered(kind.name, text)
    except ValueError:
        label = re.fullmatch(_LABEL, text)
        how = (
            f"give a major or major.minor such as {kind.example} or {kind.example}.6, or {AUTO}"
            if label is None
            else f"did you mean `{'.'.join(filter(None, label.groups()))}`?"
        )
        raise ValueError(f"`{shown(text)}` is not a version of {kind.title}; {how}") from None
    if matrix.major_of(found) is None:
        majors = ", ".join(map(str, matrix.majors(kind.name))) or "none"
        raise ValueError(f"unknown {kind.title} `{text}`; known are {majors}")
    return found


def parse_installer(text: str) -> str:
    """The name of a form of locks, such as `uv` or `conda`.

    Raises:
        ValueError: kgen has none of this name.
    """
    return known(text, [form.name for form in formats.known()], "installer")


def parse_conda(text: str) -> str:
    """`full` or `base`.

    Raises:
        ValueError: it is neither.
    """
    return known(text, CONDA, "way to fill a conda environment")


_PLACEHOLDERS = frozenset({"defaults", "local", "nodefaults"})
_ABOVE = "https://conda/"
_FOLDER = r"[/~\\]|\.\.?/|[A-Za-z]:[/\\](?!/)"


def parse_channel(text: str) -> str:
    """A conda channel, by name or URL.

    Raises:
        ValueError: it is neither; or it contains credentials, which must not be committed with a lock; or conda
            replaces the name by what each machine is configured with.
    """
    grammar.line(text)
    if text in _PLACEHOLDERS:
        raise ValueError(
            f"`{text}` is not one channel: each machine's conda decides what it means; name the channels themselves,"
            " as `conda config --show default_channels` lists them"
        )
    if re.match(_FOLDER, text):
        raise ValueError(f"`{shown(text)}` is a folder; a lock names a channel by URL, such as file:///srv/channel")
    # a name without a scheme is relative to an address that conda prepends
    below = "" if "://" in text else _ABOVE
    if grammar.has_credentials(below + text):
        hidden = shown(below + text).removeprefix(below)
        raise ValueError(
            f"`{hidden}` holds credentials, which a lock would carry on; name it without them,"
            " and log in with `rattler auth login`, a netrc file or conda's own settings"
        )
    # a trailing slash does not matter to conda; `///` alone is the root of this machine
    named = re.sub(r"(?<=[^/:])/+$", "", text)
    if re.fullmatch(_CHANNEL, named) is None:
        raise ValueError(f"`{shown(text)}` is not a channel such as conda-forge or https://conda.example/main")
    channel, _, subdir = named.rpartition("/")
    if channel and re.fullmatch(_SUBDIR, subdir):
        raise ValueError(f"`{named}` is the folder of one platform in a channel; name the channel: {channel}")
    return named


class CondaName(NamedTuple):
    """The conda name of a project of the Python index.

    Attributes:
        project: the normalised name of the project.
        package: the name of the conda package.
    """

    project: str
    package: str

    def __str__(self) -> str:
        return f"{self.project}={self.package}"


def parse_conda_name(text: str) -> CondaName:
    """A project and its conda package, such as `lmdb=python-lmdb`.

    Raises:
        ValueError: it is not such a pair.
    """
    project, sign, package = grammar.line(text).partition("=")
    if not sign:
        raise ValueError(f"`{shown(text)}` is not a project and its conda package such as lmdb=python-lmdb")
    return CondaName(canonical_name(grammar.project(project)), grammar.conda_package(package))


def parse_flake(text: str) -> str:
    """A flake reference in Nix's syntax: `flake:kgen`, `github:owner/repository`, `path:../kgen`.

    Raises:
        ValueError: it is not one, or contains credentials, which must not be committed with `flake.nix`.
    """
    grammar.line(text)
    if re.search(_SECRET, text):
        raise ValueError(f"`{shown(text)}` holds credentials, which flake.nix would carry on; leave them to Nix or git")
    if re.fullmatch(_FLAKE, text) is None:
        raise ValueError(f"`{shown(text)}` is not a flake such as flake:kgen or git+ssh://host/kgen")
    return text


def parse_requirement_flag(text: str) -> Requirement:
    """A requirement on a package of the index, with its name normalised.

    Raises:
        ValueError: it is not one, or names the place that the package comes from.
    """
    requirement = _requirement(text)
    if requirement.url is not None:
        raise ValueError(
            f"`{shown(requirement.name)}` is wanted from a URL, which only `dependencies` may; name its versions here"
        )
    return requirement


_PLACE = r"(?:[a-z][a-z0-9+.-]*:/|\.{0,2}/|~/)"
"""The start of a URL or of a path."""
_OF_CONDA = (
    rf"(?:(?P<channel>[^\s:]+)::)?(?P<name>{grammar.PROJECT})\s*"
    r"(?:=\s*(?P<version>[0-9][0-9A-Za-z.]*\*?)(?:[=\s].*)?|.*)"
)
"""A package as conda's users write it: `conda-forge::scipy=1.16=py312_0`."""


def parse_dependency(text: str) -> Requirement:
    """A requirement on a package, from the index or from the place that it names, with its name normalised.

    Raises:
        ValueError: it is not one, or names a place that cannot be locked.
    """
    requirement = _requirement(text)
    reference = direct.reference_of(requirement)
    return requirement if reference is None else direct.placed(requirement, reference)


def _requirement(text: str) -> Requirement:
    try:
        return parse_requirement(grammar.line(text))
    except ValueError:
        if text.startswith(("-e", "--editable")):
            raise ValueError(
                f"`{shown(text)}` is not a requirement: `kgen sync` installs the project itself editable, and another"
                " folder as mylib @ ./libs/mylib"
            ) from None
        if re.match(_PLACE, text):
            raise ValueError(
                f"`{shown(text)}` is not a requirement: write the project's name before the place, as"
                f" {f'`{meant}`' if (meant := with_name(text)) else 'NAME @ PLACE'}"
            ) from None
        match = re.fullmatch(_OF_CONDA, text)
        if match is not None and match["channel"]:
            raise ValueError(
                f"`{shown(text)}` names a channel of conda, and a requirement has none: list it in `channels`"
            ) from None
        if match is not None and match["version"]:
            raise ValueError(
                f"`{shown(text)}` is how conda writes it; a requirement says {as_requirement(text)}"
            ) from None
        raise ValueError(f"`{shown(text)}` is not a requirement such as scikit-learn>=1.5") from None


def as_requirement(text: str) -> str | None:
    """A conda spec with a version as a requirement: `scipy==1.16.*` for `scipy=1.16`; None if it is not one."""
    match = re.fullmatch(_OF_CONDA, text)
    if match is None or not match["version"]:
        return None
    return f"{match['name']}=={match['version'].removesuffix('*').rstrip('.')}.*"


def with_name(place: str) -> str | None:
    """A URL or path as a requirement, named after its last part as most projects are; None if it is neither."""
    if not re.match(_PLACE, place):
        return None
    last = re.split("[?#]", place)[0].rstrip("/").rpartition("/")[2]
    name = re.sub(r"(?:\.git)?(?:@.*)?$", "", last)
    if name.endswith((".whl", ".tar.gz", ".zip")):
        name = name.partition("-")[0]
    # with a password left out, or cut, it could not be pasted
    fits = shown(place) == place and re.fullmatch(grammar.PROJECT, name) is not None
    return f"{canonical_name(name)} @ {place}" if fits else None


def parse_extra(text: str) -> str:
    """The normalised name of an extra.

    Raises:
        ValueError: it is not one.
    """
    return canonical_name(_named(text, "an extra"))


def parse_group(text: str) -> str:
    """The normalised name of a dependency group.

    Raises:
        ValueError: it is not one.
    """
    return canonical_name(_named(text, "a dependency group"))


def parse_other_frameworks(text: str) -> str:
    """How to treat frameworks that dependencies bring in: `joint` or `cpu`.

    Raises:
        ValueError: it is neither.
    """
    return known(text, OTHER_FRAMEWORKS, "way to take other frameworks")


def parse_built(text: str) -> str:
    """The normalised name of a project that may be built from source.

    Raises:
        ValueError: it is not one.
    """
    return canonical_name(_named(text, "a project"))


def parse_overlap(text: str) -> str:
    """Two projects whose files may overlap, as `first+second`; normalised and sorted.

    Raises:
        ValueError: it is not such a pair.
    """
    try:
        return "+".join(sorted(map(canonical_name, grammar.pair(text))))
    except ValueError:
        raise ValueError(f"`{shown(text)}` is not a pair of packages such as first+second") from None


def _named(text: str, what: str) -> str:
    try:
        return grammar.project(text)
    except ValueError:
        raise ValueError(f"`{shown(text)}` is not the name of {what}") from None


def parse_requirement_file(text: str) -> str:
    """A requirements file, relative to the project or absolute.

    Raises:
        ValueError: it is not a path; kgen reads such files from disk only.
    """
    if "://" in grammar.line(text) or not text.strip():
        raise ValueError(f"`{shown(text)}` is not a file such as requirements.txt")
    return text


def parse_specifiers(text: str) -> VersionRange:
    """A range of versions, such as `>=3.10`.

    Raises:
        ValueError: it is not one.
    """
    try:
        return VersionRange(grammar.line(text))
    except ValueError:
        pass
    try:
        example = f"=={Version(text)}"
    except InvalidVersion:
        raise ValueError(f"`{shown(text)}` is not a range of versions such as >=3.10,<4") from None
    raise ValueError(f"`{shown(text)}` is not a range of versions; for this version only, write {example}")


def parse_glibc(text: str) -> Version:
    """A version of glibc, such as `2.28`.

    Raises:
        ValueError: it is not one.
    """
    if re.fullmatch(_GLIBC, text) is None:
        raise ValueError(f"`{shown(text)}` is not a version of glibc such as 2.28")
    return Version(text)


def parse_macos(text: str) -> Version:
    """A version of macOS, such as `14` or `13.3`.

    Raises:
        ValueError: it is not one.
    """
    if re.fullmatch(_MACOS, text) is None:
        raise ValueError(f"`{shown(text)}` is not a version of macOS such as 14")
    return Version(text)


def parse_target(text: str) -> str:
    """The name of a target in the settings.

    Raises:
        ValueError: it is not one.
    """
    return grammar.target(text)


def parse_driver(text: str) -> DriverVersion:
    """A driver version for some kind of accelerator, such as `535.183`, `580`, `6.16.6` or the branch `R550`.

    Raises:
        ValueError: it is not one.
    """
    version = text[1:] if re.fullmatch(r"[Rr][0-9.]+", text) else text
    return DriverVersion(_of_some_kind(lambda kind: kind.parse_driver(version)))


def parse_gpu(text: str, matrix: CompatibilityMatrix) -> str:
    """An architecture of some kind of accelerator, such as `8.0`, `sm_80` or `gfx942`; or a GPU that the matrix knows.

    A GPU may be spelled as its driver spells it: `NVIDIA H100 80GB HBM3`, `NVIDIA GeForce RTX 4070 Ti SUPER`.

    Raises:
        ValueError: it is not one.
    """
    known: dict[str, str] = {}
    numbers: dict[str, str] = {}
    architectures = {name: of for row in matrix.accelerators.values() for name, of in row.architectures.items()}
    for name in architectures:
        known["".join(_words_of(name))] = name
        known.setdefault(_model_of(name, _SOLD_AS), name)
        known.setdefault(_model_of(name, _OF_LAPTOPS), name)
        if re.search("[0-9]", name) and not re.fullmatch(_AMBIGUOUS, _model_of(name, _SERIES)):
            numbers.setdefault(_model_of(name, _SERIES), name)
    if not re.search("quadro|tesla", text, re.IGNORECASE):  # Quadro 4000 is no RTX 4000, but ten years older
        known = {**numbers, **known}
    for left_out in ("", _SOLD_AS, rf"{_SOLD_AS}|{_OF_LAPTOPS}"):
        model = _model_of(text, left_out)
        if model in known:
            return architectures[known[model]]
    base, ending = _variant_of(text, known, matrix.gpu_variants)
    sold = {one.lower(): names for one, names in matrix.gpu_variants.items()}
    if base is not None and (base in sold.get(ending, ()) or not sold):
        return architectures[base]
    with contextlib.suppress(ValueError):
        return _of_some_kind(lambda kind: kind.parse_architecture(text.lower()))
    try:
        return _of_some_kind(lambda kind: kind.parse_architecture(text))  # which says what was typed
    except ValueError as error:
        near = [] if base is None else [base, *_variants_named(base, architectures, matrix.gpu_variants)]
        if not near and re.search("[a-zA-Z]{2}", text):
            alike = nearest(text, architectures, _ALIKE)
            near = [] if alike is None else [alike]
        if not near:
            raise
        listed = "`kgen matrix show gpus` lists those that the matrix knows by name"
        raise ValueError(f"{error}; did you mean {' or '.join(f'`{one}`' for one in near)}? {listed}") from None


def _variant_of(text: str, known: Mapping[str, str], variants: Mapping[str, Sequence[str]]) -> tuple[str | None, str]:
    """The GPU whose variant a name is, if it is known, and what the name has behind that: `RTX 4070`, `ti super`."""
    endings = {word for ending in variants or _VARIANTS for word in ending.lower().split(" ")}
    apart = re.sub(rf"(?<=[0-9])(?=(?:{'|'.join(sorted(endings))})\b)", " ", text.lower())  # `4070ti`
    words = [one for one in _words_of(apart) if not re.fullmatch(rf"{_SOLD_AS}|{_OF_LAPTOPS}", one)]
    count = next((at for at, one in enumerate(words[::-1]) if one not in endings), len(words))
    base = "".join(words[: len(words) - count])
    return known.get(base) if count else None, " ".join(words[len(words) - count :])


def _variants_named(name: str, known: Mapping[str, str], variants: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The variants of a GPU by their names, those that the matrix has rows of first."""
    named = [(ending, f"{name} {ending}") for ending in variants]
    yield from (one for _, one in named if one in known)
    yield from (one for ending, one in named if name in variants[ending])


_ALIKE = 0.9
"""Similarity from which a name counts as a misspelling of a GPU's name."""


_SOLD_AS = (
    r"nvidia|geforce|tesla|quadro|amd|instinct|radeon|intel|generation|blackwell|workstation|server|edition|gpu|graphics"
    r"|sxm[0-9]?|pcie|nvl|oam|[0-9]+gi?b|hbm[0-9]e?|grid|[0-9]+[abcq]|mig|[0-9]+g|with|design"
)
"""Words of a GPU's full name, as its driver has it, that do not tell its architecture.

They are maker, line, socket and memory; and what is given of it to a virtual machine, or an instance of it: `GRID
T4-16Q`, `A100-SXM4-40GB MIG 1g.5gb`.
"""

_SERIES = "rtx|gtx"
"""The series, which people omit if the number alone identifies the GPU: `3090`, `A6000`."""

_AMBIGUOUS = "[0-9]000"
"""Numbers that several series use: `4000` may be a Quadro of the Fermi generation, or an RTX of Turing or Ada."""

_OF_LAPTOPS = "laptop|mobile|max|q"
"""The same of a GPU for laptops, which has the architecture of its model."""

_VARIANTS = ("ti", "super", "d")
"""What names end with where the matrix does not say which there are."""


def _words_of(name: str) -> list[str]:
    return re.findall("[a-z0-9]+", name.lower())


def _model_of(name: str, left_out: str) -> str:
    """The name of a GPU without the words that a pattern matches."""
    return "".join(word for word in _words_of(name) if not re.fullmatch(left_out, word))


def _of_some_kind(parse: Callable[[Kind], str]) -> str:
    """The result of the first kind that accepts a text; another field says which kind is requested."""
    said: list[ValueError] = []
    for kind in accelerators.probed():
        try:
            return parse(kind)
        except ValueError as error:
            said.append(error)
    raise said[0]


def parse_torch_index(text: str) -> str:
    """`true`, or the URL of a mirror of PyTorch's own index: of the folder that contains `cpu`, `cu126` and so on.

    Raises:
        ValueError: it is neither, or contains credentials, which must not be committed with settings.
    """
    if text == OWN_INDEX:
        return text
    grammar.line(text)
    if grammar.has_credentials(text):
        raise ValueError(f"`{shown(text)}` holds credentials, which settings would carry on; put them into ~/.netrc")
    if re.fullmatch(grammar.URL, text) is None:
        raise ValueError(f"`{shown(text)}` is neither true nor a URL such as https://mirror.example/whl")
    return text.rstrip("/")


def parse_date(text: str) -> dt.date:
    """A day, such as `2026-11-20`.

    Raises:
        ValueError: it is not one. A time of day is refused, because the matrix knows releases only to the day.
    """
    moment = re.fullmatch(_MOMENT, text)
    if moment is not None:
        raise ValueError(f"`{shown(text)}` is a moment; give the day alone, {moment['day']}")
    try:
        return grammar.day(text)
    except ValueError:
        raise ValueError(f"`{shown(text)}` is not a date such as 2026-11-20") from None


def known(text: str, names: Sequence[str], what: str) -> str:
    """A name that is one of these.

    Raises:
        ValueError: it is not one of them.
    """
    if text in names:
        return text
    near = nearest(text, names)
    guess = f"did you mean `{near}`? Known" if near else "known"
    raise ValueError(f"unknown {what} `{shown(text)}`; {guess} are {', '.join(names)}")


def shown(text: str) -> str:
    """A wrong value in the form that messages show it: printable, shortened, and without secrets in a URL."""
    return grammar.shown(grammar.without_credentials(text))
