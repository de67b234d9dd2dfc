"""Which Pythons that environments are locked for this machine does not have, and which would do as well."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from kgen import fields, host, lockfiles, project, uvtool
from kgen.errors import KgenError
from kgen.formats.environment import Source
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.solver.accelerator import solvable
from kgen.solver.python import equally_good


class AbsentPython(NamedTuple):
    """A Python that the request does not name, and that this machine does not have.

    Attributes:
        version: the CPython minor.
        environments: those that are locked for it.
        instead: the newest CPython of this machine on which all of them get the same frameworks; None if none is.
        install: the command that installs it.
    """

    version: str
    environments: tuple[str, ...]
    instead: str | None
    install: str


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
        named = tuple(dict.fromkeys(one.environment for one in alike))
        found.append(AbsentPython(version, named, instead, f"{uvtool.typed()} python install {version}"))
    return tuple(found)


def request_of(source: Source) -> EnvironmentRequest | None:
    """What the lock of an environment was made for; None where that cannot be read."""
    if not source.form.is_default:
        return None
    with contextlib.suppress(KgenError, ValueError, KeyError):
        _, data = lockfiles.parse(source.lock, source.content)
        return fields.request_of(data["tool"]["kgen"])._replace(python_open=False)
    return None


def with_another(source: Source) -> str | None:
    """The command that locks an environment anew, for a Python of this machine that gives it the same frameworks.

    Args:
        source: what the environment is made from.

    Returns:
        None where its own Python is here, no such Python is, or what it was made for cannot be read.
    """
    request = request_of(source)
    if request is None or uvtool.has_interpreter(request.python) is not False:
        return None
    with contextlib.suppress(KgenError):
        matrix = origin.current(source.lock.parent)
        if not solvable(matrix, [request], request.python):
            return None
        same = equally_good(matrix, [request], request.python)
        here = next((one for one in same if uvtool.has_interpreter(one)), None)
        index = project.torch_index(source.environment.folder.parent.parent)
        again = request._replace(python=here or request.python)
        return here and f"{fields.lock_command(again, torch_index=index)}   # gives the same frameworks"
    return None
