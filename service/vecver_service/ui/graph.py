"""The lines that join versions to their parents in the table of the history; it sees only ids.

A row is drawn inside its own table cell, which may have any height: lines run from its top to its middle, where the
version is, and from there to its bottom. `x` counts columns from 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import vecver


@dataclass(frozen=True)
class GraphRow:
    """What is drawn beside one version."""

    x: int
    upper: tuple[tuple[int, int], ...]  # lines from the top (column) to the middle (column)
    lower: tuple[tuple[int, int], ...]  # lines from the middle to the bottom
    columns: int


class NewestFirst:
    """The versions that lead to `heads`, newest first. `log`: a version and those before it along first parents."""

    def __init__(self, heads: Iterable[str], log: Callable[[str], Iterable[vecver.Commit]]) -> None:
        self._log = log
        self._waiting: list[tuple[float, str, vecver.Commit, Iterator[vecver.Commit]]] = []
        self._seen: set[str] = set()
        for head in heads:
            self._begin(head)

    @property
    def heads(self) -> list[str]:
        """From where the rest goes on."""
        return sorted(id for _, id, _, _ in self._waiting)

    def __iter__(self) -> Iterator[vecver.Commit]:
        while self._waiting:
            _, _, commit, older = heapq.heappop(self._waiting)
            self._wait(older)
            for parent in commit.parents[1:]:
                self._begin(parent)
            yield commit

    def _begin(self, id: str) -> None:
        if id not in self._seen:
            self._wait(iter(self._log(id)))

    def _wait(self, older: Iterator[vecver.Commit]) -> None:
        """Let the next version of a line wait for its turn, unless another line came to it first."""
        commit = next(older, None)
        if commit and commit.id not in self._seen:
            self._seen.add(commit.id)
            time = -datetime.fromisoformat(commit.time).timestamp()
            heapq.heappush(self._waiting, (time, commit.id, commit, older))


def rows(parents: Mapping[str, Sequence[str]], trunk: str = "") -> Iterator[GraphRow]:
    """A row for each version and its parents, in the order of the table: children before parents.

    `trunk`: the version that the first column leads down to, though newer versions of other branches stand above it.
    """
    columns = [trunk] if trunk in parents else []  # the version that each column leads down to
    kept = set(columns)  # a column that no line has reached yet
    drawn: set[str] = set()
    for id, its_parents in parents.items():
        before = list(columns)
        if id not in columns:
            columns.append(id)
        x = columns.index(id)
        drawn.add(id)
        columns[x : x + 1] = [parent for parent in its_parents if parent not in columns and parent not in drawn]
        lines = [(at, each) for at, each in enumerate(before) if each not in kept]
        upper = tuple((at, x if each == id else at) for at, each in lines)
        through = ((at, columns.index(each)) for at, each in lines if each != id)
        down = ((x, columns.index(parent)) for parent in its_parents if parent in columns)
        kept -= {id, *its_parents}
        yield GraphRow(x, upper, tuple(dict.fromkeys((*through, *down))), max(len(before), len(columns), x + 1))
