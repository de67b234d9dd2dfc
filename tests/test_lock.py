"""`kgen lock` as a whole: a process, a real uv, an index on the loopback interface."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.markers import Marker
from packaging.pylock import Pylock
from packaging.version import Version
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result, tree
from tests.index import Index
from tests.wheelhouse import Wheel, Wheelhouse

HOOKS = [f"{place}/kgen.{shell}" for place in ("activate.d", "deactivate.d") for shell in ("fish", "ps1", "sh")]
FILES = [*HOOKS, "pylock.linux-64.toml"]
ENVIRONMENTS = ["jax-cuda12", "numpy-cpu", "tensorflow-cuda12", "torch-cuda12"]
CPU_NOTE = "note: for the CPU, as nothing else was asked; for a GPU choose CUDA: --cuda 12, or --cuda auto\n"
NEXT = """
next: commit locks/ and flake.nix (for `nix develop`); `kgen shell {0}` enters the environment, \
`kgen validate {0}` trains in it
"""


def read(folder: Path, environment: str) -> dict[str, Any]:
    path = folder / "locks" / environment / "pylock.linux-64.toml"
    return tomli.loads(path.read_text(encoding="utf-8"))


def versions(folder: Path, environment: str) -> dict[str, str]:
    return {package["name"]: package["version"] for package in read(folder, environment)["packages"]}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def states(result: Result) -> dict[str, str]:
    """Environment -> the last column of the table."""
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    return {row[0]: row[-1] for row in rows}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    found = [(path, path.lstat()) for path in [folder, *folder.rglob("*")]]
    return {path.relative_to(folder).as_posix(): (status.st_ino, status.st_mtime_ns) for path, status in found}


class TestFourBackends:
    """`kgen lock --cuda 12` in an empty folder."""

    @pytest.fixture(scope="class", name="locked")
    @staticmethod
    def _locked(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> tuple[Kgen, Result]:
        temporary = tmp_path_factory.mktemp("locked")
        kgen = Kgen(folder=temporary, temporary=temporary).at(healthy.url)
        return kgen, kgen(*LOCK, "--cuda", "12")

    def test_what_it_says(self, locked: tuple[Kgen, Result]) -> None:
        assert locked[1] == Result(
            0,
            """\
environment        frameworks                             CUDA  cuDNN      packages  download  time   lock
tensorflow-cuda12  tensorflow 2.21.0, keras 3.15.1        12.8  9.10.2.21  30        [SIZE]  [TIME]  written
jax-cuda12         jax 0.10.2, keras 3.15.1               12.8  9.10.2.21  31        [SIZE]  [TIME]  written
torch-cuda12       torch 2.10.0, keras 3.15.1             12.8  9.10.2.21  39        [SIZE]  [TIME]  written
numpy-cpu          numpy 2.4.6, jax 0.10.2, keras 3.15.1  -     -          17        [SIZE]  [TIME]  written
""",
            NEXT.format("tensorflow-cuda12"),
        )

    def test_what_it_writes(self, locked: tuple[Kgen, Result]) -> None:
        expected = [f"locks/{environment}/{file}" for environment in ENVIRONMENTS for file in FILES]
        assert [path for path in files(locked[0].folder) if not path.startswith("locks/.nix/")] == [
            "flake.nix",
            *expected,
        ]

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_each_lock_keeps_its_promises(self, locked: tuple[Kgen, Result], healthy: Index, environment: str) -> None:
        lock = read(locked[0].folder, environment)
        parsed = Pylock.from_dict(lock)
        assert str(parsed.lock_version) == "1.0"
        assert parsed.environments == [Marker("sys_platform == 'linux' and platform_machine == 'x86_64'")]
        assert str(parsed.requires_python) == f"=={PYTHON}.*"
        assert parsed.created_by == "kgen"
        names = [package.name for package in parsed.packages]
        assert names == sorted(set(names))
        for package in parsed.packages:
            served = {wheel.filename: wheel for wheel in healthy.wheelhouse.wheels(package.name)}
            assert package.wheels is not None
            assert len(package.wheels) == 1
            (wheel,) = package.wheels
            found = served[wheel.filename]
            assert str(package.version) == found.version
            assert wheel.url == f"{healthy.url.removesuffix('/simple')}/files/{wheel.filename}"
            assert wheel.size == len(found.content)
            assert wheel.hashes == {"sha256": found.sha256}
            assert wheel.upload_time is None
            assert (package.sdist, package.archive, package.vcs, package.directory) == (None,) * 4
            assert (package.marker, package.index, package.dependencies) == (None, None, None)

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_each_lock_says_what_was_decided(self, locked: tuple[Kgen, Result], environment: str) -> None:
        lock = read(locked[0].folder, environment)
        decided = lock["tool"]["kgen"]
        assert decided["environment"] == environment
        assert decided["python"] == PYTHON
        assert decided["exclude-newer"] == CUTOFF
        assert re.fullmatch("[0-9a-f]{16}", decided["matrix"])
        locked_versions = {package["name"]: package["version"] for package in lock["packages"]}
        for table in ("packages", "libraries"):
            for name, version in decided[table].items():
                assert locked_versions[name] == version
        assert decided["size"] == sum(wheel["size"] for package in lock["packages"] for wheel in package["wheels"])
        if environment == "numpy-cpu":
            assert not {"cuda", "cudnn", "driver"} & set(decided)
            assert not any(name.startswith("nvidia") for name in locked_versions)
        else:
            assert decided["cudnn"] == locked_versions["nvidia-cudnn-cu12"]
            assert not any(re.search("cu1[13]", name) for name in locked_versions)

    def test_what_is_shared_has_one_version(self, locked: tuple[Kgen, Result]) -> None:
        taken: dict[str, set[str]] = {}
        for environment in ENVIRONMENTS:
            for name, version in versions(locked[0].folder, environment).items():
                taken.setdefault(name, set()).add(version)
        different = {name for name, found in taken.items() if len(found) > 1}
        # torch pins its NCCL, and TensorFlow needs a newer one
        assert different == {"nvidia-nccl-cu12"}

    def test_again_nothing_changes(self, locked: tuple[Kgen, Result]) -> None:
        kgen, first = locked
        before = stamps(kgen.folder / "locks")
        again = kgen(*LOCK, "--cuda", "12")
        assert again == Result(
            0,
            first.stdout.replace("written", "unchanged"),
            first.stderr.replace(" and flake.nix (for `nix develop`)", ""),
        )
        after = stamps(kgen.folder / "locks")
        assert {**after, ".": None} == {**before, ".": None}
        assert after["."][0] == before["."][0]

    def test_another_machine_gets_the_same_bytes(self, locked: tuple[Kgen, Result], tmp_path: Path) -> None:
        kgen, _ = locked
        other, home = tmp_path / "other" / "below", tmp_path / "home"
        other.mkdir(parents=True)
        home.mkdir()
        result = kgen(
            *(*LOCK, "numpy", "torch", "jax", "tensorflow", "--cuda", "12"),
            cwd=other,
            HOME=str(home),
            KGEN_CACHE_DIR=str(home / "kgen"),
            PYTHONHASHSEED="7",
            LC_ALL="C",
            TZ="Asia/Tokyo",
        )
        assert result.status == 0, result.stderr
        assert tree(other / "locks") == tree(kgen.folder / "locks")

    def test_upgrading_one_package_changes_only_that(self, locked: tuple[Kgen, Result], tmp_path: Path) -> None:
        kgen, _ = locked
        older = ("--require", "scipy<1.16", "--dependency", "absl-py")
        assert kgen(*LOCK, "jax", *older, cwd=tmp_path).status == 0
        before = versions(tmp_path, "jax-cpu")
        held = kgen(*LOCK, "jax", "--dependency", "absl-py", "--upgrade-package", "absl-py", cwd=tmp_path)
        assert held.status == 0, held.stderr
        assert versions(tmp_path, "jax-cpu") == before
        moved = kgen(*LOCK, "jax", "--dependency", "absl-py", "--upgrade-package", "SciPy", cwd=tmp_path)
        assert moved.status == 0, moved.stderr
        after = versions(tmp_path, "jax-cpu")
        assert before["scipy"].startswith("1.15.")
        assert after == {**before, "scipy": versions(kgen.folder, "jax-cuda12")["scipy"]}


class TestForms:
    def test_portable_names_no_host(self, kgen: Kgen, project: Path) -> None:
        assert kgen(*LOCK, "numpy", "--portable").status == 0
        text = (project / "locks/numpy-cpu/pylock.linux-64.toml").read_text(encoding="utf-8")
        assert "://" not in text
        assert "127.0.0.1" not in text
        wheels = [package.wheels[0] for package in Pylock.from_dict(tomli.loads(text)).packages if package.wheels]
        assert all(wheel.url is None and wheel.path and "/" not in wheel.path for wheel in wheels)
        assert all(wheel.hashes and wheel.size for wheel in wheels)
        (project / "kgen.toml").write_text("portable = true\n")
        assert states(kgen(*LOCK, "numpy")) == {"numpy-cpu": "unchanged"}

    def test_a_dry_run_writes_nothing(self, kgen: Kgen, project: Path) -> None:
        assert kgen(*LOCK, "numpy", "--dry-run") == Result(
            0,
            """\
environment  frameworks                             CUDA  cuDNN  packages  download  time   lock
numpy-cpu    numpy 2.4.6, jax 0.10.2, keras 3.15.1  -     -      17        [SIZE]  [TIME]  not written
""",
            CPU_NOTE,
        )
        assert files(project) == []
        assert not (project / "locks").exists()

    def test_as_data(self, kgen: Kgen, project: Path) -> None:
        result = kgen(*LOCK, "jax", "numpy", "--cuda", "12", "--json")
        assert (result.status, result.stderr) == (0, "")
        jax, numpy = json.loads(result.stdout)["environments"]
        assert set(jax) == {
            *("environment", "python", "platform", "accelerator", "format", "cuda", "cudnn", "driver"),
            *(
                "frameworks",
                "packages",
                "libraries",
                "licences",
                "warnings",
                "why",
                "locked",
                "size",
                "seconds",
                "changed",
                "notes",
            ),
        }
        assert (jax["environment"], jax["accelerator"], jax["changed"]) == ("jax-cuda12", "cuda12", True)
        assert jax["locked"] == versions(project, "jax-cuda12")
        assert jax["size"] == read(project, "jax-cuda12")["tool"]["kgen"]["size"]
        assert {**jax["locked"], **jax["libraries"]} == jax["locked"]
        assert (numpy["environment"], numpy["cuda"], numpy["cudnn"]) == ("numpy-cpu", None, None)
        again = json.loads(kgen(*LOCK, "numpy", "--json", "--dry-run").stdout)["environments"]
        assert again[0]["changed"] is None

    def test_no_settings_and_no_flag(self, kgen: Kgen, project: Path) -> None:
        """The four backends for the CPU; torch has no CPU build on this index, and that is said."""
        result = kgen(*LOCK)
        assert result == Result(
            4,
            """\
environment     frameworks                             CUDA  cuDNN  packages  download  time   lock
tensorflow-cpu  tensorflow 2.21.0, keras 3.15.1        -     -      18        [SIZE]  [TIME]  written
jax-cpu         jax 0.10.2, keras 3.15.1               -     -      17        [SIZE]  [TIME]  written
numpy-cpu       numpy 2.4.6, jax 0.10.2, keras 3.15.1  -     -      17        [SIZE]  [TIME]  written
""",
            f"""\
{CPU_NOTE}
error: torch-cpu: PyTorch for the CPU on linux-64 needs a CPU build (`torch==…+cpu`), and no index or folder that uv \
is configured for has one for Python 3.11; the plain wheels of the Python package index are CUDA builds

hint: name PyTorch's own CPU index in uv's configuration, as an `[[index]]` of uv.toml, and lock again
hint: or let kgen take it from there: kgen lock torch --cpu --python 3.11 --platform linux-64 --exclude-newer {CUTOFF} \
--torch-index
hint: or point UV_FIND_LINKS at a folder that holds such a wheel, with `--python` for the Python it is for
hint: or lock the other backends: kgen lock tensorflow jax numpy

not locked: torch-cpu; existing locks are unchanged
""",
        )
        assert {path.name for path in (project / "locks").glob("[!.]*")} == {"tensorflow-cpu", "jax-cpu", "numpy-cpu"}

    def test_a_folder_with_the_cpu_build(self, kgen: Kgen, project: Path, wheelhouse: Wheelhouse) -> None:
        links = project / "wheels"
        links.mkdir()
        wheel = wheelhouse.local("torch", "2.13.0")
        (links / wheel.filename).write_bytes(wheel.content)
        result = kgen(*LOCK, "torch", UV_FIND_LINKS=str(links))
        assert result.status == 0, result.stderr
        locked = {package["name"]: package for package in read(project, "torch-cpu")["packages"]}
        assert locked["torch"]["version"] == "2.13.0+cpu"
        assert locked["torch"]["wheels"][0]["hashes"] == {"sha256": wheel.sha256}
        assert "torch 2.13.0" in result.stdout
        assert f"warning: torch-cpu: {wheel.filename} came from a folder of this machine" in result.stderr
        assert not any(name.startswith("nvidia") for name in locked)
        # whether the folder has a newer one, the matrix does not say
        assert kgen("report").status == 0
        assert "a folder that uv is configured for has its build +cpu" in (project / "report.html").read_text()
        refused = kgen("export", "dockerfile", "torch")
        assert (refused.status, refused.stdout) == (2, "")
        assert (
            f"torch-cpu names files of this machine, which the image does not have: {wheel.filename}" in refused.stderr
        )
        command = f"kgen lock torch --cpu --python {PYTHON} --platform linux-64 --exclude-newer {CUTOFF} --torch-index"
        assert f"hint: {command}   # takes builds of PyTorch from its own index\n" in refused.stderr

    def test_openvino(self, kgen: Kgen, project: Path) -> None:
        assert states(kgen(*LOCK, "openvino", "--cuda", "12")) == {"openvino-cpu": "written"}
        assert versions(project, "openvino-cpu")["openvino"] == "2026.4.1"

    def test_a_day_is_honoured_by_solver_and_uv_alike(self, kgen: Kgen, project: Path, healthy: Index) -> None:
        assert kgen(*LOCK[:-1], "2025-10-01", "jax", "--cuda", "12").status == 0
        for name, version in versions(project, "jax-cuda12").items():
            wheel = next(wheel for wheel in healthy.wheelhouse.wheels(name) if wheel.version == version)
            assert wheel.uploaded.isoformat() <= "2025-10-01"


class TestJoint:
    def test_by_flag_and_by_settings(self, kgen: Kgen, project: Path) -> None:
        flags = ("tensorflow", "jax", "torch", "--together", "all", "--cuda", "12")
        assert kgen(*LOCK, *flags) == Result(
            0,
            """\
environment  frameworks                                                 CUDA  cuDNN      packages  download  time   lock
all-cuda12   tensorflow 2.20.0, jax 0.10.2, torch 2.10.0, keras 3.15.1  12.8  9.10.2.21  50        [SIZE]  [TIME]  \
written
""",
            NEXT.format("all-cuda12"),
        )
        locked = versions(project, "all-cuda12")
        assert {"tensorflow", "jax", "jax-cuda12-plugin", "torch", "triton"} <= set(locked)
        assert not any(re.search("cu1[13]", name) for name in locked)
        (project / "kgen.toml").write_text(
            f'cuda = "12"\npython = "{PYTHON}"\nplatforms = ["linux-64"]\nexclude-newer = {CUTOFF}\n'
            'backends = ["numpy"]\n[environment.all]\nbackends = ["tensorflow", "jax", "torch"]\n'
        )
        assert states(kgen("lock", "all")) == {"all-cuda12": "unchanged"}
        assert states(kgen("lock")) == {"numpy-cpu": "written", "all-cuda12": "unchanged"}

    def test_cuda_13(self, kgen: Kgen, project: Path) -> None:
        assert states(kgen(*LOCK, "jax", "torch", "--together", "two", "--cuda", "13")) == {"two-cuda13": "written"}
        locked = versions(project, "two-cuda13")
        assert locked["nvidia-cudnn-cu13"] == "9.26.0.51"
        assert not any("cu12" in name for name in locked)

    def test_refused(self, kgen: Kgen, project: Path) -> None:
        result = kgen(*LOCK, "tensorflow", "torch", "--together", "both", "--cuda", "13")
        assert (result.status, result.stdout) == (3, "")
        assert result.stderr.startswith(
            "\nerror: both-cuda13: the matrix has no row for a stable TensorFlow for CUDA 13 on linux-64\n"
        )
        assert result.stderr.endswith("\nnot locked: both-cuda13; existing locks are unchanged\n")
        assert files(project) == []


class TestDependencies:
    @pytest.fixture(autouse=True)
    @staticmethod
    def _demo(index: Index) -> None:
        index.wheelhouse.put(Wheel(name="demo", version="1.0"), Wheel(name="demo", version="2.0"))

    def test_a_wheel_variant_is_not_taken(self, kgen_alone: Kgen, index: Index) -> None:
        """It may be newer, and for any machine by its tags: no one knows for which one it is, and uv takes none."""
        tag = "py3-none-manylinux_2_17_x86_64"
        index.wheelhouse.put(
            Wheel(name="varied", version="1.0", tag=tag),
            *(Wheel(name="varied", version=version, tag=f"{tag}-cu130") for version in ("1.0", "2.0")),
        )
        done = kgen_alone(*LOCK, "numpy", "--dependency", "varied", "--no-nix")
        assert done.status == 0, done.stderr
        lock = (kgen_alone.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text(encoding="utf-8")
        assert f"varied-1.0-{tag}.whl" in lock
        assert "cu130" not in lock

    def test_one_version_for_all(self, kgen_alone: Kgen, project: Path) -> None:
        (project / "pyproject.toml").write_text(
            '[tool.kgen]\ndependencies = ["demo"]\n[tool.kgen.backend.jax]\ndependencies = ["demo<2", "six"]\n'
        )
        result = kgen_alone(*LOCK, "jax", "numpy")
        assert (result.status, result.stderr) == (0, CPU_NOTE + NEXT.format("jax-cpu"))
        jax, numpy = versions(project, "jax-cpu"), versions(project, "numpy-cpu")
        assert (jax["demo"], numpy["demo"]) == ("1.0", "1.0")
        assert "six" in jax
        assert "six" not in numpy
        assert read(project, "jax-cpu")["tool"]["kgen"]["dependencies"] == ["demo", "demo<2", "six"]

    def test_no_version_for_all(self, kgen_alone: Kgen, project: Path) -> None:
        (project / "kgen.toml").write_text(
            '[backend.numpy]\ndependencies = ["demo>=2"]\n[backend.jax]\ndependencies = ["demo<2"]\n'
        )
        result = kgen_alone(*LOCK, "jax", "numpy", "--json")
        assert result.status == 0
        note = "demo differs between environments, no version serves all: 1.0 in jax-cpu; 2.0 in numpy-cpu"
        assert result.stderr == f"{CPU_NOTE}note: {note}\n"
        jax, numpy = json.loads(result.stdout)["environments"]
        assert (jax["locked"]["demo"], numpy["locked"]["demo"]) == ("1.0", "2.0")
        # what could not be shared has cost nobody a framework
        assert (jax["packages"]["jax"], numpy["packages"]["numpy"]) == ("0.10.2", "2.4.6")

    def test_what_differs_is_told_once(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="other", version="1.0"), Wheel(name="other", version="3.0"))
        (project / "kgen.toml").write_text(
            '[backend.numpy]\ndependencies = ["demo>=2", "other>=3"]\n'
            '[backend.jax]\ndependencies = ["demo<2", "other<2"]\n'
        )
        result = kgen_alone(*LOCK, "jax", "numpy", "--json")
        assert result.status == 0
        note = "demo 1.0, other 1.0 in jax-cpu; demo 2.0, other 3.0 in numpy-cpu"
        assert f"note: 2 packages differ between environments, no version serves all: {note}\n" in result.stderr

    def test_what_differs_in_many_packages_is_a_list_of_names(
        self, kgen_alone: Kgen, project: Path, index: Index
    ) -> None:
        names = [f"other-{letter}" for letter in "abcdefg"]
        index.wheelhouse.put(*(Wheel(name=name, version=version) for name in names for version in ("1.0", "3.0")))
        newer, older = (json.dumps([f"{name}{bound}" for name in names]) for bound in (">=3", "<2"))
        (project / "kgen.toml").write_text(
            f"[backend.numpy]\ndependencies = {newer}\n[backend.jax]\ndependencies = {older}\n"
        )
        result = kgen_alone(*LOCK, "jax", "numpy", "--json")
        assert result.status == 0
        note = "other-a, other-b, other-c, other-d, other-e and 2 more; `kgen list` shows their versions"
        assert (
            f"note: 7 packages differ between jax-cpu and numpy-cpu, no version serves all: {note}\n" in result.stderr
        )

    @staticmethod
    def own_libraries_of_jax(kgen: Kgen) -> dict[str, str]:
        """Those of CUDA that JAX has by itself; beside PyTorch, which pins those of CUDA 12.8, it has the same."""
        alone = kgen(*LOCK, "jax", "--cuda", "12", "--json", "--dry-run")  # what is locked would be held
        assert alone.status == 0, alone.stderr
        (by_itself,) = json.loads(alone.stdout)["environments"]
        return {name: text for name, text in by_itself["locked"].items() if name.startswith("nvidia-")}

    @staticmethod
    def locked_beside_torch(kgen: Kgen, names: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
        done = kgen(*LOCK, *names, "--cuda", "12", "--json")
        assert done.status == 0, done.stderr
        found = {one["environment"]: one["locked"] for one in json.loads(done.stdout)["environments"]}
        return found["jax-cuda12"], found["torch-cuda12"]

    @pytest.mark.parametrize("names", [("torch", "jax"), ("jax", "torch")])
    def test_a_library_that_would_be_shared_and_is_refused(
        self, kgen_alone: Kgen, project: Path, index: Index, names: tuple[str, ...]
    ) -> None:
        libraries = self.own_libraries_of_jax(kgen_alone)
        exact = tuple(f"{name}=={text}" for name, text in libraries.items())
        index.wheelhouse.put(Wheel(name="needs-newer", version="1.0", requires=exact))
        (project / "kgen.toml").write_text('[backend.jax]\ndependencies = ["needs-newer"]\n')
        jax, torch = self.locked_beside_torch(kgen_alone, names)
        assert libraries.items() <= jax.items()
        name = "nvidia-nvjitlink-cu12"
        assert Version(torch[name]) < Version(libraries[name])

    def test_what_is_shared_makes_nothing_older_that_is_named(
        self, kgen_alone: Kgen, project: Path, index: Index
    ) -> None:
        """uv refuses nothing where an old release goes with anything: a placeholder, mostly."""
        libraries = self.own_libraries_of_jax(kgen_alone)
        exact = tuple(f"{name}=={text}" for name, text in libraries.items())
        index.wheelhouse.put(
            Wheel(name="needs-newer", version="2.0", requires=exact), Wheel(name="needs-newer", version="0.1")
        )
        (project / "kgen.toml").write_text('[backend.jax]\ndependencies = ["needs-newer"]\n')
        jax, _ = self.locked_beside_torch(kgen_alone, ("jax", "torch"))
        assert jax["needs-newer"] == "2.0"
        assert libraries.items() <= jax.items()

    def test_one_that_brings_another_cuda(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        more = ("nvidia-cublas>=13", "nvidia-cudnn-cu13<9.26.1")
        index.wheelhouse.put(Wheel(name="brings-more", version="1.0", requires=more))
        result = kgen_alone(*LOCK, "torch", "--cuda", "12", "--dependency", "brings-more")
        cublas = max(
            (wheel for wheel in index.wheelhouse.wheels("nvidia-cublas") if wheel.uploaded.isoformat() <= CUTOFF),
            key=lambda wheel: tuple(map(int, wheel.version.split("."))),
        ).version
        none = "uv finds no solution without nvidia-cublas and nvidia-cudnn-cu13"
        torch = max(
            index.wheelhouse.wheels("torch"), key=lambda wheel: tuple(map(int, wheel.version.split(".")))
        ).version
        other = (
            "hint: kgen lock torch --cuda 13 --python 3.11 --platform linux-64 --dependency brings-more"
            f" --exclude-newer {CUTOFF}   # gives keras 3.15.1, torch {torch}"
        )
        assert result == Result(
            4,
            "",
            f"""
error: torch-cuda12: what uv resolved does not work together
  nvidia-cublas {cublas} is of CUDA 13, in an environment for CUDA 12
    required by: brings-more -> nvidia-cublas
  nvidia-cudnn-cu13 9.26.0.51 is of CUDA 13, in an environment for CUDA 12
    required by: brings-more -> nvidia-cudnn-cu13
{none}

hint: look at `dependencies`: brings-more brings these in
{other}

not locked: torch-cuda12; existing locks are unchanged
""",
        )
        assert files(project) == []

    def test_one_that_narrows_what_the_matrix_follows(self, kgen_alone: Kgen, project: Path) -> None:
        assert kgen_alone(*LOCK, "jax", "--dependency", "numpy<2.3").status == 0
        assert versions(project, "jax-cpu")["numpy"].startswith("2.2.")

    def test_one_that_does_not_exist(self, kgen_alone: Kgen, project: Path) -> None:
        assert kgen_alone(*LOCK, "numpy", "--dependency", "no-such-thing") == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: numpy-cpu: uv finds no solution in the index that it is configured for
no-such-thing was not found in the package registry and you require no-such-thing

hint: check the name, and that the index (`uv.toml`, UV_DEFAULT_INDEX) is one and has it

not locked: numpy-cpu; existing locks are unchanged
""",
        )
        assert files(project) == []


class TestWhatUvCannotClose:
    def test_goes_back_to_the_solver(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.remove("jaxlib", "0.10.2")
        result = kgen_alone(*LOCK, "jax")
        assert result.status == 0
        assert versions(project, "jax-cpu")["jax"] == "0.10.1"
        assert result.stderr == (
            f"{CPU_NOTE}note: jax-cpu: jax 0.10.2 was set aside, uv found no solution with it:"
            f" there is no version of jaxlib==0.10.2 and you require jaxlib==0.10.2\n{NEXT.format('jax-cpu')}"
        )

    def test_a_library_that_is_missing(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        assert kgen_alone(*LOCK, "jax", "--cuda", "12").status == 0
        newest = versions(project, "jax-cuda12")["nvidia-cudnn-cu12"]
        index.wheelhouse.remove("nvidia-cudnn-cu12", newest)
        result = kgen_alone(*LOCK, "jax", "--cuda", "12", "--upgrade")
        assert result.status == 0, result.stderr
        assert f"nvidia-cudnn-cu12 {newest} was set aside" in result.stderr
        after = versions(project, "jax-cuda12")
        assert after["jax"] == "0.10.2"
        assert after["nvidia-cudnn-cu12"] != newest

    def test_withdrawn_releases_are_named_with_a_way_to_take_them(
        self, kgen_alone: Kgen, project: Path, index: Index
    ) -> None:
        index.wheelhouse.put(Wheel(name="named", version="1.0", yanked="a placeholder"))
        result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
        assert result.status == 4
        assert "named==1.0 was yanked (reason: a placeholder)" in result.stderr
        first = next(line for line in result.stderr.splitlines() if line.startswith("hint: "))
        before, _, command = first.partition("; or take it all the same: kgen ")
        assert before == "hint: do without named 1.0, which its makers have withdrawn"
        command, _, gives = command.partition("   # gives ")
        assert gives.startswith("named 1.0, ")
        assert kgen_alone(*shlex.split(command)).status == 0
        assert versions(project, "numpy-cpu")["named"] == "1.0"

    def test_a_day_that_is_too_early_is_named(self, kgen_alone: Kgen, index: Index) -> None:
        index.wheelhouse.put(
            Wheel(name="named", version="1.0"), Wheel(name="named", version="2.0", uploaded=dt.date(2026, 10, 1))
        )
        day = ("--python", PYTHON, "--platform", "linux-64", "--exclude-newer", "2026-09-30")
        result = kgen_alone("lock", *day, "numpy", "--dependency", "named>=2")
        assert result.status == 4
        hint = "hint: or name a later day than 2026-09-30 as `exclude-newer`: without one, it gives named 2.0, "
        assert hint in result.stderr

    def test_rounds_are_bounded(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        """A wheel that every jaxlib needs is nowhere: that is learned about one release after the other."""
        wheels = list(index.wheelhouse.wheels("jaxlib"))
        for wheel in wheels:
            index.wheelhouse.remove("jaxlib", wheel.version)
        for wheel in wheels:
            changed = Wheel(
                name="jaxlib",
                version=wheel.version,
                tag=wheel.tag,
                requires=("missing>=2",),
                uploaded=wheel.uploaded,
            )
            index.wheelhouse.put(changed)
        index.wheelhouse.put(Wheel(name="missing", version="1.0"))
        result = kgen_alone(*LOCK, "jax")
        # uv says of either what is true of both, where one release has wheels for this Python alone
        said = result.stderr.replace("jaxlib==0.10.2 depends on", "jaxlib>=0.10.2 depends on")
        assert Result(result.status, result.stdout, said) == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: jax-cpu: uv finds no solution in the index that it is configured for
only missing==1.0 is available and jaxlib>=0.10.2 depends on missing>=2; you require jaxlib==0.10.2

hint: look at `dependencies` and `--require`: uv found them to exclude the frameworks

not locked: jax-cpu; existing locks are unchanged
""",
        )
        tag = f"-cp{PYTHON.replace('.', '')}-"
        asked = {path for path in index.behaviour.asked if path.startswith("/files/jaxlib") and tag in path}
        assert 2 <= len(asked) <= 8
        assert files(project) == []

    def test_no_release_is_tried_after_another_where_all_are_excluded(self, kgen_alone: Kgen, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="old-friend", version="1.0", requires=("jax<=0.1.70",)))
        result = kgen_alone(*LOCK, "jax", "--dependency", "old-friend")
        assert result.status == 4
        assert " depend on jax<=0.1.70" in result.stderr
        tag = f"-cp{PYTHON.replace('.', '')}-"
        asked = {path for path in index.behaviour.asked if path.startswith("/files/jaxlib-") and tag in path}
        assert len({path.partition(tag)[0] for path in asked}) == 1, asked

    def test_only_a_target_that_has_wheels_is_tried(self, kgen_alone: Kgen, index: Index) -> None:
        """uv resolves all of it for each target that might help: where the index lists no wheel for one, none does."""
        index.wheelhouse.put(Wheel(name="named", version="1.0", tag="py3-none-win_amd64"))
        result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
        assert result.status == 4
        assert index.behaviour.asked.count("/simple/keras/") == 1

    def test_a_glibc_on_which_nothing_more_fits_is_not_tried(self, kgen_alone: Kgen, index: Index) -> None:
        """Nor another Python: other releases have wheels, of those that are asked for or needed none."""
        index.wheelhouse.put(
            Wheel(name="named", version="1.0", tag="py3-none-win_amd64"),
            Wheel(name="named", version="2.0"),
        )
        result = kgen_alone(*LOCK, "numpy", "--dependency", "named<2")
        assert result.status == 4
        assert index.behaviour.asked.count("/simple/keras/") == 1
        assert (
            "hint: name a folder with a wheel of named for linux-64 and Python 3.11 in UV_FIND_LINKS" in result.stderr
        )

    def test_a_glibc_for_what_somebody_needs(self, kgen_alone: Kgen, index: Index) -> None:
        """The bound is that of another package, which kgen does not see: only where more fits it is asked again."""
        index.wheelhouse.put(
            Wheel(name="named", version="1.0", requires=("needed<2",)),
            Wheel(name="needed", version="1.0", tag="cp312-cp312-manylinux_2_17_x86_64"),
            Wheel(name="needed", version="2.0"),
            Wheel(name="needed", version="3.0", tag="py3-none-manylinux_2_34_x86_64"),
        )
        result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
        assert result.status == 4
        asked = index.behaviour.asked.count("/simple/keras/")
        index.behaviour.asked.clear()
        index.wheelhouse.remove("needed", "3.0")
        assert kgen_alone(*LOCK, "numpy", "--dependency", "named").status == 4
        assert index.behaviour.asked.count("/simple/keras/") == asked - 1

    def test_a_framework_that_the_index_does_not_have(self, kgen_alone: Kgen, index: Index) -> None:
        for wheel in list(index.wheelhouse.wheels("keras")):
            index.wheelhouse.remove("keras", wheel.version)
        result = kgen_alone(*LOCK, "numpy")
        assert result.status == 4
        assert "\nkeras was not found in the package registry and you require keras==3.15.1\n" in result.stderr
        assert index.behaviour.asked.count("/simple/keras/") == 1


class TestInstalled:
    """The locks are installed as they stand, by the installers that people have."""

    @pytest.fixture(name="installed")
    @staticmethod
    def _installed(kgen: Kgen, project: Path, tmp_path: Path) -> tuple[Path, Path]:
        """The lock, and a fresh environment of this Python."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        result = kgen("lock", "jax", "--cuda", "12", "--python", python, "--platform", "linux-64")
        assert result.status == 0, result.stderr
        venv = tmp_path / "venv"
        self_made = [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(venv)]
        subprocess.run(self_made, check=True, env=kgen.env())
        return project / "locks/jax-cuda12/pylock.linux-64.toml", venv

    @staticmethod
    def _has(venv: Path, lock: Path) -> None:
        script = "import importlib.metadata as m; print(*(f'{d.name} {d.version}' for d in m.distributions()), sep=',')"
        python = venv / "bin" / "python"
        done = subprocess.run([python, "-I", "-c", script], check=True, capture_output=True, text=True)
        found = {pair.replace("_", "-") for pair in done.stdout.strip().split(",")}
        packages = tomli.loads(lock.read_text(encoding="utf-8"))["packages"]
        assert found == {f"{package['name']} {package['version']}" for package in packages}
        assert len(found) > 20

    def test_by_uv(self, kgen: Kgen, installed: tuple[Path, Path], index: Index) -> None:
        lock, venv = installed
        words = [sys.executable, "-m", "uv", "pip", "sync", "--python", str(venv), str(lock)]
        # An index that has nothing of it: the files are where the lock says.
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, env=kgen.env(UV_DEFAULT_INDEX=f"{index.url}/no")
        )
        assert done.returncode == 0, done.stderr
        self._has(venv, lock)

    def test_uv_refuses_another_file(self, kgen: Kgen, installed: tuple[Path, Path], tmp_path: Path) -> None:
        lock, venv = installed
        text = lock.read_text(encoding="utf-8")
        changed = tmp_path / lock.name
        changed.write_text(re.sub(r'sha256 = "[0-9a-f]{8}', 'sha256 = "00000000', text), encoding="utf-8")
        words = [sys.executable, "-m", "uv", "pip", "sync", "--python", str(venv), str(changed)]
        env = kgen.env(UV_CACHE_DIR=str(tmp_path / "cache"))
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=env)
        assert done.returncode != 0
        assert "Hash mismatch" in done.stderr

    def test_by_pip(self, kgen: Kgen, installed: tuple[Path, Path]) -> None:
        """By `pip install --requirement pylock.toml` where this pip can; elsewhere by the same URLs and hashes."""
        lock, venv = installed
        requirements = venv / "requirements.txt"
        requirements.write_text("".join(_requirements(tomli.loads(lock.read_text(encoding="utf-8"))["packages"])))
        version = subprocess.run(
            [sys.executable, "-m", "pip", "--version"], check=False, capture_output=True, text=True
        ).stdout.split()
        if not version:
            pytest.skip("pip is not installed")
        source = lock if tuple(map(int, version[1].split(".")[:2])) >= (26, 1) else requirements
        words = [sys.executable, "-m", "pip", "--python", str(venv), "install", "--no-deps", "-r", str(source)]
        if source == requirements:
            words.append("--require-hashes")
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=kgen.env())
        assert done.returncode == 0, done.stderr
        self._has(venv, lock)


def _requirements(packages: Iterable[dict[str, Any]]) -> list[str]:
    rows = [(package["name"], package["wheels"][0]) for package in packages]
    return [f"{name} @ {wheel['url']} --hash=sha256:{wheel['hashes']['sha256']}\n" for name, wheel in rows]
