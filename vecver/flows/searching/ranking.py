"""From the rows that an engine finds to the rows that answer, by the rules of a `Shape`. Knows no engine.

rows by score -> titles lift passages -> min_score -> at most n of a document -> diversity -> offset .. offset + k

Each rule keeps the beginning of its input in order and looks at nothing behind what it needs, so the first k hits are
a prefix of the first k + 1, and pages join to one list. That holds for what is asked of the engine as well: always
the rows from the first one on. An index looks further for more rows (`effort.CLASSES`), so approximate pages join
while they need equally many rows by its classes, and exact ones always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vecver import index
from vecver.flows.searching.milvus import Ranked
from vecver.flows.searching.questions import Shape
from vecver.flows.searching.receipts import ENGINES
from vecver.flows.searching.selections import Selection
from vecver.flows.searching.titles import Row, lifted
from vecver.model import Json, Vectors
from vecver.progress import phase
from vecver.repo import Snapshot

# (m, dim) queries and how many rows each wants: for each its best rows, fewer only if there are no more, and who found
# them
Ask = Callable[[Vectors, int], list[tuple[Ranked, Json]]]
AskWithout = Callable[[Sequence[str]], Ask]  # documents -> what asks for rows of others
_WIDER = 4  # times as many rows, where the rules left too few


def rank(
    snapshot: Snapshot,
    selection: Selection | None,
    queries: Vectors,
    shape: Shape,
    ask: Ask,
    without: AskWithout | None = None,
) -> list[tuple[list[Row], Json]]:
    """For each of `(m, dim)` queries the rows that answer, first hit first, and who proposed them.

    Where these are too few the engine is asked for more rows; or, with `per_document`, for those of other documents
    than the ones that have all their hits, if `without` can ask so.
    """
    answers: list[tuple[list[Row], Json]] = [([], {})] * len(queries)
    waiting, size = list(range(len(queries))), shape.asked
    while waiting:
        short = []
        for number, (found, engine) in zip(waiting, ask(queries[waiting], size), strict=True):
            query = queries[number]
            rows = _few_of_each(snapshot, shape, _ranked(snapshot, selection, query, shape, found))
            if len(rows) < shape.rows and _goes_on(shape, found, size):
                if shape.per_document is None or without is None:
                    short.append(number)
                else:
                    rows, engine = _of_more_documents(snapshot, selection, query, shape, without)
            answers[number] = _page(snapshot, shape, rows[: shape.rows]), engine
        waiting, size = short, _WIDER * size
    return answers


def _of_more_documents(
    snapshot: Snapshot, selection: Selection | None, query: Vectors, shape: Shape, without: AskWithout
) -> tuple[list[Row], Json]:
    """The ranking with few hits of each document, where some documents have many of the best rows.

    A document that has all its hits is left out of the next question, so that one with 9,000 chunks takes one more
    question (4 ms) and not all of its rows (440 ms). The rows of every question reach at least as far down as those
    before, so what stands above the last of them is complete.
    """
    done, full, size, engine = list[Row](), list[str](), shape.asked, dict[str, Any]()
    while True:
        ((found, by),) = without(full)(query[None, :], size)
        engine = engine if engine and not _is_sure(engine) else by
        rows = _ranked(snapshot, selection, query, shape, found)
        few = _few_of_each(snapshot, shape, rows)
        together = sorted([*done, *few], key=lambda row: (-row.score, _key(snapshot, row.title or row.place)))
        if len(together) >= shape.rows or not _goes_on(shape, found, size):
            return together, engine
        counts = Counter(_document(snapshot, row) for row in few)
        new = [document for document, count in counts.items() if count == shape.per_document]
        done += [row for row in few if _document(snapshot, row) in new]
        full += new
        size = size if new else _WIDER * size


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
    return rows


def _goes_on(shape: Shape, found: Ranked, size: int) -> bool:
    """May there be further rows that are wanted, where `size` were asked for?"""
    return len(found) == size and (shape.min_score is None or found[-1][1] >= shape.min_score)


def _is_sure(engine: Json) -> bool:
    """Were the true best rows found?"""
    return engine["name"] == ENGINES[0] or engine.get("exact") is True


def _few_of_each(snapshot: Snapshot, shape: Shape, rows: list[Row]) -> list[Row]:
    if shape.per_document is None:
        return rows
    counts, kept = Counter[str](), list[Row]()
    for row in rows:
        counts[document := _document(snapshot, row)] += 1
        if counts[document] <= shape.per_document:
            kept.append(row)
    return kept


def _document(snapshot: Snapshot, row: Row) -> str:
    return snapshot.segments[row.place[0]].owner(row.place[1])


def _key(snapshot: Snapshot, place: tuple[int, int]) -> bytes:
    return snapshot.segments[place[0]].keys[place[1]].tobytes()


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
