"""Five people from the README to done, each in a project of their own: they type what README and docs say.

They find their pages by the links of the README. What `tests/test_docs.py` compares with its output is one page; a
journey is what somebody wants, over several.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.channel import ChannelServer
from tests.command import Kgen
from tests.index import Index
from tests.index import serving as serving_index
from tests.nix import MINOR as NIX_MINOR
from tests.nix import Nix
from tests.repository import Served, serving
from tests.test_places import BUILD
from tests.wheelhouse import Wheel, Wheelhouse

from kgen import uvtool
from kgen.matrix.compatibility import CompatibilityMatrix

PYTHONS = ("3.11", "3.12", "3.13")
ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRAIN = """\
import os, sys
print("trained on", os.environ["KERAS_BACKEND"], *sys.argv[1:])
"""
PYTEST = b"""\
import os, sys, mylib
print("tested", mylib.__name__, "on", os.environ["KERAS_BACKEND"], "%d.%d" % sys.version_info[:2])
"""


def block(page: str, language: str, holding: str = "") -> str:
    """The first block of a page in a language that holds a text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return next(str(body) for kind, body in _BLOCK.findall(text) if kind == language and holding in body)


def typed(page: str, holding: str) -> list[str]:
    """The lines of a block that are typed, without what is said about them."""
    lines = (line.partition("  #")[0].strip() for line in block(page, "sh", holding).splitlines())
    return [line for line in lines if line]


def linked(page: str, words: str) -> str:
    """Where a link of a page leads, from the root of the repository."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (target,) = map(str, set(re.findall(rf"\[{re.escape(words)}\]\(([^)#]+)\)", text)))
    path = (ROOT / page).parent / target
    assert path.is_file(), target
    return path.resolve().relative_to(ROOT).as_posix()


def first_steps() -> list[str]:
    """What the README has typed first: settings, locks, and both into git."""
    init, lock, add, *_ = typed("README.md", "kgen init ")
    return [init, lock, add]


def check_of_the_readme() -> str:
    """What the README has typed to see whether all is in order."""
    (found,) = (line for line in typed("README.md", "kgen doctor") if line.startswith("kgen check"))
    return found


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """Where somebody types: a shell in a folder, with kgen and what else they have on PATH.

    Attributes:
        kgen: the command with its environment.
        programs: the folder of programs that come first.
        said: how words of the docs are called here, as `/shared/envs`.
    """

    kgen: Kgen
    programs: Path
    said: Mapping[str, str] = field(default_factory=dict)

    def program(self, name: str, script: str) -> None:
        """Put a program of this place on PATH."""
        self.programs.mkdir(exist_ok=True)
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def type(self, line: str, *, cwd: Path | None = None, status: int = 0) -> str:
        """Type a line; what both streams say."""
        for there, here in self.said.items():
            line = line.replace(there, here)
        self.program("kgen", f'exec {shlex.join(Kgen.words())} "$@"')
        environment = self.kgen.env(**{f"GIT_{name}_NAME": "a" for name in ("AUTHOR", "COMMITTER")})
        environment |= {f"GIT_{name}_EMAIL": "a@b" for name in ("AUTHOR", "COMMITTER")}
        environment["PATH"] = f"{self.programs}:{environment['PATH']}"
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=cwd or self.kgen.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def terminal(kgen: Kgen, tmp_path: Path) -> Terminal:
    return Terminal(kgen=kgen, programs=tmp_path / "bin")


def with_gpu(kgen: Kgen, folder: Path) -> Kgen:
    """On a machine with a GPU that does not exist."""
    folder.mkdir()
    source = Path(__file__).parent / "fakes/nvml.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return dataclasses.replace(kgen, environment={**kgen.environment, "LD_LIBRARY_PATH": str(folder)})


@pytest.fixture
def own(matrix: CompatibilityMatrix) -> Iterator[str]:
    """The address of an index in the manner of PyTorch's, with builds for the CPU and for CUDA 12."""
    house = Wheelhouse(matrix, PYTHONS)
    wheels = [house.local("torch", "2.14.1", label, python=one) for label in ("cpu", "cu126") for one in PYTHONS]
    with serving(Served(wheels=wheels)) as at_work:
        yield at_work.url


def test_research(terminal: Terminal, project: Path, tmp_path: Path) -> None:
    """A model on two backends, the switch in one word, and a colleague who has the same after a clone."""
    here = dataclasses.replace(terminal, kgen=with_gpu(terminal.kgen, tmp_path / "driver"))
    (project / "pyproject.toml").write_text(
        '[project]\nname = "paper"\nversion = "1"\nrequires-python = ">=3.11,<3.12"\ndependencies = ["keras>=3.10"]\n'
    )
    (project / "train.py").write_text(TRAIN)
    here.type("git init -q .")
    for line in first_steps():
        here.type(line)
    runs = typed("README.md", "kgen init ")[3:]
    assert typed("docs/how-to/laptop-and-server.md", "kgen run jax") == [runs[0]]
    assert "[tool.kgen]" in (project / "pyproject.toml").read_text()
    for line, backend in zip(runs, ("jax", "torch"), strict=True):
        assert f"trained on {backend}\n" in here.type(line)
    here.type("git add train.py && git commit -qm paper")
    here.type(f"git clone -q {project} {tmp_path / 'colleague'}")
    assert "trained on jax\n" in here.type(runs[0], cwd=tmp_path / "colleague")
    assert "in order" in here.type(check_of_the_readme(), cwd=tmp_path / "colleague")


@pytest.fixture
def library(matrix: CompatibilityMatrix) -> Iterator[Index]:
    """An index for the Pythons of the tutorial, with what stands for pytest and for a build backend."""
    for python in PYTHONS:
        if not uvtool.has_interpreter(python):
            pytest.skip(f"no CPython {python} here")
    house = Wheelhouse(matrix, PYTHONS)
    program = {"pytest-8.4.data/scripts/pytest": b"#!python\n" + PYTEST}
    house.put(
        Wheel(name="pytest", version="8.4", files={**program, "pytest/__init__.py": b""}),
        Wheel(name="tree-build", version="1.2", files={"tree_build.py": BUILD}),
    )
    with serving_index(house) as index:
        yield index


def test_maintaining_a_library(terminal: Terminal, project: Path, library: Index, own: str) -> None:
    """The tutorial: settings, a lock for each backend and Python, tests in one of them, CI, and the next release."""
    page = linked("README.md", "test it on three backends")
    at_work = Terminal(kgen=terminal.kgen.at(library.url), programs=terminal.programs)
    settings = block(page, "toml").replace("torch-index = true", f'torch-index = "{own}"')
    system = '[build-system]\nrequires = ["tree-build"]\nbuild-backend = "tree_build"\n'
    (project / "pyproject.toml").write_text(f"{settings}nix = false\n{system}", encoding="utf-8")
    (project / "src").mkdir()
    (project / "src/mylib.py").touch()
    at_work.type("git init -q .")
    lock, tests = typed(page, "kgen lock\n")
    at_work.type(lock)
    names = {path.name for path in (project / "locks").glob("[!.]*") if path.is_dir()}
    assert names == {f"{name}-cpu-py{py}" for name in ("jax", "tensorflow", "torch") for py in (311, 312, 313)}
    assert tests.startswith("kgen run jax-cpu-py312 -- ")
    assert "tested mylib on jax 3.12\n" in at_work.type(tests)
    (export,) = typed(page, "kgen export github-actions")
    at_work.type(f"mkdir -p .github/workflows && {export}")
    workflow = next((project / ".github/workflows").iterdir()).read_text()
    assert all(f'environment: "{name}"' in workflow for name in names)
    at_work.type("git add -A && git commit -qm locked")
    lines = typed(page, "kgen lock --upgrade")
    assert [line for line in lines if line.startswith("kgen lock")] == ["kgen lock --upgrade"]
    assert "unchanged" in at_work.type("kgen lock --upgrade")
    assert "No lock has changed" in at_work.type(next(line for line in lines if line.startswith("kgen diff")))
    assert "in order" in at_work.type(check_of_the_readme())


def test_running_a_cluster(terminal: Terminal, project: Path, tmp_path: Path, own: str) -> None:
    """The tutorial: kinds of nodes, a verdict before the job, a job, and what is proven."""
    page = linked("README.md", "a cluster")
    here = Terminal(kgen=terminal.kgen, programs=terminal.programs, said={"/shared/envs": str(tmp_path / "shared")})
    here.program("sbatch", 'exec sh "$@"')
    here.program("srun", '[ "$1" != --gpus ] || shift 2\nexec "$@"')
    node = dataclasses.replace(here, kgen=with_gpu(here.kgen, tmp_path / "driver"))
    settings = block(page, "toml").replace("[tool.kgen]\n", '[tool.kgen]\npython = "3.11"\nnix = false\n', 1)
    settings = settings.replace("torch-index = true", f'torch-index = "{own}"')
    settings = settings.replace("/shared/envs", str(tmp_path / "shared"))
    (project / "pyproject.toml").write_text(settings)
    (project / "train.py").write_text(TRAIN)
    here.type(first_steps()[1])
    assert {path.name for path in (project / "locks").glob("[!.]*") if path.is_dir()} == {
        f"{name}-{kind}" for name in ("jax", "torch") for kind in ("cuda12", "cpu")
    }
    (doctor,) = typed(page, "kgen doctor")
    here.type(doctor)
    sync, export, submit = typed(page, "kgen sync")
    assert str(tmp_path / "shared") in here.type(sync)
    here.type(export)
    assert submit == "sbatch jax.sh python train.py"
    assert typed("docs/how-to/slurm.md", "sbatch") == [sync, export, submit]
    assert "trained on jax\n" in node.type(submit)
    (prove,) = typed(page, "srun")
    assert prove.startswith("srun --gpus 1 kgen validate jax-cuda12")
    assert "kgen validate jax-cuda12 --device gpu" in here.type("kgen proven")
    assert "in order" in here.type(check_of_the_readme())


def test_conda(conda: Kgen, project: Path, served: ChannelServer, tmp_path: Path) -> None:
    """From an `environment.yml`: settings, a conda lock beside the pylock, an environment from it, and a training."""
    terminal = Terminal(kgen=with_gpu(conda, tmp_path / "driver"), programs=tmp_path / "bin")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (project / "environment.yml").write_text(
        f"name: own\nchannels: [{served.url}]\ndependencies: [python={python}, pytorch, scipy]\n"
    )
    (project / "train.py").write_text(TRAIN)
    terminal.type("git init -q .")
    coming = linked("README.md", "uv, Poetry, pixi or conda")
    (init,) = re.findall(r"`(kgen init --from environment\.yml)` takes", (ROOT / coming).read_text(encoding="utf-8"))
    terminal.type(init)
    assert f'channels = ["{served.url}"]' in (project / "kgen.toml").read_text()
    page = linked(coming, "Lock for conda as well")
    install, lock, sync, run = (line.replace("jax", "torch") for line in typed(page, "--conda"))
    assert install == "pip install 'keras-kgen[conda]'"
    terminal.type(lock)
    locked = (project / "locks/torch-cuda12/conda-lock.yml").read_text()
    assert "name: pytorch" in locked
    assert "name: scipy" in locked
    assert str(project / ".kgen/envs/torch-cuda12-conda") in terminal.type(sync)
    assert "trained on torch\n" in terminal.type(run)
    terminal.type("git add . && git commit -qm environments")
    assert "in order" in terminal.type(check_of_the_readme())


@pytest.mark.nix
@pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH")
def test_nix(project: Path, index: Index, tmp_path: Path) -> None:
    """The how-to: kgen locks once, and from then on Nix alone leads into the environment."""
    nix = Nix.at(tmp_path / "nix")
    keras = index.wheelhouse.wheels("keras")[-1].version
    index.wheelhouse.put(Wheel(name="keras", version=keras, files={"keras/__init__.py": b""}))
    caches = {name: str(tmp_path / name) for name in ("UV_CACHE_DIR", "KGEN_CACHE_DIR")}
    git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    kgen = Kgen(
        folder=project,
        temporary=tmp_path,
        environment={**nix.environment, **caches, **git, "UV_DEFAULT_INDEX": index.url},
    )
    terminal = Terminal(kgen=kgen, programs=tmp_path / "bin")
    (project / "kgen.toml").write_text(
        f'backends = ["numpy"]\ncpu = true\npython = "{NIX_MINOR}"\nplatforms = ["linux-64"]\n'
    )
    (project / "train.py").write_text(TRAIN)
    terminal.type("git init -q .")
    terminal.type(first_steps()[1])
    add, develop = typed(linked("README.md", "Nix"), "nix develop")
    terminal.type(add.partition("    #")[0])
    assert develop.split()[:3] == ["nix", "develop", ".#jax"]
    said = nix.flake("develop", ".#numpy", "-c", "python", "train.py", cwd=project)
    assert said == "trained on numpy\n"
