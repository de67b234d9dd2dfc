"""A lock in the forms of what it is run by: an image, a development container, a workflow, a batch job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kgen import accelerators
from kgen.emitters.quoting import quote_apptainer, quote_docker, quote_lua, quote_tcl
from kgen.model.lockfile import Lockfile
from kgen.shells.sh import SHELL as SH
from kgen.templates import render


class Job(NamedTuple):
    """An environment in a workflow.

    Attributes:
        environment: its name.
        python: the CPython minor.
        accelerated: whether it is for an accelerator, so that a runner with a GPU is asked for.
        tested: whether what runs the project's tests is locked.
        platform: the platform, which decides on the runner.
    """

    environment: str
    python: str
    accelerated: bool
    tested: bool = False
    platform: str = "linux-64"


class Runner(NamedTuple):
    """The machines that run a job of a workflow.

    Attributes:
        hosted: the label of GitHub's own, which have no GPU.
        own: the labels of those that a project has itself, with one.
    """

    hosted: str
    own: tuple[str, ...]


RUNNERS = {
    "linux-64": Runner("ubuntu-latest", ("self-hosted", "gpu")),
    "linux-aarch64": Runner("ubuntu-24.04-arm", ("self-hosted", "ARM64", "gpu")),
}
"""Platform -> its runners; kgen was tried on these alone. Source: docs.github.com, GitHub-hosted runners reference."""


class ModuleForm(NamedTuple):
    """A language of modules.

    Attributes:
        template: what is rendered.
        quote: writes text as a string of the language.
    """

    template: str
    quote: Callable[[str], str]


LMOD = ModuleForm("exports/lmod.lua.j2", quote_lua)
ENVIRONMENT_MODULES = ModuleForm("exports/modulefile.j2", quote_tcl)


def render_dockerfile(lock: Lockfile, *, requirements: str, programs: Sequence[str]) -> str:
    """The Dockerfile of an image with exactly what is locked, and nothing of it fetched without its hash.

    Args:
        lock: the lock, for any of the platforms that the image is for.
        requirements: the files of all of those platforms, as pip takes them.
        programs: the distribution's packages that compiling takes.

    Raises:
        ValueError: a value is none that a lock can have, or a variable one that no `ENV` can hold.
    """
    return _image("exports/Dockerfile.j2", lock, quote_docker, requirements=requirements, programs=list(programs))


def render_devcontainer(lock: Lockfile) -> str:
    """The `devcontainer.json` of an editor's container, made from the Dockerfile beside it.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    lock.require_grammar()
    flags = list(accelerators.kind(lock.computes_on.kind).driver_help.docker)
    gpus = {"runArgs": flags, "hostRequirements": {"gpu": True}} if lock.accelerated else {}
    content: Mapping[str, object] = {
        "name": lock.environment,
        "build": {"dockerfile": "Dockerfile"},
        **gpus,
        "containerEnv": dict(sorted(lock.variables.items())),
        "remoteUser": "keras",
        "customizations": {
            "vscode": {
                "extensions": ["ms-python.python"],
                "settings": {"python.defaultInterpreterPath": "/usr/local/bin/python"},
            }
        },
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return render("exports/devcontainer.json.j2", label=lock.environment, content=text)


def render_apptainer(lock: Lockfile, *, requirements: str, programs: Sequence[str]) -> str:
    """The definition file of an image of Apptainer's with exactly what is locked.

    Args:
        lock: the lock, for any of the platforms that the image is for.
        requirements: the files of all of those platforms, as pip takes them.
        programs: the distribution's packages that compiling takes.

    Raises:
        ValueError: a value is none that a lock can have, or a variable one that no definition file can hold.
    """
    given = accelerators.kind(lock.computes_on.kind).driver_help.containers.get("apptainer", "")
    return _image(
        "exports/apptainer.def.j2",
        lock,
        quote_apptainer,
        requirements=requirements,
        programs=list(programs),
        run=given.removesuffix("…").strip() or "apptainer exec",
    )


def _image(template: str, lock: Lockfile, quote: Callable[[str], str], *, requirements: str, **more: object) -> str:
    """What an image is built from: pinned files on Python's own image, and the variables that select the backend."""
    lock.require_grammar()
    return render(
        template,
        label=lock.environment,
        python=lock.python,
        **_accelerator(lock),
        requirements=requirements.rstrip("\n"),
        variables=[f"{name}={quote(value)}" for name, value in sorted(lock.variables.items())],
        **more,
    )


def render_module(lock: Lockfile, form: ModuleForm, *, script: str) -> str:
    """A module with which `module load` enters an environment, and `module unload` leaves it.

    Args:
        lock: the lock.
        form: in which language.
        script: the path of the script that a shell evaluates to enter the environment.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    lock.require_grammar()
    keras = lock.packages.get("keras")
    what = lock.environment if keras is None else f"Keras {keras} on {accelerators.title(lock.computes_on)}"
    return render(
        form.template,
        label=lock.environment,
        title=form.quote(f"{what}, as kgen has locked it"),
        driver=lock.driver,
        needs=form.quote(f"The driver of the node must be {lock.driver} or newer: kgen doctor {lock.environment}"),
        script=form.quote(script),
    )


def render_workflow(jobs: Sequence[Job], left_out: Sequence[str] = (), folder: str = "") -> str:
    """A workflow of GitHub's that checks the locks, and installs, tests and validates each environment.

    Args:
        jobs: the environments.
        left_out: what is locked for platforms that it has no runner for, such as `jax-cpu (win-64)`.
        folder: the project's folder in its repository; empty for its top.
    """
    rows = [
        {
            "name": json.dumps(job.environment),
            "python": json.dumps(job.python),
            "device": "gpu" if job.accelerated else "cpu",
            "tests": "true" if job.tested else "false",
            "runner": json.dumps(RUNNERS[job.platform].own) if job.accelerated else RUNNERS[job.platform].hosted,
        }
        for job in jobs
    ]
    # where quoting would be needed in an expression, the locks of every project count for the cache
    above = f"{folder}/" if re.fullmatch(r"[\w./-]+", folder, re.ASCII) else "**/" if folder else ""
    return render(
        "exports/github-actions.yml.j2",
        environments=rows,
        left_out=", ".join(left_out),
        folder=_place(folder),
        above=above,
    )


def render_updates(folder: str = "") -> str:
    """A workflow of GitHub's that locks the newest each week, and opens a pull request with it.

    Args:
        folder: the project's folder in its repository; empty for its top.
    """
    return render("exports/github-actions-update.yml.j2", folder=_place(folder))


def _place(folder: str) -> str:
    """A folder as text in a workflow, in which nothing is an expression."""
    return json.dumps(folder.replace("${{", "${{ '${{' }}")) if folder else ""


def render_slurm(lock: Lockfile) -> str:
    """A batch script of Slurm's that runs a command in the environment.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    lock.require_grammar()
    return render(
        "exports/slurm.sh.j2",
        label=lock.environment,
        quoted=SH.quote(lock.environment),
        **_accelerator(lock),
    )


def render_vscode(lock: Lockfile, *, interpreter: str) -> str:
    """The `settings.json` of VS Code that has it run, debug and test with an environment's interpreter.

    The interpreter selects the backend by itself; the variables are for what the editor's terminals run beside it.

    Args:
        lock: the lock.
        interpreter: its path, in which the editor's own variables may stand.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    lock.require_grammar()
    variables = dict(sorted(lock.variables.items()))
    content: dict[str, object] = {
        "python.defaultInterpreterPath": interpreter,
        "python.terminal.activateEnvironment": True,
        **{f"terminal.integrated.env.{system}": variables for system in ("linux", "osx")},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def render_envrc(lock: Lockfile, *, files: Sequence[str]) -> str:
    """The `.envrc` with which direnv enters an environment, and again when its lock has changed.

    Args:
        lock: the lock.
        files: the locks of the environment, relative to the project.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    lock.require_grammar()
    quoted = " ".join(map(SH.quote, files))
    return render("exports/envrc.j2", label=lock.environment, quoted=SH.quote(lock.environment), locks=quoted)


def _accelerator(lock: Lockfile) -> Mapping[str, object]:
    """What templates say about an accelerator; None of the CPU."""
    kind = accelerators.kind(lock.computes_on.kind)
    return {
        "accelerator": accelerators.title(lock.computes_on) if lock.accelerated else None,
        "in_wheels": kind.in_wheels,
        "docker": " ".join(kind.driver_help.docker),
        "driver": lock.driver,
    }
