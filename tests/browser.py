"""A page in a real browser: on a screen of any width, in light or dark, with a program that looks at it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import struct
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = os.environ.get("KGEN_AXE")
"""The file `axe.min.js` of npm's axe-core, where `.ci/run` or somebody else has put it; read before tests begin."""

_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_MEASURING = """<script>
addEventListener("load", async () => {
  const send = value => parent.postMessage(JSON.stringify(value), "*");
  try { send({value: await (async () => { %s })()}); } catch (fault) { send({fault: String(fault)}); }
});
</script>"""


def looked_at(page: str, program: str, folder: Path, *, width: int, scheme: str = "light", brought: str = "") -> Any:  # noqa: ANN401 - what the program returns
    """What a program says about a page.

    Args:
        page: the page's text; without its policy, which would keep the program out.
        program: the body of an asynchronous function in JavaScript.
        folder: a folder for the browser's files.
        width: the width of the screen in pixels, also below the 500 that a window has at least.
        scheme: `light` or `dark`.
        brought: a script that the program needs.
    """
    assert "</body>" in page
    text = _POLICY.sub("", page)
    scripts = (
        "<style>html { scrollbar-width: none; }</style>"
        + (f"<script>{brought}</script>" if brought else "")
        + _MEASURING % program
    )
    head, _, tail = text.rpartition("</body>")
    frame = html.escape(f"{head}{scripts}</body>{tail}")
    outside = folder / "frame.html"
    outside.write_text(
        f'<!doctype html><html style="color-scheme: {scheme}"><body style="margin: 0">'
        f'<iframe style="border: 0; color-scheme: {scheme}" width="{width}" height="900" srcdoc="{frame}"></iframe>'
        '<pre id="said"></pre><script>addEventListener("message", event => '
        '{ document.getElementById("said").textContent = event.data; });</script></body></html>',
        encoding="utf-8",
    )
    said = re.search(
        r'<pre id="said">(.+?)</pre>', drawn(outside.as_uri(), folder, "--virtual-time-budget=20000"), re.DOTALL
    )
    assert said is not None
    answer = json.loads(html.unescape(said[1]))
    assert "fault" not in answer, answer
    return answer["value"]


def drawn(address: str, folder: Path, *flags: str) -> str:
    """The page at an address as the browser has it once it is drawn."""
    words = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    said = ""
    for _ in range(3):  # on a busy machine it does not always come up
        done = subprocess.run(
            [*words, *flags, "--dump-dom", address], capture_output=True, text=True, check=False, timeout=100
        )
        if "</html>" in done.stdout:
            return done.stdout
        said = done.stderr
        time.sleep(1)
    raise AssertionError(said)


def photographed(address: str, folder: Path, width: int, height: int, *flags: str) -> tuple[int, int, bytes]:
    """A picture of the page at an address: its width, its height, and three bytes for each pixel."""
    picture = folder / "picture.png"
    subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
            "--hide-scrollbars", "--force-device-scale-factor=1", *flags, f"--window-size={width},{height}",
            f"--screenshot={picture}", address,
        ],
        check=True,
        capture_output=True,
        timeout=100,
    )  # fmt: skip
    return pixels(picture.read_bytes())


def pixels(data: bytes) -> tuple[int, int, bytes]:
    """The pixels of a PNG of eight bits a colour, without its transparency."""
    position, packed = 8, b""
    width = height = channels = 0
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", body[:10])
            assert (depth, color) in {(8, 2), (8, 6)}
            channels = 3 if color == 2 else 4
        elif kind == b"IDAT":
            packed += body
        position += length + 12
    raw, stride = zlib.decompress(packed), width * channels
    lines, before = [], bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        before = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, channels)
        lines.append(before)
    whole = b"".join(lines)
    if channels == 3:
        return width, height, whole
    return width, height, bytes(byte for place, byte in enumerate(whole) if place % 4 != 3)


def _unfiltered(kind: int, line: bytearray, above: bytearray, channels: int) -> bytearray:
    for at in range(len(line)):
        left = line[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        line[at] = (line[at] + _predicted(kind, left, above[at], corner)) & 255
    return line


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    """What PNG's filters take from a byte."""
    if kind == 4:
        guess = left + above - corner
        return min((left, above, corner), key=lambda one: abs(guess - one))
    return (0, left, above, (left + above) // 2)[kind]
