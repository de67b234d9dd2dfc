"""Entry point of the `kgen` command; kept light, so that `kgen --version` costs next to nothing."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from kgen import __version__  # noqa: PLC0415 - spares importing the command line

        sys.stdout.write(f"kgen {__version__}\n")
        return 0
    from kgen.cli.main import run  # noqa: PLC0415

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
