"""What tests of bundles have in common: a machine without a network, and bundles that somebody has changed."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.command import Kgen, Result, new_cache


def alone() -> list[str]:
    """What runs a program where there is no network at all; nothing where the system does not let us."""
    words = ["unshare", "--user", "--map-root-user", "--net"]
    return words if shutil.which("unshare") and subprocess.run([*words, "true"], check=False).returncode == 0 else []


def without_network(kgen: Kgen, *words: str, folder: Path, cache: Path, **environment: str) -> Result:
    """Run kgen without a network, without an index, and with caches in which nothing of an index is."""
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    kgens = new_cache(cache / "kgen")
    caches = {"UV_CACHE_DIR": str(cache), "KGEN_CACHE_DIR": str(kgens), "RATTLER_CACHE_DIR": str(cache / "r")}
    done = subprocess.run(
        [*alone(), *kgen.words(*words)],
        cwd=folder,
        env=kgen.env(**nowhere, **caches, **environment),
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, kgen.filtered(done.stdout), kgen.filtered(done.stderr))


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
    return found


def pack(path: Path, content: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, text in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
