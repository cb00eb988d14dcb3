"""The retriever of LangChain on a dataset: pinned, and each passage says where it stands and at which commit."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

import vecver
from vecver.integrations.citations import CITATION, citation_of
from vecver.integrations.langchain.store import VecverVectorStore, document_of


class VecverRetriever(BaseRetriever):
    """Retrieves the best `k` passages of the version `ref`.

    `metadata["vecver"]` of each says what a citation needs: document, span of characters, chunk key, commit and score,
    and title, headings, page, sheet and line where they are known.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    dataset: Any  # vecver.Dataset or vecver.RemoteDataset
    embedding: Embeddings | None = None  # as `VecverVectorStore`
    ref: str = "main"
    k: int = 4
    filter: dict[str, Any] | None = None
    search_kwargs: dict[str, Any] = Field(default_factory=dict)  # other options of `Dataset.search`
    fingerprint: str | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        store = VecverVectorStore(self.dataset, self.embedding, self.ref, fingerprint=self.fingerprint)
        answer = store.answer(query, **{"k": self.k, "filter": self.filter, **self.search_kwargs, **kwargs})
        return [_cited(hit, answer) for hit in answer]


def _cited(hit: vecver.Hit, answer: vecver.Answer) -> Document:
    """A hit as a document that says where it stands."""
    document = document_of(hit)
    document.metadata[CITATION] = citation_of(hit, answer)
    return document
