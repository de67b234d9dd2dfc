"""The JSON Schema of the settings, made from the field table, for editors and other programs.

python -m kgen.schema docs/kgen.schema.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen.fields import ACCELERATORS, FIELDS, MACHINE, Field, Shape
from kgen.project import ENVS

_TEXT: Mapping[str, object] = {"type": "string"}
_TEXTS: Mapping[str, object] = {"type": "array", "items": _TEXT}
_DAY: Mapping[str, object] = {"type": "string", "format": "date"}
_NAME = "^[a-z0-9]+(-[a-z0-9]+)*$"


def settings_schema() -> dict[str, Any]:
    """The schema of `[tool.kgen]` and of `kgen.toml`, in draft 7, which editors of TOML read.

    It accepts whatever kgen's own reader accepts; that knows more about values, and says it better.
    """
    keyed = {str(field.key): _field(field) for field in FIELDS if field.key is not None}
    machine = {str(field.key): _field(field) for field in (*ACCELERATORS, *MACHINE)}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of kgen",
        "description": "[tool.kgen] in pyproject.toml, or the same keys at the top of kgen.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **keyed,
            "envs": {"description": "the folder of the environments on disk", **_TEXT, "default": str(ENVS)},
            "backend": _tables("what is in the environment of one backend only", {"dependencies": _TEXTS}),
            "environment": _tables(
                "several backends in one environment", {"backends": _TEXTS, "dependencies": _TEXTS}, ["backends"]
            ),
            "target": _tables("a machine that the locks are for", machine),
        },
    }


def _tables(description: str, properties: Mapping[str, object], required: list[str] | None = None) -> dict[str, Any]:
    row = {"type": "object", "additionalProperties": False, "properties": properties}
    return {
        "description": description,
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {**row, **({"required": required} if required else {})},
    }


def _field(field: Field) -> dict[str, Any]:
    shapes: Mapping[Shape, Mapping[str, object]] = {
        Shape.ONE: _TEXT,
        Shape.MANY: {
            **_TEXTS,
            **({"minItems": 1, "uniqueItems": True} if field.distinct and field.initial != () else {}),
        },
        Shape.PAIRS: {"type": "object", "additionalProperties": _TEXT},
        Shape.YES: {"type": "boolean"},
        Shape.SWITCH: {"type": "boolean"},
        Shape.OPTIONAL: {"type": ["boolean", "string"]},
        Shape.DAY: _DAY,
    }
    described: dict[str, Any] = {"description": field.help, **shapes[field.shape]}
    if field.example:
        value = [field.example] if field.shape is Shape.MANY else field.example
        described["examples"] = [True if field.shape in {Shape.YES, Shape.SWITCH} else value]
    return described


def text() -> str:
    """The schema as a file."""
    return json.dumps(settings_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
