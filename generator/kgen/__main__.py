"""Entry point of the `kgen` command; kept light, so that `kgen --version` costs next to nothing."""

from __future__ import annotations

import contextlib
import gc
import os
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from kgen import __version__  # noqa: PLC0415 - spares importing the command line

        sys.stdout.write(f"kgen {__version__}\n")
        return 0
    # A run makes many objects and keeps most of them to its end: looking for garbage costs it 10 ms and finds none.
    gc.disable()
    from kgen.cli.main import run  # noqa: PLC0415

    status = run(arguments)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # All that was opened is closed. What is left is to take down thousands of objects one by one, which costs a tenth
    # of a solve, and after ctrl-C to wait for a thread that sits in a read of the network.
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
