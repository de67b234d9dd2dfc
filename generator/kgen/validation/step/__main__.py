"""`python -B <this folder> spec.json events.jsonl`: trains a few steps and tells of them, line by line.

The specification is a JSON object:

    backend      what Keras must say its backend is, as `jax`
    step         which of `kgen_step.backends` knows how to look at it; the module of the backend's name without it
    import       the package to train with: `keras`, `keras_core`
    device       `cpu` or `gpu`
    folder       an empty folder for what frameworks write: caches, Keras's own settings
    timeout      seconds after which whoever called ends this program; it says where it hangs just before

The exit status is 0 if the last line is a result, and 1 if it is a failure; without either the process was ended.
"""

import importlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE] + [HERE]

from kgen_step import program  # noqa: E402 - found by the lines above; last on the path, so it hides no other module

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    backend = importlib.import_module("kgen_step.backends." + spec.get("step", spec["backend"]))
    # kgen's own folder gets no byte code of another interpreter; what is imported from here on is the environment's.
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    sys.exit(program.run(spec, backend, sys.argv[2]))
