"""A lock as a bill of materials: CycloneDX 1.6, JSON.

The same lock gives the same bytes: no day, and a serial number that is made from the lock's digest.
"""

from __future__ import annotations

import json
import urllib.parse
import uuid
from collections.abc import Sequence

from kgen import __version__, licences
from kgen.model.lockfile import LockedFile, Lockfile

_SPEC = "1.6"


def render(locks: Sequence[Lockfile]) -> str:
    """The bill of one environment, on all its platforms.

    A package is one component, with a hash for each file of it; what is locked on some platforms only says on which.

    Args:
        locks: the locks of the environment.
    """
    first = locks[0]
    files: dict[tuple[str, str], list[tuple[str, LockedFile]]] = {}
    for lock in locks:
        for file in lock.files:
            files.setdefault((file.name, file.version), []).append((lock.platform, file))
    root = f"environment:{first.environment}"
    declared = {(file.name, file.version): lock.licences.get(file.name) for lock in locks for file in lock.files}
    components = [
        _component(name, version, found, len(locks), declared[name, version])
        for (name, version), found in sorted(files.items())
    ]
    components += _trees(locks)
    content = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, ' '.join(lock.digest for lock in locks))}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "kgen", "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": first.environment,
                "properties": _properties(first),
            },
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _trees(locks: Sequence[Lockfile]) -> list[dict[str, object]]:
    """What is built from source trees: a commit, or a folder by what its metadata was made from."""
    found: dict[str, dict[str, object]] = {}
    for tree in (tree for lock in locks for tree in lock.trees):
        # a version that only building it tells stands nowhere
        at = "" if tree.version is None else f"@{tree.version.replace('+', '%2B')}"
        purl = f"pkg:pypi/{tree.name}{at}"
        place = {"name": "kgen:place", "value": tree.shown}
        stated = {} if tree.version is None else {"version": tree.version}
        component: dict[str, object] = {"type": "library", "name": tree.name, **stated}
        if tree.url is not None:
            purl += f"?vcs_url={urllib.parse.quote(f'git+{tree.url}@{tree.commit}', safe='')}"
            component["externalReferences"] = [{"type": "vcs", "url": tree.url}]
        found.setdefault(purl, {**component, "bom-ref": purl, "purl": purl, "properties": [place]})
    return [found[purl] for purl in sorted(found)]


def _properties(lock: Lockfile) -> list[dict[str, str]]:
    runtime = {lock.computes_on.kind: lock.runtime}
    values = {"python": lock.python, "accelerator": lock.accelerator, **runtime, "cudnn": lock.cudnn}
    return [{"name": f"kgen:{key}", "value": value} for key, value in values.items() if value is not None]


def _component(
    name: str, version: str, found: Sequence[tuple[str, LockedFile]], platforms: int, licence: str | None
) -> dict[str, object]:
    purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    digests = dict.fromkeys(file.sha256 for _, file in found)
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in digests],
    }
    if licence is not None:
        component["licenses"] = [_licence(licence)]
    if len(found) < platforms:
        component["properties"] = [{"name": "kgen:platform", "value": platform} for platform, _ in found]
    return component


def _licence(licence: str) -> dict[str, object]:
    """A licence as it was declared: by its SPDX identifier, as an expression, or by a name that is neither."""
    declared = {"acknowledgement": "declared"}
    if licences.identifier(licence) is not None:
        return {"license": {"id": licence, **declared}}
    if licences.spdx(licence) == licence:
        return {"expression": licence, **declared}
    return {"license": {"name": licence, **declared}}
