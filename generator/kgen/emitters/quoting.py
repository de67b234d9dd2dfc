"""One function for each language that kgen writes: what is quoted here arrives byte for byte and runs nothing.

Knows no template and no hook. In shells a newline stays a newline inside the quotes. NUL can be neither in an
environment variable nor in a string of Nix, so each function refuses it.
"""

from __future__ import annotations

import re

from kgen.model.grammar import printable

_IN_DOCKER = re.compile(r'([\\"$])')
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#&!@:])")
# PowerShell takes these for a straight single quote, and two of any of them inside quotes for one literal.
_POWERSHELL_SINGLE_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")


def quote_sh(text: str) -> str:
    """Gives `text` as one word for sh, dash, bash and zsh.

    `shlex.quote` would not do: it leaves `=ls` bare, which zsh replaces by the path of `ls`.

    Raises:
        ValueError: `text` holds NUL.
    """
    escaped = _without_nul(text).replace("'", "'\"'\"'")
    return f"'{escaped}'"


def quote_fish(text: str) -> str:
    r"""Gives `text` as one word for fish, where `\\` and `\'` are the only escapes inside single quotes.

    Raises:
        ValueError: `text` holds NUL.
    """
    escaped = _without_nul(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_powershell(text: str) -> str:
    """Gives `text` as a string literal for PowerShell, every kind of single quote doubled.

    Raises:
        ValueError: `text` holds NUL.
    """
    escaped = _POWERSHELL_SINGLE_QUOTES.sub(r"\1\1", _without_nul(text))
    return f"'{escaped}'"


def quote_nix(text: str) -> str:
    r"""Gives `text` as a string literal of Nix, on one line: `${` begins an expression there, and `\$` does not.

    Raises:
        ValueError: `text` holds NUL.
    """
    if "\0" in text:
        raise ValueError(f"no string of Nix can hold NUL: {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"{}"'.format(escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t"))


def quote_docker(text: str) -> str:
    """Gives `text` as the value of an `ENV` of a Dockerfile, which can hold no line break and no control character.

    Raises:
        ValueError: `text` has one.
    """
    if not text.isprintable():
        raise ValueError(f"no `ENV` of a Dockerfile can hold {text!r}")
    escaped = _IN_DOCKER.sub(r"\\\1", text)
    return f'"{escaped}"'


def quote_markdown(text: str) -> str:
    """Gives `text` as words of Markdown on one line, of which nothing is markup, in a table or out of one."""
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))


def quote_comment(text: str) -> str:
    """Gives `text` as printable ASCII on one line, so that no comment ends before it should."""
    return text.encode("unicode_escape", "backslashreplace").decode("ascii")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"no environment variable can hold NUL: {text!r}")
    return text
