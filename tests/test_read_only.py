"""A project in a folder that cannot be written: what only reads works, and what writes says where and what helps."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from tests.command import LOCK, Kgen, Result
from tests.index import Index

APART = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'


@pytest.fixture(name="shut", scope="module")
def _shut(healthy: Index, tmp_path_factory: pytest.TempPathFactory) -> Kgen:
    """A project that is locked and installed, and has no `flake.nix`; its folder is made read-only by :func:`run`."""
    folder = tmp_path_factory.mktemp("shut") / "project"
    folder.mkdir()
    words = [*APART, MOUNT, "sh", str(folder), "true"]
    if shutil.which("unshare") is None or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no folder can be mounted here")
    kgen = Kgen(folder=folder, temporary=folder.parent).at(healthy.url)
    (folder / "kgen.toml").write_text(f'backends = ["numpy"]\ncpu = true\npython = "{LOCK[2]}"\n')
    assert kgen(*LOCK[:1], *LOCK[-2:]).status == 0
    assert kgen("sync", "numpy").status == 0
    (folder / "flake.nix").unlink(missing_ok=True)
    return kgen


def run(kgen: Kgen, *words: str) -> Result:
    done = subprocess.run(
        [*APART, MOUNT, "sh", str(kgen.folder), *kgen.words(*words)],
        env=kgen.env(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        "lock " + shlex.join(LOCK[-2:]),
        "lock --json " + shlex.join(LOCK[-2:]),
        "lock --upgrade --dry-run " + shlex.join(LOCK[-2:]),
        "sync numpy",
        "run numpy -- python -c pass",
        "activate numpy",
        "status",
        "list",
        "tree numpy",
        "check",
        "doctor",
        "explain numpy",
        "solve numpy",
        "export requirements numpy",
        "proven --json",
        "",
    ],
)
def test_what_reads(shut: Kgen, words: str) -> None:
    done = run(shut, *shlex.split(words))
    assert done.status in ({0, 1} if words.startswith("proven") else {0}), done.stderr


def test_locks_that_stand_without_a_flake(shut: Kgen) -> None:
    for _ in range(2):
        done = run(shut, "lock", *LOCK[-2:])
        assert done.status == 0, done.stderr
        assert "unchanged" in done.stdout
        assert (
            f"note: flake.nix is left out, as {shut.folder} cannot be written: Read-only file system\n" in done.stderr
        )
    # and where it can be written again
    done = shut("lock", *LOCK[-2:])
    assert "is left out" not in done.stderr
    assert (shut.folder / "flake.nix").exists()
    (shut.folder / "flake.nix").unlink()


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ("lock --upgrade", "{}/locks cannot be locked: Read-only file system", "findmnt --target {}"),
        ("add rich", "{}/kgen.toml cannot be written: Read-only file system", "findmnt --target {}"),
        (
            "sync numpy --reinstall",
            "{}/.kgen/envs cannot be written: Read-only file system",
            "name another folder with `--envs`",
        ),
        (
            "validate numpy",
            "{}/locks cannot be written, and the receipt of numpy-cpu is to be there: Read-only file system",
            "kgen validate numpy-cpu --receipts DIR",
        ),
        ("bundle numpy -o b.tar", "b.tar cannot be written: Read-only file system", "findmnt --target ."),
        ("report", "report.html cannot be written: Read-only file system", "findmnt --target ."),
    ],
)
def test_what_writes(shut: Kgen, words: str, what: str, hint: str) -> None:
    before = sorted(shut.folder.rglob("*"))
    done = run(shut, *shlex.split(words))
    assert done.status == 4, done.stderr
    assert f"error: {what.format(shut.folder)}" in done.stderr
    assert f"\nhint: {hint.format(shut.folder)}" in done.stderr
    assert sorted(shut.folder.rglob("*")) == before
