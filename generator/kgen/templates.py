"""The templates in `templates/`, compiled once a run. Knows nothing of what they are for."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from kgen.resources import folder

if TYPE_CHECKING:  # slow to import, and not needed before there is something to write
    import jinja2


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - see above

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("templates")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - TOML and shells, not HTML: the caller quotes each value
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> str:
    """Render a template with these values; every one that it names must be given.

    Args:
        template: its path below `templates/`.
        **values: what it speaks of, each quoted for the language that the text is in.
    """
    return _environment().get_template(template).render(values)


def prepare(*prefixes: str) -> None:
    """Compile the templates below these paths now, so that rendering costs nothing later."""
    for name in _environment().list_templates():
        if name.startswith(prefixes):
            _environment().get_template(name)
