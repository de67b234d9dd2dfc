"""TensorFlow 1.15 to 2.2 under Keras 2: a graph, run by TensorFlow's own executor as it is for who trains with it.

XLA could be switched on for whole graphs, and then hides what this is to find: Keras 2.2 updates variables while other
operations of the same step still read them, which inside one compiled program cannot happen.
"""

from kgen_step import libraries
from kgen_step.backends import tensorflow
from kgen_step.backends.tensorflow import WATCHED
from kgen_step.events import Refused

__all__ = ["MODULES", "TRAINS", "WATCHED", "built", "compile_options", "device", "hold", "places", "prove", "watch"]

TRAINS = True
MODULES = ("tensorflow",)

_CPU = "cpu"
_SHOWN = 12


def hold(environ, device, _folder):
    """Nothing tuned by trial, everything logged."""
    environ["TF_CUDNN_USE_AUTOTUNE"] = "0"
    environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    if device == _CPU:
        environ["CUDA_VISIBLE_DEVICES"] = "-1"


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
    """Nothing to listen to: the function keeps its graph."""


def places(array):
    """The device of a variable; in a graph of TensorFlow 1 that is where its value is read when it is asked for."""
    told = tensorflow.places(array)
    if told or not hasattr(array, "graph"):
        return told
    import keras
    import tensorflow as tf

    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    metadata = tf.compat.v1.RunMetadata()
    keras.backend.get_session().run(getattr(array, "handle", array), options=options, run_metadata=metadata)
    names = {stats.device for stats in metadata.step_stats.dev_stats if "device:" in stats.device}
    return sorted(":".join(name.lower().split(":")[-2:]) for name in names)


def prove(function, _watch, _folder):
    """The operations of the graph that the training function runs, and the convolutions among them."""
    inner = getattr(function, "_graph_fn", None)
    graph = inner.graph if inner is not None else function.outputs[0].graph
    kinds = [operation.type for operation in graph.get_operations()]
    names = [kind for kind in kinds if kind.startswith("Conv2D")]
    found = {
        "compiler": "tensorflow's engine",
        "engine": True,
        "programs": 1,
        "instructions": len(kinds),
        "convolutions": len(names),
        "convolution_names": names[:_SHOWN],
    }
    if not names:
        found["instead"] = "{} operations".format(len(kinds))
    return found
