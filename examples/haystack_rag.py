"""A Haystack pipeline pinned to a version, and a run of MLflow that says which one it was. Needs no network.

pip install 'vecver[embed,haystack,mlflow]' sqlalchemy alembic
python examples/haystack_rag.py "How do I let air out of a radiator?"
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import mlflow
from haystack import Pipeline

import vecver
from vecver.integrations.haystack import VecverDocumentStore, VecverEmbeddingRetriever
from vecver.integrations.mlflow import log_input

HANDBOOK = Path(__file__).parent / "handbook"


def main(folder: str, question: str) -> None:
    docs = vecver.open(Path(folder) / "kb", create=True).dataset("handbook")
    docs.ingest(HANDBOOK, message="The handbook")
    docs.promote("prod")
    docs.upsert([{"id": "rumour.md", "text": "To let air out of a radiator, call the caretaker."}])
    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs.db")
    for ref in ("prod", "main"):
        pipeline = Pipeline()
        pipeline.add_component("retriever", VecverEmbeddingRetriever(VecverDocumentStore(docs, ref=ref), top_k=2))
        with mlflow.start_run():
            logged = log_input(docs, at=ref)
            found = pipeline.run({"retriever": {"query": question}})["retriever"]["documents"]
        print(f"{logged.name} is {logged.digest[:12]}")
        for passage in found:
            place = passage.meta["vecver"]
            print(f"  {passage.id} [{place['start']}:{place['end']}] {' '.join(passage.content.split())[:60]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder, " ".join(sys.argv[1:]) or "How do I let air out of a radiator?")
