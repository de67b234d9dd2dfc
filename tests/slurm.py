"""A cluster of Slurm's on loopback: munge, a controller, and one `slurmd` a node, each with a name and a port."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_SBIN = "/usr/sbin:/usr/local/sbin"
_PATH = f"{os.environ['PATH']}:{_SBIN}"


class Cluster(NamedTuple):
    """A cluster at work.

    Attributes:
        environment: what commands of Slurm's need, to be its clients.
        nodes: name -> its `slurmd`.
    """

    environment: Mapping[str, str]
    nodes: Mapping[str, subprocess.Popen[bytes]]

    def ask(self, *words: str) -> str:
        """What a command of Slurm's says."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def jobs(self, node: str) -> list[str]:
        """The jobs that run on a node."""
        return self.ask("squeue", "-h", "-t", "R", "-w", node, "-o", "%i").split()

    def kill(self, node: str) -> None:
        """A node dies: its daemon, and all that it runs."""
        jobs = self.jobs(node)
        self.nodes[node].kill()
        self.nodes[node].wait(30)
        mine = [f"SLURM_JOB_ID={job}".encode() for job in jobs]
        conf = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        steps = [f"slurmstepd: [{job}.".encode() for job in jobs]
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                inside = (place / "environ").read_bytes().split(b"\0")
                is_step = conf in inside and (place / "cmdline").read_bytes().startswith(tuple(steps))
                if is_step or (conf in inside and any(one in inside for one in mine)):
                    os.kill(int(place.name), 9)


def is_there(*programs: str) -> bool:
    """Whether this machine has these programs, and somebody who may start them."""
    return os.geteuid() == 0 and all(shutil.which(one, path=_PATH) for one in programs)


def launched(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A program in the background."""
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until(done: Callable[[], object], seconds: float = 30) -> None:
    """Waits."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it does not come up"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def cluster(folder: Path, lines: str, nodes: Sequence[str] = ()) -> Iterator[Cluster]:
    """A controller with nodes.

    Args:
        folder: for all its files; sockets are in it, so its path must be short.
        lines: what the configuration says of nodes and partitions; `{NODE}` stands for the port of a node.
        nodes: the nodes that have a daemon; `lines` gives each its name.
    """
    environment = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    name = socket.gethostname().partition(".")[0]
    ports = {node: _free_port() for node in nodes}
    (folder / "slurm.conf").write_text(
        f"""\
ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmctldPort={_free_port()}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0
{lines.format(**ports)}"""
    )
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock"]
    files = [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    started = [launched([*munged, *files], environment)]
    try:
        until((folder / "munge.sock").exists)
        started.append(launched(["slurmctld", "-D"], environment))
        ping = ["scontrol", "ping"]
        until(lambda: b"UP" in subprocess.run(ping, env=environment, capture_output=True, check=False).stdout)
        daemons = {node: launched(["slurmd", "-D", "-N", node], environment) for node in nodes}
        started += daemons.values()
        found = Cluster(environment, daemons)
        until(lambda: not nodes or found.ask("sinfo", "-h", "-N", "-o", "%N %t").count(" idle") >= len(nodes))
        yield found
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
