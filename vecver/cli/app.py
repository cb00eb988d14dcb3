"""The program: its global options, its commands, and how an error ends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, NoReturn

import click

from vecver.cli import failures
from vecver.cli.command_table import EXAMPLES, GROUPS, MODULES
from vecver.cli.terminal import console
from vecver.cli.terminal.interrupts import guard_end
from vecver.errors import VecverError
from vecver.settings import load_settings

COMPLETING = "_VECVER_COMPLETE"  # set by the scripts of `vecver completion`
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Program(click.Group):
    """Imports a command's module when it runs, lists commands by task, and ends every error with message and hint."""

    def main(self, args: Sequence[str] | None = None, *_: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command and exit: by an error's category, with 2 for wrong usage, with 130 when interrupted."""
        arguments = [_readable(word) for word in (sys.argv[1:] if args is None else args)]
        extra["prog_name"] = "vecver"
        if os.environ.get(COMPLETING):
            _complete()
        if not standalone_mode:
            return super().main(arguments, standalone_mode=False, **extra)
        try:
            code = super().main(arguments, standalone_mode=False, **extra)
            sys.exit(code if isinstance(code, int) else 0)
        except (VecverError, click.ClickException, click.Abort, KeyboardInterrupt, OSError, RecursionError) as error:
            _end(error, arguments)

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **named)
        except BrokenPipeError as error:  # --help in a pipe
            _end(error, ())

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # which click would end with 1
            _end(error, ())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)  # in the order of the work, not of the alphabet

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        module = import_module(f"vecver.cli.commands.{MODULES[cmd_name]}")
        command: click.Command = next(command for command in module.COMMANDS if command.name == cmd_name)
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[cmd_name])
        if os.environ.get(COMPLETING):
            from vecver.cli.completion import attach

            attach(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(11), line) for name, (_, line) in commands.items()])


@click.group(cls=Program, context_settings=CONTEXT, epilog="`vecver COMMAND --help` has its options, with examples.")
@click.option("--repo", metavar="URL", help="The repository. Default: VECVER_REPO, or .vecver here or above.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colours: on a terminal (auto, the default), always, or never.",
)
@click.version_option(package_name="vecver", prog_name="vecver")
@click.pass_context
def main(context: click.Context, repo: str | None, color: console.Choice) -> None:
    """Version control for what a RAG application retrieves from.

    DATASET@REVISION names a version: handbook@prod, handbook@main~2, handbook@3f9a2c1,
    handbook@@{2026-11-01}. Without @REVISION it is the newest one on the branch main.
    """
    console.choose_color(color)
    settings = load_settings()
    context.obj = replace(settings, repo=repo, named=True) if repo else settings


def _readable(word: str) -> str:
    """A word of the command line as UTF-8, whatever the locale: document ids are UTF-8."""
    try:
        return word.encode(sys.getfilesystemencoding(), "surrogateescape").decode("utf-8")
    except UnicodeError:
        return word


def _complete() -> NoReturn:
    """Answer a shell that completes a line; after an error there are no candidates."""
    from vecver.cli import completion  # registers our completion of bash with click

    with suppress(Exception):
        completion.answer(main)
    sys.exit(0)


def _end(error: BaseException, arguments: Sequence[str]) -> NoReturn:
    """Show an error and exit with its code."""
    guard_end()
    if isinstance(error, BrokenPipeError):  # the reader of the output is gone
        _discard_output()
        sys.exit(0)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(error.exit_code)
    house = failures.of(error, commands=MODULES)
    failures.show(house, as_json="--json" in arguments)
    sys.exit(house.exit_code)


def _discard_output() -> None:
    """Send standard output to /dev/null, so that the interpreter's last flush of a closed pipe prints no error."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                os.dup2(null, stream.fileno())
            except (OSError, ValueError):
                continue
