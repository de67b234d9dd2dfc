"""What inductor does for the CPU, in less time: the kernels of a graph are one translation unit.

PyTorch compiles each kernel by itself, and its header beforehand: that is nine of the eighteen seconds of a step, and
nearly all of them go into reading and writing the header. Here it is read once a graph. What inductor wrote of each
kernel and of its binding to Python stands in that file unchanged, in a namespace of its own.
"""

import importlib.util
import re
import shutil
from importlib.machinery import ExtensionFileLoader

_ENTRY = "kernel"
"""What inductor calls every kernel, and with `PyInit_` before it what makes its module."""

_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*[<\"].*$", re.MULTILINE)

_PART = """
#define {entry} {name}
#define PyInit_{entry} PyInit_{name}
namespace part_{name} {{
{code}
}}
#undef {entry}
#undef PyInit_{entry}
"""


class Together:
    """Counts what was compiled: {kernels, compilations}."""

    def __init__(self):
        self.kernels = 0
        self.compilations = 0


def compile_together():
    """Has the kernels of a graph compiled together from here on; None where PyTorch has no place for it.

    Where openssl is missing PyTorch fails before it compiles, for every user; so it goes its own way there.
    """
    try:
        from torch._inductor import async_compile, config
        from torch._inductor.codecache import CppPythonBindingsCodeCache as Cache

        load_async = Cache.load_async.__func__
        # Only then does PyTorch ask for one kernel after the other before it takes the first.
        waits = hasattr(Cache, "load_pybinding_async") and async_compile.AsyncCompile.cpp_pybinding
        precompiles = config.cpp_cache_precompile_headers
        threads = getattr(async_compile, "get_compile_threads", None) or (lambda: config.compile_threads)
        if not waits or threads() <= 1 or (precompiles and shutil.which("openssl") is None):
            return None
    except Exception:  # noqa: BLE001 - whatever another PyTorch has otherwise, it goes its own way
        return None
    config.cpp_cache_precompile_headers = False
    counted = Together()
    latest = []

    def load(cls, code, *arguments, **named):
        named.pop("submit_fn", None)
        counted.kernels += 1
        if not latest or not latest[0].takes(arguments, named):
            latest[:] = [_Unit(lambda text: load_async(cls, text, *arguments, **named)(), arguments, named, counted)]
        return latest[0].add(code)

    Cache.load_async = classmethod(load)
    return counted


class _Unit:
    """Kernels that are compiled when the first of them is taken."""

    def __init__(self, compiler, arguments, named, counted):
        self._compile = compiler
        self._options = (arguments, named)
        self._counted = counted
        self._codes = []
        self._modules = None

    def takes(self, arguments, named):
        """Whether a kernel with these options belongs here."""
        return self._modules is None and self._options == (arguments, named)

    def add(self, code):
        """Gives what loads the kernel's module."""
        number = len(self._codes)
        self._codes.append(code)
        return lambda: self._loaded()[number]

    def _loaded(self):
        if self._modules is None:
            try:
                self._modules = self._load()
            except Exception:  # noqa: BLE001 - whatever it is, it is not a kernel's fault: those are compiled one by one
                self._counted.compilations += len(self._codes)
                self._modules = [self._compile(code) for code in self._codes]
        return self._modules

    def _load(self):
        names = [_ENTRY] + ["{}_{}".format(_ENTRY, number) for number in range(1, len(self._codes))]
        first = self._compile(joined(self._codes, names))
        self._counted.compilations += 1
        return [first] + [_module(name, first.__file__) for name in names[1:]]


def joined(codes, names):
    """One text of several kernels, each with its entry under its name.

    What they include is for all of them, and no part of a namespace; whatever is included again is guarded.
    """
    included = dict.fromkeys(line.strip() for code in codes for line in _INCLUDE.findall(code))
    parts = [_PART.format(entry=_ENTRY, name=name, code=code) for name, code in zip(names, codes)]
    return "\n".join(["#define PY_SSIZE_T_CLEAN", *included, *parts])


def _module(name, path):
    loader = ExtensionFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module
