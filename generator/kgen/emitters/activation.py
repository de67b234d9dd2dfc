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

from kgen.emitters.quoting import quote_fish, quote_powershell, quote_sh
from kgen.matrix.selection import OWN_KERAS, SHARE
from kgen.templates import render

_CONDA = "etc/conda"
_VARIABLES = f"{SHARE}/variables.py"
MODULE = "_kgen_environment"
HOOKED_SHELLS = ("sh", "fish", "ps1")

_READ_BY_SHELLS = {"bash/bashrc": "bashrc", "sh/shrc": "shrc", "zsh/.zshenv": "zshenv", "zsh/.zshrc": "zshrc"}

_QUOTING: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"sh": quote_sh, "fish": quote_fish, "ps1": quote_powershell},
)


def render_activation(
    environment: str,
    *,
    prefix: PurePath,
    python: str,
    variables: Mapping[str, str],
    hooks: Mapping[str, str],
    conda: bool = False,
    configuration: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The text of every file, by its path in the environment.

    Args:
        environment: its name.
        prefix: where it will be, absolute.
        python: the minor of its interpreter, as `3.12`.
        variables: what selects its backend in a process's environment.
        hooks: the hooks of its lock, by their paths in the folder of the lock.
        conda: whether it is one of conda's: then `conda activate` finds the hooks where it looks for them, and what
            packages have put there is run by every other way in too.
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
    for suffix in HOOKED_SHELLS:
        quote = _QUOTING[suffix]
        template = f"activation/activate.{suffix}.j2"
        values = {
            "label": environment,
            "prompt": quote(environment),
            "prefix": quote(str(prefix)),
            "bin": quote(str(prefix / "bin")),
            **(_of_conda(prefix, quote) if conda else {"conda": None}),
        }
        both = {phase: hooks[f"{phase}.d/kgen.{suffix}"].rstrip("\n") for phase in ("activate", "deactivate")}
        plain = "activate" if suffix == "sh" else f"activate.{suffix}"
        if conda:
            texts |= {f"{_CONDA}/{name}": text for name, text in hooks.items() if name.endswith(f".{suffix}")}
        else:
            texts[f"bin/{plain}"] = render(template, **values, hooks=None)
        texts[f"{SHARE}/activate.{suffix}"] = render(template, **values, hooks=both)
    if conda:
        texts[_VARIABLES] = render("activation/variables.py.j2")
    share = prefix / SHARE
    for place, name in _READ_BY_SHELLS.items():
        texts[f"{SHARE}/{place}"] = render(
            f"activation/{name}.j2",
            label=environment,
            script=quote_sh(str(share / "activate.sh")),
            zdotdir=quote_sh(str(share / "zsh")),
        )
    texts[f"{SHARE}/run.sh"] = render(
        "activation/run.sh.j2",
        **(_of_conda(prefix, quote_sh) if conda else {"conda": None}),
        hook=hooks["activate.d/kgen.sh"].rstrip("\n"),
    )
    texts |= {f"{OWN_KERAS}/{name}": f"{text}\n" for name, text in configuration.items()}
    return texts


def _of_conda(prefix: PurePath, quote: Callable[[str], str]) -> dict[str, str]:
    """Where an environment of conda has what its activation looks at."""
    places = {"conda": _CONDA, "meta": "conda-meta", "python": "bin/python", "variables": _VARIABLES}
    return {name: quote(str(prefix / place)) for name, place in places.items()}


def at(prefix: PurePath, places: Mapping[str, str]) -> dict[str, str]:
    """The variables that name the environment's own folder, where that is.

    >>> at(PurePath("/envs/one"), {"THEANO_FLAGS": "base_compiledir={prefix}/compiled"})
    {'THEANO_FLAGS': 'base_compiledir=/envs/one/compiled'}
    """
    return {name: text.replace("{prefix}", str(prefix)) for name, text in places.items()}
