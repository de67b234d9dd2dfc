"""Questions to uv as data, so that kgen can ask the same ones again later. Decides nothing."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path
from typing import NamedTuple, TypeVar

from kgen import files, host, storage, uvtool
from kgen.errors import Cancelled, FailedProgramError, OutsideError, TimedOut
from kgen.uvtool import PLAIN, failure, words

T = TypeVar("T")

NO_SOLUTION = 1
"""uv's exit status if there is no solution, and for some other failures."""

_RESOLUTION = 900.0
"""Seconds that a resolution may take. An installation may take longer, because its files are large."""

_REFUSED = re.compile(r"^hint: (An index URL .* could not be queried .*)$", re.MULTILINE)
_INTERPRETER = ("--python", sys.executable) if sys.executable else ()
"""The interpreter that runs kgen. Wheels need none, but uv would look for one like the target's, and trying the shims
of version managers may take it longer than everything else."""


CLOSERS = 4
"""The number of environments that are resolved concurrently."""

IN_FLIGHT = 24
"""Concurrent requests to the index over all environments: about half of what one uv uses by default. Several uvs with
that many each overload an index, whose responses then stall for seconds."""


_STAND_IN = "kgen-closes-this"
"""The name of the project that kgen gives uv if requirements have to be in a project."""


class Question(NamedTuple):
    """The input of `uv pip compile`.

    Attributes:
        requirements: the requirements.
        constraints: bounds on packages that come in.
        arguments: further arguments for uv, such as those for the target.
        preferred: the text of a lock whose versions uv keeps where it can; empty for none.
        own: package -> the only index that it is taken from, and that no other package is taken from.
        in_flight: the number of concurrent requests to the index; None for uv's own or the user's choice.
        macos: the oldest macOS of the target, such as `14.0`; empty for other systems.
        beside: a folder whose wheels count too; None for none.
        facts: variables that tell uv about the target what it would otherwise find out about this machine, if its
            preview of wheel variants is on.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    preferred: str = ""
    own: tuple[tuple[str, str], ...] = ()
    in_flight: int | None = None
    macos: str = ""
    beside: str | None = None
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def lasts(self) -> bool:
        """Whether another run can ask it again: it refers to nothing that only this run has."""
        if self.beside is None:
            return True
        return Path(self.beside).is_relative_to(stand_ins()) and files.is_folder(Path(self.beside))


def stand_ins() -> Path:
    """The folder in kgen's cache for replacements of source distributions."""
    return host.cache("stand-ins")


class Answer(NamedTuple):
    """uv's answer.

    Attributes:
        lock: the text of the resolution; empty if there is none.
        refusal: uv's explanation if there is none.
    """

    lock: str
    refusal: str = ""


class Asker:
    """Asks uv, and keeps its answers; safe to use from several threads.

    Args:
        program: the path of uv.
        root: the project's root, from which uv looks for its configuration.
        cancel: set it to end what is under way.
    """

    def __init__(self, program: str, *, root: Path, cancel: threading.Event) -> None:
        self._program = program
        self._root = root
        self._cancel = cancel
        self.answers: dict[Question, Answer] = {}
        self.failures: dict[Question, OutsideError] = {}

    def ask(self, question: Question) -> Answer:
        """The answer of uv; a question that uv has answered in this run, or failed at, is not asked again.

        Raises:
            OutsideError: uv, the index or the network failed.
        """
        if question in self.failures:
            raise self.failures[question]
        known = self.answers.get(question)
        if known is None:
            try:
                known = self.answers[question] = self._ask(question)
            except Cancelled:
                raise
            except OutsideError as error:
                self.failures[question] = error
                raise
        return known

    def _ask(self, question: Question) -> Answer:
        found = ",".join(filter(None, (host.variable("UV_FIND_LINKS"), question.beside)))
        # a flag would replace the variable, so the variable's files are passed as well
        users = [word for path in (host.variable("UV_CONSTRAINT") or "").split() for word in ("--constraints", path)]
        with storage.scratch() as folder:
            output = folder / "pylock.toml"
            if question.preferred:
                output.write_text(question.preferred, encoding="utf-8")
            narrowed = folder / "constraints.txt"
            narrowed.write_text("".join(f"{line}\n" for line in question.constraints), encoding="utf-8")
            try:
                done = uvtool.run(
                    [
                        self._program, "pip", "compile", _asked(question.requirements, dict(question.own), folder),
                        "--constraints", str(narrowed), *users,
                        "--format", "pylock.toml", "--output-file", str(output), "--no-header",
                        "--only-binary", ":all:", *_INTERPRETER, *PLAIN, *question.arguments,
                    ],
                    stdin="".join(f"{line}\n" for line in question.requirements),
                    env={
                        **({} if question.in_flight is None else {"UV_CONCURRENT_DOWNLOADS": str(question.in_flight)}),
                        **({"UV_FIND_LINKS": found} if found else {}),
                        **({"MACOSX_DEPLOYMENT_TARGET": question.macos} if question.macos else {}),
                        **dict(question.facts),
                    },
                    cwd=self._root,
                    cancel=self._cancel,
                    timeout=host.seconds(_RESOLUTION),
                )  # fmt: skip
            except TimedOut:
                raise uvtool.too_late("the resolution by uv", _RESOLUTION) from None
            if done.status == 0:
                return Answer(_text_of(output))
        refused = _REFUSED.search(done.stderr)
        if refused:  # uv reports a package that does not exist, and only its hint says why
            raise failure(refused[1], "lock")
        reason = words(done.stderr).replace(f"{_STAND_IN} depends on", "you require")
        if done.status == NO_SOLUTION and "No solution found" in done.stderr and not uvtool.not_cached(reason):
            return Answer("", reason)
        raise failure(reason, "lock")


def _text_of(output: Path) -> str:
    try:
        return output.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FailedProgramError(
            f"uv wrote a lock that cannot be read: {error}", hints=["pip install --upgrade uv"]
        ) from None


def _asked(requirements: Sequence[str], own: Mapping[str, str], folder: Path) -> str:
    """What to compile: standard input, or a project that takes some packages from an index of their own.

    Such an index contains copies of many packages and must not be used for others, which only a project can express.
    """
    if not own:
        return "-"
    lines = ["[project]", f'name = "{_STAND_IN}"', 'version = "0"', "dependencies = ["]
    lines += [f"    {json.dumps(requirement)}," for requirement in requirements]
    lines += ["]", "[tool.uv.sources]", *(f'{name} = {{ index = "kgen-{name}" }}' for name in own)]
    for name, url in own.items():
        lines += ["[[tool.uv.index]]", f'name = "kgen-{name}"', f"url = {json.dumps(url)}", "explicit = true"]
    project = folder / "pyproject.toml"
    project.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(project)


def results(futures: Sequence[Future[T]], cancel: threading.Event) -> list[T]:
    """The results of futures; ctrl-C ends what is under way instead of waiting for it.

    Raises:
        KeyboardInterrupt: after `cancel` was set.
    """
    try:
        waiting = set(futures)
        while waiting:
            # a short wait, because a lock without a timeout does not let ctrl-C through on every platform
            _, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
    except KeyboardInterrupt:
        cancel.set()
        for future in futures:
            future.cancel()
        raise
    return [future.result() for future in futures]
