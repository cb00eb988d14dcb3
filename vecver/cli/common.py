"""What commands begin with: the repository of this call, the version that an argument names, a file of queries."""

from __future__ import annotations

import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import vecver
from vecver.cli.output import one_line
from vecver.errors import InvalidInputError
from vecver.settings import Settings


def opened(settings: Settings) -> vecver.Repository:
    """The repository of this call."""
    return vecver.open(
        settings.repo,
        author=settings.author,
        api_key=settings.api_key,
        milvus=settings.milvus,
        publish=settings.publish,
        verify=settings.verify,
    )


def version_of(name: str, default: str = "main") -> tuple[str, str]:
    """`handbook@prod` -> ("handbook", "prod")."""
    dataset, at, revision = name.partition("@")
    if at and not revision:
        raise InvalidInputError(
            f"{name!r} names no revision after the @", code="invalid_revision", hint=f"write {dataset}@main"
        )
    return dataset, revision or default


def queries_of(file: str) -> list[Any]:
    """The queries of a JSONL file, texts and vectors; `-` is stdin."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{file} cannot be read: {error}", code="invalid_queries", hint="check the path"
        ) from error
    found = [_query(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise InvalidInputError(f"{file} holds no query", code="no_query", hint='write {"query": "…"} lines')
    return found


def filter_of(option: str, text: str | None) -> Any:
    """The filter that an option has as JSON, no digit of its numbers changed; None where it is left out."""
    try:
        return None if text is None else json.loads(text, parse_float=_number)
    except ValueError as error:
        raise InvalidInputError(
            f"{option} is not JSON: {error}",
            code="invalid_filter",
            hint=f"""write {option} '{{"year": {{"$gte": 2024}}}}'""",
        ) from error


def check_writable(option: str, file: str) -> None:
    """Raises InvalidInputError where `write` could not: asked before a model is loaded for what would be lost."""
    path = Path(file)
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise InvalidInputError(
            f"{file} cannot be written", code="unwritable", hint=f"name another {option} FILE", path=file
        )


def write(option: str, file: str, text: str) -> None:
    """Write what an option asked for into its file."""
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInputError(
            f"{file} cannot be written: {error.strerror}", code="unwritable", hint=f"name another {option} FILE"
        ) from error


def _number(text: str) -> float | Decimal:
    """A float, unless it would change the digits."""
    return float(text) if Decimal(repr(float(text))) == Decimal(text) else Decimal(text)


def _query(line: str, number: int) -> Any:
    try:
        value = json.loads(line)
        asked = value["query"] if "query" in value else value["vector"]
        if not isinstance(asked, str if "query" in value else list):
            raise TypeError
        return asked
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"line {number} is no query: {one_line(line, 60)}",
            code="invalid_queries",
            hint='write {"query": "…"} or {"vector": […]}, one a line',
        ) from error
