"""A title chunk is no hit of its own: it ranks its document's best passage. Knows no engine.

In the ranking of rows (score, then key) every title row stands for the best passage of its document: the row of the
document with the highest exact score that is no title and that the filter lets through. Each passage appears once, at
the first place where it or its title stands, with the score of that place. So a passage's score is the higher of its
own and, for a document's best passage alone, its document's title's. A title whose document has no such passage stays
a hit. This maps the ranking from its beginning on, so the top k stays a prefix of the top k + 1, and the rows that k
hits need are 2 k where every document has one title chunk.

Decisions
- 2026-11-26 which row is a title is looked up for the rows that were found (2 us a row), not kept for all rows of a
  version: the first search of a commit would then read all its documents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver import index
from vecver.flows.searching.filtering import Selection, key_column
from vecver.flows.searching.milvus import Ranked
from vecver.model import Vectors
from vecver.repo import Owner, Snapshot

BY_TITLE = "title"

Keys = npt.NDArray[np.uint8]  # (n, 16)


class Row(NamedTuple):
    """A chunk in a ranking."""

    place: tuple[int, int]  # segment number, row in it
    score: float
    by: str | None = None  # BY_TITLE: the score is that of its document's title


def lifted(snapshot: Snapshot, selection: Selection | None, query: Vectors, rows: Ranked) -> list[Row]:
    """The passages that these rows rank, best first, each once. `query`: `(dim,)`; `rows`: best first."""
    owners = snapshot.owners([place for place, _ in rows])
    best: dict[str, tuple[int, int] | None] = {}
    seen: dict[tuple[int, int], Row] = {}
    for (place, score), owner in zip(rows, owners, strict=True):
        row = Row(place, score)
        if snapshot.is_title(place, owner):
            if owner.document not in best:
                best[owner.document] = best_passage(snapshot, selection, query, owner)
            passage = best[owner.document]
            row = row if passage is None else Row(passage, score, BY_TITLE)
        seen.setdefault(row.place, row)
    return list(seen.values())


def best_passage(
    snapshot: Snapshot, selection: Selection | None, query: Vectors, owner: Owner
) -> tuple[int, int] | None:
    """Of a document's selected rows that are no titles the one with the highest score; None: there is none."""
    keys = _selected(selection, owner, snapshot.chunk_keys(owner)[1])
    if not len(keys):
        return None
    numbers, rows = snapshot.find_chunks(keys)
    metric = snapshot.commit.recipe.space.metric
    best = index.best_of(query, snapshot.vectors_at(numbers, rows), keys, metric) if len(keys) > 1 else 0
    return int(numbers[best]), int(rows[best])


def title_scores(
    snapshot: Snapshot, selection: Selection | None, query: Vectors, owner: Owner
) -> list[tuple[float, bytes]]:
    """(score, key) of a document's selected title rows."""
    keys = _selected(selection, owner, snapshot.chunk_keys(owner)[0])
    vectors = snapshot.vectors_at(*snapshot.find_chunks(keys))
    scores = index.scores(query, vectors, snapshot.commit.recipe.space.metric)
    return [(score, key.tobytes()) for score, key in zip(scores.tolist(), keys, strict=True)]


def _selected(selection: Selection | None, owner: Owner, keys: Keys) -> Keys:
    """Those of a document's chunks that are selected."""
    if selection is None:
        return keys
    names = pa.array([owner.document] * len(keys), pa.string())
    columns = {"key": key_column(keys), "document": names}
    return keys[selection.mask(columns.__getitem__)]
