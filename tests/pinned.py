"""What the tests of real frameworks install: fixed by committed locks, and served as an index that has nothing else.

The real index gets new releases every day, also below a cut-off. `tests/data/locks/<name>` is a lock without URLs,
which `python -m tests.record_locks` made once. A test locks again from an index on loopback whose pages list only the
files of such locks, at the URLs that the real index has for them. The test resolves and installs for real, and never
sees a release that appears later.
"""

from __future__ import annotations

import contextlib
import functools
import html
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.command import Kgen
from tests.loopback import Handler, Server, running
from tests.recorded import DATA, MATRIX

from kgen import index as simple
from kgen import uvtool
from kgen.matrix.compatibility import load
from kgen.matrix.origin import FOLDER_VARIABLE
from kgen.wheels import WheelReader

LOCKS = DATA / "locks"


class MissingLockError(Exception):
    """There is no committed lock of that name."""


def hashes(lock: Path) -> dict[str, str]:
    """The files of a lock, with what its source distributions are built with: file name -> sha256."""
    data: Any = tomli.loads(lock.read_text(encoding="utf-8"))
    packages = [*data["packages"], *data["tool"]["kgen"].get("build", ())]
    files = [one for row in packages for one in (*row.get("wheels", ()), *filter(None, [row.get("sdist")]))]
    return {_filename(one): one["hashes"]["sha256"] for one in files}


def _filename(row: Mapping[str, str]) -> str:
    return (row.get("path") or row["url"]).rpartition("/")[2].replace("%2B", "+")


def pinned(*names: str) -> dict[str, str]:
    """The files of committed locks: file name -> sha256.

    Args:
        names: of folders below `LOCKS`.

    Raises:
        MissingLockError: there is none of that name.
    """
    found: dict[str, str] = {}
    for name in names:
        locks = sorted((LOCKS / name).glob("*/pylock.*.toml"))
        if not locks:
            raise MissingLockError(f"no lock in tests/data/locks/{name}: python -m tests.record_locks {name}")
        for lock in locks:
            found |= hashes(lock)
    return found


class _Handler(Handler):
    def answer(self) -> None:
        index = cast("PinnedIndex", self.server)
        match = re.fullmatch(r"/simple/([a-z0-9-]+)/", self.path)
        rows = index.page(match[1]) if match else ()
        if not rows:
            self.send(404)
            return
        body = f"<!DOCTYPE html><html><body>{''.join(map(_link, rows))}</body></html>"
        self.send(200, body.encode(), {"Content-Type": "text/html"})


def _link(row: simple.IndexFile) -> str:
    said = {
        "href": f"{row.url.partition('#')[0]}#sha256={row.sha256}",
        "data-requires-python": row.requires_python or None,
        "data-upload-time": f"{row.uploaded}T12:00:00Z" if row.uploaded else None,
        "data-core-metadata": None if row.sidecar is None else "true",
    }
    text = "".join(f' {key}="{html.escape(value)}"' for key, value in said.items() if value is not None)
    return f"<a{text}>{row.filename}</a>\n"


class PinnedIndex(Server):
    """Pages that name no other files than these; the files stay where the real index has them.

    A file that was yanked since is named as if it were not: what is installed does not change. kgen asks for some
    builds of frameworks before it finds that another one is required, as of tensorflow-cpu where a dependency has
    `tensorflow`: always for one version, which the matrix says. Their pages are as the real index has them.

    Args:
        files: file name -> sha256.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__(_Handler)
        self._files = files
        self._projects = {re.sub(r"[-_.]+", "-", _project(name)).lower() for name in files}
        self._reader = WheelReader(cache=None, cancel=threading.Event())
        self._real = simple.Index(uvtool.indexes(uvtool.find(), DATA), self._reader, cache=None)

    @property
    def url(self) -> str:
        return f"{self.root}/simple"

    def page(self, name: str) -> Iterable[simple.IndexFile]:
        """The files of a project; none if no lock has it."""
        listed = self._real.project(name) if name in self._projects or name in _exact() else None
        files = () if listed is None else listed.files
        return (
            files
            if name not in self._projects
            else [one for one in files if self._files.get(one.filename) == one.sha256]
        )

    def server_close(self) -> None:
        super().server_close()
        self._reader.__exit__(None, None, None)


@functools.cache
def _exact() -> frozenset[str]:
    """The packages of which kgen only ever asks for the version that the matrix says."""
    matrix = load(MATRIX)
    releases = [release for name in matrix.framework_names for release in matrix.framework(name).releases]
    texts = {text for release in releases for build in release.builds for text in build.install}
    wanted = map(Requirement, texts)
    return frozenset(canonicalize_name(one.name) for one in wanted if str(one.specifier).startswith("=="))


def _project(filename: str) -> str:
    """The project in the name of a wheel, or of a source distribution, in whose name a version is what comes last."""
    return filename.partition("-")[0] if filename.endswith(".whl") else filename.rpartition("-")[0]


@contextlib.contextmanager
def locking(kgen: Kgen, *names: str) -> Iterator[Kgen]:
    """The command where the index has the files of these committed locks, and the matrix is that of the tests.

    Raises:
        MissingLockError: there is no lock of such a name.
    """
    with running(PinnedIndex(pinned(*names))) as index:
        yield _with(kgen, UV_DEFAULT_INDEX=index.url)


def frozen(kgen: Kgen) -> Kgen:
    """The command with the matrix of the tests."""
    return _with(kgen)


def _with(kgen: Kgen, **more: str) -> Kgen:
    loopback = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    without = {name: value for name, value in kgen.environment.items() if name not in _OTHER_INDEXES or not more}
    environment = {**without, FOLDER_VARIABLE: str(MATRIX), **(loopback if more else {}), **more}
    return Kgen(folder=kgen.folder, temporary=kgen.temporary, environment=environment)


_OTHER_INDEXES = frozenset({"UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL"})


def assert_pinned(lock: Path, *names: str) -> None:
    """Every file of a lock is one of these committed locks."""
    allowed = pinned(*names)
    other = {name: sha256 for name, sha256 in hashes(lock).items() if allowed.get(name) != sha256}
    assert not other, f"{lock.parent.name}: {', '.join(other)}: not what tests/data/locks has"
