"""Finds the versions that a repository's refs do not lead to, by walking back from both sides at once.

The newest version not yet looked at comes first, as in Git's `paint_down_to_common`. The walk ends where everything
that is left to look at is behind a ref of the other side: it costs what differs, not what there is.

Decisions
1. What the refs of a repository lead to is whole there (children are written before parents, refs last). That an object
   lies there proves nothing of its children, since an earlier transfer may have been cut off and gc may have taken
   some of what it left. So the walk stops at refs, never at a version that merely is there.
2. Where clocks were wrong the walk may find too many versions, never too few; what is there of them is not sent.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count

from vecver.errors import NotFoundError
from vecver.model import Commit
from vecver.repo.objects import parents_first

_WANTED, _THERE = 1, 2


def absent_commits(wanted: Iterable[str], there: Iterable[str], read: Callable[[str], Commit]) -> list[Commit]:
    """The commits behind `wanted` that are not behind `there`, parents first. Raises NotFoundError, IntegrityError.

    `read` may raise NotFoundError for a commit that is only behind `there`: it is left out.
    """
    walk = _Walk(read)
    for id in there:
        walk.paint(id, _THERE)
    for id in wanted:
        walk.paint(id, _WANTED)
    walk.run()
    missing = {id: commit for id, commit in walk.commits.items() if walk.painted[id] == _WANTED}
    return list(parents_first(sorted(missing), missing.get))


class _Walk:
    """What each commit that was reached is behind of."""

    def __init__(self, read: Callable[[str], Commit]) -> None:
        self._read = read
        self.commits: dict[str, Commit] = {}
        self.painted: dict[str, int] = {}
        self._queue: list[tuple[Newest, int, str]] = []
        self._numbers = count()
        self._open = set[str]()  # of the queue, those that only wanted ones lead to

    def paint(self, id: str, paint: int) -> None:
        """A commit is behind something; look at its parents again if that is news."""
        before = self.painted.get(id, 0)
        if before | paint == before:
            return
        if id not in self.commits:
            try:
                self.commits[id] = self._read(id)
            except NotFoundError:
                if paint & _WANTED:
                    raise
                return
        self.painted[id] = before | paint
        (self._open.add if before | paint == _WANTED else self._open.discard)(id)
        heapq.heappush(self._queue, (Newest(self.commits[id].time), next(self._numbers), id))

    def run(self) -> None:
        """Walk back until only what is there is left."""
        while self._open:
            _, _, id = heapq.heappop(self._queue)
            self._open.discard(id)
            for parent in self.commits[id].parents:
                self.paint(parent, self.painted[id])


class Newest(str):
    """A time that sorts the newest first."""

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)
