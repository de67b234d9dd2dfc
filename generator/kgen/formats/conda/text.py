"""The files of a conda lock: conda-lock.yml, and what conda-lock calls its sources, from kgen's own records.

The form is that of conda-lock's version 1, byte for byte what conda-lock's own models and writer make of the same
content but for the comment above it; the tests hold it to that. conda-lock itself would bring sixty packages and 1.2
seconds of imports, and a lock would change with its releases, where it is to come out the same on any machine. The
content hash is that of conda-lock since its release 2: of the sources as it reads them, so that it takes the lock for
its own as long as nobody edits them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kgen.fields import lock_data
from kgen.formats.conda import CONDA_LOCK, RECORDS, SOURCE, VIRTUALS, condafiles
from kgen.formats.conda.condafiles import CondaFile, CondaPlatform
from kgen.formats.conda.session import CondaLock
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest

_HEADER = """\
# {environment}, for conda, mamba and micromamba: made by kgen, do not edit.
#
# `kgen sync {environment} --conda` installs it, and so does `conda-lock install -n NAME conda-lock.yml`.
# `kgen lock --conda` makes it again.
"""
_SOURCE_HEADER = """\
# What conda-lock.yml is the lock of: made by kgen, do not edit. The settings are kgen's.
"""
_SELECTORS = {"linux-64": "linux64", "linux-aarch64": "aarch64", "osx-arm64": "arm64", "win-64": "win"}
_TIMESTAMP = 1577854800000
"""That of every virtual package in conda-lock's index of them, which its content hash is of."""


def file_of(
    matrix: CompatibilityMatrix, locks: Sequence[CondaLock], *, mode: str, version: str, old: CondaFile | None = None
) -> CondaFile:
    """What is to be kept of the locks of one environment.

    Args:
        matrix: the facts.
        locks: one for each platform.
        mode: `full` or `base`.
        version: kgen's version.
        old: a lock of the same environment, whose other platforms stay.
    """
    request = locks[0].target.request
    platforms = {lock.target.request.platform: _platform(lock) for lock in locks}
    channels = locks[0].target.channels
    if old is not None and (old.channels, old.mode, old.python) == (channels, mode, request.python):
        platforms = {**old.platforms, **platforms}
    return CondaFile(
        environment=request.environment,
        backends=request.backends,
        accelerator=request.accelerator.name,
        python=request.python,
        mode=mode,
        channels=channels,
        variables=dict(matrix.backends[request.backends[0]].environment),
        kgen=version,
        matrix=matrix.revision,
        platforms=dict(sorted(platforms.items())),
    )


def _platform(lock: CondaLock) -> CondaPlatform:
    request = lock.target.request
    return CondaPlatform(
        specs=merged(lock.target.query().specs),
        virtuals=dict(lock.target.virtuals),
        cuda=lock.cuda,
        cudnn=lock.cudnn,
        request=_request_text(request),
        packages=lock.records,
        wheels=tuple(
            {
                "name": wheel.name,
                "version": str(wheel.version),
                "filename": wheel.filename,
                "url": wheel.url,
                "sha256": wheel.sha256,
                "size": wheel.size,
            }
            for wheel in lock.wheels
        ),
    )


_OF_THE_FILE = frozenset({"environment", "backends", "accelerator", "python", "platform", "isolate-config"})
"""What of a request the records have at their head, for all platforms."""


def _request_text(request: EnvironmentRequest) -> dict[str, str]:
    """What else a platform was asked for, each as one text; in the order in which the records are read back."""
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for key, value in sorted(lock_data(request).items())
        if key not in _OF_THE_FILE
    }


def merged(specs: Sequence[str]) -> tuple[str, ...]:
    """One spec for each package, as readers of environment.yml expect."""
    found: dict[str, tuple[list[str], str]] = {}
    for spec in specs:
        name, _, rest = spec.partition(" ")
        version, _, build = rest.partition(" ")
        versions, known = found.setdefault(name, ([], ""))
        versions += [version] if version and version != "*" and version not in versions else []
        found[name] = (versions, build or known)
    return tuple(
        f"{name} {','.join(sorted(versions)) or ('*' if build else '')} {build}".strip()
        for name, (versions, build) in sorted(found.items())
    )


def files(of: CondaFile) -> dict[str, str]:
    """The text of every file, by its name in the folder of the lock."""
    virtuals = {"subdirs": {name: {"packages": dict(one.virtuals)} for name, one in of.platforms.items()}}
    return {
        RECORDS: condafiles.text(of),
        CONDA_LOCK: _HEADER.format(environment=of.environment) + yaml_text(_conda_lock(of)),
        SOURCE: _SOURCE_HEADER + _source(of),
        VIRTUALS: _SOURCE_HEADER + yaml_text(virtuals),
    }


def yaml_text(data: Mapping[str, Any]) -> str:
    """What `yaml.dump` writes of it, in a third of the time: a lock is thousands of texts, and many are the same."""
    import yaml  # noqa: PLC0415 - slow to import, and what was locked before is not written again
    from yaml import events  # noqa: PLC0415

    # libyaml writes what PyYAML writes
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    resolver: Any = yaml.resolver.Resolver()

    def tag(value: str) -> str:
        """What a reader takes a text for that stands there without quotes."""
        return str(resolver.resolve(yaml.ScalarNode, value, (True, False)))

    @functools.lru_cache(maxsize=None, typed=True)
    def scalar(value: str | bool | int) -> yaml.Event:  # noqa: FBT001 - a value of the lock
        if isinstance(value, str):
            found = tag(value)
            return events.ScalarEvent(
                None, resolver.DEFAULT_SCALAR_TAG, (found == resolver.DEFAULT_SCALAR_TAG, True), value
            )
        text = json.dumps(value)
        return events.ScalarEvent(None, tag(text), (True, False), text)

    def walked(value: Any) -> Iterator[yaml.Event]:  # noqa: ANN401 - whatever a lock has
        if isinstance(value, dict):
            yield events.MappingStartEvent(None, None, implicit=True, flow_style=False)
            for key, inner in value.items():
                yield scalar(key)
                yield from walked(inner)
            yield events.MappingEndEvent()
        elif isinstance(value, list):
            yield events.SequenceStartEvent(None, None, implicit=True, flow_style=False)
            for inner in value:
                yield from walked(inner)
            yield events.SequenceEndEvent()
        else:
            yield scalar(value)

    start = (events.StreamStartEvent(), events.DocumentStartEvent(explicit=False))
    end = (events.DocumentEndEvent(explicit=False), events.StreamEndEvent())
    return str(yaml.emit((*start, *walked(data), *end), Dumper=dumper))


# -- conda-lock.yml ----------------------------------------------------------------------------------------------------


def _conda_lock(of: CondaFile) -> dict[str, Any]:
    rows = [row for platform, one in of.platforms.items() for row in _rows(platform, one)]
    return {
        "version": 1,
        "metadata": {
            "content_hash": {platform: content_hash(of, platform) for platform in of.platforms},
            "channels": [{"url": channel, "used_env_vars": []} for channel in of.channels],
            "platforms": list(of.platforms),
            "sources": [SOURCE],
            "custom_metadata": dict(_custom(of)),
        },
        "package": sorted(rows, key=lambda row: (row["manager"], row["name"], row["platform"])),
    }


def _rows(platform: str, one: CondaPlatform) -> Iterator[dict[str, Any]]:
    for record in one.packages:
        yield {
            "name": record["name"],
            "version": record["version"],
            "manager": "conda",
            "platform": platform,
            "dependencies": _dependencies(record.get("depends", ())),
            "url": record["url"],
            "hash": {"md5": record["md5"], "sha256": record["sha256"]},
            "build": record["build"],
            "category": "main",
            "optional": False,
        }
    for wheel in one.wheels:
        yield {
            "name": wheel["name"],
            "version": wheel["version"],
            "manager": "pip",
            "platform": platform,
            "dependencies": {},
            "url": wheel["url"],
            "hash": {"sha256": wheel["sha256"]},
            "category": "main",
            "optional": False,
        }


def _dependencies(depends: Sequence[str]) -> dict[str, str]:
    """Name -> spec; of several about one package all versions, as there can be one entry only."""
    rows = (spec.partition(" ") for spec in merged(depends))
    return {name: rest for name, _, rest in rows}


def _custom(of: CondaFile) -> Iterator[tuple[str, str]]:
    # conda's own reader of the form, conda-lockfiles, wants to know
    yield "created_by", f"kgen {of.kgen}"
    yield "kgen", of.kgen
    yield "kgen-environment", of.environment
    yield "kgen-backends", ", ".join(of.backends)
    yield "kgen-accelerator", of.accelerator
    yield "kgen-python", of.python
    yield "kgen-conda", of.mode
    yield "kgen-matrix", of.matrix
    for platform, one in of.platforms.items():
        virtuals = ", ".join(f"{name} {text}" for name, text in one.virtuals.items())
        yield f"kgen-target-{platform}", virtuals
        asked = "; ".join(f"{name} {value}" for name, value in one.request.items())
        if asked:
            yield f"kgen-request-{platform}", asked


# -- its sources -------------------------------------------------------------------------------------------------------


def _source(of: CondaFile) -> str:
    """environment.yml; a spec that is not for every platform has conda-lock's selector for it."""
    lines = [f"name: {of.environment}", "channels:", *(f"  - {json.dumps(one)}" for one in of.channels)]
    lines += ["platforms:", *(f"  - {platform}" for platform in of.platforms), "dependencies:"]
    specs = sorted({spec for one in of.platforms.values() for spec in one.specs})
    for spec in specs:
        having = [platform for platform, one in of.platforms.items() if spec in one.specs]
        if len(having) == len(of.platforms):
            lines.append(f"  - {json.dumps(spec)}")
        else:
            lines += [f"  - {json.dumps(spec)}  # [{_SELECTORS.get(platform, platform)}]" for platform in having]
    return "\n".join(lines) + "\n"


def content_hash(of: CondaFile, platform: str) -> str:
    """What conda-lock takes for the hash of the sources of one platform."""
    one = of.platforms[platform]
    content = {
        "channels": [
            json.dumps({"url": channel, "used_env_vars": []}, separators=(",", ":")) for channel in of.channels
        ],
        "specs": [_spec(text) for text in sorted(one.specs, key=lambda text: text.partition(" ")[0])],
        "virtual_package_hash": {
            "noarch": {"info": {"subdir": "noarch"}, "packages": {}},
            platform: {
                "info": {"subdir": platform},
                "packages": dict(_virtual(name, text, platform) for name, text in one.virtuals.items()),
            },
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _spec(text: str) -> Mapping[str, Any]:
    name, _, rest = text.partition(" ")
    version, _, build = rest.partition(" ")
    return {
        "name": name,
        "manager": "conda",
        "category": "main",
        "extras": [],
        "version": version.removeprefix("==") if "," not in version else version,
        "build": build or None,
        "conda_channel": None,
        "hash": None,
    }


def _virtual(name: str, text: str, platform: str) -> tuple[str, Mapping[str, Any]]:
    version, _, build = text.partition(" ")
    # conda-lock counts a build number into the build where there is one, for the sake of its older releases
    numbered = f"{build}_0" if build else "0"
    return f"{name}-{version}-{numbered}.tar.bz2", {
        "name": name,
        "version": version,
        "build_string": build,
        "build_number": 0,
        "noarch": "",
        "depends": [],
        "timestamp": _TIMESTAMP,
        "package_type": "virtual_system",
        "build": numbered,
        "subdir": platform,
    }
