"""Comparing: planted causes are named, measures stand side by side, the same versions have no difference."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers import DIM, SPACE, vector_of
from inside import versions_of

import vecver
from vecver.errors import VecverError
from vecver.model import Vectors

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

ROWS = 40


def near(query: Any, closeness: float, seed: str) -> Vectors:
    """A unit vector whose product with `query` falls with `closeness`; others of the same closeness differ."""
    other = vector_of(seed).astype(np.float64)
    other -= (other @ query) / (query @ query) * query
    vector = closeness * query / np.linalg.norm(query) + np.sqrt(1 - closeness**2) * other / np.linalg.norm(other)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


QUERY = vector_of("the question").astype(np.float64)


def rows(**changed: Any) -> list[dict[str, Any]]:
    """Forty documents, doc 00 nearest to the query; `changed`: id -> closeness, or None for one that is not there."""
    values = {f"doc{n:02}": 0.95 - 0.01 * n for n in range(ROWS)} | changed
    return [
        {"id": id, "text": f"{id} at {closeness}", "vector": near(QUERY, closeness, id)}
        for id, closeness in values.items()
        if closeness is not None
    ]


def ingest(docs: vecver.Dataset, *records: dict[str, Any], tag: str) -> None:
    docs.ingest(list(records), space=SPACE, metric="cosine", label="rows", allow_removals=True)
    docs.tag(tag)


def compared(docs: vecver.Dataset, **how: Any) -> vecver.Compared:
    asked = [{"query": "the question", "vector": QUERY.tolist()}]
    (each,) = docs.compare("a", "b", questions=how.pop("questions", asked), **how).per_question
    return each


def whys(changes: tuple[vecver.Change, ...]) -> dict[str, str]:
    return {change.document: change.why for change in changes}


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, *rows(), tag="a")
    return docs


def test_the_same_version_has_no_difference(docs: vecver.Dataset) -> None:
    docs.tag("b")
    each = compared(docs)
    assert each.rbo == pytest.approx(1.0) and each.changes == () and each.measures == {}


def test_a_new_document_is_added_and_what_it_pushes_out_has_a_rival(docs: vecver.Dataset) -> None:
    ingest(docs, *rows(new=0.945), tag="b")
    each = compared(docs)
    assert whys(each.entered) == {"new": "added"} and each.entered[0].rank == 2
    assert whys(each.left) == {"doc09": "rival"} and each.left[0].rank == 10
    assert set(whys(each.moved).values()) == {"rival"} and len(each.moved) == 8


def test_a_removed_document_is_removed_and_what_follows_has_a_rival(docs: vecver.Dataset) -> None:
    ingest(docs, *rows(doc04=None), tag="b")
    each = compared(docs)
    assert whys(each.left) == {"doc04": "removed"} and whys(each.entered) == {"doc10": "rival"}


@pytest.mark.parametrize(("id", "closeness"), [("doc03", 0.1), ("doc30", 0.94), ("doc05", 0.949)])
def test_an_edited_document_is_edited(docs: vecver.Dataset, id: str, closeness: float) -> None:
    ingest(docs, *rows(**{id: closeness}), tag="b")
    each = compared(docs)
    assert whys(each.changes)[id] == "edited"
    assert {why for document, why in whys(each.changes).items() if document != id} == {"rival"}


def test_an_edit_elsewhere_is_no_reason(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    extra = {"id": "doc09", "text": "more of nine", "vector": near(QUERY, 0.01, "x")}
    ingest(docs, *rows(), tag="a")
    changed = [row if row["id"] != "doc09" else {**row, "year": 2026} for row in rows(new=0.945)]
    ingest(docs, *changed, tag="b")
    assert extra["id"] == "doc09" and whys(compared(docs).left) == {"doc09": "rival"}


def test_an_edit_that_a_filter_sees_is_a_reason(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, *({**row, "year": 2025} for row in rows()), tag="a")
    ingest(docs, *({**row, "year": 2024 if row["id"] == "doc03" else 2025} for row in rows()), tag="b")
    asked = [{"query": "x", "vector": QUERY.tolist(), "filter": {"year": 2025}}]
    assert whys(compared(docs, questions=asked).left) == {"doc03": "edited"}


def test_another_embedder_is_the_reason(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, *rows(), tag="a")
    others = [{**row, "vector": near(QUERY, 0.02 * (n * 7 % ROWS), "b")} for n, row in enumerate(rows())]
    docs.ingest(others, space="another", metric="cosine", label="rows")
    docs.tag("b")
    each = compared(docs)
    assert each.changes and set(whys(each.changes).values()) == {"embedder"}


def test_text_that_was_cut_otherwise_is_the_reason(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    words = [f"word{n}" for n in range(400)]
    draw = np.random.default_rng(8)
    pages = [{"id": f"p{n:02}", "text": " ".join(draw.choice(words, 300)) + "."} for n in range(40)]
    for tag, tokens in (("a", 128), ("b", 48)):
        docs.ingest(pages, embedder="hashing", chunk_tokens=tokens, label="rows")
        docs.tag(tag)
    each = compared(docs, questions=["word3 word77 word200"])
    assert each.changes and {*whys(each.entered).values(), *whys(each.left).values()} == {"rechunked"}


def test_what_only_the_index_missed_is_approximation(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.upsert([{"id": "far", "text": "far away", "vector": near(QUERY, -0.5, "far")}])
    docs.tag("b")
    from vecver.flows.evaluating import runs

    def missing(versions: Any, dataset: str, commit: str, *rest: Any) -> Any:
        """An index that misses the third document in version a."""
        (ranking,) = search(versions, dataset, commit, *rest)
        if commit == docs.resolve("a"):
            wider = docs.search(QUERY.astype(np.float32), at="a", k=11, per_document=1)[10]
            extra = vecver.RankedDocument(wider.document, wider.key, wider.score_bits)
            ranking = (*ranking[:2], *ranking[3:], extra)
        return (ranking,)

    search = runs.rankings_of
    monkeypatch.setattr(runs, "rankings_of", missing)
    monkeypatch.setattr(runs, "engine_facts", lambda *_: {"name": "faiss", "indexes": "test"})
    each = compared(docs)
    assert whys(each.entered) == {"doc02": "approximation"} and whys(each.left) == {"doc10": "approximation"}
    assert set(whys(each.moved).values()) == {"approximation"}


def test_a_document_whose_better_chunk_the_index_missed_moved_for_approximation(
    repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs, draw = repository.dataset("d"), np.random.default_rng(8)
    pages = [{"id": f"p{n}", "text": " ".join(f"word{w}" for w in draw.integers(0, 400, 300))} for n in range(8)]
    for tag, more in (("a", []), ("b", [{"id": "other", "text": "nothing of it"}])):
        docs.ingest([*pages, *more], embedder="hashing", chunk_tokens=64, label="rows")
        docs.tag(tag)
    asked = "word3 word77 word200"
    first, *rest = docs.search(asked, at="a", k=100)
    missed = next(hit for hit in rest if hit.document == first.document)
    from vecver.flows.evaluating import runs

    def missing(versions: Any, dataset: str, commit: str, *how: Any) -> Any:
        """An index that misses the best chunk of all in version a, and finds the next one of its document."""
        (ranking,) = search(versions, dataset, commit, *how)
        lower = vecver.RankedDocument(missed.document, missed.key, missed.score_bits)
        return ((*ranking[1:], lower) if commit == docs.resolve("a") else ranking,)

    search = runs.rankings_of
    monkeypatch.setattr(runs, "rankings_of", missing)
    monkeypatch.setattr(runs, "engine_facts", lambda *_: {"name": "faiss", "indexes": "test"})
    assert whys(compared(docs, questions=[asked]).moved)[first.document] == "approximation"


def test_measures_stand_side_by_side(docs: vecver.Dataset) -> None:
    ingest(docs, *rows(doc00=0.1), tag="b")
    asked = [
        {"query": "one", "vector": QUERY.tolist(), "documents": ["doc00"], "not_documents": ["doc10"]},
        {"query": "two", "vector": QUERY.tolist(), "documents": ["doc05"]},
    ]
    comparison = docs.compare("a", "b", questions=asked)
    delta = comparison.measures["R@10"]
    assert (delta.before, delta.after, delta.delta) == (1.0, 0.5, -0.5)
    assert (delta.wins, delta.ties, delta.losses) == (0, 1, 1) and 0 < delta.p <= 1
    forbidden = comparison.measures["Forbidden@10"]
    assert (forbidden.before, forbidden.after, forbidden.wins, forbidden.losses) == (0.0, 1.0, 0, 1)
    assert comparison.per_question[0].measures["R@10"] == (1.0, 0.0)
    assert comparison.per_question[1].measures["RR@10"] == (pytest.approx(1 / 6), pytest.approx(1 / 5))
    assert comparison.whys["rival"] and comparison.whys["edited"] == 2
    again = vecver.Comparison.from_json(json.loads(json.dumps(comparison.to_json())))
    assert again == comparison


def test_bad_input_is_refused(docs: vecver.Dataset) -> None:
    docs.tag("b")
    for code, before, how in (
        ("no_judgments", "a", {"questions": ["x"], "measures": ["R@10"]}),
        ("revision_not_found", "nowhere", {"questions": [{"vector": [1.0] * DIM}]}),
        ("unknown_documents", "a", {"questions": [{"vector": [1.0] * DIM, "documents": ["lost"]}]}),
        ("questions_not_found", "a", {"questions": "support"}),
    ):
        with pytest.raises(VecverError) as raised:
            docs.compare(before, "b", **how)
        assert raised.value.code == code


def test_one_question_without_a_judgment_leaves_nothing_stored(docs: vecver.Dataset) -> None:
    """A page compares what a person asks; the rankings of every such question would pile up beside the versions."""
    ingest(docs, *rows(new=0.945), tag="b")
    store = versions_of(docs).store
    assert compared(docs).changes and not list(store.list("measures/"))
    asked = {"query": "the question", "vector": QUERY.tolist()}
    docs.compare("a", "b", questions=[asked, {**asked, "query": "another"}])
    assert len(list(store.list("measures/"))) == 2, "a list of questions is kept for both versions"
