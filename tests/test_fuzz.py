"""Every reader meets 20,000 damaged documents in all: each gives a value or an error for people, and never a traceback.

A document is a valid one of which one to four things were made worse, as the number of the example says: keys are
deleted, values changed to other kinds and to what hurts, bytes cut or put in. An example that fails is run again by its
number, which the failure shows.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli
import typer

from kgen import fields, freshness, host, lockfiles, project
from kgen import settings as settings_of_kgen
from kgen.actions import plan
from kgen.cli import main
from kgen.cli.request import flags_from
from kgen.emitters import cyclonedx, recipes, requirements
from kgen.errors import KgenError
from kgen.formats import environment, verify
from kgen.formats.conda import condafiles, condarc, installer
from kgen.formats.conda import verify as conda_verify
from kgen.formats.wheels import pylock
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import Selection, differences
from kgen.model import format as formats
from kgen.model.lockfile import Lockfile
from kgen.validation import receipts

LOCKS = Path(__file__).parents[1] / "locks"
INPUTS = 20_000

RAW = {
    "@endless@": "9" * 5_000,
    "@deep@": "[" * 3_000 + "]" * 3_000,
    "@day@": "2026-99-99",
    "@hexadecimal@": "0x" + "f" * 5_000,
    "@open@": "[" * 3_000,
    "@maps@": "{a = " * 500 + "1" + "}" * 500,
    "@json maps@": '{"a":' * 3_000 + "1" + "}" * 3_000,
}
"""What stands in the text in the place of a value, as no library would write it."""

HOSTILE: tuple[Any, ...] = (
    *RAW, "", " ", "\x1b[2J", "a\nb", "a\rb", "\0", "\x7f", "\x9b31m", "\u202eabc", "\ud7ff", "é", "x" * 10_000,
    "../../x", "/dev/zero", "/", "$(id)", "`id`", "'; id #", '"', "\\", "zz", "1.0", "9" * 400, "1." * 2_000 + "0",
    "cpu", "cuda", "cuda999999999", "linux-64", "-", "a-", ">=1", "==", "x; python_version",
    "x @ https://h/x", "x[" * 99,
    "https://h/\n", "file:///etc", "{prefix}/x", "~nobody/x", "~", "{backend}", "true", "nan",
    0, -1, 1, 2**63, 2**70, 0.5, float("inf"), float("nan"), True,
    False,
    [], [[]], [{}], {}, {"": ""}, {"a\nb": 1}, ["a", "a"], ["\0"], dt.date(2026, 1, 1), dt.datetime(2026,
    1, 1, tzinfo=dt.timezone.utc),
)  # fmt: skip


class Reader(NamedTuple):
    """A reader, what it is given, and how many of the inputs are its.

    Attributes:
        documents: valid ones.
        write: the text of one.
        read: reads it, and does with the value what commands do with it.
        share: how many of a thousand inputs.
    """

    documents: tuple[Any, ...]
    write: Callable[[Any], str]
    read: Callable[[bytes], object]
    share: int


# -- damage ------------------------------------------------------------------------------------------------------------


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key there."""
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)):
            yield one, key
            if isinstance(one[key], (dict, list)):
                waiting.append(one[key])


def damaged(document: object, chance: random.Random) -> object:
    made: Any = copy.deepcopy(document)
    for _ in range(chance.randint(1, 4)):
        holder, key = chance.choice(list(places(made)) or [({}, None)])
        if key is None:
            break
        way = chance.random()
        if way < 0.2:
            del holder[key]
        elif way < 0.3 and isinstance(holder, dict):
            holder[str(chance.choice(HOSTILE))] = holder.pop(key)
        elif way < 0.35 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif way < 0.45 and isinstance(holder[key], str):
            text = holder[key]
            cut = chance.randint(0, len(text))
            holder[key] = text[:cut] + str(chance.choice(HOSTILE)) + text[cut:]
        else:
            holder[key] = copy.deepcopy(chance.choice(HOSTILE))
    return made


def damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    """Some texts are damaged below their form too."""
    way = chance.random()
    if way > 0.15:
        return content
    cut = chance.randint(0, len(content))
    if way < 0.03:
        return content[:cut]
    worse = chance.choice(
        [b"\0", b"\xff\xfe", b"\xc3", b"\x1b[2J", b"\r", b"\xef\xbb\xbf", b'"', b"[[", b"\n=\n", b"9" * 5000]
    )
    return content[:cut] + worse + content[cut:]


def raw(text: str) -> str:
    for name, value in RAW.items():
        text = text.replace(f'"{name}"', value)
    return text


def toml(document: Mapping[str, Any]) -> str:
    return raw("".join(f"{json.dumps(str(key))} = {toml_value(value)}\n" for key, value in document.items()))


def toml_value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {toml_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, (bool, float)):
        return str(value).lower()
    if isinstance(value, int):
        return hex(value) if value >= 0 else str(value)
    return value.isoformat() if isinstance(value, dt.date) else json.dumps(value).replace("\x7f", "\\u007f")


def as_json(document: object) -> str:
    return raw(json.dumps(document, default=str))


# -- readers -----------------------------------------------------------------------------------------------------------


def use_lock(lock: Lockfile, data: Mapping[str, Any], content: bytes, matrix: CompatibilityMatrix) -> None:
    """What `check`, `diff`, `export` and `report` do with a lock."""
    made_for = fields.request_of(data["tool"]["kgen"])
    freshness.stale(lock, made_for, made_for, matrix)
    freshness.hand_edited(lock, data["tool"]["kgen"])
    pylock.is_own(content, data)
    assert lock.content
    texts = [
        requirements.render({"sys_platform == 'linux'": lock}),
        recipes.render_dockerfile(lock, requirements="", programs=()),
        recipes.render_slurm(lock),
        recipes.render_devcontainer(lock),
        cyclonedx.render([lock]),
    ]
    assert all(text.replace("\n", "").isprintable() for text in texts)


def lock_reader(matrix: CompatibilityMatrix) -> Reader:
    documents = tuple(tomli.loads(path.read_text()) for path in sorted(LOCKS.glob("*/pylock.*.toml")))
    for document in documents:  # the first packages stand for all, so that the decisions are damaged as often
        document["packages"] = document["packages"][:3]
        document["tool"]["kgen"]["licences"] = dict(list(document["tool"]["kgen"]["licences"].items())[:3])

    def read(content: bytes) -> object:
        names = [one["tool"]["kgen"]["environment"] for one in documents]
        name = next((name for name in names if name.encode() in content), "jax-cuda12")
        path = Path(f"/x/locks/{name}/pylock.linux-64.toml")
        lock, data = lockfiles.parse(path, content)
        use_lock(lock, data, content, matrix)
        return lock

    return Reader(documents, toml, read, 300)


def conda_reader(matrix: CompatibilityMatrix) -> Reader:
    package = {
        "name": "python", "version": "3.12.1", "build": "h1_0", "build_number": 0, "subdir": "linux-64",
        "depends": ["x"],
        "fn": "python-3.12.1-h1_0.conda", "url": "https://c.example/main/linux-64/python-3.12.1-h1_0.conda",
        "channel": "https://c.example/main", "md5": "0" * 32, "sha256": "0" * 64, "size": 12, "license": "PSF-2.0",
    }  # fmt: skip
    wheel = {
        "name": "keras", "version": "3.15.1", "filename": "keras-3.15.1-py3-none-any.whl",
        "sha256": "1" * 64, "size": 1,
        "url": "https://i.example/keras-3.15.1-py3-none-any.whl",
    }  # fmt: skip
    platform = {
        "specs": ["python 3.12.*"], "virtuals": {"__glibc": "2.28"}, "cuda": "12.9", "cudnn": "9.10.2.21",
        "request": {"glibc": "2.28"}, "packages": [package], "wheels": [wheel],
    }  # fmt: skip
    document = {
        "schema": 1, "environment": "jax-cuda12", "backends": ["jax"], "accelerator": "cuda12", "python": "3.12",
        "mode": "full", "channels": ["conda-forge"], "variables": {"KERAS_BACKEND": "jax"}, "kgen": "0.1.0",
        "matrix": "0123456789abcdef", "places": {"KERAS_HOME": "{prefix}/share/kgen/keras"},
        "configuration": {"keras.json": "{}"}, "shared": ["models"], "platforms": {"linux-64": platform},
    }  # fmt: skip

    def read(content: bytes) -> object:
        path = Path("/x/locks/jax-cuda12/conda-records.json")
        file = condafiles.parse(path, content)
        for name, one in file.platforms.items():
            assert condafiles.lockfile(file, path, name).content
            condafiles.declared_licences(one.packages)
        found = Selection(file.variables, file.places, file.configuration, file.shared)
        list(differences(matrix, file.backends, file.accelerator, found))
        return condafiles.text(file)

    return Reader((document,), as_json, read, 150)


def receipt_reader() -> Reader:
    documents = tuple(json.loads(path.read_text()) for path in sorted(LOCKS.glob("*/receipts/*.json")))

    def read(content: bytes) -> object:
        name = "openvino-cpu" if b"openvino-cpu" in content else "numpy-cpu"
        data = receipts.parse(Path(f"/x/locks/{name}/receipts/cpu.json"), content)
        return receipts._is_of(data, LOCKS / "numpy-cpu")

    return Reader(documents, as_json, read, 100)


def settings_reader(folder: Path, matrix: CompatibilityMatrix) -> Reader:
    own = {
        "backends": ["jax", "torch"], "cuda": "12", "python": "3.12", "platforms": ["linux-64"], "keras": ">=3.10",
        "dependencies": ["scikit-learn>=1.5", "six; python_version < '3.13'"], "portable": True, "driver": "535.183",
        "installers": ["uv", "conda"], "channels": ["conda-forge"], "conda": "base", "glibc": "2.28", "gpu": ["8.0"],
        "require": ["jax<1"], "exclude-newer": "2026-11-20", "torch-index": True, "envs": ".kgen/envs", "nix": True,
        "flake": "flake:kgen", "with-hub": ["cv"], "isolate-config": True, "backend": {"jax": {"dependencies": ["x"]}},
        "environment": {"all": {"backends": ["jax", "torch"], "dependencies": ["y"]}},
    }  # fmt: skip

    def read(content: bytes) -> object:
        put(folder / "pyproject.toml", content)
        found = settings_of_kgen.read(folder, matrix)
        project.torch_index(folder)
        project.envs(folder)
        return plan.known_environments(found, matrix)

    return Reader(({"project": {"name": "x"}, "tool": {"kgen": own}},), toml, read, 150)


def put(path: Path, content: bytes) -> None:
    """A new file in the place of another: some filesystems write one to the disk that is cut down to nothing."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def flags_reader(folder: Path, matrix: CompatibilityMatrix, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(main, "kgen", functools.cache(main.kgen))  # a process makes its commands once
    words = {
        "--cuda": "12", "--python": "3.12", "--platform": "linux-64", "--keras": ">=3", "--dependency": "six",
        "--require": "jax<1", "--driver": "535.183", "--gpu": "8.0", "--glibc": "2.28", "--exclude-newer": "2026-11-20",
        "": "jax",
    }  # fmt: skip

    def read(content: bytes) -> object:
        text = content.decode("utf-8", "surrogateescape").replace("\0", "")
        try:
            parts = [str(one) for pair in json.loads(text).items() for one in pair if one != ""]
        except (ValueError, AttributeError, RecursionError):
            parts = text.split()
        try:
            parsed = main.parse(["solve", *parts])
        except typer.Exit:  # it asks for help
            return None
        return plan.make(flags_from(parsed.command, parsed.parameters), matrix, folder)

    return Reader((words,), lambda one: json.dumps(one, default=str), read, 78)


def python_version_reader(folder: Path) -> Reader:
    def read(content: bytes) -> object:
        put(folder / ".python-version", content)
        return host.python_version_file(folder)

    documents = (["# ours", "3.12"], ["cpython-3.12.1-linux-x86_64-gnu"], ["cpython@3.12"])
    return Reader(documents, lambda one: "\n".join(map(str, one)) if isinstance(one, list) else str(one), read, 40)


def condarc_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    path = folder / "condarc"
    monkeypatch.setenv("CONDARC", str(path))
    monkeypatch.setenv("HOME", str(folder))
    document = {
        "channel_alias": "https://c.example", "custom_channels": {"own": "https://c.example"}, "ssl_verify": True,
        "mirrored_channels": {"conda-forge": ["https://c.example/cf"]}, "proxy_servers": {"https": "http://p.example:1"},
        "remote_read_timeout_secs": 9, "register_envs": False, "client_ssl_cert": "x",
    }  # fmt: skip

    def read(content: bytes) -> object:
        put(path, content)
        return condarc.read().toml("https://conda.example/")

    return Reader((document,), as_json, read, 50)


def overlay_reader(folder: Path, shipped: Mapping[str, str]) -> Reader:
    library = "libraries/nvidia-cudnn-cu12.toml"
    files = {name: tomli.loads(shipped[name]) for name in ("openvino.toml", library)}
    files["openvino.toml"]["release"] = files["openvino.toml"]["release"][-2:]
    mark = {"checked": dt.date(2026, 11, 21), "file": {name: {"base": "0", "own": "0"} for name in files}}
    own = folder / "matrix"
    (own / "libraries").mkdir(parents=True)

    def write(document: object) -> str:
        given: dict[str, Any] = document if isinstance(document, dict) else {}
        return "\0\0".join(toml(given[key]) if isinstance(given.get(key), dict) else "" for key in ("mark", *files))

    def read(content: bytes) -> object:
        parts = [*content.split(b"\0\0"), b"", b""]
        for name, part in zip((origin.MARK, *files), parts, strict=False):
            (own / name).write_bytes(part)
        texts, _ = origin.texts_in_use(folder)
        matrix = CompatibilityMatrix(texts)
        return matrix.framework("openvino"), matrix.library("nvidia-cudnn-cu12"), matrix.yanked("nvidia-cudnn-cu12")

    return Reader(({"mark": mark, **files},), write, read, 2)


def rows_reader(shipped: Mapping[str, str]) -> Reader:
    """Files of a refreshed matrix one by one, as laying them over kgen's own reads them."""
    names = ("openvino.toml", "libraries/nvidia-cudnn-cu12.toml", "toolkits.toml")
    documents = [{"name": name, **tomli.loads(shipped[name])} for name in names]
    documents[0]["release"] = documents[0]["release"][-2:]
    documents[2]["toolkit"] = documents[2]["toolkit"][-2:]

    def read(content: bytes) -> object:
        text = content.decode("utf-8", "replace")
        name = next((name for name in names if name in text), names[0])
        return origin.merged(name, shipped[name], text.partition("\n")[2])

    return Reader(tuple(documents), toml, read, 30)


def record_reader(folder: Path) -> Reader:
    prefix = folder / "environment"
    site = prefix / "lib/python3.12/site-packages"
    place = site / "x-1.dist-info"
    place.mkdir(parents=True)
    (prefix / "share/kgen").mkdir(parents=True)
    rows = [
        ["x/__init__.py", "sha256=abc", "12"],
        ["x-1.dist-info/RECORD", "", ""],
        ["../../../bin/x", "sha256=d", "1"],
    ]

    def write(document: list[object]) -> str:
        return "\n".join(",".join(map(str, row)) if isinstance(row, list) else str(row) for row in document)

    def read(content: bytes) -> object:
        put(place / "RECORD", content)
        put(prefix / environment.RECORD, content)
        return (
            verify.changed_files(prefix),
            environment.read_record(prefix),
            environment.installed(site, formats.default()),
        )

    return Reader((rows,), write, read, 50)


def linked_reader(folder: Path) -> Reader:
    """The metadata of conda's packages, and kgen's own record."""
    prefix = folder / "linked"
    (prefix / "share/kgen").mkdir(parents=True)
    (prefix / "conda-meta").mkdir()
    document = {
        "schema": 1, "lock": "x", "python": "3.12.1", "installed": {"x-1.dist-info": ["0", 1, 2]},
        "own": {"bin/x": "0"},
        "paths_data": {"paths": [{"_path": "bin/x", "path_type": "hardlink", "sha256": "0" * 64}]},
        "env_vars": {"X": "1"},
    }  # fmt: skip

    def read(content: bytes) -> object:
        for path in (environment.RECORD, installer._STATE, "conda-meta/x-1-0.json"):
            put(prefix / path, content)
        listed = list(conda_verify._linked(prefix / "conda-meta/x-1-0.json"))
        return environment.read_record(prefix), installer.lost(prefix), listed

    return Reader((document,), as_json, read, 50)


@pytest.mark.long
def test_every_input_gives_a_value_or_an_error(
    tmp_path: Path, matrix: CompatibilityMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {
        name: tmp_path / name for name in ("settings", "flags", "python", "conda", "overlay", "record", "linked")
    }
    for folder in folders.values():
        folder.mkdir()
        (folder / ".git").mkdir()
    readers = [
        lock_reader(matrix),
        conda_reader(matrix),
        receipt_reader(),
        settings_reader(folders["settings"], matrix),
        flags_reader(folders["flags"], matrix, monkeypatch),
        python_version_reader(folders["python"]),
        condarc_reader(folders["conda"], monkeypatch),
        overlay_reader(folders["overlay"], matrix._files),
        rows_reader(matrix._files),
        record_reader(folders["record"]),
        linked_reader(folders["linked"]),
    ]
    weights = [reader.share for reader in readers]
    assert sum(weights) == 1000
    counted = {"values": 0, "errors": 0}
    for reader in readers:  # what is not damaged is read
        for document in reader.documents:
            reader.read(reader.write(document).encode())

    for number in range(INPUTS):
        chance = random.Random(number)  # noqa: S311 - no secret
        reader = chance.choices(readers, weights)[0]
        text = reader.write(damaged(chance.choice(reader.documents), chance))
        content = damaged_bytes(text.encode("utf-8", "surrogatepass"), chance)
        try:
            reader.read(content)
            counted["values"] += 1
        except KgenError:
            counted["errors"] += 1
        except Exception as error:
            raise AssertionError(f"input {number} of {INPUTS}: {content[:2_000]!r}") from error
    assert sum(counted.values()) >= INPUTS
    # neither has it all been refused, nor all let through
    assert min(counted.values()) > INPUTS // 20
