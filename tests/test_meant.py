"""What is typed in the place of a backend by people who mean something else."""

from __future__ import annotations

import re
import shlex

import pytest
from tests.command import Kgen, Result

from kgen import parsers
from kgen.actions import did_you_mean
from kgen.actions.request_flags import RequestFlags
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.parsers import parse_gpu

LISTED = "the backends are tensorflow, jax, torch, numpy, openvino, theano, theano-pymc, cntk"


@pytest.mark.parametrize(
    ("typed", "hints"),
    [
        ("torch==2.6.0", ["kgen solve torch --require torch==2.6.0"]),
        ("tensorflow>=2.18", ["kgen solve tensorflow --require 'tensorflow>=2.18'"]),
        ("jax,torch", ["kgen solve jax torch"]),
        ("jax, torch", ["kgen solve jax torch"]),
        (" jax", ["kgen solve jax"]),
        ("jax,", ["kgen solve jax"]),
        ("keras-hub", ["kgen solve tensorflow --dependency keras-hub", LISTED]),
        ("keras-hub>=0.20", ["kgen solve tensorflow --dependency 'keras-hub>=0.20'", LISTED]),
        # their names are like those of backends, and they are packages
        *((name, [f"kgen solve tensorflow --dependency {name}", LISTED]) for name in ("cupy", "mypy", "tensorly")),
        *((name, [f"kgen solve torch --dependency {name}", LISTED]) for name in ("torchx", "torchrl")),
        *((name, [f"kgen solve jax --dependency {name}", LISTED]) for name in ("jaxopt", "jaxns")),
        ("numpyro", ["kgen solve numpy --dependency numpyro", LISTED]),
        ("cupy-cuda12", ["kgen solve tensorflow --dependency cupy-cuda12", LISTED]),
        ("nunpy", ["did you mean `numpy`?"]),
        ("pytroch", ["did you mean `torch`?"]),
        ("jaxx", ["did you mean `jax`?"]),
        ("jux", ["did you mean `jax`?"]),
        ("tensor", ["did you mean `tensorflow`?"]),
        ("tensorflw", ["did you mean `tensorflow`?"]),
        ("keras2-thano", ["did you mean `keras2-theano`?"]),
        ("tf", ["did you mean `tensorflow`?"]),
        ("Jax", ["did you mean `jax`?"]),
        ("2.12", ["to ask for a version, name the package: --require tensorflow==2.12", LISTED]),
        ("np", ["did you mean `numpy`?"]),
        ("th", ["kgen solve tensorflow --dependency th", LISTED]),
        ("mine", ["did you mean `mined`?"]),
        ("jax,keras-hub", [LISTED]),
        ("; rm -rf /", [LISTED]),
        ("x" * 100_000, [LISTED]),
        ("torchcodec", ["kgen solve torch --dependency torchcodec", LISTED]),
        ("tensorflow-text", ["kgen solve tensorflow --dependency tensorflow-text", LISTED]),
        # several names, however they are set apart
        ("JAX,TensorFlow", ["kgen solve jax tensorflow"]),
        ("jax/torch", ["kgen solve jax torch"]),
        ("jax+torch", ["kgen solve jax torch"]),
        ("jax torch", ["kgen solve jax torch"]),
        ("jax,cu128", ["kgen solve jax --cuda 12.8"]),
        ("all", ["kgen solve"]),
        ("*", ["kgen solve"]),
        # what a flag asks for
        ("cuda12", ["kgen solve --cuda 12"]),
        ("cu128", ["kgen solve --cuda 12.8"]),
        ("gpu", ["kgen solve --cuda auto"]),
        ("cpu", ["kgen solve --cpu"]),
        ("rocm6.4", ["kgen solve --rocm 6.4"]),
        ("py311", ["kgen solve --python 3.11"]),
        ("python3.11", ["kgen solve --python 3.11"]),
        ("linux-64", ["kgen solve --platform linux-64"]),
        ("A100", ["kgen solve --cuda auto --gpu a100"]),
        ("gfx942", ["kgen solve --rocm auto --gpu gfx942"]),
        ("v5e", ["kgen solve --tpu --gpu v5e"]),
        ("keras", ["kgen solve"]),
        ("keras==3.12", ["kgen solve --keras ==3.12"]),
        ("keras2", ["kgen solve --generation keras2"]),
        # packages, extras and local versions that say what they compute on
        ("jax[cuda12]", ["kgen solve jax --cuda 12"]),
        ("jax[cuda13-local]", ["kgen solve jax --cuda 13"]),
        ("jax[cuda12]==0.6.0", ["kgen solve jax --require jax==0.6.0 --cuda 12"]),
        ("jax[tpu]", ["kgen solve jax --tpu"]),
        ("jax[k8s]", ["kgen solve jax --require 'jax[k8s]'"]),
        ("tensorflow[and-cuda]", ["kgen solve tensorflow --cuda auto"]),
        ("torch+cu128", ["kgen solve torch --cuda 12.8"]),
        ("torch==2.6.0+cu124", ["kgen solve torch --require torch==2.6.0 --cuda 12.4"]),
        ("torch==2.6.0+cpu", ["kgen solve torch --require torch==2.6.0 --cpu"]),
        ("torch-cuda12.8", ["kgen solve torch --cuda 12.8"]),
        ("jax-cuda12-plugin", ["kgen solve jax --cuda 12"]),
        ("tensorflow-gpu", ["kgen solve tensorflow --cuda auto"]),
        ("pytorch-gpu", ["kgen solve torch --cuda auto"]),
        ("tensorflow-cpu==2.15", ["kgen solve tensorflow --require tensorflow==2.15"]),
        ("jaxlib", ["kgen solve jax"]),
        ("tf-nightly", ["did you mean `tensorflow`?"]),
        ("torchvision", ["kgen solve torch --dependency torchvision", LISTED]),
        ("cupy-cuda12x", ["kgen solve tensorflow --dependency cupy-cuda12x", LISTED]),
        # releases that are not written as requirements
        ("torch=2.6", ["kgen solve torch --require 'torch==2.6.*'"]),
        ("torch@2.6", ["kgen solve torch --require 'torch==2.6.*'"]),
        ("tensorflow:2.15.0", ["kgen solve tensorflow --require tensorflow==2.15.0"]),
        ("tf2.15", ["kgen solve tensorflow --require 'tensorflow==2.15.*'"]),
        ("torch-2.6", ["kgen solve torch --require 'torch==2.6.*'"]),
        ("keras=3.10", ["kgen solve --keras '==3.10.*'"]),
        ("pandas=2.2", ["kgen solve tensorflow --dependency 'pandas==2.2.*'", LISTED]),
        # as environments are called on disk
        ("jax-cuda12-conda", ["kgen solve jax --cuda 12"]),
        ("mined-conda", ["kgen solve mined"]),
        ("some-conda", ["kgen solve tensorflow --dependency some-conda", LISTED]),
    ],
)
def test_what_was_meant(matrix: CompatibilityMatrix, typed: str, hints: list[str]) -> None:
    assert did_you_mean.hints(typed, RequestFlags("solve", (typed,)), matrix, ["mined"]) == hints


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("jax-cuda12-conda",), "kgen lock jax --cuda 12 --conda"),
        (("numpy", "jax-cpu-conda"), "kgen lock numpy jax --cpu --conda"),
        (("torch-conda", "--cuda", "13"), "kgen lock torch --cuda 13 --conda"),
        (("jax-cuda12", "--conda"), "kgen lock jax --cuda 12 --conda"),
        (("jax-cuda12-conda", "--conda", "--channel", "mine"), "kgen lock jax --cuda 12 --channel mine --conda"),
    ],
)
def test_the_name_of_an_environment_for_conda(kgen: Kgen, words: tuple[str, ...], hint: str) -> None:
    refused = kgen("lock", *words)
    assert refused.status == 2
    assert refused.stderr.endswith(f"\n\nhint: {hint}\n")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (
            "tensorflow==2.15.0 torch==2.5.1 --together all --cuda 12",
            "tensorflow torch --together all --cuda 12 --require tensorflow==2.15.0 --require torch==2.5.1",
        ),
        ("jax flax optax --cuda 13", "jax --cuda 13 --dependency flax --dependency optax"),
        ("torchaudio --cuda 12 --platform win-64", "torch --cuda 12 --platform win-64 --dependency torchaudio"),
        (
            "torch==2.11.0 --cuda 12.8 --torch-index --require numpy<3",
            "torch --cuda 12.8 --torch-index --require 'numpy<3' --require torch==2.11.0",
        ),
    ],
)
def test_a_hint_repeats_the_whole_request(kgen: Kgen, typed: str, hint: str) -> None:
    refused = kgen("lock", *typed.split())
    assert refused.status == 2
    said = refused.stderr.partition("hint: kgen lock ")[2].splitlines()[0]
    assert sorted(shlex.split(said)) == sorted(shlex.split(hint))
    assert said.startswith(f"{hint.partition(' --')[0]} --")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("jax cuda12 py311", "jax --cuda 12 --python 3.11"),
        ("jax cuda12 --cpu", "jax --cpu"),
        ("torch=2.6 tensorflow[and-cuda]", "torch tensorflow --cuda auto --require 'torch==2.6.*'"),
    ],
)
def test_flags_are_taken_of_every_word(kgen: Kgen, typed: str, hint: str) -> None:
    refused = kgen("lock", *typed.split())
    assert sorted(shlex.split(refused.stderr.partition("hint: kgen lock ")[2])) == sorted(shlex.split(hint))


def test_a_plan_is_hinted_at_with_what_is_moved_to(kgen: Kgen) -> None:
    refused = kgen("plan", "torch==2.10.0", "--cuda", "13")
    assert refused.stderr.endswith("hint: kgen plan torch --cuda 13 --require torch==2.10.0\n")


@pytest.mark.parametrize(
    "typed",
    ["torch==2.6.0", "jax,torch", "keras-hub", "jax[cuda12]", "torch==2.6.0+cu124", "keras==3.12", "A100", "tf2.18"],
)
def test_the_hint_works(kgen: Kgen, typed: str) -> None:
    refused = kgen("solve", typed)
    assert refused.status == 2
    assert refused.stderr.startswith(f"error: unknown backend `{typed}`\n\nhint: kgen solve ")
    words = shlex.split(refused.stderr.partition("hint: kgen ")[2].splitlines()[0])
    done = kgen(*words, "--python", "3.12")
    assert done.status == 0, done.stderr


def test_a_free_threaded_python_is_called_by_its_name(kgen: Kgen) -> None:
    refused = kgen("solve", "torch", "--python", "3.14t")
    assert refused.status == 2
    said = "`3.14t` is the free-threaded build of Python 3.14, for which the matrix has no wheels; give `3.14`"
    assert refused.stderr == f"error: --python: {said}\n"


def test_a_free_threaded_python_without_h5py_gives_one_that_keras_has(kgen: Kgen) -> None:
    assert kgen("solve", "torch", "--cpu", "--python", "3.15").status == 3
    refused = kgen("solve", "torch", "--cpu", "--python", "3.15t")
    assert refused.stderr.endswith("for which the matrix has no wheels; give `3.14`\n")


def test_a_package_behind_explain_is_asked_about(kgen: Kgen) -> None:
    refused = kgen("explain", "jax", "keras")
    assert refused == Result(2, "", "error: unknown backend `keras`\n\nhint: kgen explain jax --newest keras\n")
    assert kgen("explain", "jax", "--newest", "keras", "--cpu").status == 0


def test_numpy_is_explained_beside_a_backend(kgen: Kgen) -> None:
    told = kgen("explain", "jax", "--cpu", "--python", "3.11", "--newest", "numpy")
    assert told.status == 0, told.stderr
    assert "numpy is 2.4.6, and the newest is 2.5.5." in told.stdout


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("python3.11", "`python3.11` is not a minor release of Python; did you mean `3.11`?"),
        ("cp312", "`cp312` is not a minor release of Python; did you mean `3.12`?"),
        (">=3.11", "`>=3.11` is not a minor release of Python; did you mean `3.11`?"),
        ("==3.11.*", "`==3.11.*` is not a minor release of Python; did you mean `3.11`?"),
        (
            "3.11,3.12",
            "`3.11,3.12` names several minors; `--python 3.11 --python 3.12`, or `pythons` in the settings, asks",
        ),
        (">=3.10,<3.13", "unknown Python `>=3.10,<3.13`; known are "),
        ("3.99", "unknown Python `3.99`; known are "),
        ("python", "unknown Python `python`; known are "),
        ("1000", "unknown Python `1000`; known are "),
    ],
)
def test_a_python_in_another_form(matrix: CompatibilityMatrix, typed: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}"):
        parsers.parse_python(typed, matrix)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--platform linux-64,osx-arm64", "--platform linux-64 --platform osx-arm64"),
        ("--gpu A100,H100", "--gpu A100 --gpu H100"),
        ("--extra plot,test", "--extra plot --extra test"),
        ("--group 'a b'", "--group a --group b"),
        ("--target laptop,server", "--target laptop --target server"),
        ("--dependency 'rich>=13, attrs'", "--dependency 'rich>=13' --dependency attrs"),
        ("--require jax==0.5.0,keras==3.9", "--require jax==0.5.0 --require keras==3.9"),
    ],
)
def test_several_values_of_one_flag(kgen: Kgen, words: str, told: str) -> None:
    """Each has a flag of its own, which is what is to be typed."""
    done = kgen("solve", "jax", "--cuda", "12", *shlex.split(words))
    assert done.status == 2
    flag, text = shlex.split(words)
    assert done.stderr == f"error: {flag}: `{text}` names several; `{told}` asks for each\n"


def test_several_packages_in_one_word(kgen: Kgen) -> None:
    done = kgen("add", "rich>=13,attrs")
    assert done.status == 2
    assert done.stderr == ("error: `rich>=13,attrs` names several packages\n\nhint: kgen add 'rich>=13' attrs\n")
    assert not (kgen.folder / "kgen.toml").exists()
    # what is wrong in another way is said so
    assert "`rich>=13,<<14` is not a requirement" in kgen("add", "rich>=13,<<14").stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("lock", "jax", "--pyhton", "3.12", "--cdua", "12"), ("lock", "jax", "--python", "3.12", "--cuda", "12")),
        (("lock", "--jsno"), ("lock", "--json")),
        (("lock", "--cuda12"), ("lock", "--cuda", "12")),
        (("run", "--nosync", "jax", "--", "x"), ("run", "--no-sync", "jax", "--", "x")),
        # other tools have the environment behind an option
        (("tree", "--env", "jax-cpu"), ("tree", "jax-cpu")),
        (("run", "-n", "jax-cpu", "python", "x.py"), ("run", "jax-cpu", "python", "x.py")),
        (("validate", "--environment=jax-cpu", "--json"), ("validate", "jax-cpu", "--json")),
        # what is like them takes other values, so that the call would be refused again
        (("shell", "jax", "--command", "true"), None),
        (("sync", "jax", "--output", "x"), None),
        (("sync", "--alle", "jax", "--al=3"), None),
    ],
)
def test_a_call_with_an_unknown_option_is_answered_with_one_that_parses(
    kgen: Kgen, typed: tuple[str, ...], meant: tuple[str, ...] | None
) -> None:
    refused = kgen(*typed)
    assert refused.status == 2
    _, *hints = refused.stderr.split("\nhint: ")
    expected = [] if meant is None else [f"did you mean `kgen {' '.join(meant)}`?"]
    assert [hint for hint in hints if hint.startswith("did you mean")] == expected


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (("jax", "--command", "true"), "kgen run jax -- true"),
        (("jax", "-c", "echo a && b"), "kgen run jax -- sh -c 'echo a && b'"),
        (("jax", "--conda", "--command=python"), "kgen run --conda jax -- python"),
        (("jax", "--", "python", "x.py"), "kgen run jax -- python x.py"),
        (("jax", "python"), "kgen run jax -- python"),
        (("--shell", "zsh", "jax", "-c", "true"), None),
    ],
)
def test_a_shell_that_is_to_run_one_command(kgen: Kgen, typed: tuple[str, ...], hint: str | None) -> None:
    refused = kgen("shell", *typed)
    assert refused.status == 2
    expected = [] if hint is None else [hint]
    assert refused.stderr.split("\nhint: ")[1:] == [*expected, "kgen shell --help\n"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("jax-cpu",), "jax --cpu"),
        (("torch-cuda12", "jax"), "torch jax --cuda 12"),
        (("jax-cuda12-py311",), "jax --cuda 12 --python 3.11"),
        (("tf-cuda13",), "tensorflow --cuda 13"),
        (("jax-cuda",), "jax --cuda auto"),
        (("jax-tpu-py311", "--python", "3.12"), "jax --tpu --python 3.12"),
        (("jax-cuda12", "--cpu"), "jax --cpu"),
        (("keras-core-jax-cpu",), "keras-core-jax --cpu"),
    ],
)
def test_the_name_of_an_environment_where_a_backend_is_expected(kgen: Kgen, typed: tuple[str, ...], meant: str) -> None:
    refused = kgen("solve", *typed)
    assert refused.status == 2
    assert refused.stderr == f"error: unknown backend `{typed[0]}`\n\nhint: kgen solve {meant}\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("windows", "win-64"),
        ("macOS", "osx-arm64"),
        ("linux", "linux-64"),
        ("aarch64", "linux-aarch64"),
        ("WSL2", "linux-64"),
        ("jetson", "linux-aarch64"),
    ],
)
def test_what_people_call_a_platform(kgen: Kgen, typed: str, meant: str) -> None:
    refused = kgen("solve", "jax", "--cpu", "--platform", typed)
    assert refused.status == 2
    assert f"unknown platform `{typed}`; did you mean `{meant}`? Known are linux-64, " in refused.stderr


def test_a_platform_that_no_framework_serves_is_none_near_it(kgen: Kgen) -> None:
    refused = kgen("solve", "jax", "--cpu", "--platform", "osx-64")
    assert refused.status == 2
    assert "the matrix has no rows for `osx-64`, Macs with an Intel processor" in refused.stderr
    assert "did you mean" not in refused.stderr


@pytest.mark.parametrize("name", ["RTX 5090", "RTX5090", "rtx-5090", "rtx_5090"])
def test_a_gpu_is_known_however_its_name_is_spaced(matrix: CompatibilityMatrix, name: str) -> None:
    assert parse_gpu(name, matrix) == "12.0"


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("Jetson Thor", "11.0"),
        ("NVIDIA Thor", "11.0"),
        ("DGX Spark", "12.1"),
        ("Intel Arc B580", "pcie20b"),
        ("Arc A770", "pci56a0"),
        ("Quadro P2000", "6.1"),
        ("P2000", "6.1"),
        ("Quadro T1000 with Max-Q Design", "7.5"),
        ("NVIDIA RTX A2000 8GB Laptop GPU", "8.6"),
        ("NVIDIA TITAN X (Pascal)", "6.1"),
        ("GeForce GTX TITAN X", "5.2"),
        ("Strix Halo", "gfx1151"),
        # by its number alone
        ("3090", "8.6"),
        ("1080 Ti", "6.1"),
        ("A6000", "8.6"),
        ("6000 Ada", "8.9"),
        # what a virtual machine has of it, and an instance
        ("GRID T4-16Q", "7.5"),
        ("L40S-48C", "8.9"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "8.0"),
    ],
)
def test_what_is_sold_is_known_by_name(shipped_matrix: CompatibilityMatrix, name: str, architecture: str) -> None:
    assert parse_gpu(name, shipped_matrix) == architecture


@pytest.mark.parametrize("name", ["TITAN X", "Quadro 4000"])
def test_a_gpu_that_may_be_another_is_not_taken_for_it(shipped_matrix: CompatibilityMatrix, name: str) -> None:
    """There are two of the first, of Maxwell and of Pascal; the second is ten years older than RTX 4000."""
    with pytest.raises(ValueError, match="is not a compute capability"):
        parse_gpu(name, shipped_matrix)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("RTX 3060 Ti", "8.6"),
        ("4070ti", "8.9"),
        ("RTX 4070 Ti SUPER", "8.9"),
        ("RTX 4060 Ti 16GB", "8.9"),
        ("NVIDIA GeForce RTX 3080 Ti Laptop GPU", "8.6"),
        ("NVIDIA GeForce RTX 2080 Super with Max-Q Design", "7.5"),
        ("RTX 4090 D", "8.9"),
        ("RTX 5090 D v2", "12.0"),
        ("GTX 1660 Super", "7.5"),
    ],
)
def test_a_variant_of_a_gpu(shipped_matrix: CompatibilityMatrix, name: str, architecture: str) -> None:
    assert parse_gpu(name, shipped_matrix) == architecture


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RTX 4090 Ti", "`RTX 4090` or `RTX 4090 D`"),
        ("4090ti", "`RTX 4090` or `RTX 4090 D`"),
        ("RTX 3090 SUPER", "`RTX 3090` or `RTX 3090 Ti`"),
        ("GTX 1080 Ti SUPER", "`GTX 1080` or `GTX 1080 Ti`"),
        ("GTX 1660 D", "`GTX 1660` or `GTX 1660 Ti` or `GTX 1660 SUPER`"),
        ("A100 Ti", "`A100`"),
        ("RX 7900 XTX SUPER", "`RX 7900 XTX`"),
    ],
)
def test_a_variant_that_is_none_is_refused(shipped_matrix: CompatibilityMatrix, name: str, near: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"; did you mean {near}? `kgen matrix show gpus` lists")):
        parse_gpu(name, shipped_matrix)


def test_variants_are_of_gpus_that_are_known(shipped_matrix: CompatibilityMatrix) -> None:
    """What has a row of its own is no variant."""
    known = {name for row in shipped_matrix.accelerators.values() for name in row.architectures}
    assert shipped_matrix.gpu_variants
    for ending, names in shipped_matrix.gpu_variants.items():
        assert {*names} <= known
        assert not known.intersection(f"{name} {ending}" for name in names)


def test_a_gpu_that_is_spelled_wrongly_is_guessed(shipped_matrix: CompatibilityMatrix) -> None:
    with pytest.raises(ValueError, match=r"did you mean `RX 7900 XT`\? `kgen matrix show gpus` lists those"):
        parse_gpu("RX 7900 XTY", shipped_matrix)
    with pytest.raises(ValueError, match=r"that of a GPU$"):  # nothing is near to what is newer than the matrix
        parse_gpu("RTX 6090", shipped_matrix)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--gpu", "12.0", "--driver", "570"),
            (
                "`--gpu 12.0` and `--driver 570` speak of GPUs of NVIDIA, and no accelerator is asked for\n\n"
                "hint: kgen solve torch --cuda auto --driver 570 --gpu 12.0\n"
            ),
        ),
        (
            ("--gpu", "gfx942"),
            (
                "`--gpu gfx942` speaks of GPUs of AMD, and no accelerator is asked for\n\n"
                "hint: kgen solve torch --rocm auto --gpu gfx942\n"
            ),
        ),
        (
            ("--gpu", "Tesla V100"),
            (
                "`--gpu 'Tesla V100'` speaks of GPUs of NVIDIA, and no accelerator is asked for\n\n"
                "hint: kgen solve torch --cuda auto --gpu 'Tesla V100'\n"
            ),
        ),
        (
            ("--gpu", "V100", "--gpu", "MI300X"),
            (
                "`--gpu V100` and `--gpu MI300X` speak of GPUs of several makers, and no accelerator is asked for\n\n"
                "hint: name an accelerator, such as --cuda auto\n"
            ),
        ),
    ],
)
def test_a_gpu_without_an_accelerator_is_no_wish_for_the_cpu(kgen: Kgen, words: tuple[str, ...], said: str) -> None:
    refused = kgen("solve", "torch", *words)
    assert refused == Result(2, "", f"error: {said}")
    assert kgen("solve", "torch", *words[:2], "--cpu").status == 0


def test_what_a_tpu_needs_of_its_machine_is_none_of_the_cpu(kgen: Kgen) -> None:
    refused = kgen("solve", "tensorflow", "--tpu")
    assert refused.status == 3
    assert "--cpu " in refused.stderr
    assert "--glibc" not in refused.stderr
