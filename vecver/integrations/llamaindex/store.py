"""The vector store of LlamaIndex on a dataset. Every call makes one or two calls of the dataset's handle.

Decisions
1. A node is a document of the dataset, under its id. The vectors are those that its index made; where a dataset embeds
   by itself, nodes are added without, and questions are asked as text: `is_embedding_query` is False then.
2. The base class runs asynchronous methods on the event loop. Here each runs in a thread.
3. `mmr_threshold` is LlamaIndex's lambda: 1 is by score alone. The candidates are those of
   `Dataset.search(diversity=)`.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Sequence
from typing import Any, Final

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

import vecver
from vecver.integrations.llamaindex.filters import Where, joined, where_of
from vecver.integrations.llamaindex.nodes import NODE, SOURCE, node_of_chunk, nodes_of, row_of
from vecver.integrations.models import query_of, space_of
from vecver.integrations.pinned import Dataset, Pinned

SPACE: Final = "llamaindex"  # of the vectors that nodes bring, where nobody names their model
_MODES: Final = {  # -> the mode of `Dataset.search`
    VectorStoreQueryMode.DEFAULT: "dense",
    VectorStoreQueryMode.MMR: "dense",
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SPARSE: "keyword",
    VectorStoreQueryMode.TEXT_SEARCH: "keyword",
}


class VecverVectorStore(BasePydanticVectorStore):
    """A dataset as a vector store: reads the version `ref`, writes on `branch`."""

    stores_text: bool = True
    ref: str = "main"
    branch: str = "main"
    _pinned: Pinned = PrivateAttr()
    _embedding: Any = PrivateAttr()
    _space: str | None = PrivateAttr()

    def __init__(
        self,
        dataset: Dataset,
        embedding: Any = None,
        ref: str = "main",
        branch: str = "main",
        *,
        fingerprint: str | None = None,
    ) -> None:
        """`dataset`: of `vecver.open(folder)` or `vecver.connect(url, key)`.

        `embedding`: the model of nodes and queries that bring no vector; None: vecver embeds those. `fingerprint`: the
        name of the model with its settings, by which the dataset knows whose vectors may be compared; by default the
        class and model name of `embedding`, else "llamaindex". `ref`: a branch, tag, alias, commit or any revision.

        Raises InvalidInputError (`fingerprint`), NotFoundError (a pinned version that is not there).
        """
        super().__init__(ref=ref, branch=branch)
        self._pinned = Pinned(dataset, ref, branch)
        self._embedding = embedding
        self._space = space_of(embedding, fingerprint)
        self._look(self._pinned.read())

    @classmethod
    def class_name(cls) -> str:
        """The name of this class, as LlamaIndex writes it."""
        return "VecverVectorStore"

    @property
    def client(self) -> Dataset:
        """The dataset's handle."""
        return self._pinned.dataset

    # -- writing ------------------------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], *, message: str = "", **kwargs: Any) -> list[str]:
        """Add nodes, or replace those of the same ids, as one commit with `message`; returns their ids.

        Raises InvalidInputError (nodes with and without vectors, a node without text), ConflictError (the store is
        pinned), SpaceMismatchError (the vectors are not of the dataset's model). After any failure nothing was written.
        """
        _refuse(kwargs, "add")
        self._pinned.upsert([row_of(node) for node in nodes], message=message, **self._vectors(nodes))
        self._look(self._pinned.head())
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Remove the nodes of a source document, or the document itself if it was ingested, as one commit."""
        _refuse(delete_kwargs, "delete")
        ingested = {"$and": [{"$document": ref_doc_id}, {NODE: {"$exists": False}}]}
        self._remove({"$or": [{SOURCE: ref_doc_id}, ingested]}, otherwise={"$document": ref_doc_id})

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Remove the nodes that have one of these ids and match the filters, as one commit; one of the two is given.

        Raises InvalidInputError (neither; a field that no node has), ConflictError (the store is pinned).
        """
        _refuse(delete_kwargs, "delete_nodes")
        if node_ids is not None and filters is None:
            self._pinned.delete(node_ids)
            return
        where = joined(where_of(filters), _among(node_ids))
        if where is None:
            raise vecver.InvalidInputError(
                "nothing says which nodes: nothing was deleted",
                code="no_documents_named",
                hint="give node_ids or filters; clear() removes all",
            )
        self._pinned.delete(where=where)

    def clear(self) -> None:
        """Remove all nodes, as one commit; earlier versions keep them. Raises ConflictError (the store is pinned)."""
        self._pinned.delete()

    def _remove(self, where: Where, otherwise: Where) -> None:
        """Delete what matches; `otherwise` where no document has the fields of `where`."""
        try:
            self._pinned.delete(where=where)
        except vecver.InvalidInputError as error:
            if error.code != "unknown_field":
                raise
            self._pinned.delete(where=otherwise)

    def _vectors(self, nodes: Sequence[BaseNode]) -> dict[str, Any]:
        """The vectors of nodes and their space, as `upsert` takes them; nothing where vecver embeds."""
        vectors = [node.embedding for node in nodes]
        missing = sum(vector is None for vector in vectors)
        if missing and self._embedding is not None:
            texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
            vectors, missing = self._embedding.get_text_embedding_batch(texts), 0
        if not missing and nodes:
            return {"vectors": vectors, "space": self._space or (None if self._pinned.head() else SPACE)}
        if missing < len(nodes):
            raise vecver.InvalidInputError(
                f"{missing} of {len(nodes)} nodes bring no vector: nothing was written",
                code="invalid_vectors",
                hint="give each node its embedding, or the store its model: VecverVectorStore(dataset, model)",
            )
        return {}

    # -- reading ------------------------------------------------------------------------------------

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes that have one of these ids and match the filters, by id; of ingested files, a node a chunk."""
        fields = None if filters is None else self._pinned.fields()
        documents = self._pinned.matching(joined(where_of(filters, fields), _among(node_ids)))
        return [node for document in documents for node in nodes_of(document)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes that answer a query, best first, each with its score: higher is better.

        `kwargs`: options of `Dataset.search`, and `mmr_threshold` for the mode "mmr". Raises InvalidInputError (a mode
        or filter that a dataset does not have, nothing to ask), and as `Dataset.search`.
        """
        of_any = None  # an index sends [] for any document or node
        if query.doc_ids:
            of_any = {"$or": [{SOURCE: {"$in": list(query.doc_ids)}}, {"$document": {"$in": list(query.doc_ids)}}]}
        where = joined(where_of(query.filters), _among(query.node_ids or None), of_any)
        how = {**self._how(query, kwargs), **kwargs}
        answer = self._pinned.search(self._asked(query, how), filter=where, **how)
        nodes = [node_of_chunk(hit) for hit in answer]
        return VectorStoreQueryResult(
            nodes=nodes, similarities=[hit.score for hit in answer], ids=[node.node_id for node in nodes]
        )

    def _how(self, query: VectorStoreQuery, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The options of `Dataset.search` that a query's mode means; takes `mmr_threshold` out of `kwargs`."""
        threshold = kwargs.pop("mmr_threshold", query.mmr_threshold)
        if query.mode not in _MODES:
            raise vecver.InvalidInputError(
                f"the mode {query.mode.value!r} cannot be asked of a dataset",
                code="invalid_mode",
                hint=f"use one of {', '.join(mode.value for mode in _MODES)}",
            )
        mode, how = _MODES[query.mode], dict[str, Any](k=query.similarity_top_k)
        if mode == "hybrid":
            how |= {"k": query.hybrid_top_k or query.similarity_top_k, "weight": query.alpha}
        if mode != "dense":
            how["mode"] = mode
        if query.mode == VectorStoreQueryMode.MMR:
            how["diversity"] = 1 - (0.5 if threshold is None else threshold)
        return how if self._space is None or mode == "keyword" else {**how, "space": self._space}

    def _asked(self, query: VectorStoreQuery, how: dict[str, Any]) -> Any:
        """The query as `Dataset.search` takes it: its vector where nodes brought theirs, else its text."""
        vector, text = query.query_embedding if self.is_embedding_query else None, query.query_str
        if vector is None and text is not None and self._embedding is not None and how.get("mode") != "keyword":
            vector = self._embedding.get_query_embedding(text)
        return query_of(text, vector, how)

    def _look(self, version: vecver.Commit | None) -> None:
        """Note whether the dataset embeds by itself, by a version of it; without any, the nodes bring vectors."""
        self.is_embedding_query = version is None or version.recipe.space.embedder.startswith("given:")

    # -- on threads ---------------------------------------------------------------------------------

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`, in a thread."""
        return await to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`, in a thread."""
        await to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As `delete_nodes`, in a thread."""
        await to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`, in a thread."""
        await to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`, in a thread."""
        return await to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`, in a thread."""
        return await to_thread(self.query, query, **kwargs)


def _among(ids: Sequence[str] | None) -> Where | None:
    return None if ids is None else {"$document": {"$in": list(ids)}}


def _refuse(options: dict[str, Any], method: str) -> None:
    if options:
        raise TypeError(f"{method} has no option {', '.join(options)}")
