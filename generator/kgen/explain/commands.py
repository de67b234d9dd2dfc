"""A change of a request as it is typed: the one place that knows how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kgen.fields import BY_NAME, accelerator_words
from kgen.model.accelerator import Accelerator
from kgen.model.causes import Change, RequestField
from kgen.model.request import EnvironmentRequest

_NAMES: Mapping[RequestField, str] = {
    RequestField.DRIVER: "driver",
    RequestField.GENERATION: "generation",
    RequestField.GLIBC: "glibc",
    RequestField.GPU: "gpu",
    RequestField.KERAS: "keras",
    RequestField.OWN_INDEX: "torch_index",
    RequestField.PLATFORM: "platforms",
    RequestField.PYTHON: "python",
    RequestField.REQUIREMENT: "require",
}
"""What a change is about -> the field that declares its flag."""
_OTHERS: Mapping[RequestField, str] = {RequestField.DEPENDENCY: "dependencies", RequestField.JOINT: "--together"}
_QUOTED = frozenset({RequestField.KERAS, RequestField.REQUIREMENT})
"""What holds characters that a shell reads."""


def flag_of(field: RequestField, request: EnvironmentRequest) -> str:
    """The flag that a field is given by; for dependencies, which are mostly settings, the setting."""
    if field is RequestField.CUTOFF:
        return request.cutoff_flag
    if field is RequestField.ACCELERATOR:
        return accelerator_words(request.accelerator)[0]
    return _OTHERS.get(field) or str(BY_NAME[_NAMES[field]].flag)


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
