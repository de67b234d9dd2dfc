"""TensorFlow: XLA, through `tf.function(jit_compile=True)`."""

import os

from kgen_step import hlo, libraries
from kgen_step.events import Refused

TRAINS = True
MODULES = ("tensorflow",)
WATCHED = (
    "TF_DETERMINISTIC_OPS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
)

_CPU = "cpu"
_PROCESSES = 2
_JOINED = []
_DUMP = "programs"
_STEP = ".*(XlaMustCompile|_step_on_data).*"
"""The programs of training steps: keras-core's are called without a word of XLA."""


def hold(environ, device, folder, only=_STEP):
    """Nothing tuned by trial, everything logged, and the programs of XLA in a folder, if they are `only` of these.

    The dump is how the text of the program that ran is to be had without compiling it once more. These three flags of
    XLA are as old as TensorFlow's use of it; an unknown one would end the process.
    """
    environ["TF_CUDNN_USE_AUTOTUNE"] = "0"
    # At 2 it hides that libraries could not be loaded.
    environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    flags = (
        environ.get("XLA_FLAGS", ""),
        "--xla_dump_to=" + os.path.join(folder, _DUMP),
        "--xla_dump_hlo_as_text",
        "--xla_dump_hlo_module_re=" + only if only else "",
    )
    environ["XLA_FLAGS"] = " ".join(flags).strip()
    if device == _CPU:
        environ["CUDA_VISIBLE_DEVICES"] = "-1"


def device(kind):
    """The first GPU, or the CPU."""
    import tensorflow as tf

    if kind == _CPU:
        return {"name": None, "capability": None}
    found = tf.config.list_physical_devices("GPU")
    if not found:
        reasons = [] if tf.test.is_built_with_cuda() else ["this TensorFlow is a build without CUDA"]
        raise Refused("no-device", "TensorFlow sees no GPU", reasons=reasons, **libraries.driver())
    tf.config.experimental.enable_tensor_float_32_execution(False)  # noqa: FBT003 - it takes no name
    details = tf.config.experimental.get_device_details(found[0])
    capability = details.get("compute_capability")
    return {
        "name": details.get("device_name"),
        "capability": None if capability is None else ".".join(map(str, capability)),
        "accelerator": _accelerator(tf, details),
    }


def _accelerator(tf, details):
    """What computes: ROCm's and CUDA's builds say so; a plugin of Apple's calls its device so."""
    if tf.test.is_built_with_rocm():
        return "rocm"
    if tf.test.is_built_with_cuda():
        return "cuda"
    return str(details.get("device_name") or "").lower() or None


def built():
    """What the build says; a CPU build has neither."""
    import tensorflow as tf

    info = tf.sysconfig.get_build_info()
    found = {"cuda": info.get("cuda_version"), "cudnn": info.get("cudnn_version")}
    return {name: str(version) for name, version in found.items() if version}


def compile_options():
    """XLA, explicitly: `auto` is not a compilation on the CPU."""
    return {"jit_compile": True}


def watch():
    """Nothing to listen to: XLA writes its programs down."""


def places(array):
    """The device of a tensor or variable: `/job:…/device:GPU:0` is `gpu:0`."""
    name = getattr(array, "device", None)
    return [":".join(name.lower().split(":")[-2:])] if isinstance(name, str) and "device:" in name else []


def prove(function, _watch, folder):
    """The function that must be compiled by XLA, and the program that XLA wrote down for it."""
    marked = [found for found in _functions(function) if getattr(found, "_jit_compile", None)]
    found = {"compiler": "xla", "programs": 0, "convolutions": 0, "marked": len(marked)}
    if not marked:
        found["instead"] = "no function of Keras's training step is marked for XLA"
        return found
    return written(found, folder)


def written(found, folder):
    """What was found of a step that XLA must compile, with the largest program that it wrote down."""
    texts = list(programs(folder))
    if texts:
        name, text = max(texts, key=lambda item: len(item[1]))
        found.update(hlo.facts(text), programs=len(texts), target="gpu" if "gpu_after" in name else _CPU)
        # What follows is a number that stands for this machine's devices.
        found["module"] = found["module"].partition("__")[0]
    else:
        found["instead"] = "XLA wrote down no program"
    return found


def count(kind):
    """How many devices processes can share out; on the CPU a process is one."""
    import tensorflow as tf

    return _PROCESSES if kind == _CPU else len(tf.config.list_physical_devices("GPU"))


def join(_kind, rank, addresses):
    """Meets the other process, over loopback."""
    import tensorflow as tf

    cluster = tf.train.ClusterSpec({"worker": addresses})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, task_type="worker", task_id=rank)
    _JOINED.append(tf.distribute.MultiWorkerMirroredStrategy(resolver))


def mean(array):
    """The mean of an array of each process, by what, and where it was taken."""
    import tensorflow as tf

    (strategy,) = _JOINED

    def taken():
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant(array))

    found = strategy.run(tf.function(taken))
    return found.numpy(), type(strategy).__name__, places(found)[0]


def programs(folder):
    """The programs that XLA has written down: the name of the file, and its text."""
    dump = os.path.join(folder, _DUMP)
    for name in sorted(os.listdir(dump)) if os.path.isdir(dump) else []:
        if name.endswith("after_optimizations.txt"):
            with open(os.path.join(dump, name), encoding="utf-8", errors="replace") as file:
                yield name, file.read()


def _functions(function):
    """What is wrapped in a function: through closures and `__wrapped__`, each once."""
    waiting, seen = [function], set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [getattr(found, name, None) for name in ("__wrapped__", "python_function", "_python_function")]
        for cell in getattr(found, "__closure__", None) or ():
            try:
                inner = cell.cell_contents
            except ValueError:
                continue
            if callable(inner):
                waiting.append(inner)
