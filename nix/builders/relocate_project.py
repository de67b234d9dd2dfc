"""Takes the folder in which an editable wheel was built out of the wheel.

Where its backend wrote a path below that folder, the environment's `_kgen_project` is asked for the place instead: in
lines of `.pth` files, and in texts of modules. The arguments are the folder, the wheel, and the wheel to be written.
Needs a CPython and its standard library only.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import os
import sys
import tokenize
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

LOCATED = "__import__('_kgen_project').located({path!r})"
EPOCH = (1980, 1, 1, 0, 0, 0)


def main(folder: str, wheel: str, target: str) -> None:
    """Write the wheel again without the folder in it."""
    root = os.path.realpath(folder)
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    written = {name: relocated(name, content, root) for name, content in members.items()}
    record = next(name for name in written if name.endswith(".dist-info/RECORD"))
    written[record] = _record(written, record)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in written.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)


def relocated(name: str, content: bytes, root: str) -> bytes:
    """A file of the wheel, with what is looked up later in the place of the folder."""
    if root.encode() not in content:
        return content
    if name.endswith(".dist-info/RECORD"):
        return content
    text = content.decode("utf-8", "replace")
    if name.endswith(".pth"):
        return "".join(f"{_line(line, root)}\n" for line in text.splitlines()).encode()
    if not name.endswith(".py"):
        _fail(f"{name} names the folder in which it was built; kgen can move .pth files and modules only")
    return _code(text, root).encode()


def _line(line: str, root: str) -> str:
    if line.startswith(("import ", "import\t")):
        return _code(line, root).rstrip("\n")
    if _inside(line, root):
        return f"import _kgen_project; _kgen_project.add({os.path.relpath(line, root)!r})"
    return line


def _inside(text: str, root: str) -> bool:
    return text == root or text.startswith(root + os.sep)


def _code(text: str, root: str) -> str:
    """Code whose texts that are paths below the folder are looked up instead."""
    lines = text.splitlines(keepends=True)
    tokens = [one for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type == tokenize.STRING]
    for token in reversed(tokens):
        value = _literal(token.string)
        if not isinstance(value, str) or not _inside(value, root):
            continue
        (row, start), (last, end) = token.start, token.end
        if row != last:
            _fail("a path in it is written over several lines")
        line = lines[row - 1]
        lines[row - 1] = line[:start] + LOCATED.format(path=os.path.relpath(value, root)) + line[end:]
    return "".join(lines)


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a formatted one
        return None


def _record(files: dict[str, bytes], record: str) -> bytes:
    """The list of the wheel's files."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        if name != record:
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([record, "", ""])
    return text.getvalue().encode()


def _fail(what: str) -> NoReturn:
    sys.exit(f"kgen: the editable wheel of the project cannot be moved: {what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
