"""A job of Kubernetes's that runs kgen on nodes with one kind of GPU, each index on one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from kgen import accelerators
from kgen.model import grammar
from kgen.model.accelerator import CPU
from kgen.shells.sh import SHELL as SH
from kgen.templates import render

MARK = "=== kgen: "
"""What a line of the log begins with that says which file follows; alone it is the end."""

_WAITING = 3600
"""Seconds for which pods may wait for a node."""

_LONGEST = 50
"""Characters of the names of jobs: Kubernetes adds some, and those of pods more."""


def name_of(*parts: str) -> str:
    """A name as Kubernetes takes it."""
    found = re.sub("[^a-z0-9]+", "-", "-".join(("kgen", *parts)).lower())
    return found[:_LONGEST].strip("-")


def render_job(
    *,
    label: str,
    name: str,
    image: str,
    words: Sequence[str],
    accelerator: str,
    seconds: float,
    selector: Mapping[str, str],
    completions: int = 1,
    retries: int = 0,
    receipts: bool = True,
) -> str:
    """The manifest of a job, in YAML.

    Args:
        label: what it is about, for people.
        name: what it is called, see :func:`name_of`.
        image: the image, with kgen and the project.
        words: kgen's program, the command and its options, but for where receipts go.
        accelerator: the kind whose device each pod takes; `cpu` for none.
        seconds: how long each pod may take.
        selector: the labels that its nodes have.
        completions: on how many nodes, each its own.
        retries: how often each is tried again.
        receipts: whether the command leaves receipts, and not only what it prints.

    Raises:
        ValueError: Kubernetes has no resource for devices of that kind, or a value is more than one line.
    """
    for value in (label, image, *words):
        if not grammar.is_line(value):
            raise ValueError(f"`{grammar.shown(value)}` is not one printable line")
    kind = accelerators.kind(accelerator)
    resource = kind.driver_help.kubernetes
    if accelerator != CPU.kind and not resource:
        raise ValueError(f"kgen knows no resource of Kubernetes that is {kind.device}")
    return render(
        "exports/kubernetes.yaml.j2",
        label=label,
        command=next(word for word in words[1:] if not word.startswith("-")),
        receipts=receipts,
        name=name,
        image=json.dumps(image),
        program=" ".join(SH.quote(word) for word in words),
        resource=resource,
        selector=[(key, json.dumps(value)) for key, value in sorted(selector.items())],
        apart=completions > 1,
        completions=completions,
        retries=retries,
        seconds=int(seconds),
        altogether=int(seconds * (retries + 1) + _WAITING),
        mark=MARK,
    )
