"""What conda calls projects of the Python index, and which projects a package of conda is.

The settings win, then kgen's own rows, then what others have listed of conda-forge, then the spelling of the channel:
names are passed on as it has them. That a package of the right name is there does not make it the project: `lmdb` of
conda-forge is the library in C. What is for Python needs it: :func:`is_module`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.requirement import canonical_name

_FOR_PYTHON = ("python", "python_abi", "pypy")
"""What a package for Python needs, one of them."""

_USUAL = ("python-{}", "py-{}", "py{}", "{}-python", "{}-py")
"""How conda-forge calls what is for Python where the plain name is that of another package."""

_VARIANT = re.compile(r"-(?:cu(?:da)?\d+x?|rocm[\d-]*|gpu|cpu|headless|binary|simd)$")
"""How projects of the index that are one library in several builds end; conda has one package in several builds."""


class Names(NamedTuple):
    """The names of conda for projects of the index.

    Attributes:
        chosen: project -> package, as the settings say.
        own: project -> package, as kgen's own rows do.
        listed: project -> package, as others list them of conda-forge.
        there: normalised name -> the names of the channels that it is of; None where they were not asked.
    """

    chosen: Mapping[str, str]
    own: Mapping[str, str]
    listed: Mapping[str, str]
    there: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, matrix: CompatibilityMatrix, chosen: Iterable[tuple[str, str]] = ()) -> Names:
        """The names that are known without asking a channel."""
        frameworks = {name: one.packages[0] for name, one in matrix.conda.frameworks.items()}
        return cls(dict(chosen), MappingProxyType({**frameworks, **matrix.conda.names}), matrix.conda_names)

    def asked(self, there: Iterable[str]) -> Names:
        """The same, knowing what names the channels have."""
        found: dict[str, tuple[str, ...]] = {}
        for name in sorted(there):
            key = canonical_name(name)
            found[key] = (*found.get(key, ()), name)
        return self._replace(there=found)

    def is_settled(self, project: str) -> bool:
        """Whether somebody has looked what a project is called, so that no channel needs to be asked."""
        return project in self.chosen or project in self.own

    def package(self, project: str) -> str:
        """What conda calls a project; its own name where nothing is known of it."""
        known = self.chosen.get(project) or self.own.get(project)
        if known is not None:
            return known
        listed = self.listed.get(project, project)
        if self.there is None:
            return listed
        candidates = (listed, project, *self.there.get(project, ()))
        return next((name for name in candidates if self.has(name)), listed)

    def has(self, package: str) -> bool:
        """Whether the channels have a package of this name; of channels that were not asked it is not known."""
        return self.there is not None and package in self.there.get(canonical_name(package), ())

    def others(self, project: str) -> tuple[str, ...]:
        """The packages that may be a project whose plain name is another's, or nobody's; none is certain."""
        names = [self.listed.get(project, project), *(form.format(project) for form in _USUAL)]
        head = project
        while (shorter := _VARIANT.sub("", head)) != head:
            head = shorter
            names.append(self.own.get(head) or self.listed.get(head, head))
        spelled = (one for name in names for one in (self.there or {}).get(canonical_name(name), ()))
        return tuple(dict.fromkeys(name for name in spelled if name != self.package(project)))

    def projects(self, package: str) -> frozenset[str]:
        """The projects that a package for Python is, by what it is called."""
        found = {
            project
            for names in (self.chosen, self.own, self.listed)
            for project, name in names.items()
            if name == package and self._first(project) == package
        }
        plain = canonical_name(package)
        if self._first(plain) in (None, package):
            found.add(plain)
        return frozenset(found)

    def _first(self, project: str) -> str | None:
        return self.chosen.get(project) or self.own.get(project) or self.listed.get(project)


def is_module(package: str, records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a package is for Python: it needs Python, or is one that only brings such a package of its version.

    Args:
        package: its name.
        records: all packages of the environment by name.
    """
    return _is_module(package, records, frozenset())


def _is_module(package: str, records: Mapping[str, Mapping[str, Any]], seen: Collection[str]) -> bool:
    record = records[package]
    needed = set(needs(record))
    if record.get("noarch") == "python" or needed.intersection(_FOR_PYTHON):
        return True
    inner = (name for name in needed & records.keys() if records[name]["version"] == record["version"])
    return any(_is_module(name, records, {*seen, package}) for name in inner if name not in seen)


def needs(record: Mapping[str, Any]) -> Iterator[str]:
    """The names of the packages that a package needs."""
    return (str(spec).split()[0].partition("[")[0] for spec in record.get("depends", ()))
