"""kgen: one reproducible, GPU-proven Keras environment per backend.

`kgen.solve`, `lock`, `check`, `sync`, `validate`, `doctor`, `diff`, `export` and `read_lock` are the actions behind the
command line, for programs; :mod:`kgen.api` documents them. They are imported when first used: every module of kgen
begins here.
"""

from __future__ import annotations

# `typing` and `importlib` take longer to import than all else that comes before ctrl-C is heeded (`__main__`).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kgen.api import (
        Change,
        CheckResult,
        Conflict,
        Difference,
        DoctorResult,
        Finding,
        KgenError,
        Lockfile,
        LockOptions,
        LockResult,
        Resolution,
        SyncResult,
        ValidateOptions,
        ValidateResult,
        Validation,
        ValidationTarget,
        Verdict,
        check,
        diff,
        doctor,
        export,
        lock,
        read_lock,
        solve,
        sync,
        validate,
    )

__version__ = "0.1.0"
INTERRUPTED = "interrupted; nothing is half-written"
"""The message when the user ends kgen."""

__all__ = [
    "Change",
    "CheckResult",
    "Conflict",
    "Difference",
    "DoctorResult",
    "Finding",
    "KgenError",
    "LockOptions",
    "LockResult",
    "Lockfile",
    "Resolution",
    "SyncResult",
    "ValidateOptions",
    "ValidateResult",
    "Validation",
    "ValidationTarget",
    "Verdict",
    "check",
    "diff",
    "doctor",
    "export",
    "lock",
    "read_lock",
    "solve",
    "sync",
    "validate",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from importlib import import_module  # noqa: PLC0415 - as `typing` above

        return getattr(import_module("kgen.api"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
