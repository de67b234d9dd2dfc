"""What a person sees of files that are being fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen

from kgen import lockfiles, process
from kgen.formats.wheels.installer import Downloads

SCRIPT = "import sys, time\nfor n in (1, 2):\n  print(n, file=sys.stderr, flush=True)\n  time.sleep(0.2)\nprint('out')"


def test_lines_are_heard_as_they_come() -> None:
    heard: list[str] = []
    done = process.run([sys.executable, "-c", SCRIPT], hear=heard.append)
    assert heard == ["1", "2"]
    assert (done.stdout, done.stderr) == ("out\n", "1\n2\n")


@pytest.mark.parametrize("text", ["no end of a line", "\xff\n", "a\nb"])
def test_every_line_is_heard_once_and_nothing_is_lost(text: str) -> None:
    heard: list[str] = []
    script = f"import sys; sys.stderr.buffer.write({text!r}.encode('latin-1'))"
    done = process.run([sys.executable, "-c", script], hear=heard.append)
    assert "\n".join(heard) == done.stderr.rpartition("\n")[0]


def test_bytes_and_rate_of_what_uv_fetches(kgen: Kgen, project: Path) -> None:
    assert kgen(*LOCK, "jax").status == 0
    lock = lockfiles.read(project / "locks/jax-cpu/pylock.linux-64.toml")
    sizes = {"jaxlib": 80_000_000, "numpy": 20_000_000}
    lock = lock._replace(files=tuple(one._replace(size=sizes.get(one.name, 1)) for one in lock.files))
    said: list[str] = []
    times = iter([10.0, 10.0, 11.0, 12.0, 15.0])
    downloads = Downloads(lock, said.append, clock=lambda: next(times))
    for line in (
        "Resolved 17 packages in 3ms",
        "Downloading numpy (19.1MiB)",
        "Downloading jaxlib (76.3MiB)",
        "Downloading somebody-elses (1.0MiB)",
        " Downloaded numpy",
        " Downloaded jaxlib",
        "Installed 17 packages in 5ms",
    ):
        downloads.hear(line)
    assert said == [
        "downloading, 0 B of 20 MB",
        "downloading, 0 B of 100 MB",
        "downloading, 20 MB of 100 MB, 10 MB/s",
        "downloading, 100 MB of 100 MB, 20 MB/s",
    ]
