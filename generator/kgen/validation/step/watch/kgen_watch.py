"""Watches the training of a program that knows nothing of it.

kgen puts this folder on PYTHONPATH. Whoever imports Keras then imports the package beside this module first, which
imports Keras itself, adds a callback to every `fit`, and leaves Keras in its place. Nothing of the program is changed,
however it is started. KGEN_WATCH names a JSON file:

    events    where to tell what happens, as JSON lines
    began     when kgen started the program, as `time.time()` has it
    start     a file: the weights that the first model to be trained begins with. It is written where it is not there,
              and read where it is; without it every program begins as it likes
    seed      for every source of random numbers of Keras; without it they stay as they are

Runs on Python 3.6 and later, and imports nothing but Keras, NumPy and the standard library.
"""

import atexit
import functools
import importlib
import inspect
import json
import math
import os
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))


def give_way(name):
    """Imports the package of this name that is meant, and puts it in the place of the one that asks."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.curdir) != _HERE]
    sys.modules.pop(name, None)
    real = importlib.import_module(name)
    path = os.environ.get("KGEN_WATCH")
    if path:
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        _watch(real, spec, Events(spec["events"]))


class Events:
    """A file of JSON lines. Steps are kept until their epoch ends, so that writing them is not part of any step."""

    def __init__(self, path):
        self._path = path
        self._kept = []
        atexit.register(self.flush)

    def keep(self, **values):
        self._kept.append(json.dumps(values))

    def tell(self, **values):
        self.keep(**values)
        self.flush()

    def flush(self):
        kept, self._kept = self._kept, []
        if kept:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write("\n".join(kept) + "\n")


def _watch(keras, spec, events):
    backend = keras.backend.backend() if hasattr(keras.backend, "backend") else None
    events.tell(event="imported", backend=backend, version=keras.__version__, at=time.time() - spec["began"])
    if spec.get("seed") is not None:
        keras.utils.set_random_seed(spec["seed"])
    made = _callback(keras, spec, events, backend)
    running = []
    for owner in keras.Model.__mro__:
        if "fit" in vars(owner):
            owner.fit = _watched(vars(owner)["fit"], made, running)
            return


def _watched(fit, made, running):
    signature = inspect.signature(fit)

    @functools.wraps(fit)
    def watched(*positional, **named):
        if running:  # a `fit` that a callback, or another `fit`, calls is not a training of its own
            return fit(*positional, **named)
        call = signature.bind(*positional, **named)
        call.apply_defaults()
        given = call.arguments.get("callbacks")
        own = made(call.arguments)
        if hasattr(given, "append") and not isinstance(given, list):
            given.append(own)  # a CallbackList
        else:
            listed = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
            call.arguments["callbacks"] = [*listed, own]
        running.append(own)
        try:
            return fit(*call.args, **call.kwargs)
        finally:
            running.remove(own)

    return watched


def _callback(keras, spec, events, backend):  # noqa: C901 - a class of Keras's, made once Keras is there
    count = []

    class Watch(keras.callbacks.Callback):
        """Tells of a training."""

        def __init__(self, call):
            super().__init__()
            self._call = call
            self._number = len(count)
            count.append(self)
            self._last = None
            self._step = 0

        def on_train_begin(self, logs=None):
            data = self._call.get("x")
            events.tell(
                event="fit",
                fit=self._number,
                batch=_batch(self._call, data),
                shuffle=bool(self._call.get("shuffle")) and _length(data) is not None,
                per_execution=_number(getattr(self.model, "steps_per_execution", 1)) or 1,
                parameters=_number(_parameters(self.model)),
            )
            if spec.get("start") and self._number == 0:
                events.tell(event="start", **_begin(self.model, spec["start"]))

        def on_epoch_begin(self, epoch, logs=None):
            self._last = None

        def on_train_batch_begin(self, batch, logs=None):
            if self._last is None:
                self._last = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            # the value is here, so the step has ended: whatever computes it has been waited for
            loss = _number((logs or {}).get("loss"))
            now = time.perf_counter()
            events.keep(
                event="step",
                fit=self._number,
                step=self._step,
                at=round(time.time() - spec["began"], 6),
                took=round(now - (self._last or now), 9),
                loss=loss,
            )
            self._last = now
            self._step += 1
            if self._step == 1:
                events.flush()

        def on_epoch_end(self, epoch, logs=None):
            events.tell(event="epoch", fit=self._number, epoch=epoch, logs=_numbers(logs))

        def on_train_end(self, logs=None):
            events.tell(
                event="end",
                fit=self._number,
                logs=_numbers(logs),
                at=time.time() - spec["began"],
                host=_host_memory(),
                device=_device_memory(backend),
            )

    return Watch


def _begin(model, path):
    """Writes or reads the weights to begin with; says what is wrong if they are another model's."""
    import numpy

    weights = [numpy.asarray(one) for one in model.get_weights()]
    if not os.path.exists(path):
        own = "{}.{}.npz".format(path, os.getpid())
        numpy.savez(own, *weights)
        os.replace(own, path)
        return {"same": True, "from": "here"}
    with numpy.load(path) as file:
        wanted = [file["arr_{}".format(number)] for number in range(len(file.files))]
    shapes, found = [list(one.shape) for one in wanted], [list(one.shape) for one in weights]
    if shapes != found:
        return {"same": False, "from": "there", "why": "the weights have other shapes here"}
    model.set_weights(wanted)
    return {"same": True, "from": "there"}


def _length(data):
    """How many examples there are, where the data are arrays."""
    if isinstance(data, dict):
        data = next(iter(data.values()), None)
    if isinstance(data, (list, tuple)):
        data = data[0] if data else None
    shape = getattr(data, "shape", None)
    return shape[0] if shape else None


def _batch(call, data):
    """Examples of a batch; None where the data do not say."""
    if _length(data) is not None:
        return min(_number(call.get("batch_size")) or 32, _number(_length(data)) or 0) or None
    told = _number(getattr(data, "batch_size", None))
    if told is None and hasattr(data, "element_spec"):
        spec = data.element_spec
        while isinstance(spec, (list, tuple, dict)) and spec:
            spec = next(iter(spec.values())) if isinstance(spec, dict) else spec[0]
        shape = getattr(spec, "shape", None)
        told = _number(shape[0]) if shape is not None and len(shape) else None
    return told


def _parameters(model):
    try:
        return model.count_params()
    except Exception:  # noqa: BLE001 - a model of which nobody knows them yet
        return None


def _number(value):
    """A number as JSON has it; text for those that it has not, None for what is none."""
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(found):
        return str(found)
    return int(found) if found.is_integer() and abs(found) < 2**53 and isinstance(value, int) else found


def _numbers(logs):
    return {str(name): _number(value) for name, value in (logs or {}).items()}


def _host_memory():
    """The most bytes of memory that this process had at a time."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _of_jax():
    stats = [one.memory_stats() or {} for one in sys.modules["jax"].local_devices()]
    return max((one["peak_bytes_in_use"] for one in stats if "peak_bytes_in_use" in one), default=None)


def _of_tensorflow():
    config = sys.modules["tensorflow"].config
    names = [one.name.partition("physical_device:")[2] for one in config.list_physical_devices("GPU")]
    return max((config.experimental.get_memory_info(name)["peak"] for name in names), default=None)


def _of_torch():
    cuda = sys.modules["torch"].cuda
    if not cuda.is_available():
        return None
    return max((cuda.max_memory_allocated(number) for number in range(cuda.device_count())), default=None)


_DEVICES = {"jax": _of_jax, "tensorflow": _of_tensorflow, "torch": _of_torch}


def _device_memory(backend):
    """The most bytes of a device's memory; None where it has none of its own, or nobody says."""
    try:
        return _number(_DEVICES[backend]())
    except Exception:  # noqa: BLE001 - what cannot be measured is not known, and no reason to end a training
        return None
