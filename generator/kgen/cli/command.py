"""How kgen uses Typer: commands are loaded when they are called, and their errors are kgen's.

Commands are functions with declared parameters (:mod:`kgen.cli.options`), in modules that :mod:`kgen.cli.registry`
finds. Typer makes commands of them and parses arguments. It passes every value through pydantic, whose import takes as
long as the rest of a call; because kgen's own parsers take text, :class:`_Text` leaves values as the user typed them.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from kgen.cli import console, foreign, registry
from kgen.cli.registry import Declaration
from kgen.errors import MEANINGS, SettingsError, UsageError
from kgen.model.grammar import YES
from kgen.tables import nearest

if TYPE_CHECKING:  # the bases of Typer's own classes, which it exports by no public name
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter
    from typer._click.core import Parameter
    from typer._click.shell_completion import CompletionItem

Rows = list[tuple[str, str]]
"""What the user can type, and what it means."""

EPILOG = f"Exit status: {', '.join(f'{status} {meaning}' for status, meaning in MEANINGS.items())}."

_ARGUMENTS = "Arguments"
_OPTIONS = "Options"
_HELP_WIDTH = 100
_HELP = ("-h", "--help")
_SETTINGS = {"help_option_names": [*_HELP], "max_content_width": _HELP_WIDTH}
_QUOTED = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")
"""A word of a command line, including its quotes."""

_OPTIONAL = re.compile(r"\[.+\]")
"""The metavar of an option whose value is optional."""


# -- parameters --------------------------------------------------------------------------------------------------------


class _Text:
    """A parameter whose value stays as typed: a text, several texts, or a boolean."""

    name: str
    nargs: int
    multiple: bool
    required: bool
    metavar: str | None
    help: str | None
    callback: Callable[[Any, Any, Any], Any] | None

    if TYPE_CHECKING:

        def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]: ...

    def process_value(self, ctx: Context, value: Any) -> Any:  # noqa: ANN401 - as Typer has it
        if self.multiple or self.nargs == -1:
            value = tuple(value or ())
        if value in (None, ()) and (self.required or self._needed_in(ctx)):
            # what a shell would complete makes a valid call
            example = next((one.value for one in self.shell_complete(ctx, "")), None)
            program = " -- python" if isinstance(ctx.command, _Shared) and ctx.command.runs_a_program else ""
            first = []
            if example is not None:
                first = [f"{ctx.command_path} {shlex.quote(example)}{program}"]
            elif self.metavar == "ENV":
                first = ["kgen lock"]  # without a lock there is nothing to be named
            raise UsageError(
                f"`{ctx.command_path}` needs {self.metavar}: {self.help}",
                hints=[
                    *first,
                    f"{ctx.command_path} --help",
                ],
            )
        return value if self.callback is None else self.callback(ctx, self, value)

    def _needed_in(self, ctx: Context) -> bool:
        """Whether this is an argument that no option in the call replaces; options are parsed before arguments."""
        instead = ctx.command.declaration.instead if isinstance(ctx.command, _Shared) else ""
        return bool(instead) and isinstance(self, TyperArgument) and not ctx.params.get(instead)


class _TextOption(_Text, TyperOption):
    pass


class _TextArgument(_Text, TyperArgument):
    pass


def _of_text(parameter: Parameter) -> Parameter:
    """The same parameter with its value left as text."""
    kind = _TextOption if isinstance(parameter, TyperOption) else _TextArgument
    made: Parameter = kind.__new__(kind)
    vars(made).update(vars(parameter))
    return made


def _show_help(ctx: Context, _parameter: Parameter, value: object) -> None:
    if value and not ctx.resilient_parsing:
        console.result(ctx.get_help())
        ctx.exit()


# -- commands ----------------------------------------------------------------------------------------------------------

_OF_ENVIRONMENT = {"lock": "   # solves and locks it", "run": " -- python train.py", "shell": ""}
"""What is mostly done with an environment -> how its call goes on."""

PROGRAM = "kgen.program"
"""The context key for the call of another program, for commands that declare one."""


class _Shared:
    """What commands and groups have in common: parsing, errors, and help."""

    params: list[Parameter]
    allow_extra_args = True
    declaration: Declaration = Declaration(purpose="", example="")
    _help: Parameter | None = None

    @property
    def runs_a_program(self) -> bool:
        """Whether a call ends with the call of another program, as its example does."""
        return " -- " in self.declaration.example

    if TYPE_CHECKING:
        context_class: type[Context]

        def get_params(self, ctx: Context) -> list[Parameter]: ...

        def make_parser(self, ctx: Context) -> Any: ...  # noqa: ANN401 - which Typer exports by no public name

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """The option that shows the help; created once, because Typer compares parameters by identity."""
        if self._help is None:
            found = super().get_help_option(ctx)  # type: ignore[misc]
            self._help = _of_text(found)
            self._help.callback = _show_help
            self._help.opts = sorted(self._help.opts, key=len)
            self._help.help = "show this help"  # type: ignore[attr-defined]
            self._help.rich_help_panel = _OPTIONS  # type: ignore[attr-defined]
        return self._help  # type: ignore[return-value]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the words after the command.

        Raises:
            UsageError: they are not valid.
        """
        words = list(args)
        if not ctx.resilient_parsing:
            self._require_once(ctx, words)
        try:
            rest: list[str] = super().parse_args(ctx, self._with_values(ctx, words))  # type: ignore[misc]
        except typer.TyperException as fault:
            raise self._usage_error(ctx, words, fault) from None
        return rest

    def _require_once(self, ctx: Context, words: Sequence[str]) -> None:
        """Check that no option with a single value is given several, of which the parser would take the last.

        Raises:
            UsageError: one is.
        """
        try:
            _, _, typed = self.make_parser(ctx).parse_args(self._with_values(ctx, words))
        except typer.TyperException:  # which the call itself reports
            return
        for one in dict.fromkeys(typed):
            single = isinstance(one, TyperOption) and not (one.multiple or one.is_flag or one.count)
            times = typed.count(one)
            if not single or times == 1:
                continue
            values = [value for value in map(_value_of(one.opts, words), range(len(words))) if value is not None]
            if len(values) == times and len({*values}) == 1:
                continue
            flag, told = max(one.opts, key=len), len(values) == times
            raise UsageError(
                f"`{flag}` takes one value, and is given {times}"
                + (f": {', '.join(map(console.plain, values))}" if told else ""),
                hints=[
                    f"give one of them, such as {shlex.join([flag, values[0]])}" if told else f"{ctx.command_path} -h"
                ],
            )

    def _options(self, ctx: Context) -> dict[str, Parameter]:
        return {
            word: one for one in self.get_params(ctx) for word in (*one.opts, *one.secondary_opts) if word[:1] == "-"
        }

    def _with_values(self, ctx: Context, words: Sequence[str]) -> list[str]:
        """The words, with a value for each option whose optional value is missing."""
        optional = {word for word, one in self._options(ctx).items() if _OPTIONAL.fullmatch(one.metavar or "")}
        end = words.index("--") if "--" in words else len(words)
        return [
            f"{word}={YES}"
            if place < end and word in optional and (words[place + 1 : place + 2] or ["-"])[0].startswith("-")
            else word
            for place, word in enumerate(words)
        ]

    def _usage_error(self, ctx: Context, words: Sequence[str], fault: typer.TyperException) -> UsageError:
        path, options = ctx.command_path, self._options(ctx)
        name: str | None = getattr(fault, "option_name", None)
        if name is None:
            return UsageError(f"`{path}`: {fault.format_message()}", hints=[f"{path} --help"])
        if name not in options:
            return self._unknown_option(ctx, name, words)
        says = (
            "takes no value"
            if getattr(options[name], "is_flag", False)
            else f"needs a value: {name} {_value(options[name])}"
        )
        return UsageError(f"`{path}`: `{name}` {says}", hints=[f"{path} --help"])

    def _unknown_option(self, ctx: Context, name: str, words: Sequence[str]) -> UsageError:
        """The error for an unknown option, with the call that the user may have meant; kgen has parsed that call."""
        fault = misspelt(ctx.command_path, "option", name, (), words)
        meant = self.meant(ctx, words)
        if meant is not None and meant.row is not None and meant.row.program and self.declaration.program_by:
            place = next(at for at, word in enumerate(words) if _is(word, name))
            given = words[place].partition("=")[2]
            return self._with_program_by(ctx, fault, words[:place], [*([given] if given else []), *words[place + 1 :]])
        if meant is None:
            return self._with_options_by(ctx, fault, words)
        return answered(fault, meant)

    def meant(self, ctx: Context, words: Sequence[str], so_far: foreign.Meant | None = None) -> foreign.Meant | None:
        """The call that the user may have meant by words which the command does not know; None if it is not valid.

        Args:
            ctx: the context of the command.
            words: the words after it.
            so_far: what is known about the call, if the command itself was called by another word.
        """
        group = ctx.find_root().command
        assert isinstance(group, Group)  # noqa: S101 - kgen itself
        path = ctx.command_path.split()[1:] or [""]
        options = self._options(ctx)

        def wrong(call: Sequence[str]) -> str | None:
            if list(call[: len(path)]) != path:
                return None if is_call(group, call) else ""
            name = self._fits(ctx, call[len(path) :])
            return "" if name in options else name

        def near(call: Sequence[str], name: str) -> Sequence[str] | None:
            found = like_option(name, options, call[len(path) :])
            return None if found is None else [*path, *found]

        meant = foreign.meant([*path, *words], wrong, near, _every, so_far)
        if meant is None or meant.words is None:
            return meant
        call = [word for word in meant.words if word]
        if is_call(group, call):
            return meant._replace(words=tuple(call))
        return meant._replace(words=None) if meant.says else None

    def _is_own_call(self, ctx: Context, words: Sequence[str]) -> bool:
        """Whether words can stand behind this command."""
        group = ctx.find_root().command
        return isinstance(group, Group) and is_call(group, [*ctx.command_path.split()[1:], *words])

    def _with_program_by(
        self, ctx: Context, fault: UsageError, before: Sequence[str], program: Sequence[str]
    ) -> UsageError:
        """The same error, with the call of the command that runs a program, if that call is valid."""
        program = ["sh", "-c", *program] if len(program) == 1 and len(program[0].split()) > 1 else program
        if before and not before[0].startswith("-"):
            before = [*before[1:], before[0]]  # options of a command that runs programs stand before the environment
        call = [self.declaration.program_by, *before, "--", *program]
        group = ctx.find_root().command
        assert isinstance(group, Group)  # noqa: S101 - kgen itself
        try:
            context_of(group, call)
        except UsageError:
            return fault
        return UsageError(fault.message, hints=[f"kgen {shlex.join(call)}", *fault.hints])

    def _with_options_by(self, ctx: Context, fault: UsageError, words: Sequence[str]) -> UsageError:
        """The same error, with the call of the command that has such options, if that call is valid."""
        if not self.declaration.options_by or any(not one.startswith("-") for one in words[:1]):
            return fault
        call = [self.declaration.options_by, *words]
        group = ctx.find_root().command
        assert isinstance(group, Group)  # noqa: S101 - kgen itself
        try:
            found = context_of(group, call)
        except UsageError:
            return fault
        # the other command would take an argument for something else
        if any(found.params.get(one.name or "") for one in found.command.params if isinstance(one, TyperArgument)):
            return fault
        return UsageError(fault.message, hints=[f"did you mean `kgen {shlex.join(call)}`?", *fault.hints])

    def _fits(self, ctx: Context, words: Sequence[str]) -> str | None:
        """What is wrong with these words: an option, empty for anything else, None if they are valid."""
        try:
            _, rest, _ = self.make_parser(ctx).parse_args(self._with_values(ctx, words))
        except typer.TyperException as fault:
            return getattr(fault, "option_name", None) or ""
        return "" if rest and isinstance(self, TyperCommand) else None

    # -- help ----------------------------------------------------------------------------------------------------------

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the help: the usage, the purpose, an example, and the parameters by panel."""
        # the formatter's own width is never below 50, so a narrow terminal would wrap its lines again
        width = min(formatter.width, console.columns() or formatter.width)
        start = f"usage: {ctx.command_path} "
        parts = [
            console.filled(self.usage(ctx), width, before=start, indent=min(len(start), width // 2)),
            console.filled(console.words_of(sentence(self.declaration.purpose)), width),
        ]
        if self.declaration.example:
            words = _QUOTED.findall(self.declaration.example)
            # the example can be pasted, wrapped or not
            parts.append("Example:\n" + console.filled(words, width, before="  ", indent=4, going_on=" \\"))
        parts += [f"{panel}:\n{_listed(rows, width)}" for panel, rows in self.panels(ctx).items()]
        formatter.write("\n\n".join([*parts, console.filled(console.words_of(EPILOG), width)]) + "\n")

    def usage(self, ctx: Context) -> list[str]:
        """The words after the command in its usage."""
        arguments = [one for one in self.get_params(ctx) if isinstance(one, TyperArgument)]
        program = [self.declaration.program] if self.declaration.program else []
        return ["[OPTION ...]", *map(_place, arguments), *program]

    def panels(self, ctx: Context) -> Mapping[str, Rows]:
        """What the user can type after the command, by panel."""
        found: dict[str, Rows] = {}
        for one in self.get_params(ctx):
            if not getattr(one, "hidden", False):
                default = _ARGUMENTS if isinstance(one, TyperArgument) else _OPTIONS
                panel = getattr(one, "rich_help_panel", None) or default
                found.setdefault(panel, []).append((_term(one), getattr(one, "help", None) or ""))
        return found


class Command(_Shared, TyperCommand):
    """A command of kgen."""

    def __init__(self, *arguments: Any, params: Sequence[Parameter] = (), **settings: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, params=list(map(_of_text, params)), **settings)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the words after the command; none may be left over."""
        if self.declaration.program and "--" in args:
            place = args.index("--")
            args, ctx.meta[PROGRAM] = args[:place], args[place + 1 :]
        typed = list(args)
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            hint = f"{ctx.command_path} --help"
            if self.declaration.leftover:
                before = typed[: len(typed) - 1 - typed[::-1].index(rest[0])]
                hint = f"{ctx.command_path} {shlex.join([*before, self.declaration.leftover, rest[0]])}"
            without = typed[: len(typed) - 1 - typed[::-1].index(rest[0])] if len(rest) == 1 else []
            if (
                len(rest) == 1
                and not self.declaration.leftover + self.declaration.program_by
                and self._is_own_call(ctx, without)
            ):
                hint = shlex.join([*ctx.command_path.split(), *without])
            fault = UsageError(f"`{ctx.command_path}`: unexpected `{console.plain(rest[0])}`", hints=[hint])
            if self.declaration.program_by:
                place = len(typed) - len(rest)
                before = typed[:place][: -1 if typed[place - 1] == "--" else None]
                fault = self._with_program_by(ctx, fault, before, rest)
            raise fault
        return rest


class Group(_Shared, TyperGroup):
    """Commands that are loaded when they are called."""

    group = ""
    """The command that has these actions; empty for kgen itself."""

    def __init__(self, *arguments: Any, params: Sequence[Parameter] = (), **settings: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, params=list(map(_of_text, params)), **settings)
        self._loaded: dict[str, AnyCommand] = {}

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - as Typer calls it
        """The names of the commands, in the order of the help."""
        return list(registry.declarations(self.group))

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:  # noqa: ARG002 - as above
        """The command of this name, whose module is imported now; None if there is none."""
        if cmd_name not in self._loaded:
            declaration = registry.declaration(self.group, cmd_name)
            if declaration is None:
                return None
            self._loaded[cmd_name] = load(self.group, cmd_name, declaration)
        return self._loaded[cmd_name]

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        """The command that the first word names, and the words after it.

        Raises:
            UsageError: there is no such command.
        """
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise self._unknown_command(ctx, args)
        return args[0] if command else None, command, args[1:]

    def _unknown_command(self, ctx: Context, args: Sequence[str]) -> UsageError:
        """The error for an unknown command, with the call that the user may have meant; kgen has parsed that call."""
        found = None if self.group else foreign.command(args)
        if self.group and (of_group := foreign.command([self.group, *args])) is not None:
            fault = UsageError(f"unknown command `{of_group.typed}`", hints=[f"{ctx.command_path} --help"])
            return answered(fault, of_group)
        if found is None and not self.group and (hints := self._of_backend(args)):
            return UsageError(f"unknown command `{args[0]}`", hints=[*hints, f"{ctx.command_path} --help"])
        if found is None:
            return misspelt(ctx.command_path, "command", args[0], registry.declarations(self.group), args)
        fault = UsageError(f"unknown command `{found.typed}`", hints=[f"{ctx.command_path} --help"])
        if found.words is None or found.words[0].startswith("-"):
            is_one = found.words is not None and is_call(self, found.words)
            return answered(fault, found if is_one else found._replace(words=None))
        name, *rest = found.words
        there = self.get_command(ctx, name)
        if there is None:  # behind the name of another tool
            return misspelt(ctx.command_path, "command", name, registry.declarations(), found.words)
        assert isinstance(there, _Shared)  # noqa: S101 - as all are
        context = there.context_class(there, info_name=name, parent=ctx)
        fault.hints = (f"{ctx.command_path} {name} --help", *fault.hints)
        other = there.meant(context, rest, found) or foreign.Meant(None)
        meant = other._replace(says=tuple(dict.fromkeys([*found.says, *other.says])))
        if meant.words is not None:
            fault.hints = fault.hints[1:]
        return answered(fault, meant)

    def _of_backend(self, args: Sequence[str]) -> list[str]:
        """The calls that may be meant where a backend or an environment stands in the place of a command, as hints."""
        from kgen import accelerators  # noqa: PLC0415 - only a mistake pays for it
        from kgen.matrix import origin  # noqa: PLC0415

        name, *rest = args
        if accelerators.without_ending(name) not in origin.current().short_names:
            return []
        swapped = [rest[0], name, *rest[1:]] if rest else []
        if swapped and self.get_command(typer.Context(self), rest[0]) is not None and is_call(self, swapped):
            return [f"did you mean `kgen {shlex.join(swapped)}`?"]
        return [f"kgen {one} {shlex.quote(name)}{more}" for one, more in _OF_ENVIRONMENT.items()]

    def usage(self, ctx: Context) -> list[str]:
        """The words after the command in its usage."""
        return [*super().usage(ctx), "COMMAND ..."]

    def panels(self, ctx: Context) -> Mapping[str, Rows]:
        """The commands by panel, then the options."""
        found: dict[str, Rows] = {}
        for name, one in registry.declarations(self.group).items():
            found.setdefault(one.panel or "Commands", []).append((name, one.purpose))
        return {**found, **super().panels(ctx)}


def load(group: str, name: str, declaration: Declaration) -> Command | Group:
    """The command in a module, which Typer makes from its function `run`; a group if the module declares actions."""
    module = registry.load(group, name)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    if declaration.actions:
        made = group_of(app, name, module.run)
    else:
        settings = {**_SETTINGS, **({"allow_interspersed_args": False} if declaration.passes_on else {})}
        app.command(name, cls=Command, context_settings=settings)(module.run)
        made = typer.main.get_command(app)  # type: ignore[assignment]
    assert isinstance(made, Command | Group)  # noqa: S101 - what it was told to make
    made.declaration = declaration
    return made


def group_of(app: typer.Typer, group: str, callback: Callable[..., None]) -> Group:
    """The group of a command's actions, or of all commands.

    Args:
        app: an empty Typer application.
        group: the command; empty for kgen itself.
        callback: called before any of them, with the parameters of the group.
    """
    app.callback(cls=Group, invoke_without_command=True, context_settings=_SETTINGS)(callback)
    made = typer.main.get_command(app)
    assert isinstance(made, Group)  # noqa: S101 - what it was told to make
    made.group = group
    return made


# -- texts -------------------------------------------------------------------------------------------------------------


def answered(fault: UsageError, meant: foreign.Meant) -> UsageError:
    """The same error, with the call that was meant and what kgen does differently."""
    text = meant.text
    return UsageError(
        ": ".join([fault.message, *(["; ".join(meant.says)] if meant.says else [])]),
        hints=[*([] if text is None else [f"did you mean `{text}`?"]), *fault.hints],
    )


def _every(kind: str) -> Sequence[str]:
    """What the project has of a kind, such as `extras`."""
    from kgen.actions import requirements  # noqa: PLC0415 - only one who asks for all of them pays for it
    from kgen.project import find_root  # noqa: PLC0415 - as above

    try:
        return requirements.named_parts(find_root(Path.cwd()))[kind]
    except SettingsError:  # which the call that was meant reports
        return ()


def is_call(group: Group, words: Sequence[str]) -> bool:
    """Whether the words after the program can be parsed."""
    if not {*_HELP}.isdisjoint(words):
        return True  # which would be printed
    try:
        context_of(group, words)
    except UsageError:
        return False
    return True


def misspelt(path: str, kind: str, wrong: str, known: Iterable[str], words: Sequence[str]) -> UsageError:
    """The error for an unknown word, with the whole call that the user may have meant.

    Args:
        path: the command that does not know the word.
        kind: what the word should be: an option, a command.
        wrong: the word.
        known: the known words.
        words: all words after the command.
    """
    near = nearest(wrong, tuple(known))
    hints = [f"{path} --help"]
    if near is not None and kind == "command":
        hints.insert(0, f"did you mean `{path} {shlex.join([near if word == wrong else word for word in words])}`?")
    # a command is named as it would be called; an option belongs to the command that it stands behind
    inside = path.partition(" ")[2]
    if kind == "command":
        wrong = f"{inside} {wrong}".strip()
    where = f"`{path}`: " if inside and kind == "option" else ""
    return UsageError(f"{where}unknown {kind} `{wrong}`", hints=hints)


_OPTIONS_ALIKE = 0.72
"""Similarity from which an option, without its hyphens, may stand for another: `jsno` for `json`, but not `command`."""


def like_option(wrong: str, known: Iterable[str], words: Sequence[str]) -> list[str] | None:
    """The words with the option that the user may have meant by an unknown one; None if no option is similar.

    Args:
        wrong: the option.
        known: the known options.
        words: all words after the command.
    """
    bare = {one.lstrip("-"): one for one in known}
    glued = re.fullmatch(r"(--[a-z-]+?)=?([0-9][0-9.]*)", wrong)
    if glued is not None and glued[1] in bare.values():
        return [part for word in words for part in (glued.groups() if word == wrong else (word,))]
    near = nearest(wrong.lstrip("-"), bare, _OPTIONS_ALIKE)
    if near is None:
        return None
    return [bare[near] + word.removeprefix(wrong) if _is(word, wrong) else word for word in words]


def _is(word: str, option: str) -> bool:
    return word == option or word.startswith(f"{option}=")


def sentence(purpose: str) -> str:
    """A purpose as a sentence."""
    return f"{purpose[:1].upper()}{purpose[1:]}{'' if purpose[-1:] in {'', '.', '?', ')'} else '.'}"


def _place(argument: TyperArgument) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name} ..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _value(option: Parameter) -> str:
    return option.metavar or option.name.upper()


def _listed(rows: Rows, width: int) -> str:
    """What the user can type with its meaning, side by side, or below each other if a word is too long for that."""
    most = width // 3
    column = max((len(term) for term, _ in rows if len(term) <= most), default=0)
    lines = []
    for term, text in rows:
        before = f"  {term.ljust(column)}  "
        if len(term) > column:
            lines.append(f"  {term}")
            before = " " * (column + 4)
        lines.append(console.filled(console.words_of(text), width, before=before, indent=column + 4))
    return "\n".join(lines)


def _value_of(names: Sequence[str], words: Sequence[str]) -> Callable[[int], str | None]:
    """A function that returns the value of an option of these names at an index of the words; None if there is none."""

    def value(place: int) -> str | None:
        name, sign, own = words[place].partition("=")
        if name not in names:
            return None
        following = next((word for word in words[place + 1 : place + 2] if not word.startswith("-")), None)
        return own if sign else following

    return value


def _term(parameter: Parameter) -> str:
    """What the user types for a parameter."""
    if isinstance(parameter, TyperArgument):
        return parameter.metavar or parameter.name.upper()
    words = ", ".join((*parameter.opts, *parameter.secondary_opts))
    return words if getattr(parameter, "is_flag", False) else f"{words} {_value(parameter)}"


# -- parsing without running -------------------------------------------------------------------------------------------


def context_of(group: Group, words: Sequence[str], *, lenient: bool = False) -> Context:
    """The context of the command in a command line, with the values of its parameters; nothing is run.

    Args:
        group: all commands.
        words: the command line without the program.
        lenient: whether it may be wrong or unfinished; the context then contains what is known.

    Raises:
        UsageError: it is wrong.
    """
    rest = list(words)
    context = group.make_context("kgen", list(words), resilient_parsing=lenient)
    while isinstance(context.command, Group):
        # the options of groups take no values, so the first other word is a command
        rest = list(itertools.dropwhile(lambda word: word.startswith("-") and word != "-", rest))
        if not rest:
            break
        name, found, rest = context.command.resolve_command(context, rest)
        if found is None:
            break
        context = found.make_context(name, list(rest), parent=context, resilient_parsing=lenient)
    return context
