"""`kgen mcp`, asked by the client of the protocol's own SDK."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.command import LOCK, PYTHON, Kgen

from kgen.cli import protocol
from kgen.errors import UsageError

T = TypeVar("T")


def ask(kgen: Kgen, question: Callable[[ClientSession], Awaitable[T]]) -> T:
    """What a session with the server comes to."""

    async def main() -> T:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "kgen", "mcp"], env=kgen.env(), cwd=str(kgen.folder)
        )
        async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as session:
            await session.initialize()
            return await question(session)

    return asyncio.run(asyncio.wait_for(main(), 120))


def call(kgen: Kgen, name: str, **arguments: object) -> Any:  # noqa: ANN401 - a result of the SDK
    return ask(kgen, lambda session: session.call_tool(name, arguments))


def test_the_tools_are_questions(kgen: Kgen) -> None:
    listed = ask(kgen, lambda session: session.list_tools()).tools
    assert {tool.name for tool in listed} == {"solve", "explain", "check", "doctor"}
    for tool in listed:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.description
    (solve,) = (tool for tool in listed if tool.name == "solve")
    assert {"names", "cuda", "cpu", "python", "require", "together"} <= set(solve.input_schema["properties"])


def test_an_answer_is_what_the_command_says(kgen: Kgen) -> None:
    asked = {"names": ["jax"], "cuda": "12", "python": PYTHON, "platform": ["linux-64"]}
    found = call(kgen, "solve", **asked)
    assert not found.is_error
    words = ("solve", "jax", "--cuda", "12", "--python", PYTHON, "--platform", "linux-64", "--json")
    assert found.structured_content == json.loads(kgen(*words).stdout)
    assert json.loads(found.content[0].text) == found.structured_content


def test_a_refusal_is_an_answer(kgen: Kgen) -> None:
    found = call(kgen, "solve", names=["torch"], cuda="12", require=["torch==2.15.0"], python=PYTHON)
    assert not found.is_error
    assert found.structured_content["conflict"]["causes"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("solve", {"names": ["jaxx"]}, "unknown backend `jaxx`"),
        ("solve", {"names": ["--debug"]}, "unknown backend `--debug`"),
        ("solve", {"cuda": "twelve"}, "--cuda: "),
        ("check", {}, "nothing is locked in "),
    ],
)
def test_what_is_wrong_is_told(kgen: Kgen, name: str, arguments: dict[str, Any], said: str) -> None:
    found = call(kgen, name, **arguments)
    assert found.is_error
    assert said in found.content[0].text


def test_check_and_explain_of_a_project(kgen: Kgen, project: Path) -> None:
    assert kgen(*LOCK, "numpy", "--cpu").status == 0
    before = sorted(path for path in project.rglob("*"))
    assert call(kgen, "check").structured_content == {"findings": []}
    (one,) = call(kgen, "explain", names=["numpy-cpu"]).structured_content["environments"]
    assert one["environment"] == "numpy-cpu"
    assert "findings" in call(kgen, "doctor").structured_content
    assert sorted(path for path in project.rglob("*")) == before


def test_arguments_that_are_none() -> None:
    with pytest.raises(UsageError, match="unknown argument `json`"):
        protocol.words_of("solve", {"json": "x"})
    with pytest.raises(UsageError, match="unknown tool `lock`"):
        protocol.words_of("lock", {})


def test_without_the_package(kgen: Kgen, tmp_path: Path) -> None:
    (tmp_path / "mcp_types.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'mcp_types'\", name='mcp_types')"
    )
    done = kgen("mcp", PYTHONPATH=str(tmp_path))
    assert (done.status, done.stdout) == (2, "")
    assert "hint: pip install 'keras-kgen[mcp]'" in done.stderr
