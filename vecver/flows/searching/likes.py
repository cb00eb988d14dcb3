"""More like this: a stored document or chunk is the query, and its own chunks are left out of the answer.

Decisions
1. The query of a document is the mean of its chunks' vectors (its title's too), normalised as the metric needs. One
   vector has a receipt like every vector query. One search for each chunk would take as many searches as the document
   has chunks, and would find whatever resembles any paragraph of it, a licence or a greeting too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecver import index
from vecver.errors import InvalidInputError
from vecver.flows.searching import selections
from vecver.flows.searching.selections import Selection
from vecver.flows.unknown_documents import unknown_documents
from vecver.model import Json, Vectors
from vecver.repo import Snapshot

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Like:
    """A stored document or chunk of a version, as a query."""

    vector: Vectors  # (dim,) float32, normalised
    keys: npt.NDArray[np.uint8]  # of its own chunks, (n, 16)
    name: Json  # {"document": id} or {"chunk": key}, for the receipt

    def left_out(self, snapshot: Snapshot, selection: Selection | None) -> Selection | None:
        """The selection (None: all chunks) without its own chunks."""
        return selections.leaving_out(snapshot, selection, self.keys)


def find_like(snapshot: Snapshot, name: str) -> Like:
    """The document of this id, else the chunk of this key.

    Raises NotFoundError (neither is in the version), InvalidInputError (a document without chunks).
    """
    document = snapshot.document(name)
    if document is not None:
        table, row = document
        keys = np.frombuffer(b"".join(table.column("chunks")[row].as_py()), np.uint8).reshape(-1, 16)
        if not len(keys):
            raise InvalidInputError(
                f"the document {name!r} has no text, so nothing can be like it",
                code="empty_document",
                hint="name a document with text",
                document=name,
            )
        return _like(snapshot, keys, {"document": name})
    keys = np.frombuffer(bytes.fromhex(name) if _KEY.fullmatch(name) else b"", np.uint8).reshape(-1, 16)
    if not len(keys) or (snapshot.find_chunks(keys)[0] < 0).any():
        raise unknown_documents(snapshot, [name])
    return _like(snapshot, keys, {"chunk": name})


def _like(snapshot: Snapshot, keys: npt.NDArray[np.uint8], name: Json) -> Like:
    vectors = snapshot.vectors_at(*snapshot.find_chunks(keys))
    if len(vectors) > 1:
        mean = vectors.astype(np.float64).sum(axis=0) / len(vectors)  # row after row: the same bits on every machine
        vectors = index.normalised(mean.astype(np.float32)[None, :], snapshot.commit.recipe.space.metric)
    return Like(vectors[0], keys, name)
