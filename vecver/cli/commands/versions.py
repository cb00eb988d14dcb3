"""Commands on versions and refs: show, diff, branch, tag, alias, promote, approve, rollback, check."""

from __future__ import annotations

from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens import history, refs
from vecver.cli.screens.changes import show_diff, show_document
from vecver.cli.screens.gates import show_approvals, show_gates, show_measured
from vecver.cli.screens.upkeep import show_check
from vecver.cli.screens.version import show_version
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json, partly_read, progress
from vecver.errors import ApprovalError, GateError, InvalidInputError
from vecver.settings import Settings

VERSION = click.argument("dataset", metavar="DATASET[@REV]")


@click.command()
@VERSION
@click.option("--documents", is_flag=True, help="List the documents of the version instead.")
@click.option("--coverage", is_flag=True, help="List every document that was read in part.")
@as_json
@click.pass_obj
def show(settings: Settings, /, dataset: str, documents: bool, coverage: bool, as_json: bool) -> None:
    """Show all that is recorded of a version: what it changed, how it was made, its digests."""
    name, revision = common.version_of(dataset)
    docs = common.opened(settings).dataset(name)
    commit = docs.show(revision)
    if documents:
        names = docs.documents(revision)
        if as_json:
            echo_json({"commit": commit.id, "documents": names})
            return
        with console.pages() as screen:
            for document in names:
                screen.say(document)
        return
    partial, expected = docs.partial_reads(commit.id), docs.expected_recall(commit.id)
    has_rows = docs.repository.has_rows(commit.id)  # otherwise this would fetch them
    sketch = docs.sketch(commit.id) if has_rows else None
    if as_json:
        sketched = {"sketch": sketch.to_json()} if sketch else {}
        values = {"partial": partly_read(partial), **sketched, "expected_recall": expected.to_json()}
        echo_json({**_entry(commit), **values})
        return
    here = history.names(docs).get(commit.id, ())
    with console.pages() as screen:
        show_version(
            screen,
            commit,
            name,
            refs=here,
            changes=_changes(docs, commit) if has_rows else {},
            partial=partial,
            coverage=coverage,
            expected=expected,
            sketch=sketch,
        )


def _changes(docs: vecver.Dataset, commit: vecver.Commit) -> dict[str, str]:
    """document -> "added", "changed" or "removed" by a version; a first version added all its documents."""
    if not commit.parents:
        return dict.fromkeys(docs.documents(commit), "added")
    difference = docs.diff(commit.parents[0], commit)
    return {name: change for change in ("added", "changed", "removed") for name in getattr(difference, change)}


@click.command()
@click.argument("dataset")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.argument("document", metavar="[DOC]", required=False)
@click.option("--stat", is_flag=True, help="Draw how many chunks of each document were added and removed.")
@as_json
@click.pass_obj
def diff(
    settings: Settings, /, dataset: str, before: str, after: str, document: str | None, stat: bool, as_json: bool
) -> None:
    """Show what revision B adds (+), changes (~) and removes (-) against A; of one DOC, what its text says."""
    docs = common.opened(settings).dataset(dataset)
    if document is not None:
        document_diff = docs.diff(before, after, document=document)
        if as_json:
            echo_json(document_diff.to_json())
            return
        with console.pages() as screen:
            show_document(screen, document_diff)
        return
    difference = docs.diff(before, after)
    if as_json:
        echo_json(difference.to_json())
        return
    with console.pages() as screen:
        show_diff(screen, difference, f"vecver diff {dataset} {before} {after}", stat=stat)


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
            _show_refs(docs, kind, docs.branches() if kind == "branch" else docs.tags(), as_json)
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
        _show_refs(docs, "alias", docs.aliases(), as_json)
    elif delete:
        _show_move(docs.delete_alias(name), as_json)
    else:
        moves = docs.moves("alias", name)
        if as_json:
            echo_json([move.to_dict() for move in moves])
        else:
            with console.pages() as screen:
                refs.show_moves(screen, moves)


@click.command()
@click.argument("dataset")
@click.argument("alias")
@click.argument("revision", default="main")
@click.option("--gate", "gates", metavar="EXPR", multiple=True, help="What it must be worth first: 'nDCG@10 >= 0.60'.")
@click.option("--questions", metavar="NAME|FILE", help="By which gates measure: a stored set, or a file of one.")
@click.option("--exact", is_flag=True, help="Measure the true best, not what the index finds.")
@common.MODE
@common.WEIGHT
@common.FUSION
@click.option("--override", metavar="WHY", help="Move it without looking at any gate; WHY is kept with the move.")
@as_json
@click.pass_obj
def promote(settings: Settings, /, dataset: str, alias: str, revision: str, as_json: bool, **how: Any) -> None:
    """Let ALIAS name REVISION (default main); applications that search at it follow at once.

    Its policy (`vecver policy`) and --gate say what REVISION must be worth first: a measure against a number
    ('ann_recall@10 >= 0.95'), or against what another version reaches ('R@10 >= prod - 0.01'). If a gate does not hold,
    ALIAS stays, and the exit code is 9. If its policy asks for an approval, ALIAS stays until somebody else runs
    `vecver approve`, and the exit code is 10.
    """
    docs = common.opened(settings).dataset(dataset)
    try:
        with progress(dataset) as advance:
            move = docs.promote(alias, revision, progress=advance, **how)
    except GateError as error:
        if as_json:
            echo_json({"code": error.code, "gates": error.context["gates"], "worse": error.context["worse"]})
        else:
            show_gates(console.out(), error.context)
        raise
    except ApprovalError as error:
        if as_json:
            echo_json({"code": error.code, "approval": error.context["approval"]})
        else:
            show_gates(console.out(), error.context["approval"]["gating"] or {})
        raise
    _show_promoted(docs, move, as_json)


@click.command()
@click.argument("dataset")
@click.argument("alias", required=False)
@click.argument("revision", required=False)
@click.option("--reject", metavar="WHY", help="Let it move nothing; WHY is kept with it.")
@as_json
@click.pass_obj
def approve(
    settings: Settings,
    /,
    dataset: str,
    alias: str | None,
    revision: str | None,
    reject: str | None,
    as_json: bool,
) -> None:
    """Let ALIAS move as somebody else asked with `vecver promote`; without ALIAS list what waits.

    With REVISION only if that version waits. Whoever asked cannot approve. In a folder the author's name says who you
    are (VECVER_AUTHOR): it is for people who do not cheat; a service tells them apart by their keys.
    """
    docs = common.opened(settings).dataset(dataset)
    if reject is not None and (alias is None or revision is not None):
        raise InvalidInputError(
            "--reject takes an ALIAS, and no REVISION",
            code="conflicting_options",
            hint=f"vecver approve {dataset} {alias or 'ALIAS'} --reject WHY",
        )
    if alias is None:
        requests = docs.approvals()
        if as_json:
            echo_json({"approvals": [request.to_dict() for request in requests.values()]})
        else:
            show_approvals(console.out(), dataset, list(requests.values()))
    elif reject is not None:
        rejected = docs.reject(alias, reject)
        if as_json:
            echo_json(rejected.to_dict())
        else:
            show_approvals(console.out(), dataset, [rejected])
    else:
        with progress(dataset) as advance:
            move = docs.approve(alias, revision, progress=advance)
        _show_promoted(docs, move, as_json)


def _show_promoted(docs: vecver.Dataset, move: vecver.Move, as_json: bool) -> None:
    expected = docs.expected_recall(move.after or "main")
    if as_json:
        echo_json({**move.to_dict(), "expected_recall": expected.to_json()})
    else:
        show_gates(console.out(), move.gating or {})
        refs.show_move(console.out(), move, expected)


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
@click.option("--remote", metavar="NAME", help="Check that remote; what its own hash proves is not fetched.")
@click.option("--repair", is_flag=True, help="First make again what is derived; say of the rest what helps.")
@as_json
@click.pass_obj
@click.pass_context
def check(
    context: click.Context, settings: Settings, /, milvus: str | None, remote: str | None, repair: bool, as_json: bool
) -> None:
    """Re-read everything, verify every digest, and prove each version's roots from its rows. Exits 5 on a problem."""
    repository = common.opened(settings)
    with progress("check") as advance:
        outcome = repository.check(advance, milvus=milvus, remote=remote, repair=repair)
    if as_json:
        echo_json(outcome.to_json())
    else:
        with console.pages() as screen:
            show_check(screen, outcome, rows=milvus is not None)
        for note in outcome.notes:
            console.err().say(f"note: {note}")
    context.exit(0 if outcome.clean else 5)


def _existing(settings: Settings, dataset: str) -> vecver.Dataset:
    """A dataset whose refs are listed or made: an unknown one is an error, not an empty list."""
    docs = common.opened(settings).dataset(dataset)
    docs.resolve(next(iter(docs.branches()), "main"))
    return docs


def _entry(commit: vecver.Commit) -> dict[str, Any]:
    return {"commit": commit.id, **commit.to_json()}


def _show_refs(docs: vecver.Dataset, kind: str, commits: dict[str, str], as_json: bool) -> None:
    if as_json:
        echo_json(commits)
        return
    verb = "promote" if kind == "alias" else kind
    with console.pages() as screen:
        refs.show_refs(screen, kind, commits, docs.show, f"vecver {verb} {docs.name} NAME")


def _show_move(move: vecver.Move, as_json: bool) -> None:
    if as_json:
        echo_json(move.to_dict())
    else:
        refs.show_move(console.out(), move)
        show_measured(console.out(), move.measured)


COMMANDS = (show, diff, branch, tag, alias, promote, approve, rollback, check)
