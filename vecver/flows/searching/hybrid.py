"""Ranking by words, and by vectors and words together: what `rank` asks instead of an engine, and scores of given rows.

    keyword   the best rows by their words
    convex    the best rows of either side -> each row's score on both sides -> fuse
              -> if a row that neither side named could still be better: more rows of either side
    rrf       the best rows of either side -> their ranks -> fuse

Decisions
1. A row that one side named has its true score on the other, not 0 because it was not named there.
2. Convex: no row outside the two lists has a higher score than what the last rows of both lists would have together
   (Fagin's threshold algorithm, 2001). Lists grow until the k-th row lies above that. So an exact answer is the true
   top k of the whole version by the fused score, whatever k is; through an index it is as good as its vectors' list.
3. rrf sees lists of 100 rows, or four times as many until they hold `k`: its top k is a prefix of the top k + 1 within
   one such size.
4. A search that leaves documents out (`per_document`) keeps the bounds of the whole question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecver import index, pipeline
from vecver.flows.opened_postings import tokenizer_of, tokenizer_recipe_of
from vecver.flows.searching.filtering import leaving_out
from vecver.flows.searching.fusion import DEPTH, Bounds, Convex, bounds_of, reciprocal
from vecver.flows.searching.keywords import keyword_rows, keyword_scores
from vecver.flows.searching.ranking import rank
from vecver.flows.searching.receipts import ENGINES
from vecver.flows.searching.titles import Row
from vecver.model import Json, Recipe, Side, Vectors

if TYPE_CHECKING:
    from vecver.flows.searching.milvus import Ranked
    from vecver.flows.searching.questions import Shape
    from vecver.flows.searching.ranking import Ask, AskWithout
    from vecver.flows.searching.selections import Selection
    from vecver.repo import Snapshot

BM25 = {"name": "bm25"}
DEFAULT_WEIGHT = 0.6  # of the vectors, where no recipe says another
_WIDER = 4
Numbers = npt.NDArray[np.int64]  # (m, 1): what `rank` passes on as queries, by their number in the question
Place = tuple[int, int]
Scores = npt.NDArray[np.float64]


def numbers_of(count: int) -> Numbers:
    """The queries of a question as `rank` gets them."""
    return np.arange(count)[:, None]


def weight_of(recipe: Recipe, weight: float | None) -> float:
    """The weight that was asked for, else what a version's recipe says."""
    if weight is not None:
        return float(weight)
    told = recipe.hybrid
    return DEFAULT_WEIGHT if told is None else float(told["weight"])


def reads_nothing(snapshot: Snapshot, text: str) -> bool:
    """True for a query of which keyword search reads no word: stop words, punctuation."""
    return not tokenizer_of(tokenizer_recipe_of(snapshot.commit.recipe)).terms(text)


def tokenizer_facts(snapshot: Snapshot) -> Json:
    """What a receipt says of how words are made."""
    return {**tokenizer_recipe_of(snapshot.commit.recipe), "made_with": pipeline.made_with()}


# -- words -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    """Ranks by words."""

    snapshot: Snapshot
    selection: Selection | None
    texts: Sequence[str]

    def without(self, documents: Sequence[str]) -> Ask:
        """What asks for the best rows of all other documents; its queries are numbers of the question's."""
        chosen = leaving_out(self.snapshot, self.selection, documents)

        def ask(queries: Any, k: int) -> list[tuple[Ranked, Json]]:
            texts = [self.texts[number] for number in queries[:, 0].tolist()]
            return [(found, BM25) for found in keyword_rows(self.snapshot, chosen, texts, k)]

        return ask

    def scores(self, query: Numbers, numbers: Numbers, rows: Numbers) -> Scores:
        """The scores of these rows for one query, `(n,)`."""
        return _word_scores(
            self.snapshot, self.texts[int(query[0])], list(zip(numbers.tolist(), rows.tolist(), strict=True))
        )


# -- both ------------------------------------------------------------------------------------------


@dataclass
class _Known:
    """What is known of a query: what fuses its scores, its rows' ranks, and the scores of rows that were seen."""

    bounds: Bounds
    dense_ranks: dict[Place, int]
    keyword_ranks: dict[Place, int]
    first: tuple[Ranked, Ranked, Json] = field(default_factory=lambda: ([], [], {}))  # the best DEPTH, and the engine
    dense: dict[Place, float] = field(default_factory=dict)
    keyword: dict[Place, float] = field(default_factory=dict)

    def side(self, place: Place) -> Json:
        """The fields of a hit that say what a row owes to either side."""
        return {
            "dense": Side(self.dense[place], self.dense_ranks.get(place)),
            "keyword": Side(self.keyword[place], self.keyword_ranks.get(place)),
        }


@dataclass
class Both:
    """Ranks by vectors and words together. `weight`: of the vectors; None: rrf."""

    snapshot: Snapshot
    selection: Selection | None
    texts: Sequence[str]
    vectors: Vectors  # (m, dim)
    weight: float | None
    dense_without: AskWithout
    known: dict[int, _Known] = field(default_factory=dict)  # by query

    def without(self, documents: Sequence[str]) -> Ask:
        """What asks for the best rows of all other documents; its queries are numbers of the question's."""
        chosen = leaving_out(self.snapshot, self.selection, documents)
        ask_dense = self.dense_without(documents)

        def ask(queries: Any, k: int) -> list[tuple[Ranked, Json]]:
            numbers = queries[:, 0].tolist()
            self._learn([number for number in numbers if number not in self.known])
            if self.weight is None:
                return [self._by_ranks(number, k) for number in numbers]
            return [self._convex(number, k, chosen, ask_dense) for number in numbers]

        return ask

    def scores(self, query: Numbers, numbers: Numbers, rows: Numbers) -> Scores:
        """The scores of these rows for one query, `(n,)`."""
        number, places = int(query[0]), list(zip(numbers.tolist(), rows.tolist(), strict=True))
        self._complete(number, places)
        known = self.known[number]
        if self.weight is None:
            return np.array([_ranks_score(known, place) for place in places])
        dense, keyword = (np.array([side[place] for place in places]) for side in (known.dense, known.keyword))
        return Convex(self.weight, known.bounds).of(dense, keyword)

    def assume(self, bounds: Bounds) -> None:
        """Take these bounds for the only query, and look for no others."""
        self.known[0] = _Known(bounds, {}, {})

    def told(self, number: int, rows: Sequence[Row]) -> list[Row]:
        """These rows of an answer, with what they owe to either side."""
        places = [row.title or row.place for row in rows]
        if places:
            self._complete(number, places)
        return [row._replace(said=self.known[number].side(place)) for row, place in zip(rows, places, strict=True)]

    def _learn(self, numbers: list[int]) -> None:
        """Find the bounds of these queries and the ranks of their best rows, in what the filter selects."""
        if not numbers:
            return
        dense = self.dense_without(())(self.vectors[numbers], DEPTH)
        words = keyword_rows(self.snapshot, self.selection, [self.texts[number] for number in numbers], DEPTH)
        for number, (by_vector, engine), by_words in zip(numbers, dense, words, strict=True):
            bounds = bounds_of([score for _, score in by_vector], [score for _, score in by_words])
            known = self.known[number] = _Known(bounds, _ranks(by_vector), _ranks(by_words))
            known.first = by_vector, by_words, engine
            known.dense.update(by_vector)
            known.keyword.update(by_words)

    def _lists(self, number: int, k: int, selection: Selection | None, ask: Ask) -> tuple[Ranked, Ranked, Json]:
        """The best `k` rows by vector and by words, and the engine."""
        if k == DEPTH and selection is self.selection:  # of all that the filter selects: `_learn` has them
            return self.known[number].first
        ((by_vector, engine),) = ask(self.vectors[[number]], k)
        (by_words,) = keyword_rows(self.snapshot, selection, [self.texts[number]], k)
        known = self.known[number]
        known.dense.update(by_vector)
        known.keyword.update(by_words)
        return by_vector, by_words, engine

    def _convex(self, number: int, k: int, selection: Selection | None, ask: Ask) -> tuple[Ranked, Json]:
        known, size, engine = self.known[number], DEPTH, dict[str, Any]()
        while True:
            by_vector, by_words, by = self._lists(number, size, selection, ask)
            engine = engine if engine and not _is_sure(engine) else by
            places = list(dict.fromkeys(place for place, _ in (*by_vector, *by_words)))
            if len(by_words) < size:  # no other row has a word of the query
                known.keyword.update({place: 0.0 for place in places if place not in known.keyword})
            ranked = self._ranked(number, places)
            if len(by_vector) < size or (
                len(ranked) >= k and ranked[k - 1][1] > self._rest(known, by_vector, by_words, size)
            ):
                return ranked[:k], _with_bounds(engine, known.bounds)
            size *= _WIDER

    def _rest(self, known: _Known, by_vector: Ranked, by_words: Ranked, size: int) -> float:
        """No row outside these lists has a higher score."""
        assert self.weight is not None
        keyword = by_words[-1][1] if len(by_words) == size else 0.0
        score = Convex(self.weight, known.bounds).of(np.array([by_vector[-1][1]]), np.array([keyword]))
        return float(score[0])

    def _by_ranks(self, number: int, k: int) -> tuple[Ranked, Json]:
        size = DEPTH
        while True:
            by_vector, by_words, engine = self._lists(number, size, self.selection, self.dense_without(()))
            places = list(dict.fromkeys(place for place, _ in (*by_vector, *by_words)))
            if size >= k or len(by_vector) < size:
                known = self.known[number]
                known.dense_ranks, known.keyword_ranks = _ranks(by_vector), _ranks(by_words)
                return self._ranked(number, places)[:k], engine
            size *= _WIDER

    def _ranked(self, number: int, places: list[Place]) -> Ranked:
        """These rows, best first."""
        numbers, rows = np.array(places, np.int64).reshape(-1, 2).T
        scores = self.scores(np.array([number]), numbers, rows)
        keys = np.empty((len(places), 16), np.uint8)
        for segment in np.unique(numbers).tolist():
            mine = numbers == segment
            keys[mine] = self.snapshot.segments[segment].keys[rows[mine]]
        order = index.ranked(scores, keys, len(places))
        return [(places[i], float(scores[i])) for i in order.tolist()]

    def _complete(self, number: int, places: Sequence[Place]) -> None:
        """Know both scores of these rows."""
        known = self.known[number]
        missing = [place for place in places if place not in known.dense]
        if missing:
            vectors = self.snapshot.vectors_at(*np.array(missing, np.int64).T)
            metric = self.snapshot.commit.recipe.space.metric
            scores = index.scores(self.vectors[number], vectors, metric)
            known.dense.update(zip(missing, scores.tolist(), strict=True))
        missing = [place for place in places if place not in known.keyword]
        if missing:
            scores = _word_scores(self.snapshot, self.texts[number], missing)
            known.keyword.update(zip(missing, scores.tolist(), strict=True))


def _ranks(rows: Ranked) -> dict[Place, int]:
    return {place: rank for rank, (place, _) in enumerate(rows, 1)}


def _ranks_score(known: _Known, place: Place) -> float:
    return reciprocal(known.dense_ranks.get(place)) + reciprocal(known.keyword_ranks.get(place))


def _word_scores(snapshot: Snapshot, text: str, places: list[Place]) -> Scores:
    return np.array(keyword_scores(snapshot, text, places), np.float64)


def _with_bounds(engine: Json, bounds: Bounds) -> Json:
    values = (bounds.dense_low, bounds.dense_high, bounds.keyword_high)
    return {**engine, "bounds": [index.bits(value) for value in values]}


def bounds_in(engine: Json) -> Bounds:
    """The bounds that a receipt's engine states."""
    return Bounds(*map(index.from_bits, engine["bounds"]))


def _is_sure(engine: Json) -> bool:
    return engine["name"] == ENGINES[0] or engine.get("exact") is True


def ranker_of(
    snapshot: Snapshot,
    selection: Selection | None,
    mode: str,
    texts: Sequence[str],
    vectors: Vectors,
    weight: float | None,
    dense_without: AskWithout,
) -> Words | Both:
    """What ranks in this mode; `weight`: of hybrid's convex sum, None: rrf."""
    if mode == "keyword":
        return Words(snapshot, selection, texts)
    return Both(snapshot, selection, texts, vectors, weight, dense_without)


def ranked(
    snapshot: Snapshot, selection: Selection | None, ranker: Words | Both, shape: Shape, count: int
) -> list[tuple[list[Row], Json]]:
    """For each query the rows of its answer, first hit first, and the engine."""
    is_rrf = isinstance(ranker, Both) and ranker.weight is None
    without = None if is_rrf else ranker.without
    found = rank(snapshot, selection, numbers_of(count), shape, ranker.without(()), without, ranker.scores)
    if isinstance(ranker, Words):
        return found
    return [(ranker.told(number, rows), engine) for number, (rows, engine) in enumerate(found)]


def notes_of(snapshot: Snapshot, mode: str, text: str) -> tuple[str, ...]:
    """What an answer says of a query without a word that keyword search reads."""
    if not reads_nothing(snapshot, text):
        return ()
    then = "there are no hits" if mode == "keyword" else "its vector alone decided"
    return (f"keyword search reads no word of the query, so {then}",)
