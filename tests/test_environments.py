"""The locked environment on disk: `sync`, `run`, `shell`, `activate`, `check --installed`; uv and shells are real."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.command import CUTOFF, LOCK, PYTHON, UV, Kgen, Result, tree
from tests.index import Index
from tests.pinned import assert_pinned, frozen, locking
from tests.record_locks import cpu, label, questions
from tests.wheelhouse import Wheel

from kgen import uvtool
from kgen.shells import recognised

SITE = f"lib/python{PYTHON}/site-packages"
ENVS = ".kgen/envs"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(
    shutil.which(f"python{PYTHON}") is None and MINOR != PYTHON, reason=f"no CPython {PYTHON} on this machine"
)

SHELLS = [pytest.param(name, marks=pytest.mark.shells) for name in ("sh", "dash", "bash", "zsh", "fish")]
EVAL = {"fish": "kgen activate {} | source"}


@pytest.fixture(scope="session")
def locks(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    """A lock of numpy for the CPU."""
    folder = tmp_path_factory.mktemp("locked")
    done = Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy")
    assert done.status == 0, done.stderr
    return folder / "locks"


@pytest.fixture
def locked(kgen: Kgen, locks: Path) -> Kgen:
    """A project with a lock of numpy for the CPU."""
    shutil.copytree(locks, kgen.folder / "locks")
    return kgen


@pytest.fixture
def synced(locked: Kgen) -> Kgen:
    """The same with its environment on disk."""
    done = locked("sync", "numpy")
    assert done.status == 0, done.stderr
    return locked


def prefix(kgen: Kgen, name: str = "numpy-cpu") -> Path:
    return kgen.folder / ENVS / name


def python(kgen: Kgen, text: str, **environment: str) -> str:
    """What the environment's interpreter, used directly, prints."""
    done = subprocess.run(
        [prefix(kgen) / "bin/python", "-c", text],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], **environment},
        text=True,
    )
    return done.stdout.strip()


SELECTED = "import os; print(os.environ.get('KERAS_BACKEND'))"


class TestSync:
    def test_what_is_installed_is_what_is_locked_and_nothing_else(self, synced: Kgen) -> None:
        lock = (synced.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text()
        wanted = set(re.findall(r'^(?:name|version) = "(.*)"$', lock.split("[tool.kgen]")[0], re.MULTILINE))
        found = python(
            synced, "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
        ).splitlines()
        assert {word for line in found for word in line.split()} == wanted

    def test_the_second_run_does_nothing_and_says_so(self, synced: Kgen) -> None:
        before = {path: path.lstat().st_mtime_ns for path in prefix(synced).rglob("*")}
        again = synced("sync", "numpy")
        assert again == Result(
            0,
            f"[TEMP]/project/{ENVS}/numpy-cpu\n",
            "numpy-cpu: is as locked, nothing to do\n"
            "\nnext: `kgen run numpy-cpu -- python …`, `kgen shell numpy-cpu`, or"
            ' `eval "$(kgen activate numpy-cpu)"`\n',
        )
        assert {path: path.lstat().st_mtime_ns for path in prefix(synced).rglob("*")} == before

    def test_an_environment_that_came_with_a_repository_is_never_entered(self, synced: Kgen, tmp_path: Path) -> None:
        """Down to kgen's own record, at the very same path: it was made by somebody else's kgen."""
        program = prefix(synced) / "bin/says"
        program.write_text(f"#!/bin/sh\necho said; touch {tmp_path}/executed\n")
        program.chmod(0o755)
        words = ("numpy", "--", "says")
        assert synced("run", "--no-sync", *words).stdout == "said\n"
        (tmp_path / "executed").unlink()
        made_from = prefix(synced) / "share/kgen/source"
        text = made_from.read_bytes()
        made_from.write_bytes(re.sub(rb"\A(kgen \S+) \w+\n", rb"\1 " + b"0" * 32 + b"\n", text))
        assert made_from.read_bytes() != text
        refused = synced("run", "--no-sync", *words)
        assert refused.status == 4
        assert "is not on disk as it is locked" in refused.stderr
        again = synced("run", *words)
        assert again.status == 127
        assert "numpy-cpu: made in" in again.stderr
        assert not (tmp_path / "executed").exists()
        assert made_from.read_bytes() == text
        assert synced("sync", "numpy").stderr.startswith("numpy-cpu: is as locked")

    def test_a_user_has_one_environment_whatever_the_shell_says_of_home(self, synced: Kgen, tmp_path: Path) -> None:
        """A job, a container or a remote shell has other variables than the shell in which it was made."""
        (token,) = re.findall(rb"\Akgen \S+ (\w+)\n", (prefix(synced) / "share/kgen/source").read_bytes())
        for folder, content in {"home/.local/state": token, "own": b"1" * 32}.items():
            (tmp_path / folder / "kgen").mkdir(parents=True)
            (tmp_path / folder / "kgen/token").write_bytes(content)
        words = ("run", "--no-sync", "numpy", "--", "true")
        others = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "own")}
        assert synced(*words, **others).status == 0  # type: ignore[arg-type]
        assert synced("sync", "numpy", **others).stderr.startswith("numpy-cpu: is as locked")  # type: ignore[arg-type]

    def test_git_ignores_the_environments(self, synced: Kgen) -> None:
        subprocess.run(["git", "init", "-q"], cwd=synced.folder, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=synced.folder, check=True, capture_output=True, text=True
        )
        assert status.stdout == "?? locks/\n"

    def test_the_answer_as_data(self, synced: Kgen) -> None:
        done = synced("sync", "numpy", "--json")
        (answer,) = json.loads(done.stdout)["environments"]
        assert answer.pop("seconds") >= 0
        assert answer.pop("python").startswith(f"{PYTHON}.")
        assert re.fullmatch("sha256:[0-9a-f]{64}", answer.pop("lock"))
        assert answer == {
            "environment": "numpy-cpu",
            "format": "uv",
            "prefix": f"[TEMP]/project/{ENVS}/numpy-cpu",
            "changed": False,
        }

    def test_a_package_installed_by_hand_is_kept(self, synced: Kgen, healthy: Index) -> None:
        words = [uvtool.find(), "pip", "install", "-q", "--python", str(prefix(synced) / "bin/python"), "six"]
        subprocess.run(words, check=True, env={**os.environ, "UV_DEFAULT_INDEX": healthy.url})
        kept = r"note: numpy-cpu: installed by hand, and kept: (six-\S+); `kgen add six` locks it,"
        for command in (("run", "numpy", "--", "python", "-c", "import six"), ("activate", "numpy")):
            done = synced(*command)
            assert (done.status, done.stderr) == (0, ""), done.stderr
        (six,) = re.findall(kept, synced("sync", "numpy").stderr)
        # and through a new lock
        assert synced(*LOCK, "numpy", "--dependency", "absl-py").status == 0
        done = synced("sync", "numpy")
        assert "numpy-cpu: made in" in done.stderr
        assert re.findall(kept, done.stderr) == [six]
        assert python(synced, "import six; print('there')") == "there"
        exact = synced("sync", "numpy", "--exact")
        assert f"note: numpy-cpu: what was installed by hand is gone: {six}\n" in exact.stderr
        assert synced("check", "--installed").status == 0
        assert synced("sync", "numpy", "--exact").stderr.startswith("numpy-cpu: is as locked, nothing to do\n")

    def test_what_the_lock_has_by_now_is_not_kept(self, synced: Kgen, healthy: Index) -> None:
        words = [uvtool.find(), "pip", "install", "-q", "--python", str(prefix(synced) / "bin/python"), "six"]
        subprocess.run(words, check=True, env={**os.environ, "UV_DEFAULT_INDEX": healthy.url})
        assert synced(*LOCK, "numpy", "--dependency", "six").status == 0
        done = synced("sync", "numpy")
        assert "what was installed by hand is gone: six-" in done.stderr
        assert synced("check", "--installed").status == 0

    def test_a_script_is_run_by_python(self, synced: Kgen) -> None:
        (synced.folder / "train it.py").write_text("print('trained')\n")
        typed = "kgen run numpy-cpu -- python 'train it.py' --fast"
        for word in ("train it.py", "./train it.py"):
            done = synced("run", "numpy", "--", word, "--fast")
            assert done.status == (127 if word[0] == "t" else 2)
            meant = typed if word[0] == "t" else typed.replace("train", "./train")
            assert f"\nhint: {meant}\n" in done.stderr
        first = synced("run", "train it.py", "--fast")
        assert first.status == 2
        assert first.stderr == (
            f"error: `train it.py` is a file, and `kgen run` takes the environment first\n\nhint: {typed}\n"
        )
        assert synced(*shlex.split(typed)[1:]).stdout == "trained\n"
        (synced.folder / "train it.py").unlink()

    def test_pip_of_another_python_installs_nothing(self, synced: Kgen) -> None:
        done = synced("run", "numpy", "--", "pip", "install", "-q", "six")
        interpreter = f"[TEMP]/project/{ENVS}/numpy-cpu/bin/python"
        assert done == Result(
            2,
            "",
            "error: numpy-cpu has no `pip`, and that of another Python would install elsewhere\n\n"
            "hint: kgen add six   # locks it, for every environment\n"
            f"hint: {UV} pip install --python {interpreter} -q six   # by hand; kgen keeps it\n",
        )
        # that of its own Python is not there either, and says nothing of kgen
        module = synced("run", "numpy", "--", "python3", "-m", "pip", "install", "six")
        assert module.status == 2
        assert module.stderr.startswith("error: numpy-cpu has no `pip`\n\nhint: kgen add six   # locks it")

    def test_a_program_of_another_python_is_named(self, synced: Kgen, tmp_path: Path) -> None:
        """It would run the tests with other packages than those that are locked."""
        tool = tmp_path / "bin/some-tool"
        tool.parent.mkdir()
        path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
        said = "note: numpy-cpu has no `some-tool`: [TEMP]/bin/some-tool is of another Python, and does not see what is"
        for script, note in (
            ("#!/usr/bin/env python3\nprint('ran')\n", f"{said} locked; `kgen add some-tool` locks one\n"),
            ("#!/usr/bin/env bash\n# pyenv exec\necho ran\n", f"{said} locked; `kgen add some-tool` locks one\n"),
            ("#!/bin/sh\necho ran\n", ""),
        ):
            tool.write_text(script)
            tool.chmod(0o755)
            assert synced("run", "numpy", "--", "some-tool", PATH=path) == Result(0, "ran\n", note)
        tool.write_text("#!/usr/bin/env python3\nprint('ran')\n")
        # one of the environment's own, and one that was named by its path
        shutil.copy(tool, prefix(synced) / "bin/some-tool")
        assert synced("run", "numpy", "--", "some-tool", PATH=path).stderr == ""
        assert synced("run", "numpy", "--", str(tool)).stderr == ""

    def test_what_to_type_instead_of_pip(self, synced: Kgen) -> None:
        for typed, hints in (
            (["-e", "."], ["kgen sync numpy-cpu   # installs the project itself, editable"]),
            ([".[plot]", "six"], ["kgen sync numpy-cpu   # ", "kgen add six   # "]),
            (["-r", "a.txt", "--requirement=b.txt"], [" -r a.txt -r b.txt   # locks what is in it"]),
            (["-ra.txt"], ["kgen lock numpy --cpu --python "]),
            (["--editable=../x", "y @ https://x.example/y"], ["kgen add 'y @ https://x.example/y' 'NAME @ ../x'"]),
            (["-i", "https://x.example/simple", "--pre", "six>=1"], ["kgen add 'six>=1'   # "]),
        ):
            done = synced("run", "numpy", "--", "pip", "install", *typed)
            said = [line.removeprefix("hint: ") for line in done.stderr.splitlines() if line.startswith("hint: ")]
            assert len(said) == len(hints) + 1, typed
            for one, expected in zip(said, hints, strict=False):
                assert expected in one
            by_hand = f"pip install --python [TEMP]/project/{ENVS}/numpy-cpu/bin/python {shlex.join(typed)}   # by hand"
            assert by_hand in said[-1]

    def test_a_package_removed_by_hand_comes_back(self, synced: Kgen) -> None:
        words = [uvtool.find(), "pip", "uninstall", "-q", "--python", str(prefix(synced) / "bin/python"), "rich"]
        subprocess.run(words, check=True)
        assert "numpy-cpu: made in" in synced("sync", "numpy").stderr
        assert python(synced, "import rich; print('there')") == "there"

    def test_a_new_lock_makes_a_new_environment(self, synced: Kgen) -> None:
        assert synced(*LOCK, "numpy", "--dependency", "six").status == 0
        assert "numpy-cpu: made in" in synced("sync", "numpy").stderr
        assert python(synced, "import six; print('there')") == "there"

    def test_a_project_that_has_moved_gets_its_environment_anew(self, synced: Kgen, tmp_path: Path) -> None:
        moved = synced.folder.rename(tmp_path / "moved")
        there = dataclasses.replace(synced, folder=moved)
        assert "numpy-cpu: made in" in there("sync", "numpy").stderr
        assert f"{moved}/" in (moved / ENVS / "numpy-cpu/bin/activate").read_text()

    def test_the_folder_can_be_chosen(self, locked: Kgen, tmp_path: Path) -> None:
        (locked.folder / "kgen.toml").write_text('envs = "elsewhere/envs"\n')
        assert locked("sync", "numpy").stdout == "[TEMP]/project/elsewhere/envs/numpy-cpu\n"
        assert (locked.folder / "elsewhere/.gitignore").read_text() == "# made by kgen\n*\n"
        flag = locked("sync", "numpy", "--envs", str(tmp_path / "scratch"))
        assert flag.stdout == "[TEMP]/scratch/numpy-cpu\n"
        assert (tmp_path / "scratch/numpy-cpu/bin/python").exists()

    @pytest.mark.parametrize("value", ["3", '""', "[]"])
    def test_a_folder_that_is_none(self, locked: Kgen, value: str) -> None:
        (locked.folder / "kgen.toml").write_text(f"envs = {value}\n")
        done = locked("sync", "numpy")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.startswith("error: [TEMP]/project/kgen.toml: envs: should be a folder")

    def test_portable_locks_come_from_the_index_by_name_and_hash(self, kgen: Kgen) -> None:
        assert kgen(*LOCK, "numpy", "--portable").status == 0
        assert "127.0.0.1" not in (kgen.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text()
        assert kgen("sync", "numpy").status == 0
        assert kgen("check", "--installed", "numpy").stdout == "numpy-cpu: every file is as locked\n"

    def test_a_lock_with_urls_needs_no_index(self, locked: Kgen, index: Index, tmp_path: Path) -> None:
        # its files come from where the lock says, though the index that is configured has none of them
        index.behaviour.fault, index.behaviour.at = "500", "/simple/"
        done = locked.at(index.url)("sync", "numpy", UV_CACHE_DIR=str(tmp_path / "cold"))
        assert done.status == 0, done.stderr
        assert locked("check", "--installed", "numpy").status == 0

    def test_without_network_from_the_cache(self, synced: Kgen) -> None:
        shutil.rmtree(prefix(synced))
        done = synced.at("http://127.0.0.1:9/simple")("sync", "numpy")
        assert done.status == 0, done.stderr

    def test_another_hash_is_refused_and_the_old_environment_stands(self, synced: Kgen) -> None:
        path = synced.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        path.write_text(re.sub(r'sha256 = "[0-9a-f]{8}', 'sha256 = "00000000', path.read_text(), count=1))
        before = tree(prefix(synced))
        done = synced("sync", "numpy")
        assert (done.status, done.stdout) == (4, "")
        assert re.match(
            r"error: numpy-cpu: a file has another hash than the lock, and was not installed: ", done.stderr
        )
        assert "absl-py" in done.stderr
        assert "hint: see whether the lock came as it was committed: `git status locks/`" in done.stderr
        assert tree(prefix(synced)) == before
        assert sorted(path.name for path in prefix(synced).parent.iterdir()) == ["numpy-cpu"]

    def test_an_index_without_the_file(self, kgen: Kgen, index: Index, tmp_path: Path) -> None:
        assert kgen(*LOCK, "numpy", "--portable").status == 0
        index.wheelhouse.put(Wheel(name="rich", version="0.1"))
        path = kgen.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        path.write_text(re.sub(r'(name = "rich"\nversion = )"[^"]*"', r'\1"999"', path.read_text()))
        done = kgen.at(index.url)("sync", "numpy", UV_CACHE_DIR=str(tmp_path / "cold"))
        assert done.status == 4
        assert done.stderr.startswith(
            "error: numpy-cpu: the index that uv is configured for does not offer a locked file: "
        )

    def test_an_unreachable_index(self, kgen: Kgen, tmp_path: Path) -> None:
        assert kgen(*LOCK, "numpy", "--portable").status == 0
        done = kgen.at("http://127.0.0.1:9/simple")("sync", "numpy", UV_CACHE_DIR=str(tmp_path / "cold"))
        assert (done.status, done.stdout) == (4, "")
        assert done.stderr.startswith("error: numpy-cpu was not installed: uv failed: ")
        assert "hint: check the network and the index that uv is configured for" in done.stderr
        assert not prefix(kgen).exists()

    def test_an_interpreter_that_stays(self, kgen: Kgen) -> None:
        """Made with the one that runs kgen, it needs nothing of kgen's own environment, which may be gone tomorrow."""
        words = ("lock", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64", "--exclude-newer", CUTOFF)
        assert kgen(*words).status == 0
        done = kgen("sync", "numpy")
        assert done.status == 0, done.stderr
        lines = (prefix(kgen) / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
        home = dict(line.split(" = ", 1) for line in lines)["home"]
        assert Path(home).resolve() == Path(sys.base_prefix, "bin").resolve()

    def test_an_interpreter_that_is_missing(self, locked: Kgen) -> None:
        path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        path.write_text(path.read_text().replace(f'python = "{PYTHON}"', 'python = "3.99"'))
        assert locked("sync", "numpy") == Result(
            4,
            "",
            "error: numpy-cpu is locked for CPython 3.99, and uv finds none on this machine\n\n"
            f"hint: {UV} python install 3.99\n"
            "hint: or install it with the system's package manager or pyenv; uv finds it on PATH\n",
        )

    def test_a_python_that_is_here_and_gives_the_same(self, locked: Kgen, tmp_path: Path) -> None:
        """Where the lock's own is not here, what can be typed at once comes first, with all that was asked for."""
        path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        path.write_text(path.read_text().replace(f'python = "{PYTHON}"', 'python = "3.12"'))
        (tmp_path / "versions/3.13.9/bin").mkdir(parents=True)
        (tmp_path / "versions/3.13.9/bin/python3.13").touch()
        place = str(tmp_path)
        done = locked("sync", "numpy", PATH=place, PYENV_ROOT=place, UV_PYTHON_PREFERENCE="only-managed")
        again = f"kgen lock numpy --cpu --python 3.13 --platform linux-64 --exclude-newer {CUTOFF}"
        assert done.status == 4
        assert f"on this machine\n\nhint: {again}   # gives the same frameworks\nhint: " in done.stderr

    def test_a_damaged_lock(self, locked: Kgen) -> None:
        path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        text = path.read_text()
        path.write_text(text.replace("sha256 =", "sha512 =", 1).replace('environment = "numpy-cpu"', "", 1))
        done = locked("sync", "numpy")
        assert done == Result(
            2,
            "",
            "error: [TEMP]/project/locks/numpy-cpu/pylock.linux-64.toml: tool.kgen.environment: is missing\n"
            "[TEMP]/project/locks/numpy-cpu/pylock.linux-64.toml: packages[0].wheels[0].hashes.sha256: is missing\n"
            "[TEMP]/project/locks/numpy-cpu/pylock.linux-64.toml: packages[0].wheels[0].hashes.sha512: unknown key; did"
            " you mean `sha256`?\n"
            "\nhint: `kgen lock` writes it again, from the settings\n",
        )
        path.write_text("<<<<<<< HEAD\n")
        assert locked("sync", "numpy").stderr.startswith(
            "error: [TEMP]/project/locks/numpy-cpu/pylock.linux-64.toml is not valid TOML: "
        )

    def test_hooks_of_the_repository_are_neither_needed_nor_executed(self, locked: Kgen) -> None:
        """kgen makes those that it runs; what a repository has is for who sources it without kgen."""
        folder = locked.folder / "locks/numpy-cpu"
        (folder / "deactivate.d/kgen.fish").unlink()
        (folder / "activate.d/kgen.sh").write_text("touch evil\n")
        assert locked("sync", "numpy").status == 0
        assert locked("run", "numpy", "--", "sh", "-c", "echo $KERAS_BACKEND").stdout == "numpy\n"
        assert "evil" not in locked("activate", "numpy", "--shell", "sh").stdout
        assert not any(
            "evil" in path.read_text(errors="replace") for path in (prefix(locked) / "share/kgen").glob("*.sh")
        )
        assert not (locked.folder / "evil").exists()

    def test_a_folder_that_cannot_be_on_path(self, locked: Kgen) -> None:
        done = locked("sync", "numpy", "--envs", "a:b")
        assert (done.status, done.stdout) == (2, "")
        assert "a:b/numpy-cpu cannot be on PATH: `:` separates its folders" in done.stderr

    def test_another_platform(self, locked: Kgen) -> None:
        folder = locked.folder / "locks/numpy-cpu"
        (folder / "pylock.linux-64.toml").rename(folder / "pylock.osx-arm64.toml")
        done = locked("sync", "numpy")
        assert done.status == 2
        assert done.stderr.startswith("error: numpy-cpu is locked for osx-arm64, and this machine is linux-")

    def test_which_environment(self, kgen: Kgen) -> None:
        assert kgen("sync").stderr == "error: nothing is locked in [TEMP]/project\n\nhint: kgen lock\n"
        assert kgen(*LOCK, "numpy", "openvino").status == 0
        assert kgen("sync") == Result(
            2,
            "",
            "error: which environment? Locked are numpy-cpu, openvino-cpu\n\n"
            "hint: kgen sync numpy-cpu\nhint: kgen sync --all\n",
        )
        assert kgen("sync", "nunpy") == Result(
            2,
            "",
            "error: there is no locked environment `nunpy` in [TEMP]/project/locks\n\n"
            "hint: did you mean `numpy-cpu`?\n",
        )
        assert "hint: did you mean `numpy-cpu`?\n" in kgen("sync", "NUMPY").stderr
        every = kgen("sync", "--all")
        assert every.stdout == "".join(f"[TEMP]/project/{ENVS}/{name}-cpu\n" for name in ("numpy", "openvino"))

    def test_a_name_that_means_two(self, kgen: Kgen) -> None:
        assert kgen(*LOCK, "jax").status == 0
        assert kgen(*LOCK, "jax", "--cuda", "12").status == 0
        done = kgen("export", "requirements", "jax")
        assert done.stderr == (
            "error: `jax` is locked more than once: jax-cpu, jax-cuda12\n\n"
            "hint: kgen export requirements jax-cpu\nhint: kgen export requirements jax-cuda12\n"
        )


class TestInterrupted:
    def test_killed_in_the_middle_the_old_environment_stands(self, synced: Kgen, index: Index, tmp_path: Path) -> None:
        assert synced(*LOCK, "numpy", "--dependency", "six", "--portable").status == 0
        before = tree(prefix(synced))
        index.behaviour.fault, index.behaviour.at = "hang", "/files/"
        cold = {"UV_CACHE_DIR": str(tmp_path / "cold"), "UV_DEFAULT_INDEX": index.url}
        child = synced.start("sync", "numpy", **cold)
        assert index.hanging.wait(60)
        assert tree(prefix(synced)) == before
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        assert tree(prefix(synced)) == before
        done = synced("sync", "numpy")
        assert done.status == 0, done.stderr
        assert python(synced, "import six; print('there')") == "there"
        assert sorted(path.name for path in prefix(synced).parent.iterdir()) == ["numpy-cpu"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_asked_to_end(self, locked: Kgen, index: Index, tmp_path: Path, number: signal.Signals) -> None:
        index.behaviour.fault, index.behaviour.at = "hang", "/files/|/simple/"
        assert locked(*LOCK, "numpy", "--portable").status == 0
        child = locked.start("sync", "numpy", UV_CACHE_DIR=str(tmp_path / "cold"), UV_DEFAULT_INDEX=index.url)
        assert index.hanging.wait(60)
        child.send_signal(number)
        _, stderr = child.communicate(timeout=30)
        assert child.returncode == 128 + number
        assert "Traceback" not in stderr
        assert list((locked.folder / ENVS).iterdir()) == []

    def test_one_without_its_record_is_not_taken_for_whole(self, synced: Kgen) -> None:
        (prefix(synced) / "share/kgen/environment.json").unlink()
        assert "numpy-cpu: made in" in synced("sync", "numpy").stderr

    def test_an_interpreter_that_has_gone(self, synced: Kgen) -> None:
        link = prefix(synced) / "bin/python"
        link.unlink()
        link.symlink_to("/nowhere/python")
        assert "numpy-cpu: made in" in synced("sync", "numpy").stderr

    def test_two_at_a_time(self, locked: Kgen) -> None:
        children = [locked.start("sync", "numpy") for _ in range(3)]
        texts = [child.communicate(timeout=120)[1] for child in children]
        assert [child.returncode for child in children] == [0, 0, 0], texts
        assert sum("made in" in text for text in texts) == 1
        assert locked("check", "--installed").status == 0

    def test_a_folder_that_cannot_be_written(self, locked: Kgen) -> None:
        (locked.folder / ".kgen").write_text("in the way")
        done = locked("sync", "numpy")
        assert done.status == 4
        assert done.stderr.startswith(f"error: [TEMP]/project/{ENVS} cannot be written: ")
        assert "hint: name another folder with `--envs`, or `envs` in the settings" in done.stderr


class TestSelection:
    """Whichever way leads in, the locked backend is selected."""

    def test_the_interpreter_alone(self, synced: Kgen) -> None:
        assert python(synced, SELECTED) == "numpy"
        assert python(synced, SELECTED, KERAS_BACKEND="torch") == "torch"

    def test_the_interpreter_without_its_environment(self, synced: Kgen) -> None:
        words = [str(prefix(synced) / "bin/python"), "-I", "-c", SELECTED]
        assert subprocess.run(words, check=True, capture_output=True, text=True, env={}).stdout == "numpy\n"

    def test_what_an_installer_changed_since_is_noted(self, synced: Kgen) -> None:
        """Another build of the same release by its local label; what is only added is the user's."""
        site = next(prefix(synced).glob("lib/python*/site-packages"))
        (site / "mine-1.0.dist-info").mkdir()
        assert "not what is locked" not in synced("doctor", "numpy").stdout
        (info,) = site.glob("numpy-*.dist-info")
        info.rename(site / info.name.replace(".dist-info", "+rocm6.4.dist-info"))
        version = info.name.removeprefix("numpy-").removesuffix(".dist-info")
        told = synced("doctor", "numpy")
        assert told.status == 0, told.stdout
        assert f"note: what is installed is not what is locked: numpy {version}+rocm6.4, not {version}" in told.stdout
        assert "fix:   kgen sync numpy-cpu\n" in told.stdout

    def test_its_programs(self, synced: Kgen, healthy: Index) -> None:
        del healthy
        assert python(synced, "import sys; print(sys.prefix)") == str(prefix(synced))

    @pytest.mark.parametrize("shell", SHELLS)
    def test_bin_activate(self, synced: Kgen, shell: str) -> None:
        script = f"{ENVS}/numpy-cpu/bin/activate{'.fish' if shell == 'fish' else ''}"
        text = f"""
            {"source" if shell == "fish" else "."} {script}
            python -c "{SELECTED}"
            echo $VIRTUAL_ENV
            deactivate
            {"set -q VIRTUAL_ENV; or echo left" if shell == "fish" else 'echo "${VIRTUAL_ENV-left}"'}
        """
        assert in_shell(synced, shell, text) == ["numpy", str(prefix(synced)), "left"]
        assert in_shell(synced, shell, text, KERAS_BACKEND="jax")[0] == "jax"

    @pytest.mark.parametrize("shell", SHELLS)
    def test_activate_and_back(self, synced: Kgen, shell: str) -> None:
        evaluated = EVAL.get(shell, 'eval "$(kgen activate {})"').format("numpy")
        text = f"""
            {evaluated}
            echo $KERAS_BACKEND; echo $KGEN_ENVIRONMENT
            command -v python
            deactivate
            echo $KERAS_BACKEND
            env
        """
        lines = in_shell(synced, shell, text, KERAS_BACKEND="mine")
        assert lines[:4] == ["numpy", "numpy-cpu", f"{prefix(synced)}/bin/python", "mine"]
        left = {line.partition("=")[0] for line in lines[4:]}
        assert not {name for name in left if "KGEN" in name and name not in shell_environment(synced)}
        assert "VIRTUAL_ENV" not in left
        (path,) = (line for line in lines[4:] if line.startswith("PATH="))
        assert path == f"PATH={shell_environment(synced)['PATH']}"

    @pytest.mark.parametrize("shell", [one for one in SHELLS if one.values != ("fish",)])
    def test_in_a_strict_shell_with_what_path_gained_meanwhile(self, synced: Kgen, shell: str) -> None:
        text = """
            set -eu
            unset PYTHONHOME PS1 || :
            eval "$(kgen activate numpy)"
            PATH="$PATH:/gained"
            deactivate
            echo "$PATH"
            unset KERAS_BACKEND || :
            eval "$(kgen activate numpy)"
            eval "$(kgen activate numpy)"
            deactivate
            echo "${KERAS_BACKEND-unset}"
        """
        assert in_shell(synced, shell, text) == [f"{shell_environment(synced)['PATH']}:/gained", "unset"]

    @pytest.mark.shells
    @pytest.mark.parametrize("flags", [["-f"], ["-f", "-e"]], ids=" ".join)
    def test_tcsh(self, synced: Kgen, flags: list[str]) -> None:
        """It has no functions, and evaluates no lines: what is sourced is a file, and `deactivate` an alias."""
        usual = shell_environment(synced)["PATH"]
        share, program = prefix(synced) / "share/kgen/activate.csh", prefix(synced) / "bin/activate.csh"
        text = (
            f"source {share}\necho $KERAS_BACKEND $KGEN_ENVIRONMENT $VIRTUAL_ENV\nwhich python\n"
            # once more, and with what PATH gained meanwhile
            f"source {share}\nsetenv PATH ${{PATH}}:/gained\ndeactivate\necho $KERAS_BACKEND $?VIRTUAL_ENV $PATH\n"
            f'setenv PATH {usual}\nsource {program}\npython -c "{SELECTED}"\ndeactivate\necho $PATH\nenv\n'
        )
        done = in_tcsh(synced, text, *flags, KERAS_BACKEND="mine")
        lines = done.splitlines()
        assert lines[:5] == [
            f"numpy numpy-cpu {prefix(synced)}",
            f"{prefix(synced)}/bin/python",
            f"mine 0 {usual}:/gained",
            "mine",
            usual,
        ]
        left = {line.partition("=")[0] for line in lines[5:]}
        assert not {name for name in left if "KGEN" in name and name not in shell_environment(synced)}
        assert not left & {"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME"}

    @pytest.mark.shells
    def test_tcsh_of_ones_own(self, synced: Kgen, tmp_path: Path) -> None:
        """`kgen shell` reads the user's own file first, in the user's own folder."""
        if shutil.which("tcsh") is None:
            pytest.skip("no tcsh here")
        home = tmp_path / "my home"
        home.mkdir()
        (home / ".cshrc").write_text("set mine = 'from rc'\nset prompt = 'mine> '\n", encoding="utf-8")
        done = subprocess.run(
            synced.words("shell", "numpy", "--shell", "tcsh"),
            input="echo got_${KERAS_BACKEND}_${mine}_${home}_${prompt}_$?_KGEN_OLD_HOME\n"
            "deactivate\necho left_${?KERAS_BACKEND}_${prompt}_\n",
            capture_output=True, check=False, cwd=synced.folder, text=True,
            env=shell_environment(synced, HOME=str(home)),
        )  # fmt: skip
        assert f"got_numpy_from rc_{home}_(numpy-cpu) mine> _0\n" in done.stdout, done
        assert "left_0_mine> _\n" in done.stdout

    def test_a_project_in_a_hostile_folder(self, kgen: Kgen, tmp_path: Path) -> None:
        folder = tmp_path / 'it\'s "a" $(touch pwned) `touch pwned` \\ dir'
        folder.mkdir()
        there = dataclasses.replace(kgen, folder=folder)
        assert there(*LOCK, "numpy").status == 0
        assert there("sync", "numpy").status == 0
        for shell in ("dash", "bash", "zsh", "fish"):
            if shutil.which(shell):
                evaluated = EVAL.get(shell, 'eval "$(kgen activate {})"').format("numpy")
                lines = in_shell(there, shell, f"{evaluated}\ncommand -v python\ndeactivate\necho $PATH")
                assert lines[0] == f"{folder}/{ENVS}/numpy-cpu/bin/python"
                assert "numpy-cpu" not in lines[1]
        if shutil.which("tcsh"):
            script = recognised("tcsh").quote(str(folder / ENVS / "numpy-cpu/share/kgen/activate.csh"))
            lines = in_tcsh(there, f"source {script}\nwhich python\ndeactivate\necho $PATH\n", "-f").splitlines()
            assert lines[0] == f"{folder}/{ENVS}/numpy-cpu/bin/python"
            assert "numpy-cpu" not in lines[1]
        assert not list(tmp_path.rglob("pwned"))

    def test_the_shell_can_be_named(self, synced: Kgen) -> None:
        for shell, sign in (
            *(("bash", "unset -f deactivate"), ("fish", "functions --erase")),
            *(("pwsh", "Set-Item"), ("nu", "hide-env"), ("tcsh", "alias deactivate"), ("csh", "alias deactivate")),
        ):
            assert sign in synced("activate", "numpy", "--shell", shell).stdout
        assert synced("activate", "numpy", "--shell", "rc") == Result(
            2,
            "",
            "error: --shell: kgen knows no shell `rc`\n\n"
            "hint: known are ash, bash, csh, dash, fish, ksh, mksh, nu, powershell, pwsh, sh, tcsh, zsh\n",
        )

    def test_shellcheck_finds_nothing(self, synced: Kgen) -> None:
        share = prefix(synced) / "share/kgen"
        scripts = [prefix(synced) / "bin/activate", *(share / name for name in ("activate.sh", "run.sh", "sh/shrc"))]
        words = ["shellcheck", "--shell=sh", "--external-sources", "--exclude=SC1090,SC1091", *map(str, scripts)]
        done = subprocess.run(words, capture_output=True, check=False, text=True)
        assert done.stdout == ""


def shell_environment(kgen: Kgen, **environment: str) -> dict[str, str]:
    """The environment of a shell in which `kgen` is a program."""
    bin_folder = kgen.temporary / "bin"
    bin_folder.mkdir(exist_ok=True)
    program = bin_folder / "kgen"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec {shlex.join(kgen.words())} "$@"\n')
        program.chmod(0o755)
    merged = {**kgen.env(), "PATH": f"{bin_folder}:/usr/bin:/bin", **environment}
    return {name: value for name, value in merged.items() if not name.startswith(("KERAS_", "PYTEST_"))} | environment


def in_shell(kgen: Kgen, shell: str, text: str, **environment: str) -> list[str]:
    """The lines that a script prints; it must say nothing on stderr."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    flags = {"fish": ["--no-config"], "zsh": ["-f"]}.get(shell, [])
    done = subprocess.run(
        [shell, *flags],
        input=text,
        capture_output=True,
        check=True,
        cwd=kgen.folder,
        env=shell_environment(kgen, **environment),
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def in_tcsh(kgen: Kgen, text: str, *flags: str, **environment: str) -> str:
    """What a script prints; it must say nothing on stderr."""
    if shutil.which("tcsh") is None:
        pytest.skip("no tcsh here")
    script = kgen.temporary / "script.csh"
    script.write_text(text, encoding="utf-8")
    own = shell_environment(kgen, **environment)
    done = subprocess.run(
        ["tcsh", *flags, str(script)], capture_output=True, check=True, cwd=kgen.folder, env=own, text=True
    )
    assert done.stderr == ""
    return done.stdout


class TestRun:
    def test_the_hooks_environment(self, synced: Kgen) -> None:
        text = "import os, sys; print(os.environ['KERAS_BACKEND'], os.environ['KGEN_ENVIRONMENT'], sys.prefix)"
        done = synced("run", "numpy", "--", "python", "-c", text, KERAS_BACKEND="mine")
        assert done == Result(0, f"numpy numpy-cpu [TEMP]/project/{ENVS}/numpy-cpu\n", "")

    def test_arguments_arrive_as_they_are(self, synced: Kgen) -> None:
        words = ["", "a b", "$(x)", "*", "--json", "--", "-V", "it's"]
        done = synced("run", "numpy", "--", "python", "-c", "import sys; print(sys.argv[1:])", *words)
        assert done.stdout == f"{words}\n"
        assert synced("run", "numpy", "python", "-c", "print(1)").stdout == "1\n"

    @pytest.mark.parametrize("status", [0, 1, 3, 77])
    def test_the_exit_status(self, synced: Kgen, status: int) -> None:
        assert synced("run", "numpy", "--", "sh", "-c", f"exit {status}").status == status

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGUSR1])
    def test_signals(self, synced: Kgen, number: signal.Signals) -> None:
        child = synced.start("run", "numpy", "--", "sh", "-c", "echo ready; exec sleep 60")
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        child.communicate(timeout=10)
        assert child.returncode == -number

    def test_a_pipe_that_is_closed(self, synced: Kgen) -> None:
        words = shlex.join([*synced.words("run", "numpy", "--", "yes")])
        done = subprocess.run(
            ["bash", "-c", f"{words} | head -n 1; echo ${{PIPESTATUS[0]}}"],
            capture_output=True, check=True, cwd=synced.folder, env=synced.env(), text=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")

    def test_a_program_that_is_not_there(self, synced: Kgen) -> None:
        assert synced("run", "numpy", "--", "trian") == Result(
            127,
            "",
            "error: there is no program `trian` in numpy-cpu nor on PATH\n\n"
            "hint: kgen add PACKAGE   # locks one that has the program, for every environment\n",
        )

    def test_nothing_to_run(self, synced: Kgen) -> None:
        assert synced("run", "numpy") == Result(
            2, "", "error: what is to run in numpy?\n\nhint: kgen run numpy -- python train.py\n"
        )

    def test_the_environment_is_forgotten(self, synced: Kgen) -> None:
        done = synced("run", "--", "pytest")
        assert done.status == 2
        assert done.stderr.startswith("error: there is no locked environment `pytest` in ")
        assert "hint: locked are numpy-cpu" in done.stderr

    def test_it_makes_the_environment_first(self, locked: Kgen) -> None:
        refused = locked("run", "--no-sync", "numpy", "--", "true")
        assert refused == Result(
            4,
            "",
            "error: numpy-cpu is not on disk as it is locked, and `--no-sync` forbids to make it\n\n"
            "hint: kgen sync numpy-cpu\n",
        )
        done = locked("run", "numpy", "--", "python", "-c", "print(1)")
        assert (done.status, done.stdout) == (0, "1\n")
        assert done.stderr == f"numpy-cpu: made in  [TIME] in {ENVS}/numpy-cpu\n"

    def test_from_a_folder_below(self, synced: Kgen) -> None:
        (synced.folder / "kgen.toml").write_text("")
        below = synced.folder / "src/deep"
        below.mkdir(parents=True)
        done = synced("run", "numpy", "--", "pwd", cwd=below)
        assert done.stdout == "[TEMP]/project/src/deep\n"


class Terminal:
    """A program on a terminal of its own, typed into."""

    def __init__(self, words: list[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(words[0], words, dict(env))  # noqa: S606 - no shell is wanted
        self.screen = ""

    def read_until(self, text: str, seconds: float = 30) -> str:
        deadline = time.monotonic() + seconds
        while text not in self.screen:
            if not select.select([self.handle], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{text!r} did not appear in {self.screen!r}")
            try:
                shown = os.read(self.handle, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"{text!r} did not appear in {self.screen!r}") from None
            self.screen += shown
            if "\x1b[6n" in shown:  # where is the cursor?
                os.write(self.handle, b"\x1b[1;1R")
        before, _, self.screen = self.screen.partition(text)
        return before

    def type(self, line: str, enter: str = "\n") -> None:
        os.write(self.handle, f"{line}{enter}".encode())

    def close(self) -> int:
        os.close(self.handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.shells
class TestNushell:
    """Nushell evaluates no text, so that a script of its own stands for what `eval` does elsewhere."""

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        if shutil.which("nu") is None:
            pytest.skip("no nu here")

    def run(self, kgen: Kgen, text: str, **environment: str) -> list[str]:
        path = kgen.folder / "script.nu"  # which paths of what it sources are relative to
        path.write_text(text)
        done = subprocess.run(
            [str(shutil.which("nu")), "--no-config-file", path],
            env=shell_environment(kgen, **environment),
            cwd=kgen.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    def test_bin_activate(self, synced: Kgen) -> None:
        script = f"""
            source {ENVS}/numpy-cpu/bin/activate.nu
            python -c "{SELECTED}" | print
            print $env.VIRTUAL_ENV
            deactivate
            print ('VIRTUAL_ENV' in $env)
        """
        assert self.run(synced, script) == ["numpy", str(prefix(synced)), "false"]

    def test_activate_and_back(self, synced: Kgen) -> None:
        text = subprocess.run(
            synced.words("activate", "numpy", "--shell", "nu"),
            env=synced.env(),
            cwd=synced.folder,
            capture_output=True,
            check=True,
        ).stdout
        (synced.folder / "entering.nu").write_bytes(text)
        lines = self.run(
            synced,
            """
            source entering.nu
            print $env.KERAS_BACKEND $env.KGEN_ENVIRONMENT (which python | get 0.path)
            source entering.nu
            $env.PATH = ($env.PATH | append /gained)
            deactivate
            print $env.KERAS_BACKEND
            deactivate
            /usr/bin/env | print
            """,
            KERAS_BACKEND="mine",
            PYTHONHOME="/theirs",
        )
        assert lines[:4] == ["numpy", "numpy-cpu", f"{prefix(synced)}/bin/python", "mine"]
        left = dict(line.split("=", 1) for line in lines[4:])
        assert not {name for name in left if "KGEN" in name and name not in shell_environment(synced)}
        assert "VIRTUAL_ENV" not in left
        assert left["PYTHONHOME"] == "/theirs"
        assert left["PATH"] == f"{shell_environment(synced)['PATH']}:/gained"

    def test_a_project_in_a_hostile_folder(self, kgen: Kgen, tmp_path: Path) -> None:
        folder = tmp_path / 'it\'s "a" $(touch pwned) `touch pwned` \\ dir'
        folder.mkdir()
        there = dataclasses.replace(kgen, folder=folder)
        assert there(*LOCK, "numpy").status == 0
        assert there("sync", "numpy").status == 0
        script = quoted(folder / ENVS / "numpy-cpu/share/kgen/activate.nu")
        lines = self.run(there, f"source {script}\nprint (which python | get 0.path)\ndeactivate\nprint $env.PATH.0")
        assert lines[0] == f"{folder}/{ENVS}/numpy-cpu/bin/python"
        assert "numpy-cpu" not in lines[1]
        assert not list(tmp_path.rglob("pwned"))

    def test_a_person_at_work(self, synced: Kgen, tmp_path: Path) -> None:
        home = tmp_path / "home"
        (home / ".config/nushell").mkdir(parents=True)
        (home / ".config/nushell/config.nu").write_text(
            "$env.MINE = 'rc'\n$env.PROMPT_COMMAND = {|| 'mine' }\n$env.config.show_banner = false\n"
            "$env.config.use_ansi_coloring = false\n"
        )
        env = shell_environment(synced, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"), TERM="xterm")
        program = str(shutil.which("nu"))
        words = synced.words("shell", "numpy", "--shell", program)
        terminal = Terminal(words, cwd=synced.folder, env={**env, "KERAS_BACKEND": "mine"})
        try:
            terminal.read_until("(numpy-cpu) mine")
            terminal.type('print $"<($env.KERAS_BACKEND)|($env.MINE)|($env.KGEN_ENVIRONMENT)>"', "\r")
            terminal.read_until("<numpy|rc|numpy-cpu>")
            terminal.read_until("(numpy-cpu) mine")
            terminal.type("deactivate", "\r")
            terminal.read_until("mine")
            terminal.type("print $\"<($env.KERAS_BACKEND)|('VIRTUAL_ENV' in $env)>\"", "\r")
            terminal.read_until("<mine|false>")
        finally:
            os.kill(terminal.pid, signal.SIGKILL)
            terminal.close()

    def test_without_a_terminal(self, synced: Kgen) -> None:
        assert synced("shell", "numpy", "--shell", "nu") == Result(
            2,
            "",
            "error: stdin is not a terminal, and nu reads commands from nothing else\n\n"
            "hint: kgen run numpy -- nu FILE\n",
        )

    def test_an_environment_that_is_older_than_what_kgen_knows_of_a_shell(self, synced: Kgen) -> None:
        (prefix(synced) / "share/kgen/activate.nu").unlink()
        assert "hide-env" in synced("activate", "numpy", "--shell", "nu").stdout


def quoted(path: Path) -> str:
    return recognised("nu").quote(str(path))


@pytest.mark.shells
class TestShell:
    @pytest.fixture(params=["bash", "zsh", "fish", "dash"])
    def shell(self, request: pytest.FixtureRequest) -> str:
        name: str = request.param
        if shutil.which(name) is None:
            pytest.skip(f"no {name} here")
        return name

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        """A home whose owner has settings of their own, one of which puts other programs first on PATH."""
        home = tmp_path / "home"
        (home / ".config/fish").mkdir(parents=True)
        (home / "bin").mkdir()
        (home / "bin/python").symlink_to(sys.executable)
        rc = 'PATH="$HOME/bin:$PATH"\nMINE=rc\nPS1="mine> "\n'
        (home / ".bashrc").write_text(rc)
        (home / ".zshrc").write_text(rc)
        (home / ".zshenv").write_text("ENVIRONED=yes\n")
        (home / ".shinit").write_text(rc)
        (home / ".config/fish/config.fish").write_text(
            "set -gx PATH $HOME/bin $PATH\nset -g MINE rc\nfunction fish_prompt\n echo -n 'mine> '\nend\n"
        )
        return home

    @pytest.fixture
    def terminal(self, synced: Kgen, shell: str, home: Path) -> Iterator[Terminal]:
        env = shell_environment(
            synced, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"), ENV=str(home / ".shinit"), TERM="dumb"
        )
        terminal = Terminal(
            synced.words("shell", "numpy", "--shell", shell), cwd=synced.folder, env={**env, "KERAS_BACKEND": "mine"}
        )
        yield terminal
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.close()

    def test_a_person_at_work(self, terminal: Terminal, synced: Kgen, shell: str) -> None:
        terminal.read_until("(numpy-cpu)")
        terminal.read_until("mine> ")
        terminal.type('echo "<$KERAS_BACKEND|$MINE|$KGEN_ENVIRONMENT>"')
        terminal.read_until("<numpy|rc|numpy-cpu>")
        terminal.type("command -v python | sed 's/^/found /'")
        terminal.read_until(f"found {prefix(synced)}/bin/python")
        terminal.type("deactivate")
        terminal.type('echo "<$KERAS_BACKEND|$VIRTUAL_ENV>"')
        terminal.read_until("<mine|>")
        terminal.type('echo "<$ZDOTDIR|$ENV|$ENVIRONED>"' if shell == "zsh" else 'echo "<$ZDOTDIR|$ENV|>"')
        settings = f"|{synced.temporary}/home/.shinit"
        terminal.read_until(f"<{settings}|yes>" if shell == "zsh" else f"<{settings}|>")
        os.kill(terminal.pid, 0)

    def test_the_exit_status_is_the_shells(self, synced: Kgen, shell: str, home: Path) -> None:
        env = shell_environment(synced, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"), TERM="dumb")
        terminal = Terminal(synced.words("shell", "numpy", "--shell", shell), cwd=synced.folder, env=env)
        terminal.read_until("(numpy-cpu)")
        terminal.type("exit 7")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            pid, status = os.waitpid(terminal.pid, os.WNOHANG)
            if pid:
                assert os.waitstatus_to_exitcode(status) == 7
                os.close(terminal.handle)
                return
            if select.select([terminal.handle], [], [], 0.05)[0]:
                try:
                    os.read(terminal.handle, 4096)
                except OSError:
                    time.sleep(0.05)
        raise AssertionError("the shell did not end")


class TestCheckInstalled:
    def test_as_locked(self, synced: Kgen) -> None:
        python(synced, "import rich, keras")  # leaves __pycache__ behind
        assert synced("check", "--installed") == Result(0, "numpy-cpu: every file is as locked\n", "")

    def test_added_changed_removed(self, synced: Kgen) -> None:
        site = prefix(synced) / SITE
        (site / "new.py").write_text("")
        changed = site / "rich/__init__.py"
        changed.unlink()
        changed.write_text("# mine\n")
        (site / "keras/__init__.py").unlink()
        (site / "_kgen_environment.py").write_text("")
        done = synced("check", "--installed", "numpy")
        rich, keras = (next(site.glob(f"{name}-*.dist-info")).name.split("-")[1][:-5] for name in ("rich", "keras"))
        assert done == Result(
            1,
            "numpy-cpu: 1 added, 2 changed, 1 removed\n"
            f"  changed {SITE}/_kgen_environment.py\n"
            f"  removed {SITE}/keras/__init__.py  (keras {keras})\n"
            f"  added   {SITE}/new.py\n"
            f"  changed {SITE}/rich/__init__.py  (rich {rich})\n",
            "\nhint: kgen sync --reinstall numpy-cpu\n",
        )
        data = json.loads(synced("check", "--installed", "numpy", "--json").stdout)
        assert [one["kind"] for one in data["environments"][0]["differences"]] == [
            *("changed", "removed", "added", "changed")
        ]
        assert synced("sync", "--reinstall", "numpy").status == 0
        assert synced("check", "--installed").status == 0

    def test_a_file_changed_together_with_its_line_in_record(self, synced: Kgen) -> None:
        site = prefix(synced) / SITE
        changed = site / "rich/__init__.py"
        changed.unlink()
        changed.write_text("")
        (record,) = site.glob("rich-*.dist-info/RECORD")
        text = record.read_text()
        record.unlink()
        empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        record.write_text(re.sub(r"rich/__init__\.py,sha256=[^,]*,\d+", f"rich/__init__.py,sha256={empty},0", text))
        done = synced("check", "--installed", "numpy")
        assert done.status == 1
        assert "RECORD  (rich" in done.stdout

    def test_what_was_damaged_in_the_cache_is_fetched_again(self, synced: Kgen, tmp_path: Path) -> None:
        """An installer links files to its cache: who edits one in an environment edits the cache."""
        cache = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_LINK_MODE": "hardlink"}
        synced = dataclasses.replace(synced, environment={**synced.environment, **cache})
        assert synced("sync", "--reinstall", "numpy").status == 0
        with (prefix(synced) / SITE / "rich/__init__.py").open("a") as file:
            file.write("# mine\n")
        assert synced("check", "--installed").status == 1
        assert synced("sync", "--reinstall", "numpy").status == 0
        assert synced("check", "--installed") == Result(0, "numpy-cpu: every file is as locked\n", "")

    def test_another_lock(self, synced: Kgen) -> None:
        assert synced(*LOCK, "numpy", "--dependency", "six").status == 0
        done = synced("check", "--installed", "numpy")
        assert (done.status, done.stdout.splitlines()[0]) == (1, "numpy-cpu: 1 removed")
        assert "(six " in done.stdout

    def test_nothing_on_disk(self, locked: Kgen) -> None:
        assert locked("check", "--installed").stderr == "error: no environment is on disk\n\nhint: kgen sync --all\n"
        assert locked("check", "--installed", "numpy").stdout == "numpy-cpu: is not on disk\n"


class TestJupyter:
    def test_without_ipykernel(self, synced: Kgen) -> None:
        assert synced("shell", "--no-sync", "numpy", "--jupyter") == Result(
            4,
            "",
            "error: numpy-cpu has no ipykernel in it, which Jupyter talks to\n\n"
            "hint: kgen add ipykernel\n"
            "hint: kgen sync numpy-cpu\n",
        )

    def test_without_settings(self, kgen: Kgen, tmp_path: Path, index: Index) -> None:
        """It needs no second step: settings that ask for what is locked are written, as `kgen add` does."""
        index.wheelhouse.put(Wheel(name="ipykernel", version="7.0"))
        there = kgen.at(index.url)
        assert there(*LOCK, "numpy", "--dependency", "six").status == 0
        done = there("shell", "numpy", "--jupyter", JUPYTER_DATA_DIR=str(tmp_path / "jupyter"))
        assert done.status == 0, done.stderr
        assert done.stdout.endswith("[TEMP]/jupyter/kernels/kgen-project-numpy-cpu\n")
        assert "there were no settings; kgen.toml has those that ask for what is locked\n" in done.stderr
        text = (kgen.folder / "kgen.toml").read_text()
        assert '\ndependencies = ["six"]\n' in text
        assert text.endswith('\n[backend.numpy]\ndependencies = ["ipykernel"]\n')
        assert python(kgen, "import ipykernel, six; print('there')") == "there"

    def test_the_kernel_spec(self, kgen: Kgen, wheelhouse: object, tmp_path: Path, index: Index) -> None:
        del wheelhouse
        index.wheelhouse.put(Wheel(name="ipykernel", version="7.0"))
        there = kgen.at(index.url)
        assert there(*LOCK, "numpy", "--dependency", "ipykernel").status == 0
        done = there("shell", "numpy", "--jupyter", JUPYTER_DATA_DIR=str(tmp_path / "jupyter"))
        assert done.stdout == "[TEMP]/jupyter/kernels/kgen-project-numpy-cpu\n"
        spec = json.loads((tmp_path / "jupyter/kernels/kgen-project-numpy-cpu/kernel.json").read_text())
        assert spec["argv"][0] == str(prefix(kgen) / "bin/python")
        assert spec["display_name"] == "numpy-cpu (project)"
        assert spec["env"]["KERAS_BACKEND"] == "numpy"

    def test_projects_of_one_name_have_kernels_of_their_own(
        self, kgen: Kgen, wheelhouse: object, tmp_path: Path, index: Index
    ) -> None:
        del wheelhouse
        index.wheelhouse.put(Wheel(name="ipykernel", version="7.0"))
        first = kgen.at(index.url)
        other = tmp_path / "other" / kgen.folder.name
        other.mkdir(parents=True)
        kernels, asked = tmp_path / "jupyter/kernels", ("shell", "numpy", "--jupyter")
        made = []
        for there in (first, dataclasses.replace(first, folder=other)):
            assert there(*LOCK, "numpy", "--dependency", "ipykernel").status == 0
            made += [there(*asked, JUPYTER_DATA_DIR=str(tmp_path / "jupyter")).stdout for _ in range(2)]
        own = "[TEMP]/jupyter/kernels/kgen-project-numpy-cpu\n"
        assert made == [own, own, *["[TEMP]/jupyter/kernels/kgen-other-project-numpy-cpu\n"] * 2]
        specs = [json.loads(path.read_text()) for path in sorted(kernels.glob("*/kernel.json"))]
        assert [one["argv"][0] for one in specs] == [str(prefix(one) / "bin/python") for one in (there, first)]
        assert [one["display_name"] for one in specs] == ["numpy-cpu (other/project)", "numpy-cpu (project)"]
        # one whose environment is gone is nobody's
        shutil.rmtree(first.folder)
        assert there(*asked, JUPYTER_DATA_DIR=str(tmp_path / "jupyter")).stdout == own

    def test_ipykernel_is_locked_along(self, kgen: Kgen, tmp_path: Path, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="ipykernel", version="7.0"))
        there = kgen.at(index.url)
        head = f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n'
        (kgen.folder / "kgen.toml").write_text(head)
        assert there("lock").status == 0
        done = there("shell", "numpy", "--jupyter", JUPYTER_DATA_DIR=str(tmp_path / "jupyter"))
        assert done.status == 0, done.stderr
        assert done.stdout.endswith("[TEMP]/jupyter/kernels/kgen-project-numpy-cpu\n")
        assert "kgen.toml requires ipykernel\n" in done.stderr
        assert (kgen.folder / "kgen.toml").read_text() == f'{head}\n[backend.numpy]\ndependencies = ["ipykernel"]\n'
        assert python(kgen, "import ipykernel; print('there')") == "there"
        again = there("shell", "numpy", "--jupyter", JUPYTER_DATA_DIR=str(tmp_path / "jupyter"))
        assert again.stdout == "[TEMP]/jupyter/kernels/kgen-project-numpy-cpu\n"

    @pytest.mark.network
    @pytest.mark.frameworks
    def test_a_notebook_runs_in_the_environment(self, project: Path, tmp_path: Path) -> None:
        """A kernel started by Jupyter's own client, from the spec alone."""
        jupyter = {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
        kgen = frozen(Kgen(folder=project, temporary=tmp_path, environment={**os.environ, **jupyter}))
        asked = questions()["jupyter"]
        with locking(kgen, "jupyter") as there:
            assert there("lock", *asked).status == 0
        assert_pinned(project / "locks/numpy-cpu/pylock.linux-64.toml", "jupyter")
        written = kgen("shell", "numpy", "--jupyter", timeout=600)
        assert written.status == 0, written.stderr
        text = """
            import os, sys
            from jupyter_client.manager import start_new_kernel
            del os.environ["KERAS_BACKEND"]
            manager, client = start_new_kernel(kernel_name="kgen-project-numpy-cpu", startup_timeout=120)
            client.execute_interactive(
                "import os, sys, keras; print(keras.backend.backend(), os.environ['KGEN_ENVIRONMENT'], sys.prefix)",
                output_hook=lambda message: print(message["content"].get("text", ""), end=""), timeout=120,
            )
            manager.shutdown_kernel(now=True)
        """
        told = kgen("run", "numpy", "--", "python", "-c", textwrap.dedent(text))
        assert told.stdout.splitlines() == [f"numpy numpy-cpu [TEMP]/project/{ENVS}/numpy-cpu"], told.stderr


@pytest.mark.network
@pytest.mark.frameworks
def test_the_real_index(project: Path, tmp_path: Path) -> None:
    """Real wheels: with folders of data, scripts and entry points; every file as its RECORD says."""
    kgen = frozen(Kgen(folder=project, temporary=tmp_path))
    name = label("jax", PYTHON)
    with locking(kgen, name) as there:
        assert there("lock", *cpu("jax", PYTHON), "--portable").status == 0
    assert_pinned(project / "locks/jax-cpu/pylock.linux-64.toml", name)
    assert kgen("sync", "jax", timeout=600).status == 0
    assert kgen("check", "--installed", "jax").stdout == "jax-cpu: every file is as locked\n"
    text = "import keras; print(keras.backend.backend())"
    assert kgen("run", "jax", "--", "python", "-c", text, KERAS_BACKEND="torch").stdout == "jax\n"
    assert kgen("run", "jax", "--", "f2py", "-v").status == 0
    assert kgen("check", "--installed", "jax").status == 0


class TestEditors:
    def test_vscode(self, synced: Kgen, tmp_path: Path) -> None:
        text = synced("export", "vscode", "numpy").stdout
        found = json.loads(text)
        interpreter = found["python.defaultInterpreterPath"].replace("${workspaceFolder}", str(synced.folder))
        done = subprocess.run(
            [interpreter, "-c", "import os; print(os.environ['KERAS_BACKEND'])"],
            check=True, capture_output=True, text=True, env={"PATH": "/bin"},
        )  # fmt: skip
        assert done.stdout == "numpy\n"
        assert found["terminal.integrated.env.linux"] == {"KERAS_BACKEND": "numpy"}
        assert synced("sync", "numpy", "--envs", str(tmp_path / "elsewhere")).status == 0
        (synced.folder / "kgen.toml").write_text(f'envs = "{tmp_path}/elsewhere"\n')
        outside = json.loads(synced("export", "vscode", "numpy").stdout)["python.defaultInterpreterPath"]
        assert outside == "[TEMP]/elsewhere/numpy-cpu/bin/python"

    def test_direnv(self, synced: Kgen, tmp_path: Path) -> None:
        text = synced("export", "envrc", "numpy").stdout
        (synced.folder / ".envrc").write_text(text)
        kgen = tmp_path / "bin/kgen"
        kgen.parent.mkdir()
        kgen.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kgen "$@"\n')
        kgen.chmod(0o755)
        watch = 'watch_file() { for f; do test -f "$f" && echo "$f"; done; }'
        asks = f'{watch}; . ./.envrc; echo "$KERAS_BACKEND"; which python'
        done = subprocess.run(
            ["bash", "-eu", "-c", asks], check=True, capture_output=True, text=True, cwd=synced.folder,
            env={**synced.environment, "PATH": f"{kgen.parent}:{os.environ['PATH']}"},
        )  # fmt: skip
        python = synced.folder / ENVS / "numpy-cpu/bin/python"
        assert done.stdout.splitlines() == ["locks/numpy-cpu/pylock.linux-64.toml", "numpy", str(python)]
