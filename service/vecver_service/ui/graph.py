"""The lines that join versions to their parents in the table of the history; it sees only ids.

A row is drawn inside its own table cell, which may have any height: lines run from its top to its middle, where the
version is, and from there to its bottom. `x` counts columns from 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import vecver


@dataclass(frozen=True)
class GraphRow:
    """What is drawn beside one version."""

    x: int
    upper: tuple[tuple[int, int], ...]  # lines from the top (column) to the middle (column)
    lower: tuple[tuple[int, int], ...]  # lines from the middle to the bottom
    columns: int


def newest_first(heads: Sequence[str], load: Callable[[str], vecver.Commit]) -> Iterator[vecver.Commit]:
    """The versions that lead to these, newest first; each is loaded when it is its turn."""
    waiting: list[tuple[tuple[int, ...], str]] = []
    commits: dict[str, vecver.Commit] = {}

    def wait(id: str) -> None:
        if id not in commits:
            commits[id] = load(id)
            heapq.heappush(waiting, (tuple(-ord(character) for character in commits[id].time), id))

    for head in heads:
        wait(head)
    while waiting:
        _, id = heapq.heappop(waiting)
        yield commits[id]
        for parent in commits[id].parents:
            wait(parent)


def rows(parents: Mapping[str, Sequence[str]]) -> Iterator[GraphRow]:
    """A row for each version and its parents, in the order of the table: children before parents."""
    columns: list[str] = []  # the version that each column leads down to
    drawn: set[str] = set()
    for id, its_parents in parents.items():
        before = list(columns)
        if id not in columns:
            columns.append(id)
        x = columns.index(id)
        drawn.add(id)
        columns[x : x + 1] = [parent for parent in its_parents if parent not in columns and parent not in drawn]
        upper = tuple((at, x if each == id else at) for at, each in enumerate(before))
        through = ((at, columns.index(each)) for at, each in enumerate(before) if each != id)
        down = ((x, columns.index(parent)) for parent in its_parents if parent in columns)
        yield GraphRow(x, upper, tuple(dict.fromkeys((*through, *down))), max(len(before), len(columns), x + 1))
