"""`kgen mcp`: what kgen knows, as tools of the Model Context Protocol; it reads, and changes nothing."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 9,
    "purpose": "answer programs over the Model Context Protocol, on stdin and stdout: solve, explain, check, doctor",
    "example": "kgen mcp",
}

from kgen.errors import ExitStatus, MissingExtraError


def run() -> ExitStatus:
    """Serve until the other side ends."""
    try:
        from kgen.cli import protocol  # noqa: PLC0415 - few have what it takes
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "kgen":
            raise
        raise MissingExtraError(
            f"`kgen mcp` needs the package {error.name}, which is not here", hints=["pip install 'keras-kgen[mcp]'"]
        ) from None
    protocol.serve()
    return ExitStatus.DONE
