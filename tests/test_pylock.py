"""kgen.formats.wheels.pylock: the text of a lock, for values that want quoting too; and which wheel is locked."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from kgen import lockfiles
from kgen.errors import ExitStatus, JudgementError
from kgen.formats.wheels import pylock
from kgen.formats.wheels.lock import Lock, LockedWheel, best_wheel, supported_tags
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import NewestRelease, Reason, Warning, WarningKind  # noqa: A004 - as it is declared
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Resolution

REQUEST = EnvironmentRequest(
    name="jax",
    backends=("jax",),
    accelerator=Accelerator("cuda", (12, 6)),
    python="3.12",
    platform="linux-64",
    glibc=Version("2.28"),
    driver=DriverVersion("535.183"),
    gpus=("8.0", "9.0"),
    keras=VersionRange(">=3.10"),
    requirements=(Requirement("jax<1"),),
    dependencies=(Requirement("optax"), Requirement('absl-py; sys_platform == "linux"')),
    cutoff=dt.date(2026, 11, 20),
)
RESOLUTION = Resolution(
    request=REQUEST,
    packages={"keras": Version("3.15.1"), "jax": Version("0.9.0")},
    parts={},
    libraries={"nvidia-cudnn-cu12": Version("9.10.2.21")},
    allowed={},
    pinned=("nvidia-cudnn-cu12",),
    install=("jax[cuda12]==0.9.0",),
    runtime=Accelerator("cuda", (12, 6)),
    cudnn=Version("9.10.2.21"),
    driver=DriverVersion("525.60.13"),
    local={},
    warnings=(Warning(WarningKind.YANKED, "jax", Version("0.9.0"), 'it is "fine"'),),
    why=(Reason("jax", Version("0.9.0"), NewestRelease.NEWEST, ('a "source"\nof two lines',)),),
)
WHEEL = LockedWheel(
    name="jax",
    version=Version("0.9.0"),
    filename="jax-0.9.0-py3-none-any.whl",
    url="https://files.test/ab/jax-0.9.0-py3-none-any.whl",
    sha256="a" * 64,
    size=3_000_000_000,
    requires_python=">=3.11",
)
LOCK = Lock(resolution=RESOLUTION, wheels=(WHEEL,))

EXPECTED = """\
lock-version = "1.0"
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]
requires-python = "==3.12.*"
created-by = "kgen"

[[packages]]
name = "jax"
version = "0.9.0"
requires-python = ">=3.11"
wheels = [{ url = "https://files.test/ab/jax-0.9.0-py3-none-any.whl", size = 3000000000, hashes = \
{ sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" } }]

[tool.kgen]
schema = 1
kgen = "0.1.0"
environment = "jax-cuda12"
backends = ["jax"]
accelerator = "cuda12"
cuda-limit = "12.6"
python = "3.12"
platform = "linux-64"
glibc = "2.28"
driver-asked = "535.183"
gpus = ["8.0", "9.0"]
keras = ">=3.10"
requirements = ["jax<1"]
dependencies = ["absl-py; sys_platform == \\"linux\\"", "optax"]
exclude-newer = "2026-11-20"
matrix = "0123456789abcdef"
cuda = "12.6"
cudnn = "9.10.2.21"
driver = ">=525.60.13"
size = 3000000000
warnings = ["jax 0.9.0 was yanked: it is \\"fine\\""]
hooks = "HOOKS"

[tool.kgen.packages]
keras = "3.15.1"
jax = "0.9.0"

[tool.kgen.libraries]
"nvidia-cudnn-cu12" = "9.10.2.21"

[tool.kgen.variables]
KERAS_BACKEND = "jax"

[[tool.kgen.why]]
subject = "jax 0.9.0"
rule = "newest release"
source = "a \\"source\\"\\nof two lines"
# sha256 of the lines above: SEAL
"""


def rendered(matrix: CompatibilityMatrix, lock: Lock = LOCK, *, portable: bool = False) -> str:
    return pylock.render(
        lock,
        platform=matrix.platforms["linux-64"],
        variables={"KERAS_BACKEND": "jax"},
        hooks={"activate.d/kgen.sh": HOOK},
        revision="0123456789abcdef",
        version="0.1.0",
        portable=portable,
    )


HOOK = "export KERAS_BACKEND=jax\n"
HOOKS = hashlib.sha256(f"{hashlib.sha256(HOOK.encode()).hexdigest()}  activate.d/kgen.sh\n".encode()).hexdigest()


def sealed(text: str, expected: str) -> str:
    """What is expected, with the digests of the hooks and of all lines of the text but its last."""
    seal = hashlib.sha256("".join(text.splitlines(keepends=True)[:-1]).encode()).hexdigest()
    return expected.replace("HOOKS", HOOKS).replace("SEAL", seal)


def body(text: str) -> str:
    """The text without the comment at its top."""
    return text[text.index("lock-version") :]


def test_whole_text(matrix: CompatibilityMatrix) -> None:
    text = rendered(matrix)
    assert body(text) == sealed(text, EXPECTED)


def test_packaging_reads_it(matrix: CompatibilityMatrix) -> None:
    read = Pylock.from_dict(tomli.loads(rendered(matrix)))
    wheel = PackageWheel(name=None, url=WHEEL.url, size=WHEEL.size, hashes={"sha256": WHEEL.sha256})
    assert read.packages == [
        Package(
            name=NormalizedName("jax"),
            version=WHEEL.version,
            requires_python=SpecifierSet(">=3.11"),
            wheels=[wheel],
        )
    ]
    assert read.requires_python == SpecifierSet("==3.12.*")
    assert read.tool is not None
    assert read.tool["kgen"]["matrix"] == "0123456789abcdef"


def test_the_portable_form_names_no_host(matrix: CompatibilityMatrix) -> None:
    expected = EXPECTED.replace(f'url = "{WHEEL.url}"', f'path = "{WHEEL.filename}"')
    text = rendered(matrix, portable=True)
    assert body(text) == sealed(text, expected)
    assert "://" not in text


def test_what_is_not_known_is_left_out(matrix: CompatibilityMatrix) -> None:
    request = EnvironmentRequest(name="numpy", backends=("numpy",), accelerator=CPU, python="3.12", platform="linux-64")
    resolution = RESOLUTION._replace(
        request=request, libraries={}, runtime=None, cudnn=None, driver=None, warnings=(), why=()
    )
    wheel = dataclasses.replace(WHEEL, size=None, requires_python=None)
    text = rendered(matrix, Lock(resolution=resolution, wheels=(wheel,)))
    assert tomli.loads(text)["tool"]["kgen"] == {
        "schema": 1,
        "kgen": "0.1.0",
        "environment": "numpy-cpu",
        "backends": ["numpy"],
        "variables": {"KERAS_BACKEND": "jax"},
        "accelerator": "cpu",
        "python": "3.12",
        "platform": "linux-64",
        "matrix": "0123456789abcdef",
        "hooks": HOOKS,
        "packages": {"keras": "3.15.1", "jax": "0.9.0"},
    }
    assert "size" not in text


def test_no_dates(matrix: CompatibilityMatrix) -> None:
    """Nix's `fromTOML` refuses them."""

    def walk(value: object) -> None:
        assert not isinstance(value, (dt.date, dt.time, float))
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(tomli.loads(rendered(matrix)))


@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_survives(text: str) -> None:
    assert tomli.loads(f"key = {pylock.toml_text(text)}") == {"key": text}


@pytest.mark.parametrize("value", ['"]\nevil = "1', "\x00\x1f\x7f", "\\", "'''", "\N{GRINNING FACE}", "a\r\nb"])
def test_a_hostile_value_stays_a_value(matrix: CompatibilityMatrix, value: str) -> None:
    resolution = RESOLUTION._replace(
        warnings=(Warning(WarningKind.KNOWN_BAD, "jax", text=value),),
        why=(Reason(value, None, NewestRelease.NEWEST, (value,)),),
    )
    table = tomli.loads(rendered(matrix, Lock(resolution=resolution, wheels=(WHEEL,))))["tool"]["kgen"]
    assert table["warnings"] == [f"jax is to be avoided: {value}"]
    assert table["why"] == [{"subject": value, "rule": "newest release", "source": value}]
    assert "evil" not in table


def test_what_is_no_lock_is_not_returned(matrix: CompatibilityMatrix) -> None:
    lock = Lock(resolution=RESOLUTION, wheels=(dataclasses.replace(WHEEL, name="Not_Normalised"),))
    with pytest.raises(JudgementError) as caught:
        rendered(matrix, lock)
    assert caught.value.status == ExitStatus.OUTSIDE
    assert caught.value.message.startswith("jax-cuda12: the lock would not be valid: ")


@pytest.mark.parametrize(
    ("platform", "marker"),
    [
        ("linux-64", "sys_platform == 'linux' and platform_machine == 'x86_64'"),
        ("linux-aarch64", "sys_platform == 'linux' and platform_machine == 'aarch64'"),
        ("osx-arm64", "sys_platform == 'darwin' and platform_machine == 'arm64'"),
        ("win-64", "sys_platform == 'win32' and platform_machine == 'AMD64'"),
    ],
)
def test_markers(matrix: CompatibilityMatrix, platform: str, marker: str) -> None:
    assert pylock.marker(matrix.platforms[platform]) == marker
    assert lockfiles.filename(platform) == f"pylock.{platform}.toml"


# --- which wheel -----------------------------------------------------------------------------------------------------


def chosen(matrix: CompatibilityMatrix, *tags: str, platform: str = "linux-64", glibc: str | None = None) -> str | None:
    wheels = [
        PackageWheel(name=f"thing-1.0-{tag}.whl", url=f"https://a.test/{tag}", hashes={"sha256": "0" * 64})
        for tag in tags
    ]
    package = Package(name=NormalizedName("thing"), version=Version("1.0"), wheels=wheels)
    supported = supported_tags(matrix.platforms[platform], "3.12", None if glibc is None else Version(glibc))
    wheel = best_wheel(package, supported)
    return None if wheel is None else wheel.filename.removeprefix("thing-1.0-").removesuffix(".whl")


@pytest.mark.parametrize(
    ("tags", "best"),
    [
        (("py3-none-any", "cp312-cp312-manylinux_2_28_x86_64"), "cp312-cp312-manylinux_2_28_x86_64"),
        (
            ("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_28_x86_64"),
            "cp312-cp312-manylinux_2_28_x86_64",
        ),
        (("cp312-cp312-manylinux2014_x86_64", "cp39-abi3-manylinux_2_28_x86_64"), "cp312-cp312-manylinux2014_x86_64"),
        (("cp311-cp311-manylinux_2_28_x86_64", "cp312-cp312-musllinux_1_2_x86_64"), None),
        (("cp312-cp312-manylinux_2_31_x86_64", "cp312-cp312-linux_x86_64"), "cp312-cp312-linux_x86_64"),
        (("cp312-cp312-manylinux_2_28_aarch64", "cp312-cp312t-manylinux_2_28_x86_64"), None),
        (("py2.py3-none-any",), "py2.py3-none-any"),
        (("1-py3-none-any", "py3-none-any", "2-py3-none-any"), "2-py3-none-any"),
        (("10-py3-none-any", "2-py3-none-any"), "10-py3-none-any"),
        (("nonsense", "py3-none-any"), "py3-none-any"),
        ((), None),
    ],
)
def test_the_wheel_that_an_installer_takes(
    matrix: CompatibilityMatrix, tags: tuple[str, ...], best: str | None
) -> None:
    assert chosen(matrix, *tags) == best
    assert chosen(matrix, *reversed(tags)) == best


def test_the_glibc_floor_counts(matrix: CompatibilityMatrix) -> None:
    tags = "cp312-cp312-manylinux_2_27_x86_64", "cp312-cp312-manylinux_2_34_x86_64"
    assert chosen(matrix, *tags, glibc="2.17") is None
    assert chosen(matrix, *tags, glibc="2.27") == tags[0]
    assert chosen(matrix, *tags, glibc="2.34") == tags[1]
    assert chosen(matrix, "cp312-cp312-manylinux1_x86_64", glibc="2.5") == "cp312-cp312-manylinux1_x86_64"


@pytest.mark.parametrize(
    ("platform", "fits", "not_"),
    [
        ("linux-aarch64", "manylinux_2_28_aarch64", "manylinux_2_28_x86_64"),
        ("osx-arm64", "macosx_11_0_arm64", "macosx_11_0_x86_64"),
        ("osx-arm64", "macosx_14_0_arm64", "macosx_15_0_arm64"),
        ("win-64", "win_amd64", "win_arm64"),
    ],
)
def test_other_platforms(matrix: CompatibilityMatrix, platform: str, fits: str, not_: str) -> None:
    assert chosen(matrix, f"cp312-cp312-{not_}", f"cp312-cp312-{fits}", platform=platform) == f"cp312-cp312-{fits}"
    assert chosen(matrix, f"cp312-cp312-{not_}", platform=platform) is None
