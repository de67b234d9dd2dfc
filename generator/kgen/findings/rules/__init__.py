"""The rules of `kgen doctor`: one module each, which calls its :class:`~kgen.findings.shape.Rule` `RULE`.

The module's name, with hyphens, is the identifier that `--json` has; it does not change. `docs/findings/` has a page
for each, and `tests/findings/` a folder with cases.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from kgen.findings.shape import Rule


def identifier(module: str) -> str:
    """The identifier of what a module of this name finds."""
    return module.replace("_", "-")


@functools.cache
def known() -> Mapping[str, Rule]:
    """Identifier -> its rule, in the order in which they look: each says where it comes."""
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    found: dict[str, Rule] = {identifier(name): importlib.import_module(f"{__name__}.{name}").RULE for name in names}
    return MappingProxyType(dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0]))))
