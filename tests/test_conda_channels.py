"""Channels other than conda-forge: what they call cuDNN, how they name builds, and where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version
from tests.command import PYTHON, Kgen
from tests.conda_packages import Channel, tag_of

from kgen.cli import outcomes
from kgen.explain.causes import cause_text
from kgen.formats.conda import FORMAT
from kgen.formats.conda.rattlertool import Rattler
from kgen.formats.conda.session import CondaOutcome, CondaSession
from kgen.formats.outcome import Outcome, Summary
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement

Opened = Callable[..., CondaSession]
TAG = tag_of(PYTHON)


@pytest.fixture(name="built", scope="session")
def _built(to_lock: Channel) -> Channel:
    """Nothing is installed here, and what is said of the wheels is that of the tests' Python."""
    return to_lock


@pytest.fixture(name="nvidia", scope="module")
def _nvidia(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel whose cuDNN is one package, which needs no libcudnn."""
    channel = Channel(folder=tmp_path_factory.mktemp("nvidia"))
    channel.add("cudnn", "9.5.0.50", "0", depends=["cuda-version >=12,<13.0a0"])
    channel.index()
    return channel


@pytest.fixture(name="own", scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel with a PyTorch that is linked with the cuDNN of another name."""
    channel = Channel(folder=tmp_path_factory.mktemp("own"))
    needs = ["python", "numpy", "__cuda", "cuda-version >=12.9,<13", "cudnn >=9.1,<10.0a0"]
    channel.add("pytorch", "2.13.0", f"cuda129_{TAG}_1", depends=needs)
    channel.index()
    return channel


@pytest.fixture(name="pytorch", scope="module")
def _pytorch(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """PyTorch's own channel, which ended with 2.5: its builds are named in a way of their own and hold their cuDNN."""
    channel = Channel(folder=tmp_path_factory.mktemp("pytorch"))
    needs = ["python", "numpy", "pytorch-cuda >=12.4,<12.5"]
    channel.add("pytorch", "2.5.1", f"py{PYTHON}_cuda12.4_cudnn9.1.0_0", depends=needs)
    channel.add("pytorch", "2.5.1", f"py{PYTHON}_cpu_0", depends=["python", "numpy"])
    channel.add("pytorch-cuda", "12.4", "hc786d27_7")
    channel.index()
    return channel


@pytest.fixture(name="opened")
def _opened(built: Channel, shipped_matrix: CompatibilityMatrix, tmp_path: Path) -> Opened:
    rattler = Rattler(tmp_path / "cache")

    def opened(*first: Channel) -> CondaSession:
        channels = [channel.folder.as_uri() for channel in (*first, built)]
        return CondaSession(shipped_matrix, channels, lambda: rattler)

    return opened


def ask(*backends: str, cuda: str | None = "12") -> EnvironmentRequest:
    return EnvironmentRequest(
        name="all" if len(backends) > 1 else backends[0],
        backends=backends,
        accelerator=CPU if cuda is None else Accelerator.numbered("cuda", cuda),
        python=PYTHON,
        platform="linux-64",
    )


def records(outcome: CondaOutcome) -> dict[str, Mapping[str, Any]]:
    assert outcome.lock is not None, outcome
    return {record["name"]: record for record in outcome.lock.records}


def test_a_cudnn_of_another_name(opened: Opened, own: Channel, nvidia: Channel) -> None:
    """It is the cuDNN of the environment, as libcudnn is elsewhere."""
    outcome = opened(own, nvidia).full(ask("torch"))
    found = records(outcome)
    assert outcome.lock is not None
    assert (outcome.lock.cudnn, found["pytorch"]["version"]) == ("9.5.0.50", "2.13.0")
    assert found["cudnn"]["url"].startswith(nvidia.folder.as_uri())
    assert "libcudnn" not in found


def test_two_cudnn_under_two_names(opened: Opened, own: Channel, nvidia: Channel) -> None:
    """No solver knows that they are one library: both would be in one process."""
    outcome = opened(own, nvidia).full(ask("torch", "jax"))
    assert outcome.lock is None
    assert str(outcome.error) == (
        "all-cuda12: the environment that rattler solved for linux-64 is not fit to be written\n"
        "  there are several cuDNN in it: libcudnn 9.13.1.26 and cudnn 9.5.0.50"
    )
    # where nothing brings the other, the two frameworks are together
    assert records(opened(nvidia).full(ask("torch", "jax")))["libcudnn"]["version"] == "9.13.1.26"


@pytest.mark.parametrize(("cuda", "build"), [("12", "cuda129_"), ("13", "cuda130_"), (None, "cpu_")])
def test_a_channel_that_ended(opened: Opened, built: Channel, pytorch: Channel, cuda: str | None, build: str) -> None:
    """Its builds do not say in conda-forge's way what they are for; the next channel that has such a build serves."""
    found = records(opened(pytorch).full(ask("torch", cuda=cuda)))
    assert found["pytorch"]["version"] == "2.12.0"
    assert found["pytorch"]["build"].startswith(build)
    assert found["pytorch"]["url"].startswith(built.folder.as_uri())
    assert "pytorch-cuda" not in found


@pytest.fixture(name="several_pythons", scope="module")
def _several_pythons(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """A channel that has the minor twice, with a lock and without, and SciPy for that without alone."""
    channel = Channel(folder=tmp_path_factory.mktemp("pythons"))
    tag = f"cp{PYTHON.replace('.', '')}"
    for abi, build in ((tag, "h0_0_cpython"), (f"{tag}t", f"h0_1_{tag}t")):
        needs = ["python", f"python_abi {PYTHON}.* *_{abi}"]
        channel.add("python", f"{PYTHON}.9", build, depends=[f"python_abi {PYTHON}.* *_{abi}"])
        channel.add("python_abi", PYTHON, f"8_{abi}", subdir="noarch", constrains=[f"python {PYTHON}.* *_{build[5:]}"])
        for name in ("numpy", "pytorch", *(("scipy",) if abi != tag else ())):
            channel.add(name, "3.0", f"cpu_{abi}_0", depends=needs)
    channel.add("keras", "3.15.0", "pyhd_0", subdir="noarch", depends=["python >=3.9"])
    channel.add("pip", "26.0", "pyhd_0", subdir="noarch", depends=["python >=3.9"])
    channel.index()
    return channel


def test_a_python_without_a_lock(several_pythons: Channel, shipped_matrix: CompatibilityMatrix, tmp_path: Path) -> None:
    """Nobody can ask for it, and modules for the usual one do not load in it: it is not a way out."""
    session = CondaSession(
        shipped_matrix, [several_pythons.folder.as_uri()], lambda: Rattler(tmp_path / "cache"), chosen=()
    )
    asked = ask("torch", cuda=None)
    assert records(session.full(asked))["python"]["build"] == "h0_0_cpython"
    refused = session.full(asked._replace(dependencies=(parse_requirement("scipy"),))).conflict
    assert refused is not None
    abi = f"python_abi * *_cp{PYTHON.replace('.', '')}"
    assert [cause_text(one, asked) for one in refused.causes] == [
        "you asked for scipy (dependencies)",
        f"torch-cpu needs {abi}",
    ]


def test_a_python_that_is_another_program(built: Channel, shipped_matrix: CompatibilityMatrix, tmp_path: Path) -> None:
    """Of a channel that does not say in the usual way whose modules its packages have, the build of Python says it."""
    channel = built.copy(tmp_path / "other")
    (name,) = [name for name in channel.records["linux-64"] if name.startswith("python-")]
    row = channel.records["linux-64"].pop(name)
    build = "0_73_pypy"
    channel.records["linux-64"][f"python-{row['version']}-{build}.conda"] = {**row, "build": build, "depends": []}
    for rows in channel.records.values():
        for one in rows.values():
            one["depends"] = [spec for spec in one["depends"] if not spec.startswith("python_abi")]  # type: ignore[attr-defined]
    channel.index()
    session = CondaSession(shipped_matrix, [channel.folder.as_uri()], lambda: Rattler(tmp_path / "cache"))
    outcome = session.full(ask("torch"))
    assert outcome.lock is None
    assert f"python {row['version']} is build {build}, and not the usual CPython" in str(outcome.error)


@pytest.fixture(name="undated")
def _undated(built: Channel, tmp_path: Path) -> Channel:
    """The channel, which does not say when its packages were published."""
    channel = built.copy(tmp_path / "undated")
    channel.records = {
        subdir: {name: {key: value for key, value in row.items() if key != "timestamp"} for name, row in rows.items()}
        for subdir, rows in channel.records.items()
    }
    channel.index()
    return channel


def test_packages_without_a_date(conda: Kgen, undated: Channel) -> None:
    """A cut-off leaves them out, and they are the cause: neither Python nor any other package that was asked for."""
    words = ("lock", "--conda", "torch", "--cuda", "12", "--python", PYTHON, "--platform", "linux-64")
    channel = ("--channel", undated.folder.as_uri())
    refused = conda(*words, *channel, "--dependency", "scipy", "--exclude-newer", "2026-11-20")
    assert refused.status == 3
    where = f"file://[TEMP]/{undated.folder.name}"
    # what is said before it is of the wheels, of which there are more where a newer Python runs the tests
    assert (
        f"\nerror: torch-cuda12: {where} has no packages for this on linux-64\n"
        "  you asked for nothing published after 2026-11-20 (--exclude-newer)\n"
        f"  {where}/ gives no date of publication for cuda-version 12.9, keras 3.15.0, libcudnn 9.13.1.26, …, "
    ) in refused.stderr
    assert (
        f"hint: kgen lock torch --cuda 12 --python {PYTHON} --platform linux-64 --dependency scipy " in refused.stderr
    )
    assert conda(*words, *channel, "--dependency", "scipy").status == 0


def test_a_newer_package_without_a_date(conda: Kgen, built: Channel, tmp_path: Path) -> None:
    """It is said what is older for that."""
    channel = built.copy(tmp_path / "some")
    (row,) = [row for name, row in channel.records["linux-64"].items() if name.startswith("scipy-")]
    newer = {key: value for key, value in row.items() if key != "timestamp"} | {"version": "1.19.0"}
    channel.records["linux-64"][f"scipy-1.19.0-{row['build']}.conda"] = newer
    channel.index()
    words = (
        "lock",
        "--conda",
        "torch",
        "--cuda",
        "12",
        "--python",
        PYTHON,
        "--platform",
        "linux-64",
        "--dependency",
        "scipy",
    )
    where = ("--channel", channel.folder.as_uri())
    result = conda(*words, *where, "--exclude-newer", "2026-11-20")
    assert result.status == 0, result.stderr
    assert (
        "note: torch-cuda12: conda has scipy 1.18.0 instead of 1.19.0 for `exclude-newer`: channels do not say when"
        " these were published\n"
    ) in result.stderr
    assert "instead of" not in conda(*words, *where).stderr


def test_what_an_old_glibc_costs(built: Channel, shipped_matrix: CompatibilityMatrix, tmp_path: Path) -> None:
    channel = built.copy(tmp_path / "newer")
    channel.add("pytorch", "2.13.0", f"cpu_{TAG}_0", depends=["python", "numpy", "__glibc >=2.28,<3.0.a0"])
    channel.index()
    session = CondaSession(shipped_matrix, [channel.folder.as_uri()], lambda: Rattler(tmp_path / "cache"))
    old = session.full(ask("torch", cuda=None)._replace(glibc=Version("2.17")))
    assert records(old)["pytorch"]["version"] == "2.12.0"
    assert old.notes == [
        "torch-cpu: conda has pytorch 2.12.0 instead of 2.13.0 for glibc 2.17; `--glibc 2.28` gives these"
    ]
    for glibc in (None, Version("2.28"), Version("2.35")):
        usual = session.full(ask("torch", cuda=None)._replace(glibc=glibc))
        assert records(usual)["pytorch"]["version"] == "2.13.0"
        assert usual.notes == []


@dataclass
class _Lock:
    summary: Summary = Summary(frameworks={}, runtime=None, cudnn=None, versions={})  # noqa: RUF009 - nothing changes it
    size: int | None = None


def test_what_was_written_of_several_platforms() -> None:
    """Where one has no lock for conda, no file of it is written, and no other is said to be because the wheels are."""
    one, other = ask("torch"), ask("torch")._replace(platform="osx-arm64")
    wheels = [Outcome(request=request, form=formats.default(), lock=_Lock()) for request in (one, other)]
    conda = [Outcome(request=one, form=FORMAT, lock=_Lock()), Outcome[_Lock](request=other, form=FORMAT)]
    written = {"torch-cuda12": True}
    table = outcomes.table([*wheels, *conda], written)
    assert [line.split("  ")[-1].strip() for line in table.splitlines()[1:]] == ["written", "written", "not written"]
    rows: Any = outcomes.data([*wheels, *conda], written)["environments"]
    assert [row.get("changed") for row in rows] == [True, True, None, None]
