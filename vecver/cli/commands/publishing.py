"""Commands on Milvus: publish, unpublish, publication."""

from __future__ import annotations

import click

from vecver.cli import common
from vecver.cli.screens.published import show_publication, show_published, show_unpublished
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, progress
from vecver.errors import InvalidInputError
from vecver.settings import Settings

VERSION = click.argument("dataset", metavar="DATASET[@REV]")
TO = click.option(
    "--to",
    metavar="URI",
    help="The Milvus: http://host:19530, or a path that ends in .db. Default: VECVER_MILVUS, or where the dataset was "
    "published before, or milvus-lite in the repository.",
)


@click.command()
@VERSION
@TO
@click.option(
    "--dedicated", is_flag=True, help="In a collection of its own, behind an alias: for clients that cannot filter."
)
@click.option("--flat", is_flag=True, help="In a collection without a graph: every answer is exact, by a scan.")
@click.option(
    "--bulk",
    metavar="STORAGE",
    help="Fill a new collection by the server's bulk import, through its bucket, s3://BUCKET/PREFIX, or a folder that "
    "it reads.",
)
@click.option("--rebuild", is_flag=True, help="Publish all anew that was published there: it was lost or damaged.")
@as_json
@click.pass_obj
def publish(
    settings: Settings,
    /,
    dataset: str,
    to: str | None,
    dedicated: bool,
    flat: bool,
    bulk: str | None,
    rebuild: bool,
    as_json: bool,
) -> None:
    """Make a version searchable in a Milvus, at the cost of what it changes there."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    if rebuild and (dedicated or flat or bulk or "@" in dataset):
        raise InvalidInputError(
            "--rebuild restores everything that was published, as it was",
            code="conflicting_options",
            hint=f"vecver publish {name} --rebuild",
        )
    with progress(name) as advance:
        if rebuild:
            done = docs.republish(to=to, progress=advance)
        else:
            done = [docs.publish(revision, to=to, dedicated=dedicated, flat=flat, bulk=bulk, progress=advance)]
    if as_json:
        echo_json([publication.to_json() for publication in done] if rebuild else done[0].to_json())
        return
    show_published(console.out(), done)


@click.command()
@VERSION
@TO
@click.option("--unnamed", is_flag=True, help="Every version on which no ref stands, or stood in the last 30 days.")
@click.option("--forget", is_flag=True, help="Everything there, without asking it: that Milvus is gone for good.")
@as_json
@click.pass_obj
def unpublish(settings: Settings, /, dataset: str, to: str | None, unnamed: bool, forget: bool, as_json: bool) -> None:
    """Let a version go from a Milvus, with the rows that only it had. The repository keeps it."""
    name, revision = common.version_of(dataset)
    if unnamed + forget + ("@" in dataset) != 1 or (forget and to is None):
        raise InvalidInputError(
            "which version is to go?",
            code="no_version",
            hint=f"write {name}@REVISION, or {name} --unnamed, or {name} --forget --to URI",
        )
    docs = common.opened(settings).dataset(name)
    if forget and to is not None:
        gone = docs.forget_publications(to=to)
    else:
        gone = docs.unpublish_unnamed(to=to) if unnamed else docs.unpublish(revision, to=to)
    if as_json:
        echo_json({"dataset": name, "unpublished": gone})
    else:
        show_unpublished(console.out(), name, gone)


@click.command()
@VERSION
@TO
@as_json
@click.pass_obj
def publication(settings: Settings, /, dataset: str, to: str | None, as_json: bool) -> None:
    """Show what any Milvus client needs to search a version without vecver."""
    name, revision = common.version_of(dataset)
    record = common.opened(settings).dataset(name).publication(revision, to=to)
    if as_json:
        echo_json(record.to_json())
    else:
        show_publication(console.out(), record)


COMMANDS = (publish, unpublish, publication)
