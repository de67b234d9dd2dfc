"""What must come out of the real matrix on 2026-11-20: rows of the issue, and those that a plain resolver gets wrong.

Each answer is checked against what must never be in it, too: a second CUDA, a second cuDNN, a CPU build.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import pytest
from packaging.version import Version

from kgen.explain.causes import cause_data
from kgen.explain.commands import flags_of
from kgen.explain.reasons import warning_text
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import Change
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.requirement import Requirement
from kgen.model.resolution import Conflict, Resolution, Suggestion
from kgen.solver import python as choosing
from kgen.solver.python import best_python
from kgen.solver.resolve import solve

CUTOFF = datetime.date(2026, 11, 20)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A request as it is typed, and what its answer must hold."""

    asked: str
    gives: dict[str, str] = field(default_factory=dict)
    cudnn: str | None = None
    within: dict[str, str] = field(default_factory=dict)
    """Package -> the range that its version is in."""
    warns: str | None = None
    causes: tuple[str, ...] = ()
    """Of a refusal: what its causes name, each in the words of one cause."""
    suggests: dict[str, dict[str, str]] = field(default_factory=dict)


def request_of(asked: str) -> EnvironmentRequest:
    words = asked.split()
    flags = [position for position, word in enumerate(words) if word.startswith("--")]
    backends = tuple(words[: flags[0]])
    said: dict[str, list[str]] = {}
    for position in flags:
        said.setdefault(words[position], []).append("" if words[position] == "--cpu" else words[position + 1])
    glibc, driver, cutoff = (said.get(flag) for flag in ("--glibc", "--driver", "--exclude-newer"))
    return EnvironmentRequest(
        name="all" if len(backends) > 1 else backends[0],
        backends=backends,
        accelerator=CPU if "--cpu" in said else Accelerator.numbered("cuda", said["--cuda"][0]),
        python=said.get("--python", ["3.12"])[0],
        platform=said.get("--platform", ["linux-64"])[0],
        glibc=Version(glibc[0]) if glibc else None,
        driver=DriverVersion(driver[0]) if driver else None,
        gpus=tuple(said.get("--gpu", ())),
        keras=VersionRange(said.get("--keras", [""])[0]),
        requirements=tuple(map(Requirement, said.get("--require", ()))),
        cutoff=datetime.date.fromisoformat(cutoff[0]) if cutoff else CUTOFF,
    )


APART = "an environment for each backend: dropping `--together all`"
ISSUE = [
    Row(
        asked="tensorflow jax torch --cuda 12",
        gives={"keras": "3.15.1", "tensorflow": "2.20.0", "torch": "2.10.0", "jax": "0.12.0.1"},
        cudnn="9.10.2.21",
    ),
    Row(asked="tensorflow jax torch --cuda 12 --python 3.14", causes=("tensorflow python 3.10-3.13",)),
    Row(asked="tensorflow torch --cuda 13", causes=("tensorflow CUDA 12.5 CUDA 11.8",)),
    Row(asked="jax torch --cuda 13", gives={"torch": "2.15.0", "jax": "0.12.0.1"}, cudnn="9.26.0.51"),
    Row(
        asked="tensorflow torch --cuda 12 --require torch==2.6.0 --python 3.11",
        causes=("torch==2.6.0 --require", "tensorflow cudnn >=9.3 ==8.9.7.29", "torch 2.6.0 cudnn ==9.1.0.70"),
        suggests={"--require 'torch>=2.7'": {"tensorflow": "2.20.0", "torch": "2.10.0"}},
    ),
    Row(
        asked="tensorflow torch --cuda 12 --require tensorflow==2.21.0",
        causes=("tensorflow==2.21.0 --require", "tensorflow 2.21.0 nccl >=2.27.7", "torch nccl ==2.27.5"),
        suggests={"--require 'tensorflow==2.20.0'": {"tensorflow": "2.20.0", "torch": "2.10.0"}},
    ),
    Row(
        asked="jax --cuda 12 --require jax==0.4.25 --python 3.11",
        gives={"jax": "0.4.25"},
        cudnn="8.9.7.29",
        within={"numpy": "<2"},
    ),
    Row(
        asked="torch --cuda 12 --platform linux-aarch64",
        causes=("torch CPU only 2.10.0 CUDA 13.0 2.11.0",),
        suggests={"--cuda 13": {"torch": "2.15.0"}},
    ),
    Row(
        asked="tensorflow --cuda 12 --gpu 7.0",
        gives={"tensorflow": "2.21.0"},
        within={"nvidia-cudnn-cu12": "<=9.10.2.21"},
    ),
    Row(
        asked="torch --cuda 13 --driver 570.124",
        causes=("driver 570.124 --driver", "torch driver >=580"),
        suggests={"--cuda 12": {"torch": "2.10.0"}},
    ),
    Row(asked="jax torch --cuda 12 --driver 535.183 --gpu 8.0", gives={"torch": "2.10.0", "jax": "0.12.0.1"}),
    Row(asked="torch --cuda 12 --glibc 2.17 --python 3.11", gives={"torch": "2.6.0"}, cudnn="9.1.0.70"),
]
"""The table of the issue."""

PLAIN = [
    # what a plain resolver answers to the first two holds the cuDNN of CUDA 12 and of CUDA 13
    Row(asked="tensorflow torch --cuda 12", gives={"tensorflow": "2.20.0", "torch": "2.10.0"}, cudnn="9.10.2.21"),
    Row(
        asked="numpy tensorflow jax torch --cuda 12",
        gives={"tensorflow": "2.20.0", "jax": "0.12.0.1", "torch": "2.10.0"},
        cudnn="9.10.2.21",
    ),
    # ... torch 2.0.1 with the cuDNN of CUDA 11
    Row(
        asked="tensorflow jax torch --cuda 12 --python 3.11",
        gives={"tensorflow": "2.20.0", "jax": "0.10.2", "torch": "2.10.0"},
        cudnn="9.10.2.21",
    ),
    # ... TensorFlow 2.12, and 2.13, which are for CUDA 11.8 and name none
    Row(
        asked="tensorflow jax torch --cuda 12 --require torch==2.6.0 --python 3.11",
        causes=("torch==2.6.0 --require", "tensorflow cudnn", "torch 2.6.0 cudnn ==9.1.0.70"),
    ),
    Row(asked="tensorflow --cuda 13 --python 3.11", causes=("tensorflow CUDA 12.5 CUDA 11.8",)),
    # ... the CPU, silently
    Row(asked="jax --cuda 11 --python 3.11", causes=("jax CUDA 12.1 CUDA 13.0",)),
    # ... cuDNN 9.28 and NumPy 2.4 for a JAX that knows neither
    Row(asked="jax --cuda 12 --require jax==0.4.23 --python 3.11", within={"numpy": "<2"}, cudnn="8.9.7.29"),
    Row(asked="torch --cuda 12 --platform linux-aarch64 --python 3.11", causes=("torch CPU only",)),
    # ... nothing, after 71 seconds
    Row(
        asked="tensorflow torch --cuda 12 --glibc 2.17 --python 3.11",
        causes=("glibc 2.17 --glibc", "torch glibc >=2.28", "tensorflow cudnn", "torch cudnn"),
        suggests={"--glibc 2.28": {"tensorflow": "2.20.0", "torch": "2.10.0"}},
    ),
    # ... right by luck on these days
    Row(
        asked="tensorflow jax torch --cuda 12 --exclude-newer 2025-11-01",
        gives={"tensorflow": "2.20.0", "torch": "2.9.0"},
        cudnn="9.10.2.21",
    ),
    Row(
        asked="tensorflow jax torch --cuda 12 --exclude-newer 2026-03-10",
        gives={"tensorflow": "2.20.0", "torch": "2.10.0"},
        cudnn="9.10.2.21",
    ),
    # ... a pre-release, where no stable one fits
    Row(asked="tensorflow --cuda 12 --keras ==2.3.1 --python 3.11", causes=("keras==2.3.1 --keras",)),
]
"""What a plain resolver gets wrong, or right by luck."""

MORE = [
    Row(asked="torch --cuda 11 --python 3.11", gives={"torch": "2.0.1"}, cudnn="8.5.0.96"),
    Row(asked="tensorflow --cuda 11 --python 3.11", gives={"tensorflow": "2.14.1"}, cudnn="8.7.0.84", warns="Keras"),
    Row(asked="torch --cuda 12 --require torch==2.5.1", gives={"torch": "2.5.1"}, cudnn="9.1.0.70"),
    Row(asked="torch --cuda 12.6", gives={"torch": "2.7.1"}, cudnn="9.5.1.17"),
    Row(asked="torch --cuda 12 --gpu 6.1", gives={"torch": "2.7.1"}),
    Row(asked="torch --cuda 12 --gpu 12.0", gives={"torch": "2.10.0"}, cudnn="9.10.2.21"),
    Row(
        asked="torch --cuda 12 --gpu 12.0 --driver 535.183",
        causes=("driver 535.183", "gpu 12.0", "cudnn 570.26", "torch cudnn ==9.10.2.21"),
        suggests={"--driver 570.26": {"torch": "2.10.0"}},
    ),
    Row(asked="tensorflow --cuda 12 --gpu 12.0", causes=("gpu 12.0 --gpu", "tensorflow not >=10.0")),
    Row(asked="tensorflow --cuda 12 --require tensorflow==2.18.0", gives={"tensorflow": "2.18.0"}, cudnn="9.3.0.75"),
    Row(asked="tensorflow --cuda 12 --platform linux-aarch64", causes=("tensorflow the CPU only",)),
    Row(asked="tensorflow --cpu --platform linux-aarch64", gives={"tensorflow": "2.21.0"}),
    Row(asked="jax --cuda 12 --platform linux-aarch64", gives={"jax": "0.12.0.1"}),
    Row(asked="torch --cuda 13 --platform linux-aarch64", gives={"torch": "2.15.0"}, cudnn="9.26.0.51"),
    Row(asked="torch --cuda 13 --exclude-newer 2026-04-15", gives={"torch": "2.11.0"}, cudnn="9.19.0.56"),
    Row(asked="jax --cuda 13 --gpu 7.0", causes=("gpu 7.0 --gpu", "jax >=7.5 CUDA 13"), suggests={"--cuda 12": {}}),
    Row(asked="jax --cuda 13 --gpu 7.5 --driver 580", gives={"jax": "0.12.0.1"}),
    Row(asked="jax --cuda 12 --python 3.10", gives={"jax": "0.6.2", "keras": "3.12.4"}),
    Row(asked="jax --cuda 12 --require jax==0.4.32", gives={"jax": "0.4.32"}, warns="yanked"),
    Row(asked="jax --cuda 12 --require jax>=0.4.31 --require jax<0.4.33", gives={"jax": "0.4.31"}),
    Row(
        asked="tensorflow --cuda 12 --require tensorflow==2.22.0rc0",
        gives={"tensorflow": "2.22.0rc0"},
        warns="pre-release",
    ),
    Row(
        asked="tensorflow torch --cuda 12 --require tensorflow==2.22.0rc0",
        causes=("tensorflow==2.22.0rc0", "tensorflow 2.22.0rc0 nccl >=2.30.7", "torch nccl"),
        suggests={APART: {"tensorflow": "2.22.0rc0", "torch": "2.10.0"}},
    ),
    Row(asked="torch --cuda 12 --require torch==2.12.0", causes=("torch==2.12.0 --require", "torch 2.12.0 CUDA 13.0")),
    Row(
        asked="torch --cuda 12 --require torch==2.6.0 --python 3.14",
        causes=("torch==2.6.0 --require", "torch 2.6.0 python 3.9-3.13"),
        suggests={"--python 3.13": {"torch": "2.6.0"}},
    ),
    Row(asked="torch --cuda 12 --require torch==2.2.2", gives={"torch": "2.2.2"}, within={"numpy": "<2"}),
    Row(asked="jax torch --cuda 12 --python 3.14", gives={"jax": "0.12.0.1", "torch": "2.10.0"}, cudnn="9.10.2.21"),
    Row(asked="numpy --cpu", gives={"keras": "3.15.1"}),
    Row(asked="openvino --cpu", gives={"keras": "3.15.1"}),
    Row(asked="openvino --cpu --keras <3.8", causes=("keras<3.8 --keras", "openvino keras >=3.8")),
]
"""More that follows from the matrix."""


@pytest.mark.parametrize("row", [*ISSUE, *PLAIN, *MORE], ids=lambda row: row.asked)
def test_answer(matrix: CompatibilityMatrix, row: Row) -> None:
    request = request_of(row.asked)
    found = solve(matrix, request)
    if row.causes:
        assert isinstance(found, Conflict)
        judge_refusal(row, found)
    else:
        assert isinstance(found, Resolution)
        judge(row, found, matrix)


def judge(row: Row, found: Resolution, matrix: CompatibilityMatrix) -> None:
    versions = {**found.packages, **found.libraries}
    assert {name: str(versions[name]) for name in row.gives} == row.gives
    if row.cudnn is not None:
        assert str(found.cudnn) == row.cudnn
    for name, wanted in row.within.items():
        assert versions[name] in VersionRange(wanted)
    assert any(row.warns in warning_text(warning) for warning in found.warnings) if row.warns else found.warnings == ()
    judge_cuda(found, matrix)


def judge_cuda(found: Resolution, matrix: CompatibilityMatrix) -> None:
    """One CUDA major, one cuDNN, and for each framework that can have it a CUDA build: read from the names alone."""
    asked = found.request.accelerator
    cuda = asked.major
    suffixes = {name.rpartition("-cu")[2] for name in found.libraries if "-cu1" in name}
    assert suffixes <= {str(cuda)}
    assert len([name for name in found.libraries if "cudnn" in name]) == (0 if cuda is None else 1)
    assert {matrix.accelerator_of(name, version) for name, version in found.libraries.items()} <= {asked.whole, None}
    assert (None if found.runtime is None else found.runtime.whole) == (None if cuda is None else asked.whole)
    for backend in found.request.backends:
        name = matrix.backends[backend].framework
        release = next(one for one in matrix.framework(name).releases if one.version == found.packages[name])
        if cuda is not None and matrix.backends[backend].accelerated:
            assert asked.whole in {build.accelerator.whole for build in release.builds}
        assert not any("+" in text for text in found.install if cuda is not None)


def judge_refusal(row: Row, found: Conflict) -> None:
    texts = [" ".join(cause_data(cause, found.request).values()) for cause in found.causes]
    for wanted in row.causes:
        assert any(all(words in text for words in _phrases(wanted)) for text in texts), (wanted, texts)
    assert len(texts) == len(row.causes) or row in PLAIN
    given = {flags_of(suggestion.changes, found.request): dict(suggestion.gives) for suggestion in found.suggestions}
    for change, gives in row.suggests.items():
        assert change in given
        assert gives.items() <= given[change].items()


def _phrases(wanted: str) -> list[str]:
    """`torch CUDA 13.0` as `torch`, `CUDA 13.0`: a word in capitals or a flag goes with what follows it."""
    words = wanted.split()
    found: list[str] = []
    for word in words:
        if found and found[-1] in {"CUDA", "CPU", "not", "python", "driver", "glibc", "gpu", "the"}:
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def test_never_a_tensorflow_whose_metadata_names_no_cuda(matrix: CompatibilityMatrix) -> None:
    """TensorFlow 2.12 and 2.13 name no NVIDIA package, and fit everything that looks at names alone."""
    for cuda in matrix.majors("cuda"):
        found = solve(matrix, request_of(f"tensorflow --cuda {cuda} --require tensorflow<2.14 --python 3.11"))
        if isinstance(found, Resolution):
            assert cuda == 11
            assert found.cudnn is not None


def test_the_python_that_nobody_names(matrix: CompatibilityMatrix) -> None:
    requests = [request_of(f"{backend} --cuda 12") for backend in ("tensorflow", "jax", "torch")]
    assert best_python(matrix, requests) == "3.13"
    assert best_python(matrix, [request_of("tensorflow jax torch --cuda 12")]) == "3.13"
    assert best_python(matrix, [request_of("tensorflow --cuda 11")]) == "3.11"


def test_no_request_is_solved_twice_on_a_python(matrix: CompatibilityMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Python gives both their best, so all are compared; what was solved to find that out is not solved again."""
    solved: list[tuple[str, str]] = []

    def counted(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[Version, ...]:
        solved.append((request.name, request.python))
        return frameworks(matrix, request)

    frameworks = choosing._frameworks
    monkeypatch.setattr(choosing, "_frameworks", counted)
    requests = [request_of("tensorflow --cuda 11"), request_of("jax --cuda 12")._replace(name="other")]
    assert best_python(matrix, requests) == "3.11"
    pythons = {python for _, python in solved}
    assert len(pythons) > 1
    assert len(solved) == len(set(solved)) == 2 * len(pythons)


def test_a_python_that_nobody_asked_for_does_not_stand_in_the_way(matrix: CompatibilityMatrix) -> None:
    """Torch for CUDA 13 is best on a Python that Torch for CUDA 12 never had; the driver is what was asked about."""
    request = EnvironmentRequest(
        name="torch",
        backends=("torch",),
        accelerator=Accelerator("cuda", (13,)),
        python=matrix.pythons[-1].version,
        python_open=True,
        platform="linux-64",
        driver=DriverVersion("570.124"),
        cutoff=CUTOFF,
    )
    answer = solve(matrix, request)
    assert isinstance(answer, Conflict)
    first = answer.suggestions[0]
    twelve = Accelerator("cuda", (12,))
    assert first == Suggestion((Change(RequestField.ACCELERATOR, twelve),), {"torch": "2.10.0"}, first.requests)
    assert [one.accelerator for one in first.requests] == [twelve]
