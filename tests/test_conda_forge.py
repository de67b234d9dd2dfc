"""Solves on real records of conda-forge, where they are at hand: see `KGEN_CONDA_FORGE_SAMPLE`."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import rattler as library
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler.exceptions import SolverError
from tests import test_scenarios as scenarios
from tests.channel import CONDA_FORGE, mirrored, serving, sharded
from tests.zstandard import zstd

from kgen.explain import report
from kgen.formats.conda.rattlertool import Rattler
from kgen.formats.conda.session import CondaOutcome, CondaSession
from kgen.formats.conda.target import target
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import Refusal, RefusalKind
from kgen.model.driver import DriverVersion
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict

CHANNELS = ("conda-forge",)
ALL = ("tensorflow", "jax", "torch")


@pytest.fixture(scope="module")
def sample(_environment: Mapping[str, str]) -> Path:
    named = _environment.get("KGEN_CONDA_FORGE_SAMPLE")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared/data/conda-forge"
    if not (folder / "large/noarch").is_dir():
        pytest.skip(f"no records of conda-forge in {folder} (KGEN_CONDA_FORGE_SAMPLE names another folder)")
    return folder


@pytest.fixture(scope="module")
def rattler(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rattler]:
    """Asks a mirror that has conda-forge as shards, which say that the packages are on the mirror."""
    config, cache, served = (tmp_path_factory.mktemp(name) for name in ("config", "cache", "served"))
    with serving(served) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(config))
        mirrored(config, f"{server.url}/large")
        sharded(sample / "large", served / "large", base=f"{server.url}/large")
        yield Rattler(cache)
        assert not [path for path in server.asked if "repodata.json" in path]


@pytest.fixture(name="session")
def _session(matrix: CompatibilityMatrix, rattler: Rattler) -> CondaSession:
    return CondaSession(matrix, CHANNELS, lambda: rattler)


def ask(*backends: str, cuda: str = "12", python: str = "3.12", **more: Any) -> EnvironmentRequest:  # noqa: ANN401
    return EnvironmentRequest(
        name="all" if len(backends) > 1 else backends[0],
        backends=backends,
        accelerator=CPU if cuda == "cpu" else Accelerator.numbered("cuda", cuda),
        python=python,
        platform=more.pop("platform", "linux-64"),
        **more,
    )


def versions(outcome: CondaOutcome) -> Mapping[str, str]:
    assert outcome.lock is not None, outcome
    return outcome.lock.versions


def builds(outcome: CondaOutcome) -> Mapping[str, str]:
    assert outcome.lock is not None, outcome
    return {record["name"]: record["build"] for record in outcome.lock.records}


class TestSolves:
    @pytest.mark.parametrize("backends", [("jax",), ("torch",), ("tensorflow",), ("jax", "torch"), ALL])
    def test_cuda_12(self, session: CondaSession, backends: tuple[str, ...]) -> None:
        outcome = session.full(ask(*backends))
        found = versions(outcome)
        assert found["cuda-version"].startswith("12.")
        assert len({found[name] for name in ("cudnn", "libcudnn") if name in found}) == 1
        assert found["keras"].startswith("3.")
        assert found["python"].startswith("3.12.")
        for name in {"jaxlib", "pytorch", "tensorflow"} & found.keys():
            assert builds(outcome)[name].startswith("cuda12")

    def test_a_url_is_that_of_the_channel_and_not_of_a_mirror(self, session: CondaSession) -> None:
        outcome = session.full(ask("jax"))
        assert outcome.lock is not None
        assert {record["channel"] for record in outcome.lock.records} == {f"{CONDA_FORGE}/"}
        assert all(record["url"].startswith(f"{CONDA_FORGE}/") for record in outcome.lock.records)

    def test_cuda_13(self, session: CondaSession) -> None:
        outcome = session.full(ask("torch", cuda="13", python="3.13"))
        assert versions(outcome)["cuda-version"].startswith("13.")
        assert builds(outcome)["pytorch"].startswith("cuda130")

    def test_the_minor_is_a_limit(self, session: CondaSession) -> None:
        assert versions(session.full(ask("torch", cuda="12.6", python="3.11")))["cuda-version"] == "12.6"

    def test_a_driver_is_respected_where_that_can_be(self, session: CondaSession) -> None:
        """A CUDA of the driver's own is taken where no framework is older for it; else what it costs is told."""
        request = ask("torch", python="3.11", driver=DriverVersion("560.35"))
        outcome, without = session.full(request), session.full(request._replace(driver=None))
        assert versions(outcome)["pytorch"] == versions(without)["pytorch"]
        limited = versions(session.full(request._replace(accelerator=Accelerator.numbered("cuda", "12.6"))))
        assert limited["cuda-version"] == "12.6"
        (note,) = outcome.notes
        assert note.endswith(f"; `--cuda 12.6` gives pytorch {limited['pytorch']}")

    def test_a_driver_costs_no_years(self, session: CondaSession) -> None:
        outcome = session.full(ask("jax", driver=DriverVersion("535.183")))
        assert (versions(outcome)["jaxlib"], versions(outcome)["keras"]) == ("0.9.2", "3.15.0")
        (note,) = outcome.notes
        assert note.endswith("; `--cuda 12.2` gives jaxlib 0.4.28, keras 3.10.0")

    def test_names_of_projects(self, shipped_matrix: CompatibilityMatrix, rattler: Rattler) -> None:
        session = CondaSession(shipped_matrix, CHANNELS, lambda: rattler)
        wanted = tuple(map(Requirement, ("huggingface-hub", "docstring-parser")))
        found = versions(session.full(ask("jax", dependencies=wanted)))
        assert {"huggingface_hub", "docstring_parser"} <= found.keys()

    def test_the_library_in_c_is_not_the_project(self, shipped_matrix: CompatibilityMatrix, rattler: Rattler) -> None:
        session = CondaSession(shipped_matrix, CHANNELS, lambda: rattler)
        request = ask("jax", python="3.13", dependencies=(Requirement("lmdb"),))
        text = told(session.full(request))
        assert "  lmdb 0.9.31 is not a Python package\n" in text
        chosen = CondaSession(shipped_matrix, CHANNELS, lambda: rattler, chosen=[("lmdb", "python-lmdb")])
        assert "python-lmdb" in versions(chosen.full(request))

    def test_a_driver_that_no_build_is_old_enough_for(self, session: CondaSession) -> None:
        outcome = session.full(ask("tensorflow", driver=DriverVersion("535.183")))
        assert versions(outcome)["cuda-version"] == "12.9"
        (note,) = outcome.notes
        assert note == (
            "tensorflow-cuda12: conda's builds bring CUDA 12.9, newer than driver 535.183 (CUDA 12.2):"
            " minor-version compatibility, code that is compiled at run time needs a newer driver"
        )

    def test_the_cpu(self, session: CondaSession) -> None:
        for platform in ("linux-64", "linux-aarch64", "osx-arm64"):
            outcome = session.full(ask("jax", cuda="cpu", platform=platform))
            assert builds(outcome)["jaxlib"].startswith("cpu")
            assert "cuda-version" not in versions(outcome)

    def test_a_cutoff(self, session: CondaSession) -> None:
        outcome = session.full(ask("jax", python="3.13", cutoff=datetime.date(2026, 1, 1)))
        assert versions(outcome)["jax"] == "0.7.2"

    def test_the_same_again(self, session: CondaSession) -> None:
        first, second = session.full(ask(*ALL)), session.full(ask(*ALL))
        assert first.lock == second.lock

    def test_requirements(self, session: CondaSession) -> None:
        request = ask(
            "torch",
            keras=SpecifierSet("<3.15"),
            requirements=(Requirement("torch<2.9"),),
            dependencies=(Requirement("pandas>=2"),),
        )
        found = versions(session.full(request))
        assert found["pytorch"].startswith("2.8.")
        assert found["keras"] == "3.10.0"
        assert "pandas" in found


def told(outcome: CondaOutcome) -> str:
    assert outcome.conflict is not None, outcome
    return "\n".join([report.conflict_text(outcome.conflict), *report.hints(outcome.conflict)])


class TestRefusals:
    def test_no_build_for_this_cuda(self, session: CondaSession) -> None:
        outcome = session.full(ask("jax", cuda="13"))
        assert told(outcome).startswith("""\
jax-cuda13: conda-forge has no build of JAX for this
  jax is built for CUDA 12, CUDA 11 or the CPU on linux-64
kgen solve jax --cuda 12 --python 3.12 --platform linux-64   # gives jax 0.9.2, keras 3.15.0
""")
        assert outcome.tree == ""

    def test_no_build_for_this_platform(self, session: CondaSession) -> None:
        outcome = session.full(ask("tensorflow", platform="linux-aarch64"))
        assert told(outcome).startswith("""\
tensorflow-cuda12: conda-forge has no build of TensorFlow for this
  tensorflow is built for the CPU on linux-aarch64
""")

    def test_no_build_for_this_python(self, session: CondaSession) -> None:
        outcome = session.full(ask("tensorflow", python="3.13"))
        text = told(outcome)
        assert "tensorflow needs python 3.8-3.12" in text
        assert "kgen solve tensorflow --cuda 12 --python 3.12 --platform linux-64   # gives tensorflow 2.19.1" in text

    def test_a_dependency_that_is_not_there(self, session: CondaSession) -> None:
        outcome = session.full(ask("jax", dependencies=(Requirement("no-such-thing>=2"),)))
        assert (
            told(outcome)
            == """\
jax-cuda12: conda-forge has no packages for this on linux-64
  you asked for no-such-thing >=2 (dependencies)
kgen solve jax --cuda 12 --python 3.12 --platform linux-64   # gives jax 0.9.2, keras 3.15.0"""
        )
        assert "No candidates were found for no-such-thing" in outcome.tree

    def test_an_old_driver(self, session: CondaSession) -> None:
        outcome = session.full(ask("torch", driver=DriverVersion("470.42.01")))
        text = told(outcome)
        assert "you asked for a driver for CUDA 11.2 (--driver)" in text
        assert "kgen solve torch --cuda 12 --python 3.12 --platform linux-64   # gives pytorch 2.12.0" in text

    @pytest.mark.parametrize(("flag", "as_of"), [("--exclude-newer", False), ("--as-of", True)])
    def test_a_cutoff_that_is_too_early(self, session: CondaSession, flag: str, *, as_of: bool) -> None:
        text = told(session.full(ask("jax", cutoff=datetime.date(2020, 1, 1), as_of=as_of)))
        assert f"nothing published after 2020-01-01 ({flag})" in text
        assert "kgen solve jax --cuda 12 --python 3.12 --platform linux-64   # gives jax 0.9.2" in text


PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = ("linux-64", "linux-aarch64", "osx-arm64", "win-64")
TOGETHER = [backends for size in (1, 2, 3) for backends in itertools.combinations(ALL, size)]
COMBINATIONS = [*itertools.product(TOGETHER, ("12", "13", "cpu"), PYTHONS)]
COMBINATIONS += [((name,), "cpu", python) for name in ("numpy", "openvino") for python in PYTHONS]
OWN = {"tensorflow": ("tensorflow",), "jax": ("jaxlib", "jax"), "torch": ("pytorch",)}
"""What somebody would ask conda for; the first is what is built for the CPU or for a CUDA."""
SOLVED = {"linux-64": 37, "linux-aarch64": 7, "osx-arm64": 12, "win-64": 0}
"""So many have a solution: the sample has no TensorFlow for the CPU, and no Keras 3 for Windows."""


class Bare:
    """rattler alone on the same records, read from files: nothing of kgen's is between."""

    def __init__(self, sample: Path, folder: Path) -> None:
        self.sample, self.folder = sample, folder
        self.indexes: dict[str, library.SparseRepoData] = {}

    def index(self, subdir: str) -> library.SparseRepoData:
        if subdir not in self.indexes:
            path = self.folder / subdir / "repodata.json"
            path.parent.mkdir(parents=True)
            path.write_bytes(zstd.decompress((self.sample / "large" / subdir / "repodata.json.zst").read_bytes()))
            self.indexes[subdir] = library.SparseRepoData(library.Channel("conda-forge"), subdir, path)
        return self.indexes[subdir]

    def solve(self, platform: str, specs: Iterable[str], virtuals: Iterable[tuple[str, str]]) -> list[str] | None:
        """The URLs of what it chooses; None if there is no solution."""
        machine = [
            library.GenericVirtualPackage(
                library.PackageName(name),
                library.Version(text.split()[0]),
                library.BuildString(text.split()[1] if " " in text else "0"),
            )
            for name, text in virtuals
        ]

        async def solved() -> list[str] | None:
            try:
                records = await library.solve_with_sparse_repodata(
                    specs=[library.MatchSpec(spec) for spec in specs],
                    sparse_repodata=[self.index(platform), self.index("noarch")],
                    virtual_packages=machine,
                )
            except SolverError:
                return None
            finally:
                await asyncio.sleep(0.005)
            return sorted(record.url for record in records)

        return asyncio.run(solved())


@pytest.fixture(name="bare", scope="module")
def _bare(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    return Bare(sample, tmp_path_factory.mktemp("records"))


def plainly(backends: tuple[str, ...], cuda: str, python: str) -> list[str]:
    """What somebody who knows nothing of kgen would ask for."""
    if not set(backends) <= OWN.keys():
        return [f"python {python}.*", "keras >=3", *backends]
    build = "cpu*" if cuda == "cpu" else f"cuda{cuda}*"
    specs = [f"python {python}.*", "keras >=3"]
    for carrier, *others in (OWN[name] for name in backends):
        specs += [f"{carrier} * {build}", *others]
    return specs


@pytest.mark.parametrize("platform", PLATFORMS)
def test_differential(
    matrix: CompatibilityMatrix, rattler: Rattler, bare: Bare, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kgen locks is what rattler's own solve of the same specs gives; what kgen refuses, rattler does too.

    Each pair of environment and platform, with the `__cuda` that kgen assumes and without one.
    """
    why = Conflict(
        request=ask("jax"), refusals=(Refusal(RefusalKind.CHANNELS_LACK_PACKAGES, CHANNELS),), causes=(), suggestions=()
    )
    # they are tested above, and solve much
    monkeypatch.setattr("kgen.formats.conda.session.explain", lambda *_: why)
    monkeypatch.setattr("kgen.formats.conda.session.suggestions", lambda *_: ())
    session = CondaSession(matrix, CHANNELS, lambda: rattler)
    solved, other, refused, without = 0, [], [], []
    for backends, cuda, python in COMBINATIONS:
        request = ask(*backends, cuda=cuda, python=python, platform=platform)
        asked = target(matrix, request, CHANNELS)
        outcome = session.full(request)
        assert outcome.error is None, outcome.error
        named = f"{'+'.join(backends)} {cuda} {python}"
        if outcome.lock is None:
            # with any driver, and only what a person would have typed
            newest = [*(pair for pair in asked.virtuals if pair[0] != "__cuda"), ("__cuda", "13.9")]
            machine = asked.virtuals if cuda == "cpu" else newest
            if bare.solve(platform, plainly(backends, cuda, python), machine) is not None:
                refused.append(named)
            continue
        solved += 1
        answer = bare.solve(platform, asked.query().specs, asked.virtuals)
        if answer != sorted(record["url"] for record in outcome.lock.records):
            other.append(named)
        nothing = [pair for pair in asked.virtuals if pair[0] != "__cuda"]
        if cuda == "cpu":
            assert nothing == list(asked.virtuals)
            assert "cuda-version" not in outcome.lock.versions
        elif bare.solve(platform, asked.query().specs, nothing) is not None:
            without.append(named)
    assert other == [], "rattler's own solve gives something else"
    assert refused == [], "refused, though rattler solves them"
    assert without == [], "locked for CUDA, and solvable on a machine without a driver"
    assert solved == SOLVED[platform]


SCENARIOS_LOCKED = {"linux-aarch64": 37, "osx-arm64": 3, "win-64": 0}
"""So many requests of the wheels' scenarios have a solution in the sample, which has no Keras 3 for Windows."""


@pytest.mark.parametrize("platform", SCENARIOS_LOCKED)
def test_the_requests_of_the_wheels_on_another_platform(
    matrix: CompatibilityMatrix, session: CondaSession, platform: str
) -> None:
    """Each is locked for that platform and accelerator, or refused with a reason; hints are of it, if any can be."""
    locked = 0
    for path in scenarios.SCENARIOS:
        asked = scenarios.with_base(scenarios.read(path))["request"]
        request = scenarios.request_of(asked)._replace(platform=platform)
        outcome = session.full(request)
        assert outcome.error is None, (path, outcome.error)
        if outcome.lock is None:
            lines = told(outcome).splitlines()
            assert lines[0].startswith(f"{request.environment}: conda-forge has no "), path
            assert lines[1].startswith("  "), path
            carriers = sorted({matrix.backends[name].framework for name in request.backends} & OWN.keys())
            if request.accelerator != CPU and platform == "osx-arm64" and carriers:
                assert re.search(rf"(?m)^  ({'|'.join(carriers)}) is built for the CPU on osx-arm64$", told(outcome)), (
                    path
                )
            hints = [f"--platform {platform}" in line for line in lines if line.startswith("kgen solve")]
            assert all(hints) or not any(hints), path
            continue
        locked += 1
        assert {record["subdir"] for record in outcome.lock.records} <= {platform, "noarch"}, path
        built = {OWN[name][0]: builds(outcome)[OWN[name][0]] for name in request.backends if name in OWN}
        accelerated = request.accelerator != CPU
        assert all(build.startswith("cuda12" if accelerated else "cpu") for build in built.values()), (path, built)
        found = versions(outcome)
        assert len({found[name] for name in matrix.conda.cudnn if name in found}) == (1 if accelerated else 0), path
        if accelerated and request.accelerator.minor is not None:
            assert Version(found["cuda-version"]) <= Version(".".join(map(str, request.accelerator.version))), path
    assert locked == SCENARIOS_LOCKED[platform]


def test_no_glibc_where_there_is_none(matrix: CompatibilityMatrix) -> None:
    request = ask("torch", cuda="cpu", glibc=Version("2.17"))
    machines = {
        platform: dict(target(matrix, request._replace(platform=platform), CHANNELS).virtuals)
        for platform in ("linux-64", "osx-arm64", "win-64")
    }
    assert {platform: names.get("__glibc") for platform, names in machines.items()} == {
        "linux-64": "2.17",
        "osx-arm64": None,
        "win-64": None,
    }
