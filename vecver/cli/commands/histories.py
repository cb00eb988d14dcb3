"""The command log: the versions that led to one, what was measured of them, and a drawing of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

import vecver
from vecver.cli import common
from vecver.cli.screens import history
from vecver.cli.screens.graph import newest_first, rows
from vecver.cli.screens.history import Entry
from vecver.cli.terminal import console
from vecver.cli.terminal.output import as_json, echo_json
from vecver.errors import InvalidInputError
from vecver.settings import Settings

_ALL = "*"  # what --measures without names stands for
_DRAWINGS = (".svg", ".html")
Values = Mapping[str, Mapping[str, vecver.StoredMeasure]]  # commit id -> name -> value


class OptionalValue(click.Command):
    """A command of one argument whose --measures may have a value.

    The word after --measures is its value if the command has its DATASET without it: so `log --measures handbook` names
    the dataset, as it did before --measures took names, and `log --measures nDCG@10 handbook` does what it says.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._with_value(ctx, args))

    def _with_value(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        place = options.index("--measures") if "--measures" in options else len(args)
        before, after = args[:place], args[place + 1 :]
        if not after or after[0].startswith("-"):
            return args
        found, _, _ = self.make_parser(ctx).parse_args([*before, *after[1:]])
        if isinstance(found.get("dataset"), str):
            return [*before, f"--measures={after[0]}", *after[1:]]
        return [*before, f"--measures={_ALL}", *after]


@click.command(cls=OptionalValue)
@click.argument("dataset", metavar="DATASET[@REV]")
@click.argument("document", metavar="[DOC]", required=False)
@click.option("--since", metavar="REV", help="Only versions after this one.")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="At most N commits.")
@click.option("--oneline", is_flag=True, help="A line each.")
@click.option("--graph", is_flag=True, help="Draw how the versions descend from each other; without @REV of all refs.")
@click.option(
    "--measures",
    is_flag=False,
    flag_value=_ALL,
    metavar="[M,M]",
    help="Show what was measured of each version; of named measures (nDCG@10,ann_recall@10) a column each.",
)
@click.option("--questions", metavar="NAME|FILE", help="By which --measures were made. Default: the only set there is.")
@common.MODE
@common.WEIGHT
@common.FUSION
@click.option("--plot", metavar="FILE", help="Draw the measures over the versions: FILE.svg, or a page FILE.html.")
@click.option("--date", type=click.Choice(["relative", "iso"]), help="Default: relative on a terminal, else iso.")
@as_json
@click.pass_obj
def log(
    settings: Settings,
    /,
    dataset: str,
    document: str | None,
    since: str | None,
    limit: int | None,
    oneline: bool,
    graph: bool,
    measures: str | None,
    questions: str | None,
    plot: str | None,
    date: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """List the commits that led to a version, newest first; with DOC only those that changed this document.

    Before a merge it follows the branch that was merged into; --graph draws the other side too.
    """
    name, revision = common.version_of(dataset)
    named = None if measures in (None, _ALL) else measures
    _check(named, questions, plot, graph, how)
    _check_all_shown(document, since, plot, graph)
    docs = common.opened(settings).dataset(name)
    if plot:
        drawn = docs.measure_history(revision, measures=named, questions=questions, limit=limit, **how)
        common.write("--plot", plot, drawn.to_svg() if Path(plot).suffix == ".svg" else drawn.to_html())
        console.err().say(f"drawn: {plot}")
    at_all = graph and "@" not in dataset
    commits: Iterable[vecver.Commit] = islice(
        history_of(docs, None if at_all else revision) if graph else docs.log(revision, document=document, since=since),
        limit,
    )
    columns: tuple[str, ...] = ()
    values: Values | None = None
    if named:
        commits = list(commits)
        columns, values = _values(docs, commits, named, {"questions": questions, **how})
    if as_json:
        echo_json([_as_json(docs, commit, values, with_all=measures == _ALL) for commit in commits])
        return
    with console.pages() as screen:
        looked_up = measures == _ALL or (screen.terminal and not oneline and not named)
        entries: Iterator[Entry] = (_entry(docs, commit, columns, values, looked_up=looked_up) for commit in commits)
        if graph:
            entries = _joined(list(entries))
        date = date or ("relative" if screen.terminal else "iso")
        first = list(islice(entries, 1))
        if not first and screen.terminal:
            screen.say(nothing_listed(document, since))
        history.show_log(
            screen, chain(first, entries), history.names(docs), oneline=oneline, date=date, columns=columns
        )
    if named and values and not any(values.values()):
        console.err().say(f"note: no version has {named} stored for --mode {how['mode']}; `vecver eval` measures it")


def history_of(docs: vecver.Dataset, revision: str | None) -> Iterator[vecver.Commit]:
    """The commits that led to a revision, or to any ref, along all parents; every child before its parents."""
    commits: dict[str, vecver.Commit] = {}
    if revision is None:
        waiting = [*docs.branches().values(), *docs.aliases().values(), *docs.tags().values()]
    if revision is not None or not waiting:
        waiting = [docs.resolve(revision or "main")]
    while waiting:
        for commit in docs.log(waiting.pop()):
            if commit.id in commits:
                break
            commits[commit.id] = commit
            waiting += commit.parents[1:]
    parents = {id: commit.parents for id, commit in commits.items()}
    return (commits[id] for id in newest_first(parents, {id: commit.time for id, commit in commits.items()}))


def nothing_listed(document: str | None, since: str | None) -> str:
    """That a log is empty, and why."""
    after = f" after {since}" if since else ""
    return f"No version{after} changed {document}." if document else f"There is no version{after}."


def _joined(entries: list[Entry]) -> Iterator[Entry]:
    """Entries with the lines of their graph."""
    drawn = rows((entry.commit.id, entry.commit.parents) for entry in entries)
    return (replace(entry, row=row) for entry, row in zip(entries, drawn, strict=True))


def _entry(
    docs: vecver.Dataset, commit: vecver.Commit, columns: Sequence[str], values: Values | None, *, looked_up: bool
) -> Entry:
    stored = values[commit.id] if values is not None else {}
    cells = (f"{stored[name].mean:.4f}" if name in stored else "" for name in columns)
    return Entry(commit, docs.measures(commit) if looked_up else {}, values=tuple(cells))


def _as_json(docs: vecver.Dataset, commit: vecver.Commit, values: Values | None, *, with_all: bool) -> dict[str, Any]:
    entry = {"commit": commit.id, **commit.to_json()}
    if values is not None:
        return {**entry, "measures": {name: measure.to_json() for name, measure in values[commit.id].items()}}
    return {**entry, "measures": docs.measures(commit)} if with_all else entry


def _values(
    docs: vecver.Dataset, commits: Sequence[vecver.Commit], names: str, how: dict[str, Any]
) -> tuple[tuple[str, ...], Values]:
    """(names of the columns, the stored values of each of these commits)."""
    columns: dict[str, None] = {}
    values: dict[str, Mapping[str, vecver.StoredMeasure]] = {}
    for commit in commits:  # the first one's history has all of them, unless branches meet
        if commit.id not in values:
            found = docs.measure_history(commit, measures=names, limit=len(commits), **how)
            columns |= dict.fromkeys(found.names)
            values |= {version.commit: version.measures for version in found}
    return tuple(columns), values


def _check(named: str | None, questions: str | None, plot: str | None, graph: bool, how: dict[str, Any]) -> None:
    """Raises InvalidInputError for options that cannot be honoured together, or a file that cannot be the drawing."""
    used = [name for name, value in how.items() if value not in (None, "dense")]
    if used and not (named or plot):
        raise InvalidInputError(
            f"--{used[0]} says how named measures were made",
            code="conflicting_options",
            hint="name them: --measures nDCG@10",
        )
    if questions and not (named or plot):
        raise InvalidInputError(
            "--questions says by what named measures were made",
            code="conflicting_options",
            hint="name them: --measures nDCG@10",
        )
    if plot and graph:
        raise InvalidInputError(
            "--plot draws one line of versions, --graph lists all",
            code="conflicting_options",
            hint="leave one of them out",
        )
    if plot and Path(plot).suffix not in _DRAWINGS:
        raise InvalidInputError(
            f"{plot} cannot be the drawing", code="unwritable", hint="name a FILE.svg or FILE.html", path=plot
        )
    if plot:
        common.check_writable("--plot", plot)


def _check_all_shown(document: str | None, since: str | None, plot: str | None, graph: bool) -> None:
    """Raises InvalidInputError where only some versions are asked for, and a drawing that shows all."""
    if (document or since) and (graph or plot):
        raise InvalidInputError(
            f"{'--graph' if graph else '--plot'} draws all versions that led to one",
            code="conflicting_options",
            hint="leave it out, or DOC and --since",
        )


COMMANDS = (log,)
