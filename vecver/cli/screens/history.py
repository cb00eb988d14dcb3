"""The commits that led to a version: a paragraph each, or a line each, with the graph that joins them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import vecver
from vecver.cli.screens import wording
from vecver.cli.screens.graph import Row
from vecver.cli.terminal import console
from vecver.cli.terminal.console import ADDED, ALIAS, BRANCH, CHANGED, FAINT, ID, REMOVED, STRONG, TAG, Part, Screen

Json = dict[str, Any]
Refs = Mapping[str, Sequence[tuple[str, str]]]  # commit id -> (kind, name) of each ref on it

STYLES = {"branch": BRANCH, "tag": TAG, "alias": ALIAS}
_SIGNS = (("added", "+", ADDED), ("changed", "~", CHANGED), ("removed", "−", REMOVED))
_AT_ONCE = 200  # commits whose columns are aligned together, so that a long history begins at once
_NARROW = 60  # columns, below which a line has no room for counts and times
_VALUE = 10  # columns that a value takes
_NO_ROW = Row("", "", ())


@dataclass(frozen=True)
class Entry:
    """A commit in a list, with its refs, measures and graph."""

    commit: vecver.Commit
    measures: Json = field(default_factory=dict)
    row: Row = _NO_ROW
    values: tuple[str, ...] = ()  # of the columns that were asked for; "" where nothing was measured


def show_log(
    screen: Screen, entries: Iterable[Entry], refs: Refs, *, oneline: bool, date: str, columns: Sequence[str] = ()
) -> None:
    """The commits in their order; `date`: "relative" or "iso"; `columns`: the names of `Entry.values`, a line each."""
    if not screen.terminal:
        for entry in entries:
            screen.say(*_plain(entry, refs, oneline, date, columns))
            for line in _measures(entry, "\t"):
                screen.say(line)
            for edge in entry.row.edges:
                screen.say(edge)
    elif oneline or columns:
        left = iter(entries)
        while some := list(islice(left, _AT_ONCE)):
            _show_lines(screen, some, refs, date, columns)
    else:
        for entry in entries:
            _show_paragraph(screen, entry, refs, date)


def names(docs: Any) -> dict[str, list[tuple[str, str]]]:
    """The refs of a dataset by the commit that they stand on."""
    by_commit: dict[str, list[tuple[str, str]]] = {}
    for kind, refs in (("branch", docs.branches()), ("alias", docs.aliases()), ("tag", docs.tags())):
        for name, commit in refs.items():
            by_commit.setdefault(commit, []).append((kind, name))
    return by_commit


def ref_parts(refs: Sequence[tuple[str, str]]) -> list[Part]:
    """` (main, prod, 2026-11)`, each in the colour of its kind; nothing if there are none."""
    parts: list[Part] = []
    for kind, name in refs:
        parts += [(", " if parts else " (", ID), (name, STYLES[kind])]
    return [*parts, (")", ID)] if parts else []


def change_parts(commit: vecver.Commit) -> list[Part]:
    """`+2 ~14 −1`: documents that the commit added, changed and removed; of a rollback, where it went back to."""
    documents = commit.operation.get("documents", {})
    parts: list[Part] = []
    for name, sign, style in _SIGNS:
        if documents.get(name):
            parts += [" " if parts else "", (f"{sign}{documents[name]:,}", style)]
    if commit.operation.get("kind") == "rollback":
        parts = [("back to ", FAINT), (wording.short_id(commit.operation["to"]), ID)]
    return parts


def _show_lines(screen: Screen, entries: Sequence[Entry], refs: Refs, date: str, columns: Sequence[str]) -> None:
    """A line each, cut to the width; values in columns, and counts and times where there is room."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    wide = screen.width >= _NARROW + _VALUE * len(columns)
    for _ in columns:
        table.add_column(no_wrap=True, justify="right")
    for _ in range(2 if wide else 0):
        table.add_column(no_wrap=True)
    now = console.now()
    if columns:
        table.add_row("", *(console.text((name, FAINT)) for name in columns))
    for entry in entries:
        commit = entry.commit
        left: list[Part] = [*_branches(entry.row.node), (wording.short_id(commit.id), ID)]
        left += [*ref_parts(refs.get(commit.id, ())), " ", wording.folded(commit.message) or ("no message", FAINT)]
        right = [console.text(*change_parts(commit)), console.text((wording.when(commit.time, date, now), FAINT))]
        values = [console.text(value or ("·", FAINT)) for value in entry.values]
        table.add_row(console.text(*left, wrap=False), *values, *(right if wide else ()))
        for edge in entry.row.edges:
            table.add_row(console.text(*_branches(edge)))
    screen.draw(table)


def _show_paragraph(screen: Screen, entry: Entry, refs: Refs, date: str) -> None:
    commit, now = entry.commit, console.now()
    documents, chunks = commit.counts["documents"], commit.counts["chunks"]
    head: list[Part] = [(wording.short_id(commit.id), ID), *ref_parts(refs.get(commit.id, ()))]
    head += ["  ", (wording.when(commit.time, date, now), FAINT)]
    head += [(f" by {wording.folded(commit.author)}", FAINT)] if commit.author else []
    changes = change_parts(commit)
    holds = f"{wording.count(documents, 'document')}, {wording.count(chunks, 'chunk')}"
    body = [console.text((line, STRONG)) for line in commit.message.strip().splitlines()]
    body.append(console.text(*changes, (f"{' · ' if changes else ''}{holds}", FAINT)))
    body += [console.text((line, FAINT)) for line in _measures(entry, "")]
    node, below = (console.text(*_branches(part)) for part in (entry.row.node, entry.row.below))
    behind = replace(screen, width=max(screen.width - len(node), 10))
    lines = [
        behind.indented(paragraph, margin)
        for paragraph, margin in [(console.text(*head), 0), *((paragraph, 4) for paragraph in body)]
    ]
    for number, line in enumerate(line for text in [*lines, console.text("")] for line in text.split(allow_blank=True)):
        screen.draw((below if number else node) + line)
    for edge in entry.row.edges:
        screen.draw(console.text(*_branches(edge)))


def _branches(drawn: str) -> list[Part]:
    """The graph in colour: its commits stand out."""
    return [(mark, STRONG if mark == "*" else FAINT) for mark in drawn]


def _plain(entry: Entry, refs: Refs, oneline: bool, date: str, columns: Sequence[str]) -> list[Part]:
    """One line for programs; `oneline`: as `git log --oneline`."""
    commit = entry.commit
    marks = "".join(part if isinstance(part, str) else part[0] for part in ref_parts(refs.get(commit.id, ())))
    message = wording.folded(commit.message) or "-"
    id = f"{entry.row.node}{wording.short_id(commit.id, False)}"
    values = "".join(f"{name} {value or '-'}  " for name, value in zip(columns, entry.values, strict=True))
    if oneline:
        return [f"{id}{marks} {values}{message}"]
    documents = commit.operation.get("documents", {})
    changes = " ".join(f"{'-' if sign == '−' else sign}{documents.get(name, 0)}" for name, sign, _ in _SIGNS)
    holds = f"{commit.counts['documents']} documents, {commit.counts['chunks']} chunks"
    time = wording.when(commit.time, date, console.now())
    author = wording.folded(commit.author) or "-"
    return [f"{id}  {time}  {author}  {changes}  {holds}  {values}{message}{marks}"]


def _measures(entry: Entry, margin: str) -> Iterator[str]:
    """One line for each measure of a commit."""
    for kind, measure in entry.measures.items():
        yield f"{margin}{kind}: {measured(measure)}"


def measured(measure: Json) -> str:
    """A measure on one line."""
    if "damaged" in measure:
        return f"damaged, measure again ({measure['damaged']})"
    if "at" not in measure:
        return ", ".join(f"{name} {value}" for name, value in measure.items() if isinstance(value, int | float | str))
    at = ", ".join(f"@{at_k['k']} {at_k['ann_recall']:.4f} in {at_k['p50_ms']:.2f} ms" for at_k in measure["at"])
    worst = "".join(f", worst {at_k['worst']:.2f} @{at_k['k']}" for at_k in measure["at"] if "worst" in at_k)
    return f"{at}{worst} · {measure['queries']['count']} queries · {measure['time'][:19]}"
