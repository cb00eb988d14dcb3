"""What the flows share of embedding: how they open an embedder, and whether a version has one at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecver.model import Embedder, Json, Recipe

OpenEmbedder = Callable[["str | Json"], "Embedder"]  # by name, or by the recipe that a commit keeps


def is_given(recipe: Recipe) -> bool:
    """True if the vectors come with the records, so that no embedder makes them."""
    return bool(recipe.embedder.get("given"))
