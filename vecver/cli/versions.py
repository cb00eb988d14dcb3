"""Commands on versions and refs: log, show, diff, branch, tag, alias, promote, rollback, check."""

from __future__ import annotations

from typing import Any

import click

import vecver
from vecver.cli import common, measuring
from vecver.cli.output import as_json, echo_json, partly_read, progress
from vecver.settings import Settings

VERSION = click.argument("dataset", metavar="DATASET[@REV]")


@click.command()
@VERSION
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most N commits.")
@click.option("--measures", is_flag=True, help="Show what was measured of each version (`vecver recall`).")
@as_json
@click.pass_obj
def log(settings: Settings, /, dataset: str, limit: int | None, measures: bool, as_json: bool) -> None:
    """List the commits that led to a version, newest first."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    commits = [commit for commit, _ in zip(docs.log(revision), range(limit or 10**9), strict=False)]
    if as_json:
        echo_json([{**_entry(c), **({"measures": docs.measures(c)} if measures else {})} for c in commits])
        return
    names = _names(docs)
    for commit in commits:
        marks = f" ({', '.join(names[commit.id])})" if commit.id in names else ""
        counts = f"{commit.counts['documents']} documents, {commit.counts['chunks']} chunks"
        click.echo(f"{commit.id[:12]}  {commit.time[:19]}  {commit.message or '-'}{marks}\n              {counts}")
        for kind, measure in (docs.measures(commit) if measures else {}).items():
            click.echo(f"              {kind}: {measuring.one_line(measure)}")


@click.command()
@VERSION
@click.option("--documents", is_flag=True, help="List the documents of the version instead.")
@as_json
@click.pass_obj
def show(settings: Settings, /, dataset: str, documents: bool, as_json: bool) -> None:
    """Show all that is recorded of a version: roots, recipe, environment, operation."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    commit = docs.show(revision)
    if documents:
        found = docs.documents(revision)
        if as_json:
            echo_json({"commit": commit.id, "documents": found})
        else:
            click.echo("\n".join(found))
        return
    partial = docs.partial_reads(commit.id)
    if as_json:
        echo_json({**_entry(commit), "partial": partly_read(partial)})
        return
    click.echo(f"commit        {commit.id}\nparents       {' '.join(commit.parents) or '-'}")
    click.echo(
        f"author        {commit.author or '-'}\ntime          {commit.time}\nmessage       {commit.message or '-'}"
    )
    click.echo(f"content root  {commit.content_root}\nvector root   {commit.vector_root}")
    for title, value in (
        ("counts", commit.counts),
        ("recipe", commit.recipe.to_json()),
        ("operation", {name: value for name, value in commit.operation.items() if name != "partial"}),
    ):
        click.echo(f"{title}:")
        _show_values(value, "  ")
    if partial:
        click.echo("read in part:")
    for document, coverage in partial.items():
        click.echo(f"  {document}: {' '.join(coverage.notes)}")


@click.command()
@click.argument("dataset")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@as_json
@click.pass_obj
def diff(settings: Settings, /, dataset: str, before: str, after: str, as_json: bool) -> None:
    """Show what revision B adds (+), changes (~) and removes (-) against A."""
    found = common.opened(settings).dataset(dataset).diff(before, after)
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(str(found))


def _ref_command(kind: Any, text: str) -> click.Command:
    @click.command(kind, help=text)
    @click.argument("dataset")
    @click.argument("name", required=False)
    @click.argument("revision", required=False, default="main")
    @click.option("--delete", is_flag=True, help=f"Remove the {kind}; no version is lost by it.")
    @as_json
    @click.pass_obj
    def command(
        settings: Settings, /, dataset: str, name: str | None, revision: str, delete: bool, as_json: bool
    ) -> None:
        docs = _existing(settings, dataset)
        if name is None and delete:
            raise click.UsageError(f"--delete needs the NAME of a {kind}")
        if name is None:
            _show_refs(docs.branches() if kind == "branch" else docs.tags(), as_json)
        elif delete:
            _show_move(docs.delete_branch(name) if kind == "branch" else docs.delete_tag(name), as_json)
        else:
            _show_move(docs.branch(name, revision) if kind == "branch" else docs.tag(name, revision), as_json)

    return command


branch = _ref_command("branch", "List the branches of DATASET, or make NAME at REVISION (default main).")
tag = _ref_command("tag", "List the tags of DATASET, or tag REVISION (default main) as NAME, for ever.")


@click.command()
@click.argument("dataset")
@click.argument("name", required=False)
@click.option("--delete", is_flag=True, help="Remove the alias; no version is lost by it.")
@as_json
@click.pass_obj
def alias(settings: Settings, /, dataset: str, name: str | None, delete: bool, as_json: bool) -> None:
    """List the aliases of DATASET, or every move of the alias NAME."""
    docs = _existing(settings, dataset)
    if name is None:
        _show_refs(docs.aliases(), as_json)
    elif delete:
        _show_move(docs.delete_alias(name), as_json)
    else:
        moves = docs.moves("alias", name)
        if as_json:
            echo_json([move.to_json() for move in moves])
        else:
            for move in moves:
                click.echo(_moved(move))


@click.command()
@click.argument("dataset")
@click.argument("alias")
@click.argument("revision", default="main")
@as_json
@click.pass_obj
def promote(settings: Settings, /, dataset: str, alias: str, revision: str, as_json: bool) -> None:
    """Let ALIAS name REVISION (default main); applications that search at it follow at once."""
    _show_move(common.opened(settings).dataset(dataset).promote(alias, revision), as_json)


@click.command()
@click.argument("ref", metavar="DATASET@REF")
@click.option("--to", metavar="REV", help="Where to. Default: where it was before.")
@as_json
@click.pass_obj
def rollback(settings: Settings, /, ref: str, to: str | None, as_json: bool) -> None:
    """Take an alias back to where it was, or a branch back to its old content (as a new commit)."""
    dataset, name = common.version_of(ref)
    _show_move(common.opened(settings).dataset(dataset).rollback(name, to), as_json)


@click.command()
@click.option("--milvus", metavar="URI", help="Prove what is published there instead; embedded: the repository's own.")
@click.option("--repair", is_flag=True, help="First make again what is derived; say of the rest what helps.")
@as_json
@click.pass_obj
@click.pass_context
def check(context: click.Context, settings: Settings, /, milvus: str | None, repair: bool, as_json: bool) -> None:
    """Re-read everything, verify every digest, and prove each version's roots from its rows. Exits 5 on a problem."""
    repository = common.opened(settings)
    with progress("check") as advance:
        if milvus is None:
            found = repository.check(lambda commit, read: advance("commits", 1), repair=repair)
        else:
            found = repository.check(advance, milvus=milvus, repair=repair)
    if as_json:
        echo_json(found.to_json())
    else:
        for one in found.repaired:
            click.echo(f"repaired {one.object}: {one.problem}")
        for problem in found.problems:
            click.echo(f"{problem.object}: {problem.problem}")
        state = "clean" if found.clean else f"{len(found.problems)} problems"
        click.echo(f"{state}: {found.objects} {'objects' if milvus is None else 'rows'}, {found.bytes} bytes")
    context.exit(0 if found.clean else 5)


def _existing(settings: Settings, dataset: str) -> vecver.Dataset:
    """A dataset whose refs are listed or made: an unknown one is an error, not an empty list."""
    docs = common.opened(settings).dataset(dataset)
    docs.resolve(next(iter(docs.branches()), "main"))
    return docs


def _entry(commit: vecver.Commit) -> dict[str, Any]:
    return {"commit": commit.id, **commit.to_json()}


def _names(docs: vecver.Dataset) -> dict[str, list[str]]:
    """commit id -> the refs on it."""
    names: dict[str, list[str]] = {}
    for refs in (docs.branches(), docs.tags(), docs.aliases()):
        for name, commit in refs.items():
            names.setdefault(commit, []).append(name)
    return names


def _show_refs(refs: dict[str, str], as_json: bool) -> None:
    if as_json:
        echo_json(refs)
    else:
        for name, commit in refs.items():
            click.echo(f"{commit[:12]}  {name}")


def _show_move(move: vecver.Move, as_json: bool) -> None:
    if as_json:
        echo_json(move.to_json())
    else:
        click.echo(_moved(move))


def _moved(move: vecver.Move) -> str:
    before, after = (commit[:12] if commit else "nothing" for commit in (move.before, move.after))
    return f"{move.kind} {move.name}: {before} -> {after}  {move.time[:19]}  {move.author or '-'}  {move.reason}"


def _show_values(value: dict[str, Any], margin: str) -> None:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            click.echo(f"{margin}{name}:")
            _show_values(item, margin + "  ")
        else:
            click.echo(f"{margin}{name}: {item}")


COMMANDS = (log, show, diff, branch, tag, alias, promote, rollback, check)
