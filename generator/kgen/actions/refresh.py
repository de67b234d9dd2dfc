"""Bring the matrix up to date with the index that uv is configured for: the user's, the project's, or kgen's own."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kgen import files, host, index, leftovers, parsers, project, storage, uvsettings, uvtool
from kgen.errors import UsageError
from kgen.matrix import origin
from kgen.matrix.compatibility import Folder
from kgen.refresh.run import Progress, Refresh, Refreshed
from kgen.refresh.wheel_facts import FactReader


def _silent(_text: str) -> None:
    """Report nothing."""


_LONGEST = 900.0
"""Seconds after which a refresh gives up: one from a real index takes a minute where all is new."""

_WHO = "kgen matrix refresh"
_NOT_THERE = (403, 404)
"""What stores of files answer for a folder that is not there; where a login is lacking, they say so for all of them."""


class RefreshTarget(NamedTuple):
    """The matrix that is refreshed.

    Attributes:
        folder: the folder of the matrix.
        locked: the folder that is locked against other refreshes meanwhile.
        own: whether that is kgen's own matrix, in its repository.
    """

    folder: Path
    locked: Path
    own: bool


class RefreshResult(NamedTuple):
    """What a refresh found, and where it was written; None if nothing was."""

    found: Refreshed
    written: Path | None


def refresh(
    root: Path,
    *,
    check: bool = False,
    for_project: bool = False,
    torch_index: str | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] = _silent,
) -> RefreshResult:
    """Ask the index for new releases and contradictions, and write what is new.

    Args:
        root: the project's folder.
        check: whether nothing is written.
        for_project: whether the matrix of the project is meant, instead of the user's.
        torch_index: the folder of a mirror of PyTorch's own index, or `own` for PyTorch's; None for that of the
            settings.
        progress: called with a stage, how much of it is done, and of how much.
        notify: called with each remark that a person should read, at the time it is about.

    Raises:
        UsageError: the index is none, or the folder holds something else.
        OutsideError: the index does not answer, or the folder cannot be written.
    """
    target = _target(root, for_project=for_project)
    leftovers.sweep(root, root / project.LOCKS, None)
    own_index = _torch_index(torch_index, root)
    with contextlib.nullcontext() if check else _locked(target, notify):
        texts = Folder(origin.shipped_folder()) if target.own else origin.layered(target.folder)
        before = dict(texts)
        found = _refresh(before, root, own_index, progress or (lambda _stage, _done, _total: None))
        if not found.files or check:
            return RefreshResult(found, None)
        _write(target, before, found)
        return RefreshResult(found, target.folder)


def _torch_index(given: str | None, root: Path) -> str | None:
    named: str | None = given or project.torch_index(root)
    try:
        return None if named is None else parsers.parse_torch_index(named)
    except ValueError as error:
        what = "--torch-index" if given else "torch-index"
        raise UsageError(f"`{what}`: {error}", hints=["kgen matrix refresh --help"]) from None


def _target(root: Path, *, for_project: bool) -> RefreshTarget:
    if not for_project:
        folder = origin.cache_folder()
        return RefreshTarget(folder, folder.parent, own=False)
    folder = origin.project_folder(root)
    if folder == origin.shipped_folder():
        return RefreshTarget(folder, root, own=True)
    if (
        files.exists(folder)
        and not files.is_file(folder / origin.MARK)
        and (not files.is_folder(folder) or any(folder.iterdir()))
    ):
        raise UsageError(
            f"{folder} is in the way: it is not a matrix that kgen has refreshed",
            hints=["kgen matrix refresh"],
        )
    return RefreshTarget(folder, root, own=False)


@contextlib.contextmanager
def _locked(target: RefreshTarget, notify: Callable[[str], None]) -> Iterator[None]:
    try:
        target.locked.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unwritable(target.locked, error, hints=["set KGEN_CACHE_DIR to a folder of yours"]) from None

    def waiting() -> None:
        notify(f"another `{_WHO}` is at work in {target.locked}; waiting for it to end")

    with storage.exclusive(target.locked, who=_WHO, wait=waiting):
        yield


def _refresh(before: Mapping[str, str], root: Path, torch_index: str | None, progress: Progress) -> Refreshed:
    cancel = threading.Event()
    program = uvtool.find()
    own = uvtool.own_base(program, root, torch_index)
    with uvsettings.wheel_reader(root, cancel=cancel, within=host.seconds(_LONGEST)) as reader:

        def open_own(name: str, label: str) -> index.Index:
            assert own is not None  # noqa: S101 - it is asked for only then
            return index.Index((own(name, label),), reader, cache=host.cache("pages"), absent=_NOT_THERE)

        return Refresh(
            before,
            index.Index(uvtool.indexes(program, root), reader, cache=host.cache("pages")),
            lambda count: FactReader(reader, cache=host.cache("facts"), count=count),
            today=dt.datetime.now(dt.timezone.utc).date(),
            cancel=cancel,
            progress=progress,
            open_own=None if own is None else open_own,
            unchanged=host.cache("pages") / "unchanged",
        ).run()


def _write(target: RefreshTarget, before: Mapping[str, str], found: Refreshed) -> None:
    """Put the new files in the place of the old ones, all or none."""
    if target.own:
        changed = {name: text.encode() for name, text in found.files.items()}
        storage.replace_folder(target.folder, changed, owned=lambda _path: False)
        return
    shipped = Folder(origin.shipped_folder())
    after = {**before, **found.files}
    files = {name: text for name, text in after.items() if name not in shipped or shipped[name] != text}
    day = dt.datetime.now(dt.timezone.utc).date()
    texts = {**files, origin.MARK: origin.mark_text(day, files, shipped)}
    storage.replace_folder(
        target.folder,
        {name: text.encode() for name, text in texts.items()},
        owned=lambda path: path.endswith(".toml"),
    )
