"""LangChain: a vector store on a dataset, pinned to any version of it, and a retriever that cites.

    from vecver.integrations.langchain import VecverRetriever, VecverVectorStore

    docs = vecver.open("kb").dataset("handbook")                      # or vecver.connect(url, key).dataset("handbook")
    retriever = VecverRetriever(dataset=docs, ref="prod", k=5)        # vecver embeds the questions
    store = VecverVectorStore(docs, OpenAIEmbeddings(), ref="2026-06")  # or your own model does

Importing this raises InvalidInputError where langchain-core is missing, or newer than it was tested with.
"""

from vecver.integrations.frameworks import check_framework

check_framework("langchain")

from vecver.integrations.langchain.retriever import VecverRetriever  # noqa: E402
from vecver.integrations.langchain.store import VecverVectorStore  # noqa: E402

__all__ = ["VecverRetriever", "VecverVectorStore"]
