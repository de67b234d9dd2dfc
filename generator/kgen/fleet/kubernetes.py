"""Kubernetes as an engine: nodes with labels of GPU feature discovery form pools, and jobs run as Indexed Jobs.

A pod writes kgen's files into its log, and kgen reads them back through the API. The client comes with kgen's extra
`fleet`; only this module imports it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from kgen import accelerators, files, host, storage
from kgen.emitters.kubernetes import MARK, name_of, render_job
from kgen.errors import MalformedAnswerError, MissingExtraError, OutsideError, UnreachableError, UsageError
from kgen.fleet import answers
from kgen.fleet.shape import Job, Limits, Pool, Progress, Returned, Slot
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.grammar import printable, shown
from kgen.settings import Target
from kgen.tables import nearest

INSTALL = "pip install 'keras-kgen[fleet]'"
PREFIX = "k8s:"
"""The prefix of a context in `--fleet`."""

PRODUCT = "nvidia.com/gpu.product"
_KIND = "cuda"
"""The accelerator that GPU feature discovery labels."""

_COMPUTE = ("nvidia.com/gpu.compute.major", "nvidia.com/gpu.compute.minor")
_DRIVER = ("nvidia.com/cuda.driver.major", "nvidia.com/cuda.driver.minor", "nvidia.com/cuda.driver.rev")
_DRIVER_WHOLE = "nvidia.com/cuda.driver-version.full"

_JOBS, _SLOT = "submitted.json", "slot.json"
_POLL = 2.0
_PATIENCE = 60.0
"""How long kgen retries an API that does not answer, in seconds; the jobs go on meanwhile."""

_ANSWERED = "answered"
_REFUSED = frozenset({401, 403})
_GONE = 404
_PASSING = frozenset({429, 500, 502, 503, 504})
"""The statuses of an API that is overloaded or restarting."""

_REMOVED = "it was deleted before it had ended"
_HOPELESS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)
"""The reasons of waiting containers that will never start by themselves."""

_SHOWN = 300


class Kubernetes:
    """A cluster, named by a context of the user's kubeconfig.

    Args:
        context: the context.
        image: the image of the pods.
        poll: seconds between two looks at the jobs.
        patience: how long to retry an API that does not answer, in seconds.

    Raises:
        UsageError: there is no such context, no client, or no image is given.
        OutsideError: the cluster cannot be reached, or refuses.
    """

    title = "Kubernetes"

    def __init__(self, context: str, image: str | None, *, poll: float = _POLL, patience: float = _PATIENCE) -> None:
        if not image:
            raise UsageError(
                "`--fleet k8s:` needs the image that has kgen and the project",
                hints=[f"give `--image IMAGE` with `--fleet {PREFIX}{shown(context)}`"],
            )
        self._client = _client(context)
        self._context, self._image, self._poll, self._patience = context, image, poll, patience
        self._namespace = self._client.namespace
        self._nodes: dict[str, list[str]] = {}
        self.pools: Mapping[str, Pool] = self._read_pools()

    @property
    def name(self) -> str:
        """The name of the cluster's folder."""
        return name_of("k8s", self._context)

    def _read_pools(self) -> dict[str, Pool]:
        pools: dict[str, Pool] = {}
        rows: dict[str, list[Mapping[str, str]]] = {}
        with self._asking("list nodes"):
            listed = self._client.core.list_node().items
        for node in listed:
            labels: Mapping[str, str] = node.metadata.labels or {}
            # a node without the label has no GPU, or its GPUs are not labelled
            pool = labels.get(PRODUCT, CPU.name)
            rows.setdefault(pool, []).append(labels)
            self._nodes.setdefault(pool, []).append(node.metadata.name)
        for name, every in rows.items():
            target = Target(name, CPU) if name == CPU.name else _described(name, every)
            pools[name] = Pool(name, target, project="", program=("kgen",), limited=False)
        return pools

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, jobs: Sequence[Job], folder: Path, limits: Limits, progress: Progress) -> list[Returned]:
        """See :class:`kgen.fleet.shape.Engine`."""
        submitted: dict[str, dict[str, Any]] = {}
        try:
            self._submit(jobs, folder, limits, progress, submitted)
            answered = self._wait(submitted, progress)
        except KeyboardInterrupt:
            # a later run can read receipts back, but not results that are compared together
            if not any(job.receipts for job in jobs):
                self._delete(submitted)
            raise
        returned = self._gather(folder)
        # the user may want to look at the others; the cluster removes them after a day
        self._delete([name for name in answered if all(_is_answered(one) for one in returned[name])])
        return _together(returned)

    def _submit(
        self,
        jobs: Sequence[Job],
        folder: Path,
        limits: Limits,
        progress: Progress,
        submitted: dict[str, dict[str, Any]],
    ) -> None:
        """Create the jobs, and record their names here and in a file for a later run."""
        for job in jobs:
            with self._asking("create jobs"):
                made = self._client.batch.create_namespaced_job(self._namespace, self._manifest(job, limits))
            submitted[made.metadata.name] = {
                "pool": job.pool.name,
                "environment": job.environment,
                "each": limits.each_node,
                "nodes": len(self._nodes[job.pool.name]) if limits.each_node else 1,
            }
            # written before the next job is created, so that a later run finds all of them
            storage.write_file(folder / _JOBS, json.dumps(submitted).encode())
            progress(f"{job.pool.name}, {job.environment}", "submitted")

    def _wait(self, submitted: Mapping[str, Mapping[str, Any]], progress: Progress) -> set[str]:
        """Wait for the end of the jobs; return those that answered."""
        waiting, answered = set(submitted), set()
        while waiting:
            for name in sorted(waiting):
                how = self._ended(name)
                if how is not None:
                    waiting.discard(name)
                    answered |= {name} if how == _ANSWERED else set()
                    progress(f"{submitted[name]['pool']}, {submitted[name]['environment']}", how)
            if waiting:
                time.sleep(self._poll)
        return answered

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(OutsideError), self._asking("delete jobs"):
                self._client.batch.delete_namespaced_job(name, self._namespace, propagation_policy="Background")

    def _manifest(self, job: Job, limits: Limits) -> object:
        import yaml  # noqa: PLC0415 - the client brings it

        pool = job.pool
        try:
            text = render_job(
                label=f"{job.environment} on {pool.name}",
                name=f"{name_of(job.environment, pool.name)}-{secrets.token_hex(3)}",
                image=self._image,
                words=(*pool.program, *job.words),
                accelerator=pool.target.accelerator.kind if job.accelerated else CPU.kind,
                seconds=job.seconds,
                selector={} if pool.name == CPU.name else {PRODUCT: pool.name},
                completions=len(self._nodes[pool.name]) if limits.each_node else 1,
                retries=limits.retries,
                receipts=job.receipts,
            )
        except ValueError as error:
            raise UsageError(
                f"{job.environment} on {pool.name}: {error}", hints=["leave out `--envs`: the image has its own"]
            ) from None
        return self._client.job_of(yaml.safe_load(text))

    def _ended(self, name: str) -> str | None:
        """How a job has ended; None while it goes on."""
        job = self._job(name)
        if job is None:
            return "deleted"
        for condition in job.status.conditions or ():
            if condition.status == "True" and condition.type in {"Complete", "Failed"}:
                return _ANSWERED if condition.type == "Complete" else "no answer"
        pods = self._pods(name)
        wanted = job.spec.completions or 1
        hopeless = [pod for pod in pods if _waits_for(pod) in _HOPELESS]
        return "cannot start" if len(hopeless) >= wanted else None

    def _job(self, name: str) -> Any:  # noqa: ANN401 - the client has no types
        """A job; None if somebody has deleted it."""
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - of the extra

        with self._asking("read jobs"):
            try:
                return self._patiently(lambda: self._client.batch.read_namespaced_job(name, self._namespace))
            except ApiException as error:
                if error.status == _GONE:
                    return None
                raise

    def _pods(self, name: str) -> list[Any]:
        with self._asking("list pods"):
            selector = f"job-name={name}"
            listed = self._patiently(
                lambda: self._client.core.list_namespaced_pod(self._namespace, label_selector=selector)
            )
        return sorted(listed.items, key=lambda pod: str(pod.metadata.creation_timestamp))

    # -- what came back ------------------------------------------------------------------------------------------------

    def gather(self, folder: Path) -> list[Returned]:
        """See :class:`kgen.fleet.shape.Engine`."""
        return _together(self._gather(folder))

    def _gather(self, folder: Path) -> dict[str, list[Returned]]:
        """The results of each job, by the job's name."""
        try:
            submitted: Any = json.loads(files.read(folder / _JOBS))
        except (OSError, ValueError):
            return {}
        return {name: self._of_job(name, row, folder / name) for name, row in submitted.items()}

    def _of_job(self, name: str, row: Mapping[str, Any], folder: Path) -> list[Returned]:
        """The results of a job: the best try for each slot."""
        returned: dict[Slot, Returned] = {}
        tries: dict[Slot, int] = {}
        there = set()
        for pod in self._pods(name):
            there.add(_index(pod))
            slot = Slot(row["pool"], row["environment"], (pod.spec.node_name or _index(pod)) if row["each"] else "")
            tries[slot] = tries.get(slot, 0) + 1
            place = folder / pod.metadata.name
            node = pod.spec.node_name if _has_begun(pod) else None
            lost = None if node is None else self._fetch(pod, place)
            one = Returned(slot, place, node, _reason(pod) or lost or "", tries[slot])
            before = returned.get(slot)
            if before is None or not _is_answered(before):
                returned[slot] = one
        # the cluster removes pods that hit the job's time limit, and pods of nodes that are gone
        gone = [one for one in map(_index_name, range(row.get("nodes", 1))) if one not in there]
        if gone and (row["each"] or not returned):
            why = self._why(name)
            for index in gone:
                slot = Slot(row["pool"], row["environment"], index if row["each"] else "")
                returned[slot] = Returned(slot, None, None, why)
        return list(returned.values())

    def _why(self, name: str) -> str:
        """The cluster's reason why a job has no pods."""
        job = self._job(name)
        if job is None:
            return _REMOVED
        failed = [one for one in job.status.conditions or () if one.status == "True" and one.type == "Failed"]
        said = [": ".join(filter(None, (one.reason, one.message))) for one in failed]
        return printable(said[0])[:_SHOWN] if said else "it has no pods"

    def _fetch(self, pod: Any, place: Path) -> str | None:  # noqa: ANN401 - the client has no types
        """Write the files in a pod's log; return the reason if there is no whole answer."""
        if answers.is_answered(place):
            return None
        name = pod.metadata.name
        try:
            with self._asking("read the logs of pods"):
                text = self._client.core.read_namespaced_pod_log(name, self._namespace, container="kgen")
        except OutsideError as error:  # this pod's node may be gone; the other pods still have logs
            return error.message
        for part, content in parts_of(text or ""):
            path = place / part
            storage.make_folder(path.parent)
            storage.write_file(path, content.encode())
        return None if answers.is_answered(place) else "its log does not hold a whole answer"

    # -- the API -------------------------------------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - the client has no types
        """Ask the API, again and again for a while if it does not answer."""
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - of the extra
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the client brings it

        until = time.monotonic() + self._patience
        while True:
            try:
                return ask()
            except (ApiException, HTTPError, OSError) as error:
                passing = not isinstance(error, ApiException) or error.status in _PASSING
                if not passing or time.monotonic() >= until:
                    raise
            time.sleep(self._poll)

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn the client's exceptions within the block into kgen's errors."""
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - of the extra
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the client brings it

        try:
            yield
        except ApiException as error:
            if error.status in _REFUSED:
                raise UnreachableError(
                    f"the cluster of context {self._context} does not let you {what}: {_message(error)}",
                    hints=[f"kubectl --context {self._context} auth can-i --list"],
                ) from error
            raise UnreachableError(
                f"the cluster of context {self._context} cannot {what}: {_message(error)}",
                hints=[f"kubectl --context {self._context} get jobs,pods"],
            ) from error
        except ValueError as error:  # the client raises it for an unexpected answer
            raise MalformedAnswerError(
                f"the cluster of context {self._context} answers what the client does not understand when asked to"
                f" {what}: {printable(str(error).partition(chr(10))[0])[:_SHOWN]}",
                hints=[f"kubectl --context {self._context} version"],
            ) from error
        except (HTTPError, OSError) as error:
            raise UnreachableError(
                f"the cluster of context {self._context} cannot be reached: {printable(str(error))[:_SHOWN]}",
                hints=[f"kubectl --context {self._context} cluster-info"],
            ) from error


class _Client:
    """The parts of the API that kgen uses, and the namespace of the context."""

    def __init__(self, api: Any, namespace: str) -> None:  # noqa: ANN401 - the client has no types
        from kubernetes import client  # noqa: PLC0415 - of the extra

        # the client's types make every field optional, even those that each object has
        self.core: Any = client.CoreV1Api(api)
        self.batch: Any = client.BatchV1Api(api)
        self.job_of: Any = client.V1Job.from_dict
        self.namespace = namespace


def _client(context: str) -> _Client:
    import importlib  # noqa: PLC0415 - only here

    try:
        config: Any = importlib.import_module("kubernetes.config")
    except ImportError as error:
        raise MissingExtraError(
            f"`--fleet k8s:` needs kubernetes, which cannot be imported: {error}", hints=[INSTALL]
        ) from None
    # the client reads the variable only once, when it is imported
    place = host.variable("KUBECONFIG") or None
    try:
        contexts, _ = config.list_kube_config_contexts(config_file=place)
    except config.ConfigException as error:
        raise UsageError(f"there is no kubeconfig: {printable(str(error))}", hints=["kubectl config view"]) from None
    known = {str(row["name"]): row for row in contexts}
    if context not in known:
        near = nearest(context, known)
        raise UsageError(
            f"unknown context `{shown(context)}`; the kubeconfig has {', '.join(known) or 'none'}",
            hints=[f"did you mean `{PREFIX}{near}`?" if near else "kubectl config get-contexts"],
        )
    try:
        api = config.new_client_from_config(config_file=place, context=context)
    except config.ConfigException as error:
        raise UsageError(
            f"the context {context} cannot be used: {printable(str(error))}", hints=["kubectl config view"]
        ) from None
    return _Client(api, known[context]["context"].get("namespace") or "default")


def _described(name: str, every: Sequence[Mapping[str, str]]) -> Target:
    """A GPU from the labels of its nodes, with the oldest of their drivers; invalid labels are ignored."""
    kind = accelerators.kind(_KIND)
    gpus, drivers = set(), []
    for labels in every:
        with contextlib.suppress(ValueError):
            gpus.add(kind.parse_architecture(".".join(labels.get(part, "") for part in _COMPUTE)))
        with contextlib.suppress(ValueError):
            drivers.append(DriverVersion(kind.parse_driver(_driver(labels))))
    return Target(name, Accelerator(_KIND), driver=min(drivers, default=None), gpu=tuple(sorted(gpus)))


def _driver(labels: Mapping[str, str]) -> str:
    whole = labels.get(_DRIVER_WHOLE)
    return whole or ".".join(part for part in (labels.get(key, "") for key in _DRIVER) if part)


def parts_of(log: str) -> Iterator[tuple[str, str]]:
    """The files in a pod's log: their paths in the folder of a job, and their content. An unfinished file is left out.

    Args:
        log: the log's text.
    """
    name, lines = None, list[str]()
    for line in log.splitlines():
        if not line.startswith(MARK.rstrip()):
            lines.append(line)
            continue
        if name is not None:
            yield name, "\n".join(lines).rstrip("\n") + "\n"
        name, lines = _name_of(line[len(MARK) :].strip()), []


def _name_of(said: str) -> str | None:
    """The path of a pod's file in the folder of a job; None for a file that no job writes."""
    path = PurePosixPath(said)
    if said == f"kgen-{answers.ANSWER}":
        return answers.ANSWER
    if len(path.parts) == 3 and path.parts[0] == f"kgen-{answers.RECEIPTS}" and ".." not in path.parts:  # noqa: PLR2004
        return f"{answers.RECEIPTS}/{path.parts[1]}/{path.parts[2]}"
    return None


def _together(returned: Mapping[str, Sequence[Returned]]) -> list[Returned]:
    return sorted((one for every in returned.values() for one in every), key=lambda one: one.slot)


def _is_answered(one: Returned) -> bool:
    return one.folder is not None and answers.is_answered(one.folder)


def _index(pod: Any) -> str:  # noqa: ANN401 - the client has no types
    labels: Mapping[str, str] = pod.metadata.labels or {}
    return _index_name(labels.get("batch.kubernetes.io/job-completion-index", "0"))


def _index_name(index: object) -> str:
    return f"index-{index}"


def _container(pod: Any) -> Any:  # noqa: ANN401 - as above
    statuses = pod.status.container_statuses or ()
    return statuses[0].state if statuses else None


def _waits_for(pod: Any) -> str | None:  # noqa: ANN401 - as above
    state = _container(pod)
    return None if state is None or state.waiting is None else state.waiting.reason


def _has_begun(pod: Any) -> bool:  # noqa: ANN401 - as above
    state = _container(pod)
    return state is not None and (state.running is not None or state.terminated is not None)


def _reason(pod: Any) -> str:  # noqa: ANN401 - as above
    """Why a pod has not ended well, in the cluster's words."""
    # what ended the pod says more than how its container ended: a time limit is a signal to it
    said = ": ".join(filter(None, (pod.status.reason, pod.status.message)))
    if said:
        return printable(said)[:_SHOWN]
    state = _container(pod)
    if state is not None and state.waiting is not None:
        return printable(": ".join(filter(None, (state.waiting.reason, state.waiting.message))))[:_SHOWN]
    if state is not None and state.terminated is not None and state.terminated.exit_code:
        return printable(f"{state.terminated.reason}, exit status {state.terminated.exit_code}")[:_SHOWN]
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return printable(": ".join(filter(None, (condition.reason, condition.message))))[:_SHOWN]
    return ""


def _message(error: Any) -> str:  # noqa: ANN401 - as above
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.reason)
    return printable(said)[:_SHOWN]
