"""OpenVINO: inference only, so the contract is a forward pass; Keras hands the whole network to its compiler."""

from kgen_step import forward
from kgen_step.forward import TRAINS, built, places, prove, watch

__all__ = ["MODULES", "TRAINS", "WATCHED", "built", "device", "hold", "places", "prove", "watch"]

MODULES = ("openvino",)
WATCHED = ()
_PRECISION = "INFERENCE_PRECISION_HINT"


def hold(_environ, _device, _folder):
    """Nothing to settle."""


def device(kind):
    """The CPU, in float32: on a CPU that knows bfloat16 OpenVINO computes in that, and the numbers are then others."""
    import openvino

    found = forward.device(kind)
    compiling = openvino.compile_model

    def compile_model(model, device_name="AUTO", config=None, **named):
        return compiling(model, device_name, dict({_PRECISION: "f32"}, **(config or {})), **named)

    openvino.compile_model = compile_model
    return found
