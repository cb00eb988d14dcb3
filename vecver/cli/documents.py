"""Commands that bring documents in: init, ingest, status."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.output import as_json, counted, echo_bounded, echo_json, partly_read, progress
from vecver.settings import REPOSITORY, Settings

NOTES_SHOWN = 10  # on a terminal; JSON has all
SOURCES = click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
LABEL = click.option(
    "--source", "label", metavar="NAME", help="Label of the source. Default: that of its place, else its own name."
)
PREFIX = click.option("--prefix", default="", metavar="TEXT", help="Put TEXT before every document id.")
RECORDS = click.option(
    "--records/--no-records", default=None, help="Take a file as records, or as one document. Default: by its kind."
)


@click.command()
@click.argument("url", required=False)
@as_json
@click.pass_obj
def init(settings: Settings, /, url: str | None, as_json: bool) -> None:
    """Make an empty repository at URL (default: --repo, VECVER_REPO, or .vecver here)."""
    repository = vecver.create(url or (settings.repo if settings.named else REPOSITORY))
    if as_json:
        echo_json({"url": repository.url, "id": repository.id})
    else:
        click.echo(f"made the repository {repository.url}\nnext: vecver ingest DATASET FOLDER")


@click.command()
@click.argument("dataset")
@SOURCES
@click.option("-m", "--message", default="", help="Why this version exists.")
@click.option("--branch", default="main", show_default=True, help="The branch that gets the commit.")
@click.option(
    "--embedder",
    metavar="E",
    help="minilm (default), sentence-transformers:NAME_OR_PATH, either with :bf16; openai:MODEL@URL, hashing.",
)
@click.option("--space", metavar="NAME", help="Records bring their own vectors, in the space of this name.")
@click.option("--metric", type=click.Choice(["cosine", "ip", "l2"]), help="Of a new --space. Default: cosine.")
@click.option("--chunker", metavar="C", help="structure (default) or whole.")
@click.option("--chunk-tokens", type=int, metavar="N", help="At most N tokens a chunk.")
@LABEL
@PREFIX
@RECORDS
@click.option("--password", "passwords", multiple=True, help="Tried on encrypted documents. May be repeated.")
@click.option("--keep-missing", is_flag=True, help="Keep documents that the source no longer has.")
@click.option("--allow-removals", is_flag=True, help="Remove all or many documents of a source without asking.")
@click.option("--strict", is_flag=True, help="A document that cannot be read is an error.")
@click.option("--dry-run", is_flag=True, help="Say what would change and be embedded; write nothing.")
@as_json
@click.pass_obj
def ingest(settings: Settings, /, dataset: str, sources: tuple[str, ...], as_json: bool, **how: Any) -> None:
    """Make SOURCE... the truth for its documents, as a new commit of DATASET.

    A SOURCE is a folder, a glob, a file, records (JSONL, CSV, Parquet, Arrow with `id` and `text`), or - for
    JSONL on stdin. Only what is new is embedded.
    """
    docs = common.opened(settings).dataset(dataset)
    with progress(dataset) as advance:
        report = docs.ingest(list(sources), progress=advance if sys.stderr.isatty() else None, **how)
    if as_json:
        names = {"names": {kind: list(ids) for kind, ids in report.names.items()}} if report.dry_run else {}
        echo_json({**report.to_json(), **names})
        return
    show_report(report)


@click.command()
@click.argument("dataset", metavar="DATASET[@REV]")
@SOURCES
@LABEL
@PREFIX
@RECORDS
@as_json
@click.pass_obj
def status(settings: Settings, /, dataset: str, sources: tuple[str, ...], as_json: bool, **how: Any) -> None:
    """Show which documents differ between SOURCE... and a version, without parsing them."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    found, partial = docs.status(list(sources), at=revision, **how), docs.partial_reads(revision)
    if as_json:
        echo_json({**found, "partial": partly_read(partial)})
        return
    _show_names(found)
    for document in found["failed"]:
        click.echo(f"! {document} (cannot be read; `vecver ingest` says why)")
    if not any(found[kind] for kind in ("added", "changed", "removed")):
        click.echo(f"{name}@{revision} is up to date")
    lines = [f"% {document} (read in part): {' '.join(coverage.notes)}" for document, coverage in partial.items()]
    echo_bounded(lines, NOTES_SHOWN, f"`vecver show {dataset}` lists them")


def _show_names(names: Mapping[str, Sequence[str]]) -> None:
    for sign, kind in (("+", "added"), ("~", "changed"), ("-", "removed")):
        for document in names.get(kind, ()):
            click.echo(f"{sign} {document}")


def show_report(report: vecver.Report) -> None:
    for failure in report.failures:
        click.echo(f"not read: {failure.document}: {failure.reason} [{failure.code}]", err=True)
    documents = counted(report.documents, ("added", "changed", "removed", "failed", "unchanged"))
    chunks = counted(report.chunks, ("live", "embedded", "reused", "removed"))
    if report.longer:
        click.echo(f"{report.longer} documents are longer than the model reads; their ends were not embedded", err=True)
    if report.dry_run:
        _show_names(report.names)
        click.echo(f"would be: {documents}\n  chunks: {chunks}; {report.tokens} tokens to embed")
    elif report.changed and report.commit:
        click.echo(f"{report.dataset} {report.commit[:12]}  documents: {documents}\n  chunks: {chunks}")
        if report.documents["removed"]:
            id = report.commit[:12]
            click.echo(f"  removed: what its source no longer has; `vecver diff {report.dataset} {id}~1 {id}` lists it")
    else:
        click.echo(f"nothing changed, no commit made; documents: {documents}")
    if report.partial:
        kept, partial = report.total_coverage.to_json()["share"], len(report.partial)
        click.echo(f"  text: {kept:.2%} of the words of {len(report.coverage)} documents kept; {partial} read in part")
    _show_notes(report)


def _show_notes(report: vecver.Report) -> None:
    of_documents = set(report.document_notes)
    for note in report.notes:
        if note not in of_documents:
            click.echo(f"note: {note}", err=True)
    rest = "`--json` lists them" if report.dry_run else f"`vecver show {report.dataset}` lists them"
    echo_bounded([f"note: {note}" for note in report.document_notes], NOTES_SHOWN, rest, err=True)


COMMANDS = (init, ingest, status)
