"""`kgen report`: every locked environment on one page that needs nothing else."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 2,
    "purpose": "write one page about all locked environments, with their reasons and proofs",
    "example": "kgen report --output report.html",
}

from pathlib import Path
from typing import Annotated

from kgen import host, storage
from kgen.actions.report import page
from kgen.cli import console
from kgen.cli.options import OUTPUT, option
from kgen.cli.receipts import Sources, remark
from kgen.cli.receipts_list import say_skipped
from kgen.cli.signers import Identities, Issuer, Keys, TrustConfig, trust_of
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root


def run(
    sources: Sources = None,
    *,
    key: Keys = None,
    identity: Identities = None,
    issuer: Issuer = None,
    trust_config: TrustConfig = None,
    output: Annotated[
        str, option("-o", "--output", metavar="FILE", text="where to write it; report.html by default", panel=OUTPUT)
    ] = "report.html",
) -> ExitStatus:
    """Write the page."""
    found = page(
        find_root(Path.cwd()),
        origin.current(),
        sources=sources or (),
        machine=host.inspect(),
        trust=trust_of(key, identity, issuer, trust_config),
        report=remark,
    )
    target = Path(output)
    storage.write_file(target, found.text.encode())
    console.say(f"{target}: {found.locks} locked environment{'' if found.locks == 1 else 's'}")
    return say_skipped(found.collected)
