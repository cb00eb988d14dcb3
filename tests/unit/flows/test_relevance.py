"""Relevance: measures are those of `ir_measures` on the exported files, runs are kept and never mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import DIM, SPACE, ingest, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import InvalidInputError, NotFoundError, VecverError
from vecver.flows.evaluating.measures import measures_of, values_of
from vecver.model import JudgedQuestion, RankedDocument

ir_measures = pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")

TEXTS = {f"doc {i:02}": f"the text number {i}" for i in range(40)}
ASKED = ["nDCG@10", "R@5", "RR@10", "Success@5", "P@3", "AP@20"]


def question(text: str, **judged: Any) -> dict[str, Any]:
    return {"query": text, "vector": vector_of(text).tolist(), **judged}


QUESTIONS = [
    question("the text number 3", documents=["doc 03"], tags=["found"]),
    question("something else", documents={"doc 01": 1, "doc 02": 3, "doc 07": 0}, tags=["found", "hard"]),
    question("nowhere", documents=["doc 39", "gone"], not_documents=["doc 05"]),
    question("the text number 9", contains="TEXT  number 9", tags=["text"]),
    question("not judged"),
]


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    return docs


def by_library(measured: vecver.Evaluation, folder: Path) -> dict[str, float]:
    """The means that `ir_measures` computes from the exported files."""
    (folder / "run").write_text(measured.run_text(), "utf-8")
    (folder / "qrels").write_text(measured.qrels_text(), "utf-8")
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels")))
    run = list(ir_measures.read_trec_run(str(folder / "run")))
    names = [name for name in measured.measures if not name.startswith("Forbidden")]
    return {str(m): v for m, v in ir_measures.calc_aggregate(map(ir_measures.parse_measure, names), qrels, run).items()}


def test_measures_are_those_of_the_library_on_the_exported_files(docs: vecver.Dataset, tmp_path: Path) -> None:
    measured = docs.eval(questions=QUESTIONS, measures=[*ASKED, "Forbidden@10"])
    expected = by_library(measured, tmp_path)
    assert set(expected) == set(ASKED)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=1e-9) and 0 <= value <= 1
        assert measured.measures[name].low <= measured[name] <= measured.measures[name].high
    assert measured.skipped == {"unknown_documents": 1, "unjudged_questions": 1}
    assert measured.questions["judged"] == 4 and measured.questions["name"] == ""


def test_a_sentence_is_found_whatever_the_chunk(docs: vecver.Dataset) -> None:
    measured = docs.eval(questions=[QUESTIONS[3]], measures=["RR@10", "R@10"])
    assert (measured["RR@10"], measured["R@10"]) == (1.0, 1.0)
    assert measured.per_question[0].ranking[0].contains == (0,)


def test_what_must_not_come_back_is_counted(docs: vecver.Dataset) -> None:
    first = docs.search(vector_of("nowhere"), k=1)[0]
    banned = [question("nowhere", not_documents=[first.document]), question("nowhere", not_contains="never written")]
    measured = docs.eval(questions=banned)
    misspelt = docs.eval(questions=[*banned, question("x", not_documents=["dok 1"])])
    assert (measured.skipped, misspelt.skipped) == ({}, {"unknown_not_documents": 1})
    assert list(measured.measures) == ["Forbidden@10"] and measured["Forbidden@10"] == 0.5


WORDS = "red green blue cyan pink gold"


@pytest.fixture
def paged(repository: vecver.Repository) -> vecver.Dataset:
    """Document a answers with two chunks before b does with one; only a's second chunk holds "old grey"."""
    docs = repository.dataset("pages")
    texts = {
        "a": f"{WORDS}.\n\n{WORDS} old grey.\n\n",
        "b": f"{WORDS} and some four others",
        "c": "nothing of all that",
    }
    records = [{"id": id, "text": text} for id, text in texts.items()]
    docs.ingest(records, embedder="hashing", chunk_tokens=10, label="pages")
    return docs


def test_texts_are_forbidden_in_hits_while_documents_are_folded(paged: vecver.Dataset) -> None:
    hits = paged.search(WORDS, k=3)
    assert [(hit.document, "old grey" in hit.text) for hit in hits] == [("a", False), ("a", True), ("b", False)]
    asked = [{"query": WORDS, "documents": ["b"], "not_contains": " OLD  grey"}]
    measured = paged.eval(questions=asked, measures=["R@2", "RR@10", "Forbidden@1", "Forbidden@2"])
    assert measured["R@2"] == 1.0 and measured["RR@10"] == 0.5  # of documents: a, b
    assert measured["Forbidden@1"] == 0.0 and measured["Forbidden@2"] == 1.0  # of hits: the second one of a
    ranking = measured.per_question[0].ranking
    assert [(each.document, each.is_forbidden) for each in ranking] == [("a", True), ("b", False), ("c", False)]
    again = paged.eval(questions=asked, measures=["R@2", "RR@10", "Forbidden@1", "Forbidden@2"])
    assert again.reused and again.measures == measured.measures


def test_a_history_counts_forbidden_texts_as_eval_does(paged: vecver.Dataset) -> None:
    asked = [{"query": WORDS, "documents": ["b"], "not_contains": "old grey"}]
    paged.eval(questions=asked, measures=["RR@10"])
    (version,) = paged.measure_history(questions=asked, measures="Forbidden@1,Forbidden@2")
    measured = paged.eval(questions=asked, measures=["Forbidden@1", "Forbidden@2"])
    assert measured.reused
    assert {name: each.mean for name, each in version.measures.items()} == {"Forbidden@1": 0.0, "Forbidden@2": 1.0}
    assert (measured["Forbidden@1"], measured["Forbidden@2"]) == (0.0, 1.0)


def test_a_run_of_hits_from_an_older_vecver_is_searched_again(paged: vecver.Dataset) -> None:
    asked = [{"query": WORDS, "documents": ["b"], "not_contains": "old grey"}]
    first, store = paged.eval(questions=asked), versions_of(paged).store
    kind, _ = repo.measures.kinds(store, paged.resolve())  # and its means
    run = repo.measures.load(store, paged.resolve(), kind)
    assert run.pop("forbidden") == {"0": 2}
    repo.measures.save(store, paged.resolve(), kind, run)
    again = paged.eval(questions=asked)
    assert not again.reused and again.measures == first.measures


def test_every_question_and_tag_is_told(docs: vecver.Dataset) -> None:
    measured = docs.eval(questions=QUESTIONS)
    values = [each.measures.get("nDCG@10") for each in measured.per_question]
    assert values[4] is None and measured["nDCG@10"] == pytest.approx(np.mean([v for v in values if v is not None]))
    assert {tag: each["count"] for tag, each in measured.tags.items()} == {"found": 2, "hard": 1, "text": 1}
    assert measured.tags["hard"]["measures"]["nDCG@10"] == pytest.approx(values[1])
    again = vecver.Evaluation.from_json(json.loads(json.dumps(measured.to_json())))
    assert again == measured and again.run_text() == measured.run_text()


def test_a_run_is_read_again_and_other_measures_are_computed_from_it(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs.add_questions("support", QUESTIONS)
    first = docs.eval(questions="support")
    commit = docs.resolve()
    monkeypatch.setattr("vecver.flows.evaluating.runs.search", None)  # whoever searches now fails
    second = docs.eval(questions="support", measures=["nDCG@10", "P@3"])
    assert not first.reused and second.reused and second["nDCG@10"] == first["nDCG@10"]
    assert docs.resolve() == commit and second.time == first.time
    assert docs.eval(questions=QUESTIONS).reused  # the digest counts, not the name
    with pytest.raises(TypeError):  # deeper than what is stored
        docs.eval(questions="support", measures=["R@20"])


def test_measures_of_a_changed_set_are_never_mixed(docs: vecver.Dataset) -> None:
    docs.add_questions("support", QUESTIONS[:2])
    first = docs.eval(questions="support")
    docs.add_questions("support", [*QUESTIONS[:1], question("something else", documents=["doc 30"])])
    second = docs.eval(questions="support")
    assert not second.reused and second.questions["digest"] != first.questions["digest"]
    docs.add_questions("support", QUESTIONS[:2])
    assert docs.eval(questions="support").reused


def test_a_stored_set_takes_other_judgments(docs: vecver.Dataset, tmp_path: Path) -> None:
    docs.add_questions("support", [question("the text number 3"), question("the text number 5")])
    (tmp_path / "qrels.tsv").write_text("1\tdoc 03\t1\n", "utf-8")
    measured = docs.eval(questions="support", qrels=tmp_path / "qrels.tsv")
    assert measured["RR@10"] == 1.0 and measured.questions["name"] == ""
    assert measured.questions["digest"] != docs.questions("support").digest


def test_a_filter_of_a_question_is_obeyed(repository: vecver.Repository) -> None:
    docs = repository.dataset("filtered")
    rows = [
        {"id": id, "text": text, "vector": vector_of(text), "year": i % 2} for i, (id, text) in enumerate(TEXTS.items())
    ]
    docs.ingest(rows, space=SPACE, metric="ip")
    asked = [question("the text number 3", documents=["doc 03"], filter={"year": year}) for year in (0, 1)]
    measured = docs.eval(questions=asked, measures=["R@10"])
    assert [each.measures["R@10"] for each in measured.per_question] == [0.0, 1.0]


def test_hits_are_folded_to_documents_by_their_best_chunk(docs: vecver.Dataset) -> None:
    measured = docs.eval(questions=QUESTIONS, measures=["R@20"])
    for each, value in zip(measured.per_question, QUESTIONS, strict=True):
        if not each.question.judges_texts:
            hits = docs.search(np.array(value["vector"], np.float32), k=20, per_document=1)
            assert [(one.document, one.key) for one in each.ranking] == [(hit.document, hit.key) for hit in hits]


def test_a_damaged_run_is_searched_again(docs: vecver.Dataset) -> None:
    store = versions_of(docs).store
    first = docs.eval(questions=QUESTIONS)
    name, means = [name for name in store.list("measures/") if "eval-" in name]
    assert means == f"{name}-means"
    store.put(name, b"nonsense")
    assert any(problem.object == name for problem in docs.repository.check().problems)
    second = docs.eval(questions=QUESTIONS)
    assert not second.reused and second.measures == first.measures
    assert docs.repository.check().clean


def test_bad_input_is_refused(docs: vecver.Dataset, repository: vecver.Repository) -> None:
    def refused(code: str, at: str = "main", **how: Any) -> VecverError:
        with pytest.raises(VecverError) as raised:
            docs.eval(at, **how)
        assert raised.value.code == code and raised.value.hint
        return raised.value

    refused("unknown_measure", questions=QUESTIONS, measures=["nDGC@10"])
    assert "nDCG@10" in refused("unknown_measure", questions=QUESTIONS, measures="ndcg@10").hint
    for name in ("", "nDCG@0", "nDCG@x", "R@5000", "__import__('os')", "nDCG@10 + 1", "R" * 5000):
        assert isinstance(refused("unknown_measure", questions=QUESTIONS, measures=[name]), InvalidInputError)
    refused("unknown_measure", questions=QUESTIONS, measures=[])
    refused("no_judgments", questions=["only a text"])
    assert (
        "'other 1'" in refused("unknown_documents", questions=[question("x", documents=["other 1", "other 2"])]).message
    )
    refused("wrong_dimension", questions=[{"vector": [1.0] * (DIM + 1), "documents": ["doc 01"]}])
    refused("unknown_field", questions=[question("x", documents=["doc 01"], filter={"nothing": 1})])
    assert isinstance(refused("questions_not_found", questions="supprt"), NotFoundError)
    refused("questions_file_not_found", questions="no/such.jsonl")
    refused("revision_not_found", at="v9", questions=QUESTIONS)


IDS = st.sampled_from([f"d{n}" for n in range(8)])
RANKED = st.lists(IDS, unique=True, max_size=8)


@settings(max_examples=150)
@given(st.lists(st.tuples(RANKED, st.dictionaries(IDS, st.integers(0, 3), max_size=5)), min_size=1, max_size=5))
def test_values_are_those_of_the_library(asked: list[tuple[list[str], dict[str, int]]]) -> None:
    questions = [JudgedQuestion(str(n), "q", documents=judged) for n, (_, judged) in enumerate(asked)]
    rankings = [[RankedDocument(name, name, "0" * 16) for name in ranking] for ranking, _ in asked]
    wanted = measures_of(["nDCG@5", "R@3", "RR@10", "AP"], None)  # type: ignore[arg-type]
    values = values_of(wanted, questions, rankings)
    for measure in wanted:
        for row, (ranking, judged) in enumerate(asked):
            if not any(judged.values()):
                assert np.isnan(values[measure.name][row])
                continue
            run = {"q": {name: 100.0 - place for place, name in enumerate(ranking)}}
            (result,) = ir_measures.iter_calc([measure.library], {"q": judged}, run)
            assert values[measure.name][row] == pytest.approx(result.value, abs=1e-9)


def test_scores_that_are_equal_keep_their_order_in_a_run() -> None:
    import struct

    bits = struct.pack(">d", 1e300).hex(), struct.pack(">d", 0.0).hex(), struct.pack(">d", -1e300).hex()
    ranking = tuple(RankedDocument(f"d{n}", "k", bits[n // 3]) for n in range(9))
    each = vecver.Evaluated(JudgedQuestion("a b", "q", documents={"d1": 1}), {}, ranking)
    text = vecver.Evaluation("d", "c", {"name": "", "judged": 1}, {}, {}, (each,)).run_text()
    scores = [float(line.split()[4]) for line in text.splitlines()]
    assert len(scores) == 9 and scores == sorted(scores, reverse=True)
    assert len(set(np.array(scores[:6], np.float32).tolist())) == 6
    assert text.startswith("a%20b Q0 d0 1 ")


def test_measures_that_are_no_names_are_refused(docs: vecver.Dataset) -> None:
    with pytest.raises(InvalidInputError) as raised:
        docs.eval(questions=QUESTIONS, measures=3)  # type: ignore[arg-type]
    assert raised.value.code == "unknown_measure"


@pytest.mark.parametrize("name", ["ERR@10", "Judged@10", "infAP"])
def test_names_with_spaces_and_empty_rankings_have_every_measure(name: str) -> None:
    """ERR writes files for another program, Judged@10 divides by the number of places."""
    if name == "ERR@10" and shutil.which("perl") is None:
        pytest.skip("no perl")
    hits = [RankedDocument(document, f"{n:032x}", "") for n, document in enumerate(("a b", "c\n1 0 d 1", "e"))]
    asked = [JudgedQuestion("1", "x", None, {"a b": 1}), JudgedQuestion("2", "y", None, {"e": 1})]
    values = values_of(measures_of([name], vecver.QuestionSet("", tuple(asked))), asked, [hits, []])
    assert values[name][0] > 0.05 and values[name][1] == 0
