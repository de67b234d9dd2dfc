"""Prints what was locked, in whatever form: rows of a table for people, and one shape of data for programs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kgen import accelerators
from kgen.cli import console
from kgen.errors import CONFLICT_CODE
from kgen.explain.commands import SOLVE, CommandForm
from kgen.explain.notes import folded
from kgen.explain.sizes import size_text
from kgen.formats.outcome import Locked, Outcome, Summary
from kgen.model import grammar
from kgen.model.format import Format
from kgen.model.request import EnvironmentRequest

if TYPE_CHECKING:
    from kgen.model.resolution import Conflict

SCHEMA = 2
"""The form of the data that `kgen lock --json` prints."""

_STATES = {None: "not written", True: "written", False: "unchanged"}
"""What became of an environment's folder; without an answer one of its platforms could not be locked."""

_USUAL = "linux-64"
"""The platform that need not be named."""


def label(outcome: Outcome[Locked]) -> str:
    """The environment, with its form and platform where they are not the usual ones."""
    request, form = outcome.request, outcome.form
    apart = ("" if form.is_default else form.name, "" if request.platform == _USUAL else request.platform)
    said = " ".join(filter(None, apart))
    return f"{request.environment} ({said})" if said else request.environment


def table(outcomes: Sequence[Outcome[Locked]], written: Mapping[str, bool]) -> str:
    """A row for each lock.

    Args:
        outcomes: what became of the requests; those without a lock are left out.
        written: environment -> whether anything of its folder changed; without those that were not written.
    """
    locked = [(one, one.lock) for one in outcomes if one.lock is not None]
    whole = _whole(outcomes)
    runtimes = [lock.summary.runtime for _, lock in locked if lock.summary.runtime is not None]
    kinds = dict.fromkeys(accelerators.kind(one.kind).title for one in runtimes)
    runtime = ", ".join(kinds) or accelerators.probed()[0].title
    headings = ("environment", "frameworks", runtime, "cuDNN", "packages", "download", "time", "lock")
    return console.table(headings, [_row(one, lock, _changed(one, whole, written)) for one, lock in locked])


_InForm = tuple[str, str]
"""An environment in a form."""


def _in_form(outcome: Outcome[Locked]) -> _InForm:
    return outcome.request.environment, outcome.form.name


def _whole(outcomes: Sequence[Outcome[Locked]]) -> Collection[_InForm]:
    """What was locked on all its platforms: of the rest no file is written, also where another form of it is."""
    return {_in_form(one) for one in outcomes} - {_in_form(one) for one in outcomes if one.lock is None}


def _changed(outcome: Outcome[Locked], whole: Collection[_InForm], written: Mapping[str, bool]) -> bool | None:
    """Whether anything of the folder that its lock is in changed; None where it was not written."""
    return written.get(outcome.request.environment) if _in_form(outcome) in whole else None


def _row(outcome: Outcome[Locked], lock: Locked, changed: bool | None) -> tuple[str, ...]:  # noqa: FBT001 - one of three
    summary = lock.summary
    return (
        label(outcome),
        ", ".join(f"{name} {version}" for name, version in summary.frameworks.items()),
        "-" if summary.runtime is None else summary.runtime.number or summary.runtime.name,
        summary.cudnn or "-",
        str(len(summary.versions)),
        size_text(lock.size),
        f"{outcome.seconds:.1f} s",
        _STATES[changed],
    )


def data(
    outcomes: Sequence[Outcome[Locked]], written: Mapping[str, bool], form: CommandForm = SOLVE
) -> dict[str, object]:
    """All of them as data: a row for each, its keys in a fixed order and the same in every form.

    Args:
        outcomes: what became of the requests.
        written: environment -> whether anything of its folder changed; without those that were not written.
        form: how hints ask for a changed request.
    """
    whole = _whole(outcomes)
    rows = [_data(one, _changed(one, whole, written), form) for one in outcomes]
    return {"schema": SCHEMA, "environments": rows}


def _data(outcome: Outcome[Locked], changed: bool | None, form: CommandForm) -> dict[str, object]:  # noqa: FBT001 - as above
    from kgen.explain import report  # noqa: PLC0415 - slow to import, and a table needs none of it

    request = outcome.request
    head = {**report.target_data(request), "format": outcome.form.name}
    if outcome.lock is not None:
        return {
            **head,
            **_summary_data(outcome.lock.summary),
            "size": outcome.lock.size,
            "seconds": round(outcome.seconds, 3),
            "changed": changed,
            "notes": [*outcome.notes, *outcome.remarks],
        }
    if outcome.conflict is not None:
        tree = {"tree": outcome.tree} if outcome.tree else {}
        return {**head, "conflict": report.conflict_data(outcome.conflict, _asking_for(outcome, form)), **tree}
    if outcome.error is not None:
        return {**head, "error": {"message": outcome.error.message, "hints": list(outcome.error.hints)}}
    return head


def _summary_data(summary: Summary) -> dict[str, object]:
    from kgen.explain import report  # noqa: PLC0415 - slow to import, and a table needs none of it

    return {
        **report.runtime_data(summary.runtime),
        "cudnn": None if summary.cudnn is None else f"=={summary.cudnn}",
        "driver": None if summary.driver is None else f">={summary.driver}",
        "frameworks": dict(summary.frameworks),
        "packages": dict(summary.packages),
        "libraries": dict(summary.libraries),
        "warnings": list(summary.warnings),
        "why": list(summary.why),
        "locked": dict(summary.versions),
        "licences": dict(summary.licences),
    }


def tell(outcomes: Sequence[Outcome[Locked]], form: CommandForm, *, standing: bool, portable: bool) -> None:
    """Print what the table has no room for, a form after the other: notes, warnings, refusals and failures.

    Args:
        outcomes: what became of the requests.
        form: how hints ask for a changed request.
        standing: whether what was there is unchanged where nothing new is.
        portable: whether locks name no place to fetch a file from.
    """
    for _, members in itertools.groupby(outcomes, key=lambda one: one.form):
        mine = list(members)
        for note in folded((one.request, note) for one in mine for note in (*one.notes, *one.remarks)):
            console.say(f"note: {note}")
        for outcome in mine:
            if outcome.moved:
                moved = ", ".join(outcome.moved)
                console.say(
                    f"note: {outcome.request.environment}: moved as well, as what is upgraded needs it: {moved}"
                )
        _tell_warnings(mine, portable=portable)
        _tell_failures(mine, form)
        missing = list(dict.fromkeys(one.request.environment for one in mine if one.lock is None))
        if missing:
            left = "; existing locks are unchanged" if standing else ""
            own = mine[0].form
            which = "" if own.is_default else f" for {own.name}"
            console.say(f"\nnot locked{which}: {', '.join(missing)}{left}")


def _tell_warnings(outcomes: Sequence[Outcome[Locked]], *, portable: bool) -> None:
    summaries = [(one.request, one.lock.summary) for one in outcomes if one.lock is not None]
    said = ((request, f"{request.environment}: {one}") for request, summary in summaries for one in summary.warnings)
    for warning in folded(said):
        console.say(f"warning: {warning}")
    found = ((request, one) for request, summary in summaries for one in _local(request, summary.local, portable))
    for warning in folded(found):
        console.say(f"warning: {warning}")


def _local(request: EnvironmentRequest, found: Sequence[str], portable: bool) -> Iterator[str]:  # noqa: FBT001 - as it is set
    """What is locked from where this machine alone has it: files that uv found in a folder, and what is built."""
    built = [name for name in found if re.fullmatch(f"{grammar.WHEEL}|{grammar.SOURCE}", name) is None]
    fetched = [name for name in found if name not in built]
    if fetched and not portable:
        yield (
            f"{request.environment}: {_and_more(fetched)} came from a folder of this machine, as uv is configured"
            " (`find-links`); others do not have it there; `portable = true` locks by name and hash"
        )
    if built:
        yield (
            f"{request.environment}: {_and_more(built)} is built from a place of this machine, which others do not"
            " have; a repository that they reach, or a folder in the project's own, is there for all"
        )


def _and_more(names: Sequence[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _tell_failures(outcomes: Sequence[Outcome[Locked]], form: CommandForm) -> None:
    # an index or a channel that is down is down for every environment, and once is enough to say so
    printed: set[str] = set()
    failed = [(one.request.environment, one.error) for one in outcomes if one.error is not None]
    for outcome in outcomes:
        if outcome.conflict is not None:
            text = _conflict_text(outcome.conflict)
        elif outcome.error is not None:
            text = outcome.error.message.removeprefix(f"{outcome.request.environment}: ")
        else:
            continue
        if text in printed:
            continue
        printed.add(text)
        if outcome.conflict is not None:
            tell_conflict(outcome.conflict, _asking_for(outcome, form), before="\n", tree=outcome.tree)
        elif outcome.error is not None:
            same = {name: error for name, error in failed if error.message.removeprefix(f"{name}: ") == text}
            whose = f"{', '.join(same)}: " if text != outcome.error.message else ""
            console.say(f"\nerror: {whose}{text}")
            console.hints(hint for error in same.values() for hint in error.hints)
            console.more(outcome.error.code)


def _conflict_text(conflict: Conflict) -> str:
    from kgen.explain import report  # noqa: PLC0415 - as above

    return report.conflict_text(conflict)


def _asking_for(outcome: Outcome[Locked], form: CommandForm) -> CommandForm:
    """The same form of hints, where they ask for locks of the outcome's form beside those that were asked for."""
    asked: Iterable[Format] = form.values.get("installers", ())  # type: ignore[assignment]
    others = (one for one in asked if one.name != outcome.form.name)
    return form._replace(values={**form.values, "installers": (outcome.form, *others)})


def tell_conflict(conflict: Conflict, form: CommandForm = SOLVE, *, before: str = "", tree: str = "") -> None:
    """Print why there is no solution, and what would give one.

    Args:
        conflict: the conflict.
        form: how hints ask for a changed request.
        before: what is printed before it.
        tree: the resolver's own reasons, which `--json` has.
    """
    from kgen.explain import report  # noqa: PLC0415 - as above

    console.say(f"{before}error: {report.conflict_text(conflict)}")
    console.hints([*report.hints(conflict, form), *(["`--json` has the resolver's own reasons"] if tree else [])])
    console.more(CONFLICT_CODE)
