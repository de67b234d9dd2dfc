"""One function for each language that kgen writes, but for shells: what is quoted here arrives byte for byte.

Knows no template. How shells quote, :mod:`kgen.shells` knows.
"""

from __future__ import annotations

import re

from kgen.model.grammar import printable

_IN_DOCKER = re.compile(r'([\\"$])')
_IN_TCL = re.compile(r'([\\"$\[\]{}])')
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#&!@:])")


def quote_nix(text: str) -> str:
    r"""Quote text as a string literal of Nix, on one line: `${` begins an expression there, and `\$` does not.

    Raises:
        ValueError: `text` holds NUL.
    """
    if "\0" in text:
        raise ValueError(f"no string of Nix can hold NUL: {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"{}"'.format(escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t"))


def quote_docker(text: str) -> str:
    """Quote text as the value of an `ENV` of a Dockerfile, which can hold no line break and no control character.

    Raises:
        ValueError: `text` has one.
    """
    if not text.isprintable():
        raise ValueError(f"no `ENV` of a Dockerfile can hold {text!r}")
    escaped = _IN_DOCKER.sub(r"\\\1", text)
    return f'"{escaped}"'


def quote_apptainer(text: str) -> str:
    """Quote text as a value in `%environment` of a definition file of Apptainer's.

    Raises:
        ValueError: `text` has a control character, as a line may begin a section, or `{{`, which begins an argument.
    """
    if not text.isprintable() or "{{" in text:
        raise ValueError(f"no `%environment` of Apptainer can hold {text!r}")
    return "'{}'".format(text.replace("'", "'\\''"))


def quote_lua(text: str) -> str:
    """Quote text as a string of Lua on one line."""
    for special, written in {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0"}.items():
        text = text.replace(special, written)
    return f'"{text}"'


def quote_tcl(text: str) -> str:
    """Quote text as one word of Tcl on one line."""
    escaped = _IN_TCL.sub(r"\\\1", text).replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def quote_markdown(text: str) -> str:
    """Escape text as words of Markdown on one line, without markup, inside a table or outside."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))


def quote_comment(text: str) -> str:
    """Escape text as printable ASCII on one line, so that no comment ends early."""
    return text.encode("unicode_escape", "backslashreplace").decode("ascii")
