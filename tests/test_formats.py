"""A form of locks is a package: one that nobody has heard of, added to a copy of kgen."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result

from kgen import resources
from kgen.formats import conda, interface, wheels
from kgen.formats.conda import checker as conda_checker
from kgen.formats.conda import exporter as conda_exporter
from kgen.formats.conda import installer as conda_installer
from kgen.formats.conda import locker as conda_locker
from kgen.formats.conda import merger as conda_merger
from kgen.formats.conda import reader as conda_reader
from kgen.formats.interface import Checker, Exporter, Installer, Locker, Merger, Reader
from kgen.formats.wheels import installer as wheels_installer
from kgen.formats.wheels import locker as wheels_locker
from kgen.formats.wheels import merger as wheels_merger
from kgen.formats.wheels import reader as wheels_reader
from kgen.model import format as formats

LOCKERS: tuple[Locker, ...] = (wheels_locker, conda_locker)
READERS: tuple[Reader, ...] = (wheels_reader, conda_reader)
INSTALLERS: tuple[Installer, ...] = (wheels_installer, conda_installer)
MERGERS: tuple[Merger, ...] = (wheels_merger, conda_merger)
CHECKERS: tuple[Checker, ...] = (conda_checker,)
EXPORTERS: tuple[Exporter, ...] = (conda_exporter,)
"""Held to their protocols by mypy."""

PACKAGE = {
    "__init__": """
from kgen.model.format import Format

FORMAT = Format(
    name="elm", package=__name__, lock=r"elm\\.json", files=("elm.json",), title="elm", purpose="write elm.json",
    prefix_variable="ELM_PREFIX",
)
""",
    "locker": """
import contextlib
import json
import typing

from kgen.errors import UsageError
from kgen.formats.elm import FORMAT
from kgen.formats.outcome import Outcome, Part, Summary, by_environment
from kgen.matrix.selection import selection


class Lock(typing.NamedTuple):
    files: dict
    size: int = 7

    @property
    def summary(self):
        return Summary(frameworks=dict(list(self.files.items())[:1]), runtime=None, cudnn=None, versions=self.files)


def require(settings):
    if settings.portable:
        raise UsageError("elm has no portable locks", hints=["leave out `--portable`"])


def takes_wheels(settings):
    return False


def held(job, request):
    return ["leaf"]


@contextlib.contextmanager
def begin(job):
    def finish(default):
        outcomes = [
            Outcome(request=one.request, form=FORMAT, lock=Lock({"leaf": "1", "twig": "2"}), notes=["elm grows"])
            for one in default
        ]
        return Part(outcomes, {name: {"elm.json": text(job, members)} for name, members in by_environment(outcomes)})

    yield finish


def text(job, members):
    request = members[0].request
    return json.dumps({
        "environment": request.environment, "backends": request.backends, "python": request.python,
        "variables": dict(selection(job.matrix, request.backends, request.accelerator.name, isolated=False).variables),
        "platforms": {one.request.platform: one.lock.files for one in members},
    }).encode()
""",
    "reader": """
import json

from kgen.errors import SettingsError
from kgen.formats.elm import FORMAT
from kgen.lockfiles import digest
from kgen.model.lockfile import LockedFile, Lockfile


def parse(path, content):
    try:
        data = json.loads(content)
    except ValueError:
        raise SettingsError(f"{path} is not a lock of elm", hints=["kgen lock --elm"]) from None
    return [
        Lockfile(
            path=path, form=FORMAT, digest=digest(content), environment=data["environment"] + FORMAT.suffix,
            backends=tuple(data["backends"]), accelerator="cpu", python=data["python"], platform=platform,
            runtime=None, cudnn=None, driver=None, packages={}, libraries={}, variables=data["variables"],
            files=tuple(LockedFile(name, version, name + ".elm", None, "0" * 64, 1) for name, version in files.items()),
        )
        for platform, files in data["platforms"].items()
    ]


def as_matrix(lock, matrix):
    return lock
""",
    "installer": """
import sys

from kgen import host, storage
from kgen.formats import interface
from kgen.formats.environment import RECORD, SOURCE, Record, is_kgens, put_beside, record_text
from kgen.formats.verify import Difference


def prepare(of, beside, *, thorough):
    lock = interface.read(of.form, of.lock, host.subdir())
    own = beside(lock)

    def make(report):
        with storage.staged_folder(of.prefix, owned=is_kgens) as staged:
            report("growing")
            site = staged / f"lib/python{lock.python}/site-packages"
            site.mkdir(parents=True)
            for file in lock.files:
                (site / file.filename).write_text(file.version)
            (staged / "bin").mkdir()
            (staged / "bin/python").symlink_to(sys.executable)
            record = Record(of.digest, lock.python, {}, put_beside(staged, own.files()))
            (staged / SOURCE).write_bytes(of.state)
            (staged / RECORD).write_text(record_text(record))

    return interface.Installation(make, ["elm is planted"])


def differences(of):
    lock = interface.read(of.form, of.lock, host.subdir())
    site = of.prefix / f"lib/python{lock.python}/site-packages"
    return tuple(
        Difference("changed", f"lib/{file.filename}", file.name)
        for file in lock.files
        if (site / file.filename).read_text() != file.version
    )


def lost(prefix):
    return ["its leaves are gone"] if (prefix / "leaves").exists() else []
""",
    "checker": """
from kgen import files
from kgen.errors import KgenError
from kgen.formats.elm import reader
from kgen.formats.interface import Flaw


def flaws(folder, locks, matrix, asked):
    path = folder / "elm.json"
    try:
        reader.parse(path, files.read(path))
    except KgenError as error:
        yield Flaw("fault", path, "is not a lock of elm")
""",
    "exporter": """
from kgen import files
from kgen.formats.elm import reader

EXPORTS = {
    "leaves": lambda path, platform: "".join(
        f"{file.name} {file.version}\\n" for file in reader.parse(path, files.read(path))[0].files
    )
}
""",
}

NAME = "numpy-cpu-elm"


@pytest.fixture(name="other")
def _other(kgen: Kgen, tmp_path: Path) -> Kgen:
    """A copy of kgen with one more form in it, and no file of the others touched."""
    top = tmp_path / "other"
    shutil.copytree(
        Path(interface.__file__).parents[1],
        top / "generator/kgen",
        ignore=shutil.ignore_patterns("__pycache__", "_data"),
    )
    for data in resources.FOLDERS:
        shutil.copytree(resources.folder(data), top / data)
    folder = top / "generator/kgen/formats/elm"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / f"{name}.py").write_text(text)
    return dataclasses.replace(kgen, environment={**kgen.environment, "PYTHONPATH": str(top / "generator")})


@pytest.fixture(name="locked")
def _locked(other: Kgen) -> Kgen:
    done = other(*LOCK, "numpy", "--elm")
    assert done.status == 0, done.stderr
    return other


def test_the_forms_of_kgen() -> None:
    assert formats.known() == (wheels.FORMAT, conda.FORMAT)
    assert [form.flag for form in formats.known()] == ["", "--conda"]
    assert formats.of_file("pylock.linux-64.toml") == wheels.FORMAT
    assert wheels.FORMAT.platform_of("pylock.linux-64.toml") == "linux-64"
    assert conda.FORMAT.platform_of("conda-records.json") == ""
    assert conda.FORMAT.platform_of("conda-lock.yml") is None
    assert formats.of_file("conda-lock.yml") is None
    assert formats.made_by("conda-lock.yml") == conda.FORMAT
    assert formats.without_suffix("jax-cuda12-conda") == formats.without_suffix("jax-cuda12") == "jax-cuda12"


def test_it_locks_and_shows(other: Kgen) -> None:
    done = other(*LOCK, "numpy", "--elm")
    assert done.status == 0, done.stderr
    rows = [line.split()[:4] for line in done.stdout.splitlines()]
    assert rows[1][0] == "numpy-cpu"
    assert rows[2] == ["numpy-cpu", "(elm)", "leaf", "1"]
    assert "note: elm grows\n" in done.stderr
    assert {path.name for path in (other.folder / "locks/numpy-cpu").iterdir() if path.is_file()} == {
        "elm.json",
        "pylock.linux-64.toml",
    }
    assert "unchanged" in other(*LOCK, "numpy", "--elm").stdout
    assert other(*LOCK, "numpy", "--elm", "--upgrade-package", "leaf").status == 0, "by a name that its lock holds"


def test_its_data_has_the_shape_of_all(other: Kgen) -> None:
    data = json.loads(other(*LOCK, "numpy", "--elm", "--json").stdout)
    own, elm = data["environments"]
    assert data["schema"] == 2
    assert list(own) == list(elm)
    assert (own["format"], elm["format"]) == ("uv", "elm")
    assert (elm["frameworks"], elm["locked"], elm["size"]) == ({"leaf": "1"}, {"leaf": "1", "twig": "2"}, 7)
    assert (elm["environment"], elm["platform"], elm["changed"]) == ("numpy-cpu", "linux-64", True)


def test_the_settings_ask_for_it(other: Kgen) -> None:
    (other.folder / "kgen.toml").write_text(
        f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\ninstallers = ["uv", "elm"]\n'
    )
    assert "numpy-cpu (elm)" in other("lock").stdout
    assert other("check").status == 0
    (other.folder / "kgen.toml").write_text('installers = ["oak"]\n')
    assert "unknown installer `oak`; known are uv, conda, elm" in other("lock").stderr


def test_what_it_cannot_do_is_said_before_anything_else(other: Kgen) -> None:
    assert other(*LOCK, "numpy", "--elm", "--portable") == Result(
        2, "", "error: elm has no portable locks\n\nhint: leave out `--portable`\n"
    )
    assert not (other.folder / "locks").exists()


def test_it_is_checked(locked: Kgen) -> None:
    assert locked("check").status == 0
    (locked.folder / "locks/numpy-cpu/elm.json").write_text("{")
    done = locked("check", "--json")
    assert done.status == 1
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["reason"], found["what"], found["fix"]) == ("elm", "is not a lock of elm", "kgen lock --elm")


def test_it_is_synced_and_entered(locked: Kgen) -> None:
    done = locked("sync", "numpy", "--elm", "--json")
    assert done.status == 0, done.stderr
    (answer,) = json.loads(done.stdout)["environments"]
    assert (answer["environment"], answer["format"], answer["changed"]) == ("numpy-cpu", "elm", True)
    assert answer["prefix"] == f"[TEMP]/project/.kgen/envs/{NAME}"
    assert done.stderr == "note: elm is planted\n"
    assert "is as locked, nothing to do" in locked("sync", NAME).stderr
    script = "echo $ELM_PREFIX $KERAS_BACKEND"
    assert locked("run", NAME, "--", "sh", "-c", script).stdout == f"[TEMP]/project/.kgen/envs/{NAME} numpy\n"
    assert f"enters the environment {NAME}" in locked("activate", "numpy", "--elm", "--shell", "sh").stdout
    assert locked("check", "--installed", NAME).stdout == f"{NAME}: every file is as locked\n"
    prefix = locked.folder / ".kgen/envs" / NAME
    (prefix / f"lib/python{PYTHON}/site-packages/leaf.elm").write_text("9")
    assert f"{NAME}: 1 changed\n" in locked("check", "--installed").stdout
    (prefix / "leaves").mkdir()
    assert f"note: {NAME}: its leaves are gone\n" in locked("sync", NAME, "--reinstall").stderr


def test_other_commands_know_it(locked: Kgen) -> None:
    assert locked("export", "leaves", "numpy").stdout == "leaf 1\ntwig 2\n"
    assert f"{NAME}: " in locked("doctor", "--elm").stdout
    before = locked.folder / "before"
    shutil.copytree(locked.folder / "locks", before)
    path = locked.folder / "locks/numpy-cpu/elm.json"
    path.write_text(path.read_text().replace('"twig": "2"', '"twig": "3"'))
    assert locked("diff", "before").stdout == f"{NAME} (linux-64): changed\n  twig 2 -> 3 (up)\n"
    help_text = locked("help", "lock").stdout
    assert "--elm" in help_text
    assert "write elm.json" in help_text
    assert "elm environments only" in locked("help", "validate").stdout


def test_two_forms_at_once(locked: Kgen) -> None:
    assert locked("run", "--conda", "--elm", "numpy", "--", "true").stderr == (
        "error: `--conda` and `--elm` contradict each other\n\nhint: give one of them\n"
    )


def test_a_form_that_is_not_locked(kgen: Kgen, other: Kgen) -> None:
    assert kgen(*LOCK, "numpy").status == 0
    assert other("sync", NAME) == Result(
        2,
        "",
        (
            "error: numpy-cpu is not locked for elm\n\n"
            f"hint: kgen lock numpy --python {PYTHON} --exclude-newer {CUTOFF} --elm\n"
        ),
    )
    assert other("sync", "--all", "--elm").stderr.endswith(
        "is locked for elm\n\n"
        f"hint: kgen lock numpy --cpu --python {PYTHON} --platform linux-64 --exclude-newer {CUTOFF} --elm\n"
    )


def test_who_locks_wheels_does_not_pay_for_the_others(kgen: Kgen, project: Path) -> None:
    """A made-up program asks for what `kgen run` asks for, and looks at what was imported."""
    assert kgen(*LOCK, "numpy").status == 0
    code = f"""
import sys
from pathlib import Path
from kgen.actions import sync
source = sync.find(Path({str(project)!r}), "numpy")
print(source.form.name, [name for name in sorted(sys.modules) if name.startswith("kgen.formats.")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed = ["kgen.formats.conda", "kgen.formats.environment", "kgen.formats.wheels"]
    assert done.stdout == f"uv {listed}\n"
