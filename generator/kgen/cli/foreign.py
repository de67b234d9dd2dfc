"""What words of other tools mean in kgen, as listed in `foreign.toml`.

kgen answers such a word with a call that it has parsed, and with what it does differently. Only an invalid call reads
the list.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen.model.requirement import canonical_name

_ROUNDS = 12
"""The largest number of words to replace in one call; people do not type calls with more."""


class Row(NamedTuple):
    """What words of other tools mean; `foreign.toml` explains each key."""

    words: tuple[str, ...]
    of: tuple[str, ...] = ()
    value: bool = False
    when: str | None = None
    means: str | None = None
    each: str | None = None
    call: str | None = None
    carries: str | None = None
    alone: str | None = None
    before: str | None = None
    says: str | None = None
    program: bool = False

    @property
    def takes_value(self) -> bool:
        """Whether a value follows the option."""
        texts = (self.means, self.call, self.before)
        own = any("{" in text for text in texts if text is not None)
        return self.value or self.when is not None or (own and self.each is None)

    def serves(self, command: str) -> bool:
        """Whether it is about words after this command."""
        return not self.of or command in self.of


class Meant(NamedTuple):
    """The call that was meant.

    Attributes:
        words: the call, without the program; None if kgen has no such call.
        before: what to type before it.
        says: what kgen does differently.
        row: the last row that was applied; None for none.
        typed: the words that it replaces, if these are a command.
    """

    words: tuple[str, ...] | None
    before: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    row: Row | None = None
    typed: str = ""

    @property
    def text(self) -> str | None:
        """The call, as typed; None if there is none."""
        if self.words is None:
            return None
        return " ".join([*self.before, shlex.join(["kgen", *self.words])])


@functools.cache
def rows() -> Mapping[str, tuple[Row, ...]]:
    """The content of `foreign.toml`: kind of word -> its rows, in order."""
    import tomli  # noqa: PLC0415 - a call that is right needs none of it

    data = tomli.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {kind: tuple(Row(**_frozen(row)) for row in data[kind]) for kind in ("command", "option", "word")}


def command(words: Sequence[str]) -> Meant | None:
    """The call that was meant by words whose first is not a command; None if it is unknown in other tools, too.

    Args:
        words: the words after the program.
    """
    own = list(words)
    for count in range(len(own), 0, -1):
        path = " ".join(own[:count])
        for row in rows()["command"]:
            if path in row.words:
                rest = own[count:]
                if rest and row.means == "":  # the name of another tool
                    inner = command(rest) or Meant(tuple(rest))
                    return inner._replace(typed=f"{path} {inner.typed or rest[0]}")
                if row.means == "":
                    return Meant(None, says=(row.says or "",), typed=path)
                found = None if row.means is None else [*row.means.split(), *rest]
                return _taken(row, found, Meant(None))._replace(typed=path)
    return None


def option(
    words: Sequence[str], wrong: str, every: Callable[[str], Sequence[str]], so_far: Meant | None = None
) -> Meant | None:
    """The call that was meant by one with an unknown option; None if the option is unknown in other tools, too.

    Args:
        words: the call, its command first.
        wrong: the option.
        every: what the project has of a kind, such as `extras`.
        so_far: what is known about the call already.
    """
    glued = len(wrong) == len("-x")  # its value may follow at once: `-p3.12`
    starts = (wrong,) if glued else (f"{wrong}=",)
    place = next((at for at, word in enumerate(words) if at and (word == wrong or word.startswith(starts))), None)
    if place is None:
        return None
    before, after = list(words[:place]), list(words[place + 1 :])
    given: str | None = words[place].removeprefix(wrong).removeprefix("=") or None
    for listed in rows()["option"]:
        if wrong not in listed.words or not listed.serves(words[0]):
            continue
        nothing = listed.each is not None and not every(listed.each)
        row = listed._replace(says=f"the project has no {listed.each}") if nothing else listed
        value, rest = given, after
        if given is not None and not (row.takes_value or row.program):
            continue
        if row.takes_value and value is None:
            if not after or after[0] == "--":
                continue
            value, rest = after[0], after[1:]
        fields = _fields(row, value)
        if fields is None:
            continue
        found: list[str] | None = None
        if row.call is not None:
            found = [*_filled(row, row.call, fields, every), *_carried(row, [*before[1:], *rest])]
        elif row.means is not None:
            found = [*before, *_filled(row, row.means, fields, every), *rest]
        return _taken(row, found, so_far or Meant(None), fields)
    return None


def word(words: Sequence[str], wrong: str) -> Meant | None:
    """What was meant by a word in the place of a backend; None if other tools take no such word there.

    Args:
        words: the call, its command first.
        wrong: the word.
    """
    for row in rows()["word"]:
        if row.serves(words[0]) and wrong in words[1:] and any(re.fullmatch(one, wrong) for one in row.words):
            place = len(words) - 1 - list(words)[::-1].index(wrong)
            if row.call is not None:
                found = _filled(row, row.call, [wrong])
            else:
                found = [*words[:place], *_filled(row, row.means or "", [wrong]), *words[place + 1 :]]
            return _taken(row, found, Meant(None), [wrong])
    return None


def changed(words: Sequence[str], typed: Sequence[str], said: Sequence[str]) -> list[str] | None:
    """A call with some of its words replaced; None if it does not contain them.

    Args:
        words: the call.
        typed: the words to remove, an option with its value or one of them alone; none to remove nothing.
        said: the words to put in their place, or at the end.
    """
    own = list(words)
    if not typed:
        end = own.index("--") if "--" in own else len(own)
        return [*own[:end], *said, *own[end:]]
    for place, word in enumerate(own):
        if word == "--":
            break
        option, is_glued, value = word.partition("=")
        if is_glued and [option, canonical_name(value)] == [typed[0], *map(canonical_name, typed[1:])]:
            return [*own[:place], *said, *own[place + 1 :]]
        found = own[place : place + len(typed)]
        if found[:1] == [*typed[:1]] and [*map(canonical_name, found[1:])] == [*map(canonical_name, typed[1:])]:
            return [*own[:place], *said, *own[place + len(typed) :]]
    return None


def meant(
    words: Sequence[str],
    wrong: Callable[[Sequence[str]], str | None],
    near: Callable[[Sequence[str], str], Sequence[str] | None],
    every: Callable[[str], Sequence[str]],
    so_far: Meant | None = None,
) -> Meant | None:
    """A call of a known command, with each unknown option replaced by what it means; None if that call is invalid.

    Args:
        words: the call, its command first.
        wrong: returns what is wrong with a call: an option, empty for anything else, None if it is valid.
        near: returns a call with the known option that is similar to an unknown one; None if there is none.
        every: returns what the project has of a kind, such as `extras`.
        so_far: what is known about the call already.
    """
    found = (so_far or Meant(None))._replace(words=tuple(words))
    for _ in range(_ROUNDS):
        name = wrong(found.words or ())
        if name is None:
            return _without_foreign_words(found) if found.row is not None else found
        taken = option(found.words or (), name, every, found) if name else None
        if taken is None:
            call = near(found.words or (), name) if name else None
            if call is None:
                return found._replace(words=None) if found.says else None
            found = found._replace(words=tuple(call))
            continue
        found = taken
        if taken.words is None:
            return found
    return None


def _without_foreign_words(found: Meant) -> Meant:
    """A call of another tool that uses kgen's words, too: `pip compile requirements.in` names a file."""
    words = list(found.words or ())
    for place in range(len(words) - 1, 0, -1):
        if words[place - 1].startswith("-") or words[place] in words[:place]:
            continue  # the value of an option
        taken = word(words[: place + 1], words[place])
        if taken is not None and taken.row is not None and taken.row.call is None:
            words[: place + 1] = taken.words or ()
    return found._replace(words=tuple(words))


def _taken(row: Row, words: Sequence[str] | None, so_far: Meant, fields: Sequence[str] = ()) -> Meant:
    before, says = so_far.before, so_far.says
    if row.before is not None:
        before = (*before, row.before.format(*map(shlex.quote, fields)))
    if row.says is not None and row.says not in says:
        says = (*says, row.says.format(*fields) if fields else row.says)
    return Meant(None if words is None else tuple(words), before, says, row)


def _fields(row: Row, value: str | None) -> list[str] | None:
    """The value and the groups of its pattern; None if the row is about another value."""
    if row.when is None:
        return [] if value is None else [value]
    found = re.fullmatch(row.when, value or "")
    return None if found is None else [found[0], *(group or "" for group in found.groups())]


def _filled(
    row: Row, text: str, fields: Sequence[str], every: Callable[[str], Sequence[str]] | None = None
) -> list[str]:
    """The words of a text with its fields filled in; repeated for each of what the project has, if the row says so."""
    if row.each is not None and every is not None:
        *head, repeated, field = text.split()
        return [*head, *(part for name in every(row.each) for part in (repeated, field.format(name)))]
    return [part.format(*fields) for part in text.split()]


def _carried(row: Row, words: Sequence[str]) -> list[str]:
    """The rest of a call that another one replaces, in the form that the other one takes."""
    if row.carries is None:
        return []
    found: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word in row.words and row.takes_value and left:  # a second one, as `-r a.txt -r b.txt`
            found += _filled(row, " ".join((row.call or "").split()[1:]), [left.pop(0)])
        elif not word.startswith("-"):
            found += [row.carries, word]
    return found or (row.alone or "").split()


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
