"""TensorFlow 1.15 to 2.2 under Keras 2: a graph, of which XLA compiles clusters that it chooses itself."""

import os

from kgen_step import hlo, libraries
from kgen_step.backends import tensorflow
from kgen_step.backends.tensorflow import WATCHED
from kgen_step.events import Refused

__all__ = ["MODULES", "TRAINS", "WATCHED", "built", "compile_options", "device", "hold", "places", "prove", "watch"]

TRAINS = True
MODULES = ("tensorflow",)

_CPU = "cpu"
_DUMP = "programs"


def hold(environ, device, folder):
    """As for later releases, and XLA switched on for whole graphs: Keras 2 has no word for it."""
    tensorflow.hold(environ, device, folder)
    environ["TF_XLA_FLAGS"] = " ".join(
        (environ.get("TF_XLA_FLAGS", ""), "--tf_xla_auto_jit=2", "--tf_xla_cpu_global_jit")
    ).strip()
    # Clusters are named for their numbers; what they hold tells which is the training step.
    environ["XLA_FLAGS"] = environ["XLA_FLAGS"].replace(tensorflow.STEP_PROGRAMS, "cluster_.*")


def device(kind):
    """The first GPU, or the CPU."""
    import tensorflow as tf

    if kind == _CPU:
        return {"name": None, "capability": None}
    found = tf.config.experimental.list_physical_devices("GPU")
    if not found:
        reasons = [] if tf.test.is_built_with_cuda() else ["this TensorFlow is a build without CUDA"]
        raise Refused("no-device", "TensorFlow sees no GPU", reasons=reasons, **libraries.driver())
    return {"name": None, "capability": None}


def built():
    """Builds of this age do not say."""
    return {}


def compile_options():
    """None: `compile` hands on what it does not know, to a session that is not always there."""
    return {}


def watch():
    """Nothing to listen to: XLA writes its programs down."""


def places(array):
    """The device of a variable; in a graph of TensorFlow 1 that is where its value is read when it is asked for."""
    told = tensorflow.places(array)
    if told or not hasattr(array, "graph") or not hasattr(array, "read_value"):
        return told
    import keras
    import tensorflow as tf

    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    metadata = tf.compat.v1.RunMetadata()
    session = keras.backend.get_session()
    session.run(array.handle if hasattr(array, "handle") else array, options=options, run_metadata=metadata)
    names = {stats.device for stats in metadata.step_stats.dev_stats if "device:" in stats.device}
    return sorted(":".join(name.lower().split(":")[-2:]) for name in names)


def prove(_function, _watch, folder):
    """The largest cluster that XLA compiled: the training step, if it holds convolutions."""
    texts = []
    dump = os.path.join(folder, _DUMP)
    for name in sorted(os.listdir(dump)) if os.path.isdir(dump) else []:
        if name.endswith("after_optimizations.txt"):
            with open(os.path.join(dump, name), encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
    found = {"compiler": "xla", "programs": len(texts), "convolutions": 0}
    if texts:
        found.update(hlo.facts(max(texts, key=len)))
        # What follows is a number that stands for this machine's devices.
        found["module"] = found["module"].partition("__XlaCompiledKernel")[0]
    else:
        found["instead"] = "XLA wrote down no program"
    return found
