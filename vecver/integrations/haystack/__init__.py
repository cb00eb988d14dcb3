"""Haystack: a document store on a dataset, pinned to any version of it, with an embedding and a keyword retriever.

    from vecver.integrations.haystack import VecverDocumentStore, VecverEmbeddingRetriever

    docs = vecver.open("kb").dataset("handbook")            # or vecver.connect(url, key).dataset("handbook")
    store = VecverDocumentStore(docs, ref="prod")
    pipeline.add_component("retriever", VecverEmbeddingRetriever(store, top_k=5))

Importing this raises InvalidInputError where haystack-ai is missing, or newer than it was tested with.
"""

from vecver.integrations.frameworks import check_framework

check_framework("haystack")

from vecver.integrations.haystack.retrievers import VecverEmbeddingRetriever, VecverKeywordRetriever  # noqa: E402
from vecver.integrations.haystack.store import VecverDocumentStore  # noqa: E402

__all__ = ["VecverDocumentStore", "VecverEmbeddingRetriever", "VecverKeywordRetriever"]
