"""Which of NVIDIA's libraries this process has really loaded: from its own memory map, asked for their versions."""

import ctypes
import os
import re
import sys

WATCHED = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_AUDIT",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_DISABLE_PTX_JIT",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_HOME",
    "PATH",
    "PYTHONPATH",
    "KERAS_BACKEND",
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "NVIDIA_TF32_OVERRIDE",
    "TF_USE_LEGACY_KERAS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
)
"""Variables that decide which library is found, and whether a GPU is."""

_NAME = re.compile(
    r"lib(?P<name>cuda|cudart|cudnn(?:_\w+?)?|cublas|cublasLt|cufft|curand|cusolver|cusparse|cusparseLt|nccl|nvrtc"
    r"|nvJitLink|nvshmem_host|cufile|cupti|nvidia-ml)(?:-[0-9a-f]{8})?\.so(?:\.|$)"
)
_SYSTEM = ("/usr/", "/lib", "/opt/", "/nix/store/", "/run/", "/.singularity.d/")
"""Where a path is the same on any machine of its kind; elsewhere it may name a person."""


def loaded():
    """Gives a list of {name, file, where, path, version}, sorted.

    where: `environment` (the path is relative to where Python found it), `system` (the path is whole), or `elsewhere`
    (the path is the file's name alone). version: what the library itself says, as text; None if it cannot be asked.
    """
    found = {}
    for path in _mapped():
        match = _NAME.match(os.path.basename(path))
        if match is None or path in found:
            continue
        where, shown = _place(path)
        found[path] = {
            "name": match.group("name"),
            "file": os.path.basename(path),
            "where": where,
            "path": shown,
            "stub": "/stubs/" in path,
            "version": _version(match.group("name"), path),
        }
    return sorted(found.values(), key=lambda row: (row["name"], row["path"]))


def _mapped():
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return []
    paths = (line.split(None, 5)[5].strip() for line in lines if "/" in line)
    return list(dict.fromkeys(path for path in paths if ".so" in path))


def _place(path):
    folders = [os.path.realpath(folder) for folder in sys.path if folder]
    if os.path.realpath(sys.prefix) not in {"/", "/usr", "/usr/local"}:
        folders.append(os.path.realpath(sys.prefix))
    for folder in folders:
        if path.startswith(folder + os.sep):
            return "environment", os.path.relpath(path, folder)
    home = os.path.expanduser("~")
    if path.startswith(_SYSTEM) and not (len(home) > 1 and path.startswith(home + os.sep)):
        return "system", path
    return "elsewhere", os.path.basename(path)


def _version(name, path):
    """Asks the copy that is loaded; never loads one."""
    ask = _ASK.get(name)
    if ask is None:
        return None
    try:
        return ask(ctypes.CDLL(path, mode=getattr(os, "RTLD_NOLOAD", 0) | os.RTLD_LAZY))
    except (OSError, AttributeError, ValueError):
        return None


def driver():
    """Gives {driver: …}: whether the driver's library can be loaded and started, and how many GPUs it then has.

    To be asked only when a framework has found no GPU: starting the driver is the framework's business otherwise.
    """
    told = {"loaded": False, "error": None, "init": None, "devices": None, "path": None, "stub": False}
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        told["error"] = str(error)
        return {"driver": told}
    told["loaded"] = True
    for row in loaded():
        if row["name"] == "cuda":
            told.update(path=row["path"], stub=row["stub"], version=row["version"])
    try:
        told["init"] = library.cuInit(0)
        count = ctypes.c_int(0)
        if told["init"] == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0:
            told["devices"] = count.value
    except AttributeError as error:
        told["error"] = str(error)
    return {"driver": told}


def missing():
    """Gives a list of {package, file}: libraries that a distribution's RECORD names and that are not there."""
    found = []
    for folder in sys.path:
        try:
            entries = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for entry in entries:
            if not entry.endswith(".dist-info"):
                continue
            try:
                with open(os.path.join(folder, entry, "RECORD"), encoding="utf-8", errors="replace") as file:
                    names = [line.split(",")[0] for line in file if ".so" in line]
            except OSError:
                continue
            found += [
                {"package": entry.partition("-")[0], "file": name}
                for name in names
                if not os.path.exists(os.path.join(folder, name))
            ]
    return found


def cuda_version(number):
    """12080 -> 12.8, as CUDA counts; None for nothing."""
    return "{}.{}".format(number // 1000, number % 1000 // 10) if number else None


def cudnn_version(number):
    """8907 -> 8.9.7, 91002 -> 9.10.2: from 9 on the major has a digit more below it; None for nothing."""
    major = 10000 if number and number >= 90000 else 1000  # noqa: PLR2004
    return "{}.{}.{}".format(number // major, number % major // 100, number % 100) if number else None


def _filled(function, count=1):
    """Calls a function that fills in so many ints; raises ValueError if it says that it failed."""
    values = [ctypes.c_int(0) for _ in range(count)]
    if function(*[ctypes.byref(value) for value in values]) != 0:
        raise ValueError("the library does not tell its version")
    return [value.value for value in values]


def _cudnn(library):
    library.cudnnGetVersion.restype = ctypes.c_size_t
    return cudnn_version(library.cudnnGetVersion())


def _nccl(library):
    (number,) = _filled(library.ncclGetVersion)
    # From 2.9 on the major has a digit more below it: 2804 is 2.8.4, 22705 is 2.27.5.
    major = 10000 if number >= 10000 else 1000  # noqa: PLR2004
    return "{}.{}.{}".format(number // major, number % major // 100, number % 100)


def _property(prefix):
    def ask(library):
        function = getattr(library, prefix + "GetProperty")
        parts = []
        for what in range(3):  # libraryPropertyType: major, minor, patch
            value = ctypes.c_int(0)
            if function(what, ctypes.byref(value)) != 0:
                raise ValueError("the library does not tell its version")
            parts.append(str(value.value))
        return ".".join(parts)

    return ask


def _pair(symbol):
    def ask(library):
        return "{}.{}".format(*_filled(getattr(library, symbol), 2))

    return ask


_ASK = {
    "cuda": lambda library: cuda_version(_filled(library.cuDriverGetVersion)[0]),
    "cudart": lambda library: cuda_version(_filled(library.cudaRuntimeGetVersion)[0]),
    "cudnn": _cudnn,
    "cublas": _property("cublas"),
    "cublasLt": _property("cublasLt"),
    "cufft": _property("cufft"),
    "curand": _property("curand"),
    "cusolver": _property("cusolver"),
    "cusparse": _property("cusparse"),
    "nccl": _nccl,
    "nvrtc": _pair("nvrtcVersion"),
    "nvJitLink": _pair("nvJitLinkVersion"),
}
