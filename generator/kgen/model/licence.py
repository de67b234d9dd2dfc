"""What a package says about its licence, before anybody has made sense of it."""

from __future__ import annotations

from typing import NamedTuple


class Declared(NamedTuple):
    """The fields of a wheel's METADATA that are about its licence, each bounded, as they are written.

    Attributes:
        expression: License-Expression (PEP 639); empty if there is none.
        text: License, which some fill with a word and some with pages; empty if there is none.
        classifiers: the classifiers that begin with `License ::`.
    """

    expression: str = ""
    text: str = ""
    classifiers: tuple[str, ...] = ()
