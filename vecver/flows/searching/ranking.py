"""Ranking: turns the rows that an engine finds into the rows of the answer, by the rules of a `Shape`. Knows no engine.

rows by score -> titles lift passages -> min_score -> at most n of a document -> diversity -> offset .. offset + k

Each rule keeps its input's order from the first row on and looks no further than it needs. So the first k hits are a
prefix of the first k + 1, and pages join to one list. The engine is always asked for rows from the first one on. An
index looks further when more rows are wanted (`effort.CLASSES`), so approximate pages join while they need rows of one
class, and exact ones always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vecver import index
from vecver.flows.searching.receipts import ENGINES
from vecver.flows.searching.titles import Row, Score, lifted
from vecver.progress import phase

if TYPE_CHECKING:
    from vecver.flows.searching.milvus import Ranked
    from vecver.flows.searching.questions import Shape
    from vecver.flows.searching.selections import Selection
    from vecver.model import Json
    from vecver.repo import Snapshot

# queries and k -> for each query its best k rows (fewer only if there are no more), and the engine
Ask: TypeAlias = "Callable[[Any, int], list[tuple[Ranked, Json]]]"
AskWithout: TypeAlias = "Callable[[Sequence[str]], Ask]"  # documents -> the function that asks for rows of all others
_WIDER = 4  # times as many rows are asked for when the rules left too few


def rank(
    snapshot: Snapshot,
    selection: Selection | None,
    queries: npt.NDArray[Any],
    shape: Shape,
    ask: Ask,
    without: AskWithout | None = None,
    score: Score | None = None,
) -> list[tuple[list[Row], Json]]:
    """For each of `(m, dim)` queries the rows of its answer, first hit first, and the engine that proposed them.

    If the rules leave too few rows, the engine is asked for more; with `per_document`, and if `without` is given, it is
    asked for rows of the documents that do not have all their hits yet. `score`: that of a title's passages, by default
    of their vectors; it and `ask` get queries in any form that is one row a query.
    """
    if shape.is_plain:
        return [([Row(*row) for row in found[shape.offset :]], engine) for found, engine in ask(queries, shape.end)]
    answers: list[tuple[list[Row], Json]] = [([], {})] * len(queries)
    waiting, size = list(range(len(queries))), shape.asked
    while waiting:
        short = []
        for number, (found, engine) in zip(waiting, ask(queries[waiting], size), strict=True):
            query = queries[number]
            rows = _few_of_each(snapshot, shape, _ranked(snapshot, selection, query, shape, found, score))
            if len(rows) < shape.rows and _may_have_more(shape, found, size):
                if shape.per_document is None or without is None:
                    short.append(number)
                else:
                    rows, engine = _of_more_documents(snapshot, selection, query, shape, without, score)
            answers[number] = _page(snapshot, shape, rows[: shape.rows]), engine
        waiting, size = short, _WIDER * size
    return answers


def _of_more_documents(
    snapshot: Snapshot,
    selection: Selection | None,
    query: npt.NDArray[Any],
    shape: Shape,
    without: AskWithout,
    score: Score | None,
) -> tuple[list[Row], Json]:
    """The ranking with at most `per_document` hits of each document, where some documents have many of the best rows.

    Documents that have all their hits are left out of the next search: a document with 9,000 chunks then takes one more
    search (4 ms) instead of ranking all its rows (440 ms). Each search reaches at least as far down the ranking as the
    one before, so everything above its last row is complete.
    """
    done, full, size, engine = list[Row](), list[str](), shape.asked, dict[str, Any]()
    while True:
        ((found, by),) = without(full)(query[None, :], size)
        engine = engine if engine and not _is_sure(engine) else by
        rows = _ranked(snapshot, selection, query, shape, found, score)
        few = _few_of_each(snapshot, shape, rows)
        together = sorted([*done, *few], key=lambda row: (-row.score, _key(snapshot, row.title or row.place)))
        if len(together) >= shape.rows or not _may_have_more(shape, found, size):
            return together, engine
        counts = Counter(_document(snapshot, row) for row in few)
        new = [document for document, count in counts.items() if count == shape.per_document]
        done += [row for row in few if _document(snapshot, row) in new]
        full += new
        size = size if new else _WIDER * size


def _ranked(
    snapshot: Snapshot,
    selection: Selection | None,
    query: npt.NDArray[Any],
    shape: Shape,
    found: Ranked,
    score: Score | None,
) -> list[Row]:
    """The ranking as far as these rows reach: titles lift passages, and low scores are dropped."""
    if shape.title_lifts_passage:
        with phase("re-score"):
            enough = shape.rows if shape.per_document is None else None
            rows = lifted(snapshot, selection, query, found, enough, score)
    else:
        rows = [Row(*row) for row in found]
    if shape.min_score is not None:
        rows = [row for row in rows if row.score >= shape.min_score]
    return rows


def _may_have_more(shape: Shape, found: Ranked, size: int) -> bool:
    """True if rows below the `size` that were asked for may belong to the answer."""
    return len(found) == size and (shape.min_score is None or found[-1][1] >= shape.min_score)


def _is_sure(engine: Json) -> bool:
    """True if the engine found the true best rows."""
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
    """The rows from `offset` on, after diversity was applied."""
    if shape.diversity is not None and rows:
        with phase("re-score"):
            rows = [rows[i] for i in _diverse(snapshot, shape, shape.diversity, rows)]
    return rows[shape.offset : shape.end]


def _diverse(snapshot: Snapshot, shape: Shape, diversity: float, rows: list[Row]) -> list[int]:
    numbers, places = (np.array(column) for column in zip(*(row.place for row in rows), strict=True))
    scores = np.array([row.score for row in rows])
    scores = scores / scores[0] if shape.relative else scores  # of words, which have no scale that vectors share
    keys = np.stack([snapshot.segments[n].keys[row] for n, row in (row.place for row in rows)])
    vectors, metric = snapshot.vectors_at(numbers, places), snapshot.commit.recipe.space.metric
    return [int(i) for i in index.diverse(scores, vectors, keys, metric, diversity, shape.end)]
