"""JAX: XLA, through `jax.jit`."""

import importlib.util
import os
import sys

from kgen_step import hlo, libraries
from kgen_step.events import Absent, Cannot, Refused

TRAINS = True
MODULES = ("jax", "jaxlib")
WATCHED = (
    "JAX_PLATFORMS",
    "JAX_PLATFORM_NAME",
    "JAX_DISABLE_JIT",
    "XLA_FLAGS",
    "JAX_ENABLE_X64",
    "XLA_CLIENT_MEM_FRACTION",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_NUMPY_RANK_PROMOTION",
    "JAX_TRANSFER_GUARD",
    "JAX_DEFAULT_DEVICE",
)

_CPU = "cpu"
_PROCESSES = 2
_COLLECTIVES = "jax_cpu_collectives_implementation"
_BETWEEN_CPUS, _BETWEEN_GPUS = "gloo", "nccl"
_AMPERE = 8
_GPUS = ("cuda", "rocm", "gpu")
_ACCELERATORS = (*_GPUS, "tpu", "metal", "mps")


def hold(environ, device, _folder):
    """A step that is really compiled, in float32, without taking the whole GPU."""
    environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    environ["JAX_DEFAULT_MATMUL_PRECISION"] = "float32"
    environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if device == _CPU:
        environ["CUDA_VISIBLE_DEVICES"] = "-1"
        environ["JAX_PLATFORMS"] = "cpu"


def device(kind):
    """The first device; that of another kind is told with what JAX noted when its plugins failed."""
    import jax

    found = jax.devices()[0]
    if _kind(found) != kind:
        raise Refused("no-device", "JAX computes on {}".format(found), reasons=_reasons(), **libraries.driver())
    capability = getattr(found, "compute_capability", None) if kind != _CPU else None
    told = {"name": found.device_kind if kind != _CPU else None, "capability": capability and str(capability)}
    return told if kind == _CPU else dict(told, accelerator=_accelerator(found))


def built():
    """The versions that the CUDA plugin was built with; nothing for a CPU build."""
    try:
        from jax._src.lib import cuda_versions

        numbers = cuda_versions.cuda_runtime_build_version(), cuda_versions.cudnn_build_version()
    except Exception:  # noqa: BLE001 - no public interface; what it says is told beside the libraries, not judged
        return {}
    found = {"cuda": libraries.cuda_version(numbers[0]), "cudnn": libraries.cudnn_version(numbers[1])}
    return {name: version for name, version in found.items() if version}


def compile_options():
    """XLA, explicitly."""
    return {"jit_compile": True}


def watch():
    """Nothing to listen to: the client lists its programs."""


def places(array):
    """The devices of an array."""
    devices = getattr(array, "devices", None)
    return ["{}:{}".format(_kind(found), found.id) for found in devices()] if callable(devices) else []


def prove(_function, _watch, _folder):
    """The program called after Keras's `train_step` among all that the client holds."""
    import jax

    texts = []
    programs = jax.devices()[0].client.live_executables()
    for program in programs:
        for module in program.hlo_modules():
            if "train_step" in module.name:
                texts.append(module.to_string())  # noqa: PERF401
    found = {"compiler": "xla", "programs": len(texts), "convolutions": 0}
    if texts:
        found.update(hlo.facts(max(texts, key=len)))
    else:
        found["instead"] = "{} programs, none of them the training step".format(len(programs))
    if getattr(jax.config, "jax_disable_jit", False):
        found["because"] = "jax_disable_jit is set"
    return found


def fused_attention(kind, query, key, value):
    """Attention by cuDNN's fused kernel, in bfloat16; arrays are (batch, length, heads, size)."""
    import jax
    import numpy

    attend = getattr(jax.nn, "dot_product_attention", None)
    if attend is None:
        raise Absent("this JAX has no dot_product_attention")
    found = jax.devices()[0]
    major = str(getattr(found, "compute_capability", "") or "").partition(".")[0]
    if kind == _CPU or _accelerator(found) != "cuda" or not major.isdigit() or int(major) < _AMPERE:
        raise Absent("XLA has cuDNN's attention on NVIDIA's GPUs from Ampere on, and nowhere else")
    arrays = [jax.numpy.asarray(array, dtype=jax.numpy.bfloat16) for array in (query, key, value)]
    outputs = attend(*arrays, implementation="cudnn")
    return numpy.asarray(outputs.astype("float32")), "cudnn"


def count(kind):
    """How many devices processes can share out; on the CPU a process is one."""
    import jax

    if kind != _CPU:
        return len(jax.local_devices())
    if not hasattr(jax.config, _COLLECTIVES):
        raise Cannot("this JAX joins no processes on the CPU")
    return _PROCESSES


def join(kind, rank, addresses):
    """Meets the other process, over loopback."""
    import jax

    if kind == _CPU:
        jax.config.update(_COLLECTIVES, _BETWEEN_CPUS)
    jax.distributed.initialize(addresses[0], num_processes=_PROCESSES, process_id=rank)


def mean(array):
    """The mean of an array of each process, by what, and where it was taken."""
    import jax
    import numpy
    from jax.experimental import multihost_utils

    found = multihost_utils.process_allgather(array)
    device = jax.local_devices()[0]
    # A CPU's number is thousands for the second process; GPUs are counted on.
    kind = _kind(device)
    by, place = (_BETWEEN_CPUS, "cpu:0") if kind == _CPU else (_BETWEEN_GPUS, "{}:{}".format(kind, device.id))
    return numpy.asarray(found).mean(axis=0), by, place


def _kind(found):
    """`cpu`, `gpu` for any accelerator, or what JAX calls a platform that is neither.

    Which accelerator it is, :func:`_accelerator` tells, and kgen compares with what the environment is for.
    """
    platform = found.platform.lower()
    return "gpu" if platform in _ACCELERATORS else platform


def _accelerator(found):
    """What computes: `cuda`, `rocm`, both of which may be the platform `gpu`; else what JAX calls the platform.

    None of a GPU whose client does not tell: it is not guessed.
    """
    platform = found.platform.lower()
    if platform != "gpu":
        return platform
    version = getattr(found.client, "platform_version", "").lower()
    return next((name for name in _GPUS if name != platform and name in version), None)


def _reasons():
    """What JAX noted of platforms that did not start. It has no public name for it."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    errors = dict(getattr(bridge, "_backend_errors", None) or {})
    # JAX tries TPUs everywhere; that they are not there says something only where their library is installed
    for_tpu = importlib.util.find_spec("libtpu") is not None
    silent = {_CPU} if for_tpu else {"tpu", _CPU}
    reasons = ["{}: {}".format(name, text) for name, text in sorted(errors.items()) if name not in silent]
    plugins = [name for name in sys.modules if name.startswith(("jax_cuda", "jax_rocm")) and "." not in name]
    if not plugins and not for_tpu:
        reasons.append("no plugin of JAX for a GPU was loaded")
    if os.environ.get("JAX_PLATFORMS"):
        reasons.append("JAX_PLATFORMS is {}".format(os.environ["JAX_PLATFORMS"]))
    return reasons
