"""Channels other than conda-forge: what they call cuDNN, how they name builds, and where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.conda_packages import MINOR, TAG, Channel

from kgen.formats.conda.rattlertool import Rattler
from kgen.formats.conda.session import CondaOutcome, CondaSession
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest

Opened = Callable[..., CondaSession]


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
    channel.add("pytorch", "2.5.1", f"py{MINOR}_cuda12.4_cudnn9.1.0_0", depends=needs)
    channel.add("pytorch", "2.5.1", f"py{MINOR}_cpu_0", depends=["python", "numpy"])
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
        python=MINOR,
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
