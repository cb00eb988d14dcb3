"""Commands that read what a version holds: ls, cat, chunks, fields."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, one_line
from vecver.settings import Settings

VERSION = click.argument("dataset", metavar="DATASET[@REV]")
WHERE = click.option("--where", metavar="JSON", help="""Only what matches, as --filter of search: '{"lang": "en"}'.""")
LIMIT = click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most N.")
_READ = 200  # documents that --long reads at once


@click.command()
@VERSION
@click.option("--prefix", default="", metavar="TEXT", help="Only ids that begin with TEXT.")
@WHERE
@LIMIT
@click.option("--after", metavar="ID", help="Begin after this id: the last one of the page before.")
@click.option("-l", "--long", "detailed", is_flag=True, help="Show chunks, characters, type, source and title as well.")
@click.option("--count", is_flag=True, help="Only say how many documents and chunks there are.")
@as_json
@click.pass_obj
def ls(
    settings: Settings, /, dataset: str, where: str | None, detailed: bool, count: bool, as_json: bool, **how: Any
) -> None:
    """List the documents of a version by their ids, sorted."""
    docs, commit = _version(settings, dataset)
    filter = common.filter_of("--where", where)
    if count:
        _check_alone("--count", how)
        matching = docs.count(commit, where=filter)
        if as_json:
            echo_json({"commit": commit, **matching.to_json()})
        else:
            console.out().say(
                f"{wording.count(matching.documents, 'document')}, {wording.count(matching.chunks, 'chunk')}"
            )
        return
    ids = docs.documents(commit, where=filter, **how)
    if as_json:
        echo_json({"commit": commit, "documents": list(_details(docs, commit, ids)) if detailed else ids})
        return
    with console.pages() as screen:
        for line in map(_long, _details(docs, commit, ids)) if detailed else ids:
            screen.say(line)


@click.command()
@VERSION
@click.argument("documents", nargs=-1, required=True, metavar="DOC...")
@as_json
@click.pass_obj
def cat(settings: Settings, /, dataset: str, documents: tuple[str, ...], as_json: bool) -> None:
    """Print the text of documents of a version, as it was chunked.

    Into a pipe or a file the text goes as it is, in UTF-8. --json has title, metadata, source and chunks as well.
    """
    docs, commit = _version(settings, dataset)
    texts = docs.get(documents, at=commit)
    if as_json:
        echo_json({"commit": commit, "documents": [document.to_json() for document in texts]})
        return
    for document in texts:
        _print(document.text)
        for start, end in document.missing:
            console.err().say(
                f"note: {document.id}: characters {start} to {end} are in no chunk; U+FFFD stands for them"
            )


@click.command()
@VERSION
@click.argument("key", required=False)
@WHERE
@LIMIT
@click.option("--after", metavar="KEY", help="Begin after this chunk: the last one of the page before.")
@click.option("--context", default=0, metavar="N", help="Of KEY: with the text of N chunks on either side.")
@click.option("--vectors", is_flag=True, help="With their vectors; needs --json.")
@as_json
@click.pass_obj
def chunks(
    settings: Settings,
    /,
    dataset: str,
    key: str | None,
    where: str | None,
    context: int,
    vectors: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """List the chunks of a version, by document and in reading order, or show the chunk with KEY.

    With --json it prints one line of JSON a chunk, as they are read.
    """
    docs, commit = _version(settings, dataset)
    if key is not None:
        _check_alone("KEY", {**how, "where": where, "vectors": vectors})
        _show_chunk(docs.chunk(key, commit, context=context), as_json)
        return
    _check_alone("a list of chunks", {"context": context})
    if vectors and not as_json:
        raise click.UsageError("--vectors needs --json: a vector is hundreds of numbers")
    page = docs.chunks(commit, where=common.filter_of("--where", where), vectors=vectors, **how)
    if as_json:
        for chunk in page:
            echo_json(chunk.to_json(), indent=None)
        return
    with console.pages() as screen:
        for chunk in page:
            screen.say(f"{chunk.key}  {chunk.document} {_span(chunk)}  {one_line(chunk.text, 120)}")


@click.command()
@VERSION
@as_json
@click.pass_obj
def fields(settings: Settings, /, dataset: str, as_json: bool) -> None:
    """Show what filters may name in a version: types, how many documents have it, and examples."""
    docs, commit = _version(settings, dataset)
    known_fields = docs.fields(commit)
    if as_json:
        echo_json({"commit": commit, **known_fields.to_json()})
        return
    if not known_fields:
        console.err().say("no document of this version has metadata or positions")
    widths = [max((len(text) for text in column), default=0) for column in zip(*map(_cells, known_fields), strict=True)]
    with console.pages() as screen:
        for cells in map(_cells, known_fields):
            screen.say("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _cells(field: vecver.Field) -> tuple[str, str, str, str]:
    return (
        field.name,
        ", ".join(field.types),
        wording.count(field.documents, "document"),
        one_line(field.examples_text, 100),
    )


def _version(settings: Settings, dataset: str) -> tuple[vecver.Dataset, str]:
    """A dataset and the id of its commit, resolved once so that the whole command reads one version."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    return docs, docs.resolve(revision)


def _check_alone(what: str, options: dict[str, Any]) -> None:
    """Raises UsageError for options that `what` would ignore."""
    for name, value in options.items():
        if value not in (None, "", 0, False):
            raise click.UsageError(f"--{name} does not go with {what}")


def _details(docs: vecver.Dataset, commit: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of --long; documents are read in groups."""
    for start in range(0, len(ids), _READ):
        for document in docs.get(ids[start : start + _READ], at=commit):
            counts = {"chunks": len(document.chunks), "characters": len(document.text)}
            about = {"media_type": document.media_type, "source": document.source, "title": document.title}
            yield {"id": document.id, **counts, **about, "metadata": dict(document.metadata)}


def _long(document: dict[str, Any]) -> str:
    chunks, characters = wording.count(document["chunks"], "chunk"), wording.count(document["characters"], "character")
    numbers = f"{chunks:>12}  {characters:>18}"
    title = one_line(document["title"], 60)
    return (
        f"{numbers}  {document['media_type']:<18} {document['source']}  {document['id']}{f'  {title}' if title else ''}"
    )


def _print(text: str) -> None:
    """Print a document's text: without control characters on a terminal, else its exact UTF-8 bytes."""
    if console.out().terminal:
        with console.pages() as screen:
            screen.say(text.removesuffix("\n"))
    else:
        sys.stdout.buffer.write(text.encode())


def _show_chunk(chunk: vecver.StoredChunk, as_json: bool) -> None:
    if as_json:
        echo_json(chunk.to_json())
        return
    console.out().say(f"{chunk.document} {_span(chunk)}  {chunk.key}")
    _print(chunk.text if chunk.context is None else chunk.context)


def _span(chunk: vecver.StoredChunk) -> str:
    return f"[{chunk.span[0]}:{chunk.span[1]}]" if chunk.span[1] else "[title]"


COMMANDS = (ls, cat, chunks, fields)
