"""`kgen check --installed`: is every file of the environments on disk what the locks say?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen import host, lockfiles
from kgen.cli import console
from kgen.cli.environments import find
from kgen.errors import ExitStatus, UsageError
from kgen.formats import interface
from kgen.formats.environment import Source
from kgen.formats.verify import Difference, summary
from kgen.model import format as formats

_SHOWN = 20
"""So many differences of an environment are listed; `--json` has all of them."""


def run(root: Path, environments: Sequence[str], envs: str | None, *, json: bool) -> ExitStatus:
    """Compare what is on disk with the locks, file by file."""
    known = lockfiles.environments(root)
    every = [one.name for one in known if (host.subdir() or "") in one.platforms]
    every += [
        f"{one.name}{form.suffix}"
        for form in formats.others()
        for one in known
        if lockfiles.lock_path(one, form) is not None
    ]
    sources = [find(name, envs) for name in environments or sorted(every)]
    if not environments:
        sources = [source for source in sources if source.prefix.is_dir()]
    if not sources:
        raise UsageError("no environment is on disk", hints=["kgen sync --all"])
    found = [(source, interface.installer(source.form).differences(source)) for source in sources]
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
