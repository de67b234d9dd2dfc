"""The plan of a move to another version of an accelerator, in words that fit into 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kgen.explain.names import few

_WIDTH = 80
_INDENT = " " * 10
_NAMED = 2
"""The number of GPUs of one architecture that are named, before the rest are counted."""


class Waiting(NamedTuple):
    """A framework without a build for the accelerator, for which its environments have to wait.

    Attributes:
        framework: its normalised name.
        title: the name that people use.
        newest: its newest stable release on the platform.
        built_for: what that release is built for there, in words.
        early: its newest pre-release, if it is newer than that, and what it is built for; None if there is none.
        elsewhere: where to get a build for the accelerator; empty if that is unknown.
    """

    framework: str
    title: str
    newest: str
    built_for: str
    early: tuple[str, str] | None
    elsewhere: tuple[str, ...]


def row(label: str, text: str, room: int = 0) -> str:
    """One line of a plan after its label, wrapped: `  waits   for TensorFlow …`.

    Args:
        label: the label.
        text: the text.
        room: the width of the terminal, which may be narrower than a plan; 0 without a terminal.
    """
    return textwrap.fill(
        text,
        min(room or _WIDTH, _WIDTH),
        initial_indent=f"  {label:<8}",
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def gpus_text(gpus: Sequence[tuple[str, str]]) -> str:
    """GPUs by name, grouped by architecture: `P100 (6.0); V100, TITAN V and 1 more (7.0)`."""
    by_architecture: dict[str, list[str]] = {}
    for name, architecture in gpus:
        by_architecture.setdefault(architecture, []).append(name)
    return "; ".join(f"{few(names, _NAMED)} ({architecture})" for architecture, names in by_architecture.items())


def moves_text(moves: Sequence[tuple[str, str | None, str]]) -> str:
    """Packages before and after: `torch 2.10.0 -> 2.15.0, cuDNN 9.10 -> 9.26`."""
    names = {"cudnn": "cuDNN"}
    return ", ".join(
        f"{names.get(name, name)} {new}" if old is None else f"{names.get(name, name)} {old} -> {new}"
        for name, old, new in moves
    )


def driver_text(driver: tuple[str | None, str | None]) -> str:
    """The drivers before and after; empty if nothing is known about the one after."""
    old, new = driver
    if new is None:
        return ""
    return f"{new} or newer" if old in {None, new} else f"{old} -> {new} or newer"


def waiting_rows(waiting: Sequence[Waiting], others: Sequence[str], accelerator: str) -> Iterator[tuple[str, str]]:
    """What environments wait for, and what ends that: labels and texts of rows.

    Args:
        waiting: the frameworks without a build.
        others: titles of the frameworks that wait with them.
        accelerator: the missing accelerator, in words.
    """
    for one in waiting:
        text = f"for {one.title}: the matrix has no build of it for {accelerator}; {one.newest} is for {one.built_for}"
        if one.early is not None:
            version, built_for = one.early
            text += f", and the early {version} for {built_for}"
        yield "waits", text
        yield "until", f"a release of {one.title} has a build for {accelerator}: `kgen matrix refresh` finds it"
        # what names the plan is for who has not asked for it yet
        told = ("; ".join(part for part in text.split("; ") if "`kgen plan " not in part) for text in one.elsewhere)
        yield from (("or", text) for text in told if text)
    if others and waiting:
        have, wait = ("has", "waits") if len(others) == 1 else ("have", "wait")
        named = " and ".join(others)
        yield "with it", f"{named} {have} builds for {accelerator} and {wait} in one environment with it"
