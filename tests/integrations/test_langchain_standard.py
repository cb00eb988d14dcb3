"""LangChain's own tests of vector stores and retrievers, unmodified, against a folder and a live service."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="no langchain-tests: install vecver[test-integrations]")
pytest.importorskip("langchain_core", reason="no langchain-core: install vecver[langchain]")

from langchain_core.documents import Document
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

import vecver
from vecver.integrations.langchain import VecverRetriever, VecverVectorStore

Docs = vecver.Dataset | vecver.RemoteDataset


class TestStoreOfTheCallersModel(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, docs: Docs) -> VecverVectorStore:
        return VecverVectorStore(docs, self.get_embeddings())


class TestStoreWhereVecverEmbeds(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, docs: Docs) -> VecverVectorStore:
        docs.upsert([{"id": "first", "text": "the version that names the embedder"}], embedder="hashing")
        docs.delete("first")
        return VecverVectorStore(docs)


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def filled(self, docs: Docs) -> None:
        docs.upsert([f"The pump of house {number} is red" for number in range(5)], embedder="hashing")
        self.docs = docs

    @property
    def retriever_constructor(self) -> type[VecverRetriever]:
        return VecverRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"dataset": self.docs, "k": 4}

    @property
    def retriever_query_example(self) -> str:
        return "Which pump is red?"


def test_the_retriever_of_a_store_passes_too(docs: Docs) -> None:
    docs.upsert([f"The pump of house {number} is red" for number in range(5)], embedder="hashing")
    found = VecverVectorStore(docs).as_retriever(search_kwargs={"k": 3}).invoke("Which pump is red?")
    assert len(found) == 3 and all(isinstance(document, Document) for document in found)
