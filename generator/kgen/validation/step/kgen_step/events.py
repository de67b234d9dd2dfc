"""What happens, as JSON lines in a file of its own: nothing that a framework prints can get between them."""

import contextlib
import json
import math
import os
import time
import traceback

_LONGEST = 4000
_LEFT_OUT = "\n[...]\n"
_FRAMES = 6


class Refused(Exception):  # noqa: N818 - nothing has gone wrong in the step itself
    """The step has found a fault by itself; `kind` says which, and `facts` what belongs to it."""

    def __init__(self, kind, message, **facts):
        super().__init__(message)
        self.kind = kind
        self.facts = facts


class Absent(Exception):  # noqa: N818 - nothing is wrong
    """The environment, or the machine, lacks what a part of the full suite is about; says what."""


class Cannot(Exception):  # noqa: N818 - nothing is wrong
    """This Keras, or this backend, cannot do what a part of the full suite is about, on any machine; says what."""


class Events:
    """Appends events to a file; each is written at once, so that the last one survives whatever comes next."""

    def __init__(self, path):
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.seconds = {}
        self._told = None

    def tell(self, event, **fields):
        """Appends one event."""
        line = json.dumps(plain(dict(fields, event=event)), sort_keys=True, allow_nan=False) + "\n"
        rest = line.encode("ascii")
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    @contextlib.contextmanager
    def stage(self, name):
        """Tells the beginning and the end of a stage, with its seconds, or how it failed."""
        self.tell("begin", stage=name)
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self._fail(name, error)
            raise
        self.seconds[name] = time.perf_counter() - started
        self.tell("end", stage=name, seconds=round(self.seconds[name], 6))

    def failed(self, error):
        """Tells of an error that ended the step between two stages; of one that a stage has told of, nothing more."""
        if self._told is not error:
            self._fail("end", error)

    def _fail(self, stage, error):
        self._told = error
        kind = getattr(error, "kind", None) if isinstance(error, Refused) else None
        facts = error.facts if isinstance(error, Refused) else {}
        self.tell("failed", stage=stage, kind=kind, facts=facts, **failure(error))


def failure(error):
    """An error with what caused it, and where it was raised."""
    chain = []
    cause = error
    while cause is not None and len(chain) < _FRAMES:
        chain.append({"type": type(cause).__name__, "message": _cut(str(cause))})
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    frames = [
        {"file": os.path.basename(frame.filename), "line": frame.lineno, "name": frame.name}
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    ]
    return {"errors": chain, "frames": frames}


def _cut(text):
    """A message that is not endless: a compiler warns first, and says at its end what it failed of."""
    half = (_LONGEST - len(_LEFT_OUT)) // 2
    return text if len(text) <= _LONGEST else text[:half] + _LEFT_OUT + text[-half:]


def plain(value):
    """The value as strict JSON has it: a number that is none becomes the text `nan`, `inf` or `-inf`."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
