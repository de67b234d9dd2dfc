"""Writes a container image to standard output, in the form of `docker save`: what nixpkgs' dockerTools make, in small.

python stream_image.py IMAGE PATH…: what `streamLayeredImage` was given, as JSON, and the store paths that it is made
of. Each path is a layer, and the last one is the root folder: links to what the packages of `contents` hold.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def main(image: str, paths: list[str]) -> None:
    """Write the archive."""
    given = json.loads(Path(image).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for package in map(Path, given["contents"]):
            for path in sorted(package.rglob("*")):
                place = root / path.relative_to(package)
                if not place.exists() and (path.is_symlink() or not path.is_dir()):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(path)
        subprocess.run(["/bin/sh", "-euc", given["extraCommands"]], cwd=root, check=True)
        layers = [*(_layer(path, path.lstrip("/")) for path in paths), _layer(str(root), ".")]
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": given["config"],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
    }
    encoded = json.dumps(configuration).encode()
    files = {f"{hashlib.sha256(layer).hexdigest()}/layer.tar": layer for layer in layers}
    files[f"{hashlib.sha256(encoded).hexdigest()}.json"] = encoded
    listed = list(files)
    manifest = {"Config": listed[-1], "RepoTags": [f"{given['name']}:{given['tag']}"], "Layers": listed[:-1]}
    files["manifest.json"] = json.dumps([manifest]).encode()
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _layer(path: str, name: str) -> bytes:
    def of_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 1
        return member

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.add(path, name, filter=of_nobody)
    return made.getvalue()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
