"""Nothing is replaced without asking whose it is: folders of environments, what is in their place, and leftovers."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.command import LOCK, PYTHON, Kgen, tree
from tests.index import Index

from kgen import storage
from kgen.errors import OutsideError
from kgen.formats.environment import is_kgens

ENVS = ".kgen/envs"
MARK = b"made by kgen, and removed by it when its maker has ended\n"

pytestmark = pytest.mark.skipif(
    shutil.which(f"python{PYTHON}") is None and f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON,
    reason=f"no CPython {PYTHON} on this machine",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    done = Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy")
    assert done.status == 0, done.stderr
    return folder


@pytest.fixture
def locked(kgen: Kgen, made: Path, tmp_path: Path) -> Kgen:
    """A project with a lock of numpy for the CPU, and a folder for temporary files of its own."""
    shutil.copytree(made / "locks", kgen.folder / "locks")
    (tmp_path / "temporary").mkdir()
    return dataclasses.replace(kgen, environment={**kgen.environment, "TMPDIR": str(tmp_path / "temporary")})


def settings(kgen: Kgen, envs: str) -> None:
    (kgen.folder / "kgen.toml").write_text(f"envs = {json.dumps(envs)}\n")


class TestWhatIsInTheWay:
    def test_somebodys_folder_stands(self, locked: Kgen, tmp_path: Path) -> None:
        theirs = tmp_path / "theirs"
        (theirs / "numpy-cpu/thesis").mkdir(parents=True)
        (theirs / "numpy-cpu/thesis/chapter").write_text("years of work")
        before = tree(theirs / "numpy-cpu")
        done = locked("sync", "numpy", "--envs", str(theirs))
        assert (done.status, done.stdout) == (4, "")
        assert done.stderr.startswith(
            "error: [TEMP]/theirs/numpy-cpu is in the way: kgen has not made it,"
            " and replaces nothing that is not its own\n"
        )
        assert tree(theirs / "numpy-cpu") == before
        assert [path.name for path in theirs.iterdir() if "stage" in path.name or "sync" in path.name] == []

    def test_a_virtual_environment_of_somebodys_stands(self, locked: Kgen) -> None:
        place = locked.folder / ENVS / "numpy-cpu"
        place.mkdir(parents=True)
        (place / "pyvenv.cfg").write_text("home = /usr/bin\n")
        assert locked("sync", "numpy").status == 4
        assert [path.name for path in place.iterdir()] == ["pyvenv.cfg"]

    @pytest.mark.parametrize("command", [("sync", "numpy"), ("run", "numpy", "--", "true"), ("activate", "numpy")])
    def test_whichever_command_makes_it(self, locked: Kgen, command: tuple[str, ...]) -> None:
        place = locked.folder / ENVS / "numpy-cpu"
        place.mkdir(parents=True)
        (place / "mine").write_text("x")
        assert locked(*command).status == 4
        assert (place / "mine").read_text() == "x"

    def test_an_empty_folder_is_taken(self, locked: Kgen) -> None:
        (locked.folder / ENVS / "numpy-cpu").mkdir(parents=True)
        assert locked("sync", "numpy").status == 0

    def test_its_own_is_replaced_also_where_half_of_it_is_gone(self, locked: Kgen) -> None:
        assert locked("sync", "numpy").status == 0
        place = locked.folder / ENVS / "numpy-cpu"
        for name in ("share/kgen/source", "share/kgen/environment.json"):
            text = (place / name).read_bytes()
            (place / name).unlink()
            shutil.rmtree(place / "lib")
            assert locked("sync", "numpy").status == 0
            assert (place / name).read_bytes()[:20] == text[:20]

    @pytest.mark.parametrize(
        ("name", "content", "ours"),
        [
            ("share/kgen/source", b"kgen 0.0.1\n\n/somewhere", True),  # as every version has written it
            (
                "share/kgen/environment.json",
                b'{"schema": 1, "lock": "", "python": "", "installed": {}, "own": {}}',
                True,
            ),
            ("share/kgen/environment.json", b'{"schema": 9, "lock": "", "installed": {}, "own": {}}', True),
            ("share/kgen/source", b"something else", False),
            ("share/kgen/environment.json", b"{}", False),
            ("share/kgen/environment.json", b"[" * 100_000, False),
            ("share/kgen/environment.json", b"\xff\x00", False),
            ("share/kgen/other", b"kgen 0.0.1", False),
        ],
    )
    def test_what_it_is_known_by(self, tmp_path: Path, name: str, content: bytes, *, ours: bool) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        assert is_kgens(tmp_path) is ours

    def test_a_record_behind_a_link_is_somebody_elses(self, tmp_path: Path) -> None:
        (tmp_path / "real/kgen").mkdir(parents=True)
        (tmp_path / "real/kgen/source").write_bytes(b"kgen 0.1.0\n")
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        (tmp_path / "one/share").symlink_to(tmp_path / "real")
        (tmp_path / "two/share/kgen").mkdir(parents=True)
        (tmp_path / "two/share/kgen/source").symlink_to(tmp_path / "real/kgen/source")
        assert not is_kgens(tmp_path / "one")
        assert not is_kgens(tmp_path / "two")


class TestWhereEnvironmentsMayBe:
    @pytest.mark.parametrize(
        ("place", "told"),
        [
            (".", "is the project's own folder, or above it"),
            ("..", "is the project's own folder, or above it"),
            ("/", "is the project's own folder, or above it"),
            ("sub/..", "is the project's own folder, or above it"),
            ("locks", "is in locks/ of the project, which has another purpose"),
            ("locks/x", "is in locks/ of the project, which has another purpose"),
            ("./x/../locks", "is in locks/ of the project, which has another purpose"),
            (".git", "is in .git/ of the project, which has another purpose"),
            (".git/hooks", "is in .git/ of the project, which has another purpose"),
            ("link", "leads through a symbolic link to"),
            ("link/below", "leads through a symbolic link to"),
            ("to-locks", "is in locks/ of the project, which has another purpose"),
            ("to-root", "is the project's own folder, or above it"),
        ],
    )
    @pytest.mark.parametrize("by", ["flag", "settings"])
    def test_not_there(self, locked: Kgen, tmp_path: Path, place: str, told: str, by: str) -> None:
        (tmp_path / "elsewhere").mkdir()
        (locked.folder / "sub").mkdir()
        (locked.folder / "link").symlink_to(tmp_path / "elsewhere")
        (locked.folder / "to-locks").symlink_to("locks")
        (locked.folder / "to-root").symlink_to(".")
        words = ["sync", "numpy", "--envs", place] if by == "flag" else ["sync", "numpy"]
        (locked.folder / "kgen.toml").write_text('backends = ["numpy"]\n')
        if by == "settings":
            settings(locked, place)
        before = [path.name for path in sorted(locked.folder.rglob("*"))]
        done = locked(*words)
        assert (done.status, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.startswith("error: --envs: " if by == "flag" else "error: [TEMP]/project/kgen.toml: envs: ")
        assert [path.name for path in sorted(locked.folder.rglob("*"))] == before
        assert list((tmp_path / "elsewhere").iterdir()) == []

    @pytest.mark.parametrize("linked", [".kgen", ".kgen/envs"])
    def test_the_usual_folder_is_a_link(self, locked: Kgen, tmp_path: Path, linked: str) -> None:
        target = tmp_path / "target"
        (target / "envs/numpy-cpu").mkdir(parents=True)
        (target / "envs/numpy-cpu/mine").write_text("x")
        (locked.folder / linked).parent.mkdir(exist_ok=True)
        (locked.folder / linked).symlink_to(target)
        before = tree(target)
        done = locked("sync", "numpy")
        assert done.status == 2
        assert done.stderr.startswith("error: the folder of the environments: [TEMP]/project/.kgen/envs leads through")
        assert tree(target) == before

    def test_outside_by_the_flag_and_from_then_on_by_the_settings(self, locked: Kgen, tmp_path: Path) -> None:
        outside = tmp_path / "scratch"
        settings(locked, str(outside))
        refused = locked("sync", "numpy")
        assert refused.status == 2
        assert refused.stderr == (
            "error: [TEMP]/project/kgen.toml: envs: [TEMP]/scratch is outside of the project; settings may name such a"
            " folder only after you have named it yourself\n"
            "\nhint: kgen sync --all --envs [TEMP]/scratch\n"
        )
        assert not outside.exists()
        assert locked("sync", "--all", "--envs", str(outside)).status == 0
        assert locked("sync", "numpy").stdout == "[TEMP]/scratch/numpy-cpu\n"

    def test_git_goes_on_seeing_folders_that_were_there(self, locked: Kgen) -> None:
        (locked.folder / "src").mkdir()
        (locked.folder / "src/code.py").write_text("")
        settings(locked, "src/envs")
        assert locked("sync", "numpy").status == 0
        assert not (locked.folder / "src/.gitignore").exists()
        assert (locked.folder / "src/envs/.gitignore").exists()

    def test_no_ignore_file_in_a_folder_of_somebodys(self, locked: Kgen, tmp_path: Path) -> None:
        (tmp_path / "theirs").mkdir()
        assert locked("sync", "numpy", "--envs", str(tmp_path / "theirs")).status == 0
        assert not (tmp_path / "theirs/.gitignore").exists()


class TestLeftovers:
    def leave(self, kgen: Kgen) -> list[Path]:
        """What a killed run leaves of each kind."""
        envs, temporary = kgen.folder / ENVS, Path(kgen.environment["TMPDIR"])
        stage, scratch = envs / ".numpy-cpu.0123456789ab.kgen-stage", temporary / "kgen-0123456789ab"
        other = envs / ".jax-cuda12.0123456789ab.kgen-stage"
        for folder in (stage, scratch, other):
            (folder / "made/lib").mkdir(parents=True)
            (folder / "made/lib/file").write_text("x")
            (folder / "kgen-mark").write_bytes(MARK)
        guard = envs / ".jax-cuda12.kgen-sync"
        guard.mkdir()
        (guard / ".kgen.lock").touch()
        files = [
            kgen.folder / "locks/.kgen.lock",
            kgen.folder / "locks/numpy-cpu/.x.0123abcd.kgen-tmp",
            kgen.folder / ".kgen.toml.0123abcd.kgen-tmp",
            kgen.folder / ".kgen.lock",
        ]
        for path in files:
            path.touch()
        new = kgen.folder / "locks/.numpy-cpu.kgen-new"
        new.mkdir()
        return [stage, scratch, other, guard, new, *files]

    @pytest.mark.parametrize(
        "command",
        [("sync", "numpy"), ("run", "numpy", "--", "true"), ("activate", "numpy"), (*LOCK, "numpy")],
    )
    def test_the_next_run_of_any_kind_removes_them(self, locked: Kgen, command: tuple[str, ...]) -> None:
        assert locked("sync", "numpy").status == 0  # from now on it is whole
        left = self.leave(locked)
        assert locked(*command).status == 0
        assert [path for path in left if os.path.lexists(path)] == []
        assert list(Path(locked.environment["TMPDIR"]).iterdir()) == []

    def test_not_what_a_live_run_uses(self, locked: Kgen) -> None:
        assert locked("sync", "numpy").status == 0
        left = self.leave(locked)
        held = [
            left[0] / "kgen-mark",
            left[1] / "kgen-mark",
            left[3] / ".kgen.lock",
            locked.folder / "locks/.kgen.lock",
        ]
        handles = [os.open(path, os.O_RDWR) for path in held]
        for handle in handles:
            fcntl.flock(handle, fcntl.LOCK_EX)
        assert locked("sync", "numpy").status == 0
        assert all(path.exists() for path in held)
        assert (left[0] / "made/lib/file").exists()
        for handle in handles:
            os.close(handle)
        assert locked("sync", "numpy").status == 0
        assert [path for path in left if os.path.lexists(path)] == []

    def test_not_what_has_the_name_alone(self, locked: Kgen, tmp_path: Path) -> None:
        assert locked("sync", "numpy").status == 0
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "kgen-mark").write_bytes(MARK)
        (precious / "file").write_text("x")
        temporary = Path(locked.environment["TMPDIR"])
        (temporary / "kgen-0123456789ab").mkdir()
        (temporary / "kgen-0123456789ab/file").write_text("x")
        (temporary / "kgen-aaaaaaaaaaaa").mkdir()
        (temporary / "kgen-aaaaaaaaaaaa/kgen-mark").write_text("something else")
        (temporary / "kgen-bbbbbbbbbbbb").symlink_to(precious)
        (temporary / "kgen-notes").mkdir()
        os.mkfifo(temporary / "kgen-cccccccccccc")
        (locked.folder / ENVS / ".x.0123456789ab.kgen-stage").symlink_to(precious)
        before = sorted(path.name for path in temporary.rglob("*"))
        assert locked("sync", "numpy").status == 0
        assert sorted(path.name for path in temporary.rglob("*")) == before
        assert (precious / "file").read_text() == "x"

    def test_a_stranger_gets_no_folder_of_the_project_removed(self, locked: Kgen) -> None:
        """`.src.kgen-old` and `-new` mean that `src` is half removed, of folders that kgen replaces alone."""
        assert locked("sync", "numpy").status == 0
        for name in ("src", ".src.kgen-new", ".src.kgen-old"):
            (locked.folder / name).mkdir()
        (locked.folder / "src/code.py").write_text("x = 1\n")
        assert locked("sync", "numpy").status == 0
        assert (locked.folder / "src/code.py").read_text() == "x = 1\n"

    def test_an_environment_that_was_moved_aside_comes_back(self, locked: Kgen) -> None:
        assert locked("sync", "numpy").status == 0
        envs = locked.folder / ENVS
        stage = envs / ".numpy-cpu.0123456789ab.kgen-stage"
        (stage / "made").mkdir(parents=True)
        (stage / "kgen-mark").write_bytes(MARK)
        (envs / "numpy-cpu").rename(stage / "old")
        assert locked("run", "--no-sync", "numpy", "--", "true").status == 0
        assert not stage.exists()


class TestStaging:
    def test_without_an_exchange(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(storage, "_exchange", lambda *_: False)
        target = tmp_path / "env"
        target.mkdir()
        (target / "old").touch()
        with storage.staged_folder(target, owned=lambda _: True) as staged:
            (staged / "new").touch()
        assert [path.name for path in target.iterdir()] == ["new"]
        assert [path.name for path in tmp_path.iterdir()] == ["env"]

    def test_two_runs_have_two_places(self, tmp_path: Path) -> None:
        places = []
        for _ in range(2):
            with storage.staged_folder(tmp_path / "env", owned=lambda _: True) as staged:
                places.append(staged)
        assert len(set(places)) == 2

    def test_what_came_meanwhile_stands(self, tmp_path: Path) -> None:
        target = tmp_path / "env"

        def made_meanwhile() -> None:
            with storage.staged_folder(target, owned=lambda _: False):
                target.mkdir()
                (target / "mine").touch()

        with pytest.raises(OutsideError, match="is in the way"):
            made_meanwhile()
        assert [path.name for path in tmp_path.iterdir()] == ["env"]

    def test_a_survivor_that_goes_on_writing_spoils_nothing(self, tmp_path: Path) -> None:
        target = tmp_path / "env"
        survivor = tmp_path / ".env.0123456789ab.kgen-stage"
        (survivor / "made").mkdir(parents=True)
        (survivor / "kgen-mark").write_bytes(MARK)
        with storage.staged_folder(target, owned=lambda _: False) as staged:
            (survivor / "made/late").write_text("x")
            (staged / "file").touch()
        assert [path.name for path in target.iterdir()] == ["file"]
        storage.sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["env"]

    def test_scratch_is_for_nobody_else_and_goes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))

        def fail() -> None:
            with storage.scratch() as folder:
                assert folder.is_relative_to(tmp_path)
                assert folder.parent.stat().st_mode & 0o077 == 0
                storage.sweep(tmp_path)
                assert folder.is_dir()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert list(tmp_path.iterdir()) == []
