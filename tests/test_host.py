from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import pynvml
import pytest
from packaging.version import Version

from kgen import accelerators, host, uvtool
from kgen.accelerators import Condition, Gpu
from kgen.errors import OutsideError, SettingsError
from kgen.host import Host
from kgen.model.driver import DriverVersion


class NVMLError(Exception):
    pass


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818 - that is its name
    pass


class NVMLLibraryMismatchError(Exception):
    pass


@dataclass
class FakeNvml:
    """A machine as NVML sees it; an exception in place of a value is raised."""

    driver: object = "580.65.06"
    gpus: list[object] = field(default_factory=list)
    start: Exception | None = None
    count: object = None
    stop: Exception | None = None
    states: dict[str, dict[str, object]] = field(default_factory=dict)
    shutdowns: int = 0

    def init(self) -> None:
        if self.start:
            raise self.start

    def shutdown(self) -> None:
        self.shutdowns += 1
        if self.stop:
            raise self.stop

    def state(self, handle: tuple[str, ...], key: str) -> object:
        return given(self.states.get(handle[0], {}).get(key, NVMLError("Not Supported")))

    def instance(self, handle: tuple[str, ...], index: int) -> object:
        instances: dict[int, object] = self.states[handle[0]].get("instances", {})  # type: ignore[assignment]
        return given(instances.get(index, NVMLError("Not Found")))

    def errors(self, handle: tuple[str, ...], kind: int, since: int) -> object:
        # 1 is what could not be corrected, 0 since the driver was loaded: NVML's header
        return self.state(handle, "uncorrected") if (kind, since) == (1, 0) else 99

    def fabric(self, handle: tuple[str, ...], answer: Any) -> None:  # noqa: ANN401 - what ctypes calls a reference
        answer._obj.state = self.state(handle, "fabric")

    def module(self) -> types.ModuleType:
        module = types.ModuleType("pynvml")
        functions: dict[str, object] = {
            "NVMLError": NVMLError,
            "NVMLLibraryMismatchError": NVMLLibraryMismatchError,
            "NVMLError_LibraryNotFound": NVMLError_LibraryNotFound,
            "nvmlInit": self.init,
            "nvmlShutdown": self.shutdown,
            "nvmlSystemGetDriverVersion": lambda: given(self.driver),
            "nvmlDeviceGetCount": lambda: len(self.gpus) if self.count is None else given(self.count),
            "nvmlDeviceGetHandleByIndex": lambda index: given(self.gpus[index]),
            "nvmlDeviceGetName": lambda handle: given(handle[0]),
            "nvmlDeviceGetCudaComputeCapability": lambda handle: given(handle[1]),
            **{name: value for name, value in vars(pynvml).items() if name.startswith("NVML_") and type(value) is int},
            "nvmlDeviceGetMigMode": lambda handle: [self.state(handle, "mig"), 0],
            "nvmlDeviceGetUUID": lambda handle: f"{'MIG' if ' MIG ' in handle[0] else 'GPU'}-{given(handle[2])}",
            "nvmlDeviceGetMaxMigDeviceCount": lambda _handle: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.instance,
            "nvmlDeviceGetComputeMode": lambda handle: self.state(handle, "mode"),
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
                types.SimpleNamespace(pid=one)
                for one in self.state(handle, "processes")  # type: ignore[attr-defined]
            ],
            "nvmlDeviceGetTotalEccErrors": self.errors,
            # rows replaced for two sorts of errors; whether one waits, and whether one could not be replaced
            "nvmlDeviceGetRemappedRows": lambda handle: self.state(handle, "rows"),
            "c_nvmlGpuFabricInfo_t": pynvml.c_nvmlGpuFabricInfo_t,
            "nvmlDeviceGetGpuFabricInfo": self.fabric,
            "nvmlDeviceGetMemoryInfo": lambda handle: types.SimpleNamespace(total=given(handle[2])),
        }
        for name, value in functions.items():
            setattr(module, name, value)
        return module


def driver_problem(text: str) -> str:
    return f"`{text}` is not a driver version such as 535.183 or 580.65.06"


def given(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value


H200 = ("NVIDIA H200", (9, 0), 150_754_820_096)
B200 = ("NVIDIA B200", (10, 0), 1)

Install = Callable[[FakeNvml], FakeNvml]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(nvml: FakeNvml) -> FakeNvml:
        monkeypatch.setitem(sys.modules, "pynvml", nvml.module())
        return nvml

    return install


def test_driver_and_gpus(install: Install) -> None:
    nvml = install(FakeNvml(gpus=[H200, B200]))
    found = host.inspect().of("cuda")
    assert found.driver == DriverVersion("580.65.06")
    assert found.gpus == (
        Gpu(name="NVIDIA H200", architecture="9.0", memory_bytes=150_754_820_096, selector="GPU-150754820096"),
        Gpu(name="NVIDIA B200", architecture="10.0", memory_bytes=1, selector="GPU-1"),
    )
    assert found.note is None
    assert nvml.shutdowns == 1


@pytest.mark.parametrize(
    ("nvml", "driver", "names", "note"),
    [
        (FakeNvml(start=NVMLError_LibraryNotFound("gone")), None, [], None),
        (
            FakeNvml(start=NVMLError("Driver/library version mismatch")),
            None,
            [],
            "NVML is there and does not start: Driver/library version mismatch",
        ),
        (FakeNvml(), "580.65.06", [], None),
        (
            FakeNvml(driver="N/A", gpus=[H200]),
            None,
            ["NVIDIA H200"],
            f"NVML does not tell the driver's version: {driver_problem('N/A')}",
        ),
        (
            FakeNvml(driver=NVMLError("Unknown Error"), count=NVMLError("Unknown Error")),
            None,
            [],
            (
                "NVML does not tell the driver's version: Unknown Error; "
                "NVML does not tell how many GPUs there are: Unknown Error"
            ),
        ),
        (
            FakeNvml(gpus=[NVMLError("GPU is lost"), H200, ("x", NVMLError("Not Supported"), 1)]),
            "580.65.06",
            ["NVIDIA H200"],
            "GPU 0 does not answer: GPU is lost; GPU 2 does not answer: Not Supported",
        ),
        (
            FakeNvml(gpus=[H200], stop=NVMLError("Uninitialized")),
            "580.65.06",
            ["NVIDIA H200"],
            "NVML does not shut down: Uninitialized",
        ),
    ],
)
def test_what_is_broken_is_a_note(
    install: Install, nvml: FakeNvml, driver: str | None, names: list[str], note: str | None
) -> None:
    install(nvml)
    found = host.inspect().of("cuda")
    assert found.driver == (None if driver is None else DriverVersion(driver))
    assert [gpu.name for gpu in found.gpus] == names
    assert found.note == note
    assert nvml.shutdowns == (0 if nvml.start else 1)


def test_a_code_says_that_module_and_libraries_are_of_two_versions(install: Install) -> None:
    """Its text may be of another language, or of another release of the bindings."""
    error = NVMLError("Driver/library version mismatch")
    error.value = 18  # type: ignore[attr-defined]
    install(FakeNvml(start=error))
    found = host.inspect().of("cuda")
    assert found.two_versions
    assert found.note == "NVML is there and does not start: Driver/library version mismatch"
    install(FakeNvml(start=NVMLError("Unknown Error")))
    assert not host.inspect().of("cuda").two_versions


INSTANCE = ("NVIDIA H200 MIG 1g.18gb", NVMLError("Not Supported"), 16_911_433_728)


def test_the_instances_of_a_divided_gpu_are_the_devices(install: Install) -> None:
    """Numbers without an instance are between those with one."""
    states: dict[str, dict[str, object]] = {H200[0]: {"mig": 1, "instances": {0: INSTANCE, 3: INSTANCE}}}
    install(FakeNvml(gpus=[H200, B200], states=states))
    part = Gpu(
        name="NVIDIA H200 MIG 1g.18gb", architecture="9.0", memory_bytes=16_911_433_728, selector="MIG-16911433728"
    )
    whole = Gpu(name="NVIDIA B200", architecture="10.0", memory_bytes=1, selector="GPU-1")
    assert host.inspect().of("cuda").gpus == (part, part, whole)
    first, second = accelerators.kind("cuda").conditions()
    assert (first.partitions, second.partitions) == ((part, part), None)
    install(FakeNvml(gpus=[H200], states={H200[0]: {"mig": 1}}))
    assert host.inspect().of("cuda").gpus == ()
    assert accelerators.kind("cuda").conditions()[0].partitions == ()


def test_the_state_that_a_gpu_is_in(install: Install) -> None:
    states: dict[str, dict[str, object]] = {
        H200[0]: {"mode": 3, "processes": [4711], "uncorrected": 2},
        B200[0]: {"mode": 0, "processes": [], "uncorrected": 0, "mig": 0},
    }
    nvml = install(FakeNvml(gpus=[H200, NVMLError("GPU is lost"), B200, ("GB10", (12, 1), 1)], states=states))
    assert accelerators.kind("cuda").conditions() == (
        Condition(
            number=0,
            name="NVIDIA H200",
            sharing="exclusive",
            processes=(4711,),
            uncorrected=2,
            selector="GPU-150754820096",
        ),
        Condition(number=2, name="NVIDIA B200", uncorrected=0, selector="GPU-1"),
        Condition(number=3, name="GB10", selector="GPU-1"),
    )
    assert nvml.shutdowns == 1
    states[B200[0]]["rows"] = [0, 1, 1, 0]
    assert accelerators.kind("cuda").conditions()[1][-3:-1] == (True, False)
    states[B200[0]]["rows"] = [0, 8, 0, 1]
    assert accelerators.kind("cuda").conditions()[1][-3:-1] == (False, True)
    # NVML's header: not supported, not started, in progress, completed
    joining = []
    for state in range(4):
        states[B200[0]]["fabric"] = state
        joining.append(accelerators.kind("cuda").conditions()[1].joining)
    assert joining == [False, True, True, False]
    states[B200[0]]["mode"] = 2
    assert accelerators.kind("cuda").conditions()[1].sharing == "prohibited"
    # what the H200 of the recordings answers: default mode, nobody on it, no errors, MIG off
    recorded: dict[str, object] = {"mode": 0, "processes": [], "uncorrected": 0, "mig": 0}
    install(FakeNvml(driver="580.159.04", gpus=[H200], states={H200[0]: recorded}))
    whole = Condition(number=0, name="NVIDIA H200", uncorrected=0, selector="GPU-150754820096")
    assert accelerators.kind("cuda").conditions() == (whole,)
    install(nvml)
    # a driver of old answers in another form, which the bindings refuse
    states[H200[0]]["processes"] = NVMLLibraryMismatchError("Unversioned function called")
    assert accelerators.kind("cuda").conditions()[0].processes == ()
    install(FakeNvml(start=NVMLError("Unknown Error")))
    assert accelerators.kind("cuda").conditions() == ()


def test_memory_that_is_not_told(install: Install) -> None:
    install(FakeNvml(gpus=[("GB10", (12, 1), NVMLError("Not Supported"))]))
    assert host.inspect().of("cuda").gpus == (Gpu(name="GB10", architecture="12.1", memory_bytes=0),)


def test_nvml_is_shut_down_whatever_happens(install: Install) -> None:
    nvml = install(FakeNvml(driver=KeyboardInterruptLike()))
    with pytest.raises(KeyboardInterruptLike):
        host.inspect()
    assert nvml.shutdowns == 1


class KeyboardInterruptLike(Exception):  # noqa: N818 - it stands for one
    pass


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = host.inspect().of("cuda")
    assert (found.driver, found.gpus) == (None, ())
    assert found.note == (
        "the Python package nvidia-ml-py cannot be imported: import of pynvml halted; None in sys.modules"
    )


@pytest.mark.parametrize(
    ("system", "machine", "subdir"),
    [
        ("Linux", "x86_64", "linux-64"),
        ("Linux", "aarch64", "linux-aarch64"),
        ("Darwin", "arm64", "osx-arm64"),
        ("Darwin", "x86_64", None),
        ("Windows", "AMD64", "win-64"),
        ("Windows", "ARM64", None),
        ("Linux", "riscv64", None),
        ("", "", None),
    ],
)
def test_platform(
    monkeypatch: pytest.MonkeyPatch, install: Install, system: str, machine: str, subdir: str | None
) -> None:
    install(FakeNvml(start=NVMLError_LibraryNotFound()))
    monkeypatch.setattr(os, "uname", lambda: types.SimpleNamespace(sysname=system, machine=machine))
    assert host.inspect().platform == subdir


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("glibc 2.36", "2.36"),
        ("glibc 2.17-317.el7", "2.17"),
        ("musl 1.2", None),
        (None, None),
        (ValueError("unrecognized configuration name"), None),
        (OSError(22, "Invalid argument"), None),
    ],
)
def test_glibc(monkeypatch: pytest.MonkeyPatch, install: Install, answer: object, version: str | None) -> None:
    install(FakeNvml(start=NVMLError_LibraryNotFound()))
    monkeypatch.setattr(os, "confstr", lambda _: given(answer))
    assert host.inspect().glibc == (None if version is None else Version(version))


def test_glibc_where_the_system_has_no_such_call(monkeypatch: pytest.MonkeyPatch, install: Install) -> None:
    install(FakeNvml(start=NVMLError_LibraryNotFound()))
    monkeypatch.delattr(os, "confstr")
    assert host.inspect().glibc is None


def test_this_machine_is_inspected_without_a_fault() -> None:
    assert isinstance(host.inspect(), Host)


def test_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGEN_TEST", "")
    assert host.variable("KGEN_TEST") == ""
    monkeypatch.delenv("KGEN_TEST")
    assert host.variable("KGEN_TEST") is None


def test_home_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert host.home() is None


def test_is_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    closed = io.StringIO()
    closed.close()
    assert host.is_terminal(Terminal())
    assert not host.is_terminal(io.StringIO())
    assert not host.is_terminal(closed)
    assert not host.is_terminal(None)


@pytest.mark.parametrize(
    ("content", "minor"),
    [
        (b"3.12", "3.12"),
        (b"3.12.4\n", "3.12"),
        (b"  3.12  \r\n3.11\r\n", "3.12"),
        (b"# a comment\n\n3.10\n", "3.10"),
        (b"\xef\xbb\xbf3.13\n", "3.13"),
        (b"cpython@3.12\n", "3.12"),
        (b"python3.11", "3.11"),
        (b"CPython-3.12.1-linux-x86_64-gnu\n", "3.12"),
        (b"3.15.0rc1\n", "3.15"),
        (b"3.12-dev\n", "3.12"),
        (b"", None),
        (b"# nothing\n", None),
    ],
)
def test_python_version_file(tmp_path: Path, content: bytes, minor: str | None) -> None:
    (tmp_path / ".python-version").write_bytes(content)
    assert host.python_version_file(tmp_path) == minor


def test_no_python_version_file(tmp_path: Path) -> None:
    assert host.python_version_file(tmp_path) is None
    assert host.python_version_file(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"pypy@3.10\n", "asks for 'pypy@3.10'; the frameworks have wheels for CPython only"),
        (b"PyPy3.10-7.3.12", "asks for 'PyPy3.10-7.3.12'; the frameworks have wheels for CPython only"),
        (b"miniconda3-latest", "asks for 'miniconda3-latest'; the frameworks have wheels for CPython only"),
        (b"system\n", "asks for 'system', which names no minor of CPython such as 3.12"),
        (b"3", "asks for '3', which names no minor of CPython such as 3.12"),
        (b"2.7.18", "asks for '2.7.18', which names no minor of CPython such as 3.12"),
        (b">=3.12", "asks for '>=3.12', which names no minor of CPython such as 3.12"),
        (b"\x1b[31m3.12", "asks for '\\x1b[31m3.12', which names no minor of CPython such as 3.12"),
        (b"x" * 5000, f"asks for '{'x' * 60}…', which names no minor of CPython such as 3.12"),
    ],
)
def test_python_version_file_that_asks_for_something_else(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / ".python-version"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        host.python_version_file(tmp_path)
    assert caught.value.message == f"{file} {says}"
    assert caught.value.hints == ("give the version with `--python 3.12`", "echo 3.12 > .python-version")


@pytest.mark.parametrize(
    "asked", ["3.14t", "3.14.0rc1t", "cpython@3.14.2t", "cpython-3.14.0+freethreaded-linux-x86_64-gnu", "3.14t-dev"]
)
def test_python_version_file_that_asks_for_one_without_the_global_lock(tmp_path: Path, asked: str) -> None:
    file = tmp_path / ".python-version"
    file.write_text(asked, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        host.python_version_file(tmp_path)
    assert caught.value.message == (
        f"{file} asks for '{asked}', the free-threaded build of Python 3.14, for which the matrix has no wheels"
    )
    assert caught.value.hints == ("give the version with `--python 3.14`", "echo 3.14 > .python-version")


WITHOUT_LOCK = """#!/bin/sh
for last; do :; done
exec "{python}" -I -B -c "import platform, sysconfig
ask = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else ask(name)
platform.python_version = lambda: '3.14.0'
$last"
"""
"""This interpreter, telling who asks that it is 3.14 and free-threaded."""


def test_a_free_threaded_interpreter_is_not_taken_for_the_ordinary_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For 3.14 and newer uv takes one without the global lock where there is no other, unless it is told not to."""
    program = tmp_path / "bin" / "python3.14"
    program.parent.mkdir()
    program.write_text(WITHOUT_LOCK.format(python=host.own_interpreter(TestOwnInterpreter.OWN)), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "managed"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    taken = subprocess.run(
        [uvtool.find(), "python", "find", "--system", "--no-project", "cpython@3.14"], capture_output=True, check=False
    )
    assert taken.returncode == 0, "else this proves nothing"
    assert uvtool.find_interpreter(uvtool.find(), "3.14") is None
    assert uvtool.has_interpreter("3.14") is False
    (tmp_path / "pyenv/versions/3.14.0t/bin").mkdir(parents=True)
    (tmp_path / "pyenv/versions/3.14.0t/bin/python3.14").touch()
    assert host.pyenv_interpreters("3.14") == []


def test_python_version_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / ".python-version"
    file.write_bytes(b"\xff\xfe3\x00")
    with pytest.raises(SettingsError) as caught:
        host.python_version_file(tmp_path)
    assert caught.value.message == f"{file} is not UTF-8 text"


def test_python_version_file_that_is_a_folder(tmp_path: Path) -> None:
    file = tmp_path / ".python-version"
    file.mkdir()
    with pytest.raises(OutsideError) as caught:
        host.python_version_file(tmp_path)
    assert caught.value.message == f"{file} cannot be read: Is a directory"


class TestOwnInterpreter:
    OWN = f"{sys.version_info.major}.{sys.version_info.minor}"

    def test_it_is_of_the_minor_and_outside_of_this_environment(self) -> None:
        found = host.own_interpreter(self.OWN)
        assert found is not None
        assert not found.is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix
        said = subprocess.run(
            [found, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == sys.base_prefix
        assert host.own_interpreter("3.99") is None

    def test_where_python_takes_the_one_of_its_environment_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """3.10 does, and an environment that is made with that one breaks when kgen's own goes."""
        usual = host.own_interpreter(self.OWN)
        monkeypatch.setattr(sys, "_base_executable", sys.executable)
        found = host.own_interpreter(self.OWN)
        assert usual is not None
        assert found is not None
        assert not found.is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix
        assert found.resolve() == usual.resolve()

    def test_an_environment_whose_interpreter_is_gone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(sys, "_base_executable", sys.executable)
        monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
        assert host.own_interpreter(self.OWN) is None

    @pytest.mark.parametrize(
        ("name", "taken"), [("UV_PYTHON", False), ("UV_PYTHON_PREFERENCE", False), ("UV_PYTHON_DOWNLOADS", True)]
    )
    def test_who_tells_uv_which_one_has_the_say(
        self, monkeypatch: pytest.MonkeyPatch, name: str, *, taken: bool
    ) -> None:
        monkeypatch.setenv(name, "x")
        assert (host.own_interpreter(self.OWN) is not None) == taken

    def test_one_of_condas_goes_with_its_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "conda-meta").mkdir()
        monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
        assert host.own_interpreter(self.OWN) is None


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    usual = Path(platformdirs.user_cache_dir("kgen")) / "wheels"
    monkeypatch.delenv("KGEN_CACHE_DIR", raising=False)
    assert host.cache("wheels") == usual
    monkeypatch.setenv("KGEN_CACHE_DIR", "")
    assert host.cache("wheels") == usual
    monkeypatch.setenv("KGEN_CACHE_DIR", "/else")
    assert host.cache("wheels") == Path("/else/wheels")
    monkeypatch.setenv("KGEN_CACHE_DIR", "~/x")
    assert host.cache("wheels") == Path.home() / "x" / "wheels"


_NVML = r"""
typedef struct { unsigned char cluster[16]; unsigned status, clique; unsigned char state; } Fabric;
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int error) { return "no"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)1; return 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned length) { __builtin_strcpy(name, "NVIDIA H200"); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) { *major = 9; *minor = 0; return 0; }
int nvmlDeviceGetGpuFabricInfo(void *device, Fabric *fabric) { fabric->state = 2; return 0; }
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler here")
def test_the_bindings_ask_a_library_of_c(tmp_path: Path) -> None:
    """What is handed over is what NVML's header has: by value instead of by reference would end the process."""
    (tmp_path / "nvml.c").write_text(_NVML)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", str(tmp_path / "nvml.c"), "-o", str(library)], check=True)
    asked = "from kgen import accelerators; print(accelerators.kind('cuda').conditions())"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "name='NVIDIA H200'" in done.stdout
    assert "joining=True" in done.stdout
