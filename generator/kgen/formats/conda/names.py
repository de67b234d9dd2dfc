"""The conda names of projects of the Python index, and the projects that a conda package contains.

The settings win, then kgen's own rows, then what others have listed for conda-forge, then the channel's own spelling. A
package of the right name is not always the project: `lmdb` of conda-forge is the library in C. A package for Python
needs Python: :func:`is_module`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.requirement import canonical_name

_FOR_PYTHON = ("python", "python_abi", "pypy")
"""The packages of which a package for Python needs one."""

_USUAL = ("python-{}", "py-{}", "py{}", "{}-python", "{}-py")
"""conda-forge's usual names for a Python package whose plain name belongs to another package."""

_VARIANT = re.compile(r"-(?:cu(?:da)?\d+x?|rocm[\d-]*|gpu|cpu|headless|binary|simd)$")
"""The endings of projects of the index that are builds of one library; conda has one package with several builds."""


class Names(NamedTuple):
    """The conda names of projects of the Python index.

    Attributes:
        chosen: the package for each project, from the settings.
        own: the package for each project, from kgen's own rows.
        listed: the package for each project, from others' lists of conda-forge.
        there: the names in the channels by their normalised form; None if the channels were not read.
    """

    chosen: Mapping[str, str]
    own: Mapping[str, str]
    listed: Mapping[str, str]
    there: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, matrix: CompatibilityMatrix, chosen: Iterable[tuple[str, str]] = ()) -> Names:
        """The names that are known without reading a channel."""
        frameworks = {name: one.packages[0] for name, one in matrix.conda.frameworks.items()}
        return cls(dict(chosen), MappingProxyType({**frameworks, **matrix.conda.names}), matrix.conda_names)

    def asked(self, there: Iterable[str]) -> Names:
        """These names, with the names in the channels."""
        found: dict[str, tuple[str, ...]] = {}
        for name in sorted(there):
            key = canonical_name(name)
            found[key] = (*found.get(key, ()), name)
        return self._replace(there=found)

    def is_settled(self, project: str) -> bool:
        """Whether the name of a project is known, so that no channel needs to be read."""
        return project in self.chosen or project in self.own

    def package(self, project: str) -> str:
        """The conda name of a project; its own name if nothing else is known."""
        known = self.chosen.get(project) or self.own.get(project)
        if known is not None:
            return known
        listed = self.listed.get(project, project)
        if self.there is None:
            return listed
        candidates = (listed, project, *self.there.get(project, ()))
        return next((name for name in candidates if self.has(name)), listed)

    def has(self, package: str) -> bool:
        """Whether the channels are known to have a package of this name; false if they were not read."""
        return self.there is not None and package in self.there.get(canonical_name(package), ())

    def others(self, project: str) -> tuple[str, ...]:
        """The packages that may be a project whose plain name is taken or unknown; none is certain."""
        names = [self.listed.get(project, project), *(form.format(project) for form in _USUAL)]
        head = project
        while (shorter := _VARIANT.sub("", head)) != head:
            head = shorter
            names.append(self.own.get(head) or self.listed.get(head, head))
        spelled = (one for name in names for one in (self.there or {}).get(canonical_name(name), ()))
        return tuple(dict.fromkeys(name for name in spelled if name != self.package(project)))

    def projects(self, package: str) -> frozenset[str]:
        """The projects that a package for Python contains, by its name."""
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
    """Whether a package is for Python: it needs Python, or only installs such a package in the same version.

    Args:
        package: the package's name.
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
