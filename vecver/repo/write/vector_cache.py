"""Vector cache: vectors that an ingest has computed but not yet committed, so that an interrupted one loses little.

    parts/<space>/<digest>     n 16-byte names of what was embedded, then n float32 vectors

A part is a spare copy. Nothing refers to it; vectors of a lost or damaged part are computed again.

Decisions
1. Parts are not segments. When they were, the fold that deleted "its" parts deleted another dataset's only segment,
   which held the same rows and so had the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vecver.digest import KEY_BYTES, digest
from vecver.errors import NotFoundError
from vecver.model import Space, Vectors
from vecver.repo.rows import sorted_keys
from vecver.repo.rows.sorted_keys import Keys, Rows
from vecver.store import Store


class Part:
    """One part, mapped; `find_embedded` and `vectors` are as in a segment."""

    def __init__(self, name: str, content: memoryview, dim: int) -> None:
        self.name = name
        count = len(content) // (KEY_BYTES + 4 * dim)
        self.embedded: Keys = np.frombuffer(content, np.uint8, count * KEY_BYTES).reshape(-1, KEY_BYTES)
        self.vectors: Vectors = np.frombuffer(content, "<f4", offset=count * KEY_BYTES).reshape(-1, dim)

    def find_embedded(self, wanted: Keys) -> tuple[Rows, Rows]:
        """(i, row) for every row that embedded `wanted[i]`."""
        return sorted_keys.find(self._sorted, self._order, self.embedded, wanted)

    @cached_property
    def _order(self) -> npt.NDArray[np.uint32]:
        return sorted_keys.order_of(self.embedded)

    @cached_property
    def _sorted(self) -> npt.NDArray[np.uint64]:
        return sorted_keys.prefixes(self.embedded)[self._order]


def save(store: Store, space: Space, vectors: Mapping[bytes, Vectors]) -> Part:
    """Make vectors durable, `(dim,)` each, by the digest of what was embedded."""
    content = b"".join(vectors) + np.stack(list(vectors.values())).astype("<f4").tobytes()
    name = folder_of(space) + digest(content)
    store.put(name, content)
    return Part(name, store.map(name, fixed=True), space.dim)


def load(store: Store, space: Space, names: Sequence[str] | None = None) -> Iterator[Part]:
    """The sound parts of a space; one that another ingest deletes meanwhile is left out. `names`: those listed."""
    names = list(store.list(folder_of(space))) if names is None else names
    store.bring(names)
    for name in names:
        try:
            content = store.map(name, fixed=True)
        except NotFoundError:
            continue
        if hashlib.sha256(content).hexdigest() == name.rsplit("/", 1)[1]:
            yield Part(name, content, space.dim)


def folder_of(space: Space) -> str:
    """The store's folder of the parts of a space, with a `/`."""
    return f"parts/{space.id}/"
