"""Accelerators: a kind is a row and a module. CUDA and ROCm are two of them, and a made-up one is a third."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.version import Version
from tests.command import LOCK, Kgen
from tests.recorded import MATRIX

from kgen import accelerators, findings, lockfiles, resources
from kgen.accelerators import Devices, Fit, Gpu
from kgen.accelerators.rocm import Rocm, architecture_of
from kgen.actions import machines
from kgen.errors import UsageError
from kgen.explain import report
from kgen.host import Host
from kgen.matrix.candidates import BuildTarget, releases_with_builds
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.origin import FOLDER_VARIABLE
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.architecture import Architectures, DeviceCode
from kgen.model.driver import DriverVersion
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve
from kgen.surroundings import Surroundings

ROCM7 = Accelerator("rocm", (7,))
ROCM = accelerators.kind("rocm")


def ask(*backends: str, accelerator: Accelerator = ROCM7, gpus: tuple[str, ...] = ()) -> EnvironmentRequest:
    return EnvironmentRequest(
        name=backends[0],
        backends=backends,
        accelerator=accelerator,
        python="3.12",
        platform="linux-64",
        gpus=gpus,
    )


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cpu", "cuda12", "rocm7", "tpu", "metal", "xpu"])
def test_an_accelerator_comes_back_from_its_name(name: str) -> None:
    assert accelerators.named(name).name == name


@pytest.mark.parametrize("name", ["", "cuda012", "cuda1234", "gpu", "vulkan1", "cuda12 ", "cuda-12", "CUDA12"])
def test_what_is_the_name_of_none(name: str) -> None:
    with pytest.raises(ValueError, match="is not an accelerator"):
        accelerators.named(name)


def test_every_kind_has_a_row_but_for_the_cpu(shipped_matrix: CompatibilityMatrix) -> None:
    assert set(shipped_matrix.accelerators) == set(accelerators.names()) - {CPU.kind}
    assert [kind.name for kind in accelerators.known()][-1] == CPU.kind
    for kind in accelerators.probed():
        row = shipped_matrix.accelerators[kind.name]
        example = Accelerator.numbered(kind.name, kind.example) if kind.versioned else Accelerator(kind.name)
        assert shipped_matrix.major_of(example) is not None
        assert kind.parse_architecture(kind.architecture_example) == kind.architecture_example
        if kind.driver_example:
            assert kind.parse_driver(kind.driver_example) == kind.driver_example
        else:
            with pytest.raises(ValueError, match="is not a version of a driver"):
                kind.parse_driver("580")
        assert set(map(kind.parse_architecture, row.architectures.values())) == set(row.architectures.values())


def test_no_architecture_and_no_driver_is_of_two_kinds() -> None:
    """A flag does not say of which kind its value is."""
    for one, other in itertools.permutations(accelerators.probed(), 2):
        with pytest.raises(ValueError, match=r"`.*` is not an? "):
            other.parse_architecture(one.architecture_example)
        with pytest.raises(ValueError, match=r"`.*` is not an? "):
            other.parse_driver(one.driver_example or "none")


@pytest.mark.parametrize(
    ("kind", "code", "architecture", "fit"),
    [
        ("cuda", DeviceCode(("8.0",), ("9.0",)), "8.6", Fit.NATIVE),
        ("cuda", DeviceCode(("8.6",), ()), "8.0", Fit.NONE),
        ("cuda", DeviceCode(("8.0",), ("9.0",)), "10.0", Fit.COMPILED),
        ("cuda", DeviceCode(("8.0",), ("9.0",)), "7.5", Fit.NONE),
        ("rocm", DeviceCode(("gfx90a", "gfx942")), "gfx942", Fit.NATIVE),
        ("rocm", DeviceCode(("gfx90a", "gfx942")), "gfx950", Fit.NONE),
        ("rocm", DeviceCode(("gfx9-4-generic",)), "gfx942", Fit.NATIVE),
        ("rocm", DeviceCode(("gfx9-4-generic",)), "gfx90a", Fit.NONE),
        ("rocm", DeviceCode(("gfx11-generic",)), "gfx1151", Fit.NATIVE),
        ("cpu", DeviceCode(("8.0", "gfx942")), "8.0", Fit.NONE),
    ],
)
def test_how_code_runs(kind: str, code: DeviceCode, architecture: str, fit: Fit) -> None:
    assert accelerators.kind(kind).fit(code, architecture) is fit


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=7.5,<13.0", ["7.5", "12.1"], ["7.0", "13.0", "gfx942", ""]),
        ("gfx90a, gfx942", ["gfx90a", "gfx942"], ["gfx90", "gfx9", "9.0", "gfx942 "]),
    ],
)
def test_a_set_of_architectures(text: str, inside: list[str], outside: list[str]) -> None:
    found = Architectures.parse(text)
    assert all(one in found for one in inside)
    assert not any(one in found for one in outside)
    assert Architectures.parse(str(found)) == found


@pytest.mark.parametrize("text", ["", "new", "gfx942,", "gfx942 gfx90a", ">=x", "7.5 and up"])
def test_what_is_no_set_of_architectures(text: str) -> None:
    if text:
        with pytest.raises(ValueError, match="is neither a range"):
            Architectures.parse(text)
    else:
        assert "8.0" in Architectures.parse(text)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"cuda": "12", "cpu": True}, "`--cuda` and `--cpu` contradict each other"),
        ({"cuda": "12", "rocm": "7"}, "`--cuda` and `--rocm` contradict each other"),
        ({"cuda": "99"}, "--cuda: unknown CUDA `99`; known are 11, 12, 13"),
        ({"rocm": "5"}, "--rocm: unknown ROCm `5`; known are 6, 7"),
        (
            {"rocm": "gfx942"},
            "--rocm: `gfx942` is not a version of ROCm; give a major or major.minor such as 7 or 7.6, or auto",
        ),
    ],
)
def test_flags_that_make_no_sense(matrix: CompatibilityMatrix, flags: dict[str, str | bool], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        machines.accelerator_of(flags, matrix)
    assert caught.value.message == message


# -- ROCm --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gpu", ["gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1201"])
def test_jax_for_an_amd_gpu(matrix: CompatibilityMatrix, gpu: str) -> None:
    found = solve(matrix, ask("jax", gpus=(gpu,)))
    assert isinstance(found, Resolution)
    assert found.request.environment == "jax-rocm7"
    assert {name: str(version) for name, version in found.packages.items()} == {
        "keras": "3.15.1",
        "jax": "0.12.0",
        "jaxlib": "0.12.0",
        "jax-rocm7-plugin": "0.12.0",
        "jax-rocm7-pjrt": "0.12.0",
    }
    assert (found.runtime, found.cudnn, found.driver) == (ROCM7, None, None)
    assert found.warnings == ()
    assert report.head(found) == "jax-rocm7: Python 3.12, linux-64, ROCm 7"
    assert report.solution_data(found)["rocm"] == "7"
    assert report.solution_data(found)["cuda"] is None


def test_a_framework_without_rows_for_it_is_refused_by_what_is_known(matrix: CompatibilityMatrix) -> None:
    found = solve(matrix, ask("tensorflow"))
    assert isinstance(found, Conflict)
    assert report.message(found) == "the matrix has no row for a stable TensorFlow for ROCm 7 on linux-64"
    assert report.hints(found) == (
        "kgen solve tensorflow --cpu --python 3.12 --platform linux-64   # gives tensorflow 2.21.0",
    )


def test_an_architecture_that_no_code_is_for(matrix: CompatibilityMatrix) -> None:
    """That of a build, and that of the whole major."""
    found = solve(matrix, ask("jax", accelerator=Accelerator("rocm", (6,)), gpus=("gfx950",)))
    assert isinstance(found, Conflict)
    text = report.conflict_text(found)
    assert "you asked for gpu gfx950 (--gpu)" in text
    assert "needs a GPU of architecture gfx900, gfx906, gfx908, gfx90a" in text
    assert text.endswith("(ROCm 6)")
    again = "kgen solve jax --rocm 7 --python 3.12 --platform linux-64 --gpu gfx950   # gives jax 0.12.0"
    assert again in report.hints(found)


def test_no_build_serves_two_kinds(matrix: CompatibilityMatrix) -> None:
    """Whatever is asked for, the answer is a build for it or, of what has no build for anything, one for the CPU."""
    asked = [CPU, *(row.accelerator for kind in matrix.accelerators.values() for row in kind.majors.values())]
    for name in matrix.accelerated_frameworks:
        for accelerator in asked:
            target = BuildTarget(accelerator, "linux-64", own_index=True)
            for _, build in releases_with_builds(matrix, matrix.framework(name), target):
                assert build.accelerator.whole == accelerator


def recorded(root: Path, *nodes: tuple[int, int], driver: str | None = "6.16.6") -> Rocm:
    """A machine's `/sys` with a processor and GPUs: target version, and number of the render node."""
    topology = root / "class/kfd/kfd/topology/nodes"
    for position, (version, minor) in enumerate(((0, 0), *nodes)):
        folder = topology / str(position)
        folder.mkdir(parents=True)
        (folder / "properties").write_text(
            f"cpu_cores_count {0 if version else 64}\nsimd_count {304 if version else 0}\n"
            f"gfx_target_version {version}\nvendor_id {4098 if version else 0}\ndrm_render_minor {minor}\n"
            f"unique_id {0xF00D0000BEEF0001 if version == 90402 else 0}\n"  # none of a device for consumers
        )
        if version:
            device = root / f"class/drm/renderD{minor}/device"
            device.mkdir(parents=True)
            (device / "mem_info_vram_total").write_text("206141652992\n")
            (device / "product_name").write_text("AMD Instinct MI300X\n" if minor == 128 else "")
    module = root / "module/amdgpu"
    module.mkdir(parents=True)
    if driver is not None:
        (module / "version").write_text(f"{driver}\n")
    (root / "kfd").write_text("")
    return Rocm(root, root / "kfd")


class TestProbe:
    def test_gpus_and_driver(self, tmp_path: Path) -> None:
        found = recorded(tmp_path, (90402, 128), (110001, 129)).probe()
        assert found == Devices(
            DriverVersion("6.16.6"),
            (
                Gpu("AMD Instinct MI300X", "gfx942", 206141652992, "GPU-f00d0000beef0001"),
                Gpu("AMD gfx1101", "gfx1101", 206141652992),
            ),
        )
        assert found.architectures == ("gfx942", "gfx1101")

    def test_a_driver_of_the_kernels_own_tells_no_version(self, tmp_path: Path) -> None:
        found = recorded(tmp_path, (90010, 128), driver=None).probe()
        assert (found.driver, found.architectures, found.note, found.found) == (None, ("gfx90a",), None, True)

    def test_a_machine_without(self, tmp_path: Path) -> None:
        assert Rocm(tmp_path, tmp_path / "kfd").probe() == Devices()

    def test_a_driver_without_the_interface_to_compute(self, tmp_path: Path) -> None:
        (tmp_path / "module/amdgpu").mkdir(parents=True)
        found = Rocm(tmp_path, tmp_path / "kfd").probe()
        assert found.note == "amdgpu is loaded, and the kernel has no interface to compute with it (KFD)"

    def test_a_device_that_may_not_be_opened(self, tmp_path: Path) -> None:
        kind = recorded(tmp_path, (90402, 128))
        (tmp_path / "kfd").unlink()
        assert kind.probe().note == (
            f"{tmp_path / 'kfd'} cannot be opened: the user may be in neither group of `render` and `video`"
        )

    def test_what_makes_no_sense_is_a_note(self, tmp_path: Path) -> None:
        kind = recorded(tmp_path, (90402, 128), driver="unknown")
        path = tmp_path / "class/kfd/kfd/topology/nodes/1/properties"
        path.write_text("gfx_target_version gfx942\n\nodd\n")
        assert kind.probe() == Devices(
            note="GPU 1 does not tell its architecture;"
            " amdgpu does not tell its version: `unknown` is not a version of amdgpu such as 6.16.6"
        )

    @pytest.mark.parametrize(
        ("version", "name"), [(90402, "gfx942"), (90010, "gfx90a"), (90012, "gfx90c"), (100300, "gfx1030")]
    )
    def test_the_kernels_numbers(self, version: int, name: str) -> None:
        assert architecture_of(version) == name


AROUND = Surroundings(
    variables={}, libraries=(), keras=None, container=None, gpu_vendors=frozenset({"1002"}),
    distribution=("debian",), set_in={},
)  # fmt: skip


@pytest.fixture(name="locked")
def _locked(kgen: Kgen) -> Kgen:
    """A project with JAX locked for ROCm, from an index on loopback."""
    done = kgen(*LOCK, "jax", "--rocm", "7", "--portable", "--no-nix")
    assert done.status == 0, done.stderr
    return kgen


class TestLock:
    def test_what_it_says(self, locked: Kgen) -> None:
        folder = locked.folder / "locks/jax-rocm7"
        path = folder / "pylock.linux-64.toml"
        data = tomli.loads(path.read_text())
        kgen = data["tool"]["kgen"]
        assert (kgen["accelerator"], kgen["rocm"]) == ("rocm7", "7")
        assert not {"cuda", "cudnn", "driver"} & set(kgen)
        names = {package["name"] for package in data["packages"]}
        assert {"jax", "jaxlib", "jax-rocm7-plugin", "jax-rocm7-pjrt", "keras"} <= names
        assert not any(name.startswith("nvidia-") for name in names)
        lock = lockfiles.read(path)
        assert (lock.accelerated, lock.computes_on) == (True, ROCM7)
        assert "KERAS_BACKEND" in (folder / "activate.d/kgen.sh").read_text()

    def test_it_is_checked_and_locked_again_alike(self, locked: Kgen) -> None:
        path = locked.folder / "locks/jax-rocm7/pylock.linux-64.toml"
        before = path.read_bytes()
        assert locked("check").status == 0
        again = locked(*LOCK, "jax", "--rocm", "7", "--portable", "--no-nix")
        assert again.stdout.splitlines()[0].split()[2] == "ROCm"
        assert path.read_bytes() == before

    def test_another_accelerator_is_out_of_date(self, locked: Kgen) -> None:
        (locked.folder / "kgen.toml").write_text('backends = ["jax"]\nrocm = "6"\npython = "3.11"\n')
        done = locked("check", "--json")
        assert done.status == 1
        assert "jax-rocm6" in done.stdout

    def test_what_the_doctor_says_of_other_machines(self, locked: Kgen, matrix: CompatibilityMatrix) -> None:
        lock = lockfiles.read(locked.folder / "locks/jax-rocm7/pylock.linux-64.toml")
        examined = findings.ExaminedEnvironment(lock, locked.folder / "env", whole=True, interpreter=True, free=None)

        def found(*gpus: Gpu, **around: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - as typed in Surroundings
            host = Host(platform="linux-64", glibc=Version("2.39"), devices={"rocm": Devices(None, gpus)})
            surroundings = AROUND._replace(**around)
            several = findings.examine(host, surroundings, [examined], matrix, {})
            return [(one.what, one.fix) for one in several]

        assert found(Gpu("AMD Instinct MI300X", "gfx942", 1)) == []
        assert found(Gpu("AMD Radeon RX 480", "gfx803", 1)) == [
            (
                "jax 0.10.2 has no code for the AMD Radeon RX 480 (architecture gfx803)",
                "kgen lock jax --rocm auto --gpu gfx803",
            )
        ]
        assert found() == [
            (
                "there is an AMD GPU, and no driver for it",
                "install a newer driver from AMD or your distribution",
            )
        ]
        assert found(gpu_vendors=frozenset({"10de"}))[0][0] == "this machine has no AMD GPU"
        ((what, mend),) = found(container="docker")
        assert what == "the container was started without a GPU: AMD's driver is not in it"
        assert mend.startswith("docker run --device /dev/kfd --device /dev/dri ")
        assert found(Gpu("X", "gfx942", 1), variables={"HIP_VISIBLE_DEVICES": "-1"}) == [
            ("HIP_VISIBLE_DEVICES=-1 hides every GPU", "unset HIP_VISIBLE_DEVICES")
        ]
        assert found(Gpu("X", "gfx942", 1), variables={"CUDA_VISIBLE_DEVICES": "-1"}) == []

    def test_the_forms_that_it_is_exported_in(self, locked: Kgen) -> None:
        docker = locked("export", "dockerfile", "jax-rocm7").stdout
        assert "--device /dev/kfd" in docker
        assert "ROCm 7's libraries are in no wheel" in docker
        container = json.loads(
            "\n".join(
                line
                for line in locked("export", "devcontainer", "jax-rocm7").stdout.splitlines()
                if not line.startswith("//")
            )
        )
        assert container["runArgs"] == list(ROCM.driver_help.docker)
        slurm = locked("export", "slurm", "jax-rocm7").stdout
        assert "#SBATCH --gres=gpu:1" in slurm


@pytest.mark.parametrize("flag", ["--require", "--dependency"])
def test_a_plugin_of_another_accelerator_is_no_answer(kgen: Kgen, flag: str) -> None:
    """What `lock` refuses `solve` refuses: a plugin is loaded wherever it is installed."""
    for accelerator in (["--cpu"], ["--cuda", "13"], ["--tpu"]):
        done = kgen("solve", "jax", *accelerator, flag, "jax-rocm7-plugin")
        assert done.status == 3, (accelerator, done.stdout)
        assert "  jax-rocm7-plugin is built for ROCm 7\n\nhint: kgen solve jax --rocm 7" in done.stderr
    assert kgen("solve", "jax", "--rocm", "7", flag, "jax-rocm7-plugin").status == 0
    assert kgen("solve", "torch", "--cpu", flag, "jax-rocm7-plugin").status == 0, "PyTorch loads no plugin of JAX's"


def test_a_plugin_in_a_lock_for_the_cpu_is_refused_with_the_lock_that_it_is_for(kgen: Kgen) -> None:
    done = kgen(*LOCK, "jax", "--cpu", "--dependency", "jax-rocm7-plugin", "--no-nix")
    assert done.status == 3
    assert "  jax-rocm7-plugin is built for ROCm 7\n" in done.stderr
    assert not (kgen.folder / "locks").exists()
    (command,) = [line for line in done.stderr.splitlines() if line.startswith("hint: kgen lock jax --rocm 7")]
    again = kgen(*shlex.split(command.partition("   #")[0])[2:], "--no-nix")
    assert again.status == 0, again.stderr
    assert (kgen.folder / "locks/jax-rocm7").is_dir()


def test_variables_that_a_kind_needs_are_in_locks_and_hooks(kgen: Kgen, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MATRIX, tmp_path / "matrix"))
    with (folder / "accelerators.toml").open("a") as file:
        file.write('\n[rocm.environment]\nROCM_OF_TESTS = "it\'s there"\n')
    other = dataclasses.replace(kgen, environment={**kgen.environment, FOLDER_VARIABLE: str(folder)})
    done = other(*LOCK, "jax", "--rocm", "7", "--no-nix")
    assert done.status == 0, done.stderr
    lock = kgen.folder / "locks/jax-rocm7"
    variables = tomli.loads((lock / "pylock.linux-64.toml").read_text())["tool"]["kgen"]["variables"]
    assert variables == {"KERAS_BACKEND": "jax", "ROCM_OF_TESTS": "it's there"}
    assert "ROCM_OF_TESTS" in (lock / "activate.d/kgen.sh").read_text()
    assert other("check").status == 0
    # where the kind needs none, the lock is one that was edited
    done = kgen("check")
    assert done.status == 1
    assert "variables" in done.stdout + done.stderr


# -- a made-up one -----------------------------------------------------------------------------------------------------

MODULE = '''
"""Abaci, on wires of beads."""

import os

from kgen.accelerators import Devices, DriverHelp, Fit, Gpu, Kind
from kgen.model.driver import DriverVersion


class Abacus(Kind):
    name = "abacus"
    title = "Abacus"
    maker = "Bead"
    device = "a Bead GPU"
    help = "Abacus major, or auto"
    example = "3"
    primitives = "BeadNN"
    architecture = "wire"
    architecture_example = "wire7"
    driver_example = "0.5"
    in_wheels = True
    rank = 5
    driver_help = DriverHelp(interface="the frame", status="count", listing="count --all")

    def parse_architecture(self, text):
        if not text.startswith("wire"):
            raise ValueError(f"`{text}` is not a wire such as wire7")
        return text

    def parse_driver(self, text):
        if not text.startswith("0."):
            raise ValueError(f"`{text}` is not a frame such as 0.5")
        return text

    def fit(self, code, architecture):
        return Fit.NATIVE if architecture in code.machine else Fit.NONE

    def probe(self):
        said = os.environ.get("ABACUS")
        if said is None:
            return Devices()
        driver, *gpus = said.split()
        return Devices(DriverVersion(driver), tuple(Gpu("a wire", one, 1) for one in gpus))


KIND = Abacus()
'''
ROW = """
[abacus]
platforms = ["linux-64"]
hiding = ["ABACUS_HIDDEN"]
devices = { jax = "abacus" }
source = "made up"
checked = 2026-11-28

[[abacus.major]]
version = "3"
driver = "0.4"
gpu = "wire7, wire8"
source = "made up"
checked = 2026-11-28
"""
BUILD = """[[release.build]]
abacus = "3.1"
pythons = ["3.12"]
platforms = { linux-64 = "2.28" }
install = ["jax==0.12.0.1", "jaxlib==0.12.0.1"]
requires = ["ml-dtypes>=0.5.0", "numpy>=2.0", "scipy>=1.14"]
code = ["wire7"]
source = "made up"
checked = 2026-11-28

"""


@pytest.fixture(name="counting")
def _counting(kgen: Kgen, tmp_path: Path) -> Kgen:
    """A copy of kgen with one more kind of accelerator: a module, a row, and a build that names it."""
    top = tmp_path / "other"
    package = Path(accelerators.__file__).parents[1]
    shutil.copytree(package, top / "generator/kgen", ignore=shutil.ignore_patterns("__pycache__", "_data"))
    for data in ("templates", "nix"):
        shutil.copytree(resources.folder(data), top / data)
    shutil.copytree(MATRIX, top / "matrix")
    (top / "generator/kgen/accelerators/abacus.py").write_text(MODULE)
    with (top / "matrix/accelerators.toml").open("a") as file:
        file.write(ROW)
    jax = top / "matrix/jax.toml"
    head, newest = jax.read_text().split('version = "0.12.0.1"\n')
    before, mark, rest = newest.partition("[[release.build]]\n")
    jax.write_text(f'{head}version = "0.12.0.1"\n{before}{BUILD}{mark}{rest}')
    environment = {
        **kgen.environment, "PYTHONPATH": str(top / "generator"), FOLDER_VARIABLE: str(top / "matrix"),
    }  # fmt: skip
    return dataclasses.replace(kgen, environment=environment)


def having(kgen: Kgen, said: str) -> Kgen:
    return dataclasses.replace(kgen, environment={**kgen.environment, "ABACUS": said})


class TestMadeUp:
    def test_it_is_offered_and_solved(self, counting: Kgen) -> None:
        assert re.search(r"^  --abacus V +Abacus major, or auto$", counting("solve", "--help").stdout, re.MULTILINE)
        done = counting("solve", "jax", "--abacus", "3")
        assert done.status == 0, done.stderr
        assert done.stdout.startswith("jax-abacus3: Python 3.12, linux-64, Abacus 3.1, driver 0.4 or newer\n")
        data = json.loads(counting("solve", "jax", "--abacus", "3", "--json").stdout)
        assert '"abacus": "3.1"' in json.dumps(data)

    def test_it_is_probed(self, counting: Kgen) -> None:
        done = having(counting, "0.5 wire7")("solve", "jax", "--abacus", "auto")
        assert done.status == 0, done.stderr
        assert "--abacus auto is Abacus 3, the newest that every backend asked for can have here" in done.stderr
        none = counting("solve", "jax", "--abacus", "auto")
        assert none.status == 2
        assert "`--abacus auto`: no Bead driver was found on this machine" in none.stderr
        assert "--abacus auto --driver 0.5 --gpu wire7" in none.stderr
        old = having(counting, "0.3 wire7")("solve", "jax", "--abacus", "auto")
        assert "`--abacus auto`: no Abacus major serves every backend" in old.stderr

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ("torch --abacus 3", "the matrix has no row for a stable PyTorch for Abacus 3 on linux-64"),
            ("jax --abacus 4", "--abacus: unknown Abacus `4`; known are 3"),
            ("jax --abacus 3 --gpu wire8", "jax 0.12.0.1 needs a GPU of wire wire7"),
            ("jax --abacus 3 --gpu wire9", "needs a GPU of wire wire7, wire8 (Abacus 3)"),
            ("jax --abacus 3 --driver 0.3", "needs driver >=0.4 (Abacus 3)"),
            ("jax --abacus 3 --gpu 8.0", "--gpu: Abacus is asked for, and `8.0` is of NVIDIA (`cuda`)"),
            ("jax --abacus 3 --cuda 12", "`--cuda` and `--abacus` contradict each other"),
        ],
    )
    def test_it_is_refused_with_the_reason(self, counting: Kgen, words: str, reason: str) -> None:
        done = counting("solve", *words.split(), "--python", "3.12")
        assert done.status in {2, 3}
        assert reason in done.stderr

    def test_it_is_a_setting_and_names_environments(self, counting: Kgen) -> None:
        settings = counting.folder / "kgen.toml"
        settings.write_text('backends = ["jax"]\nabacus = "3"\npython = "3.12"\n')
        assert counting("solve").stdout.startswith("jax-abacus3: ")
        assert "`kgen lock jax`" in counting("check").stderr or counting("check").status in {1, 2}
        settings.write_text('[environment.my-abacus3]\nbackends = ["jax", "torch"]\n')
        assert "ends like an accelerator" in counting("solve").stderr

    def test_init_chooses_it(self, counting: Kgen) -> None:
        done = having(counting, "0.5 wire7")("init", "jax")
        assert done.status == 0, done.stderr
        assert 'abacus = "3"\n' in (counting.folder / "kgen.toml").read_text()

    def test_its_facts_are_shown(self, counting: Kgen) -> None:
        done = counting("matrix", "show", "abacus")
        assert done.stdout.splitlines()[-1].split()[:3] == ["3", ">=0.4", "wire7,"]
