"""A RAG application in LangChain that answers from two versions of the same documents. It runs offline.

    pip install 'vecver[langchain,embed]'
    python examples/langchain_rag.py "How do I let air out of a radiator?"

The chain is what a program would have: retriever, prompt, model, parser. The model here only repeats the passages that
it is given; put a chat model in its place. The retriever is the only part that knows of vecver.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

import vecver
from vecver.integrations.langchain import VecverRetriever

PROMPT = ChatPromptTemplate.from_template("Answer from these passages:\n\n{passages}\n\nQuestion: {question}")
MODEL: Runnable = RunnableLambda(lambda prompt: prompt.to_string().split("\n\n", 1)[1].rpartition("\n\n")[0])


def cited(documents: list[Document]) -> str:
    """The passages, each under the place that it was taken from."""
    lines = []
    for document in documents:
        place = document.metadata["vecver"]
        where = f"{place['document']} {place['span'][0]}-{place['span'][1]}, {place['commit'][:7]}"
        lines.append(f"[{where}] {document.page_content.strip()}")
    return "\n".join(lines)


def chain_of(docs: vecver.Dataset | vecver.RemoteDataset, ref: str, k: int = 2) -> Runnable:
    """A question -> its answer from the version `ref`."""
    retriever = VecverRetriever(dataset=docs, ref=ref, k=k)
    return {"passages": retriever | cited, "question": RunnablePassthrough()} | PROMPT | MODEL | StrOutputParser()


def main(question: str) -> None:
    """Two versions of a handbook, and the same question to both."""
    with tempfile.TemporaryDirectory() as folder:
        handbook = Path(folder, "handbook")
        shutil.copytree(Path(__file__).parent / "handbook", handbook)
        with vecver.open(Path(folder, "kb"), create=True) as repository:
            docs = repository.dataset("handbook")
            docs.ingest(handbook, message="June handbook")
            docs.tag("2026-06")
            heating = handbook / "heating.md"
            heating.write_text(heating.read_text("utf-8").replace("a quarter to the left", "half a turn"), "utf-8")
            docs.ingest(handbook, message="July handbook")
            for ref in ("2026-06", "main"):
                print(f"--- {ref}\n{chain_of(docs, ref, k=1).invoke(question)}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "How do I let air out of a radiator?")
