"""`kgen shell ENV --jupyter`: a kernel spec, with which Jupyter runs notebooks in the environment."""

from __future__ import annotations

from kgen.actions.jupyter import install_kernel
from kgen.cli import console
from kgen.errors import ExitStatus
from kgen.formats.environment import Source


def install(source: Source) -> ExitStatus:
    """Write the kernel spec, and print where it is."""
    kernel = install_kernel(source)
    console.result(str(kernel.folder))
    console.say(f"\nnext: choose the kernel `{kernel.name}` in Jupyter; `rm -r {kernel.folder}` removes it")
    return ExitStatus.DONE
