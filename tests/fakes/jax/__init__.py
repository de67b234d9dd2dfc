"""A JAX that is none: as much of it as the training step asks for. FAKE_JAX_PLATFORM is where it computes."""

import ctypes
import os
import types

__version__ = "0.0.0+fake"

for _name in filter(None, os.environ.get("FAKE_LIBRARIES", "").split(os.pathsep)):
    ctypes.CDLL(_name)

_SHOWN = os.environ.get("CUDA_VISIBLE_DEVICES")
if "FAKE_SEEN" in os.environ:
    with open(os.environ["FAKE_SEEN"], "a", encoding="utf-8") as _file:
        _file.write("{}\n".format(_SHOWN))
if _SHOWN is not None and os.environ.get("FAKE_BROKEN_GPU") == _SHOWN:
    raise RuntimeError("CUDA_ERROR_ECC_UNCORRECTABLE: an error of its memory")

_HLO = """HloModule jit_train_step, is_scheduled=true

ENTRY %main {
  %p.0 = f32[8,8,8,3]{3,2,1,0} parameter(0), metadata={op_name="x" source_file="/somebody/secret.py"}
  %cudnn-conv.1 = (f32[8,6,6,8]{3,2,1,0}, u8[0]{0}) custom-call(%p.0), custom_call_target="__cudnn$convForward"
  ROOT %multiply.2 = f32[8]{0} multiply(%p.0, %p.0)
}
"""


class _Module:
    name = "jit_train_step"

    def to_string(self):
        return _HLO


class _Program:
    def hlo_modules(self):
        return [_Module()]


class _Device:
    platform = os.environ.get("FAKE_JAX_PLATFORM", "cpu")
    id = 0
    device_kind = "NVIDIA Made-up 9000"
    compute_capability = "9.0"
    client = types.SimpleNamespace(live_executables=lambda: [] if os.environ.get("JAX_DISABLE_JIT") else [_Program()])

    def __str__(self):
        return self.platform + ":0"


_DEVICE = _Device()
config = types.SimpleNamespace(jax_disable_jit=bool(os.environ.get("JAX_DISABLE_JIT")))


class Array:
    """Values on the only device."""

    def __init__(self, values):
        self.values = values

    def devices(self):
        """The device, or the one that the test wants to see instead."""
        elsewhere = os.environ.get("FAKE_JAX_WEIGHTS")
        return [types.SimpleNamespace(platform=elsewhere, id=0) if elsewhere else _DEVICE]


def devices():
    """The only device."""
    return [_DEVICE]
