"""Trains what a function gives: `python -m kgen_model MODULE:FUNCTION`, in the folder where the module is.

The function is called without arguments, and gives a compiled model with what `fit` is to be called with:
`(model, x, y)`, or `(model, {"x": x, "y": y, "epochs": 2})`. One that gives nothing has trained by itself.

Runs on Python 3.6 and later, and imports nothing but the standard library.
"""

import importlib
import os
import sys


def main():
    """Train what the function named by the first argument gives."""
    module, _, name = sys.argv[1].partition(":")
    sys.path.insert(0, os.getcwd())
    function = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    made = function()
    if made is None:
        return
    model, *rest = made if isinstance(made, (tuple, list)) else (made,)
    if not hasattr(model, "fit") or not rest:
        sys.exit(sys.argv[1] + " gives no compiled model with what to fit it to: (model, x, y), or (model, {...})")
    if len(rest) == 1 and isinstance(rest[0], dict):
        model.fit(**rest[0])
    else:
        model.fit(*rest)


if __name__ == "__main__":
    main()
