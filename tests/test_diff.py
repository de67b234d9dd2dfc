"""`kgen diff`: what changed between two locks, of files, folders and revisions of git."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.command import LOCK as CALL
from tests.command import Kgen, Result

from kgen import lockfiles
from kgen.actions.diff import Difference
from kgen.cli.diff import _size

REFERENCE = Path(__file__).parents[1] / "locks"
LOCK = "pylock.linux-64.toml"


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def older(path: Path, name: str) -> str:
    """Lets a lock have an older version of a package; returns the one that it had."""
    version = lockfiles.read(path).versions[name]
    text = path.read_text()
    path.write_text(text.replace(f'name = "{name}"\nversion = "{version}"', f'name = "{name}"\nversion = "0.1"'))
    assert path.read_text() != text
    return version


@pytest.fixture
def repository(project: Path) -> Path:
    """Two commits: an older numpy, then the newer one and a second environment."""
    shutil.copytree(REFERENCE / "numpy-cpu", project / "locks/numpy-cpu")
    path = project / "locks/numpy-cpu" / LOCK
    older(path, "numpy")
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-qm", "one")
    shutil.copy(REFERENCE / "numpy-cpu" / LOCK, path)
    shutil.copytree(REFERENCE / "jax-cuda12", project / "locks/jax-cuda12")
    git(project, "add", ".")
    git(project, "commit", "-qm", "two")
    return project


def test_two_revisions(kgen: Kgen, repository: Path) -> None:
    numpy = lockfiles.read(repository / "locks/numpy-cpu" / LOCK).versions["numpy"]
    assert kgen("diff", "HEAD~1", "HEAD") == Result(
        0,
        "jax-cuda12 (linux-64): added, download [SIZE]\n\n"
        f"numpy-cpu (linux-64): changed\n  numpy 0.1 -> {numpy} (up)\n",
        "",
    )
    assert f"  numpy {numpy} -> 0.1 (down)\n" in kgen("diff", "HEAD", "HEAD~1").stdout
    assert kgen("diff", "HEAD", "HEAD") == Result(0, "no lock has changed\n", "")


def test_a_revision_and_the_working_tree(kgen: Kgen, repository: Path) -> None:
    assert kgen("diff", "HEAD").stdout == "no lock has changed\n"
    shutil.rmtree(repository / "locks/jax-cuda12")
    assert kgen("diff", "HEAD").stdout == "jax-cuda12 (linux-64): removed, download [SIZE]\n"


def test_a_project_below_the_repository(kgen: Kgen, repository: Path) -> None:
    inner = repository / "inner"
    inner.mkdir()
    (inner / "kgen.toml").write_text("cpu = true\n")
    shutil.copytree(REFERENCE / "openvino-cpu", inner / "locks/openvino-cpu")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "three")
    assert kgen("diff", "HEAD", cwd=inner).stdout == "no lock has changed\n"
    assert kgen("diff", "HEAD~1", cwd=inner) == Result(
        0,
        "openvino-cpu (linux-64): added, download [SIZE]\n",
        "note: HEAD~1 has no locks: all those of the working tree are new\n",
    )
    done = kgen("diff", "HEAD", "HEAD~1", "--markdown", cwd=inner)
    assert done == Result(
        0,
        "### openvino-cpu (linux-64)\n\nRemoved, download [SIZE].\n",
        "note: HEAD~1 has no locks: all those of HEAD are gone\n",
    )
    (data,) = json.loads(kgen("diff", "HEAD~1", "HEAD", "--json", cwd=inner).stdout)["locks"]
    assert (data["state"], data["size"]["before"]) == ("added", None)
    assert {one["direction"] for one in data["changes"]} == {"added"}
    shutil.rmtree(inner / "locks")
    assert kgen("diff", "HEAD", cwd=inner).stdout == "openvino-cpu (linux-64): removed, download [SIZE]\n"
    assert kgen("diff", "HEAD~1", cwd=inner) == Result(
        2, "", "error: there are no locks in HEAD~1 or in the working tree\n\nhint: kgen lock\n"
    )


def test_before_the_first_commit(kgen: Kgen, project: Path) -> None:
    git(project, "init", "-q")
    shutil.copytree(REFERENCE / "numpy-cpu", project / "locks/numpy-cpu")
    assert kgen("diff") == Result(
        0,
        "numpy-cpu (linux-64): added, download [SIZE]\n",
        "note: HEAD has no locks: all those of the working tree are new\n",
    )
    assert kgen("diff", "nowhere").status == 2
    assert kgen("diff", str(project / "locks"), str(project)).stdout == "no lock has changed\n"


def test_markdown(kgen: Kgen, repository: Path) -> None:
    numpy = lockfiles.read(repository / "locks/numpy-cpu" / LOCK).versions["numpy"]
    assert kgen("diff", "--markdown", "HEAD~1", "HEAD").stdout == (
        "### jax-cuda12 (linux-64)\n\nAdded, download [SIZE].\n\n"
        "### numpy-cpu (linux-64)\n\n| what | before | after | |\n|---|---|---|---|\n"
        f"| numpy | 0.1 | {numpy} | up |\n"
    )


def test_two_files_and_two_folders(kgen: Kgen) -> None:
    one, other = REFERENCE / "jax-cuda12", REFERENCE / "jax-cuda13"
    locks = [lockfiles.read(folder / LOCK) for folder in (one, other)]
    files = kgen("diff", str(one / LOCK), str(other / LOCK)).stdout
    assert files == kgen("diff", str(one), str(other)).stdout
    assert (
        f"  CUDA {locks[0].runtime} -> {locks[1].runtime} (up)\n  cuDNN {locks[0].cudnn} -> {locks[1].cudnn} (" in files
    )
    assert f"  jax-cuda13-plugin {locks[1].versions['jax-cuda13-plugin']} added\n" in files
    assert f"  jax-cuda12-plugin {locks[0].versions['jax-cuda12-plugin']} removed\n" in files
    assert files.endswith("  download [SIZE] -> [SIZE]\n")
    (data,) = json.loads(kgen("diff", "--json", str(one), str(other)).stdout)["locks"]
    assert data["size"] == {"before": locks[0].size, "after": locks[1].size}
    assert {"what": "CUDA", "before": locks[0].runtime, "after": locks[1].runtime, "direction": "up"} in data["changes"]


def test_two_environments_on_several_platforms(kgen: Kgen, project: Path) -> None:
    """Each platform of one is compared with the same of the other; their names are enough."""
    assert kgen(*CALL, "jax", "numpy", "--cpu").status == 0
    for name in ("jax-cpu", "numpy-cpu"):
        folder = project / "locks" / name
        text = (folder / LOCK).read_text().replace('"linux-64"', '"osx-arm64"')
        (folder / "pylock.osx-arm64.toml").write_text(text)
    found = kgen("diff", "jax-cpu", "numpy-cpu")
    assert (found.status, found.stderr) == (0, "")
    assert found == kgen("diff", "locks/jax-cpu", "locks/numpy-cpu")
    assert found == kgen("diff", "jax", "numpy")
    assert "removed" not in found.stdout.replace("  ", "")
    assert [line for line in found.stdout.splitlines() if line.endswith("changed")] == [
        f"jax-cpu -> numpy-cpu ({platform}): changed" for platform in ("linux-64", "osx-arm64")
    ]
    data = json.loads(kgen("diff", "--json", "jax-cpu", "numpy-cpu").stdout)["locks"]
    assert (data[0]["lock"], data[0]["other"]) == ("jax-cpu (linux-64)", "numpy-cpu (linux-64)")
    assert "### jax-cpu -> numpy-cpu (linux-64)\n" in kgen("diff", "--markdown", "jax-cpu", "numpy-cpu").stdout
    # a platform that one of them lacks
    (project / "locks/numpy-cpu/pylock.osx-arm64.toml").unlink()
    assert "jax-cpu (osx-arm64): removed" in kgen("diff", "jax-cpu", "numpy-cpu").stdout
    assert "jax-cpu (osx-arm64): added" in kgen("diff", "numpy-cpu", "jax-cpu").stdout


def test_the_same_versions_and_other_files(kgen: Kgen, project: Path) -> None:
    folder = project / "numpy-cpu"
    shutil.copytree(REFERENCE / "numpy-cpu", folder)
    (folder / LOCK).write_text((folder / LOCK).read_text().replace("# Do not edit", "# Edited"))
    assert kgen("diff", str(REFERENCE / "numpy-cpu"), str(folder)).stdout == (
        "numpy-cpu (linux-64): changed\n  the same versions; something else in the lock is not\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("HEAD",), "`HEAD` is not a file or a folder, and [TEMP]/project is not in a git repository"),
        (("locks", "."), "there are no locks in locks"),
    ],
)
def test_wrong_calls(kgen: Kgen, project: Path, words: tuple[str, ...], said: str) -> None:
    if words[0] == "locks":
        (project / "locks").mkdir()
    done = kgen("diff", *words)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}\n\nhint: ")


def test_no_such_revision(kgen: Kgen, repository: Path) -> None:
    done = kgen("diff", "nowhere", cwd=repository)
    assert done == Result(
        2,
        "",
        "error: `nowhere` is not a file, a folder or a revision of this repository\n\n"
        "hint: git log --oneline says which revisions there are\n",
    )


def test_no_lock(kgen: Kgen, repository: Path) -> None:
    (repository / "locks/numpy-cpu" / LOCK).write_text("mine = true\n")
    assert kgen("diff", "HEAD").status == 2


def test_sizes_that_read_alike_are_not_shown() -> None:
    one = Difference("numpy-cpu", "changed", (), (152_000_000, 152_000_900))
    assert _size(one) is None
    assert _size(one._replace(sizes=(152_000_000, 163_000_000))) == "download 152 MB -> 163 MB"
