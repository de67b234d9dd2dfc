"""The options for where it is trained, of commands that train."""

from __future__ import annotations

from typing import Any

from kgen.actions.validate import DEVICES
from kgen.cli import candidates
from kgen.cli.options import one_of, option


def device(panel: str) -> Any:  # noqa: ANN401 - as typer.Option
    """`--device`.

    Args:
        panel: the heading that help has it under.
    """
    return option(
        "--device",
        metavar="{gpu,cpu,auto}",
        text="where to train; auto takes the GPU where the lock is for one and one is there",
        panel=panel,
        values=candidates.of(*DEVICES),
        parse=one_of("device", "--device", *DEVICES),
    )


def fleet(panel: str) -> Any:  # noqa: ANN401 - as above
    """`--fleet`.

    Args:
        panel: the heading that help has it under.
    """
    return option(
        "--fleet",
        metavar="SITE",
        text="train on the nodes of a cluster: SITE is a configuration of ReFrame's, or k8s:CONTEXT",
        panel=panel,
    )


def image(panel: str) -> Any:  # noqa: ANN401 - as above
    """`--image`.

    Args:
        panel: the heading that help has it under.
    """
    return option("--image", metavar="IMAGE", text="with k8s: the image that has kgen and the project", panel=panel)
