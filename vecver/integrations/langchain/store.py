"""The vector store of LangChain on a dataset. Every call makes one or two calls of the dataset's handle.

Decisions
1. A text that is added is a document of the dataset, under its id. Where vecver embeds, a long one is cut into several
   chunks, and a hit is the passage that answers; `get_by_ids` gives whole texts. Where the caller's model embeds, a
   text is one chunk.
2. The `id` of every hit is that of its document, so `get_by_ids` and `delete` take what a search gives.
3. Maximal marginal relevance is LangChain's own, over the `fetch_k` best hits with their stored vectors: `fetch_k` and
   `lambda_mult` mean what they mean there. `Dataset.search(diversity=)` has other candidates.
4. Relevance is the cosine, from 0 to 1, so that a threshold means what it means elsewhere. Other metrics are mapped to
   that range without changing the order.
5. The asynchronous methods of the base class run the synchronous ones in a thread. One of them called the dataset on
   the event loop itself, and is replaced.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

import vecver
from vecver.integrations.metadata import packed, unpacked
from vecver.integrations.models import query_of, space_of
from vecver.integrations.pinned import Dataset, Pinned


class VecverVectorStore(VectorStore):
    """A dataset as a vector store: reads the version `ref`, writes on `branch`.

    The methods for searching take the options of `Dataset.search` beside LangChain's own: `filter` in vecver's form,
    `exact`, `min_score`, `per_document`, `context` and so on.
    """

    def __init__(
        self,
        dataset: Dataset,
        embedding: Embeddings | None = None,
        ref: str = "main",
        branch: str = "main",
        *,
        fingerprint: str | None = None,
    ) -> None:
        """`dataset`: of `vecver.open(folder)` or `vecver.connect(url, key)`.

        `embedding`: the model that made the dataset's vectors; None: vecver embeds, with the embedder that the dataset
        names. `fingerprint`: the name of the model with its settings, by which the dataset knows whose vectors may be
        compared; by default its class and model name. `ref`: a branch, tag, alias, commit or any other revision.

        Raises InvalidInputError (`fingerprint`).
        """
        self._pinned = Pinned(dataset, ref, branch)
        self._embedding = embedding
        self._space = space_of(embedding, fingerprint)

    @property
    def embeddings(self) -> Embeddings | None:
        """The caller's model; None where vecver embeds."""
        return self._embedding

    # -- writing ------------------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        message: str = "",
        batch_size: int | None = None,
    ) -> list[str]:
        """Add texts, or replace those of the same ids, as one commit with `message`; returns their ids.

        A text without an id gets a random one. Of an id that comes twice the last text stays. `batch_size` is how many
        texts the caller has at once, as LangChain's `index` says it; all given here are one commit.

        Raises InvalidInputError (metadata or ids of another number, a text that cannot be used), ConflictError (the
        store is pinned), SpaceMismatchError (the model is not that of the dataset). After any failure nothing was
        written.
        """
        texts = list(texts)
        rows = [
            {"id": id or str(uuid4()), "text": text, "title": "", "metadata": packed(metadata or {})}
            for text, metadata, id in zip(
                texts, _as_many(metadatas, texts, "metadatas"), _as_many(ids, texts, "ids"), strict=True
            )
        ]
        model = self._embedding
        given = {"vectors": model.embed_documents(texts), "space": self._space} if model and texts else {}
        self._pinned.upsert(rows, message=message, **given)
        return [str(row["id"]) for row in rows]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Remove documents by their ids, or all, as one commit; ids that are not there are none to remove: True.

        Raises ConflictError (the store is pinned), TypeError (other options).
        """
        if kwargs:
            raise TypeError(f"delete takes ids alone, not {', '.join(kwargs)}")
        self._pinned.delete(ids)
        return True

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        dataset: Dataset | None = None,
        **options: Any,
    ) -> VecverVectorStore:
        """A store on `dataset` to which these texts were added. `options`: as `VecverVectorStore` takes them.

        Raises InvalidInputError (no dataset), and as `add_texts`.
        """
        if dataset is None:
            raise vecver.InvalidInputError(
                "nothing says in which dataset the texts are to be kept",
                code="no_dataset",
                hint='dataset=vecver.open("kb", create=True).dataset("notes")',
            )
        store = cls(dataset, embedding, **options)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    # -- reading ------------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The whole documents with these ids; those that the version does not hold are left out."""
        return [
            Document(id=document.id, page_content=document.text, metadata=unpacked(document.metadata))
            for document in self._pinned.get(ids)
        ]

    def similarity_search(self, query: str, k: int = 4, **how: Any) -> list[Document]:
        """The best `k` hits for a text. `how`: `filter`, and other options of `Dataset.search`. Raises as that."""
        return [document_of(hit) for hit in self.answer(query, k=k, **how)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **how: Any) -> list[Document]:
        """The best `k` hits for a vector."""
        return [document_of(hit) for hit in self._pinned.search(_vector(embedding), k=k, space=self._space, **how)]

    def similarity_search_with_score(self, query: str, k: int = 4, **how: Any) -> list[tuple[Document, float]]:
        """The best `k` hits, each with its score: higher is better, whatever the metric."""
        return [(document_of(hit), hit.score) for hit in self.answer(query, k=k, **how)]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **how: Any
    ) -> list[Document]:
        """`k` of the best `fetch_k` hits for a text that do not all say the same. `lambda_mult`: 1 is by score."""
        return _diverse(self.answer(query, k=max(k, fetch_k), vectors=True, **how), k, lambda_mult)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **how: Any
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector."""
        how |= {"k": max(k, fetch_k), "vectors": True, "space": self._space}
        return _diverse(self._pinned.search(_vector(embedding), **how), k, lambda_mult)

    def answer(self, query: str, **how: Any) -> vecver.Answer:
        """The answer of the dataset itself, with its receipt, to a text that this store's model embeds.

        Raises as `Dataset.search`, and NotFoundError (a pinned version that is not there).
        """
        if self._embedding is None or how.get("mode") == "keyword":
            return self._pinned.search(query, **how)
        asked = query_of(query, self._embedding.embed_query(query), how)
        return self._pinned.search(asked, space=self._space, **how)

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **how: Any
    ) -> list[tuple[Document, float]]:
        mode = how.get("mode", "dense")
        relevance = self._select_relevance_score_fn() if mode == "dense" else _RELEVANCE[mode]
        return [(document, relevance(score)) for document, score in self.similarity_search_with_score(query, k, **how)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        version = self._pinned.read()
        return _RELEVANCE[version.recipe.space.metric if version else "cosine"]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        return await run_in_executor(None, self._similarity_search_with_relevance_scores, query, k, **kwargs)


def document_of(hit: vecver.Hit) -> Document:
    """A hit as LangChain's document: the passage, with its neighbours if these were asked for."""
    text = hit.text if hit.context is None else hit.context
    return Document(id=hit.document, page_content=text, metadata=unpacked(hit.metadata))


# metric, or mode of search -> what makes its score a number from 0 to 1
_RELEVANCE: dict[str, Callable[[float], float]] = {
    "cosine": lambda score: min(max(score, 0.0), 1.0),
    "ip": lambda score: (1 + math.tanh(score / 2)) / 2,
    "l2": lambda score: 1 / (1 + max(-score, 0.0)),  # the score is minus the squared distance
    "keyword": lambda score: score / (1 + score),
    "hybrid": lambda score: min(max(score, 0.0), 1.0),
}


def _diverse(answer: vecver.Answer, k: int, lambda_mult: float) -> list[Document]:
    if not answer:
        return []
    if not answer.receipt["query"].get("vector"):
        raise vecver.InvalidInputError(
            "maximal marginal relevance needs the query's vector, and a search by keywords has none",
            code="invalid_mode",
            hint='use mode="dense" or "hybrid"',
        )
    query = np.frombuffer(base64.b64decode(answer.receipt["query"]["vector"]), "<f4")
    vectors = [hit.vector for hit in answer]
    return [document_of(answer[row]) for row in maximal_marginal_relevance(query, vectors, lambda_mult, k)]


def _vector(numbers: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.asarray(numbers, np.float32)


def _as_many(values: Sequence[Any] | None, texts: Sequence[str], name: str) -> Sequence[Any]:
    """The values, one a text; None for each text if there are none. Raises InvalidInputError (another number)."""
    if not values:
        return [None] * len(texts)
    if len(values) != len(texts):
        raise vecver.InvalidInputError(
            f"{len(texts)} texts came with {len(values)} {name}: nothing was written",
            code="invalid_rows",
            hint=f"give one of {name} for each text, in their order",
        )
    return values
