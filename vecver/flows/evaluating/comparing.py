"""Comparing: the same questions to two versions; per question what entered, left and moved, and why.

both runs -> measures side by side -> the two rankings of documents -> for each change the reason

The reason is found from what is stored, without another search. The best chunk of a document has the same score in both
versions if both have that chunk with the same vector. So where they have not, the document itself is the reason:
it was added, removed or edited, its space is another, or its text was cut otherwise. Where they have, others are the
reason (`rival`); unless its score would have placed it in the other ranking too: then an index did not look far enough
(`approximation`). What only such a gap, or another chunker, moved has that reason too.

Decisions
1. Rankings are compared by documents, since keys of chunks change with their texts.
2. A title that lifts a passage changes the passage's score. So a document whose title was edited is `edited`, although
   its best chunk is the same.
3. `approximation` is found in a ranking by vectors alone. A score by words changes with every document that a version
   gains or loses, and a reranker's order is not that of the scores; what no document itself explains is `rival` there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vecver.errors import InvalidInputError
from vecver.flows.embedding import OpenEmbedder
from vecver.flows.evaluating.measures import Measure, measures_of
from vecver.flows.evaluating.relevance import Measured, check_documents, measure, skipped_in
from vecver.flows.evaluating.runs import Engine
from vecver.flows.evaluating.statistics import interval, overlap, randomised
from vecver.model import Change, Compared, Comparison, Delta, QuestionSet, RankedDocument, Why
from vecver.progress import Progress
from vecver.repo import Snapshot, Versions

DEPTH = 10  # documents that are compared where no measure looks further
_SAME = 1e-9  # values that differ by less are a tie


def compare(
    versions: Versions,
    dataset: str,
    questions: QuestionSet,
    open_embedder: OpenEmbedder,
    *,
    before: str,
    after: str,
    measures: Iterable[str] | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two versions by a set, with or without judgments. See `Dataset.compare`.

    Raises InvalidInputError (a measure, an empty version).
    """
    engine = engine or Engine()
    judged = any(each.is_measured for each in questions.questions)
    if measures is not None and not judged:
        raise InvalidInputError(
            "measures need judgments, and no question has any",
            code="no_judgments",
            hint='add "documents" or "contains" to the questions, or leave the measures out',
        )
    wanted = measures_of(measures, questions) if judged else []
    snapshots = [versions.snapshot(versions.resolve(dataset, at)) for at in (before, after)]
    check_documents(snapshots, dataset, questions)
    depth = max([DEPTH, *(each.depth for each in wanted)])
    old, new = (
        measure(versions, dataset, each, questions, wanted, engine, open_embedder, depth=depth, progress=progress)
        for each in snapshots
    )
    sides = (_Side.of(snapshots[0], old, depth), _Side.of(snapshots[1], new, depth))
    return Comparison(
        dataset,
        snapshots[0].commit.id,
        snapshots[1].commit.id,
        questions.summary(),
        depth,
        {each.name: delta_of(each, old, new) for each in wanted if not np.isnan(old.values[each.name]).all()},
        tuple(_compared(questions, old, new, *sides)),
        skipped_in(snapshots[1], questions) if judged else dict(questions.skipped),
    )


def delta_of(measure: Measure, old: Measured, new: Measured) -> Delta:
    """A measure of the same questions in two versions."""
    before, after = old.values[measure.name], new.values[measure.name]
    there = ~np.isnan(before)
    before, after = before[there], after[there]
    low, high = interval(after - before)
    wins, losses = int((after > before + _SAME).sum()), int((after < before - _SAME).sum())
    ties = len(before) - wins - losses
    wins, losses = (losses, wins) if measure.lower_is_better else (wins, losses)
    return Delta(float(before.mean()), float(after.mean()), low, high, randomised(before, after), wins, ties, losses)


# -- rankings and reasons -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """One version: its rankings of documents, and what it holds of every document that either version ranked."""

    snapshot: Snapshot
    rankings: list[dict[str, RankedDocument]]  # a question: document -> its best chunk, best first
    last: list[RankedDocument | None]  # a question: the last place of its ranking; None where the version has no more
    is_exact: bool  # or ranked by more than the vectors' scores

    @classmethod
    def of(cls, snapshot: Snapshot, measured: Measured, depth: int) -> _Side:
        runs = [ranking[:depth] for ranking in measured.run.rankings]
        last = [ranking[-1] if len(ranking) == depth else None for ranking in runs]
        engine = measured.run.engine
        is_exact = engine["name"] == "exact" or "mode" in engine or "rerank" in engine
        return cls(snapshot, [_by_document(ranking) for ranking in runs], last, is_exact)

    def described(self, documents: Sequence[str]) -> dict[str, tuple[bytes, str]]:
        """(digest of the source, title) of those documents that this version has."""
        order = self.snapshot.ordered(documents)
        table = order.table(slice(None), ["document", "digest", "title"])
        names, digests, titles = (table.column(name).to_pylist() for name in table.column_names)
        return {name: (digest, title) for name, digest, title in zip(names, digests, titles, strict=True)}

    def vectors(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The stored vectors of those chunks that this version has, by key."""
        wanted = np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(-1, 16)
        numbers, rows = self.snapshot.find_chunks(wanted)
        there = np.flatnonzero(numbers >= 0)
        vectors = self.snapshot.vectors_at(numbers[there], rows[there]) if len(there) else ()
        return {keys[place]: vector.tobytes() for place, vector in zip(there.tolist(), vectors, strict=True)}


def _by_document(ranking: Iterable[RankedDocument]) -> dict[str, RankedDocument]:
    best: dict[str, RankedDocument] = {}
    for each in ranking:
        best.setdefault(each.document, each)
    return best


def _compared(questions: QuestionSet, old: Measured, new: Measured, a: _Side, b: _Side) -> Iterator[Compared]:
    reasons = _Reasons(questions, a, b)
    for row, question in enumerate(questions.questions):
        before, after = a.rankings[row], b.rankings[row]
        entered = [name for name in after if name not in before]
        left = [name for name in before if name not in after]
        ranks_a, ranks_b = _ranks(before), _ranks(after)
        outer = reasons.of_outer(row, entered, left)
        moved = [name for name in after if name in before and ranks_a[name] != ranks_b[name]]
        values = {name: (float(each[row]), float(new.values[name][row])) for name, each in old.values.items()}
        yield Compared(
            question.id,
            question.query,
            overlap(list(before), list(after)),
            {name: pair for name, pair in values.items() if not np.isnan(pair[0])},
            tuple(Change(name, after[name].key, None, ranks_b[name], outer[name]) for name in entered),
            tuple(Change(name, before[name].key, ranks_a[name], None, outer[name]) for name in left),
            tuple(
                Change(name, after[name].key, ranks_a[name], ranks_b[name], reasons.of_moved(row, name, outer))
                for name in moved
            ),
        )


def _ranks(ranking: Iterable[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(ranking, 1)}


class _Reasons:
    """Why documents entered, left and moved between the rankings of two versions."""

    def __init__(self, questions: QuestionSet, a: _Side, b: _Side) -> None:
        self._a, self._b = a, b
        self._filters = [question.filter is not None for question in questions.questions]
        ranked = [each for side in (a, b) for ranking in side.rankings for each in ranking.values()]
        documents, keys = sorted({each.document for each in ranked}), sorted({each.key for each in ranked})
        self._documents = a.described(documents), b.described(documents)
        self._vectors = (a.vectors(keys), b.vectors(keys)) if keys else ({}, {})
        recipes = a.snapshot.commit.recipe, b.snapshot.commit.recipe
        self._other_space = recipes[0].space.id != recipes[1].space.id
        self._is_recut = recipes[0].chunker != recipes[1].chunker
        self._lifts = any(recipe.title_lifts_passage for recipe in recipes)

    def of_outer(self, row: int, entered: Sequence[str], left: Sequence[str]) -> dict[str, Why]:
        """document -> why it entered or left. If an index alone made a place free, what took it is due to that too."""
        whys = {name: self._of_one(row, name, self._b, self._a) for name in entered}
        whys |= {name: self._of_one(row, name, self._a, self._b) for name in left}
        return {name: self._deeper(why, whys.values()) for name, why in whys.items()}

    def _deeper(self, why: Why, others: Iterable[Why]) -> Why:
        """For `rival` what moved the rivals, if that is no document's own change: an index, or another chunker."""
        if why != "rival":
            return why
        reasons = set(others) - {"rival"}
        if reasons == {"approximation"}:
            return "approximation"
        return "rechunked" if self._is_recut and reasons <= {"rechunked", "approximation"} else "rival"

    def _of_one(self, row: int, name: str, side: _Side, other: _Side) -> Why:
        ranked = side.rankings[row][name]
        return self._own(row, name, ranked.key) or self._by_others(ranked, other, row)

    def of_moved(self, row: int, name: str, outer: dict[str, Why]) -> Why:
        """Of a document in both rankings: itself, or what entered or left above it, or changed places with it."""
        before, after = self._a.rankings[row][name], self._b.rankings[row][name]
        if before.score_bits != after.score_bits:
            own = self._own(row, name, after.key) or self._own(row, name, before.key)
            if own is not None:
                return own
            if not (self._a.is_exact and self._b.is_exact):
                return "approximation"  # both have both chunks, so one side's index missed the better one
        return self._deeper("rival", (why for other, why in outer.items() if self._is_above(row, other, name)))

    def _own(self, row: int, name: str, key: str) -> Why | None:
        """The reason in the document itself; None if its best chunk is the same in both versions."""
        old, new = (each.get(name) for each in self._documents)
        if old is None or new is None:
            return "removed" if new is None else "added"
        is_edited = old[0] != new[0]
        counts = self._filters[row] or (self._lifts and old[1] != new[1])  # more of it than the chunk decides its place
        mine, theirs = (each.get(key) for each in self._vectors)
        if mine is not None and mine == theirs and not self._other_space and not (is_edited and counts):
            return None
        if is_edited:
            return "edited"
        return "embedder" if self._other_space else "rechunked"

    def _by_others(self, ranked: RankedDocument, other: _Side, row: int) -> Why:
        """Would the score have placed it in the other ranking too? Then an index missed it."""
        last = other.last[row]
        if other.is_exact:
            return "rival"
        if last is None:
            return "approximation"
        mine, theirs = (-each.score for each in (ranked, last))
        return "approximation" if (mine, ranked.key) < (theirs, last.key) else "rival"

    def _is_above(self, row: int, other: str, name: str) -> bool:
        sides = (side.rankings[row] for side in (self._a, self._b))
        orders = [list(ranking) for ranking in sides]
        return any(other in order and order.index(other) < order.index(name) for order in orders)
