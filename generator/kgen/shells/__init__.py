"""The shells that kgen writes for: one module each, which calls its :class:`Shell` `SHELL`.

A module in this package is all that kgen has to know of a shell, beside the templates of its language:
`hooks/activate.SUFFIX.j2`, `hooks/deactivate.SUFFIX.j2`, `activation/activate.SUFFIX.j2`,
`activation/variables.SUFFIX.py.j2`, `completion/NAME.j2` where it completes, and `activation/deactivate.SUFFIX.j2`
where what leaves an environment is a script. Shells with the same suffix read the same scripts.
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
        changes: what is different in its environment; None for what is not to be there.
    """

    words: list[str]
    changes: Mapping[str, str | None] = MappingProxyType({})


class Shell(Protocol):
    """What kgen knows of a shell.

    Attributes:
        name: what it is called, and what `kgen completion` calls it.
        programs: the programs that are this shell or read its language.
        suffix: the end of the names of scripts in its language, without the dot.
        in_locks: whether its hooks stand in the folder of a lock, under the digest that the lock records. Those of the
            three languages that schema 1 began with do: committed locks have exactly these, and Nix reads them without
            kgen. For any other shell `kgen sync` makes the hooks, so that a new one makes no lock stale.
        completes: whether a script makes it complete `kgen`.
        describes: whether it shows what a completion is.
        reads_pipes: whether an interactive one takes its commands from a stdin that is not a terminal.
        borrows: the variables of a process that entering an environment changes for a while.
        start_files: what it reads at its start in an environment: path in kgen's folder there -> template.
        leave_file: whether it has no functions, so that what leaves an environment is a script of its own beside that
            which enters it: `activation/deactivate.SUFFIX.j2`.
        user_files: the patterns of the files that it reads at its start everywhere.
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
        """Quote text as one word, which arrives byte for byte and runs nothing.

        Raises:
            ValueError: `text` holds NUL, which no environment variable can hold.
        """

    @abstractmethod
    def enter(self, program: str, share: PurePath, borrowed: Mapping[str, str | None]) -> Entry:
        """How it becomes a shell that reads the user's own files, and then the script of the environment.

        Args:
            program: the shell, as a path or a name on PATH.
            share: kgen's folder in the environment.
            borrowed: what :attr:`borrows` names, as this process has it.
        """

    def hint(self, environment: str, script: PurePath) -> str:  # noqa: ARG002 - some shells name the script
        """What is typed in a running shell to enter an environment.

        Args:
            environment: its name.
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
    """Suffix -> a shell whose scripts end with it, sorted; shells that share the suffix share the language."""
    found = {shell.suffix: shell for shell in reversed(known())}
    return dict(sorted(found.items()))


def programs() -> Mapping[str, Shell]:
    """Program -> its shell, sorted."""
    return dict(sorted((program, shell) for shell in known() for program in shell.programs))


def recognised(asked: str) -> Shell:
    """The shell that the user names, by a name or a path.

    Raises:
        UsageError: kgen knows none of this name.
    """
    name = Path(asked).name
    found = programs().get(name)
    if found is None:
        raise UsageError(f"--shell: kgen knows no shell `{name}`", hints=[f"known are {', '.join(programs())}"])
    return found


def without_nul(text: str) -> str:
    """The text itself, which an environment variable can hold.

    Raises:
        ValueError: it holds NUL.
    """
    if "\0" in text:
        raise ValueError(f"no environment variable can hold NUL: {text!r}")
    return text
