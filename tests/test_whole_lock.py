"""`kgen lock` with packages that bring compiled files: each asks for a CUDA, and something in the lock must have it."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.version import Version
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result
from tests.elves import shared_object
from tests.index import Index
from tests.test_lock import versions
from tests.wheelhouse import Wheel

from kgen.actions.environment_request import request_for
from kgen.explain.reasons import reason_rule
from kgen.formats.wheels import company, session
from kgen.formats.wheels.closer import ROUNDS
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import OtherAccelerator, OverlappingFiles, SeveralLibraries
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, parse_requirement
from kgen.model.resolution import Resolution
from kgen.settings import JointEnvironment, Settings
from kgen.solver.resolve import solve

TAG = "py3-none-manylinux_2_17_x86_64"


def plugin(version: str, *needed: str, requires: tuple[str, ...] = (), name: str = "plugin") -> Wheel:
    return Wheel(
        name=name, version=version, tag=TAG, requires=requires, files={f"{name}/native.so": shared_object(*needed)}
    )


@pytest.fixture(autouse=True)
def _libraries(index: Index) -> None:
    """The libraries of CUDA 12 that are asked for, with the files that real ones have."""
    for name, file in {"nvidia-cuda-runtime-cu12": "libcudart.so.12", "nvidia-curand-cu12": "libcurand.so.10"}.items():
        wheels = index.wheelhouse.wheels(name)
        index.wheelhouse._own[name] = [
            Wheel(
                name=one.name,
                version=one.version,
                tag=one.tag,
                uploaded=one.uploaded,
                files={f"nvidia/{name}/lib/{file}": b"x"},
            )
            for one in wheels
        ]


def kgen_table(project: Path, environment: str) -> dict[str, Any]:
    """What kgen says in a lock."""
    text = (project / "locks" / environment / "pylock.linux-64.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomli.loads(text)["tool"]["kgen"]
    return found


def lock(kgen: Kgen, *words: str) -> tuple[int, str]:
    result = kgen(*LOCK, "--cuda", "12", *words)
    return result.status, result.stderr


def test_the_newest_that_fits_is_found(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(
        *(plugin(version, "libcudart.so.12") for version in ("1.0", "2.0")),
        *(plugin(version, "libcudart.so.13") for version in ("3.0", "4.0")),
    )
    status, said = lock(kgen_alone, "jax", "--dependency", "plugin")
    assert status == 0, said
    assert versions(project, "jax-cuda12")["plugin"] == "2.0"
    assert (
        "note: jax-cuda12: plugin 4.0 was set aside, 2.0 was taken: plugin 4.0 needs libcudart.so.13"
        " (plugin/native.so), in an environment for CUDA 12\n" in said
    )


def test_a_second_time_nothing_is_written(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(plugin("1.0", "libcudart.so.12"), plugin("2.0", "libcudart.so.13"))
    first = kgen_alone(*LOCK, "jax", "--cuda", "12", "--dependency", "plugin", "--portable")
    again = kgen_alone(*LOCK, "jax", "--cuda", "12", "--dependency", "plugin", "--portable")
    assert (first.status, again.status) == (0, 0)
    assert "written" in first.stdout
    assert "unchanged" in again.stdout


def test_none_fits(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(
        plugin("1.0", "libcudart.so.13", name="inner"),
        Wheel(name="outer", version="1.0", requires=("inner",)),
    )
    status, said = lock(kgen_alone, "jax", "--dependency", "outer>=1")
    assert status == 4
    assert (
        """
error: jax-cuda12: what uv resolved does not work together
  inner 1.0 needs libcudart.so.13 (inner/native.so), in an environment for CUDA 12
    required by: outer>=1 -> inner
uv finds no solution without inner 1.0

"""
        in said
    )
    assert "\n\nhint: look at `dependencies`: outer>=1 brings these in\n" in said
    assert "!=" not in said
    assert not (project / "locks").exists()


def test_what_a_file_needs_is_added(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(plugin("1.0", "libcudart.so.12", "libcurand.so.10"))
    assert "nvidia-curand-cu12" not in _locked_alone(kgen_alone, project)
    status, said = lock(kgen_alone, "jax", "--dependency", "plugin")
    assert status == 0, said
    locked = versions(project, "jax-cuda12")
    assert locked["plugin"] == "1.0"
    assert "nvidia-curand-cu12" in locked
    assert "note: jax-cuda12: nvidia-curand-cu12 was added: plugin 1.0 needs libcurand.so.10 of" in said


def _locked_alone(kgen: Kgen, project: Path) -> dict[str, str]:
    status, said = lock(kgen, "jax")
    assert status == 0, said
    return versions(project, "jax-cuda12")


def test_a_library_of_another_cuda_holds_its_package_back(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """xgboost, as it was: the newest brings NCCL for CUDA 13, an older one that for CUDA 12."""
    index.wheelhouse.put(
        Wheel(name="boost", version="3.2.0", requires=("nvidia-nccl-cu12",)),
        Wheel(name="boost", version="3.4.0", requires=("nvidia-nccl-cu13",)),
    )
    status, said = lock(kgen_alone, "jax", "--dependency", "boost")
    assert status == 0, said
    locked = versions(project, "jax-cuda12")
    assert locked["boost"] == "3.2.0"
    assert "nvidia-nccl-cu13" not in locked
    assert "note: jax-cuda12: boost 3.2.0 in the place of 3.4.0: nvidia-nccl-cu13 " in said


def test_a_file_that_is_not_what_it_should_be_is_the_installers_to_find(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="odd", version="1.0", tag=TAG, files={"odd/native.so": b"no ELF"}))
    assert lock(kgen_alone, "jax", "--dependency", "odd")[0] == 0


def test_what_is_for_the_cpu_is_not_asked(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(plugin("1.0", "libcudart.so.13"))
    result = kgen_alone(*LOCK, "jax", "--cpu", "--dependency", "plugin")
    assert result.status == 0, result.stderr


class TestFrameworksOfDependencies:
    """What brings PyTorch along into an environment of JAX."""

    @pytest.fixture(autouse=True)
    @staticmethod
    def _brings_torch(index: Index) -> None:
        index.wheelhouse.put(Wheel(name="speeds-up", version="1.0", requires=("torch>=2",)))

    @staticmethod
    def has_one_cuda(locked: dict[str, str]) -> bool:
        cudnn = [name for name in locked if name.startswith("nvidia-cudnn")]
        return cudnn == ["nvidia-cudnn-cu12"] and not [
            name for name in locked if name.startswith("nvidia-") and not name.endswith("-cu12")
        ]

    def test_it_is_solved_with_the_others(self, kgen_alone: Kgen, project: Path) -> None:
        status, said = lock(kgen_alone, "jax", "--dependency", "speeds-up")
        assert status == 0, said
        locked = versions(project, "jax-cuda12")
        assert (locked["jax"], locked["torch"]) == ("0.10.2", "2.10.0")
        assert self.has_one_cuda(locked)
        assert kgen_alone("check") == Result(0, "", "jax-cuda12: in order\n")

    def test_it_stays_when_something_else_is_held_back(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        """As vllm beside JAX: what is unfit is learned of the closed lock, in which PyTorch has come along."""
        index.wheelhouse.put(
            Wheel(name="serves", version="1.0", requires=("torch>=2.9",)),
            Wheel(name="serves", version="2.0", requires=("torch>=2.9", "boost")),
            Wheel(name="boost", version="3.4.0", requires=("nvidia-nccl-cu13",)),
        )
        status, said = lock(kgen_alone, "jax", "--dependency", "serves")
        assert status == 0, said
        locked = versions(project, "jax-cuda12")
        assert (locked["serves"], locked["torch"]) == ("1.0", "2.10.0")
        assert self.has_one_cuda(locked)
        assert "serves 1.0 is taken, and 2.0 is the newest" not in said  # it is in the note of what was set aside
        assert "note: jax-cuda12: serves 1.0 in the place of 2.0: nvidia-nccl-cu13 " in said

    def test_the_users_bound_on_it_moves_the_pins(self, kgen_alone: Kgen, project: Path) -> None:
        status, said = lock(kgen_alone, "jax", "--dependency", "torch==2.8.0")
        assert status == 0, said
        locked = versions(project, "jax-cuda12")
        assert locked["torch"] == "2.8.0"
        assert self.has_one_cuda(locked)

    def test_what_is_together_anyway_stays(self, kgen_alone: Kgen, project: Path) -> None:
        status, said = lock(kgen_alone, "jax", "torch", "--together", "both", "--dependency", "speeds-up")
        assert status == 0, said
        assert versions(project, "both-cuda12")["torch"] == "2.10.0"

    def test_on_the_cpu_it_is_a_build_for_the_cpu(self, kgen_alone: Kgen, project: Path) -> None:
        result = kgen_alone(*LOCK, "jax", "--cpu", "--dependency", "speeds-up")
        assert result.status == 4
        assert (
            "\nerror: jax-cpu: PyTorch, which `dependencies` bring along, for the CPU on linux-64 needs a CPU build"
            " (`torch==…+cpu`), and no index or folder" in result.stderr
        )
        assert "hint: or do without what requires it\n" in result.stderr
        assert not (project / "locks").exists()

    def test_on_the_cpu_with_such_a_build(self, kgen_alone: Kgen, project: Path, cpu_builds: str) -> None:
        result = kgen_alone(*LOCK, "jax", "--cpu", "--dependency", "speeds-up", UV_FIND_LINKS=cpu_builds)
        assert result.status == 0, result.stderr
        locked = versions(project, "jax-cpu")
        assert locked["torch"] == "2.10.0+cpu"
        assert not [name for name in locked if name.startswith("nvidia-")]

    @pytest.fixture
    @staticmethod
    def cpu_builds(index: Index, tmp_path: Path) -> str:
        folder = tmp_path / "wheels"
        folder.mkdir()
        wheel = index.wheelhouse.local("torch", "2.10.0")
        (folder / wheel.filename).write_bytes(wheel.content)
        return str(folder)

    def test_its_cpu_build_where_that_is_asked_for(self, kgen_alone: Kgen, project: Path, cpu_builds: str) -> None:
        words = ("jax", "--cuda", "12", "--dependency", "speeds-up")
        result = kgen_alone(*LOCK, *words, "--other-frameworks", "cpu", UV_FIND_LINKS=cpu_builds)
        assert result.status == 0, result.stderr
        locked = versions(project, "jax-cuda12")
        assert locked["torch"] == "2.10.0+cpu"
        # nothing of CUDA is held back or there for a framework that does not use it
        assert locked["jax"] == "0.10.2"
        kept = kgen_table(project, "jax-cuda12")
        assert kept["other-frameworks"] == "cpu"
        assert kgen_alone("check").status == 1  # a file of this machine
        (project / "kgen.toml").write_text('backends = ["jax"]\ncuda = "12"\ndependencies = ["speeds-up"]\n')
        assert "was made with other-frameworks cpu, and joint is asked for" in kgen_alone("check").stdout

    def test_its_cpu_build_must_be_somewhere(self, kgen_alone: Kgen, project: Path) -> None:
        status, said = lock(kgen_alone, "jax", "--dependency", "speeds-up", "--other-frameworks", "cpu")
        assert status == 4
        assert "PyTorch, which `dependencies` bring along, for the CPU on linux-64 needs a CPU build" in said
        assert not (project / "locks").exists()

    def test_one_that_does_not_fit_is_refused_by_who_knows_why(self, kgen_alone: Kgen, project: Path) -> None:
        """Not by what uv would have closed: each way out was solved, and names all that it takes."""
        status, said = lock(kgen_alone, "jax", "--dependency", "torch==2.13.0")
        assert status == 3
        causes, _, hints = said.lstrip().partition("\n\n")
        assert causes.splitlines() == [
            "error: jax-cuda12: there is no JAX and PyTorch together for CUDA 12 and Python 3.11 that fits the request",
            "  you asked for torch==2.13.0 (dependencies)",
            "  torch 2.13.0 is built for CUDA 13.0",
        ]
        given = r"--dependency torch==2\.13\.0 --exclude-newer \S+"
        assert re.search(rf"--cuda 12 .* {given} --other-frameworks cpu --torch-index   # gives jax 0\.", hints)
        assert re.search(r"--cuda 12 .* --dependency torch==2\.10\.0 --exclude-newer \S+   # gives jax 0\.", hints)
        assert "kgen lock jax --cuda 13 " in hints
        assert not (project / "locks").exists()

    def test_there_are_two_ways(self, kgen_alone: Kgen) -> None:
        status, said = lock(kgen_alone, "jax", "--other-frameworks", "gpu")
        assert status == 2
        assert (
            "--other-frameworks: unknown way to take other frameworks `gpu`; did you mean `cpu`? Known are joint, cpu"
            in said
        )

    def test_tensorflow_is_solved_too(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="reads-records", version="1.0", requires=("tensorflow>=2.18",)))
        status, said = lock(kgen_alone, "jax", "--dependency", "reads-records")
        assert status == 0, said
        decided = kgen_table(project, "jax-cuda12")["packages"]
        assert {*decided} >= {"jax", "tensorflow"}
        assert self.has_one_cuda(versions(project, "jax-cuda12"))

    def test_a_distribution_for_the_cpu_stays_one(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="reads-records", version="1.0", requires=("tensorflow-cpu>=2.18",)))
        status, said = lock(kgen_alone, "jax", "--dependency", "reads-records")
        assert status == 0, said
        locked = versions(project, "jax-cuda12")
        assert "tensorflow-cpu" in locked
        assert "tensorflow" not in locked
        alone = _locked_alone(kgen_alone, project)
        assert {name for name in locked if name.startswith("nvidia-")} == {
            name for name in alone if name.startswith("nvidia-")
        }

    def test_none_for_this_cuda_computes_on_the_cpu(self, kgen_alone: Kgen, project: Path) -> None:
        result = kgen_alone(*LOCK, "jax", "--cuda", "13", "--dependency", "tensorflow")
        assert result.status == 0, result.stderr
        assert (
            "note: jax-cuda13: TensorFlow, which dependencies bring in, computes on the CPU: no release of it for"
            " CUDA 13 fits the others\n" in result.stderr
        )
        assert not [name for name in versions(project, "jax-cuda13") if name.endswith("-cu12")]

    def test_who_names_one_is_told_how_both_are_backends(self, kgen_alone: Kgen) -> None:
        status, said = lock(kgen_alone, "jax", "--dependency", "torch>=2.8", "--dependency", "six")
        assert status == 0, said
        command = (
            "kgen lock jax torch --together jax-torch --cuda 12 --python 3.11 --platform linux-64"
            " --require 'torch>=2.8' --dependency six --exclude-newer 2026-11-20"
        )
        note = "note: jax-cuda12: torch 2.10.0 is a dependency, for CUDA 12; for an environment with both backends: "
        assert f"{note}{command}\n" in said
        done = kgen_alone(*shlex.split(command)[1:])
        assert done.status == 0, done.stderr


EXTENDING = b"__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"


class TestOverlaps:
    """Wheels that own one path."""

    @staticmethod
    def locked(kgen: Kgen, index: Index, path: str, *contents: bytes) -> tuple[int, str]:
        names = [f"part{number}" for number, _ in enumerate(contents)]
        for name, content in zip(names, contents, strict=True):
            index.wheelhouse.put(Wheel(name=name, version="1.0", files={path: content, f"{name}.py": b""}))
        result = kgen(*LOCK, "numpy", *(word for name in names for word in ("--dependency", name)))
        return result.status, result.stderr

    @pytest.mark.parametrize(
        ("path", "contents"),
        [
            ("shared/__init__.py", (b"", EXTENDING)),
            ("shared/__init__.py", (EXTENDING, b"# a comment\nfrom pkgutil import extend_path\n" + EXTENDING, b"")),
            ("a/b/__init__.py", (b'"""Text."""\n', b"__import__('pkg_resources').declare_namespace(__name__)\n")),
            ("build_backend.py", (b"one = 1", b"two = 2")),
            ("LICENSE.txt", (b"one", b"two")),
            ("docs/conf.py", (b"one = 1", b"two = 2")),
            ("shared/native.so", (b"equal", b"equal")),
        ],
        ids=["empty and extending", "three", "other forms", "leftover", "no code", "documentation", "equal"],
    )
    def test_harmless(self, kgen_alone: Kgen, index: Index, path: str, contents: tuple[bytes, ...]) -> None:
        status, said = self.locked(kgen_alone, index, path, *contents)
        assert status == 0, said

    @pytest.mark.parametrize(
        ("path", "contents"),
        [
            ("shared/__init__.py", (b"", b"VERSION = 1\n")),
            ("shared/__init__.py", (EXTENDING, b"import os\n" + EXTENDING)),
            ("shared/__init__.py", (b"", b"this is no Python")),
            ("shared/__init__.py", (b"", b"__path__ = ['elsewhere']\n")),
            ("module.py", (b"one = 1", b"two = 2")),
            ("starts.pth", (b"one", b"two")),
            ("shared/build_backend.py", (b"one = 1", b"two = 2")),
            ("shared/docs/conf.py", (b"one = 1", b"two = 2")),
        ],
    )
    def test_harmful(self, kgen_alone: Kgen, index: Index, path: str, contents: tuple[bytes, ...]) -> None:
        status, said = self.locked(kgen_alone, index, path, *contents)
        assert status == 4
        assert f"\n  part0 and part1 both own {path}, with different content\n" in said


class TestAllowedOverlaps:
    """Overlaps that a user lives with, and versions that have none."""

    PAIR = ("module.py", (b"one = 1", b"two = 2"))

    def test_it_is_the_last_hint_and_works(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        status, said = TestOverlaps.locked(kgen_alone, index, *self.PAIR[:1], *self.PAIR[1])
        assert status == 4
        hints = [line for line in said.splitlines() if line.startswith("hint: ")]
        start = "hint: or lock both, if it does not matter to you whose file is installed: "
        assert hints[-1].startswith(start)
        command = hints[-1].removeprefix(start)
        assert command.startswith("kgen lock numpy --cpu ")
        assert "--allow-overlap part0+part1" in command
        done = kgen_alone(*shlex.split(command)[1:])
        assert done.status == 0, done.stderr
        assert kgen_table(project, "numpy-cpu")["allow-overlap"] == ["part0+part1"]

    def test_it_is_for_as_long_as_it_is_allowed(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        settings = 'backends = ["numpy"]\ncpu = true\npython = "3.11"\nplatforms = ["linux-64"]\n'
        settings += 'dependencies = ["part0", "part1"]\nexclude-newer = 2026-11-20\n'
        (project / "kgen.toml").write_text(settings + 'allow-overlap = ["Part1+part0"]\n')
        TestOverlaps.locked(kgen_alone, index, *self.PAIR[:1], *self.PAIR[1])
        result = kgen_alone("lock")
        assert result.status == 0, result.stderr
        assert kgen_alone("check").status == 0
        (project / "kgen.toml").write_text(settings)
        result = kgen_alone("check")
        assert result.status == 1
        assert "was made with an overlap of part0+part1, which is no longer allowed" in result.stdout

    @pytest.mark.parametrize("text", ["part0", "part0+", "part0+part0", "a+b+c"])
    def test_it_is_a_pair(self, kgen_alone: Kgen, text: str) -> None:
        result = kgen_alone(*LOCK, "numpy", "--allow-overlap", text)
        assert result.status == 2
        assert f"--allow-overlap: `{text}` is not a pair of packages such as first+second" in result.stderr

    def test_a_version_without_it_is_found(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(
            Wheel(name="part0", version="1.0", files={"module.py": b"one"}),
            Wheel(name="part1", version="1.0", files={"own.py": b"two"}),
            Wheel(name="part1", version="2.0", files={"module.py": b"three"}),
            Wheel(name="outer", version="1.0", requires=("part1",)),
        )
        result = kgen_alone(*LOCK, "numpy", "--dependency", "part0", "--dependency", "outer")
        assert result.status == 0, result.stderr
        assert versions(project, "numpy-cpu")["part1"] == "1.0"
        assert (
            "note: numpy-cpu: part1 1.0 in the place of 2.0: part0 and part1 both own module.py, with different"
            " content\n" in result.stderr
        )

    def test_forks_of_each_other_are_not_tried_for_long(self, kgen_alone: Kgen, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="part0", version="1.0", files={"module.py": b"one"}))
        index.wheelhouse.put(
            *(Wheel(name="part1", version=f"{n}.0", files={"module.py": b"%d" % n}) for n in range(2, 20))
        )
        result = kgen_alone(*LOCK, "numpy", "--dependency", "part0", "--dependency", "part1")
        assert result.status == 4
        assert result.stderr.count("part0 and part1 both own module.py") == 1
        assert "hint: look at `dependencies`: part0 and part1 bring these in\n" in result.stderr


class TestCompanions:
    """What belongs to a release of PyTorch and does not say so."""

    @pytest.mark.parametrize(
        ("bound", "expected"),
        [
            ("torch==2.10.*", "torchcodec 0.10.0"),
            ("torch==2.9.*", "torchcodec 0.9.1"),
            ("torch==2.8.*", "torchcodec 0.7.0"),
            ("torch==2.10.*", "torchaudio 2.10.0"),
            ("torch==2.8.*", "torchao 0.13.0"),
            ("torch==2.9.*", "torchao 0.15.0"),
            ("torch==2.10.*", "torchao 0.16.0"),
        ],
    )
    def test_its_release(self, kgen_alone: Kgen, project: Path, index: Index, bound: str, expected: str) -> None:
        name, newest = expected.split()
        for version in ("0.7.0", "0.8.1", "0.9.1", "0.10.0", "0.17.0", "2.10.0", "2.11.0"):
            if version.startswith("2.") is (name == "torchaudio"):
                index.wheelhouse.put(Wheel(name=name, version=version))
        for version in ("0.13.0", "0.14.0", "0.15.0", "0.16.0", "0.17.0"):
            index.wheelhouse.put(Wheel(name="torchao", version=version))
        status, said = lock(kgen_alone, "torch", "--require", bound, "--dependency", name)
        assert status == 0, said
        assert versions(project, "torch-cuda12")[name] == newest

    def test_whoever_bounds_it_decides(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="torchcodec", version="0.10.0"), Wheel(name="torchcodec", version="0.17.0"))
        status, said = lock(kgen_alone, "torch", "--dependency", "torchcodec>=0.11")
        assert status == 0, said
        assert versions(project, "torch-cuda12")["torchcodec"] == "0.17.0"

    @pytest.mark.parametrize(
        ("backends", "asked", "expected"),
        [
            (("tensorflow",), "tensorflow-io", {"tensorflow": "2.16.2"}),
            (("tensorflow",), "tensorflow-io==0.36.0", {"tensorflow": "2.15.1"}),
            (("jax",), "tensorflow-probability", {"jax": "0.6.2"}),
            (("tensorflow", "jax"), "tensorflow-probability", {"tensorflow": "2.21.0", "jax": "0.10.2"}),
            (("torch",), "tensorflow-io", {"torch": "2.10.0"}),
        ],
    )
    def test_a_framework_that_it_does_not_work_with_is_not_taken(
        self, matrix: CompatibilityMatrix, backends: tuple[str, ...], asked: str, expected: dict[str, str]
    ) -> None:
        """It says in no requirement what it is compiled against, and none was released for newer ones."""
        request = EnvironmentRequest(
            name="x",
            backends=backends,
            accelerator=Accelerator("cuda", (12,)),
            python=PYTHON,
            platform="linux-64",
            dependencies=(parse_requirement(asked),),
            cutoff=dt.date.fromisoformat(CUTOFF),
        )
        answer = solve(matrix, request)
        assert isinstance(answer, Resolution)
        assert {name: str(answer.packages[name]) for name in expected} == expected

    def test_one_for_no_release_is_a_conflict(self, kgen_alone: Kgen) -> None:
        result = kgen_alone(*LOCK, "tensorflow", "--cpu", "--dependency", "tensorflow-io==0.99")
        assert result.status == 3
        assert "tensorflow-io==0.99" in result.stderr

    def test_what_it_imports_and_does_not_state(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(
            Wheel(name="tensorflow-probability", version="0.25.0"),
            Wheel(name="tf-keras", version="2.19.0", requires=("tensorflow<2.20,>=2.19",)),
            Wheel(name="tf-keras", version="2.20.1", requires=("tensorflow<2.21,>=2.20",)),
        )
        status, said = lock(kgen_alone, "tensorflow", "--dependency", "tensorflow-probability")
        assert status == 0, said
        assert versions(project, "tensorflow-cuda12")["tf-keras"] == "2.20.1"

    def test_a_bound_that_excludes_the_framework_has_its_ways_out(
        self, kgen_alone: Kgen, project: Path, index: Index
    ) -> None:
        """kgen closed each before it printed it: without the bound, and for the CUDA of the framework that it needs."""
        index.wheelhouse.put(
            Wheel(name="sees", version="1.0", requires=("torch==2.10.0",)),
            Wheel(name="sees", version="2.0", requires=("torch==2.13.0",)),
        )
        status, said = lock(kgen_alone, "torch", "--dependency", "sees==2.0")
        assert status == 4
        assert "depends on torch==2.13.0 and you require torch==2.10.0" in said
        hints = [line for line in said.splitlines() if line.startswith("hint: kgen lock torch ")]
        assert len(hints) == 2
        assert re.search(r"--cuda 12 .* --dependency sees .*# gives sees 1\.0, ", hints[0])
        assert re.search(r"--cuda 13 .* --dependency sees==2\.0 .*torch 2\.13\.0$", hints[1])
        assert not (project / "locks").exists()

    def test_nobody_gets_one_who_asked_for_none(self, kgen_alone: Kgen, project: Path) -> None:
        assert lock(kgen_alone, "torch")[0] == 0
        assert not {"torchaudio", "torchcodec"} & {*versions(project, "torch-cuda12")}


def test_what_a_framework_is_installed_with_is_no_part_of_it(matrix: CompatibilityMatrix) -> None:
    """Theano-PyMC brings setuptools and six, as Theano does: that does not bring Theano along."""
    settings = Settings(root=Path("/nowhere"), require=(Requirement("theano-pymc"),), python="3.7")
    theano = JointEnvironment(name="keras2-theano", backends=("keras2-theano",))
    request = request_for(theano, settings, CPU, "linux-64", matrix)
    assert request.backends == ("keras2-theano-pymc",)
    assert company.joined(matrix, request, ["theano-pymc", "setuptools", "six", "numpy"]).request == request


def test_what_a_companion_imports_has_its_reason(matrix: CompatibilityMatrix) -> None:
    """tf-keras is in a lock that nobody asked for it: who needs it, and who says so, stands beside it."""
    settings = Settings(root=Path("/nowhere"), dependencies=(Requirement("tensorflow-probability"),), python="3.12")
    tensorflow = JointEnvironment(name="tensorflow", backends=("tensorflow",))
    found = solve(matrix, request_for(tensorflow, settings, CPU, "linux-64", matrix))
    assert isinstance(found, Resolution)
    assert "tf-keras" in found.install
    (reason,) = [one for one in found.why if one.package == "tf-keras"]
    assert reason_rule(reason) == "tensorflow-probability needs tf-keras and does not state it"
    assert reason.sources[0].startswith("METADATA of tensorflow-probability")
    without = Settings(root=Path("/nowhere"), python="3.12")
    alone = solve(matrix, request_for(tensorflow, without, CPU, "linux-64", matrix))
    assert isinstance(alone, Resolution)
    assert "tf-keras" not in {*alone.install, *(one.package for one in alone.why)}


def test_releases_that_nothing_wants_are_passed_over_at_once(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """What is wanted is more releases back than there are rounds."""
    releases = [wheel.version for wheel in index.wheelhouse.wheels("keras")]
    wanted, newest = releases[-ROUNDS - 3], releases[-1]
    index.wheelhouse.put(Wheel(name="named", version="1.0", requires=(f"keras=={wanted}",)))
    result = kgen_alone(*LOCK, "--cpu", "numpy", "--dependency", "named==1.0")
    assert result.status == 0, result.stderr
    assert versions(project, "numpy-cpu")["keras"] == wanted
    (note,) = [line for line in result.stderr.splitlines() if "was set aside" in line]
    assert note == f"note: numpy-cpu: keras {newest} was set aside, named depends on keras=={wanted}"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            ("--cpu", "numpy", "--dependency", "jax[cuda12]"),
            "jax[cuda12] is taken without `cuda12`, which brings CUDA 12",
        ),
        (
            ("--cpu", "tensorflow", "--dependency", "tensorflow[and-cuda]>=2"),
            "tensorflow[and-cuda] is taken without `and-cuda`, which brings CUDA 12",
        ),
    ],
)
def test_extras_that_bring_another_accelerator_are_left_out(
    kgen_alone: Kgen, project: Path, asked: tuple[str, ...], told: str
) -> None:
    """Projects name them once for all their machines; a lock for the CPU has none of it, and says so."""
    result = kgen_alone(*LOCK, *asked)
    assert result.status == 0, result.stderr
    environment = f"{asked[1]}-cpu"
    assert f"warning: {environment}: {told}\n" in result.stderr
    assert not [name for name in versions(project, environment) if "cuda" in name or name.startswith("nvidia")]
    assert kgen_table(project, environment)["dependencies"] == [asked[3]]
    assert kgen_alone("check").status == 0
    standing = kgen_alone(*LOCK, *asked, "--offline")
    assert "unchanged" in standing.stdout


@pytest.mark.parametrize(("marker", "there"), [("sys_platform == 'win32'", False), ("sys_platform == 'linux'", True)])
def test_a_framework_comes_along_where_its_marker_holds(
    kgen_alone: Kgen, project: Path, marker: str, *, there: bool
) -> None:
    wish = f"tensorflow[and-cuda]; {marker}"
    result = kgen_alone(*LOCK, "--cpu", "jax", "--dependency", wish)
    assert result.status == 0, result.stderr
    assert ("tensorflow" in versions(project, "jax-cpu")) is there
    assert ("is taken without `and-cuda`" in result.stderr) is there
    assert kgen_alone("check").status == 0


def test_a_framework_that_computes_on_the_cpu_is_judged_as_such(kgen_alone: Kgen, project: Path) -> None:
    """No TensorFlow has code for this GPU; the lock says that it is not to, and brings it no CUDA of its own."""
    asked = ("--cuda", "12", "--gpu", "12.0", "jax", "--dependency", "tensorflow[and-cuda]")
    result = kgen_alone(*LOCK, *asked)
    assert result.status == 0, result.stderr
    assert "TensorFlow, which dependencies bring in, computes on the CPU: no release of it for CUDA 12" in result.stderr
    assert kgen_table(project, "jax-cuda12")["on-cpu"] == ["tensorflow"]
    assert "tensorflow[and-cuda] is taken without `and-cuda`" in result.stderr
    assert kgen_alone("check").status == 0
    assert "unchanged" in kgen_alone(*LOCK, *asked, "--offline").stdout


def test_an_extra_for_the_accelerator_stays(kgen_alone: Kgen, project: Path) -> None:
    result = kgen_alone(*LOCK, "--cuda", "12", "jax", "--dependency", "jax[cuda12]")
    assert result.status == 0, result.stderr
    assert "is taken without" not in result.stderr
    assert "jax-cuda12-plugin" in versions(project, "jax-cuda12")


def test_why_a_newer_release_was_set_aside_stays_with_the_lock(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """The matrix does not know it, and uv is not asked again: the lock says it, and `explain` reads it there."""
    *_, wanted, newest = (wheel.version for wheel in index.wheelhouse.wheels("keras"))
    index.wheelhouse.put(Wheel(name="named", version="1.0", requires=(f"keras=={wanted}",)))
    index.wheelhouse.put(Wheel(name="other", version="1.0"))
    asked = (*LOCK, "--cpu", "numpy", "--dependency", "named")
    assert kgen_alone(*asked).status == 0

    def reason() -> dict[str, object]:
        rows = kgen_table(project, "numpy-cpu")["why"]
        (row,) = [one for one in rows if one["subject"] == f"keras {wanted}"]
        return dict(row)

    first = reason()
    bound = f"named depends on keras=={wanted}"
    assert (first["newer"], first["bound"]) == (newest, bound)
    assert first["rule"] == f"newest that fits: {newest} does not, as {bound}"
    told = kgen_alone("explain", "numpy-cpu", "--offline")
    assert f"    newest that fits: {newest} does not, as {bound}\n" in told.stdout
    assert kgen_alone(*asked, "--dependency", "other").status == 0
    assert reason() == first  # the version is kept, and so is its reason
    assert kgen_alone(*LOCK, "--cpu", "numpy", "--upgrade").status == 0
    assert versions(project, "numpy-cpu")["keras"] == newest


def test_a_name_of_another_major_is_refused_at_once(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """What the user names is not looked for in vain; both ways out are told, and close."""
    index.wheelhouse.put(plugin("1.0", name="thing-cuda12x"), plugin("1.0", name="thing-cuda13x"))
    status, said = lock(kgen_alone, "jax", "--dependency", "thing-cuda13x")
    assert status == 4
    assert said.startswith(
        "\nerror: jax-cuda12: what is asked for is of another CUDA than the environment, which is for CUDA 12\n"
        "  you asked for thing-cuda13x (dependencies), which is of CUDA 13\n"
    )
    first, second = (line for line in said.splitlines() if line.startswith("hint: "))
    assert "--cuda 12 " in first
    assert "--dependency thing-cuda12x" in first
    assert "--cuda 13 " in second
    for hint in (first, second):
        again = kgen_alone(*shlex.split(hint.removeprefix("hint: kgen ").partition("   #")[0]))
        assert again.status == 0, again.stderr
    assert versions(project, "jax-cuda12")["thing-cuda12x"] == "1.0"


def test_who_cannot_take_a_library_is_named_and_not_each_of_its_releases(
    kgen_alone: Kgen, project: Path, index: Index
) -> None:
    assert kgen_alone(*LOCK, "jax", "--cuda", "12").status == 0
    newest = versions(project, "jax-cuda12")["nvidia-cudnn-cu12"]
    for release in ("1.0", "1.1", "1.2"):
        index.wheelhouse.put(Wheel(name="named", version=release, requires=(f"nvidia-cudnn-cu12<{newest}",)))
    result = kgen_alone(*LOCK, "jax", "--cuda", "12", "--dependency", "named", "--upgrade")
    assert result.status == 0, result.stderr
    (note,) = [line for line in result.stderr.splitlines() if "was set aside" in line]
    assert note == f"note: jax-cuda12: nvidia-cudnn-cu12 {newest} was set aside, which named cannot take"


def test_what_follows_from_a_package_of_another_major_is_left_out() -> None:
    """jax[cuda12] in an environment for CUDA 13: its plugin, and not each library that the plugin brings."""
    twelve, thirteen = Accelerator("cuda", (12,)), Accelerator("cuda", (13,))
    plugin_fault, library = (
        OtherAccelerator(name, Version("1"), twelve, thirteen) for name in ("jax-cuda12-plugin", "nvidia-x-cu12")
    )
    several = SeveralLibraries("X", (("nvidia-x-cu12", Version("1")), ("nvidia-x-cu13", Version("1"))))
    doubled = OverlappingFiles("nvidia-x-cu12", "nvidia-x-cu13", ("x",))
    apart = OverlappingFiles("a", "b", ("y",))
    ways = {
        "jax-cuda12-plugin": ("jax", "jax-cuda12-plugin"),
        "nvidia-x-cu12": ("jax", "jax-cuda12-plugin", "nvidia-x-cu12"),
    }
    found = session._first_causes((plugin_fault, library, several, doubled, apart), ways)
    assert list(found) == [plugin_fault, apart]


def _overlapping_kerases(index: Index) -> None:
    keras = index.wheelhouse.wheels("keras")
    index.wheelhouse._own["keras"] = [
        Wheel(
            name="keras", version=one.version, requires=one.requires, uploaded=one.uploaded, files={"keras/x.py": b"1"}
        )
        for one in keras
    ]
    index.wheelhouse.put(Wheel(name="keras-nightly", version="3.99", files={"keras/x.py": b"2"}))


def test_a_framework_that_brings_in_what_is_unfit_is_named(kgen_alone: Kgen, index: Index) -> None:
    """As tensorflow 2.22.0rc0 does: no dependency of the user's is to blame, and none is asked to be looked at."""
    _overlapping_kerases(index)
    index.wheelhouse._own["numpy"] = [
        Wheel(
            name="numpy", version=one.version, tag=one.tag, requires=("keras-nightly",), uploaded=one.uploaded, files={}
        )
        for one in index.wheelhouse.wheels("numpy")
    ]
    refused = kgen_alone(*LOCK, "numpy", "--require", "numpy==2.4.6")
    assert refused.status == 4
    assert "    required by: numpy==2.4.6 -> keras-nightly\n" in refused.stderr
    assert "\n\nhint: require another release: numpy==2.4.6 brings these in\n" in refused.stderr
    assert "look at `dependencies`" not in refused.stderr


def test_nobody_is_told_to_lock_two_kerases(kgen_alone: Kgen, index: Index) -> None:
    """keras-nightly has the files of keras: allowing that overlap would leave half of each."""
    _overlapping_kerases(index)
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "keras-nightly")
    assert refused.status == 4
    assert "keras and keras-nightly both own keras/x.py, with different content" in refused.stderr
    assert "hint: look at `dependencies`: keras-nightly brings these in\n" in refused.stderr
    assert "--allow-overlap" not in refused.stderr
