"""OpenVINO: inference only, so the contract is a forward pass; Keras hands the whole network to its compiler."""

import numpy

from kgen_step.events import Refused

TRAINS = False
MODULES = ("openvino",)
WATCHED = ()


def hold(_environ, _device, _folder):
    """Nothing to settle."""


def device(kind):
    """The CPU."""
    if kind != "cpu":
        raise Refused("no-device", "this backend computes on the CPU only", reasons=[])
    return {"name": None, "capability": None}


def built():
    """Nothing of CUDA."""
    return {}


def watch():
    """Nothing to listen to."""


def places(array):
    """OpenVINO gives its outputs as arrays in the memory of this process."""
    return ["cpu:0"] if isinstance(array, numpy.ndarray) else []


def prove(_function, _watch, _folder):
    """It has no public way to show what it compiled."""
    return {"compiler": None, "convolutions": 0}
