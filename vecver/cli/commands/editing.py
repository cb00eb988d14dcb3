"""Commands that change single documents: add, rm."""

from __future__ import annotations

from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.commands.documents import PREFIX, RECORDS, show_report, watched
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json
from vecver.settings import Settings

MESSAGE = click.option("-m", "--message", default="", help="Why this version exists.")
BRANCH = click.option("--branch", default="main", show_default=True, help="The branch that gets the commit.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would change; write nothing.")
NAMES_SHOWN = 20  # documents that were removed, for a person; JSON has all


@click.command()
@click.argument("dataset")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@MESSAGE
@BRANCH
@click.option("--embedder", metavar="E", help="For the first version of a dataset: as of `vecver ingest`.")
@click.option("--space", metavar="NAME", help="Records bring their own vectors, in the space of this name.")
@click.option("--metric", type=click.Choice(["cosine", "ip", "l2"]), help="Of a new --space. Default: cosine.")
@click.option("--chunker", metavar="C", help="As of `vecver ingest`.")
@click.option("--chunk-tokens", type=int, metavar="N", help="At most N tokens a chunk.")
@click.option("--language", metavar="L", help="Of the texts, for keyword search: as of `vecver ingest`.")
@click.option("--source", "label", metavar="NAME", help="The source of new documents. Default: added.")
@PREFIX
@RECORDS
@click.option("--password", "passwords", multiple=True, help="Tried on encrypted documents. May be repeated.")
@click.option("--strict", is_flag=True, help="A document that cannot be read is an error.")
@DRY_RUN
@as_json
@click.pass_obj
def add(settings: Settings, /, dataset: str, files: tuple[str, ...], as_json: bool, **how: Any) -> None:
    """Add FILE... to DATASET, or replace what is there of them; nothing is removed.

    A FILE is a file, a folder, a glob, records (`--records rows.jsonl`; an id given twice: the last wins), or - for
    JSONL on stdin. What lies in a known source keeps its name there; else the path from here is the document's id.
    """
    docs = common.opened(settings).dataset(dataset)
    report = watched(docs, how["branch"], files, lambda meter: docs.add(list(files), progress=meter, **how))
    if as_json:
        echo_json(report.to_dict())
    else:
        show_report(report, how)


@click.command()
@click.argument("dataset")
@click.argument("documents", nargs=-1, metavar="[DOC]...")
@click.option("--where", "where_text", metavar="JSON", help="Remove the documents whose metadata matches this filter.")
@MESSAGE
@BRANCH
@DRY_RUN
@as_json
@click.pass_obj
def rm(
    settings: Settings, /, dataset: str, documents: tuple[str, ...], where_text: str | None, as_json: bool, **how: Any
) -> None:
    """Remove documents from DATASET: DOC... by their ids, or all that match --where.

    Earlier versions keep them. What a source on disk still holds comes back with its next ingest.
    """
    docs = common.opened(settings).dataset(dataset)
    report = docs.delete(list(documents) or None, where=common.filter_of("--where", where_text), **how)
    if as_json:
        echo_json(report.to_dict())
    else:
        _show_removed(report)


def _show_removed(report: vecver.Report) -> None:
    gone = report.names["removed"]
    if gone:
        screen = console.out()
        for name in gone[:NAMES_SHOWN]:
            screen.say(f"- {name}")
        if len(gone) > NAMES_SHOWN:
            screen.say(f"... and {len(gone) - NAMES_SHOWN} more: `--json` lists them")
        would = "would remove" if report.dry_run else "removed"
        count = "1 document" if len(gone) == 1 else f"{len(gone)} documents"
        id = "" if report.dry_run else f" {str(report.commit)[:12]}"
        screen.say(f"{report.dataset}{id}  {would} {count}, {report.chunks['live']} chunks are left")
    for note in report.notes:
        console.err().say(f"note: {note}")


COMMANDS = (add, rm)
