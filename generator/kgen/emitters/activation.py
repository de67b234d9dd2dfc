"""What an environment on disk has beside its packages, so that it selects its backend by itself.

Three ways lead into an environment. Its interpreter, used directly, reads `_kgen_environment` at its start, which
sets only what is not set. `bin/activate` puts its programs first on PATH. `kgen activate` and `kgen shell` run the
hooks of its lock besides.
"""

from __future__ import annotations

import pprint
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import MappingProxyType

from kgen import shells
from kgen.matrix.selection import OWN_KERAS
from kgen.model.format import PackageScripts
from kgen.project import SHARE
from kgen.shells.sh import SHELL as SH
from kgen.templates import render

MODULE = "_kgen_environment"


def render_activation(
    environment: str,
    *,
    prefix: PurePath,
    python: str,
    variables: Mapping[str, str],
    hooks: Mapping[str, str],
    scripts: PackageScripts | None = None,
    configuration: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The text of every file, by its path in the environment.

    Args:
        environment: its name.
        prefix: where it will be, absolute.
        python: the minor of its interpreter, such as `3.12`.
        variables: what selects its backend in a process's environment.
        hooks: those for every shell that kgen knows, by the paths that they have in the folder of a lock.
        scripts: where its packages have scripts of their own: kgen's hooks are put beside them, where the tools that
            run those find them, and every other way in runs those of packages too. None where they have none.
        configuration: name -> text of the files in its own Keras folder.

    Raises:
        ValueError: a text holds NUL.
    """
    site = f"lib/python{python}/site-packages"
    texts = {
        f"{site}/{MODULE}.py": render(
            "activation/selection.py.j2",
            label=environment,
            variables=pprint.pformat(dict(sorted(variables.items())), width=100),
        ),
        f"{site}/{MODULE}.pth": f"import {MODULE}\n",
    }
    for suffix, shell in shells.languages().items():
        values = {
            "label": environment,
            "prompt": shell.quote(environment),
            "prefix": shell.quote(str(prefix)),
            "bin": shell.quote(str(prefix / "bin")),
            **_places(scripts, prefix, shell.quote),
        }
        both = {phase: hooks[f"{phase}.d/kgen.{suffix}"].rstrip("\n") for phase in ("activate", "deactivate")}
        if scripts is not None:
            texts |= {f"{scripts.hooks}/{name}": text for name, text in hooks.items() if name.endswith(f".{suffix}")}
        else:
            texts |= _ways(shell, prefix, "bin", shell.script, {**values, "hooks": None})
        texts |= _ways(shell, prefix, SHARE, f"activate.{suffix}", {**values, "hooks": both})
    for place, template in scripts.programs.items() if scripts is not None else ():
        texts[place] = render(template, suffixes=list(shells.languages()))
    share = prefix / SHARE
    for shell in shells.known():
        for place, template in shell.start_files.items():
            texts[f"{SHARE}/{place}"] = render(
                template,
                label=environment,
                script=shell.quote(str(share / f"activate.{shell.suffix}")),
                folder=shell.quote(str(share / place.rpartition("/")[0])),
            )
    texts[f"{SHARE}/run.sh"] = render(
        "activation/run.sh.j2",
        **_places(scripts, prefix, SH.quote),
        hook=hooks["activate.d/kgen.sh"].rstrip("\n"),
    )
    texts |= {f"{OWN_KERAS}/{name}": f"{text}\n" for name, text in configuration.items()}
    return texts


def _ways(
    shell: shells.Shell, prefix: PurePath, folder: str, name: str, values: Mapping[str, object]
) -> dict[str, str]:
    """The script that enters an environment, and the one that leaves it, where that is one."""
    leave = f"{folder}/deactivate.{shell.suffix}"
    enter = render(f"activation/activate.{shell.suffix}.j2", **values, leave=shell.quote(str(prefix / leave)))
    texts = {f"{folder}/{name}": enter}
    if shell.leave_file:
        texts[leave] = render(f"activation/deactivate.{shell.suffix}.j2", **values)
    return texts


def _places(scripts: PackageScripts | None, prefix: PurePath, quote: Callable[[str], str]) -> Mapping[str, str | None]:
    """Where an environment has what its activation looks at besides, for templates."""
    if scripts is None:
        return {"scripts": None}
    return {name: quote(str(prefix / place)) for name, place in scripts.places.items()}


def at(prefix: PurePath, places: Mapping[str, str]) -> dict[str, str]:
    """The variables that name the environment's own folder, where that is.

    >>> at(PurePath("/envs/one"), {"THEANO_FLAGS": "base_compiledir={prefix}/compiled"})
    {'THEANO_FLAGS': 'base_compiledir=/envs/one/compiled'}
    """
    return {name: text.replace("{prefix}", str(prefix)) for name, text in places.items()}
