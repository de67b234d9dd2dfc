"""Flags of XLA that the installed one does not know: found in the library that knows the others."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kgen.loader import flags

KNOWN = b"\0xla_dump_to\0xla_gpu_autotune_level\0xla_dump_hlo_as_text\0"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "jaxlib").mkdir()
    (tmp_path / "jaxlib/libjax_common.so").write_bytes(bytes(64) + KNOWN)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "lost"),
    [
        ("", ()),
        ("--xla_dump_to=/x", ()),
        ("--xla_dump_to=/x --xla_gpu_autotune_level=0", ()),
        ("  --xla_dump_hlo_as_text\n", ()),
        ("--xla_no_such=1", ("--xla_no_such=1",)),
        ("--xla_dump_to=/x --xla_tpu_a=1 --xla_b", ("--xla_tpu_a=1", "--xla_b")),
        # the beginning of a name is none
        ("--xla_gpu_autotune", ("--xla_gpu_autotune",)),
        ("-xla_dump_to=/x", ("-xla_dump_to=/x",)),
        ("--XLA_dump_to=/x", ("--XLA_dump_to=/x",)),
        ("--noxla_dump_hlo_as_text", ("--noxla_dump_hlo_as_text",)),
        ("--", ("--",)),
        # words that are no flags are passed over, and a value in quotes may have blanks in it
        ("--xla_dump_to=/x xla_no_such", ()),
        ('--xla_dump_to="/a --b c" --xla_dump_hlo_as_text', ()),
    ],
)
def test_what_xla_ends_the_process_for(value: str, lost: tuple[str, ...], site: Path) -> None:
    found = flags.unknown(site, {"XLA_FLAGS": value})
    assert [one.flags for one in found] == ([lost] if lost else [])
    assert {one.framework for one in found} <= {"jax"}


def test_each_part_of_a_framework_may_know_some(tmp_path: Path) -> None:
    """TensorFlow 2.21 for the CPU has a few names in its first library, and all of them in its second."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/libtensorflow_framework.so.2").write_bytes(bytes(64) + b"\0xla_dump_to\0xla_cpu_max_isa\0")
    (tmp_path / "tensorflow/libtensorflow_cc.so.2").write_bytes(bytes(64) + KNOWN)
    known = "--xla_cpu_max_isa=AVX2 --xla_gpu_autotune_level=0"
    assert flags.unknown(tmp_path, {"XLA_FLAGS": known}) == ()
    (found,) = flags.unknown(tmp_path, {"XLA_FLAGS": f"{known} --xla_no_such=1"})
    assert (found.framework, found.flags) == ("tensorflow", ("--xla_no_such=1",))


def test_a_value_without_a_dash_is_a_file(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "flags"
    (missing,) = flags.unknown(site, {"XLA_FLAGS": str(file)})
    assert (missing.flags, missing.source) == ((), str(file))
    file.write_text("--xla_dump_to=/x\n--xla_no_such=1\n")
    (found,) = flags.unknown(site, {"XLA_FLAGS": str(file)})
    assert (found.flags, found.source) == (("--xla_no_such=1",), str(file))
    file.write_text("--xla_dump_to=/x\n")
    assert flags.unknown(site, {"XLA_FLAGS": str(file)}) == ()


def test_nothing_is_said_without_a_library_that_knows_flags(tmp_path: Path) -> None:
    assert flags.unknown(tmp_path, {"XLA_FLAGS": "--xla_no_such=1"}) == ()
    (tmp_path / "jaxlib").mkdir()
    (tmp_path / "jaxlib/libjax_common.so").write_bytes(b"")
    assert flags.unknown(tmp_path, {"XLA_FLAGS": "--xla_no_such=1"}) == ()
    (tmp_path / "jaxlib/libjax_common.so").write_bytes(b"\0xla_dump\0")
    assert flags.unknown(tmp_path, {"XLA_FLAGS": "--xla_no_such=1"}) == ()


def test_only_constants_are_looked_through(tmp_path: Path) -> None:
    """Machine code is most of such a file, and the names of flags are not in it."""
    (tmp_path / "jaxlib").mkdir()
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + struct.pack("<Q", 64)
    head = head.ljust(54, b"\0") + struct.pack("<HH", 56, 2)
    constants, code = KNOWN, b"\0xla_in_code\0"
    at = 64 + 2 * 56
    rows = struct.pack("<IIQQQQQQ", 1, 4, at, at, at, len(constants), len(constants), 1)
    rows += struct.pack("<IIQQQQQQ", 1, 5, at + len(constants), 0, 0, len(code), len(code), 1)
    (tmp_path / "jaxlib/libjax_common.so").write_bytes(head.ljust(64, b"\0") + rows + constants + code)
    (found,) = flags.unknown(tmp_path, {"XLA_FLAGS": "--xla_dump_to=/x --xla_in_code=1"})
    assert found.flags == ("--xla_in_code=1",)


def test_tensorflows_are_in_the_library_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/libtensorflow_framework.so.2").write_bytes(b"\0no flags\0")
    (tmp_path / "tensorflow/libtensorflow_cc.so.2").write_bytes(KNOWN)
    (found,) = flags.unknown(tmp_path, {"XLA_FLAGS": "--xla_no_such"})
    assert (found.framework, found.library) == ("tensorflow", str(tmp_path / "tensorflow/libtensorflow_cc.so.2"))


@pytest.mark.parametrize(
    ("value", "lost"),
    [("--tf_xla_auto_jit=2", ()), ("--tf_xla_auto_jit=2 --tf_xla_no_such", ("--tf_xla_no_such",))],
)
def test_tensorflow_has_flags_of_its_own_in_another_library(value: str, lost: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/libtensorflow_framework.so.2").write_bytes(bytes(64) + KNOWN)
    (tmp_path / "tensorflow/libtensorflow_cc.so.2").write_bytes(
        bytes(64) + b"\0tf_xla_auto_jit\0tf_xla_min_cluster_size\0"
    )
    found = flags.unknown(tmp_path, {"TF_XLA_FLAGS": value})
    assert [(one.framework, one.variable, one.flags) for one in found] == (
        [("tensorflow", "TF_XLA_FLAGS", lost)] if lost else []
    )
