"""Accelerators without versions: Google's TPUs, the GPUs of Apple's processors, and Intel's.

No machine of the tests has one: what its kernel says is recorded, what its framework says is made up, and everything
before and behind that is real.
"""

from __future__ import annotations

import importlib
import json
import re
import types
from dataclasses import replace
from pathlib import Path

import pytest
import tomli
from packaging.version import Version
from tests.command import CUTOFF, LOCK, PYTHON, Kgen
from tests.index import Index
from tests.recorded import MATRIX

import kgen.validation
from kgen import accelerators, findings, lockfiles
from kgen.accelerators import Devices, Fit, Gpu
from kgen.accelerators.metal import Metal
from kgen.accelerators.tpu import Tpu
from kgen.accelerators.xpu import Xpu
from kgen.errors import MatrixError
from kgen.explain import report
from kgen.host import Host
from kgen.matrix.candidates import serves
from kgen.matrix.compatibility import CompatibilityMatrix, Folder
from kgen.model.accelerator import Accelerator
from kgen.model.architecture import Architectures, DeviceCode
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve
from kgen.surroundings import Surroundings

STEP = Path(kgen.validation.__file__).parent / "step"
TPU, METAL, XPU = Accelerator("tpu"), Accelerator("metal"), Accelerator("xpu")
KINDS = {"tpu": TPU, "metal": METAL, "xpu": XPU}


def ask(backend: str, accelerator: Accelerator, platform: str, *, glibc: str | None = None) -> EnvironmentRequest:
    return EnvironmentRequest(
        name=backend,
        backends=(backend,),
        accelerator=accelerator,
        python="3.12",
        platform=platform,
        glibc=None if glibc is None else Version(glibc),
    )


# -- what people type --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "architecture"),
    [
        ("tpu", "v5e", "v5e"),
        ("tpu", "TPU v5e", "v5e"),
        ("tpu", "v5litepod", "v5e"),
        ("tpu", "v6e", "v6e"),
        ("tpu", "tpu7x", "tpu7x"),
        ("tpu", "v4", "v4"),
        ("metal", "m4", "m4"),
        ("metal", "Apple M4 Pro", "m4"),
        ("metal", "Apple M1 Ultra", "m1"),
        ("xpu", "pcie20b", "pcie20b"),
        ("xpu", "PCI56A0", "pci56a0"),
    ],
)
def test_an_architecture(kind: str, text: str, architecture: str) -> None:
    assert accelerators.kind(kind).parse_architecture(text) == architecture


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("tpu", "v1"),
        ("tpu", "gfx942"),
        ("tpu", ""),
        ("metal", "m0"),
        ("metal", "Apple"),
        ("xpu", "pci1"),
    ],
)
def test_what_is_no_architecture(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        accelerators.kind(kind).parse_architecture(text)


@pytest.mark.parametrize(("kind", "architecture"), [("tpu", "v5e"), ("metal", "m4"), ("xpu", "pcie20b")])
def test_a_build_that_names_what_it_has_code_for_runs_on_nothing_else(kind: str, architecture: str) -> None:
    found = accelerators.kind(kind)
    assert found.fit(DeviceCode((architecture,)), architecture) is Fit.NATIVE
    assert found.fit(DeviceCode(("other1",)), architecture) is Fit.NONE


def test_any_architecture() -> None:
    found = Architectures.parse("any")
    assert "m9" in found
    assert found.named == ()
    assert Architectures.parse(str(found)) == found
    assert Architectures.parse("m1, m2").named == ("m1", "m2")


# -- what a machine says -----------------------------------------------------------------------------------------------


def chip(root: Path, place: str, vendor: str, device: str, kind: str = "0x120000") -> Path:
    folder = root / "bus/pci/devices" / place
    folder.mkdir(parents=True)
    for name, value in (("vendor", vendor), ("device", device), ("class", kind)):
        (folder / name).write_text(f"{value}\n")
    return folder


class TestTpu:
    def test_chips_on_the_bus(self, tmp_path: Path) -> None:
        for number in range(4):
            chip(tmp_path, f"0000:00:0{number + 4}.0", "0x1ae0", "0x0063")
        chip(tmp_path, "0000:00:03.0", "0x1ae0", "0x0042")  # Google's network card
        (tmp_path / "vfio").mkdir()
        (tmp_path / "vfio/0").touch()
        found = Tpu(tmp_path, tmp_path).probe()
        assert found == Devices(None, (Gpu("TPU v5e", "v5e", 0),) * 4)
        assert found.found

    def test_nothing_to_compute_through(self, tmp_path: Path) -> None:
        chip(tmp_path, "0000:00:04.0", "0x1ae0", "0x005e")
        (tmp_path / "vfio").mkdir()
        (tmp_path / "vfio/vfio").touch()  # there on every machine with VFIO
        assert Tpu(tmp_path, tmp_path).probe().note == (
            f"there is no {tmp_path / 'accel0'} and no {tmp_path / 'vfio/0'} to compute through"
        )

    def test_a_machine_without(self, tmp_path: Path) -> None:
        assert Tpu(tmp_path, tmp_path).probe() == Devices()


class TestMetal:
    def test_every_apple_processor(self) -> None:
        found = Metal(("Darwin", "arm64"), lambda: "Apple M4 Pro").probe()
        assert found == Devices(None, (Gpu("Apple M4 Pro", "m4", 0),))

    @pytest.mark.parametrize("system", [("Darwin", "x86_64"), ("Linux", "aarch64")])
    def test_a_machine_without(self, system: tuple[str, str]) -> None:
        assert Metal(system, lambda: "Apple M4").probe() == Devices()

    def test_a_processor_that_kgen_does_not_know(self) -> None:
        found = Metal(("Darwin", "arm64"), lambda: "Apple Z1\n").probe()
        assert found.gpus == ()
        assert found.note is not None
        assert found.note.startswith("the kernel calls the processor `Apple Z1\\n`")

    def test_this_machine_answers_in_some_way(self) -> None:
        assert isinstance(Metal().probe(), Devices)


class TestXpu:
    @staticmethod
    def driven(root: Path, place: str, driver: str) -> None:
        folder = root / "bus/pci/drivers" / driver
        folder.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()

    def test_a_card_beside_the_processors_own(self, tmp_path: Path) -> None:
        chip(tmp_path, "0000:00:02.0", "0x8086", "0x4680", "0x030000")
        chip(tmp_path, "0000:03:00.0", "0x8086", "0xe20b", "0x030000")
        chip(tmp_path, "0000:00:1f.0", "0x8086", "0x7a84", "0x060100")  # a bridge
        chip(tmp_path, "0000:01:00.0", "0x10de", "0x2684", "0x030000")  # NVIDIA's
        self.driven(tmp_path, "0000:00:02.0", "i915")
        self.driven(tmp_path, "0000:03:00.0", "xe")
        (tmp_path / "dri").mkdir()
        (tmp_path / "dri/renderD128").touch()
        assert Xpu(tmp_path, tmp_path).probe() == Devices(None, (Gpu("Intel GPU e20b", "pcie20b", 0),))

    def test_the_processors_own_alone(self, tmp_path: Path) -> None:
        chip(tmp_path, "0000:00:02.0", "0x8086", "0x64a0", "0x030000")
        self.driven(tmp_path, "0000:00:02.0", "xe")
        found = Xpu(tmp_path, tmp_path).probe()
        assert found.architectures == ("pci64a0",)
        assert found.note == f"there is no {tmp_path / 'dri/renderD128'}"

    def test_a_card_that_no_driver_has_taken(self, tmp_path: Path) -> None:
        chip(tmp_path, "0000:03:00.0", "0x8086", "0xe20b", "0x030000")
        assert Xpu(tmp_path, tmp_path).probe() == Devices()


# -- the solver --------------------------------------------------------------------------------------------------------


def test_jax_for_a_tpu(matrix: CompatibilityMatrix) -> None:
    found = solve(matrix, ask("jax", TPU, "linux-64", glibc="2.31"))
    assert isinstance(found, Resolution)
    assert found.request.environment == "jax-tpu"
    assert {name: str(version) for name, version in found.packages.items()} == {
        "keras": "3.15.1",
        "jax": "0.12.0.1",
        "jaxlib": "0.12.0.1",
    }
    assert str(found.libraries["libtpu"]) == "0.0.50.1"
    assert (found.runtime, found.cudnn, found.driver) == (TPU, None, None)
    assert report.head(found) == "jax-tpu: Python 3.12, linux-64, TPU"


def test_libtpu_says_which_glibc(matrix: CompatibilityMatrix) -> None:
    """What is newer needs glibc 2.31, which is not asked for: the newest JAX whose libtpu is for less."""
    found = solve(matrix, ask("jax", TPU, "linux-64", glibc="2.28"))
    assert isinstance(found, Resolution)
    assert str(found.packages["jax"]) == "0.5.2"
    assert str(found.libraries["libtpu"]) == "0.0.10.1"


@pytest.mark.parametrize("backend", ["torch"])
def test_the_gpu_of_an_apple_processor(matrix: CompatibilityMatrix, backend: str) -> None:
    found = solve(matrix, ask(backend, METAL, "osx-arm64"))
    assert isinstance(found, Resolution)
    assert {name: str(version) for name, version in found.packages.items()} == {"keras": "3.15.1", "torch": "2.15.0"}
    assert report.head(found) == "torch-metal: Python 3.12, osx-arm64, Metal"
    cpu = solve(matrix, ask(backend, Accelerator("cpu"), "osx-arm64"))
    assert isinstance(cpu, Resolution)
    assert (cpu.packages, cpu.install) == (found.packages, found.install)


def test_tensorflow_on_an_apple_gpu_stands_still_where_its_plugin_does(shipped_matrix: CompatibilityMatrix) -> None:
    found = solve(shipped_matrix, ask("tensorflow", METAL, "osx-arm64")._replace(python="3.11"))
    assert isinstance(found, Resolution)
    assert (str(found.packages["tensorflow"]), str(found.packages["tensorflow-metal"])) == ("2.17.1", "1.1.0")


@pytest.mark.parametrize(
    ("backend", "kind", "platform", "words"),
    [
        ("jax", "metal", "osx-arm64", "Apple's jax-metal has had no release since 0.1.1"),
        ("torch", "xpu", "linux-64", "PyTorch's own index has builds for Intel's GPUs"),
        ("torch", "tpu", "linux-64", "JAX serves TPUs"),
        ("tensorflow", "tpu", "linux-64", "JAX serves TPUs"),
    ],
)
def test_what_has_no_row_says_where_it_is_to_be_had(
    shipped_matrix: CompatibilityMatrix, backend: str, kind: str, platform: str, words: str
) -> None:
    found = solve(shipped_matrix, ask(backend, KINDS[kind], platform, glibc="2.31" if kind != "metal" else None))
    assert isinstance(found, Conflict)
    assert words in report.message(found)


@pytest.mark.parametrize(("platform", "version"), [("linux-64", "2.11.0"), ("win-64", "2.11.0")])
def test_torch_for_an_intel_gpu_is_in_its_own_index(
    shipped_matrix: CompatibilityMatrix, platform: str, version: str
) -> None:
    found = solve(shipped_matrix, ask("torch", XPU, platform)._replace(own_index=True))
    assert isinstance(found, Resolution)
    assert found.request.environment == "torch-xpu"
    assert (str(found.packages["torch"]), found.local, found.beside) == (
        version,
        {"torch": "xpu"},
        {"triton-xpu": "torch"},
    )
    assert found.install[0] == f"torch=={version}+xpu"
    assert "triton-xpu" in found.install


def test_every_build_without_versions_names_platforms_of_its_kind(shipped_matrix: CompatibilityMatrix) -> None:
    seen = set()
    for name in shipped_matrix.accelerated_frameworks:
        for release in shipped_matrix.framework(name).releases:
            for build in release.builds:
                if build.accelerator.kind in KINDS:
                    seen.add((name, build.accelerator.name))
                    row = shipped_matrix.accelerators[build.accelerator.kind]
                    assert set(build.platforms) <= set(row.platforms)
                    assert build.accelerator.version == ()
    assert seen == {("jax", "tpu"), ("torch", "metal"), ("tensorflow", "metal"), ("torch", "xpu")}


def test_what_serves_a_generation(matrix: CompatibilityMatrix) -> None:
    release = matrix.framework("jax").releases[-1]
    build = next(one for one in release.builds if one.accelerator == TPU)
    assert serves(build, "v5e", None, matrix, "linux-64")
    assert not serves(build, "v99", None, matrix, "linux-64")
    assert not serves(build, "9.0", None, matrix, "linux-64")


@pytest.mark.parametrize(
    ("file", "true", "false", "fault"),
    [
        ("jax.toml", "tpu = true", 'tpu = "5"', "tpu: should be true or false"),
        ("jax.toml", "tpu = true", "tpu = false", "tpu: should be true, or not be there"),
        ("accelerators.toml", "[[tpu.major]]\n", '[[tpu.major]]\nversion = "5"\n', "tpu has no versions"),
        ("accelerators.toml", 'gpu = "v2, ', 'gpu = "v1, v2, ', "is not a generation of TPUs"),
        ("accelerators.toml", '[[rocm.major]]\nversion = "7"', "[[rocm.major]]", "is missing"),
    ],
)
def test_a_row_that_makes_no_sense(file: str, true: str, false: str, fault: str) -> None:
    texts = dict(Folder(MATRIX))
    assert true in texts[file]
    with pytest.raises(MatrixError) as refused:
        CompatibilityMatrix({**texts, file: texts[file].replace(true, false, 1)}).check()
    assert any(fault in one for one in refused.value.faults), refused.value.faults


# -- a lock, its hooks, the doctor -------------------------------------------------------------------------------------

AROUND = Surroundings(
    variables={}, libraries=(), keras=None, container=None, gpu_vendors=frozenset({"1ae0"}),
    distribution=("debian",), set_in={},
)  # fmt: skip


@pytest.fixture(name="locked")
def _locked(kgen: Kgen) -> Kgen:
    done = kgen(*LOCK, "jax", "--tpu", "--portable", "--no-nix")
    assert done.status == 0, done.stderr
    return kgen


class TestLock:
    def test_what_it_holds(self, locked: Kgen) -> None:
        folder = locked.folder / "locks/jax-tpu"
        path = folder / "pylock.linux-64.toml"
        data = tomli.loads(path.read_text())
        packages = {package["name"]: package["version"] for package in data["packages"]}
        assert packages["jax"] == "0.10.2"
        assert packages["libtpu"].startswith("0.0.42")
        assert not any(name.startswith("nvidia-") for name in packages)
        assert (data["tool"]["kgen"]["accelerator"], data["tool"]["kgen"]["glibc"]) == ("tpu", "2.31")
        lock = lockfiles.read(path)
        assert (lock.accelerated, lock.computes_on) == (True, TPU)
        assert "KERAS_BACKEND" in (folder / "activate.d/kgen.sh").read_text()

    def test_it_is_checked_and_locked_again_alike(self, locked: Kgen) -> None:
        path = locked.folder / "locks/jax-tpu/pylock.linux-64.toml"
        before = path.read_bytes()
        done = locked("check")
        assert done.status == 0, done.stdout + done.stderr
        assert locked(*LOCK, "jax", "--tpu", "--portable", "--no-nix").status == 0
        assert path.read_bytes() == before

    def test_the_setting(self, locked: Kgen) -> None:
        settings = locked.folder / "kgen.toml"
        settings.write_text(f'backends = ["jax"]\ntpu = true\npython = "{PYTHON}"\n')
        assert locked("solve").stdout.startswith("jax-tpu: ")
        settings.write_text(f'backends = ["jax"]\ntpu = true\ncpu = true\npython = "{PYTHON}"\n')
        assert "contradict" in locked("solve").stderr

    @pytest.mark.parametrize(
        ("words", "message", "hint"),
        [
            (
                "--tpu --driver 535",
                "--driver: TPU is asked for, and `535` is of NVIDIA (`cuda`)",
                "leave `--dri",
            ),
            (
                "--tpu --gpu 8.0",
                "--gpu: TPU is asked for, and `8.0` is of NVIDIA (`cuda`)",
                "give one such as `--gpu v5e`",
            ),
            ("--tpu --cuda 12", "`--cuda` and `--tpu` contradict each other", "give one of them"),
        ],
    )
    def test_flags_that_make_no_sense(self, kgen: Kgen, words: str, message: str, hint: str) -> None:
        done = kgen("solve", "jax", *words.split())
        assert done.status == 2
        assert message in done.stderr
        assert f"hint: {hint}" in done.stderr

    def test_what_the_doctor_says_of_other_machines(self, locked: Kgen, matrix: CompatibilityMatrix) -> None:
        lock = lockfiles.read(locked.folder / "locks/jax-tpu/pylock.linux-64.toml")
        examined = findings.ExaminedEnvironment(lock, locked.folder / "env", whole=True, interpreter=True, free=None)

        def found(devices: Devices, around: Surroundings = AROUND) -> list[tuple[str, str]]:
            host = Host(platform="linux-64", glibc=Version("2.39"), devices={"tpu": devices})
            return [(one.what, one.fix) for one in findings.examine(host, around, [examined], matrix, {})]

        chips = (Gpu("TPU v5e", "v5e", 0),)
        assert found(Devices(None, chips)) == []
        ((what, _),) = found(Devices(None, chips, "there is no /dev/accel0 and no /dev/vfio/0 to compute through"))
        assert what.startswith("Google's driver does not answer: there is no /dev/accel0")
        hidden = AROUND._replace(variables={"TPU_VISIBLE_CHIPS": "-1"})
        assert found(Devices(None, chips), hidden) == [
            ("TPU_VISIBLE_CHIPS=-1 hides every TPU", "unset TPU_VISIBLE_CHIPS")
        ]
        elsewhere = AROUND._replace(gpu_vendors=frozenset({"10de"}))
        assert found(Devices(), elsewhere)[0][0] == "this machine has no Google TPU"

    def test_the_forms_that_it_is_exported_in(self, locked: Kgen) -> None:
        assert "--privileged --net=host" in locked("export", "dockerfile", "jax-tpu").stdout
        lines = locked("export", "devcontainer", "jax-tpu").stdout.splitlines()
        container = json.loads("\n".join(line for line in lines if not line.startswith("//")))
        assert container["runArgs"] == ["--privileged", "--net=host"]


def test_torch_is_locked_for_an_apple_gpu(kgen_alone: Kgen, index: Index) -> None:
    for name in ("torch", "numpy", "ml-dtypes", "h5py", "optree"):
        linux = index.wheelhouse.wheels(name)
        own = [replace(one, requires=()) for one in linux] if name == "torch" else linux
        index.wheelhouse.put(*(replace(one, tag=re.sub("manylinux.*", "macosx_11_0_arm64", one.tag)) for one in own))
    words = ("torch", "--metal", "--python", PYTHON, "--platform", "osx-arm64", "--exclude-newer", CUTOFF)
    done = kgen_alone("lock", *words)
    assert done.status == 0, done.stderr
    lock = lockfiles.read(kgen_alone.folder / "locks/torch-metal/pylock.osx-arm64.toml")
    assert (lock.accelerated, lock.computes_on) == (True, METAL)
    assert not any(name.startswith(("nvidia-", "cuda-")) for name in lock.packages)
    assert kgen_alone("check").status == 0


# -- the step of a validation ------------------------------------------------------------------------------------------


def torch_with(*, mps: bool = False, built: bool = False, xpu: bool = False) -> types.SimpleNamespace:
    properties = types.SimpleNamespace(name="Intel(R) Arc(TM) B580")
    return types.SimpleNamespace(
        __version__="2.15.0",
        version=types.SimpleNamespace(cuda=None, hip=None),
        cuda=types.SimpleNamespace(is_available=lambda: False),
        backends=types.SimpleNamespace(
            mps=types.SimpleNamespace(is_available=lambda: mps, is_built=lambda: built or mps)
        ),
        xpu=types.SimpleNamespace(is_available=lambda: xpu, get_device_properties=lambda _: properties),
    )


class TestStep:
    @pytest.mark.parametrize(
        ("torch", "told"),
        [
            (torch_with(mps=True), {"name": None, "capability": None, "accelerator": "mps"}),
            (torch_with(xpu=True), {"name": "Intel(R) Arc(TM) B580", "capability": None, "accelerator": "xpu"}),
        ],
    )
    def test_what_torch_computes_on(
        self, monkeypatch: pytest.MonkeyPatch, torch: types.SimpleNamespace, told: dict[str, object]
    ) -> None:
        monkeypatch.syspath_prepend(str(STEP))
        monkeypatch.setitem(__import__("sys").modules, "torch", torch)
        module = importlib.import_module("kgen_step.backends.torch")
        assert module.device("gpu") == told
        device = types.SimpleNamespace(type=told["accelerator"], index=None)
        assert module.places(types.SimpleNamespace(device=device)) == ["gpu:0"]
        assert module.places(types.SimpleNamespace(device=types.SimpleNamespace(type="cpu", index=None))) == ["cpu:0"]

    @pytest.mark.parametrize(
        ("torch", "reason"),
        [
            (torch_with(built=True), "this PyTorch computes on Apple's GPUs, and finds none that this macOS offers it"),
            (torch_with(), "this PyTorch is a build without CUDA: 2.15.0"),
        ],
    )
    def test_why_torch_sees_none(
        self, monkeypatch: pytest.MonkeyPatch, torch: types.SimpleNamespace, reason: str
    ) -> None:
        monkeypatch.syspath_prepend(str(STEP))
        module = importlib.import_module("kgen_step.backends.torch")
        assert module._reasons(torch) == [reason]

    @pytest.mark.parametrize(
        ("built", "name", "told"),
        [
            ("is_built_with_rocm", "x", "rocm"),
            ("is_built_with_cuda", "x", "cuda"),
            ("", "METAL", "metal"),
            ("", None, None),
        ],
    )
    def test_what_tensorflow_computes_on(
        self, monkeypatch: pytest.MonkeyPatch, built: str, name: str | None, told: str | None
    ) -> None:
        monkeypatch.syspath_prepend(str(STEP))
        module = importlib.import_module("kgen_step.backends.tensorflow")
        test = types.SimpleNamespace(
            is_built_with_rocm=lambda: built == "is_built_with_rocm",
            is_built_with_cuda=lambda: built == "is_built_with_cuda",
        )
        assert module._accelerator(types.SimpleNamespace(test=test), {"device_name": name}) == told

    def test_that_matrix_and_step_call_them_alike(self, shipped_matrix: CompatibilityMatrix) -> None:
        """What a receipt proves is judged by these names: `tpu` of JAX, `mps` of PyTorch, `metal` of TensorFlow."""
        called = {kind: dict(shipped_matrix.accelerators[kind].devices) for kind in KINDS}
        assert called == {
            "tpu": {"jax": "tpu"},
            "metal": {"torch": "mps", "tensorflow": "metal"},
            "xpu": {"torch": "xpu"},
        }
