"""Everything that a user can request, declared once.

:data:`FIELDS` defines settings, flags, the text of locks and how it is read, the reasons of `kgen check`, merging, and
the commands in hints. A field that is added there works everywhere.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from packaging.version import Version

from kgen import accelerators, parsers
from kgen.errors import UsageError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import JOINT, EnvironmentRequest, TargetMachine
from kgen.model.requestfield import RequestField
from kgen.model.requirement import parse_requirement

Raw = str | Sequence[str] | bool | None
"""The value of a flag on the command line; None if it was not given."""


class Shape(enum.Enum):
    """How a field is written."""

    ONE = enum.auto()
    """A value: `--python 3.12`, `python = "3.12"`."""
    MANY = enum.auto()
    """Values: `--gpu 8.0 --gpu 9.0`, `gpu = ["8.0", "9.0"]`."""
    PAIRS = enum.auto()
    """A value by name: `--conda-name lmdb=python-lmdb`, `conda-names = { lmdb = "python-lmdb" }`."""
    YES = enum.auto()
    """Only yes: `--cpu`, `cpu = true`."""
    SWITCH = enum.auto()
    """Yes or no: `--nix`, `--no-nix`, `nix = false`."""
    OPTIONAL = enum.auto()
    """Yes, or a value: `--torch-index`, `--torch-index URL`, `torch-index = true`."""
    DAY = enum.auto()
    """A date: `--exclude-newer 2026-11-20`, `exclude-newer = 2026-11-20`."""


class Scope(enum.Enum):
    """The commands that have a field's flag."""

    REQUEST = enum.auto()
    """The commands that request environments: `solve`, `explain`, `lock`."""
    LOCK = enum.auto()
    """Only `lock`: how locks are written, not what is in them."""
    NONE = enum.auto()
    """The field has no flag."""


class LockEntry(NamedTuple):
    """How a lock stores a field of its request.

    Attributes:
        attribute: the attribute of :class:`EnvironmentRequest`.
        write: turns its value into keys and values of the lock; a key whose value is None is left out.
        read: turns the `[tool.kgen]` table of a lock into the value.
        keys: the keys that it writes -> what they mean; empty if that is what the field requests.
    """

    attribute: str
    write: Callable[[Any], Mapping[str, object]]
    read: Callable[[Mapping[str, Any]], object]
    keys: Mapping[str, str]


class Field(NamedTuple):
    """Something that a user can request.

    Attributes:
        name: the attribute of :class:`kgen.settings.Settings` that holds it.
        help: what it requests, in a few words.
        shape: how it is written.
        parse: turns text into a value, given the matrix; raises ValueError.
        key: its key in the settings; None if it has none.
        flag: its flag; None if it has none.
        metavar: the placeholder of its value in help.
        plural: the field that holds the values if the flag is repeated; None if it takes one value at most.
        short: a one-letter flag, such as `-r`; None if there is none.
        example: a value that a user can type.
        scope: the commands that have the flag.
        distinct: whether a list must be non-empty and free of duplicates.
        initial: its default value.
        lock: how a lock stores it; None if it does not affect what is locked.
        about: its name in causes and changes; None if they are never about it.
        installer: the form of locks that it applies to; None if it applies to all.
    """

    name: str
    help: str
    shape: Shape
    parse: Callable[[str, CompatibilityMatrix], object]
    key: str | None = None
    flag: str | None = None
    metavar: str = ""
    plural: str | None = None
    short: str | None = None
    example: str = ""
    scope: Scope = Scope.REQUEST
    distinct: bool = False
    initial: object = None
    lock: LockEntry | None = None
    about: RequestField | None = None
    installer: str | None = None

    def from_flag(self, raw: Raw, matrix: CompatibilityMatrix) -> object:
        """The value of the flag.

        Raises:
            UsageError: it is not a valid value.
        """
        if isinstance(raw, bool):
            return raw
        texts = [raw] if isinstance(raw, str) else list(raw or ())
        try:
            values = [self.parse(text, matrix) for text in texts]
        except ValueError as error:
            raise UsageError(f"{self.flag}: {self._several(texts, matrix) or error}") from None
        if self.shape is Shape.PAIRS:
            return self.pairs(values)
        if self.shape is Shape.MANY:
            return tuple(dict.fromkeys(values))
        if len(set(texts)) > 1:
            raise UsageError(
                f"`{self.flag}` takes one value, and is given {len(texts)}: {', '.join(map(grammar.shown, texts))}",
                hints=[f"give one of them, such as {shlex.join([str(self.flag), texts[0]])}"],
            )
        return values[-1]

    def _several(self, texts: Iterable[str], matrix: CompatibilityMatrix) -> str | None:
        """The error text if one flag names several values that need a flag each; None if it does not."""
        for text in texts if self.shape is Shape.MANY else ():
            parts = parsers.several(text, lambda part: self.parse(part, matrix))
            if parts:
                words = shlex.join(word for part in parts for word in (str(self.flag), part))
                return f"`{grammar.shown(text)}` names several; `{words}` asks for each"
        return None

    def pairs(self, values: Sequence[Any]) -> tuple[object, ...]:
        """The pairs of a flag, one for each name.

        Raises:
            UsageError: two of them have the same name.
        """
        found: dict[str, Any] = {}
        for pair in values:
            if found.setdefault(pair[0], pair) != pair:
                raise UsageError(
                    f"`{self.flag}` gives {pair[0]} two values: {found[pair[0]][1]} and {pair[1]}",
                    hints=[f"give one of them, such as {shlex.join([str(self.flag), str(pair)])}"],
                )
        return tuple(found.values())

    def typed(self, value: object) -> Iterator[str]:
        """The words of a command line that request a value; none for the default."""
        if (
            self.flag is None
            or value == self.initial
            or value is None
            or (value is False and self.shape is Shape.OPTIONAL)
        ):
            return
        if self.shape is Shape.SWITCH:
            yield self.flag if value else f"--no-{self.flag.removeprefix('--')}"
        elif self.shape is Shape.YES or value is True or (self.shape is Shape.OPTIONAL and value == parsers.OWN_INDEX):
            yield self.flag
        elif isinstance(value, tuple):
            for one in value:
                yield from (self.flag, str(one))
        else:
            yield from (self.flag, str(value))


def _plain(parse: Callable[[str], object]) -> Callable[[str, CompatibilityMatrix], object]:
    """Adapts a parser that needs no matrix."""
    return lambda text, _matrix: parse(text)


def _text(text: str, _matrix: CompatibilityMatrix) -> str:
    return text


def _one(key: str, attribute: str, read: Callable[[str], object], initial: object = None) -> LockEntry:
    """A value that a lock stores as text; an empty value is left out."""
    return LockEntry(
        attribute,
        lambda value: {key: None if value is None else str(value) or None},
        lambda data: read(data[key]) if key in data else initial,
        {key: ""},
    )


def _several(key: str, attribute: str, read: Callable[[str], object], *, ordered: bool = False) -> LockEntry:
    """Values that a lock stores as a list of texts, sorted unless their order matters."""
    return LockEntry(
        attribute,
        lambda values: {key: (list(map(str, values)) if ordered else sorted(map(str, values))) or None},
        lambda data: tuple(map(read, data.get(key, ()))),
        {key: ""},
    )


def _yes(key: str, attribute: str) -> LockEntry:
    """A flag that a lock stores as true, or not at all."""
    return LockEntry(attribute, lambda value: {key: value or None}, lambda data: data.get(key) is True, {key: ""})


def _required(key: str, meaning: str) -> LockEntry:
    """Text that every lock has."""
    return LockEntry(key, lambda value: {key: value}, lambda data: data[key], {key: meaning})


def _write_accelerator(accelerator: Accelerator) -> Mapping[str, object]:
    limit = accelerator.number if accelerator.minor is not None else None
    return {"accelerator": accelerator.name, f"{accelerator.kind}-limit": limit}


def _read_accelerator(data: Mapping[str, Any]) -> Accelerator:
    found = accelerators.named(data["accelerator"])
    limit = data.get(f"{found.kind}-limit")
    return found if limit is None else Accelerator.numbered(found.kind, limit)


_ACCELERATOR = LockEntry(
    "accelerator",
    _write_accelerator,
    _read_accelerator,
    {
        "accelerator": "the accelerator with its major, as in the environment's name",
        **{
            f"{kind.name}-limit": f"the newest {kind.title} that was asked for, with its minor"
            for kind in accelerators.known()
            if kind.versioned
        },
    },
)


def _accelerator_fields() -> Iterator[Field]:
    """A field for each kind of accelerator; together they hold the one accelerator of a request."""
    for position, kind in enumerate(accelerators.known()):
        yield Field(
            name=kind.name,
            help=kind.help,
            shape=Shape.ONE if kind.versioned else Shape.YES,
            parse=functools.partial(parsers.parse_accelerator, kind=kind),
            key=kind.name,
            flag=f"--{kind.name}",
            metavar="V" if kind.versioned else "",
            example=kind.example,
            initial=None if kind.versioned else False,
            lock=_ACCELERATOR if position == 0 else None,
            about=RequestField.ACCELERATOR if position == 0 else None,
        )


FIELDS: tuple[Field, ...] = (
    Field(
        name="backends",
        help="the backends, one environment each; without it those whose frameworks the project requires, or else all",
        shape=Shape.MANY,
        parse=parsers.parse_backend,
        key="backends",
        scope=Scope.NONE,
        distinct=True,
        lock=LockEntry(
            "backends",
            lambda value: {"backends": value},
            lambda data: tuple(data["backends"]),
            {"backends": "the backends that the environment is for, the most important first"},
        ),
    ),
    *_accelerator_fields(),
    Field(
        name="python",
        help="the CPython minor, such as 3.12; repeated, an environment for each",
        shape=Shape.ONE,
        parse=parsers.parse_python,
        key="python",
        flag="--python",
        metavar="V",
        example="3.12",
        plural="pythons",
        lock=_required("python", "the CPython minor"),
        about=RequestField.PYTHON,
    ),
    Field(
        name="pythons",
        help="several CPython minors, an environment for each",
        shape=Shape.MANY,
        parse=parsers.parse_python,
        key="pythons",
        scope=Scope.NONE,
        distinct=True,
        initial=(),
    ),
    Field(
        name="platforms",
        help="linux-64, linux-aarch64, osx-arm64, win-64; repeatable",
        shape=Shape.MANY,
        parse=parsers.parse_platform,
        key="platforms",
        flag="--platform",
        metavar="P",
        example="linux-64",
        distinct=True,
        lock=_required("platform", "the platform, by conda's name"),
        about=RequestField.PLATFORM,
    ),
    Field(
        name="glibc",
        help="the oldest glibc to run on, such as 2.28",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_glibc),
        key="glibc",
        flag="--glibc",
        metavar="V",
        example="2.28",
        lock=_one("glibc", "glibc", Version),
        about=RequestField.GLIBC,
    ),
    Field(
        name="macos",
        help="the oldest macOS to run on, such as 14",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_macos),
        key="macos",
        flag="--macos",
        metavar="V",
        example="14",
        lock=_one("macos", "macos", Version),
    ),
    Field(
        name="driver",
        help="the driver of the target, such as 535.183",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_driver),
        key="driver",
        flag="--driver",
        metavar="V",
        example="535.183",
        lock=_one("driver-asked", "driver", DriverVersion),
        about=RequestField.DRIVER,
    ),
    Field(
        name="gpu",
        help="GPU to serve, by its architecture such as 8.0 or gfx942; repeatable",
        shape=Shape.MANY,
        parse=parsers.parse_gpu,
        key="gpu",
        flag="--gpu",
        metavar="SM",
        example="8.0",
        initial=(),
        lock=_several("gpus", "gpus", grammar.architecture, ordered=True),
        about=RequestField.GPU,
    ),
    Field(
        name="targets",
        help="for this target of the settings; by default for all; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_target),
        flag="--target",
        metavar="NAME",
        example="server",
        initial=(),
        lock=LockEntry(
            "targets",
            lambda machines: {"targets": [one.text for one in machines] or None},
            lambda data: tuple(map(TargetMachine.parse, data.get("targets", ()))),
            {"targets": "the machines of the settings that it serves: driver and GPUs of each"},
        ),
        about=RequestField.TARGET,
    ),
    Field(
        name="keras",
        help="the range of Keras, such as '>=3.10'",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_specifiers),
        key="keras",
        flag="--keras",
        metavar="RANGE",
        example=">=3.10",
        initial=VersionRange(),
        lock=_one("keras", "keras", VersionRange, VersionRange()),
        about=RequestField.KERAS,
    ),
    Field(
        name="require",
        help="a further requirement, such as torch==2.6.0; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_requirement_flag),
        key="require",
        flag="--require",
        metavar="SPEC",
        example="torch==2.6.0",
        initial=(),
        lock=_several("requirements", "requirements", parse_requirement),
        about=RequestField.REQUIREMENT,
    ),
    Field(
        name="dependencies",
        help="installed in every environment; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_dependency),
        key="dependencies",
        flag="--dependency",
        metavar="SPEC",
        example="scikit-learn",
        initial=(),
        lock=_several("dependencies", "dependencies", parse_requirement),
        about=RequestField.DEPENDENCY,
    ),
    Field(
        name="project",
        help="lock what pyproject.toml requires, too (the default)",
        shape=Shape.SWITCH,
        parse=_text,
        key="project",
        flag="--project",
        initial=True,
    ),
    Field(
        name="extras",
        help="an extra of the project's own; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_extra),
        key="extras",
        flag="--extra",
        metavar="EXTRA",
        example="plot",
        distinct=True,
        initial=(),
    ),
    Field(
        name="groups",
        help="a dependency group of the project; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_group),
        key="groups",
        flag="--group",
        metavar="GROUP",
        example="dev",
        distinct=True,
        initial=(),
    ),
    Field(
        name="requirement_files",
        help="a file of requirements, such as requirements.txt; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_requirement_file),
        key="requirements",
        flag="--requirements",
        short="-r",
        metavar="FILE",
        example="requirements.txt",
        distinct=True,
        initial=(),
    ),
    Field(
        name="constraint_files",
        help="a file of constraints, which limit versions and add no packages; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_requirement_file),
        key="constraints",
        flag="--constraints",
        short="-c",
        metavar="FILE",
        example="constraints.txt",
        distinct=True,
        initial=(),
        about=RequestField.CONSTRAINT,
    ),
    Field(
        name="constraints",
        help="what the files of constraints say",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_requirement_flag),
        scope=Scope.NONE,
        initial=(),
        lock=_several("constraints", "constraints", parse_requirement),
    ),
    Field(
        name="project_build",
        help="what builds the project itself",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_requirement_flag),
        scope=Scope.NONE,
        initial=(),
        lock=_several("build-requires", "project_build", parse_requirement),
    ),
    Field(
        name="exclude_newer",
        help="nothing published after this day, as 2026-11-20",
        shape=Shape.DAY,
        parse=_plain(parsers.parse_date),
        key="exclude-newer",
        flag="--exclude-newer",
        metavar="DATE",
        example="2026-11-20",
        lock=_one("exclude-newer", "cutoff", dt.date.fromisoformat),
        about=RequestField.CUTOFF,
    ),
    Field(
        name="uv",
        help="what uv is configured with that shapes a lock",
        shape=Shape.MANY,
        parse=_text,
        scope=Scope.NONE,
        initial=(),
        lock=_several("uv", "uv", str),
    ),
    Field(
        name="other_frameworks",
        help="a framework that a dependency brings in: joint (solved with the others), or cpu (its CPU build)",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_other_frameworks),
        key="other-frameworks",
        flag="--other-frameworks",
        metavar="HOW",
        example="cpu",
        initial=JOINT,
        lock=LockEntry(
            "other_frameworks",
            lambda value: {"other-frameworks": None if value == JOINT else value},
            lambda data: parsers.parse_other_frameworks(data.get("other-frameworks", JOINT)),
            {"other-frameworks": ""},
        ),
        about=RequestField.OTHER_FRAMEWORKS,
    ),
    Field(
        name="allow_overlap",
        help="two packages whose files may overlap, such as first+second; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_overlap),
        key="allow-overlap",
        flag="--allow-overlap",
        metavar="PAIR",
        example="first+second",
        distinct=True,
        initial=(),
        lock=_several("allow-overlap", "allow_overlap", parsers.parse_overlap),
    ),
    Field(
        name="outside_folders",
        help="allow dependencies on folders outside the repository, which others do not have",
        shape=Shape.SWITCH,
        parse=_text,
        key="outside-folders",
        flag="--outside-folders",
        initial=False,
    ),
    Field(
        name="build",
        help="a package that may be built from source where it has no wheel; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_built),
        key="build",
        flag="--build",
        metavar="PKG",
        example="promise",
        scope=Scope.LOCK,
        distinct=True,
        initial=(),
        lock=_several("build-asked", "build", parsers.parse_built),
    ),
    Field(
        name="isolate_config",
        help="Keras's settings in the environment's own folder; data sets and weights stay shared",
        shape=Shape.SWITCH,
        parse=_text,
        key="isolate-config",
        flag="--isolate-config",
        scope=Scope.LOCK,
        initial=False,
        lock=_yes("isolate-config", "isolated"),
    ),
    Field(
        name="torch_index",
        help="also use builds that only PyTorch's own index has; URL of a mirror's folder that holds cu126, cpu, …",
        shape=Shape.OPTIONAL,
        parse=_plain(parsers.parse_torch_index),
        key="torch-index",
        flag="--torch-index",
        metavar="URL",
        example=parsers.OWN_INDEX,
        lock=_yes("torch-index", "own_index"),
        about=RequestField.OWN_INDEX,
    ),
    Field(
        name="generation",
        help="keras3, keras-core or keras2; by default the one that the rest of the request needs",
        shape=Shape.ONE,
        parse=parsers.parse_generation,
        key="generation",
        flag="--generation",
        metavar="G",
        example="keras3",
        about=RequestField.GENERATION,
    ),
    Field(
        name="hubs",
        help="add the library of models that matches: cv, nlp",
        shape=Shape.MANY,
        parse=parsers.parse_hub,
        key="with-hub",
        flag="--with-hub",
        metavar="HUB",
        example="cv",
        distinct=True,
        initial=(),
    ),
    Field(
        name="portable",
        help="locks name files, not index hosts",
        shape=Shape.YES,
        parse=_text,
        key="portable",
        flag="--portable",
        scope=Scope.LOCK,
        initial=False,
    ),
    Field(
        name="installers",
        help="what locks are written for: uv, conda",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_installer),
        key="installers",
        scope=Scope.NONE,
        distinct=True,
        initial=("uv",),
    ),
    Field(
        name="channels",
        help="a conda channel, for --conda; repeatable",
        shape=Shape.MANY,
        parse=_plain(parsers.parse_channel),
        key="channels",
        flag="--channel",
        metavar="URL",
        example="conda-forge",
        scope=Scope.LOCK,
        distinct=True,
        initial=("conda-forge",),
        installer="conda",
    ),
    Field(
        name="conda_names",
        help="what conda calls a project of the index, as lmdb=python-lmdb; repeatable",
        shape=Shape.PAIRS,
        parse=_plain(parsers.parse_conda_name),
        key="conda-names",
        flag="--conda-name",
        metavar="P=C",
        example="lmdb=python-lmdb",
        scope=Scope.LOCK,
        initial=(),
        about=RequestField.CONDA_NAME,
        installer="conda",
    ),
    Field(
        name="conda",
        help="what is in a conda environment: full for all of it, base for Python alone",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_conda),
        key="conda",
        scope=Scope.NONE,
        initial="full",
        installer="conda",
    ),
    Field(
        name="nix",
        help="write a flake.nix where there is none (the default)",
        shape=Shape.SWITCH,
        parse=_text,
        key="nix",
        flag="--nix",
        scope=Scope.LOCK,
    ),
    Field(
        name="flake",
        help="where that flake.nix finds kgen's own, such as flake:kgen",
        shape=Shape.ONE,
        parse=_plain(parsers.parse_flake),
        key="flake",
        flag="--flake",
        metavar="URL",
        example="flake:kgen",
        scope=Scope.LOCK,
    ),
)
"""Every field, in the order in which locks and the documentation have them."""

BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}

BY_ABOUT: Mapping[RequestField, Field] = {field.about: field for field in FIELDS if field.about is not None}
"""The fields by their name in causes and changes."""

TOGETHER = "--together"
"""The flag that puts several backends into one environment and names it."""

LOCKED: tuple[tuple[Field, LockEntry], ...] = tuple((field, field.lock) for field in FIELDS if field.lock is not None)
"""The fields that affect what is locked."""


MACHINE: tuple[Field, ...] = tuple(BY_NAME[name] for name in ("platforms", "glibc", "macos", "driver", "gpu"))
"""The fields that describe a machine, besides its accelerator."""


def flags_of(scope: Scope) -> tuple[Field, ...]:
    """The fields whose flags the commands of a scope have; commands that lock also have those of a request."""
    scopes = {Scope.REQUEST, scope}
    return tuple(field for field in FIELDS if field.flag is not None and field.scope in scopes)


# -- locks -------------------------------------------------------------------------------------------------------------


def lock_data(request: EnvironmentRequest) -> dict[str, object]:
    """What a lock records of its request: key -> value, without empty values."""
    found: dict[str, object] = {"environment": request.environment}
    for _, entry in LOCKED:
        found |= entry.write(getattr(request, entry.attribute))
    return {key: value for key, value in found.items() if value is not None}


def request_of(data: Mapping[str, Any]) -> EnvironmentRequest:
    """The request that a lock records.

    Args:
        data: its `[tool.kgen]` table.

    Raises:
        ValueError: the data is not a request.
    """
    try:
        values: dict[str, Any] = {entry.attribute: entry.read(data) for _, entry in LOCKED}
        ending = grammar.python_ending(data["python"])
        named = data["environment"].endswith(ending)
        name = data["environment"].removesuffix(ending).removesuffix(f"-{data['accelerator']}")
        return EnvironmentRequest(name=name, python_named=named, **values)
    except UsageError as error:
        raise ValueError(error.message) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{error} in [tool.kgen]") from None


def from_text(texts: Mapping[str, str]) -> dict[str, object]:
    """What stands in a lock where each value is one text, as a pylock has it."""
    many = {
        key for field, entry in LOCKED if field.shape is Shape.MANY and field.initial == () for key in entry.write(())
    }
    return {key: text.split(", ") if key in many else _plain_value(text) for key, text in texts.items()}


def _plain_value(text: str) -> object:
    return True if text == str(True) else text


def differing(one: EnvironmentRequest, other: EnvironmentRequest) -> tuple[str, ...]:
    """The settings keys of what two requests ask differently.

    Values that a lock stores in the same way count as equal: for example, the order of dependencies does not matter.
    """
    return tuple(
        field.key or field.name
        for field, entry in LOCKED
        if entry.write(getattr(one, entry.attribute)) != entry.write(getattr(other, entry.attribute))
    )


# -- command lines -----------------------------------------------------------------------------------------------------


ACCELERATORS: tuple[Field, ...] = tuple(BY_NAME[kind.name] for kind in accelerators.known())
"""The fields that name an accelerator; a request sets one of them."""


def accelerators_in(values: Mapping[str, object]) -> dict[str, Accelerator]:
    """Field name -> accelerator, for the accelerator fields that are set.

    Args:
        values: field name -> its value.
    """
    found = {field.name: values.get(field.name) for field in ACCELERATORS}
    return {
        name: value if isinstance(value, Accelerator) else Accelerator(name)
        for name, value in found.items()
        if value not in (None, False)
    }


def accelerator_words(accelerator: Accelerator) -> tuple[str, ...]:
    """The words of a command line that request an accelerator."""
    field = BY_NAME[accelerator.kind]
    return (
        (str(field.flag),) if field.shape is Shape.YES else (str(field.flag), accelerator.number or accelerators.AUTO)
    )


def words_of(*requests: EnvironmentRequest, scope: Scope = Scope.LOCK, **form: object) -> Iterator[str]:
    """The words of a command line that request the same again, without the command.

    Args:
        requests: one request; or several that differ only in their backends and in what concerns these alone.
        scope: the scope of the command: flags that it does not have are left out.
        form: values of fields that are not part of a request, such as `portable=True`, or that say more than it does,
            such as the URL of a mirror in `torch_index`; and `installers`, the requested forms of locks.
    """
    first = requests[0]
    yield from (backend for request in requests for backend in request.backends)
    if first.joint:
        yield from (TOGETHER, first.name)
    yield from accelerator_words(next((one.accelerator for one in requests if one.accelerator != CPU), CPU))
    flags = {field.name for field in flags_of(scope)}
    for field, entry in LOCKED:
        if field.name in flags and entry.attribute != "accelerator":
            values = [getattr(request, entry.attribute) for request in requests]
            value = _united(values) if isinstance(values[0], tuple) else values[0]
            yield from field.typed((form.get(field.name) or value) if value else value)
    known = {field.name for field, _ in LOCKED}
    for name, value in form.items():
        if name == "installers":
            yield from (one.flag for one in value if not one.is_default)  # type: ignore[attr-defined]
        elif name not in known and name in flags:
            yield from BY_NAME[name].typed(value)


def _united(several: Sequence[tuple[object, ...]]) -> tuple[object, ...]:
    return tuple(dict.fromkeys(value for values in several for value in values))


def allow_build_command(names: Iterable[str]) -> str:
    """The command that makes the settings allow packages to be built from source."""
    flag = str(BY_NAME["build"].flag)
    return shlex.join(["kgen", "add", *(word for name in names for word in (flag, name))])


def solve_command(*requests: EnvironmentRequest, **form: object) -> str:
    """The command that solves requests, for all that :func:`words_of` takes."""
    return shlex.join(["kgen", "solve", *words_of(*requests, scope=Scope.REQUEST, **form)])


def lock_command(*requests: EnvironmentRequest, **form: object) -> str:
    """The command that locks requests, for all that :func:`words_of` takes."""
    return shlex.join(["kgen", "lock", *words_of(*requests, scope=Scope.LOCK, **form)])
