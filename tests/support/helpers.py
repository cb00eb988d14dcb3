"""What tests share: repositories on any store, and records that bring vectors, so that no model is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from inside import versions_of

import vecver
from vecver import repo
from vecver.model import Report, Vectors
from vecver.store import Store

DIM = 8
SPACE = "test"


@dataclass(frozen=True)
class Ticking(repo.Clock):
    """One second later at every look, from 2026-01-01 on."""

    _looks: list[None] = field(default_factory=list)

    def now(self) -> datetime:
        self._looks.append(None)
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self._looks) - 1)


def open_on(store: Store, *, clock: repo.Clock | None = None, author: str = "tester", **how: Any) -> vecver.Repository:
    """The repository on a store, made if there is none."""
    if not repo.exists(store):
        repo.create(store)
    return vecver.Repository(repo.Versions(store, author=author, clock=clock), **{"background": False, **how})


def vector_of(text: str, dim: int = DIM) -> Vectors:
    """A vector for a text: small whole numbers, so that every dot product is exact in float32."""
    data = hashlib.shake_128(text.encode()).digest(dim)
    return (np.frombuffer(data, np.uint8) % 16).astype(np.float32) - 8


def records(texts: Mapping[str, str], **metadata: Any) -> list[dict[str, Any]]:
    """A record with its vector for every document id and text."""
    return [{"id": id, "text": text, "vector": vector_of(text), **metadata} for id, text in texts.items()]


def ingest(docs: vecver.Dataset, texts: Mapping[str, str], **how: Any) -> Report:
    """A version that holds exactly these documents, in the space "test" under the inner product."""
    return docs.ingest(records(texts), space=SPACE, metric="ip", allow_removals=True, **how)


def overwrite(path: Path, content: bytes) -> None:
    """Write over a file in place. If cut first, as by `write_bytes`, it would end a process that maps it."""
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def texts_of(docs: vecver.Dataset, at: str = "main") -> dict[str, str]:
    """Every document of a version with its text, read from its rows (documents of one chunk)."""
    snapshot = versions_of(docs).snapshot(docs.resolve(at))
    live = [(n, row) for n, part in enumerate(snapshot.layout.segments) for row in part.chunks]
    return {chunk.document: chunk.text for n, row in live for chunk in [snapshot.chunk(n, row)]}


def best(texts: Mapping[str, str], query: Vectors, k: int) -> list[tuple[str, float]]:
    """(document, score) of the true top k, equal scores in the order of their chunk keys; by brute force."""
    from vecver.repo.rows.schema import chunk_key

    scored = [(-float(vector_of(text) @ query), chunk_key(id, text, 0), id) for id, text in texts.items()]
    return [(id, -score) for score, _, id in sorted(scored)[:k]]
