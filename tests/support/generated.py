"""Rows, parts and documents that tests make up, the same at every call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from helpers import vector_of

from vecver.digest import key
from vecver.index import normalised
from vecver.model import Json, Metric, Part, Vectors
from vecver.repo import NewDocument

ROWS, DIM, QUERIES = 10_000, 32, 100
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def clustered(metric: Metric, clusters: int = 100, spread: float = 0.6) -> tuple[Vectors, Vectors, Numbers]:
    """Rows, queries, and the cluster of each row and then of each query."""
    rng = np.random.default_rng(11)
    cluster = rng.integers(clusters, size=ROWS + QUERIES)
    centres = rng.standard_normal((clusters, DIM)) / np.sqrt(DIM)
    points = centres[cluster] + rng.standard_normal((ROWS + QUERIES, DIM)) * spread / np.sqrt(DIM)
    vectors = normalised(points.astype(np.float32), metric)
    return vectors[:ROWS], vectors[ROWS:], cluster


def part(vectors: Vectors, live: Flags | None = None, seed: int = 0) -> Part:
    """A part with keys of its own, random but the same for the same seed."""
    keys = np.random.default_rng(seed).integers(0, 256, (len(vectors), 16), dtype=np.uint8)
    norm = float(np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1)).max(initial=0))
    if live is None:
        return Part(vectors, None, len(vectors), keys, norm)
    return Part(vectors, np.packbits(live, bitorder="little"), int(live.sum()), keys, norm)


def document(name: str, texts: Sequence[str], metadata: Json | None = None) -> NewDocument:
    spans = [(10 * i, 10 * i + len(text)) for i, text in enumerate(texts)]
    embedded = [key(text.encode()) for text in texts]
    return NewDocument(
        name, "src", "ab" * 32, "cd" * 16, "text/plain", f"Title of {name}", metadata or {}, texts, embedded, spans
    )


def vectors_of(texts: Sequence[str]) -> Vectors:
    return np.stack([vector_of(text) for text in texts])
