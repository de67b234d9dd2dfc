"""`kgen check --installed`: is every file of the environments on disk what the locks say?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen.actions.check_installed import compare
from kgen.cli import console
from kgen.errors import ExitStatus
from kgen.formats.environment import Source
from kgen.formats.verify import Difference, summary

_SHOWN = 20
"""So many differences of an environment are listed; `--json` has all of them."""


def run(root: Path, environments: Sequence[str], envs: str | None, *, json: bool) -> ExitStatus:
    """Compare what is on disk with the locks, file by file."""
    found = compare(root, environments, envs)
    if json:
        console.data({"environments": [_data(source, several) for source, several in found]})
    for source, several in found:
        if not json:
            console.result(_text(source, several))
    wrong = [source for source, several in found if several]
    console.hints(f"kgen sync --reinstall {one.name}" for one in wrong)
    return ExitStatus.CHECK_FAILED if wrong else ExitStatus.DONE


def _text(source: Source, found: Sequence[Difference]) -> str:
    name = source.name
    if not found:
        return f"{name}: every file is as locked"
    if found[0] == Difference("removed", ".", None):
        return f"{name}: is not on disk"
    counts = ", ".join(f"{count} {kind}" for kind, count in summary(tuple(found)).items() if count)
    lines = [f"{name}: {counts}"]
    lines += [f"  {one.kind:8}{one.path}{f'  ({one.package})' if one.package else ''}" for one in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more; --json has all of them")
    return "\n".join(lines)


def _data(source: Source, found: Sequence[Difference]) -> dict[str, object]:
    return {
        "environment": source.name,
        "format": source.form.name,
        "prefix": str(source.prefix),
        "lock": f"sha256:{source.digest}",
        "differences": [one._asdict() for one in found],
    }
