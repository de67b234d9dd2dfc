"""What environments run on: the requested accelerator, that of targets, or that of this machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from kgen import accelerators
from kgen import settings as settings_module
from kgen.accelerators import AUTO, Kind
from kgen.actions.environment_request import platforms_of, request_for
from kgen.actions.request_flags import RequestFlags
from kgen.errors import ContradictionError, UsageError
from kgen.fields import ACCELERATORS, BY_NAME, Raw, accelerators_in
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.settings import JointEnvironment, Settings, Target


def accelerator_of(flags: Mapping[str, Raw], matrix: CompatibilityMatrix) -> Accelerator | None:
    """The accelerator that the flags request; None if they request none.

    Raises:
        UsageError: a flag is wrong, or flags contradict each other.
    """
    given = {field.name: flags.get(field.name) for field in ACCELERATORS}
    asked = [f"`{field.flag}`" for field in ACCELERATORS if given[field.name] not in (None, False)]
    if len(asked) > 1:
        raise ContradictionError(f"{' and '.join(asked)} contradict each other", hints=["give one of them"])
    values = {name: None if raw is None else BY_NAME[name].from_flag(raw, matrix) for name, raw in given.items()}
    return next(iter(accelerators_in(values).values()), None)


def targets_of(settings: Settings) -> tuple[Target, ...]:
    """The selected targets of the settings, combined with flags; none if flags describe a machine.

    Raises:
        UsageError: a requested name is not a target, or the request contradicts a target.
    """
    described, asked = settings.described, settings.accelerator
    flag = BY_NAME["targets"].flag
    for name in settings.targets:
        settings_module.target_of(settings, name)
    machine = [str(BY_NAME[name].flag) for name in ("driver", "gpu") if getattr(settings, name)]
    if settings.targets and machine:
        raise ContradictionError(
            f"`{flag}` and `{machine[0]}` contradict each other: a target says what its machine has",
            hints=[f"give one of them, such as `{flag} {settings.targets[0]}`"],
        )
    if machine:
        return ()
    found = [one for name, one in described.items() if name in (settings.targets or described)]
    if asked is None:
        return tuple(found)
    for one in found:
        if settings.targets and one.accelerator.kind != asked.kind:
            raise UsageError(
                f"{flag}: target {one.name} is for {accelerators.title(one.accelerator)}, and"
                f" {accelerators.title(asked)} is asked for",
                hints=[f"give one of them, such as `{flag} {one.name}`"],
            )
    return tuple(
        one._replace(accelerator=asked if asked.version else one.accelerator)
        for one in found
        if one.accelerator.kind == asked.kind
    )


def by_accelerator(
    environment: JointEnvironment, targets: Sequence[Target], matrix: CompatibilityMatrix
) -> dict[Accelerator, list[Target]]:
    """The targets that share a lock of an environment: by accelerator, limited to the oldest of their minors."""
    accelerated = any(matrix.backends[backend].accelerated for backend in environment.backends)
    groups: dict[str, list[Target]] = {}
    for one in targets:
        groups.setdefault(one.accelerator.name if accelerated else CPU.name, []).append(one)
    found = {}
    for own in groups.values():
        limits = [one.accelerator for one in own if one.accelerator.minor is not None]
        least = min(limits, key=lambda one: one.version, default=own[0].accelerator)
        found[least if accelerated else CPU] = own
    return found


def by_platform(
    targets: Sequence[Target], settings: Settings, accelerator: Accelerator, matrix: CompatibilityMatrix
) -> dict[str, list[Target]]:
    """The targets by platform; a target without platforms has those of the settings, or else this machine's."""
    found: dict[str, list[Target]] = {}
    for one in targets:
        for platform in one.platforms or platforms_of(settings, accelerator, matrix):
            found.setdefault(platform, []).append(one)
    return found


def with_version(
    target: Target,
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    *,
    asked: RequestFlags,
) -> Target:
    """A target with the version of its accelerator: the newest that works, if it has none.

    Raises:
        UsageError: no version works for every backend.
    """
    kind = accelerators.kind(target.accelerator.kind)
    if not kind.versioned or target.accelerator.version:
        return target
    alone = settings._replace(driver=target.driver, gpu=target.gpu, platforms=target.platforms or settings.platforms)
    return target._replace(
        accelerator=_newest(alone, environments, matrix, notes, flags=asked, kind=kind, target=target.name)
    )


def chosen_accelerator(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    asked: RequestFlags,
) -> Accelerator:
    """The accelerator of environments without targets: the CPU if nothing else is requested.

    Args:
        settings: the settings.
        environments: the environments.
        matrix: the facts.
        notes: receives notes on what kgen chose.
        asked: the flags of the call.

    Raises:
        UsageError: a driver or a GPU is for another accelerator, or no version works for every backend.
    """
    wanted = settings.accelerator
    if wanted is None:
        notes.append("for the CPU, as nothing else was asked; for a GPU choose CUDA: --cuda 12, or --cuda auto")
        return CPU
    kind = accelerators.kind(wanted.kind)
    if wanted != CPU:
        _require_vocabulary(settings, kind)
    if kind.versioned and not wanted.version:
        return _auto(settings, environments, matrix, notes, kind=kind, asked=asked)
    return wanted


def require_accelerator(asked: RequestFlags, settings: Settings, matrix: CompatibilityMatrix) -> None:
    """Check that a request with a GPU or a driver names an accelerator: neither matters for the CPU.

    Raises:
        UsageError: it names none.
    """
    if settings.accelerator is not None or targets_of(settings):
        return
    flags = {"gpu": list(settings.gpu), "driver": [] if settings.driver is None else [str(settings.driver)]}
    flags = {name: _as_typed(asked, name) or values for name, values in flags.items() if values}
    if not flags:
        return
    kinds = [
        row
        for row in map(accelerators.kind, matrix.accelerators)
        if not list(settings_module.foreign_facts(row, settings.driver, settings.gpu))
    ]
    named = [f"`{shlex.join((str(BY_NAME[name].flag), one))}`" for name, values in flags.items() for one in values]
    makers = " or ".join(dict.fromkeys(kind.maker for kind in kinds))
    raise UsageError(
        f"{' and '.join(named)} {'speaks' if len(named) == 1 else 'speak'} of GPUs of {makers or 'several makers'}, "
        "and no accelerator is asked for",
        hints=[asked.command_for(asked.names, {kind.name: (AUTO,) if kind.versioned else ()}) for kind in kinds]
        or ["name an accelerator, such as --cuda auto"],
    )


def _as_typed(asked: RequestFlags, name: str) -> list[str]:
    """The values of a flag as typed: the name of a GPU, for which the settings have its architecture."""
    raw = asked.flags.get(name)
    return [raw] if isinstance(raw, str) else list(raw) if isinstance(raw, Sequence) else []


def _require_vocabulary(settings: Settings, kind: Kind) -> None:
    """Check that the driver and the GPUs belong to the requested accelerator.

    Raises:
        UsageError: one belongs to another.
    """
    for field, why, example in settings_module.foreign_facts(kind, settings.driver, settings.gpu):
        instead = f"give one such as `{field.flag} {example}`" if example else f"leave `{field.flag}` out"
        raise UsageError(f"{field.flag}: {why}", hints=[instead])


def _auto(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    *,
    kind: Kind,
    asked: RequestFlags,
) -> Accelerator:
    """The newest version that works for every backend on the named driver and GPUs, or on this machine's."""
    driver, gpus, flag = settings.driver, settings.gpu, f"--{kind.name}"
    if driver is None and not gpus:
        machine = kind.probe()
        driver, gpus = machine.driver, machine.architectures
        if not machine.found:
            there = {"driver": [kind.driver_example], "gpu": [kind.architecture_example]}
            raise UsageError(
                f"`{flag} auto`: no {kind.maker} driver was found on this machine"
                + (f" ({machine.note})" if machine.note else ""),
                hints=[
                    f"{asked.on(kind, AUTO, there)}   # for a machine elsewhere: its driver and GPU",
                    f"{asked.on(kind, kind.example)}   # for {kind.title} {kind.example}, whatever machine has it",
                    asked.on(accelerators.kind(CPU.kind), ""),
                ],
            )
    return _newest(settings._replace(driver=driver, gpu=gpus), environments, matrix, notes, flags=asked, kind=kind)


def _newest(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    *,
    flags: RequestFlags,
    kind: Kind,
    target: str = "",
) -> Accelerator:
    """The newest version that works for every backend on the driver and GPUs of the settings, which are a target's.

    Raises:
        UsageError: there is none.
    """
    flag = f"--{kind.name}"
    asked = f"target {target}: {kind.name} `auto`" if target else f"`{flag} auto`"
    accelerator = newest_accelerator(settings, environments, matrix, kind.name)
    if accelerator is not None:
        where = "there" if target else "here"
        chosen = accelerators.title(accelerator)
        said = asked if target else f"{flag} auto"
        notes.append(f"{said} is {chosen}, the newest that every backend asked for can have {where}")
        return accelerator
    majors = matrix.majors(kind.name)
    solving = flags.solving().on(kind, str(max(majors, default="")), {"targets": [target]} if target else {})
    hints = [f"{solving}   # says what stands in the way"] if majors else []
    raise UsageError(
        f"{asked}: no {kind.title} major serves every backend on this driver and these GPUs",
        hints=[*hints, *(["or ask for fewer backends"] if len(environments) > 1 else [])],
    )


def newest_accelerator(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    kind: str,
    python: str | None = None,
) -> Accelerator | None:
    """The newest version of a kind that works for every environment on the driver and GPUs of the settings, if any.

    Args:
        settings: the settings; their accelerator does not matter.
        environments: the environments.
        matrix: the facts.
        kind: the kind of accelerator.
        python: the CPython minor if the settings name none; None to choose the best one.
    """
    from kgen.solver.accelerator import newest_version  # noqa: PLC0415 - a question that names its version needs none of it

    def requests_for(accelerator: Accelerator) -> list[EnvironmentRequest]:
        return [
            request_for(environment, settings, accelerator, platform, matrix)
            for environment in environments
            for platform in platforms_of(settings, accelerator, matrix)
        ]

    return newest_version(matrix, kind, requests_for, settings.python or python)
