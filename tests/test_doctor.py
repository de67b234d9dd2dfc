"""What the doctor finds, from written-down facts; and the command on this very machine."""

from __future__ import annotations

import dataclasses
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from packaging.version import Version
from tests.command import LOCK, UV, Kgen
from tests.matrices import devices
from tests.test_validate import driver

from kgen import accelerators, findings, surroundings
from kgen.accelerators import Gpu
from kgen.findings import ExaminedEnvironment, Finding, SystemLibrary
from kgen.formats.wheels import FORMAT
from kgen.host import Host
from kgen.loader import search
from kgen.loader.environment import Carried
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.lockfile import LockedFile, Lockfile
from kgen.surroundings import DriverLibrary, KerasSettings, Surroundings

__all__ = ["driver"]

H100 = Gpu(name="NVIDIA H100", architecture="9.0", memory_bytes=80_000_000_000)
V100 = Gpu(name="Tesla V100", architecture="7.0", memory_bytes=16_000_000_000)
MACHINE = Host(platform="linux-64", glibc=Version("2.36"), devices={"cuda": devices("580.65.06", H100)})


def having(driver: str | None = "580.65.06", *gpus: Gpu, note: str | None = None) -> Host:
    return MACHINE._replace(devices={"cuda": devices(driver, *gpus, note=note)})


AROUND = Surroundings(
    variables={},
    libraries=(),
    keras=None,
    container=None,
    gpu_vendors=frozenset({"10de"}),
    distribution=("debian",),
    set_in={},
)
LIBRARIES = {
    "libcudnn": SystemLibrary("cuDNN", ("nvidia-cudnn-cu11", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")),
    "libcudart": SystemLibrary("CUDA", ("nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime")),
}


def file(name: str, version: str) -> LockedFile:
    return LockedFile(
        name=name, version=version, filename=f"{name}-{version}-py3-none-any.whl", url=None, sha256="0" * 64, size=10**9
    )


JAX = Lockfile(
    path=Path("locks/jax-cuda12/pylock.linux-64.toml"),
    form=FORMAT,
    digest="0" * 64,
    environment="jax-cuda12",
    backends=("jax",),
    accelerator="cuda12",
    python="3.12",
    platform="linux-64",
    runtime="12.8",
    cudnn="9.10.2.21",
    driver="525.60.13",
    packages={"keras": "3.15.1", "jax": "0.12.0.1"},
    libraries={},
    variables={"KERAS_BACKEND": "jax"},
    files=(
        file("jax", "0.12.0.1"),
        file("keras", "3.15.1"),
        file("nvidia-cudnn-cu12", "9.10.2.21"),
        file("nvidia-cuda-runtime-cu12", "12.8.90"),
    ),
)
CPU = JAX._replace(environment="jax-cpu", accelerator="cpu", runtime=None, cudnn=None, driver=None)
EXAMINED = ExaminedEnvironment(
    lock=JAX, prefix=Path("/p/.kgen/envs/jax-cuda12"), whole=True, interpreter=None, free=10**12
)


def found(
    matrix: CompatibilityMatrix, *, machine: Host = MACHINE, one: ExaminedEnvironment = EXAMINED, **around: object
) -> list[Finding]:
    surrounded = AROUND._replace(**around)  # type: ignore[arg-type]
    return list(findings.examine(machine, surrounded, [one], matrix, LIBRARIES))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_machine_on_which_all_is_well(matrix: CompatibilityMatrix) -> None:
    assert found(matrix) == []


def test_what_is_no_longer_supported_is_said_with_the_day(matrix: CompatibilityMatrix) -> None:
    old = JAX._replace(environment="keras2-theano-cpu", backends=("keras2-theano-pymc",), accelerator="cpu")
    other = JAX._replace(environment="keras2-tensorflow-cpu", backends=("keras2-tensorflow",), accelerator="cpu")
    examined = [EXAMINED._replace(lock=old), EXAMINED._replace(lock=other), EXAMINED]
    notes = [
        one for one in findings.examine(MACHINE, AROUND, examined, matrix, LIBRARIES) if "last supported" in one.what
    ]
    assert [(one.what, one.environments) for one in notes] == [
        ("multi-backend Keras 2 was last supported on 2020-04-30", ("keras2-theano-cpu", "keras2-tensorflow-cpu")),
        ("Theano-PyMC was last supported on 2021-01-22", ("keras2-theano-cpu",)),
    ]
    assert "Aesara" in notes[1].why


class TestDriver:
    def test_too_old(self, matrix: CompatibilityMatrix) -> None:
        finding = only(found(matrix, machine=having("470.223.02", H100)))
        assert finding.kind == "fault"
        assert finding.what == "the driver 470.223.02 is older than 525.60.13, which CUDA 12.8 needs"
        assert finding.fix == (
            "kgen lock jax --cuda auto --driver 470.223.02   # or: sudo apt-get install nvidia-driver"
        )

    def test_none_for_a_gpu_that_is_there(self, matrix: CompatibilityMatrix) -> None:
        finding = only(found(matrix, machine=having(None)))
        assert finding.what == "there is an NVIDIA GPU, and no driver for it"
        assert finding.fix == "sudo apt-get install nvidia-driver"

    def test_no_gpu_at_all(self, matrix: CompatibilityMatrix) -> None:
        finding = only(found(matrix, machine=having(None), gpu_vendors=frozenset()))
        assert finding.what == "this machine has no NVIDIA GPU"
        assert finding.kind == "note"

    @pytest.mark.parametrize(
        ("container", "fix"),
        [
            ("docker", "docker run --gpus all …"),
            ("podman", "podman run --device nvidia.com/gpu=all …"),
            ("apptainer", "apptainer exec --nv …"),
        ],
    )
    def test_a_container_without_the_gpu(self, matrix: CompatibilityMatrix, container: str, fix: str) -> None:
        finding = only(found(matrix, machine=having(None), container=container))
        assert finding.what == "the container was started without a GPU: NVIDIA's driver is not in it"
        assert finding.fix == fix

    def test_that_does_not_answer(self, matrix: CompatibilityMatrix) -> None:
        note = "NVML is there and does not start: Driver/library version mismatch"
        finding = only(found(matrix, machine=having(None, note=note)))
        assert finding.what == f"NVIDIA's driver does not answer: {note}"
        assert finding.fix == "nvidia-smi"

    def test_without_a_gpu_behind_it(self, matrix: CompatibilityMatrix) -> None:
        assert only(found(matrix, machine=having())).what == "the driver shows no GPU"

    def test_an_environment_for_the_cpu_needs_none(self, matrix: CompatibilityMatrix) -> None:
        one = EXAMINED._replace(lock=CPU)
        assert found(matrix, machine=Host(), one=one, gpu_vendors=frozenset()) == []


class TestGpu:
    def test_one_that_the_build_has_no_code_for(self, matrix: CompatibilityMatrix) -> None:
        old = Gpu(name="Tesla K80", architecture="3.7", memory_bytes=0)
        several = found(matrix, machine=having("580.65.06", old))
        assert [one.what for one in several] == [
            "jax 0.12.0.1 has no code for the Tesla K80 (compute capability 3.7)",
            "cuDNN 9.10.2.21 does not serve the Tesla K80 (compute capability 3.7)",
        ]
        assert several[0].fix == "kgen lock jax --cuda auto --gpu 3.7"

    def test_cudnn_has_dropped_it(self, matrix: CompatibilityMatrix) -> None:
        lock = JAX._replace(cudnn="9.13.1.26")
        findings = found(matrix, machine=having("580.65.06", V100), one=EXAMINED._replace(lock=lock))
        assert "cuDNN 9.13.1.26 does not serve the Tesla V100 (compute capability 7.0)" in [
            one.what for one in findings
        ]

    def test_two_of_a_kind_are_named_once(self, matrix: CompatibilityMatrix) -> None:
        lock = JAX._replace(cudnn="9.13.1.26")
        findings = found(matrix, machine=having("580.65.06", V100, V100), one=EXAMINED._replace(lock=lock))
        assert len(findings) == len({one.what for one in findings})

    @pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
    def test_hidden(self, matrix: CompatibilityMatrix, value: str) -> None:
        finding = only(found(matrix, variables={"CUDA_VISIBLE_DEVICES": value}))
        assert finding.what == f"CUDA_VISIBLE_DEVICES={value} hides every GPU"

    def test_one_of_several_is_not_hidden(self, matrix: CompatibilityMatrix) -> None:
        assert found(matrix, variables={"CUDA_VISIBLE_DEVICES": "0"}) == []


class TestKeras:
    PATH = Path("/home/u/.keras/keras.json")

    def settings(self, matrix: CompatibilityMatrix, values: Mapping[str, object] | None) -> list[Finding]:
        return found(matrix, keras=KerasSettings(self.PATH, values))

    def test_the_usual_ones(self, matrix: CompatibilityMatrix) -> None:
        usual = {"backend": "jax", "floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}
        assert self.settings(matrix, usual) == []

    @pytest.mark.parametrize(("key", "value"), [("floatx", "float16"), ("image_data_format", "channels_first")])
    def test_what_changes_numbers(self, matrix: CompatibilityMatrix, key: str, value: str) -> None:
        finding = only(self.settings(matrix, {key: value}))
        assert finding.kind == "fault"
        assert f"{key} = {value!r}" in finding.what
        assert finding.where == str(self.PATH)

    def test_another_backend_is_worth_knowing(self, matrix: CompatibilityMatrix) -> None:
        finding = only(self.settings(matrix, {"backend": "theano"}))
        assert finding.kind == "note"
        assert finding.what == "Keras's settings choose the backend 'theano'"

    def test_no_json(self, matrix: CompatibilityMatrix) -> None:
        finding = only(self.settings(matrix, None))
        assert finding.what == "Keras's settings are not JSON"
        assert finding.fix == f"python3 -m json.tool {self.PATH}"

    def test_a_backend_set_for_everything(self, matrix: CompatibilityMatrix) -> None:
        finding = only(
            found(
                matrix,
                variables={"KERAS_BACKEND": "torch"},
                set_in={"KERAS_BACKEND": ("/home/u/.profile:3", "/etc/environment:1")},
            )
        )
        assert finding.kind == "fault"
        assert finding.what == "KERAS_BACKEND=torch is set for everything that is started here"
        assert finding.fix == "unset KERAS_BACKEND   # and for good: /home/u/.profile:3, /etc/environment:1"

    def test_the_one_of_an_active_environment_is_its_hooks(self, matrix: CompatibilityMatrix) -> None:
        active = {"KERAS_BACKEND": "torch", "KGEN_ENVIRONMENT": "torch-cpu"}
        assert found(matrix, variables=active) == []
        aside = {**active, "_KGEN_SAVED_1_KERAS_BACKEND": "theano"}
        assert only(found(matrix, variables=aside)).what.startswith("KERAS_BACKEND=theano is set")

    @pytest.mark.parametrize("name", ["KERAS_BACKEDN", "KERAS_BACKENDS", "KERAS_BACKED", "KERA_BACKEND"])
    def test_misspelt(self, matrix: CompatibilityMatrix, name: str) -> None:
        finding = only(found(matrix, variables={name: "jax"}, set_in={name: ("/home/u/.bashrc:12",)}))
        assert finding.kind == "fault"
        assert finding.what == f"{name} is set; Keras reads KERAS_BACKEND"
        assert finding.fix == f"sed -i 's/{name}/KERAS_BACKEND/' /home/u/.bashrc"

    @pytest.mark.parametrize("name", ["KERAS_HOME", "KERAS_TORCH_DEVICE", "KERAS_BACKEND"])
    def test_other_names_are_not(self, matrix: CompatibilityMatrix, name: str) -> None:
        assert found(matrix, variables={name: "jax"}) == []


class TestPython:
    def test_a_path_that_shadows(self, matrix: CompatibilityMatrix, tmp_path: Path) -> None:
        (tmp_path / "keras").mkdir()
        (tmp_path / "keras/__init__.py").touch()
        finding = only(found(matrix, variables={"PYTHONPATH": f"/nowhere:{tmp_path}"}))
        assert (finding.what, finding.where) == ("PYTHONPATH has another keras", str(tmp_path))

    def test_a_path_that_does_not(self, matrix: CompatibilityMatrix, tmp_path: Path) -> None:
        assert found(matrix, variables={"PYTHONPATH": str(tmp_path)}) == []

    def test_home(self, matrix: CompatibilityMatrix) -> None:
        assert only(found(matrix, variables={"PYTHONHOME": "/opt/python"})).what == "PYTHONHOME=/opt/python is set"

    def test_no_interpreter(self, matrix: CompatibilityMatrix) -> None:
        missing = EXAMINED._replace(interpreter=False)
        assert found(matrix, one=missing) == []
        finding = only(found(matrix, one=missing._replace(whole=False)))
        assert (finding.what, finding.fix) == ("there is no CPython 3.12 on this machine", f"{UV} python install 3.12")


class TestDisk:
    @pytest.mark.parametrize(("free", "fault"), [(7_900_000_000, True), (15_900_000_000, False)])
    def test_too_little(self, matrix: CompatibilityMatrix, free: int, *, fault: bool) -> None:
        finding = only(found(matrix, one=EXAMINED._replace(free=free, whole=False)))
        assert (finding.kind == "fault") is fault
        assert finding.what == f"{free / 1e9:.1f} GB are free, and the environment takes 8.0 to 16.0 GB"

    def test_what_is_there_has_its_place(self, matrix: CompatibilityMatrix) -> None:
        assert found(matrix, one=EXAMINED._replace(free=0)) == []


def test_what_concerns_several_is_said_once(matrix: CompatibilityMatrix) -> None:
    other = EXAMINED._replace(lock=JAX._replace(environment="other-cuda12"))
    machine = having(None)
    several = findings.examine(machine, AROUND, [EXAMINED, other], matrix, LIBRARIES)
    assert [one.environments for one in several] == [("jax-cuda12", "other-cuda12")]


class TestSurroundings:
    KNOWN: ClassVar = {
        "cudnn": Carried(("nvidia-cudnn-cu12",)),
        "nccl": Carried(("nvidia-nccl-cu12",), "NCCL version ([0-9.]+)\\+"),
    }

    def test_a_version_is_what_was_installed_and_never_a_files_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "site-packages/nvidia/cudnn/lib"
        folder.mkdir(parents=True)
        (folder / "libcudnn.so.9.8.0").touch()
        (folder / "libcudnn.so.9").symlink_to("libcudnn.so.9.8.0")
        (tmp_path / "libnccl.so.2").write_bytes(b"\0\0NCCL version 2.28.3+cuda12.9\0")
        monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{folder}")
        monkeypatch.setenv("LD_PRELOAD", f"{tmp_path}/libnccl.so.2")

        def seen() -> list[tuple[str, str | None, str]]:
            found = surroundings.gather((), self.KNOWN).libraries
            return [(one.stem, one.version, one.via) for one in found if one.via != "ldconfig"]

        assert seen() == [
            ("libnccl", "2.28.3", "LD_PRELOAD"),
            ("libcudnn", None, "LD_LIBRARY_PATH"),
            ("libcudnn", None, "LD_LIBRARY_PATH"),
        ]
        info = tmp_path / "site-packages/nvidia_cudnn_cu12-9.1.0.70.dist-info"
        info.mkdir()
        (info / "RECORD").write_text("nvidia/cudnn/lib/libcudnn.so.9,sha256=x,1\n")
        assert seen()[1] == ("libcudnn", "9.1.0.70", "LD_LIBRARY_PATH")

    @pytest.mark.parametrize(("answer", "answers"), [("0", True), ("34", False)])
    def test_a_drivers_library_is_asked_wherever_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, *, answers: bool
    ) -> None:
        text = f"int cuDriverGetVersion(int *v) {{ *v = {answer} ? 0 : 13000; return {answer}; }}"
        words = [
            "gcc",
            "-shared",
            "-fPIC",
            "-x",
            "c",
            "-",
            "-Wl,-soname,libcuda.so.1",
            "-o",
            str(tmp_path / "libcuda.so.1"),
        ]
        subprocess.run(words, input=text.encode(), check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        monkeypatch.delenv("LD_PRELOAD", raising=False)
        found = surroundings.gather((), {}, [accelerators.kind("cuda")]).driver_library
        path = str(tmp_path / "libcuda.so.1")
        assert found == DriverLibrary("libcuda", path, "LD_LIBRARY_PATH", answers)
        # the mend is about the variable that brings it
        monkeypatch.setenv("LD_LIBRARY_PATH", "")
        monkeypatch.setenv("LD_PRELOAD", path)
        found = surroundings.gather((), {}, [accelerators.kind("cuda")]).driver_library
        assert found == DriverLibrary("libcuda", path, "LD_PRELOAD", answers)
        monkeypatch.delenv("LD_PRELOAD")
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        (tmp_path / "libcuda.so.1").write_bytes(b"")
        found = surroundings.gather((), {}, [accelerators.kind("cuda")]).driver_library
        assert found == DriverLibrary("libcuda", path, "LD_LIBRARY_PATH", answers=False, fault="file too short")

    def test_kerass_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        assert surroundings.gather(()).keras is None
        (tmp_path / "keras.json").write_text('{"backend": "jax"}')
        assert surroundings.gather(()).keras == KerasSettings(tmp_path / "keras.json", {"backend": "jax"})
        (tmp_path / "keras.json").write_text("{")
        assert surroundings.gather(()).keras == KerasSettings(tmp_path / "keras.json", None)

    def test_where_a_variable_is_set(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".bashrc").write_text("# KERAS_BACKEND=no\n\nexport KERAS_BACKEDN=jax\n")
        (tmp_path / ".config/fish").mkdir(parents=True)
        (tmp_path / ".config/fish/config.fish").write_text("set -gx KERAS_BACKEND torch\n")
        places = surroundings.gather(findings.variables_told()).set_in
        assert places["KERAS_BACKEDN"] == (f"{tmp_path.resolve()}/.bashrc:3",)
        assert places["KERAS_BACKEND"] == (f"{tmp_path.resolve()}/.config/fish/config.fish:1",)

    def test_free_space_where_the_folder_is_not_there_yet(self, tmp_path: Path) -> None:
        free = surroundings.free_bytes(tmp_path / "a/b/c")
        assert free is not None
        assert abs(free - shutil.disk_usage(tmp_path).free) < 1_000_000_000


class TestCommand:
    """On this machine; what it has or lacks of a GPU is not for the test to say."""

    def test_text_and_data(self, kgen: Kgen, tmp_path: Path) -> None:
        assert kgen(*LOCK, "numpy").status == 0
        home = tmp_path / "home"
        (home / ".keras").mkdir(parents=True)
        (home / ".keras/keras.json").write_text('{"floatx": "float64", "backend": "jax"}')
        (home / ".bashrc").write_text("export KERAS_BACKEDN=jax\n")
        kgen = dataclasses.replace(kgen, environment={**kgen.environment, "HOME": str(home), "KERAS_BACKEND": "torch"})
        done = kgen("doctor", "numpy")
        assert done.status == 1
        assert done.stdout.endswith("numpy-cpu: 3 faults\n")
        assert "fault: Keras's settings have floatx = 'float64'; without them it is 'float32'\n" in done.stdout
        assert "  where: [TEMP]/home/.keras/keras.json\n" in done.stdout
        assert "fault: KERAS_BACKEDN is set; Keras reads KERAS_BACKEND\n" in done.stdout
        assert "  fix:   sed -i 's/KERAS_BACKEDN/KERAS_BACKEND/' [TEMP]/home/.bashrc\n" in done.stdout
        assert "note: Keras's settings choose the backend 'jax'\n" in done.stdout
        data = json.loads(kgen("doctor", "numpy", "--json").stdout)
        assert [one["kind"] for one in data["findings"]] == ["fault", "fault", "fault", "note"]
        assert data["machine"]["platform"].startswith("linux-")

    def test_all_is_well(self, kgen: Kgen, tmp_path: Path) -> None:
        assert kgen(*LOCK, "numpy").status == 0
        done = kgen("doctor", HOME=str(tmp_path))
        assert done.status == 0
        assert done.stdout.endswith("\n\nnumpy-cpu: no faults\n")

    def test_a_driver_that_is_there(self, kgen: Kgen, tmp_path: Path, driver: Path) -> None:
        """A made-up NVML on the loader's path: driver 535.183.01 and a GPU; beside it a libcuda of its own."""
        kgen = dataclasses.replace(
            kgen, environment={**kgen.environment, "HOME": str(tmp_path), "LD_LIBRARY_PATH": str(driver)}
        )
        for major in ("12", "13"):
            assert kgen(*LOCK, "jax", "--cuda", major).status == 0
        done = kgen("doctor", "jax-cuda13", "jax-cuda12")
        assert done.status == 1
        assert done.stdout.startswith("this machine: linux-64, NVIDIA Made-up 9000 (9.0), driver 535.183.01\n")
        (fault,) = re.findall(r"^fault: (the driver.*)\n  in:    (.*)$", done.stdout, re.MULTILINE)
        assert fault[0].startswith("the driver 535.183.01 is older than 580.")
        assert fault[1] == "jax-cuda13"
        assert "fix:   kgen lock jax --cuda auto --driver 535.183.01" in done.stdout

    def test_nothing_locked(self, kgen: Kgen) -> None:
        done = kgen("doctor")
        assert done.stderr == "error: nothing in [TEMP]/project is locked for this machine\n\nhint: kgen lock\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "processor : 0\nvendor_id : GenuineIntel\nflags\t\t: fpu avx  avx2 hypervisor\nbugs\t: x\n",
            {"fpu", "avx", "avx2", "hypervisor"},
        ),
        ("processor : 0\nFeatures\t: fp asimd atomics\n", None),
        ("", None),
    ],
    ids=["x86-64", "AArch64", "no telling"],
)
def test_what_linux_says_of_the_processor(text: str, found: set[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_described", lambda: text)
    assert search.additions() == found


@pytest.mark.parametrize("limit", [None, 64 << 30])
def test_how_many_addresses_a_process_may_have(limit: int | None) -> None:
    asked = "from kgen import surroundings; print(surroundings.gather(()).addresses)"
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limits = (hard if limit is None else limit, hard)
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limits),
    )
    assert done.stdout.strip() == str(limit if limit is not None or hard == resource.RLIM_INFINITY else hard)
