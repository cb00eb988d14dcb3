"""The command `recall`. Its result is stored beside the commit, and `vecver log --measures` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens import chart
from vecver.cli.screens.measures import show_recall
from vecver.cli.terminal import console
from vecver.cli.terminal.output import Json, as_json, echo_json, progress
from vecver.errors import InvalidInputError, NotFoundError
from vecver.settings import Settings


@click.command()
@click.argument("dataset", metavar="DATASET[@REV]")
@click.option(
    "-k", "--k", "sizes", metavar="K,K", help="How many hits. Default: 1,10,100, as far as there are so many."
)
@click.option("--queries", metavar="FILE", help='A line {"query": "…"} or {"vector": […]} each; - is stdin.')
@click.option("--sample", type=int, metavar="N", help="N queries made of the version's own chunks. Default: 100.")
@click.option("--apply", is_flag=True, help="Let indexes look as far as the --queries need, from now on.")
@common.MODE
@common.WEIGHT
@common.FUSION
@click.option("--all", "every", is_flag=True, help="Measure every tag of DATASET, and draw them.")
@click.option("--out", metavar="FILE.svg", help="The drawing of --all. Default: DATASET-recall.svg here.")
@as_json
@click.pass_obj
def recall(
    settings: Settings,
    /,
    dataset: str,
    sizes: str | None,
    queries: str | None,
    every: bool,
    out: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Measure a version's index against exact search: ann_recall, latency, queries per second.

    Beside the mean stand the worst query's recall and the share of queries below 0.8. The result is kept beside the
    commit, whose id does not change.
    """
    name, revision = common.version_of(dataset)
    how |= {"k": _sizes(sizes), "queries": None if queries is None else common.queries_of(queries)}
    if every:
        out = _drawing(dataset, out)
    elif out is not None:
        raise InvalidInputError("--out is the drawing of --all", code="conflicting_options", hint="add --all")
    docs = common.opened(settings).dataset(name)
    if every:
        _measure_tags(docs, str(out), as_json, how)
        return
    with progress(dataset) as advance:
        measured = docs.recall(revision, progress=advance, **how)
    if as_json:
        echo_json(measured.to_json())
    else:
        _show(f"{name}@{revision}", measured)


def _measure_tags(docs: vecver.Dataset, out: str, as_json: bool, how: Json) -> None:
    measured: list[tuple[str, vecver.Recall]] = []
    with progress(docs.name) as advance:
        for commit, tags in _tagged(docs):
            measured.append((", ".join(tags), docs.recall(commit, progress=advance, **how)))
    common.write("--out", out, chart.recall_chart(docs.name, measured))
    if as_json:
        values = [{"tags": names.split(", "), **recall.to_json()} for names, recall in measured]
        echo_json({"measures": values, "drawing": out})
        return
    for names, recall in measured:
        _show(names, recall)
    click.echo(f"drawn: {out}")


def _tagged(docs: vecver.Dataset) -> list[tuple[vecver.Commit, list[str]]]:
    """The tagged versions that are not empty; names the empty ones on stderr. Raises NotFoundError if none is left."""
    versions = list(docs.tagged())
    for commit, tags in versions:
        if not commit.counts["chunks"]:
            click.echo(f"not measured: {', '.join(tags)} is empty", err=True)
    versions = [(commit, tags) for commit, tags in versions if commit.counts["chunks"]]
    if not versions:
        docs.resolve(next(iter(docs.branches()), "main"))  # an unknown dataset is another error
        raise NotFoundError(
            f"{docs.name} has no tag to measure", code="no_tags", hint=f"`vecver tag {docs.name} NAME REV` makes one"
        )
    return versions


def _show(title: str, measured: vecver.Recall) -> None:
    """Show a measure on stdout; how the sample was drawn and what could not be done on stderr."""
    show_recall(console.out(), title, measured)
    notes = console.err()
    if "drawn" in measured.queries:
        notes.say((f"sample: {measured.queries['drawn']}", console.FAINT))
    if measured.raised is not None:
        notes.say(f"{measured.raised} indexes look farther from now on")
    if measured.not_kept:
        notes.say(("not kept beside the commit: ", console.WARNING), measured.not_kept)


def _sizes(text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(size) for size in text.split(",")]
    except ValueError as error:
        raise InvalidInputError(f"{text!r} are no numbers", code="invalid_k", hint="write --k 1,10,100") from error


def _drawing(dataset: str, out: str | None) -> str:
    """The file of the drawing, checked before hours of measuring. Raises InvalidInputError if it cannot be written."""
    if "@" in dataset:
        raise InvalidInputError(
            "--all measures every tag", code="conflicting_options", hint=f"write {dataset.partition('@')[0]} --all"
        )
    path = Path(out if out is not None else f"{dataset}-recall.svg")
    if path.suffix != ".svg" or not path.parent.is_dir():
        raise InvalidInputError(
            f"{path} cannot be the drawing", code="unwritable", hint="name a FILE.svg in a folder that is there"
        )
    return str(path)


COMMANDS = (recall,)
