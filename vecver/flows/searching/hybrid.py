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
5. One pass over the lists of words finds their best rows and scores the vectors' rows too, and rows stay arrays until
   the answer: on 100,000 rows of 384 dimensions 0.8 ms of CPU beside what both sides take alone (5.1 and 0.8), where a
   second pass and a dictionary of rows took 2.0. On so many rows the vectors' hundred best take most of a search.
6. The default weight, 0.6, is among the best on six English collections under MiniLM: nDCG@10 above the better side by
   .014 at 0.5, .020 at 0.55 and 0.6, .016 at 0.65 in the mean. It is for a model that knows the texts' language: on
   Arabic and Chinese it is far below words alone; tuning finds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from vecver import index, pipeline
from vecver.flows.opened_postings import tokenizer_of, tokenizer_recipe_of
from vecver.flows.searching.filtering import leaving_out
from vecver.flows.searching.fusion import DEPTH, Bounds, Convex, bounds_of, reciprocal
from vecver.flows.searching.keywords import keyword_lists, keyword_rows, keyword_scores
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
DEFAULT_WEIGHT = 0.6  # of the vectors, where no recipe says another; measured: decision 6
_WIDER = 4
_ROW_BITS = 40  # of a place
Numbers = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]  # (n,): rows of a version, by segment number << 40 | row in it
Scores = npt.NDArray[np.float64]


def numbers_of(count: int) -> Numbers:
    """The queries of a question as `rank` gets them: by their number in the question, `(m, 1)`."""
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
        return _word_scores(self.snapshot, self.texts[int(query[0])], numbers, rows)


# -- both ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _List:
    """The best rows of one side, best first, `(n,)` each."""

    places: Places
    scores: Scores


@dataclass(frozen=True)
class _Rows:
    """Rows, each once, with their scores on either side, `(n,)` each."""

    places: Places
    dense: Scores
    keyword: Scores

    def joined(self, other: _Rows) -> _Rows:
        """These, and those of the others that are not among them."""
        new = _ranks(other.places, self.places) == 0
        columns = ((self.places, other.places), (self.dense, other.dense), (self.keyword, other.keyword))
        return _Rows(*(np.concatenate([mine, theirs[new]]) for mine, theirs in columns))


@dataclass(frozen=True)
class _Lists:
    """The best rows of a query on either side, all of them together with both scores, and the engine."""

    dense: _List
    keyword: _List
    rows: _Rows
    engine: Json


@dataclass
class _Known:
    """What is known of a query: what fuses its scores, where its rows have their ranks, and both scores of some."""

    bounds: Bounds
    ranked: tuple[Places, Places]  # the rows that have a rank by their vectors and by their words, best first
    rows: _Rows
    first: _Lists | None = None  # the best DEPTH


_NO_PLACES: Final = np.zeros(0, np.int64)
_NO_ROWS: Final = _Rows(_NO_PLACES, np.zeros(0), np.zeros(0))


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
        known = self.known[int(query[0])]
        return self._fused(known, self._rows_at(int(query[0]), _places(numbers, rows)))

    def assume(self, bounds: Bounds) -> None:
        """Take these bounds for the only query, and look for no others."""
        self.known[0] = _Known(bounds, (_NO_PLACES, _NO_PLACES), _NO_ROWS)

    def told(self, number: int, rows: Sequence[Row]) -> list[Row]:
        """These rows of an answer, with what they owe to either side."""
        if not rows:
            return []
        at = np.array([row.title or row.place for row in rows], np.int64)
        places, ranked = _places(at[:, 0], at[:, 1]), self.known[number].ranked
        scores = self._rows_at(number, places)
        dense = _sides(scores.dense, _ranks(places, ranked[0]))
        keyword = _sides(scores.keyword, _ranks(places, ranked[1]))
        said = [{"dense": by_vector, "keyword": by_words} for by_vector, by_words in zip(dense, keyword, strict=True)]
        return [row._replace(said=each) for row, each in zip(rows, said, strict=True)]

    def _learn(self, numbers: list[int]) -> None:
        """Find the bounds of these queries and the ranks of their best rows, in what the filter selects."""
        if not numbers:
            return
        dense = self.dense_without(())(self.vectors[numbers], DEPTH)
        for number, (by_vector, engine) in zip(numbers, dense, strict=True):
            lists = self._lists(number, DEPTH, self.selection, by_vector, engine)
            bounds = bounds_of(lists.dense.scores, lists.keyword.scores)
            self.known[number] = _Known(bounds, (lists.dense.places, lists.keyword.places), lists.rows, lists)

    def _lists(self, number: int, k: int, selection: Selection | None, by_vector: Ranked, engine: Json) -> _Lists:
        """The best `k` rows by words beside those by vector, which their engine found."""
        at = np.array([place for place, _ in by_vector], np.int64).reshape(-1, 2)
        dense = _List(_places(at[:, 0], at[:, 1]), np.array([score for _, score in by_vector], np.float64))
        found = keyword_lists(self.snapshot, selection, self.texts[number], k, at[:, 0], at[:, 1])
        keyword = _List(_places(found.numbers, found.rows), found.scores)
        new = _ranks(keyword.places, dense.places) == 0
        rows = _Rows(
            np.concatenate([dense.places, keyword.places[new]]),
            np.concatenate([dense.scores, self._dense_scores(number, keyword.places[new])]),
            np.concatenate([found.given, keyword.scores[new]]),
        )
        return _Lists(dense, keyword, rows, engine)

    def _asked(self, number: int, k: int, selection: Selection | None, ask: Ask) -> _Lists:
        """The best `k` rows of either side."""
        known = self.known[number]
        if k == DEPTH and selection is self.selection and known.first:  # of all that the filter selects
            return known.first
        ((by_vector, engine),) = ask(self.vectors[[number]], k)
        lists = self._lists(number, k, selection, by_vector, engine)
        known.rows = known.rows.joined(lists.rows)
        return lists

    def _convex(self, number: int, k: int, selection: Selection | None, ask: Ask) -> tuple[Ranked, Json]:
        known, size, engine = self.known[number], DEPTH, dict[str, Any]()
        while True:
            lists = self._asked(number, size, selection, ask)
            engine = engine if engine and not _is_sure(engine) else lists.engine
            ranked = self._ranked(lists.rows.places, self._fused(known, lists.rows), k)
            if len(lists.dense.places) < size or (
                len(ranked) >= k and ranked[k - 1][1] > self._rest(known, lists, size)
            ):
                return ranked, _with_bounds(engine, known.bounds)
            size *= _WIDER

    def _rest(self, known: _Known, lists: _Lists, size: int) -> float:
        """No row outside these lists has a higher score."""
        words = lists.keyword.scores
        last = words[-1:] if len(words) == size else np.zeros(1)  # fewer: no other row has a word of the query
        return float(self._fused(known, _Rows(_NO_PLACES, lists.dense.scores[-1:], last))[0])

    def _by_ranks(self, number: int, k: int) -> tuple[Ranked, Json]:
        known, size = self.known[number], DEPTH
        while True:
            lists = self._asked(number, size, self.selection, self.dense_without(()))
            if size >= k or len(lists.dense.places) < size:
                known.ranked = lists.dense.places, lists.keyword.places
                return self._ranked(lists.rows.places, self._fused(known, lists.rows), k), lists.engine
            size *= _WIDER

    def _fused(self, known: _Known, rows: _Rows) -> Scores:
        """The score of each of these rows, `(n,)`."""
        if self.weight is not None:
            return Convex(self.weight, known.bounds).of(rows.dense, rows.keyword)
        by_vector, by_words = (_ranks(rows.places, ranked) for ranked in known.ranked)
        return reciprocal(by_vector) + reciprocal(by_words)

    def _ranked(self, places: Places, scores: Scores, k: int) -> Ranked:
        """The best `k` of these rows, best first."""
        numbers, rows = _numbers(places), _rows(places)
        keys = np.empty((len(places), 16), np.uint8)
        for segment in set(numbers.tolist()):
            mine = numbers == segment
            keys[mine] = self.snapshot.segments[segment].keys[rows[mine]]
        order = index.ranked(scores, keys, k)
        found = zip(numbers[order].tolist(), rows[order].tolist(), scores[order].tolist(), strict=True)
        return [((number, row), score) for number, row, score in found]

    def _rows_at(self, number: int, places: Places) -> _Rows:
        """These rows with both scores, which are found where they are not known."""
        known = self.known[number]
        at = _ranks(places, known.rows.places)
        if not at.all():
            missing = np.unique(places[at == 0])
            words = _word_scores(self.snapshot, self.texts[number], _numbers(missing), _rows(missing))
            known.rows = known.rows.joined(_Rows(missing, self._dense_scores(number, missing), words))
            at = _ranks(places, known.rows.places)
        return _Rows(places, known.rows.dense[at - 1], known.rows.keyword[at - 1])

    def _dense_scores(self, number: int, places: Places) -> Scores:
        """The scores of these rows by their vectors, `(n,)`."""
        numbers, rows, scores = _numbers(places), _rows(places), np.empty(len(places))
        for segment in set(numbers.tolist()):
            mine, vectors = numbers == segment, self.snapshot.segments[segment].vectors
            metric = self.snapshot.commit.recipe.space.metric
            scores[mine] = index.scores(self.vectors[number], vectors, metric, rows[mine])
        return scores


def _places(numbers: Numbers, rows: Numbers) -> Places:
    """Rows as one number each."""
    return numbers << _ROW_BITS | rows


def _numbers(places: Places) -> Numbers:
    """The segment number of each row."""
    return places >> _ROW_BITS


def _rows(places: Places) -> Numbers:
    """The row in its segment of each."""
    return places & (1 << _ROW_BITS) - 1


def _ranks(places: Places, ranked: Places) -> Numbers:
    """Where each of these rows lies in the other rows, from 1; 0: nowhere. `(n,)`"""
    if not len(ranked):
        return np.zeros(len(places), np.int64)
    order = np.argsort(ranked)
    at = np.searchsorted(ranked, places, sorter=order)
    found = order[np.minimum(at, len(order) - 1)]
    return np.where(ranked[found] == places, found + 1, 0)


def _sides(scores: Scores, ranks: Numbers) -> list[Side]:
    """What rows owe to one side."""
    return [Side(score, rank or None) for score, rank in zip(scores.tolist(), ranks.tolist(), strict=True)]


def _word_scores(snapshot: Snapshot, text: str, numbers: Numbers, rows: Numbers) -> Scores:
    return np.array(keyword_scores(snapshot, text, list(zip(numbers.tolist(), rows.tolist(), strict=True))), np.float64)


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
