"""Records the index that the reference locks are made from: `python -m tests.record_index [--matrix]`, in the root.

Locks the settings in `tests/data/reference` from the index that uv is configured for, with the matrix in `tests/data`,
and keeps every answer. An index changes below a cut-off too: releases that the committed locks would have taken, had
they been on it, are recorded as `backfilled`.

`--matrix` first copies `matrix/`, `locks/` and the settings into `tests/data`: the answers that the tests expect are
those of that matrix from then on. Give it only to move them on purpose, after the reference locks were written again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import requests
import tomli
from tests.recorded import MATRIX, RECORD, REFERENCE, Kept, Listed, Record, RecordedIndex, serving

from kgen import index as simple
from kgen import uvtool
from kgen.matrix.origin import FOLDER_VARIABLE
from kgen.wheels import WheelReader, is_metadata

ROOT = Path(__file__).resolve().parents[1]
CALLS = ((), ("jax", "torch", "--cuda", "13"))
"""The two calls of `kgen lock` that write the reference locks."""

_TAIL = 128 * 1024
_LIST_END = 22
_HEADER = 30
_ASKED = ("metadata-version", "name", "version", "requires-dist", "requires-python", "provides-extra")


class Recorder:
    """Completes a record from the real index.

    Args:
        cutoff: the last day whose uploads are recorded.
        python: the CPython minor of the locks.
    """

    def __init__(self, cutoff: dt.date, python: str) -> None:
        self._cutoff = cutoff
        self._tag = f"cp{python.replace('.', '')}"
        self._reader = WheelReader(cache=None, cancel=threading.Event())
        self._index = simple.Index(uvtool.indexes(uvtool.find(), ROOT), self._reader, cache=None)
        self._files: dict[str, simple.IndexFile] = {}
        self._session = requests.Session()

    def __call__(self, record: Record, kind: str, name: str) -> None:
        """Puts one page, METADATA or wheel into the record, if the index has it."""
        if kind == "pages":
            self._page(record, name)
        elif name in self._files or self._found(record, name):
            {"metadata": self._metadata, "wheels": self._wheel}[kind](record, name)

    def _found(self, record: Record, filename: str) -> bool:
        self._page(record, re.sub(r"[-_.]+", "-", filename.partition("-")[0]).lower())
        return filename in self._files

    def _page(self, record: Record, name: str) -> None:
        listed = self._index.project(name)
        if listed is None:
            return
        rows = [one for one in listed.files if self._usable(one)]
        self._files.update({one.filename: one for one in rows})
        record.pages[name] = [
            Listed(
                filename=one.filename,
                sha256=one.sha256,
                requires_python=one.requires_python,
                uploaded=one.uploaded.isoformat() if one.uploaded else "",
                yanked=one.yanked,
            )
            for one in rows
        ]

    def _usable(self, one: simple.IndexFile) -> bool:
        if one.tags == simple.NO_WHEEL or (one.uploaded is not None and one.uploaded > self._cutoff):
            return False
        pythons, abis, platforms = one.tags
        platform = platforms == "any" or ("linux" in platforms and "x86_64" in platforms and "musl" not in platforms)
        python = self._tag in pythons.split(".") or "py3" in pythons.split(".") or "abi3" in abis
        return platform and python

    def _metadata(self, record: Record, filename: str) -> None:
        one = self._files[filename]
        if one.sidecar is not None:
            text = self._get(f"{one.url.partition('#')[0]}.metadata").content
        else:
            found = self._reader.members(one.url, filename=filename, sha256=one.sha256, wanted=is_metadata)
            (text,) = (found or {}).values()
        head = text.decode().partition("\n\n")[0]
        lines = [line for line in head.splitlines() if line.partition(":")[0].lower() in _ASKED]
        record.metadata[filename] = ("\n".join(lines) + "\n").encode()

    def _wheel(self, record: Record, filename: str) -> None:
        url = self._files[filename].url.partition("#")[0]
        answer = self._get(url, f"bytes=-{_TAIL}")
        size = int(answer.headers.get("Content-Range", f"/{len(answer.content)}").rpartition("/")[2])
        if size <= _TAIL:
            record.wheels[filename] = Kept(size=size, parts={0: answer.content})
            return
        end = answer.content.rindex(b"PK\x05\x06")
        start = int.from_bytes(answer.content[end + 16 : end + 20], "little")
        listed = self._get(url, f"bytes={start}-{size - 1}").content
        parts = {start: listed}
        at, last = 0, len(listed) - (len(answer.content) - end)
        while at < last:
            packed = int.from_bytes(listed[at + 20 : at + 24], "little")
            name, extra, comment = (int.from_bytes(listed[at + of : at + of + 2], "little") for of in (28, 30, 32))
            offset = int.from_bytes(listed[at + 42 : at + 46], "little")
            path = listed[at + 46 : at + 46 + name].decode()
            if is_metadata(path):
                until = min(start, offset + _HEADER + name + extra + 1024 + packed)
                parts[offset] = self._get(url, f"bytes={offset}-{until - 1}").content
            at += 46 + name + extra + comment
        record.wheels[filename] = Kept(size=size, parts=parts)

    def _get(self, url: str, span: str | None = None) -> requests.Response:
        answer = self._session.get(url, headers={"Range": span} if span else {}, timeout=60)
        answer.raise_for_status()
        return answer


def lock(project: Path, url: str, caches: Path) -> None:
    """Both calls of `kgen lock`, in a project with the frozen settings and matrix, from an index alone."""
    environment = {
        **os.environ,
        "UV_DEFAULT_INDEX": url,
        "UV_CACHE_DIR": str(caches / "uv"),
        "KGEN_CACHE_DIR": str(caches / "kgen"),
        FOLDER_VARIABLE: str(MATRIX),
    }
    for name in ("UV_FIND_LINKS", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL"):
        environment.pop(name, None)
    for call in CALLS:
        words = [sys.executable, "-m", "kgen", "lock", *call]
        done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)


def packages(folder: Path) -> dict[str, set[str]]:
    """Every release that the locks below a folder have, by the name that files have for it: environment -> releases."""
    return {
        path.parent.name: {
            one["wheels"][0].get("path", "").lower().rsplit("-", 3)[0]
            for one in tomli.loads(path.read_text(encoding="utf-8"))["packages"]
        }
        for path in folder.glob("*/pylock.*.toml")
    }


def freeze() -> None:
    """The matrix, the settings and the locks as they are now, into `tests/data`."""
    for folder in (MATRIX, REFERENCE):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "matrix", MATRIX)
    shutil.copytree(ROOT / "locks", REFERENCE / "locks", ignore=shutil.ignore_patterns("receipts"))
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.kgen]\n")
    (REFERENCE / "kgen.toml").write_text(settings[2].replace("[tool.kgen.", "["), encoding="utf-8")


def main() -> None:
    """Freezes if that is asked for, and records."""
    parser = argparse.ArgumentParser(prog="python -m tests.record_index", description="Records the tests' index.")
    parser.add_argument("--matrix", action="store_true", help="copy matrix/, locks/ and settings first")
    if parser.parse_args().matrix:
        freeze()
    asked = tomli.loads((REFERENCE / "kgen.toml").read_text(encoding="utf-8"))
    recorder = Recorder(dt.date.fromisoformat(asked["exclude-newer"]), asked["python"])
    committed = packages(REFERENCE / "locks")
    known = set().union(*committed.values())
    record, hidden = Record(), set[str]()
    while True:
        with (
            tempfile.TemporaryDirectory() as name,
            serving(RecordedIndex(record, hidden=hidden, complete=recorder)) as index,
        ):
            shutil.copy(REFERENCE / "kgen.toml", name)
            lock(Path(name), index.url, Path(name, "caches"))
            made = packages(Path(name, "locks"))
        appeared = set().union(*made.values()) - known
        if not appeared:
            break
        sys.stdout.write(f"appeared after the locks: {', '.join(sorted(appeared))}\n")
        hidden |= appeared
    record.backfilled = sorted(hidden)
    record.save(RECORD)
    sys.stdout.write(f"{RECORD.relative_to(ROOT)}: {RECORD.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
