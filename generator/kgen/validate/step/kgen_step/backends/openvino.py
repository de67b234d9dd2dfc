"""OpenVINO: inference only, so the contract is a forward pass; Keras hands the whole network to its compiler."""

from kgen_step.forward import TRAINS, built, device, places, prove, watch

__all__ = ["MODULES", "TRAINS", "WATCHED", "built", "device", "hold", "places", "prove", "watch"]

MODULES = ("openvino",)
WATCHED = ()


def hold(_environ, _device, _folder):
    """Nothing to settle."""
