"""What somebody meant who typed something else than a backend where backends are asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.requirement import Requirement, parse_requirement
from kgen.tables import nearest

_ALIKE = 0.8
"""How alike a name must be to that of a backend of an older generation, which nobody would type by accident."""


_VERSION = r"[0-9]+(\.[0-9]+)+"
_SHORT = range(2, 4)
"""So many letters has what people write in the place of a long name."""


def hints(name: str, command: str, matrix: CompatibilityMatrix, environments: Collection[str]) -> list[str]:
    """Commands to type instead, or what is known.

    Args:
        name: what was typed.
        command: the command that it was typed behind, as `lock`.
        matrix: the facts.
        environments: the joint environments of the settings.
    """
    known = (*matrix.short_names, *environments)
    parts = [part.strip() for part in name.split(",") if part.strip()]
    if len(parts) > 1 and all(part in known or part in matrix.backends for part in parts):
        return [f"kgen {command} {' '.join(parts)}"]
    listed = f"the backends are {', '.join(matrix.short_names)}"
    if re.fullmatch(_VERSION, name):
        return [f"to ask for a version, name the package: --require {matrix.short_names[0]}=={name}", listed]
    requirement = None if name.lower() in known else _requirement(name)
    backend = None if requirement is None else _backend_of(requirement, matrix)
    if backend is not None:
        return [f"kgen {command} {backend} --require {shlex.quote(name)}"]
    near = (
        nearest(name.lower(), known)
        or _short_for(name, matrix.short_names)
        or nearest(name, list(matrix.backends), _ALIKE)
    )
    if near is not None:
        return [f"did you mean `{near}`?"]
    if requirement is None:
        return [listed]
    return [f"kgen {command} {matrix.short_names[0]} --dependency {shlex.quote(name)}", listed]


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
