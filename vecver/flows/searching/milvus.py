"""Search through Milvus: it proposes rows of the pinned state, and the repository scores them by the one rule.

propose -> drop rows that do not match -> score -> if too few, or unsure: propose more -> at last: scan here

An answer is *exact* when no row that Milvus left out can be better. That is proved if its index reads every row (FLAT)
and its last proposal lies further below the k-th than float32 can err, or if it returned every matching row. From a
FLAT collection every answer is exact: where the proof fails, a scan of the repository answers.

Decisions
1. The repository counts the matching rows, so an answer with fewer than k hits is known to be complete or not.
2. With `exact`, an approximate index (HNSW) is answered by a scan of the repository, and the receipt says so: no number
   of candidates proves that a graph has missed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver import index
from vecver.flows.publishing.publisher import damaged
from vecver.flows.searching.selections import Selection
from vecver.model import Json, Vectors
from vecver.progress import phase
from vecver.repo import UNCOUNTED, Collection, Snapshot, State

_SPARE = 16  # candidates beyond k, for scores that float32 cannot tell apart
_WIDER = 8  # times as many candidates in the next round

Ranked = list[tuple[tuple[int, int], float]]  # best first: (segment number, row), score


@dataclass(frozen=True)
class Matching:
    """The rows of a version that match a filter."""

    count: int
    expression: str  # selects them in Milvus, and perhaps more; "": all
    selection: Selection | None = None  # them; None: all


@dataclass(frozen=True)
class _Proposed:
    """What Milvus proposed for one query, best first, in the repository. `(c,)` each."""

    keys: npt.NDArray[np.uint8]  # (c, 16)
    numbers: npt.NDArray[np.int64]  # segment numbers
    rows: npt.NDArray[np.int64]
    near: npt.NDArray[np.float32]  # higher is nearer, within float32

    def __getitem__(self, which: Any) -> _Proposed:
        return _Proposed(self.keys[which], self.numbers[which], self.rows[which], self.near[which])


@dataclass(frozen=True)
class Pinned:
    """A version that is published in a Milvus and opened in the repository."""

    connection: index.milvus.Connection
    collection: Collection
    state: State
    snapshot: Snapshot

    def search(self, queries: Vectors, k: int, matching: Matching, *, exact: bool) -> list[tuple[Ranked, Json] | None]:
        """For each of `(m, dim)` queries the best `k` rows and the engine; None where Milvus has no sure answer.

        `exact`: the true top k, or None. Raises IntegrityError (Milvus returned rows that the version does not hold).
        """
        found: list[tuple[Ranked, Json] | None] = [None] * len(queries)
        if exact and self.collection.index != "FLAT":
            return found
        waiting = list(range(len(queries))) if matching.count else []
        for limit in _limits(k + _SPARE):
            if not waiting:
                break
            with phase("propose"):
                proposed = self._proposed(queries[waiting], limit, matching)
            with phase("re-score"):
                for number, candidates in zip(waiting, proposed, strict=True):
                    found[number] = self._ranked(queries[number], candidates, k, matching, exact)
            waiting = [number for number in waiting if found[number] is None]
        return found

    def _proposed(self, queries: Vectors, limit: int, matching: Matching) -> list[_Proposed]:
        """Up to `limit` rows of the version for each query."""
        collection = self.collection
        rows = collection.rows if collection.rows != UNCOUNTED else 2 * matching.count
        share = min(1.0, matching.count / max(rows, 1))
        proposed = self.connection.propose(
            collection.name, collection.metric, collection.index, queries, limit, self._expression(matching), share
        )
        keys = np.concatenate([keys for keys, _ in proposed])
        numbers, places = self.snapshot.find_chunks(keys)
        if (numbers < 0).any():
            raise damaged(collection.name, f"it returns rows that are not in version {self.state.commit[:12]}")
        together = _Proposed(keys, numbers, places, np.concatenate([near for _, near in proposed]))
        edges = np.cumsum([0, *(len(keys) for keys, _ in proposed)])
        return [together[first:last] for first, last in pairwise(edges)]

    def _ranked(
        self, query: Vectors, proposed: _Proposed, k: int, matching: Matching, exact: bool
    ) -> tuple[Ranked, Json] | None:
        """The best `k` of what was proposed for a query; None if that was not enough."""
        kept = proposed[self._matches(proposed, matching)]
        if len(kept.rows) < min(k, matching.count):
            return None
        sure = len(kept.rows) == matching.count or self._leaves_nothing(query, proposed, kept, k)
        if (exact or self.collection.index == "FLAT") and not sure:
            return None
        space = self.snapshot.commit.recipe.space
        scores = index.scores(query, self.snapshot.vectors_at(kept.numbers, kept.rows), space.metric)
        best = index.ranked(scores, kept.keys, k)
        return [((int(kept.numbers[i]), int(kept.rows[i])), float(scores[i])) for i in best], self._engine(sure)

    def _leaves_nothing(self, query: Vectors, proposed: _Proposed, kept: _Proposed, k: int) -> bool:
        """True if every row that was not proposed is certain to score less than the k-th that was."""
        if self.collection.index != "FLAT" or len(kept.rows) < k:
            return False
        longest = max(segment.max_norm for segment in self.snapshot.segments)
        slack = index.slack(query, longest, self.snapshot.commit.recipe.space.metric)
        return bool(proposed.near[-1] < index.bound(kept.near, k, slack))

    def _matches(self, proposed: _Proposed, matching: Matching) -> npt.NDArray[np.int64]:
        """The positions of the rows that match the filter; each row once, even if Milvus holds it twice."""
        _, first = np.unique(proposed.numbers << 32 | proposed.rows, return_index=True)
        which = np.sort(first)
        if matching.selection is None:
            return which
        return which[matching.selection.holds(proposed.numbers[which], proposed.rows[which])]

    def _expression(self, matching: Matching) -> str:
        pin = "" if self.collection.alone else index.milvus.pinned(self.state.ordinal)
        return " and ".join(f"({part})" for part in (pin, matching.expression) if part)

    def _engine(self, exact: bool) -> Json:
        """The engine, as receipts name it."""
        return {
            "name": "milvus",
            "index": self.collection.index,
            "milvus": self.connection.version,
            "collection": self.collection.name,
            "ordinal": self.state.ordinal,
            "exact": exact,
        }


def _limits(first: int) -> Iterator[int]:
    """How many candidates each round asks for; no round if the first exceeds what Milvus returns."""
    limit = first
    while limit < index.milvus.LIMIT:
        yield limit
        limit *= _WIDER
    if first <= index.milvus.LIMIT:
        yield index.milvus.LIMIT
