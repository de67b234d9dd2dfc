"""Two processes that train together, each on a device of its own: each has half a batch, and they take the mean.

Without momentum the mean of both weights after a step is what a step on the whole batch gives, so the reference is the
one of every suite. The mean itself is the framework's: NCCL's where the devices are NVIDIA's GPUs.
"""

import json
import os
import socket
import subprocess
import sys

import numpy

from kgen_step import network, reference, task
from kgen_step.parts import Absent, Cannot

TRAINS = True

COUNT = 2
_SECONDS = 180
"""After which the two are ended: whoever waits for a process that is gone waits for ever."""
_LINES = 6


def run(world):
    """The weights after a step on one batch, against the step in float64."""
    backend, spec = world.backend, world.spec
    if not hasattr(backend, "join"):
        raise Cannot("this backend joins no processes")
    shown = backend.count(world.kind)
    if shown < COUNT:
        raise Absent("one device is here" if shown else "no device is here")
    results = _both(spec, world)
    weights, images, labels = task.arrays()
    exact = [weight.astype("float64") for weight in weights]
    _, gradients, _ = reference.loss_and_gradients(exact, images[0].astype("float64"), labels[0].astype("float64"))
    wanted = numpy.concatenate([(weight - task.RATE * by).ravel() for weight, by in zip(exact, gradients)])
    numbers = [
        world.number("weights in process {}".format(rank), one["weights"], wanted, 1e-5, 5e-5)
        for rank, one in enumerate(results)
    ]
    alone = [abs(numpy.asarray(one["alone"]) - wanted).max() for one in results]
    return {
        "numbers": [
            *numbers,
            # each had another half: had nobody taken the mean, neither would be near
            {"what": "each alone", "distance": float(min(alone)), "least": 1e-4},
        ],
        "said": {"by": results[0]["by"], "devices": ", ".join(one["device"] for one in results)},
    }


def _both(spec, world):
    """What each of the two reports."""
    addresses = _addresses()
    program = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    running = []
    try:
        for rank in range(COUNT):
            own = os.path.join(world.folder, str(rank))
            os.mkdir(own)
            path, result = os.path.join(own, "spec.json"), os.path.join(own, "result.json")
            told = dict(spec, folder=own, joined={"rank": rank, "addresses": addresses, "result": result})
            with open(path, "w", encoding="utf-8") as file:
                json.dump(told, file)
            with open(os.path.join(own, "output"), "wb") as output:
                command = [sys.executable, "-B", program, path, os.path.join(own, "events.jsonl")]
                environ = dict(os.environ)
                if world.kind != "cpu":
                    environ.update({name: _one(environ.get(name), rank) for name in spec.get("selecting", ())[:1]})
                process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 - this program itself
                running.append((process, result, own))
        return [_result(*one) for one in running]
    finally:
        for process, _, _ in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def _addresses():
    """An address on loopback for each, free a moment ago."""
    free = [socket.socket() for _ in range(COUNT)]
    try:
        for one in free:
            one.bind(("127.0.0.1", 0))
        return ["{}:{}".format(*one.getsockname()) for one in free]
    finally:
        for one in free:
            one.close()


def _one(shown, rank):
    """The device of this rank among those that a variable shows."""
    chosen = [one.strip() for one in (shown or "").split(",") if one.strip()]
    return chosen[rank] if rank < len(chosen) else str(rank)


def _result(process, path, own):
    try:
        status = process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError("two processes did not find each other within {} s".format(_SECONDS)) from None
    if status:
        raise RuntimeError("one of two processes ended with status {}: {}".format(status, _said(own)))
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _said(own):
    """What a process said last: the error that it told of, or the end of what it printed."""
    with open(os.path.join(own, "events.jsonl"), encoding="utf-8") as file:
        told = [json.loads(line) for line in file if line.endswith("\n")]
    failed = [event["errors"][0] for event in told if event["event"] == "failed"]
    if failed:
        return "{type}: {message}".format(**failed[-1])
    with open(os.path.join(own, "output"), encoding="utf-8", errors="replace") as file:
        return "\n".join(file.read().strip().splitlines()[-_LINES:])


def take_part(keras, backend, spec):
    """One of the two: trains on its half, then takes the mean with the other."""
    joined = spec["joined"]
    rank = joined["rank"]
    weights, images, labels = task.arrays()
    model = network.build(keras, weights, {}, rotated=getattr(backend, "ROTATED", False))
    half = slice(rank * task.BATCH // COUNT, (rank + 1) * task.BATCH // COUNT)
    model.train_on_batch(images[0][half], labels[0][half])
    alone = numpy.concatenate([numpy.ravel(numpy.asarray(weight)) for weight in model.get_weights()])
    mean, by, device = backend.mean(alone)
    with open(joined["result"], "w", encoding="utf-8") as file:
        json.dump({"alone": alone.tolist(), "weights": mean.tolist(), "by": by, "device": device}, file)
