"""The stages of the step, one after the other. Each begins and ends with an event."""

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import platform
import statistics
import sys
import sysconfig
import tempfile
import time

from kgen_step import VERSION, installed, libraries
from kgen_step.events import Events, Refused, failure

_BEFORE_TIMEOUT = 1.5
"""Seconds before the caller's timeout at which every thread's position is written to stderr."""

FULL = "full"
"""The suite with the parts of `kgen_step.parts`."""

_MOST_TEMPORARY = 75
"""Bytes that a folder for temporary files may be called by: `multiprocessing` puts a socket two levels below it, and
the whole path of one may have 107."""

_SETTINGS = '{"floatx": "float32", "epsilon": 1e-07, "image_data_format": "channels_last"}\n'
"""Keras's own defaults, in place of whatever the user's keras.json says; the backend is not chosen here."""


def run(spec, backend, path):
    """Runs the step; returns the exit status. `backend` is the module of that name in `backends`."""
    events = Events(path)
    faulthandler.enable()
    left = spec.get("ends", 0) - time.time()
    if left > 0:
        # This interpreter has started a while after the caller began to count.
        faulthandler.dump_traceback_later(max(left - _BEFORE_TIMEOUT, left / 2), exit=False)
    try:
        if "joined" in spec:
            with events.stage("joined"):
                _take_part(spec, backend)
            return 0
        result = _stages(spec, backend, events)
    except BaseException as error:  # noqa: BLE001 - it is told; the interpreter's own report would say it once more
        events.failed(error)
        events.tell("libraries", libraries=libraries.loaded(), missing=libraries.missing())
        return error.code if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code else 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    events.tell("result", **result)
    return 0


def _stages(spec, backend, events):
    with events.stage("start"):
        before = dict(os.environ)
        _settle(spec)
        backend.hold(os.environ, spec["device"], spec["folder"])
        taken = _short_cuts(spec, backend)
        os.environ.update(taken)
        if spec["device"] == "cpu":
            os.environ.update(dict.fromkeys(spec.get("hiding", ()), "-1"))
        names = (*backend.WATCHED, *libraries.WATCHED, *spec.get("selecting", ()))
        watched = {name: before[name] for name in names if name in before}
        held = _held(before, spec["folder"])
        events.tell("started", step=VERSION, python=_python(), watched=watched, held=held)
        events.tell("installed", installed=installed.distributions(), conda=installed.of_conda())
    with events.stage("import"), _without_collection():
        keras = importlib.import_module(spec["import"])
        _refuse_other_backend(keras, spec)
        from kgen_step import task
    with events.stage("device"):
        device = dict(backend.device(spec["device"]), kind=spec["device"])
        events.tell("device", device=device, built=backend.built())
    with events.stage("build"):
        weights, images, labels = task.arrays()
        rotated = getattr(backend, "ROTATED", False)
        options = backend.compile_options() if backend.TRAINS else None
    uncompiled = {}
    if hasattr(backend, "switch"):
        with events.stage("uncompiled"):
            uncompiled = {"uncompiled": _uncompiled(keras, (weights, images, labels), options, rotated=rotated)}
            backend.switch()
            options = backend.compile_options()
    with events.stage("build"):
        runner = _runner(keras, backend, (weights, images, labels), options)
    with events.stage("compile"), _without_collection():
        watch = _compile(runner, backend, spec, before, taken)
    with events.stage("steps"):
        steps = [_timed(runner, number) for number in range(1, runner.steps)]
    with events.stage("proof"):
        placed = {
            what: sorted({place for array in arrays for place in backend.places(array)})
            for what, arrays in runner.arrays().items()
        }
        proof = backend.prove(runner.function, watch, spec["folder"])
    values = dict(runner.values(), **uncompiled)
    if spec.get("suite") == FULL:
        values["parts"] = [_part(*one, keras=keras, backend=backend, spec=spec, events=events) for one in _known()]
    with events.stage("libraries"):
        found = libraries.loaded()
    return dict(
        values,
        step=VERSION,
        backend=spec["backend"],
        python=_python(),
        versions=dict(_versions(backend.MODULES), **{spec["import"]: _version_of(keras)}),
        device=dict(device, placed=placed),
        built=backend.built(),
        proof=proof,
        libraries=found,
        held=held,
        seconds={
            "import": round(events.seconds["import"], 4),
            "compile": round(events.seconds["compile"], 4),
            "step": round(statistics.median(steps), 6),
        },
    )


def _python():
    """The version of this CPython; one without the global lock is another build of it: `3.14.0t`."""
    return platform.python_version() + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")


def _timed(runner, number):
    """The seconds of a step."""
    started = time.perf_counter()
    runner.step(number)
    return time.perf_counter() - started


def _held(before, folder):
    """What was set, told without what is of this machine: the folder, and what the user had in it before."""
    held = {name: value for name, value in os.environ.items() if before.get(name) != value}
    return {name: _told(name, value.replace(folder, "$FOLDER"), before.get(name, "")) for name, value in held.items()}


def _told(name, value, before):
    """A value without what the user had in it, to which a backend appends: the folder may have that in it by chance."""
    given, whole = before.strip(), value.strip()
    return "$" + name + whole[len(given) :] if given and whole.startswith(given) else value


def _short_cuts(spec, backend):
    """The variables that save time, but for those that the user has set; none where they were no help."""
    wanted = {} if spec.get("plain") else getattr(backend, "SHORT_CUTS", {})
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _compile(runner, backend, spec, before, taken):
    """Takes the first step; gives what was watched. Short cuts that a compiler fails of are not taken again."""
    watch = backend.watch()
    try:
        if hasattr(backend, "hasten") and not spec.get("plain"):
            backend.hasten()
        if hasattr(backend, "prepare"):
            backend.prepare(runner.model)
        runner.step(0)
    except Exception as error:
        told = str(failure(error)["errors"])
        if taken and any(kind in told for kind in backend.CUT_SHORT):
            _begin_again(spec, before)
        raise
    return watch


def _begin_again(spec, environ):
    """Has the interpreter run the whole step once more, without short cuts: modules that have seen one remember it."""
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(dict(spec, plain=True), file)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(sys.executable, [sys.executable, "-B", *sys.argv], environ)  # noqa: S606 - this program itself


def _runner(keras, backend, arrays, options):
    """What takes the steps, with a network of its own."""
    from kgen_step import network

    weights, images, labels = arrays
    rotated = getattr(backend, "ROTATED", False)
    model = network.build(keras, weights, options, rotated=rotated)
    if not backend.TRAINS:
        return network.Predictor(model, images)
    give = getattr(backend, "batch", None)
    if give is not None:
        images, labels = give(images), give(labels)
    return network.Trainer(model, images, labels, rotated=rotated)


@contextlib.contextmanager
def _without_collection():
    """No cycles are looked for meanwhile: modules and a compiler in Python make millions of objects, and keep them.

    Nor are these looked through afterwards: the interpreter would for a second when it ends.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # since CPython 3.7
        if hasattr(gc, "freeze"):
            gc.freeze()
        if enabled:
            gc.enable()


def _uncompiled(keras, arrays, options, *, rotated):
    """The values of a training before compilation is switched on."""
    from kgen_step import network

    weights, images, labels = arrays
    model = network.build(keras, weights, options, rotated=rotated)
    runner = network.Trainer(model, images, labels, rotated=rotated)
    for number in range(runner.steps):
        runner.step(number)
    return runner.values()


def _known():
    from kgen_step import parts

    return parts.known()


def _part(name, module, *, keras, backend, spec, events):
    """What became of a part of the full suite; one that fails keeps no other from being tried."""
    from kgen_step.parts import Absent, Cannot, World

    reason = getattr(backend, "CANNOT", {}).get(name)
    if reason is None and module.TRAINS and not backend.TRAINS:
        reason = "Keras cannot train on this backend"
    if reason is not None:
        return {"part": name, "outcome": "contract", "why": reason}
    events.tell("begin", stage=name)
    folder = os.path.join(spec["folder"], "part-" + name)
    os.mkdir(folder)
    started = time.perf_counter()
    try:
        found = dict(module.run(World(keras, backend, spec, folder)), outcome="measured")
    except Absent as absent:
        found = {"outcome": "absent", "why": str(absent)}
    except Cannot as contract:
        found = {"outcome": "contract", "why": str(contract)}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this part's
        found = dict(failure(error), outcome="failed")
    seconds = round(time.perf_counter() - started, 4)
    events.tell("end", stage=name, seconds=seconds)
    return dict(found, part=name, seconds=seconds)


def _take_part(spec, backend):
    """One of several processes that train together: whoever started it has settled the environment."""
    backend.join(spec["device"], spec["joined"]["rank"], spec["joined"]["addresses"])
    keras = importlib.import_module(spec["import"])
    backend.device(spec["device"])
    from kgen_step.parts import two_processes

    two_processes.take_part(keras, backend, spec)


def _settle(spec):
    """What holds for every backend: Keras's settings are not the user's, and nothing is written among them.

    Temporary files are this run's own too: PyTorch has a cache among them that all programs of a user share.
    """
    with open(os.path.join(spec["folder"], "keras.json"), "w", encoding="utf-8") as file:
        file.write(_SETTINGS)
    os.environ["KERAS_HOME"] = spec["folder"]
    temporary = os.path.join(spec["folder"], "tmp")
    if len(os.fsencode(temporary)) <= _MOST_TEMPORARY:
        # there already where the step begins again
        os.makedirs(temporary, exist_ok=True)
        os.environ["TMPDIR"] = temporary
        # whatever runs at the start of this interpreter may have asked for the folder already
        tempfile.tempdir = None
    # NVIDIA's libraries then compute float32 in float32, whatever a framework's switches say.
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def _refuse_other_backend(keras, spec):
    found = keras.backend.backend()
    if found != spec["backend"]:
        raise Refused(
            "wrong-backend",
            "Keras runs on {}, not on {}".format(found, spec["backend"]),
            wanted=spec["backend"],
            found=found,
            variable=os.environ.get("KERAS_BACKEND"),
        )


def _version_of(keras):
    """The version of Keras: what TensorFlow 2.13 to 2.15 have as `tensorflow.keras` has none, and its package has."""
    own = getattr(keras, "__version__", None)
    return str(own or sys.modules[keras.Model.__module__.partition(".")[0]].__version__)


def _versions(names):
    modules = {name: sys.modules.get(name) for name in [*names, "numpy"]}
    found = {name: getattr(module, "__version__", None) for name, module in modules.items()}
    return {name: str(version) for name, version in found.items() if version is not None}
