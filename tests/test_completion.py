"""Completion as shells do it, and the manual as it is committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.command import Kgen

from kgen.cli import main, manual, registry
from kgen.cli.completion import completions
from kgen.shells import known
from kgen.templates import render

MANUAL = Path(__file__).parents[1] / "docs/man"
COMMANDS = set(registry.declarations())


@pytest.fixture(name="inside")
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which JAX is locked once and PyTorch twice, with a joint environment in its settings."""
    for name in ("jax-cuda12", "torch-cpu", "torch-cuda12"):
        folder = project / "locks" / name
        folder.mkdir(parents=True)
        (folder / "pylock.linux-64.toml").write_text("")
    (project / "kgen.toml").write_text('[environment.all]\nbackends = ["jax", "torch"]\n')
    monkeypatch.chdir(project)
    return project


def values(*words: str) -> set[str]:
    *before, current = words
    return {value for value, _ in completions(main.kgen(), before, current)}


OTHERS = {
    *("tensorflow", "torch", "numpy", "openvino", "all"),
    *("keras-core-tensorflow", "keras-core-jax", "keras-core-torch", "keras-core-numpy"),
    *("tf-keras-tensorflow", "keras2-tensorflow", "keras2-theano", "keras2-theano-pymc", "keras2-cntk"),
}
"""What there is to lock beside JAX."""


class TestCandidates:
    def test_commands(self) -> None:
        assert values("") == COMMANDS
        assert values("s") == {"solve", "status", "sync", "shell"}
        assert values("matrix", "sh") == {"show"}
        assert values("help", "s") == {"solve", "status", "sync", "shell"}

    def test_environments_that_can_be_named(self, inside: Path) -> None:
        assert inside.is_dir()
        assert values("sync", "") == {"jax-cuda12", "torch-cpu", "torch-cuda12", "jax"}
        assert values("sync", "jax", "t") == {"torch-cpu", "torch-cuda12"}
        assert values("run", "--envs", "x", "t") == {"torch-cpu", "torch-cuda12"}
        assert values("export", "slurm", "j") == {"jax-cuda12", "jax"}

    def test_backends(self, inside: Path) -> None:
        assert inside.is_dir()
        assert values("lock", "") == {"jax", *OTHERS}
        assert values("lock", "jax", "torch", "a") == {"all"}

    def test_flags_and_their_values(self, inside: Path) -> None:
        assert inside.is_dir()
        assert {"--cuda", "--platform", "--json"} <= values("lock", "--")
        assert "--json" not in values("lock", "--json", "--")
        assert "--platform" in values("lock", "--platform", "linux-64", "--")  # which may be there again
        assert values("lock", "--platform", "linux") == {"linux-64", "linux-aarch64"}
        assert "auto" in values("lock", "--cuda", "")
        assert values("validate", "--device", "") == {"gpu", "cpu", "auto"}
        assert values("lock", "--with-hub", "") == {"cv", "nlp"}
        assert values("lock", "--generation", "keras") == {"keras3", "keras-core", "keras2"}
        assert values("lock", "--platform=linux") == {"linux-64", "linux-aarch64"}
        assert values("completion", "") == {"bash", "zsh", "fish", "nu", "pwsh"}
        assert values("lock", "--require", "") == set()

    def test_what_is_not_kgens_is_left_to_the_shell(self, inside: Path) -> None:
        assert values("run", "jax", "--", "py") == set()
        assert values("run", "jax", "--", "python", "--") == set()
        (inside / "kgen.toml").write_text("broken")
        assert values("lock", "") == set()


@pytest.fixture(name="environment")
def _environment(inside: Path, kgen: Kgen) -> dict[str, str]:
    assert inside.is_dir()
    return kgen.env(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.shells
class TestShells:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("kgen", "val"), {"validate"}),
            (("kgen", "sync", "torch"), {"torch-cpu", "torch-cuda12"}),
            (("kgen", "lock", "--platform", "linux"), {"linux-64", "linux-aarch64"}),
            (("kgen", "lock", "jax", ""), OTHERS),
        ],
    )
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "nu"])
    def test_completes(
        self, environment: dict[str, str], shell: str, words: tuple[str, ...], expected: set[str]
    ) -> None:
        if shutil.which(shell) is None:
            pytest.skip(f"no {shell} here")
        quoted = " ".join(f"'{word}'" for word in words)
        program = {
            "bash": f'eval "$(kgen completion bash)"; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _kgen;'
            ' printf "%s\\n" "${COMPREPLY[@]}"; complete -p kgen >/dev/null',
            # the system's completion needs a terminal; these take its place
            "zsh": "compdef() {}; _files() {}; _describe() { print -rl -- ${${(P)2}%%:*} };"
            f' eval "$(kgen completion zsh)"; words=({quoted}); CURRENT={len(words)}; _kgen',
            "nu": f"source kgen.nu; do $env.config.completions.external.completer [{quoted}]"
            " | get value | to text --no-newline",
            "fish": f"kgen completion fish | source; complete --do-complete '{' '.join(words)}'",
        }[shell]
        if shell == "nu":  # what it sources is in a file
            made = subprocess.run(["kgen", "completion", "nu"], env=environment, capture_output=True, check=True)
            Path("kgen.nu").write_bytes(made.stdout)
        flags = {"zsh": ["-f"], "fish": ["--no-config"], "bash": ["--norc"], "nu": ["--no-config-file"]}[shell]
        done = subprocess.run(
            [shell, *flags, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        found = {line.split("\t")[0] for line in done.stdout.splitlines()}
        # fish offers files beside
        assert found - {"kgen.toml", "locks/"} == expected, done.stderr

    def test_the_scripts_are_sound(self) -> None:
        if shutil.which("shellcheck") is None:
            pytest.skip("no shellcheck here")
        text = render("completion/bash.j2")
        subprocess.run(["shellcheck", "--shell", "bash", "-"], input=text, text=True, check=True)

    @pytest.mark.parametrize("shell", [shell.name for shell in known() if shell.completes])
    def test_each_shell_has_one(self, kgen: Kgen, shell: str) -> None:
        result = kgen("completion", shell)
        assert (result.status, result.stderr) == (0, "")
        assert f"kgen completion {shell} -- " in result.stdout


class TestManual:
    def test_what_is_committed_is_what_the_code_says(self) -> None:
        found = {path.name: path.read_text(encoding="utf-8") for path in MANUAL.iterdir()}
        assert found == dict(manual.pages()), "run: python -m kgen.cli.manual docs/man"

    def test_groff_finds_nothing(self) -> None:
        if shutil.which("groff") is None:
            pytest.skip("no groff here")
        for path in MANUAL.iterdir():
            done = subprocess.run(
                ["groff", "-man", "-ww", "-Tutf8", path], capture_output=True, text=True, check=True, timeout=60
            )
            assert done.stderr == ""
            assert "kgen" in done.stdout

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_each_command_has_its_flags(self, kgen: Kgen, name: str) -> None:
        page = (MANUAL / f"kgen-{name}.1").read_text(encoding="utf-8").replace("\\-", "-")
        for line in kgen(name, "--help").stdout.splitlines():
            for word in line.split():
                if line.startswith("  -") and word.startswith("--") and name != "matrix":
                    assert word.rstrip(",") in page
