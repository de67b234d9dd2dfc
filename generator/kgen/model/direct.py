"""Direct references in requirements: a file by URL or path, a folder, or a git repository.

Each has one text form, which settings, locks and hints use: `https://…/name.whl`, `libs/name.whl` and `libs/name`
relative to the project, `file:///…` outside of it, `git+https://…@revision#subdirectory=…`.
"""

from __future__ import annotations

import enum
import os
import re
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from kgen.model import grammar, wheelname
from kgen.model.grammar import COMMIT, SHA256, shown
from kgen.model.requirement import Requirement

DYNAMIC = "0+dynamic"
"""A placeholder for a version that only building the package tells."""

SHOWN_DYNAMIC = "dynamic"
"""What people read in its place."""

_GIT = "git+"
_OTHERS = ("hg+", "svn+", "bzr+")
_SCHEMES = ("https", "http", "file")
_GIT_SCHEMES = (*_SCHEMES, "ssh")
_ARCHIVES = (".whl", ".tar.gz", ".zip")


class Kind(enum.Enum):
    """The kind of a place."""

    FILE = "a file"
    FOLDER = "a folder"
    GIT = "a git repository"


class DirectReference(NamedTuple):
    """A place that a requirement names.

    Attributes:
        kind: its kind.
        location: a URL, or a path relative to the project; for a repository the URL that git takes.
        revision: the branch, tag or commit of a repository; None for its default branch.
        subdirectory: the folder of the package in the repository; None for its top.
        sha256: the required digest of the file; None if the requirement has none.
    """

    kind: Kind
    location: str
    revision: str | None = None
    subdirectory: str | None = None
    sha256: str | None = None

    @property
    def is_path(self) -> bool:
        """Whether it is a path relative to the project, which is the same on every machine."""
        return "://" not in self.location

    @property
    def is_wheel(self) -> bool:
        """Whether it is a file that is installed without building."""
        return self.kind is Kind.FILE and self.filename.endswith(".whl")

    @property
    def filename(self) -> str:
        """The name of the file or folder."""
        return urllib.parse.unquote(self.location.partition("?")[0].rstrip("/").rpartition("/")[2])

    def path(self, root: Path) -> Path | None:
        """Its path on this machine; None if it is elsewhere.

        Args:
            root: the project's folder.
        """
        if self.kind is Kind.GIT:
            return None
        if self.is_path:
            return Path(os.path.normpath(root / self.location))
        split = urllib.parse.urlsplit(self.location)
        return Path(urllib.parse.unquote(split.path)) if split.scheme == "file" else None

    @property
    def text(self) -> str:
        """Its text form."""
        if self.kind is Kind.GIT:
            at = "" if self.revision is None else f"@{self.revision}"
            below = "" if self.subdirectory is None else f"#subdirectory={self.subdirectory}"
            return f"{_GIT}{self.location}{at}{below}"
        return self.location if self.sha256 is None else f"{self.location}#sha256={self.sha256}"

    @property
    def is_exact(self) -> bool:
        """Whether a repository's revision is a commit, which cannot change."""
        return self.revision is not None and re.fullmatch(COMMIT, self.revision) is not None


def parse(text: str) -> DirectReference:
    """The place in a requirement after `@`.

    Raises:
        ValueError: it cannot be locked; the text says why.
    """
    if text.startswith(_OTHERS):
        raise ValueError(
            f"`{shown(text)}` is a repository of another kind than git, and kgen locks commits of git only"
        )
    is_git = text.startswith(_GIT)
    location, _, fragment = text.removeprefix(_GIT).partition("#")
    scheme, colon, _ = location.partition("://")
    known = _GIT_SCHEMES if is_git else _SCHEMES
    if (colon and scheme not in known) or (is_git and not colon):
        raise ValueError(f"`{shown(text)}` is not a URL that kgen locks: one begins with {', '.join(known)}")
    if colon and re.search(r"[\s\"'<>\\]", location) is None and _has_credentials(location, scheme):
        raise ValueError(f"`{shown(scheme)}://…` holds credentials, which the lock would carry on; leave them to netrc")
    if re.search(r"[\s\"'<>\\]", text) or not location.strip("/"):
        raise ValueError(f"`{shown(text)}` is not a place of a package: a URL or a path without blanks and quotes")
    facts = dict(urllib.parse.parse_qsl(fragment))
    if is_git:
        return _git(location, facts)
    sha256 = facts.get("sha256")
    if sha256 is not None and re.fullmatch(SHA256, sha256) is None:
        raise ValueError(f"`{shown(sha256)}` is not a sha256")
    location = location.removesuffix("/")
    is_file = urllib.parse.urlsplit(location).path.endswith(_ARCHIVES)
    if not is_file and scheme != "file" and colon:
        raise ValueError(f"`{shown(text)}` is neither a wheel nor a source distribution (.tar.gz, .zip)")
    found = urllib.parse.unquote(urllib.parse.urlsplit(location).path.rpartition("/")[2])
    if found.endswith(".whl") and wheelname.parse(found) is None:
        raise ValueError(f"`{shown(found)}` is not the name of a wheel, which is NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    return DirectReference(Kind.FILE if is_file else Kind.FOLDER, location, sha256=sha256 if is_file else None)


def _has_credentials(location: str, scheme: str) -> bool:
    user, at, _ = urllib.parse.urlsplit(location).netloc.rpartition("@")
    return bool(at) and (scheme != "ssh" or ":" in user)


def _git(location: str, facts: dict[str, str]) -> DirectReference:
    head, slash, tail = location.rpartition("/")
    revision: str | None = None
    if "@" in location.partition("://")[2].partition("/")[2]:
        # the revision may hold slashes: it begins behind the last `@` of the path
        head, _, revision = location.rpartition("@")
        grammar.revision(revision)
        location = head
    elif not (head and slash and tail):
        raise ValueError(f"`{shown(location)}` is not the URL of a repository")
    subdirectory = facts.get("subdirectory")
    if subdirectory is not None:
        subdirectory = subdirectory.strip("/")
        grammar.below(subdirectory)
    grammar.repository(location)
    return DirectReference(Kind.GIT, location, revision, subdirectory)


_VERSION = r"v?(?P<version>[0-9]+(?:\.[0-9]+)*(?:[-_.]?(?:a|b|rc|post|dev)[0-9]+)*)"
_NEWEST = ("latest", "newest", "stable", "current")


def as_range(requirement: Requirement, reference: DirectReference) -> str | None:
    """The requirement on the index that is meant by `rich@latest` or `rich@13.9`, a form of other tools.

    Args:
        requirement: a requirement that names a place.
        reference: its place, which does not exist.

    Returns:
        The requirement; None if the place is not a version.
    """
    if reference.kind is not Kind.FOLDER or not reference.is_path:
        return None
    version = re.fullmatch(_VERSION, reference.location)
    if version is not None:
        return f"{requirement.head}=={version['version']}"
    return requirement.head if reference.location.lower() in _NEWEST else None


def reference_of(requirement: Requirement) -> DirectReference | None:
    """The place that a requirement names; None if it is on an index.

    Raises:
        ValueError: the place cannot be locked.
    """
    return None if requirement.url is None else parse(requirement.url)


def placed(requirement: Requirement, reference: DirectReference) -> Requirement:
    """The same requirement from another place."""
    marker = "" if requirement.marker is None else f" ; {requirement.marker}"
    return Requirement(f"{requirement.head} @ {reference.text}{marker}")


def within(reference: DirectReference, root: Path, base: Path, repository: Path | None) -> DirectReference:
    """The place in the form that a project's settings would have: a path from its folder, if it is in the repository.

    Args:
        reference: the place.
        root: the project's folder.
        base: the folder to which a path is relative.
        repository: the top of the project's repository; None without one.
    """
    path = reference.path(base)
    if path is None:
        return reference
    top = repository or root
    if path.is_relative_to(root) or path.is_relative_to(top):
        return reference._replace(location=Path(os.path.relpath(path, root)).as_posix())
    return reference._replace(location=path.as_uri())
