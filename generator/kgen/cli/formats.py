"""The flags that name a form of locks, such as `--conda`: one for each form that stands beside the default one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar, get_origin

from kgen.cli.options import LOCKING, PLACE, option
from kgen.errors import ContradictionError
from kgen.model import format as formats
from kgen.model.format import Format

T = TypeVar("T")

_ONE = "one form"
_ALONE = "one form alone"
_BESIDE = "forms beside the default one"

OneFormat = Annotated[Format | None, _ONE]
"""A parameter of a command: the form of locks that is meant; None where none is named."""

OnlyFormat = Annotated[Format | None, _ALONE]
"""The same, of a command that looks at all forms where none is named."""

MoreFormats = Annotated[tuple[str, ...], _BESIDE]
"""A parameter of a command: the names of the forms that are made beside the default one."""


def naming_formats(run: Callable[..., T]) -> Callable[..., T]:
    """Add a flag for each form of locks to a command, in place of its parameter of one of the kinds above."""
    own = list(inspect.signature(run, eval_str=True).parameters.values())
    (wanted,) = [one for one in own if _kind(one) is not None]
    kind = _kind(wanted)

    def called(*asked: Any, **given: Any) -> T:  # noqa: ANN401 - each as its parameter has it
        named = [form for form in formats.others() if given.pop(_parameter(form))]
        if kind == _BESIDE:
            return run(*asked, **given, **{wanted.name: tuple(form.name for form in named)})
        if len(named) > 1:
            listed = " and ".join(f"`{form.flag}`" for form in named)
            raise ContradictionError(f"{listed} contradict each other", hints=["give one of them"])
        return run(*asked, **given, **{wanted.name: named[0] if named else None})

    parameters = [made for one in own for made in (_flags(str(kind)) if one is wanted else (one,))]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _kind(parameter: inspect.Parameter) -> str | None:
    if get_origin(parameter.annotation) is not Annotated:
        return None
    return next((one for one in parameter.annotation.__metadata__ if one in {_ONE, _ALONE, _BESIDE}), None)


def _parameter(form: Format) -> str:
    return f"as_{form.name}"


def _flags(kind: str) -> Iterator[inspect.Parameter]:
    for form in formats.others():
        text = {
            _ONE: f"the {form.title} environment, from what `kgen lock {form.flag}` has locked",
            _ALONE: f"{form.title} environments only",
            _BESIDE: form.purpose,
        }[kind]
        panel = LOCKING if kind == _BESIDE else PLACE
        yield inspect.Parameter(
            _parameter(form),
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, option(form.flag, text=text, panel=panel)],
        )
