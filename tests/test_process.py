"""The one place that starts programs: what comes back, and that nothing it started outlives it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.command import is_alive

from kgen.errors import Cancelled, OutsideError, TimedOut
from kgen.process import run

LARGE = 3_000_000
SLEEPER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"


def _pid_in(path: Path) -> int:
    """The pid that a child writes into a file once it runs."""
    for _ in range(500):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.02)
    pytest.fail("the child never came up")


def test_gives_status_both_streams_environment_and_folder(tmp_path: Path) -> None:
    script = (
        "import os, sys; print(os.environ['A'], os.getcwd()); sys.stdout.flush();"
        "sys.stderr.write('ü\\n'); sys.stdout.buffer.write(b'\\xff'); sys.exit(3)"
    )
    done = run([sys.executable, "-c", script], env={"A": "b"}, cwd=tmp_path)
    assert (done.status, done.stdout, done.stderr) == (3, f"b {tmp_path}\n\ufffd", "ü\n")


def test_a_process_that_the_limit_of_threads_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(OutsideError, match=r"^`true` cannot be started: the limit of threads is reached") as caught:
        run(["true"])
    assert caught.value.hints == ("ulimit -u $(ulimit -Hu)   # in a container: --pids-limit=-1",)


def test_large_streams_do_not_block_each_other() -> None:
    script = "import sys; text = sys.stdin.read(); sys.stderr.write(text); print(len(text))"
    done = run([sys.executable, "-c", script], stdin="x" * LARGE)
    assert done.stdout == f"{LARGE}\n"
    assert len(done.stderr) == LARGE


def test_input_that_nobody_reads_is_no_fault() -> None:
    assert run(["true"], stdin="x" * LARGE).status == 0


@pytest.mark.parametrize("text", [None, ""])
def test_without_input_there_is_none_to_wait_for(text: str | None) -> None:
    assert run(["cat"], stdin=text).stdout == ""


def test_death_by_a_signal_is_told() -> None:
    assert run(["sh", "-c", "kill -9 $$"]).status == -signal.SIGKILL


def test_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    for program in ("kgen-has-no-such-program", str(tmp_path / "missing"), str(tmp_path), str(plain)):
        with pytest.raises(OutsideError) as caught:
            run([program])
        assert program in caught.value.message


def test_timeout_ends_the_whole_family(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    script = f'"{sys.executable}" -c "{SLEEPER}" "{child}" & wait'
    with pytest.raises(OutsideError):
        run(["sh", "-c", script], timeout=2)
    assert not is_alive(_pid_in(child))


def test_cancel_from_another_thread_ends_the_whole_family(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    cancel = threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            run([sys.executable, "-c", SLEEPER, str(child)], cancel=cancel)
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    pid = _pid_in(child)
    cancel.set()
    thread.join(10)
    assert len(raised) == 1
    assert not is_alive(pid)


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
    with pytest.raises(OutsideError):
        run([sys.executable, "-c", stubborn, str(child)], timeout=1.5)
    assert not is_alive(_pid_in(child))


REAPS_NO_ORPHANS = """
import ctypes, sys, time
from kgen.errors import TimedOut
from kgen.process import run
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER: orphans are this process's
begun = time.monotonic()
try:
    run([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"], timeout=1)
except TimedOut:
    print(time.monotonic() - begun)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
def test_orphans_that_nobody_reaps_are_not_waited_for() -> None:
    """As in a container whose first process is a program like any other."""
    done = subprocess.run([sys.executable, "-c", REAPS_NO_ORPHANS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2.5  # the time, without the grace of two seconds


def test_ctrl_c_leaves_no_child(tmp_path: Path) -> None:
    child = tmp_path / "pid"
    script = f"from kgen.process import run; import sys; run([sys.executable, '-c', {SLEEPER!r}, {str(child)!r}])"
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True)
    pid = _pid_in(child)
    parent.send_signal(signal.SIGINT)
    _, stderr = parent.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr
    assert not is_alive(pid)


def test_no_file_descriptor_is_left_open() -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    run(["true"])
    before = len(os.listdir(folder))  # noqa: PTH208 - iterdir would hold one itself
    for _ in range(20):
        run(["true"], stdin="x")
    assert len(os.listdir(folder)) == before  # noqa: PTH208


def test_what_was_said_before_the_time_was_over_is_kept() -> None:
    program = (
        "import sys, time; print('here', flush=True); print('x' * 10**6, file=sys.stderr, flush=True); time.sleep(60)"
    )
    with pytest.raises(TimedOut) as caught:
        run([sys.executable, "-c", program], timeout=2, keep=1000)
    assert caught.value.stdout == "here\n"
    assert 1000 <= len(caught.value.stderr) <= 70000


ORPHANS = """
import os, subprocess, sys, time
from kgen.process import run
program = '''
import os, subprocess, sys, time
folder = sys.argv[1]
subprocess.Popen([sys.executable, "-c", sys.argv[2], folder + "/grandchild"])
subprocess.Popen([sys.executable, "-c", sys.argv[2], folder + "/apart"], start_new_session=True)
open(folder + "/child", "w").write(str(os.getpid()))
time.sleep(60)
'''
run([sys.executable, "-c", program, sys.argv[1], sys.argv[2]])
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="who is in a session of its own is found in /proc")
@pytest.mark.parametrize("whole_group", [False, True])
def test_sigkill_of_kgen_ends_the_whole_family(tmp_path: Path, *, whole_group: bool) -> None:
    """Also who has left the process group, as build tools' servers do; and if kgen's own group is killed."""
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path), SLEEPER], start_new_session=True)
    pids = [_pid_in(tmp_path / name) for name in ("child", "grandchild", "apart")]
    assert all(map(is_alive, pids))
    if whole_group:
        os.killpg(parent.pid, signal.SIGKILL)
    else:
        parent.kill()
    parent.wait()
    for _ in range(250):
        if not any(map(is_alive, pids)):
            break
        time.sleep(0.02)
    assert [pid for pid in pids if is_alive(pid)] == []


def test_what_ends_in_order_is_left_to_itself(tmp_path: Path) -> None:
    """What a program has put into a session of its own outlives an orderly end of kgen: it may be a daemon."""
    script = (
        "from kgen.process import run; import sys;"
        "run([sys.executable, '-c', 'import subprocess, sys;"
        ' subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True,'
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)', sys.argv[1], sys.argv[2]])"
    )
    subprocess.run([sys.executable, "-c", script, SLEEPER, str(tmp_path / "pid")], check=True)
    pid = _pid_in(tmp_path / "pid")
    time.sleep(0.5)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_many_at_once_are_all_told_of_and_kgen_ends_alone() -> None:
    script = (
        "from kgen.process import run; from concurrent.futures import ThreadPoolExecutor as P;"
        "print(sum(d.status for d in P(8).map(lambda n: run(['sh', '-c', f'exit {n % 3}']), range(60))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "60\n"
