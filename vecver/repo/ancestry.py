"""Ancestry: the newest commits that led to two versions both, found without reading the whole history.

Decisions
1. As `git merge-base --all` (`paint_down_to_common` in its commit-reach.c): both histories are walked together, newest
   first, until only ancestors of common ancestors are left. So two branches that parted ten commits ago cost ten.
2. Commit times only order the walk. Where clocks were wrong a common ancestor of another one may be found too, so where
   there are several each is looked for among the ancestors of the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from vecver.repo.objects import parents_first

if TYPE_CHECKING:
    from vecver.model import Commit

_LEFT, _RIGHT, _STALE = 1, 2, 4
_BOTH = _LEFT | _RIGHT


def common_ancestors(load: Callable[[str], Commit], left: Collection[str], right: Collection[str]) -> list[str]:
    """The commits that are ancestors of one of `left` and of one of `right`, and of no other such commit; sorted.

    A commit counts as its own ancestor. None: the histories have nothing in common.
    """
    found = _Walk(load).run(left, right)
    if len(found) < 2:
        return sorted(found)
    return sorted(id for id in found if id not in _ancestors(load, (other for other in found if other != id)))


def _ancestors(load: Callable[[str], Commit], heads: Iterable[str]) -> set[str]:
    return {commit.id for commit in parents_first(heads, load)}


class _Walk:
    """Walks two histories, newest first; each commit has the marks of the sides that lead to it."""

    def __init__(self, load: Callable[[str], Commit]) -> None:
        self._load = load
        self._marks: dict[str, int] = {}
        self._waiting: list[tuple[float, str]] = []
        self._fresh: set[str] = set()  # that wait, and are not known to lie behind a common ancestor

    def run(self, left: Iterable[str], right: Iterable[str]) -> set[str]:
        for heads, mark in ((left, _LEFT), (right, _RIGHT)):
            for head in heads:
                self._mark(head, mark)
        common = set[str]()
        while self._fresh:
            _, id = heapq.heappop(self._waiting)
            self._fresh.discard(id)
            marks = self._marks[id]
            if marks & _BOTH == _BOTH:
                common.add(id)
                marks |= _STALE
            for parent in self._load(id).parents:
                self._mark(parent, marks)
        return {id for id in common if not self._marks[id] & _STALE}

    def _mark(self, id: str, marks: int) -> None:
        before = self._marks.get(id, 0)
        if before | marks == before:
            return
        self._marks[id] = before | marks
        self._fresh.discard(id)
        if not self._marks[id] & _STALE:
            self._fresh.add(id)
        heapq.heappush(self._waiting, (-datetime.fromisoformat(self._load(id).time).timestamp(), id))
