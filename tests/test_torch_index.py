"""Builds that only PyTorch's own index has: solved with, locked by hash, named in the lock, installed from there."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.version import Version
from tests.command import CUTOFF, LOCK, PYTHON, SOLVE, Kgen
from tests.index import Index
from tests.recorded import MATRIX
from tests.repository import Repository, Served, serving
from tests.test_hints import hints_of
from tests.wheelhouse import Wheel, Wheelhouse

from kgen import lockfiles, uvtool
from kgen.errors import OutsideError
from kgen.matrix.origin import FOLDER_VARIABLE

CUDA = ("--cuda", "12")
FOLDER = "locks/torch-cuda12"
FILE = f"{FOLDER}/pylock.linux-64.toml"


@pytest.fixture
def own(wheelhouse: Wheelhouse) -> Iterator[Repository]:
    """An index in the manner of PyTorch's: a folder for each label."""
    wheels = [wheelhouse.local("torch", version, label) for version, label in (("2.14.1", "cu126"), ("2.14.1", "cpu"))]
    with serving(Served(wheels=wheels)) as at_work:
        yield at_work


def packages(text: str) -> dict[str, dict[str, Any]]:
    return {package["name"]: package for package in tomli.loads(text)["packages"]}


COMMAND = f"kgen solve torch --cuda 12 --python {PYTHON} --platform linux-64"
REST = f"--exclude-newer {CUTOFF} --torch-index"


def test_without_it_the_hint_says_what_it_would_give(kgen: Kgen) -> None:
    asked = ("torch", *CUDA, "--require", "torch>=2.13")
    without = kgen(SOLVE[0], *asked, *SOLVE[1:])
    assert without.status == 3
    assert f"{COMMAND} --require 'torch>=2.13' {REST}   # gives torch 2.14.1\n" in without.stderr
    found = kgen(SOLVE[0], *asked, *SOLVE[1:], "--torch-index")
    assert found.status == 0
    assert "CUDA 12.6, cuDNN 9.10.2.21" in found.stdout


GAIN = "--torch-index gives torch 2.14.1, in a build that only its own index has"


def test_a_solution_says_what_it_would_add(kgen: Kgen) -> None:
    asked = (SOLVE[0], "torch", *CUDA, *SOLVE[1:])
    without = kgen(*asked)
    assert without.stdout.endswith(f"\n  note: {GAIN}\n")
    assert json.loads(kgen(*asked, "--json").stdout)["solution"]["suggestions"] == [
        {"kind": "own-index", "change": "--torch-index", "command": f"{COMMAND} {REST}", "gives": {"torch": "2.14.1"}}
    ]
    # what it says is what one gets
    given = json.loads(kgen(*asked, "--torch-index", "--json").stdout)["solution"]
    assert (given["packages"]["torch"], given["suggestions"]) == ("2.14.1", [])


def test_an_explanation_says_it_too(kgen: Kgen) -> None:
    asked = ("explain", "torch", *CUDA, *SOLVE[1:])
    assert kgen(*asked).stdout.endswith(f"\n\n  {GAIN}.\n")
    assert kgen(*asked, "--newest", "torch").stdout.endswith(f"\n\n  {GAIN}.\n")
    assert "--torch-index" not in kgen(*asked, "--newest", "cudnn").stdout
    (one,) = json.loads(kgen(*asked, "--json").stdout)["environments"]
    assert one["suggestions"] == [
        {"kind": "own-index", "change": "--torch-index", "command": f"{COMMAND} {REST}", "gives": {"torch": "2.14.1"}}
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("torch", "--cuda", "13"),  # the newest is a plain one
        ("torch", "--cpu"),
        ("jax", "--cuda", "12"),
        ("torch", "--cuda", "12", "--require", "torch==2.8.0"),  # another is not wanted
        ("torch", "--cuda", "12", "--platform", "linux-aarch64"),  # there are none for it
    ],
)
def test_nothing_is_said_where_it_would_add_nothing(kgen: Kgen, words: tuple[str, ...]) -> None:
    rest = SOLVE[1:] if "--platform" not in words else ("--python", PYTHON, "--exclude-newer", CUTOFF)
    assert "--torch-index" not in kgen("solve", *words, *rest).stdout


def test_with_several_in_one_environment_none_gets_older(kgen: Kgen) -> None:
    asked = (SOLVE[0], "torch", "tensorflow", "--together", "both", *CUDA, *SOLVE[1:], "--json")
    (gain,) = json.loads(kgen(*asked).stdout)["solution"]["suggestions"]
    before = json.loads(kgen(*asked).stdout)["solution"]["packages"]
    after = json.loads(kgen(*asked, "--torch-index").stdout)["solution"]["packages"]
    assert gain["gives"] == {
        name: after[name] for name in ("keras", "torch", "tensorflow") if after[name] != before[name]
    }
    assert all(Version(after[name]) >= Version(before[name]) for name in ("keras", "torch", "tensorflow"))


def test_a_build_of_its_own_index_is_locked_from_there_and_all_else_is_not(kgen: Kgen, own: Repository) -> None:
    done = kgen(LOCK[0], "torch", *CUDA, *LOCK[1:], "--torch-index", own.url)
    assert (done.status, done.stderr) == (0, done.stderr)
    text = (kgen.folder / FILE).read_text()
    found = packages(text)
    assert found["torch"]["version"] == "2.14.1+cu126"
    assert found["torch"]["index"] == f"{own.url}/cu126"
    assert [wheel["hashes"]["sha256"] for wheel in found["torch"]["wheels"]] == [own.served.wheels[0].sha256]
    assert [name for name, package in found.items() if "index" in package] == ["torch"]
    data = tomli.loads(text)["tool"]["kgen"]
    assert (data["indexes"], data["torch-index"], data["cudnn"]) == ({"torch": "cu126"}, True, "9.10.2.21")
    assert {path.split()[0] for path in own.served.asked if path.startswith("/simple/")} == {"/simple/cu126/torch/"}


def test_a_cpu_build_is_found_there_too(kgen: Kgen, own: Repository) -> None:
    done = kgen(LOCK[0], "torch", "--cpu", *LOCK[1:], "--torch-index", own.url)
    assert done.status == 0
    data = tomli.loads((kgen.folder / "locks/torch-cpu/pylock.linux-64.toml").read_text())
    assert data["tool"]["kgen"]["indexes"] == {"torch": "cpu"}
    for exported in (kgen("export", what, "torch").stdout for what in ("requirements", "dockerfile")):
        assert re.search(r"^--extra-index-url http://\[INDEX\]\S*/cpu$", exported, re.MULTILINE)
        assert "\ntorch==2.14.1+cpu --hash=sha256:" in exported


def test_a_portable_lock_names_no_host_and_is_installed_from_the_index_of_the_settings(
    kgen: Kgen, own: Repository
) -> None:
    settings = kgen.folder / "kgen.toml"
    base = 'backends = ["torch"]\ncuda = "12"\nportable = true\npython = "3.11"\nexclude-newer = 2026-11-20\n'
    settings.write_text(f'{base}torch-index = "{own.url}/"\n', encoding="utf-8")
    assert kgen("lock").status == 0
    text = (kgen.folder / FILE).read_text()
    assert "127.0.0.1" not in text
    assert tomli.loads(text)["tool"]["kgen"]["indexes"] == {"torch": "cu126"}
    checked = kgen("check")
    assert (checked.status, checked.stderr) == (0, checked.stderr)
    exported = kgen("export", "dockerfile", "torch").stdout
    assert re.search(r"^--extra-index-url http://\[INDEX\]\S*/cu126$", exported, re.MULTILINE)
    own.served.asked.clear()
    synced = kgen("sync", "torch-cuda12")
    assert (synced.status, synced.stderr) == (0, synced.stderr)
    assert {path.split()[0] for path in own.served.asked if path.startswith("/simple/")} <= {"/simple/cu126/torch/"}
    site = next((kgen.folder / ".kgen/envs/torch-cuda12").glob("lib/python*/site-packages"))
    assert (site / "torch-2.14.1+cu126.dist-info").is_dir()
    assert list(site.glob("keras-*.dist-info"))

    settings.write_text(base, encoding="utf-8")
    refused = kgen("export", "dockerfile", "torch")
    assert (refused.status, refused.stdout) == (2, "")
    assert "has torch (cu126) of a framework's own index, and the settings name none" in refused.stderr
    checked = kgen("check")
    assert checked.status == 1
    assert "has torch 2.14.1+cu126 of its own index, and `torch-index` is not set" in checked.stdout + checked.stderr
    refused = kgen("sync", "torch-cuda12", "--reinstall")
    assert refused.status == 4
    assert "has packages of a framework's own index, and the settings name none: torch (cu126)" in refused.stderr


def test_a_lock_that_is_not_portable_needs_no_settings_to_be_installed(kgen: Kgen, own: Repository) -> None:
    assert kgen(LOCK[0], "torch", *CUDA, *LOCK[1:], "--torch-index", own.url).status == 0
    synced = kgen("sync", "torch-cuda12")
    assert (synced.status, synced.stderr) == (0, synced.stderr)


def test_its_files_have_hashes_even_where_it_names_none(kgen_alone: Kgen, own: Repository) -> None:
    own.served.hashes = False
    assert kgen_alone(LOCK[0], "torch", *CUDA, *LOCK[1:], "--torch-index", own.url).status == 0
    (wheel,) = packages((kgen_alone.folder / FILE).read_text())["torch"]["wheels"]
    assert wheel["hashes"]["sha256"] == own.served.wheels[0].sha256


def test_what_it_does_not_have_is_not_locked(kgen: Kgen, own: Repository) -> None:
    own.served.wheels.clear()
    done = kgen(LOCK[0], "torch", *CUDA, "--require", "torch>=2.14", *LOCK[1:], "--torch-index", own.url)
    assert done.status == 4
    assert "the index that `torch-index` names has no `torch==…+cu126` for Python 3.11 on linux-64" in done.stderr
    older = kgen(LOCK[0], "torch", *CUDA, *LOCK[1:], "--torch-index", own.url)
    assert older.status in {0, 4}


def test_the_index_that_true_stands_for_is_the_one_that_uv_knows(tmp_path: Path) -> None:
    program = uvtool.find()
    for label in ("cu126", "cpu"):
        url = uvtool.own_index(program, tmp_path, "torch", label)
        assert url.startswith("https://")
        assert url.endswith(f"/{label}")
    with pytest.raises(OutsideError, match="uv does not say where the builds of torch with the label `cu1` are"):
        uvtool.own_index(program, tmp_path, "torch", "cu1")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ('"https://me:secret@mirror.example/whl"', "holds credentials"),
        ('"mirror"', "is neither true nor a URL"),
        ("3", "should be true or false or text, is a whole number"),
    ],
)
def test_a_wrong_setting_is_told(kgen: Kgen, value: str, fault: str) -> None:
    (kgen.folder / "kgen.toml").write_text(f"torch-index = {value}\n", encoding="utf-8")
    done = kgen("solve", "torch")
    assert done.status == 2
    assert "kgen.toml: torch-index: " in done.stderr
    assert fault in done.stderr
    assert "secret" not in done.stderr


ROCM = """[[release.build]]
rocm = "7.1"
pythons = ["3.11"]
platforms = { linux-64 = "2.28" }
install = ["torch==2.10.0+rocm7.1"]
requires = []
local = "rocm7.1"
beside = ["triton-rocm"]
source = "made up"
checked = 2026-11-28

"""


def test_what_a_build_needs_of_its_own_index_is_from_there_too(kgen: Kgen, tmp_path: Path, index: Index) -> None:
    """The package index may have something else by that name."""
    folder = Path(shutil.copytree(MATRIX, tmp_path / "matrix"))
    file = folder / "torch.toml"
    before, mark, after = file.read_text().partition('version = "2.10.0"\n')
    head, build, rest = after.partition("[[release.build]]\n")
    file.write_text(f"{before}{mark}{head}{ROCM}{build}{rest}")
    tag = "cp311-cp311-linux_x86_64"
    torch = Wheel(name="torch", version="2.10.0+rocm7.1", tag=tag, requires=("triton-rocm==3.6.0",))
    triton = Wheel(name="triton-rocm", version="3.6.0", tag=tag)
    index.wheelhouse.put(Wheel(name="triton-rocm", version="3.6.0", files={"somebody_else.py": b""}))
    at_home = dataclasses.replace(kgen, environment={**kgen.environment, FOLDER_VARIABLE: str(folder)})
    with serving(Served(wheels=[torch, triton])) as own:
        done = at_home(LOCK[0], "torch", "--rocm", "7", *LOCK[1:], "--torch-index", own.url, "--no-nix")
        assert done.status == 0, done.stderr
        path = kgen.folder / "locks/torch-rocm7/pylock.linux-64.toml"
        found = packages(path.read_text())
        assert found["torch"]["version"] == "2.10.0+rocm7.1"
        for name, wheel in (("torch", torch), ("triton-rocm", triton)):
            assert found[name]["index"] == f"{own.url}/rocm7.1"
            assert [one["hashes"]["sha256"] for one in found[name]["wheels"]] == [wheel.sha256]
        lock = lockfiles.read(path)
        assert lock.indexes == {"torch": "rocm7.1", "triton-rocm": "rocm7.1"}
        (kgen.folder / "kgen.toml").write_text(
            f'backends = ["torch"]\nrocm = "7"\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n'
            f'exclude-newer = "{CUTOFF}"\ntorch-index = "{own.url}"\n'
        )
        checked = at_home("check")
        assert checked.status == 0, checked.stdout + checked.stderr


def test_the_settings_that_kgen_writes_lock_where_there_is_no_gpu(kgen: Kgen, own: Repository) -> None:
    done = kgen("init", "torch", "numpy", "--cpu", "--python", PYTHON)
    assert done.status == 0, done.stderr
    settings = kgen.folder / "kgen.toml"
    text = settings.read_text()
    assert "\ntorch-index = true\n" in text
    # the one that `true` stands for is not on this machine
    settings.write_text(text.replace("\ntorch-index = true\n", f'\ntorch-index = "{own.url}"\n'))
    locked = kgen("lock", "--exclude-newer", CUTOFF)
    assert locked.status == 0, locked.stderr
    torch = packages((kgen.folder / "locks/torch-cpu/pylock.linux-64.toml").read_text())["torch"]
    assert torch["version"] == "2.14.1+cpu"


def test_a_hint_names_the_mirror_of_uvs_sources(kgen: Kgen, own: Repository) -> None:
    """A call that is pasted takes the build from where the project has it from."""
    kgen.folder.joinpath("pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\ndependencies = ["torch"]\n'
        '[tool.uv.sources]\ntorch = { index = "mine" }\n'
        f'[[tool.uv.index]]\nname = "mine"\nurl = "{own.url}/cpu"\nexplicit = true\n'
    )
    refused = kgen(LOCK[0], "torch", "--cpu", *LOCK[1:], "--portable", "--no-project")
    assert refused.status == 4
    (hint,) = [one for one in hints_of(refused.stderr) if one.startswith("or let kgen take it from there: ")]
    call = shlex.split(hint.partition(": ")[2].replace("[INDEX]", own.url.partition("//")[2].partition("/")[0]))
    assert call[:3] == ["kgen", "lock", "torch"]
    assert call[call.index("--torch-index") + 1] == own.url
    assert {"--portable", "--no-project"} <= {*call}
    assert kgen(*call[1:]).status == 0
    assert (
        packages((kgen.folder / "locks/torch-cpu/pylock.linux-64.toml").read_text())["torch"]["version"] == "2.14.1+cpu"
    )


def test_a_hint_keeps_the_mirror_of_the_settings(kgen_alone: Kgen, own: Repository, index: Index) -> None:
    """A flag without a value would be PyTorch's own index."""
    kgen = kgen_alone
    index.wheelhouse.put(Wheel(name="bounded", version="1.0"))
    (kgen.folder / "kgen.toml").write_text(f'torch-index = "{own.url}"\ndependencies = ["bounded==2.0"]\n')
    refused = kgen(LOCK[0], "torch", *CUDA, *LOCK[1:])
    assert refused.status == 4
    asked = [one for one in hints_of(refused.stderr) if "--torch-index" in one]
    assert asked
    assert "you require bounded==2.0" in refused.stderr  # no name of what kgen has uv read
    assert all("--torch-index http://[INDEX]" in one for one in asked)
