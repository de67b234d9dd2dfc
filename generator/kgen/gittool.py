"""kgen's calls of git."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import files, host, process, storage
from kgen.errors import (
    WITH_A_NETWORK,
    FailedProgramError,
    MissingProgramError,
    OfflineError,
    OutsideError,
    UnavailableError,
    UnreachableError,
)
from kgen.files import typed, unwritable
from kgen.model import grammar
from kgen.model.grammar import shown

_HEADS = "GITHEAD_"
_CACHED = 32
"""Characters in the name of a cached repository."""

_SUBMODULE = "160000"
"""The mode of a submodule in a tree."""

_PARTS = 200
"""The largest number of repositories that one may consist of; a submodule may contain itself."""

_PATIENCE = 600.0
"""Seconds that git may take to fetch."""

_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "LC_ALL": "C"}


def is_repository(folder: Path) -> bool:
    """Whether this folder is in a repository, and git is installed.

    Raises:
        OutsideError: git is installed but cannot be executed.
    """
    try:
        return _run(folder, "rev-parse", "--git-dir").status == 0
    except OutsideError:
        return False


def has_revision(folder: Path, revision: str) -> bool:
    """Whether this is a commit."""
    return _run(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").status == 0


def has_commits(folder: Path) -> bool:
    """Whether there is any commit, on any branch."""
    return bool(_run(folder, "rev-list", "--all", "--max-count=1").stdout)


def files_below(folder: Path, revision: str, below: str) -> tuple[Path, ...]:
    """The files below a folder in a revision, relative to the folder of the call."""
    listed = _run(folder, "ls-tree", "-rz", "--name-only", revision, f"{below}/").stdout
    return tuple(Path(name) for name in listed.split("\0") if name)


def all_files(folder: Path, revision: str) -> tuple[Path, ...]:
    """All files in a revision, relative to the top of the repository."""
    listed = _run(folder, "ls-tree", "-rz", "--full-tree", "--name-only", revision).stdout
    return tuple(Path(name) for name in listed.split("\0") if name)


def file_of(repository: Path, revision: str, path: str) -> bytes | None:
    """A file in a revision, by its path from the top of the repository; None if it does not exist."""
    done = _run(repository, "cat-file", "blob", f"{revision}:{path}")
    return done.stdout.encode() if done.status == 0 else None


def content(folder: Path, revision: str, path: Path) -> bytes | None:
    """A file in a revision, or in a stage of the index (`:2`); None if it does not exist."""
    done = _run(folder, "show", f"{revision}:./{path.as_posix()}")
    return done.stdout.encode() if done.status == 0 else None


def blobs(folder: Path, revision: str, below: str) -> dict[Path, str]:
    """The files below a folder in a revision, relative to the folder of the call, each with the name of its blob."""
    listed = _run(folder, "ls-tree", "-rz", revision, f"{below}/").stdout
    rows = (row.partition("\t") for row in listed.split("\0") if row)
    return {Path(name): facts.split()[2] for facts, _, name in rows}


def contents(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of blobs by name, from one git process if possible; without those that do not exist."""
    found: dict[str, bytes] = {}
    if not names:
        return found
    done = process.run(("git", "cat-file", "--batch"), cwd=folder, stdin="".join(f"{name}\n" for name in names))
    left = done.stdout.encode()
    for name in names:
        head, _, left = left.partition(b"\n")
        facts = head.split()
        if facts[-1:] == [b"missing"]:
            continue
        size = int(facts[2]) if len(facts) == len(("name", "kind", "size")) and facts[2].isdigit() else -1
        if size < 0 or left[size : size + 1] != b"\n":
            break  # an earlier blob was not UTF-8, so its decoded length is not what git says
        found[name], left = left[:size], left[size + 1 :]
    for name in names:
        if name not in found:
            one = _run(folder, "cat-file", "blob", name)
            if one.status == 0:
                found[name] = one.stdout.encode()
    return found


def sides(folder: Path, path: Path) -> tuple[bytes, bytes] | None:
    """Both sides of a file with a merge conflict; None if git has none."""
    ours, theirs = content(folder, ":2", path), content(folder, ":3", path)
    return None if ours is None or theirs is None else (ours, theirs)


def beside(folder: Path, path: Path, ours: bytes, theirs: bytes, other: Path) -> tuple[bytes, bytes] | None:
    """Both sides of another file, while git merges one; None where git does not say what it merges.

    Args:
        folder: where paths begin.
        path: the file that is merged.
        ours: what our side has in it.
        theirs: what their side has in it.
        other: the other file.
    """
    # `git merge` names what it merges in variables `GITHEAD_<commit>`, the others in files of these names
    named = [name.removeprefix(_HEADS) for name in host.variables() if name.startswith(_HEADS)]
    for revision in (*named, "MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD", "REVERT_HEAD"):
        if content(folder, "HEAD", path) == ours and content(folder, revision, path) == theirs:
            found = content(folder, "HEAD", other), content(folder, revision, other)
            return None if found[0] is None or found[1] is None else (found[0], found[1])
    return None


def commit_of(url: str, revision: str | None) -> str | None:
    """The commit of a branch, a tag or the default branch of a repository; None if it does not exist.

    Args:
        url: the repository.
        revision: the branch or tag; None for the default branch.

    Raises:
        OutsideError: the repository cannot be queried.
    """
    asked = ("HEAD",) if revision is None else (f"refs/heads/{revision}", f"refs/tags/{revision}", revision)
    done = _over_network("ls-remote", "--", url, *asked, *(f"{one}^{{}}" for one in asked[1:2]))
    if done.status != 0:
        raise _unreachable(url, done)
    rows = (line.partition("\t") for line in done.stdout.splitlines())
    found = {name: commit for commit, _, name in rows}
    # an annotated tag is an object of its own; `^{}` is the commit that it names
    return next((found[name] for one in asked for name in (f"{one}^{{}}", one) if name in found), None)


def fetched(url: str, commit: str, cache: Path, *, offline: bool) -> Path:
    """A local bare repository that contains a commit.

    Args:
        url: the repository with the commit.
        commit: its full name.
        cache: the folder of such repositories.
        offline: whether nothing may be fetched.

    Raises:
        OutsideError: the commit is missing and cannot be fetched.
    """
    repository = cache / hashlib.sha256(url.encode()).hexdigest()[:_CACHED]
    try:
        repository.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(repository, error, what="cannot be created") from error
    with storage.exclusive(repository, who="kgen", wait=lambda: None):
        if not files.is_file(repository / "HEAD"):
            _run(repository, "init", "--quiet", "--bare")
        if has_revision(repository, commit):
            return repository
        if offline:
            raise OfflineError(
                f"commit {commit[:12]} of {url} is not on this machine, and `--offline` keeps git from fetching it",
                hints=[WITH_A_NETWORK],
            )
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        done = _over_network("fetch", "--quiet", "--force", "--", url, *refs, folder=repository)
        if done.status == 0 and not has_revision(repository, commit):
            # it may be on no branch any more; many servers send it to a client that knows its name
            done = _over_network("fetch", "--quiet", "--", url, commit, folder=repository)
            if done.status != 0:
                raise UnavailableError(
                    f"{url} has no commit {commit}: {_said(done)}",
                    hints=["ask for a branch, a tag or a commit that it has, then lock again"],
                )
        if done.status != 0:
            raise _unreachable(url, done)
    return repository


class Part(NamedTuple):
    """A repository, or a submodule in it, on this machine.

    Attributes:
        path: its path in the whole; empty for the repository itself.
        repository: the bare repository that contains the commit.
        commit: the commit; for a submodule, the one that the surrounding commit names.
    """

    path: str
    repository: Path
    commit: str

    def inside(self, path: str) -> str | None:
        """A path in the whole, relative to the top of this part; None if it is not in this part."""
        if not self.path:
            return path
        return path.removeprefix(f"{self.path}/") if path.startswith(f"{self.path}/") else None


def parts(url: str, commit: str, cache: Path, *, offline: bool) -> tuple[Part, ...]:
    """A commit with its submodules, and theirs, each before those inside it.

    The surrounding commit names the commits of its submodules, so its own name determines everything.

    Args:
        url: the repository with the commit.
        commit: its full name.
        cache: the folder of repositories.
        offline: whether nothing may be fetched.

    Raises:
        OutsideError: something is missing and cannot be fetched.
        ValueError: git would not fetch a submodule from its place.
    """
    found: list[Part] = []
    waiting = [("", url, commit)]
    while waiting:
        path, place, named = waiting.pop(0)
        if len(found) == _PARTS:
            raise ValueError(f"has more than {_PARTS} submodules")
        repository = fetched(place, named, cache, offline=offline)
        found.append(Part(path, repository, named))
        for inside, where, of in _submodules(repository, named, place):
            waiting.append((f"{path}/{inside}".removeprefix("/"), where, of))
    return tuple(found)


def _submodules(repository: Path, commit: str, url: str) -> Iterator[tuple[str, str, str]]:
    """The submodules of a commit: path, URL and commit of each."""
    listed = _run(repository, "ls-tree", "-rz", "--full-tree", commit).stdout
    rows = [(facts.split(), path) for facts, _, path in (row.partition("\t") for row in listed.split("\0") if row)]
    links = {path: facts[2] for facts, path in rows if facts[0] == _SUBMODULE}
    if not links:
        return
    words = ("config", "--blob", f"{commit}:.gitmodules", "--null", "--get-regexp", r"^submodule\..*\.(path|url)$")
    said: dict[str, dict[str, str]] = {}
    for entry in _run(repository, *words).stdout.split("\0"):
        key, _, value = entry.partition("\n")
        name, _, what = key.rpartition(".")
        said.setdefault(name, {})[what] = value
    places = {one["path"]: one["url"] for one in said.values() if {"path", "url"} <= one.keys()}
    for path, named in links.items():
        if path not in places:
            raise ValueError(f"has a submodule `{path}`, and no URL of it in .gitmodules")
        yield path, _absolute(places[path], url, path), named


def _absolute(place: str, url: str, path: str) -> str:
    """The URL of a submodule, which may be relative to that of the surrounding repository."""
    if place.startswith(("./", "../")):
        scheme, _, rest = url.rstrip("/").partition("://")
        host_name, _, folder = rest.partition("/")
        joined = posixpath.normpath(posixpath.join("/", folder, place))
        place = f"{scheme}://{host_name}{joined}"
    local = place.startswith("file:") and not url.startswith("file:")
    if re.fullmatch(grammar.REPOSITORY, place) is None or local:
        raise ValueError(
            f"has a submodule `{path}` from `{place}`, which is not a URL of a git repository that kgen locks"
        )
    return place


def check_out(repository: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit to a new folder, which is a repository too, because tools query it for the version.

    Raises:
        OutsideError: git failed.
    """
    done = _run(repository, "clone", "--quiet", "--shared", "--no-checkout", "--", str(repository), str(folder))
    if done.status == 0:
        done = _run(folder, "checkout", "--quiet", "--detach", commit)
    if done.status != 0:
        raise FailedProgramError(
            f"git cannot check out {commit[:12]}: {_said(done)}", hints=[f"ls -ld {typed(repository)}"]
        )


def require(what: str) -> None:
    """Check that git is installed.

    Args:
        what: what it is needed for, in words.

    Raises:
        OutsideError: it is not.
    """
    if shutil.which("git") is None:
        raise MissingProgramError(
            f"{what}, and there is no git on this machine", hints=["install git; kgen looks for it on PATH"]
        )


def _over_network(*arguments: str, folder: Path | None = None) -> process.Completed:
    """Run git where it may query a server: without prompts, and without helpers that a URL names."""
    words = ("git", "-c", "protocol.ext.allow=never", *arguments)
    return process.run(words, cwd=folder, env=_QUIET, timeout=host.seconds(_PATIENCE))


def _unreachable(url: str, done: process.Completed) -> OutsideError:
    return UnreachableError(
        f"git cannot read {url}: {_said(done)}",
        hints=[f"git ls-remote {shlex.quote(url)}   # says the same; check the network and your access"],
    )


def _said(done: process.Completed) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "no reason")
    return shown(said.partition(": ")[2] or said)


def configure(folder: Path, key: str, value: str) -> None:
    """Set a value in the repository's own configuration.

    Raises:
        OutsideError: git could not.
    """
    done = _run(folder, "config", key, value)
    if done.status != 0:
        raise FailedProgramError(f"git cannot set `{key}`: {done.stderr.strip()}", hints=[f"git config {key}"])


def mark_conflict(folder: Path, ours: Path, base: Path, theirs: Path) -> None:
    """Merge two files line by line into the first, with markers where they differ, as git does by itself."""
    _run(folder, "merge-file", "-L", "ours", "-L", "base", "-L", "theirs", *map(str, (ours, base, theirs)))


def _run(folder: Path, *arguments: str) -> process.Completed:
    words: Sequence[str] = ("git", *arguments)
    return process.run(words, cwd=folder)
