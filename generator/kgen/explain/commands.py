"""A change of a request as it is typed, and the whole command that asks for the changed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from kgen.fields import BY_ABOUT, TOGETHER, Field, Shape, accelerator_words, solve_command
from kgen.model.accelerator import Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.settings import Settings

if TYPE_CHECKING:
    from kgen.model.causes import Change
    from kgen.model.resolution import Suggestion

_QUOTED = frozenset({RequestField.KERAS, RequestField.REQUIREMENT})
"""What holds characters that a shell reads."""


class CommandForm(NamedTuple):
    """How hints ask for a changed request.

    Attributes:
        command: requests and values of fields -> the command that asks for them.
        values: of fields that are no part of a request, as :func:`kgen.fields.words_of` takes them.
        written: the settings that the command will meet; None where there are none.
    """

    command: Callable[..., str] = solve_command
    values: Mapping[str, object] = MappingProxyType({})
    written: Settings | None = None


SOLVE = CommandForm()


def flag_of(about: RequestField, request: EnvironmentRequest) -> str:
    """The flag that something is asked for by; for dependencies, which are mostly settings, the setting."""
    if about is RequestField.CUTOFF:
        return request.cutoff_flag
    if about is RequestField.JOINT:
        return TOGETHER
    if about is RequestField.ACCELERATOR:
        return accelerator_words(request.accelerator)[0]
    field = BY_ABOUT[about]
    return str(field.key if about is RequestField.DEPENDENCY else field.flag)


def flags_of(changes: Sequence[Change], request: EnvironmentRequest) -> str:
    """Changes that go together, as they are typed: what to add, then what to drop.

    Args:
        changes: the changes.
        request: what they change.
    """
    added = [_added(change, request) for change in changes if change.value is not None]
    dropped = [f"`{_dropped(change, request)}`" for change in changes if change.value is None]
    apart = any(change.field is RequestField.JOINT for change in changes)
    without = f"dropping {' and '.join(dropped)}" if dropped else ""
    text = " and ".join(filter(None, (" ".join(added), without)))
    return f"an environment for each backend: {text}" if apart else text


def command_of(suggestion: Suggestion, form: CommandForm = SOLVE) -> str:
    """The command that asks for the whole changed request, which was solved."""
    return form.command(*suggestion.requests, **{**form.values, **_pairs(suggestion, form)})


def _pairs(suggestion: Suggestion, form: CommandForm) -> dict[str, tuple[object, ...]]:
    """The values of fields of pairs that a suggestion adds to those which the command repeats anyway."""
    found: dict[str, tuple[object, ...]] = {}
    for change in suggestion.changes:
        field = BY_ABOUT.get(change.field)
        if field is not None and field.shape is Shape.PAIRS and change.value is not None:
            before = found.get(field.name, form.values.get(field.name, field.initial))
            found[field.name] = (*before, change.value)  # type: ignore[misc]
    return found


def hint_of(suggestion: Suggestion, form: CommandForm = SOLVE) -> str:
    """The same with what it gives, as a comment that a shell skips; and what the settings have that stands against it.

    A flag is laid over a setting, and none takes a setting away.
    """
    file = None if form.written is None else form.written.file
    against = [] if file is None else [f"`{key}` is out of {file.name}" for key in _put_back(suggestion, form)]
    once = f", once {' and '.join(against)}" if against else ""
    return f"{command_of(suggestion, form)}   # gives {gives_text(suggestion)}{once}"


def _put_back(suggestion: Suggestion, form: CommandForm) -> Iterator[str]:
    """The keys of the settings that would put back what a suggestion drops."""
    for change in suggestion.changes:
        field = BY_ABOUT.get(change.field)
        if change.value is None and field is not None and field.key is not None:
            asked = any(_asks(request, field) for request in suggestion.requests)
            if not asked and getattr(form.written, field.name) != field.initial:
                yield field.key


def _asks(request: EnvironmentRequest, field: Field) -> bool:
    """Whether a request names a value of a field, which then replaces that of the settings."""
    return field.lock is not None and any(field.typed(getattr(request, field.lock.attribute)))


def gives_text(suggestion: Suggestion) -> str:
    """What a change gives: `torch 2.9, tensorflow 2.21`."""
    return ", ".join(f"{name} {version}" for name, version in suggestion.gives.items())


def _added(change: Change, request: EnvironmentRequest) -> str:
    if change.field is RequestField.OWN_INDEX:
        return flag_of(change.field, request)
    if isinstance(change.value, Accelerator):
        return " ".join(accelerator_words(change.value))
    return f"{flag_of(change.field, request)} {_value(change.field, str(change.value))}"


def _dropped(change: Change, request: EnvironmentRequest) -> str:
    if change.field is RequestField.DEPENDENCY:
        return change.dropped
    if change.field is RequestField.CUTOFF:
        return flag_of(change.field, request)
    return f"{flag_of(change.field, request)} {_value(change.field, change.dropped)}"


def _value(field: RequestField, value: str) -> str:
    return f"'{value}'" if field in _QUOTED else value
