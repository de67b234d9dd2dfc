"""Files of made-up matrices that are much alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tomli
import tomlkit
from tests.recorded import MATRIX

from kgen.accelerators import Devices, Gpu
from kgen.model.driver import DriverVersion


def shipped_kinds() -> dict[str, Any]:
    """`accelerators.toml` as tables, each kind as it is."""
    return dict(tomli.loads((MATRIX / "accelerators.toml").read_text()))


def cuda_table(majors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`accelerators.toml` as tables: CUDA as it is, with other majors."""
    row = dict(shipped_kinds()["cuda"])
    row.pop("major")
    platforms = [one for one in row["platforms"] if one == "linux-64"]
    listed = [dict(one) for one in majors]
    return {"cuda": {**row, "platforms": platforms, **({"major": listed} if listed else {})}}


def cuda_text(majors: Iterable[Mapping[str, Any]]) -> str:
    """The same as text."""
    return tomlkit.dumps(cuda_table(majors))


def devices(driver: str | None, *gpus: Gpu, note: str | None = None) -> Devices:
    """What a machine has of one kind."""
    return Devices(None if driver is None else DriverVersion(driver), gpus, note)
