"""LlamaIndex: a vector store on a dataset, pinned to any version of it, and a retriever that cites.

    from vecver.integrations.llamaindex import VecverRetriever, VecverVectorStore

    docs = vecver.open("kb").dataset("handbook")                     # or vecver.connect(url, key).dataset("handbook")
    retriever = VecverRetriever(docs, ref="prod", similarity_top_k=5)  # vecver embeds the questions
    store = VecverVectorStore(docs, ref="2026-06")                   # or the index's own model does:
    index = VectorStoreIndex.from_vector_store(store, embed_model=model)

Importing this raises InvalidInputError where llama-index-core is missing, or newer than it was tested with.
"""

from vecver.integrations.frameworks import check_framework

check_framework("llamaindex")

from vecver.integrations.llamaindex.retriever import VecverRetriever  # noqa: E402
from vecver.integrations.llamaindex.store import VecverVectorStore  # noqa: E402

__all__ = ["VecverRetriever", "VecverVectorStore"]
