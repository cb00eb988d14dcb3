"""Command lines as texts: does such a command exist, and does it take these words?"""

from __future__ import annotations

import re
import shlex

import click

from vecver.cli import main

QUOTED = re.compile(r"`(vecver [^`]*)`")


def quoted(text: str) -> list[str]:
    """The commands that a message names."""
    return QUOTED.findall(text.replace("\n ", ""))


def parse(line: str) -> None:
    """Raises click.UsageError unless `vecver ...` is a command that takes these words; capitals are placeholders."""
    words = [word for word in shlex.split(line)[1:] if word != "…"]
    command: click.Command = main
    context = click.Context(main)
    if words and words[0] == "--repo":
        words = words[2:]
    if words == ["COMMAND"]:
        return
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command, context = found, click.Context(found, info_name=name, parent=context)
    if "--help" in words or isinstance(command, click.Group):
        return
    words = [word.removesuffix("...") for word in words]
    missing = click.exceptions.MissingParameter
    try:
        command.make_context(context.info_name, list(words), parent=context.parent)
    except missing:  # `vecver publish --rebuild`, said to someone who knows of which dataset
        if not any(word.isupper() or "@" in word for word in words) and words:
            return
        if words:
            raise
