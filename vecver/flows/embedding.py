"""What the flows share of embedding: how they open an embedder, and whether a version has one at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from vecver import pipeline

if TYPE_CHECKING:
    from vecver.errors import BackendError
    from vecver.model import Embedder, Json, Recipe, Vectors

OpenEmbedder = Callable[["str | Json"], "Embedder"]  # by name, or by the recipe that a commit keeps


def embedded_parts(embedder: Embedder, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Vectors | BackendError]]:
    """(positions, their vectors) as they are made; or (one position, why this text was refused)."""
    return _batched(embedder).embed_parts(texts)


def may_refuse(embedder: Embedder) -> bool:
    """Whether single texts may be refused, as endpoints do."""
    return _batched(embedder).may_refuse


def _batched(embedder: Embedder) -> pipeline.Together:
    return embedder if isinstance(embedder, pipeline.Together) else pipeline.Together(embedder)


def is_given(recipe: Recipe) -> bool:
    """True if the vectors come with the records, so that no embedder makes them."""
    return bool(recipe.embedder.get("given"))
