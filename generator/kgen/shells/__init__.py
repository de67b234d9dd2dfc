"""The shells that kgen writes for: one module each, with its :class:`Shell` as `SHELL`.

A module in this package declares everything about a shell, except the templates of its language:
`hooks/activate.SUFFIX.j2`, `hooks/deactivate.SUFFIX.j2`, `activation/activate.SUFFIX.j2`,
`activation/variables.SUFFIX.py.j2`, `completion/NAME.j2` for a shell with completion, and
`activation/deactivate.SUFFIX.j2` for a shell that leaves an environment with a script. Shells with the same suffix
read the same scripts.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import NamedTuple, Protocol

from kgen.errors import UsageError


class Entry(NamedTuple):
    """How a process becomes a shell in an environment.

    Attributes:
        words: the command.
        changes: the variables that it sets; None for a variable that it removes.
    """

    words: list[str]
    changes: Mapping[str, str | None] = MappingProxyType({})


class Shell(Protocol):
    """A shell.

    Attributes:
        name: its name, also for `kgen completion`.
        programs: the programs that are this shell or read its language.
        suffix: the suffix of scripts in its language, without the dot.
        in_locks: whether its hooks are in the folder of a lock, under the digest that the lock records. This holds for
            the three languages that schema 1 began with: Nix reads their hooks without kgen. For other shells
            `kgen sync` makes the hooks, so that a new shell makes no lock stale.
        completes: whether kgen has a completion script for it.
        describes: whether it shows descriptions of completions.
        reads_pipes: whether an interactive shell reads commands from a stdin that is not a terminal.
        borrows: the variables that entering an environment changes for a while.
        start_files: the templates of the files that it reads at its start in an environment, by their paths in kgen's
            folder there.
        leave_file: whether the shell has no functions, and leaves an environment with a script:
            `activation/deactivate.SUFFIX.j2`.
        user_files: the patterns of the files that it reads at every start.
    """

    name: str
    programs: tuple[str, ...]
    suffix: str
    in_locks: bool = False
    completes: bool = False
    describes: bool = True
    reads_pipes: bool = True
    borrows: tuple[str, ...] = ()
    start_files: Mapping[str, str] = MappingProxyType({})
    leave_file: bool = False
    user_files: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """The name of the script in an environment's `bin` that enters it."""
        return f"activate.{self.suffix}"

    @abstractmethod
    def quote(self, text: str) -> str:
        """Quote text as one word, which the shell takes literally.

        Raises:
            ValueError: `text` has a NUL, which no environment variable can hold.
        """

    @abstractmethod
    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:
        """How a process becomes a shell that reads the user's own files, and then the environment's script.

        Args:
            program: the shell, as a path or a name on PATH.
            share: kgen's folder in the environment.
            borrowed: the values of the variables in :attr:`borrows` in this process.
        """

    def hint(self, environment: str, script: PurePath) -> str:  # noqa: ARG002 - some shells name the script
        """The command that enters an environment in a running shell.

        Args:
            environment: the environment's name.
            script: the script that enters it.
        """
        return f'eval "$(kgen activate {environment})"'


@functools.cache
def known() -> tuple[Shell, ...]:
    """Every shell, sorted by its name."""
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    found: list[Shell] = [importlib.import_module(f"{__name__}.{name}").SHELL for name in names]
    return tuple(sorted(found, key=lambda shell: shell.name))


def languages() -> Mapping[str, Shell]:
    """A shell for each suffix, sorted; shells with the same suffix share the language."""
    found = {shell.suffix: shell for shell in reversed(known())}
    return dict(sorted(found.items()))


def programs() -> Mapping[str, Shell]:
    """The shell of each program, sorted."""
    return dict(sorted((program, shell) for shell in known() for program in shell.programs))


def recognised(asked: str) -> Shell:
    """The shell that the user names, by a name or a path.

    Raises:
        UsageError: kgen does not know the shell.
    """
    name = Path(asked).name
    found = programs().get(name)
    if found is None:
        raise UsageError(f"--shell: kgen knows no shell `{name}`", hints=[f"known are {', '.join(programs())}"])
    return found


def without_nul(text: str) -> str:
    """The text itself, if an environment variable can hold it.

    Raises:
        ValueError: the text has a NUL.
    """
    if "\0" in text:
        raise ValueError(f"no environment variable can hold NUL: {text!r}")
    return text
