"""Histories of measures: what is stored of many versions, never mixed with what was measured otherwise."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from handles import TEXTS
from helpers import SPACE, Ticking, open_on, records, vector_of

import vecver
from vecver.errors import InvalidInputError, NotFoundError
from vecver.flows.evaluating import histories
from vecver.store import LocalStore, MemoryStore

pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")


def question(text: str, **judged: Any) -> dict[str, Any]:
    return {"query": text, "vector": vector_of(text).tolist(), **judged}


QUESTIONS = [
    question("the text number 4", documents=["doc-4"]),  # gone in the second version
    question("the text number 7", documents=["doc-7"]),
    question("one more text", documents=["more"]),  # new in it
    question("the text number 5", documents={"doc-5": 1, "nowhere": 1}),
]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def docs(store: MemoryStore) -> vecver.Dataset:
    """Two versions; a question with a document's own text finds that document first."""
    docs = open_on(store, clock=Ticking()).dataset("d")
    docs.ingest(records(TEXTS), space=SPACE, message="first")
    later = {**TEXTS, "more": "one more text"}
    del later["doc-4"]
    docs.ingest(records(later), space=SPACE, message="second")
    docs.add_questions("support", QUESTIONS)
    return docs


def means_of(history: vecver.MeasureHistory, name: str) -> list[float | None]:
    return [version.measures[name].mean if name in version.measures else None for version in history]


def test_a_run_that_looks_deeper_takes_the_place_of_the_one_before(docs: vecver.Dataset) -> None:
    """The means of the first run, once kept, hid what the second one measured."""
    docs.eval(questions="support", measures=["R@1"])
    assert means_of(docs.measure_history(measures="R@1"), "R@1")[0] is not None
    deep = docs.eval(questions="support", measures=["R@9"]).measures["R@9"].mean
    assert means_of(docs.measure_history(measures="R@9"), "R@9") == [deep, None]


def test_a_search_by_words_and_vectors_is_not_shown_as_one_by_vectors(docs: vecver.Dataset) -> None:
    words = [{**each, "query": "more"} for each in QUESTIONS]
    docs.add_questions("words", words)
    dense = docs.eval(questions="words", measures=["R@1"]).measures["R@1"].mean
    hybrid = docs.eval(questions="words", measures=["R@1"], mode="hybrid").measures["R@1"].mean
    assert hybrid != dense
    assert means_of(docs.measure_history(measures="R@1", questions="words"), "R@1") == [dense, None]


def test_the_stored_values_of_each_version_newest_first(docs: vecver.Dataset) -> None:
    docs.promote("prod", "main~1")
    docs.tag("v1", "main~1")
    assert means_of(docs.measure_history(measures=["R@1"]), "R@1") == [None, None]  # nothing was measured
    docs.eval("main~1", questions="support")
    measured = docs.eval("main", questions="support")
    docs.recall("main~1", k=[1, 10])
    history = docs.measure_history(measures="R@1,Success@1,ann_recall@10")
    assert history.dataset == "d" and history.questions == docs.questions("support").summary()
    # R@1: in the first version 1, 1, 0 and 1/2 of the documents are found; in the second 0, 1, 1 and 1/2
    assert means_of(history, "R@1") == [2.5 / 4, 2.5 / 4] and means_of(history, "Success@1") == [3 / 4, 3 / 4]
    assert means_of(history, "ann_recall@10") == [None, 1.0]
    assert [version.commit for version in history] == [commit.id for commit in docs.log()]
    assert history.versions[1].refs == (("tag", "v1"), ("alias", "prod")) and history.versions[0].message == "second"
    usual = docs.measure_history(limit=1)
    assert usual.names == (*measured.measures, "ann_recall@10") and len(usual) == 1
    for name, mean in measured.measures.items():
        ((_, stored),) = usual.series(name)
        assert (stored.mean, stored.low, stored.high) == (mean.mean, mean.low, mean.high)
        assert stored.engine == "exact" and stored.time == measured.time
    with pytest.raises(KeyError):
        usual.series("P@1")


def test_recall_at_each_k_that_was_measured(docs: vecver.Dataset) -> None:
    measured = docs.recall("main", k=[3, 10])
    docs.recall("main~1", k=[5])
    history = docs.measure_history(measures=["ann_recall"])
    assert history.names == ("ann_recall@3", "ann_recall@5", "ann_recall@10") and history.questions is None
    stored = history.versions[0].measures["ann_recall@3"]
    assert (stored.mean, stored.p50_ms, stored.low) == (1.0, measured[3].p50_ms, None)
    assert stored.queries == 12 and stored.engine == "exact"


def test_values_of_other_questions_and_engines_are_not_mixed_in(docs: vecver.Dataset) -> None:
    docs.eval("main", questions="support")
    other = [question("the text number 7", documents=["doc-1"])]
    docs.eval("main", questions=other)
    assert means_of(docs.measure_history(measures="R@1", questions="support"), "R@1") == [2.5 / 4, None]
    assert means_of(docs.measure_history(measures="R@1", questions=other), "R@1") == [0.0, None]
    docs.add_questions("support", other)  # the name means other questions now
    assert means_of(docs.measure_history(measures="R@1", questions="support"), "R@1") == [0.0, None]
    assert means_of(docs.measure_history(measures="R@1", questions=QUESTIONS, exact=True), "R@1") == [2.5 / 4, None]
    assert means_of(docs.measure_history(measures="R@1", questions=QUESTIONS, engine="milvus"), "R@1") == [None, None]
    assert means_of(docs.measure_history(measures="AP@900", questions=QUESTIONS), "AP@900") == [
        None,
        None,
    ]  # not so deep


def test_means_are_kept_beside_their_run(docs: vecver.Dataset, store: MemoryStore) -> None:
    measured = docs.eval("main", questions="support")
    runs, kept = list(store.list("measures/"))[:1], list(store.list("measures/"))[1:]
    assert kept == [f"{runs[0]}-means"]
    run = store.get(runs[0])
    store.put(runs[0], b"{")  # only what `eval` kept is read
    default = docs.measure_history().versions[0].measures
    assert {name: each.mean for name, each in default.items()} == {n: m.mean for n, m in measured.measures.items()}
    store.put(runs[0], run)
    first = docs.measure_history(measures="R@1")
    assert json.loads(store.get(kept[0]).split(b"\n")[1])["measures"]["R@1"]["mean"] == 2.5 / 4
    store.put(runs[0], b"{")  # only the means are read
    assert docs.measure_history(measures="R@1") == first
    assert means_of(docs.measure_history(measures="R@2"), "R@2") == [None, None]  # the run is damaged, and not measured
    store.put(runs[0], run)
    store.put(kept[0], b"{}")
    assert docs.measure_history(measures="R@1") == first and json.loads(store.get(kept[0]).split(b"\n")[1])["measures"]
    assert docs.measures("main") == {} and docs.repository.check().clean
    assert docs.eval("main", questions="support").reused


def test_only_measures_without_a_mean_are_computed(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.eval("main", questions="support", measures=["R@1", "Success@1"])
    computed, values_of = list[str](), histories.values_of

    def counted(measures: Any, *rest: Any) -> Any:
        computed.extend(measure.name for measure in measures)
        return values_of(measures, *rest)

    monkeypatch.setattr(histories, "values_of", counted)
    both = docs.measure_history(measures="R@1,P@1,Success@1")
    assert means_of(both, "R@1")[0] == 2.5 / 4 and means_of(both, "P@1")[0] == 3 / 4
    assert computed == ["P@1"]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"measures": "nDGC@10"}, "unknown_measure"),
        ({"measures": []}, "unknown_measure"),
        ({"measures": 3}, "unknown_measure"),
        ({"measures": ["ann_recall@0"]}, "unknown_measure"),
        ({"measures": ["ann_recall10"]}, "unknown_measure"),
        ({"measures": ["R@10", 3]}, "unknown_measure"),
        ({"limit": 0}, "invalid_limit"),
        ({"engine": "solr"}, "unknown_engine"),
    ],
)
def test_what_cannot_be_shown_is_an_error(docs: vecver.Dataset, how: Any, code: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        docs.measure_history(**how)
    assert raised.value.code == code


def test_which_questions_are_meant(docs: vecver.Dataset) -> None:
    docs.add_questions("other", QUESTIONS[:1])
    for how in ({}, {"measures": "R@10"}):
        with pytest.raises(InvalidInputError, match="not clear by which") as raised:
            docs.measure_history(**how)  # type: ignore[arg-type]
        assert raised.value.code == "no_questions" and raised.value.context["question_sets"] == ["other", "support"]
    assert docs.measure_history(measures="ann_recall@10").questions is None
    with pytest.raises(NotFoundError):
        docs.measure_history(questions="no/such.jsonl")
    with pytest.raises(NotFoundError):
        docs.measure_history("nowhere", questions="support")
    for name in ("other", "support"):
        docs.remove_questions(name)
    assert docs.measure_history().names == ("ann_recall@10",)
    with pytest.raises(InvalidInputError, match="R@10 was measured by questions"):
        docs.measure_history(measures="R@10")


def test_what_was_read_is_read_again_once_something_is_stored(tmp_path: Path) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    docs.ingest(records(TEXTS), space=SPACE)
    docs.add_questions("support", QUESTIONS)
    folder = tmp_path / "kb" / "measures" / docs.resolve()
    assert means_of(docs.measure_history(measures="R@1"), "R@1") == [None]
    measured = docs.eval(questions="support", measures=["R@1"]).measures["R@1"].mean
    assert means_of(docs.measure_history(measures="R@1"), "R@1") == [measured]
    for run in folder.iterdir():
        run.unlink()
    os.utime(folder, (1, 1))
    assert means_of(docs.measure_history(measures="R@1"), "R@1") == [None]
    docs.eval(questions="support", measures=["R@1"])
    os.utime(folder, (2, 2))
    assert means_of(docs.measure_history(measures="R@1"), "R@1") == [measured]
    for run in folder.iterdir():
        run.unlink()
    os.utime(folder, (2, 2))
    assert means_of(docs.measure_history(measures="R@1"), "R@1") == [measured], "nothing was read"
