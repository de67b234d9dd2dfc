"""What was compared with its sha256 is not read again, and what has changed since always is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bundles import members
from tests.command import LOCK, Kgen
from tests.index import Index

from kgen import filecopy, lockfiles
from kgen.errors import HashMismatchError
from kgen.formats import archive
from kgen.verified_files import VerifiedFiles, stamp_of

LATER = 3_000_000_000
"""Nanoseconds after which a file that was left alone has settled, on any filesystem."""

SHA256 = hashlib.sha256(b"content").hexdigest()


def _damage(path: Path) -> None:
    """Change one byte, and put back all that can be: size, inode, and the time of the change."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def _replace(path: Path) -> None:
    """Put another file of the same size and times in its place."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def _noted(kept: Path, path: Path, sha256: str) -> VerifiedFiles:
    found = VerifiedFiles(kept)
    found.add(path, sha256, time.time_ns() + LATER)
    found.save()
    return VerifiedFiles(kept)


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    path = tmp_path / "a.whl"
    path.write_bytes(b"content")
    return path


class TestVerifiedFiles:
    def test_a_file_that_is_the_same(self, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = _noted(tmp_path / "cache/verified", file, SHA256)
        assert found.known(file, SHA256) == stamp_of(file)
        assert found.known(file, "0" * 64) is None
        monkeypatch.chdir(tmp_path)
        assert found.known(Path("a.whl"), SHA256) == stamp_of(file)

    @pytest.mark.parametrize("change", [_damage, _replace, Path.touch, Path.unlink])
    def test_one_that_was_changed(self, tmp_path: Path, file: Path, change: Callable[[Path], None]) -> None:
        found = _noted(tmp_path / "verified", file, SHA256)
        change(file)
        assert found.known(file, SHA256) is None

    def test_one_that_had_just_been_written(self, tmp_path: Path, file: Path) -> None:
        """A change in the same step of the clock would not be seen."""
        found = VerifiedFiles(tmp_path / "verified")
        found.add(file, SHA256, time.time_ns())
        found.save()
        assert found.known(file, SHA256) is None
        assert not (tmp_path / "verified").exists()

    @pytest.mark.parametrize("content", [b"", b"kgen-verified 1 00000000\n{}", b"\xff\n", b"{"])
    def test_what_is_kept_is_damaged(self, tmp_path: Path, file: Path, content: bytes) -> None:
        kept = tmp_path / "verified"
        _noted(kept, file, SHA256)
        whole = kept.read_bytes()
        kept.write_bytes(content)
        assert VerifiedFiles(kept).known(file, SHA256) is None
        kept.write_bytes(whole.replace(SHA256.encode(), b"0" * 64))
        assert VerifiedFiles(kept).known(file, "0" * 64) is None

    def test_a_cache_that_takes_nothing(self, tmp_path: Path, file: Path) -> None:
        (tmp_path / "cache").write_text("no folder")
        assert _noted(tmp_path / "cache/verified", file, SHA256).known(file, SHA256) is None


class TestArchive:
    def test_a_known_file_is_copied_unread(self, tmp_path: Path, file: Path) -> None:
        wrong = archive.Member("a.whl", "0" * 64, 7, file)
        with pytest.raises(HashMismatchError, match=r"a\.whl is damaged"):
            archive.write(tmp_path / "b.tar", [wrong])
        assert not (tmp_path / "b.tar").exists()
        assert archive.write(tmp_path / "b.tar", [wrong._replace(known=stamp_of(file))])
        assert members(tmp_path / "b.tar") == {"a.whl": b"content"}

    @pytest.mark.parametrize("change", [_damage, Path.touch])
    def test_one_that_changes_meanwhile(self, tmp_path: Path, file: Path, change: Callable[[Path], None]) -> None:
        member = archive.Member("a.whl", SHA256, 7, file, known=stamp_of(file))
        change(file)
        with pytest.raises(HashMismatchError, match=r"a\.whl is damaged"):
            archive.write(tmp_path / "b.tar", [member])
        assert [path.name for path in tmp_path.iterdir()] == ["a.whl"]

    def test_what_is_there_is_compared_unless_it_is_known(self, tmp_path: Path, file: Path) -> None:
        member = archive.Member("a.whl", SHA256, 7, file)
        output = tmp_path / "b.tar"
        assert archive.write(output, [member])
        inode = output.stat().st_ino
        assert not archive.write(output, [member])
        assert not archive.write(output, [member], known=True)
        assert output.stat().st_ino == inode
        output.write_bytes(output.read_bytes().replace(b"content", b"another"))
        assert archive.write(output, [member])
        assert members(output) == {"a.whl": b"content"}

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("listed", ["ext4", "vfat", None])
    def test_room_is_set_aside_only_where_that_writes_nothing(
        self, tmp_path: Path, file: Path, listed: str | None, monkeypatch: pytest.MonkeyPatch, *, known: bool
    ) -> None:
        reserved: list[int] = []

        def reserve(file: int, start: int, size: int) -> None:
            reserved.append(size)
            os.ftruncate(file, start + size)

        monkeypatch.setattr(filecopy, "filesystem_of", lambda _file: listed)
        monkeypatch.setattr(os, "posix_fallocate", reserve)
        member = archive.Member("a.whl", SHA256, 7, file, known=stamp_of(file) if known else None)
        output = tmp_path / "b.tar"
        assert archive.write(output, [member])
        assert members(output) == {"a.whl": b"content"}
        assert reserved == ([output.stat().st_size] if listed == "ext4" else [])

    @pytest.mark.parametrize("listed", ["ext4", "btrfs"])
    def test_members_across_the_borders_of_pieces(
        self, tmp_path: Path, listed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filecopy, "filesystem_of", lambda _file: listed)
        every = []
        for number, size in enumerate((1, 512, 1 << 20, (1 << 20) + 1, 3 * (1 << 20) - 511, 0, 700_000)):
            path = tmp_path / f"{number}.whl"
            path.write_bytes(b"before" + random.Random(number).randbytes(size) + b"behind")  # noqa: S311 - any bytes
            sha256 = hashlib.sha256(path.read_bytes()[6:-6]).hexdigest()
            every.append(archive.Member(path.name, sha256, size, path, offset=6, known=stamp_of(path)))
        output = tmp_path / "b.tar"
        assert archive.write(output, every)
        found = members(output)
        assert {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} == {
            one.path: one.sha256 for one in every
        }
        assert not archive.write(output, every)  # which compares all of it

    def test_a_disk_that_is_too_small_says_so_before_anything_is_written(
        self, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filecopy, "filesystem_of", lambda _file: "ext4")

        def full(_file: int, _start: int, _size: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            archive.write(tmp_path / "b.tar", [archive.Member("a.whl", SHA256, 7, file)])
        assert [path.name for path in tmp_path.iterdir()] == ["a.whl"]

    def test_filesystems_are_named_as_the_system_names_them(self) -> None:
        for place in ("/proc", "/sys", "/dev/shm"):  # noqa: S108 - mounts, of which nothing is used
            file = os.open(place, os.O_RDONLY)
            try:
                told = subprocess.run(["stat", "-f", "-c", "%T", place], capture_output=True, text=True, check=True)
                assert filecopy.filesystem_of(file) == told.stdout.strip()
            finally:
                os.close(file)


class TestBundle:
    """With an index that answers nothing, all comes from a folder and from the bundle that is there."""

    @pytest.fixture(name="folder")
    def _folder(self, kgen_alone: Kgen, index: Index, project: Path) -> Path:
        assert kgen_alone(*LOCK, "numpy").status == 0
        folder = project / "wheels"
        folder.mkdir()
        for file in lockfiles.read(project / "locks/numpy-cpu/pylock.linux-64.toml").files:
            served = {wheel.filename: wheel for wheel in index.wheelhouse.wheels(file.name)}
            (folder / file.filename).write_bytes(served[file.filename].content)
        index.misbehave("500")
        return folder

    def _remember(self, kgen: Kgen, folder: Path) -> None:
        """What a call notes that reads these files when they have settled."""
        kept = VerifiedFiles(Path(kgen.environment["KGEN_CACHE_DIR"]) / "verified")
        for path in folder.iterdir():
            kept.add(path, hashlib.sha256(path.read_bytes()).hexdigest(), time.time_ns() + LATER)
        kept.save()

    def test_a_file_of_a_folder_is_taken_where_it_lies(self, kgen_alone: Kgen, project: Path, folder: Path) -> None:
        done = kgen_alone("bundle", "-o", "b.tar", "--json", UV_FIND_LINKS="wheels")
        assert json.loads(done.stdout)["fetched"] == 0
        self._remember(kgen_alone, folder)
        first = (project / "b.tar").read_bytes()
        (project / "b.tar").unlink()
        assert kgen_alone("bundle", "-o", "b.tar", UV_FIND_LINKS="wheels").status == 0
        assert (project / "b.tar").read_bytes() == first

    @pytest.mark.parametrize("remembered", [True, False])
    def test_a_damaged_one_gets_into_no_bundle(
        self, kgen_alone: Kgen, project: Path, folder: Path, *, remembered: bool
    ) -> None:
        if remembered:
            self._remember(kgen_alone, folder)
        wheel = next(folder.glob("rich-*.whl"))
        _damage(wheel)
        failed = kgen_alone("bundle", "-o", "b.tar", UV_FIND_LINKS="wheels")
        assert failed.status == 4
        assert f"error: {wheel.name} is not the file that the index names: sha256 " in failed.stderr
        assert not (project / "b.tar").exists()

    def test_one_that_the_system_does_not_know_to_be_damaged_is_found_where_the_bundle_is_taken_out(
        self, kgen_alone: Kgen, project: Path, folder: Path
    ) -> None:
        """A disk that gives other bytes than were written: here the cache says that they are the right ones."""
        wheel = next(folder.glob("rich-*.whl"))
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        _damage(wheel)
        kept = VerifiedFiles(Path(kgen_alone.environment["KGEN_CACHE_DIR"]) / "verified")
        kept.add(wheel, sha256, time.time_ns() + LATER)
        kept.save()
        assert kgen_alone("bundle", "-o", "b.tar", UV_FIND_LINKS="wheels").status == 0
        refused = kgen_alone("unbundle", "b.tar", "--into", "there")
        assert refused.status == 4
        assert f"error: wheels/{sha256}/{wheel.name} is damaged" in refused.stderr
        assert not (project / "there/locks").exists()

    def test_a_bundle_that_was_damaged_since_is_made_again(self, kgen_alone: Kgen, project: Path, folder: Path) -> None:
        assert folder.is_dir()
        assert kgen_alone("bundle", "-o", "b.tar", UV_FIND_LINKS="wheels").status == 0
        whole = (project / "b.tar").read_bytes()
        head = hashlib.sha256(members(project / "b.tar")["kgen-bundle.json"]).hexdigest()
        kept = VerifiedFiles(Path(kgen_alone.environment["KGEN_CACHE_DIR"]) / "verified")
        kept.add(project / "b.tar", head, time.time_ns() + LATER)
        kept.save()
        assert kgen_alone("bundle", "-o", "b.tar", UV_FIND_LINKS="wheels").status == 0
        (project / "b.tar").write_bytes(whole.replace(b"keras/__init__.py", b"keras/__inti__.py"))
        assert kgen_alone("bundle", "-o", "b.tar", UV_FIND_LINKS="wheels").status == 0
        assert (project / "b.tar").read_bytes() == whole
