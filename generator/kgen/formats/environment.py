"""An environment on disk: where it is, and whether it is complete and made from this lock.

The environment's record, the last file that a sync writes, states what kgen installed. Without a record, or with that
of another lock, an environment is not complete, whatever else it contains.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import __version__, editable, files, usertoken
from kgen.lockfiles import LockedEnvironment, digest
from kgen.model.format import Format

RECORD = "share/kgen/environment.json"
SOURCE = "share/kgen/source"
METADATA = ".dist-info"
"""The suffix of the folder that shows that a package is installed."""
_SCHEMA = 1


class Source(NamedTuple):
    """The lock of an environment, and where the environment is.

    Attributes:
        environment: the locked environment.
        lock: its lock for this platform.
        content: the content of the lock.
        prefix: the folder of the environment.
        form: the form of the lock.
    """

    environment: LockedEnvironment
    lock: Path
    content: bytes
    prefix: Path
    form: Format

    @property
    def name(self) -> str:
        """Its name on disk."""
        return self.prefix.name

    @property
    def state(self) -> bytes:
        """Everything that the environment depends on as one text, stored in it; comparing is faster than hashing.

        The first line contains a token that no repository can know. A folder that came with a repository is therefore
        never taken for an environment, whatever it contains.
        """
        parts = (f"kgen {__version__} {usertoken.token()}".rstrip(), str(self.prefix))
        return "\n\n".join(parts).encode("utf-8", "surrogateescape") + b"\n\n" + self.content

    @property
    def digest(self) -> str:
        """The sha256 of the lock."""
        return digest(self.content)

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.prefix / "bin/python"

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that give the environment's folder to its processes."""
        own = self.form.prefix_variable
        return {"VIRTUAL_ENV": str(self.prefix), **({} if own is None else {own: str(self.prefix)})}


def source(environment: LockedEnvironment, lock: Path, envs: Path, form: Format) -> Source:
    """Read the lock of an environment, no further than it takes to notice a change.

    Args:
        environment: the locked environment.
        lock: its lock for this platform.
        envs: the folder of the environments.
        form: the form of the lock.

    Raises:
        OSError: the lock cannot be read.
    """
    return Source(
        environment=environment,
        lock=lock,
        content=files.read(lock),
        prefix=envs / f"{environment.name}{form.suffix}",
        form=form,
    )


class Record(NamedTuple):
    """What kgen has installed.

    Attributes:
        lock: the sha256 of the lock.
        python: the full version of the interpreter, such as `3.12.11`.
        installed: metadata folder in site-packages -> digest, size and modification time of its RECORD. For packages
            that are not wheels: path in the environment of the file that shows the package is installed -> the same.
        own: path in the environment -> digest, for files that belong to no package.
    """

    lock: str
    python: str
    installed: Mapping[str, tuple[str, int, int]]
    own: Mapping[str, str]


def read_record(prefix: Path) -> Record | None:
    """The record of the environment in this folder; None if there is no valid one."""
    try:
        data: Any = json.loads(files.read(prefix / RECORD))
        if data["schema"] != _SCHEMA:
            return None
        return Record(
            lock=str(data["lock"]),
            python=str(data["python"]),
            installed={name: (str(sha), int(size), int(time)) for name, (sha, size, time) in data["installed"].items()},
            own={str(name): str(sha) for name, sha in data["own"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def is_kgens(prefix: Path) -> bool:
    """Whether this or an earlier version of kgen made the environment in this folder, complete or not.

    It then contains what every version writes: the record, or the text of its state. Only regular files directly in the
    folder count; anything else may belong to another program.
    """
    for name, told in ((RECORD, _is_record), (SOURCE, lambda content: content.startswith(b"kgen "))):
        path = prefix / name
        try:
            inside = not any(files.is_link(one) for one in (path, path.parent, path.parent.parent))
            if inside and files.is_file(path) and told(path.read_bytes()):
                return True
        except OSError:
            continue
    return False


def _is_record(content: bytes) -> bool:
    try:
        data: Any = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"schema", "lock", "installed", "own"} <= data.keys()


def record_text(record: Record) -> str:
    """The record as text."""
    data = {
        "schema": _SCHEMA,
        "lock": record.lock,
        "python": record.python,
        "installed": {name: list(facts) for name, facts in sorted(record.installed.items())},
        "own": dict(sorted(record.own.items())),
    }
    return json.dumps(data, indent=1) + "\n"


def site_packages(prefix: Path) -> Path | None:
    """The folder of the packages of the environment in this folder; None if there is none."""
    return next(iter(sorted(prefix.glob("lib/python3*/site-packages"))), None)


def installed(site: Path, form: Format) -> dict[str, tuple[str, int, int]]:
    """Metadata folder -> digest, size and modification time of its RECORD."""
    found = {}
    for name, path in _metadata(site, form).items():
        try:
            facts = os.stat(path)  # noqa: PTH116 - as text
            found[name] = (digest(files.read(Path(path))), facts.st_size, facts.st_mtime_ns)
        except OSError:
            found[name] = ("", 0, 0)
    return found


def _metadata(site: Path, form: Format) -> dict[str, str]:
    """The files that show which packages are installed: RECORDs by their folders, and those of the form."""
    prefix = site.parents[2]
    own = sorted(prefix.glob(form.metadata)) if form.metadata is not None else ()
    try:
        names = os.listdir(site)  # noqa: PTH208 - names alone, and every run asks for them
    except OSError:
        names = []
    return {
        **{name: f"{site}/{name}/RECORD" for name in names if name.endswith(METADATA)},
        **{path.relative_to(prefix).as_posix(): str(path) for path in own},
    }


def is_whole(of: Source) -> bool:
    """Whether the environment exists, was made from exactly this, and has not lost a package since.

    What the user added does not count: it stays. Files are only looked at by name; :mod:`kgen.formats.verify` reads
    them.
    """
    if not _is_made_of(of):
        return False
    record = read_record(of.prefix)
    if record is None or not files.exists(of.python):
        return False
    site = site_packages(of.prefix)
    return site is not None and _is_untouched(record, _metadata(site, of.form))


def is_altered(of: Source) -> bool:
    """Whether the environment was made from exactly this, and has lost or changed a package since."""
    return _is_made_of(of) and not is_whole(of)


def _is_made_of(of: Source) -> bool:
    try:
        has = files.read(of.prefix / SOURCE)
        return has == of.state or (
            _tokenless(has) == _tokenless(of.state)
            and (_token_of(has) in usertoken.tokens() or _is_of_another_user(of.prefix / SOURCE))
        )
    except OSError:
        return False


def _is_of_another_user(path: Path) -> bool:
    """Whether another user, whose token is unknown, shares this environment.

    What came with a repository belongs to this user, except for root, whose archives keep their owners.
    """
    user = os.geteuid()
    return user != 0 and path.stat().st_uid != user


def _tokenless(state: bytes) -> tuple[bytes, bytes]:
    first, _, rest = state.partition(b"\n")
    return b" ".join(first.split(b" ")[:2]), rest


def _token_of(state: bytes) -> str:
    return state.partition(b"\n")[0].split(b" ")[-1].decode("ascii", "replace")


def gained(of: Source) -> list[str]:
    """The packages that the user added since kgen made the environment, as `name-version`."""
    record, site = read_record(of.prefix), site_packages(of.prefix)
    if record is None or site is None:
        return []
    added = {name.removesuffix(METADATA) for name in set(_metadata(site, of.form)) - set(record.installed)}
    return sorted(added - {editable.installed_name(of.prefix)})


def _is_untouched(record: Record, there: Mapping[str, str]) -> bool:
    return record.installed.keys() <= there.keys() and all(
        _size_and_time(there[name]) == (size, time) for name, (_, size, time) in record.installed.items()
    )


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)  # noqa: PTH116 - as text: there are dozens in each environment
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def put_beside(prefix: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Write files that belong to no package: path in the environment -> text; returns the digest of each."""
    own = {}
    for name, text in texts.items():
        path = prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text.encode("utf-8", "surrogateescape")
        path.write_bytes(content)
        own[name] = digest(content)
    return own


def link(place: Path, folder: Path) -> None:
    """Link a place in an environment to a folder outside, which is created if it is missing."""
    with contextlib.suppress(OSError):  # Keras also creates it when it first needs it
        folder.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(folder, target_is_directory=True)
