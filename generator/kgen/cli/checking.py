"""`kgen check`: is what is there what it should be? No network."""

from __future__ import annotations

import argparse
from pathlib import Path

from kgen import project
from kgen.actions.check import check
from kgen.cli import console
from kgen.errors import ExitStatus
from kgen.matrix import origin


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Look at the locks, or at what is installed from them."""
    root = project.find_root(Path.cwd())
    if arguments.installed:
        from kgen.cli import installed  # noqa: PLC0415 - the locks alone are looked at in a fraction of its imports

        return installed.run(root, arguments)
    result = check(root, origin.current(), arguments.environments)
    if arguments.json:
        console.data({"findings": [finding._asdict() for finding in result.findings]})
    else:
        for finding in result.findings:
            console.result(f"{finding.kind}: {finding.environment}: {finding.path} {finding.what}")
        console.hints(finding.mend for finding in result.findings if finding.mend is not None)
        names = ", ".join(result.faulty or result.environments)
        state = "out of order" if result.faulty else "in order"
        console.say(f"{chr(10) if result.findings else ''}{names}: {state}")
    return ExitStatus.CHECK_FAILED if result.faulty else ExitStatus.DONE
