"""`kgen shell ENV --jupyter`: a kernel spec, with which Jupyter runs notebooks in the environment."""

from __future__ import annotations

from pathlib import Path

from kgen.actions.jupyter import KERNEL, install_kernel, without_ipykernel
from kgen.cli import console
from kgen.cli.add import added, edited
from kgen.cli.edit import apply
from kgen.cli.environments import realised
from kgen.errors import ExitStatus
from kgen.model.format import Format
from kgen.project import find_root


def install(environment: str, envs: str | None, *, form: Format | None, no_sync: bool) -> ExitStatus:
    """Lock ipykernel where it is missing, make the environment, write the kernel spec, and print where it is.

    Raises:
        KgenError: there is no such environment, or one of these could not be done.
    """
    if not no_sync:
        root = find_root(Path.cwd())
        place = without_ipykernel(root, environment, form)
        if place is not None:
            status = apply(edited(root, [KERNEL], place), added, no_lock=False, json=False)
            if status is not ExitStatus.DONE:
                return status
    kernel = install_kernel(realised(environment, envs, form=form, no_sync=no_sync))
    console.result(str(kernel.folder))
    console.say(f"\nnext: choose the kernel `{kernel.name}` in Jupyter; `rm -r {kernel.folder}` removes it")
    return ExitStatus.DONE
