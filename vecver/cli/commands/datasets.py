"""Commands on whole datasets: datasets, dataset rename, dataset delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vecver.cli import common
from vecver.cli.screens import wording
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json
from vecver.errors import VecverError
from vecver.settings import Settings

if TYPE_CHECKING:
    import vecver


@click.command()
@as_json
@click.pass_obj
def datasets(settings: Settings, /, as_json: bool) -> None:
    """List the datasets of the repository: how much their newest version holds, and how old it is."""
    repository = common.opened(settings)
    entries = [_entry(repository.dataset(name)) for name in repository.datasets()]
    if as_json:
        echo_json(entries)
        return
    screen = console.out()
    if not entries:
        way = "`vecver ingest DATASET FOLDER` makes one"
        if repository.remotes():
            way = f"`vecver pull` brings those of its remote; {way}"
        screen.say("there is no dataset in ", repository.url, f"; {way}")
    wide = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        name = (entry["name"].ljust(wide), console.STRONG)
        if "error" in entry:
            screen.say(name, "  cannot be read: ", entry["error"])
            continue
        counts = f"{wording.count(entry['documents'], 'document')}, {wording.count(entry['chunks'], 'chunk')}"
        head = (wording.short_id(entry["head"], screen.terminal), console.ID)
        age = wording.ago(entry["time"], console.now()) if screen.terminal else wording.iso(entry["time"])
        screen.say(name, "  ", head, f"  {entry['branch']}  {counts}  ", (age, console.FAINT))


@click.group()
def dataset() -> None:
    """Rename or delete a whole dataset."""


@dataset.command()
@click.argument("old")
@click.argument("new")
@as_json
@click.pass_obj
def rename(settings: Settings, /, old: str, new: str, as_json: bool) -> None:
    """Let the dataset OLD be called NEW. Its versions, tags and receipts stay; API keys for OLD do not follow."""
    renamed = common.opened(settings).rename_dataset(old, new)
    if as_json:
        echo_json({"name": renamed.name, "was": old})
    else:
        parts = "renamed ", (old, console.STRONG), " to ", (new, console.STRONG), "; its receipts replay as before"
        console.out().say(*parts)


@dataset.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it. Without, only the plan is shown.")
@as_json
@click.pass_obj
def delete(settings: Settings, /, name: str, yes: bool, as_json: bool) -> None:
    """Delete the dataset NAME with all its versions and refs; shows what goes, and does it with --yes.

    `vecver gc --apply` frees the bytes when its grace age has passed.
    """
    plan = common.opened(settings).delete_dataset(name, apply=yes)
    if as_json:
        echo_json(plan.to_json())
        return
    screen = console.out()
    refs = [f"{kind} {', '.join(names)}" for kind, names in _refs(plan).items() if names]
    begins = "deleted" if plan.applied else "would delete"
    screen.say(f"{begins} ", (name, console.STRONG), f": {wording.count(plan.versions, 'version')}; {'; '.join(refs)}")
    held = f"{wording.count(plan.documents, 'document')}, {wording.count(plan.chunks, 'chunk')}"
    screen.say(f"  its newest version holds {held}")
    screen.say(f"  {wording.size(plan.bytes)} are freed by `vecver gc --apply`, once its grace age has passed")
    for uri in plan.published:
        screen.say("  published in ", uri or "the embedded Milvus", f": `vecver unpublish {name}@REV` first")
    if not plan.applied:
        screen.say("nothing was deleted; `--yes` does it")


def _entry(docs: vecver.Dataset) -> dict[str, Any]:
    """A dataset with its newest version on main, else on the branch that comes first; one that is damaged says so."""
    try:
        branches = docs.branches()
        branch = "main" if "main" in branches else next(iter(branches))
        head = docs.show(branches[branch])
        counts = {name: head.counts[name] for name in ("documents", "chunks")}
        return {"name": docs.name, "branch": branch, "head": head.id, "time": head.time, **counts}
    except VecverError as error:
        return {"name": docs.name, "branch": None, "head": None, "error": error.message}


def _refs(plan: vecver.DatasetRemoval) -> dict[str, tuple[str, ...]]:
    return {"branches": plan.branches, "tags": plan.tags, "aliases": plan.aliases}


COMMANDS = (datasets, dataset)
