"""kgen as a server of the Model Context Protocol: each tool is a command with `--json`.

A tool's arguments are the flags of its command, from the field table. Every call is a process of its own: one that
fails or takes long is no matter to the next.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from kgen import __version__, pythonpath
from kgen.cli import registry
from kgen.errors import UsageError
from kgen.fields import Field, Scope, Shape, flags_of

_SECONDS = 120
"""So long a question may take; all of them are answered offline."""

_NAMES = "backends (tensorflow, jax, torch, numpy, openvino), or environments of the settings; none for the usual ones"
_ENVIRONMENTS = "locked environments by their names; none for all"


class Question(NamedTuple):
    """A command that may be asked.

    Attributes:
        command: its name.
        names: what its plain arguments are.
        fields: the fields that it has flags for.
        more: further flags: name -> what it says; each is given a text.
    """

    command: str
    names: str
    fields: tuple[Field, ...] = ()
    more: Mapping[str, str] = MappingProxyType({})


QUESTIONS: Mapping[str, Question] = {
    one.command: one
    for one in (
        Question(
            "solve", _NAMES, flags_of(Scope.REQUEST), {"together": "all backends in one environment of this name"}
        ),
        Question("explain", _NAMES, flags_of(Scope.REQUEST), {"newest": "only this package: torch, keras, cudnn"}),
        Question("check", _ENVIRONMENTS),
        Question("doctor", _ENVIRONMENTS, (), {"target": "a target of the settings, in the place of this machine"}),
    )
}
"""None of them writes, downloads, or runs code of a project."""


def tools() -> list[types.Tool]:
    """The questions, as the protocol describes tools."""
    return [_tool(one) for one in QUESTIONS.values()]


def _tool(question: Question) -> types.Tool:
    declared = registry.declaration("", question.command)
    assert declared is not None  # noqa: S101 - a command of kgen
    properties: dict[str, Any] = {
        "names": {"type": "array", "items": {"type": "string"}, "description": question.names},
        **{_key(field): _schema(field) for field in question.fields},
        **{name: {"type": "string", "description": text} for name, text in question.more.items()},
    }
    return types.Tool(
        name=question.command,
        description=declared.purpose,
        input_schema={"type": "object", "properties": properties, "additionalProperties": False},
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _key(field: Field) -> str:
    return str(field.flag).removeprefix("--")


def _schema(field: Field) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    shapes: Mapping[Shape, dict[str, Any]] = {
        Shape.MANY: {"type": "array", "items": text},
        Shape.PAIRS: {"type": "array", "items": text},
        Shape.YES: {"type": "boolean"},
        Shape.SWITCH: {"type": "boolean"},
        Shape.OPTIONAL: {"type": ["boolean", "string"]},
    }
    return {"description": field.help, **shapes.get(field.shape, text)}


def words_of(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command line that a call stands for.

    Args:
        name: the tool.
        arguments: by its schema.

    Raises:
        UsageError: there is no such tool, or an argument is none of its.
    """
    question = QUESTIONS.get(name)
    if question is None:
        raise UsageError(f"unknown tool `{name}`; there are {', '.join(QUESTIONS)}")
    fields = {_key(field): field for field in question.fields}
    words = [name, "--json"]
    for key, value in arguments.items():
        if key == "names":
            continue
        if key not in fields and key not in question.more:
            raise UsageError(f"{name}: unknown argument `{key}`; there are {', '.join([*fields, *question.more])}")
        words += _flag(key, value)
    # behind `--`, so that no name is taken for a flag
    return [*words, "--", *map(str, arguments.get("names") or ())]


def _flag(key: str, value: object) -> Sequence[str]:
    if isinstance(value, bool):
        return [f"--{key}"] if value else []
    values = value if isinstance(value, list) else [value]
    return [f"--{key}={one}" for one in values]


async def _call(name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
    try:
        words = words_of(name, arguments)
    except UsageError as error:
        return _result(error.message, wrong=True)
    process = await asyncio.create_subprocess_exec(
        *pythonpath.program(), *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, talk = await asyncio.wait_for(process.communicate(), _SECONDS)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        return _result(f"`kgen {name}` had not ended after {_SECONDS} s", wrong=True)
    said = output.decode("utf-8", "replace")
    try:
        data = json.loads(said)
    except ValueError:
        return _result(talk.decode("utf-8", "replace").strip() or said, wrong=True)
    return _result(said, data=data)


def _result(text: str, *, wrong: bool = False, data: dict[str, Any] | None = None) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=data, is_error=wrong
    )


def server() -> Server[Any]:
    """The server, not yet at work."""

    async def list_tools(_context: object, _asked: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools())

    async def call_tool(_context: object, asked: types.CallToolRequestParams) -> types.CallToolResult:
        return await _call(asked.name, asked.arguments or {})

    return Server("kgen", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def serve() -> None:
    """Serve on stdin and stdout until the other side ends."""

    async def main() -> None:
        made = server()
        async with stdio_server() as (reading, writing):
            await made.run(reading, writing, made.create_initialization_options())

    asyncio.run(main())
