"""How a command fails: every kind of failure as an error of the house, and that on stderr in one style.

    error: there is no dataset 'handbok' in .vecver
      did you mean 'handbook'?
      `vecver ingest handbok SOURCE` makes it; there are: handbook

With --json the same is one line of JSON: {"error": {"code", "message", "hint", "context"}}. The exit code is that of
the error's category (`vecver.errors`); 2 for wrong usage, which click finds; 130 for Ctrl-C.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable

import click

from vecver.cli.command_table import SYNONYMS
from vecver.cli.terminal import console
from vecver.cli.terminal.interrupts import INTERRUPTED
from vecver.errors import DID_YOU_MEAN, BackendError, InvalidInputError, VecverError, hint_for
from vecver.near import near

GLOBAL = ("--repo", "--color", "--version")  # options that stand before the command
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SUGGESTION = re.compile(rf"({DID_YOU_MEAN} .*?\?) ")


class Interrupted(VecverError):
    """Ctrl-C. Raised by a command that knows what is kept and how to go on."""

    exit_code = INTERRUPTED


def show(error: VecverError, *, as_json: bool) -> None:
    """One error, for a person or for a program, on stderr."""
    hint = hint_for("cli", error.hint)
    if as_json:
        problem = {"code": error.code, "message": error.message, "hint": hint, "context": error.context}
        click.echo(json.dumps({"error": problem}, ensure_ascii=False, default=str), err=True)
        return
    screen = console.err()
    label = "stopped" if isinstance(error, Interrupted) else "error"
    styled = click.style(label, fg="yellow" if label == "stopped" else "red") if screen.colour else label
    width = screen.width if screen.terminal else 0
    message = f"{label}: {_printable(error.message)}"
    if "\n" not in message:
        message = _indented(message, width).removeprefix("  ")
    screen.write(f"{styled}{message.removeprefix(label)}\n")
    for line in hint_lines(hint):
        screen.write(_indented(_printable(line), width) + "\n")


def _printable(content: str) -> str:
    """A text without what would move the cursor or set the title: names in it may come from anywhere."""
    return _CONTROL.sub("�", content)


def hint_lines(hint: str) -> list[str]:
    """A hint as the lines of a terminal: the question whether something else was meant stands on its own."""
    return [line for line in _SUGGESTION.sub(r"\1\n", hint, count=1).split("\n") if line.strip()]


def of(error: BaseException, *, commands: Iterable[str] = ()) -> VecverError:
    """A failure as an error of the house."""
    if isinstance(error, VecverError):
        return error
    if isinstance(error, click.ClickException):
        return _of_usage(error, commands)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Interrupted(
            "nothing was left half done", code="interrupted", hint="the same command goes on from what is kept"
        )
    if isinstance(error, RecursionError):
        return InvalidInputError("what was given is nested too deeply", code="too_deep", hint="simplify it")
    assert isinstance(error, OSError)
    where = f"{error.filename} could not be reached" if error.filename else "the output could not be written"
    return BackendError(  # of a place that no room below speaks of, such as a full disk under stdout
        f"{where}: {error.strerror or error}",
        code="io_failed",
        hint="check its permissions and the space that is left there, then run the command again",
    )


def _of_usage(error: click.ClickException, commands: Iterable[str]) -> InvalidInputError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "vecver"
    message, hint = _plain(error.format_message()), f"`{path} --help` shows how it is used"
    meant: list[str] = []
    if isinstance(error, click.exceptions.NoSuchCommand):
        message = f"there is no command {_name(error)!r}"
        meant = _commands_like(_name(error), commands, context)
        hint = f"`{path} --help` lists the commands"
    elif isinstance(error, click.NoSuchOption):
        message, hint, meant = _of_option(error, path, context)
    elif isinstance(error, click.MissingParameter) and context:
        message, hint = _of_missing(error, context)
    elif isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
        value = re.search(r"'([^']*)' is not one of", error.format_message())
        meant = near(value[1], [str(choice) for choice in error.param.type.choices]) if value else []
    elif context and "unexpected extra argument" in message:
        hint = f"a text of several words needs quotes; {hint}"
    return InvalidInputError(message, code="invalid_usage", hint=hint, command=path, did_you_mean=meant)


def _name(error: click.exceptions.NoSuchCommand) -> str:
    return str(error.command_name)


def _commands_like(name: str, commands: Iterable[str], context: click.Context | None) -> list[str]:
    """What people call a command elsewhere, else those with nearly its name."""
    if context and context.parent and isinstance(context.command, click.Group):
        return near(name, context.command.list_commands(context))
    return [SYNONYMS[name]] if name in SYNONYMS else near(name, commands)


def _of_option(error: click.NoSuchOption, path: str, context: click.Context | None) -> tuple[str, str, list[str]]:
    """(message, hint, near names) for an option that the command does not have."""
    name = error.option_name
    options = [option for parameter in (context.command.params if context else ()) for option in parameter.opts] + [
        "--help"
    ]
    if name in GLOBAL and context and context.parent:
        rest = context.info_name
        return f"{name} stands before the command", f"write `vecver {name} {_VALUE.get(name, '')}{rest} …`", []
    meant = near(name, [option for option in options if option.startswith("--")])
    return f"{path} has no option {name!r}", f"`{path} --help` lists its options", meant


_VALUE = {"--repo": "URL ", "--color": "never "}


def _of_missing(error: click.MissingParameter, context: click.Context) -> tuple[str, str]:
    """(message, hint) for an argument or option that was left out."""
    usage = " ".join(context.command.collect_usage_pieces(context)).replace("[OPTIONS] ", "")
    message = _plain(error.format_message())
    if isinstance(error.param, click.Option):
        usage += f" {max(error.param.opts, key=len)} {error.param.make_metavar(context)}"
    if isinstance(error.param, click.Argument):
        message = f"{error.param.make_metavar(context).removesuffix('...')} is missing"
    return message, f"write `{context.command_path} {usage}`; `{context.command_path} --help` has examples"


def _plain(message: str) -> str:
    """click's sentence in the style of the house: no capital, no full stop."""
    message = message.strip().removesuffix(".")
    return message[:1].lower() + message[1:]


def _indented(line: str, width: int) -> str:
    if not width:
        return f"  {line}"
    wrapped = textwrap.wrap(line, max(width - 2, 20), break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"  {part}" for part in wrapped)
