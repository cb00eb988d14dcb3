"""From the rows that an engine finds to the rows that answer, by the rules of a `Shape`. Knows no engine.

rows by score -> titles lift passages -> min_score -> at most n of a document -> diversity -> offset .. offset + k

Each rule keeps the beginning of its input in order and looks at nothing behind what it needs, so the first k hits are
a prefix of the first k + 1, and pages join to one list. That holds for what is asked of the engine as well: always
the rows from the first one on. An index looks further for more rows (`effort.CLASSES`), so approximate pages join
while they need equally many rows by its classes, and exact ones always.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vecver import index
from vecver.flows.searching.filtering import Selection
from vecver.flows.searching.milvus import Ranked
from vecver.flows.searching.questions import Shape
from vecver.flows.searching.titles import Row, lifted
from vecver.model import Json, Vectors
from vecver.phases import phase
from vecver.repo import Snapshot

# (m, dim) queries and how many rows each wants: for each its best rows, fewer only if there are no more, and who found
# them
Ask = Callable[[Vectors, int], list[tuple[Ranked, Json]]]
_WIDER = 4  # times as many rows, where the rules left too few


def rank(
    snapshot: Snapshot, selection: Selection | None, queries: Vectors, shape: Shape, ask: Ask
) -> list[tuple[list[Row], Json]]:
    """For each of `(m, dim)` queries the rows that answer, first hit first, and who proposed them."""
    answers: list[tuple[list[Row], Json]] = [([], {})] * len(queries)
    waiting, wanted = list(range(len(queries))), shape.rows
    size = shape.asked
    while waiting:
        short = []
        for number, (found, engine) in zip(waiting, ask(queries[waiting], size), strict=True):
            rows = _ranked(snapshot, selection, queries[number], shape, found)
            if len(rows) < wanted and len(found) == size and not _is_below(shape, found):
                short.append(number)
            answers[number] = _page(snapshot, shape, rows[:wanted]), engine
        waiting, size = short, _WIDER * size
    return answers


def _ranked(snapshot: Snapshot, selection: Selection | None, query: Vectors, shape: Shape, found: Ranked) -> list[Row]:
    """The ranking, as far as these rows reach."""
    if shape.title_lifts_passage:
        with phase("re-score"):
            enough = shape.rows if shape.per_document is None else None
            rows = lifted(snapshot, selection, query, found, enough)
    else:
        rows = [Row(*row) for row in found]
    if shape.min_score is not None:
        rows = [row for row in rows if row.score >= shape.min_score]
    return rows if shape.per_document is None else _few_of_each(snapshot, rows, shape.per_document)


def _is_below(shape: Shape, found: Ranked) -> bool:
    """Is every further row below the lowest score that is wanted?"""
    return shape.min_score is not None and found[-1][1] < shape.min_score


def _few_of_each(snapshot: Snapshot, rows: list[Row], most: int) -> list[Row]:
    counts: dict[str, int] = {}
    kept = []
    for row in rows:
        document = snapshot.segments[row.place[0]].owner(row.place[1])
        counts[document] = counts.get(document, 0) + 1
        if counts[document] <= most:
            kept.append(row)
    return kept


def _page(snapshot: Snapshot, shape: Shape, rows: list[Row]) -> list[Row]:
    """The rows from `offset` on, after the diverse ones were chosen."""
    if shape.diversity is not None and rows:
        with phase("re-score"):
            rows = [rows[i] for i in _diverse(snapshot, shape, shape.diversity, rows)]
    return rows[shape.offset : shape.end]


def _diverse(snapshot: Snapshot, shape: Shape, diversity: float, rows: list[Row]) -> list[int]:
    numbers, places = (np.array(column) for column in zip(*(row.place for row in rows), strict=True))
    scores = np.array([row.score for row in rows])
    keys = np.stack([snapshot.segments[n].keys[row] for n, row in (row.place for row in rows)])
    vectors, metric = snapshot.vectors_at(numbers, places), snapshot.commit.recipe.space.metric
    return [int(i) for i in index.diverse(scores, vectors, keys, metric, diversity, shape.end)]
