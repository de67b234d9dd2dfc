"""JAX: XLA, through `jax.jit`."""

import importlib.util
import os
import sys

from kgen_step import hlo, libraries
from kgen_step.events import Refused

TRAINS = True
MODULES = ("jax", "jaxlib")
WATCHED = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_DISABLE_JIT", "XLA_FLAGS", "JAX_ENABLE_X64")

_CPU = "cpu"
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
