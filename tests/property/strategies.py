"""Small matrices and requests: a plain model of them, its TOML text, and hypothesis strategies.

The model knows nothing of kgen's records, so that :mod:`reference` can judge the solver independently. Frameworks are
`alpha` and `beta` (they have CUDA builds), `gamma` (as NumPy: a backend for the CPU that others need) and `keras`.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import tomlkit
from hypothesis import strategies as st
from tests.matrices import cuda_table

T = TypeVar("T")
Mixed = Callable[[Sequence[str]], str]

PYTHONS = ("3.11", "3.12")
PLATFORMS = ("linux-64", "osx-arm64")
DEFAULT_GLIBC = "2.28"
MAJOR_DRIVERS = {11: "450.80", 12: "525.60.13"}
MAJOR_GPUS = {11: ("3.5", "9.0"), 12: ("5.0", "99.0")}
TOOLKIT_DRIVERS = {"11.0": "450.80", "12.0": "525.60.13", "12.1": None, "12.2": "535.54"}
"""Toolkit -> the driver that it came with; None where the matrix does not know."""
RUNTIME_FLOORS = {"11.0": 1, "12.0": 3, "12.2": 5}
"""Toolkit -> the first version of `runtime`, whose name states no CUDA."""
GPUS = ("5.0", "7.0", "7.5", "8.6", "9.0")
DRIVERS = ("440.1", "450", "450.80", "525", "525.60.13", "535.54", "560.1")
GLIBCS = ("2.17", "2.28", "2.31")
UV_GLIBCS = GLIBCS
ACCELERATED = ("alpha", "beta")
DAYS = ("2024-01-01", "2024-02-01", "2024-03-01")
_CHECKED = 'source = "made up"\nchecked = 2024-01-01\n'


@dataclass(frozen=True, order=True)
class V:
    """A version: a number, perhaps the release candidate of it."""

    number: int
    final: bool = True

    def __str__(self) -> str:
        return f"{self.number}" if self.final else f"{self.number}rc1"


@dataclass(frozen=True)
class Range:
    """Comparisons that must all hold."""

    parts: tuple[tuple[str, V], ...]

    def __str__(self) -> str:
        return ",".join(f"{operator}{version}" for operator, version in self.parts)


@dataclass(frozen=True)
class Need:
    package: str
    range: Range
    python: str | None = None
    """The only Python that it is needed on."""

    def __str__(self) -> str:
        marker = f' ; python_version == "{self.python}"' if self.python else ""
        return f"{self.package}{self.range}{marker}"


@dataclass(frozen=True)
class Build:
    cuda: str | None
    pythons: tuple[str, ...]
    platforms: tuple[tuple[str, str], ...]
    requires: tuple[Need, ...]
    adds: tuple[Need, ...] = ()
    sass: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    fails_below: str | None = None


@dataclass(frozen=True)
class Release:
    version: V
    day: str
    doubt: str | None
    """`yanked` or `known-bad`."""
    builds: tuple[Build, ...]


@dataclass(frozen=True)
class LibraryRelease:
    version: V
    day: str
    platforms: tuple[tuple[str, str], ...]
    pythons: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    name: str
    role: str
    cuda: int | None
    releases: tuple[LibraryRelease, ...]


@dataclass(frozen=True)
class CudnnRow:
    cuda: int
    cudnn: Range
    gpus: tuple[str, str]
    driver: str


@dataclass(frozen=True)
class Model:
    frameworks: Mapping[str, tuple[Release, ...]]
    libraries: tuple[Library, ...]
    cudnn: tuple[CudnnRow, ...]
    keras: Mapping[str, Range | None]
    """Backend -> the Keras that has it."""


@dataclass(frozen=True)
class Ask:
    """A request, as :class:`kgen.model.request.EnvironmentRequest` says it."""

    backends: tuple[str, ...]
    cuda: int | None
    minor: int | None
    python: str
    platform: str
    glibc: str | None
    driver: str | None
    gpus: tuple[str, ...]
    keras: Range | None
    requirements: tuple[Need, ...]
    cutoff: str | None


# -- as TOML -----------------------------------------------------------------------------------------------------------


def files(model: Model, shuffle: random.Random | None = None) -> dict[str, str]:
    """The model as matrix files; with `shuffle`, the rows of each file and the files in any order."""

    def mixed(rows: Sequence[str]) -> str:
        found = list(rows)
        if shuffle is not None:
            shuffle.shuffle(found)
        return "\n".join(found)

    found = {f"{name}.toml": _framework(name, releases, mixed) for name, releases in model.frameworks.items()}
    found["backends.toml"] = mixed([_backend(name, wanted) for name, wanted in model.keras.items()])
    found |= {f"libraries/{library.name}.toml": _library(library, mixed) for library in model.libraries}
    found["cudnn.toml"] = mixed([_cudnn(row) for row in model.cudnn])
    found["accelerators.toml"] = tomlkit.dumps(cuda_table([])) + mixed([_major(major) for major in MAJOR_DRIVERS])
    found["toolkits.toml"] = mixed([_toolkit(version) for version in TOOLKIT_DRIVERS])
    found["python.toml"] = mixed(
        [f'[[python]]\nversion = "{python}"\nreleased = 2022-01-01\n{_CHECKED}' for python in PYTHONS]
    )
    found["platforms.toml"] = mixed([_platform(name) for name in PLATFORMS])
    names = list(found)
    if shuffle is not None:
        shuffle.shuffle(names)
    return {name: found[name] for name in names}


def _texts(values: Sequence[object]) -> str:
    return json.dumps([str(value) for value in values])


def _glibcs(platforms: Sequence[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f'{name} = "{glibc}"' for name, glibc in platforms) + " }"


def _framework(name: str, releases: Sequence[Release], mixed: Mixed) -> str:
    rows = []
    for release in releases:
        row = f'[[release]]\nversion = "{release.version}"\nreleased = {release.day}\n'
        if release.doubt is not None:
            row += f'{release.doubt} = "for a reason"\n'
        rows.append(row + mixed([_build(name, release, build) for build in release.builds]))
    return f'[project]\nname = "{name}"\ntitle = "{name.title()}"\n\n{mixed(rows)}'


def _build(name: str, release: Release, build: Build) -> str:
    adds = ", ".join(f'{{ requires = {json.dumps(str(need))}, source = "seen" }}' for need in build.adds)
    lines = ["[[release.build]]"]
    lines += [f'cuda = "{build.cuda}"'] if build.cuda else []
    lines += [
        f"pythons = {_texts(build.pythons)}",
        f"platforms = {_glibcs(build.platforms)}",
        f'install = ["{name}=={release.version}"]',
        f"requires = {_texts(build.requires)}",
        f"adds = [{adds}]",
        f"sass = {_texts(build.sass)}",
        f"ptx = {_texts(build.ptx)}",
    ]
    if build.fails_below is not None:
        lines.append(f'gpu-fails = [{{ gpu = "<{build.fails_below}", reason = "seen", source = "seen" }}]')
    return "\n".join(lines) + "\n" + _CHECKED


def _backend(name: str, keras: Range | None) -> str:
    accelerated = "true" if name in ACCELERATED else "false"
    row = f'[{name}]\nframework = "{name}"\ndefault = true\naccelerated = {accelerated}\n'
    row += f'keras = "{keras}"\n' if keras else ""
    return row + _CHECKED


def _library(library: Library, mixed: Mixed) -> str:
    row = f'role = "{library.role}"\n'
    row += f"cuda = {library.cuda}\n" if library.cuda is not None else ""
    groups = [
        f"[[files]]\nplatforms = {_glibcs(release.platforms)}\npythons = {_texts(release.pythons)}\n"
        f'[files.releases]\n"{release.version}" = {release.day}\n'
        for release in library.releases
    ]
    return row + _CHECKED + mixed(groups)


def _cudnn(row: CudnnRow) -> str:
    return (
        f'[[support]]\ncuda = "{row.cuda}"\ncudnn = "{row.cudnn}"\ngpu = ">={row.gpus[0]},<{row.gpus[1]}"\n'
        f'driver = "{row.driver}"\n{_CHECKED}'
    )


def _major(major: int) -> str:
    first, end = MAJOR_GPUS[major]
    return (
        f'[[cuda.major]]\nversion = "{major}"\ndriver = "{MAJOR_DRIVERS[major]}"\ngpu = ">={first},<{end}"\n{_CHECKED}'
    )


def _toolkit(version: str) -> str:
    driver = TOOLKIT_DRIVERS[version]
    row = f'[[toolkit]]\nversion = "{version}"\n' + (f'driver = "{driver}"\n' if driver else "") + _CHECKED
    if version in RUNTIME_FLOORS:
        row += f'[toolkit.extras]\nruntime = "runtime=={RUNTIME_FLOORS[version]}.*"\n'
    return row


def _platform(name: str) -> str:
    linux = name.startswith("linux")
    row = f'[{name}]\nmachine = "{name}"\nsys-platform = "{name[:5]}"\nplatform-system = "X"\nos-name = "posix"\n'
    row += f'glibc = "{DEFAULT_GLIBC}"\nuv-glibc = {_texts(UV_GLIBCS)}\n' if linux else ""
    return row + f'uv = "{name}"\n{_CHECKED}'


# -- strategies --------------------------------------------------------------------------------------------------------

numbers = st.integers(1, 5)
_OPERATORS = (">=", ">=", "<=", "==", "==", "!=", "<")
_SPREAD: Sequence[tuple[tuple[str, str], ...]] = (
    *[(("linux-64", "2.17"), ("osx-arm64", ""))] * 4,
    (("linux-64", "2.28"),),
    (("linux-64", "2.31"), ("osx-arm64", "")),
    (("linux-64", ""),),
)


class _Dice:
    """Draws a model from a seed: hypothesis would need a second for what this does in a millisecond."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - it makes up test data

    def one(self, values: Sequence[T]) -> T:
        return self._random.choice(values)

    def some(self, values: Sequence[T], least: int, most: int) -> list[T]:
        """Different ones, in their order."""
        chosen = self._random.sample(range(len(values)), self._random.randint(least, min(most, len(values))))
        return [values[position] for position in sorted(chosen)]

    def range(self) -> Range:
        operator = self.one((">=", ">=", ">=", "<=", "<=", "<", "!=", "==", "", ""))
        if not operator:
            return Range(((">=", V(self.one((1, 2, 3)))), ("<", V(self.one((4, 5))))))
        most_loose = {">=": (1, 1, 2, 3), "<=": (3, 4, 5), "<": (4, 5)}
        return Range(((operator, V(self.one(most_loose.get(operator, range(1, 6))))),))

    def pythons(self) -> tuple[str, ...]:
        return self.one((*[PYTHONS] * 6, PYTHONS[:1], PYTHONS[1:]))

    def needs(self, packages: Sequence[str], least: int, most: int, *, markers: bool) -> tuple[Need, ...]:
        return tuple(
            Need(self.one(packages), self.range(), self.one((None, None, None, *PYTHONS)) if markers else None)
            for _ in range(self._random.randint(least, most))
        )

    def cpu_build(self, name: str) -> Build:
        shared = ["plain"] if name in {"gamma", "keras"} else ["plain", "gamma", "keras"]
        return Build(
            cuda=None,
            pythons=self.pythons(),
            platforms=self.one(_SPREAD),
            requires=self.needs(shared, 0, 1, markers=True),
            adds=self.needs(shared, 0, 1, markers=True),
        )

    def cuda_build(self, versions: Sequence[str]) -> Build:
        major = versions[0].split(".")[0]
        own = [f"dnn-cu{major}", f"dnn-cu{major}", f"nccl-cu{major}", "runtime", "keras", "gamma"]
        return Build(
            cuda=self.one(versions),
            pythons=self.pythons(),
            platforms=self.one(_SPREAD),
            requires=self.needs(own, 1, 2, markers=False),
            adds=self.needs(["plain", "gamma", "keras"], 0, 1, markers=True),
            sass=tuple(self.some(("5.0", "7.0", "8.0", "9.0"), 0, 3)),
            ptx=tuple(self.some(("7.0", "9.0"), 0, 1)),
            fails_below=self.one((None, None, None, "7.5")),
        )

    def builds(self, name: str) -> tuple[Build, ...]:
        if name not in ACCELERATED:
            return (self.cpu_build(name),)
        kinds = self.one((("12",), ("12", "cpu"), ("12", "cpu"), ("11", "12"), ("cpu", "11"), ("12", "11", "cpu")))
        toolkits = {"11": ["11.0"], "12": ["12.0", "12.1", "12.2"]}
        return tuple(self.cpu_build(name) if kind == "cpu" else self.cuda_build(toolkits[kind]) for kind in kinds)

    def releases(self, name: str, most: int) -> tuple[Release, ...]:
        found = []
        for position, number in enumerate(self.some(range(1, 6), min(2, most), most)):
            odd = self.one((*[None] * 9, "yanked", "known-bad", "rc"))
            found.append(
                Release(
                    version=V(number, final=odd != "rc"),
                    day=DAYS[min(position, len(DAYS) - 1)],
                    doubt=None if odd == "rc" else odd,
                    builds=self.builds(name),
                )
            )
        return tuple(found)

    def library(self, name: str, role: str, cuda: int | None) -> Library:
        releases = [
            LibraryRelease(
                version=V(number),
                day=DAYS[min(position, len(DAYS) - 1)],
                platforms=self.one(_SPREAD),
                pythons=self.one(((), (), (), PYTHONS, PYTHONS[:1])),
            )
            for position, number in enumerate(self.some(range(1, 6), 3, 5))
        ]
        return Library(name, role, cuda, tuple(releases))

    def cudnn_row(self) -> CudnnRow:
        return CudnnRow(
            cuda=self.one((11, 12, 12)),
            cudnn=self.range(),
            gpus=self.one((("3.5", "9.0"), ("5.0", "99.0"), ("5.0", "99.0"), ("7.5", "99.0"))),
            driver=self.one(("450.80", "525.60.13", "535.54")),
        )


def _model(seed: int, most: int) -> Model:
    dice = _Dice(seed)
    libraries = (
        ("dnn-cu11", "cudnn", 11),
        ("dnn-cu12", "cudnn", 12),
        ("nccl-cu11", "nccl", 11),
        ("nccl-cu12", "nccl", 12),
        ("runtime", "runtime", None),
        ("plain", "plain", None),
    )
    return Model(
        frameworks={name: dice.releases(name, most) for name in ("alpha", "beta", "gamma", "keras")},
        libraries=tuple(dice.library(*library) for library in libraries),
        cudnn=tuple(dice.cudnn_row() for _ in range(dice.one((2, 3, 4)))),
        keras={name: dice.one((None, None, Range(((">=", V(2)),)))) for name in ("alpha", "beta", "gamma")},
    )


models = st.builds(_model, st.integers(0, 2**32), st.sampled_from([4, 3]))
"""Small matrices."""

ranges = st.one_of(
    st.builds(lambda op, n: Range(((op, V(n)),)), st.sampled_from(_OPERATORS), numbers),
    st.builds(lambda low, high: Range(((">=", V(low)), ("<", V(high)))), numbers, numbers),
)


_PACKAGES = ("alpha", "beta", "gamma", "keras", "dnn-cu12", "nccl-cu12", "runtime", "plain")
requirements = st.builds(
    Need,
    st.sampled_from(_PACKAGES),
    st.one_of(ranges, st.builds(lambda n: Range((("==", V(n, final=False)),)), numbers)),
    st.sampled_from([None, None, None, "3.11"]),
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """A request."""
    wishes = {
        "cuda": st.sampled_from([(12, 0), (12, 1), (11, None), (None, None)]),
        "python": st.just("3.11"),
        "platform": st.just("osx-arm64"),
        "glibc": st.sampled_from(GLIBCS),
        "driver": st.sampled_from(DRIVERS),
        "machine": st.tuples(st.sampled_from(DRIVERS), st.sampled_from(GPUS)),
        "gpus": st.lists(st.sampled_from(GPUS), min_size=1, max_size=2, unique=True).map(tuple),
        "keras": ranges,
        "requirements": st.lists(requirements, min_size=1, max_size=2).map(tuple),
        "cutoff": st.sampled_from(DAYS[:2]),
    }
    several = st.lists(st.sampled_from([*wishes, "requirements", "machine", "machine"]), max_size=3, unique=True)
    said = {name: draw(wishes[name], label=name) for name in draw(several, label="wishes")}
    cuda, minor = said.pop("cuda", (12, None))
    if "machine" in said:
        said["driver"], gpu = said.pop("machine")
        said["gpus"] = (gpu,)
    order = draw(st.permutations(["alpha", "beta", "gamma"]))
    plain = Ask(
        backends=tuple(order[: draw(st.sampled_from([1, 2, 2, 3]))]),
        cuda=cuda,
        minor=minor,
        python="3.12",
        platform="linux-64",
        glibc=None,
        driver=None,
        gpus=(),
        keras=None,
        requirements=(),
        cutoff=None,
    )
    found = without(plain, **said)
    return found if found.platform.startswith("linux") else without(found, glibc=None)


def without(ask: Ask, **changes: object) -> Ask:
    """The request with something else in it."""
    return dataclasses.replace(ask, **changes)  # type: ignore[arg-type]
