import os, signal, sys, threading, time, subprocess
from pathlib import Path
import pytest
from kgen.errors import Cancelled, OutsideError
from kgen.process import run
PY=sys.executable
def alive(pid):
    try: os.kill(pid,0)
    except ProcessLookupError: return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")",1)[1].split()[0] != "Z"
def test_basic(tmp_path):
    d=run([PY,"-c","import sys,os;print(os.environ['A'],os.getcwd());sys.stderr.write('ü\\n');sys.stdout.buffer.write(b'\\xff');sys.exit(3)"],env={"A":"b"},cwd=tmp_path)
    assert d.status==3 and d.stdout==f"b {tmp_path}\n\ufffd" and d.stderr=="ü\n"
def test_stdin_big():
    text="x"*5_000_000
    d=run([PY,"-c","import sys; s=sys.stdin.read(); sys.stderr.write(s); print(len(s))"],stdin=text)
    assert d.stdout=="5000000\n" and len(d.stderr)==5000000
def test_stdin_unread(): assert run(["true"],stdin="x"*5_000_000).status==0
def test_no_stdin(): assert run(["cat"]).stdout=="" 
def test_empty_stdin(): assert run(["cat"],stdin="").stdout==""
def test_signal(): assert run(["sh","-c","kill -9 $$"]).status==-9
def test_missing(tmp_path):
    for a in (["nonexistent-prog"],[str(tmp_path/"x")],[str(tmp_path)]):
        with pytest.raises(OutsideError) as c: run(a)
        print(c.value.message,c.value.hints)
    f=tmp_path/"noexec"; f.write_text("#!/bin/sh\n")
    with pytest.raises(OutsideError,match="permission denied"): run([str(f)])
    f.chmod(0o755); f.write_text("#!/no/such/interp\n")
    with pytest.raises(OutsideError,match="interpreter"): run([str(f)])
    f.write_text("garbage")
    with pytest.raises(OutsideError,match="Exec format"): run([str(f)])
    with pytest.raises(OutsideError,match="no folder"): run(["true"],cwd=tmp_path/"none")
def test_timeout():
    t=time.monotonic()
    with pytest.raises(OutsideError,match="0.2 s"): run(["sleep","60"],timeout=.2)
    assert time.monotonic()-t<1
def test_stubborn(tmp_path):
    f=tmp_path/"pids"
    code=f"trap '' TERM; (trap '' TERM; echo $$ >> {f}; while :; do sleep 1; done) & echo $! >> {f}; while :; do sleep 1; done"
    t=time.monotonic()
    with pytest.raises(OutsideError): run(["sh","-c",code],timeout=.3)
    assert 2<time.monotonic()-t<3.5
    time.sleep(.05)
    assert not any(alive(int(p)) for p in f.read_text().split())
def test_background_left(tmp_path):
    t=time.monotonic()
    d=run(["sh","-c","sleep 50 & echo $!"])
    assert time.monotonic()-t<1.5
    time.sleep(.05); assert not alive(int(d.stdout))
def test_setsid_away():
    t=time.monotonic(); d=run(["sh","-c","setsid sleep 4 & echo hi; sleep 0.2"]); assert d.stdout=="hi\n" and time.monotonic()-t<3
def test_cancel(tmp_path):
    c=threading.Event(); out=[]
    def work():
        try: run(["sleep","60"],cancel=c)
        except Cancelled as e: out.append(e)
    ts=[threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in ts]; time.sleep(.2); t0=time.monotonic(); c.set(); [t.join() for t in ts]
    assert len(out)==8 and time.monotonic()-t0<1
    with pytest.raises(Cancelled): run(["true"],cancel=c)
def test_latency():
    t=time.monotonic(); [run(["true"]) for _ in range(20)]; print((time.monotonic()-t)/20); assert time.monotonic()-t<1
def test_ctrl_c(tmp_path):
    code=f"""
import sys; sys.path.insert(0,{str(Path('generator'))!r})
from kgen.process import run
try: run(["sh","-c","echo $$ > {tmp_path}/pid; sleep 60"])
except KeyboardInterrupt: print("KI")
"""
    p=subprocess.Popen([PY,"-c",code],stdout=subprocess.PIPE,text=True)
    while not (tmp_path/"pid").exists() or not (tmp_path/"pid").read_text(): time.sleep(.02)
    p.send_signal(signal.SIGINT); out=p.communicate(timeout=5)[0]
    assert out=="KI\n"; assert not alive(int((tmp_path/"pid").read_text()))
def test_fds():
    n=len(os.listdir("/proc/self/fd")); [run(["true"],stdin="x") for _ in range(10)]; assert len(os.listdir("/proc/self/fd"))==n
