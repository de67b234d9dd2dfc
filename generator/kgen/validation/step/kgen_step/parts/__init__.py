"""The parts of the full suite, beyond the network that every suite trains: a module for each, all of one shape.

TRAINS          whether Keras must be able to train for it; on a backend that only computes forward it is then no part
                of its contract
run(world)      does it, and gives {numbers: […], said: {…}}; raises Absent where the environment lacks what it is
                about, Cannot where this Keras or this backend has no such thing anywhere, which is its contract

A number is made by `number`: how far something is from its reference in float64, or from the same by another path, and
how far it may be. What is said beside the numbers is for people. The module's name, with hyphens, is the part's.
"""

import importlib
import pkgutil

import numpy

from kgen_step.events import Absent, Cannot

__all__ = ["Absent", "Cannot", "World", "known", "number"]

_CPU = "cpu"


class World:
    """What a part has at hand.

    Attributes:
        keras: the package.
        backend: the module of `kgen_step.backends`.
        spec: the specification of the step.
        kind: `cpu` or `gpu`.
        folder: a folder of the part's own.
        rotated: whether kernels of convolutions are to be turned.
        trains: whether Keras can train here.
    """

    def __init__(self, keras, backend, spec, folder):
        self.keras = keras
        self.backend = backend
        self.spec = spec
        self.kind = spec["device"]
        self.folder = folder
        self.rotated = getattr(backend, "ROTATED", False)
        self.trains = backend.TRAINS

    def number(self, what, found, wanted, cpu, gpu=None, *, relative=False, least=None):
        """How far an array is from its reference, and how far it may be: on a CPU, and on anything else.

        relative: of the largest of the reference.
        least: how far it must be at least, where being nearer would show that something else was computed.
        """
        limit = cpu if self.kind == _CPU or gpu is None else gpu
        return number(what, found, wanted, limit, relative=relative, least=least)

    def layer(self, name):
        """A layer of this Keras; Cannot if it has none of that name."""
        layer = getattr(self.keras.layers, name, None)
        if layer is None:
            raise Cannot("this Keras has no layer {}".format(name))
        return layer


def number(what, found, wanted, limit, *, relative=False, least=None):
    """How far an array is from its reference; infinite where it is of another shape, or not finite."""
    found, wanted = numpy.asarray(found, dtype="float64"), numpy.asarray(wanted, dtype="float64")
    if found.shape != wanted.shape or not numpy.isfinite(found).all():
        distance = float("inf")
    else:
        distance = float(numpy.abs(found - wanted).max())
        if relative:
            distance /= float(numpy.abs(wanted).max())
    row = {"what": what, "distance": distance, "limit": limit}
    return row if least is None else dict(row, least=least)


def known():
    """Name -> the module of a part, sorted."""
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    found = ((name, importlib.import_module(__name__ + "." + name)) for name in names)
    return [(name.replace("_", "-"), module) for name, module in found if hasattr(module, "run")]
