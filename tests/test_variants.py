"""Wheel variants (drafts of PEP 817, 825 and 850): their labels are part of what a file is, and no lock has one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.command import PYTHON, Kgen
from tests.index import Index
from tests.wheelhouse import VariantsFile, Wheel, variants_data

from kgen import lockfiles
from kgen.actions import diff
from kgen.model import wheelname
from kgen.model.wheelname import WheelName

TAG = "py3-none-any"
CUDA_128 = {"nvidia": {"cuda_version_lower_bound": ["12.8"], "sm_arch": ["90_real", "100_real"]}}
CUDA_126 = {"nvidia": {"cuda_version_lower_bound": ["12.6"]}}
VARIANTS: dict[str, object] = {"cu128": CUDA_128, "cu126": CUDA_126, "null": {}}
LOCK = ("lock", "--no-nix", "--python", PYTHON, "numpy", "--dependency")
PREVIEW = {"UV_PREVIEW_FEATURES": "wheel-variants"}
DRIVER, ARCHITECTURE = "NV_VARIANT_PROVIDER_FORCE_CUDA_DRIVER_VERSION", "NV_VARIANT_PROVIDER_FORCE_SM_ARCH"
REFERENCE = Path(__file__).parents[1] / "locks/numpy-cpu"


def variant(label: str, version: str) -> Wheel:
    """A wheel variant, which says of itself what it is for."""
    files = {
        "varied/__init__.py": f"label = {label!r}\n".encode(),
        f"varied-{version}.dist-info/variant.json": json.dumps(variants_data({label: VARIANTS[label]})).encode(),
    }
    return Wheel(name="varied", version=version, tag=f"{TAG}-{label}", files=files)


@pytest.fixture
def _varied(index: Index) -> None:
    """A version of ordinary wheels, and a newer one of variants alone."""
    index.wheelhouse.put(
        Wheel(name="varied", version="1.0"),
        *(variant(label, "2.0") for label in VARIANTS),
        VariantsFile(name="varied", version="2.0", variants=VARIANTS),
    )


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("torch-2.9.0-cp312-cp312-linux_x86_64.whl", ("torch", "2.9.0", "", "cp312", "cp312", "linux_x86_64", "")),
        ("a-1-2-py3-none-any.whl", ("a", "1", "2", "py3", "none", "any", "")),
        ("a-1-py3-none-any-cu128.whl", ("a", "1", "", "py3", "none", "any", "cu128")),
        ("a-1-2b-py3-none-any-x86_64.v3.whl", ("a", "1", "2b", "py3", "none", "any", "x86_64.v3")),
        ("a-1-py3-none-any-00000000.whl", ("a", "1", "", "py3", "none", "any", "00000000")),
        ("a-1-py3-none-any-CU128.whl", None),  # labels have no capitals
        ("a-1-py3-none.whl", None),
        ("a-1-2-py3-none-any-cu128-more.whl", None),
        ("a-1-variants.json", None),
        ("a-1.tar.gz", None),
    ],
)
def test_a_name_is_taken_apart(name: str, parts: tuple[str, ...] | None) -> None:
    assert wheelname.parse(name) == (None if parts is None else WheelName(*parts))


@pytest.mark.parametrize(
    ("abi", "free"),
    [("cp314", False), ("cp314t", True), ("abi3", None), ("none", None), ("cp314.cp314t", None), ("cp39", False)],
)
def test_which_cpython_it_is_for(abi: str, *, free: bool | None) -> None:
    name = wheelname.parse(f"a-1-cp314-{abi}-linux_x86_64.whl")
    assert name is not None
    assert name.free_threaded is free


# -- locks -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_varied")
def test_the_preview_is_off_and_the_ordinary_wheel_is_taken(kgen_alone: Kgen) -> None:
    done = kgen_alone(*LOCK, "varied")
    assert done.status == 0, done.stderr
    assert (
        "note: numpy-cpu: varied 1.0 is taken, and 2.0 is the newest: 2.0 has nothing but wheel variants"
        " (cu126, cu128, null), which uv writes into no lock\n"
    ) in done.stderr
    lock = lockfiles.read(kgen_alone.folder / "locks/numpy-cpu/pylock.linux-64.toml")
    assert [file.filename for file in lock.files if file.name == "varied"] == [f"varied-1.0-{TAG}.whl"]


@pytest.mark.usefixtures("_varied")
def test_what_has_nothing_else_is_refused_with_the_cause(kgen_alone: Kgen) -> None:
    done = kgen_alone(*LOCK, "varied>=2")
    assert done.status == 4
    assert "varied==2.0 has only unsupported wheel variants" in done.stderr
    assert "hint: require a release of it that has a wheel without a variant's label" in done.stderr
    assert kgen_alone(*LOCK, "varied<2").status == 0


@pytest.mark.usefixtures("_varied")
def test_a_preview_that_somebody_has_turned_on_makes_no_lock_of_one_machine(kgen_alone: Kgen) -> None:
    """uv takes the one for the GPU of this machine then, and refuses to write it."""
    here = dataclasses.replace(
        kgen_alone, environment={**kgen_alone.environment, **PREVIEW, DRIVER: "12.8", ARCHITECTURE: "9.0"}
    )
    done = here(*LOCK, "varied")
    assert done.status == 4
    assert (
        "uv's preview of wheel variants is on, and takes one of varied for one kind of machine: uv writes no"
        " variant into a lock, which is for others too\n\nhint: UV_PREVIEW= UV_PREVIEW_FEATURES= kgen lock"
    ) in done.stderr
    assert not (kgen_alone.folder / "locks/numpy-cpu").exists()
    assert here(*LOCK, "varied", UV_PREVIEW_FEATURES="", UV_PREVIEW="").status == 0


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        (("--driver", "525.60.13", "--gpu", "9.0"), False),
        (("--driver", "570.26", "--gpu", "8.0"), False),
        (("--driver", "570.26", "--gpu", "9.0"), True),
    ],
)
def test_with_the_preview_uv_is_given_the_target(
    kgen_alone: Kgen, index: Index, target: tuple[str, ...], *, fits: bool
) -> None:
    """Driver and architecture are those of the request, whatever GPU is here: for others there is an ordinary wheel."""
    index.wheelhouse.put(
        Wheel(name="varied", version="1.0"),
        variant("cu128", "2.0"),
        VariantsFile(name="varied", version="2.0", variants={"cu128": CUDA_128}),
    )
    words = ("lock", "--no-nix", "--python", PYTHON, "jax", "--cuda", "12", *target, "--dependency", "varied")
    with_preview = dataclasses.replace(kgen_alone, environment={**kgen_alone.environment, **PREVIEW})
    done = with_preview(*words)
    assert done.status == (4 if fits else 0), done.stderr
    assert ("takes one of varied" in done.stderr) is fits
    # what the user's own variables say of the target is not what uv goes by
    said = {**with_preview.environment, DRIVER: "12.8", ARCHITECTURE: "9.0"}
    again = dataclasses.replace(with_preview, environment=said)(*words, "--upgrade")
    assert again.status == done.status


@pytest.mark.usefixtures("_varied")
@pytest.mark.parametrize(
    ("driver", "architecture", "label"),
    [("12.8", "9.0", "cu128"), ("12.8", "8.0", "cu126"), ("12.6", "9.0", "cu126"), ("11.8", "9.0", "null")],
)
def test_uv_itself_picks_by_driver_and_architecture(
    driver: str, architecture: str, label: str, index: Index, tmp_path: Path
) -> None:
    """What is said above rests on it: uv's preview installs one, by facts of a machine that may be named to it."""
    uv = str(Path(sys.executable).with_name("uv"))
    target = tmp_path / "target"
    words = [uv, "pip", "install", "--no-cache", "--default-index", index.url, "--target", str(target), "varied"]
    environment = {**os.environ, **PREVIEW, DRIVER: driver, ARCHITECTURE: architecture}
    subprocess.run(words, env=environment, check=True)
    assert (target / "varied/__init__.py").read_text() == f"label = {label!r}\n"


@pytest.mark.usefixtures("_varied")
def test_what_uv_writes_of_variants_today(index: Index, tmp_path: Path) -> None:
    """Its preview resolves one for this machine and writes none into a lock; when this fails, that has changed.

    A pylock is refused, `uv.lock` and what is resolved for every platform leave variants out, and a list of hashes has
    those of all, and does not say which was meant.
    """
    (tmp_path / "requirements.in").write_text("varied\n")
    project = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["varied"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    uv = str(Path(sys.executable).with_name("uv"))
    environment = {**os.environ, **PREVIEW, DRIVER: "12.8", ARCHITECTURE: "9.0"}

    def asked(*words: str) -> subprocess.CompletedProcess[str]:
        command = [uv, *words, "--no-cache", "--default-index", index.url, "--python", sys.executable]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    pylock = asked("pip", "compile", "requirements.in", "--format", "pylock.toml")
    assert pylock.returncode == 2
    assert "`varied` resolved to a wheel variant, which pylock.toml export does not support" in pylock.stderr
    hashed = asked("pip", "compile", "requirements.in", "--generate-hashes", "--no-header").stdout
    assert hashed.startswith("varied==2.0 ")
    assert hashed.count("--hash=sha256:") == len(VARIANTS)
    assert asked("pip", "compile", "requirements.in", "--universal", "--no-header").stdout.startswith("varied==1.0\n")
    assert asked("lock").returncode == 0
    locked = (tmp_path / "uv.lock").read_text()
    assert f"/varied-1.0-{TAG}.whl" in locked
    assert "varied-2.0" not in locked


def test_two_variants_of_a_version_are_two_builds(project: Path) -> None:
    locks = []
    for label in ("cu126", "cu128"):
        folder = project / label / "numpy-cpu"
        shutil.copytree(REFERENCE, folder)
        locks.append(lockfiles.read(folder / "pylock.linux-64.toml"))
    before, after = (
        lock._replace(
            files=tuple(
                file._replace(filename=f"numpy-{file.version}-{TAG}-{label}.whl") if file.name == "numpy" else file
                for file in lock.files
            )
        )
        for label, lock in zip(("cu126", "cu128"), locks, strict=True)
    )
    version = before.versions["numpy"]
    assert [change for change in diff.changes_of(before, after) if change.what == "numpy"] == [
        diff.Change("numpy", f"{version} (cu126)", f"{version} (cu128)")
    ]
    assert before.content != after.content
    assert list(diff.changes_of(before, before)) == []
