"""The grammar of names, versions and other single values, each declared once for all places that read it.

A valid value is one printable line of limited length, so that it can be printed, compared and passed on. Code that puts
it into text in another language still has to quote it. Patterns are not compiled: a run that finds its environment
complete needs only two of them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
from collections.abc import Callable

SHOWN = 80
"""Characters of an invalid value that messages show; a file may contain anything."""

YES = "true"
"""The value of an option whose optional value is missing."""
LONGEST_NAME = 64
"""Characters in the name of a joint environment or a backend, before its accelerator."""

LONGEST_LINE = 4096
"""Characters in a text for people."""

NAME = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
"""An environment, a backend, a generation or a target. `nix/` has the same pattern; a test compares them."""

LABEL = r"[a-z0-9]+(?:[.-][a-z0-9]+)*"
"""The local version label of a build on a framework's own index, which is also the name of a folder there."""

ACCELERATOR = r"[a-z]{2,12}(?:[1-9][0-9]{0,2})?"
"""The end of an environment's name; :func:`kgen.accelerators.names` knows which kinds exist."""
CAPABILITY = r"[1-9][0-9]?\.[0-9]"
ARCHITECTURE = rf"(?:{CAPABILITY}|[a-z]{{1,12}}[0-9][a-z0-9]{{0,11}}(?:-[a-z0-9]{{1,8}}){{0,2}})"
"""A target of device code: a compute capability, or a name such as gfx942 or v5e."""
PLATFORM = r"[a-z0-9]+-[a-z0-9]+"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
MODULE = rf"{VARIABLE}(?:\.{VARIABLE})*"
"""A module that Python imports: keras, tensorflow.keras."""
PYTHON = r"[1-9]\.(?:0|[1-9][0-9]{0,2})"
RUNTIME = r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2}))?"
"""The version of an accelerator's runtime: CUDA 12.8, ROCm 7."""
DRIVER = r"[0-9]{3,4}(?:\.[0-9]{1,6}){0,3}|[0-9]{1,2}(?:\.[0-9]{1,6}){1,3}"
PROJECT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
CONDA_PACKAGE = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
VERSION = r"[0-9A-Za-z][0-9A-Za-z.!+_-]*"
CONDA_VERSION = r"[0-9A-Za-z][0-9A-Za-z.!+_~-]*"
SONAME = r"lib[A-Za-z0-9_+-]{1,60}\.so(?:\.[0-9]{1,4}){1,4}"
"""A Linux shared library with its version, by the loader's name."""
DLL = r"[A-Za-z0-9_.+-]{1,80}\.dll"
"""A Windows shared library."""
SHA256 = r"[0-9a-f]{64}"
MD5 = r"[0-9a-f]{32}"
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MOMENT = (
    r"(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2})(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,][0-9]+)?)?)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?)?"
)
"""A day, or a moment in it, in the extended and in the basic form of ISO 8601."""
URL = r"(?:https?|file)://[^\s\"'<>\\#]+"
WHEEL = r"[A-Za-z0-9_.!+-]+\.whl"
SOURCE = r"[A-Za-z0-9_.!+-]+\.(?:tar\.gz|zip)"
CONDA_FILE = r"[A-Za-z0-9_][A-Za-z0-9_.!+~-]*\.(?:conda|tar\.bz2)"
COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
REVISION = r"[A-Za-z0-9_](?:[A-Za-z0-9_+-]|[./](?![./]))*"
"""A git branch, tag or commit, or a folder below another."""
REPOSITORY = r"(?:https?|file|ssh)://[A-Za-z0-9_/~\[][^\s\"'<>\\#]*"
PLACE = r"(?:/|\.\.?/)?[^\s\"'<>\\/-][^\s\"'<>\\]*"
"""A file or a folder, relative to another folder or absolute."""
FILE = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
"""The name of a file in a folder, neither hidden nor a path."""

_LONGEST_ENDING = 29
"""Characters of an accelerator with a three-digit major, a Python, and the suffix of conda environments."""
_LONGEST = 128
_LONGEST_URL = 2048
_LONGEST_FILE = 255
_NUMBER = 18
"""Digits of a number in a version; Python itself refuses to convert thousands of them."""

_LOGIN = r"://[^/@\s]*@"
_SERVED = r"(?i:https?)://\S+"
_TOKEN = r"(?<=[^/]/t/)[^/\s]+"  # noqa: S105 - a pattern of one
"""A conda access token in the path of a URL; the path of a file contains none."""


def printable(text: str) -> str:
    r"""The text with everything escaped that would control a terminal or end a line.

    >>> printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\\nc'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shown(text: str) -> str:
    """An invalid value in the form that messages show it: printable and shortened."""
    return printable(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def has_credentials(url: str) -> bool:
    """Whether a URL contains a name and a password, or a conda token."""
    return without_credentials(url) != url


def without_credentials(text: str) -> str:
    """A text without the secrets in its URLs.

    >>> without_credentials("https://me:secret@conda.example/t/tk-1/main and file:///srv/t/main")
    'https://…@conda.example/t/…/main and file:///srv/t/main'
    """
    text = re.sub(_LOGIN, "://…@", text)
    return re.sub(_SERVED, lambda url: re.sub(_TOKEN, "…", url[0]), text)


def is_line(text: str, longest: int = LONGEST_LINE) -> bool:
    """Whether a text is one printable line of limited length."""
    return len(text) <= longest and text.isprintable()


def python_ending(python: str) -> str:
    """The suffix of an environment's name if there are several Pythons: `-py311` for 3.11."""
    return f"-py{python.replace('.', '')}"


def python_in(environment: str) -> str | None:
    """The Python in an environment's name: 3.11 for `jax-cpu-py311`; None if the name has none."""
    found = re.search("-py([0-9])([0-9]+)$", environment)
    return None if found is None else f"{found[1]}.{found[2]}"


def line(text: str) -> str:
    """One printable line.

    Raises:
        ValueError: it is not one.
    """
    if not is_line(text):
        raise ValueError(f"`{shown(text)}` is not one printable line of at most {LONGEST_LINE} characters")
    return text


def _parser(pattern: str, what: str, longest: int = _LONGEST) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) > longest or re.fullmatch(pattern, text) is None:
            raise ValueError(f"`{shown(text)}` is not {what}")
        return text

    parse.__doc__ = f"""The text, which must be {what}.

    Raises:
        ValueError: it is not.
    """
    return parse


environment = _parser(NAME, "the name of an environment", LONGEST_NAME + _LONGEST_ENDING)
label = _parser(LABEL, "the label of a build such as cu126 or rocm7.1", LONGEST_NAME)
backend = _parser(NAME, "the name of a backend", LONGEST_NAME)
accelerator = _parser(ACCELERATOR, "an accelerator, with a major where it has one")
architecture = _parser(ARCHITECTURE, "an architecture such as 8.0 or gfx942", 32)
target = _parser(NAME, "the name of a target", LONGEST_NAME)
platform = _parser(PLATFORM, "a platform such as linux-64", 32)
variable = _parser(VARIABLE, "the name of an environment variable")
module = _parser(MODULE, "the name of a module")
python = _parser(PYTHON, "a minor of CPython such as 3.12")
runtime = _parser(RUNTIME, "a version of an accelerator's runtime such as 12.8")
driver = _parser(DRIVER, "a driver version such as 535.183 or 580.65.06")
project = _parser(PROJECT, "the name of a package")
conda_package = _parser(CONDA_PACKAGE, "the name of a conda package")
conda_version = _parser(CONDA_VERSION, "a version of a conda package")
soname = _parser(f"{SONAME}|{DLL}", "a soname with its version such as libcudart.so.12 or cudart64_12.dll")
sha256 = _parser(SHA256, "a sha256")
md5 = _parser(MD5, "an md5")
wheel = _parser(WHEEL, "the name of a wheel", _LONGEST_FILE)
source = _parser(SOURCE, "the name of a source distribution", _LONGEST_FILE)
file = _parser(FILE, "the name of a file in a folder", _LONGEST_FILE)
commit = _parser(COMMIT, "the whole name of a commit")
revision = _parser(REVISION, "a branch, a tag or a commit of git")
below = _parser(REVISION, "a folder below another")
repository = _parser(REPOSITORY, "the URL of a git repository", _LONGEST_URL)
place = _parser(PLACE, "the path of a file or a folder", _LONGEST_URL)
url = _parser(URL, "a URL such as https://index.example/files/name.whl", _LONGEST_URL)


def pair(text: str) -> tuple[str, str]:
    """Two packages, as `first+second`.

    Raises:
        ValueError: it is not such a pair.
    """
    first, plus, second = text.partition("+")
    if not plus or project(first) == project(second):
        raise ValueError(f"`{shown(text)}` is not a pair of packages such as first+second")
    return first, second


@functools.lru_cache(maxsize=4096)
def version(text: str) -> str:
    """A PEP 440 version, with numbers of limited length, as text.

    Raises:
        ValueError: it is not one.
    """
    _version_text(text)
    if re.search(rf"[0-9]{{{_NUMBER + 1},}}", text.partition("+")[0]) is not None:
        raise ValueError(f"`{shown(text)}` is not a version")
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - who looks for a name only needs none

    try:
        Version(text)
    except InvalidVersion:
        raise ValueError(f"`{shown(text)}` is not a version") from None
    return text


_version_text = _parser(VERSION, "a version")


def day(text: str) -> dt.date:
    """A day, such as `2026-11-20`.

    Raises:
        ValueError: it is not one.
    """
    if re.fullmatch(DAY, text) is not None:
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            pass
    raise ValueError(f"`{shown(text)}` is not a day such as 2026-11-20")


def moment(text: str) -> dt.datetime:
    """A moment to the second, in UTC; without a zone where the text names none, as a day alone does not.

    Every Python reads the same forms: `fromisoformat` knows few of them before 3.11.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(MOMENT, text)
    if match is not None:
        numbers = {name: int(value) for name, value in match.groupdict("0").items() if value.isdecimal()}
        east = dt.timedelta(hours=numbers["hours"], minutes=numbers["minutes"])
        # datetime knows no leap second, and no year before the first or behind the last
        with contextlib.suppress(ValueError, OverflowError):
            at = dt.time(numbers["hour"], numbers["minute"], min(numbers["second"], 59))
            found = dt.datetime.combine(dt.date(numbers["year"], numbers["month"], numbers["day"]), at)
            if match["zone"] is None:
                return found
            return (found + east if match["sign"] == "-" else found - east).replace(tzinfo=dt.timezone.utc)
    raise ValueError(f"`{shown(text)}` is not a moment such as 2026-11-20T10:00:00Z")
