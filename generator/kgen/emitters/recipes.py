"""A lock in the forms of other tools: an image, a development container, a workflow, a batch job."""

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
        environment: the environment's name.
        python: the CPython minor.
        accelerated: whether it is for an accelerator, so that its runner needs a GPU.
        tested: whether the lock has a tool for the project's tests.
        platform: the platform, which determines the runner.
    """

    environment: str
    python: str
    accelerated: bool
    tested: bool = False
    platform: str = "linux-64"


class Runner(NamedTuple):
    """The machines that run a job of a workflow.

    Attributes:
        hosted: the label of GitHub's own runners, which have no GPU.
        own: the labels of the project's own runners, which have one.
    """

    hosted: str
    own: tuple[str, ...]


RUNNERS = {
    "linux-64": Runner("ubuntu-latest", ("self-hosted", "gpu")),
    "linux-aarch64": Runner("ubuntu-24.04-arm", ("self-hosted", "ARM64", "gpu")),
}
"""Platform -> its runners; kgen was tried on these alone. Source: docs.github.com, GitHub-hosted runners reference."""


class ModuleForm(NamedTuple):
    """A language of module files.

    Attributes:
        template: the template.
        quote: writes text as a string of the language.
    """

    template: str
    quote: Callable[[str], str]


LMOD = ModuleForm("exports/lmod.lua.j2", quote_lua)
ENVIRONMENT_MODULES = ModuleForm("exports/modulefile.j2", quote_tcl)


def render_dockerfile(lock: Lockfile, *, requirements: str, programs: Sequence[str]) -> str:
    """The Dockerfile of an image with exactly the locked packages; it fetches every one by its hash.

    Args:
        lock: the lock, for any of the image's platforms.
        requirements: the files of all of these platforms, in pip's form.
        programs: the distribution's packages that compiling needs.

    Raises:
        ValueError: a lock cannot have such a value, or `ENV` cannot hold a variable's.
    """
    return _image("exports/Dockerfile.j2", lock, quote_docker, requirements=requirements, programs=list(programs))


def render_devcontainer(lock: Lockfile) -> str:
    """The `devcontainer.json` of an editor's container, which the Dockerfile beside it makes.

    Raises:
        ValueError: a lock cannot have such a value.
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
    """The definition file of an Apptainer image with exactly the locked packages.

    Args:
        lock: the lock, for any of the image's platforms.
        requirements: the files of all of these platforms, in pip's form.
        programs: the distribution's packages that compiling needs.

    Raises:
        ValueError: a lock cannot have such a value, or a definition file cannot hold a variable's.
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
    """The parts of an image: pinned files on Python's own image, and the variables that select the backend."""
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
    """A module file: `module load` enters the environment, and `module unload` leaves it.

    Args:
        lock: the lock.
        form: the language.
        script: the path of the script that a shell evaluates to enter the environment.

    Raises:
        ValueError: a lock cannot have such a value.
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
    """A GitHub workflow that checks the locks, and installs, tests and validates each environment.

    Args:
        jobs: the environments.
        left_out: locked environments for platforms without a runner, such as `jax-cpu (win-64)`.
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
    """A GitHub workflow that locks the newest versions each week, and opens a pull request with them.

    Args:
        folder: the project's folder in its repository; empty for its top.
    """
    return render("exports/github-actions-update.yml.j2", folder=_place(folder))


def _place(folder: str) -> str:
    """A folder as text in a workflow, with no expression in it."""
    return json.dumps(folder.replace("${{", "${{ '${{' }}")) if folder else ""


def render_slurm(lock: Lockfile) -> str:
    """A Slurm batch script that runs a command in the environment.

    Raises:
        ValueError: a lock cannot have such a value.
    """
    lock.require_grammar()
    return render(
        "exports/slurm.sh.j2",
        label=lock.environment,
        quoted=SH.quote(lock.environment),
        **_accelerator(lock),
    )


def render_vscode(lock: Lockfile, *, interpreter: str) -> str:
    """The `settings.json` with which VS Code runs, debugs and tests with an environment's interpreter.

    The interpreter itself selects the backend; the variables are for other programs in the editor's terminals.

    Args:
        lock: the lock.
        interpreter: its path, which may contain the editor's own variables.

    Raises:
        ValueError: a lock cannot have such a value.
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
    """The `.envrc` with which direnv enters an environment, and enters it again after its lock has changed.

    Args:
        lock: the lock.
        files: the locks of the environment, relative to the project.

    Raises:
        ValueError: a lock cannot have such a value.
    """
    lock.require_grammar()
    quoted = " ".join(map(SH.quote, files))
    return render("exports/envrc.j2", label=lock.environment, quoted=SH.quote(lock.environment), locks=quoted)


def _accelerator(lock: Lockfile) -> Mapping[str, object]:
    """The values that templates have about an accelerator; None for the CPU."""
    kind = accelerators.kind(lock.computes_on.kind)
    return {
        "accelerator": accelerators.title(lock.computes_on) if lock.accelerated else None,
        "in_wheels": kind.in_wheels,
        "docker": " ".join(kind.driver_help.docker),
        "driver": lock.driver,
    }
