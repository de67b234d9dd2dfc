"""Reading the matrix: every fault at once with its place, and what the real matrix promises."""

from __future__ import annotations

import ast
import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from packaging.markers import default_environment
from packaging.version import Version
from tests.matrices import cuda_table

import kgen
from kgen import accelerators
from kgen.accelerators import Fit
from kgen.errors import ExitStatus, MatrixError
from kgen.explain import report
from kgen.explain.reasons import reason_rule
from kgen.matrix.compatibility import CompatibilityMatrix, load
from kgen.matrix.records import Build, Provenance, Release
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import WarningKind
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, parse_requirement
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve

SEEN: dict[str, Any] = {"source": "seen", "checked": datetime.date(2024, 1, 1)}
DAY = datetime.date(2024, 1, 1)
CUDA = Accelerator("cuda", (12,))


def small() -> dict[str, Any]:
    """A matrix without a fault, as the tables of its files."""
    build = {"pythons": ["3.12"], "platforms": {"linux-64": ""}, "install": ["keras==3.0"], **SEEN}
    cuda = {
        "cuda": "12.8",
        "pythons": ["3.12"],
        "platforms": {"linux-64": "2.28"},
        "install": ["torch==2.0"],
        "requires": ["nvidia-nccl-cu12>=2"],
        **SEEN,
    }
    platform = {"machine": "x", "sys-platform": "linux", "platform-system": "Linux", "os-name": "posix", "uv": "x"}
    return {
        "python.toml": {"python": [{"version": "3.12", "released": DAY, **SEEN}]},
        "platforms.toml": {"linux-64": {**platform, "glibc": "2.28", **SEEN}},
        "backends.toml": {"torch": {"framework": "torch", "accelerated": True, **SEEN}},
        "accelerators.toml": cuda_table([{"version": "12", "driver": "525.60.13", "gpu": ">=5.0", **SEEN}]),
        "toolkits.toml": {
            "toolkit": [{"version": "12.8.0", "driver": "570.26", "extras": {"nccl": "nvidia-nccl-cu12==2.*"}, **SEEN}],
        },
        "cudnn.toml": {
            "support": [{"cuda": "12", "cudnn": ">=9", "gpu": ">=7.5", "driver": "525.60.13", **SEEN}],
        },
        "libraries/nvidia-nccl-cu12.toml": {
            "role": "nccl",
            "cuda": 12,
            "files": [{"platforms": {"linux-64": "2.17"}, "releases": {"2.1": DAY}}],
            **SEEN,
        },
        "keras.toml": {
            "project": {"name": "keras", "title": "Keras"},
            "release": [{"version": "3.0", "released": DAY, "build": [build]}],
        },
        "torch.toml": {
            "project": {"name": "torch", "title": "PyTorch"},
            "release": [{"version": "2.0", "released": DAY, "build": [cuda]}],
        },
    }


def texts(tables: Mapping[str, Any]) -> dict[str, str]:
    return {name: table if isinstance(table, str) else tomlkit.dumps(table) for name, table in tables.items()}


def faults(tables: Mapping[str, Any]) -> list[str]:
    with pytest.raises(MatrixError) as caught:
        CompatibilityMatrix(texts(tables)).check()
    assert caught.value.status is ExitStatus.USAGE
    return list(caught.value.faults)


def test_a_sound_matrix() -> None:
    matrix = CompatibilityMatrix(texts(small()))
    matrix.check()
    assert matrix.framework_names == ("torch", "keras")
    assert matrix.library("nvidia-nccl-cu13") is None


def test_all_faults_at_once() -> None:
    tables = small()
    tables["python.toml"]["python"][0]["version"] = 3.12
    tables["platforms.toml"]["linux-64"]["glibc"] = "two"
    tables["backends.toml"]["torch"]["acelerated"] = tables["backends.toml"]["torch"].pop("accelerated")
    tables["accelerators.toml"]["cuda"]["major"][0]["driver"] = "new"
    tables["accelerators.toml"]["cuda"]["major"][0]["gpu"] = "5 and up"
    tables["cudnn.toml"]["support"][0]["cuda"] = "12.8"
    tables["libraries/nvidia-nccl-cu12.toml"]["cuda"] = "12"
    tables["libraries/nvidia-nccl-cu12.toml"]["files"][0]["releases"] = {"2.1": "monday", "x": DAY}
    tables["keras.toml"]["project"]["name"] = "kears"
    tables["keras.toml"]["release"].append(dict(tables["keras.toml"]["release"][0]))
    build = tables["torch.toml"]["release"][0]["build"][0]
    build["sass"] = ["8.0", 9.0, "new"]
    build["gpu-fails"] = [{"gpu": "<5.2", "why": "x", "source": "y"}]
    build["adds"] = [{"requires": "numpy >>1", "source": "y"}]
    build["platforms"] = {}
    del build["source"]
    tables["torch.toml"]["relaese"] = []
    with pytest.raises(MatrixError) as caught:
        CompatibilityMatrix(texts(tables)).check()
    assert caught.value.message == (
        "the compatibility matrix has 20 faults:\n"
        "  python.python[0].version: should be text, is a number; put quotes around it\n"
        "  platforms.linux-64.glibc: `two` is not a version\n"
        "  backends.torch.accelerated: is missing\n"
        "  backends.torch.acelerated: unknown key; did you mean `accelerated`?\n"
        "  accelerators.cuda.major[0].driver: `new` is not a driver version such as 535.183 or 580.65.06\n"
        "  accelerators.cuda.major[0].gpu: `5 and up` is neither a range such as >=7.5 nor names such as gfx942\n"
        "  cudnn.support[0].cuda: `12.8` is not a whole number\n"
        "  libraries.nvidia-nccl-cu12.files[0].releases.2.1: should be a date, is text\n"
        "  libraries.nvidia-nccl-cu12.files[0].releases.x: `x` is not a version\n"
        "  libraries.nvidia-nccl-cu12.cuda: should be a whole number, is text\n"
        "  torch.release[0].build[0].gpu-fails[0].reason: is missing\n"
        "  torch.release[0].build[0].gpu-fails[0].why: unknown key\n"
        "  torch.release[0].build[0].adds[0].requires: `numpy >>1` is not a requirement: Expected semicolon (after name"
        " with no version specifier) or end\n"
        "  torch.release[0].build[0].sass[1]: should be text, is a number; put quotes around it\n"
        "  torch.release[0].build[0].sass[2]: `new` is not an architecture such as 8.0 or gfx942\n"
        "  torch.release[0].build[0].source: is missing\n"
        "  torch.release[0].build[0].platforms: is empty\n"
        "  torch.relaese: unknown key; did you mean `release`?\n"
        "  keras.project.name: should be `keras`, as the file is called\n"
        "  keras.release[1].version: 3.0 is there twice"
    )
    assert len(caught.value.faults) == 20
    assert caught.value.hints == ("reinstall kgen, or undo the last edit of the file that the message names",)


def test_a_question_to_one_file_reports_the_faults_of_all() -> None:
    tables = small()
    tables["python.toml"]["python"][0]["verison"] = "3.12"
    tables["keras.toml"]["project"]["title"] = 3
    with pytest.raises(MatrixError) as caught:
        CompatibilityMatrix(texts(tables)).framework("keras")
    assert caught.value.faults == (
        "python.python[0].verison: unknown key; did you mean `version`?",
        "keras.project.title: should be text, is a whole number; put quotes around it",
    )


def test_damaged_toml() -> None:
    tables = small()
    tables["keras.toml"] = "[project\n"
    tables["cudnn.toml"] = "support = 1"
    found = faults(tables)
    # tomli's words for it differ between its versions
    assert re.fullmatch(r"keras\.toml: .*\(at line 1, column 9\)", found[0])
    assert "cudnn.support: should be an array, is a whole number" in found


def test_a_missing_file() -> None:
    tables = small()
    del tables["keras.toml"], tables["cudnn.toml"]
    assert faults(tables) == ["cudnn.toml: the file is missing", "keras.toml: the file is missing"]
    with pytest.raises(MatrixError, match=r"keras\.toml: the file is missing"):
        CompatibilityMatrix(texts(tables)).framework("keras")


def test_an_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "keras.toml").write_bytes(b"\xff")
    with pytest.raises(MatrixError, match=r"keras\.toml: is not UTF-8 text"):
        load(tmp_path).check()


def test_faults_between_files() -> None:
    tables = small()
    build = tables["torch.toml"]["release"][0]["build"][0]
    build["platforms"] = {"linux-46": "2.28"}
    build["cuda"] = "13.0"
    build["requires"] = ["nvidia-ncll-cu12>=2", "nvidia-nccl-cu12 >= two"]
    tables["toolkits.toml"]["toolkit"][0]["extras"]["nccl"] = "=="
    assert faults(tables) == [
        "torch.release[2.0].build[0].platforms.linux-46: unknown platform",
        "torch.release[2.0].build[0].cuda: no CUDA 13 in accelerators.toml",
        "torch.release[2.0].build[0].requires: `nvidia-ncll-cu12` is in no matrix file",
        (
            "torch.release[2.0].build[0].requires: `nvidia-nccl-cu12 >= two` is not a requirement: Expected semicolon"
            " (after name with no version specifier) or end"
        ),
        (
            "toolkits.toolkit[12.8.0].extras.nccl: `==` is not a requirement: Expected package name at the start of"
            " dependency specifier"
        ),
    ]


def test_the_revision_is_of_the_bytes_of_all_files() -> None:
    files = texts(small())
    revision = CompatibilityMatrix(files).revision
    assert re.fullmatch(r"[0-9a-f]{16}", revision)
    assert CompatibilityMatrix(dict(reversed(files.items()))).revision == revision
    assert CompatibilityMatrix({**files, "keras.toml": files["keras.toml"] + "\n"}).revision != revision


# -- the real one ------------------------------------------------------------------------------------------------------


def test_the_real_matrix_is_sound(shipped_matrix: CompatibilityMatrix) -> None:
    matrix = shipped_matrix
    matrix.check()
    assert {"tensorflow", "jax", "torch", "numpy", "openvino"} <= matrix.backends.keys()
    for name in matrix.framework_names:
        versions = [release.version for release in matrix.framework(name).releases]
        assert versions == sorted(versions)


def provenances(matrix: CompatibilityMatrix) -> Iterator[tuple[str, Provenance]]:
    rows: dict[str, Iterable[Any]] = {
        "python": matrix.pythons,
        "platforms": matrix.platforms.values(),
        "backends": matrix.backends.values(),
        "major": matrix.majors("cuda").values(),
        "toolkit": matrix.toolkits,
        "cudnn": matrix.cudnn,
        "libraries": [matrix.library(name) for name in matrix.library_names],
        "conda frameworks": matrix.conda.frameworks.values(),
        "conda builds": [build for row in matrix.conda.frameworks.values() for build in row.builds],
        "conda limits": matrix.conda.limits,
    }
    for name, found in rows.items():
        yield from ((f"{name}[{position}]", row.provenance) for position, row in enumerate(found))
    yield from ((f"conda[{position}]", row) for position, row in enumerate(matrix.conda.provenances))
    for name, release, position, build in every_build(matrix):
        yield f"{name} {release.version} build {position}", build.provenance


def test_every_row_says_its_source_and_the_day(shipped_matrix: CompatibilityMatrix) -> None:
    matrix = shipped_matrix
    found = dict(provenances(matrix))
    assert len(found) > 500
    assert [place for place, row in found.items() if len(row.source.strip()) < 5] == []
    assert [place for place, row in found.items() if not DAY < row.checked < datetime.date(2100, 1, 1)] == []
    for name, release, _, build in every_build(matrix):
        sources = [*build.adds.values(), *(failure.source for failure in build.gpu_failures)]
        assert all(source.strip() for source in sources), f"{name} {release.version}"


@pytest.mark.parametrize(
    ("platform", "python", "values"),
    [
        ("linux-64", "3.12", ("posix", "linux", "Linux", "x86_64")),
        ("linux-aarch64", "3.11", ("posix", "linux", "Linux", "aarch64")),
        ("osx-arm64", "3.13", ("posix", "darwin", "Darwin", "arm64")),
        ("win-64", "3.10", ("nt", "win32", "Windows", "AMD64")),
    ],
)
def test_a_target_has_a_value_for_every_variable_of_a_marker(
    matrix: CompatibilityMatrix, platform: str, python: str, values: tuple[str, ...]
) -> None:
    """`packaging` would take one that is missing from the machine that locks."""
    found = matrix.platforms[platform].marker_environment(python, "gpu")
    assert found.keys() == {*default_environment(), "extra"}
    assert tuple(found[name] for name in ("os_name", "sys_platform", "platform_system", "platform_machine")) == values
    assert (found["python_version"], found["python_full_version"]) == (python, f"{python}.0")
    assert (found["implementation_name"], found["implementation_version"]) == ("cpython", f"{python}.0")
    assert (found["platform_python_implementation"], found["extra"]) == ("CPython", "gpu")
    assert (found["platform_release"], found["platform_version"]) == ("", "")


UNRELEASED: Mapping[str, str] = {}
"""`torch 2.0.0 linux-64 3.8: nvidia-nccl-cu11==2.14.3` -> why the index really lacks it."""


def every_build(matrix: CompatibilityMatrix) -> Iterator[tuple[str, Release, int, Build]]:
    for name in matrix.framework_names:
        for release in matrix.framework(name).releases:
            for position, build in enumerate(release.builds):
                yield name, release, position, build


def test_every_exact_pin_was_released_for_its_platform(shipped_matrix: CompatibilityMatrix) -> None:
    matrix = shipped_matrix
    lacking = set()
    for name, release, _, build in every_build(matrix):
        for platform in build.platforms:
            for python in build.pythons:
                for requirement in pins(matrix, build, matrix.platforms[platform].marker_environment(python)):
                    if not is_released(matrix, requirement, platform):
                        lacking.add(f"{name} {release.version} {platform}: {requirement}")
    assert lacking == UNRELEASED.keys()


def pins(matrix: CompatibilityMatrix, build: Build, markers: Mapping[str, str]) -> Iterator[Requirement]:
    for text in (*build.requires, *build.adds):
        requirement = parse_requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(dict(markers)):
            for one in (requirement, *map(parse_requirement, matrix.expand(text))):
                if any(specifier.operator == "==" for specifier in one.specifier):
                    yield one


def is_released(matrix: CompatibilityMatrix, requirement: Requirement, platform: str) -> bool:
    library = matrix.library(requirement.name)
    if library is None:
        released = matrix.framework(requirement.name).releases
        return any(release.version in requirement.specifier for release in released)
    return any(
        release.version in requirement.specifier and platform in release.platforms for release in library.releases
    )


def test_no_build_is_there_twice(shipped_matrix: CompatibilityMatrix) -> None:
    matrix = shipped_matrix
    """For one accelerator, platform and Python a release has one build, but for those of an index of its own."""
    twice = []
    for name in matrix.framework_names:
        for release in matrix.framework(name).releases:
            seen: set[tuple[object, ...]] = set()
            for build in release.builds:
                keys = {(build.accelerator.whole, build.local, p, v) for p in build.platforms for v in build.pythons}
                twice += [f"{name} {release.version}: {key}" for key in sorted(seen & keys, key=str)]
                seen |= keys
    assert twice == []


def test_what_is_built_for_cuda_says_what_it_needs_of_it(shipped_matrix: CompatibilityMatrix) -> None:
    matrix = shipped_matrix
    """No build for CUDA is without its cuDNN, and none without its GPUs."""
    for name, release, position, build in every_build(matrix):
        if build.accelerator.kind != "cuda":
            continue
        where = f"{name} {release.version} build {position}"
        known = {parse_requirement(text).name for text in (*build.requires, *build.adds)}
        # CUDA's libraries are in some of PyTorch's own wheels; what brings none is told to be avoided, and why
        lacking = build.known_bad is not None and "must be installed on the machine" in build.known_bad
        within = build.local is not None and "CUDA's libraries are in " in build.provenance.source
        if not lacking and not within and "win-64" not in build.platforms:
            assert f"nvidia-cudnn-cu{build.accelerator.major}" in known, where
        assert build.code.machine, where
        assert matrix.toolkit(build.accelerator) is not None, where
        assert {name.rpartition("-cu")[2] for name in known if re.search(r"-cu\d+$", name)} <= {
            str(build.accelerator.major)
        }


# -- code and data -----------------------------------------------------------------------------------------------------

VERSION = re.compile(r"[\w\[\].-]*[<>=!~]{0,2}\d+(\.\d+)+([.\w*]*)|.*(-cu|cuda)1\d.*")
TINY = 0.01
ALLOWED = {
    ("__init__.py", "0.1.0"),  # kgen's own
    ("emitters/cyclonedx.py", "1.6"),  # the form of the bill of materials
    ("formats/wheels/lock.py", "2.17"),  # what the old names of manylinux stand for, by the PEPs that define them
    ("formats/wheels/lock.py", "2.12"),
    ("formats/wheels/lock.py", "2.5"),
    ("loader/search.py", "2.33"),  # glibc's releases between which its loader searches otherwise, by its source
    ("loader/search.py", "2.36"),
    ("matrix/reader.py", "0.0"),  # stands for a version that could not be read
    ("refresh/fits.py", "2.17"),  # as in formats/wheels/lock.py
    ("refresh/fits.py", "2.12"),
    ("refresh/fits.py", "2.5"),
    ("transport.py", "127.0.0.1"),  # this machine
    ("validation/step/kgen_step/parts/two_processes.py", "127.0.0.1"),
}


def literals(path: Path) -> Iterator[object]:
    """The literals of a file, without docstrings."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    seconds = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.keyword)) and node.value is not None
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and isinstance(part.value, float)
    }
    defaults = {
        id(default)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for default in (*node.args.defaults, *node.args.kw_defaults)
        if isinstance(default, ast.Constant) and isinstance(default.value, float)
    }
    otherwise = alone | seconds | defaults | set(examples(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in otherwise:
            yield node.value


def examples(tree: ast.Module) -> Iterator[int]:
    """What is declared as an example for people: `example="3.12"`, `driver_example = "580"`, `"example": "kgen …"`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id.endswith("example") for target in node.targets
        ):
            yield id(node.value)
        if isinstance(node, ast.keyword) and node.arg == "example":
            yield id(node.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "example":
                    yield id(value)


def test_what_is_built_for_rocm_names_the_code_in_it(shipped_matrix: CompatibilityMatrix) -> None:
    """What holds its code is of its release, and the code of an architecture that its major is for."""
    rocm = accelerators.kind("rocm")
    seen = set()
    for name, release, position, build in every_build(shipped_matrix):
        if build.accelerator.kind != rocm.name:
            continue
        where = f"{name} {release.version} build {position}"
        major = shipped_matrix.major_of(build.accelerator)
        assert major is not None, where
        if build.local is not None:
            # no index that was read has them, and so nobody knows their code; their ROCm is in their label
            assert (build.local, build.code.known) == (f"rocm{build.accelerator.number}", False), where
            assert build.beside, where
            continue
        seen.add(build.accelerator.whole)
        served = [one for one in major.architectures.names if rocm.fit(build.code, one) is Fit.NATIVE]
        assert served, where
        assert {one for one in build.code.machine if "generic" not in one} <= set(major.architectures.names), where
        named = {requirement.name: requirement.specifier for requirement in map(parse_requirement, build.install)}
        # one project holds both the framework and its code, or plugins beside it do, whose names say the major
        whole = [one for one in named if one.endswith("-rocm")]
        plugins = [one for one in named if shipped_matrix.named_after(one) == build.accelerator]
        assert (len(whole), len(plugins)) in {(0, 2), (1, 0)}, where
        assert all(str(named[one]).startswith(f"=={release.version}") for one in (*whole, *plugins)), where
    assert seen == {row.accelerator for row in shipped_matrix.majors(rocm.name).values()}


def test_no_version_of_a_framework_or_of_cuda_stands_in_the_code() -> None:
    folder = Path(kgen.__file__).parent
    found = {
        (path.relative_to(folder).as_posix(), str(value))
        for path in folder.rglob("*.py")
        for value in literals(path)
        # a sentence may give an example; what is a version as a whole decides something; what is tiny is a tolerance
        if (isinstance(value, float) and not 0 < abs(value) < 0.01)
        or (isinstance(value, str) and VERSION.fullmatch(value))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("version", "accelerator", "python", "named"),
    [
        ("2.1.2", CUDA, "3.11", "setuptools<70"),
        ("2.4.1", CUDA, "3.12", "setuptools"),
        ("2.10.0", CPU, "3.11", "setuptools"),
        ("2.11.0", CPU, "3.11", None),
    ],
)
def test_what_torch_compiles_with(
    matrix: CompatibilityMatrix, version: str, accelerator: Accelerator, python: str, named: str | None
) -> None:
    """From 2.11 on it says so itself; before, an environment of wheels alone trains and cannot compile."""
    asked = EnvironmentRequest(
        name="torch",
        backends=("torch",),
        accelerator=accelerator,
        python=python,
        platform="linux-64",
        requirements=(Requirement(f"torch=={version}"),),
    )
    found = solve(matrix, asked)
    assert isinstance(found, Resolution), found
    assert [text for text in found.install if text.startswith("setuptools")] == ([named] if named else [])
    assert [reason_rule(reason) for reason in found.why if reason.package == "setuptools"] == (
        [f"torch {version} needs {named} and does not state it"] if named else []
    )


def test_openvino_ends_before_keras_316(shipped_matrix: CompatibilityMatrix) -> None:
    """Keras moves it into a package of its own: its nightly builds of 3.16 have no such backend any more."""
    row = shipped_matrix.backends["openvino"]
    assert Version("3.15.1") in row.keras
    assert Version("3.16.0") not in row.keras


def test_a_library_that_something_is_wrong_with_is_told_of_where_a_build_pins_it(
    shipped_matrix: CompatibilityMatrix,
) -> None:
    """cuDNN 9.20 opens a library that is in none of its wheels; PyTorch 2.12 and 2.13 pin it."""
    for name in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13"):
        library = shipped_matrix.library(name)
        assert library is not None
        assert set(library.known_bad) == {Version("9.20.0.48")}
        assert Version("9.20.0.48") in {release.version for release in library.releases}
    asked = EnvironmentRequest(
        name="torch", backends=("torch",), accelerator=Accelerator("cuda", (13,)), python="3.12", platform="linux-64"
    )
    pinned = solve(shipped_matrix, asked._replace(requirements=(parse_requirement("torch==2.12.1"),)))
    newest = solve(shipped_matrix, asked)
    assert isinstance(pinned, Resolution)
    assert isinstance(newest, Resolution)
    told = [(one.kind, one.name, str(one.version)) for one in pinned.warnings]
    assert told == [(WarningKind.KNOWN_BAD, "nvidia-cudnn-cu13", "9.20.0.48")]
    assert newest.warnings == ()


def test_windows_and_aarch64_have_pytorchs_own_builds(shipped_matrix: CompatibilityMatrix) -> None:
    asked = EnvironmentRequest(
        name="torch", backends=("torch",), accelerator=Accelerator("cuda", (12,)), python="3.12", platform="win-64"
    )
    for changes, version in (
        ({"gpus": ("12.0",)}, "2.11.0"),
        ({"gpus": ("6.1",)}, "2.13.0"),
        ({"accelerator": Accelerator("cuda", (13,))}, "2.13.0"),
        ({"accelerator": Accelerator("cuda", (13,)), "platform": "linux-aarch64", "requirements": _TORCH}, "2.10.0"),
    ):
        request = asked._replace(own_index=True, **changes)
        found = solve(shipped_matrix, request)
        assert isinstance(found, Resolution), request
        assert str(found.packages["torch"]) == version
        assert found.local["torch"].startswith("cu")
    refused = solve(shipped_matrix, asked)
    assert isinstance(refused, Conflict)
    text = report.message(refused)
    assert "PyTorch's own index has its builds for CUDA on Windows (`--torch-index`)" in text


_TORCH = (parse_requirement("torch==2.10.0"),)


@pytest.mark.parametrize(
    ("backend", "asked", "expected"),
    [
        ("torch", "torchtext", {"torch": "2.3.1"}),
        ("torch", "torchtext==0.18.0", {"torch": "2.3.1"}),
        ("torch", "torchtext>=0.18", {"torch": "2.10.0"}),
        ("tensorflow", "tensorflow-addons", {"tensorflow": "2.15.1", "keras": "2.15.0"}),
    ],
)
def test_what_is_compiled_against_one_release_is_not_taken_beside_another(
    shipped_matrix: CompatibilityMatrix, backend: str, asked: str, expected: dict[str, str]
) -> None:
    """It was given up, and its metadata allows whatever came later; whoever bounds it by hand decides."""
    request = EnvironmentRequest(
        name=backend,
        backends=(backend,),
        accelerator=Accelerator("cuda", (12,)),
        python="3.11",
        platform="linux-64",
        dependencies=(parse_requirement(asked),),
        cutoff=datetime.date(2026, 11, 20),
    )
    answer = solve(shipped_matrix, request)
    assert isinstance(answer, Resolution)
    assert {name: str(answer.packages[name]) for name in expected} == expected


@pytest.mark.parametrize(
    ("package", "major", "other"),
    [
        ("cupy-cuda13x", 13, "cupy-cuda12x"),
        ("cudf-cu13", 13, "cudf-cu12"),
        ("tensorrt-cu12", 12, "tensorrt-cu12"),
        ("nvidia-dali-cuda130", 13, "nvidia-dali-cuda120"),
        ("nvidia-nccl-cu11", 11, "nvidia-nccl-cu12"),
        ("jax-cuda12-plugin", None, "jax-cuda12-plugin"),
        ("cucumber", None, "cucumber"),
    ],
)
def test_the_name_of_a_package_tells_its_cuda(
    shipped_matrix: CompatibilityMatrix, package: str, major: int | None, other: str
) -> None:
    named = shipped_matrix.named_after(package)
    assert (None if named is None else named.major) == major
    assert shipped_matrix.named_for(package, Accelerator("cuda", (12,))) == other


def test_the_release_that_cannot_be_installed_for_cuda_says_which_can(shipped_matrix: CompatibilityMatrix) -> None:
    request = EnvironmentRequest(
        name="tensorflow",
        backends=("tensorflow",),
        accelerator=Accelerator("cuda", (12,)),
        python="3.11",
        platform="linux-64",
        requirements=(parse_requirement("tensorflow==2.15.0"),),
    )
    answer = solve(shipped_matrix, request)
    assert isinstance(answer, Conflict)
    assert "requires a TensorRT that no index has" in report.conflict_text(answer)
