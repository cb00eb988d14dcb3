"""Receipts: the record of an answer, from which it can be recomputed. Written here, proved by `replay`.

    {format, vecver, repository, dataset, revision, commit, content_root, vector_root, space, engine,
     query: {text, vector, digest}, k, filter, hits: [[key, digest of the text, score bits], ...], verified, digest}

`options` is there where the answer depends on more: `titles`, `offset`, `per_document`, `min_score` and `diversity`
(`Shape`), `like` (the document or chunk whose vector was the query; the answer leaves its chunks out) and `missing`
("empty": the filter names fields that no document has). Options that are not used are absent, and so is `options`
without any, so these receipts keep the bytes that they had before there were options.

`vector` says "given" where the caller gave the vector beside the text. Of an answer that a reranker ordered,
`options.rerank` says {top, model, fingerprint}, and `reranked` holds what it read, in the order before:
[[key, digest of the text, score bits, bits of the reranker's score], ...]. A vecver that does not know an option
refuses the receipt.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from vecver import index
from vecver.digest import digest_json

if TYPE_CHECKING:
    from vecver.model import Commit, Hit, Json, Vectors

RECEIPT_FORMAT = 1
ENGINES = ("exact", f"faiss {index.faiss.SPEC}", "milvus", "bm25")  # as receipts name them


@dataclass(frozen=True)
class Record:
    """What the receipts of all queries of a question share."""

    repository: str
    commit: Commit
    revision: str  # as the caller wrote it
    k: int
    filter: Json | None
    options: Json
    verified: str  # how the version's files were verified when it was searched


def receipt_of(
    record: Record, engine: Json, text: str | None, vector: Vectors, more: Json | None, hits: Sequence[Hit]
) -> Json:
    """The receipt of an answer to one query, `vector` `(dim,)` float32 as it was searched with.

    `more`: options of this query alone, and what its reranker read. It shares no part with other receipts, so that a
    caller may change it.
    """
    more = more or {}
    commit, options = record.commit, record.options | more.get("options", {})
    receipt = {
        "format": RECEIPT_FORMAT,
        "vecver": version(),
        "repository": record.repository,
        "dataset": commit.dataset,
        "revision": record.revision,
        "commit": commit.id,
        "content_root": commit.content_root,
        "vector_root": commit.vector_root,
        "space": commit.recipe.space.id,
        "engine": {**engine},
        "query": {"text": text, **_vector_json(vector)},
        "k": record.k,
        "filter": deepcopy(record.filter),
        **({"options": deepcopy(options)} if options else {}),
        **({"reranked": deepcopy(more["reranked"])} if "reranked" in more else {}),
        "hits": signature(hits),
        "verified": record.verified,
    }
    return {**receipt, "digest": digest_json(receipt)}


def signature(hits: Sequence[Hit]) -> list[list[str]]:
    """What a receipt holds of the hits: key, digest of the text, score bits; best first."""
    return [[hit.key, hashlib.sha256(hit.text.encode()).hexdigest(), hit.score_bits] for hit in hits]


@cache
def version() -> str:
    """The version of vecver that answers."""
    from importlib import metadata

    return metadata.version("vecver")


def _vector_json(vector: Vectors) -> Json:
    """A query vector as a receipt holds it: its bits and their digest."""
    data = vector.astype("<f4").tobytes()
    return {"vector": base64.b64encode(data).decode(), "digest": hashlib.sha256(data).hexdigest()}
