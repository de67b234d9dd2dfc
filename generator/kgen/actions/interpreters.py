"""Which Pythons that were chosen for environments this machine does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kgen import host, uvtool
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.solver.python import equally_good


class AbsentPython(NamedTuple):
    """A Python that the request does not name, and that this machine does not have.

    Attributes:
        version: the CPython minor.
        environments: those that are locked for it.
        instead: the newest CPython of this machine on which all of them get the same frameworks; None if none is.
    """

    version: str
    environments: tuple[str, ...]
    instead: str | None


def absent(matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest]) -> tuple[AbsentPython, ...]:
    """The Pythons of environments for this machine that it does not have.

    Args:
        matrix: the facts.
        requests: what was locked; those for other platforms, and those that name their Python, do not count.
    """
    here = [request for request in requests if request.platform == host.subdir() and request.python_open]
    found = []
    for version in dict.fromkeys(request.python for request in here):
        if uvtool.has_interpreter(version) is not False:
            continue
        alike = [request for request in here if request.python == version]
        others = (one for one in equally_good(matrix, alike, version) if one != version)
        instead = next((one for one in others if uvtool.has_interpreter(one)), None)
        found.append(AbsentPython(version, tuple(dict.fromkeys(one.environment for one in alike)), instead))
    return tuple(found)
