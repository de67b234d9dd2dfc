"""As much of Kubernetes' API as a fleet uses, on the loopback interface: what is posted runs here, as pods do there."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import jsonschema
from tests.loopback import Handler, Server
from tests.record_kubernetes import DATA, RELEASES

_JOBS = re.compile(r"/apis/batch/v1/namespaces/ml/jobs(?:/([a-z0-9-]+))?")
_PODS = re.compile(r"/api/v1/namespaces/ml/pods(?:/([a-z0-9-]+)/log)?")
_GFD = "nvidia.com/"


@functools.cache
def _judge(release: str, kind: str) -> jsonschema.Draft202012Validator:
    known = json.loads((DATA / f"api-{release}.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator({"$defs": known["$defs"], **known["kinds"][kind]})


def require(kind: str, value: Mapping[str, Any]) -> None:
    """See that something is of a kind in every one of the releases, with nothing in it that they do not know.

    Raises:
        jsonschema.ValidationError: it is not.
    """
    for release in RELEASES:
        _judge(release, kind).validate(value)


def require_job(manifest: Mapping[str, Any]) -> None:
    """See that a manifest is a Job of every one of the releases."""
    require("Job", manifest)


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(kind: str, reason: str, message: str) -> list[dict[str, str]]:
    """How a Job says that it has ended: what decided it first, then that its pods are gone."""
    first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    said = {"status": "True", "reason": reason, "message": message}
    when = {"lastProbeTime": _now(), "lastTransitionTime": _now()}
    return [{"type": one, **said, **when} for one in (first, kind)]


def node(name: str, product: str | None = None, compute: str = "9.0", driver: str = "580.65.06") -> dict[str, Any]:
    """A node with the labels of GPU feature discovery; without a product, one that has CPUs."""
    labels = {"kubernetes.io/hostname": name}
    if product is not None:
        major, _, minor = compute.partition(".")
        numbers = dict(zip(("major", "minor", "rev"), driver.split("."), strict=True))
        labels |= {f"{_GFD}gpu.product": product, f"{_GFD}gpu.compute.major": major, f"{_GFD}gpu.compute.minor": minor}
        labels |= {f"{_GFD}cuda.driver.{key}": value for key, value in numbers.items()}
    return {"metadata": {"name": name, "labels": labels}}


class Cluster(Server):
    """A cluster.

    Args:
        nodes: its nodes, see :func:`node`.
        programs: the folder with the `kgen` that pods start.
        folder: for what pods write.

    Attributes:
        posted: the manifests of jobs.
        deleted: the names of jobs that were deleted.
        faults: what of the answers no API of these releases gives.
        refuse: what is answered with 403, by the method and the kind: `POST jobs`.
        broken: products whose pods never start.
        slow: whether no job says that it has ended.
        full: products whose pods never get a node, until the time of the job is over.
        late: products whose pods take longer than they may.
        cancelled: products whose jobs somebody deletes while they run.
        rotated: products whose nodes have thrown away the beginning of the logs.
        unreachable: nodes whose logs cannot be read.
        busy: so many questions after jobs are answered with 503.
    """

    def __init__(self, nodes: Sequence[Mapping[str, Any]], programs: Path, folder: Path) -> None:
        super().__init__(_Handler)
        self.nodes, self._programs, self._folder = nodes, programs, folder
        self.posted: list[Mapping[str, Any]] = []
        self.deleted: list[str] = []
        self.faults: list[str] = []
        self.refuse = ""
        self.broken: frozenset[str] = frozenset()
        self.slow = False
        self.full: frozenset[str] = frozenset()
        self.late: frozenset[str] = frozenset()
        self.cancelled: frozenset[str] = frozenset()
        self.rotated: frozenset[str] = frozenset()
        self.unreachable: frozenset[str] = frozenset()
        self.busy = 0
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, tuple[dict[str, Any], str]] = {}

    def kubeconfig(self, path: Path) -> Path:
        """Writes what leads a client here."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": self.root}}],
            "users": [{"name": "me", "user": {"token": "secret"}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me", "namespace": "ml"}}],
            "current-context": "lab",
        }
        path.write_text(json.dumps(config))
        return path

    def post(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """A job, whose pods have ended when it is there."""
        require_job(manifest)
        self.posted.append(manifest)
        name = f"{manifest['metadata']['generateName']}{len(self.posted)}"
        spec = manifest["spec"]
        manifest["metadata"] |= {"name": name, "namespace": "ml", "uid": f"uid-{name}", "creationTimestamp": _now()}
        if self.cancelled & set(spec["template"]["spec"].get("nodeSelector", {}).values()):
            return manifest  # it was there, and is not when somebody asks after it
        if self.full & set(spec["template"]["spec"].get("nodeSelector", {}).values()):
            over = _conditions("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
            manifest["status"] = {"startTime": _now(), "conditions": over, "failed": spec["completions"]}
            self.jobs[name] = manifest
            return manifest
        failed = status = 0
        places = self._places(spec["template"]["spec"].get("nodeSelector", {}))
        for index in range(spec["completions"]):
            for attempt in range(spec["backoffLimitPerIndex"] + 1):
                status = self._pod(name, index, attempt, spec, places[index % len(places)])
                if not status:
                    break
            failed += bool(status)
        how = ("Failed", "FailedIndexes", "Job has failed indexes")
        conditions = _conditions(*how if failed else ("Complete", "CompletionsReached", "Reached expected number"))
        never = bool(self.broken & set(spec["template"]["spec"].get("nodeSelector", {}).values()))
        manifest["status"] = {"startTime": _now(), "active": spec["completions"]}
        if not (never or self.slow):
            manifest["status"] = {"startTime": _now(), "conditions": conditions, "failed": failed}
        self.jobs[name] = manifest
        return manifest

    def _places(self, selector: Mapping[str, str]) -> list[str]:
        return [
            one["metadata"]["name"] for one in self.nodes if selector.items() <= one["metadata"]["labels"].items()
        ] or ["nowhere"]

    def _pod(self, job: str, index: int, attempt: int, spec: Mapping[str, Any], place: str) -> int:
        container = spec["template"]["spec"]["containers"][0]
        name = f"{job}-{index}-{attempt}"
        selector = spec["template"]["spec"].get("nodeSelector", {})
        folder = self._folder / name
        folder.mkdir(parents=True)
        state: dict[str, Any]
        ended: dict[str, str] = {}
        if self.late & set(selector.values()):
            log, status = "", 137
            state = {"terminated": {"exitCode": status, "reason": "Error"}}
            ended = {
                "phase": "Failed",
                "reason": "DeadlineExceeded",
                "message": "Pod was active on the node longer than the specified deadline",
            }
        elif self.broken & set(selector.values()):
            log, status = "", 0
            state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        else:
            script = container["args"][0].replace("/tmp", str(folder))  # noqa: S108 - of the pod
            done = subprocess.run(
                [*container["command"], script],
                env={"PATH": f"{self._programs}:/usr/bin:/bin", "NODE": place, "ATTEMPT": str(attempt)},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            log, status = done.stdout + done.stderr, done.returncode
            if self.rotated & set(selector.values()):
                log = log[len(log) // 2 :]
            state = {"terminated": {"exitCode": status, "reason": "Error" if status else "Completed"}}
        pod = {
            "metadata": {
                "name": name,
                "creationTimestamp": f"2026-11-28T10:{index:02}:{attempt:02}Z",
                "namespace": "ml",
                "labels": {
                    "job-name": job,
                    "batch.kubernetes.io/job-name": job,
                    "batch.kubernetes.io/job-completion-index": str(index),
                },
            },
            "spec": {"nodeName": place, "containers": [{"name": "kgen"}]},
            "status": {
                **ended,
                "containerStatuses": [
                    {"name": "kgen", "image": "i", "imageID": "i", "ready": False, "restartCount": 0, "state": state}
                ],
            },
        }
        self.pods[name] = (pod, log)
        return status


class _Handler(Handler):
    def do_POST(self) -> None:  # noqa: N802 - as http.server has it
        self.answer()

    def do_DELETE(self) -> None:  # noqa: N802
        self.answer()

    def answer(self) -> None:
        cluster = cast("Cluster", self.server)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        url = urlsplit(self.path)
        kind = url.path.split("/")[-1] if self.command == "POST" else ""
        if cluster.refuse == f"{self.command} {kind or url.path.split('/')[-1]}":
            self._refuse(403, "Forbidden", 'jobs.batch is forbidden: User "me" cannot do that in the namespace "ml"')
            return
        assert self.headers["Authorization"] == "Bearer secret"
        if cluster.busy and self.command == "GET" and "/jobs/" in url.path:
            cluster.busy -= 1
            self._refuse(503, "ServiceUnavailable", "the server is currently unable to handle the request")
            return
        if (match := _PODS.fullmatch(url.path)) and match[1]:
            place = cluster.pods[match[1]][0]["spec"]["nodeName"]
            if place in cluster.unreachable:
                self._refuse(500, "InternalError", f'Get "https://{place}:10250/containerLogs": no route to host')
                return
        found = self._found(cluster, url.path, parse_qs(url.query), body)
        if found is None:
            self._refuse(404, "NotFound", f'"{url.path.split("/")[-1]}" not found')
        elif isinstance(found, str):
            self.send(200, found.encode(), {"Content-Type": "text/plain"})
        else:
            self._send(201 if self.command == "POST" else 200, found)

    def _refuse(self, code: int, reason: str, message: str) -> None:
        """An answer as the API gives it for everything that it refuses."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self._send(code, {**status, "message": message, "reason": reason, "code": code})

    def _send(self, code: int, found: Mapping[str, Any]) -> None:
        """An answer, which must be one that each of the releases gives."""
        try:
            require(found["kind"], found)
        except jsonschema.ValidationError as error:
            cast("Cluster", self.server).faults.append(f"{self.command} {self.path}: {error.message}")
        self.send(code, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _found(self, cluster: Cluster, path: str, query: Mapping[str, list[str]], body: bytes) -> Any:  # noqa: ANN401 - JSON or a log
        if path == "/api/v1/nodes":
            return _list("NodeList", cluster.nodes)
        if match := _JOBS.fullmatch(path):
            return self._job(cluster, match[1], body)
        if match := _PODS.fullmatch(path):
            if match[1]:
                return cluster.pods[match[1]][1]
            job = query["labelSelector"][0].removeprefix("job-name=")
            every = [pod for pod, _ in cluster.pods.values()]
            return _list("PodList", [pod for pod in every if pod["metadata"]["labels"]["job-name"] == job])
        return None

    def _job(self, cluster: Cluster, name: str, body: bytes) -> object:
        if self.command == "POST":
            return cluster.post(json.loads(body))
        if self.command == "DELETE":
            cluster.deleted.append(name)
            details = {"name": name, "group": "batch", "kind": "jobs", "uid": f"uid-{name}"}
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return cluster.jobs.get(name)


def _list(kind: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": list(items)}
