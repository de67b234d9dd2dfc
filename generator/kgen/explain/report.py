"""Resolutions and conflicts as data for `--json`, and as text that reads as if a colleague had written it."""

from __future__ import annotations

from typing import Any

from kgen.accelerators import kind, title
from kgen.explain.causes import cause_data, cause_text
from kgen.explain.commands import SOLVE, CommandForm, command_of, flags_of, gives_text, hint_of
from kgen.explain.reasons import reason_data, reason_rule, warning_text
from kgen.model.accelerator import Accelerator
from kgen.model.causes import ForwardRun, Refusal, RefusalKind, Wish
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.resolution import Conflict, Resolution, Suggestion

_FEW = 4
"""The number of devices that are listed as examples."""


def target_data(request: EnvironmentRequest) -> dict[str, Any]:
    """The target of an answer, with which every answer begins."""
    return {
        "environment": request.environment,
        "python": request.python,
        "platform": request.platform,
        "accelerator": request.accelerator.name,
    }


def runtime_data(runtime: Accelerator | None) -> dict[str, str | bool | None]:
    """The version of a runtime by the name of its kind, or true for a kind without versions.

    `cuda` is always present, because programs expect it.
    """
    return {"cuda": None, **({} if runtime is None else {runtime.kind: runtime.number or True})}


def solution_data(resolution: Resolution) -> dict[str, Any]:
    """A resolution as plain data, its keys in a fixed order."""
    return {
        **target_data(resolution.request),
        **runtime_data(resolution.runtime),
        "cudnn": None if resolution.cudnn is None else f"=={resolution.cudnn}",
        "driver": None if resolution.driver is None else f">={resolution.driver}",
        "packages": {name: str(version) for name, version in resolution.packages.items()},
        "libraries": {name: str(version) for name, version in resolution.libraries.items()},
        "warnings": [warning_text(one) for one in resolution.warnings],
        "why": [reason_data(one, resolution.request.cutoff_flag) for one in resolution.why],
    }


def conflict_data(conflict: Conflict, form: CommandForm = SOLVE) -> dict[str, Any]:
    """A conflict as plain data, with commands in the given form."""
    return {
        **target_data(conflict.request),
        "kind": conflict.refusals[0].kind.value,
        "message": message(conflict),
        "causes": [cause_data(one, conflict.request) for one in conflict.causes],
        "suggestions": [suggestion_data(one, conflict.request, form) for one in conflict.suggestions],
    }


def head(resolution: Resolution) -> str:
    """A resolution in one line: its environment and its target."""
    request = resolution.request
    text = f"{request.environment}: Python {request.python}, {request.platform}"
    if resolution.runtime is not None:
        text += f", {title(resolution.runtime)}"
        text += f", cuDNN {resolution.cudnn}" if resolution.cudnn is not None else ""
        text += f", driver {resolution.driver} or newer" if resolution.driver is not None else ""
    return text


def suggestion_data(suggestion: Suggestion, request: EnvironmentRequest, form: CommandForm = SOLVE) -> dict[str, Any]:
    """A change that works, as plain data, with the complete command."""
    return {
        "kind": suggestion.changes[0].field.value,
        "change": flags_of(suggestion.changes, request),
        "command": command_of(suggestion, form),
        "gives": dict(suggestion.gives),
    }


def gain_data(resolution: Resolution, gain: Suggestion | None, form: CommandForm = SOLVE) -> dict[str, Any]:
    """What would give newer frameworks than a resolution has, as plain data."""
    return {"suggestions": [] if gain is None else [suggestion_data(gain, resolution.request, form)]}


def gain_text(resolution: Resolution, gain: Suggestion) -> str:
    """What would give newer frameworks, in words."""
    change = flags_of(gain.changes, resolution.request)
    return f"{change} gives {gives_text(gain)}, in a build that only its own index has"


def solution_text(resolution: Resolution, gain: Suggestion | None = None) -> str:
    """A resolution in words: its versions and target, why they are not newer, and what would give newer frameworks."""
    width = max(len(name) for name in resolution.packages)
    rules: dict[str, str] = {}
    for reason in resolution.why:
        rules.setdefault(reason.package, reason_rule(reason, resolution.request.cutoff_flag))
    column = max(10, *(len(str(version)) for version in resolution.packages.values()))
    lines = [head(resolution)]
    for name, version in resolution.packages.items():
        rule = rules.get(name)
        lines.append(f"  {name:<{width}}  {version!s:<{column}}" + (f"  {rule}" if rule else ""))
    lines += [f"  note: {warning_text(warning)}" for warning in resolution.warnings]
    lines += [] if gain is None else [f"  note: {gain_text(resolution, gain)}"]
    return "\n".join(line.rstrip() for line in lines)


def conflict_text(conflict: Conflict) -> str:
    """A conflict in words: the requirements; :func:`hints` has the hints."""
    lines = [f"{conflict.request.environment}: {message(conflict)}"]
    lines += [f"  {cause_text(cause, conflict.request)}" for cause in conflict.causes]
    return "\n".join(lines)


def hints(conflict: Conflict, form: CommandForm = SOLVE) -> tuple[str, ...]:
    """Changes that work, each as a command that was solved."""
    found = tuple(hint_of(one, form) for one in conflict.suggestions)
    return found or ("kgen matrix show   # nothing close to this request works; these are the facts",)


def message(conflict: Conflict) -> str:
    """One sentence about what is not available, and where it is, if that is known."""
    facts = [stated.fact for cause in conflict.causes for stated in cause.facts]
    changes = [change for suggestion in conflict.suggestions for change in suggestion.changes]
    alone = {str(change.value) for change in changes if change.field is RequestField.TARGET}
    parting = sorted(alone | {fact.machine for fact in facts if isinstance(fact, Wish) and fact.machine})
    fits = f"the targets {' and '.join(parting)} together" if len(parting) > 1 else "the request"
    return "; ".join(dict.fromkeys(_refusal_text(one, conflict.request, fits) for one in conflict.refusals))


def _forward_text(forward: ForwardRun, accelerator: Accelerator) -> str:
    maker, consumer = kind(accelerator.kind).maker, kind(accelerator.kind).driver_help.consumer
    more = ", …" if len(forward.devices) > _FEW else ""
    devices = ", ".join(forward.devices[:_FEW]) + more
    but = f", not on {consumer}" if consumer else ""
    return (
        f"driver {forward.driver} runs it where {maker}'s package {forward.package} is installed, on data-center GPUs"
        f" ({devices}){but}: ask with `--driver {forward.brings}` for such a machine"
    )


def _refusal_text(refusal: Refusal, request: EnvironmentRequest, fits: str) -> str:  # noqa: C901, PLR0911 - one line for each
    names, accelerator = refusal.names, title(request.accelerator)
    match refusal.kind:
        case RefusalKind.CHANNEL_LACKS_BUILD:
            return f"{refusal.text} has no build of {' and of '.join(names)} for this"
        case RefusalKind.CHANNELS_LACK_PACKAGES:
            has = "has" if len(names) == 1 else "have"
            return f"{' and '.join(names)} {has} no packages for this on {request.platform}"
        case RefusalKind.ELSEWHERE:
            return refusal.text
        case RefusalKind.FORWARD:
            return "" if refusal.forward is None else _forward_text(refusal.forward, request.accelerator)
        case RefusalKind.EXHAUSTED:
            return f"nothing is left of what the matrix allows for {request.environment}"
        case RefusalKind.INCOMPATIBLE:
            several = f"{', '.join(names[:-1])} and {names[-1]} together"
            wanted = several if len(names) > 1 else names[0]
            # where the request names no Python, another would do as well, and none does
            python = "" if request.python_open else f" and Python {request.python}"
            return f"there is no {wanted} for {accelerator}{python} that fits {fits}"
        case RefusalKind.NO_PYTHON:
            on = f"{accelerator} on {request.platform}"
            return f"no stable {names[0]} for {on} has a wheel for Python {request.python}"
        case RefusalKind.NO_ROW:
            asked = f" {refusal.text}" if refusal.text else ""
            stable = "" if VersionRange(refusal.text).names_early else "a stable "
            return f"the matrix has no row for {stable}{names[0]}{asked} for {accelerator} on {request.platform}"
        case RefusalKind.NOT_YET_RELEASED:
            return f"{names[0]} did not exist on {request.cutoff}: its first release was on {refusal.day}"
        case RefusalKind.WHEELS_ONLY:
            return f"{names[0]} is locked as wheels only: what conda's channels have of it is not followed"
