"""CNTK: a graph that its own engine runs, node by node in C++; there is no compiler to ask."""

from kgen_step.backends import TAKES_ARRAYS
from kgen_step.events import Refused

TRAINS = True
CANNOT = TAKES_ARRAYS
MODULES = ("cntk",)
WATCHED = ("CNTK_EXECUTOR_DIRECTORY", "OMP_NUM_THREADS")

_CPU = "cpu"
_SHOWN = 12


def hold(_environ, _device, _folder):
    """Nothing to settle: the device is chosen in `device`, before the first array."""


def device(kind):
    """The device that is asked for, for the whole process."""
    import cntk

    wanted = [one for one in cntk.device.all_devices() if (one.type() == cntk.device.DeviceKind.CPU) == (kind == _CPU)]
    if not wanted:
        raise Refused("no-device", "CNTK sees no GPU", reasons=["its devices are {}".format(cntk.device.all_devices())])
    cntk.device.try_set_default_device(wanted[0])
    return {"name": None, "capability": None}


def built():
    """It does not say."""
    return {}


def compile_options():
    """None: there is nothing to choose."""
    return {}


def watch():
    """Nothing to listen to: the function keeps its graph."""


def places(array):
    """Where the engine keeps the value of a parameter."""
    import cntk

    if not isinstance(array, cntk.cntk_py.Parameter):
        return []
    # `array.value` would be a copy in the host's memory
    kept = cntk.cntk_py.Parameter.value(array).device()
    name = _CPU if kept.type() == cntk.device.DeviceKind.CPU else "gpu"
    return ["{}:{}".format(name, kept.id())]


def prove(function, _watch, _folder):
    """The nodes of the loss that the engine trains on, and the convolutions among them."""
    from cntk.logging import graph

    nodes = graph.depth_first_search(function.loss, lambda node: hasattr(node, "op_name"))
    names = [node.op_name for node in nodes]
    convolutions = [name for name in names if "Convolution" in name]
    found = {
        "compiler": "cntk's engine",
        "engine": True,
        "programs": 1 if function.trainer is not None else 0,
        "instructions": len(names),
        "convolutions": len(convolutions),
        "convolution_names": convolutions[:_SHOWN],
    }
    if function.trainer is None:
        found.update(convolutions=0, instead="Keras made no trainer of CNTK's")
    return found
