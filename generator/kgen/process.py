"""The only module that starts programs.

Each program runs in its own session, so that kgen can end it together with all processes that it started, and a ctrl-C
at the terminal reaches only kgen. There is never a shell between kgen and the program.

These process families end when kgen ends, even if kgen is killed by SIGKILL and can do nothing itself. A warden, a
small shell script in its own session, reads from a pipe which families exist. The pipe closes when kgen ends, and the
warden then kills the remaining families. `PR_SET_PDEATHSIG` is no substitute: it reaches the program but not what the
program has started, exists only on Linux, and has to be set by Python code between fork and exec, which may deadlock in
a process with threads.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, final

from kgen import files, replay
from kgen.errors import Cancelled, FileError, MissingProgramError, OutsideError, TimedOut

if TYPE_CHECKING:
    import selectors
    import subprocess
    import threading

_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL for a family of processes."""

_TICK = 0.05
"""The longest time in seconds until a set `cancel` is noticed."""

_CHUNK = 65536

_FAMILY = "KGEN_FAMILY"
"""The variable that marks members of a family; its value is unique to one run of kgen."""

_WARDEN = r"""
groups=' ' starting=0
while read -r word group; do
    case $word in
        starting) starting=$((starting + 1)) ;;
        failed) starting=$((starting - 1)) ;;
        started) starting=$((starting - 1)) groups="$groups$group " ;;
        ended) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    esac
done
[ "$starting$groups" = '0 ' ] && exit
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
# Who has opened a session of its own, or had just been started, is known by the family's name, where there is a /proc.
# Three looks: who is between fork and exec has no name yet, and who is about to fork may be a step ahead.
for look in 1 2 3; do
    for found in $(grep -lsF "$1" /proc/[0-9]*/environ); do
        found=${found#/proc/}
        kill -9 "${found%/environ}" 2>/dev/null
    done
    sleep 0.05
done
"""
"""Reads of families until the pipe ends, and then ends those that are left."""


class Completed(NamedTuple):
    """A program that has ended by itself, with any status.

    Attributes:
        args: the program and its arguments.
        status: its exit status; the negative signal number if a signal ended it.
        stdout: its output; bytes that are not UTF-8 are replaced.
        stderr: its error output, likewise.
    """

    args: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


def run(
    args: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    cancel: threading.Event | None = None,
    keep: int | None = None,
    hear: Callable[[str], None] | None = None,
    reads: Iterable[str | os.PathLike[str]] | None = None,
) -> Completed:
    """Run a program to its end and return its output; any exit status is a result, not an error.

    Safe to call from several threads at once. When this function returns or raises, the program and every process that
    it started in its session have ended, if necessary by SIGTERM and two seconds later SIGKILL. That includes
    background processes; only one that opens its own session escapes.

    Args:
        args: the program, looked up on PATH if its name has no slash, and its arguments.
        env: additions to kgen's own environment.
        stdin: the program's input; without it the program reads nothing, never the terminal.
        cwd: the folder that it starts in.
        timeout: seconds after which kgen ends it.
        cancel: set by another thread to end the program. A KeyboardInterrupt reaches only the main thread, which ends
            the programs of the others in this way.
        keep: about how many bytes to keep of the end of each stream, for a program that may print without end.
        hear: called with each line that it writes to stderr, without the newline, as soon as it is complete.
        reads: everything that its answer depends on besides its arguments and environment, if it does nothing but read
            that; None if that is unknown (:mod:`kgen.replay`).

    Raises:
        TimedOut: it did not end in time; contains its output so far.
        OutsideError: the program is missing, or cannot be executed.
        Cancelled: `cancel` was set.
    """
    words = tuple(args)
    program = words[0]
    _refuse_if_set(cancel, program)
    if reads is None:
        replay.forget()
    else:
        for path in reads:
            replay.looked(path)
    deadline = None if timeout is None else time.monotonic() + timeout
    child = _start(words, env=env, cwd=cwd, has_input=stdin is not None)
    with _Pipes(child, stdin, keep, hear) as pipes, _family_of(child, pipes):
        while child.poll() is None:
            _refuse_if_set(cancel, program)
            if deadline is not None and time.monotonic() >= deadline:
                import shlex  # noqa: PLC0415 - as shutil below

                raise TimedOut(
                    f"`{program}` did not end within {timeout:g} s and was stopped: {shlex.join(words)}",
                    hints=["run that line by hand to see what it waits for"],
                    heard=lambda: (pipes.stdout, pipes.stderr),
                )
            pipes.move(_TICK)
    return Completed(args=words, status=child.returncode, stdout=pipes.stdout, stderr=pipes.stderr)


def replace(args: Sequence[str], *, env: Mapping[str, str | None], cwd: Path | None = None) -> NoReturn:
    """Replace this process by the program, which takes over its exit status, signals and terminal.

    Args:
        args: the program, looked up on PATH if its name has no slash, and its arguments.
        env: additions to the environment; None removes a variable.
        cwd: the folder that it starts in.

    Raises:
        OutsideError: the program is missing or cannot be executed.
    """
    words = tuple(args)
    environment = {**os.environ, **{name: value for name, value in env.items() if value is not None}}
    for name in (name for name, value in env.items() if value is None):
        environment.pop(name, None)
    # Python ignores these signals, and programs inherit that: `yes | head` would complain.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # closed, full, never there
            stream.flush()
    try:
        if cwd is not None:
            os.chdir(cwd)
        os.execvpe(words[0], words, environment)
    except OSError as error:
        raise _start_fault(words[0], error, cwd=cwd, path=environment.get("PATH")) from error


def _refuse_if_set(cancel: threading.Event | None, program: str) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled(f"interrupted while `{program}` was at work")


def _start(
    words: tuple[str, ...], *, env: Mapping[str, str] | None, cwd: Path | None, has_input: bool
) -> subprocess.Popen[bytes]:
    import subprocess  # noqa: PLC0415 - `replace` does without it

    warden = _warden()
    environment = {**os.environ, **(env or {}), _FAMILY: warden.family}
    warden.tell("starting")
    try:
        child = subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        # After any other exception, such as an interrupt, the program may be running, so the warden keeps looking.
        warden.tell("failed")
        raise _start_fault(words[0], error, cwd=cwd, path=environment.get("PATH")) from error
    warden.tell(f"started {child.pid}")
    return child


class _Warden(NamedTuple):
    """The process that outlives kgen to end its families.

    Attributes:
        pipe: where it reads about them; None if it could not be started, so that families end only if kgen ends
            normally.
        family: the value of the variable that marks each member.
    """

    pipe: int | None
    family: str

    def tell(self, words: str) -> None:
        """Send it a message, in one short and therefore atomic write: any thread may call this."""
        if self.pipe is not None:
            with contextlib.suppress(OSError):  # it was killed, perhaps with all processes of its user
                os.write(self.pipe, f"{words}\n".encode())


@functools.cache
def _warden_of(_process: int) -> _Warden:
    family = os.urandom(8).hex()
    reading, writing = os.pipe()
    try:
        os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _WARDEN, "kgen-warden", f"{_FAMILY}={family}"],
            {"PATH": os.environ.get("PATH") or os.defpath},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
    except (OSError, NotImplementedError, ValueError):
        os.close(writing)
        return _Warden(None, family)
    finally:
        os.close(reading)
    return _Warden(writing, family)


_starting = _thread.allocate_lock()


def _warden() -> _Warden:
    """The warden of this process, started when it is first needed."""
    with _starting:
        return _warden_of(os.getpid())


def _start_fault(program: str, error: OSError, *, cwd: Path | None, path: str | None) -> OutsideError:
    import shlex  # noqa: PLC0415 - only a fault pays for it
    import shutil  # noqa: PLC0415

    if cwd is not None and not files.is_folder(cwd):
        return FileError(f"{cwd} is not a folder that `{program}` could be started in")
    if error.errno == errno.EAGAIN:
        from kgen import limits  # noqa: PLC0415 - as above

        return OutsideError(f"`{program}` cannot be started: {limits.why_no_thread()}", hints=[limits.more_threads()])
    if not isinstance(error, FileNotFoundError):
        # Worded separately because the text of EACCES sounds as if a file could not be opened.
        reason = "permission denied" if isinstance(error, PermissionError) else error.strerror
        return MissingProgramError(
            f"`{program}` cannot be executed: {reason}",
            hints=[f'ls -l "$(command -v {shlex.quote(program)})"'],
        )
    found = shutil.which(program, path=path)
    if found is not None:
        return MissingProgramError(
            f"`{program}` cannot be executed: the interpreter that its first line names is missing",
            hints=[f"head -n 1 {shlex.quote(found)}"],
        )
    if os.sep in program:
        return MissingProgramError(f"there is no program {program}")
    return MissingProgramError(
        f"there is no program `{program}` on PATH",
        hints=[f"install {program}, or add its folder to PATH, and run kgen again"],
    )


@contextlib.contextmanager
def _family_of(child: subprocess.Popen[bytes], pipes: _Pipes) -> Iterator[None]:
    """End whatever is left of the child's process group when the `with` block ends."""
    try:
        yield
        # The program's last output is in the pipe even if another process still holds the other end.
        pipes.move(0)
        _ask_to_end(child, pipes)
    except BaseException:
        _ask_to_end(child, pipes)
        raise
    finally:
        # Also reached after a second ctrl-C.
        _signal(child, signal.SIGKILL)
        child.wait()
        _warden().tell(f"ended {child.pid}")


def _ask_to_end(child: subprocess.Popen[bytes], pipes: _Pipes) -> None:
    """Send SIGTERM to the group, if it exists, and wait for its end within the grace period."""
    if not _signal(child, signal.SIGTERM):
        return
    deadline = time.monotonic() + _GRACE
    # Keep emptying the pipes: a process that is blocked in a write does not end.
    while (child.poll() is None or _is_alive(child.pid)) and time.monotonic() < deadline:
        pipes.move(_TICK / 5)


def _signal(child: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the child's process group; returns whether it has any members.

    The group outlives its leader, and its number is not reused while it has members. Once it is empty the number is
    free, but process numbers are assigned in a circle of thousands, so a call right after that is safe.
    """
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Only members with other privileges are left (sudo), which kgen cannot signal.
        return False
    return True


def _is_alive(group: int) -> bool:
    """Whether a process group has a member that has not ended.

    In a container whose first process does not reap orphans, ended processes remain members forever.
    """
    try:
        os.killpg(group, 0)
        numbers = [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    except (ProcessLookupError, PermissionError):
        return False
    except OSError:  # no /proc
        return True
    for number in numbers:
        try:
            state, _, of_group, *_ = (number / "stat").read_bytes().rpartition(b")")[2].split()
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        if int(of_group) == group and state not in {b"Z", b"X"}:
            return True
    return not numbers


@final
class _Pipes:
    """The three pipes to a program. They never block, and the end of the `with` block closes them."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        text: str | None,
        keep: int | None,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        import selectors  # noqa: PLC0415 - as subprocess

        self._listener = hear
        self._begun = b""
        self._child = child
        self._keep = keep
        self._input = memoryview((text or "").encode("utf-8", "surrogateescape"))
        self._selector = selectors.DefaultSelector()
        self._heard: dict[int, bytearray] = {}
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._heard[stream.fileno()] = bytearray()
                self._selector.register(stream, selectors.EVENT_READ)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            self._selector.register(child.stdin, selectors.EVENT_WRITE)

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                stream.close()

    @property
    def stdout(self) -> str:
        return self._text(0)

    @property
    def stderr(self) -> str:
        return self._text(1)

    def _text(self, index: int) -> str:
        return bytes(list(self._heard.values())[index]).decode("utf-8", "replace")

    def move(self, seconds: float) -> None:
        """Transfer all available data; wait at most this long for some, or for the child's end."""
        if not self._selector.get_map():
            from subprocess import TimeoutExpired  # noqa: PLC0415 - as above

            with contextlib.suppress(TimeoutExpired):
                self._child.wait(seconds)
            return
        for key, _ in self._selector.select(seconds):
            if key.fd in self._heard:
                self._hear(key)
            else:
                self._say(key)

    def _hear(self, key: selectors.SelectorKey) -> None:
        of_errors = None if self._child.stderr is None else self._child.stderr.fileno()
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(key.fd, _CHUNK):
                heard = self._heard[key.fd]
                heard += chunk
                if self._listener is not None and key.fd == of_errors:
                    *lines, self._begun = (self._begun + chunk).split(b"\n")
                    for line in lines:
                        self._listener(line.decode("utf-8", "replace"))
                if self._keep is not None and len(heard) > 2 * self._keep:
                    del heard[: -self._keep]
            self._selector.unregister(key.fileobj)

    def _say(self, key: selectors.SelectorKey) -> None:
        try:
            self._input = self._input[os.write(key.fd, self._input[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The program closed its input, which it may do before it has read everything.
            self._input = self._input[:0]
        if not self._input and self._child.stdin is not None:
            self._selector.unregister(key.fileobj)
            self._child.stdin.close()
