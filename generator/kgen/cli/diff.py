"""`kgen diff A B`: what changed between two locks, in words or as Markdown for a pull request.

A side is a lock, a folder of locks, or a revision of git; without a second one the working tree is compared with.
"""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 4,
    "purpose": "show what changed between two locks",
    "example": "kgen diff HEAD~1",
}

from pathlib import Path
from typing import Annotated, Any

from kgen.actions.diff import Change, Difference, diff
from kgen.cli import console
from kgen.cli.options import OUTPUT, Json, argument, option
from kgen.emitters.quoting import quote_markdown
from kgen.errors import ExitStatus
from kgen.explain.sizes import size_text
from kgen.project import find_root

_SIDES = "What is compared"


def run(
    before: Annotated[
        str | None,
        argument("A", "a lock, a folder of locks, an environment, or a revision of git; HEAD by default", panel=_SIDES),
    ] = None,
    after: Annotated[
        str | None, argument("B", "the same; by default the locks of the working tree", panel=_SIDES)
    ] = None,
    *,
    markdown: Annotated[bool, option("--markdown", text="print Markdown, for a pull request", panel=OUTPUT)] = False,
    json: Json = False,
) -> ExitStatus:
    """Compare two sides and print what changed."""
    found = diff(find_root(Path.cwd()), before or "HEAD", after, notify=lambda line: console.say(f"note: {line}"))
    if json:
        console.data({"locks": [_data(one) for one in found]})
    elif markdown:
        console.result("\n\n".join(map(_markdown, found)) or "No lock has changed.")
    else:
        console.result("\n\n".join(map(_text, found)) or "no lock has changed")
    return ExitStatus.DONE


# -- printing ----------------------------------------------------------------------------------------------------------


def _data(one: Difference) -> dict[str, Any]:
    return {
        "lock": one.lock,
        "other": one.other,
        "state": one.state,
        "size": {"before": one.sizes[0], "after": one.sizes[1]},
        "changes": [{**change._asdict(), "direction": change.direction} for change in one.changes],
        "licences": {
            "changed": [{"package": of, "before": before, "after": after} for of, before, after in one.licences],
            "new": {licence: list(names) for licence, names in one.unseen.items()},
        },
    }


def _size(one: Difference) -> str | None:
    before, after = (None if size is None else size_text(size) for size in one.sizes)
    if one.state != "changed":
        return f"download {after or before or '?'}"
    return None if before == after else f"download {before or '?'} -> {after or '?'}"


def _words(change: Change) -> str:
    if change.direction in {"added", "removed"}:
        return f"{change.what} {change.after or change.before} {change.direction}"
    way = "" if change.direction == "changed" else f" ({change.direction})"
    return f"{change.what} {change.before} -> {change.after}{way}"


def _text(one: Difference) -> str:
    size = _size(one)
    if one.state != "changed":
        return f"{one.lock}: {one.state}, {size}"
    lines = [_words(change) for change in one.changes]
    lines += [f"licence of {of}: {before} -> {after}" for of, before, after in one.licences]
    lines += [f"a licence that nothing had before: {said} ({', '.join(of)})" for said, of in one.unseen.items()]
    lines += [size] if size else []
    return "\n".join(
        [
            f"{one.title}: changed",
            *(f"  {line}" for line in lines or ["the same versions; something else in the lock is not"]),
        ]
    )


def _markdown(one: Difference) -> str:
    size = _size(one)
    if one.state != "changed":
        return f"### {one.lock}\n\n{_sentence(one.state)}, {size}."
    if not (one.changes or one.licences):
        return f"### {one.title}\n\nThe same versions; something else in the lock is not."
    rows = [
        f"| {_cell(change.what)} | {_cell(change.before)} | {_cell(change.after)} | {change.direction} |"
        for change in one.changes
    ]
    rows += [
        f"| licence of {_cell(of)} | {_cell(before)} | {_cell(after)} | changed |" for of, before, after in one.licences
    ]
    table = "\n".join(["| what | before | after | |", "|---|---|---|---|", *rows])
    said = [
        f"A licence that nothing had before: {quote_markdown(name)} ({', '.join(of)})."
        for name, of in one.unseen.items()
    ]
    said += [f"{_sentence(size)}."] if size else []
    return "\n\n".join([f"### {one.title}", table, *said])


def _sentence(text: str) -> str:
    """The text with a capital at its head; the letters of its units stay as they are."""
    return f"{text[:1].upper()}{text[1:]}"


def _cell(text: str | None) -> str:
    return "-" if text is None else quote_markdown(text)
