"""The machines that locks are for: `[tool.kgen.target.NAME]`, from the settings to the lock that fits one."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import tomli
from packaging.version import Version
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result

from kgen import accelerators, fields, freshness, lockfiles, parsers, settings
from kgen.accelerators import Devices, Gpu
from kgen.actions import plan
from kgen.actions.choose import choose
from kgen.actions.request_flags import RequestFlags
from kgen.errors import NotLockedError, SettingsError, UsageError
from kgen.fields import Raw
from kgen.matrix.candidates import least_floor
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.request import EnvironmentRequest, TargetMachine

HEAD = f"""\
backends = ["torch", "numpy"]
python = "{PYTHON}"
platforms = ["linux-64"]
exclude-newer = "{CUTOFF}"
"""
TARGETS = f"""{HEAD}
[target.laptop]
cpu = true
[target.server]
cuda = "12"
driver = "550"
gpu = ["A100"]
[target.desk]
cuda = "12.9"
driver = "575"
gpu = ["12.0"]
"""
SAME = f"--python {PYTHON} --exclude-newer {CUTOFF}"
SERVER = TargetMachine("server", DriverVersion("550"), ("8.0",))
DESK = TargetMachine("desk", DriverVersion("575"), ("12.0",))


def made(
    folder: Path, matrix: CompatibilityMatrix, text: str = TARGETS, flags: Mapping[str, Raw] = MappingProxyType({})
) -> dict[str, EnvironmentRequest]:
    """The requests of a project with these settings, by environment and platform."""
    (folder / "kgen.toml").write_text(text)
    planned = plan.make(RequestFlags(flags=flags), matrix, folder)
    return {f"{one.environment} {one.platform}": one for one in planned.requests}


def test_one_lock_an_accelerator(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    found = made(tmp_path, matrix)
    assert list(found) == ["torch-cpu linux-64", "torch-cuda12 linux-64", "numpy-cpu linux-64"]
    assert found["torch-cuda12 linux-64"].targets == (SERVER, DESK)
    assert found["torch-cuda12 linux-64"].accelerator == Accelerator("cuda", (12, 9))
    assert found["torch-cpu linux-64"].targets == found["numpy-cpu linux-64"].targets == ()


def test_platforms_and_glibc_are_those_of_the_targets(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    more = '[target.grace]\ncuda = "12"\nplatforms = ["linux-aarch64"]\nglibc = "2.34"\ngpu = ["GH200"]\n'
    found = made(tmp_path, matrix, TARGETS.replace('driver = "575"', 'driver = "575"\nglibc = "2.35"') + more)
    arm = found["torch-cuda12 linux-aarch64"]
    assert (arm.targets, arm.glibc) == ((TargetMachine("grace", None, ("9.0",)),), Version("2.34"))
    # the server does not say: its glibc may be the oldest that the platform is served with
    assert found["torch-cuda12 linux-64"].glibc == matrix.platforms["linux-64"].glibc


@pytest.mark.parametrize(
    ("flags", "environments", "targets"),
    [
        ({"targets": ["desk"]}, ["torch-cuda12", "numpy-cpu"], [(DESK,), ()]),
        ({"cpu": True}, ["torch-cpu", "numpy-cpu"], [(), ()]),
        ({"cuda": "13"}, ["torch-cuda13", "numpy-cpu"], [(SERVER, DESK), ()]),
        ({"cuda": "12", "driver": "535"}, ["torch-cuda12", "numpy-cpu"], [(), ()]),
    ],
)
def test_flags_win(
    tmp_path: Path,
    matrix: CompatibilityMatrix,
    flags: dict[str, Raw],
    environments: list[str],
    targets: list[tuple[TargetMachine, ...]],
) -> None:
    found = list(made(tmp_path, matrix, flags=flags).values())
    assert [one.environment for one in found] == environments
    assert [one.targets for one in found] == targets


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"targets": ["dest"]}, "--target: the settings describe no target `dest`; they describe laptop, server, desk"),
        ({"targets": ["desk"], "cpu": True}, "target desk is for CUDA 12.9, and the CPU is asked for"),
        ({"targets": ["desk"], "driver": "535"}, "`--target` and `--driver` contradict each other"),
    ],
)
def test_wrong_flags(tmp_path: Path, matrix: CompatibilityMatrix, flags: dict[str, Raw], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        made(tmp_path, matrix, flags=flags)
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('gpu = ["8.0"]', "target.x: does not say what it computes on: give one of cuda, rocm"),
        ('cpu = true\ncuda = "12"', "target.x.cpu: contradicts `cuda`"),
        ('cpu = true\ndriver = "550"', "target.x.driver: contradicts `cpu`"),
        ('cuda = "auto"', "target.x.cuda: `auto` needs the target's `driver` or `gpu`"),
        ('cuda = "12"\ngpu = ["gfx942"]', "target.x.gpu: CUDA is asked for, and `gfx942` is of AMD (`rocm`)"),
        ('cuda = "12"\ngpus = ["8.0"]', "target.x.gpus: unknown key; did you mean `gpu`?"),
        ('cuda = "12"\ndriver = 550', "target.x.driver: should be text, is a whole number"),
    ],
)
def test_wrong_settings(tmp_path: Path, matrix: CompatibilityMatrix, table: str, message: str) -> None:
    (tmp_path / "kgen.toml").write_text(f"{HEAD}[target.x]\n{table}\n")
    with pytest.raises(SettingsError) as raised:
        settings.read(tmp_path, matrix)
    assert message in raised.value.message


def test_targets_contradict_one_machine(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "kgen.toml").write_text(f'cuda = "12"\ndriver = "550"\n{TARGETS}')
    with pytest.raises(SettingsError) as raised:
        settings.read(tmp_path, matrix)
    assert raised.value.message.splitlines() == [
        f"kgen.toml: {key}: contradicts the tables `target`, which each describe a machine of their own"
        for key in ("cuda", "driver")
    ]


def test_auto_is_each_targets_own(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = TARGETS.replace('"12.9"', '"auto"').replace('"575"', '"580"').replace('"12"', '"auto"')
    found = made(tmp_path, matrix, text)
    assert found["torch-cuda12 linux-64"].targets == (SERVER,)
    assert found["torch-cuda13 linux-64"].targets == (TargetMachine("desk", DriverVersion("580"), ("12.0",)),)


def test_a_lock_holds_its_targets(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    request = made(tmp_path, matrix)["torch-cuda12 linux-64"]
    data = fields.lock_data(request)
    assert data["targets"] == ["server driver=550 gpu=8.0", "desk driver=575 gpu=12.0"]
    assert fields.request_of(data) == request
    texts = {key: ", ".join(value) if isinstance(value, list) else str(value) for key, value in data.items()}
    texts["backends"] = "torch"
    assert fields.request_of({**fields.from_text(texts), "backends": ["torch"]}).targets == request.targets
    assert "--target server --target desk" in fields.lock_command(request)


@pytest.mark.parametrize("text", ["", "a b", "a driver=x", "A", "a gpu=8.0 driver=1 driver=2", "a gpu=$(x)"])
def test_what_is_no_target_in_a_lock(text: str) -> None:
    with pytest.raises(ValueError, match="`"):
        TargetMachine.parse(text)


def test_the_driver_of_one_is_not_asked_for_the_gpus_of_another(kgen: Kgen) -> None:
    """An A100 with driver 550 and an RTX 5090 with 575 are two machines, not one impossible one."""
    (kgen.folder / "kgen.toml").write_text(TARGETS)
    apart = kgen("solve", "torch")
    assert apart.status == 0, apart.stderr
    assert "torch-cuda12: Python 3.11, linux-64, CUDA 12" in apart.stdout
    assert kgen("solve", "torch", "--cuda", "12", "--driver", "550", "--gpu", "8.0", "--gpu", "12.0").status == 3


def test_a_refusal_says_which_part_ways(kgen: Kgen) -> None:
    (kgen.folder / "kgen.toml").write_text(TARGETS.replace('"A100"', '"P100"'))
    done = kgen("solve", "torch")
    assert done.status == 3
    assert "error: torch-cuda12: there is no PyTorch for CUDA 12.9 and Python 3.11 that fits the targets" in done.stderr
    assert "targets desk and server together\n" in done.stderr
    assert "of server (target.server)\n" in done.stderr
    hints = [line.partition("   # gives ") for line in done.stderr.splitlines() if "--target" in line]
    commands = [command.removeprefix("hint: ").split()[1:] for command, _, _ in hints]
    assert [words[words.index("--target") + 1] for words in commands] == ["server", "desk"]
    for words, (_, _, gives) in zip(commands, hints, strict=True):
        alone = kgen(*words)
        assert alone.status == 0, alone.stderr
        assert gives.removeprefix("torch ") in alone.stdout


def test_check_knows_the_targets(kgen: Kgen) -> None:
    text = TARGETS.replace('"torch", "numpy"', '"jax"')
    (kgen.folder / "kgen.toml").write_text(text)
    done = kgen("lock")
    assert done.status == 0, done.stderr
    assert sorted(path.name for path in (kgen.folder / "locks").glob("[!.]*")) == ["jax-cpu", "jax-cuda12"]
    assert kgen("check").status == 0
    path = kgen.folder / "locks/jax-cuda12/pylock.linux-64.toml"
    data = tomli.loads(path.read_text())["tool"]["kgen"]
    assert data["targets"] == ["server driver=550 gpu=8.0", "desk driver=575 gpu=12.0"]

    (kgen.folder / "kgen.toml").write_text(text.replace('"550"', '"470"'))
    old = json.loads(kgen("check", "--json").stdout)["findings"]
    assert [(one["reason"], one["environment"]) for one in old] == [("driver", "jax-cuda12")]
    assert old[0]["what"].endswith("and target server has 470")

    (kgen.folder / "kgen.toml").write_text(text.replace('cuda = "12', 'cuda = "13'))
    moved = json.loads(kgen("check", "--json").stdout)["findings"]
    assert {(one["kind"], one["environment"]) for one in moved} == {("fault", "jax-cuda13"), ("note", "jax-cuda12")}

    (kgen.folder / "kgen.toml").write_text(text + 'platforms = ["linux-aarch64"]\n')
    (missing,) = json.loads(kgen("check", "--json").stdout)["findings"]
    assert missing["path"] == "locks/jax-cuda12/pylock.linux-aarch64.toml"


def test_what_is_compiled_for_one_machine_is_not_anothers_need(matrix: CompatibilityMatrix) -> None:
    accelerator, build = next(
        (build.accelerator.whole, build)
        for release in reversed(matrix.framework("jax").releases)
        for build in release.builds
        if build.accelerator.name == "cuda12" and build.code.portable and "8.0" in build.code.machine
    )
    newer = TargetMachine("newer", DriverVersion("600"), ("15.0",))
    alone = least_floor(matrix, accelerator, "linux-64", [build], (newer,))
    both = least_floor(matrix, accelerator, "linux-64", [build], (newer, SERVER))
    assert alone is not None
    assert both is not None
    assert both.driver < alone.driver


def test_stale_names_the_target(kgen: Kgen, matrix: CompatibilityMatrix) -> None:
    assert kgen(*LOCK, "jax", "--cuda", "12").status == 0
    path = kgen.folder / "locks/jax-cuda12/pylock.linux-64.toml"
    lock, data = lockfiles.parse(path, path.read_bytes())
    made_for = fields.request_of(data["tool"]["kgen"])
    asked = made_for._replace(targets=(SERVER, TargetMachine("old", None, ("3.5",))))
    (one,) = {found.what.rpartition(" which ")[2] for found in freshness.stale(lock, asked, made_for, matrix)}
    assert one == "does not serve a GPU of compute capability 3.5 of target old"


# -- which lock fits this machine --------------------------------------------------------------------------------------


@pytest.fixture(name="both")
def _both(kgen: Kgen) -> Kgen:
    for words in (["--cpu"], ["--cuda", "12"]):
        assert kgen(*LOCK, "jax", *words).status == 0
    return kgen


def on(monkeypatch: pytest.MonkeyPatch, devices: Devices) -> None:
    """Make this machine have these NVIDIA GPUs."""
    monkeypatch.setattr(type(accelerators.kind("cuda")), "probe", lambda _: devices)


A100 = Gpu("NVIDIA A100", "8.0", 1)


@pytest.mark.parametrize(
    ("devices", "environment", "note"),
    [
        (Devices(), "jax-cpu", "`jax` is jax-cpu here: this machine has no NVIDIA GPU"),
        (
            Devices(DriverVersion("550"), (A100,)),
            "jax-cuda12",
            "`jax` is jax-cuda12 here: it fits NVIDIA A100 with driver 550",
        ),
        (
            Devices(DriverVersion("470"), (A100,)),
            "jax-cpu",
            "`jax` is jax-cpu here: jax-cuda12 does not fit NVIDIA A100 with driver 470",
        ),
        (
            Devices(DriverVersion("550"), (A100, Gpu("K80", "3.7", 1))),
            "jax-cpu",
            "`jax` is jax-cpu here: jax-cuda12 does not fit NVIDIA A100, K80 with driver 550",
        ),
    ],
)
def test_the_lock_that_fits(
    both: Kgen, monkeypatch: pytest.MonkeyPatch, devices: Devices, environment: str, note: str
) -> None:
    on(monkeypatch, devices)
    found = choose(both.folder, "jax")
    assert (found.environment.name, found.named, found.note) == (environment, False, note)
    exact = choose(both.folder, "jax-cuda12")
    assert (exact.environment.name, exact.named, exact.note) == ("jax-cuda12", True, None)


def test_the_newest_major_that_fits(both: Kgen, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both(*LOCK, "jax", "--cuda", "13").status == 0
    on(monkeypatch, Devices(DriverVersion("580"), (A100,)))
    assert choose(both.folder, "jax").environment.name == "jax-cuda13"
    on(monkeypatch, Devices(DriverVersion("550"), (A100,)))
    assert choose(both.folder, "jax").environment.name == "jax-cuda12"


def test_the_same_command_on_laptop_and_server(both: Kgen) -> None:
    ran = both("run", "jax", "--", "python", "-c", "import os; print(os.environ['VIRTUAL_ENV_PROMPT'])")
    assert (ran.status, ran.stdout) == (0, "jax-cpu\n"), ran.stderr
    assert ran.stderr.startswith("note: `jax` is jax-cpu here: this machine has no NVIDIA GPU\n")
    every = both("sync", "--all")
    assert every.stdout.splitlines() == ["[TEMP]/project/.kgen/envs/jax-cpu"]
    assert "note: jax-cuda12 is left out, as this machine has no GPU for it; name it to make it\n" in every.stderr


def test_sync_takes_the_lock_that_fits_the_only_backend(both: Kgen) -> None:
    done = both("sync")
    assert (done.status, done.stdout) == (0, "[TEMP]/project/.kgen/envs/jax-cpu\n"), done.stderr
    assert done.stderr.startswith("note: `jax` is jax-cpu here: this machine has no NVIDIA GPU\n")


def test_sync_takes_the_only_one_of_this_platform(both: Kgen) -> None:
    """An environment of another platform is none that could be meant; where that leaves none, none is offered."""
    others = both.folder / "locks"
    for name in ("numpy-cpu", "torch-cpu"):
        shutil.copytree(others / "jax-cpu", others / name)
        (others / name / "pylock.linux-64.toml").rename(others / name / "pylock.win-64.toml")
    shutil.rmtree(others / "jax-cuda12")
    done = both("sync")
    assert (done.status, done.stdout) == (0, "[TEMP]/project/.kgen/envs/jax-cpu\n"), done.stderr
    assert done.stderr.startswith("note: jax-cpu is the only environment that is locked for linux-64\n")
    shutil.rmtree(others / "jax-cpu")
    assert both("sync") == Result(
        2, "", "error: nothing in [TEMP]/project/locks is locked for linux-64\n\nhint: kgen lock\n"
    )


def test_sync_asks_which_python(both: Kgen) -> None:
    """Two Pythons of one backend fit alike, and kgen does not choose between them."""
    others = both.folder / "locks"
    for name in ("jax-cpu", "jax-cuda12"):
        (others / name).rename(others / f"{name}-py311")
        shutil.copytree(others / f"{name}-py311", others / f"{name}-py312")
    assert both("sync") == Result(
        2,
        "",
        "error: which environment? Locked are jax-cpu-py311, jax-cpu-py312, jax-cuda12-py311, jax-cuda12-py312\n\n"
        "hint: kgen sync jax-cpu-py311\nhint: kgen sync --all\n",
    )


def test_a_backend_on_one_of_several_pythons(both: Kgen) -> None:
    """Its accelerator is that which fits here, as where there is one Python."""
    others = both.folder / "locks"
    for name in ("jax-cpu", "jax-cuda12"):
        (others / name).rename(others / f"{name}-py311")
        shutil.copytree(others / f"{name}-py311", others / f"{name}-py312")
    found = choose(both.folder, "jax-py312")
    assert (found.environment.name, found.named) == ("jax-cpu-py312", False)
    assert str(found.note).startswith("`jax-py312` is jax-cpu-py312 here: ")
    with pytest.raises(NotLockedError, match="there is no locked environment `jax-py310`"):
        choose(both.folder, "jax-py310")


@pytest.mark.parametrize("words", [("run", "jax", "--", "true"), ("sync", "jax"), ("activate", "jax"), ("sync",)])
def test_a_cuda_environment_is_not_downloaded_unasked(kgen: Kgen, words: tuple[str, ...]) -> None:
    assert kgen(*LOCK, "jax", "--cuda", "12").status == 0
    assert kgen(*words) == Result(
        2,
        "",
        "error: jax-cuda12 is for CUDA 12, and this machine has no NVIDIA GPU\n\n"
        f"hint: kgen lock jax --cpu --python {PYTHON} --exclude-newer {CUTOFF}\n"
        "hint: kgen sync jax-cuda12   # downloads it all the same\n",
    )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("jax-cuda13", f"jax --cuda 13 {SAME}"),
        ("jax-tpu", f"jax --tpu {SAME}"),
        ("jax-cuda12-py312", f"jax --cuda 12 --python 3.12 --exclude-newer {CUTOFF}"),
        ("torch-cuda12", f"torch --cuda 12 {SAME}"),
        ("torch", f"torch --cpu {SAME}"),
        ("torhc", f"torch --cpu {SAME}"),
        ("torch==2.6.0", f"torch --cpu --require torch==2.6.0 {SAME}"),
        ("tensorflow-cuda12-conda", f"tensorflow --cuda 12 {SAME} --conda"),
        ("numpy", f"numpy {SAME}"),
        ("jax-cuda", f"jax --cuda auto {SAME}"),
        ("jux", None),
        ("nothing-like-it", None),
    ],
)
def test_what_is_not_locked(kgen: Kgen, name: str, call: str | None) -> None:
    """The hint locks it as the others are locked."""
    assert kgen(*LOCK, "jax", "--cpu").status == 0
    for command in ("run", "validate", "check", "export requirements"):
        refused = kgen(*command.split(), name)
        assert refused.status == 2
        calls = [line for line in refused.stderr.splitlines() if line.startswith("hint: kgen lock ")]
        expected = [] if call is None else [sorted(shlex.split(f"kgen lock {call}"))]
        assert [sorted(shlex.split(one)[1:]) for one in calls] == expected


def test_what_is_not_locked_beside_settings(kgen: Kgen, project: Path) -> None:
    """A flag repeats what the settings do not say, and nothing else."""
    (project / "kgen.toml").write_text(
        f'backends = ["jax", "torch"]\npython = "{PYTHON}"\n[environment.both]\nbackends = ["jax", "torch"]\n'
    )
    assert "hint: kgen lock torch\n" in kgen("run", "torch").stderr
    assert kgen(*LOCK, "jax", "--cuda", "12", "--driver", "550", "--gpu", "8.0", "--portable").status == 0
    flags = f"--cuda 12 --driver 550 --gpu 8.0 --exclude-newer {CUTOFF} --portable"
    for name, words in (
        ("torch", f"torch {flags}"),
        ("both", f"both {flags}"),
        ("numpy", f"numpy --exclude-newer {CUTOFF} --portable"),
        ("jax-cpu", f"jax --cpu --exclude-newer {CUTOFF} --portable"),
    ):
        hints = [line for line in kgen("sync", name).stderr.splitlines() if line.startswith("hint: kgen lock ")]
        assert [sorted(shlex.split(one)[1:]) for one in hints] == [sorted(shlex.split(f"kgen lock {words}"))]
        assert kgen(*shlex.split(f"lock {words} --dry-run")).status == 0


def test_what_is_not_locked_where_locks_differ(kgen: Kgen) -> None:
    """A call for each accelerator that something is locked for, with what its locks share; not another's framework."""
    assert kgen(*LOCK, "jax", "--cpu", "--require", "jax<1").status == 0
    assert kgen(*LOCK, "jax", "torch", "--cuda", "12", "--driver", "550").status == 0
    assert kgen(*LOCK, "numpy").status == 0
    assert kgen("run", "tensorflow").stderr.endswith(
        f"\n\nhint: kgen lock tensorflow --cpu {SAME}\nhint: kgen lock tensorflow --cuda 12 --python {PYTHON}"
        f" --driver 550 --exclude-newer {CUTOFF}\nhint: locked are jax-cpu, jax-cuda12, numpy-cpu, torch-cuda12\n"
    )


def test_another_platform_than_what_is_locked(kgen: Kgen) -> None:
    """Its accelerator is one that there is for that platform."""
    assert kgen(*LOCK, "jax", "--cuda", "12", "--driver", "550").status == 0
    for name in ("linux-aarch64", "osx-arm64"):
        wanted = "--cuda 12" if name.startswith("linux") else "--cpu"
        driver = "--driver 550 " if name.startswith("linux") else ""
        for words in ((), ("jax",)):
            said = kgen("bundle", *words, "-o", "b.tar", "--platform", name).stderr.splitlines()[-1]
            expected = f"kgen lock jax {wanted} --python {PYTHON} --platform {name} {driver}--exclude-newer {CUTOFF}"
            assert sorted(shlex.split(said)[1:]) == sorted(shlex.split(expected))


def test_a_name_that_was_locked_is_a_name_everywhere(kgen: Kgen) -> None:
    """`kgen lock theano` makes keras2-theano-cpu."""
    folder = kgen.folder / "locks/keras2-theano-cpu"
    assert kgen(*LOCK, "numpy", "openvino", "--together", "my-theano").status == 0
    assert kgen(*LOCK, "numpy").status == 0
    (kgen.folder / "locks/numpy-cpu").rename(folder)
    path = folder / "pylock.linux-64.toml"
    path.write_text(
        path.read_text().replace('"numpy-cpu"', '"keras2-theano-cpu"').replace('["numpy"]', '["keras2-theano"]')
    )
    assert [one.name for one in lockfiles.called(kgen.folder, "theano")] == ["keras2-theano-cpu"]
    with pytest.raises(UsageError):
        lockfiles.called(kgen.folder, "ano")


# -- the doctor for another machine ------------------------------------------------------------------------------------


def test_the_doctor_of_another_machine(kgen: Kgen) -> None:
    text = TARGETS.replace('"torch", "numpy"', '"jax", "numpy"')
    (kgen.folder / "kgen.toml").write_text(text)
    assert kgen("lock").status == 0
    # what stands in the way of this machine does not matter
    server = kgen("doctor", "--target", "server", PYTHONHOME="", LD_LIBRARY_PATH="/nowhere", KERAS_BACKEND="torch")
    assert server == Result(
        0, "target server: linux-64, GPU of server (8.0), driver 550\n\njax-cuda12, numpy-cpu: no faults\n", ""
    )
    laptop = kgen("doctor", "--target", "laptop")
    assert (laptop.status, laptop.stdout.splitlines()[-1]) == (0, "jax-cpu, numpy-cpu: no faults")

    worse = text.replace('"550"', '"470"').replace('"A100"', '"3.7"') + 'glibc = "2.12"\n'
    (kgen.folder / "kgen.toml").write_text(worse)
    done = kgen("doctor", "--target", "server", "--json")
    assert done.status == 1
    found = {one["identifier"]: one for one in json.loads(done.stdout)["findings"]}
    assert list(found) == ["driver-outdated", "gpu-without-code", "cudnn-without-gpu"]
    assert {one["where"].partition(";")[0] for one in found.values()} == {"target.server of the settings"}
    assert {one["fix"].partition("   #")[0] for one in found.values()} == {"kgen lock jax --target server"}
    desk = json.loads(kgen("doctor", "--target", "desk", "--json").stdout)["findings"]
    assert {one["identifier"] for one in desk} == {"glibc-outdated"}
    assert {one["fix"] for one in desk} == {"kgen lock jax --target desk", "kgen lock numpy --target desk"}


def test_the_doctor_of_no_target(kgen: Kgen) -> None:
    (kgen.folder / "kgen.toml").write_text(TARGETS)
    assert kgen(*LOCK, "jax", "--cpu").status == 0
    assert "describe no target `x`; they describe laptop, server, desk" in kgen("doctor", "--target", "x").stderr
    none = kgen("doctor", "--target", "server")
    assert none.status == 2
    assert none.stderr.endswith("is locked for target server\n\nhint: kgen lock --target server\n")


def test_a_gpu_says_nothing_of_the_cpu(kgen: Kgen) -> None:
    done = kgen("solve", "jax", "--gpu", "NVIDIA A100-SXM4-80GB", "--driver", "550")
    assert done.status == 2
    assert done.stderr == (
        "error: `--gpu 'NVIDIA A100-SXM4-80GB'` and `--driver 550` speak of GPUs of NVIDIA, and no accelerator is "
        "asked for\n\nhint: kgen solve jax --cuda auto --driver 550 --gpu 'NVIDIA A100-SXM4-80GB'\n"
    )
    assert kgen("solve", "jax", "--gpu", "A100", "--cuda", "12").status == 0


@pytest.mark.parametrize("text", ["R550", "r550", "550"])
def test_a_driver_by_its_branch(text: str) -> None:
    assert str(parsers.parse_driver(text)) == "550"
