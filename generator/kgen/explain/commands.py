"""Changes of a request as command-line flags, and the complete command for the changed request."""

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
"""Fields whose values contain characters that a shell interprets."""


class CommandForm(NamedTuple):
    """How hints request a changed request.

    Attributes:
        command: a function of requests and field values that returns the command for them.
        values: values of fields that are not part of a request, as :func:`kgen.fields.words_of` takes them.
        written: the settings that apply when the command runs; None if there are none.
    """

    command: Callable[..., str] = solve_command
    values: Mapping[str, object] = MappingProxyType({})
    written: Settings | None = None


SOLVE = CommandForm()


def flag_of(about: RequestField, request: EnvironmentRequest) -> str:
    """The flag that requests something; for dependencies, which are usually settings, the setting."""
    if about is RequestField.CUTOFF:
        return request.cutoff_flag
    if about is RequestField.JOINT:
        return TOGETHER
    if about is RequestField.ACCELERATOR:
        return accelerator_words(request.accelerator)[0]
    field = BY_ABOUT[about]
    return str(field.key if about is RequestField.DEPENDENCY else field.flag)


def flags_of(changes: Sequence[Change], request: EnvironmentRequest) -> str:
    """Changes that belong together as flags: first what to add, then what to drop.

    Args:
        changes: the changes.
        request: the request that they change.
    """
    added = [_added(change, request) for change in changes if change.value is not None]
    dropped = [f"`{_dropped(change, request)}`" for change in changes if change.value is None]
    apart = any(change.field is RequestField.JOINT for change in changes)
    without = f"dropping {' and '.join(dropped)}" if dropped else ""
    text = " and ".join(filter(None, (" ".join(added), without)))
    return f"an environment for each backend: {text}" if apart else text


def command_of(suggestion: Suggestion, form: CommandForm = SOLVE) -> str:
    """The command that requests the complete changed request, which was solved."""
    return form.command(*suggestion.requests, **{**form.values, **_pairs(suggestion, form)})


def _pairs(suggestion: Suggestion, form: CommandForm) -> dict[str, tuple[object, ...]]:
    """The pairs that a suggestion adds to those which the command repeats anyway, by field."""
    found: dict[str, tuple[object, ...]] = {}
    for change in suggestion.changes:
        field = BY_ABOUT.get(change.field)
        if field is not None and field.shape is Shape.PAIRS and change.value is not None:
            before = found.get(field.name, form.values.get(field.name, field.initial))
            found[field.name] = (*before, change.value)  # type: ignore[misc]
    return found


def hint_of(suggestion: Suggestion, form: CommandForm = SOLVE) -> str:
    """The command with its result as a shell comment, and with the settings that contradict it.

    A flag overrides a setting, but cannot remove one.
    """
    file = None if form.written is None else form.written.file
    against = [] if file is None else [f"`{key}` is out of {file.name}" for key in _put_back(suggestion, form)]
    once = f", once {' and '.join(against)}" if against else ""
    return f"{command_of(suggestion, form)}   # gives {gives_text(suggestion)}{once}"


def _put_back(suggestion: Suggestion, form: CommandForm) -> Iterator[str]:
    """The keys of the settings that would restore what a suggestion drops."""
    for change in suggestion.changes:
        field = BY_ABOUT.get(change.field)
        if change.value is None and field is not None and field.key is not None:
            asked = any(_asks(request, field) for request in suggestion.requests)
            if not asked and getattr(form.written, field.name) != field.initial:
                yield field.key


def _asks(request: EnvironmentRequest, field: Field) -> bool:
    """Whether a request has a value of a field, which then replaces the setting."""
    return field.lock is not None and any(field.typed(getattr(request, field.lock.attribute)))


def gives_text(suggestion: Suggestion) -> str:
    """The result of a change: `torch 2.9, tensorflow 2.21`."""
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
