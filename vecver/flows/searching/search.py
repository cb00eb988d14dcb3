"""Search: a question, answered from exactly the version named, with a receipt that proves it.

resolve the revision -> embed in the commit's own space -> search its live rows -> read the hits
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from vecver import index
from vecver.decimals import readable
from vecver.digest import digest_json
from vecver.errors import IntegrityError, InvalidInputError, SpaceMismatchError
from vecver.flows.ingesting.recipe import OpenEmbedder, is_given
from vecver.flows.maintaining.indexing import open_indexes
from vecver.flows.publishing.manage import find_published
from vecver.flows.searching.filtering import Selection, matching, milvus_expression
from vecver.flows.searching.milvus import Matching, Pinned, Ranked
from vecver.flows.searching.unseen import of_query
from vecver.model import Answer, Embedder, Hit, Json, Part, Recipe, Space, Vectors
from vecver.phases import phase
from vecver.repo import ChunkRow, Collection, Publications, SearchPart, Snapshot, State, Versions

RECEIPT_FORMAT = 1
ENGINES = ("exact", f"faiss {index.faiss.SPEC}", "milvus")  # as receipts name them
Query: TypeAlias = "str | Vectors | Sequence[float]"


@dataclass(frozen=True)
class Through:
    """A Milvus to search through."""

    connection: index.milvus.Connection
    book: Publications


def search(
    versions: Versions,
    dataset: str,
    queries: Sequence[Query],
    open_embedder: OpenEmbedder,
    *,
    at: str,
    k: int,
    exact: bool = False,
    filter: Json | None = None,
    context: int = 0,
    space: str | None = None,
    through: Through | None = None,
) -> list[Answer]:
    """One answer a query, in their order; `through` a Milvus where one is given. See `Dataset.search`."""
    snapshot = versions.snapshot(versions.resolve(dataset, at))
    if through is None and not exact:
        open_indexes(versions, snapshot)
    how: Json = {"at": at, "k": k, "exact": exact, "filter": filter, "context": context, "space": space}
    if through is None:
        return answers(snapshot, versions.id, queries, open_embedder, **how)
    return _while_published(
        through, snapshot, lambda pinned: answers(snapshot, versions.id, queries, open_embedder, **how, pinned=pinned)
    )


def _while_published(through: Through, snapshot: Snapshot, ask: Callable[[Pinned], list[Answer]]) -> list[Answer]:
    """Answers from where the version is published: asked again if it was moved or let go of meanwhile."""
    while True:
        found = find_published(through.book, snapshot.commit)
        try:
            given = ask(Pinned(through.connection, *found, snapshot))
        except IntegrityError:
            if _still(through, snapshot, found):
                raise
            continue
        if _still(through, snapshot, found):
            return given


def _still(through: Through, snapshot: Snapshot, found: tuple[Collection, State]) -> bool:
    """Is the version where it was found?"""
    now = through.book.read().find(snapshot.commit)
    return now is not None and (now[0].name, now[1]) == (found[0].name, found[1])


def answers(
    snapshot: Snapshot,
    repository: str,
    queries: Sequence[Query],
    open_embedder: OpenEmbedder,
    *,
    at: str,
    k: int,
    exact: bool = False,
    filter: Json | None = None,
    context: int = 0,
    space: str | None = None,
    pinned: Pinned | None = None,
) -> list[Answer]:
    """One answer a query from an opened version of a repository: through a Milvus, or the indexes that were opened."""
    check_question(queries, k, context)
    k, filter = int(k), index.json_filter(filter)
    _same_space(snapshot.commit.recipe.space, space)
    with phase("embed"):
        vectors = vectors_of(queries, snapshot.commit.recipe, open_embedder)
        unseen = _unseen(queries, snapshot.commit.recipe, open_embedder)
    selection = matching(snapshot, filter)
    parts = filtered(snapshot, selection)
    if pinned:
        found = _through(pinned, parts, vectors, k, filter, selection, exact=exact)
    else:
        engine = engine_of(parts, k, exact=exact)
        found = [(ranked, engine) for ranked in ranked_here(snapshot, parts, vectors, k, exact=exact)]
    with phase("fetch"):
        hits = hits_of(snapshot, [ranked for ranked, _ in found], context)
    given = []
    for row, (query, vector, own, (_, engine)) in enumerate(zip(queries, vectors, hits, found, strict=True)):
        text = query if isinstance(query, str) else None
        receipt = _receipt(repository, snapshot, at, engine, text, vector, k, filter, own)
        given.append(Answer(snapshot.commit.dataset, at, snapshot.commit.id, own, receipt, unseen.get(row)))
    return given


def ranked_here(snapshot: Snapshot, parts: Sequence[Part], vectors: Vectors, k: int, *, exact: bool) -> list[Ranked]:
    """The best rows for each of `(m, dim)` vectors among `parts`, which stand in the order of `snapshot.parts`."""
    found = index.search(parts, vectors, k, snapshot.commit.recipe.space.metric, exact=exact)
    return [[(snapshot.parts[row.part].place(row.row), row.score) for row in rows] for rows in found]


def _through(
    pinned: Pinned,
    parts: Sequence[Part],
    vectors: Vectors,
    k: int,
    filter: Json | None,
    selection: Selection | None,
    *,
    exact: bool,
) -> list[tuple[Ranked, Json]]:
    """The best rows for each vector and who found them: Milvus, or a scan of `parts` where it could not."""
    expression = milvus_expression(pinned.snapshot, filter)
    wanted = Matching(sum(part.live_count for part in parts), expression, selection)
    found = pinned.search(vectors, k, wanted, exact=exact)
    missed = [number for number, one in enumerate(found) if one is None]
    scanned = iter(ranked_here(pinned.snapshot, parts, vectors[missed], k, exact=True) if missed else ())
    return [one or (next(scanned), {"name": ENGINES[0]}) for one in found]


def hits_of(snapshot: Snapshot, found: Sequence[Ranked], context: int = 0) -> list[tuple[Hit, ...]]:
    """The hits of each query, from ranked rows."""
    chunks = iter(snapshot.chunks([place for ranked in found for place, _ in ranked]))
    return [
        tuple(_hit(snapshot, rank, score, next(chunks), context) for rank, (_, score) in enumerate(ranked, 1))
        for ranked in found
    ]


def _hit(snapshot: Snapshot, rank: int, score: float, chunk: ChunkRow, context: int) -> Hit:
    return Hit(
        rank=rank,
        score=score,
        score_bits=index.bits(score),
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
    )


def filtered(snapshot: Snapshot, selection: Selection | None) -> list[Part]:
    """The snapshot's parts with the indexes opened so far, and only the rows of a selection; None: all."""
    if selection is None:
        return [_indexed(snapshot, part, part.part) for part in snapshot.parts]
    return [
        _indexed(snapshot, part, snapshot.narrowed(part, _selected(snapshot, part, selection)))
        for part in snapshot.parts
    ]


def _indexed(snapshot: Snapshot, place: SearchPart, part: Part) -> Part:
    """A part with its segment's index under the part's mask; none for gathered rows, or while it was not opened."""
    opened = None if place.segment < 0 else snapshot.segments[place.segment].index
    if opened is None:
        return part
    if part is not place.part:
        return replace(part, index=index.faiss.View(opened, part.live, part.live_count))
    if place.segment not in snapshot.views:
        snapshot.views[place.segment] = index.faiss.View(opened, part.live, part.live_count)
    return replace(part, index=snapshot.views[place.segment])


def engine_of(parts: Sequence[Part], k: int, *, exact: bool) -> Json:
    """Who proposed the candidates; part of the receipt."""
    if index.is_exact(parts, k, exact=exact):
        return {"name": ENGINES[0]}
    return {"name": ENGINES[1], "faiss": index.faiss.version()}


def receipt_vector(vector: Vectors) -> Json:
    """A query vector as a receipt holds it: its bits and their digest."""
    data = vector.astype("<f4").tobytes()
    return {"vector": base64.b64encode(data).decode(), "digest": hashlib.sha256(data).hexdigest()}


def signature(hits: Sequence[Hit]) -> list[list[str]]:
    """What a receipt holds of the hits: key, digest of the text, score bits; best first."""
    return [[hit.key, hashlib.sha256(hit.text.encode()).hexdigest(), hit.score_bits] for hit in hits]


def _receipt(
    repository: str,
    snapshot: Snapshot,
    at: str,
    engine: Json,
    text: str | None,
    vector: Vectors,
    k: int,
    filter: Json | None,
    hits: Sequence[Hit],
) -> Json:
    commit = snapshot.commit
    receipt = {
        "format": RECEIPT_FORMAT,
        "vecver": version(),
        "repository": repository,
        "dataset": commit.dataset,
        "revision": at,
        "commit": commit.id,
        "content_root": commit.content_root,
        "vector_root": commit.vector_root,
        "space": commit.recipe.space.id,
        "engine": engine,
        "query": {"text": text, **receipt_vector(vector)},
        "k": k,
        "filter": filter,
        "hits": signature(hits),
        "verified": snapshot.verified(),
    }
    return {**receipt, "digest": digest_json(receipt)}


def vectors_of(queries: Sequence[Query], recipe: Recipe, open_embedder: OpenEmbedder) -> Vectors:
    """`(m, dim)` float32 in a recipe's space, normalised as its metric wants; texts are embedded in one call.

    Raises the first query's error. SpaceMismatchError: the space has no embedder, or another one, or another dimension.
    """
    vectors = np.empty((len(queries), recipe.space.dim), np.float32)
    texts = dict[int, str]()
    for row, query in enumerate(queries):
        if isinstance(query, str):
            embedder, texts[row] = _embedder_of(query, recipe, open_embedder), query
        else:
            vectors[row] = _in_space(query_vector(query), recipe.space)
    if texts:
        vectors[list(texts)] = embedder.embed_queries(list(texts.values()))
    return index.normalised(vectors, recipe.space.metric)


def _unseen(queries: Sequence[Query], recipe: Recipe, open_embedder: OpenEmbedder) -> dict[int, Json]:
    """Row -> token counts of each query that the embedder does not see whole."""
    texts = {row: query for row, query in enumerate(queries) if isinstance(query, str)}
    if not texts:
        return {}
    counts = _embedder_of(next(iter(texts.values())), recipe, open_embedder).token_counts(list(texts.values()))
    found = {row: of_query(counts, n) for n, row in enumerate(texts)}
    return {row: query for row, query in found.items() if query}


def _in_space(vector: Vectors, space: Space) -> Vectors:
    if vector.shape != (space.dim,):
        raise SpaceMismatchError(
            f"the query has {vector.shape[-1]} dimensions, the version's space has {space.dim}",
            code="wrong_dimension",
            hint="embed the query as the version's documents were: `vecver show` names the embedder",
            space=space.to_json(),
        )
    return vector


def _embedder_of(text: str, recipe: Recipe, open_embedder: OpenEmbedder) -> Embedder:
    """What embeds this text in the recipe's space."""
    space = recipe.space
    if is_given(recipe):
        raise SpaceMismatchError(
            f"this version's vectors were given (space {recipe.embedder['name']!r}): a text cannot be embedded in it",
            code="needs_vector",
            hint="ask with a vector from the same model",
            space=space.to_json(),
        )
    if not text.strip():
        raise InvalidInputError("the query is empty", code="empty_query", hint="ask something")
    embedder = open_embedder(recipe.embedder)
    if embedder.fingerprint != space.embedder:
        raise SpaceMismatchError(
            f"the embedder {embedder.name!r} here is not the one that this version was embedded with",
            code="space_mismatch",
            hint="install the model that `vecver show` names, or ingest again with this one",
            space=space.to_json(),
        )
    return embedder


def query_vector(query: Any) -> Vectors:
    """`(dim,)` float32, finite, not normalised yet: a caller's numbers. Raises InvalidInputError."""
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is told below
            vector = np.asarray(query).astype(np.float32, casting="same_kind")
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            "a query is a text or a list of numbers", code="invalid_query", hint="check the query's type"
        ) from error
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise InvalidInputError(
            "a query vector is one row of finite float32 numbers",
            code="invalid_vector",
            hint="look for NaN and infinities; several queries are a list of vectors",
        )
    return vector


def _same_space(space: Space, asked: str | None) -> None:
    if asked is not None and asked not in (space.id, space.embedder, space.embedder.removeprefix("given:")):
        raise SpaceMismatchError(
            f"the query lies in the space {asked!r}, the version in {space.embedder!r}",
            code="space_mismatch",
            hint="embed the query with the version's embedder",
            space=space.to_json(),
        )


def check_question(queries: Sequence[Query], k: int, context: int) -> None:
    """Raises InvalidInputError for what can be asked of no version."""
    if not len(queries):
        raise InvalidInputError("there is no query", code="empty_query", hint="ask something")
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InvalidInputError(f"k is the number of hits, 1 or more, not {k!r}", code="invalid_k", hint="use k=10")
    if isinstance(context, bool) or not isinstance(context, int) or context < 0:
        raise InvalidInputError(
            f"context is a number of neighbouring chunks, 0 or more, not {context!r}",
            code="invalid_context",
            hint="use context=1",
        )


def _selected(snapshot: Snapshot, part: SearchPart, selection: Selection) -> npt.NDArray[np.bool_]:
    """Which of a part's rows are selected."""
    column = snapshot.chunk_column(part, selection.column)
    return np.asarray(pc.is_in(column, value_set=selection.values), dtype=bool)


@cache
def version() -> str:
    """The vecver that answers."""
    from importlib import metadata

    return metadata.version("vecver")
