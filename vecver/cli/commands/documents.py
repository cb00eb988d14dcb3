"""Commands that bring documents in: init, ingest, status."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.failures import Interrupted
from vecver.cli.screens import ingest as screens
from vecver.cli.screens.ingest import Ingested
from vecver.cli.screens.sources import show_status
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, partly_read
from vecver.cli.terminal.progress import Meter, progress
from vecver.errors import NotFoundError
from vecver.near import near
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
    place = url or (settings.repo if settings.named else REPOSITORY)
    repository = vecver.create(place, cache=settings.cache or None, cache_bytes=settings.cache_bytes)
    if "://" not in repository.url and (above := _repository_above(Path(repository.url))):
        console.err().say(f"note: {above} is a repository too: a command takes the nearest one, or --repo")
    if as_json:
        echo_json({"url": repository.url, "id": repository.id})
    else:
        click.echo(f"made the repository {repository.url}\nnext: vecver ingest DATASET FOLDER")


def _repository_above(made: Path) -> Path | None:
    """The repository that commands in this folder used until now, if `init` hides it."""
    above = (folder / REPOSITORY for folder in made.absolute().parents[1:])
    return next((place for place in above if (place / "vecver.json").is_file()), None)


def _place(context: click.Context, parameter: click.Parameter, where: str | None) -> str | None:
    """The `on` of `Dataset.ingest` for what --ray names."""
    return {"auto": "ray", "local": "ray:local"}.get(where, where) if where else None


def _price(context: click.Context, parameter: click.Parameter, price: float | None) -> float | None:
    """A price of `--price`: a range of click takes NaN, which JSON cannot hold."""
    if price is not None and not isfinite(price):
        raise click.BadParameter(f"{price} is no price", context, parameter)
    return price


@click.command()
@click.argument("dataset")
@SOURCES
@click.option("-m", "--message", default="", help="Why this version exists.")
@click.option("--branch", default="main", show_default=True, help="The branch that gets the commit.")
@click.option(
    "--embedder",
    metavar="E",
    help="minilm (default), sentence-transformers:NAME_OR_PATH, either with :bf16; openai:MODEL@URL,URL, hashing.",
)
@click.option("--space", metavar="NAME", help="Records bring their own vectors, in the space of this name.")
@click.option("--metric", type=click.Choice(["cosine", "ip", "l2"]), help="Of a new --space. Default: cosine.")
@click.option("--chunker", metavar="C", help="structure (default) or whole.")
@click.option("--chunk-tokens", type=int, metavar="N", help="At most N tokens a chunk.")
@click.option(
    "--language", metavar="L", help="Of the texts, for keyword search: english (default), german ... or none."
)
@LABEL
@PREFIX
@RECORDS
@click.option("--password", "passwords", multiple=True, help="Tried on encrypted documents. May be repeated.")
@click.option("--keep-missing", is_flag=True, help="Keep documents that the source no longer has.")
@click.option("--allow-removals", is_flag=True, help="Remove all or many documents of a source without asking.")
@click.option("--strict", is_flag=True, help="A document that cannot be read is an error.")
@click.option("--dry-run", is_flag=True, help="Say what would change and be embedded; write nothing.")
@click.option(
    "--ray",
    "on",
    metavar="WHERE",
    callback=_place,
    help="Parse and embed on Ray: auto (the cluster here, or one started here), local (one started here), ray://HOST.",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    callback=_price,
    metavar="P",
    help="Of a million tokens: --dry-run says what embedding would cost. Default: VECVER_PRICE.",
)
@click.option("--yes", is_flag=True, help="Make a new dataset without asking, however like another's its name is.")
@as_json
@click.pass_obj
def ingest(
    settings: Settings,
    /,
    dataset: str,
    sources: tuple[str, ...],
    price: float | None,
    yes: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Make SOURCE... the truth for its documents, as a new commit of DATASET.

    A SOURCE is a folder, a glob, a file, the same in a bucket (s3://, gs://, az://), records (JSONL, CSV, Parquet,
    Arrow with `id` and `text`), or - for JSONL on stdin. Only what is new is read, parsed and embedded.
    """
    repository = common.opened(settings)
    docs = repository.dataset(dataset)
    _intended(repository, dataset, yes=yes or how["dry_run"])
    report = watched(docs, how["branch"], sources, lambda meter: docs.ingest(list(sources), progress=meter, **how))
    price = settings.price if price is None else price
    cost = None if price is None or not report.dry_run else report.tokens * price / 1e6
    if as_json:
        value = report.to_dict() if report.dry_run else report.to_json()
        echo_json(value if cost is None else {**value, "cost": round(cost, 6)})
        return
    show_report(report, how, cost)


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
    changes, partial = docs.status(list(sources), at=revision, **how), docs.partial_reads(revision)
    expected = docs.expected_recall(revision)
    if as_json:
        echo_json({**changes, "partial": partly_read(partial), "expected_recall": expected.to_json()})
        return
    with console.pages() as screen:
        show_status(screen, f"{name}@{revision}", changes, partial, _ingest_command(name, sources, how), expected)


def _ingest_command(dataset: str, sources: Sequence[str], how: Mapping[str, Any]) -> str:
    """The command that commits what `status` found."""
    values = (("--source", how["label"]), ("--prefix", how["prefix"]))
    options = [word for option, value in values if value for word in (option, value)]
    records = {True: ["--records"], False: ["--no-records"]}.get(how["records"], [])
    return shlex.join(["vecver", "ingest", dataset, *sources, *options, *records])


def watched(
    docs: vecver.Dataset, branch: str, sources: Sequence[str], work: Callable[[Meter], vecver.Report]
) -> vecver.Report:
    """Run `work`, an ingest, with progress; after Ctrl-C say what was kept."""
    before, meter = docs.branches().get(branch), None
    try:
        with progress(docs.name, doing=f"looking at {', '.join(sources[:3])}") as meter:
            return work(meter)
    except KeyboardInterrupt:
        raise _stopped(docs, branch, before, meter.done("chunks") if meter else 0) from None


def show_report(report: vecver.Report, how: Mapping[str, Any], cost: float | None = None) -> None:
    """Show the report of an ingest; `how` has the branch and the message, `cost` is that of embedding, if known."""
    screens.show(console.out(), console.err(), Ingested(report, how["branch"], how["message"], cost))


def asks() -> bool:
    """True if a person can answer a question: both streams are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _intended(repository: vecver.Repository, dataset: str, *, yes: bool) -> None:
    """Ask whether a new dataset is meant where one of nearly the same name exists; without a terminal, say so."""
    names = repository.datasets()
    if dataset in names or not (meant := near(dataset, names)):
        return
    resembles = f"there is no dataset {dataset!r} yet, but {' and '.join(map(repr, meant))}"
    if yes or not asks():
        console.err().say(f"note: {resembles}; {dataset!r} is a new one")
    elif not click.confirm(f"{resembles}. Make {dataset!r}?", err=True):
        raise NotFoundError(
            f"there is no dataset {dataset!r}; nothing was made",
            code="dataset_not_found",
            hint="repeat the command with the right name, or with --yes",
            did_you_mean=meant,
        )


def _stopped(docs: vecver.Dataset, branch: str, before: str | None, embedded: int) -> Interrupted:
    """Say what an interrupted ingest left, and how to continue."""
    head = docs.branches().get(branch)
    if head != before:
        return Interrupted(
            f"the version {str(head)[:12]} of {docs.name}@{branch} was made before that",
            code="interrupted",
            hint=f"`vecver optimize {docs.name}` does what was left, and `vecver publish` if it is published",
        )
    kept = f"; the vectors of {embedded:,} chunks are kept" if embedded else ""
    unchanged = f"{docs.name}@{branch} is as it was" if before else f"{docs.name}@{branch} was not made"
    again = ": it goes on and embeds only the others" if embedded else ""
    return Interrupted(f"{unchanged}{kept}", code="interrupted", hint=f"run the same command again{again}")


COMMANDS = (init, ingest, status)
