"""Haystack's own tests of a document store, on a folder and on a service.

Two things are told to them by the hook that they have for it: documents come sorted by their ids, and embeddings are
kept as float32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("haystack", reason="no haystack: install vecver[haystack]")

from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing.document_store import CountDocumentsByFilterTest, DocumentStoreBaseExtendedTests
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
)

from vecver.integrations.haystack import VecverDocumentStore


class OnVecver:
    """The store under test."""

    @pytest.fixture
    def document_store(self, docs: Any) -> VecverDocumentStore:
        return VecverDocumentStore(docs, embedding_dim=768)

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        assert [each.id for each in received] == sorted(each.id for each in received)
        assert received == sorted(map(stored, expected), key=lambda each: each.id)


def stored(document: Document) -> Document:
    """The document with its embedding as float32."""
    if document.embedding is None:
        return document
    return replace(document, embedding=np.array(document.embedding, np.float32).tolist())


class TestStore(OnVecver, DocumentStoreBaseExtendedTests, CountDocumentsByFilterTest):
    """The synchronous calls."""

    def test_write_documents(self, document_store: Any) -> None:
        """Haystack leaves this one to each store: without a policy, a document that is there is an error."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestAsync(
    OnVecver,
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
):
    """The asynchronous calls."""

    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: Any) -> None:
        """Haystack leaves this one to each store too."""
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])
