from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path

import pytest
import tomli
from packaging.version import Version
from tests.matrices import cuda_text, devices

from kgen import parsers, settings
from kgen.accelerators import Devices, Gpu
from kgen.actions import machines
from kgen.actions.init import write_settings
from kgen.errors import OutsideError, SettingsError, UsageError
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix, load
from kgen.model.accelerator import CPU, Accelerator
from kgen.resources import folder

DEFAULT = ("tensorflow", "jax", "torch", "numpy")
PLAIN = Host(platform="linux-64", glibc=Version("2.36"))


SEEN = {"source": "test", "checked": dt.date(2026, 11, 21)}
CHECKED = 'source = "test"\nchecked = 2026-11-21\n'
LINUX = ["linux-64", "linux-aarch64"]
EVERYWHERE = [*LINUX, "osx-arm64", "win-64"]


def build(cuda: str | None, pythons: list[str], platforms: list[str]) -> str:
    return (
        "[[release.build]]\n"
        + ("" if cuda is None else f'cuda = "{cuda}"\n')
        + f"pythons = {json.dumps(pythons)}\n"
        + "platforms = {"
        + ", ".join(f'{name} = ""' for name in platforms)
        + "}\n"
        + CHECKED
    )


def framework(name: str, *releases: tuple[str, str, list[str]]) -> str:
    """Releases of a version each, with whatever else their rows have, and their builds."""
    rows = (
        f'[[release]]\nversion = "{version}"\nreleased = 2026-01-01\n{rest}{"".join(builds)}'
        for version, rest, builds in releases
    )
    return f'[project]\nname = "{name}"\ntitle = "{name}"\n' + "".join(rows)


BACKENDS = {"tensorflow": True, "jax": True, "torch": True, "numpy": False, "openvino": False}
FRAMEWORKS = {
    "tensorflow": [
        (
            "2.21",
            "",
            [build("12.5", ["3.12", "3.13"], ["linux-64"]), build(None, ["3.12", "3.13"], EVERYWHERE)],
        ),
        # None of these may be chosen for, though each would make CUDA 13 possible.
        ("2.22", 'yanked = "broken"\n', [build("13.0", ["3.14"], LINUX)]),
        ("2.23", 'known-bad = "broken"\n', [build("13.0", ["3.14"], LINUX)]),
        ("2.24rc0", "", [build("13.0", ["3.14"], LINUX), build(None, ["3.14"], EVERYWHERE)]),
    ],
    "jax": [
        (
            "0.12",
            "",
            [
                build("12.1", ["3.12", "3.13", "3.14", "3.15"], LINUX),
                build("13.0", ["3.12", "3.13", "3.14", "3.15"], LINUX),
                build(None, ["3.12", "3.13", "3.14", "3.15"], EVERYWHERE),
            ],
        )
    ],
    "torch": [
        ("2.0", "", [build("11.8", ["3.11"], LINUX)]),
        ("2.10", "", [build("12.8", ["3.11", "3.12", "3.13"], LINUX)]),
        (
            "2.15",
            "",
            [build("13.2", ["3.12", "3.13", "3.14"], LINUX), build(None, ["3.12", "3.13"], EVERYWHERE)],
        ),
    ],
    "numpy": [("2.5", "", [build(None, ["3.12", "3.13"], EVERYWHERE)])],
    "openvino": [("2026.4", "", [build(None, ["3.12", "3.13"], EVERYWHERE)])],
}
MAJORS = {"11": ("450.80.02", ">=3.5"), "12": ("525.60.13", ">=5.0"), "13": ("580.65.06", ">=7.5")}
PYTHONS = ["3.8", "3.11", "3.12", "3.13", "3.14", "3.15"]


@pytest.fixture(scope="module")
def matrix() -> CompatibilityMatrix:
    """A matrix of the test's own: what is chosen must not change when the real one is refreshed."""
    files = {
        "python.toml": "".join(
            f'[[python]]\nversion = "{minor}"\nreleased = 2020-01-01\n{CHECKED}' for minor in PYTHONS
        ),
        "platforms.toml": "".join(
            f'[{name}]\nmachine = "m"\nsys-platform = "s"\nplatform-system = "p"\nos-name = "o"\nuv = "u"\n{CHECKED}'
            for name in EVERYWHERE
        ),
        "backends.toml": "".join(
            f'[{name}]\nframework = "{name}"\ndefault = {json.dumps(name != "openvino")}\n'
            f"accelerated = {json.dumps(accelerated)}\n{CHECKED}"
            for name, accelerated in BACKENDS.items()
        ),
        "accelerators.toml": cuda_text(
            {"version": major, "driver": driver, "gpu": gpus, **SEEN} for major, (driver, gpus) in MAJORS.items()
        ),
        "keras.toml": framework("keras", ("3.15", "", [build(None, PYTHONS, EVERYWHERE)])),
        "toolkits.toml": "",
        "cudnn.toml": "",
        **{f"{name}.toml": framework(name, *releases) for name, releases in FRAMEWORKS.items()},
    }
    return CompatibilityMatrix(files)


def cuda_of(text: str) -> Accelerator:
    return Accelerator("cuda") if text == "auto" else Accelerator.numbered("cuda", text)


def machine(driver: str | None, *gpus: str, platform: str | None = "linux-64", name: str = "NVIDIA X") -> Host:
    return Host(
        platform=platform,
        devices={"cuda": devices(driver, *(Gpu(name=name, architecture=gpu, memory_bytes=1) for gpu in gpus))},
    )


def test_a_machine_without_a_gpu(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    path, text = write_settings(tmp_path, PLAIN, matrix)
    assert path == tmp_path / "kgen.toml"
    assert path.read_bytes() == text.encode()
    assert text == (
        "# The backends; each gets an environment of its own. All there are: tensorflow,\n"
        "# jax, torch, numpy, openvino.\n"
        'backends = ["tensorflow", "jax", "torch", "numpy"]\n'
        "# What is computed on. No NVIDIA GPU was found here; for one elsewhere, use\n"
        '# cuda="12" instead.\n'
        "cpu = true\n"
        "# The platforms to lock for, by conda's names. This is the machine's.\n"
        'platforms = ["linux-64"]\n'
    )


def test_a_machine_with_a_gpu(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n")
    path, text = write_settings(tmp_path, machine("580.65.06", "9.0", name="NVIDIA H200"), matrix)
    assert path == project
    assert project.read_text() == "[project]\nname = 'x'\n\n" + text
    assert text == (
        "[tool.kgen]\n"
        "# The backends; each gets an environment of its own. All there are: tensorflow,\n"
        "# jax, torch, numpy, openvino.\n"
        'backends = ["tensorflow", "jax", "torch", "numpy"]\n'
        "# What is computed on. The newest CUDA that driver 580.65.06 and NVIDIA H200\n"
        "# (9.0) can use, and that all backends have builds for: for 13, tensorflow has\n"
        "# none.\n"
        'cuda = "12"\n'
        "# The platforms to lock for, by conda's names. This is the machine's.\n"
        'platforms = ["linux-64"]\n'
    )
    assert not (tmp_path / "kgen.toml").exists()


MACHINES = {
    "new": (machine("580.126", "9.0"), ["torch", "jax"], "13"),
    "new, all": (machine("580.126", "9.0"), [], "12"),
    "at the floor": (machine("580.65.06", "7.5"), ["jax"], "13"),
    "below the floor": (machine("580.65.05", "7.5"), ["jax"], "12"),
    "a branch alone": (machine("580", "7.5"), ["jax"], "13"),
    "old driver": (machine("535.183", "9.0"), ["jax"], "12"),
    "old gpu": (machine("580.126", "6.1"), ["jax"], "12"),
    "one old gpu of two": (machine("580.126", "9.0", "6.1"), ["jax"], "12"),
    "driver not told": (machine(None, "9.0"), ["jax"], "13"),
    "too old a driver": (machine("390.48", "7.0"), ["jax"], None),
    "only another backend": (machine("450.80.02", "7.0"), ["jax"], None),
    "too old a gpu": (machine("470.57", "3.0"), ["torch"], None),
    "no gpu": (machine("580.126"), ["jax"], None),
    "nothing to accelerate": (machine("580.126", "9.0"), ["numpy", "openvino"], None),
    "no build": (machine("580.126", "9.0", platform="win-64"), [], None),
}


@pytest.mark.parametrize("which", MACHINES)
def test_the_cuda_of_a_machine(tmp_path: Path, matrix: CompatibilityMatrix, which: str) -> None:
    host, backends, cuda = MACHINES[which]
    write_settings(tmp_path, host, matrix, backends=backends)
    found = settings.read(tmp_path, matrix)
    assert found.accelerator == (CPU if cuda is None else cuda_of(cuda))
    assert found.backends == (tuple(backends) or DEFAULT)
    assert found.platforms == (host.platform,)


@pytest.mark.parametrize(
    ("host", "backends", "reason"),
    [
        (machine("390.48", "7.0"), [], "There is no CUDA that driver 390.48 and NVIDIA X (7.0) can use;"),
        (
            machine("580.126", "9.0", platform="win-64"),
            [],
            "On win-64 the matrix has no build of these backends for a CUDA that driver 580.126",
        ),
        (
            PLAIN._replace(devices={"cuda": Devices(note="NVML is there and does not start: mismatch")}),
            [],
            "No NVIDIA GPU was found here (NVML is there and does not start: mismatch);",
        ),
        (
            PLAIN._replace(platform="osx-arm64"),
            [],
            "No NVIDIA GPU was found here.",
        ),
        (machine("580.126", "9.0"), ["numpy"], "None of these backends computes on a GPU."),
    ],
)
def test_why_it_is_the_cpu(
    tmp_path: Path, matrix: CompatibilityMatrix, host: Host, backends: list[str], reason: str
) -> None:
    _, text = write_settings(tmp_path, host, matrix, backends=backends)
    assert f" What is computed on. {reason}" in text.replace("\n#", "")


@pytest.mark.parametrize("platform", [None, "linux-riscv64"])
def test_a_machine_of_no_known_kind(tmp_path: Path, matrix: CompatibilityMatrix, platform: str | None) -> None:
    _, text = write_settings(tmp_path, Host(platform=platform), matrix)
    assert settings.read(tmp_path, matrix).platforms == ("linux-64",)
    assert text.endswith(
        "# The platforms to lock for, by conda's names. kgen does not know this\n"
        "# machine's.\n"
        'platforms = ["linux-64"]\n'
    )


def test_what_is_asked_for_wins(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    host = machine("580.126", "9.0")
    (tmp_path / ".python-version").write_text("3.11")
    write_settings(
        tmp_path, host, matrix, accelerator=Accelerator("cuda"), backends=["torch", "jax", "torch"], python="3.12"
    )
    found = settings.read(tmp_path, matrix)
    assert (found.accelerator, found.python, found.backends) == (Accelerator("cuda"), "3.12", ("torch", "jax"))


def test_the_cpu_is_asked_for(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    write_settings(tmp_path, machine("580.126", "9.0"), matrix, accelerator=CPU)
    found = settings.read(tmp_path, matrix)
    assert found.accelerator == CPU


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"python": "3.12.4"}, "--python: `3.12.4` names a patch release; give the minor, `3.12`"),
        (
            {"backends": ["jaxs"]},
            "unknown backend `jaxs`; did you mean `jax`? Known are tensorflow, jax, torch, numpy, openvino",
        ),
        (
            {"backends": ['x"]\ny = ["']},
            'unknown backend `x"]\\ny = ["`; known are tensorflow, jax, torch, numpy, openvino',
        ),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, matrix: CompatibilityMatrix, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        write_settings(tmp_path, PLAIN, matrix, **arguments)  # type: ignore[arg-type]
    assert caught.value.message == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("requires", "backends", "python"),
    [
        (">=3.10", [], "3.13"),
        (">=3.10,<3.13", [], "3.12"),
        (">=3.12.3", ["jax"], "3.15"),
        ("==3.12.*", [], "3.12"),
        ("==3.12.4", [], "3.12"),
        ("<3.9", [], None),
        (">=4", [], None),
        (None, [], None),
    ],
)
def test_requires_python(
    tmp_path: Path, matrix: CompatibilityMatrix, requires: str | None, backends: list[str], python: str | None
) -> None:
    line = "" if requires is None else f'requires-python = "{requires}"\n'
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\n{line}')
    write_settings(tmp_path, PLAIN, matrix, backends=backends)
    assert settings.read(tmp_path, matrix).python == python


@pytest.mark.parametrize(
    ("here", "requires", "python"),
    [
        (set(PYTHONS), "", None),
        (set(), "", None),
        ({"3.12", "3.11"}, "", "3.12"),
        ({"3.13", "3.12"}, "", None),
        ({"3.12"}, 'requires-python = ">=3.11"', "3.12"),
        ({"3.11"}, 'requires-python = "<3.13"', "3.12"),
    ],
)
def test_a_python_that_is_installed_where_several_are_equal(
    tmp_path: Path, matrix: CompatibilityMatrix, here: set[str], requires: str, python: str | None
) -> None:
    if requires:
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\n{requires}\n')
    _, text = write_settings(tmp_path, PLAIN, matrix, backends=("numpy",), installed=lambda minor: minor in here)
    assert settings.read(tmp_path, matrix).python == python
    assert ("which is not installed here" in text.replace("\n# ", " ")) == (python is not None and python in here)


@pytest.mark.parametrize(
    ("here", "python"),
    [
        ({"3.13", "3.15"}, None),
        ({"3.12", "3.13"}, "3.13"),
        ({"3.12"}, "3.12"),
        ({"3.15"}, None),
        ({"3.11"}, None),
    ],
)
def test_each_backend_has_a_best_python_of_its_own(
    tmp_path: Path, matrix: CompatibilityMatrix, here: set[str], python: str | None
) -> None:
    """JAX alone gets 3.15 by `kgen lock`, NumPy 3.13; what is written must give both of them what they would get."""
    _, text = write_settings(tmp_path, PLAIN, matrix, backends=("jax", "numpy"), installed=lambda one: one in here)
    assert settings.read(tmp_path, matrix).python == python
    told = "which is not installed here" in text.replace("\n# ", " ")
    assert told == (python is not None)


def test_no_table_of_a_project(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "pyproject.toml").write_text("project = 3\n")
    write_settings(tmp_path, PLAIN, matrix)
    assert settings.read(tmp_path, matrix).python is None


@pytest.mark.parametrize("value", ["3", '"nonsense"'])
def test_requires_python_that_is_no_range(tmp_path: Path, matrix: CompatibilityMatrix, value: str) -> None:
    text = f"[project]\nrequires-python = {value}\n"
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"pyproject\.toml: project\.requires-python: "):
        write_settings(tmp_path, PLAIN, matrix)
    assert (tmp_path / "pyproject.toml").read_text() == text


def test_python_version_file_is_read_each_time(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nrequires-python = ">=3.10"\n')
    (tmp_path / ".python-version").write_text("3.11\n")
    write_settings(tmp_path, PLAIN, matrix)
    assert settings.read(tmp_path, matrix).python is None


def test_python_version_file_that_cannot_be_used(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / ".python-version").write_text("pypy3.10")
    with pytest.raises(SettingsError):
        write_settings(tmp_path, PLAIN, matrix)
    assert [path.name for path in tmp_path.iterdir()] == [".python-version"]
    write_settings(tmp_path, PLAIN, matrix, python="3.12")


PROJECTS = {
    "empty": b"",
    "no newline": b"[project]\nname = 'x'",
    "newline": b"[project]\nname = 'x'\n",
    "empty line": b"[project]\nname = 'x'\n\n",
    "crlf": b"[project]\r\nname = 'x'\r\n",
    "crlf, no newline": b"[project]\r\nname = 'x'",
    "crlf, empty line": b"[project]\r\nname = 'x'\r\n\r\n",
    "mixed": b"[project]\r\nname = 'x'\n# c\r\n",
    "bom": b"\xef\xbb\xbf[project]\nname = 'x'\n",
    "odd layout": b"  [ project ]  # c\n\tname='x'   # \xc3\xa9\n[tool . other]\na  =  [ 1,\n2 , ]\n",
    "tool in pieces": b"[tool.a]\nx = 1\n[project]\nname = 'x'\n[tool.b.c]\ny = 1\n[[tool.d]]\nz = 1\n",
    "tool by hand": b"[tool]\nx = 1\n",
    "dotted": b"tool.a.x = 1\n",
    "comment at the end": b"[tool.a]\n# end",
    "text like the table": b'[a]\nx = """\n[tool.kgen]\n"""\n',
}


@pytest.mark.parametrize("which", PROJECTS)
def test_a_project_keeps_every_byte(tmp_path: Path, matrix: CompatibilityMatrix, which: str) -> None:
    before = PROJECTS[which]
    project = tmp_path / "pyproject.toml"
    project.write_bytes(before)
    path, text = write_settings(tmp_path, machine("580.126", "9.0"), matrix)
    after = project.read_bytes()
    assert path == project
    assert after.startswith(before)
    added = after[len(before) :]
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    assert added.lstrip(b"\r\n") == text.encode().replace(b"\n", newline)
    gap = (before + added).removesuffix(added.lstrip(b"\r\n"))
    assert not before or gap.replace(b"\r\n", b"\n").endswith(b"\n\n")
    old, new = tomli.loads(before.decode("utf-8-sig")), tomli.loads(after.decode("utf-8-sig"))
    del new["tool"]["kgen"]
    assert {"tool": {}, **old} == new
    assert settings.read(tmp_path, matrix).backends == DEFAULT


@pytest.mark.parametrize("text", ["tool = { other = {} }\n", "tool = 3\n", "[[tool]]\nx = 1\n"])
def test_a_project_that_takes_no_table(tmp_path: Path, matrix: CompatibilityMatrix, text: str) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(text)
    path, _ = write_settings(tmp_path, PLAIN, matrix)
    assert path == tmp_path / "kgen.toml"
    assert project.read_text() == text
    assert settings.read(tmp_path, matrix).file == path


@pytest.mark.parametrize(("name", "text"), [("kgen.toml", ""), ("pyproject.toml", "[tool.kgen]\n")])
def test_settings_that_are_there_stay(tmp_path: Path, matrix: CompatibilityMatrix, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        write_settings(tmp_path, PLAIN, matrix)
    assert caught.value.message == f"there are settings already, in {file}"
    assert caught.value.hints == (f"edit {file}", "kgen lock --dry-run")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, text)]


def test_written_once(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    write_settings(tmp_path, PLAIN, matrix)
    with pytest.raises(SettingsError):
        write_settings(tmp_path, PLAIN, matrix)


def test_a_broken_project(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[project\n")
    with pytest.raises(SettingsError) as caught:
        write_settings(tmp_path, PLAIN, matrix)
    assert caught.value.message.startswith(f"{project} is not valid TOML: ")
    assert project.read_text() == "[project\n"


@pytest.mark.parametrize("name", ['x"\ncpu = true\n#', "x\r\n[tool]", "\x1b[31m\0", "é\u2028x", " ", "#"])
def test_a_gpu_with_an_odd_name_adds_no_line(tmp_path: Path, matrix: CompatibilityMatrix, name: str) -> None:
    _, text = write_settings(tmp_path, machine("580.126", "9.0", name=name), matrix)
    assert all(line.startswith("# ") for line in text.splitlines() if not line[0].isalpha())
    assert settings.read(tmp_path, matrix).accelerator == cuda_of("12")
    assert list(tomli.loads(text)) == ["backends", "cuda", "platforms"]


def test_a_folder_that_is_not_there(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    with pytest.raises(OutsideError):
        write_settings(tmp_path / "gone", PLAIN, matrix)


def test_a_linked_project_stays_a_link(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    real = tmp_path / "real.toml"
    real.write_text("[project]\nname = 'x'\n")
    link = tmp_path / "pyproject.toml"
    link.symlink_to("real.toml")
    write_settings(tmp_path, PLAIN, matrix)
    assert link.is_symlink()
    assert "[tool.kgen]" in real.read_text()


@pytest.mark.parametrize("which", MACHINES)
@pytest.mark.parametrize("into", ["kgen.toml", "pyproject.toml"])
@pytest.mark.parametrize("cuda", [None, "12", "12.6", "auto"])
def test_what_is_written_is_accepted(
    tmp_path: Path, matrix: CompatibilityMatrix, which: str, into: str, cuda: str | None
) -> None:
    host, backends, _ = MACHINES[which]
    if into == "pyproject.toml":
        (tmp_path / into).write_text("[project]\nname = 'x'\nrequires-python = '>=3.11'\n")
    path, text = write_settings(
        tmp_path, host, matrix, accelerator=None if cuda is None else cuda_of(cuda), backends=backends
    )
    found = settings.read(tmp_path, matrix)
    assert path.name == into
    assert found.file == path
    assert text in path.read_text()
    assert cuda is None or found.accelerator == cuda_of(cuda)
    assert found.backends == (tuple(backends) or DEFAULT)


def test_the_real_matrix(tmp_path: Path) -> None:
    real = load(folder("matrix"))
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\nrequires-python = '>=3.11'\n")
    path, _ = write_settings(tmp_path, machine("580.126", "9.0"), real)
    found = settings.read(tmp_path, real)
    assert found.file == path
    assert found.accelerator not in (None, CPU)
    assert found.python is not None


DRIVERS = ("390.48", "450.80.02", "470.223", "525.60.13", "535.183", "550.54.14", "570.124", "580.65.06", None)
GPUS = ("3.5", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0", "12.1")
SETS = ((), ("jax",), ("torch",), ("tensorflow",), ("jax", "torch"))
_TURNS = 6


@pytest.mark.parametrize("backends", SETS, ids=lambda names: "+".join(names) or "default")
def test_init_and_cuda_auto_choose_the_same(tmp_path: Path, backends: tuple[str, ...]) -> None:
    """For every driver and GPU; where `--cuda auto` has no answer, what init writes can be solved all the same.

    Each pair is tried with one or two of the sets, and each set with every driver and every GPU.
    """
    shipped = load(folder("matrix"))
    turn = SETS.index(backends) % _TURNS
    for driver, gpu in itertools.islice(itertools.product(DRIVERS, GPUS), turn, None, _TURNS):
        root = tmp_path / f"{driver}-{gpu}"
        root.mkdir()
        write_settings(root, machine(driver, gpu), shipped, backends=backends)
        written = settings.read(root, shipped)
        asked = written._replace(backends=backends or None, driver=machine(driver).of("cuda").driver, gpu=(gpu,))
        every = [
            settings.JointEnvironment(name=name, backends=(name,))
            for name in backends or shipped.default_backends(None)
        ]
        auto = machines.newest_accelerator(asked, every, shipped, "cuda")
        if auto is not None:
            assert written.accelerator == auto, (driver, gpu)
            continue
        kept = [one for one in every if one.name in (written.backends or ())]
        assert written.accelerator is not None, (driver, gpu)
        if written.accelerator != CPU:
            assert len(kept) < len(every), (driver, gpu)
            assert machines.newest_accelerator(asked, kept, shipped, "cuda") is not None, (driver, gpu)


@pytest.mark.parametrize(
    ("requires", "named", "expected"),
    [
        ('["keras", "torch"]', (), ("torch",)),
        ('["tensorflow-cpu", "jax[cuda12]"]', (), ("tensorflow", "jax")),
        ("[\"tensorflow-macos; sys_platform == 'darwin'\"]", (), ("tensorflow",)),
        ('["keras", "numpy"]', (), None),
        ('["torch"]', ("jax",), ("jax",)),
    ],
)
def test_the_frameworks_that_the_project_requires(
    tmp_path: Path, requires: str, named: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    """As `kgen lock` takes them where there are no settings."""
    shipped = load(folder("matrix"))
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "0"\ndependencies = {requires}\n')
    _, text = write_settings(tmp_path, PLAIN, shipped, backends=named)
    assert settings.read(tmp_path, shipped).backends == (expected or shipped.default_backends(None))
    assert ("The project requires them." in text) == (expected is not None and not named)


class TestOwnIndex:
    """PyTorch's builds for the CPU are on its own index: the settings that kgen writes say so."""

    @pytest.mark.parametrize(
        ("backends", "find_links", "expected"),
        [
            ((), (), parsers.OWN_INDEX),
            (("torch",), (), parsers.OWN_INDEX),
            (("torch",), ("torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "no-wheel.whl"), None),
            (("torch",), ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",), parsers.OWN_INDEX),
            (("torch",), ("torch-2.13.0+cpu-cp312-cp312-win_amd64.whl",), parsers.OWN_INDEX),
            (("torch",), ("torch_geometric-2.13.0-py3-none-any.whl",), parsers.OWN_INDEX),
            (("torch",), None, None),
            (("jax", "numpy"), (), None),
        ],
    )
    def test_where_a_build_for_the_cpu_is_there_only(
        self,
        tmp_path: Path,
        backends: tuple[str, ...],
        find_links: tuple[str, ...] | None,
        expected: str | None,
    ) -> None:
        matrix = load(folder("matrix"))
        path, text = write_settings(tmp_path, PLAIN, matrix, backends=backends, find_links=find_links, python="3.12")
        assert settings.read(tmp_path, matrix).torch_index == expected
        assert ("those of PyTorch for the CPU are there" in " ".join(text.split("\n# "))) == (expected is not None)
        assert path.name == "kgen.toml"

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://mirror.example/whl/cpu", "https://mirror.example/whl"),
            ("https://mirror.example/whl/cu126/", "https://mirror.example/whl"),
            ("https://mirror.example/simple", parsers.OWN_INDEX),
        ],
    )
    def test_where_uv_has_it_from(self, tmp_path: Path, url: str, expected: str) -> None:
        """The index that uv's `sources` name is a mirror where its last folder is the label of a build."""
        matrix = load(folder("matrix"))
        (tmp_path / "pyproject.toml").write_text(
            f'[project]\nname = "x"\n[[tool.uv.index]]\nname = "own"\nurl = "{url}"\nexplicit = true\n'
            '[tool.uv.sources]\ntorch = [{ index = "own" }]\n'
        )
        _, text = write_settings(tmp_path, PLAIN, matrix, backends=("torch",), python="3.12")
        assert settings.read(tmp_path, matrix).torch_index == expected
        assert ("uv's `sources` have it from" in text.replace("\n# ", " ")) == (expected != parsers.OWN_INDEX)

    def test_not_for_a_gpu(self, tmp_path: Path) -> None:
        matrix = load(folder("matrix"))
        write_settings(tmp_path, PLAIN, matrix, backends=("torch",), accelerator=cuda_of("12"))
        assert settings.read(tmp_path, matrix).torch_index is None


def test_what_is_shown_fits_a_terminal_of_80_columns(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    _, text = write_settings(tmp_path, machine("580.65.06", "9.0", name="NVIDIA H200"), matrix, nix=True)
    assert max(len(line) for line in text.splitlines() if line.startswith("#")) < 80
