"""What is locked as it is asked for is taken as it is: nothing is solved, no index is asked, nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from tests.command import LOCK, Kgen
from tests.index import Index, serving
from tests.test_lock import versions

from kgen import lockfiles

BOTH = (*LOCK, "numpy", "jax", "--cpu")


def states(text: str) -> list[str]:
    return [line.split()[-1] for line in text.splitlines()[1:]]


@pytest.fixture(name="locked")
def _locked(kgen_alone: Kgen, index: Index) -> Kgen:
    done = kgen_alone(*BOTH)
    assert done.status == 0, done.stderr
    index.behaviour.asked.clear()
    return kgen_alone


def test_nothing_is_asked_and_nothing_written(locked: Kgen, index: Index, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (project / "locks").rglob("*")}
    first = (project / "locks/numpy-cpu/pylock.linux-64.toml").read_bytes()
    done = locked(*BOTH)
    assert (done.status, states(done.stdout)) == (0, ["unchanged", "unchanged"])
    assert index.behaviour.asked == []
    assert {path: path.stat().st_mtime_ns for path in (project / "locks").rglob("*")} == before
    assert (project / "locks/numpy-cpu/pylock.linux-64.toml").read_bytes() == first


def test_the_table_is_that_of_the_first_time(kgen_alone: Kgen) -> None:
    def rows(text: str) -> list[str]:
        return [line.partition(" s ")[0].rpartition("  ")[0] for line in text.splitlines()]

    first, second = kgen_alone(*BOTH), kgen_alone(*BOTH)
    assert rows(first.stdout) == rows(second.stdout)


def test_without_a_network(locked: Kgen, index: Index) -> None:
    index.misbehave("500")
    assert states(locked(*BOTH).stdout) == ["unchanged", "unchanged"]


def test_offline(locked: Kgen, index: Index) -> None:
    """Whether uv may ask a network shapes no lock, and nothing is asked."""
    index.misbehave("500")
    done = locked("--offline", *BOTH, UV_HTTP_TIMEOUT="3", UV_CONCURRENT_DOWNLOADS="2")
    assert (done.status, states(done.stdout)) == (0, ["unchanged", "unchanged"])


@pytest.mark.parametrize("shut", [True, False])
def test_a_cache_that_cannot_be_read(locked: Kgen, index: Index, tmp_path: Path, *, shut: bool) -> None:
    """As in a container whose HOME is another user's."""
    index.misbehave("500")
    place = tmp_path / "cache"
    if shut:
        place.mkdir(mode=0)
    else:
        place.write_text("a file")
    done = locked(*BOTH, KGEN_CACHE_DIR=str(place / "kgen"))
    place.chmod(0o700)
    assert (done.status, states(done.stdout)) == (0, ["unchanged", "unchanged"])


def test_nobody_is_called(locked: Kgen, tmp_path: Path) -> None:
    """No child process and no connection."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(
        "import sys\n"
        "def watch(event, args):\n"
        "    if event in {'subprocess.Popen', 'os.posix_spawn', 'os.fork', 'socket.connect'}:\n"
        "        print('called:', event, args, file=sys.stderr)\n"
        "sys.addaudithook(watch)\n",
        encoding="utf-8",
    )
    watched = str(tmp_path / "watch")
    assert "called:" not in locked(*BOTH, PYTHONPATH=watched).stderr
    assert "called:" in locked(*BOTH, "--upgrade", PYTHONPATH=watched).stderr


class TestWhatChanges:
    """Each of these has what is concerned made again, and the rest left alone."""

    def test_one_request(self, locked: Kgen, project: Path) -> None:
        before = versions(project, "numpy-cpu")
        assert locked(*LOCK, "jax", "--cpu", "--dependency", "six").status == 0
        done = locked(*BOTH, "--dependency", "six")
        assert states(done.stdout) == ["written", "unchanged"]
        assert {"six": "1.17.0"}.keys() <= versions(project, "numpy-cpu").keys() - before.keys()

    def test_a_library_is_shared_with_what_stands(self, kgen_alone: Kgen, project: Path) -> None:
        """JAX is there with an older NumPy; an environment that is added beside it takes that, too."""
        assert kgen_alone(*LOCK, "jax", "--cpu", "--dependency", "numpy<2.4").status == 0
        older = versions(project, "jax-cpu")["numpy"]
        done = kgen_alone(*LOCK, "jax", "openvino", "--cpu", "--dependency", "numpy<2.4")
        assert done.status == 0, done.stderr
        assert states(done.stdout)[0] == "unchanged"
        assert versions(project, "openvino-cpu")["numpy"] == older

    def test_a_byte_of_a_lock(self, locked: Kgen, project: Path) -> None:
        lock = project / "locks/jax-cpu/pylock.linux-64.toml"
        sound = lock.read_bytes()
        lock.write_bytes(sound.replace(b"sha256 = ", b"sha256  = ", 1))
        done = locked(*BOTH)
        assert states(done.stdout) == ["unchanged", "written"]
        assert lock.read_bytes() == sound

    def test_a_hook(self, locked: Kgen, project: Path) -> None:
        hook = project / "locks/jax-cpu/activate.d/kgen.sh"
        sound = hook.read_bytes()
        hook.write_bytes(sound + b"# more\n")
        assert states(locked(*BOTH).stdout) == ["unchanged", "written"]
        assert hook.read_bytes() == sound

    def test_a_lock_that_is_sealed_again_by_a_stranger(self, locked: Kgen, project: Path) -> None:
        """The hooks are what kgen writes for its own matrix, whatever a lock says of them."""
        folder = project / "locks/jax-cpu"
        hook = folder / "activate.d/kgen.sh"
        sound = hook.read_bytes()
        hook.write_bytes(b"echo mine\n")
        lock = folder / "pylock.linux-64.toml"
        text = lock.read_text()
        old = tomli.loads(text)["tool"]["kgen"]["hooks"]
        there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.d/*")}
        forged = text.replace(old, lockfiles.digest_of_files(there)).partition("# sha256 of")[0]
        lock.write_text(lockfiles.seal(forged))
        assert states(locked(*BOTH).stdout) == ["unchanged", "written"]
        assert hook.read_bytes() == sound

    def test_the_index(self, locked: Kgen, index: Index) -> None:
        with serving(index.wheelhouse) as other:
            done = locked.at(other.url)(*BOTH)
        assert states(done.stdout) == ["written", "written"]

    def test_the_form(self, locked: Kgen) -> None:
        assert states(locked(*BOTH, "--portable").stdout) == ["written", "written"]
        assert states(locked(*BOTH, "--portable").stdout) == ["unchanged", "unchanged"]

    def test_what_was_left_behind_by_a_run_that_was_killed(self, locked: Kgen, project: Path) -> None:
        left = project / "locks/.jax-cpu.kgen-new"
        left.mkdir()
        assert locked(*BOTH).status == 0
        assert not left.exists()

    def test_asked_for_anew(self, locked: Kgen, index: Index) -> None:
        assert locked(*BOTH, "--upgrade").status == 0
        assert index.behaviour.asked


class TestQuestions:
    """`solve` and `explain` answer about the lock that is there."""

    OLD = (*LOCK, "jax", "--cuda", "12")

    @pytest.fixture(name="old")
    @staticmethod
    def _old(kgen: Kgen) -> str:
        assert kgen(*TestQuestions.OLD, "--require", "jax<0.10", "--require", "nvidia-cudnn-cu12<9.12").status == 0
        assert kgen(*TestQuestions.OLD).status == 0
        return versions(kgen.folder, "jax-cuda12")["jax"]

    def test_solve(self, kgen: Kgen, old: str) -> None:
        words = ("jax", *LOCK[1:], "--cuda", "12")
        kept, anew = kgen("solve", *words), kgen("solve", *words, "--upgrade")
        cudnn = versions(kgen.folder, "jax-cuda12")["nvidia-cudnn-cu12"]
        assert f"  jax                {old} " in kept.stdout
        assert f"cuDNN {cudnn}," in kept.stdout
        assert "note: jax-cuda12: with what is locked; `kgen solve --upgrade`" in kept.stderr
        assert "  jax                0.10.2 " in anew.stdout
        assert f"cuDNN {cudnn}," not in anew.stdout
        assert "with what is locked" not in anew.stderr

    def test_explain(self, kgen: Kgen, old: str) -> None:
        said = kgen("explain", "jax-cuda12").stdout
        assert f"  jax is {old}, and the newest is " in said
        assert "    it is as locked; `kgen lock --upgrade-package jax` tries 0.10.2\n" in said
        cudnn = versions(kgen.folder, "jax-cuda12")["nvidia-cudnn-cu12"]
        assert f"cuDNN {cudnn}," in said
        assert kgen(*self.OLD, "--upgrade-package", "jax").status == 0
        assert "it is as locked; `kgen lock --upgrade-package jax`" not in kgen("explain", "jax-cuda12").stdout

    def test_solve_shares_as_lock_does(self, kgen: Kgen) -> None:
        words = ("jax", "torch", "tensorflow", *LOCK[1:], "--cuda", "12")
        solved = kgen("solve", *words).stdout
        assert kgen("lock", *words).status == 0
        for name in ("jax-cuda12", "torch-cuda12", "tensorflow-cuda12"):
            cudnn = versions(kgen.folder, name)["nvidia-cudnn-cu12"]
            (head,) = (line for line in solved.splitlines() if line.startswith(f"{name}:"))
            assert f"cuDNN {cudnn}," in head
