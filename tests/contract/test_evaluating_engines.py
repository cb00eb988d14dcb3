"""Evaluations, comparisons and gates through real engines: runs of one index are never taken for those of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import open_on, records, vector_of
from inside import versions_of
from milvus_datasets import TEXTS, opened

import vecver
from vecver import index
from vecver.errors import GateError, NotPublishedError
from vecver.store import MemoryStore

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

ROWS, DIM = 8_300, 32  # enough rows for an index
ASKED = [{"query": text, "vector": vector_of(text).tolist(), "documents": [id]} for id, text in TEXTS.items()]


def indexed() -> tuple[vecver.Dataset, list[dict[str, Any]]]:
    """A version under an index, and questions whose documents are the true best of vectors far from every row."""
    draw = np.random.default_rng(5)
    vectors = draw.standard_normal((ROWS, DIM)).astype(np.float32)
    docs = open_on(MemoryStore()).dataset("d")
    rows = [{"id": f"d{n:04}", "text": f"text {n}", "vector": vector} for n, vector in enumerate(vectors)]
    docs.ingest(rows, space="s", metric="cosine", label="rows")
    docs.optimize()
    queries = draw.standard_normal((40, DIM)).astype(np.float32)
    true = docs.search(list(queries), k=10, exact=True)
    asked = [
        {"vector": query.tolist(), "documents": [hit.document for hit in answer]}
        for query, answer in zip(queries, true, strict=True)
    ]
    return docs, asked


def test_runs_of_an_index_a_scan_and_another_calibration_are_never_mixed() -> None:
    docs, asked = indexed()
    through = docs.eval(questions=asked, measures="R@10")
    exact = docs.eval(questions=asked, measures="R@10", exact=True)
    assert (through.engine["name"], exact.engine["name"]) == ("faiss", "exact") and not exact.reused
    found = docs.recall(queries=[each["vector"] for each in asked], k=[10])[10].ann_recall
    assert exact["R@10"] == 1.0 and through["R@10"] == pytest.approx(found, abs=1e-9)  # the judged are the true ten
    assert docs.eval(questions=asked, measures="R@10").reused

    store = versions_of(docs).store
    for name in [name for name in store.list("segments/") if index.faiss.SPEC in name]:
        store.delete(name)
    again = open_on(store).dataset("d")
    missing = again.eval(questions=asked, measures="R@10")  # without an index every row is scanned
    assert missing.engine["name"] == "exact" and missing.reused and missing["R@10"] == 1.0
    again.optimize()  # builds the index anew
    built = again.eval(questions=asked, measures="R@10")
    assert built.engine["name"] == "faiss" and built["R@10"] == pytest.approx(found, abs=0.02)


def test_gates_look_through_the_index_that_is_there() -> None:
    docs, asked = indexed()
    docs.promote("prod", "main", gates=["ann_recall@10 >= 0.9", "R@10 >= 0.9"], questions=asked)
    docs.upsert([{"id": "new", "text": "new", "vector": vector_of("new", DIM)}])
    moved = docs.promote("prod", "main", gates=["R@10 >= prod - 0.02"], questions=asked)
    assert moved.gating and moved.gating["gates"][0]["bound"] <= 0.98 and moved.gating["gates"][0]["passed"]


def test_measures_through_milvus_are_those_of_its_publication(milvus: str) -> None:
    docs = opened(MemoryStore(), milvus).dataset("d")
    docs.ingest(records(TEXTS), space="test", metric="ip", label="rows")
    docs.tag("v1")
    docs.publish("v1")
    there, here = docs.eval("v1", questions=ASKED, engine="milvus"), docs.eval("v1", questions=ASKED)
    assert there.engine["name"] == "milvus" and not here.reused and there.measures == here.measures
    docs.ingest(records(dict(list(TEXTS.items())[:20])), space="test", metric="ip", label="rows", allow_removals=True)
    docs.promote("prod", "v1", gates=["R@10 >= 0.9"], questions=ASKED, engine="milvus")
    for refused in (
        lambda: docs.eval(questions=ASKED, engine="milvus"),
        lambda: docs.compare("v1", questions=ASKED, engine="milvus"),
        lambda: docs.promote("prod", "main", gates=["R@10 >= prod"], questions=ASKED, engine="milvus"),
    ):
        with pytest.raises(NotPublishedError) as raised:
            refused()
        assert "publish" in str(raised.value.hint)
    docs.publish("main")
    compared = docs.compare("v1", questions=ASKED, engine="milvus")
    assert compared.measures == docs.compare("v1", questions=ASKED).measures
    assert set(compared.whys) <= {"removed", "rival"} and compared.whys["removed"] > 0
    with pytest.raises(GateError) as failed:
        docs.promote("prod", "main", gates=["R@10 >= prod"], questions=ASKED, engine="milvus")
    assert failed.value.context["gates"][0]["value"] == pytest.approx(0.5, abs=0.01)
    assert docs.aliases() == {"prod": docs.resolve("v1")}
    assert docs.eval("v1", questions=ASKED, engine="milvus").reused  # a later publication changes nothing of v1
