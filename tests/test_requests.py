"""What people ask for most, with the matrix that comes with kgen: an answer, or the real cause and where else it is.

The day is fixed, so that no release that appears later changes an answer.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

import pytest
from tests.command import Kgen, Result

DAY = "2026-11-20"
RTX_50 = "no TensorFlow wheel has code for this GPU that runs (tensorflow/tensorflow#97387): NVIDIA's container images"
WSL = "in WSL2 the builds for Linux (`--platform linux-64`) run"


class Asked(NamedTuple):
    """A request, and what has to be said.

    Attributes:
        words: what follows `kgen solve`.
        says: the answer's own words where there is one, or the cause and the place where there is none.
        refused: whether there is no answer.
    """

    words: str
    says: tuple[str, ...]
    refused: bool = False


def answered(words: str, *says: str) -> Asked:
    return Asked(words, says)


def refused(words: str, *says: str) -> Asked:
    return Asked(words, says, refused=True)


REQUESTS = [
    # 1: TensorFlow on RTX 50 and on CUDA 13
    refused("tensorflow --cuda 12 --gpu 12.0", RTX_50, "JAX and PyTorch serve it from their wheels"),
    refused("tensorflow --cuda 13", "which a driver for CUDA 13 runs as well (`--cuda 12`)", "--cuda 12 --python"),
    answered("tensorflow --cuda 12 --driver 580", "tensorflow-cuda12"),
    answered("jax --cuda 13 --gpu 12.0", "jax-cuda13"),
    answered("torch --cuda 13 --gpu 12.0", "torch-cuda13"),
    # 2: CUDA on Windows, and WSL2
    refused(
        "torch --cuda 12 --platform win-64", "`--torch-index`", "In WSL2 those for Linux", "--torch-index   # gives"
    ),
    answered("torch --cuda 12 --platform win-64 --torch-index", "torch-cuda12", "win-64, CUDA 12"),
    answered("torch --cuda 13 --platform win-64 --torch-index", "torch-cuda13", "win-64, CUDA 13"),
    refused("jax --cuda 12 --platform win-64", "JAX has no builds for CUDA on Windows; in WSL2 those for Linux"),
    refused("tensorflow --cuda 12 --platform win-64", "TensorFlow 2.10 was the last with a GPU on native Windows", WSL),
    # 3: TensorFlow 2.3 to 2.11
    refused(
        "tensorflow --require tensorflow==2.10.1 --cuda 11 --platform win-64", "CUDA 11.2 and cuDNN 8 are installed"
    ),
    answered("tensorflow --require tensorflow==2.10.1 --cuda 11 --platform win-64 --python 3.10", "tensorflow  2.10.1"),
    answered("tensorflow --require tensorflow==2.11.1 --cpu --python 3.10", "tensorflow  2.11.1", "keras  2.11"),
    refused(
        "tensorflow --require tensorflow==2.4.* --cpu --python 3.12", "tensorflow 2.4.0-2.4.4 needs python 3.6-3.8"
    ),
    refused(
        "tensorflow --require tensorflow==2.3.4 --cuda 11 --python 3.8",
        "TensorFlow 2.3 and older computes with CUDA 10",
    ),
    # 4: PyTorch's own index
    answered("torch --require torch==2.11.0 --cuda 12.8 --torch-index", "CUDA 12.8"),
    answered("torch --require torch==2.5.1 --cuda 12.4 --torch-index", "CUDA 12.4"),
    answered("torch --require torch==2.14.1 --cuda 12.6 --torch-index", "CUDA 12.6"),
    answered("torch --require torch==2.5.1 --cuda 11 --torch-index", "CUDA 11.8"),
    answered("torch --require torch==2.6.0+cu118 --cuda 11 --torch-index --platform win-64", "win-64, CUDA 11.8"),
    answered("torch --require torch==2.8.0 --cuda 12 --torch-index --gpu 6.1", "CUDA 12.6"),
    answered("torch --require torch==2.10.0+cu126 --cuda 12 --torch-index", "CUDA 12.6"),
    refused("tensorflow --require tensorflow==2.22.0rc0 --cuda 13", "tensorflow 2.22.0rc0 is built for CUDA 12.5"),
    # 6: DGX Spark, GH200 and Jetson
    answered("torch --cuda 13 --gpu 12.1 --platform linux-aarch64", "linux-aarch64, CUDA 13"),
    answered("torch --cuda 13 --gpu 12.1 --platform linux-aarch64 --require torch==2.10.0 --torch-index", "2.10.0"),
    refused("torch --cuda 13 --gpu 12.1 --platform linux-aarch64 --require torch==2.10.0", "`--torch-index`"),
    answered("torch --cuda 13 --gpu 9.0 --platform linux-aarch64", "linux-aarch64, CUDA 13"),
    answered("torch --cuda 12 --gpu GH200 --driver 535 --platform linux-aarch64 --torch-index", "2.10.0", "CUDA 12.8"),
    answered("torch --cuda 13 --gpu GB10", "linux-aarch64, CUDA 13"),
    answered("jax --cuda 12 --gpu 9.0 --platform linux-aarch64", "linux-aarch64, CUDA 12"),
    answered("torch --cuda 13 --gpu 11.0 --platform linux-aarch64", "linux-aarch64, CUDA 13"),
    refused(
        "torch --cuda 12 --gpu 8.7 --platform linux-aarch64", "wheels and container images of PyTorch for each JetPack"
    ),
    refused("jax --cuda 12 --gpu 8.7 --platform linux-aarch64", "JAX's wheels have none for it (jax-ml/jax#40487)"),
    refused("tensorflow --cuda 12 --gpu 8.7 --platform linux-aarch64", "NVIDIA's image for JetPack"),
    refused(
        "tensorflow --cuda 12 --gpu 9.0 --platform linux-aarch64", "tensorflow/tensorflow#121157", "container images"
    ),
    # 7: known-good images
    answered("tensorflow --like colab-2026-06", "tensorflow  2.20.0", "cuDNN 9.19.0.56"),
    answered("torch --like colab-2026-06", "torch  2.11.0", "CUDA 12.8, cuDNN 9.19.0.56", "torch 2.11.0+cu128"),
    answered("tensorflow torch --together all --like kaggle-2026-06", "torch  2.10.0", "tensorflow  2.20.0"),
    answered("torch --like ngc-pytorch-25-12", "NVIDIA's own build with CUDA 13.1, which is in no index"),
    # 8: ROCm
    answered("jax --rocm 7", "jax-rocm7-plugin"),
    answered("torch --rocm 6 --torch-index", "torch-rocm6"),
    refused("torch --rocm 7", "PyTorch's own index has builds for ROCm (`--torch-index`)", "--torch-index   # gives"),
    refused("tensorflow --rocm 6", "AMD's builds of TensorFlow for ROCm are tensorflow-rocm"),
    answered("tensorflow --rocm 6 --require tensorflow==2.14.0 --python 3.11", "tensorflow-rocm  2.14.0.600"),
    refused("jax --cpu --require jax-rocm7-plugin", "jax-rocm7-plugin is built for ROCm 7", "kgen solve jax --rocm 7"),
    # 9: Apple's GPUs
    answered("torch --metal --platform osx-arm64", "torch-metal"),
    answered("tensorflow --metal --platform osx-arm64 --python 3.11", "tensorflow-metal  1.1.0"),
    refused(
        "tensorflow --metal --platform osx-arm64 --require tensorflow==2.21.*", "tensorflow-metal 1.1.0 does not load"
    ),
    refused("jax --metal --platform osx-arm64", "jax-metal has had no release since 0.1.1", "kgen lock torch --metal"),
    refused("jax --xpu", "intel-extension-for-openxla, ended with 0.6.0", "kgen lock torch --xpu --torch-index"),
    refused("tensorflow --xpu", "intel-extension-for-tensorflow, ended with 2.15.0.3"),
    # 10: Python 3.14 and 3.15
    answered("torch --cpu --python 3.14", "Python 3.14"),
    answered("jax --cuda 13 --python 3.14", "Python 3.14"),
    refused(
        "tensorflow --cpu --python 3.14", "no stable TensorFlow for the CPU on linux-64 has a wheel for Python 3.14"
    ),
    refused("torch --cpu --python 3.15", "needs h5py, of which none fits Python 3.15"),
    # 11: TPUs
    answered("jax --tpu", "jax-tpu"),
    refused("torch --tpu", "through torch_xla only", "kgen lock jax --tpu"),
    refused("tensorflow --tpu", "tensorflow-tpu"),
    # 14: Intel's GPUs
    answered("torch --xpu --torch-index", "torch-xpu"),
    refused("torch --xpu", "PyTorch's own index has builds for Intel's GPUs (`--torch-index`)"),
    # 15: free-threaded interpreters
    refused(
        "torch --cpu --python 3.14t", "is the free-threaded build of Python 3.14, for which the matrix has no wheels"
    ),
]


@pytest.fixture
def solve(shipped_kgen: Kgen) -> Kgen:
    return shipped_kgen


def asking(kgen: Kgen, words: str) -> Result:
    named = "--python" in words or "--like" in words
    python = () if named else ("--python", "3.12")
    return kgen("solve", *shlex.split(words), *python, "--exclude-newer", DAY)


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda one: one.words)
def test_what_is_asked_for_most(asked: Asked, solve: Kgen) -> None:
    said = asking(solve, asked.words)
    assert (said.status != 0) == asked.refused, said.stdout + said.stderr
    # columns are as wide as what stands in them
    text = re.sub(r"  +", "  ", said.stdout + said.stderr)
    for words in asked.says:
        assert re.sub(r"  +", "  ", words) in text, text
    # what the matrix merely has no row of is not said to be built for nothing else
    assert not re.search(r"is built for the CPU only$", said.stderr, re.MULTILINE), said.stderr


@pytest.mark.parametrize("asked", [one for one in REQUESTS if one.refused], ids=lambda one: one.words)
def test_a_hint_repeats_the_request_and_works(asked: Asked, solve: Kgen) -> None:
    """All that was asked for stands in it, but for what it changes; and it solves."""
    said = asking(solve, asked.words)
    hints = re.findall(r"^hint: kgen solve (.*?)   # gives", said.stderr, re.MULTILINE)
    if "3.14t" in asked.words:
        assert said.status == 2
        return
    assert hints, said.stderr
    for hint in hints[:1]:
        assert solve("solve", *shlex.split(hint)).status == 0, hint
        wanted = re.findall(r"--require (\S+)", asked.words)
        if "jax-rocm7-plugin" not in wanted:
            assert all(one in hint.replace("'", "") for one in wanted), hint
        assert f"--exclude-newer {DAY}" in hint


@pytest.mark.parametrize(
    ("words", "first"),
    [("jax --cpu", "jax 0.4.18 needs a cut-off of 2023-10-07 or later"),
     ("torch --cuda 12", "torch 2.1.0 needs a cut-off of 2023-10-04 or later")],
)  # fmt: skip
def test_a_day_before_everything_is_the_cause_itself(words: str, first: str, solve: Kgen) -> None:
    """Not the Python of that day, for which nothing was ever built; and what helps is for the Python of today."""
    said = solve("solve", *words.split(), "--exclude-newer", "2020-01-01")
    assert said.status == 3
    assert "you asked for nothing published after 2020-01-01 (--exclude-newer)\n" in said.stderr
    assert f"  {first}\n" in said.stderr
    assert "Python 3.8" not in said.stderr
    (hint,) = re.findall(r"^hint: kgen solve (.*?)   # gives", said.stderr, re.MULTILINE)
    assert "--python 3.14" in hint
    assert solve("solve", *shlex.split(hint)).status == 0


def test_the_nearest_major_is_offered_first(solve: Kgen) -> None:
    said = solve("solve", "jax", "--cuda", "11", "--python", "3.12", "--exclude-newer", DAY)
    hints = re.findall(r"^hint: kgen solve (.*?)   # gives", said.stderr, re.MULTILINE)
    assert hints[0].startswith("jax --cuda 12 ")
