"""Stands before the module of this name, which jsonschema imports if it can and few schemas need.

That one builds its grammars when it is imported, for two seconds: here, when it is asked for the first time.
"""

import functools
import importlib
import sys
from pathlib import Path


def is_valid_syntax(term, value):
    return _real().is_valid_syntax(term, value)


@functools.cache
def _real():
    here = Path(__file__).resolve().parent
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != here]
    del sys.modules[__name__]
    importlib.invalidate_caches()
    return importlib.import_module(__name__)
