"""Question sets and evaluations: the local and the remote handle give the same values and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from handles import Docs, Repo, filled, served
from helpers import vector_of

import vecver
from vecver.errors import AccessError, VecverError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")
pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")


def question(text: str, **judged: Any) -> dict[str, Any]:
    return {"query": text, "vector": vector_of(text).tolist(), **judged}


QUESTIONS = [
    question("the text number 5", documents=["doc-5"], tags=["easy"]),
    question("another", documents={"doc-3": 2, "doc-4": 1}, filter={"year": 2025}),
    question("the text number 7", contains="number 7", not_documents="doc-1"),
]


def test_values_are_the_same(both: dict[str, Repo]) -> None:
    filled(both["local"])
    local, remote = both["local"].dataset("d"), both["remote"].dataset("d")
    added = remote.add_questions("support", QUESTIONS)
    assert local.questions("support") == remote.questions("support") == added
    assert local.question_sets() == remote.question_sets() == {"support": added.digest}
    assert remote.add_questions("support", QUESTIONS) == local.add_questions("support", QUESTIONS)
    first = remote.eval(questions="support")
    assert not first.reused and local.eval(questions="support").to_json() == {**first.to_json(), "reused": True}
    for how in ({"exact": True}, {"measures": "P@3,RR@10"}, {"at": "main~1", "measures": ["R@5"]}):
        values = [docs.eval(questions="support", **how).to_json() for docs in (local, remote)]
        assert {**values[0], "reused": True} == values[1]
    assert local.eval(questions=QUESTIONS) == remote.eval(questions=QUESTIONS)
    assert remote.remove_questions("support") == added.digest and local.question_sets() == {}


ERRORS: list[tuple[Callable[[Docs], Any], str]] = [
    (lambda docs: docs.questions("support"), "questions_not_found"),
    (lambda docs: docs.remove_questions("support"), "questions_not_found"),
    (lambda docs: docs.questions("a b"), "invalid_name"),
    (lambda docs: docs.add_questions("a b", QUESTIONS), "invalid_name"),
    (lambda docs: docs.add_questions("x", [*QUESTIONS, {"documents": ["a"]}]), "invalid_questions"),
    (lambda docs: docs.add_questions("x", "no/such.jsonl"), "questions_file_not_found"),
    (lambda docs: docs.eval(questions="no/such.jsonl"), "questions_file_not_found"),
    (lambda docs: docs.eval("nowhere", questions=QUESTIONS), "revision_not_found"),
    (lambda docs: docs.eval(questions=QUESTIONS, measures=["ndcg@10"]), "unknown_measure"),
    (lambda docs: docs.eval(questions=QUESTIONS[:1], engine="solr"), "unknown_engine"),  # type: ignore[arg-type]
    (lambda docs: docs.eval(questions=QUESTIONS, engine="milvus"), "not_published"),
    (lambda docs: docs.eval(questions=[question("x", documents=["nothing"])]), "unknown_documents"),
    (lambda docs: docs.eval(questions=["a text"]), "no_judgments"),
]


@pytest.mark.parametrize(("ask", "code"), ERRORS)
def test_errors_are_the_same(both: dict[str, Repo], ask: Callable[[Docs], Any], code: str) -> None:
    filled(both["local"])
    errors = []
    for repository in both.values():
        with pytest.raises(VecverError) as raised:
            ask(repository.dataset("d"))
        errors.append((type(raised.value), raised.value.code, raised.value.message))
    assert errors[0] == errors[1] and errors[0][1] == code


def test_a_name_is_never_a_path_of_the_service(both: dict[str, Repo], tmp_path: Path, monkeypatch: Any) -> None:
    filled(both["local"])
    (tmp_path / "secret").write_text(json.dumps(QUESTIONS[0]), "utf-8")
    monkeypatch.chdir(tmp_path)
    remote = both["remote"].dataset("d")
    with pytest.raises(VecverError) as raised:
        remote._wire.ask("/v1/datasets/d/eval", {"questions": "secret"})  # type: ignore[union-attr]
    assert raised.value.code == "questions_not_found"


def test_a_reader_measures_and_changes_no_set(tmp_path: Path) -> None:
    from vecver_service.state.keys import Keys

    docs = filled(vecver.open(tmp_path / "kb", create=True))
    docs.add_questions("support", QUESTIONS)
    with served(tmp_path, max_questions=3) as (url, admin):
        _, key = Keys(tmp_path / "state" / "service.sqlite").add("bob", ["d:read"])
        with vecver.connect(url, key) as reader:
            assert reader.dataset("d").eval(questions="support")["R@10"] > 0
            for refused in (
                lambda: reader.dataset("d").add_questions("x", QUESTIONS),
                lambda: reader.dataset("d").remove_questions("support"),
            ):
                with pytest.raises(AccessError):
                    refused()
        with vecver.connect(url, admin) as repository, pytest.raises(VecverError) as raised:
            repository.dataset("d").add_questions("many", [*QUESTIONS, question("one more")])
        assert raised.value.code == "limit"


def test_measure_histories_are_the_same(both: dict[str, Repo]) -> None:
    filled(both["local"])
    local, remote = both["local"].dataset("d"), both["remote"].dataset("d")
    local.add_questions("support", QUESTIONS)
    local.eval("main~1", questions="support")
    assert isinstance(local, vecver.Dataset)
    local.recall("main", k=[1, 10])
    for how in (
        {},
        {"measures": "R@10,P@1,ann_recall", "limit": 1},
        {"measures": ["ann_recall@10"], "at": "main~1"},
        {"measures": ["R@5"], "questions": QUESTIONS, "exact": True},
    ):
        here, there = (docs.measure_history(**how) for docs in (local, remote))
        assert here == there and here.versions and here.to_json() == there.to_json()
    for wrong, code in (
        ({"measures": ["ann_recall@x"]}, "unknown_measure"),
        ({"questions": "nope"}, "questions_not_found"),
        ({"at": "nowhere"}, "revision_not_found"),
        ({"limit": 0}, "invalid_limit"),
    ):
        for docs in (local, remote):
            with pytest.raises(VecverError) as raised:
                docs.measure_history(**wrong)
            assert raised.value.code == code


def test_modes_are_the_same(both: dict[str, Repo]) -> None:
    filled(both["local"])
    local, remote = both["local"].dataset("d"), both["remote"].dataset("d")
    assert isinstance(local, vecver.Dataset)
    local.add_questions("support", QUESTIONS)
    modes: list[dict[str, Any]] = [{"mode": "keyword"}, {"mode": "hybrid", "weight": 0.3}]
    for how in (*modes, {"mode": "hybrid", "fusion": "rrf"}):
        local.eval("main~1", questions="support", **how)
        here, there = (docs.measure_history(measures="R@5", questions="support", **how) for docs in (local, remote))
        assert here == there and here.versions[1].measures["R@5"].engine in ("bm25", "exact")
        kept = remote.set_policy("prod", ["R@5 >= 0"], questions="support", **how)
        assert kept == local.policy("prod") == remote.policies()["prod"] and kept.mode == how["mode"]
        move = remote.promote("prod", gates=["P@1 >= 0"], questions="support", **how)
        assert move.gating is not None and move.gating["engine"]["mode"] == how["mode"]
        assert [gate["mode"] for gate in move.gating["gates"]] == [how["mode"]] * 2
        found: dict[str, Any] = {"query": "the text number 5", "expect": "doc-5", "k": 1}
        if how["mode"] == "hybrid":
            found["query"] = {"text": "the text number 5", "vector": vector_of("the text number 5")}
        for docs in (local, remote):
            with pytest.raises(VecverError) as raised:
                docs.bisect("main~1", **found, **how)
            assert raised.value.code == "bad_version"
        local.recall("main", k=[1], queries=[found["query"]], **how)
    assert remote.measures() == local.measures() and remote.measures("main~1") == {}
    assert list(remote.measures()) == ["recall-hybrid-convex-0.3", "recall-hybrid-rrf", "recall-keyword"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"mode": "words"}, "invalid_mode"),
        ({"mode": "hybrid", "weight": 2}, "invalid_weight"),
        ({"mode": "keyword", "engine": "milvus"}, "conflicting_options"),
    ]
    for how, code in wrong:
        for docs in (local, remote):
            with pytest.raises(VecverError) as raised:
                docs.eval(questions="support", **how)
            assert raised.value.code == code
    for docs in (local, remote):
        with pytest.raises(VecverError) as raised:
            docs.promote("prod", mode="keyword")
        assert raised.value.code == "conflicting_options"
        with pytest.raises(VecverError) as raised:
            docs.set_policy("prod", approval=True, mode="keyword")
        assert raised.value.code == "conflicting_options"
