"""Prints JSON, and has the option --json of every command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from vecver.cli.terminal.progress import progress as progress  # re-exported: most commands print and show progress

Json = dict[str, Any]

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """A JSON value on stdout; a single line is ASCII, since some readers break lines at U+2028 and its like."""
    click.echo(json.dumps(value, ensure_ascii=indent is None, indent=indent))


def partly_read(documents: Mapping[str, Any]) -> list[Json]:
    """The documents of a version that were read in part, for JSON: their counts of words and notes."""
    return [{"document": document, **coverage.to_json()} for document, coverage in documents.items()]


def one_line(text: str, width: int) -> str:
    """A text folded to one line of at most `width` characters."""
    folded = " ".join(text.split())
    return folded if len(folded) <= width else folded[: width - 1] + "…"
