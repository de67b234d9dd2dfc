"""The one place that starts programs.

A program runs in a session of its own, so that its whole family can be ended together and a ctrl-C at the
terminal reaches kgen alone. No shell is ever between kgen and the program.

A family ends with kgen however kgen ends, also by SIGKILL, when kgen can do nothing itself: a warden, which is a small
shell script in a session of its own, reads from a pipe which families there are. The pipe ends when kgen does, and the
warden then kills what is left. `PR_SET_PDEATHSIG` would not do: it reaches the program and not what the program has
started, it exists on Linux only, and setting it takes code of Python's between fork and exec, which may deadlock in a
process with threads.
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
"""Seconds between asking a family of processes to end and ending it."""

_TICK = 0.05
"""Seconds after which a set `cancel` is noticed at the latest."""

_CHUNK = 65536

_FAMILY = "KGEN_FAMILY"
"""The variable that tells members of a family apart from other processes; its value is of one run of kgen."""

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
    """A program that has ended by itself, with whatever status.

    Attributes:
        args: the program and its arguments.
        status: its exit status; minus the signal's number if a signal ended it.
        stdout: what it wrote there; bytes that are no UTF-8 are replaced.
        stderr: the same of the other stream.
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
    """Runs a program to its end and returns what it said; any exit status is an answer, not an error.

    Safe to call from several threads at once. However this function is left, the program and every process
    that it started in its session has ended: by itself, or by SIGTERM and two seconds later SIGKILL. That
    also holds for processes that the program left running in the background; only one that opens a session of
    its own gets away.

    Args:
        args: the program, looked up on PATH if its name has no slash, and its arguments.
        env: additions to the environment that kgen itself has.
        stdin: what the program reads; it reads nothing without it, never the terminal.
        cwd: the folder that it starts in.
        timeout: seconds after which it is ended.
        cancel: set by another thread to have the program ended. A KeyboardInterrupt arrives in the main
            thread only, which then tells the others in this way.
        keep: about so many bytes are kept of the end of each stream, where a program may print without end.
        hear: called with each line that it writes on stderr, without its end, as soon as it is there.
        reads: all that its answer depends on besides its arguments and its environment, and that is all that it does;
            None where nobody can say (:mod:`kgen.replay`).

    Raises:
        TimedOut: it did not end in time; holds what it had said until then.
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
    """Makes this process the program: its exit status, its signals and its terminal are the program's own.

    Args:
        args: the program, looked up on PATH if its name has no slash, and its arguments.
        env: additions to the environment; None takes a variable out.
        cwd: the folder that it starts in.

    Raises:
        OutsideError: the program is missing or cannot be executed.
    """
    words = tuple(args)
    environment = {**os.environ, **{name: value for name, value in env.items() if value is not None}}
    for name in (name for name, value in env.items() if value is None):
        environment.pop(name, None)
    # Python ignores these, and a program inherits what is ignored: `yes | head` would complain.
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
        # After any other exception, such as an interrupt, it may be there: the warden goes on looking for it then.
        warden.tell("failed")
        raise _start_fault(words[0], error, cwd=cwd, path=environment.get("PATH")) from error
    warden.tell(f"started {child.pid}")
    return child


class _Warden(NamedTuple):
    """What outlives kgen to end its families.

    Attributes:
        pipe: where it reads of them; None where it could not be started, and families end with an orderly end only.
        family: what is in the environment of each member.
    """

    pipe: int | None
    family: str

    def tell(self, words: str) -> None:
        """Tells it what has happened; shorter than what a pipe takes at once, so safe from many threads."""
        if self.pipe is not None:
            with contextlib.suppress(OSError):  # it was killed, perhaps with all that its user had
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
        # Told apart because EACCES reads as if a file could not be opened.
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
    """Ends whatever of the child's process group is left when the block is left."""
    try:
        yield
        # The last output of the program is in the pipe, even if another process still holds the other end.
        pipes.move(0)
        _ask_to_end(child, pipes)
    except BaseException:
        _ask_to_end(child, pipes)
        raise
    finally:
        # Reached after a second ctrl-C too.
        _signal(child, signal.SIGKILL)
        child.wait()
        _warden().tell(f"ended {child.pid}")


def _ask_to_end(child: subprocess.Popen[bytes], pipes: _Pipes) -> None:
    """Sends SIGTERM to the group if there is one, and waits for its end as long as the grace lasts."""
    if not _signal(child, signal.SIGTERM):
        return
    deadline = time.monotonic() + _GRACE
    # The pipes are emptied meanwhile: a process that is stuck in a write does not end.
    while (child.poll() is None or _is_alive(child.pid)) and time.monotonic() < deadline:
        pipes.move(_TICK / 5)


def _signal(child: subprocess.Popen[bytes], number: int) -> bool:
    """Signals the child's process group; says whether anybody was there.

    The group outlives its leader, and no other group gets its number while it has a member. Once it is
    empty the number is free, but process numbers come round in a circle of thousands, so the call right after
    is safe.
    """
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Only members with other rights are left (sudo); nothing can be done about them.
        return False
    return True


def _is_alive(group: int) -> bool:
    """Whether a process group has a member that has not ended.

    In a container whose first process reaps no orphans, those that have ended are its members for ever.
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
    """The three pipes to a program; they never block, and the end of the `with` block closes them."""

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
        """Moves what can be moved; waits so long for something to move, or for the child's end."""
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
            # It does not want to hear the rest, which is its right.
            self._input = self._input[:0]
        if not self._input and self._child.stdin is not None:
            self._selector.unregister(key.fileobj)
            self._child.stdin.close()
