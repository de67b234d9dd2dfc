"""The schemas of Kubernetes to which the tests hold kgen's manifests, and the answers of their own API.

`python -m tests.record_kubernetes FOLDER` writes `tests/data/kubernetes` again; FOLDER is `kubernetes-json-schema` of
PyPI's kubernetes-validate, which has the OpenAPI of each release. What is kept is strict, without prose, and only what
the kinds that a fleet meets are made of.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "kubernetes"
RELEASES = ("1.33", "1.37")
KINDS: Mapping[str, str] = {
    "Job": "job-batch-v1",
    "NodeList": "nodelist-v1",
    "PodList": "podlist-v1",
    "Status": "status-meta-v1",
}
"""What is posted or answered -> its file there."""

_REFERENCE = re.compile(r".*#/\$defs/(.+)")


def bare(schema: object) -> Any:  # noqa: ANN401 - JSON
    """A schema without prose, whose references lead to its own `$defs`."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if (
            key in {"$id", "$schema"}
            or key.startswith("x-kubernetes-")
            or (key == "description" and type(value) is str)
        ):
            continue
        if key == "$ref" and (match := _REFERENCE.fullmatch(value)):
            found[key] = f"#/$defs/{match[1]}"
        else:
            found[key] = bare(value)
    return found


def referred(schema: object) -> Iterator[str]:
    """The names of the definitions that a schema refers to itself."""
    if isinstance(schema, list):
        for one in schema:
            yield from referred(one)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.removeprefix("#/$defs/")
            else:
                yield from referred(value)


def recorded(folder: Path) -> dict[str, Any]:
    """The kinds, and every definition that they need.

    Args:
        folder: the schemas of a release.
    """
    every = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    kinds = {name: bare(json.loads((folder / f"{file}.json").read_text("utf-8"))) for name, file in KINDS.items()}
    found: dict[str, Any] = {}
    waiting = set(referred(list(kinds.values())))
    while waiting:
        name = waiting.pop()
        found[name] = bare(every[name])
        waiting |= set(referred(found[name])) - found.keys()
    return {"$defs": found, "kinds": kinds}


def main(folder: Path) -> None:
    """Write the schemas of every release."""
    for release in RELEASES:
        text = json.dumps(recorded(folder / f"v{release}.0-local-strict"), sort_keys=True, separators=(",", ":"))
        (DATA / f"api-{release}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
