"""Keyword search in one version: BM25 with the statistics of that version, and scores with the same bits everywhere.

    open_postings(versions, snapshot, wait)    once before a search in a repository (`maintaining.postings`)
    keyword_rows(snapshot, selection, texts, n)     the best rows for each text
    keyword_lists(snapshot, selection, text, n, ...)  the same for one text, and the scores of given rows
    keyword_scores(snapshot, text, places)          the scores of given rows

An exported snapshot needs no `open_postings`: its texts are tokenised at the first question.

What a row is scored by is its own text. A title is a row of its own, as for vectors; what becomes of it is up to the
caller (`titles`). A row that has none of a text's terms has the score 0.0 and is no answer, so there may be fewer than
`n` rows, or none: for a text of stop words or punctuation, in an empty version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from vecver import index
from vecver.flows.opened_postings import tokenizer_of, tokenizer_recipe_of, version_of

if TYPE_CHECKING:
    from vecver.flows.searching.milvus import Ranked
    from vecver.flows.searching.selections import Selection
    from vecver.repo import Snapshot

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def keyword_rows(snapshot: Snapshot, selection: Selection | None, texts: Sequence[str], n: int) -> list[Ranked]:
    """For each text the best `n` rows that have a term of it, as ((segment number, row), score), best first.

    Scores descending, then chunk key ascending, so the first n are a prefix of the first n + 1. `selection`: which rows
    may be answers; None: all live ones. It changes no score: the statistics are those of the whole version.
    """
    version, numbers = version_of(snapshot)
    tokenizer = tokenizer_of(tokenizer_recipe_of(snapshot.commit.recipe))
    selected = None if selection is None else [selection.bits[number] for number in numbers]
    found = list["Ranked"]()
    for text in texts:
        rows = version.best(index.keywords.Terms.of(tokenizer.terms(text)), n, selected)
        found.append([((numbers[part], row), score) for part, row, score in rows])
    return found


class Lists(NamedTuple):
    """The best rows for a text, best first: segment numbers, rows and scores, `(n,)` each; and scores of given rows."""

    numbers: Rows
    rows: Rows
    scores: Scores
    given: Scores  # (m,)


def keyword_lists(
    snapshot: Snapshot, selection: Selection | None, text: str, n: int, numbers: Rows, rows: Rows
) -> Lists:
    """What `keyword_rows` finds for one text, and the scores of given rows, which take no pass of their own.

    `numbers`, `rows`: live rows, by segment number and row, `(m,)` each.
    """
    version, segments = version_of(snapshot)
    terms = index.keywords.Terms.of(tokenizer_of(tokenizer_recipe_of(snapshot.commit.recipe)).terms(text))
    selected = None if selection is None else [selection.bits[number] for number in segments]
    order = np.array(segments, np.int64)
    best, given = version.best_and_given(terms, n, selected, np.searchsorted(order, numbers), rows)
    return Lists(order[best.parts], best.rows, best.scores, given)


def keyword_scores(snapshot: Snapshot, text: str, places: Sequence[tuple[int, int]]) -> list[float]:
    """The score of each of these live rows, (segment number, row) each; 0.0 where a row has no term of the text."""
    version, numbers = version_of(snapshot)
    parts = {number: part for part, number in enumerate(numbers)}
    terms = tokenizer_of(tokenizer_recipe_of(snapshot.commit.recipe)).terms(text)
    return version.scores(index.keywords.Terms.of(terms), [(parts[number], row) for number, row in places])
