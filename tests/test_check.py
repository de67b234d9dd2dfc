"""`kgen check`: locks, hooks and receipts, without network."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result
from tests.index import Index

from kgen import fields, freshness, lockfiles, resources
from kgen.matrix.compatibility import CompatibilityMatrix

AGAIN = f"kgen lock numpy --cpu --python {PYTHON} --platform linux-64 --exclude-newer {CUTOFF}"
REFERENCE = Path(__file__).parents[1] / "locks"


@pytest.fixture(scope="session")
def locks(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    assert Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy", "jax").status == 0
    return folder / "locks"


@pytest.fixture
def locked(kgen: Kgen, locks: Path) -> Kgen:
    shutil.copytree(locks, kgen.folder / "locks")
    return kgen


def test_in_order(locked: Kgen) -> None:
    assert locked("check") == Result(0, "", "jax-cpu, numpy-cpu: in order\n")
    assert locked("check", "numpy") == Result(0, "", "numpy-cpu: in order\n")
    assert json.loads(locked("check", "--json").stdout) == {"findings": []}


def test_hooks(locked: Kgen) -> None:
    folder = locked.folder / "locks/numpy-cpu"
    (folder / "activate.d/kgen.fish").unlink()
    with (folder / "deactivate.d/kgen.sh").open("a") as file:
        file.write("export MINE=1\n")
    assert locked("check") == Result(
        1,
        "fault: numpy-cpu: locks/numpy-cpu/activate.d/kgen.fish is missing\n"
        "fault: numpy-cpu: locks/numpy-cpu/deactivate.d/kgen.sh is not what kgen writes: it was edited, or is of"
        " another kgen\n",
        f"\nhint: {AGAIN}\n\nnumpy-cpu: out of order\n",
    )


def test_the_line_endings_of_windows(locked: Kgen) -> None:
    """As git puts them there where `core.autocrlf` is set; with the attributes of `kgen init --git` it does not."""
    folder = locked.folder / "locks/numpy-cpu"
    for name in ("pylock.linux-64.toml", "activate.d/kgen.sh"):
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    done = locked("check", "numpy")
    assert done.status == 1
    said = "has the line endings of Windows, which git puts there where it is set to; `kgen init --git` has it leave"
    assert done.stdout.count(said) == 2
    assert "was edited" not in done.stdout
    shutil.rmtree(locked.folder / "locks/numpy-cpu/activate.d")
    (locked.folder / "kgen.toml").write_text("cpu = true\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "core.autocrlf=true"]
    subprocess.run([*git, "init", "-q"], cwd=locked.folder, check=True)
    assert locked("init", "--git").status == 0
    subprocess.run([*git, "add", "locks/jax-cpu", ".gitattributes"], cwd=locked.folder, check=True)
    subprocess.run([*git, "commit", "-qm", "x"], cwd=locked.folder, check=True)
    shutil.rmtree(locked.folder / "locks")
    subprocess.run([*git, "checkout", "-q", "locks"], cwd=locked.folder, check=True)
    (locked.folder / "kgen.toml").unlink()
    assert locked("check", "jax") == Result(0, "", "jax-cpu: in order\n")


def test_older_locks_are_not_sealed(locked: Kgen) -> None:
    """What they say is rendered again then, and compared."""
    path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
    path.write_text(re.sub(r"(?m)^(hooks = |# sha256 of the lines above: ).*\n", "", path.read_text()))
    assert locked("check", "numpy") == Result(0, "", "numpy-cpu: in order\n")
    (locked.folder / "locks/numpy-cpu/activate.d/kgen.sh").write_text("true\n")
    path.write_text(path.read_text().replace("# Do not edit", "# Edited"))
    assert {reason for reason, _, _ in found(locked, "numpy")} == {"hook", "edited"}


def test_nothing_is_rendered_of_what_is_sealed(locked: Kgen) -> None:
    """Templates take longer than all else that `check` does; what they gave once is kept in the user's cache."""
    assert locked("check").status == 0
    code = "import sys; from kgen.cli.main import run; run(['check']); assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=locked.folder, check=True, capture_output=True, env=locked.env())


def test_a_lock_edited_by_hand(locked: Kgen) -> None:
    path = locked.folder / "locks/jax-cpu/pylock.linux-64.toml"
    path.write_text(path.read_text().replace('environment = "jax-cpu"', 'environment = "mine"'))
    assert locked("check").stdout == (
        "fault: jax-cpu: locks/jax-cpu/pylock.linux-64.toml cannot be relied on: tool.kgen.environment: is `mine`, and"
        " the folder is jax-cpu\n"
    )
    (found,) = json.loads(locked("check", "jax", "--json").stdout)["findings"]
    assert (found["kind"], found["fix"]) == ("fault", "kgen lock")


def test_a_receipt_older_than_the_lock(locked: Kgen) -> None:
    reference = Path(__file__).parents[1] / "locks"
    receipts = sorted(reference.glob("*/receipts/*.json"))
    folder = locked.folder / "locks/numpy-cpu/receipts"
    folder.mkdir()
    assert receipts[0].parts[-3] == "numpy-cpu"
    shutil.copy(receipts[0], folder / "cpu.json")
    assert locked("check") == Result(
        0,
        "note: numpy-cpu: locks/numpy-cpu/receipts/cpu.json is older than the lock: it proves another one\n",
        "\nhint: kgen validate numpy-cpu\n\njax-cpu, numpy-cpu: in order\n",
    )


def test_nothing_locked(kgen: Kgen) -> None:
    assert kgen("check") == Result(2, "", "error: nothing is locked in [TEMP]/project\n\nhint: kgen lock\n")


# -- against the settings ----------------------------------------------------------------------------------------------

FITS = f'backends = ["jax", "numpy"]\npython = "{PYTHON}"\nplatforms = ["linux-64"]\nexclude-newer = "{CUTOFF}"\n'


def found(kgen: Kgen, *words: str) -> list[tuple[str, str, str]]:
    """The faults as (reason, environment, fix); each says what, and the exit status fits."""
    done = kgen("check", "--json", *words)
    findings = [one for one in json.loads(done.stdout)["findings"] if one["kind"] == "fault"]
    assert done.status == (1 if findings else 0), done.stderr
    assert all(one["what"] and one["path"].startswith("locks/") and one["fix"] for one in findings)
    return [(one["reason"], one["environment"], one["fix"]) for one in findings]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (FITS, []),
        # what is not said is not asked
        ("dependencies = []\n", []),
        ("cpu = true\n", []),
        # looser than what was locked
        ('backends = ["jax"]\nplatforms = ["linux-64"]\n[environment.two]\nbackends = ["jax", "numpy"]\n',
         [("not-locked", "two", "kgen lock two"), ("not-asked", "numpy-cpu", "rm -r locks/numpy-cpu")]),
        (FITS + 'keras = ">=3"\nrequire = ["jax>=0.5"]\n', []),
        # another than what was locked
        (FITS.replace(PYTHON, "3.12"), [
            ("python", "jax-cpu", "kgen lock jax"), ("python", "numpy-cpu", "kgen lock numpy"),
        ]),
        (FITS + "portable = true\n", [
            ("portable", "jax-cpu", "kgen lock jax"), ("portable", "numpy-cpu", "kgen lock numpy"),
        ]),
        (FITS.replace('"numpy"', '"numpy", "torch"') + "cpu = true\n",
         [("not-locked", "torch-cpu", "kgen lock torch")]),
        ('backends = ["jax"]\ncuda = "12"\n',
         [("not-locked", "jax-cuda12", "kgen lock jax"), ("not-asked", "numpy-cpu", "rm -r locks/numpy-cpu")]),
        (FITS.replace("linux-64", "osx-arm64"), [
            ("not-locked", "jax-cpu", "kgen lock jax"), ("not-locked", "numpy-cpu", "kgen lock numpy"),
            ("not-asked", "jax-cpu", "kgen lock jax"), ("not-asked", "numpy-cpu", "kgen lock numpy"),
        ]),
        (FITS + 'keras = "<3.10"\n', [
            ("keras", "jax-cpu", "kgen lock jax"), ("keras", "numpy-cpu", "kgen lock numpy"),
        ]),
        (FITS + 'require = ["jax<0.5"]\n', [("require", "jax-cpu", "kgen lock jax")]),
        (FITS + '[backend.jax]\ndependencies = ["six"]\n', [("dependencies", "jax-cpu", "kgen lock jax")]),
        (FITS + '[backend.jax]\ndependencies = ["opt-einsum<0.1"]\n', [("dependencies", "jax-cpu", "kgen lock jax")]),
        (FITS + '[backend.jax]\ndependencies = ["opt-einsum[more]"]\n', [("dependencies", "jax-cpu", "kgen lock jax")]),
        (FITS + 'dependencies = ["six; sys_platform == \'win32\'"]\n', []),
        (FITS.replace(CUTOFF, "2025-01-01"), [
            ("exclude-newer", "jax-cpu", "kgen lock jax"), ("exclude-newer", "numpy-cpu", "kgen lock numpy"),
        ]),
        (FITS.replace(CUTOFF, "2027-01-01"), []),
        (FITS + 'glibc = "2.17"\n', [("glibc", "jax-cpu", "kgen lock jax"), ("glibc", "numpy-cpu", "kgen lock numpy")]),
        (FITS + 'glibc = "2.39"\n', []),
    ],
)  # fmt: skip
def test_against_the_settings(locked: Kgen, text: str, faults: list[tuple[str, str, str]]) -> None:
    (locked.folder / "kgen.toml").write_text(text)
    assert found(locked) == faults


def test_a_reason_reads_like_one(locked: Kgen) -> None:
    (locked.folder / "kgen.toml").write_text(FITS.replace(PYTHON, "3.12"))
    assert locked("check", "jax") == Result(
        1,
        "fault: jax-cpu: locks/jax-cpu/pylock.linux-64.toml is for Python 3.11, and 3.12 is asked for\n",
        "\nhint: kgen lock jax\n\njax-cpu: out of order\n",
    )


def test_the_python_of_the_version_file(locked: Kgen) -> None:
    (locked.folder / "kgen.toml").write_text('backends = ["jax", "numpy"]\n')
    (locked.folder / ".python-version").write_text("3.12\n")
    assert [reason for reason, _, _ in found(locked)] == ["python", "python"]


def test_the_settings_are_wrong(locked: Kgen) -> None:
    (locked.folder / "kgen.toml").write_text("python = 3.12\n")
    assert locked("check").status == 2


def test_nothing_is_locked_of_what_is_asked(kgen: Kgen) -> None:
    (kgen.folder / "kgen.toml").write_text('backends = ["jax"]\ncpu = true\n')
    assert found(kgen) == [("not-locked", "jax-cpu", "kgen lock jax")]


def test_what_a_flag_locked_is_no_fault(kgen: Kgen) -> None:
    shutil.copytree(REFERENCE / "jax-cuda12", kgen.folder / "locks/jax-cuda12")
    shutil.copytree(REFERENCE / "jax-cuda13", kgen.folder / "locks/jax-cuda13")
    (kgen.folder / "kgen.toml").write_text('backends = ["jax"]\ncuda = "12"\n')
    assert kgen("check") == Result(
        0,
        "note: jax-cuda13: locks/jax-cuda13/pylock.linux-64.toml is for CUDA 13, as a flag asked for; the settings ask"
        " for CUDA 12\n",
        "\njax-cuda12, jax-cuda13: in order\n",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('cuda = "12"\ndriver = "470.57"\n', "driver"),
        ('cuda = "12"\ndriver = "580.65.06"\n', None),
        ('cuda = "12.1"\n', "cuda"),
        ('cuda = "12.9"\n', None),
        ('cuda = "auto"\ngpu = ["3.5"]\n', "gpu"),
        ('cuda = "12"\ngpu = ["9.0"]\n', None),
    ],
)
def test_the_machine_that_it_is_for(kgen: Kgen, text: str, reason: str | None) -> None:
    shutil.copytree(REFERENCE / "jax-cuda12", kgen.folder / "locks/jax-cuda12")
    (kgen.folder / "kgen.toml").write_text('backends = ["jax"]\n' + text)
    assert {one for one, _, _ in found(kgen)} == ({reason} if reason else set())


def test_the_projects_own_locks(kgen: Kgen) -> None:
    shutil.copytree(REFERENCE, kgen.folder / "locks")
    shutil.copy(REFERENCE.parent / "pyproject.toml", kgen.folder)
    assert found(kgen) == []


# -- hand-edited -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("# Do not edit", "# Edited", "edited"),
        (r"size = (\d+), hashes", r"size = 1, hashes", "edited"),
        ('\nversion = "([0-9.]+)"', r'\nversion = "0.0.1"', "edited"),
        (r'sha256 = "[0-9a-f]{4}', 'sha256 = "XYZ!', "hash"),
        (r'sha256 = "[0-9a-f]{64}"', 'md5 = "00"', "hash"),
        (r"lock-version", "lock version", "unreadable"),
        (r'python = "3.11"', "python = 3", "unreadable"),
        (r'accelerator = "cpu"', 'accelerator = "tpu"', "unreadable"),
    ],
)
def test_edited_by_hand(locked: Kgen, old: str, new: str, reason: str) -> None:
    path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
    text = path.read_text()
    edited = re.sub(old, new, text, count=1)
    assert edited != text
    path.write_text(edited)
    assert {one for one, _, _ in found(locked, "numpy")} == {reason}


def test_two_hashes_of_one_file(locked: Kgen) -> None:
    path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
    other = re.sub(r'sha256 = "[0-9a-f]{64}"', f'sha256 = "{"0" * 64}"', path.read_text(), count=1)
    path.write_text(other)
    assert {reason for reason, _, _ in found(locked)} == {"edited", "hash"}
    # as kgen writes it where an index serves another file today
    path.write_text(lockfiles.seal("".join(other.splitlines(keepends=True)[:-1])))
    assert found(locked) == [("hash", "numpy-cpu", AGAIN)]


def test_files_of_this_machine_are_for_nobody_else(locked: Kgen) -> None:
    path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
    url = re.sub(r'url = "[^"]*/([^/"]+\.whl)"', r'url = "file:///elsewhere/\1"', path.read_text(), count=1)
    path.write_text(lockfiles.seal("".join(url.splitlines(keepends=True)[:-1])))
    (reason, environment, _) = found(locked, "numpy")[0]
    assert (reason, environment) == ("local", "numpy-cpu")
    said = locked("check", "numpy")
    assert "names files that only this machine has" in said.stdout
    fix = next(line for line in said.stderr.splitlines() if line.startswith("hint: kgen lock"))
    assert locked(*shlex.split(fix)[2:]).status == 0
    assert locked("check", "numpy").status == 0


def test_the_projects_own_range_of_pythons(locked: Kgen) -> None:
    pyproject = locked.folder / "pyproject.toml"
    pyproject.write_text(f'[project]\nname = "x"\nversion = "0"\nrequires-python = "=={PYTHON}.*"\n')
    assert locked("check").status == 0
    pyproject.write_text('[project]\nname = "x"\nversion = "0"\nrequires-python = "<3.9"\n')
    assert [row[0] for row in found(locked, "numpy")] == ["requires-python"]
    assert (
        f"numpy-cpu: locks/numpy-cpu/pylock.linux-64.toml is for Python {PYTHON}, outside of requires-python `<3.9`"
        " of pyproject.toml\n" in locked("check", "numpy").stdout
    )
    # what is to be typed does not ask for that Python again
    hint = next(line for line in locked("check", "numpy").stderr.splitlines() if line.startswith("hint: "))
    assert "--python" not in hint


# -- against the matrix ------------------------------------------------------------------------------------------------


def reasons(environment: str, *changes: tuple[str, str, str]) -> set[str]:
    """What is stale in a reference lock if the files of the matrix were changed so."""
    folder = resources.folder("matrix")
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.toml")}
    for name, old, new in changes:
        assert old in files[name], (name, old)
        files[name] = files[name].replace(old, new)
    path = REFERENCE / environment / "pylock.linux-64.toml"
    lock, data = lockfiles.parse(path, path.read_bytes())
    made_for = fields.request_of(data["tool"]["kgen"])
    return {one.reason for one in freshness.stale(lock, made_for, made_for, CompatibilityMatrix(files))}


class TestMatrix:
    """What a lock is made stale by without anybody having touched it."""

    @pytest.fixture(name="jax")
    @staticmethod
    def _jax() -> str:
        return lockfiles.read(REFERENCE / "jax-cuda12/pylock.linux-64.toml").packages["jax"]

    def test_nothing(self) -> None:
        assert all(reasons(folder.name) == set() for folder in REFERENCE.iterdir())

    def test_a_release_is_known_to_be_bad(self, jax: str) -> None:
        row = f'[[release]]\nversion = "{jax}"\n'
        assert reasons("jax-cuda12", ("jax.toml", row, row + 'known-bad = "wrong gradients"\n')) == {"known-bad"}

    def test_a_release_was_yanked(self, jax: str) -> None:
        row = f'[[release]]\nversion = "{jax}"\n'
        assert reasons("jax-cuda12", ("jax.toml", row, row + 'yanked = "oops"\n')) == {"yanked"}

    def test_a_library_was_yanked(self) -> None:
        lock = lockfiles.read(REFERENCE / "jax-cuda12/pylock.linux-64.toml")
        (name,) = [name for name, version in lock.libraries.items() if version == lock.cudnn]
        change = (f"libraries/{name}.toml", "yanked = {", f'yanked = {{ "{lock.cudnn}" = "no reason given",')
        assert reasons("jax-cuda12", change) == {"yanked"}

    def test_a_release_is_gone(self, jax: str) -> None:
        assert reasons("jax-cuda12", ("jax.toml", f'version = "{jax}"', 'version = "99.1"')) == {"matrix"}

    def test_a_release_needs_more_than_was_known(self, jax: str) -> None:
        files = (resources.folder("matrix") / "jax.toml").read_text()
        at = files.index(f'version = "{jax}"')
        old = files[at : files.find("\n[[release]]\n", at) if "\n[[release]]\n" in files[at:] else None]
        new = re.sub(r"requires = \[", 'requires = [\n    "keras<3", "nvidia-cusparselt-cu12",', old)
        assert reasons("jax-cuda12", ("jax.toml", old, new)) == {"requirement", "incomplete"}

    def test_keras_imports_a_framework_that_was_not_known(self) -> None:
        keras = lockfiles.read(REFERENCE / "jax-cuda12/pylock.linux-64.toml").packages["keras"]
        install = f'install = ["keras=={keras}"]\n'
        added = 'adds = [{ requires = "tensorflow>=2.16", source = "run" }]\n'
        assert reasons("jax-cuda12", ("keras.toml", install, f"{install}{added}")) == {"incomplete"}
        assert reasons("tensorflow-cuda12", ("keras.toml", install, f"{install}{added}")) == set()

    @pytest.mark.parametrize(
        ("package", "found"),
        [("leftpad", {"incomplete"}), ("h5py>=3", set()), ("leftpad; python_version < '3'", set())],
    )
    def test_keras_needs_what_nobody_follows(self, package: str, found: set[str]) -> None:
        keras = lockfiles.read(REFERENCE / "jax-cuda12/pylock.linux-64.toml").packages["keras"]
        install = f'install = ["keras=={keras}"]\n'
        added = f'adds = [{{ requires = "{package}", source = "run" }}]\n'
        assert reasons("jax-cuda12", ("keras.toml", install, f"{install}{added}")) == found

    def test_a_driver_floor_was_corrected(self) -> None:
        floor = lockfiles.read(REFERENCE / "jax-cuda12/pylock.linux-64.toml").driver
        assert reasons("jax-cuda12", ("accelerators.toml", f'"{floor}"', '"599.10"')) == {"driver"}

    def test_another_variable_selects_it(self) -> None:
        assert reasons("numpy-cpu", ("backends.toml", 'KERAS_BACKEND = "numpy"', 'KERAS_BACKEND = "np"')) == {
            "variables"
        }
