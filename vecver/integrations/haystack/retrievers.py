"""The retrievers of Haystack's pipelines: by an embedding or a text, and by keywords."""

from __future__ import annotations

from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

import vecver
from vecver.integrations.haystack.store import VecverDocumentStore

Json = dict[str, Any]


class _Retriever:
    """What both share: the options of a call over those of the component."""

    def __init__(
        self,
        document_store: VecverDocumentStore,
        filters: Json | None = None,
        top_k: int = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        """`top_k`: passages, 1 or more. `filter_policy`: whether filters of a call replace these or join them.

        Raises InvalidInputError.
        """
        if not isinstance(document_store, VecverDocumentStore) or top_k < 1:
            raise vecver.InvalidInputError(
                f"a retriever takes a VecverDocumentStore and a top_k of 1 or more, not {top_k!r:.40}",
                code="invalid_retriever",
                hint="VecverEmbeddingRetriever(VecverDocumentStore(dataset), top_k=5)",
            )
        self.document_store, self.filters, self.top_k = document_store, filters, top_k
        policy = filter_policy
        self.filter_policy = policy if isinstance(policy, FilterPolicy) else FilterPolicy.from_str(policy)

    def to_dict(self) -> Json:
        """The component as pipelines save it."""
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
        )

    @classmethod
    def from_dict(cls, data: Json) -> Any:
        """The component that was saved."""
        values = dict(data["init_parameters"])
        values["document_store"] = VecverDocumentStore.from_dict(values["document_store"])
        return default_from_dict(cls, {**data, "init_parameters": values})

    def _options(self, filters: Json | None, top_k: int | None) -> Json:
        merged = apply_filter_policy(self.filter_policy, self.filters, filters)
        return {"filters": merged, "top_k": self.top_k if top_k is None else top_k}


@component
class VecverEmbeddingRetriever(_Retriever):
    """The passages whose vectors are nearest to an embedding, or to a text where vecver embeds."""

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float] | None = None,
        query: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """The best passages for an embedding or a text. Raises InvalidInputError, FilterError."""
        asked = _one_of(query_embedding, query)
        return {"documents": self.document_store.search(asked, **self._options(filters, top_k))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float] | None = None,
        query: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`, off the event loop."""
        asked = _one_of(query_embedding, query)
        return {"documents": await self.document_store.search_async(asked, **self._options(filters, top_k))}


@component
class VecverKeywordRetriever(_Retriever):
    """The passages whose words answer a text best: BM25 with the statistics of the version."""

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The best passages of the store's version for a text. Raises FilterError, and as `Dataset.search`."""
        return {"documents": self.document_store.search(query, mode="keyword", **self._options(filters, top_k))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`, off the event loop."""
        options = self._options(filters, top_k)
        return {"documents": await self.document_store.search_async(query, mode="keyword", **options)}


def _one_of(query_embedding: list[float] | None, query: str | None) -> Any:
    if (query_embedding is None) == (query is None):
        raise vecver.InvalidInputError(
            "a retriever takes an embedding or a text, and needs one of them",
            code="no_query",
            hint="connect an embedder to query_embedding, or give query where vecver embeds",
        )
    return query if query_embedding is None else query_embedding
