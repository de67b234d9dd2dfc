"""Runs kgen's training step on each backend of an environment, and compares what it reports with the reference.

What is to be run is in the environment, put there by mk-check.nix; the arguments are the interpreter and kgen's folder
`validation`. Needs a CPython and its standard library only.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn

SECONDS = 900


def main(given: dict[str, str], python: str, validation: str) -> None:
    """Print a line for each backend that passes; end with what is wrong with the first that does not."""
    # of kgen this one file, as a module by itself
    sys.path.append(validation)
    reference = importlib.import_module("reference")
    tolerance = reference.TOLERANCES["cpu"]
    for step in json.loads(given["steps"]):
        name = f"{given['environment']}: {step['backend']}"
        variables = {**json.loads(given["variables"]), "KERAS_BACKEND": step["backend"]}
        events, status = run(step, python, os.path.join(validation, "step"), variables)
        said = {event["event"]: event for event in events}
        if "result" not in said:
            _fail(name, _failure(said.get("failed", {}), status))
        distance = reference.distance(said["result"])
        if not distance.within(tolerance):
            _fail(name, f"is too far from the reference: {distance}; {tolerance}")
        print(f"{name} {'trained' if distance.losses is not None else 'computed'} as the reference does: {distance}")  # noqa: T201


def run(step: dict[str, str], python: str, program: str, variables: dict[str, str]) -> tuple[list[dict[str, Any]], int]:
    """What the step reported, line by line, and how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        spec, events = os.path.join(folder, "spec.json"), os.path.join(folder, "events.jsonl")
        own = os.path.join(folder, "own")
        os.mkdir(own)
        with open(spec, "w", encoding="utf-8") as file:
            json.dump({**step, "device": "cpu", "folder": own, "ends": time.time() + SECONDS}, file)
        environment = {**os.environ, **variables, "HOME": folder, "TF_CPP_MIN_LOG_LEVEL": "2"}
        done = subprocess.run(  # noqa: S603 - of the store
            [python, "-B", program, spec, events], env=environment, check=False, timeout=SECONDS, stdout=sys.stderr
        )
        if not os.path.exists(events):
            return [], done.returncode
        with open(events, encoding="utf-8") as file:
            return [json.loads(line) for line in file], done.returncode


def _failure(event: dict[str, Any], status: int) -> str:
    """What is known of a step without a result."""
    texts = [f"{one.get('type', 'error')}: {one.get('message', '')}" for one in event.get("errors", ())]
    return "\n  ".join([f"failed in the stage `{event.get('stage', 'start')}` with status {status}", *texts])


def _fail(name: str, what: str) -> NoReturn:
    sys.exit(f"kgen: {name} {what}")


if __name__ == "__main__":
    main(dict(os.environ), *sys.argv[1:])
