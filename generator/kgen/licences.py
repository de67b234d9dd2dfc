"""What packages declare about their licences -> the text in a lock.

The text is an SPDX expression if that is declared, or if a known spelling stands for one licence only
(`licences.toml`); otherwise it is the publisher's own wording. kgen reads nothing from licence texts.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import tomli

from kgen.model.licence import Declared

_WORDS = 100
"""Characters that are kept of a publisher's own wording; a longer one is a licence's text rather than its name."""

_EXPRESSION = 500
"""The largest length of an SPDX expression; truncated, it would be invalid."""

_PARSING = threading.Lock()
"""CPython 3.11 sometimes fails when two threads parse concurrently, and `packaging` parses with it."""

_NOTHING = frozenset({"", "unknown", "none", "n/a", "see license", "see license file", "license", "license.txt"})
_CLASSIFIER = re.compile(r"License :: (?:OSI Approved(?: :: |$))?")


def name(declared: Declared | None) -> str | None:
    """The licence of a package in one line; None if it declares none.

    License-Expression takes precedence, then License if that is a name, then the classifiers.

    Args:
        declared: the fields of its METADATA; None if they are not available.
    """
    if declared is None:
        return None
    expression = _line(declared.expression)
    if expression:
        return spdx(expression) or _bounded(expression)
    text = _line(declared.text) if "\n" not in declared.text.strip() else ""
    if len(text) <= _WORDS and text.casefold() not in _NOTHING:
        return spdx(text) or text
    names = [_line(_CLASSIFIER.sub("", one, count=1)) for one in declared.classifiers]
    names = [one for one in dict.fromkeys(names) if one]
    if len(names) == 1:
        return spdx(names[0]) or _bounded(names[0])
    # with several, it is unknown whether all of them hold, or any
    return _bounded(", ".join(names)) or None


def spdx(text: str) -> str | None:
    """The SPDX expression that a text is, or that a known spelling stands for; None if it is neither."""
    known = _spellings().get(_key(text))
    if known is not None or not 0 < len(text) <= _EXPRESSION:
        return known
    from packaging.licenses import canonicalize_license_expression  # noqa: PLC0415 - knows hundreds of licences

    try:
        with _PARSING:
            return str(canonicalize_license_expression(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def identifier(text: str) -> str | None:
    """The SPDX identifier that a text is, among those that are known here; None if it is another text."""
    return text if text in _identifiers() else None


@functools.cache
def _spellings() -> Mapping[str, str]:
    data = tomli.loads(Path(__file__).with_name("licences.toml").read_text(encoding="utf-8"))
    return {_key(spelling): one for one, spellings in data.items() for spelling in (one, *spellings)}


@functools.cache
def _identifiers() -> frozenset[str]:
    return frozenset(_spellings().values())


def _key(text: str) -> str:
    """What different spellings of one name have in common."""
    return " ".join(re.sub(r"[^a-z0-9.+]+", " ", text.casefold()).removeprefix("the ").split())


def _line(text: str) -> str:
    """A text on one line, without control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _bounded(text: str) -> str:
    return text if len(text) <= _WORDS else f"{text[: _WORDS - 1].rstrip()}…"
