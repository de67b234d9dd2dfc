"""What each code of an error stands for, and the page about it: `kgen help K201`, and `docs/errors`.

`python -m kgen.explain.codes docs/errors` makes the pages.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kgen.errors import BUG_CODE, CONFLICT_CODE

_WIDTH = 100


class ErrorPage(NamedTuple):
    """The page of a code.

    Attributes:
        title: what is wrong, in a few words.
        about: when kgen says so, and what it has left as it was.
        fixing: what to do.
    """

    title: str
    about: str
    fixing: str


PAGES: Mapping[str, ErrorPage] = {
    "K200": ErrorPage(
        "The call is wrong",
        "An option, a name or a value of the command line is unknown, does not parse, or contradicts another one. kgen"
        " says so before it changes anything.",
        "Type what the hint says, or look at `kgen help COMMAND`. Names of environments are those of `kgen list`, and"
        " names of backends those of `kgen matrix show`.",
    ),
    "K201": ErrorPage(
        "The settings, or a file of the project, cannot be read",
        "`kgen.toml`, `[tool.kgen]` in `pyproject.toml`, a lock or a receipt has a key that kgen does not know, a value"
        " that does not parse, or no valid form. The message names the file and the path of the key, and lists every"
        " fault of the file.",
        "Correct the key that the message names. `docs/reference/settings.md` lists every key, and the JSON Schema"
        " `docs/kgen.schema.json` lets an editor show faults while you type. Do not edit locks: `kgen lock` writes them"
        " again.",
    ),
    "K202": ErrorPage(
        "The compatibility matrix is damaged",
        "A file of the matrix that comes with kgen, or of `matrix/` in the project, contradicts its form or another"
        " row. The message lists every fault with its path.",
        "Undo the last edit of the file that the message names, or reinstall kgen. `kgen matrix refresh --project`"
        " writes rows that are whole.",
    ),
    CONFLICT_CODE: ErrorPage(
        "Nothing fits the request",
        "The matrix has no set of releases that satisfies everything that you asked for: accelerator, driver, GPUs,"
        " Python, glibc, versions. The causes below the message are a minimal set: without any one of them there would"
        " be a solution.",
        "Each hint is a changed request that kgen solved before it printed the hint. `kgen solve` with `--json` has the"
        " causes as data, and `kgen explain BACKEND --newest PACKAGE` says what keeps a release out.",
    ),
    "K400": ErrorPage(
        "Something outside of kgen failed",
        "The network, an index, a channel, uv, an interpreter, a program or the disk did not do what kgen asked of it."
        " What was on disk before is there as it was: files are written whole or not at all.",
        "Read what the message quotes of the other program. Where an index is out of reach, look at uv's configuration"
        " (`uv.toml`, `UV_DEFAULT_INDEX`) and the proxy. `--offline` says what is missing without a network, and"
        " `kgen doctor` looks at this machine.",
    ),
    "K401": ErrorPage(
        "A program took too long",
        "A program that kgen started did not end in time, and kgen ended it, with all its children.",
        "Where the machine is slow or busy, try again. A training step that hangs on a GPU is a finding of"
        " `kgen doctor`; the message says what the program had written until then.",
    ),
    "K402": ErrorPage(
        "You ended the command",
        "Ctrl-C, or a signal that asks for the end, stopped the work. Nothing is half-written.",
        "Type the command again: kgen goes on from what is complete.",
    ),
    "K403": ErrorPage(
        "A lock that was made is not fit to be written",
        "kgen verifies each lock before it writes it: one CUDA major, one cuDNN, no file that two wheels own, every"
        " library that a wheel needs. The message says which promise the new lock would break. The old lock is there as"
        " it was.",
        "The requirement that the message names brings the fault in: pin another release of it with `--require`, or"
        " leave it out. Where a wheel of a framework itself is at fault, report it.",
    ),
    "K404": ErrorPage(
        "A file of an index is damaged",
        "A wheel, or the part of it that kgen reads over the network, is not what its own directory says.",
        "Try again. If it stays so, the mirror serves a damaged file: ask another index, or tell who runs it.",
    ),
    BUG_CODE: ErrorPage(
        "A bug in kgen",
        "Something happened that nobody had foreseen. It is no fault of yours.",
        "Report it with the output of the command that the hint names, and with that of `kgen --version --verbose`.",
    ),
}
"""Code -> its page. The first digit is the exit status; but that of :class:`kgen.errors.Cancelled` is 130."""


def text_of(code: str) -> str:
    """The page of a code as a terminal shows it."""
    page = PAGES[code]
    return "\n".join([f"{code}: {page.title}", "", _filled(page.about), "", _filled(page.fixing)])


def pages() -> Mapping[str, str]:
    """Name of a file in `docs/errors` -> its text; `README.md` lists the others."""
    rows = [f"- [`{code}`]({code}.md): {page.title}." for code, page in PAGES.items()]
    head = _filled(
        "On a terminal kgen ends an error with the code of its kind. `kgen help CODE` prints its page, which is also"
        " here. The first digit is the exit status."
    )
    made = {
        f"{code}.md": "\n".join(
            [f"# {code}: {page.title}", "", _filled(page.about), "", "## What to do", "", _filled(page.fixing), ""]
        )
        for code, page in PAGES.items()
    }
    return {"README.md": "\n".join(["# Codes of errors", "", head, "", *rows, ""]), **made}


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    for file, text in pages().items():
        (Path(sys.argv[1]) / file).write_text(text, encoding="utf-8")
