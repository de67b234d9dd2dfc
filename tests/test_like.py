"""`--like`: the versions of an image that many people use, and where they do not go together here."""

from __future__ import annotations

import pytest
import tomli
from packaging.version import Version
from tests.command import CUTOFF, PYTHON, Kgen
from tests.recorded import MATRIX

from kgen import lockfiles
from kgen.errors import MatrixError
from kgen.matrix.compatibility import CompatibilityMatrix, Folder

HERE = ("--exclude-newer", CUTOFF)


def notes(text: str) -> list[str]:
    return [line.removeprefix("note: ") for line in text.splitlines() if line.startswith("note: ")]


def test_every_image_has_python_platform_and_accelerator(shipped_matrix: CompatibilityMatrix) -> None:
    images = shipped_matrix.images
    assert {name.partition("-")[0] for name in images} == {"colab", "kaggle", "ngc"}
    months = [name.removeprefix("colab-") for name in images if name.startswith("colab-")]
    assert months == sorted(months)
    assert (months[0], months[-1]) == ("2023-08", "2026-08")
    for image in images.values():
        assert image.provenance.source
        assert image.packages or image.lacks
        frameworks = {name for name in image.packages if name in shipped_matrix.accelerated_frameworks}
        for name in frameworks:
            # a version that the matrix has never heard of would be a slip of the pen
            assert shipped_matrix.release(name, Version(image.packages[name].public)) is not None, (image.name, name)


def test_what_the_month_of_the_audit_has(shipped_matrix: CompatibilityMatrix) -> None:
    image = shipped_matrix.images["colab-2026-06"]
    assert {name: str(version) for name, version in image.packages.items()} == {
        "keras": "3.13.2",
        "tensorflow": "2.20.0",
        "jax": "0.7.2",
        "jaxlib": "0.7.2",
        "torch": "2.11.0+cu128",
        "numpy": "2.0.2",
        "jax-cuda12-pjrt": "0.7.2",
        "jax-cuda12-plugin": "0.7.2",
        "nvidia-cudnn-cu12": "9.19.0.56",
        "nvidia-nccl-cu12": "2.28.9",
    }
    assert image.python == "3.12"


def test_all_of_it_in_one_environment(kgen: Kgen) -> None:
    """That of May: its PyTorch is on the package index too, and its cuDNN is the one that PyTorch pins."""
    done = kgen("solve", "tensorflow", "jax", "torch", "--together", "all", "--like", "colab-2026-05", *HERE)
    assert done.status == 0, done.stderr
    assert done.stdout.startswith("all-cuda12: Python 3.12, linux-64, CUDA 12.8, cuDNN 9.10.2.21,")
    rows = dict(line.split()[:2] for line in done.stdout.splitlines()[1:])
    assert {name: rows[name] for name in ("keras", "tensorflow", "jax", "torch")} == {
        "keras": "3.13.2",
        "tensorflow": "2.20.0",
        "jax": "0.7.2",
        "torch": "2.10.0",
    }
    (said,) = notes(done.stderr)
    assert said.startswith(
        "as on Google Colab, 2026-05: tensorflow 2.20.0, jax 0.7.2, torch 2.10.0+cu128, keras 3.13.2"
    )


def test_what_the_image_has_against_its_own_requirements_is_not_taken(kgen: Kgen) -> None:
    """Colab had TensorFlow 2.19 beside another cuDNN than it asks for."""
    done = kgen("solve", "tensorflow", "jax", "torch", "--together", "all", "--like", "colab-2026-02", *HERE)
    assert done.status == 0, done.stderr
    (said,) = [one for one in notes(done.stderr) if one.startswith("not as on")]
    assert said.startswith("not as on Google Colab, 2026-02: tensorflow is 2.19.0 there and is 2.20.0 here: ")
    assert "tensorflow 2.19.0 needs cudnn ==9.3.0.75" in said


def test_a_build_that_the_matrix_has_no_row_of(shipped_matrix: CompatibilityMatrix, kgen: Kgen) -> None:
    """Colab's PyTorch of 2.4.1 for CUDA 12.1 is that of the index; its 2.5.0 for 12.1 is another than 12.4."""
    assert shipped_matrix.images["colab-2024-10"].packages["torch"] == Version("2.5.0+cu121")
    alike = kgen("solve", "torch", "--like", "colab-2024-09", *HERE)
    assert not any("no row of" in one for one in notes(alike.stderr)), alike.stderr
    other = kgen("solve", "torch", "--like", "colab-2024-10", *HERE)
    assert any(
        one.endswith("torch is 2.5.0+cu121 there, which the matrix has no row of") for one in notes(other.stderr)
    ), other.stderr


def test_a_lock_has_it(kgen: Kgen) -> None:
    done = kgen("lock", "jax", "--like", "colab-2026-05", "--python", PYTHON, *HERE, "--no-nix")
    assert done.status == 0, done.stderr
    path = kgen.folder / "locks/jax-cuda12/pylock.linux-64.toml"
    lock = lockfiles.read(path)
    assert (lock.versions["jax"], lock.versions["keras"]) == ("0.7.2", "3.13.2")
    assert (lock.versions["nvidia-cudnn-cu12"], lock.versions["numpy"]) == ("9.10.2.21", "2.0.2")
    asked = tomli.loads(path.read_text())["tool"]["kgen"]["requirements"]
    assert {"jax==0.7.2", "keras==3.13.2", "nvidia-cudnn-cu12==9.10.2.21"} <= set(asked)
    assert "as on Google Colab, 2026-05: jax 0.7.2, keras 3.13.2" in done.stderr


def test_where_it_must_differ_is_said_with_the_reason(kgen: Kgen) -> None:
    """Keras 2 has no JAX: what goes first is the framework, and the rest gives way."""
    done = kgen("solve", "jax", "--like", "colab-2024-02", *HERE)
    assert done.status == 0, done.stderr
    (keras,) = [one for one in notes(done.stderr) if "keras is 2.15.0 there" in one]
    assert keras.startswith("not as on Google Colab, 2024-02: keras is 2.15.0 there and is 3.")
    assert "needs keras >=3" in keras
    assert any(one.startswith("not available of Google Colab, 2024-02: jax 0.4.23") for one in notes(done.stderr))


def test_explain_compares_too(kgen: Kgen) -> None:
    done = kgen("explain", "torch", "--like", "colab-2026-05", *HERE)
    assert done.status == 0, done.stderr
    assert "as on Google Colab, 2026-05: torch 2.10.0+cu128, keras 3.13.2" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--python", "3.11"), "Python 3.11, linux-64, CUDA 12"),
        (("--cuda", "13"), "Python 3.12, linux-64, CUDA 13"),
        (("--require", "jax==0.10.2"), "jax                0.10.2"),
    ],
)
def test_what_flags_ask_for_goes_first(kgen: Kgen, words: tuple[str, ...], said: str) -> None:
    done = kgen("solve", "jax", "--like", "colab-2026-05", *words, *HERE)
    assert done.status == 0, done.stderr
    assert said in done.stdout


def test_an_image_whose_framework_is_in_no_index(kgen: Kgen) -> None:
    done = kgen("solve", "torch", "--like", "ngc-pytorch-25-12", *HERE)
    assert done.status == 0, done.stderr
    (said,) = notes(done.stderr)
    assert said.startswith("not available of NVIDIA's PyTorch container 25.12: torch 2.10.0a0+b4e4ee81d3, ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("colab-2026-6", "did you mean `--like colab-2026-06`?"),
        ("colab-2025-12", "did you mean `--like colab-2025-11`?"),
        ("colab-2027-01", "did you mean `--like colab-2026-08`?"),
        ("colab-2019-01", "did you mean `--like colab-2023-08`?"),
        ("colab", "did you mean `--like colab-2026-08`?"),
        ("ngc-25.10", "did you mean `--like ngc-pytorch-25-12`?"),
        ("kagle-2026-06", "did you mean `--like kaggle-2026-06`?"),
        ("sagemaker", "it knows ngc-pytorch-25-12, kaggle-"),
    ],
)
def test_an_image_that_is_not_known(kgen: Kgen, name: str, hint: str) -> None:
    done = kgen("solve", "jax", "--like", name)
    assert done.status == 2
    assert f"error: --like: the matrix knows no image `{name}`" in done.stderr
    assert f"hint: {hint}" in done.stderr


@pytest.mark.parametrize(
    ("true", "false", "fault"),
    [
        ('platform = "linux-64"', 'platform = "linux-65"', "images.colab-2023-08.platform: unknown platform linux-65"),
        ('python = "3.10"', 'python = "3.99"', "images.colab-2023-08.python: unknown Python 3.99"),
        ('cuda = "11"', 'cuda = "9"', "images.colab-2023-08.cuda: no CUDA 9"),
        ('keras = "2.12.0"', 'keras = "two"', "images.colab-2023-08.packages.keras"),
    ],
)
def test_a_row_that_makes_no_sense(true: str, false: str, fault: str) -> None:
    texts = dict(Folder(MATRIX))
    assert true in texts["images.toml"]
    with pytest.raises(MatrixError) as refused:
        CompatibilityMatrix({**texts, "images.toml": texts["images.toml"].replace(true, false, 1)}).check()
    assert any(one.startswith(fault) for one in refused.value.faults), refused.value.faults


def test_images_are_no_part_of_the_revision(matrix: CompatibilityMatrix) -> None:
    """A lock holds what it took of one as requirements: a new month makes no lock stale."""
    texts = dict(Folder(MATRIX))
    del texts["images.toml"]
    without = CompatibilityMatrix(texts)
    assert without.revision == matrix.revision
    assert without.images == {}


def test_an_explanation_names_the_image(kgen: Kgen) -> None:
    """Nobody typed what it requires."""
    told = kgen("explain", "jax", "--like", "colab-2026-06")
    assert told.status == 0, told.stderr
    assert "you asked for keras==3.13.2 (--like colab-2026-06)\n" in told.stdout
    assert "(--require)" not in told.stdout


def test_what_is_required_besides_an_image_is_a_requirement(kgen: Kgen) -> None:
    told = kgen("explain", "jax", "--like", "colab-2026-06", "--require", "keras==3.12.0")
    assert told.status == 0, told.stderr
    assert "you asked for keras==3.12.0 (--require)\n" in told.stdout
