"""How to compose rows, as stated in `recipes.toml`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

FOLLOWED = "cuda"
"""The accelerator kind whose facts are read from wheels; for others, recipes state what rows are for."""

Majors = Callable[[str], Iterable[int]]
"""Returns the majors of a kind of accelerator: :meth:`kgen.matrix.compatibility.CompatibilityMatrix.majors`."""

Made = tuple[str, str | bool]
"""An accelerator kind other than that, and its major; true for a kind without versions. In the form of a row."""


class Module(NamedTuple):
    """A module in the wheels that contains what METADATA lacks.

    Attributes:
        path: its path in the wheel.
        cuda: the name with the version of CUDA.
        built: the name that tells whether the wheel is built for CUDA at all; empty if there is none.
        architectures: the name with the GPUs that it has code for; empty if there is none.
        says: how to interpret that, for the source of a row.
    """

    path: str
    cuda: str
    built: str
    architectures: str
    says: str


class Compiled(NamedTuple):
    """A compiled file in one of the wheels that contains what METADATA lacks.

    Attributes:
        distribution: the project whose wheel contains it; `{cuda}` stands for the CUDA major of the build.
        path: its path in the wheel; `{cuda}` as above.
        holds: what is read from it, a key of :data:`kgen.refresh.binaries.HOLDS`.
    """

    distribution: str
    path: str
    holds: str

    def for_major(self, major: str) -> Compiled:
        """The same with the CUDA major of a build."""
        return self._replace(
            distribution=self.distribution.replace("{cuda}", major), path=self.path.replace("{cuda}", major)
        )


class Variant(NamedTuple):
    """One kind of build.

    Attributes:
        install: the distributions with their extras, the framework's own first; `{cuda}` stands for a CUDA major, and
            the name of another kind for one of its majors.
        accelerator: the kind, or `cpu`, if only such wheels count; empty for CUDA and the CPU.
    """

    install: tuple[str, ...]
    accelerator: str

    def for_majors(self, majors: Majors) -> Iterator[tuple[tuple[Requirement, ...], Made | None]]:
        """What it installs, and its accelerator if neither CUDA nor the CPU; once for each major, newest first."""
        other = "" if self.accelerator in {"", "cpu", FOLLOWED} else self.accelerator
        kind = other or FOLLOWED
        if not any(f"{{{kind}}}" in text for text in self.install):
            yield tuple(Requirement(text) for text in self.install), (other, True) if other else None
            return
        for major in sorted(majors(kind), reverse=True):
            install = tuple(Requirement(text.replace(f"{{{kind}}}", str(major))) for text in self.install)
            yield install, (other, str(major)) if other else None


class Recipe(NamedTuple):
    """How to compose the rows of a framework.

    Attributes:
        name: the framework.
        since: older releases are ignored.
        python: the CPython minor whose wheel is read if there is one; else the newest.
        metadata: whether the requirements of its wheels matter.
        module: the module that contains more than METADATA.
        compiled: the file that contains more than both.
        variants: the kinds of builds, in the order of the rows.
        own: the labels of builds that only its own index has; `{cuda}` stands for the digits of a CUDA version, and the
            name of another kind for one of its versions; () if it has no such index.
        beside: the pattern of projects that builds for other kinds than CUDA also need from that index; None if there
            is none.
    """

    name: str
    since: Version
    python: str
    metadata: bool
    module: Module | None
    compiled: Compiled | None
    variants: tuple[Variant, ...]
    own: tuple[str, ...] = ()
    beside: str | None = None

    def distributions(self, majors: Majors) -> tuple[str, ...]:
        """Every project that its rows are composed from, the framework's own first."""
        names = [
            canonicalize_name(requirement.name)
            for variant in self.variants
            for install, _ in variant.for_majors(majors)
            for requirement in install
        ]
        return tuple(dict.fromkeys([self.name, *names]))


@functools.cache
def recipes() -> Mapping[str, Recipe]:
    """The recipes by framework."""
    data = tomli.loads(Path(__file__).with_name("recipes.toml").read_text(encoding="utf-8"))
    found = {}
    for name, row in data.items():
        module = row.get("module")
        found[name] = Recipe(
            name=name,
            since=Version(row["since"]),
            python=row.get("python", ""),
            metadata=row.get("metadata", True),
            module=None
            if module is None
            else Module(
                path=module["path"],
                cuda=module["cuda"],
                built=module.get("built", ""),
                architectures=module.get("architectures", ""),
                says=module.get("says", ""),
            ),
            compiled=None if "compiled" not in row else Compiled(**row["compiled"]),
            variants=tuple(
                Variant(install=tuple(build["install"]), accelerator=build.get("accelerator", ""))
                for build in row["build"]
            ),
            own=tuple(row.get("own", ())),
            beside=row.get("beside"),
        )
    return found
