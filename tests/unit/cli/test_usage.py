"""Usage: the table of commands, their help at 80 columns, mistyped commands, and wrong options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from vecver.cli import main
from vecver.cli.command_table import EXAMPLES, GROUPS, MODULES
from vecver.cli.failures import show
from vecver.errors import NotFoundError


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def leaves(command: click.Command, words: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    """Every command with the words that name it, groups included."""
    yield words, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                subcommand = command.get_command(context, name)
                assert subcommand is not None, name
                yield from leaves(subcommand, [*words, name])


def test_the_table_and_the_modules_have_the_same_commands() -> None:
    from importlib import import_module

    commands = {
        (module, command.name)
        for module in set(MODULES.values())
        for command in import_module(f"vecver.cli.commands.{module}").COMMANDS
    }
    assert commands == {(module, name) for name, module in MODULES.items()} and set(EXAMPLES) == set(MODULES)


def test_help_shows_each_command_in_one_line_of_80_columns_under_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = run("--help").stdout
    for title, commands in GROUPS.items():
        assert f"\n{title}:\n" in page
        for name, (_, line) in commands.items():
            assert f"\n  {name} " in page and f" {line}\n" in page, name
    assert max(map(len, page.splitlines())) <= 80 and "..." not in page.replace("[ARGS]...", "")


def test_every_command_has_help_and_examples_that_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words, command in leaves(main, []):
        assert command.help or command.callback is None, words
    for name, lines in EXAMPLES.items():
        page = run(name, "--help").stdout
        assert f"vecver {name}" in lines[-1]
        for line in lines:
            assert f"\n    {line}\n" in page
            words = shlex.split(line)
            assert words[0] == "vecver"
            parses(words[1:])


def parses(words: list[str]) -> None:
    """Raises click.UsageError unless a command takes these words."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        name, subcommand, words = command.resolve_command(context, words)
        assert subcommand is not None, name
        command, context = subcommand, click.Context(subcommand, info_name=name, parent=context)
    command.make_context(context.info_name, list(words), parent=context.parent)


WRONG = [
    (["serach", "d", "q"], "there is no command 'serach'", "did you mean 'search'"),
    (["lgo"], "there is no command 'lgo'", "did you mean 'log'"),
    (["key", "ad", "n"], "there is no command 'ad'", "did you mean 'add'"),
    (["search", "d", "q", "--exakt"], "has no option '--exakt'", "did you mean '--exact'"),
    (["log", "d", "--repo", "x"], "--repo stands before the command", "vecver --repo URL log"),
    (["ingest", "d"], "SOURCE is missing", "write `vecver ingest DATASET SOURCE...`"),
    (["search", "d", "how", "do", "I"], "unexpected extra arguments (do I)", "needs quotes"),
    (["search", "d", "q", "-k", "abc"], "'abc' is not a valid integer", "vecver search --help"),
    (["--repo"], "requires an argument", "vecver --help"),
]


@pytest.mark.parametrize(("arguments", "message", "hint"), WRONG)
def test_wrong_usage_is_reported_like_other_errors(arguments: list[str], message: str, hint: str) -> None:
    result = run(*arguments, code=2)
    first, *rest = result.stderr.splitlines()
    assert first.startswith("error: ") and message in first and any(hint in line for line in rest), result.stderr
    assert all(line.startswith("  ") for line in rest) and not result.stdout
    told = json.loads(run(*arguments, "--json", code=2).stderr)["error"] if "-k" in arguments else None
    assert told is None or (told["code"] == "invalid_usage" and message in told["message"] and hint in told["hint"])


def test_names_in_an_error_do_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b]0;title\x07b"
    show(NotFoundError(f"no {name}", code="c", hint=f"see {name}", did_you_mean=[]), as_json=False)
    error_output = capsys.readouterr().err
    assert "\x1b" not in error_output and "\x07" not in error_output and "no a�]0;title�b" in error_output


def test_without_a_command_the_help_is_shown() -> None:
    assert run(code=2).output.startswith("Usage: vecver")
