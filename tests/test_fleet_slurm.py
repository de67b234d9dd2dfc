"""`kgen validate --fleet` on a real Slurm: a controller and nodes on loopback, one cluster for the module."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import fleets, slurm
from tests.command import Kgen
from tests.fleets import ON_CPU, partition, site
from tests.schemas import LIGHT
from tests.slurm import Cluster
from tests.test_validate import within

pytestmark = pytest.mark.skipif(
    not slurm.is_there("slurmctld", "slurmd", "munged"), reason="no Slurm here, or nobody who may start it"
)

_NODES = ("n1", "n2", "n3", "n4", "n5")
_LINES = """\
JobRequeue=0
SlurmdTimeout=2
KillWait=1
{nodes}
NodeName=n6 NodeHostname=localhost NodeAddr=127.0.0.1 Port=1 CPUs=1 State=DOWN
PartitionName=good Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=dies Nodes=n3 MaxTime=INFINITE State=UP
PartitionName=cancelled Nodes=n4 MaxTime=INFINITE State=UP
PartitionName=limited Nodes=n5 MaxTime=INFINITE State=UP
PartitionName=gone Nodes=n6 MaxTime=INFINITE State=UP
""".replace(
    "{nodes}",
    "\n".join(
        f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={{{node}}} CPUs=4 State=UNKNOWN"
        for node in _NODES
    ),
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # the path of a socket must be short, and those of pytest are not
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, slurm.cluster(Path(folder), _LINES, _NODES) as found:
        yield found


@pytest.mark.long
def test_nodes_answer_or_die_or_are_cancelled(kgen: Kgen, project: Path, tmp_path: Path, cluster: Cluster) -> None:
    made = tmp_path / "made"
    fleets.copied(project, "numpy-cpu")
    lock = fleets.lock(project, "numpy-cpu")
    fleets.written(made, lock, "passed", fleets.receipt(lock, ON_CPU))
    parts = [
        partition(name, how, made, extras={"cpu": True}, scheduler="squeue", access=[f"-p {name}"], **more)
        for name, how, more in (
            ("good", "passed", {}),
            ("dies", "hangs", {}),
            ("cancelled", "hangs", {}),
            ("limited", "hangs", {"time_limit": "1m"}),
            ("gone", "passed", {}),
        )
    ]
    nodes = site(project / "site.py", parts)

    def meddle() -> None:
        # a job runs for Slurm before its program does
        slurm.until(lambda: sum(line.startswith("hangs ") for line in fleets.calls(made)) == 3, 60)
        cluster.kill("n3")
        cluster.ask("scancel", *cluster.jobs("n4"))
        (job,) = cluster.jobs("n5")
        # its minute is over
        cluster.ask("scontrol", "update", f"jobid={job}", "EndTime=now")

    meddling = threading.Thread(target=meddle)
    meddling.start()
    there = {
        "SLURM_CONF": cluster.environment["SLURM_CONF"],
        "PATH": cluster.environment["PATH"],
        "PYTHONPATH": str(LIGHT),
    }
    kgen = within(kgen, there)
    done = kgen("validate", "--fleet", nodes.name, "--each-node", "--json")
    meddling.join(60)
    assert done.status == 4, done.stderr
    found = {(one["pool"].removeprefix("lab:"), one["node"]): one for one in json.loads(done.stdout)["answers"]}
    assert {key: one["verdict"] for key, one in found.items()} == {
        ("good", "n1"): "passed",
        ("good", "n2"): "passed",
        ("dies", "n3"): "engine failure",
        ("cancelled", "n4"): "engine failure",
        ("limited", "n5"): "engine failure",
        ("gone", "n6"): "not scheduled",
    }
    assert "CANCELLED" in found["cancelled", "n4"]["reason"]
    assert "DUE TO TIME LIMIT" in found["limited", "n5"]["reason"]
    assert "ReqNodeNotAvail" in found["gone", "n6"]["reason"]
    assert done.stderr.endswith("\nhint: kgen validate --fleet site.py --each-node --resume\n")

    # the node is back, and only what has no receipt is asked for again
    (made / "log").unlink()
    parts = [{**part, "extras": parts[0]["extras"]} for part in parts if part["name"] in {"good", "cancelled"}]
    site(nodes, parts)
    again = kgen("validate", "--fleet", nodes.name, "--each-node", "--resume", "--json")
    stands = {one["node"]: one["stands"] for one in json.loads(again.stdout)["answers"]}
    assert (again.status, stands) == (0, {"n1": True, "n2": True, "n4": False}), again.stderr
    assert len(fleets.calls(made)) == 1


def test_what_slurm_refuses_is_told_in_its_words(kgen: Kgen, project: Path, tmp_path: Path, cluster: Cluster) -> None:
    fleets.copied(project, "numpy-cpu")
    there = {name: cluster.environment[name] for name in ("SLURM_CONF", "PATH")}
    part = partition("one", "passed", tmp_path, extras={"cpu": True}, scheduler="squeue", access=["-p secret"])
    site(project / "site.py", [part])
    done = within(kgen, {**there, "PYTHONPATH": str(LIGHT)})("validate", "--fleet", "site.py", "--json")
    (one,) = json.loads(done.stdout)["answers"]
    assert (one["verdict"], done.status) == ("not scheduled", 1), done.stderr
    assert "invalid partition specified: secret" in one["reason"]
