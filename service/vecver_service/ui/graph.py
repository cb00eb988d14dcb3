"""The lines that join versions to their parents in the table of the history; it sees only ids.

A row is drawn inside its own table cell, which may have any height: lines run from its top to its middle, where the
version is, and from there to its bottom. `x` counts columns from 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import vecver


@dataclass(frozen=True)
class GraphRow:
    """What is drawn beside one version."""

    x: int
    upper: tuple[tuple[int, int], ...]  # lines from the top (column) to the middle (column)
    lower: tuple[tuple[int, int], ...]  # lines from the middle to the bottom
    columns: int


class NewestFirst:
    """The versions that lead to `heads`, newest first; each is loaded shortly before its turn."""

    def __init__(self, heads: Iterable[str], load: Callable[[str], vecver.Commit]) -> None:
        self._load = load
        self._waiting: list[tuple[tuple[int, ...], str]] = []
        self._commits: dict[str, vecver.Commit] = {}
        for head in heads:
            self._wait(head)

    @property
    def heads(self) -> list[str]:
        """From where the rest goes on."""
        return sorted(id for _, id in self._waiting)

    def __iter__(self) -> Iterator[vecver.Commit]:
        while self._waiting:
            _, id = heapq.heappop(self._waiting)
            for parent in self._commits[id].parents:
                self._wait(parent)
            yield self._commits[id]

    def _wait(self, id: str) -> None:
        if id not in self._commits:
            self._commits[id] = self._load(id)
            heapq.heappush(self._waiting, (tuple(-ord(character) for character in self._commits[id].time), id))


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
