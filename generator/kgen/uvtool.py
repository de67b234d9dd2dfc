"""What all uses of uv have in common: where it is, how it is called, and what its failures mean."""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kgen import files, host, limits, logins, process, storage
from kgen.errors import (
    WITH_A_NETWORK,
    FailedProgramError,
    FileError,
    KgenError,
    MissingProgramError,
    OfflineError,
    OutsideError,
    TimedOut,
    UnavailableError,
    UnreachableError,
)

if TYPE_CHECKING:
    import os
    import threading

ENVIRONMENT: Mapping[str, str] = MappingProxyType({"UV_PYTHON_DOWNLOADS": "never"})
"""Additions to uv's environment: interpreters come from the machine, and offline uv would wait for a download."""

PLAIN = ("--color", "never", "--no-progress")

_INTERPRETER = ("--python", sys.executable) if sys.executable else ()

_KNOWN_LABEL = "cpu"
"""A label that every version of uv knows."""

_SECONDS = 60
"""Seconds that uv may take to find an interpreter; it runs each one that it finds."""

_SHOWN = 400
"""Characters of uv's output that messages show: a few lines, not a wall."""


def find() -> str:
    """The uv to use: the one that was installed with kgen, else the first on PATH.

    Raises:
        OutsideError: there is none.
    """
    try:
        from uv import find_uv_bin  # noqa: PLC0415 - the package is only needed here

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        pass
    found = shutil.which("uv")
    if found is None:
        raise MissingProgramError(
            "uv was not found: kgen needs it to close a lock and to install one", hints=["pip install uv"]
        )
    return found


def typed() -> str:
    """How to type the uv that kgen uses: its name if PATH has one, else its path.

    Raises:
        OutsideError: there is none.
    """
    return "uv" if host.has_program("uv") else shlex.quote(find())


def run(
    args: Sequence[str],
    *,
    env: Mapping[str, str] = MappingProxyType({}),
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    cancel: threading.Event | None = None,
    hear: Callable[[str], None] | None = None,
    reads: Iterable[str | os.PathLike[str]] | None = None,
) -> process.Completed:
    """Run uv with :func:`kgen.process.run` and the environment that all of its runs share.

    Its temporary files, such as its locks, are in a folder that is removed at the end: uv leaves them behind when
    killed.
    """
    with storage.scratch() as temporary:
        return process.run(
            args,
            env={**ENVIRONMENT, "TMPDIR": str(temporary), **env},
            stdin=stdin,
            cwd=cwd,
            timeout=timeout,
            cancel=cancel,
            hear=hear,
            reads=reads,
        )


@contextlib.contextmanager
def _answer() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A file for what uv answers, and the words that have it written there.

    Without them uv would write over the `output-file` that it may be configured with, which is the user's.
    """
    with storage.scratch() as folder:
        file = folder / "answer.txt"
        yield file, ("--output-file", str(file))


def indexes(program: str, root: Path) -> tuple[str, ...]:
    """The simple indexes that uv uses for any package, the most important first, with their credentials.

    uv itself reports them, wherever they are configured: variables, `uv.toml`, `pyproject.toml`, its default. Indexes
    that only packages that name them use (`explicit`) are left out.

    Args:
        program: the path of uv.
        root: the folder from which uv looks for its configuration.

    Raises:
        OutsideError: uv cannot be run, or is configured without any index.
    """
    with _answer() as (answer, words_for_it):
        done = run(
            [program, "pip", "compile", "-", "--emit-index-url", "--no-header", *words_for_it, *_INTERPRETER, *PLAIN],
            stdin="",
            cwd=root,
            timeout=_SECONDS,
        )
        if done.status != 0:
            raise failure(words(done.stderr), "matrix refresh")
        said = answer.read_text(encoding="utf-8")
    named: dict[str, list[str]] = {"--extra-index-url": [], "--index-url": []}
    for line in said.splitlines():
        flag, _, url = line.partition(" ")
        if flag in named:
            named[flag].append(url.strip())
    found = [*named["--extra-index-url"], *named["--index-url"]]
    if not found:
        raise UnavailableError(
            "uv is configured for no index, so there is nothing to refresh from", hints=["uv help pip compile"]
        )
    return tuple(found)


def too_late(what: str, usual: float) -> OutsideError:
    """The error about something that took longer than its limit of seconds."""
    return TimedOut(
        f"{what} had not ended after {host.seconds(usual):g} s",
        hints=[f"see whether the index answers; for one that is slow: export KGEN_TIMEOUT={2 * host.seconds(usual):g}"],
    )


def own_indexes(program: str, root: Path, named: str | None) -> Callable[[str, str], str] | None:
    """A function of framework and label that returns the framework's own index with that build; None to use none.

    Args:
        program: the path of uv.
        root: the folder from which uv looks for its configuration.
        named: the URL of a mirror, in which each label has a folder; `true` for the index that uv knows; or None.
    """
    if named is None:
        return None
    if named != "true":
        return lambda _name, label: f"{named}/{label}"
    return functools.cache(functools.partial(own_index, program, root))


def own_base(program: str, root: Path, named: str | None) -> Callable[[str, str], str] | None:
    """Like :func:`own_indexes`, but also for labels that uv does not know yet: folders beside one that it knows."""
    if named != "true":
        return own_indexes(program, root, named)

    @functools.cache
    def base(package: str) -> str:
        return own_index(program, root, package, _KNOWN_LABEL).removesuffix(f"/{_KNOWN_LABEL}")

    return lambda package, label: f"{base(package)}/{label}"


def own_index(program: str, root: Path, package: str, label: str) -> str:
    """The URL where uv looks for builds of a package with a label, such as `cu126`, given that `--torch-backend`.

    uv knows these indexes but has no command that lists them. Its log of a search does, here with the network off and
    an empty cache.

    Args:
        program: the path of uv.
        root: the folder from which uv looks for its configuration.
        package: the framework.
        label: the build's local version label.

    Raises:
        OutsideError: uv knows no such builds, or does not say where they are.
    """
    with storage.scratch() as nothing, _answer() as (_, words_for_it):
        done = run(
            [
                program, "pip", "compile", "-", "--torch-backend", label, "--no-deps", "--offline", "--verbose",
                "--cache-dir", str(nothing), "--no-header", *words_for_it, *_INTERPRETER, *PLAIN,
            ],
            stdin=package,
            cwd=root,
            timeout=_SECONDS,
        )  # fmt: skip
    found = re.search(rf"(https?://\S+)/{re.escape(package)}/", done.stderr)
    if found is None:
        raise FailedProgramError(
            f"uv does not say where the builds of {package} with the label `{label}` are:"
            f" {bounded(words(done.stderr))}",
            hints=['name a mirror: torch-index = "https://…"', "pip install --upgrade uv"],
        )
    return found[1]


_NO_CODE: Mapping[str, str] = MappingProxyType({"PYTHONHOME": "/nonexistent"})
"""What keeps uv from running code of a package: it asks an interpreter with `-I`, which does not heed this, and starts
what builds a package without it. `--no-build` is not heeded for what is editable."""

_RAN_NO_CODE = "The build backend returned an error"
"""What uv says then."""


def requirements_in(
    program: str, path: Path, *, root: Path, reads: Iterable[Path] | None = None, named: Path | None = None
) -> tuple[str, ...]:
    """The requirements in a file of requirements or constraints, as uv understands it: standard text, sorted.

    uv writes them into a project that goes with the call. It asks no index and builds nothing; files that the file
    names (`-r`) are read too, and what it says about indexes and hashes is not a requirement.

    Args:
        program: the path of uv.
        path: the file.
        root: the folder that paths in it are relative to.
        reads: the file and all that it names; None where that is not known.
        named: the file as errors name it, where `path` is a copy of it.

    Raises:
        OutsideError: it is not there, or uv cannot read it.
    """
    import tomli  # noqa: PLC0415 - few projects have such a file

    if not files.is_file(path):
        what = "is a folder, not a file of requirements" if files.is_folder(path) else "is not there"
        if files.exists(path) and not files.is_folder(path):
            what = "is not a regular file, and what it gives could be read once only"
        place = path if files.is_folder(path) else path.parent
        raise FileError(f"{path} {what}", hints=[f"ls -l {shlex.quote(str(place))}"])
    with storage.scratch() as folder:
        project = folder / "pyproject.toml"
        project.write_text('[project]\nname = "kgen-reads-this"\nversion = "0"\n', encoding="utf-8")
        done = run(
            [
                *(program, "add", "--frozen", "--raw", "--no-workspace", "--no-config", "--offline", "--no-build"),
                *("--project", str(folder), "--requirements", str(path), *_INTERPRETER, *PLAIN),
            ],
            env=_NO_CODE,
            cwd=root,
            timeout=_SECONDS,
            reads=None if reads is None else (program, *reads),
        )
        if done.status != 0:
            said = words(done.stderr)
            named = named or path
            hints = [f"edit {files.typed(named)}"]
            if _RAN_NO_CODE in said:
                said = "the name of a folder in it is known only to its code, which kgen does not run while it locks"
            if _CUT_OFF in said.lower():
                hints.append(
                    "write a repository as PACKAGE @ git+URL: its package's name is known without fetching it then"
                )
            raise FailedProgramError(f"{named} cannot be read as requirements: {said}", hints=hints)
        return tuple(tomli.loads(project.read_text(encoding="utf-8"))["project"].get("dependencies", ()))


def lacks_interpreter(reason: str) -> bool:
    """Whether uv's output means that it found no suitable interpreter."""
    return "No interpreter found" in reason or "Failed to inspect Python interpreter" in reason


def python_request(minor: str) -> str:
    """The request to uv for a CPython of this minor with the GIL; for 3.14 uv might take a free-threaded one."""
    return f"cpython@{minor}+gil"


def find_interpreter(program: str, minor: str) -> str | None:
    """A CPython of this minor that uv finds, or else pyenv's; None if there is none.

    Raises:
        OutsideError: uv cannot be started.
    """
    asked = [program, "python", "find", "--system", "--no-project", python_request(minor), *PLAIN]
    done = run(asked, timeout=_SECONDS)
    if done.status == 0:
        return done.stdout.strip()
    return next(map(str, host.pyenv_interpreters(minor)), None)


def has_interpreter(minor: str) -> bool | None:
    """Whether this machine has a CPython of this minor; None if uv cannot be asked."""
    # asking uv takes longer than all the rest, and what is in plain sight needs no asking
    if host.own_interpreter(minor) is not None or host.pyenv_interpreters(minor):
        return True
    try:
        return find_interpreter(find(), minor) is not None
    except KgenError:
        return None


_CHATTER = (
    *("warning:", "hint:", "Using CPython ", "Using Python ", "Resolved ", "Prepared "),
    *("Downloading ", "Downloaded ", "Building ", "Built ", "Updating ", "Updated "),
    *("If the cache and target directories ", "If this is intentional, "),  # the rest of a warning about links
)
"""How lines of uv's begin that say nothing about why it failed."""


def words(stderr: str) -> str:
    """The message in uv's output, without warnings and decoration."""
    kept = []
    for line in stderr.splitlines():
        text = line.strip()
        if not text or text.startswith(_CHATTER):
            continue
        for lead in ("error:", "cause:", "×", "╰─▶", "├─▶", "Caused by:"):
            text = text.removeprefix(lead).strip()
        kept.append(text)
    # how long it tried differs between environments, and would keep the same failure from being said once
    text = re.sub(r"( retries) in \d+(?:\.\d+)?s\b", r"\1", " ".join(kept))
    # what an index has written may hold what steers a terminal
    return "".join(character if character.isprintable() else " " for character in text)


# the answers of a server that wants to know who asks
_LOCKED_OUT = re.compile(r"\b(401|403|unauthorized|forbidden)\b")


_RANGES = re.compile(
    r"one of: (?P<name>[a-z0-9][a-z0-9._-]*)(?P<first>>\S*)(?: (?P=name)[<>]\S*)+ (?P=name)(?P<last>[<>]\S*)"
)
"""At least three ranges of a package, one after the other: what uv makes of a range that leaves releases out."""


def _in_one_range(ranges: re.Match[str]) -> str:
    parts = [ranges["first"].split(",")[0], *(part for part in ranges["last"].split(",") if part.startswith("<"))]
    return f"{ranges['name']}{','.join(parts)} (but for some)"


def bounded(text: str) -> str:
    """The part of uv's output that a message shows."""
    text = _RANGES.sub(_in_one_range, text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


_NOT_CACHED = re.compile(
    r"\b([a-z0-9][a-z0-9._-]*) was not found in the cache"
    # of a pinned requirement with an extra it does not say that the index was not asked
    r"|there is no version of ([a-z0-9][a-z0-9._-]*)\["
)
_CUT_OFF = "network connectivity is disabled"


def not_cached(reason: str) -> tuple[str, ...]:
    """What uv would have to fetch but may not, according to its output, which usually names one project.

    Args:
        reason: uv's output.
    """
    if not host.is_offline():
        return ()
    found = tuple(dict.fromkeys(first or second for first, second in _NOT_CACHED.findall(reason)))
    return found or (("what is asked for",) if _CUT_OFF in reason.lower() else ())


VARIANTS = "wheel variant"
"""uv's name for a wheel variant, where it takes none."""

_VARIANT = re.compile(r"Package `([A-Za-z0-9._-]+)` resolved to a wheel variant")
"""What uv says where its preview takes one: it exports none to `pylock.toml`."""


_NO_THREAD = re.compile(r"resource temporarily unavailable|os error 11\b|executor failed.*operation not permitted")
"""What uv says, in lower case, where the system starts no more threads or processes."""


def failure(reason: str, command: str) -> OutsideError:
    """The error for a failure of uv that is not about versions, with what to do about it.

    Args:
        reason: uv's output.
        command: kgen's command, `lock`, `sync` or `matrix refresh`.
    """
    lowered = reason.lower()
    kind: type[OutsideError] = FailedProgramError
    variant = _VARIANT.search(reason)
    if variant is not None:
        return OutsideError(
            f"uv's preview of wheel variants is on, and takes one of {variant[1]} for one kind of machine: uv writes no"
            " variant into a lock, which is for others too",
            hints=[f"UV_PREVIEW= UV_PREVIEW_FEATURES= kgen {command}   # or out of `uv.toml`: preview"],
        )
    if _NO_THREAD.search(lowered):
        return OutsideError(f"uv failed: {limits.why_no_thread()}", hints=[limits.more_threads()])
    missing = not_cached(reason)
    if missing:
        return OfflineError(
            f"{' and '.join(missing)} is not in uv's cache, and `--offline` keeps uv from fetching it",
            hints=[WITH_A_NETWORK],
        )
    if "failed to initialize cache" in lowered:
        kind = FileError
        hint = "export UV_CACHE_DIR=/tmp/uv-cache   # any folder that you may write to"
    elif _LOCKED_OUT.search(logins.without_urls(lowered)):
        kind = UnreachableError
        hint = f"give uv the credentials of the index (`uv auth login`, or a netrc file), then {command} again"
    elif any(word in lowered for word in ("failed to fetch", "request failed", "dns", "timed out", "connect", "http")):
        kind = UnreachableError
        hint = (
            "check the network and the index that uv is configured for"
            f" (`uv.toml`, UV_DEFAULT_INDEX), then {command} again"
        )
    elif "no space left" in lowered:
        kind = FileError
        reason = f"no space is left on a disk: {reason}"  # which uv says at the end
        other = ", or name a folder on another one with `--envs`" if command == "sync" else ""
        hint = f"free some space on that disk (`df -h` lists them){other}; UV_CACHE_DIR says where uv's cache is"
    else:
        done = {"lock": "uv pip compile", "sync": "uv pip sync"}.get(command, "uv pip compile")
        hint = f"`{done}` says the same outside kgen; fix its configuration or upgrade it: pip install --upgrade uv"
    return kind(f"uv failed: {bounded(reason) or 'it gave no reason'}", hints=[hint])
