"""Receipts: the record of an answer, from which it can be recomputed. Written here, proved by `replay`.

    {format, vecver, repository, dataset, revision, commit, content_root, vector_root, space, engine,
     query: {text, vector, digest}, k, filter, hits: [[key, digest of the text, score bits], ...], verified, digest}

`options` stands among them where the answer depends on more than that: `titles`, `offset`, `per_document`,
`min_score` and `diversity` (`Shape`), `like` (the document or chunk whose vector was asked with, and which the answer
leaves out) and `missing` ("empty": the filter names fields that no document has). An option that is not used is
absent, and so is `options` without one: such receipts have the bytes that they always had.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache

from vecver import index
from vecver.digest import digest_json
from vecver.model import Hit, Json, Vectors
from vecver.repo import Snapshot

RECEIPT_FORMAT = 1
ENGINES = ("exact", f"faiss {index.faiss.SPEC}", "milvus")  # as receipts name them


def receipt_of(
    repository: str,
    snapshot: Snapshot,
    at: str,
    engine: Json,
    text: str | None,
    vector: Vectors,
    k: int,
    filter: Json | None,
    options: Json,
    hits: Sequence[Hit],
) -> Json:
    """The receipt of an answer to one query, `vector` `(dim,)` float32 as it was searched with."""
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
        "query": {"text": text, **_vector_json(vector)},
        "k": k,
        "filter": filter,
        **({"options": options} if options else {}),
        "hits": signature(hits),
        "verified": snapshot.verified(),
    }
    return {**receipt, "digest": digest_json(receipt)}


def signature(hits: Sequence[Hit]) -> list[list[str]]:
    """What a receipt holds of the hits: key, digest of the text, score bits; best first."""
    return [[hit.key, hashlib.sha256(hit.text.encode()).hexdigest(), hit.score_bits] for hit in hits]


@cache
def version() -> str:
    """The vecver that answers."""
    from importlib import metadata

    return metadata.version("vecver")


def _vector_json(vector: Vectors) -> Json:
    """A query vector as a receipt holds it: its bits and their digest."""
    data = vector.astype("<f4").tobytes()
    return {"vector": base64.b64encode(data).decode(), "digest": hashlib.sha256(data).hexdigest()}
