"""`kgen check`: is what is there what it should be? No network."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from kgen import lockfiles, project
from kgen.cli import console
from kgen.cli.environments import find
from kgen.emitters.hooks import render_hooks
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.installers.environment import Source
from kgen.installers.verify import Difference, differences, summary
from kgen.lockfiles import LockedEnvironment
from kgen.validate import receipts

_SHOWN = 20
"""So many differences of an environment are listed; `--json` has all of them."""


class Finding(NamedTuple):
    """Something about a locked environment that is not as it should be.

    Attributes:
        kind: `fault` if the lock cannot be relied on, `note` if it is worth knowing.
        environment: the environment.
        path: the file, relative to the project.
        what: what is wrong with it.
        mend: the command that mends it.
    """

    kind: Literal["fault", "note"]
    environment: str
    path: str
    what: str
    mend: str


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Look at the locks, or at what is installed from them."""
    root = project.find_root(Path.cwd())
    if arguments.installed:
        return _installed(root, arguments)
    chosen = [lockfiles.choose(root, name) for name in arguments.environments] or list(lockfiles.environments(root))
    if not chosen:
        raise UsageError(f"nothing is locked in {root}", hints=["kgen lock"])
    found = [finding for environment in chosen for finding in _findings(root, environment)]
    if arguments.json:
        console.data({"findings": [finding._asdict() for finding in found]})
    else:
        for finding in found:
            console.result(f"{finding.kind}: {finding.environment}: {finding.path} {finding.what}")
        console.hints(finding.mend for finding in found)
    faulty = dict.fromkeys(finding.environment for finding in found if finding.kind == "fault")
    if not arguments.json:
        names = ", ".join(faulty or (one.name for one in chosen))
        console.say(f"{'' if not found else chr(10)}{names}: {'out of order' if faulty else 'in order'}")
    return ExitStatus.CHECK_FAILED if faulty else ExitStatus.DONE


def _findings(root: Path, environment: LockedEnvironment) -> Iterator[Finding]:
    name = environment.name

    def finding(kind: Literal["fault", "note"], path: Path, what: str, mend: str) -> Finding:
        return Finding(kind, name, path.relative_to(root).as_posix(), what, mend)

    locks = []
    for path in environment.platforms.values():
        try:
            locks.append(lockfiles.read(path))
        except KgenError as error:
            reason = error.message.removeprefix(f"{path}: ").removeprefix(f"{path} ")
            yield finding("fault", path, f"cannot be relied on: {reason}", "kgen lock")
    if locks:
        for place, text in render_hooks(name, locks[0].variables).items():
            path = environment.folder / place
            try:
                content = path.read_bytes()
            except OSError:
                yield finding("fault", path, "is missing", "kgen lock")
                continue
            if content != text.encode():
                yield finding(
                    "fault", path, "is not what kgen writes: it was edited, or is of another kgen", "kgen lock"
                )
    for receipt in receipts.find(environment.folder):
        if receipt.stale:
            yield finding(
                "note", receipt.path, "is older than the lock: it proves another one", f"kgen validate {name}"
            )


# -- what is installed -------------------------------------------------------------------------------------------------


def _installed(root: Path, arguments: argparse.Namespace) -> ExitStatus:
    """Compare what is on disk with the locks, file by file."""
    names = arguments.environments or [one.name for one in lockfiles.environments(root)]
    sources = [find(name, arguments.envs) for name in names]
    if not arguments.environments:
        sources = [source for source in sources if source.prefix.is_dir()]
    if not sources:
        raise UsageError("no environment is on disk", hints=["kgen sync --all"])
    found = [(source, differences(source, lockfiles.read(source.lock))) for source in sources]
    if arguments.json:
        console.data({"environments": [_data(source, several) for source, several in found]})
    for source, several in found:
        if not arguments.json:
            console.result(_text(source, several))
    wrong = [source.environment.name for source, several in found if several]
    console.hints(f"kgen sync --reinstall {name}" for name in wrong)
    return ExitStatus.CHECK_FAILED if wrong else ExitStatus.DONE


def _text(source: Source, found: Sequence[Difference]) -> str:
    name = source.environment.name
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
        "environment": source.environment.name,
        "prefix": str(source.prefix),
        "lock": f"sha256:{source.digest}",
        "differences": [one._asdict() for one in found],
    }
