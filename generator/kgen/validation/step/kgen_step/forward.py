"""What backends without training have in common: a forward pass on the CPU is their contract."""

import numpy

from kgen_step.events import Refused

TRAINS = False


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
    """The memory of this process, where outputs are arrays in it."""
    return ["cpu:0"] if isinstance(array, numpy.ndarray) else []


def prove(_function, _watch, _folder):
    """There is no compiler, or none that shows what it made."""
    return {"compiler": None, "convolutions": 0}
