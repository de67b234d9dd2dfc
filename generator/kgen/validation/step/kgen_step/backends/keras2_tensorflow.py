"""TensorFlow 1.15 to 2.2 under Keras 2: a graph, run by TensorFlow's own executor as it is for who trains with it.

It is trained twice. Keras 2 knows no XLA: the first training is without, as its users have it, and its numbers count.
The second is the same with XLA switched on for whole graphs. The variables of Keras 2.2 on TensorFlow 1.15 are of a
kind that XLA leaves alone; it is run twice by the executor then, and the race in it has two chances to be seen.
"""

import collections

from kgen_step import hlo, libraries
from kgen_step.backends import TAKES_ARRAYS, tensorflow
from kgen_step.backends.tensorflow import WATCHED
from kgen_step.events import Refused

__all__ = [
    "CANNOT",
    "MODULES",
    "TRAINS",
    "WATCHED",
    "built",
    "compile_options",
    "device",
    "hold",
    "places",
    "prove",
    "switch",
    "watch",
]

TRAINS = True
CANNOT = TAKES_ARRAYS
MODULES = ("tensorflow",)

_CPU = "cpu"
_SHOWN = 12
_RUN = "_XlaRun"
"""The node of an executed graph that runs a program of XLA's."""


def hold(environ, device, folder):
    """Nothing tuned by trial, everything logged; XLA may compile for the CPU, and leaves its programs in a folder.

    What is as for Keras 3, and its flag, is as old as TensorFlow 1.15. Nothing of it switches XLA on.
    """
    tensorflow.hold(environ, device, folder, only=None)
    environ["TF_XLA_FLAGS"] = (environ.get("TF_XLA_FLAGS", "") + " --tf_xla_cpu_global_jit").strip()


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
    """That a session is to tell which graph it ran; where there is none, Keras would not know whom to tell."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return {}
    options = tf.compat.v1.RunOptions(output_partition_graphs=True)
    return {"options": options, "run_metadata": tf.compat.v1.RunMetadata()}


def switch():
    """From here on XLA compiles what it can of each graph.

    TensorFlow would join convolution, bias and ReLU into one node of its own first, which XLA does not compile.
    """
    import keras
    import tensorflow as tf

    keras.backend.clear_session()
    tf.config.optimizer.set_experimental_options({"remapping": False})
    tf.config.optimizer.set_jit(True)


def watch():
    """Has functions tell which graph they ran."""
    import tensorflow as tf

    if tf.executing_eagerly():
        from tensorflow.python.eager import context

        context.enable_run_metadata()


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


def prove(function, _watch, folder):
    """The programs of XLA that the executed graph ran; without any, that graph and the convolutions in it.

    The graph is what TensorFlow says that it has executed. A program without a convolution is not a proof of one.
    """
    nodes = collections.Counter(node.op for graph in _executed(function) for node in graph.node)
    programs = [hlo.facts(text) for _, text in tensorflow.programs(folder)]
    largest = max(programs, key=lambda facts: facts["instructions"], default=None)
    if nodes[_RUN] and largest and largest["convolutions"]:
        left = sum(count for kind, count in nodes.items() if "Conv2D" in kind)
        # What follows the first part of its name counts what else the process has compiled.
        module = largest["module"].partition("__")[0]
        shown = dict(largest, module=module)
        return dict(shown, compiler="xla", programs=len(programs), run=nodes[_RUN], convolutions_left=left)
    names = [kind for kind in sorted(nodes) for _ in range(nodes[kind]) if "Conv2D" in kind]
    found = {
        "compiler": "tensorflow's engine",
        "engine": True,
        "programs": 1,
        "instructions": sum(nodes.values()),
        "convolutions": len(names),
        "convolution_names": names[:_SHOWN],
        "because": "XLA compiled none of them",
    }
    if not names:
        found["instead"] = "{} operations".format(sum(nodes.values()))
    return found


def _executed(function):
    """The graphs that were executed, as they were after TensorFlow had rewritten them."""
    metadata = getattr(function, "run_metadata", None)
    if metadata is None:
        from tensorflow.python.eager import context

        metadata = context.export_run_metadata()
        context.disable_run_metadata()
    return metadata.partition_graphs
