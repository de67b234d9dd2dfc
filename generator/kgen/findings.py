"""What on a machine will break a locked environment, each with the command that fixes it.

Looks at facts that others have gathered and starts nothing, so that every finding can be had from written-down facts.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.version import Version

from kgen import accelerators
from kgen.accelerators import Gpu, Kind
from kgen.host import Host
from kgen.matrix.candidates import BuildTarget, locked_build, serves
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Ended
from kgen.model.driver import DriverVersion
from kgen.model.lockfile import Lockfile
from kgen.project import LOCKS
from kgen.surroundings import Library, Surroundings

VARIABLES = ("KERAS_[A-Z_]+", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME")
"""Patterns of the variables whose place in start-up files is worth knowing."""

_SELECTS = "KERAS_BACKEND"
_ALIKE = 0.85
"""From here on a variable's name counts as misspelt: `KERAS_BACKEDN` has 0.92, `KERAS_HOME` 0.61."""

_ON_DISK = (2, 4)
"""An environment takes so many times its download: wheels of a GPU's libraries twice, pure Python four times."""

_GB = 10**9

_DEFAULTS = {"floatx": "float32", "image_data_format": "channels_last"}


class Finding(NamedTuple):
    """Something that breaks environments, or may.

    Attributes:
        kind: `fault` if it breaks something that is locked, `note` if it is worth knowing.
        environments: the environments that it concerns; none if it concerns all.
        what: what is wrong.
        where: where that was seen.
        why: why it matters.
        fix: the next thing to type.
    """

    kind: Literal["fault", "note"]
    environments: tuple[str, ...]
    what: str
    where: str
    why: str
    fix: str


class ExaminedEnvironment(NamedTuple):
    """A locked environment.

    Attributes:
        lock: its lock.
        prefix: where it is on disk, or would be.
        whole: whether it is there.
        interpreter: whether this machine has a CPython of its minor; None if that was not looked for.
        free: the bytes that may be written where it is, or would be; None if there is no telling.
    """

    lock: Lockfile
    prefix: Path
    whole: bool
    interpreter: bool | None
    free: int | None


class SystemLibrary(NamedTuple):
    """A library of an accelerator that may be on a machine beside the locked one.

    Attributes:
        title: what people call it, as `cuDNN`.
        packages: the packages of which one carries it.
    """

    title: str
    packages: tuple[str, ...]


def examine(
    machine: Host,
    around: Surroundings,
    examined: Sequence[ExaminedEnvironment],
    matrix: CompatibilityMatrix,
    libraries: Mapping[str, SystemLibrary],
) -> tuple[Finding, ...]:
    """Every finding, the faults first.

    Args:
        machine: the drivers and the GPUs.
        around: what surrounds the environments.
        examined: the environments.
        matrix: what serves which GPU.
        libraries: stem of a shared library, as `libcudnn` -> what it is.
    """
    accelerated = [one for one in examined if one.lock.accelerated]
    found = [
        *_driver(machine, around, accelerated),
        *_gpus(machine, accelerated, matrix),
        *_hidden(around, accelerated, matrix),
        *_stubs(around, accelerated),
        *_other_libraries(around, accelerated, libraries),
        *_keras_settings(around, examined),
        *_backend_variables(around, examined),
        *_python_variables(around, examined),
        *_interpreters(examined),
        *_disk(examined),
        *_ended(examined, matrix),
    ]
    return tuple(sorted(_merged(found), key=lambda finding: finding.kind))


def _merged(found: Sequence[Finding]) -> Iterator[Finding]:
    """What is the same but for the environment, once."""
    environments: dict[Finding, list[str]] = {}
    for finding in found:
        environments.setdefault(finding._replace(environments=()), []).extend(finding.environments)
    for finding, names in environments.items():
        yield finding._replace(environments=tuple(dict.fromkeys(names)))


def _backends(lock: Lockfile) -> str:
    """The words that `kgen lock` takes for what this lock holds."""
    if len(lock.backends) == 1:
        return f"{lock.backends[0]}{lock.form.words}"
    name = lock.environment.removesuffix(lock.form.suffix).rpartition("-")[0]
    return f"{' '.join(lock.backends)} --together {name}{lock.form.words}"


# -- the GPU and its driver --------------------------------------------------------------------------------------------


def _driver(machine: Host, around: Surroundings, examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    for one in examined:
        lock = one.lock
        names = (lock.environment,)
        kind = _kind(lock)
        here, says = machine.of(kind.name), kind.driver_help
        runtime = accelerators.title(lock.computes_on)
        if here.note is not None:
            yield Finding(
                "fault",
                names,
                f"{kind.maker}'s driver does not answer: {here.note}",
                says.interface,
                "no framework will see the GPU",
                f"{says.status}; if it says the same, reboot: the kernel's module and the libraries may be of two"
                " versions",
            )
        if not here.found:
            if here.note is None:
                yield _no_driver(kind, around, names)
            continue
        if here.driver is not None and lock.driver is not None and not here.driver.reaches(DriverVersion(lock.driver)):
            yield Finding(
                "fault",
                names,
                f"the driver {here.driver} is older than {lock.driver}, which {runtime} needs",
                says.interface,
                says.too_old,
                f"kgen lock {_backends(lock)} --{kind.name} auto --driver {here.driver}"
                f"   # or: {_newer_driver(kind, around)}",
            )
        if not here.gpus and here.note is None:
            yield Finding(
                "fault",
                names,
                "the driver shows no GPU",
                says.interface,
                "there is nothing to run on",
                says.listing,
            )


def _kind(lock: Lockfile) -> Kind:
    return accelerators.kind(lock.computes_on.kind)


def _no_driver(kind: Kind, around: Surroundings, names: tuple[str, ...]) -> Finding:
    why = "the environment will train on the CPU, or not at all"
    says, maker = kind.driver_help, kind.maker
    if around.container is not None and around.container in says.containers:
        return Finding(
            "fault",
            names,
            f"the container was started without a GPU: {maker}'s driver is not in it",
            f"{says.interface}, in a container ({around.container})",
            why,
            says.containers[around.container],
        )
    if around.gpu_vendors is not None and says.vendor in around.gpu_vendors:
        return Finding(
            "fault",
            names,
            f"there is {kind.device}, and no driver for it",
            f"the PCI bus, {says.interface}",
            why,
            _newer_driver(kind, around),
        )
    return Finding(
        "fault",
        names,
        f"this machine has no {maker} GPU",
        says.interface if around.gpu_vendors is None else f"the PCI bus, {says.interface}",
        why,
        "run it on a machine that has one, or lock for this one: kgen lock --cpu",
    )


def _newer_driver(kind: Kind, around: Surroundings) -> str:
    if around.container is not None:
        return "update the driver of the machine that runs the container"
    install = kind.driver_help.install
    known = next((install[name] for name in around.distribution if name in install), None)
    return known or f"install a newer driver from {kind.maker} or your distribution"


def _gpus(machine: Host, examined: Sequence[ExaminedEnvironment], matrix: CompatibilityMatrix) -> Iterator[Finding]:
    for one in examined:
        lock = one.lock
        kind = _kind(lock)
        here, says = machine.of(kind.name), kind.driver_help
        for gpu in dict.fromkeys(here.gpus):
            fix = f"kgen lock {_backends(lock)} --{kind.name} auto --gpu {gpu.architecture}"
            named = f"{gpu.name} ({kind.architecture} {gpu.architecture})"
            # the matrix knows what the wheels have code for; a channel compiles for others
            for name, build in _builds(lock, matrix) if lock.form.follows_matrix else ():
                if not serves(build, gpu.architecture, here.driver, matrix):
                    yield Finding(
                        "fault",
                        (lock.environment,),
                        f"{name} {lock.packages[name]} has no code for the {named}",
                        f"{says.interface}; the matrix: {build.provenance.source}",
                        says.no_code,
                        fix,
                    )
            yield from _cudnn(lock, gpu, named, fix, matrix)


def _builds(lock: Lockfile, matrix: CompatibilityMatrix) -> Iterator[tuple[str, Build]]:
    """The builds of the lock's frameworks for its accelerator, where the matrix has them."""
    accelerator = lock.computes_on.whole
    target = BuildTarget(accelerator, lock.platform, lock.python)
    for name, version in lock.packages.items():
        if name in matrix.framework_names:
            locked = Version(lock.versions.get(name, version))
            build = locked_build(matrix, name, locked, target)
            if build is not None and build.accelerated:
                yield name, build


def _cudnn(lock: Lockfile, gpu: Gpu, named: str, fix: str, matrix: CompatibilityMatrix) -> Iterator[Finding]:
    if lock.cudnn is None:
        return
    whole = lock.computes_on.whole
    rows = [row for row in matrix.cudnn if row.accelerator == whole and Version(lock.cudnn) in row.cudnn]
    if rows and not any(gpu.architecture in row.gpus for row in rows):
        yield Finding(
            "fault",
            (lock.environment,),
            f"cuDNN {lock.cudnn} does not serve the {named}",
            f"{_kind(lock).driver_help.interface}; the matrix: {rows[0].provenance.source}",
            "the first convolution will fail, though the GPU is listed",
            fix,
        )


def _hidden(
    around: Surroundings, examined: Sequence[ExaminedEnvironment], matrix: CompatibilityMatrix
) -> Iterator[Finding]:
    for kind, row in matrix.accelerators.items():
        concerned = tuple(one.lock.environment for one in examined if one.lock.computes_on.kind == kind)
        for name in row.hiding if concerned else ():
            value = around.variables.get(name)
            if value is not None and (value.strip() == "" or value.startswith(("-", "NoDevFiles"))):
                yield Finding(
                    "fault",
                    concerned,
                    f"{name}={value} hides every GPU",
                    "the environment of this process",
                    "the frameworks will train on the CPU without a word",
                    f"unset {name}",
                )


# -- libraries ---------------------------------------------------------------------------------------------------------


def _stubs(around: Surroundings, examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    for one in examined:
        says = _kind(one.lock).driver_help
        first = next((library for library in around.libraries if library.stem == says.library), None)
        if first is not None and first.stub:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"the loader finds a stub of {says.library} before the driver's own",
                f"{first.path} (by {first.via})",
                says.stub,
                _without(first, around),
            )


def _other_libraries(
    around: Surroundings, examined: Sequence[ExaminedEnvironment], libraries: Mapping[str, SystemLibrary]
) -> Iterator[Finding]:
    for one in examined:
        locked = {file.name: file.version for file in one.lock.files}
        seen = set()
        for library in around.libraries:
            known = libraries.get(library.stem)
            if known is None or library.stub or library.stem in seen:
                continue
            seen.add(library.stem)
            package = next((name for name in known.packages if name in locked), None)
            if package is None or library.version is None or _agree(library.version, locked[package]):
                continue
            forced = library.via != "ldconfig"
            yield Finding(
                "fault" if forced else "note",
                (one.lock.environment,),
                f"{known.title} {library.version} is offered, and {known.title} {locked[package]} is locked",
                f"{library.path} (by {library.via})",
                f"{library.via} goes before the environment's own libraries: a framework may load the wrong one"
                if forced
                else "a library that a framework opens by name alone may come from there",
                _without(library, around),
            )


def _agree(one: str, other: str) -> bool:
    """Whether two versions are the same as far as both tell."""
    return all(left == right for left, right in zip(one.split("."), other.split("."), strict=False))


def _without(library: Library, around: Surroundings) -> str:
    """The command after which the loader no longer finds the library there."""
    if library.via == "ldconfig":
        return (
            f"grep -rl {shlex.quote(str(Path(library.path).parent))} /etc/ld.so.conf /etc/ld.so.conf.d"
            "   # take that line out if nothing else needs it, then: sudo ldconfig"
        )
    if library.via == "LD_PRELOAD":
        return "unset LD_PRELOAD" + _place("LD_PRELOAD", around)
    folder = str(Path(library.path).parent)
    kept = [one for one in around.variables.get("LD_LIBRARY_PATH", "").split(":") if one and one != folder]
    text = f"export LD_LIBRARY_PATH={shlex.quote(':'.join(kept))}" if kept else "unset LD_LIBRARY_PATH"
    return text + _place("LD_LIBRARY_PATH", around)


def _place(variable: str, around: Surroundings) -> str:
    """Where a start-up file sets the variable, as a comment behind a command."""
    places = around.set_in.get(variable, ())
    return f"   # and for good: {', '.join(places)}" if places else ""


# -- Keras's settings --------------------------------------------------------------------------------------------------


def _keras_settings(around: Surroundings, examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    if around.keras is None:
        return
    path = around.keras.path
    edit = f"${{EDITOR:-vi}} {shlex.quote(str(path))}"
    if around.keras.values is None:
        yield Finding(
            "note",
            (),
            "Keras's settings are not JSON",
            str(path),
            "Keras ignores them without a word",
            f"python3 -m json.tool {shlex.quote(str(path))}",
        )
        return
    for key, usual in _DEFAULTS.items():
        value = around.keras.values.get(key, usual)
        if value != usual:
            yield Finding(
                "fault",
                tuple(one.lock.environment for one in examined),
                f"Keras's settings have {key} = {value!r}; without them it is {usual!r}",
                str(path),
                "every environment on this machine computes otherwise than the same lock elsewhere",
                edit,
            )
    chosen = around.keras.values.get("backend")
    others = [
        one
        for one in examined
        if chosen is not None and one.lock.variables.get(_SELECTS, one.lock.backends[0]) != chosen
    ]
    if others:
        yield Finding(
            "note",
            tuple(one.lock.environment for one in others),
            f"Keras's settings choose the backend {chosen!r}",
            str(path),
            f"kgen's environments select theirs by {_SELECTS}, which wins; a Python of another kind follows the file",
            edit,
        )


def _backend_variables(around: Surroundings, examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    # inside an active environment the hook has put the user's own choice aside
    active = "KGEN_ENVIRONMENT" in around.variables
    chosen = around.variables.get(f"_KGEN_SAVED_1_{_SELECTS}" if active else _SELECTS)
    for one in examined:
        backend = one.lock.variables.get(_SELECTS, one.lock.backends[0])
        if chosen is not None and chosen != backend:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{_SELECTS}={chosen} is set for everything that is started here",
                "the environment of this process",
                f"{one.prefix / 'bin/python'}, used directly, will run on {chosen} and not on {backend}",
                f"unset {_SELECTS}" + _place(_SELECTS, around),
            )
    for name in sorted({*around.variables, *around.set_in}):
        alike = difflib.SequenceMatcher(None, name, _SELECTS).ratio()
        if name != _SELECTS and alike >= _ALIKE and not name.startswith("_KGEN_"):
            places = around.set_in.get(name, ())
            yield Finding(
                "fault",
                (),
                f"{name} is set; Keras reads {_SELECTS}",
                ", ".join(places) or "the environment of this process",
                "the choice of a backend has no effect",
                f"sed -i 's/{name}/{_SELECTS}/' {places[0].rpartition(':')[0]}" if places else f"unset {name}",
            )


# -- Python ------------------------------------------------------------------------------------------------------------


def _python_variables(around: Surroundings, examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    for one in examined:
        known = [*(file.name for file in one.lock.files), *one.lock.packages]
        names = {re.sub(r"[-_.]+", "_", name): name for name in known}
        for folder in filter(None, around.variables.get("PYTHONPATH", "").split(":")):
            shadowed = sorted(names[name] for name in names if (Path(folder) / name / "__init__.py").is_file())
            if shadowed:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"PYTHONPATH has another {', '.join(shadowed)}",
                    folder,
                    "it goes before what is installed in the environment",
                    "unset PYTHONPATH" + _place("PYTHONPATH", around),
                )
    if around.variables.get("PYTHONHOME"):
        yield Finding(
            "fault",
            (),
            f"PYTHONHOME={around.variables['PYTHONHOME']} is set",
            "the environment of this process",
            "the interpreter of an environment, used directly, takes its standard library from there and fails",
            "unset PYTHONHOME" + _place("PYTHONHOME", around),
        )


def _interpreters(examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    for one in examined:
        if one.interpreter is False and not one.whole:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"there is no CPython {one.lock.python} on this machine",
                "PATH and uv's own interpreters",
                "the environment cannot be made",
                f"uv python install {one.lock.python}",
            )


def _ended(examined: Sequence[ExaminedEnvironment], matrix: CompatibilityMatrix) -> Iterator[Finding]:
    """What of an environment is no longer supported upstream."""
    for one in examined:
        ends: dict[str, Ended | None] = {}
        for name in one.lock.backends:
            row = matrix.backends.get(name)
            if row is not None:
                generation, framework = matrix.generations[row.generation], matrix.framework(row.framework)
                ends |= {generation.title: generation.ended, framework.title: framework.ended}
        for title, ended in ends.items():
            if ended is not None:
                yield Finding(
                    "note",
                    (one.lock.environment,),
                    f"{title} was last supported on {ended.day}",
                    f"{LOCKS}/",
                    ended.why,
                    "kgen matrix show generations",
                )


def _disk(examined: Sequence[ExaminedEnvironment]) -> Iterator[Finding]:
    for one in examined:
        size = one.lock.size
        if one.whole or size is None or one.free is None:
            continue
        least, most = (factor * size for factor in _ON_DISK)
        if one.free < most:
            yield Finding(
                "fault" if one.free < least else "note",
                (one.lock.environment,),
                f"{one.free / _GB:.1f} GB are free, and the environment takes {least / _GB:.1f} to {most / _GB:.1f} GB",
                str(one.prefix.parent),
                "the environment may not fit",
                f"kgen sync {one.lock.environment} --envs /a/larger/disk"
                + (f"   # or: {one.lock.form.tidies}" if one.lock.form.tidies else ""),
            )
