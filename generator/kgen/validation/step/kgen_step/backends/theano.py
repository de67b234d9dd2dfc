"""Theano: C that it writes and has compiled, one thunk for each node of the graph."""

import os

from kgen_step.backends import TAKES_ARRAYS
from kgen_step.events import Refused

TRAINS = True
CANNOT = TAKES_ARRAYS
ROTATED = True
MODULES = ("theano",)
WATCHED = ("THEANO_FLAGS", "THEANORC", "CXX")

_CPU = "cpu"
_SHOWN = 12


def hold(environ, device, folder):
    """In float32, and computed where it is asked for, whatever the user's .theanorc says.

    What was compiled before is taken from the environment's own folder, if it has one: from an empty one it takes
    minutes. Theano finds it by the source that it would compile.
    """
    given = environ.get("THEANO_FLAGS", "")
    flags = (
        given,
        "" if "base_compiledir=" in given else "base_compiledir=" + os.path.join(folder, "theano"),
        "device=" + (_CPU if device == _CPU else "cuda"),
        "floatX=float32",
    )
    environ["THEANO_FLAGS"] = ",".join(flag for flag in flags if flag)


def device(kind):
    """The CPU; a GPU only if pygpu has really taken one, whatever `theano.config.device` says."""
    if kind == _CPU:
        return {"name": None, "capability": None}
    import theano

    reasons = ["theano.config.device is {}".format(theano.config.device)]
    try:
        from theano import gpuarray

        context = gpuarray.get_context(None)
    except Exception as error:
        reasons.append("{}: {}".format(type(error).__name__, error))
        raise Refused("no-device", "Theano computes on the CPU", reasons=reasons) from error
    return {"name": str(context.devname), "capability": None}


def built():
    """Nothing: it compiles with what is on the machine."""
    return {}


def compile_options():
    """None: whatever has C code is compiled."""
    return {}


def watch():
    """Nothing to listen to: a function keeps its thunks."""


def places(array):
    """Where the value of a shared variable is kept, or an array that a function gave."""
    if hasattr(array, "get_value"):
        array = array.get_value(borrow=True, return_internal_type=True)
    kind = type(array).__module__.partition(".")[0]
    return {"numpy": ["cpu:0"], "pygpu": ["gpu:0"]}.get(kind, [])


def prove(function, _watch, _folder):
    """The thunks of the training function that are compiled C, and the convolutions among their nodes."""
    import theano

    inner = getattr(function, "function", function).fn
    names = []
    compiled = 0
    for node, thunk in zip(inner.nodes, inner.thunks):
        if hasattr(thunk, "cthunk"):
            compiled += 1
            name = type(node.op).__name__
            if "Corr" in name or "Conv" in name or "Dnn" in name:
                names.append(name)
    found = {
        "compiler": "theano",
        "programs": compiled,
        "instructions": len(inner.nodes),
        "convolutions": len(names),
        "convolution_names": names[:_SHOWN],
    }
    if not names:
        found["instead"] = "{} of {} thunks are C".format(compiled, len(inner.nodes))
        if not theano.config.cxx:
            found["because"] = "Theano finds no C++ compiler, and computes in Python"
    return found
