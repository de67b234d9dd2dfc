"""`kgen matrix audit`: from an index on loopback, with every field of a row wrong once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from packaging.version import Version
from tests.command import Kgen
from tests.elves import elf_header
from tests.recorded import MATRIX
from tests.repository import Repository, Served, serving
from tests.wheelhouse import Wheel

from kgen import wheels
from kgen.audit import evidence
from kgen.audit.reader import Reader
from kgen.audit.run import Audit, Audited
from kgen.index import Index
from kgen.matrix.compatibility import CompatibilityMatrix, Folder

DAY = dt.date(2026, 1, 2)
LINUX = "cp312-cp312-manylinux_2_28_x86_64"
TOOLKITS = [Version(text) for text in ("12.1.0", "12.6.3", "12.8.1", "12.9.1")]


def x86(*numbers: int) -> bytes:
    return elf_header(62, b"".join(b"\xbf" + struct.pack("<I", number) + b"\xe9\x00\x00\x00\x00" for number in numbers))


def arm(*numbers: int) -> bytes:
    return elf_header(183, b"".join(struct.pack("<2I", 0x52800000 | number << 5, 0xD65F03C0) for number in numbers))


def fatbin(*entries: tuple[int, int]) -> bytes:
    """A container of machine code (2) or PTX (1) for architectures, as nvcc's headers describe it."""
    body = b""
    for kind, architecture in entries:
        body += struct.pack("<HHIQIIHHI", kind, 0x101, 64, 24, 0, 0, 0, 1, architecture).ljust(64, b"\x00") + b"c" * 24
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


# -- evidence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [x86, arm])
def test_the_toolkit_is_the_one_number_of_a_toolkit_that_the_code_loads(made: Callable[..., bytes]) -> None:
    assert evidence.toolkit_constant([made(12510, 12090, 91002)], {}, TOOLKITS).toolkit == "12.9"
    assert evidence.toolkit_constant([made(12510, 12290)], {}, TOOLKITS).toolkit is None
    assert evidence.toolkit_constant([made(12060, 12090)], {}, TOOLKITS).toolkit is None, "two of them: not known"


def test_a_file_that_is_no_elf_says_nothing() -> None:
    assert evidence.toolkit_constant([x86(12090)[1:]], {}, TOOLKITS) == evidence.Found()
    assert evidence.toolkit_constant([b""], {}, TOOLKITS) == evidence.Found()


def test_flags_of_the_compiler_tell_machine_code_from_ptx_even_across_pieces() -> None:
    text = b"x" * 700 + b"sm_80 sm_90a compute_90\x00" + b"sm_10 sm_20\x00"
    for cut in range(690, 730):
        found = evidence.architecture_flags([text[:cut], text[cut:]], {}, ())
        assert found == evidence.Found(sass=frozenset({"8.0", "9.0"}), ptx=frozenset({"9.0"}))
    assert evidence.architecture_flags([b"sm_80 is mentioned"], {}, ()) == evidence.Found()


def test_code_for_gpus_is_found_in_containers_wherever_a_piece_ends() -> None:
    stray = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 80) + b"no entry at all".ljust(80, b"\x01")
    content = b"y" * 37 + stray + fatbin((2, 80), (2, 120), (1, 120)) + b"z" * 11 + fatbin((2, 75))
    for size in (1, 7, 64, 100_000):
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        found = evidence.fatbins(pieces, {}, ())
        assert found == evidence.Found(sass=frozenset({"7.5", "8.0", "12.0"}), ptx=frozenset({"12.0"})), size
    assert evidence.fatbins([b"nothing"], {}, ()) == evidence.Found()


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        ("cuda: Optional[str] = '12.8'\n", "12.8"),
        ("cuda = None\n", ""),
        ("hip: Optional[str] = '6.4'\n", None),
        ("from_cuda = '11.0'\ncuda = '13.0'\n", "13.0"),
        ("cuda = unknown()\n", None),
    ],
)
def test_what_a_generated_module_assigns(text: str, cuda: str | None) -> None:
    assert evidence.assignments([text.encode()], {"toolkit": "cuda"}, ()).toolkit == cuda


def test_what_build_info_of_tensorflow_says() -> None:
    fields = {"toolkit": "cuda_version", "built": "is_cuda_build", "architectures": "cuda_compute_capabilities"}
    text = b'OrderedDict([("cuda_version", "12.5.1"), ("cuda_compute_capabilities", ["sm_60", "compute_90"])])'
    assert evidence.assignments([text], fields, ()) == evidence.Found(
        "12.5", frozenset({"6.0", "9.0"}), frozenset({"9.0"})
    )
    assert evidence.assignments([b"('is_cuda_build', False)"], fields, ()).toolkit == ""
    # on Windows it is named after cudart64_112.dll
    assert evidence.assignments([b"[('cuda_version', '64_112')]"], {"toolkit": "cuda_version"}, ()).toolkit == "11.2"
    assert evidence.assignments([b"[('cuda_version', '64_x')]"], {"toolkit": "cuda_version"}, ()).toolkit is None


# -- the whole ---------------------------------------------------------------------------------------------------------

_BACKENDS = """\
[torch]
framework = "torch"
accelerated = true
source = "made up"
checked = 2026-11-21

[torch.environment]
KERAS_BACKEND = "torch"

[jax]
framework = "jax"
accelerated = true
source = "made up"
checked = 2026-11-21

[jax.environment]
KERAS_BACKEND = "jax"
"""

_TORCH = """\
[project]
name = "torch"
title = "PyTorch"

[[release]]
version = "2.20.0"
released = 2026-01-02

[[release.build]]
cuda = "12.8"
pythons = ["3.12"]
platforms = { linux-64 = "2.28" }
install = ["torch==2.20.0"]
requires = ["nvidia-cudnn-cu12==9.10.2.21"]
sass = ["8.0", "9.0"]
ptx = ["9.0"]
source = "made up"
checked = 2026-11-21
"""

_JAX = """\
[project]
name = "jax"
title = "JAX"

[[release]]
version = "0.20.0"
released = 2026-01-02

[[release.build]]
cuda = "12.9"
pythons = ["3.12"]
platforms = { linux-64 = "2.28" }
install = ["jax[cuda12]==0.20.0", "jaxlib==0.20.0", "jax-cuda12-plugin==0.20.0"]
requires = ["nvidia-cudnn-cu12>=9.8,<10"]
sass = ["7.5"]
source = "made up"
checked = 2026-11-21
"""

_KERAS = """\
[project]
name = "keras"
title = "Keras"

[[release]]
version = "3.20.0"
released = 2026-01-02

[[release.build]]
pythons = ["3.12"]
platforms = { linux-64 = "", osx-arm64 = "" }
install = ["keras==3.20.0"]
requires = []
source = "made up"
checked = 2026-11-21
"""

_CUDNN = """\
role = "cudnn"
cuda = 12
source = "made up"
checked = 2026-11-21

[[files]]
platforms = { linux-64 = "2.17" }

[files.releases]
"9.10.2.21" = 2026-01-02
"""

_TOOLKITS = "".join(
    f'[[toolkit]]\nversion = "{version}"\nsource = "made up"\nchecked = 2026-11-21\n\n' for version in TOOLKITS
)

Auditing = Callable[..., Audited]


@pytest.fixture(scope="session")
def texts() -> Mapping[str, str]:
    shipped = Folder(MATRIX)
    shared = ("accelerators.toml", "python.toml", "platforms.toml", "cudnn.toml")
    return {
        **{name: shipped[name] for name in shared},
        "backends.toml": _BACKENDS,
        "toolkits.toml": _TOOLKITS,
        "torch.toml": _TORCH,
        "jax.toml": _JAX,
        "keras.toml": _KERAS,
        "libraries/nvidia-cudnn-cu12.toml": _CUDNN,
    }


def served_wheels() -> list[Wheel]:
    plugin = {"jax_cuda12_plugin/_versions.so": x86(12510, 12090)}
    cuda = "extra == 'with-cuda'"
    return [
        Wheel(
            name="torch",
            version="2.20.0",
            tag=LINUX,
            uploaded=DAY,
            requires=("filelock", 'nvidia-cudnn-cu12==9.10.2.21; platform_system == "Linux"'),
            files={
                "torch/version.py": b"cuda: Optional[str] = '12.8'\n",
                "torch/lib/libtorch_python.so": b"\x00sm_80 sm_90 compute_90\x00",
                "torch/lib/libtorch_cuda.so": fatbin((2, 80), (2, 90), (1, 90)),
            },
        ),
        Wheel(
            name="jax",
            version="0.20.0",
            uploaded=DAY,
            requires=("jaxlib==0.20.0", "jax-cuda12-plugin[with-cuda]==0.20.0; extra == 'cuda12'"),
        ),
        Wheel(name="jaxlib", version="0.20.0", tag=LINUX, uploaded=DAY),
        Wheel(
            name="jax-cuda12-plugin",
            version="0.20.0",
            tag=LINUX,
            uploaded=DAY,
            requires=(f"nvidia-cudnn-cu12<10.0,>=9.8; {cuda}",),
            files=plugin,
        ),
        Wheel(name="keras", version="3.20.0", uploaded=DAY),
        Wheel(
            name="nvidia-cudnn-cu12",
            version="9.10.2.21",
            tag="py3-none-manylinux_2_17_x86_64",
            requires_python=">=3",
            uploaded=DAY,
        ),
    ]


@pytest.fixture
def served() -> Served:
    return Served(wheels=served_wheels())


@pytest.fixture
def repository(served: Served) -> Iterator[Repository]:
    with serving(served) as at_work:
        yield at_work


@pytest.fixture
def auditing(texts: Mapping[str, str], repository: Repository, tmp_path: Path) -> Auditing:
    def run(over: Mapping[str, str] | None = None, *, fatbins: bool = False, sample: int | None = None) -> Audited:
        cancel = threading.Event()
        matrix = CompatibilityMatrix({**texts, **(over or {})})
        matrix.check()
        with wheels.WheelReader(cache=None, cancel=cancel) as reader:
            index = Index((repository.url,), reader, cache=tmp_path / "pages")
            source = Reader(index, reader, cache=tmp_path / "audit")
            return Audit(matrix, source, cancel=cancel, fatbins=fatbins, sample=sample).run()

    return run


def test_a_true_matrix_has_no_difference(auditing: Auditing) -> None:
    found = auditing()
    assert found.differences == []
    assert found.rows == 4
    assert found.right["requires"] == 4, "keras on two platforms, torch, JAX"
    assert found.right["accelerator"] == 2
    assert found.right["sass"] == found.right["ptx"] == 1
    assert dict(found.unreadable["sass"]) == {"no file that was read says it": 1}, "JAX: only with --fatbins"


@pytest.mark.parametrize(
    ("file", "true", "false", "field", "said"),
    [
        ("torch.toml", 'cuda = "12.8"', 'cuda = "12.6"', "accelerator", "12.8"),
        ("torch.toml", 'sass = ["8.0", "9.0"]', 'sass = ["8.0"]', "sass", "8.0, 9.0"),
        ("torch.toml", 'ptx = ["9.0"]\n', "", "ptx", "9.0"),
        ("torch.toml", 'pythons = ["3.12"]', 'pythons = ["3.12", "3.13"]', "pythons", "none"),
        ("torch.toml", 'linux-64 = "2.28"', 'linux-64 = "2.17"', "glibc", "2.28"),
        ("torch.toml", 'linux-64 = "2.28"', 'linux-64 = "2.28", win-64 = ""', "platforms", "no wheel"),
        ("torch.toml", "released = 2026-01-02", "released = 2026-01-03", "released", "2026-01-02"),
        ("torch.toml", "==9.10.2.21", "==9.9.0.52", "requires", "nvidia-cudnn-cu12==9.10.2.21"),
        ("torch.toml", '["nvidia-cudnn-cu12==9.10.2.21"]', "[]", "requires", "nvidia-cudnn-cu12==9.10.2.21"),
        ("torch.toml", "released = 2026-01-02", 'released = 2026-01-02\nyanked = "bad"', "yanked", "False"),
        ("jax.toml", 'cuda = "12.9"', 'cuda = "12.1"', "accelerator", "12.9"),
        ("jax.toml", ">=9.8,<10", ">=9.1,<10", "requires", "nvidia-cudnn-cu12<10,>=9.8"),
        ("libraries/nvidia-cudnn-cu12.toml", "2026-01-02", "2025-01-02", "released", "2026-01-02"),
        ("libraries/nvidia-cudnn-cu12.toml", '"2.17"', '"2.5"', "glibc", "2.17"),
    ],
)
def test_each_field_that_is_wrong_is_named_with_the_file_that_says_so(  # noqa: PLR0917 - a table
    auditing: Auditing, texts: Mapping[str, str], file: str, true: str, false: str, field: str, said: str
) -> None:
    assert true in texts[file]
    found = auditing({file: texts[file].replace(true, false, 1)})
    assert (field, said) in {(one.field, one.found) for one in found.differences}
    assert all(one.where for one in found.differences)


def test_the_machine_code_outweighs_what_is_said_of_it(auditing: Auditing, served: Served) -> None:
    served.wheels[0] = Wheel(
        name="torch",
        version="2.20.0",
        tag=LINUX,
        uploaded=DAY,
        requires=served.wheels[0].requires,
        files={**served.wheels[0].files, "torch/lib/libtorch_cuda.so": fatbin((2, 80), (2, 90))},
    )
    assert auditing().differences == []
    found = auditing(fatbins=True)
    assert [(one.field, one.matrix, one.found) for one in found.differences] == [("ptx", "9.0", "none")]
    assert found.differences[0].where.endswith("libtorch_cuda.so")


def test_wheels_for_a_platform_without_a_row_are_told_and_are_no_fault(auditing: Auditing, served: Served) -> None:
    served.wheels.append(Wheel(name="torch", version="2.20.0", tag="cp312-cp312-win_amd64", uploaded=DAY))
    found = auditing()
    assert found.differences == []
    assert [(one.row, one.found) for one in found.missing] == [("torch 2.20.0", "wheels for win-64")]


def test_a_wheel_that_only_stands_for_another_is_read_with_it(auditing: Auditing, served: Served) -> None:
    served.wheels[0] = Wheel(name="torch", version="2.20.0", tag=LINUX, uploaded=DAY, requires=("torch-linux==2.20.0",))
    served.wheels.append(
        Wheel(name="torch-linux", version="2.20.0", tag=LINUX, uploaded=DAY, requires=("nvidia-cudnn-cu12==9.10.2.21",))
    )
    assert auditing().differences == []


def test_a_wheel_is_read_once(auditing: Auditing, served: Served) -> None:
    auditing()
    before = [path for path in served.asked if path.startswith("/files/")]
    assert before
    auditing()
    assert [path for path in served.asked if path.startswith("/files/")] == before


def test_a_sample_is_the_same_for_the_same_matrix(auditing: Auditing) -> None:
    assert [auditing(sample=1).rows for _ in range(2)] == [4, 4]


def test_the_command_tells_and_fails_where_something_differs(
    kgen: Kgen, texts: Mapping[str, str], repository: Repository, tmp_path: Path
) -> None:
    folder = tmp_path / "matrix"
    for name, text in {**texts, "torch.toml": texts["torch.toml"].replace('cuda = "12.8"', 'cuda = "12.6"')}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    kgen = kgen.at(repository.url)
    kgen = dataclasses.replace(kgen, environment={**kgen.environment, "KGEN_MATRIX_DIR": str(folder)})
    done = kgen("matrix", "audit")
    assert done.status == 1
    assert (
        "torch 2.20.0, CUDA 12.6, linux-64: `accelerator` is 12.6 in the matrix, and 12.8 in torch-2.20.0-"
        in done.stderr
    )
    assert done.stdout.splitlines()[0].split() == ["field", "agrees", "differs", "not", "read"]
    data = json.loads(kgen("matrix", "audit", "torch", "--json").stdout)
    assert data["rows"] == 1
    assert [one["field"] for one in data["differences"]] == ["accelerator"]
    assert kgen("matrix", "audit", "keras").status == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("trch",), "error: `trch` is not in the matrix\n\nhint: kgen matrix audit torch\n"),
        (("--sample", "0"), "error: `--sample 0` is not a count\n\nhint: kgen matrix audit --sample 5\n"),
        (("--sample", "many"), "error: `--sample many` is not a count\n\nhint: kgen matrix audit --sample 5\n"),
    ],
)
def test_what_cannot_be_asked_for(kgen: Kgen, words: tuple[str, ...], text: str) -> None:
    done = kgen("matrix", "audit", *words)
    assert (done.status, done.stderr) == (2, text)
