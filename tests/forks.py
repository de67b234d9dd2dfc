"""`kgen` as a process that needs not import everything anew: it is forked from one that has.

Two thirds of what the tests cost are processes of kgen's, and a third of each is the interpreter's start and imports. A
process that has imported what kgen imports, and has called nothing of it, waits for calls. For each it forks a child,
which becomes `python -m kgen` in every other respect: its own folder, environment, streams and arguments, a process
that is killed, exits and leaves things behind as any.

What a child could see of that is left to a process of its own (`Forks.serves`): variables that the interpreter or an
imported module reads at its start, and a folder that has a module in the place of an imported one. Sets of texts have
another order in each process, so two of these processes take turns: two calls in a row differ in it.

With `KGEN_TESTS_FORK=0` every call is a process of its own.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

IMPORTED = (
    *("jinja2", "requests", "runpy", "netrc", "typer._click.decorators", "uv._find_uv"),
    *("kgen.cli.main", "kgen.cli.lock", "kgen.cli.lock_call", "kgen.cli.progress", "kgen.actions.lock"),
    *("kgen.actions.interpreters", "kgen.formats.wheels.assembly", "kgen.formats.wheels.locker"),
    *("kgen.formats.environment", "kgen.served.archive", "kgen.served.client", "kgen.served.file", "kgen.transport"),
    *("kgen.shells.bash", "kgen.shells.fish", "kgen.shells.nu", "kgen.shells.pwsh", "kgen.shells.sh"),
    *("kgen.shells.tcsh", "kgen.shells.zsh", "kgen.solver.accelerator", "kgen.usertoken", "kgen.wheels"),
)
"""What `kgen lock` imports on its way."""

STARTING = ("PYTHON", "LD_", "LC_", "GLIBC_", "MALLOC_", "OPENSSL_")
"""What variables begin with that the interpreter, the loader or a library reads at its start."""

STARTING_NAMES = frozenset({"LANG", "LANGUAGE", "TZ"})

_TURNS = 2


class _Watched(os._Environ[str]):
    """An environment that keeps which of its variables were asked for."""

    asked: set[str]

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return str(super().__getitem__(name))


# -- the process that is forked ----------------------------------------------------------------------------------------


def _wait_for_calls(place: str) -> tuple[dict[str, Any], list[int]]:
    """Serves calls to its end; returns in a child, which is to become that call."""
    _Watched.asked = set()
    own = os.environ.__class__
    os.environ.__class__ = _Watched
    for name in IMPORTED:
        importlib.import_module(name)
    os.environ.__class__ = own
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    told = {"variables": sorted(_Watched.asked), "modules": modules, "hash": hash("kgen")}
    os.write(1, json.dumps(told).encode() + b"\n")
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        # who started this one closes the other end when it is over, however it ends
        selector.register(0, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    os._exit(0)
                elif key.fileobj is listener:
                    connection, _ = listener.accept()
                    call, streams = _received(connection)
                    pid = os.fork()
                    if pid == 0:
                        for one in (connection, listener, *(open_one for _, open_one in running.values())):
                            one.close()
                        for handle in running:
                            os.close(handle)
                        selector.close()
                        return call, streams
                    for stream in streams:
                        os.close(stream)
                    connection.sendall(f"{pid}\n".encode())
                    handle = os.pidfd_open(pid)
                    selector.register(handle, selectors.EVENT_READ)
                    running[handle] = (pid, connection)
                else:
                    handle = key.fd
                    selector.unregister(handle)
                    os.close(handle)
                    pid, connection = running.pop(handle)
                    _, status = os.waitpid(pid, 0)
                    with contextlib.suppress(OSError), connection:
                        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    text, streams, _, _ = socket.recv_fds(connection, 1 << 16, 2)
    while not text.endswith(b"\n"):
        text += connection.recv(1 << 16)
    call: dict[str, Any] = json.loads(text)
    return call, list(streams)


def _become(call: Mapping[str, Any], streams: Sequence[int]) -> None:
    """All that `python -m kgen` finds in another state."""
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as Python has it
    sys.argv[1:] = call["arguments"]
    sys.orig_argv[1:] = ["-m", "kgen", *call["arguments"]]
    importlib.invalidate_caches()


def main() -> None:
    """Waits for calls in a socket at the path that is given; each child goes on as kgen."""
    import gc  # noqa: PLC0415 - what is here is not in the process that a test runs in
    import runpy  # noqa: PLC0415 - as above

    call, streams = _wait_for_calls(sys.argv.pop())
    gc.enable()
    _become(call, streams)
    runpy.run_module("kgen", run_name="__main__", alter_sys=True)


# -- who calls it ------------------------------------------------------------------------------------------------------


def possible() -> bool:
    """Whether this system has a handle of a process that can be waited for with others: Linux has, from 5.3 on."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


class Forks:
    """Processes to be forked, started when they are first needed.

    Args:
        folder: an empty folder for their sockets.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns: Iterator[int] = itertools.cycle(range(_TURNS))
        self._started: list[_Started] = []
        self._guard = threading.Lock()

    def serves(self, folder: Path, environment: Mapping[str, str]) -> bool:
        """Whether a child could not tell itself from a process of its own."""
        with self._guard:
            if not self._started:
                self._started = [_Started(self._folder / str(turn)) for turn in range(_TURNS)]
        return all(one.serves(folder, environment) for one in self._started)

    def run(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs kgen to its end, as `subprocess.run` does.

        Raises:
            subprocess.TimeoutExpired: it took longer; it has been killed.
        """
        return self._started[next(self._turns)].run(arguments, folder, environment, timeout)

    @property
    def hashes(self) -> list[int]:
        """What a text hashes to in each of those that were started, and so in their children."""
        return [one.hash for one in self._started]

    def end(self) -> None:
        """Has them end."""
        for one in self._started:
            one.end()


class _Started:
    """One of them."""

    def __init__(self, place: Path) -> None:
        self._place = place
        # as calls have it: none of theirs is empty
        self._environment = {name: value for name, value in os.environ.items() if value}
        command = [sys.executable, "-c", "from tests.forks import main; main()", str(place)]
        root = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            command, cwd=root, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.hash: int = told["hash"]
        self._modules = frozenset(told["modules"])
        self._variables = STARTING_NAMES.union(told["variables"])

    def serves(self, folder: Path, environment: Mapping[str, str]) -> bool:
        mine = self._environment
        read = self._variables.union(name for name in {*mine, *environment} if name.startswith(STARTING))
        return all(mine.get(name) == environment.get(name) for name in read) and not any(
            path.name.partition(".")[0] in self._modules and (path.is_dir() or path.suffix in {".py", ".so", ".pyc"})
            for path in folder.iterdir()
        )

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        ends = time.monotonic() + timeout
        ours, theirs = zip(*(os.pipe() for _ in range(2)), strict=True)
        call = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        with socket.socket(socket.AF_UNIX) as connection, selectors.DefaultSelector() as selector:
            connection.connect(str(self._place))
            text = json.dumps(call).encode() + b"\n"
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", theirs))]
            connection.sendall(text[connection.sendmsg([text], rights) :])
            for stream in theirs:
                os.close(stream)
            for stream in ours:
                selector.register(stream, selectors.EVENT_READ)
            said: dict[int, list[bytes]] = {stream: [] for stream in ours}
            answer = connection.makefile()
            pid = int(answer.readline())
            while selector.get_map():
                ready = selector.select(max(0.0, ends - time.monotonic()))
                if not ready:
                    break
                for key, _ in ready:
                    part = os.read(key.fd, 1 << 16)
                    said[key.fd].append(part)
                    if not part:
                        selector.unregister(key.fd)
            for stream in ours:
                os.close(stream)
            connection.settimeout(max(0.001, ends - time.monotonic()))
            try:
                status = int(answer.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["kgen", *arguments], timeout) from None
        out, err = (_text(b"".join(said[stream])) for stream in ours)
        return subprocess.CompletedProcess(["kgen", *arguments], status, out, err)

    def end(self) -> None:
        self._process.communicate()


def _text(said: bytes) -> str:
    """As a process's streams are read as text."""
    return said.decode().replace("\r\n", "\n").replace("\r", "\n")
