"""Where nothing is otherwise, kgen answers before it imports what it takes to find the answer."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.channel import ChannelServer
from tests.command import LOCK, Kgen
from tests.conda_packages import MINOR
from tests.index import Index
from tests.test_uptodate import states
from tests.wheelhouse import Wheel

from kgen import replay

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = f"""\
[project]
name = "own"
version = "1"
requires-python = ">=3.10"
dependencies = ["six"]

[dependency-groups]
dev = ["absl-py"]

[tool.kgen]
backends = ["numpy", "jax"]
groups = ["dev"]
requirements = ["more.txt"]
python = "{LOCK[2]}"
exclude-newer = "{LOCK[-1]}"

[tool.kgen.target.laptop]
platforms = ["linux-64"]
cpu = true
"""


def noting(healthy: Index, folder: Path) -> Kgen:
    """The command in an empty folder, with caches of its own, which says when it imports what parses its arguments."""
    for name in ("project", "watch"):
        (folder / name).mkdir()
    (folder / "watch/sitecustomize.py").write_text(
        "import sys\n"
        "def watch(event, args):\n"
        "    if event == 'import' and args[0] == 'typer':\n"
        "        print('looked again', file=sys.stderr)\n"
        "sys.addaudithook(watch)\n",
        encoding="utf-8",
    )
    own = {"PYTHONPATH": str(folder / "watch"), "KGEN_CACHE_DIR": str(folder / "kgen-cache")}
    kgen = Kgen(folder=folder / "project", temporary=folder).at(healthy.url)
    return dataclasses.replace(kgen, environment={**kgen.environment, **own})


@pytest.fixture(name="rich", scope="module")
def _rich(healthy: Index, tmp_path_factory: pytest.TempPathFactory) -> Kgen:
    """A project with facts of its own, locked, whose answer is kept; for who leaves its files alone."""
    kgen = noting(healthy, tmp_path_factory.mktemp("rich"))
    project = kgen.folder
    (project / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    (project / "uv.toml").write_text("", encoding="utf-8")
    (project / "more.txt").write_text("-r nested.txt\n", encoding="utf-8")
    (project / "nested.txt").write_text("packaging\n", encoding="utf-8")
    done = kgen("lock")
    assert done.status == 0, done.stderr
    keep(kgen)
    return kgen


def keep(kgen: Kgen) -> None:
    """Have the answer kept."""
    assert states(kgen("lock").stdout) == ["unchanged", "unchanged"]
    age(kgen.folder, Path(kgen.environment["KGEN_CACHE_DIR"]))
    assert "looked again" in kgen("lock").stderr
    assert "looked again" not in kgen("lock").stderr, "the answer was not kept"


def age(*folders: Path) -> None:
    """Wait until none of the files is as new as what may change again without a later time on it."""
    newest = max(
        path.lstat().st_ctime_ns for folder in folders for path in (folder, *folder.parents[:2], *folder.rglob("*"))
    )
    time.sleep(max(0.0, (newest + replay._GRANULE - time.time_ns()) / 1e9))


def test_the_answer_is_the_same(rich: Kgen) -> None:
    kept = rich("lock")
    anew = rich("lock", FRESH="1")
    assert "looked again" not in kept.stderr
    assert "looked again" in anew.stderr
    assert (kept.status, kept.stdout) == (anew.status, anew.stdout)
    assert kept.stderr == anew.stderr.replace("looked again\n", "")


def _touched(name: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        with (project / name).open("a", encoding="utf-8") as file:
            file.write("\n# more\n")

    return change


def _made(name: str, text: str = "") -> Callable[[Path], None]:
    def change(project: Path) -> None:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")

    return change


CHANGES: dict[str, Callable[[Path], None]] = {
    "settings": _touched("pyproject.toml"),
    "requirements": _touched("more.txt"),
    "requirements of requirements": _touched("nested.txt"),
    "a lock": _touched("locks/jax-cpu/pylock.linux-64.toml"),
    "a hook": _touched("locks/jax-cpu/activate.d/kgen.sh"),
    "a hook that is gone": lambda project: (project / "locks/jax-cpu/activate.d/kgen.sh").unlink(),
    "a file beside a lock": _made("locks/jax-cpu/pylock.osx-arm64.toml"),
    "another environment": _made("locks/torch-cpu/pylock.linux-64.toml"),
    "what a killed run left": _made("locks/.jax-cpu.kgen-new/file"),
    "uv's settings": _touched("uv.toml"),
    "settings of their own": _made("kgen.toml", 'backends = ["numpy"]\n'),
    "a link": lambda project: (project / "kgen.toml").symlink_to("nowhere"),
    "the same content with the same time": lambda project: _same_again(project / "more.txt"),
}


def _same_again(path: Path) -> None:
    there = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(there.st_atime_ns, there.st_mtime_ns))
    other.replace(path)


def test_a_change_has_it_looked_at_again(rich: Kgen, tmp_path: Path) -> None:
    """Each of these alone: nothing of it is overlooked."""
    project = tmp_path / "project"
    shutil.copytree(rich.folder, project)
    own = {"KGEN_CACHE_DIR": str(tmp_path / "kgen-cache")}
    kgen = dataclasses.replace(rich, folder=project, environment={**rich.environment, **own})
    keep(kgen)
    (kept,) = (tmp_path / "kgen-cache/replay").iterdir()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    for name, change in CHANGES.items():
        _stamp(kept)
        assert not _asked_again(kgen), f"before {name}"
        change(project)
        assert _asked_again(kgen), f"{name}: not seen"
        for path in sorted(project.rglob("*"), reverse=True):
            if path not in before and (path.is_symlink() or path.is_file()):
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        for path, content in before.items():
            path.write_bytes(content)


def _stamp(kept: Path) -> None:
    """Bind an answer to how what it was made of is now, as a run would after some seconds."""
    data = json.loads(kept.read_text(encoding="ascii"))
    data["seen"] = {path: replay._state(path) for path in data["seen"]}
    kept.write_text(json.dumps(data), encoding="ascii")


def _asked_again(kgen: Kgen, *words: str) -> bool:
    """Whether kgen would look again, without letting it."""
    code = "import sys; from kgen import replay; sys.exit(not replay.again(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *(words or ("lock",))],
        cwd=kgen.folder,
        env=kgen.env(),
        capture_output=True,
        check=False,
    )
    return done.returncode != 0


def test_other_surroundings(rich: Kgen) -> None:
    for name, value in {
        "UV_CONSTRAINT": "c.txt",
        "PATH": "/",
        "COLUMNS": "50",
        "HOME": "/",
        "KGEN_MATRIX_DIR": "",
    }.items():
        assert _asked_again(dataclasses.replace(rich, environment={**rich.environment, name: value})), name


def test_what_the_shell_counts_matters_not(rich: Kgen) -> None:
    passing = {"SHLVL": "7", "OLDPWD": "/", "_": "/bin/kgen"}
    assert not _asked_again(dataclasses.replace(rich, environment={**rich.environment, **passing}))


def test_what_was_just_written_is_not_trusted(healthy: Index, tmp_path: Path) -> None:
    """A file may change twice within one tick of its clock."""
    kgen = noting(healthy, tmp_path)
    words = (*LOCK, "numpy", "--cpu")
    assert states(kgen(*words).stdout) == ["written"]
    assert "looked again" in kgen(*words).stderr
    assert not (tmp_path / "kgen-cache/replay").exists()


def test_an_answer_that_is_torn(rich: Kgen) -> None:
    rich = dataclasses.replace(rich, environment={**rich.environment, "FRESH": "torn"})
    assert rich("lock").status == 0
    folder = Path(rich.environment["KGEN_CACHE_DIR"]) / "replay"
    kept = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    whole = kept.read_bytes()
    for text in (
        b"",
        whole[:-9],
        b"[]",
        b"{}",
        b'{"asked": 1}',
        b"\xff" * 40,
        b"null",
        whole.replace(b'"said"', b'"x"'),
        whole.replace(b'"file"', b'"x"'),
        whole.replace(b'"file": null', b'"file": ["/nowhere/b.tar", [[0, {"bytes": "?"}, 0, 1]], 1]'),
    ):
        kept.write_bytes(text)
        done = rich("lock")
        assert done.status == 0, text
        assert states(done.stdout) == ["unchanged", "unchanged"]
        assert "looked again" in done.stderr
        assert kept.read_bytes() == whole  # kept again


def test_a_reader_that_is_full(rich: Kgen) -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = subprocess.run(
            rich.words("lock"),
            cwd=rich.folder,
            env=rich.env(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 4
    assert "the result could not be printed" in done.stderr


def test_all_that_is_looked_at_is_noted(rich: Kgen) -> None:
    """Who adds a look to what decides whether a lock stands has to note it: Python's own functions are watched."""
    assert not_noted(rich, "lock") == []


def test_all_of_conda_that_is_looked_at_is_noted(conda: Kgen, served: ChannelServer) -> None:
    words = ("lock", "--conda", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64", "--channel", served.url)
    for state in ("written", "unchanged"):  # the second fills the caches
        done = conda(*words)
        assert done.status == 0, done.stderr
        assert set(states(done.stdout)) == {state}
    assert not_noted(conda, *words) == []


def test_all_of_a_package_of_setuptools_that_is_looked_at_is_noted(
    kgen_alone: Kgen, index: Index, project: Path
) -> None:
    index.wheelhouse.put(Wheel(name="setuptools", version="80.0"), Wheel(name="wheel", version="0.45"))
    (project / "lib").mkdir()
    (project / "lib/pyproject.toml").write_text('[project]\nname = "lib"\nversion = "1"\n', encoding="utf-8")
    (project / "kgen.toml").write_text('dependencies = ["lib @ ./lib"]\n', encoding="utf-8")
    (project / "setup.cfg").write_text("[metadata]\nname = own\n[options]\ninstall_requires = six\n", encoding="utf-8")
    words = (*LOCK, "numpy", "--cpu")
    for state in ("written", "unchanged"):
        done = kgen_alone(*words)
        assert done.status == 0, done.stderr
        assert states(done.stdout) == [state]
    assert not_noted(kgen_alone, *words) == []


BUNDLE = ("bundle", "-o", "b.tar")


WRITTEN = ("bundle", "-o", "../out/b.tar")
"""Not in the project: `python -m` has Python look into the folder that it is started in."""


@pytest.fixture(name="bundled")
def _bundled(healthy: Index, tmp_path: Path) -> Kgen:
    """A project with a bundle that is known to be what it is to be."""
    kgen = noting(healthy, tmp_path)
    assert kgen(*LOCK, "numpy", "--cpu").status == 0
    for _ in ("written", "compared", "known"):
        done = kgen(*BUNDLE)
        assert done.status == 0, done.stderr
        age(kgen.folder, Path(kgen.environment["KGEN_CACHE_DIR"]))
    return kgen


def test_a_bundle_that_is_there(bundled: Kgen) -> None:
    before = (bundled.folder / "b.tar").stat()
    kept = bundled(*BUNDLE)
    anew = bundled(*BUNDLE, FRESH="1")
    assert "looked again" in anew.stderr
    assert "looked again" not in kept.stderr
    assert (kept.status, kept.stdout) == (0, "b.tar\n")
    assert kept.stderr == anew.stderr.replace("looked again\n", "")
    assert (bundled.folder / "b.tar").stat()[:-3] == before[:-3]
    cache = Path(bundled.environment["KGEN_CACHE_DIR"])
    (whose,) = (path for path in (cache / "own").rglob("typer-*.whl"))
    for path in (
        bundled.folder / "b.tar",
        bundled.folder / "locks/numpy-cpu/pylock.linux-64.toml",
        bundled.folder / "locks/numpy-cpu/activate.d/kgen.sh",
        bundled.folder / "locks/numpy-cpu",
        cache / "verified",
        cache / "own/index",
        whose,
    ):
        aside = path.with_name("aside")
        path.rename(aside)
        assert _asked_again(bundled, *BUNDLE), f"{path}: not seen"
        aside.rename(path)
        for answer in (cache / "replay").iterdir():
            _stamp(answer)
        assert not _asked_again(bundled, *BUNDLE)


@pytest.fixture(name="written_before", scope="module")
def _written_before(healthy: Index, tmp_path_factory: pytest.TempPathFactory) -> Kgen:
    """A project whose bundle was written of files that are known."""
    kgen = noting(healthy, tmp_path_factory.mktemp("written"))
    bundle = kgen.folder.parent / "out/b.tar"
    bundle.parent.mkdir()
    assert kgen(*LOCK, "numpy", "--cpu").status == 0
    assert kgen(*WRITTEN).status == 0
    assert kgen("unbundle", str(bundle)).status == 0  # its files lie in the project then
    for _ in ("made anew", "compared", "known", "written again"):
        bundle.unlink()
        age(kgen.folder, Path(kgen.environment["KGEN_CACHE_DIR"]))
        done = kgen(*WRITTEN)
        assert done.status == 0, done.stderr
        if "looked again" not in done.stderr:
            break
    else:
        pytest.fail("it is not written again at once")
    bundle.rename(bundle.with_name("before.tar"))
    return kgen


@pytest.fixture(name="written")
def _written(written_before: Kgen) -> Kgen:
    """The same: the bundle is gone, and all that it was made of is as it was."""
    bundle, _ = _of(written_before)
    bundle.unlink(missing_ok=True)
    for answer in (Path(written_before.environment["KGEN_CACHE_DIR"]) / "replay").iterdir():
        _stamp(answer)
    return written_before


def test_a_bundle_that_is_gone_is_written_again(written: Kgen) -> None:
    bundle, before = _of(written)
    again = written(*WRITTEN)
    assert "looked again" not in again.stderr
    assert bundle.read_bytes() == before.read_bytes()
    assert bundle.stat().st_mode == before.stat().st_mode
    bundle.unlink()
    anew = written(*WRITTEN, FRESH="1")
    assert "looked again" in anew.stderr
    assert (again.status, again.stdout) == (anew.status, anew.stdout)
    assert again.stderr == anew.stderr.replace("looked again\n", "")
    assert bundle.read_bytes() == before.read_bytes()
    assert "looked again" in written(*WRITTEN).stderr, "what is there is compared"


def _of(written: Kgen) -> tuple[Path, Path]:
    """Where the bundle is to be, and the same as it was written before."""
    folder = written.folder.parent / "out"
    return folder / "b.tar", folder / "before.tar"


def test_a_bundle_whose_files_are_otherwise_is_not_written_again(written: Kgen) -> None:
    (bundle, before), project = _of(written), written.folder
    wheel = next((project / ".kgen/wheels").rglob("*.whl"))
    (own,) = (Path(written.environment["KGEN_CACHE_DIR"]) / "own").rglob("typer-*.whl")
    for path in (wheel, own, project / "locks/numpy-cpu/pylock.linux-64.toml", project / "locks/numpy-cpu"):
        aside = path.with_name("aside")
        path.rename(aside)
        assert _asked_again(written, *WRITTEN), f"{path}: not seen"
        assert not bundle.exists()
        aside.rename(path)
        for answer in (Path(written.environment["KGEN_CACHE_DIR"]) / "replay").iterdir():
            _stamp(answer)
    bundle.touch()
    assert _asked_again(written, *WRITTEN)
    assert bundle.read_bytes() == b""
    bundle.unlink()
    assert not _asked_again(written, *WRITTEN)
    assert bundle.read_bytes() == before.read_bytes()


MEANWHILE = """\
import sys
from pathlib import Path
from kgen import filecopy, replay
copy = filecopy.copy
def meanwhile(*args, **options):
    copy(*args, **options)
    {}
filecopy.copy = meanwhile
sys.exit(not replay.again(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "change",
    [
        "next(Path('.kgen/wheels').rglob('*.whl')).touch()",
        "Path('locks/numpy-cpu/pylock.linux-64.toml').touch()",
        "Path('../out/b.tar').write_text('another')",
        "raise OSError(28, 'No space left on device')",
    ],
)
def test_what_changes_while_a_bundle_is_written_again(written: Kgen, change: str) -> None:
    done = _run(written, MEANWHILE.format(change))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    bundle, before = _of(written)
    left = {path.name for path in bundle.parent.iterdir()}
    assert left == {"before.tar"} | ({"b.tar"} if "another" in change else set())
    assert not bundle.exists() or bundle.read_text(encoding="ascii") == "another"
    bundle.unlink(missing_ok=True)
    if "touch" not in change:  # the test could fail: without that, it is written
        assert _run(written, MEANWHILE.format("pass")).returncode == 0
        assert bundle.read_bytes() == before.read_bytes()


def _run(written: Kgen, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *WRITTEN],
        cwd=written.folder,
        env=written.env(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_large_bundle_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It takes so long that how far it is has to be shown."""
    for size, is_kept in ((replay.LARGEST, True), (replay.LARGEST + 1, False)):
        witness = replay._Witness(str(tmp_path / "place"))
        monkeypatch.setattr(replay, "_witness", witness)
        replay.looked(tmp_path / "b.tar")
        replay.wrote(tmp_path / "b.tar", [(0, b"content", 0, 7)], size)
        assert (replay._witness is witness) == is_kept
        assert witness.is_repeatable == is_kept


def test_all_of_a_bundle_that_is_written_is_noted(written: Kgen) -> None:
    bundle, _ = _of(written)
    for _ in ("made anew", "compared"):  # kgen's own wheels: Python's path is another one there
        with pytest.raises(AssertionError, match="something was to be done"):
            not_noted(written, *WRITTEN)
        bundle.unlink()
        age(Path(written.environment["KGEN_CACHE_DIR"]))
    places_to_write = (Path(written.environment["KGEN_CACHE_DIR"]) / "files", bundle.with_name(".b.tar.part"))
    looks = (Path(path) for path in not_noted(written, *WRITTEN))
    assert [path for path in looks if not any(map(path.is_relative_to, places_to_write))] == []


def test_a_bundle_with_an_interpreter_is_always_looked_at(rich: Kgen, tmp_path: Path) -> None:
    """What runs to find it may be another one the next time."""
    shutil.copytree(rich.folder / "locks", tmp_path / "locks")
    code = "from kgen import replay; replay.again(['bundle']); from kgen.cli.main import run\n"
    code += "run(['bundle', '-o', 'b.tar', '--with-python']); print(replay._witness is None)"
    (tmp_path / "b.tar").touch()
    environment = rich.env(KGEN_CACHE_DIR=str(tmp_path / "kgen-cache"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "True", done.stderr


def test_all_of_a_bundle_that_is_looked_at_is_noted(bundled: Kgen) -> None:
    with pytest.raises(AssertionError, match="something was to be done"):
        not_noted(bundled, *BUNDLE)  # kgen's own wheels: Python's path is another one there
    age(bundled.folder, Path(bundled.environment["KGEN_CACHE_DIR"]))
    assert not_noted(bundled, *BUNDLE) == []


def not_noted(kgen: Kgen, *words: str) -> list[str]:
    """What a call with nothing to do looks at and does not note."""
    paths = os.pathsep.join((kgen.environment.get("PYTHONPATH", ""), str(REPOSITORY)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.looking", *words],
        cwd=kgen.folder,
        env=kgen.env(PYTHONPATH=paths, FRESH="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_a_watch_sees_what_is_not_noted(rich: Kgen) -> None:
    """The test above could fail: without the noting of files that are opened, they are listed."""
    code = (
        "from kgen import files, replay\nfiles.replay = type('deaf', (), {'looked': staticmethod(lambda path: None)})\n"
    )
    code += "import sys\nfrom tests.looking import main\nmain(sys.argv[1:])\n"
    done = subprocess.run(
        [sys.executable, "-c", code, "lock"],
        cwd=rich.folder,
        env=rich.env(PYTHONPATH=os.pathsep.join((rich.environment["PYTHONPATH"], str(REPOSITORY))), FRESH="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(rich.folder / "locks/.nix/VERSION") in json.loads(done.stderr.splitlines()[-1])
