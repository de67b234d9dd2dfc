"""The hooks that select an environment's backend in a shell, and put back what was there.

Makes their text from templates/hooks/; the comments of those for sh say how it is done. All shells keep one
stack in the same variables: what one shell activated, a shell of another kind started in it can undo.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from pathlib import Path

from kgen import __version__, caches, files, lockfiles, replay, resources, shells, templates
from kgen.emitters.quoting import quote_comment
from kgen.model import grammar

_STACK = re.compile(r"_KGEN_.*|KGEN_SHLVL|KGEN_ENVIRONMENT")
_PHASES = ("activate", "deactivate")


def places() -> tuple[str, ...]:
    """The path of every hook in the folder of a lock."""
    return tuple(f"{phase}.d/kgen.{suffix}" for phase in _PHASES for suffix in _languages(in_locks=True))


def _languages(*, in_locks: bool) -> Mapping[str, shells.Shell]:
    return {suffix: shell for suffix, shell in shells.languages().items() if shell.in_locks or not in_locks}


def render_hooks(environment: str, variables: Mapping[str, str], *, in_locks: bool = True) -> dict[str, str]:
    """Render every hook of an environment, by its path in the folder of the lock.

    Args:
        environment: the name that `KGEN_ENVIRONMENT` shows while the environment is active.
        variables: what the environment's backend needs to find in a process's environment.
        in_locks: only those that stand in the folder of a lock; otherwise those of every shell that kgen knows, for
            an environment. conda runs the latter, and activates an environment below a stacked one again.

    Raises:
        ValueError: a name is not a name of a variable, or one that no hook may touch; or a text holds NUL.
    """
    if not environment:
        raise ValueError("an environment without a name can have no hooks")
    for name in variables:
        _refuse_unfit(name)
    return {
        f"{phase}.d/kgen.{suffix}": templates.render(
            f"hooks/{phase}.{suffix}.j2",
            label=quote_comment(environment),
            environment=shell.quote(environment),
            variables=[(name, shell.quote(variables[name])) for name in sorted(variables)],
            again=not in_locks,
        )
        for phase in _PHASES
        for suffix, shell in _languages(in_locks=in_locks).items()
    }


def digest(environment: str, variables: Mapping[str, str], *, cache: Path) -> str:
    """What :func:`kgen.lockfiles.digest_of_files` says about the hooks of `environment` that stand beside a lock.

    Rendering takes longer than all else that `kgen check` does, so the answer is kept among what belongs to the user:
    a lock's own word about its hooks is worth nothing.

    Args:
        environment: see :func:`render_hooks`.
        variables: see there.
        cache: the folder of the answers.

    Raises:
        ValueError: see there.
    """
    asked = repr((__version__, environment, sorted(variables.items()), _sources()))
    place = cache / lockfiles.digest(asked.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(OSError, ValueError):
        return grammar.sha256(files.read_text(place))
    made = lockfiles.digest_of_files(
        {path: text.encode() for path, text in render_hooks(environment, variables).items()}
    )
    with contextlib.suppress(OSError):  # who cannot keep it makes it again; what is torn is not a digest
        caches.keep(place, made.encode())
    return made


@functools.cache
def _sources() -> str:
    """What tells the templates of the hooks from others."""
    folder = resources.folder("templates") / "hooks"
    replay.looked(folder)
    return lockfiles.digest_of_files({path.name: files.read(path) for path in folder.iterdir()})


def _refuse_unfit(name: str) -> None:
    if not re.fullmatch(grammar.VARIABLE, name):
        raise ValueError(f"not the name of an environment variable: {name!r}")
    if _STACK.fullmatch(name):
        raise ValueError(f"the hooks keep their own record in {name}: an environment cannot set it")
    if name == "LD_LIBRARY_PATH":
        raise ValueError("hooks leave LD_LIBRARY_PATH alone: it takes the place of locked libraries")
