"""Shared by commands: opening the repository, and reading the arguments DATASET@REVISION, queries and filters."""

from __future__ import annotations

import json
import os
import shlex
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

import vecver
from vecver.cli.terminal.output import one_line
from vecver.errors import InvalidInputError, NotFoundError
from vecver.near import near
from vecver.settings import REPOSITORY, Settings

MODE = click.option(
    "--mode",
    type=click.Choice(["dense", "keyword", "hybrid"]),
    default="dense",
    show_default=True,
    help="Rank by vectors, by words (BM25), or by both.",
)
WEIGHT = click.option(
    "--weight", type=float, metavar="W", help="Of the vectors in hybrid mode, 0 to 1.  [default: the recipe's]"
)
FUSION = click.option(
    "--fusion", type=click.Choice(["convex", "rrf"]), help="How hybrid mode adds: scores, or ranks.  [default: convex]"
)

RERANK = click.option(
    "--rerank",
    "reranker",
    metavar="MODEL",
    help="Let a model order the hits: a reranker of the settings, "
    "a CrossEncoder by folder or name, or tei:URL, cohere:MODEL, jina:MODEL, vllm:MODEL@URL.",
)
RERANK_TOP = click.option("--rerank-top", type=int, metavar="N", help="How many hits it reads.  [default: 50]")


def opened(settings: Settings) -> vecver.Repository:
    """The repository of this call. Raises NotFoundError (none there; the hint says how to make or name one)."""
    try:
        return vecver.open(
            settings.repo,
            author=settings.author,
            api_key=settings.api_key,
            milvus=settings.milvus,
            publish=settings.publish,
            verify=settings.verify,
            cache=settings.cache or None,
            cache_bytes=settings.cache_bytes,
            remote_key=settings.key,
            endpoints=settings.endpoints,
            background=False,
        )
    except NotFoundError as error:
        if error.code != "repository_not_found":
            raise
        raise _no_repository(settings) from None


def _no_repository(settings: Settings) -> NotFoundError:
    """The error for a missing repository: none was made yet, or another folder was probably meant."""
    if not settings.named:
        return NotFoundError(
            f"there is no repository in {Path.cwd()} or a folder above it",
            code="repository_not_found",
            hint="`vecver init` makes one here; `vecver --repo URL COMMAND`, or VECVER_REPO, names another",
            url=settings.repo,
        )
    if "://" in settings.repo:
        hint = f"check --repo or VECVER_REPO; to make one there: `vecver init {shlex.quote(settings.repo)}`"
        message = f"{settings.repo} is not a vecver repository"
        return NotFoundError(message, code="repository_not_found", hint=hint, url=settings.repo)
    inside = Path(settings.repo) / REPOSITORY
    meant = [str(inside)] if (inside / "vecver.json").is_file() else _repositories_like(settings.repo)
    return NotFoundError(
        f"{settings.repo} is not a vecver repository",
        code="repository_not_found",
        hint="it is a file: a repository is a folder; check --repo or VECVER_REPO"
        if Path(settings.repo).is_file()
        else f"check --repo or VECVER_REPO; to make one there: `vecver init {shlex.quote(settings.repo)}`",
        url=settings.repo,
        did_you_mean=meant,
    )


def _repositories_like(repo: str) -> list[str]:
    """Repositories in the same folder with a similar name."""
    place = Path(repo)
    try:
        beside = [folder.name for folder in place.absolute().parent.iterdir() if (folder / "vecver.json").is_file()]
    except OSError:
        return []
    return [str(place.parent / name) for name in near(place.name, beside)]


def version_of(name: str, default: str = "main") -> tuple[str, str]:
    """`handbook@prod` -> ("handbook", "prod")."""
    dataset, at, revision = name.partition("@")
    if "@" in revision.partition("@{")[0]:
        raise InvalidInputError(
            f"{name!r} names two revisions: an @ stands before the one that is meant",
            code="invalid_revision",
            hint=f"write {dataset}@{revision.partition('@')[0]} or {dataset}@{revision.partition('@')[2]}",
        )
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
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}",
            code="invalid_queries",
            hint="check the path",
        ) from error
    queries = [_query(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not queries:
        raise InvalidInputError(f"{file} holds no query", code="no_query", hint='write {"query": "…"} lines')
    return queries


def filter_of(option: str, text: str | None) -> Any:
    """The filter in an option's JSON, with decimals exact; None if the option is absent."""
    try:
        return None if text is None else json.loads(text, parse_float=_number)
    except ValueError as error:
        raise InvalidInputError(
            f"{option} is not JSON: {error}",
            code="invalid_filter",
            hint=f"""write {option} '{{"year": {{"$gte": 2024}}}}'""",
        ) from error


def check_writable(option: str, file: str) -> None:
    """Raises InvalidInputError if `write` would fail; commands check this before they load a model."""
    path = Path(file)
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise InvalidInputError(
            f"{file} cannot be written", code="unwritable", hint=f"name another {option} FILE", path=file
        )


def write(option: str, file: str, text: str) -> None:
    """Write the output of an option into its file. Raises InvalidInputError if it cannot be written."""
    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInputError(
            f"{file} cannot be written: {error.strerror}", code="unwritable", hint=f"name another {option} FILE"
        ) from error


def _number(text: str) -> float | Decimal:
    """A float if it has the same digits, else a Decimal."""
    return float(text) if Decimal(repr(float(text))) == Decimal(text) else Decimal(text)


def _query(line: str, number: int) -> Any:
    try:
        value = json.loads(line)
        query = value["query"] if "query" in value else value["vector"]
        if not isinstance(query, str if "query" in value else list):
            raise TypeError
        return query
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"line {number} is no query: {one_line(line, 60)}",
            code="invalid_queries",
            hint='write {"query": "…"} or {"vector": […]}, one a line',
        ) from error
