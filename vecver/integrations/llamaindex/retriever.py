"""The retriever of LlamaIndex on a dataset: pinned, and each node says where it stands and at which commit."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import MetadataFilters

import vecver
from vecver.integrations.citations import CITATION, citation_of
from vecver.integrations.llamaindex.filters import where_of
from vecver.integrations.llamaindex.nodes import node_of_chunk
from vecver.integrations.models import query_of, space_of
from vecver.integrations.pinned import Dataset, Pinned


class VecverRetriever(BaseRetriever):
    """Retrieves the best `similarity_top_k` passages of the version `ref`.

    `node.metadata["vecver"]` says what a citation needs: document, span of characters, chunk key, commit and score, and
    title, headings, page, sheet and line where they are known. Neither models nor embedders get to see it.
    """

    def __init__(
        self,
        dataset: Dataset,
        embedding: Any = None,
        ref: str = "main",
        *,
        similarity_top_k: int = 2,
        filters: MetadataFilters | None = None,
        fingerprint: str | None = None,
        callback_manager: Any = None,
        **search: Any,
    ) -> None:
        """As `VecverVectorStore`; `search`: other options of `Dataset.search`. Raises InvalidInputError (`filters`)."""
        super().__init__(callback_manager=callback_manager)
        self._pinned = Pinned(dataset, ref)
        self._embedding, space = embedding, space_of(embedding, fingerprint)
        self._how: dict[str, Any] = {"k": similarity_top_k, "filter": where_of(filters), **search}
        if space is not None:
            self._how["space"] = space

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        answer = self._pinned.search(self._asked(query_bundle), **self._how)
        return [_cited(hit, answer) for hit in answer]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await to_thread(self._retrieve, query_bundle)

    def _asked(self, query: QueryBundle) -> Any:
        """A query as `Dataset.search` takes it: its vector, made here if the caller has a model; else its text."""
        vector = query.embedding
        if vector is None and self._embedding is not None and self._how.get("mode") != "keyword":
            vector = self._embedding.get_agg_embedding_from_queries(query.embedding_strs)
        return query_of(query.query_str, vector, self._how)


def _cited(hit: vecver.Hit, answer: vecver.Answer) -> NodeWithScore:
    node = node_of_chunk(hit)
    node.metadata[CITATION] = citation_of(hit, answer)
    node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, CITATION]
    node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, CITATION]
    return NodeWithScore(node=node, score=hit.score)
