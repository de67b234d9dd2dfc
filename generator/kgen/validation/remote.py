"""Receipts in a folder on another machine, fetched as they are now: S3, SSH, the web, whatever fsspec reads."""

from __future__ import annotations

import hashlib
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from kgen import files, host, storage
from kgen.errors import WITH_A_NETWORK, MissingExtraError, OfflineError, UnreachableError, UsageError
from kgen.model.grammar import shown
from kgen.validation import signing

_ENDINGS = (".json", signing.BY_KEY, signing.BY_IDENTITY)


def is_remote(source: str) -> bool:
    """Whether a source is the URL of a folder."""
    return "://" in source


def fetch(url: str, cache: Path) -> Path:
    """The folder with the receipts of a remote one, and the signatures beside them, as they are now.

    Args:
        url: as fsspec takes it, `s3://bucket/receipts`, `sftp://host/srv/receipts`, `https://host/receipts/`.
        cache: where copies are kept, a folder each.

    Raises:
        UsageError: what reads such URLs is not installed.
        OutsideError: it cannot be reached or read, or nothing may be fetched.
    """
    if host.is_offline():
        raise OfflineError(f"{_plain(url)} is on another machine, and nothing may be fetched", hints=[WITH_A_NETWORK])
    place = cache / hashlib.sha256(url.encode()).hexdigest()[:16]
    with storage.scratch() as made:
        for name, content in _contents(url):
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        # what is gone there is gone here
        shutil.rmtree(place, ignore_errors=True)
        try:
            shutil.copytree(made, place)
        except OSError as error:
            raise files.unwritable(place, error) from error
    return place


def _contents(url: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Path below the folder -> content, of every receipt and signature in it."""
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - of the extra
    except ImportError:
        raise MissingExtraError(
            f"fsspec, which reads {_plain(url)}, is not installed", hints=["pip install 'keras-kgen[remote]'"]
        ) from None
    try:
        system, root = url_to_fs(url)
        for name in sorted(_found(system, root)):
            below = PurePosixPath(name.removeprefix(root).lstrip("/"))
            if ".." in below.parts or not below.parts:
                continue
            yield below, system.cat_file(name, start=0, end=files.LARGE)
    except ImportError as error:  # one library a protocol; fsspec says which
        raise UsageError(f"{_plain(url)} cannot be read here: {shown(str(error))}") from None
    except Exception as error:
        said = shown(str(error).partition("\n")[0]) or type(error).__name__
        raise UnreachableError(
            f"{_plain(url)} cannot be read: {said}", hints=["kgen receipts list FOLDER, with a copy of it here"]
        ) from error


def _found(system: Any, root: str) -> Iterator[str]:  # noqa: ANN401 - fsspec has no types
    system.ls(root, detail=False)  # `find` takes what cannot be reached for an empty folder
    for name in system.find(root):
        if str(name).endswith(_ENDINGS):
            yield str(name)


def url_of(url: str, folder: Path, path: Path) -> str:
    """Where a file of a folder that was fetched is there, without a login.

    Args:
        url: of the folder.
        folder: where its copy is.
        path: the file's copy.
    """
    return f"{_plain(url).rstrip('/')}/{path.relative_to(folder).as_posix()}"


def _plain(url: str) -> str:
    """A URL as it may be shown: without a login and a query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
