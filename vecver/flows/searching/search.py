"""Search: a question, answered from exactly the version named, with a receipt that proves it.

resolve the revision -> embed in the commit's own space -> search its live rows -> rank them -> read the hits
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vecver import index
from vecver.decimals import readable
from vecver.errors import ConflictError, IntegrityError, NotFoundError
from vecver.flows.ingesting.recipe import OpenEmbedder
from vecver.flows.maintaining.indexing import open_indexes
from vecver.flows.publishing.manage import find_published
from vecver.flows.searching.filtering import (
    Selection,
    filtered,
    leaving_out,
    matching,
    milvus_expression,
    unknown_fields,
)
from vecver.flows.searching.likes import Like, find_like
from vecver.flows.searching.milvus import Matching, Pinned, Ranked
from vecver.flows.searching.queries import check_space, unseen_of, vectors_of
from vecver.flows.searching.questions import Question
from vecver.flows.searching.ranking import Ask, AskWithout, rank
from vecver.flows.searching.receipts import ENGINES, receipt_of
from vecver.flows.searching.titles import Row
from vecver.model import Answer, Hit, Json, Part, Recipe, Vectors
from vecver.progress import phase
from vecver.repo import ChunkRow, Collection, Publications, Snapshot, State, Versions

_ATTEMPTS = 10  # searches of a version that other processes publish anew meanwhile
_NOT_THERE = ("dataset_not_found", "revision_not_found")  # errors that `missing="empty"` answers with nothing


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
) -> list[Answer]:
    """One answer a query, in their order; through a Milvus if there is one to open. See `Dataset.search`."""
    try:
        snapshot = versions.snapshot(versions.resolve(dataset, question.at))
    except NotFoundError as error:
        if question.missing == "error" or error.code not in _NOT_THERE:
            raise
        return [Answer(dataset, question.at, "", (), {}, missing=error.message)] * question.count
    if open_milvus is not None:
        results = _answers_of_published(
            open_milvus(),
            snapshot,
            lambda pinned: answers(snapshot, versions.id, question, open_embedder, pinned=pinned),
        )
    else:
        if not question.exact:
            open_indexes(versions, snapshot)
        results = answers(snapshot, versions.id, question, open_embedder)
    if snapshot.commit.dataset == dataset:
        return results
    return [replace(answer, dataset=dataset) for answer in results]  # the dataset was renamed after this commit


def _answers_of_published(
    milvus: OpenMilvus, snapshot: Snapshot, search_in: Callable[[Pinned], list[Answer]]
) -> list[Answer]:
    """Search where the version is published; once more, at most `_ATTEMPTS` times, if it was moved meanwhile.

    Raises NotPublishedError, IntegrityError (the collection was changed), ConflictError (it keeps moving).
    """
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
    pinned: Pinned | None = None,
) -> list[Answer]:
    """One answer a query from an opened version of a repository: through a Milvus, or the indexes that were opened."""
    recipe = snapshot.commit.recipe
    check_space(recipe.space, question.space)
    like = None if question.like is None else find_like(snapshot, question.like)
    with phase("embed"):
        vectors, unseen = _vectors(question, like, recipe, open_embedder)
    absent = unknown_fields(snapshot, question.filter) if question.missing == "empty" else []
    selection = matching(snapshot, question.filter, allow_unknown=bool(absent))
    selection = selection if like is None else like.left_out(selection)
    without = _asking(snapshot, question, selection, like, pinned)
    shape = question.shape(title_lifts_passage=recipe.title_lifts_passage)
    found = rank(snapshot, selection, vectors, shape, without(()), without)
    with phase("fetch"):
        how: dict[str, int] = {"first": question.offset + 1, "context": question.context}
        hits = hits_of(snapshot, [rows for rows, _ in found], **how, vectors=question.vectors)
    options: Json = {**shape.to_json(), **({"like": like.name} if like else {})}
    options |= {"missing": "empty"} if absent else {}
    missing = f"no document of this version has the field {', '.join(map(repr, absent))}" if absent else None
    given = []
    for row, (vector, own, (_, engine)) in enumerate(zip(vectors, hits, found, strict=True)):
        asked = (engine, question.text(row), vector, question.k, question.filter, options)
        receipt = receipt_of(repository, snapshot, question.at, *asked, own)
        named = (snapshot.commit.dataset, question.at, snapshot.commit.id)
        given.append(Answer(*named, own, receipt, unseen.get(row), missing))
    return given


def _vectors(
    question: Question, like: Like | None, recipe: Recipe, open_embedder: OpenEmbedder
) -> tuple[Vectors, dict[int, Json]]:
    """The queries' vectors, `(m, dim)`, and what the embedder did not see of each."""
    if like is not None:
        return like.vector[None, :], {}
    vectors = vectors_of(question.queries, recipe, open_embedder)
    return vectors, unseen_of(question.queries, recipe, open_embedder)


# -- who finds the rows --------------------------------------------------------------------------


def _asking(
    snapshot: Snapshot, question: Question, selection: Selection | None, like: Like | None, pinned: Pinned | None
) -> AskWithout:
    """Asks for rows of a selection but for those of some documents: a Milvus, or the indexes that were opened."""
    own = [like.name["document"]] if like and "document" in like.name else []

    def without(documents: Sequence[str]) -> Ask:
        chosen = leaving_out(selection, documents)
        parts = filtered(snapshot, chosen)
        if pinned is None:
            return asking_here(snapshot, parts, exact=question.exact)
        others: Json = {"$document": {"$nin": [*documents, *own]}}
        filter = {"$and": [others, question.filter or {}]} if documents or own else question.filter
        return _asking_milvus(pinned, parts, filter, chosen, exact=question.exact)

    return without


def asking_here(snapshot: Snapshot, parts: Sequence[Part], *, exact: bool) -> Ask:
    """Asks the indexes of `parts`, or scans them; they stand in the order of `snapshot.parts`."""

    def ask(vectors: Vectors, k: int) -> list[tuple[Ranked, Json]]:
        engine = engine_of(parts, k, exact=exact)
        return [(ranked, engine) for ranked in _ranked_here(snapshot, parts, vectors, k, exact=exact)]

    return ask


def _asking_milvus(
    pinned: Pinned, parts: Sequence[Part], filter: Json | None, selection: Selection | None, *, exact: bool
) -> Ask:
    """Asks a Milvus, and scans `parts` where that could not tell."""
    expression = milvus_expression(pinned.snapshot, filter)
    wanted = Matching(sum(part.live_count for part in parts), expression, selection)

    def ask(vectors: Vectors, k: int) -> list[tuple[Ranked, Json]]:
        found = pinned.search(vectors, k, wanted, exact=exact)
        missed = [number for number, one in enumerate(found) if one is None]
        scanned = iter(_ranked_here(pinned.snapshot, parts, vectors[missed], k, exact=True) if missed else ())
        return [one or (next(scanned), {"name": ENGINES[0]}) for one in found]

    return ask


def _ranked_here(snapshot: Snapshot, parts: Sequence[Part], vectors: Vectors, k: int, *, exact: bool) -> list[Ranked]:
    """The best rows for each of `(m, dim)` vectors among `parts`."""
    found = index.search(parts, vectors, k, snapshot.commit.recipe.space.metric, exact=exact)
    return [[(snapshot.parts[row.part].place(row.row), row.score) for row in rows] for rows in found]


def engine_of(parts: Sequence[Part], k: int, *, exact: bool) -> Json:
    """Who proposed the candidates; part of the receipt."""
    if index.is_exact(parts, k, exact=exact):
        return {"name": ENGINES[0]}
    return {"name": ENGINES[1], "faiss": index.faiss.version()}


# -- hits ----------------------------------------------------------------------------------------


def hits_of(
    snapshot: Snapshot, found: Sequence[Sequence[Row]], *, first: int = 1, context: int = 0, vectors: bool = False
) -> list[tuple[Hit, ...]]:
    """The hits of each query, from ranked rows. `first`: the rank of the first one."""
    places = [row.place for rows in found for row in rows]
    chunks = iter(snapshot.chunks(places))
    hits = [
        tuple(_hit(snapshot, rank, row, next(chunks), context) for rank, row in enumerate(rows, first))
        for rows in found
    ]
    if not vectors or not places:
        return hits
    rows = iter(snapshot.vectors_at(*(np.array(column) for column in zip(*places, strict=True))))
    return [tuple(replace(hit, vector=next(rows)) for hit in own) for own in hits]


def _hit(snapshot: Snapshot, rank: int, row: Row, chunk: ChunkRow, context: int) -> Hit:
    return Hit(
        rank=rank,
        score=row.score,
        score_bits=index.bits(row.score),
        document=chunk.document,
        key=chunk.key.hex(),
        span=chunk.span,
        text=chunk.text,
        title=chunk.title,
        metadata=readable(chunk.metadata),
        context=snapshot.context(chunk.key, chunk.document, context) if context else None,
        headings=chunk.position.headings,
        header=chunk.position.header,
        page=chunk.position.page,
        sheet=chunk.position.sheet,
        line=chunk.position.line,
        by=row.by,
    )
