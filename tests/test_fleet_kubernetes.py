"""`kgen validate --fleet k8s:CONTEXT` and `kgen export kubernetes`: the client against an API on loopback.

The script of a pod runs here as it is; `fakes/node.py` stands for the image's kgen.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from tests import fleets
from tests.command import Kgen, Result
from tests.fleets import H200, NODE, ON_CPU
from tests.kubernetes_api import Cluster, node, require, require_job
from tests.loopback import running
from tests.test_validate import FAKES, put_on_disk, within
from tests.test_validate import lock as small_lock

from kgen.cli.main import run
from kgen.fleet import kubernetes as engine
from kgen.fleet.kubernetes import Kubernetes, parts_of

H, A = "NVIDIA-H200", "NVIDIA-A100-SXM4-40GB"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


@pytest.fixture
def cluster(tmp_path: Path, made: Path) -> Iterator[Cluster]:
    """Two nodes with an H200, one with an A100, one without; what the node in `made/how` says happens on them."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "kgen"
    words = f'exec {sys.executable} -S {NODE} "$(cat {made}/how-$NODE)" {made} {made}/log "$@"'
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    nodes = [node("h1", H), node("h2", H, driver="570.124.06"), node("a1", A, "8.0"), node("c1")]
    with running(Cluster(nodes, programs, tmp_path / "pods")) as found:
        yield found
    assert not found.faults, "what no API of these releases answers"


Command = Callable[..., Result]


@pytest.fixture
def fleet(  # noqa: PLR0917 - fixtures
    project: Path,
    cluster: Cluster,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Command:
    """`kgen` in a project with a lock for CUDA and one for the CPU, with the cluster in its kubeconfig.

    It runs in this process, as the client of Kubernetes takes seconds to import.
    """
    fleets.copied(project, "jax-cuda12", "numpy-cpu")
    for name in ("jax-cuda12", "numpy-cpu"):
        lock = fleets.lock(project, name)
        fleets.written(made, lock, "h", fleets.receipt(lock, H200 if name == "jax-cuda12" else ON_CPU))
        device = {**H200, "name": "NVIDIA A100", "capability": "8.0"} if name == "jax-cuda12" else ON_CPU
        fleets.written(made, lock, "a", fleets.receipt(lock, device))
    for name, how in {"h1": "h", "h2": "h", "a1": "a", "c1": "h"}.items():
        (made / f"how-{name}").write_text(how)
    monkeypatch.chdir(project)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))

    def call(*words: str) -> Result:
        status = run(words)
        said = capfd.readouterr()
        return Result(int(status), said.out, said.err)

    return call


def answers(text: str) -> dict[tuple[str, str], Any]:
    return {(one["pool"], one["environment"]): one for one in json.loads(text)["answers"]}


def test_a_job_for_each_kind_of_gpu(fleet: Command, project: Path, cluster: Cluster, made: Path) -> None:
    done = fleet("validate", "--fleet", "k8s:lab", "--image", "registry/lab:1", "--json")
    found = answers(done.stdout)
    assert {key: (one["verdict"], one["node"], one["device"]) for key, one in found.items()} == {
        (A, "jax-cuda12"): ("passed", "a1", "NVIDIA A100"),
        (A, "numpy-cpu"): ("passed", "a1", "cpu"),
        (H, "jax-cuda12"): ("passed", "h1", "NVIDIA H200"),
        (H, "numpy-cpu"): ("passed", "h1", "cpu"),
        ("cpu", "numpy-cpu"): ("passed", "h1", "cpu"),
    }, done.stderr
    assert done.status == 0
    jobs = {job["metadata"]["generateName"]: job["spec"] for job in cluster.posted}
    assert len(cluster.deleted) == len(jobs) == 5
    spec = next(spec for name, spec in jobs.items() if name.startswith("kgen-jax-cuda12-nvidia-h200-"))
    assert (spec["completionMode"], spec["completions"], spec["backoffLimitPerIndex"]) == ("Indexed", 1, 0)
    pod = spec["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": H}
    assert pod["containers"][0]["image"] == "registry/lab:1"
    assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert "h validate jax-cuda12 --json --device gpu --timeout 900" in fleets.calls(made)
    assert sorted(path.stem for path in (project / "locks/jax-cuda12/receipts").iterdir()) == [
        "nvidia-a100",
        "nvidia-h200",
    ]


def test_every_node_and_a_driver(fleet: Command, cluster: Cluster, made: Path) -> None:
    (made / "how-h2").write_text("dies")
    done = fleet(
        *("validate", "jax-cuda12", "--fleet", "k8s:lab", "--image", "i", "--each-node", "--retries", "1", "--json")
    )
    found = {one["node"]: one for one in json.loads(done.stdout)["answers"]}
    assert {name: (one["verdict"], one["attempts"]) for name, one in found.items()} == {
        "a1": ("passed", 1),
        "h1": ("passed", 1),
        "h2": ("engine failure", 2),
    }, done.stderr
    assert found["h2"]["reason"] == "Error, exit status 137"
    assert done.status == 4
    pod = next(job["spec"] for job in cluster.posted if job["spec"]["completions"] == 2)["template"]
    (apart,) = pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["labelSelector"]["matchLabels"] == pod["metadata"]["labels"]
    assert len(cluster.deleted) == 1, "what was lost is to be looked at"
    # the oldest driver of a kind counts, and what it breaks is never submitted
    posted = len(cluster.posted)
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--driver", "450.80.02", "--json")
    assert {one["verdict"] for one in answers(done.stdout).values()} == {"would break"}
    assert (done.status, len(cluster.posted)) == (1, posted)


def test_what_was_interrupted_is_read_later(fleet: Command, kgen: Kgen, cluster: Cluster, tmp_path: Path) -> None:
    cluster.slow = True
    words = ("validate", "jax", "--fleet", "k8s:lab", "--image", "i")
    process = kgen.start(*words, KUBECONFIG=str(tmp_path / "config"))
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        for _ in range(2):
            assert process.stderr.readline().endswith("jax-cuda12: submitted\n")
        process.kill()
        process.wait(30)
    done = fleet(*words, "--resume", "--json")
    assert {key: (one["verdict"], one["stands"]) for key, one in answers(done.stdout).items()} == {
        (A, "jax-cuda12"): ("passed", True),
        (H, "jax-cuda12"): ("passed", True),
    }, done.stderr
    assert (done.status, len(cluster.posted)) == (0, 2)


def test_an_environment_folder_that_no_manifest_can_hold(fleet: Command, cluster: Cluster) -> None:
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--envs", "/a\nb")
    assert done.status == 2
    assert "jax-cuda12 on NVIDIA-H200: `/a\\nb` is not one printable line" in done.stderr
    assert not cluster.posted


def test_pods_that_never_start(fleet: Command, cluster: Cluster) -> None:
    cluster.broken, cluster.full = frozenset({A}), frozenset({H})
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--json")
    found = answers(done.stdout)
    assert found[A, "jax-cuda12"]["verdict"] == "not scheduled"
    assert found[A, "jax-cuda12"]["reason"] == "ImagePullBackOff: no such image"
    assert found[H, "jax-cuda12"]["verdict"] == "not scheduled"
    assert found[H, "jax-cuda12"]["reason"] == "DeadlineExceeded: Job was active longer than specified deadline"
    assert done.status == 1


def test_a_time_limit_is_told_from_a_job_that_was_cancelled(fleet: Command, cluster: Cluster) -> None:
    """The pod that is over its time was ended by a signal, of which its container tells; the pod itself knows why."""
    cluster.late, cluster.cancelled = frozenset({H}), frozenset({A})
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--json")
    found = {key[0]: (one["verdict"], one["reason"]) for key, one in answers(done.stdout).items()}
    assert found == {
        H: ("engine failure", "DeadlineExceeded: Pod was active on the node longer than the specified deadline"),
        A: ("not scheduled", "it was deleted before it had ended"),
    }, done.stderr
    assert done.status == 4


def test_a_log_that_cannot_be_read_costs_no_other(fleet: Command, cluster: Cluster, project: Path) -> None:
    """The job stays, so that the receipt is read as soon as the node can be reached again."""
    cluster.unreachable = frozenset({"h1"})
    words = ("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--json")
    done = fleet(*words)
    found = answers(done.stdout)
    assert found[A, "jax-cuda12"]["verdict"] == "passed"
    lost = found[H, "jax-cuda12"]
    assert (lost["verdict"], lost["node"]) == ("engine failure", "h1")
    assert lost["reason"].startswith("the cluster of context lab cannot read the logs of pods: Get ")
    assert [name.rpartition("-")[0].rpartition("-")[0] for name in cluster.deleted] == [
        f"kgen-jax-cuda12-{A.lower()}",
    ]
    assert (done.status, len(cluster.posted)) == (4, 2)
    cluster.unreachable = frozenset()
    again = answers(fleet(*words, "--resume").stdout)
    assert {one["verdict"] for one in again.values()} == {"passed"}
    assert len(cluster.posted) == 2, "nothing was run again"
    assert not list((project / ".kgen/fleet").glob("*/run-*"))


def test_a_log_without_its_beginning(fleet: Command, cluster: Cluster) -> None:
    cluster.rotated = frozenset({H})
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--json")
    one = answers(done.stdout)[H, "jax-cuda12"]
    assert (one["verdict"], one["reason"]) == ("engine failure", "its log does not hold a whole answer")


def test_an_api_that_is_busy_is_asked_again(fleet: Command, cluster: Cluster) -> None:
    cluster.busy = 2
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--json")
    assert {one["verdict"] for one in answers(done.stdout).values()} == {"passed"}, done.stderr
    assert cluster.busy == 0


def test_each_node_whose_pod_the_cluster_has_removed(fleet: Command, cluster: Cluster) -> None:
    cluster.full = frozenset({H})
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i", "--each-node", "--json")
    rows = [one for one in json.loads(done.stdout)["answers"] if one["pool"] == H]
    assert [(one["node"], one["verdict"], one["reason"]) for one in rows] == [
        (f"index-{index}", "not scheduled", "DeadlineExceeded: Job was active longer than specified deadline")
        for index in (0, 1)
    ]


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_kinds_of_nodes_are_compared(kgen: Kgen, project: Path, tmp_path: Path) -> None:
    """A real `kgen compare` in a pod, of a program that the image has; what keeps others from it is told apart."""
    small_lock(project, "jax-cpu")
    small_lock(project, "jax-cuda12")
    put_on_disk(project, "jax-cpu")
    (project / ".kgen/envs/jax-cpu/share/kgen/run.sh").write_text('export KERAS_BACKEND=jax\nexec "$@"\n')
    program = "import numpy\nimport keras\nkeras.Model(4).fit(numpy.zeros((320, 2)), batch_size=32, shuffle=False)\n"
    (project / "train.py").write_text(program)
    inside = {**kgen.env(), "PYTHONPATH": str(FAKES / "training")}
    (tmp_path / "programs").mkdir()
    image = tmp_path / "programs/kgen"
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in inside.items() if name != "PATH")
    image.write_text(f'#!/bin/sh\n{exports}cd {project} && exec {sys.executable} -m kgen "$@"\n')
    image.chmod(0o755)
    nodes = [node("h1", H), node("a1", A, "8.0"), node("l1", "NVIDIA-L4", "8.9"), node("c1")]
    with running(Cluster(nodes, tmp_path / "programs", tmp_path / "pods")) as cluster:
        cluster.late, cluster.cancelled, cluster.full = frozenset({H}), frozenset({A}), frozenset({"NVIDIA-L4"})
        command = within(kgen, {"KUBECONFIG": str(cluster.kubeconfig(tmp_path / "config"))})
        words = ("compare", "jax", "--fleet", "k8s:lab", "--image", "registry/lab:1", "--repeat", "2")
        done = command(*words, "--json", "--", "python", "train.py")
        assert done.stdout, done.stderr
        found = {one["name"]: one for one in json.loads(done.stdout)["environments"]}
        assert {name: one["failed"] for name, one in found.items()} == {
            "jax-cpu on cpu": None,
            f"jax-cuda12 on {H}": (
                "engine failure: DeadlineExceeded: Pod was active on the node longer than the specified deadline"
            ),
            f"jax-cuda12 on {A}": "not scheduled: it was deleted before it had ended",
            "jax-cuda12 on NVIDIA-L4": "not scheduled: DeadlineExceeded: Job was active longer than specified deadline",
        }
        assert [len(run["steps"]) for run in found["jax-cpu on cpu"]["runs"]] == [10, 10]
        assert done.status == 1
        scripts = [job["spec"]["template"]["spec"]["containers"][0]["args"][0] for job in cluster.posted]
        assert len(scripts) == 4
        assert all("'--' 'python' 'train.py' > /tmp/kgen-answer.json\n" in script for script in scripts)
        # a program that the image does not have is a failure of the training, in its own words
        done = command(*words, "--json", "--", "python", "gone.py")
        failed = {one["name"]: one for one in json.loads(done.stdout)["environments"]}["jax-cpu on cpu"]
        assert "can't open file" in " ".join(failed["quotes"])
        assert not cluster.faults


@pytest.mark.usefixtures("fleet")
def test_whoever_stops_comparing_leaves_no_job(kgen: Kgen, cluster: Cluster, tmp_path: Path) -> None:
    """What is measured is of use together only; receipts, which are of use alone, go on."""
    cluster.slow = True
    words = ("--fleet", "k8s:lab", "--image", "i")
    comparison = ("compare", "jax", *words, "--", "python", "train.py")
    calls: tuple[tuple[tuple[str, ...], int], ...] = ((comparison, 2), (("validate", "jax", *words), 0))
    for command, gone in calls:
        cluster.deleted.clear()
        process = kgen.start(*command, KUBECONFIG=str(tmp_path / "config"))
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr:
            for _ in range(2):
                assert process.stderr.readline().endswith("jax-cuda12: submitted\n")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130, process.stderr.read()
        assert len(cluster.deleted) == gone


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fleet", "k8s:lab"), "error: `--fleet k8s:` needs the image that has kgen and the project\n"),
        (("--fleet", "k8s:lap", "--image", "i"), "error: unknown context `lap`; the kubeconfig has lab\n"),
        (("--image", "i"), "error: `--image` is for `--fleet k8s:CONTEXT`\n"),
        (("--fleet", "k8s:lab", "--image", "i", "--same-start"), "error: `--same-start` contradicts `--fleet`"),
    ],
)
def test_wrong_comparisons(fleet: Command, cluster: Cluster, words: tuple[str, ...], said: str) -> None:
    done = fleet("compare", *words, "--", "python", "train.py")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert not cluster.posted


# -- wrong calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "refuse", "said"),
    [
        (("k8s:lap", "--image", "i"), "", "error: unknown context `lap`; the kubeconfig has lab\n"),
        (("k8s:lab",), "", "error: `--fleet k8s:` needs the image that has kgen and the project\n"),
        (("site.py", "--image", "i"), "", "error: `--image` is for `--fleet k8s:CONTEXT`\n"),
        (
            ("k8s:lab", "--image", "i"),
            "GET nodes",
            "error: the cluster of context lab does not let you list nodes: jobs.batch is forbidden",
        ),
    ],
)
def test_wrong_calls(fleet: Command, cluster: Cluster, words: tuple[str, ...], refuse: str, said: str) -> None:
    cluster.refuse = refuse
    done = fleet("validate", "--fleet", *words)
    assert (done.status, done.stdout) == (4 if refuse else 2, "")
    assert done.stderr.startswith(said)


def test_no_right_to_create_jobs(fleet: Command, cluster: Cluster) -> None:
    cluster.refuse = "POST jobs"
    done = fleet("validate", "jax", "--fleet", "k8s:lab", "--image", "i")
    assert done.status == 4
    assert "error: the cluster of context lab does not let you create jobs: jobs.batch is forbidden" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_out_of_reach(fleet: Command, cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(config.read_text().replace(str(cluster.server_port), "9"))
    done = fleet("validate", "--fleet", "k8s:lab", "--image", "i")
    assert (done.status, done.stdout) == (4, "")
    assert done.stderr.startswith("error: the cluster of context lab cannot be reached: ")
    config.write_text("{}")
    none = fleet("validate", "--fleet", "k8s:lab", "--image", "i")
    assert (none.status, none.stdout) == (2, "")
    assert none.stderr.startswith("error: there is no kubeconfig: ")


def test_the_log_of_a_pod_is_files_again() -> None:
    log = "motd\n=== kgen: kgen-answer.json\n{}\n\n=== kgen: kgen-receipts/jax/gpu.json\n{\n}\n\n=== kgen: \n"
    assert list(parts_of(log)) == [("answer.json", "{}\n"), ("receipts/jax/gpu.json", "{\n}\n")]
    # what has no end was cut off, and what leads elsewhere is no file of a job's
    assert list(parts_of(log.rpartition("=== kgen")[0])) == [("answer.json", "{}\n")]
    assert list(parts_of("=== kgen: kgen-receipts/../x.json\na\n=== kgen: /etc/x\nb\n=== kgen: \n")) == []


SEEN: dict[str, Any] = {
    name: row["body"]
    for name, row in json.loads((Path(__file__).parent / "data/kubernetes/seen.json").read_text("utf-8")).items()
}
"""What clusters have answered, as people have written down; each with its source."""


def test_what_a_cluster_has_refused_is_told() -> None:
    require("Status", SEEN["forbidden"])
    error = ApiException(http_resp=SimpleNamespace(status=403, reason="Forbidden", data=b"", headers={}))
    error.body = json.dumps(SEEN["forbidden"])
    told = engine._message(error)
    assert told.startswith('jobs.batch is forbidden: User "system:serviceaccount:test:somebody" cannot create')


def test_what_a_cluster_has_said_of_a_time_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that had succeeded by half: what counts is that the Job has failed."""
    job = client.V1Job.from_dict(SEEN["deadline"])
    monkeypatch.setattr(Kubernetes, "_job", lambda _self, _name: job)
    cluster = Kubernetes.__new__(Kubernetes)
    assert cluster._ended("job-test-deadline") == "no answer"
    assert cluster._why("job-test-deadline") == "DeadlineExceeded: Job was active longer than specified deadline"


def test_what_a_cluster_has_said_of_a_pod_that_no_node_takes_is_told() -> None:
    require("PodList", {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [SEEN["unschedulable"]]})
    pod = client.V1Pod.from_dict(SEEN["unschedulable"])
    assert engine._reason(pod).startswith("Unschedulable: 0/10 nodes are available: 10 node(s) didn't match node")
    assert not engine._has_begun(pod)


def test_the_schemas_refuse_what_no_api_answers() -> None:
    """That they look at what they are given: at names, kinds of values, and what must be there."""
    good = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "p"}}]}
    require("PodList", good)
    for wrong in (
        {**good, "items": [{"metadata": {"nam": "p"}}]},
        {**good, "items": [{"status": {"phase": 7}}]},
        {**good, "items": [{"status": {"containerStatuses": [{"name": "kgen"}]}}]},
        {"kind": "PodList"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            require("PodList", wrong)


def test_an_exported_job_is_one(kgen: Kgen, project: Path) -> None:
    fleets.copied(project, "jax-cuda12", "numpy-cpu")
    for name, limits in (("jax-cuda12", {"nvidia.com/gpu": "1"}), ("numpy-cpu", None)):
        done = kgen("export", "kubernetes", name)
        manifest = yaml.safe_load(done.stdout)
        require_job(manifest)
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        assert container.get("resources", {}).get("limits") == limits
        assert f"'kgen' 'validate' '{name}' '--json'" in container["args"][0]
        # that the schemas look at what they are given
        manifest["spec"]["completionMod"] = "Indexed"
        with pytest.raises(jsonschema.ValidationError, match="completionMod"):
            require_job(manifest)
