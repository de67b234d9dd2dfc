"""Questions to uv as data, so that one that was asked before can be asked again. Decides nothing."""

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
"""uv's exit status where what is asked cannot be closed, among others."""

_RESOLUTION = 900.0
"""Seconds that a resolution may take. An installation may take longer: its files are large."""

_REFUSED = re.compile(r"^hint: (An index URL .* could not be queried .*)$", re.MULTILINE)
_INTERPRETER = ("--python", sys.executable) if sys.executable else ()
"""The one that runs kgen. Wheels alone need none, but uv would look for one like the target's, and what it tries on the
way (the shims of version managers) may take it longer than all the rest."""


CLOSERS = 4
"""How many environments are closed at a time."""

IN_FLIGHT = 24
"""Requests to the index in flight at a time, over all environments: about half of what one uv takes by itself. Several
that take as many each overrun an index, whose answers then stall for seconds."""


_STAND_IN = "kgen-closes-this"
"""What uv takes for the user's project, where what is asked has to stand in one."""


class Question(NamedTuple):
    """What `uv pip compile` is asked.

    Attributes:
        requirements: what is to be closed.
        constraints: bounds on what comes in.
        arguments: further words of uv's command line, as those of the target.
        preferred: the text of a lock whose versions uv keeps where it can; empty for none.
        own: package -> the index that it is taken from, and no other package.
        in_flight: how many requests to the index uv may have in flight; None for its own choice, or the user's.
        macos: the oldest macOS of the target, as `14.0`; empty for other systems.
        beside: a folder whose wheels are taken too; None for none.
        facts: variables that tell uv of the target what it would find out of this machine, where its preview of wheel
            variants is on.
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
        """Whether it can be asked again in another run: it is about nothing that was made for this one, and is gone."""
        if self.beside is None:
            return True
        return Path(self.beside).is_relative_to(stand_ins()) and files.is_folder(Path(self.beside))


def stand_ins() -> Path:
    """The folder in kgen's cache of what stands in for source distributions."""
    return host.cache("stand-ins")


class Answer(NamedTuple):
    """What uv has answered.

    Attributes:
        lock: the text of what it closed; empty where it could not.
        refusal: why it could not, in its own words.
    """

    lock: str
    refusal: str = ""


class Asker:
    """Asks uv, and keeps what it answered. Safe to use from several threads.

    Args:
        program: the path of uv.
        root: the project's root, from which on uv looks for its configuration.
        cancel: set it to end what is under way.
    """

    def __init__(self, program: str, *, root: Path, cancel: threading.Event) -> None:
        self._program = program
        self._root = root
        self._cancel = cancel
        self.answers: dict[Question, Answer] = {}
        self.failures: dict[Question, OutsideError] = {}

    def ask(self, question: Question) -> Answer:
        """What uv answers; what it has answered in this run, or failed at, it is not asked again.

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
        # a flag takes the place of the variable, whose files are meant too
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
        if refused:  # to uv that is a package which does not exist, and only a hint says why
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
    """What to compile: the standard input, or a project that takes some packages from an index of their own.

    Such an index has copies of many packages, and must be asked for no other; only a project can say that.
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
    """What the futures give; ctrl-C ends what is under way instead of waiting for it.

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
