"""Entry point of the `kgen` command; kept light, so that `kgen --version` costs next to nothing.

What it imports comes before ctrl-C is heeded: Python itself would answer that with a traceback.
"""

from __future__ import annotations

from kgen import INTERRUPTED, pythonpath

_hiding = pythonpath.leave_folder() if __name__ == "__main__" else ""  # before anything is imported from there

import gc  # noqa: E402 - as above
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_OUTSIDE = 4
"""`ExitStatus.OUTSIDE`, whose module needs the standard library."""


def main() -> int:
    """Run the command line; returns the exit status."""
    if _hiding:
        _end(
            f"{_hiding} is called like a module of Python's own, and `python -m` imports it in the place of that",
            pythonpath.called_elsewhere(sys.argv[1:]),
        )
    # Nothing has been started or written while kgen is being imported: ctrl-C can end it on the spot, whatever line of
    # an import it meets. A shell that lets nobody interrupt what it runs has the signal ignored.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    _fill_closed()
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from kgen import __version__  # noqa: PLC0415 - spares importing the command line
        from kgen.cli import console  # noqa: PLC0415 - as above

        console.result(f"kgen {__version__}")
        os._exit(console.finished(0))
    from kgen import replay  # noqa: PLC0415 - as above

    if replay.again(arguments):
        os._exit(0)
    # A run makes many objects and keeps most of them to its end: looking for garbage costs it 10 ms and finds none.
    gc.disable()
    try:
        from kgen.cli.main import run  # noqa: PLC0415
    except Exception as error:
        home = os.environ.get("PYTHONHOME")  # noqa: TID251 - kgen.host may not be imported either
        hiding = pythonpath.hiding()
        if hiding:
            _end(f"PYTHONPATH has a module called like Python's own: {hiding}", "unset PYTHONPATH")
        if home and isinstance(error, ImportError):
            _end(f"PYTHONHOME={home!a} leads Python to another standard library: {error}", "unset PYTHONHOME")
        raise

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = run(arguments)
    if status == 0:
        replay.keep()
    # All that was opened is closed. What is left is to take down thousands of objects one by one, which costs a tenth
    # of a solve, and after ctrl-C to wait for a thread that sits in a read of the network.
    os._exit(status)


def _end(told: str, hint: str) -> NoReturn:
    os.write(2, f"error: {told}\n\nhint: {hint}\n".encode("utf-8", "backslashreplace"))
    os._exit(_OUTSIDE)


def _leave(number: int, _frame: object) -> None:
    try:  # noqa: SIM105 - nothing more is imported on the way out, or on the way in
        os.write(2, f"{INTERRUPTED}\n".encode())
    except OSError:
        pass
    os._exit(128 + number)


def _fill_closed() -> None:
    """Puts something in the place of standard streams that are closed: the next file that is opened would be there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            try:  # noqa: SIM105 - as above
                os.open(os.devnull, os.O_RDWR)
            except OSError:
                pass


if __name__ == "__main__":
    sys.exit(main())
