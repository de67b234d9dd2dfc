"""A resolution or a conflict as data for `--json`, and as text that reads like a colleague."""

from __future__ import annotations

from typing import Any

from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Cause, Conflict, Resolution, Suggestion
from kgen.solver.problem import REQUEST


def target_data(request: EnvironmentRequest) -> dict[str, Any]:
    """What an answer is about, which every answer begins with."""
    return {
        "environment": request.environment,
        "python": request.python,
        "platform": request.platform,
        "accelerator": request.accelerator.name,
    }


def solution_data(resolution: Resolution) -> dict[str, Any]:
    """A resolution as plain data, its keys in a fixed order."""
    return {
        **target_data(resolution.request),
        "cuda": resolution.cuda,
        "cudnn": None if resolution.cudnn is None else f"=={resolution.cudnn}",
        "driver": None if resolution.driver is None else f">={resolution.driver}",
        "packages": {name: str(version) for name, version in resolution.packages.items()},
        "libraries": {name: str(version) for name, version in resolution.libraries.items()},
        "warnings": list(resolution.warnings),
        "why": [{"subject": r.subject, "rule": r.rule, "source": r.source} for r in resolution.why],
    }


def conflict_data(conflict: Conflict) -> dict[str, Any]:
    """A conflict as plain data."""
    return {
        **target_data(conflict.request),
        "message": conflict.message,
        "causes": [{"subject": c.subject, "requires": c.requires, "source": c.source} for c in conflict.causes],
        "suggestions": [{"change": s.change, "gives": dict(s.gives)} for s in conflict.suggestions],
    }


def head(resolution: Resolution) -> str:
    """A resolution in one line: what, on what."""
    request = resolution.request
    text = f"{request.environment}: Python {request.python}, {request.platform}"
    if resolution.cuda is not None:
        cudnn = f", cuDNN {resolution.cudnn}" if resolution.cudnn is not None else ""
        text += f", CUDA {resolution.cuda}{cudnn}, driver {resolution.driver} or newer"
    return text


def gain_data(gain: Suggestion | None) -> dict[str, Any]:
    """What would give newer frameworks than a resolution has, as plain data."""
    return {"suggestions": [] if gain is None else [{"change": gain.change, "gives": dict(gain.gives)}]}


def gain_text(gain: Suggestion) -> str:
    """The same for people."""
    gives = ", ".join(f"{name} {version}" for name, version in gain.gives.items())
    return f"{gain.change} gives {gives}, in a build that only its own index has"


def solution_text(resolution: Resolution, gain: Suggestion | None = None) -> str:
    """A resolution for people: what, on what, and why not newer; and what would give newer frameworks."""
    width = max(len(name) for name in resolution.packages)
    rules: dict[str, str] = {}
    for reason in resolution.why:
        rules.setdefault(reason.subject.split()[0], reason.rule)
    column = max(10, *(len(str(version)) for version in resolution.packages.values()))
    lines = [head(resolution)]
    for name, version in resolution.packages.items():
        rule = rules.get(name)
        lines.append(f"  {name:<{width}}  {version!s:<{column}}" + (f"  {rule}" if rule else ""))
    lines += [f"  note: {warning}" for warning in resolution.warnings]
    lines += [] if gain is None else [f"  note: {gain_text(gain)}"]
    return "\n".join(line.rstrip() for line in lines)


def conflict_text(conflict: Conflict) -> str:
    """A conflict for people: who wants what; the hints are :func:`hints`."""
    lines = [f"{conflict.request.environment}: {conflict.message}"]
    lines += [f"  {cause_text(cause)}" for cause in conflict.causes]
    return "\n".join(lines)


def cause_text(cause: Cause) -> str:
    """One of the causes, for people."""
    if cause.subject == REQUEST:
        return f"you asked for {cause.requires} ({cause.source})"
    verb = "is built for" if cause.requires.startswith(("CUDA", "the CPU")) else "needs"
    return f"{cause.subject} {verb} {cause.requires}"


def hints(conflict: Conflict) -> tuple[str, ...]:
    """What would work, each as a line to act on."""
    found = []
    for suggestion in conflict.suggestions:
        gives = ", ".join(f"{name} {version}" for name, version in suggestion.gives.items())
        found.append(f"{suggestion.change} gives {gives}")
    return tuple(found) or ("nothing close to this request works; ask for less of it",)
