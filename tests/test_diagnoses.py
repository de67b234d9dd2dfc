"""What messages of frameworks, of the driver and of the system mean to a failed validation."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
import tomli

from kgen.validation import diagnosis

_DATA = Path(__file__).parent / "data" / "messages.toml"
MESSAGES: list[dict[str, Any]] = tomli.loads(_DATA.read_text(encoding="utf-8"))["message"]


def causes(text: str, *, driver: dict[str, Any] | None = None, output: str = "") -> diagnosis.Diagnosis:
    failure = {"errors": [{"type": "RuntimeError", "message": text}], "facts": {"driver": driver} if driver else {}}
    return diagnosis.diagnose(
        "compiles and fails",
        environment="e",
        output=output,
        failure=failure if text else {},
        watched={},
        missing=(),
    )


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row["text"][:40])
def test_a_message_has_its_causes_and_hints(row: dict[str, Any]) -> None:
    """Whether a framework raised it or logged it."""
    for found in (causes(row["text"]), causes("", output=f"I 2026 before\n{row['text']}\nE 2026 after")):
        assert list(found.causes) == row["causes"]
        assert list(found.hints) == row.get("hints", [])


def test_each_row_that_looks_for_a_message_finds_one() -> None:
    rows = diagnosis._rows()
    told = [row for row in [*rows["driver"], *rows["log"]] if "pattern" in row]
    assert [row for row in told if not any(re.search(row["pattern"], one["text"]) for one in MESSAGES)] == []


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("ibv_reg_mr_iova2 failed with error Cannot allocate memory", False),
        ("libgomp.so.1: cannot allocate memory in static TLS block", False),
        ("OSError: [Errno 12] Cannot allocate memory", True),
        ("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp:995", True),
    ],
)
def test_what_is_a_full_memory(text: str, *, full: bool) -> None:
    assert diagnosis.out_of_memory({"errors": [{"type": "RuntimeError", "message": text}]}) is full


def test_what_the_driver_answered_goes_before_what_is_printed_of_it() -> None:
    text = "CUDA unknown error - this may be due to an incorrectly set up environment"
    answered = {"loaded": True, "stub": False, "init": 802, "devices": None}
    assert causes(text, driver=answered).causes == ("the GPUs are not ready (cuInit: 802)",)
    assert causes(text).causes == ("the driver fails for a reason that it does not know (cuInit: 999)",)


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        (-signal.SIGKILL, "the system or a scheduler ended it"),
        (-signal.SIGILL, "the framework uses instructions"),
        (-signal.SIGBUS, "a file that memory is read from"),
        (-signal.SIGXCPU, "it used up the processor time"),
        (-signal.SIGSEGV, None),
        (signal.SIGKILL, None),
        (0, None),
        (None, None),
    ],
)
def test_what_the_signal_means_that_ended_it(status: int | None, begins: str | None) -> None:
    """A process that is killed says nothing; one that says it is told so once."""
    for output in ("", "Fatal Python error: Illegal instruction" if status == -signal.SIGILL else ""):
        found = diagnosis.diagnose(
            "compiles and fails", environment="e", output=output, failure={}, watched={}, missing=(), status=status
        )
        assert [one[: len(begins or "")] for one in found.causes] == ([] if begins is None else [begins])
        assert len(found.hints) == len(found.causes)
