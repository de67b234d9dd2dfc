"""`kgen matrix refresh`: new releases from the index into the user's matrix, the project's, or kgen's own."""

from __future__ import annotations

__command__ = {
    "rank": 2,
    "purpose": "update the facts from the package index that uv is configured for",
    "example": "kgen matrix refresh --check",
}

import contextlib
import datetime as dt
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from kgen import host, index, leftovers, parsers, project, storage, uvtool, wheels
from kgen.cli import console
from kgen.cli.options import OUTPUT, Json, option
from kgen.errors import ExitStatus, OutsideError, UsageError
from kgen.matrix import origin
from kgen.matrix.compatibility import Folder
from kgen.refresh.facts import FactReader
from kgen.refresh.run import Progress, Refresh, Refreshed

_LONGEST = 900.0
"""Seconds after which a refresh gives up: one from a real index takes a minute where all is new."""

_WHO = "kgen matrix refresh"
_NOT_THERE = (403, 404)
"""What stores of files answer for a folder that is not there; where a login is lacking, they say so for all of them."""

_LISTED = 40
"""So many lines of a kind are printed; all of them are in --json."""


class _Target(NamedTuple):
    """Where a refresh goes.

    Attributes:
        folder: the folder of the matrix.
        held: the folder that is held while it is at work.
        own: whether that is kgen's own matrix, in its repository.
    """

    folder: Path
    held: Path
    own: bool


def run(
    *,
    check: Annotated[
        bool, option("--check", text="write nothing; exit status 1 if something would change", panel=OUTPUT)
    ] = False,
    for_project: Annotated[
        bool,
        option("--project", text="into matrix/ beside the settings, for all who work on the project", panel=OUTPUT),
    ] = False,
    torch_index: Annotated[
        str | None,
        option(
            "--torch-index",
            metavar="[URL]",
            text="also what only PyTorch's own index has, or the folder of a mirror of it",
            panel="What is asked for",
        ),
    ] = None,
    json: Json = False,
) -> ExitStatus:
    """Refresh, tell, and write unless that was only to be checked."""
    root = project.find_root(Path.cwd())
    target = _target(root, for_project=for_project)
    leftovers.sweep(root, root / project.LOCKS, None)
    own_index = _torch_index(torch_index, root)
    with contextlib.nullcontext() if check else _held(target):
        texts = Folder(origin.shipped_folder()) if target.own else origin.layered(target.folder)
        before = dict(texts)
        found = _refresh(before, root, own_index)
        written = None
        if found.files and not check:
            _write(target, before, found)
            written = target.folder
    if json:
        console.data(_data(found, written))
    else:
        _tell(found)
        _tell_end(found, written, check=check)
    return ExitStatus.CHECK_FAILED if check and found.files else ExitStatus.DONE


def _torch_index(given: str | None, root: Path) -> str | None:
    named: str | None = given or project.torch_index(root)
    try:
        return None if named is None else parsers.parse_torch_index(named)
    except ValueError as error:
        what = "--torch-index" if given else "torch-index"
        raise UsageError(f"`{what}`: {error}", hints=["kgen matrix refresh --help"]) from None


def _target(root: Path, *, for_project: bool) -> _Target:
    if not for_project:
        folder = origin.cache_folder()
        return _Target(folder, folder.parent, own=False)
    folder = origin.project_folder(root)
    if folder == origin.shipped_folder():
        return _Target(folder, root, own=True)
    if folder.exists() and not (folder / origin.MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is in the way: it is there, and no matrix that kgen has refreshed",
            hints=["kgen matrix refresh"],
        )
    return _Target(folder, root, own=False)


@contextlib.contextmanager
def _held(target: _Target) -> Iterator[None]:
    try:
        target.held.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutsideError(
            f"{target.held} cannot be written: {error.strerror}", hints=["set KGEN_CACHE_DIR to a folder of yours"]
        ) from None

    def waiting() -> None:
        console.say(f"another `{_WHO}` is at work in {target.held}; waiting for it to end")

    with storage.exclusive(target.held, who=_WHO, wait=waiting):
        yield


def _refresh(before: Mapping[str, str], root: Path, torch_index: str | None) -> Refreshed:
    cancel = threading.Event()
    program = uvtool.find()
    own = uvtool.own_base(program, root, torch_index)
    cache = wheels.default_cache(host.variable("KGEN_CACHE_DIR")).parent
    with (
        wheels.WheelReader(
            cache=None,
            cancel=cancel,
            certificates=host.variable("SSL_CERT_FILE"),
            indexes=uvtool.configured(root),
            patience=min(wheels.PATIENCE, host.seconds(wheels.PATIENCE)),
            within=host.seconds(_LONGEST),
        ) as reader,
        _progress() as told,
    ):

        def open_own(name: str, label: str) -> index.Index:
            assert own is not None  # noqa: S101 - it is asked for only then
            return index.Index((own(name, label),), reader, cache=cache / "pages", absent=_NOT_THERE)

        return Refresh(
            before,
            index.Index(uvtool.indexes(program, root), reader, cache=cache / "pages"),
            lambda count: FactReader(reader, cache=cache / "facts", count=count),
            today=dt.datetime.now(dt.timezone.utc).date(),
            cancel=cancel,
            progress=told,
            open_own=None if own is None else open_own,
            unchanged=cache / "pages" / "unchanged",
        ).run()


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """A bar with the stage, where stderr is a terminal; silence elsewhere."""
    if not host.is_terminal(sys.stderr):
        yield lambda _stage, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def told(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"reading {stage}", total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield told


def _write(target: _Target, before: Mapping[str, str], found: Refreshed) -> None:
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


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(found: Refreshed) -> None:
    rows = [(change.what, change.name, change.version, change.detail) for change in found.changes]
    if rows:
        console.result(console.table(("", "project", "release", ""), rows[:_LISTED]))
        if len(rows) > _LISTED:
            console.result(f"… and {len(rows) - _LISTED} more: --json")
    for one in found.contradictions[:_LISTED]:
        console.say(
            f"contradiction: {one.subject}: the matrix says {one.matrix} ({one.source});"
            f" the index says {one.found} ({one.page}). The matrix was left as it is"
        )
    if len(found.contradictions) > _LISTED:
        console.say(f"… and {len(found.contradictions) - _LISTED} more contradictions: --json")
    for note in found.notes:
        console.say(f"note: {note}")
    if found.gone:
        named = ", ".join(f"{name} ({len(versions)})" for name, versions in sorted(found.gone.items()))
        console.say(f"note: the index lacks releases that the matrix knows, and keeps: {named}")


def _tell_end(found: Refreshed, written: Path | None, *, check: bool) -> None:
    asked = f"{found.pages} projects asked for, {found.wheels} wheels read"
    if not found.files:
        console.say(f"the matrix is up to date: {found.revision} ({asked})")
    elif check:
        console.say(f"the matrix is not up to date ({asked})")
        console.hints(["kgen matrix refresh"])
    else:
        console.say(f"matrix {found.revision} in {written} ({asked})")


def _data(found: Refreshed, written: Path | None) -> dict[str, object]:
    return {
        "revision": found.revision,
        "up-to-date": not found.files,
        "written": None if written is None else str(written),
        "changes": [
            {"what": change.what, "project": change.name, "release": change.version, "detail": change.detail}
            for change in found.changes
        ],
        "contradictions": [one._asdict() for one in found.contradictions],
        "notes": found.notes,
        "gone": found.gone,
        "files": sorted(found.files),
        "indexes": found.indexes,
        "pages": found.pages,
        "wheels": found.wheels,
    }
