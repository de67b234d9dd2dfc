"""Explanations of versions as text for people and data for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kgen.explain import report
from kgen.explain.causes import cause_data, cause_text, source_text
from kgen.explain.commands import SOLVE, CommandForm, hint_of
from kgen.explain.reasons import reason_data, reason_rule, reason_subject
from kgen.model.causes import REQUEST, NewestRelease
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution, Suggestion
from kgen.solver.explanation import Explanation


def data(
    resolution: Resolution,
    explanations: tuple[Explanation, ...],
    gain: Suggestion | None = None,
    form: CommandForm = SOLVE,
) -> dict[str, Any]:
    """An explanation as plain data, its keys in a fixed order."""
    request = resolution.request
    return {
        **report.target_data(request),
        **report.runtime_data(resolution.runtime),
        "versions": [
            {
                "package": one.package,
                "version": str(one.version),
                "newest": str(one.newest),
                "reasons": [reason_data(reason, request.cutoff_flag) for reason in one.reasons],
                "unlocked": None if one.unlocked is None else str(one.unlocked),
                "held-by": [cause_data(cause, request) for cause in one.causes],
                "ways": [report.suggestion_data(way, request, form) for way in one.ways or ()],
            }
            for one in explanations
        ],
        **report.gain_data(resolution, gain, form),
    }


def text(
    resolution: Resolution,
    explanations: tuple[Explanation, ...],
    gain: Suggestion | None = None,
    form: CommandForm = SOLVE,
) -> str:
    """An explanation for people, with what would give newer frameworks."""
    lines = [report.head(resolution)]
    for one in explanations:
        lines += ["", *_paragraph(one, resolution.request, form)]
    lines += [] if gain is None else ["", f"  {report.gain_text(resolution, gain)}."]
    return "\n".join(lines)


def _paragraph(one: Explanation, request: EnvironmentRequest, form: CommandForm) -> Iterator[str]:
    held = one.version != one.newest
    if held:
        yield f"  {one.package} is {one.version}, and the newest is {one.newest}."
    else:
        yield f"  {one.package} {one.version} is the newest there is."
    if one.unlocked is not None:
        yield f"    it is as locked; `kgen lock --upgrade-package {one.package}` tries {one.unlocked}"
    for reason in one.reasons:
        rule = reason_rule(reason, request.cutoff_flag)
        if reason.package != one.package:
            yield f"    {reason_subject(reason)} {rule}"
        elif held or reason.ground is not NewestRelease.NEWEST:
            yield f"    {rule}"
    if one.causes:
        yield f"    {one.newest} is held back, as"
    for cause in one.causes:
        yield f"      {cause_text(cause, request)}"
        yield from [f"        source: {source_text(cause.source, request)}"] if cause.subject != REQUEST else []
    if one.ways is not None:
        yield from _ways(one.ways, form)


def _ways(ways: tuple[Suggestion, ...], form: CommandForm) -> Iterator[str]:
    if not ways:
        yield "    no single change to this request gives it"
        return
    yield "    it would be had with"
    for way in ways:
        yield f"      {hint_of(way, form)}"
