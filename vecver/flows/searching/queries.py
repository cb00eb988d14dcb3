"""Queries: embeds texts and checks vectors, so that all are vectors in a version's space. Ranks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from vecver import index
from vecver.errors import InvalidInputError, SpaceMismatchError, say
from vecver.flows.embedding import OpenEmbedder, is_given

if TYPE_CHECKING:
    from vecver.flows.searching.modes import TextAndVector
    from vecver.model import Embedder, Json, Recipe, Space, Vectors

Query: TypeAlias = "str | Vectors | Sequence[float] | TextAndVector"


def vectors_of(queries: Sequence[Query], recipe: Recipe, open_embedder: OpenEmbedder) -> Vectors:
    """`(m, dim)` float32 in a recipe's space, normalised as its metric wants; texts are embedded in one call.

    Raises the first query's error. SpaceMismatchError: the space has no embedder, or another one, or another dimension.
    """
    space = recipe.space
    if dict in map(type, queries):
        queries = [query["vector"] if isinstance(query, dict) else query for query in queries]
    if len(queries) == 1 and not isinstance(queries[0], str):
        vector = _in_space(query_vector(queries[0]), space)[None, :].copy()  # receipts are written from it later
        return index.normalised(vector, space.metric)
    vectors = np.empty((len(queries), space.dim), np.float32)
    texts = dict[int, str]()
    for row, query in enumerate(queries):
        if isinstance(query, str):
            embedder, texts[row] = _embedder_of(query, recipe, open_embedder), query
        else:
            vectors[row] = _in_space(query_vector(query), space)
    if texts:
        vectors[list(texts)] = embedder.embed_queries(list(texts.values()))
    return index.normalised(vectors, space.metric)


def unseen_of(queries: Sequence[Query], recipe: Recipe, open_embedder: OpenEmbedder) -> dict[int, Json]:
    """Query number -> token counts, for each text that the embedder does not read whole."""
    texts = {row: query for row, query in enumerate(queries) if isinstance(query, str)}
    if not texts:
        return {}
    from vecver.flows.unseen import of_query

    counts = _embedder_of(next(iter(texts.values())), recipe, open_embedder).token_counts(list(texts.values()))
    notes = {row: of_query(counts, number) for number, row in enumerate(texts)}
    return {row: note for row, note in notes.items() if note}


def query_vector(query: Any) -> Vectors:
    """`(dim,)` float32, finite, not normalised yet: a caller's numbers. Raises InvalidInputError."""
    if _is_vector(query) and np.isfinite(query).all():
        return query
    try:
        with np.errstate(over="ignore"):  # numbers too large for float32 become infinite, which is refused below
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


def _is_vector(query: Any) -> TypeGuard[Vectors]:
    return type(query) is np.ndarray and query.dtype == np.float32 and query.ndim == 1 and query.size > 0


def check_space(space: Space, name: str | None) -> None:
    """Raises SpaceMismatchError if the caller names another space than the version's."""
    if name is not None and name not in (space.id, space.embedder, space.embedder.removeprefix("given:")):
        raise SpaceMismatchError(
            f"the query lies in the space {name!r}, the version in {space.embedder!r}",
            code="space_mismatch",
            hint="embed the query with the version's embedder",
            space=space.to_json(),
        )


def _in_space(vector: Vectors, space: Space) -> Vectors:
    if vector.shape != (space.dim,):
        raise SpaceMismatchError(
            f"the query has {vector.shape[-1]} dimensions, the version's space has {space.dim}",
            code="wrong_dimension",
            hint=say(
                "embed the query as the version's documents were: docs.show(at).recipe names the embedder",
                cli="embed the query as the version's documents were: `vecver show` names the embedder",
            ),
            space=space.to_json(),
        )
    return vector


def _embedder_of(text: str, recipe: Recipe, open_embedder: OpenEmbedder) -> Embedder:
    """The embedder of the recipe's space."""
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
            hint=say(
                "install the model that docs.show(at).recipe names, or ingest again with this one",
                cli="install the model that `vecver show` names, or ingest again with this one",
            ),
            space=space.to_json(),
        )
    return embedder
