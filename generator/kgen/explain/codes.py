"""The error codes and their pages: `kgen help K201`, and `docs/errors`.

`python -m kgen.explain.codes docs/errors` generates the pages.
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
    """The page of an error code.

    Attributes:
        title: what is wrong, in a few words.
        about: when kgen reports it, and what it left unchanged.
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
        "Type what the hint says, or look at `kgen help COMMAND`. `kgen status` lists the environments, and"
        " `kgen matrix show` the backends.",
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
    "K203": ErrorPage(
        "Nothing is locked under this name",
        "The command works on a lock, and `locks/` of this project has none under the name that you gave, or none at"
        " all. kgen looks for the project in this folder and in those above it.",
        "`kgen status` shows which environments are locked. Where the settings ask for the environment, `kgen lock`"
        " locks it; a new backend is locked with `kgen lock BACKEND`. If the list is empty and should not be, you are"
        " in another folder: `kgen` alone prints which project it works on.",
    ),
    "K204": ErrorPage(
        "The lock is not for this machine",
        "The environment is locked, but for another platform or for another installer. A lock is for one platform:"
        " wheels of Linux on x86-64 do not run on ARM or on macOS.",
        "Lock the platform too: `kgen lock --platform PLATFORM`, or `platforms` in the settings; that does not need a"
        " machine of that kind. For conda packages, lock with `--conda`.",
    ),
    "K205": ErrorPage(
        "kgen does not know this name",
        "You named a backend, a platform, a CUDA or a target that neither the matrix nor the settings have. Often it is"
        " the name of a package: `kgen lock` takes backends such as `jax` and `torch`, and adds Keras and what they"
        " need by itself.",
        "`kgen matrix show` lists the backends. To have another package in the environments, `kgen add PACKAGE` puts it"
        " into the settings and locks them again; `kgen lock BACKEND --require PACKAGE` does so for one lock. A target"
        " is described in the settings under `[tool.kgen.target.NAME]`.",
    ),
    "K206": ErrorPage(
        "Two options contradict each other",
        "The options that the message names cannot both be true, and kgen does not guess which of them you mean."
        " Nothing was changed.",
        "Leave out one of them. `kgen help COMMAND` says what each does; what the settings say holds where no option"
        " says otherwise.",
    ),
    "K207": ErrorPage(
        "An optional part of kgen is not installed",
        "kgen installs without what only some commands need: conda locks, signatures, receipts on other machines,"
        " Kubernetes, the server for assistants. The message names the package that is missing.",
        "Install the extra that the hint names into the environment that kgen runs in. With `uv tool install`, repeat"
        " it with the extra: `uv tool install 'keras-kgen[conda]'`; with pipx, use `pipx inject`.",
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
        "Something that is not part of kgen, and that no code of its own stands for, does not let the command go on."
        " What was on disk before is there as it was: kgen replaces files atomically.",
        "Read what the message quotes of the other program, and type what the hint says. `kgen doctor` looks at this"
        " machine and at its environments.",
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
    "K405": ErrorPage(
        "A file or a folder cannot be read or written",
        "The system refused what kgen asked for; the message quotes it and names the path. What was there before is"
        " unchanged.",
        "`Permission denied`: the hint's command shows who owns the path. `No space left on device`: free some, or put"
        " environments and caches on another disk with `envs` in the settings and `KGEN_CACHE_DIR`. `Read-only file"
        " system`: as in a container, name a folder that can be written. `Stale file handle` and `Input/output error`"
        " are faults of the disk or of the network file system.",
    ),
    "K406": ErrorPage(
        "A server does not answer, or refuses",
        "An index, a conda channel, a git remote, a signing service or a cluster is out of reach, or does not let you"
        " in. kgen asked several times where that can help.",
        "Type the command of the hint: it asks the same server without kgen. Then check the network, the proxy"
        " (`HTTPS_PROXY`, `NO_PROXY`), the certificates (`SSL_CERT_FILE`) and the credentials (`~/.netrc`, or those of"
        " uv). `uv.toml` and `UV_DEFAULT_INDEX` name another index or a mirror. A server that is merely slow gets more"
        " time with `KGEN_TIMEOUT`, in seconds.",
    ),
    "K407": ErrorPage(
        "It is not on this machine, and nothing may be fetched",
        "With `--offline`, or `UV_OFFLINE` set, kgen and uv use only what they have fetched before. The message lists"
        " what is missing.",
        "Run the same command once without `--offline`, where there is a network. For a machine that never has one,"
        " make an archive elsewhere with `kgen bundle ENVIRONMENT -o FILE`, and unpack it here with `kgen unbundle"
        " FILE`.",
    ),
    "K408": ErrorPage(
        "A program or an interpreter is missing",
        "kgen did not find a program that it needs, such as uv, git or a Python of the locked version, or the system"
        " cannot execute the one that it found.",
        "Install it, or add its folder to `PATH`. `uv python install VERSION` installs an interpreter, and `pip install"
        " uv` installs uv. If the program is there, see whether it is executable and for this machine's architecture:"
        " `file PATH`.",
    ),
    "K409": ErrorPage(
        "A program that kgen started failed",
        "uv, git, conda-lock or ReFrame ended with an error. The message quotes the last that it said. What was on disk"
        " before is there as it was.",
        "The quoted words are the program's own, and its documentation explains them. A newer release often helps: `pip"
        " install --upgrade uv`. If the same command works without kgen, report it with the output of `kgen --version"
        " --verbose`.",
    ),
    "K410": ErrorPage(
        "A file is not what its hash says",
        "A lock, an index or a bundle names a file by its hash, and what kgen received is a different file, or part of"
        " it is missing. kgen did not install it: the file may have been damaged on the way, replaced on the server, or"
        " tampered with, and its code would run with your rights.",
        "Do not lock again before you know the reason: a new lock would accept the new file. First see whether the lock"
        " is as it was committed: `git status locks/`. Then fetch the file from another network or another mirror, and"
        " compare `sha256sum`. Copy a damaged bundle again, and remove a damaged cache with the command of the hint."
        " If an index serves another file under an old name, tell its maintainers.",
    ),
    "K411": ErrorPage(
        "The index does not have what the lock needs",
        "The matrix allows the request, but the index or the channel that you have configured does not offer a package"
        " that it takes, for this Python and platform, or your other requirements exclude what it offers. The message"
        " quotes uv's reason.",
        "If uv uses a mirror, see whether it has the package and is up to date: `uv.toml`, `UV_DEFAULT_INDEX`,"
        " `UV_FIND_LINKS`. If one of your own requirements is at fault, loosen it, or see which one it is by leaving it"
        " out. Builds that only a framework's own index has need `torch-index = true` or the URL of a mirror.",
    ),
    "K412": ErrorPage(
        "An answer makes no sense",
        "A server or a program answered with something that kgen cannot use: a login page in the place of an index, a"
        " file that is not the wheel it is called, metadata that contradict the file's name. kgen uses nothing of such"
        " an answer.",
        "Open the URL of the message with the command of the hint. A web page means that a proxy or a login stands"
        " before the index. If a mirror serves damaged files, use another one, and tell who runs it.",
    ),
    "K413": ErrorPage(
        "Another kgen is at work there",
        "Two commands would write to the same place, and the second one did not wait, or waited in vain. Nothing was"
        " changed.",
        "Wait until the other command has ended, then type yours again. The system releases the lock when that process"
        " ends, even if it is killed, so there is nothing to clean up.",
    ),
    "K414": ErrorPage(
        "Something is in the way",
        "Where kgen has to write there is a file, a folder or a symbolic link that kgen did not make. kgen does not"
        " replace what is not its own.",
        "See what it is, and move it elsewhere or remove it yourself; or name another folder, for environments with"
        " `--envs` or `envs` in the settings.",
    ),
    "K415": ErrorPage(
        "kgen's own installation is incomplete",
        "Files that come with kgen, or a package that it depends on, are missing or cannot be read.",
        "Reinstall it: `uv tool install --reinstall keras-kgen`, `pipx reinstall keras-kgen`, or `pip install"
        " --force-reinstall keras-kgen`. In a clone, `git status` shows what is missing.",
    ),
    "K416": ErrorPage(
        "A package cannot be built from source",
        "Your project, a source tree or a source distribution is built into a wheel, and that failed, or would need"
        " something that no lock can pin, such as a compiler. The message quotes the build's last words.",
        "Name what the build needs in `build-system.requires` of its `pyproject.toml`, then `kgen lock`. For a package"
        " that compiles code, build a wheel yourself, put it into a folder, and name that folder in `UV_FIND_LINKS`."
        " `project = false` in the settings leaves your own project out.",
    ),
    "K417": ErrorPage(
        "The environment is not on disk as it is locked",
        "The command looks into an installed environment, and there is none, or the lock has changed since. It does not"
        " install anything itself, or you forbade that with `--no-sync`.",
        "`kgen sync ENVIRONMENT` installs it, and changes only what differs. `kgen check` shows what is stale.",
    ),
    BUG_CODE: ErrorPage(
        "A bug in kgen",
        "kgen met a situation that it does not handle. You did nothing wrong.",
        "Report it with the output of the command that the hint names, and with that of `kgen --version --verbose`.",
    ),
}
"""Code -> its page. The first digit is the exit status; but that of :class:`kgen.errors.Cancelled` is 130."""


def text_of(code: str, room: int = 0) -> str:
    """The page of a code as text.

    Args:
        code: the code.
        room: the largest number of characters in a line; 0 for the pages' own width.
    """
    page = PAGES[code]
    width = min(room, _WIDTH) if room else _WIDTH
    return "\n".join([f"{code}: {page.title}", "", _filled(page.about, width), "", _filled(page.fixing, width)])


def pages() -> Mapping[str, str]:
    """File name in `docs/errors` -> its text; `README.md` lists the others."""
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


def _filled(text: str, width: int = _WIDTH) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    for file, text in pages().items():
        (Path(sys.argv[1]) / file).write_text(text, encoding="utf-8")
