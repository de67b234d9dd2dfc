"""What was typed behind a command that asks for environments."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from kgen.accelerators import Kind
from kgen.fields import ACCELERATORS, BY_NAME, Raw, Scope, flags_of
from kgen.model import format as formats


class RequestFlags(NamedTuple):
    """What was typed behind `solve`, `explain` or `lock`.

    Attributes:
        command: which of them it was.
        names: backends, and joint environments of the settings.
        together: the name of the one environment that all backends are to be in; None for one each.
        as_of: the day to go back to, together with the Keras of that day.
        like: the image whose versions are taken, as far as they go together here.
        flags: name of a field -> what its flag was given; fields that were not given may be left out, or None.
        installers: the names of the forms of locks that were asked for besides the default one.
    """

    command: str = "lock"
    names: tuple[str, ...] = ()
    together: str | None = None
    as_of: str | None = None
    like: str | None = None
    flags: Mapping[str, Raw] = MappingProxyType({})
    installers: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the fields that were asked for."""
        return tuple(name for name, raw in self.flags.items() if raw is not None and raw != [])

    @property
    def is_of_settings(self) -> bool:
        """Whether the settings alone say what is asked for."""
        return not (self.names or self.given or self.together or self.as_of or self.like)

    def command_for(self, names: Iterable[str], more: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
        """The same command, as it is typed, for other names.

        Args:
            names: backends and joint environments.
            more: name of a field that takes several values -> what its flag is given besides.
        """
        flags: dict[str, Raw] = dict(self.flags)
        for name, values in more.items():
            given = flags.get(name)
            flags[name] = tuple(dict.fromkeys((*(given if isinstance(given, Sequence) else ()), *values)))
        whole = {"--together": self.together, "--as-of": self.as_of, "--like": self.like}
        words = ["kgen", self.command, *names]
        words += [word for flag, value in whole.items() if value is not None for word in (flag, value)]
        for name, raw in flags.items():
            words += BY_NAME[name].typed(tuple(raw) if isinstance(raw, Sequence) and not isinstance(raw, str) else raw)
        return shlex.join([*words, *(formats.named(one).flag for one in self.installers)])

    def on(self, kind: Kind, value: str, more: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
        """The same command, as it is typed, for another accelerator.

        Args:
            kind: its kind.
            value: its version; nothing where the kind has none.
            more: name of a field that takes several values -> what its flag is given besides.
        """
        kinds = {field.name for field in ACCELERATORS}
        flags = {name: raw for name, raw in self.flags.items() if name not in kinds}
        return self._replace(flags={kind.name: value or True, **flags}).command_for(self.names, more)

    def solving(self) -> RequestFlags:
        """The same request to `kgen solve`, which has fewer flags."""
        known = {field.name for field in flags_of(Scope.REQUEST)}
        flags = {name: raw for name, raw in self.flags.items() if name in known}
        return self._replace(command="solve", flags=flags, installers=())
