"""kgen.storage: whole or not at all, whatever happens and whenever it happens.

Runs that are killed are children of a driver, a process without threads that can fork: this file, called as a
program.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from kgen import storage
from kgen.errors import ExitStatus, OutsideError
from kgen.storage import exclusive, recover, replace_folder, write_file

OLD = {
    "pylock.linux-64.toml": b"old lock\n" * 100,
    "activate.d/kgen.sh": b"old hook\n",
    "gone/deep/file": b"no longer wanted",
}
NEW = {
    "pylock.linux-64.toml": b"new lock\n" * 100,
    "pylock.osx-arm64.toml": b"new platform\n",
    "activate.d/kgen.sh": b"new hook\n",
    "activate.d/kgen.fish": b"",
}
KEPT = {"receipts/2026.json": b"{}", "notes.txt": b"mine", "activate.d/my.sh": b"mine too"}


def owned(name: str) -> bool:
    return name not in KEPT


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes] | None:
    if not folder.exists():
        return None
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(name="locks")
def _locks(tmp_path: Path) -> Path:
    locks = tmp_path / "locks"
    put(locks / "env", OLD | KEPT)
    return locks


@pytest.fixture(name="renames", params=["exchange", "two renames", "immovable"])
def _renames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    way = str(request.param)
    rename = Path.rename
    if way != "exchange":
        monkeypatch.setattr(storage, "_renameat2", lambda: None)
    if way == "immovable":
        monkeypatch.setattr(Path, "rename", immovable(rename))
    return way


def immovable(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """What overlayfs does with a folder of a lower layer."""

    def refuse(self: Path, target: Path) -> Path:
        if target.name.endswith(".kgen-old"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))
        return rename(self, target)

    return refuse


# -- the driver
# ------------------------------------------------------------------------------------------------------


CALLS = {
    "chmod",
    "fchmod",
    "flock",
    "fstat",
    "fsync",
    "link",
    "listdir",
    "lstat",
    "mkdir",
    "open",
    "readlink",
    "remove",
    "rename",
    "replace",
    "rmdir",
    "scandir",
    "stat",
    "symlink",
    "unlink",
    "utime",
    "write",
}


def at_call(number: int, action: Callable[[], None]) -> None:
    """Does this just before the process asks the system for something for so many times."""
    left = number

    def look(_: FrameType, event: str, function: object) -> None:
        nonlocal left
        if event == "c_call" and getattr(function, "__name__", "") in CALLS:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                action()

    sys.setprofile(look)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(operation: Callable[[], object], number: int) -> bool:
    """Runs it in a child that is killed at its so-manieth call; False if it ended before."""
    child = os.fork()
    if child == 0:
        try:
            at_call(number, die)
            operation()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def drive_kills(base: Path, way: str) -> dict[str, int]:
    """Kills at every call, then the recovery at a random one; counts what was found."""
    locks = base / "locks"
    target = locks / "env"
    before: dict[str, bytes] | None = None if way == "first" else OLD | KEPT
    after = NEW if way == "first" else NEW | KEPT
    if way in {"two renames", "immovable"}:
        vars(storage)["_renameat2"] = lambda: None
    if way == "immovable":
        Path.rename = immovable(Path.rename)  # type: ignore[assignment, method-assign]
    counts = {"old": 0, "new": 0, "between": 0}
    dice = random.Random(way)  # noqa: S311
    for number in itertools.count(1):
        shutil.rmtree(locks, ignore_errors=True)
        locks.mkdir()
        if before is not None:
            put(target, before)
        if not in_child(lambda: replace_folder(target, NEW, owned=owned), number):
            assert beside(locks) == ["env"]
            assert contents(target) == after
            return counts
        seen = contents(target)
        counts["old" if seen == before else "new" if seen == after else "between"] += 1
        in_child(lambda: recover(locks), dice.randint(1, 30))
        recover(locks)
        found = contents(target)
        assert found in (before, after), (number, found)
        assert seen != after or found == after, number
        assert beside(locks) == ([] if found is None else ["env"]), (number, beside(locks))
    raise AssertionError


def drive_moments(base: Path, way: str) -> dict[str, int]:
    """Kills at random moments a child that writes for ever."""
    locks = base / "locks"
    target = locks / "env"
    put(target, OLD | KEPT)
    if way == "two renames":
        vars(storage)["_renameat2"] = lambda: None
    dice = random.Random(way)  # noqa: S311
    counts = {"old": 0, "new": 0}
    for _ in range(120):
        # how long a disk takes changes from moment to moment where others are at work
        started = time.perf_counter()
        replace_folder(target, NEW, owned=owned)
        replace_folder(target, OLD, owned=owned)
        longest = 2 * (time.perf_counter() - started)
        child = os.fork()
        if child == 0:
            for files in itertools.cycle((NEW, OLD)):
                replace_folder(target, files, owned=owned)
        time.sleep(dice.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if way == "exchange":
            assert contents(target) in (OLD | KEPT, NEW | KEPT)
        recover(locks)
        assert beside(locks) == ["env"]
        found = contents(target)
        assert found in (OLD | KEPT, NEW | KEPT)
        counts["old" if found == OLD | KEPT else "new"] += 1
    return counts


def drive_file(base: Path, _: str) -> dict[str, int]:
    path = base / "sub" / "kgen.toml"
    path.parent.mkdir(parents=True)
    counts = {"old": 0, "new": 0}
    for number in itertools.count(1):
        path.write_bytes(b"old")
        if not in_child(lambda: write_file(path, b"new"), number):
            assert path.read_bytes() == b"new"
            return counts
        counts[path.read_text()] += 1
        if number % 2:
            recover(base)
        else:
            write_file(path, b"again")
        assert beside(path.parent) == ["kgen.toml"]
    raise AssertionError


def drive_lock(base: Path, _: str) -> dict[str, int]:
    """Kills holders of the lock at every call: nobody is kept out by the dead."""

    def hold() -> None:
        with exclusive(base / "locks"):
            put(base / "locks" / "env", OLD)

    count = 0
    for number in itertools.count(1):
        if not in_child(hold, number):
            break
        count += 1
        with exclusive(base / "locks"):
            shutil.rmtree(base / "locks" / "env", ignore_errors=True)
        assert not (base / "locks").exists() or not beside(base / "locks")
    return {"killed": count}


DRIVES = {"kills": drive_kills, "moments": drive_moments, "file": drive_file, "lock": drive_lock}


def drive(base: Path, what: str, way: str = "") -> dict[str, int]:
    done = program(__file__, what, str(base), way)
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def program(*args: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(storage.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *args],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("way", ["exchange", "two renames", "immovable", "first"])
def test_killed_at_every_call(tmp_path: Path, way: str) -> None:
    counts = drive(tmp_path, "kills", way)
    assert counts["old"] > 30
    assert counts["new"] > 3
    # Only where the system cannot exchange folders is there a moment between, and `recover` ends it.
    assert bool(counts["between"]) == (way in {"two renames", "immovable"})


@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_killed_at_random_moments(tmp_path: Path, way: str) -> None:
    counts = drive(tmp_path, "moments", way)
    assert min(counts.values()) > 5


def test_a_file_killed_at_every_call(tmp_path: Path) -> None:
    counts = drive(tmp_path, "file")
    assert counts["old"] > 5
    assert counts["new"] > 1


def test_a_killed_holder_keeps_nobody_out(tmp_path: Path) -> None:
    assert drive(tmp_path, "lock")["killed"] > 10


# -- folders
# ---------------------------------------------------------------------------------------------------------


class TestReplaceFolder:
    def test_new(self, locks: Path) -> None:
        assert replace_folder(locks / "fresh", NEW, owned=owned)
        assert contents(locks / "fresh") == NEW
        assert beside(locks) == ["env", "fresh"]

    def test_kept_and_removed(self, locks: Path, renames: str) -> None:
        del renames
        target = locks / "env"
        (target / "empty").mkdir()
        (target / "notes.txt").chmod(0o600)
        (target / "receipts").chmod(0o750)
        (target / "link").symlink_to("/nowhere")
        (target / "folder link").symlink_to(locks)
        number = (target / "receipts/2026.json").stat().st_ino

        def ours(name: str) -> bool:
            return owned(name) and "link" not in name

        assert replace_folder(target, NEW, owned=ours)
        assert contents(target) == NEW | KEPT
        assert (target / "empty").is_dir()
        assert not (target / "gone").exists()
        assert stat.S_IMODE((target / "notes.txt").stat().st_mode) == 0o600
        assert stat.S_IMODE((target / "receipts").stat().st_mode) == 0o750
        assert (target / "link").readlink() == Path("/nowhere")
        assert (target / "folder link").readlink() == locks
        assert (target / "receipts/2026.json").stat().st_ino == number
        assert beside(locks) == ["env"]

    def test_without_hard_links(self, locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "not here")

        monkeypatch.setattr(os, "link", refuse)
        target = locks / "env"
        (target / "notes.txt").chmod(0o640)
        (target / "receipts/link").symlink_to("2026.json")
        replace_folder(target, NEW, owned=lambda name: name not in {*KEPT, "receipts/link"})
        assert contents(target) == NEW | KEPT
        assert stat.S_IMODE((target / "notes.txt").stat().st_mode) == 0o640
        assert (target / "receipts/link").is_symlink()

    def test_identical_is_not_touched(self, locks: Path) -> None:
        target = locks / "env"
        replace_folder(target, NEW, owned=owned)
        before = {path: path.stat() for path in [locks, target, *target.rglob("*")]}
        assert not replace_folder(target, NEW, owned=owned)
        for path, status in before.items():
            assert (path.stat().st_mtime_ns, path.stat().st_ino) == (status.st_mtime_ns, status.st_ino)
        (target / "left over").write_text("")
        assert replace_folder(target, NEW, owned=owned)
        assert contents(target) == NEW | KEPT

    def test_what_is_wanted_replaces_what_is_not_owned(self, locks: Path) -> None:
        replace_folder(locks / "env", {"notes.txt": b"ours"}, owned=owned)
        assert (locks / "env/notes.txt").read_bytes() == b"ours"

    @pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
    def test_modes(self, locks: Path, umask: int) -> None:
        (locks / "env").chmod(0o2775)
        before = os.umask(umask)
        try:
            replace_folder(locks / "env", NEW, owned=owned)
        finally:
            os.umask(before)
        assert stat.S_IMODE((locks / "env/pylock.osx-arm64.toml").stat().st_mode) == 0o644 & ~umask
        assert stat.S_IMODE((locks / "env").stat().st_mode) == 0o2775

    @pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/"])
    def test_no_way_out(self, locks: Path, name: str) -> None:
        with pytest.raises(ValueError, match="not a path inside"):
            replace_folder(locks / "env", {name: b""}, owned=owned)

    def test_a_file_where_a_folder_is_kept(self, locks: Path, renames: str) -> None:
        del renames
        for name in ("receipts", "notes.txt/below"):
            with pytest.raises(OutsideError, match="env cannot be written"):
                replace_folder(locks / "env", {name: b""}, owned=owned)
        assert contents(locks / "env") == OLD | KEPT
        assert beside(locks) == ["env"]

    def test_a_kept_link_is_never_written_through(self, locks: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (locks / "env/linked").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutsideError):
            replace_folder(locks / "env", {"linked/x": b""}, owned=lambda name: name != "linked")
        assert not beside(tmp_path / "elsewhere")

    def test_target_is_a_file(self, locks: Path) -> None:
        (locks / "file").write_text("mine")
        with pytest.raises(OutsideError, match="file is in the way") as caught:
            replace_folder(locks / "file", NEW, owned=owned)
        assert caught.value.hints
        assert (locks / "file").read_text() == "mine"

    @pytest.mark.parametrize("goal", ["env", "nowhere"])
    def test_target_is_a_link(self, locks: Path, goal: str) -> None:
        (locks / "link").symlink_to(goal)
        with pytest.raises(OutsideError, match="symbolic link"):
            replace_folder(locks / "link", NEW, owned=owned)
        assert contents(locks / "env") == OLD | KEPT

    def test_no_parent(self, locks: Path) -> None:
        with pytest.raises(OutsideError, match="No such file") as caught:
            replace_folder(locks / "a" / "b", NEW, owned=owned)
        assert caught.value.hints == (f"mkdir -p {locks}/a",)
        assert beside(locks) == ["env"]

    def test_folders_without_rights(self, locks: Path, renames: str) -> None:
        del renames
        (locks / "env/receipts").chmod(0o555)
        (locks / "env/gone").chmod(0o000)
        if os.geteuid() == 0:
            replace_folder(locks / "env", NEW, owned=owned)
        recover(locks)
        assert beside(locks) == ["env"]

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
    def test_a_fault_at_every_call(self, locks: Path, renames: str, number: int) -> None:
        target = locks / "env"
        whole = last = 0
        for call in itertools.count(1):
            shutil.rmtree(target)
            put(target, OLD | KEPT)

            def fail() -> None:
                raise OSError(number, os.strerror(number))

            problem: OutsideError | None = None
            try:
                at_call(call, fail)
                assert replace_folder(target, NEW, owned=owned)
                finished = sys.getprofile() is not None
            except OutsideError as error:
                problem, finished = error, False
            finally:
                sys.setprofile(None)
            if problem is not None:
                assert str(target) in problem.message
                # from Python 3.14 on `mkdir` takes a folder that it cannot look at for something else in its place
                said = {number, errno.EEXIST} if sys.version_info >= (3, 14) else {number}
                assert any(os.strerror(one) in problem.message for one in said)
                found = contents(target)
                last += found == NEW | KEPT
                # Where folders cannot be moved there is no way back once the old one is being emptied.
                between = renames == "immovable" and beside(locks) != ["env"]
                assert found in (OLD | KEPT, NEW | KEPT) or between
            recover(locks)
            assert contents(target) in (OLD | KEPT, NEW | KEPT)
            assert beside(locks) == ["env"]
            whole += contents(target) == OLD | KEPT
            if finished:
                break
        assert whole > 40
        # Seeing the new names onto the disk is a step that can fail, and then there is no way back either.
        assert last <= 2 or renames == "immovable"

    def test_disk_full(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=256k", "none") as place:
            put(place / "env", OLD | KEPT)
            with pytest.raises(OutsideError, match="env cannot be written: No space left on device") as caught:
                replace_folder(place / "env", {**NEW, "zz": bytes(1_000_000)}, owned=owned)
            assert caught.value.hints == (f"df -h {place}",)
            assert contents(place / "env") == OLD | KEPT
            assert beside(place) == ["env"]
            with pytest.raises(OutsideError, match="No space left"):
                write_file(place / "kgen.toml", bytes(1_000_000))
            assert beside(place) == ["env"]

    def test_read_only_disk(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=256k", "none") as place:
            put(place / "env", OLD | KEPT)
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            with pytest.raises(OutsideError, match="Read-only file system") as caught:
                replace_folder(place / "env", NEW, owned=owned)
            assert "findmnt" in caught.value.hints[0]
            with pytest.raises(OutsideError, match="Read-only file system"), exclusive(place / "locks"):
                pass

    def test_a_folder_of_a_lower_layer(self, tmp_path: Path) -> None:
        put(tmp_path / "lower/env", OLD | KEPT)
        with mounted(tmp_path / "small", "-t", "tmpfs", "none") as small:
            (small / "upper").mkdir()
            (small / "work").mkdir()
            layers = f"lowerdir={tmp_path}/lower,upperdir={small}/upper,workdir={small}/work,redirect_dir=off"
            with mounted(tmp_path / "merged", "-t", "overlay", "-o", layers, "overlay") as place:
                with pytest.raises(OSError, match="cross-device"):
                    (place / "env").rename(place / "else")
                assert replace_folder(place / "env", NEW, owned=owned)
                assert contents(place / "env") == NEW | KEPT
                assert beside(place) == ["env"]
                assert replace_folder(place / "env", OLD, owned=owned)
                assert contents(place / "env") == OLD | KEPT

    def test_no_rights(self) -> None:
        # Not in pytest's folder: nobody may look into that, and nobody is who tries.
        with tempfile.TemporaryDirectory() as name:
            base = Path(name)
            base.chmod(0o755)
            locks = base / "locks"
            put(locks / "env", OLD | KEPT)
            for path in [locks, *locks.rglob("*")]:
                path.chmod(0o755 if path.is_dir() else 0o644)
            with nobody():
                with pytest.raises(OutsideError, match="Permission denied") as caught:
                    replace_folder(locks / "env", NEW, owned=owned)
                assert caught.value.hints
                with pytest.raises(OutsideError, match="Permission denied"):
                    write_file(locks / "kgen.toml", b"")
                with pytest.raises(OutsideError, match="Permission denied"), exclusive(locks):
                    pass
                recover(locks)
            assert contents(locks / "env") == OLD | KEPT
            assert beside(locks) == ["env"]
            if os.geteuid() == 0:
                locks.chmod(0o777)
                (locks / "env").chmod(0o777)
                with nobody(), pytest.raises(OutsideError, match="another user's") as caught:
                    replace_folder(locks / "env", NEW, owned=owned)
                assert "chown" in caught.value.hints[0]
                assert contents(locks / "env") == OLD | KEPT
                assert beside(locks) == ["env"]

    def test_other_peoples_files_are_copied(self) -> None:
        # They may not be linked to.
        with tempfile.TemporaryDirectory() as name:
            locks = Path(name)
            locks.chmod(0o777)
            put(locks / "env", {"notes.txt": b"mine", "lock": b"old"})
            (locks / "env").chmod(0o777)
            (locks / "env/notes.txt").chmod(0o755)
            with nobody():
                replace_folder(locks / "env", {"lock": b"new"}, owned=owned)
                assert contents(locks / "env") == {"notes.txt": b"mine", "lock": b"new"}
                assert stat.S_IMODE((locks / "env/notes.txt").stat().st_mode) == 0o755
            (locks / "env/secret").write_bytes(b"root's")
            (locks / "env/secret").chmod(0o600)
            with nobody(), pytest.raises(OutsideError, match=r"Permission denied .*env/secret"):
                replace_folder(locks / "env", {"lock": b"newer"}, owned=lambda name: name == "lock")
            assert beside(locks) == ["env"]


@contextlib.contextmanager
def mounted(place: Path, *args: str) -> Iterator[Path]:
    place.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can mount a small filesystem")
    if subprocess.run(["mount", *args, str(place)], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Root may write everywhere; nobody may not."""
    if os.geteuid():
        pytest.skip("only root can be somebody else")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestRecover:
    def test_nothing_to_do(self, locks: Path, tmp_path: Path) -> None:
        recover(tmp_path / "none")
        before = locks.stat().st_mtime_ns
        recover(locks)
        assert locks.stat().st_mtime_ns == before
        assert contents(locks / "env") == OLD | KEPT

    def test_only_the_old_one_is_left(self, locks: Path) -> None:
        (locks / "env").rename(locks / ".env.kgen-old")
        recover(locks)
        assert contents(locks / "env") == OLD | KEPT
        assert beside(locks) == ["env"]

    def test_a_folder_that_has_come_back_meanwhile_stands(self, locks: Path) -> None:
        put(locks / ".env.kgen-old", {"a": b"1"})
        put(locks / ".env.kgen-new", {"a": b"2"})
        recover(locks)
        assert contents(locks / "env") == OLD | KEPT
        assert beside(locks) == ["env"]

    def test_the_temporary_file_of_somebody_alive_stays(self, locks: Path) -> None:
        temporary, handle = storage._temporary(locks / "env/receipts/x.json")
        recover(locks)
        assert temporary.exists()
        os.close(handle)
        recover(locks)
        assert not temporary.exists()

    def test_what_cannot_be_removed_is_named(self, locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(locks / ".env.kgen-new", {"a": b"2"})

        def refuse(self: Path, *, missing_ok: bool = False) -> None:
            del missing_ok
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(self))

        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(OutsideError, match=r"Operation not permitted .*\.env\.kgen-new/a"):
            recover(locks)


class TestWriteFile:
    def test_new_and_again(self, tmp_path: Path) -> None:
        path = tmp_path / "kgen.toml"
        write_file(path, b"one")
        write_file(path, b"two" * 100_000)
        assert path.read_bytes() == b"two" * 100_000
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert beside(tmp_path) == ["kgen.toml"]

    def test_mode_and_link_are_kept(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        real, link = tmp_path / "real/pyproject.toml", tmp_path / "pyproject.toml"
        real.write_text("old")
        real.chmod(0o600)
        link.symlink_to(real)
        write_file(link, b"new")
        assert link.is_symlink()
        assert real.read_text() == "new"
        assert stat.S_IMODE(real.stat().st_mode) == 0o600

    def test_a_folder_is_in_the_way(self, tmp_path: Path) -> None:
        with pytest.raises(OutsideError, match="Is a directory"):
            write_file(tmp_path, b"")

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutsideError, match="No such file") as caught:
            write_file(tmp_path / "none/kgen.toml", b"")
        assert caught.value.status == ExitStatus.OUTSIDE
        assert caught.value.hints == (f"mkdir -p {tmp_path}/none",)

    def test_many_writers(self, tmp_path: Path) -> None:
        path = tmp_path / "file"

        def write(text: bytes) -> None:
            for _ in range(20):
                write_file(path, text)

        texts = [str(number).encode() * 1000 for number in range(8)]
        threads = [threading.Thread(target=write, args=[text]) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_bytes() in texts
        assert beside(tmp_path) == ["file"]


class TestExclusive:
    def test_a_second_process_is_refused(self, tmp_path: Path) -> None:
        code = (
            "import sys, pathlib; from kgen.storage import exclusive\n"
            "with exclusive(pathlib.Path(sys.argv[1])): print('inside')"
        )
        locks = tmp_path / "locks"
        with exclusive(locks):
            refused = program("-c", code, str(locks))
            with pytest.raises(OutsideError) as caught, exclusive(locks):
                pass
        assert refused.stdout == ""
        assert f"another `kgen lock` is at work in {locks}" in refused.stderr
        assert caught.value.message == f"another `kgen lock` is at work in {locks}"
        assert caught.value.hints == ("wait for it to end, or end it",)
        assert program("-c", code, str(locks)).stdout == "inside\n"
        assert not locks.exists()

    def test_leaves_nothing(self, tmp_path: Path) -> None:
        locks = tmp_path / "locks"
        with exclusive(locks):
            assert beside(locks) == [".kgen.lock"]
        assert not locks.exists()
        locks.mkdir()
        with exclusive(locks):
            pass
        assert beside(locks) == []
        with exclusive(locks):
            put(locks / "env", OLD)
        assert beside(locks) == ["env"]

    def test_released_when_the_block_fails(self, tmp_path: Path) -> None:
        with pytest.raises(KeyError), exclusive(tmp_path / "locks"):
            raise KeyError
        with exclusive(tmp_path / "locks"):
            pass

    def test_no_project(self, tmp_path: Path) -> None:
        with (
            pytest.raises(OutsideError, match="cannot be locked: No such file"),
            exclusive(tmp_path / "a/locks"),
        ):
            pass

    def test_locks_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "locks").write_text("")
        with (
            pytest.raises(OutsideError, match="cannot be locked: Not a directory"),
            exclusive(tmp_path / "locks"),
        ):
            pass

    def test_never_two_inside(self, tmp_path: Path) -> None:
        """Many come and go, and each who goes removes the lock's file and the folder."""
        inside, most, entered = 0, 0, 0
        deadline = time.monotonic() + 20
        guard = threading.Lock()

        def visit() -> None:
            nonlocal inside, most, entered
            own = 0
            while own < 25 and time.monotonic() < deadline:
                with contextlib.suppress(OutsideError), exclusive(tmp_path / "locks"):
                    with guard:
                        inside += 1
                        own += 1
                        entered += 1
                        most = max(most, inside)
                    time.sleep(0)
                    with guard:
                        inside -= 1

        threads = [threading.Thread(target=visit) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
        assert entered == 150


if __name__ == "__main__":
    json.dump(DRIVES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3]), sys.stdout)
