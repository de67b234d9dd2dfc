"""The option for where it is trained, of commands that train."""

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
