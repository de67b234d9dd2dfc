"""The hooks, sourced in the real shells: what they set, what they put back, and that no text in them runs."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kgen import resources, shells
from kgen.emitters.hooks import places, render_hooks
from kgen.errors import OutsideError

REGENERATE = bool(os.environ.get("KGEN_REGEN"))  # read before the tests' own environment takes its place
GOLDEN = Path(__file__).parent / "golden" / "hooks"
GOLDEN_CASES: dict[str, Mapping[str, str]] = {"jax-cuda12": {"KERAS_BACKEND": "jax"}}

HOSTILE_TEXTS = [
    "'; touch pwned; '",
    '"; touch pwned; "',
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "\ntouch pwned\n",
    "\r\ntouch pwned\r\n",
    "\n",
    "two\n\n",
    " spaces  and\ttabs ",
    "\u2018; touch pwned; \u2019 \u201a \u201b \u201c \u201d",
    "\u2028touch pwned\u0085",
    "h\u00e9\U0001f600",
    "%s %d %%",
    "\\",
    "\\'; touch pwned; \\'",
    "\\n \\x41 \\",
    "-n",
    "--",
    "*",
    "~",
    "=ls",
    "!!",
    "$HOME ${HOME} $$",
    "#> touch pwned",
    "{a,b} [abc] ?",
    "a && touch pwned | touch pwned > pwned",
    "\nendif; end; touch pwned\nelse\nfi; done; touch pwned\n",
]

HOSTILE_DEPTHS = [
    *["", " ", "-1", "0", "00", "01", "+1", "1 ", "1\n", "7", "1.0", "0x1", "1e3"],
    *[
        "x$(touch pwned)",
        "`touch pwned`",
        "a[$(touch pwned)]",
        "'; touch pwned; '",
        "99999999999999999999",
        "\u0661",
        "*",
    ],
]


# --- shells ----------------------------------------------------------------------------------------------


NOT_DEBIANS = {"pwsh", "nu"}
"""The shells that a machine may lack in CI: they come from registries that it may not reach."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shell:
    """A shell, how it is started, and the hostile settings that it has before a hook is sourced."""

    label: str
    program: str
    arguments: tuple[str, ...] = ()
    prelude: str = ""

    @property
    def suffix(self) -> str:
        return shells.recognised(self.program).suffix

    def find(self) -> str:
        """Gives the path of the shell; where it is not installed the test is skipped, in CI it fails."""
        path = shutil.which(self.program)
        if path is None:
            reason = f"{self.program} is not installed"
            if self.program == "pwsh":
                reason += ", and no package index has it: tests/test_powershell.py parses its scripts"
            if os.environ.get("CI") == "true" and self.program not in NOT_DEBIANS:
                pytest.fail(f"{reason}, and CI must test every shell")
            pytest.skip(reason)
        return path

    def quote(self, text: str | Path) -> str:
        return shells.recognised(self.program).quote(str(text))


ALIASES = """
alias export='echo alias' unset='echo alias' eval='echo alias' break='echo alias' continue='echo alias'
alias test='echo alias' set='echo alias' local='echo alias'
"""
HOSTILE_IFS = "IFS='KGENSHLVLjax_:0123 '\n"
SHELLS = [
    Shell(label="dash", program="dash"),
    Shell(label="dash-strict", program="dash", prelude="set -euf\n" + HOSTILE_IFS + ALIASES),
    Shell(label="bash", program="bash", arguments=("--norc", "--noprofile")),
    Shell(
        label="bash-strict",
        program="bash",
        arguments=("--norc", "--noprofile"),
        prelude="shopt -s expand_aliases extglob nocasematch\nset -euf -o pipefail -o noclobber\n"
        + HOSTILE_IFS
        + ALIASES,
    ),
    Shell(label="bash-posix", program="bash", arguments=("--norc", "--noprofile"), prelude="set -eu -o posix\n"),
    Shell(label="zsh", program="zsh", arguments=("-f",)),
    Shell(
        label="zsh-strict",
        program="zsh",
        arguments=("-f",),
        prelude="setopt nounset errexit noclobber noglob extended_glob sh_word_split ksh_arrays err_return\n"
        "setopt rc_quotes glob_subst csh_null_glob warn_create_global magic_equal_subst octal_zeroes\n"
        + HOSTILE_IFS
        + ALIASES,
    ),
    Shell(
        label="zsh-sh",
        program="zsh",
        arguments=("-f",),
        prelude="emulate sh\nset -euf\n" + HOSTILE_IFS + ALIASES,
    ),
    Shell(label="fish", program="fish", arguments=("--no-config",)),
    Shell(
        label="pwsh",
        program="pwsh",
        arguments=("-NoProfile", "-NonInteractive", "-File"),
        prelude="Set-StrictMode -Version Latest\n$ErrorActionPreference = 'Stop'\n",
    ),
    Shell(label="nu", program="nu", arguments=("--no-config-file",)),
    Shell(label="tcsh", program="tcsh", arguments=("-f",)),
    Shell(
        label="tcsh-strict",
        program="tcsh",
        arguments=("-f", "-e"),
        prelude="set noclobber noglob backslash_quote histchars = '%^'\n",
    ),
]
all_shells = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.label)
one_of_each = pytest.mark.parametrize(
    "shell", [shell for shell in SHELLS if shell.label == shell.program], ids=lambda shell: shell.label
)
pytestmark = pytest.mark.shells

Environment = dict[str, bytes]


@dataclass(kw_only=True, slots=True)
class Session:
    """A script that is put together line by line, and run by a shell in a folder of its own."""

    shell: Shell
    root: Path
    program: str = field(init=False)
    lines: list[str] = field(default_factory=list)
    dumps: int = 0
    hooks: dict[tuple[str, tuple[tuple[str, str], ...]], Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.program = self.shell.find()
        (self.root / "home").mkdir(parents=True)
        (self.root / "here").mkdir()
        self.lines.append(self.shell.prelude)

    def hook(self, phase: str, environment: str, variables: Mapping[str, str]) -> Path:
        """Writes the hooks of an environment once, and gives the path of one of them."""
        key = (environment, tuple(variables.items()))
        if key not in self.hooks:
            self.hooks[key] = self.root / f"hooks {len(self.hooks)}"
            for path, text in render_hooks(environment, variables, in_locks=False).items():
                target = self.hooks[key] / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(text.encode())
        return self.hooks[key] / f"{phase}.d" / f"kgen.{self.shell.suffix}"

    def source(self, path: Path) -> None:
        check = {
            "sh": 'case "$?" in 0) ;; *) echo "status is not 0" >&2 ;; esac',
            "fish": "if test $status -ne 0; echo status is not 0 >&2; end",
            "ps1": "if (-not $?) { [Console]::Error.WriteLine('status is not 0') }",
            "nu": "",  # what fails ends the script
            "csh": "if ($status != 0) echo status is not 0",
        }[self.shell.suffix]
        word = "source" if self.shell.suffix in {"nu", "csh"} else "."
        self.lines += [f"{word} {self.shell.quote(path)}", check]

    def activate(self, environment: str, variables: Mapping[str, str]) -> None:
        self.source(self.hook("activate", environment, variables))

    def deactivate(self, environment: str, variables: Mapping[str, str]) -> None:
        self.source(self.hook("deactivate", environment, variables))

    def export(self, name: str, value: str) -> None:
        quoted = self.shell.quote(value)
        self.lines.append(
            {
                "sh": f"\\export {name}={quoted}",
                "fish": f"set -gx {name} {quoted}",
                "ps1": f"$env:{name} = {quoted}",
                "nu": f"$env.{name} = {quoted}",
                "csh": f"setenv {name} {quoted}",
            }[self.shell.suffix]
        )

    def dump(self) -> None:
        """Notes what a program that is started now would find in its environment."""
        target = self.shell.quote(self.root / f"dump {self.dumps}")
        self.dumps += 1
        call = {"ps1": "& ", "nu": "^"}.get(self.shell.suffix)
        self.lines.append(
            f"{call}/bin/sh -c '/usr/bin/env -0 > \"$0\"' {target}" if call else f"/usr/bin/env -0 > {target}"
        )

    def run(self, environment: Mapping[str, str | bytes] | None = None) -> list[Environment]:
        """Runs the script, which must not say a word, fail, or write a file. Gives what was dumped."""
        script = self.root / f"script.{self.shell.suffix}"
        script.write_bytes("\n".join([*self.lines, ""]).encode())
        base: dict[str, str | bytes] = {
            "HOME": str(self.root / "home"),
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "POWERSHELL_TELEMETRY_OPTOUT": "1",
        }
        done = subprocess.run(
            [self.program, *self.shell.arguments, str(script)],
            cwd=self.root / "here",
            env={os.fsencode(name): os.fsencode(value) for name, value in (base | dict(environment or {})).items()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert list((self.root / "here").iterdir()) == []
        return [read_dump(self.root / f"dump {number}") for number in range(self.dumps)]


def read_dump(path: Path) -> Environment:
    """Reads what `env -0` wrote, less what shells change by themselves."""
    entries = (entry.partition(b"=") for entry in path.read_bytes().split(b"\0") if entry)
    dump = {os.fsdecode(name): value for name, _, value in entries}
    return {
        name: value for name, value in dump.items() if name not in {"_", "SHLVL", "PWD", "OLDPWD", "LAST_EXIT_CODE"}
    }


@pytest.fixture
def session(shell: Shell, tmp_path: Path) -> Session:
    return Session(shell=shell, root=tmp_path / "session")


JAX = ("jax-cuda12", {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"})
TORCH = ("torch-cpu", {"KERAS_BACKEND": "torch", "KERAS_TORCH_DEVICE": "cpu"})


def selected(dump: Environment, *names: str) -> list[str | None]:
    """Gives the values of some variables, None for one that is not set."""
    return [os.fsdecode(dump[name]) if name in dump else None for name in names]


# --- what they set and put back --------------------------------------------------------------------------


@all_shells
def test_activation_sets_and_deactivation_unsets_what_was_unset(session: Session) -> None:
    session.dump()
    session.activate(*JAX)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    before, active, after = session.run()
    assert selected(active, *JAX[1], "KGEN_ENVIRONMENT", "KGEN_SHLVL") == ["jax", "false", "jax-cuda12", "1"]
    new = active.keys() - before.keys() - JAX[1].keys()
    assert all(re.fullmatch(r"KGEN_.*|_KGEN_SAVED_1_.*", name) for name in new)
    assert after == before


@all_shells
@pytest.mark.parametrize("value", ["tensorflow", "", *HOSTILE_TEXTS])
def test_deactivation_puts_back_byte_for_byte(session: Session, value: str) -> None:
    if session.shell.program == "pwsh" and not value:
        pytest.skip("PowerShell before 7.5 cannot hold an empty environment variable")
    session.dump()
    session.activate(*JAX)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    before, active, after = session.run({"KERAS_BACKEND": value, "KGEN_ENVIRONMENT": value})
    assert selected(before, "KERAS_BACKEND", "KGEN_ENVIRONMENT") == [value, value]
    assert selected(active, "KERAS_BACKEND", "_KGEN_SAVED_1_KERAS_BACKEND") == ["jax", value]
    assert after == before


@all_shells
def test_hostile_settings_arrive_byte_for_byte_and_run_nothing(session: Session) -> None:
    for text in HOSTILE_TEXTS:
        session.dump()
        session.activate(text, {"KERAS_BACKEND": text, "OTHER_PATH": f"{text}:{text}"})
    for text in reversed(HOSTILE_TEXTS):
        session.dump()
        session.deactivate(text, {"KERAS_BACKEND": text, "OTHER_PATH": f"{text}:{text}"})
    session.dump()
    dumps = session.run({"KERAS_BACKEND": "before"})
    count = len(HOSTILE_TEXTS)
    for text, active in zip(HOSTILE_TEXTS, dumps[1 : count + 1], strict=True):
        assert selected(active, "KERAS_BACKEND", "KGEN_ENVIRONMENT", "OTHER_PATH") == [
            text,
            text,
            f"{text}:{text}",
        ]
    # The way back shows what the way there had shown; in the middle one environment is dumped once.
    assert dumps[count + 1 :] == dumps[:count][::-1]


@one_of_each
def test_bytes_that_are_no_text_come_back(session: Session) -> None:
    if session.shell.program == "pwsh":
        pytest.skip("PowerShell's strings are UTF-16: such bytes are lost when it starts")
    if session.shell.program == "nu":
        pytest.skip("Nushell ends at its start where a variable is not UTF-8")
    session.activate(*JAX)
    session.deactivate(*JAX)
    session.dump()
    assert session.run({"KERAS_BACKEND": b"\xff=\xc3(\xe2"})[0]["KERAS_BACKEND"] == b"\xff=\xc3(\xe2"


@all_shells
def test_a_choice_made_by_hand_meanwhile_gives_way_to_what_was_there(session: Session) -> None:
    session.activate(*JAX)
    session.export("KERAS_BACKEND", "numpy")
    session.export("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    session.export("KGEN_ENVIRONMENT", "mine")
    session.deactivate(*JAX)
    session.dump()
    [after] = session.run({"KERAS_BACKEND": "openvino"})
    assert selected(after, *JAX[1], "KGEN_ENVIRONMENT", "KGEN_SHLVL") == ["openvino", None, None, None]


@all_shells
def test_a_variable_unset_by_hand_meanwhile_comes_back(session: Session) -> None:
    session.activate(*JAX)
    session.lines.append(
        {
            "sh": "\\unset KERAS_BACKEND",
            "fish": "set -e KERAS_BACKEND",
            "ps1": "Remove-Item Env:KERAS_BACKEND",
            "nu": "hide-env KERAS_BACKEND",
            "csh": "unsetenv KERAS_BACKEND",
        }[session.shell.suffix]
    )
    session.deactivate(*JAX)
    session.dump()
    [after] = session.run({"KERAS_BACKEND": "openvino"})
    assert selected(after, "KERAS_BACKEND") == ["openvino"]


@all_shells
def test_what_was_not_exported_is_not_exported_afterwards(session: Session) -> None:
    if session.shell.program in {"pwsh", "nu", "tcsh"}:
        pytest.skip("there is no variable of the environment that is not exported, or nothing tells one from another")
    seen = session.shell.quote(session.root / "seen")
    assign, show = {
        "sh": ("KERAS_BACKEND='mine  $x\n'", f'printf %s "$KERAS_BACKEND" > {seen}'),
        "fish": ("set -g KERAS_BACKEND 'mine  $x\n'", f'printf %s "$KERAS_BACKEND" > {seen}'),
    }[session.shell.suffix]
    session.lines.append(assign)
    session.activate(*JAX)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    session.lines.append(show)
    active, after = session.run()
    assert selected(active, "KERAS_BACKEND") == ["jax"]
    assert selected(after, "KERAS_BACKEND") == [None]
    assert (session.root / "seen").read_bytes() == b"mine  $x\n"


# --- nesting ---------------------------------------------------------------------------------------------


@all_shells
def test_activations_nest(session: Session) -> None:
    session.dump()
    session.activate(*JAX)
    session.dump()
    session.activate(*TORCH)
    session.dump()
    session.deactivate(*TORCH)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    before, jax, torch, jax_again, after = session.run({"KERAS_TORCH_DEVICE": "cuda"})
    assert selected(torch, "KERAS_BACKEND", "KGEN_ENVIRONMENT", "KERAS_TORCH_DEVICE", "KGEN_SHLVL") == [
        *["torch", "torch-cpu", "cpu", "2"]
    ]
    assert jax_again == jax
    assert after == before


@all_shells
def test_the_same_environment_nests_in_itself(session: Session) -> None:
    session.dump()
    for _ in range(11):
        session.activate(*JAX)
    session.dump()
    for _ in range(11):
        session.deactivate(*JAX)
    session.dump()
    before, active, after = session.run({"KERAS_BACKEND": "numpy"})
    assert selected(active, "KGEN_SHLVL", "_KGEN_SAVED_1_KERAS_BACKEND", "_KGEN_SAVED_11_KERAS_BACKEND") == [
        *["11", "numpy", "jax"]
    ]
    assert after == before


@all_shells
def test_out_of_order_the_lower_activation_waits_for_the_upper_one(session: Session) -> None:
    session.dump()
    session.activate(*JAX)
    session.activate(*TORCH)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    session.deactivate(*TORCH)
    session.dump()
    before, torch, torch_alone, after = session.run({"KERAS_BACKEND": "numpy"})
    assert torch_alone == {name: value for name, value in torch.items() if name != "_KGEN_SAVED_1__KGEN_OWNER"}
    assert after == before


@all_shells
def test_the_topmost_activation_of_the_environment_is_undone_first(session: Session) -> None:
    session.dump()
    session.activate(*JAX)
    session.dump()
    session.activate(*TORCH)
    session.activate(*JAX)
    session.deactivate(*JAX)
    session.deactivate(*JAX)
    session.dump()
    session.deactivate(*TORCH)
    session.dump()
    before, _, torch, after = session.run()
    assert selected(torch, "KERAS_BACKEND", "KGEN_SHLVL") == ["torch", "2"]
    assert after == before


@all_shells
def test_deactivating_what_is_not_active_changes_nothing(session: Session) -> None:
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    session.activate(*TORCH)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    before, still, torch, still_torch = session.run({"KERAS_BACKEND": "numpy"})
    assert still == before
    assert still_torch == torch


@all_shells
@pytest.mark.parametrize("depth", HOSTILE_DEPTHS)
def test_a_depth_that_is_none_counts_as_nothing_and_is_never_evaluated(session: Session, depth: str) -> None:
    if session.shell.program == "pwsh" and not depth:
        pytest.skip("PowerShell before 7.5 cannot hold an empty environment variable")
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    session.activate(*JAX)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    before, untouched, active, after = session.run({"KGEN_SHLVL": depth})
    assert untouched == before
    assert selected(active, "KGEN_SHLVL", "KERAS_BACKEND") == ["1", "jax"]
    assert after == {name: value for name, value in before.items() if name != "KGEN_SHLVL"}


@all_shells
def test_a_forged_record_runs_nothing(session: Session) -> None:
    names = "$(touch pwned):exported `touch pwned`:unset A;touch:local 1:unset :exported X=$(touch:unset G:odd "
    session.deactivate(*JAX)
    session.dump()
    forged = {
        "KGEN_SHLVL": "1",
        "_KGEN_SAVED_1__KGEN_NAMES": names,
        "_KGEN_SAVED_1__KGEN_OWNER": "jax-cuda12",
    }
    [after] = session.run({**forged, "KERAS_BACKEND": "numpy", "G": "good"})
    assert selected(after, "KERAS_BACKEND", "G", *forged) == ["numpy", "good", None, None, None]


@one_of_each
@pytest.mark.parametrize("child", ["dash", "bash", "zsh", "fish", "pwsh", "nu", "tcsh"])
def test_a_shell_started_inside_can_deactivate(shell: Shell, child: str, tmp_path: Path) -> None:
    outer = Session(shell=shell, root=tmp_path / "outer")
    outer.dump()
    outer.activate(*JAX)
    outer.activate(*TORCH)
    outer.dump()
    values = {"KERAS_BACKEND": "it's\n", "KERAS_TORCH_DEVICE": "$x"}
    before, active = outer.run(values)
    child_shell = next(other for other in SHELLS if other.label == child)
    inner = Session(shell=child_shell, root=tmp_path / "inner")
    inner.deactivate(*TORCH)
    inner.deactivate(*JAX)
    inner.dump()
    [after] = inner.run(active)
    of_the_shells = {"USER", "LOGNAME", *OF_NUSHELL, *OF_TCSH}
    assert {k: v for k, v in after.items() if k not in of_the_shells} == {
        **{k: v for k, v in before.items() if k not in of_the_shells},
    }


OF_TCSH = {"GROUP", "HOST", "HOSTTYPE", "MACHTYPE", "NLSPATH", "OSTYPE", "REMOTEHOST", "VENDOR"}
"""What tcsh gives to them."""
OF_NUSHELL = {"NU_VERSION", "PROCESS_PATH", "FILE_PWD", "CURRENT_FILE", "NU_LIB_DIRS", "NU_PLUGIN_DIRS"}
"""What Nushell gives to the programs that it starts."""

# --- the user's shell ------------------------------------------------------------------------------------

VOLATILE = re.compile(
    r"(_|LINENO|RANDOM|SRANDOM|SECONDS|EPOCH\w*|BASH_\w+|PIPESTATUS|TTYIDLE|status|pipestatus|history"
    r"|[?!$#*@-]|0|argv|fish_kill_signal|dirstack|funcstack|ZSH_DEBUG_CMD|OPTIND|OLDPWD)\b.*|.*'?[?]'?=.*"
)


@all_shells
def test_nothing_is_left_behind_in_the_shell(session: Session) -> None:
    def list_all(name: str) -> str:
        target = session.shell.quote(session.root / name)
        command = {
            "dash": "\\set",
            "bash": "{ \\set; declare -F; declare -p; shopt; \\set -o; alias; }",
            "zsh": "{ \\set; typeset -f; typeset -p; setopt; alias; }",
            "fish": "begin; set; set --show | string match -r '^[$].*: set in.*'; functions -a -n; end",
            "pwsh": "Get-ChildItem Variable:, Function: | ForEach-Object Name",
            "tcsh": "( set; alias )",
            "nu": "[...(scope variables | get name) ...(scope commands | get name) ...($env | columns | sort)]",
        }[session.shell.program]
        return {
            "ps1": f"{{ {command} }} | Set-Content {target}",
            "nu": f"{command} | to text | save --force {target}",
        }.get(session.shell.suffix, f"{command} > {target}")

    session.lines.append(list_all("warm up"))
    session.lines.append(list_all("before"))
    session.activate(*JAX)
    session.activate(*TORCH)
    session.deactivate(*TORCH)
    session.deactivate(*JAX)
    session.lines.append(list_all("after"))
    session.run({"KERAS_BACKEND": "numpy"})

    def listed(name: str) -> list[str]:
        lines = (session.root / name).read_text(encoding="utf-8", errors="replace").splitlines()
        declared = (re.sub(r"^(declare|typeset|export)( -\S+)* ", "", line) for line in lines)
        return [line for line in declared if not VOLATILE.fullmatch(line)]

    assert len(listed("before")) > {"dash": 5, "tcsh": 15}.get(session.shell.program, 25)
    assert listed("after") == listed("before")


@all_shells
def test_while_active_only_the_record_is_left_in_the_shell(session: Session) -> None:
    seen = session.shell.quote(session.root / "seen")
    session.activate(*JAX)
    session.lines.append(
        {
            "csh": f"set > {seen}",
            "ps1": f"Get-Variable | ForEach-Object Name > {seen}",
            "nu": f"[...(scope variables | get name) ...($env | columns)] | to text | save {seen}",
        }.get(session.shell.suffix, f"\\set > {seen}")
    )
    session.run()
    names = set(re.findall(r"^'?(\w*KGEN\w*|depth|names?|value)\b", (session.root / "seen").read_text(), re.MULTILINE))
    assert all(re.fullmatch(r"KGEN_ENVIRONMENT|KGEN_SHLVL|_KGEN_SAVED_1_.*", name) for name in names)


@all_shells
def test_no_program_is_started(session: Session) -> None:
    session.activate(*JAX)
    session.activate(*TORCH)
    session.dump()
    session.deactivate(*TORCH)
    session.deactivate(*JAX)
    [active] = session.run({"PATH": "/nonexistent", "KERAS_BACKEND": "numpy"})
    assert selected(active, "KERAS_BACKEND") == ["torch"]


@all_shells
def test_neither_the_settings_of_keras_nor_the_library_path_is_touched(session: Session) -> None:
    settings = session.root / "home" / ".keras" / "keras.json"
    settings.parent.mkdir()
    settings.write_bytes(b'{"backend": "openvino"}')
    session.activate(*JAX)
    session.dump()
    session.deactivate(*JAX)
    session.dump()
    for dump in session.run({"LD_LIBRARY_PATH": "/opt/one: /opt/two:"}):
        assert selected(dump, "LD_LIBRARY_PATH") == ["/opt/one: /opt/two:"]
    assert settings.read_bytes() == b'{"backend": "openvino"}'
    assert list(settings.parent.iterdir()) == [settings]
    assert not any("LD_LIBRARY_PATH" in text or ".keras" in text for text in render_hooks(*JAX).values())


@all_shells
def test_the_text_of_a_hook_can_be_evaluated(session: Session) -> None:
    if session.shell.suffix in {"nu", "csh"}:
        pytest.skip("Nushell evaluates no text, and tcsh no lines")

    def evaluate(path: Path) -> None:
        quoted = session.shell.quote(path)
        session.lines.append(
            {
                "sh": f'\\eval "$(/bin/cat {quoted})"',
                "fish": f"eval (/bin/cat {quoted} | string collect)",
                "ps1": f"Get-Content -Raw {quoted} | Invoke-Expression",
            }[session.shell.suffix]
        )

    session.dump()
    evaluate(session.hook("activate", *JAX))
    session.dump()
    evaluate(session.hook("deactivate", *JAX))
    session.dump()
    before, active, after = session.run()
    assert selected(active, "KERAS_BACKEND") == ["jax"]
    assert after == before


@all_shells
def test_a_hook_can_be_sourced_in_a_function(session: Session) -> None:
    for phase in ("activate", "deactivate"):
        path = session.shell.quote(session.hook(phase, *JAX))
        session.lines.append(
            {
                "sh": f"{phase}_it() {{\n. {path}\n}}\n{phase}_it",
                "fish": f"function {phase}_it\nsource {path}\nend\n{phase}_it",
                "ps1": f"function {phase}_it {{ . {path} }}\n{phase}_it",
                "nu": f"def --env {phase}_it [] {{ source {path} }}\n{phase}_it",
                "csh": f"alias {phase}_it {session.shell.quote(f'source {path}')}\n{phase}_it",
            }[session.shell.suffix]
        )
        session.dump()
    active, after = session.run({"KERAS_BACKEND": "numpy"})
    assert selected(active, *JAX[1], "KGEN_SHLVL") == ["jax", "false", "1"]
    assert selected(after, *JAX[1], "KGEN_SHLVL") == ["numpy", None, None]


@pytest.mark.parametrize("program", ["bash", "zsh"])
def test_an_interactive_shell_takes_the_comments_too(program: str, tmp_path: Path) -> None:
    shell = next(shell for shell in SHELLS if shell.label == program)
    session = Session(shell=shell, root=tmp_path / "session")
    path = shell.quote(session.hook("activate", *JAX))
    done = subprocess.run(
        [session.program, *shell.arguments, "-i"],
        input=f'PS1= PS2=\neval "$(cat {path})"\n. {path}\necho "$KERAS_BACKEND $KGEN_SHLVL"\nexit\n',
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HISTFILE": "/dev/null", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
    )
    assert "jax 2" in done.stdout
    assert "not found" not in done.stderr


# --- the files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_golden_files(case: str) -> None:
    hooks = render_hooks(case, GOLDEN_CASES[case], in_locks=False)
    rendered = {path: text.encode() for path, text in hooks.items()}
    folder = GOLDEN / case
    if REGENERATE:
        for path, content in rendered.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    golden = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert golden == rendered


def checked_environments() -> list[tuple[str, Mapping[str, str]]]:
    return [
        *GOLDEN_CASES.items(),
        ("two", TORCH[1]),
        ("none", {}),
        *((text, {"KERAS_BACKEND": text}) for text in HOSTILE_TEXTS),
    ]


@pytest.mark.parametrize(
    "command",
    [["dash", "-n"], ["bash", "-n"], ["zsh", "-n"], ["fish", "--no-execute"]],
    ids=lambda command: command[0],
)
def test_shells_can_read_the_files(command: list[str], tmp_path: Path) -> None:
    shell = Shell(label=command[0], program=command[0])
    session = Session(shell=shell, root=tmp_path / "session")
    for environment, variables in [
        *GOLDEN_CASES.items(),
        ("two", TORCH[1]),
        ("none", {}),
        (HOSTILE_TEXTS[0], {}),
    ]:
        for phase in ("activate", "deactivate"):
            path = session.hook(phase, environment, variables)
            done = subprocess.run([session.program, command[1], path], capture_output=True, check=False, timeout=60)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_nushell_can_read_the_files(tmp_path: Path) -> None:
    session = Session(shell=Shell(label="nu", program="nu"), root=tmp_path / "session")
    paths = [
        session.hook(phase, environment, variables)
        for environment, variables in checked_environments()
        for phase in ("activate", "deactivate")
    ]
    broken = tmp_path / "broken.nu"
    broken.write_text(paths[0].read_text() + "}")
    checks = "".join(f"print (nu-check {shells.recognised('nu').quote(str(path))})\n" for path in [*paths, broken])
    done = subprocess.run(
        [session.program, "--no-config-file", "--commands", checks], capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode().split() == [*["true"] * len(paths), "false"]


@pytest.mark.parametrize("dialect", ["sh", "bash"])
def test_shellcheck_finds_nothing(dialect: str, tmp_path: Path) -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    paths = []
    for number, (environment, variables) in enumerate([*GOLDEN_CASES.items(), ("two", TORCH[1]), ("none", {})]):
        for path, text in render_hooks(environment, variables).items():
            if path.endswith(".sh"):
                paths.append(tmp_path / f"{number}-{path.replace('/', '-')}")
                paths[-1].write_text(text, encoding="utf-8")
    done = subprocess.run([program, "-s", dialect, *paths], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("environment", "variables"), checked_environments())
def test_the_files_are_whole_and_no_comment_is_broken_out_of(environment: str, variables: Mapping[str, str]) -> None:
    hooks = render_hooks(environment, variables, in_locks=False)
    assert list(hooks) == [
        f"{phase}.d/kgen.{suffix}"
        for phase in ("activate", "deactivate")
        for suffix in ("csh", "fish", "nu", "ps1", "sh")
    ]
    of_the_lock = [path for path in hooks if not path.endswith((".csh", ".nu"))]
    assert list(places()) == of_the_lock == list(render_hooks(environment, variables))
    for path, text in hooks.items():
        assert text.endswith("\n")
        header = [line for line in text.split("\n")[:3] if not line.startswith("# shellcheck")]
        assert re.fullmatch(r"# kgen: [ -~]+", header[0])
        command = "kgen lock" if path in of_the_lock else "kgen sync"
        assert header[1] == f"# Do not edit: `{command}` writes it again."
        assert "\r" not in text or "\r" in environment


def test_the_order_of_the_variables_does_not_matter() -> None:
    variables = {"B": "2", "A": "1", "a": "3", "_": "4"}
    assert render_hooks("x", variables) == render_hooks("x", dict(reversed(variables.items())))


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A\n", "$(touch pwned)", "\u00c4", "A;B", "A\0"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^not the name of an environment variable: "):
        render_hooks("x", {name: "1"})


@pytest.mark.parametrize("name", ["KGEN_SHLVL", "KGEN_ENVIRONMENT", "_KGEN_NAMES", "_KGEN_SAVED_1_A"])
def test_a_name_of_the_record_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^the hooks keep their own record in {name}: "):
        render_hooks("x", {name: "1"})


def test_the_library_path_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^hooks leave LD_LIBRARY_PATH alone: "):
        render_hooks("x", {"LD_LIBRARY_PATH": "/usr/lib"})


def test_an_environment_needs_a_name() -> None:
    with pytest.raises(ValueError, match=r"^an environment without a name can have no hooks$"):
        render_hooks("", {})


# --- quoting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", shells.known(), ids=lambda shell: shell.name)
@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_nul_is_refused(shell: shells.Shell, text: str) -> None:
    with pytest.raises(ValueError, match=r"^no environment variable can hold NUL: "):
        shell.quote(text)


@given(st.text())
@example("\u2018'\u2019''\u201a\u201b")
def test_powershell_reads_back_what_was_quoted(text: str) -> None:
    text = text.replace("\0", "")
    quoted = shells.recognised("pwsh").quote(text)
    assert quoted[0] == quoted[-1] == "'"
    # PowerShell's rule: inside, any two quotes in a row are the first of them; a single one would be the end.
    inside = re.sub("(['\u2018-\u201b])(['\u2018-\u201b])", r"\1", quoted[1:-1])
    assert inside == text
    assert not re.search("['\u2018-\u201b]", re.sub("['\u2018-\u201b]{2}", "", quoted[1:-1]))


@pytest.mark.parametrize("program", ["dash", "bash", "zsh", "fish", "nu"])
def test_a_shell_reads_back_what_was_quoted(program: str, tmp_path: Path) -> None:
    shell = next(shell for shell in SHELLS if shell.label == program)
    session = Session(shell=shell, root=tmp_path / "session")
    choice = random.Random(20260101)  # noqa: S311 - test data
    alphabet = "'\"\\`$(){}[]*?~!#%&|;<>= \t\n\r-ab0\u00e9\u2018\u2019\U0001f600"
    texts = [
        *HOSTILE_TEXTS,
        *("".join(choice.choices(alphabet, k=choice.randint(1, 12))) for _ in range(500)),
    ]
    script = tmp_path / "script"
    written = "print --no-newline {}\nprint --no-newline (char nul)\n" if program == "nu" else "printf '%s\\0' {}\n"
    script.write_bytes("".join(written.format(shell.quote(text)) for text in texts).encode())
    done = subprocess.run(
        [session.program, *shell.arguments, str(script)],
        cwd=session.root / "here",
        env={"LC_ALL": "C.UTF-8", "HOME": str(session.root / "home"), "PATH": "/nonexistent"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    # `printf` itself takes what begins with a dash and follows the format as text, in every shell.
    assert done.stdout.decode().split("\0")[:-1] == texts
    assert done.stderr == b""


# --- where the templates lie -----------------------------------------------------------------------------


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kgen that lies in another place; gives the folder of its package."""
    package = tmp_path / "top" / "generator" / "kgen"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    return package


def test_the_packed_folder_comes_first(moved: Path) -> None:
    (moved.parents[1] / "templates").mkdir()
    assert resources.folder("templates") == moved.parents[1] / "templates"
    (moved / "_data" / "templates").mkdir(parents=True)
    assert resources.folder("templates") == moved / "_data" / "templates"


def test_without_data_the_installation_is_at_fault(moved: Path) -> None:
    with pytest.raises(OutsideError) as caught:
        resources.folder("matrix")
    assert caught.value.message == (
        f"kgen's folder of data files `matrix` is missing: neither {moved / '_data' / 'matrix'} "
        f"nor {moved.parents[1] / 'matrix'} is there"
    )


def test_the_sources_read_the_repository() -> None:
    if (Path(resources.__file__).parent / "_data").exists():
        pytest.skip("kgen is installed from a wheel")
    assert resources.folder("templates") == Path(__file__).resolve().parents[1] / "templates"
