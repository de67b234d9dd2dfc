"""`kgen check`: is what is there what it should be? No network."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from kgen import condafiles, host, lockfiles, project, resources
from kgen.cli import console
from kgen.cli.environments import find
from kgen.condafiles import CondaFile
from kgen.emitters.hooks import render_hooks
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.installers.environment import Source
from kgen.installers.verify import Difference, differences, differences_of_conda, summary
from kgen.lockfiles import LockedEnvironment
from kgen.matrix.compatibility import load
from kgen.model.lockfile import Lockfile
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
    for path, what in _hook_findings(environment, locks[0]) if locks else ():
        yield finding("fault", path, what, "kgen lock")
    for kind, path, what in _conda_findings(environment.folder, locks):
        yield finding(kind, path, what, "kgen lock --conda")
    for receipt in receipts.find(environment.folder):
        if receipt.stale:
            yield finding(
                "note", receipt.path, "is older than the lock: it proves another one", f"kgen validate {name}"
            )


def _hook_findings(environment: LockedEnvironment, lock: Lockfile) -> Iterator[tuple[Path, str]]:
    for place, text in render_hooks(environment.name, lock.variables).items():
        path = environment.folder / place
        try:
            content = path.read_bytes()
        except OSError:
            yield path, "is missing"
            continue
        if content != text.encode():
            yield path, "is not what kgen writes: it was edited, or is of another kgen"


def _conda_findings(folder: Path, locks: Sequence[Lockfile]) -> Iterator[tuple[Literal["fault", "note"], Path, str]]:
    records = folder / condafiles.RECORDS
    if not records.exists():
        return
    from kgen.lockers.conda import text  # noqa: PLC0415 - for who locks for conda

    try:
        file = condafiles.read(records)
    except KgenError as error:
        yield "fault", records, f"cannot be relied on: {error.message.removeprefix(f'{records} ')}"
        return
    try:
        expected = text.files(file)
    except UsageError as error:
        yield "note", folder / condafiles.CONDA_LOCK, f"was not compared: {error.message}"
        expected = {}
    for place, content in expected.items():
        path = folder / place
        try:
            actual = path.read_bytes()
        except OSError:
            yield "fault", path, "is missing"
            continue
        if actual != content.encode():
            yield "fault", path, "is not what kgen writes: it was edited, or is of another kgen"
    for lock in locks:
        other = _other_versions(file, lock)
        if other:
            where = f" on {lock.platform}" if len(file.platforms) > 1 else ""
            why = "a channel builds a release when it comes to it"
            yield "note", folder / condafiles.CONDA_LOCK, f"has other versions than the wheels{where}: {other}; {why}"


def _other_versions(file: CondaFile, lock: Lockfile) -> str:
    """The frameworks and their parts that conda's lock has in another version, each with both."""
    locked = file.platforms.get(lock.platform)
    ours = {one["name"]: one["version"] for one in locked.packages} if locked else {}
    names = load(resources.folder("matrix")).conda.names
    return ", ".join(
        f"{name} {found} (as a wheel {version})"
        for name, version in sorted(lock.packages.items())
        if (found := ours.get(names.get(name, name))) is not None and found != version.partition("+")[0]
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
    found = [(source, _differences(source)) for source in sources]
    if arguments.json:
        console.data({"environments": [_data(source, several) for source, several in found]})
    for source, several in found:
        if not arguments.json:
            console.result(_text(source, several))
    wrong = [source for source, several in found if several]
    console.hints(f"kgen sync --reinstall {'--conda ' if one.conda else ''}{one.environment.name}" for one in wrong)
    return ExitStatus.CHECK_FAILED if wrong else ExitStatus.DONE


def _differences(source: Source) -> tuple[Difference, ...]:
    if not source.conda:
        return differences(source, lockfiles.read(source.lock))
    from kgen.installers.conda import platform_of  # noqa: PLC0415 - for who has such an environment

    return differences_of_conda(source, platform_of(condafiles.read(source.lock), host.subdir()))


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
        "prefix": str(source.prefix),
        "lock": f"sha256:{source.digest}",
        "differences": [one._asdict() for one in found],
    }
