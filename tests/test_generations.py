"""The generations of Keras: which backend is meant, what fits, what is refused, and what a lock of them holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePath

import pytest
import tomli
from packaging.pylock import Pylock
from packaging.version import Version
from tests.command import PYTHON, Kgen
from tests.index import Index
from tests.recorded import MATRIX
from tests.test_pylock import LOCK, RESOLUTION, WHEEL

from kgen import lockfiles, settings
from kgen.emitters.activation import at, render_activation
from kgen.emitters.hooks import render_hooks
from kgen.errors import MatrixError, SettingsError
from kgen.explain import report
from kgen.explain.causes import requires_text
from kgen.explain.faults import fault_text
from kgen.explain.reasons import reason_rule, reason_subject, warning_text
from kgen.fields import request_of
from kgen.formats.environment import link
from kgen.formats.wheels import judge, pylock
from kgen.formats.wheels.closer import with_whole
from kgen.formats.wheels.installer import _pins
from kgen.formats.wheels.lock import LockedWheel
from kgen.formats.wheels.uv import _cutoff, stand_ins
from kgen.freshness import hand_edited
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import Reason
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Conflict, Resolution, SourceRelease
from kgen.solver.resolve import solve
from kgen.validation.diagnosis import diagnose

CUDA_11, CUDA_12 = Accelerator("cuda", (11,)), Accelerator("cuda", (12,))


def ask(
    matrix: CompatibilityMatrix,
    backend: str,
    python: str,
    *wishes: str,
    on: Accelerator = CPU,
    day: str | None = None,
    platform: str = "linux-64",
) -> Resolution | Conflict:
    return solve(
        matrix,
        EnvironmentRequest(
            name=backend,
            backends=(backend,),
            accelerator=on,
            python=python,
            platform=platform,
            requirements=tuple(map(Requirement, wishes)),
            cutoff=None if day is None else dt.date.fromisoformat(day),
        ),
    )


def solved(found: Resolution | Conflict) -> Mapping[str, str]:
    assert isinstance(found, Resolution), found
    return {name: str(version) for name, version in {**found.packages, **found.libraries}.items()}


def refused(found: Resolution | Conflict) -> Conflict:
    assert isinstance(found, Conflict), found
    return found


def reason_for(package: str, found: Resolution) -> Reason:
    (reason,) = (one for one in found.why if one.package == package)
    return reason


# -- the matrix --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "generation", "full"),
    [
        ("jax", None, "jax"),
        ("jax", "keras-core", "keras-core-jax"),
        ("keras-core-jax", None, "keras-core-jax"),
        ("keras-core-jax", "keras3", "jax"),
        ("theano", None, "keras2-theano"),
        ("tensorflow", "keras2", "keras2-tensorflow"),
        ("jax", "keras2", None),
        ("theano-pymc", None, "keras2-theano-pymc"),
        ("theano-pymc", "keras3", None),
        ("tensorflow", "tf-keras", "tf-keras-tensorflow"),
        ("jax", "tf-keras", None),
        ("mxnet", None, None),
    ],
)
def test_which_backend_is_meant(
    matrix: CompatibilityMatrix, name: str, generation: str | None, full: str | None
) -> None:
    row = matrix.backend_named(name, generation)
    assert (None if row is None else row.name) == full


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("backends.toml", 'generation = "keras2"', 'generation = "keras1"', "unknown generation keras1"),
        ("generations.toml", 'range = ">=0.1,<0.2"', 'range = ">=9"', "holds no release of keras-core"),
        ("generations.toml", 'pythons = ">=3.6,<3.9"', 'pythons = ">=3.7,<3.9"', "leaves out 3.6"),
        ("generations.toml", '"wheel==0.37.1"', '"wheel>=0.37"', "`wheel>=0.37` is not exact"),
        ("generations.toml", "since = 2018-06-06", 'since = "2018"', "should be a date, is text"),
        (
            "backends.toml",
            'instead-of = "keras2-theano"',
            'instead-of = "theano"',
            "instead-of: unknown backend theano",
        ),
        ("backends.toml", 'releases = "<2.3"', 'releases = "2.3"', "is not a range of versions"),
    ],
)
def test_faults_between_the_files(file: str, old: str, new: str, fault: str) -> None:
    folder = MATRIX
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.toml")}
    assert old in files[file]
    with pytest.raises(MatrixError) as caught:
        CompatibilityMatrix({**files, file: files[file].replace(old, new)}).check()
    assert fault in str(caught.value)


def test_a_matrix_without_generations_has_one(matrix: CompatibilityMatrix) -> None:
    assert CompatibilityMatrix({}).generations["keras3"].package == "keras"
    assert next(iter(matrix.generations)) == "keras3"


# -- what fits ---------------------------------------------------------------------------------------------------------


def test_on_aarch64_tensorflow_of_2023_is_the_one_that_requires_the_build_of_aws(matrix: CompatibilityMatrix) -> None:
    """`tensorflow` has nothing in it there; without these rows keras-core 0.1.5 and 0.1.6 could not be had."""
    asked = {"keras-core-torch": ("torch", "2.0.1"), "keras-core-tensorflow": ("tensorflow", "2.13.0")}
    for backend, (framework, version) in asked.items():
        found = ask(matrix, backend, "3.11", day="2023-09-01", platform="linux-aarch64")
        assert isinstance(found, Resolution), found
        assert solved(found)["keras-core"] == "0.1.5"
        assert solved(found)[framework] == version
        assert f"{framework}=={version}" in found.install
        assert not any(text.startswith("tensorflow-cpu") for text in (*found.install, *found.constraints))


def test_theano_has_the_ranges_that_its_metadata_lacks(matrix: CompatibilityMatrix) -> None:
    for python, numpy in (("3.6", "1.19.5"), ("3.7", "1.21.6"), ("3.8", "1.21.6")):
        found = solved(ask(matrix, "keras2-theano", python))
        assert (found["keras"], found["theano"], found["numpy"], found["h5py"]) == ("2.3.1", "1.0.5", numpy, "2.10.0")


def test_theano_pymc_serves_what_theano_does_and_is_taken_where_it_is_asked_for(
    kgen: Kgen, matrix: CompatibilityMatrix
) -> None:
    for python, numpy in (("3.6", "1.19.5"), ("3.7", "1.21.6"), ("3.8", "1.21.6")):
        found = solved(ask(matrix, "keras2-theano-pymc", python))
        assert (found["keras"], found["theano-pymc"], found["numpy"]) == ("2.3.1", "1.0.12", numpy)
        assert "theano" not in found
    refused(ask(matrix, "keras2-theano-pymc", "3.9"))
    conflict = refused(ask(matrix, "keras2-theano-pymc", "3.8", "numpy>=1.22"))
    assert [requires_text(cause) for cause in conflict.causes] == ["numpy>=1.22", "numpy >=1.9.1,<1.22"]
    for words in (["--require", "theano-pymc<1.1"], ["--dependency", "Theano_PyMC"]):
        answer = json.loads(kgen("solve", "theano", "--cpu", "--json", *words).stdout)["solution"]
        assert answer["environment"] == "keras2-theano-cpu"
        assert answer["packages"] == {"keras": "2.3.1", "theano-pymc": "1.0.12"}
    assert kgen("solve", "theano-pymc", "--cpu").stdout.startswith("keras2-theano-pymc-cpu: Python 3.8, linux-64\n")


def test_why_theano_pymc_is_there_is_said(kgen: Kgen) -> None:
    done = kgen("explain", "theano", "--cpu", "--require", "theano-pymc")
    assert done.status == 0, done.stderr
    assert "in the place of theano, as a requirement names it: both are the module `theano`" in done.stdout


def test_keras_cannot_import_a_later_theano_pymc(matrix: CompatibilityMatrix) -> None:
    pinned = ask(matrix, "keras2-theano-pymc", "3.7", "theano-pymc==1.1.2")
    assert isinstance(pinned, Resolution)
    assert any("has no MRG_RandomStreams" in warning_text(warning) for warning in pinned.warnings)
    theirs = {one.version for one in pinned.sources if one.name == "theano-pymc"}
    assert theirs == {release.version for release in matrix.framework("theano-pymc").releases}


def test_keras_2_takes_no_tensorflow_that_it_fails_on(matrix: CompatibilityMatrix) -> None:
    found = ask(matrix, "keras2-tensorflow", "3.7")
    assert (solved(found)["keras"], solved(found)["tensorflow"]) == ("2.3.1", "2.2.3")
    assert isinstance(found, Resolution)
    assert "protobuf<3.21" in found.constraints
    conflict = refused(ask(matrix, "keras2-tensorflow", "3.7", "tensorflow==1.15.5", "keras==2.2.4"))
    cause = next(cause for cause in conflict.causes if cause.subject.startswith("tensorflow"))
    assert requires_text(cause) == "keras >=2.3,<2.4"
    release = matrix.release("tensorflow", Version("1.15.5"))
    assert release is not None
    assert "train wrongly" in release.builds[0].adds[f"keras{requires_text(cause).removeprefix('keras ')}"]


def test_cntk_is_for_one_python(matrix: CompatibilityMatrix) -> None:
    assert solved(ask(matrix, "keras2-cntk", "3.6"))["cntk"] == "2.7.post2"
    assert "no stable CNTK for the CPU on linux-64 has a wheel for Python 3.7" in report.message(
        refused(ask(matrix, "keras2-cntk", "3.7"))
    )


@pytest.mark.parametrize(("backend", "channel"), [("theano", "conda-forge"), ("cntk", "cudatoolkit 10.0")])
def test_what_wheels_lack_is_refused_and_the_channel_named(
    matrix: CompatibilityMatrix, backend: str, channel: str
) -> None:
    message = report.message(refused(ask(matrix, f"keras2-{backend}", "3.6", on=CUDA_12)))
    assert " for CUDA 12 on linux-64; " in message
    assert message.startswith("the matrix has no row for a stable ")
    assert channel in message
    assert channel not in report.message(refused(ask(matrix, f"keras2-{backend}", "3.12")))


def test_a_refusal_speaks_of_its_generation_alone(kgen: Kgen) -> None:
    """TensorFlow has builds for CUDA 12, and none of them is for Keras 2."""
    result = kgen("solve", "tensorflow", "--generation", "keras2", "--cuda", "12")
    assert result.status == 3
    assert result.stderr.startswith(
        "error: keras2-tensorflow-cuda12: the matrix has no row for a stable TensorFlow for CUDA 12 on "
    )
    assert "\n  tensorflow 1.15.5-2.2.3 has rows for the CPU only\n" in result.stderr


@pytest.mark.parametrize("platform", ["linux-64", "linux-aarch64", "osx-arm64", "win-64"])
def test_keras_core_gets_the_tensorflow_that_it_imports(matrix: CompatibilityMatrix, platform: str) -> None:
    """Each release, on whatever backend; up to 0.1.4 only one whose own Keras is Keras 2."""
    for release in matrix.framework("keras-core").releases:
        if release.version <= Version("0.1.4") and platform in {"linux-aarch64", "win-64"}:
            continue  # TensorFlow has no wheel of its own for these before 2.16
        for backend in ("jax", "numpy") if release.version > Version("0.1.5") else ("torch",):
            wish = f"keras-core=={release.version}"
            found = ask(matrix, f"keras-core-{backend}", "3.11", wish, platform=platform)
            old = release.version <= Version("0.1.4")
            assert isinstance(found, Resolution), (wish, backend, platform)
            reason = reason_for("tensorflow", found)
            version = found.packages["tensorflow"]
            assert (version < Version("2.16")) is old
            assert reason_subject(reason) == f"tensorflow {version}"
            assert "run here" in "; ".join(reason.sources)
            declared = "and requires by that name" if str(release.version) == "0.1.0" else "which it does without"
            assert reason_rule(reason).startswith("newest that keras-core can import, ")
            assert declared in reason_rule(reason)
            assert reason_rule(reason).endswith("; for the CPU")
            (asked,) = (text for text in found.install if text.startswith("tensorflow"))
            whole = declared.startswith("and") or platform in {"linux-aarch64", "osx-arm64"}
            assert asked in ({f"tensorflow=={version}"} if whole else {f"tensorflow-cpu=={version}"})


@pytest.mark.parametrize(("backend", "cuda"), [("torch", 11), ("torch", 12), ("jax", 12), ("jax", 13), ("torch", 13)])
def test_the_tensorflow_beside_another_framework_is_for_the_cpu(
    matrix: CompatibilityMatrix, backend: str, cuda: int
) -> None:
    found = ask(matrix, f"keras-core-{backend}", "3.11", on=Accelerator("cuda", (cuda,)))
    assert isinstance(found, Resolution)
    assert f"tensorflow-cpu=={found.packages['tensorflow']}" in found.install
    assert reason_rule(reason_for("tensorflow", found)).endswith(
        f"; for the CPU, so that CUDA and cuDNN are those of {backend} alone"
    )
    assert all("nvidia" not in text for text in found.install if "tensorflow" in text)


def test_a_whole_tensorflow_says_whose_cudnn_it_finds(matrix: CompatibilityMatrix) -> None:
    """keras-core 0.1.0 requires `tensorflow` by that name, and its wheels know where those of CUDA are."""
    wishes = ("keras-core==0.1.0", "nvidia-cudnn-cu12<9", "jax<0.4.30")
    shared = ask(matrix, "keras-core-jax", "3.11", *wishes, "tensorflow>=2.15", on=CUDA_12)
    assert isinstance(shared, Resolution)
    said = f"; built for CUDA 12.2, it may compute with that of jax: both have the one cuDNN {shared.cudnn}"
    assert reason_rule(reason_for("tensorflow", shared)).endswith(said)
    apart = ask(matrix, "keras-core-torch", "3.11", "keras-core==0.1.0", on=CUDA_12)
    assert isinstance(apart, Resolution)
    assert reason_rule(reason_for("tensorflow", apart)).endswith(
        "; it finds no CUDA and cuDNN that it is built for, and computes on the CPU,"
        " so that CUDA and cuDNN are those of torch alone"
    )


def test_of_frameworks_that_compute_together_each_says_which_cudnn_it_needs(kgen: Kgen) -> None:
    words = ("tensorflow", "jax", "--together", "both", "--generation", "keras-core", "--cuda", "12")
    told = kgen("explain", *words).stdout.splitlines()
    at = next(number for number, line in enumerate(told) if line.startswith("  nvidia-cudnn-cu12 "))
    assert [line.split()[0] for line in told[at + 1 : at + 3]] == ["tensorflow", "jax"]
    assert "for the CPU" not in "".join(told)


def test_why_tensorflow_is_there_is_explained(kgen: Kgen) -> None:
    done = kgen("explain", "jax", "--generation", "keras-core", "--cuda", "12", "--python", "3.12")
    assert "\n  tensorflow 2." in done.stdout
    assert "\n    newest that keras-core can import, which it does without declaring it; for the CPU, " in done.stdout
    held = kgen("solve", "jax", "--generation", "keras-core", "--keras", "==0.1.4", "--cpu", "--python", "3.11")
    assert " newest beside tensorflow 2.13.1: 0.5.0 needs numpy >=1.25, tensorflow 2.13.1 needs >=1.22," in held.stdout


def test_a_requirement_on_what_keras_imports_is_about_each_environment(kgen: Kgen) -> None:
    words = ("solve", "jax", "numpy", "--cpu", "--python", "3.11", "--require", "tensorflow<2.16", "--json")
    for solution in json.loads(kgen(*words, "--generation", "keras-core").stdout)["solutions"]:
        assert solution["packages"]["tensorflow"].startswith("2.1")
        assert Version(solution["packages"]["tensorflow"]) < Version("2.16")
    for solution in json.loads(kgen(*words).stdout)["solutions"]:
        assert "tensorflow" not in solution["packages"]


@pytest.mark.parametrize(
    ("wish", "fact", "hint"),
    [
        ("tensorflow<2.16", "needs python 3.9-3.11 (2.14.0-2.15.1)", "--require 'tensorflow>=2.20'   # gives jax "),
        (
            "keras-core==0.1.4",
            "keras-core 0.1.4 needs tensorflow >=2.12,<2.16, of which none fits Python 3.13 on linux-64",
            "--require 'keras-core>=0.1.5'   # gives jax ",
        ),
    ],
)
def test_a_tensorflow_that_cannot_be_had_is_refused(kgen: Kgen, wish: str, fact: str, hint: str) -> None:
    done = kgen("solve", "jax", "--generation", "keras-core", "--cpu", "--python", "3.13", "--require", wish)
    assert done.status == 3
    assert f"\n  you asked for {wish} (--require)\n" in done.stderr
    assert fact in done.stderr
    command = "kgen solve keras-core-jax --cpu --python {} --platform linux-64 "
    assert f"\nhint: {command.format('3.13')}{hint}" in done.stderr
    assert f"\nhint: {command.format('3.11')}{shlex.join(('--require', wish))}   # gives jax 0.4." in done.stderr


def test_a_cpu_build_is_sound_where_that_for_cuda_is_not(matrix: CompatibilityMatrix) -> None:
    assert solved(ask(matrix, "tensorflow", "3.10", day="2023-09-01"))["tensorflow"] == "2.13.0"
    refused(ask(matrix, "tensorflow", "3.10", on=CUDA_11, day="2023-09-01"))
    pinned = ask(matrix, "tensorflow", "3.10", "tensorflow==2.13.0", on=CUDA_11)
    assert isinstance(pinned, Resolution)
    assert any("is to be avoided: its wheel does not find" in warning_text(warning) for warning in pinned.warnings)


def test_what_was_deleted_and_put_back_is_taken_and_said(matrix: CompatibilityMatrix) -> None:
    """jaxlib of summer 2023 was deleted from the index, but for one that came back in 2025."""
    found = ask(matrix, "keras-core-jax", "3.10", day="2023-09-01")
    assert isinstance(found, Resolution)
    assert (solved(found)["jax"], solved(found)["tensorflow"]) == ("0.4.13", "2.13.0")
    assert found.republished == {"jaxlib": dt.date(2025, 12, 5)}
    assert any(
        "jaxlib that are locked were put on the index again on 2025-12-05" in warning_text(one)
        for one in found.warnings
    )
    later = ask(matrix, "keras-core-jax", "3.10", "jax==0.4.13")
    assert isinstance(later, Resolution)
    assert not any("put on the index again" in warning_text(one) for one in later.warnings)
    assert _cutoff(dt.date(2023, 9, 1), found.republished) == [
        "--exclude-newer",
        "2023-09-02T00:00:00Z",
        "--exclude-newer-package",
        "jaxlib=2025-12-06T00:00:00Z",
    ]
    assert _cutoff(dt.date(2026, 1, 1), found.republished) == ["--exclude-newer", "2026-01-02T00:00:00Z"]


def test_what_is_imported_undeclared_counts_with_what_it_needs_itself(matrix: CompatibilityMatrix) -> None:
    """NumPy is the framework here, and TensorFlow beside it takes none newer than 1.24.3."""
    found = ask(matrix, "keras-core-numpy", "3.10", day="2023-09-01")
    assert isinstance(found, Resolution)
    assert solved(found)["numpy"] == "1.24.3"
    assert {"jax==0.4.13", "jaxlib==0.4.13", "tensorflow-cpu==2.13.0"} <= set(found.install)


@pytest.mark.parametrize(
    ("backend", "on", "place"),
    [
        ("tensorflow", CUDA_11, "`conda-forge` has TensorFlow of that time with its CUDA and cuDNN (2.12.1 for"),
        ("jax", CUDA_11, "has its builds for CUDA on an index of its own, which kgen does not lock from"),
        ("jax", CUDA_12, "`conda-forge` has jaxlib of that time for CUDA 11.8 (0.4.19) and 12.0"),
    ],
)
def test_a_gpu_of_that_day_is_refused_and_its_place_named(
    matrix: CompatibilityMatrix, backend: str, on: Accelerator, place: str
) -> None:
    assert place in report.message(refused(ask(matrix, f"keras-core-{backend}", "3.10", on=on, day="2023-09-01")))
    today = report.message(refused(ask(matrix, f"keras-core-{backend}", "3.8", on=on)))
    assert place not in today


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("--as-of", "2023-09-01"), "--as-of"),
        (("--exclude-newer", "2023-09-01"), "--exclude-newer"),
    ],
)
def test_a_day_is_called_as_it_was_typed(kgen: Kgen, words: tuple[str, str], flag: str) -> None:
    """A day that chose the Keras takes its choice along: commands name that Keras, and the day by itself."""
    other = {"--as-of": "--exclude-newer", "--exclude-newer": "--as-of"}[flag]
    done = kgen("solve", "torch", "--cuda", "12", "--generation", "keras-core", *words)
    assert done.status == 3
    assert f"\n  you asked for nothing published after 2023-09-01 ({flag})\n" in done.stderr
    causes, _, hints = done.stderr.partition("\n\n")
    assert other not in causes
    command = "hint: kgen solve keras-core-torch"
    # without the day, a newer Python is had, too
    assert hints.startswith(f"{command} --cuda 12 --python 3.13 --platform linux-64   # gives torch 2.")
    day = "--platform linux-64 --exclude-newer 2023-09-01   # gives "
    # PyTorch's builds for the CPU are on its own index alone
    on_cpu = day.replace("   #", " --torch-index   #")
    assert hints.splitlines()[-1].startswith(f"{command} --cpu --python 3.11 {on_cpu}")
    fits = kgen("solve", "torch", "--cpu", "--generation", "keras-core", *words).stdout
    assert f"newest that fits: 0.1.6 is kept out by {flag} 2023-09-01\n" in fits
    explained = kgen("explain", "torch", "--cpu", "--generation", "keras-core", *words).stdout
    assert f"you asked for nothing published after 2023-09-01 ({flag})" in explained
    assert other not in fits + explained


def test_a_lock_is_the_same_whatever_its_day_was_called(matrix: CompatibilityMatrix) -> None:
    def text(*, as_of: bool) -> str:
        found = ask(matrix, "jax", "3.11", day="2024-09-01")
        again = solve(matrix, found.request._replace(as_of=as_of))
        assert isinstance(again, Resolution)
        assert any(
            ("--as-of 2024-09-01" in reason_rule(reason, again.request.cutoff_flag)) is as_of for reason in again.why
        )
        return pylock.render(
            dataclasses.replace(LOCK, resolution=again),
            platform=matrix.platforms["linux-64"],
            variables={},
            hooks={},
            revision="0123456789abcdef",
            version="0.1.0",
            portable=True,
        )

    assert text(as_of=True) == text(as_of=False)
    assert "is kept out by --exclude-newer 2024-09-01" in text(as_of=True)


@pytest.mark.parametrize("words", [("--generation", "keras3"), ("--keras", ">=3")])
def test_keras_3_did_not_exist_then(kgen: Kgen, words: tuple[str, str]) -> None:
    done = kgen("solve", "jax", "--cpu", "--as-of", "2023-09-01", *words)
    assert done.status == 3
    said = "; Keras 3 did not exist on 2023-09-01: its first release was on 2023-11-28\n"
    assert done.stderr.startswith("error: jax-cpu: ")
    assert said in done.stderr
    assert "\nhint: kgen solve keras-core-jax --cpu --python 3.11 " in done.stderr
    taken = kgen("solve", "jax", "--cpu", "--as-of", "2023-09-01")
    assert "note: Keras Core, as Keras 3 came out on 2023-11-28; `--generation` chooses another\n" in taken.stderr


def test_a_library_of_models_has_the_tensorflow_that_it_imports(kgen: Kgen) -> None:
    for hub, version in (("cv", "2.13.1"), ("nlp", "2.12.1")):
        words = ("solve", "jax", "--generation", "keras-core", "--with-hub", hub, "--cpu")
        answer = json.loads(kgen(*words, "--json").stdout)["solution"]
        assert answer["packages"]["tensorflow"] == version
        why = next(one["rule"] for one in answer["why"] if one["subject"] == f"tensorflow {version}")
        who = f"keras-{hub} and keras-core"
        assert why == f"newest that {who} can import, which they do without declaring it; for the CPU"
        late = kgen(*words, "--python", "3.12")
        assert late.status == 3
        assert f"tensorflow >=2.12,<2.16 for keras-{hub}" in late.stderr
        assert "\nhint: kgen solve keras-core-jax --cpu --python 3.11 --platform linux-64" in late.stderr


def test_the_whole_of_a_framework_in_the_place_of_its_part(matrix: CompatibilityMatrix) -> None:
    found = ask(matrix, "tensorflow", "3.12")
    assert isinstance(found, Resolution)
    assert with_whole(matrix, found, {"keras", "tensorflow-cpu"}) is None
    whole = with_whole(matrix, found, {"tensorflow", "tensorflow-cpu"})
    assert whole is not None
    assert whole.install[0] == f"tensorflow=={found.packages['tensorflow']}"
    assert "tensorflow-cpu" not in whole.packages
    assert reason_rule(whole.why[0]).endswith("; whole, as a dependency requires it, and not tensorflow-cpu")
    jax = ask(matrix, "jax", "3.12")
    assert isinstance(jax, Resolution)
    assert with_whole(matrix, jax, {"jax", "jaxlib"}) is None


def test_two_projects_that_are_one_module_are_not_locked_together(matrix: CompatibilityMatrix) -> None:
    both = (THEANO, dataclasses.replace(THEANO, name="theano-pymc", filename="Theano-PyMC-1.0.12.tar.gz"))
    lock = dataclasses.replace(LOCK, wheels=(*LOCK.wheels, *both))
    said = "theano and theano-pymc are both the module `theano`: one environment can have one of them"
    assert said in map(fault_text, judge.faults(matrix, lock, {}))
    two = dataclasses.replace(LOCK, wheels=(*LOCK.wheels, THEANO))
    assert said not in map(fault_text, judge.faults(matrix, two, {}))


def test_what_ended_is_said_with_the_day(matrix: CompatibilityMatrix) -> None:
    found = ask(matrix, "keras2-theano", "3.7")
    assert isinstance(found, Resolution)
    assert [warning_text(warning).partition(": ")[0] for warning in found.warnings] == [
        "multi-backend Keras 2 was last supported on 2020-04-30",
        "Theano was last supported on 2020-07-27",
    ]
    current = ask(matrix, "jax", "3.12")
    assert isinstance(current, Resolution)
    assert current.warnings == ()


@pytest.mark.parametrize(
    ("python", "wish", "locked"),
    [
        ("3.7", "tensorflow==2.3.*", {"tensorflow": "2.3.4", "keras": "2.4.3"}),
        ("3.8", "tensorflow==2.4.*", {"tensorflow": "2.4.4", "keras": "2.4.3"}),
        ("3.9", "tensorflow==2.6.0", {"tensorflow": "2.6.0", "keras": "2.6.0"}),
        ("3.9", "tensorflow==2.7.*", {"tensorflow": "2.7.4", "keras": "2.7.0"}),
        ("3.10", "tensorflow==2.11.*", {"tensorflow": "2.11.1", "keras": "2.11.0"}),
        ("3.11", "keras<3", {"tensorflow": "2.15.1", "keras": "2.15.0"}),
    ],
)
def test_tensorflow_with_its_own_keras(
    matrix: CompatibilityMatrix, python: str, wish: str, locked: Mapping[str, str]
) -> None:
    found = solved(ask(matrix, "tf-keras-tensorflow", python, wish))
    assert {name: found[name] for name in locked} == locked


def test_numpy_2_and_protobuf_4_are_not_for_the_tensorflow_of_their_past(matrix: CompatibilityMatrix) -> None:
    for python, wish in (("3.9", "tensorflow==2.7.0"), ("3.10", "tensorflow==2.8.0")):
        for other in ("numpy>=2", "protobuf>=4"):
            assert isinstance(ask(matrix, "tf-keras-tensorflow", python, wish, other), Conflict), (wish, other)


def test_a_release_whose_keras_has_two_owners_is_avoided(matrix: CompatibilityMatrix) -> None:
    """TensorFlow 2.5 requires keras-nightly, which writes the files of keras."""
    conflict = refused(ask(matrix, "tf-keras-tensorflow", "3.9", "tensorflow>=2.5,<2.6"))
    assert "it requires keras-nightly, whose files are those of keras" in report.conflict_text(conflict)


def test_the_last_tensorflow_with_a_gpu_on_native_windows(matrix: CompatibilityMatrix) -> None:
    """Its CUDA is in no wheel: it is taken where exactly it is asked for, and never without saying so."""

    def found_for(wish: str) -> Resolution | Conflict:
        return ask(matrix, "tf-keras-tensorflow", "3.10", wish, on=CUDA_11, platform="win-64")

    conflict = refused(found_for("tensorflow<2.11"))
    text = report.conflict_text(conflict)
    assert "CUDA 11.2 and cuDNN 8 must be installed on the machine" in text
    assert "`--require tensorflow==2.10.1` takes such a build" in text
    assert "has a wheel for Python" not in text
    found = found_for("tensorflow==2.10.1")
    assert solved(found)["tensorflow"] == "2.10.1"
    assert isinstance(found, Resolution)
    assert ["must be installed on the machine" in warning_text(one) for one in found.warnings] == [True]


# -- what is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "environment", "keras"),
    [
        (["theano"], "keras2-theano-cpu", "keras        2.3.1"),
        (["jax", "--generation", "keras-core"], "keras-core-jax-cpu", "keras-core  0.1.7"),
        (["tensorflow", "--keras", "==2.3.1"], "keras2-tensorflow-cpu", "2.3.1"),
        (["jax", "--require", "keras-core==0.1.6"], "keras-core-jax-cpu", "0.1.6"),
        (["tensorflow", "--as-of", "2023-09-01"], "keras-core-tensorflow-cpu", "0.1.5"),
        (["theano", "--as-of", "2020-09-01"], "keras2-theano-cpu", "2.3.1"),
        (["tensorflow", "--as-of", "2020-09-01"], "tf-keras-tensorflow-cpu", "keras           2.4.3"),
        (["tensorflow", "--as-of", "2022-12-01"], "tf-keras-tensorflow-cpu", "keras           2.11.0"),
        (["tensorflow", "--generation", "tf-keras"], "tf-keras-tensorflow-cpu", "keras           2.15.0"),
        (["tensorflow", "--require", "tensorflow==2.8.*"], "tf-keras-tensorflow-cpu", "tensorflow-cpu  2.8.4"),
        (["tensorflow", "--require", "tensorflow<2.3"], "keras2-tensorflow-cpu", "tensorflow-cpu  2.2.3"),
        (["tensorflow", "--require", "tensorflow<2.16"], "tensorflow-cpu", "keras           2.15.0"),
        (["jax", "--keras", ">=3.10"], "jax-cpu", "keras   3."),
    ],
)
def test_the_generation_follows_from_what_is_asked(kgen: Kgen, words: list[str], environment: str, keras: str) -> None:
    done = kgen("solve", "--cpu", *words)
    assert done.status == 0, done.stderr
    assert done.stdout.startswith(f"{environment}: Python 3.")
    assert keras.rsplit(maxsplit=1)[-1] in done.stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["jax", "--generation", "keras2"],
            "unknown backend `jax` for multi-backend Keras 2; it has tensorflow, theano, theano-pymc, cntk\n\nhint: ",
        ),
        (["--generation", "keras4"], "--generation: unknown generation `keras4`; did you mean `keras3`? Known are"),
        (["--with-hub", "audio"], "--with-hub: unknown library of models `audio`; known are cv, nlp"),
        (
            ["theano", "--with-hub", "cv"],
            "`--with-hub cv`: multi-backend Keras 2 has no such library of models\n\nhint: leave it out, or name",
        ),
        (["jax", "--as-of", "2023-09-01", "--exclude-newer", "2023-09-01"], "`--as-of` and `--exclude-newer` contra"),
        (["--as-of", "yesterday"], "--as-of: `yesterday` is not a date such as 2026-11-20"),
    ],
)
def test_wrong_calls(kgen: Kgen, words: list[str], error: str) -> None:
    done = kgen("solve", "--cpu", *words)
    assert done.status == 2
    assert done.stderr.startswith(f"error: {error}")


def test_the_settings_name_backends_in_their_generation(project: Path, matrix: CompatibilityMatrix) -> None:
    (project / "kgen.toml").write_text(
        'generation = "keras2"\nbackends = ["theano", "tensorflow"]\nisolate-config = true\n'
        '[backend.theano]\ndependencies = ["pandas"]\n'
    )
    found = settings.read(project, matrix)
    assert found.backends == ("keras2-theano", "keras2-tensorflow")
    assert found.backend_dependencies == {"keras2-theano": (Requirement("pandas"),)}
    assert found.isolate_config
    (project / "kgen.toml").write_text('generation = "keras2"\nbackends = ["jax"]\n')
    with pytest.raises(SettingsError, match="unknown backend `jax` for multi-backend Keras 2"):
        settings.read(project, matrix)


def test_a_flag_for_another_generation_takes_of_the_settings_what_it_has(kgen: Kgen) -> None:
    (kgen.folder / "kgen.toml").write_text('backends = ["jax", "openvino"]\ncpu = true\n')
    done = kgen("solve", "--generation", "keras-core", "--json")
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout)["solution"]["environment"] == "keras-core-jax-cpu"


def test_libraries_of_models_go_with_their_generation(kgen: Kgen, matrix: CompatibilityMatrix) -> None:
    (kgen.folder / "kgen.toml").write_text('generation = "keras-core"\nwith-hub = ["cv"]\n')
    assert settings.read(kgen.folder, matrix).hubs == ("cv",)
    assert matrix.generations["keras-core"].hubs["cv"][0].startswith("keras-cv>=0.6")
    assert matrix.generations["keras3"].hubs["cv"] == ("keras-hub",)


def test_tables_label_what_ended(kgen: Kgen) -> None:
    generations = kgen("matrix", "show", "generations")
    assert "keras2      keras>=2.2,<2.4       2018-06-06  2020-04-30" in generations.stdout
    assert kgen("matrix", "show", "cntk").stdout.startswith("cntk (no longer supported since 2019-04-26: ")


# -- source distributions ----------------------------------------------------------------------------------------------

THEANO = LockedWheel(
    name="theano",
    version=Version("1.0.5"),
    filename="Theano-1.0.5.tar.gz",
    url="https://files.test/Theano-1.0.5.tar.gz",
    sha256="b" * 64,
    size=2842778,
    requires_python=None,
)
TOOL = dataclasses.replace(
    WHEEL, name="wheel", version=Version("0.37.1"), filename="wheel-0.37.1-py2.py3-none-any.whl", size=35301
)


def rendered(matrix: CompatibilityMatrix, *, portable: bool = True) -> str:
    return pylock.render(
        dataclasses.replace(LOCK, wheels=(*LOCK.wheels, THEANO), build=(TOOL,)),
        platform=matrix.platforms["linux-64"],
        variables={"KERAS_BACKEND": "theano"},
        hooks={},
        revision="0123456789abcdef",
        version="0.1.0",
        portable=portable,
        places={"THEANO_FLAGS": "base_compiledir={prefix}/compiled"},
        configuration={"keras.json": '{"backend": "theano"}'},
        shared=("datasets",),
    )


@pytest.mark.parametrize("portable", [True, False])
def test_a_lock_with_a_source_distribution_is_read_back(
    matrix: CompatibilityMatrix, tmp_path: Path, *, portable: bool
) -> None:
    text = rendered(matrix, portable=portable)
    data = tomli.loads(text)
    theano = next(package for package in Pylock.from_dict(data).packages if package.name == "theano")
    assert theano.sdist is not None
    assert theano.wheels is None
    unsealed = "".join(text.splitlines(keepends=True)[:-1])
    assert pylock.is_own(unsealed.encode(), data)
    assert not pylock.is_own(unsealed.encode() + b" ", data)
    path = tmp_path / "jax-cuda12" / "pylock.linux-64.toml"
    lock, _ = lockfiles.parse(path, text.encode())
    assert [(file.filename, file.is_source) for file in lock.files] == [
        ("jax-0.9.0-py3-none-any.whl", False),
        ("Theano-1.0.5.tar.gz", True),
    ]
    assert [file.name for file in lock.build] == ["wheel"]
    assert (lock.shared, dict(lock.configuration)) == (("datasets",), {"keras.json": '{"backend": "theano"}'})
    assert hand_edited(lock, data["tool"]["kgen"]) == ()
    assert not request_of(data["tool"]["kgen"]).isolated
    assert _pins(lock.build, lock) == f"wheel==0.37.1 --hash=sha256:{'a' * 64}\n"


def test_a_source_distribution_of_another_release_is_found_out(matrix: CompatibilityMatrix, tmp_path: Path) -> None:
    text = rendered(matrix).replace("Theano-1.0.5.tar.gz", "Theano-1.0.4.tar.gz")
    lock, data = lockfiles.parse(tmp_path / "jax-cuda12" / "pylock.linux-64.toml", text.encode())
    assert [one.reason for one in hand_edited(lock, data["tool"]["kgen"])] == ["edited"]


def test_what_stands_for_a_source_distribution_says_what_it_requires(tmp_path: Path) -> None:
    one = SourceRelease("theano-pymc", Version("1.0.5"), ("numpy>=1.9.1", "six"), ("wheel==0.37.1",))
    assert stand_ins([one], tmp_path) == {"theano_pymc-1.0.5-py3-none-any.whl": one}
    with zipfile.ZipFile(tmp_path / "theano_pymc-1.0.5-py3-none-any.whl") as archive:
        metadata = archive.read("theano_pymc-1.0.5.dist-info/METADATA").decode()
    assert "Requires-Dist: numpy>=1.9.1\nRequires-Dist: six\n" in metadata


def test_sources_are_allowed_to_their_generation_alone(matrix: CompatibilityMatrix) -> None:
    names = {
        backend: list(dict.fromkeys(one.name for one in found.sources))
        for backend, python in (("keras2-theano", "3.7"), ("jax", "3.12"))
        if isinstance(found := ask(matrix, backend, python), Resolution)
    }
    assert names == {"keras2-theano": ["theano", "theano-pymc", "gast", "termcolor"], "jax": ["promise"]}
    assert RESOLUTION.sources == ()


# -- the environment's own folder --------------------------------------------------------------------------------------


def test_what_is_in_the_folder_of_the_environment(tmp_path: Path) -> None:
    variables = {"KERAS_BACKEND": "theano", **at(PurePath("/envs/one"), {"THEANO_FLAGS": "x={prefix}/compiled"})}
    assert variables["THEANO_FLAGS"] == "x=/envs/one/compiled"
    files = render_activation(
        "keras2-theano-cpu",
        prefix=PurePath("/envs/one"),
        python="3.7",
        variables=variables,
        hooks=render_hooks("keras2-theano-cpu", variables, in_locks=False),
        configuration={"keras.json": '{"backend": "theano"}'},
    )
    assert files["share/kgen/keras/keras.json"] == '{"backend": "theano"}\n'
    assert "x=/envs/one/compiled" in files["share/kgen/activate.sh"]
    assert "'THEANO_FLAGS': 'x=/envs/one/compiled'" in files["lib/python3.7/site-packages/_kgen_environment.py"]
    link(tmp_path / "env" / "keras" / "datasets", tmp_path / "home" / "datasets")
    (tmp_path / "env" / "keras" / "datasets" / "mnist.npz").touch()
    assert (tmp_path / "home" / "datasets" / "mnist.npz").exists()


# -- what failures mean ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        ({"keras": "2.2.4", "tensorflow": "1.15.5"}, True),
        ({"keras": "2.2.5", "tensorflow": "1.15.0"}, True),
        ({"keras": "2.3.1", "tensorflow": "1.15.5"}, False),
        ({"keras": "2.2.4", "theano": "1.0.5"}, False),
    ],
)
def test_the_race_of_keras_2_2(installed: Mapping[str, str], *, told: bool) -> None:
    for fault, expected in (("runs with wrong numbers", told), ("will not import", False)):
        found = diagnose(fault, environment="e", output="", failure={}, watched={}, missing=(), installed=installed)
        assert any("train wrongly on TensorFlow 1.15" in cause for cause in found.causes) is expected


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("ImportError: libmpi.so.12: cannot open shared object file", "CNTK loads Open MPI 1.10"),
        ("WARNING (theano.configdefaults): g++ not detected !", "Theano finds no C++ compiler"),
        ("module 'tensorflow.python.framework.ops' has no attribute '_TensorLike'", "does not run on TensorFlow 2.3"),
        ("TypeError: Descriptors cannot be created directly.", "protobuf is too new"),
    ],
)
def test_the_traps_of_old_stacks(output: str, cause: str) -> None:
    found = diagnose("will not import", environment="e", output=output, failure={}, watched={}, missing=())
    assert cause in found.causes[0]


def test_an_index_without_the_build_that_is_only_imported(kgen_alone: Kgen, index: Index) -> None:
    """The TensorFlow that Keras imports is asked for by another project's name; that it is missing is not a bug."""
    for wheel in list(index.wheelhouse.wheels("tensorflow-cpu")):
        index.wheelhouse.remove("tensorflow-cpu", wheel.version)
    done = kgen_alone(
        "lock", "keras-core-jax", "--cpu", "--python", PYTHON, "--platform", "linux-64", "--with-hub", "cv"
    )
    assert done.status == 4, done.stderr
    assert "tensorflow-cpu" in done.stderr
    assert "bug in kgen" not in done.stderr
