"""A RAG application in LlamaIndex that answers from two versions of the same documents. It runs offline.

    pip install 'vecver[llamaindex,embed]'
    python examples/llamaindex_rag.py "How do I let air out of a radiator?"

The query engine is LlamaIndex's own; its model, a mock, repeats the prompt. Put an LLM in its place. The retriever is
the only part that knows of vecver.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from llama_index.core import MockEmbedding, Settings
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

import vecver
from vecver.integrations.llamaindex import VecverRetriever


def engine_of(docs: vecver.Dataset | vecver.RemoteDataset, ref: str, k: int = 2) -> RetrieverQueryEngine:
    """Answers questions from the version `ref`."""
    retriever = VecverRetriever(docs, ref=ref, similarity_top_k=k)
    return RetrieverQueryEngine.from_args(retriever, llm=MockLLM())


def main(question: str) -> None:
    """Two versions of a handbook, and the same question to both."""
    Settings.embed_model, Settings.llm = MockEmbedding(1), MockLLM()  # nothing is asked of a service
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
                answer = engine_of(docs, ref, k=1).query(question)
                print(f"--- {ref}")
                for found in answer.source_nodes:
                    place = found.node.metadata["vecver"]
                    where = f"{place['document']} {place['span'][0]}-{place['span'][1]}, {place['commit'][:7]}"
                    print(f"[{where}] {found.node.get_content().strip()}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "How do I let air out of a radiator?")
