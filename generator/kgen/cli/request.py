"""The parameters of commands that ask for environments, made from the table of fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from kgen.actions.request_flags import RequestFlags
from kgen.cli import candidates
from kgen.cli.options import ASKED, LOCKING, MACHINE, argument, option
from kgen.errors import ExitStatus
from kgen.fields import ACCELERATORS, BY_NAME, FIELDS, Field, Raw, Scope, Shape, flags_of
from kgen.fields import MACHINE as MACHINE_FIELDS

_TYPES: Mapping[Shape, Any] = {
    # several, so that a repeated flag is not lost: its field says whether it may be repeated
    Shape.ONE: list[str] | None,
    Shape.DAY: list[str] | None,
    Shape.OPTIONAL: str | None,
    Shape.MANY: list[str] | None,
    Shape.PAIRS: list[str] | None,
    Shape.YES: bool | None,
    Shape.SWITCH: bool | None,
}
_MACHINE = {*(field.name for field in MACHINE_FIELDS), "targets"}
"""Fields that say where an environment is to run."""

Backends = Annotated[
    list[str] | None,
    argument("BACKEND", "a backend, or a joint environment of the settings", panel=ASKED, values=candidates.backends),
]
Together = Annotated[
    str | None, option("--together", metavar="NAME", text="one environment of this name with all backends", panel=ASKED)
]
AsOf = Annotated[
    str | None,
    option(
        "--as-of",
        metavar="DATE",
        text="choose as on that day: --exclude-newer, and the Keras of then",
        panel=ASKED,
    ),
]


Like = Annotated[
    str | None,
    option(
        "--like",
        metavar="IMAGE",
        text="prefer the versions of an image, such as colab-2026-06",
        panel=ASKED,
        values=candidates.images,
    ),
]


def asking(scope: Scope, command: str) -> Callable[[Callable[..., ExitStatus]], Callable[..., ExitStatus]]:
    """Add the parameters of its scope to a command: its function gets them as `asked`, before its own parameters."""

    def decorated(run: Callable[..., ExitStatus]) -> Callable[..., ExitStatus]:
        own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]

        def called(**given: Any) -> ExitStatus:  # noqa: ANN401 - each as its field has it
            return run(flags_from(command, given), **{one.name: given[one.name] for one in own})

        parameters = [*_parameters(scope), *own]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return decorated


def offering_accelerators(run: Callable[..., ExitStatus]) -> Callable[..., ExitStatus]:
    """Add the flags of every kind of accelerator to a command: its function gets them as `accelerator`, by field."""
    own = [one for one in inspect.signature(run, eval_str=True).parameters.values() if one.name != "accelerator"]
    names = [field.name for field in ACCELERATORS]

    def called(**given: Any) -> ExitStatus:  # noqa: ANN401 - each as its field has it
        return run(accelerator={name: given.pop(name) for name in names}, **given)

    flags = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_TYPES[field.shape], of_field(field)],
        )
        for field in ACCELERATORS
    ]
    before = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    parameters = [*before, *flags, *(one for one in own if one not in before)]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def flags_from(command: str, given: Mapping[str, Any]) -> RequestFlags:
    """What was typed behind a command that asks for environments.

    Args:
        command: its name.
        given: parameter -> its value.
    """
    flags = {field.name: given.get(field.name) for field in FIELDS if field.flag is not None}
    return RequestFlags(
        command=command,
        names=tuple(given["backends"] or ()),
        together=given["together"],
        as_of=given["as_of"],
        like=given["like"],
        flags={name: _raw(BY_NAME[name], value) for name, value in flags.items()},
    )


def _raw(field: Field, value: Raw) -> Raw:
    """The value of a flag, whose values the command line collects; one alone where there is to be one."""
    if value is None or isinstance(value, str | bool):
        return value
    texts = list(value)
    return texts[0] if len(texts) == 1 and field.shape not in {Shape.MANY, Shape.PAIRS} else texts


def _parameters(scope: Scope) -> Iterator[inspect.Parameter]:
    annotations = {
        "backends": Backends,
        **{field.name: Annotated[_TYPES[field.shape], of_field(field)] for field in flags_of(scope)},
        "together": Together,
        "as_of": AsOf,
        "like": Like,
    }
    for name, annotation in annotations.items():
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def of_field(field: Field) -> Any:  # noqa: ANN401 - as typer.Option
    """The option of a field."""
    flag = str(field.flag)
    metavar = {Shape.YES: None, Shape.SWITCH: None, Shape.OPTIONAL: f"[{field.metavar}]"}.get(
        field.shape, field.metavar
    )
    panel = LOCKING if field.scope is Scope.LOCK else MACHINE if field.name in _MACHINE else ASKED
    words = f"{flag}/--no-{flag.removeprefix('--')}" if field.shape is Shape.SWITCH else flag
    values = candidates.BY_FIELD.get(field.name)
    every = (words,) if field.short is None else (field.short, words)
    return option(*every, metavar=metavar, text=field.help, panel=panel, values=values)
