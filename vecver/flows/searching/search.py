"""Search: answers a question from exactly the version that it names, with a receipt that proves each answer.

resolve the revision -> embed in the commit's own space -> search its live rows -> rank them -> read the hits

Decisions
1. Hits and receipts are read when they are first used (`Answer.unread`): of 1,240 us for ten hits they took 490, and
   many callers use neither all hits nor the receipt. Where search timings are listened to they are read at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vecver import index
from vecver.errors import ConflictError, IntegrityError, NotFoundError
from vecver.flows.maintaining.indexing import open_indexes
from vecver.flows.maintaining.postings import open_postings
from vecver.flows.searching.filtering import (
    filtered,
    leaving_out,
    matching,
    milvus_expression,
    unknown_fields,
)
from vecver.flows.searching.hits import read_hits
from vecver.flows.searching.queries import check_space, unseen_of, vectors_of
from vecver.flows.searching.ranking import Ask, AskWithout, rank
from vecver.flows.searching.receipts import ENGINES, Record, receipt_of
from vecver.flows.searching.reranking import Reordered, reordered, widened
from vecver.model import Answer, Json, Part, Recipe, Vectors
from vecver.progress import has_listener, phase

if TYPE_CHECKING:
    from vecver.flows.embedding import OpenEmbedder
    from vecver.flows.searching.likes import Like
    from vecver.flows.searching.milvus import Pinned, Ranked
    from vecver.flows.searching.questions import Question, Shape
    from vecver.flows.searching.selections import Selection
    from vecver.flows.searching.titles import Row
    from vecver.repo import Collection, Publications, Snapshot, State, Versions

_ATTEMPTS = 10  # searches of a version that other processes publish anew meanwhile
_EMPTY_CODES = ("dataset_not_found", "revision_not_found")  # errors that `missing="empty"` turns into empty answers


@dataclass(frozen=True)
class OpenMilvus:
    """A Milvus to search through: a connection, and the record of what this repository published there."""

    connection: index.milvus.Connection
    book: Publications


def search(
    versions: Versions,
    dataset: str,
    question: Question,
    open_embedder: OpenEmbedder,
    *,
    open_milvus: Callable[[], OpenMilvus] | None = None,
    wait: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """One answer a query, in their order; through a Milvus if there is one to open. See `Dataset.search`.

    `wait`: until this process's upkeep is done, where that may build the lists of words that a mode needs.
    """
    try:
        snapshot = versions.snapshot(versions.resolve_lately(dataset, question.at))
    except NotFoundError as error:
        if question.missing == "error" or error.code not in _EMPTY_CODES:
            raise
        return [Answer(dataset, question.at, "", (), {}, missing=error.message)] * question.count
    if question.mode != "dense":
        open_postings(versions, snapshot, wait)
    if open_milvus is not None:
        return _answers_of_published(
            open_milvus(),
            snapshot,
            lambda pinned: answers(snapshot, versions.id, question, open_embedder, dataset=dataset, pinned=pinned),
        )
    if question.mode != "keyword" and not question.exact:
        open_indexes(versions, snapshot)
    return answers(snapshot, versions.id, question, open_embedder, dataset=dataset)


def _answers_of_published(
    milvus: OpenMilvus, snapshot: Snapshot, search_in: Callable[[Pinned], list[Answer]]
) -> list[Answer]:
    """Search where the version is published; once more, at most `_ATTEMPTS` times, if it was moved meanwhile.

    Raises NotPublishedError, IntegrityError (the collection was changed), ConflictError (it keeps moving).
    """
    from vecver.flows.publishing.publications import find_published
    from vecver.flows.searching.milvus import Pinned

    for _ in range(_ATTEMPTS):
        collection, state = find_published(milvus.book, snapshot.commit)
        try:
            results = search_in(Pinned(milvus.connection, collection, state, snapshot))
        except IntegrityError:
            if _is_published_in(milvus, snapshot, collection, state):
                raise
            continue
        if _is_published_in(milvus, snapshot, collection, state):
            return results
    raise ConflictError(
        f"{snapshot.dataset} {snapshot.commit.id[:12]} moved to another collection during each of {_ATTEMPTS} searches",
        code="publication_moving",
        hint="search again when the publishing process has finished",
        commit=snapshot.commit.id,
        dataset=snapshot.dataset,
    )


def _is_published_in(milvus: OpenMilvus, snapshot: Snapshot, collection: Collection, state: State) -> bool:
    """Is the version still published as this state of this collection?"""
    now = milvus.book.read().find(snapshot.commit)
    return now is not None and (now[0].name, now[1]) == (collection.name, state)


def answers(
    snapshot: Snapshot,
    repository: str,
    question: Question,
    open_embedder: OpenEmbedder,
    *,
    dataset: str | None = None,
    pinned: Pinned | None = None,
) -> list[Answer]:
    """One answer a query from an opened version: through a Milvus, or through the indexes that were opened.

    `repository`: its id; `dataset`: the dataset's name now, by default the name when the version was committed.
    """
    recipe = snapshot.commit.recipe
    check_space(recipe.space, question.space)
    like = None if question.like is None else _find_like(snapshot, question.like)
    vectors, unseen = np.zeros((question.count, 0), np.float32), dict[int, Json]()
    if question.mode != "keyword":
        with phase("embed"):
            vectors, unseen = _vectors(question, like, recipe, open_embedder)
    absent = unknown_fields(snapshot, question.filter) if question.missing == "empty" else []
    selection = matching(snapshot, question.filter, allow_unknown=bool(absent))
    selection = selection if like is None else like.left_out(snapshot, selection)
    without = _asking(snapshot, question, selection, like, pinned)
    shape = question.shape(title_lifts_passage=recipe.title_lifts_passage)
    wide, chosen, notes = widened(shape, question), dict[str, Any](), None
    if question.mode == "dense":
        ranked = rank(snapshot, selection, vectors, wide, without(()), without)
    else:
        ranked, notes, chosen = _by_words(snapshot, question, selection, vectors, wide, without)
    if question.reranker:
        final = reordered(snapshot, question, shape, ranked)
    else:
        final = [Reordered(*found) for found in ranked]
    options: Json = {**shape.to_json(), **chosen, **({"like": like.name} if like else {})}
    options |= {"missing": "empty"} if absent else {}
    first, context, with_vectors, listened = question.offset + 1, question.context, question.vectors, has_listener()
    record = Record(repository, snapshot.commit, question.at, question.k, question.filter, options, snapshot.verified())
    fields = {
        "dataset": snapshot.commit.dataset if dataset is None else dataset,
        "revision": question.at,
        "commit": snapshot.commit.id,
        "missing": f"no document of this version has the field {', '.join(map(repr, absent))}" if absent else None,
    }
    unread = [
        Answer.unread(
            partial(read_hits, snapshot, each.rows, first, context, with_vectors, listened),
            partial(
                receipt_of, record, each.engine, question.text(number), vectors[number], _more(question, number, each)
            ),
            query=unseen.get(number),
            notes=each.notes if notes is None else (*notes[number], *each.notes),
            **fields,
        )
        for number, each in enumerate(final)
    ]
    if listened:
        _read(unread)
    return unread


def _by_words(
    snapshot: Snapshot,
    question: Question,
    selection: Selection | None,
    vectors: Vectors,
    shape: Shape,
    without: AskWithout,
) -> tuple[list[tuple[list[Row], Json]], list[tuple[str, ...]], Json]:
    """The rows of each query in keyword and hybrid mode with their engine, notes of each, and the receipts' options."""
    from vecver.flows.searching import hybrid

    texts = [question.text(number) or "" for number in range(question.count)]
    chosen: Json = {"mode": question.mode, "keywords": hybrid.tokenizer_facts(snapshot)}
    weight = None
    if question.mode == "hybrid":
        chosen["fusion"] = question.fusion or "convex"
        if chosen["fusion"] == "convex":
            chosen["weight"] = weight = hybrid.weight_of(snapshot.commit.recipe, question.weight)
    ranker = hybrid.ranker_of(snapshot, selection, question.mode, texts, vectors, weight, without)
    notes = [hybrid.notes_of(snapshot, question.mode, text) for text in texts]
    return hybrid.ranked(snapshot, selection, ranker, shape, question.count), notes, chosen


def _more(question: Question, number: int, answer: Reordered) -> Json | None:
    """What the receipt of a query says beside the options of all queries."""
    if not question.queries or not isinstance(question.queries[number], dict):
        return answer.in_receipt
    more: Json = answer.in_receipt or {}
    return {**more, "options": {**more.get("options", {}), "vector": "given"}}


def _find_like(snapshot: Snapshot, name: str) -> Like:
    from vecver.flows.searching.likes import find_like

    return find_like(snapshot, name)


def _read(answers: Sequence[Answer]) -> None:
    """Reads the hits and receipts of answers, so that this counts to their search."""
    with phase("fetch"):
        for answer in answers:
            _ = answer.receipt, [hit.read() for hit in answer.hits]


def _vectors(
    question: Question, like: Like | None, recipe: Recipe, open_embedder: OpenEmbedder
) -> tuple[Vectors, dict[int, Json]]:
    """The queries' vectors, `(m, dim)`, and by query number what the embedder did not see of it."""
    if like is not None:
        return like.vector[None, :], {}
    vectors = vectors_of(question.queries, recipe, open_embedder)
    return vectors, unseen_of(question.queries, recipe, open_embedder)


# -- which engine finds the rows ------------------------------------------------------------------


def _asking(
    snapshot: Snapshot, question: Question, selection: Selection | None, like: Like | None, pinned: Pinned | None
) -> AskWithout:
    """A function from documents to what asks a Milvus, or the opened indexes, for selected rows of other documents."""
    liked = [like.name["document"]] if like and "document" in like.name else []

    def without(documents: Sequence[str]) -> Ask:
        chosen = leaving_out(snapshot, selection, documents)
        parts = filtered(snapshot, chosen)
        if pinned is None:
            return asking_here(snapshot, parts, exact=question.exact)
        others: Json = {"$document": {"$nin": [*documents, *liked]}}
        filter = {"$and": [others, question.filter or {}]} if documents or liked else question.filter
        return _asking_milvus(pinned, parts, filter, chosen, exact=question.exact)

    return without


def asking_here(snapshot: Snapshot, parts: Sequence[Part], *, exact: bool) -> Ask:
    """Asks the indexes of `parts`, or scans them; the parts stand in the order of `snapshot.parts`."""

    def ask(vectors: Vectors, k: int) -> list[tuple[Ranked, Json]]:
        engine = engine_of(parts, k, exact=exact)
        return [(ranked, engine) for ranked in _ranked_here(snapshot, parts, vectors, k, exact=exact)]

    return ask


def _asking_milvus(
    pinned: Pinned, parts: Sequence[Part], filter: Json | None, selection: Selection | None, *, exact: bool
) -> Ask:
    """Asks a Milvus, and scans `parts` for the queries that it cannot answer."""
    from vecver.flows.searching.milvus import Matching

    expression = milvus_expression(pinned.snapshot, filter)
    matching_rows = Matching(sum(part.live_count for part in parts), expression, selection)

    def ask(vectors: Vectors, k: int) -> list[tuple[Ranked, Json]]:
        answers = pinned.search(vectors, k, matching_rows, exact=exact)
        missed = [number for number, answer in enumerate(answers) if answer is None]
        scanned = iter(_ranked_here(pinned.snapshot, parts, vectors[missed], k, exact=True) if missed else ())
        return [answer or (next(scanned), {"name": ENGINES[0]}) for answer in answers]

    return ask


def _ranked_here(snapshot: Snapshot, parts: Sequence[Part], vectors: Vectors, k: int, *, exact: bool) -> list[Ranked]:
    """The best `k` rows for each of `(m, dim)` vectors among `parts`."""
    answers = index.search(parts, vectors, k, snapshot.commit.recipe.space.metric, exact=exact)
    places = snapshot.parts
    if len(places) == 1 and places[0].segments is None:
        number = places[0].segment
        return [[((number, row), score) for _, row, score in rows] for rows in answers]
    return [[(places[part].place(row), score) for part, row, score in rows] for rows in answers]


def engine_of(parts: Sequence[Part], k: int, *, exact: bool) -> Json:
    """The engine that proposes the candidates, as receipts name it."""
    if index.is_exact(parts, k, exact=exact):
        return {"name": ENGINES[0]}
    return {"name": ENGINES[1], "faiss": index.faiss.version()}
