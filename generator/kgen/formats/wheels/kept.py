"""What a pylock holds, as far as another one may keep it."""

from __future__ import annotations

from collections.abc import Mapping

import tomli

from kgen.model import grammar


def shared(ours: bytes, theirs: bytes) -> Mapping[str, str]:
    """What two locks agree on: package -> version.

    Raises:
        ValueError: one of them is not a lock of kgen.
    """
    other = versions_in(theirs)
    return {name: version for name, version in versions_in(ours).items() if other.get(name) == version}


def versions_in(content: bytes) -> dict[str, str]:
    """The versions in a lock, those of the frameworks' parts included.

    Raises:
        ValueError: it is not a lock of kgen.
    """
    try:
        data = tomli.loads(content.decode())
        rows = [
            *data["tool"]["kgen"]["packages"].items(),
            *((one["name"], one["version"]) for one in data["packages"] if "version" in one),
        ]
        return {grammar.project(name): grammar.version(version) for name, version in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a lock of kgen: {error}") from None
