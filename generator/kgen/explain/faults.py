"""The faults that make a closed lock unfit to be written, in words."""

from __future__ import annotations

from kgen.accelerators import title
from kgen.model.causes import (
    CpuBuild,
    LacksLibrary,
    LockFault,
    NeedsMissing,
    NeedsOtherMajor,
    OneModule,
    OtherAccelerator,
    OverlappingFiles,
    SeveralLibraries,
    WrongVersion,
)


def fault_text(fault: LockFault) -> str:  # noqa: PLR0911 - one for each kind
    """A fault as one line."""
    if isinstance(fault, WrongVersion):
        has = "none" if fault.locked is None else fault.locked
        return f"{fault.package} {fault.decided} was decided on, and the lock has {has}"
    if isinstance(fault, LacksLibrary):
        return f"the chosen builds need {fault.package}, and the lock has none: it would not be complete"
    if isinstance(fault, OtherAccelerator):
        return f"{fault.package} {fault.version} is of {title(fault.own)}, in an environment for {title(fault.wanted)}"
    if isinstance(fault, SeveralLibraries):
        named = " and ".join(f"{name} {version}" for name, version in fault.packages)
        return f"there are several {fault.title} in it: {named}"
    if isinstance(fault, CpuBuild):
        return f"{fault.package} {fault.version} is a CPU build, in an environment for {title(fault.wanted)}"
    if isinstance(fault, OneModule):
        return (
            f"{fault.first} and {fault.second} are both the module `{fault.module}`: one environment can have one of"
            " them"
        )
    if isinstance(fault, OverlappingFiles):
        more = f" and {len(fault.paths) - 1} more" if len(fault.paths) > 1 else ""
        return f"{fault.first} and {fault.second} both own {fault.paths[0]}{more}, with different content"
    if isinstance(fault, NeedsOtherMajor):
        needed = " and ".join(fault.sonames)
        return (
            f"{fault.package} {fault.version} needs {needed} ({fault.file}), in an environment for"
            f" {title(fault.wanted)}"
        )
    return _missing(fault)


def _missing(fault: NeedsMissing) -> str:
    needed = " and ".join(f"{soname} of {project}" for soname, project in fault.sonames)
    return f"{fault.package} {fault.version} needs {needed} ({fault.file}), and nothing in the lock has it"
