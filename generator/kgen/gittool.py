"""What kgen asks git, and how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen import host, process
from kgen.errors import OutsideError

_HEADS = "GITHEAD_"


def is_repository(folder: Path) -> bool:
    """Whether this folder is in a repository, and there is a git to ask.

    Raises:
        OutsideError: git is there and cannot be executed.
    """
    try:
        return _run(folder, "rev-parse", "--git-dir").status == 0
    except OutsideError:
        return False


def has_revision(folder: Path, revision: str) -> bool:
    """Whether this names a commit."""
    return _run(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").status == 0


def files(folder: Path, revision: str, below: str) -> tuple[Path, ...]:
    """The files below a folder in a revision, relative to where it is asked from."""
    listed = _run(folder, "ls-tree", "-rz", "--name-only", revision, f"{below}/").stdout
    return tuple(Path(name) for name in listed.split("\0") if name)


def content(folder: Path, revision: str, path: Path) -> bytes | None:
    """A file in a revision, or in a stage of the index (`:2`); None if it is not there."""
    done = _run(folder, "show", f"{revision}:./{path.as_posix()}")
    return done.stdout.encode() if done.status == 0 else None


def blobs(folder: Path, revision: str, below: str) -> dict[Path, str]:
    """The files below a folder in a revision, relative to where it is asked from, each with what names its content."""
    listed = _run(folder, "ls-tree", "-rz", revision, f"{below}/").stdout
    rows = (row.partition("\t") for row in listed.split("\0") if row)
    return {Path(name): facts.split()[2] for facts, _, name in rows}


def contents(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of blobs by name, from one git where that is possible; without those that it does not have."""
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
            break  # a blob before was no UTF-8, and is not as long as git says any more
        found[name], left = left[:size], left[size + 1 :]
    for name in names:
        if name not in found:
            one = _run(folder, "cat-file", "blob", name)
            if one.status == 0:
                found[name] = one.stdout.encode()
    return found


def sides(folder: Path, path: Path) -> tuple[bytes, bytes] | None:
    """Both sides of a file that a merge left in conflict; None if git knows of none."""
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


def configure(folder: Path, key: str, value: str) -> None:
    """Set a value in the repository's own configuration.

    Raises:
        OutsideError: git could not.
    """
    done = _run(folder, "config", key, value)
    if done.status != 0:
        raise OutsideError(f"git cannot set `{key}`: {done.stderr.strip()}", hints=[f"git config {key}"])


def mark_conflict(folder: Path, ours: Path, base: Path, theirs: Path) -> None:
    """Merge two files line by line into the first, with markers where they differ, as git does by itself."""
    _run(folder, "merge-file", "-L", "ours", "-L", "base", "-L", "theirs", *map(str, (ours, base, theirs)))


def _run(folder: Path, *arguments: str) -> process.Completed:
    words: Sequence[str] = ("git", *arguments)
    return process.run(words, cwd=folder)
