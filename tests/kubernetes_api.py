"""As much of Kubernetes' API as a fleet uses, on the loopback interface: what is posted runs here, as pods do there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import jsonschema
from tests.loopback import Handler, Server

DATA = Path(__file__).parent / "data" / "kubernetes"
RELEASES = ("1.33", "1.37")
"""Releases of Kubernetes whose schemas of a Job are there, as PyPI's kubernetes-validate has them, without prose."""

_JOBS = re.compile(r"/apis/batch/v1/namespaces/ml/jobs(?:/([a-z0-9-]+))?")
_PODS = re.compile(r"/api/v1/namespaces/ml/pods(?:/([a-z0-9-]+)/log)?")
_GFD = "nvidia.com/"


def require_job(manifest: Mapping[str, Any]) -> None:
    """See that a manifest is a Job of every one of the releases, with nothing in it that they do not know."""
    for release in RELEASES:
        schema = json.loads((DATA / f"job-{release}.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(manifest)


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
        manifest["metadata"]["name"] = name
        if self.cancelled & set(spec["template"]["spec"].get("nodeSelector", {}).values()):
            return manifest  # it was there, and is not when somebody asks after it
        if self.full & set(spec["template"]["spec"].get("nodeSelector", {}).values()):
            over = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "active too long"}
            manifest["status"] = {"conditions": [over]}
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
        condition = {"type": "Failed" if failed else "Complete", "status": "True"}
        never = bool(self.broken & set(spec["template"]["spec"].get("nodeSelector", {}).values()))
        manifest["status"] = {} if never or self.slow else {"conditions": [condition]}
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
                "labels": {"job-name": job, "batch.kubernetes.io/job-completion-index": str(index)},
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
            self.send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _refuse(self, code: int, reason: str, message: str) -> None:
        """An answer as the API gives it for everything that it refuses."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body = json.dumps({**status, "message": message, "reason": reason, "code": code})
        self.send(code, body.encode(), {"Content-Type": "application/json"})

    def _found(self, cluster: Cluster, path: str, query: Mapping[str, list[str]], body: bytes) -> object:
        if path == "/api/v1/nodes":
            return {"items": cluster.nodes}
        if match := _JOBS.fullmatch(path):
            return self._job(cluster, match[1], body)
        if match := _PODS.fullmatch(path):
            if match[1]:
                return cluster.pods[match[1]][1]
            job = query["labelSelector"][0].removeprefix("job-name=")
            return {"items": [pod for pod, _ in cluster.pods.values() if pod["metadata"]["labels"]["job-name"] == job]}
        return None

    def _job(self, cluster: Cluster, name: str, body: bytes) -> object:
        if self.command == "POST":
            return cluster.post(json.loads(body))
        if self.command == "DELETE":
            cluster.deleted.append(name)
            return {"status": "Success"}
        return cluster.jobs.get(name)
