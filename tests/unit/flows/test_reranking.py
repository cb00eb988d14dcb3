"""A reranker orders the best hits anew; both scores stay, pages join, failures are told, and a receipt proves it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rerank_server
from helpers import ingest, open_on, vector_of

import vecver
from vecver.digest import digest_json
from vecver.errors import BackendError, InvalidInputError
from vecver.model import Json
from vecver.store import MemoryStore

TEXTS = {f"{i}.md": "pump " * (1 + (7 * i) % 20) for i in range(20)}  # the texts' lengths are all different
QUESTION = "which pump?"


@pytest.fixture(scope="module")
def server() -> Iterator[rerank_server.Server]:
    with rerank_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def repository() -> vecver.Repository:
    repository = open_on(MemoryStore())
    rows = [{"id": id, "text": text} for id, text in TEXTS.items()]
    repository.dataset("d").ingest(rows, embedder="hashing", chunker="whole")
    ingest(repository.dataset("given"), TEXTS)
    return repository


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def by(server: rerank_server.Server, **how: Any) -> vecver.Reranker:
    return vecver.Reranker(f"tei:{server.url}", **how)


def replayed(repository: vecver.Repository, receipt: Json, **changes: Any) -> vecver.Replay:
    """The replay of a receipt with other fields, under a digest that fits them."""
    changed = {**copy.deepcopy(receipt), **changes}
    changed["digest"] = digest_json({name: value for name, value in changed.items() if name != "digest"})
    return vecver.replay(repository, json.loads(json.dumps(changed)))


def test_the_top_is_ordered_by_the_reranker_and_the_rest_stays(
    docs: vecver.Dataset, server: rerank_server.Server
) -> None:
    before = docs.search(QUESTION, k=20)
    after = docs.search(QUESTION, k=20, reranker=by(server), rerank_top=5)
    best = sorted(before[:5], key=lambda hit: len(hit.text))  # the stub scores 1 / (1 + length)
    assert [hit.document for hit in after] == [hit.document for hit in best] + [hit.document for hit in before[5:]]
    assert [hit.rank for hit in after] == list(range(1, 21))
    for hit in after[:5]:
        assert hit.reranked == vecver.Reranked(
            1 / (1 + len(hit.text)), before=before.hits.index(_like(before, hit)) + 1
        )
        assert hit.score_bits == _like(before, hit).score_bits
    assert all(hit.reranked is None for hit in after[5:]) and all(hit.reranked is None for hit in before)
    assert server.requests[-1]["query"] == QUESTION and server.requests[-1]["texts"] == [hit.text for hit in before[:5]]


def _like(answer: vecver.Answer, hit: vecver.Hit) -> vecver.Hit:
    return next(each for each in answer if each.key == hit.key)


def test_pages_join_whatever_their_size(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    whole = [hit.key for hit in docs.search(QUESTION, k=20, reranker=by(server), rerank_top=7)]
    for size in (1, 3, 10):
        pages = [
            docs.search(QUESTION, k=size, offset=offset, reranker=by(server), rerank_top=7)
            for offset in range(0, 20, size)
        ]
        assert [hit.key for page in pages for hit in page] == whole
        assert all(replayed(docs.repository, page.receipt).identical for page in pages)


def test_the_receipt_proves_the_search_and_the_order(
    repository: vecver.Repository, docs: vecver.Dataset, server: rerank_server.Server
) -> None:
    receipt = docs.search(QUESTION, k=3, offset=1, reranker=by(server), rerank_top=6).receipt
    rerank = receipt["options"]["rerank"]
    assert (rerank["top"], rerank["model"]) == (6, f"tei:{server.url}") and len(rerank["fingerprint"]) == 32
    assert len(receipt["reranked"]) == 6
    outcome = replayed(repository, receipt)
    assert outcome.identical and "was not run again" in outcome.notes[-1]
    hits, read = receipt["hits"], receipt["reranked"]
    swapped = [hits[1], hits[0], *hits[2:]]
    assert "do not give the order" in replayed(repository, receipt, hits=swapped).differences[0]
    other = [[*entry[:2], "3fe0000000000000", entry[3]] for entry in read]
    assert not replayed(repository, receipt, reranked=other).identical
    assert not replayed(repository, receipt, reranked=read[:5]).identical
    for bad in (None, 3, [hits[0]], [[*entry[:3], "7ff8000000000000"] for entry in read]):
        with pytest.raises(InvalidInputError):
            replayed(repository, receipt, reranked=bad)
    with pytest.raises(InvalidInputError):
        replayed(repository, receipt, options={})


def test_a_receipt_holds_no_more_hits_than_its_page(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    receipt = docs.search(QUESTION, k=3, offset=1, reranker=by(server), rerank_top=6).receipt
    hits = receipt["hits"]
    for more in ([*hits, hits[0]], [*hits, ["0" * 32, "0" * 64, "3fe0000000000000"]]):
        assert not replayed(docs.repository, receipt, hits=more).identical


def test_a_receipt_says_how_many_hits_the_reranker_read(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    receipt = docs.search(QUESTION, k=8, reranker=by(server), rerank_top=4).receipt
    for top in (3, 5, 6):
        rerank = {**receipt["options"]["rerank"], "top": top}
        assert not replayed(docs.repository, receipt, options={**receipt["options"], "rerank": rerank}).identical


def test_the_rules_before_it_apply_first(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    least = docs.search(QUESTION, k=4)[3].score
    answer = docs.search(QUESTION, k=20, reranker=by(server), min_score=least, per_document=1)
    assert len(answer) == 4 and all(hit.reranked and hit.score >= least for hit in answer)
    assert replayed(docs.repository, answer.receipt).identical
    filtered = docs.search(QUESTION, reranker=by(server), filter={"$document": "3.md"}, context=1)
    assert [hit.document for hit in filtered] == ["3.md"]
    nothing = docs.search(QUESTION, reranker=by(server), filter={"$document": "none"})
    assert len(nothing) == 0 and replayed(docs.repository, nothing.receipt).identical


def test_hits_keep_what_the_reranker_said_on_every_way(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    answer = docs.search(QUESTION, k=2, reranker=by(server))
    assert vecver.Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer
    first = answer[0].reranked
    assert first and answer.to_json()["hits"][0]["reranked"] == {"score": first.score, "before": first.before}
    assert answer[0].to_row()["reranked_before"] == first.before
    plain = docs.search(QUESTION, k=2)
    assert "reranked" not in plain[0].to_json() and "notes" not in plain.to_json()


def test_a_batch_asks_once_a_query(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    server.requests.clear()
    answers = docs.search([QUESTION, "a valve"], k=2, reranker=by(server), rerank_top=4)
    assert [body["query"] for body in server.requests] == [QUESTION, "a valve"]
    assert [hit.key for hit in answers[0]] == [
        hit.key for hit in docs.search(QUESTION, k=2, reranker=by(server), rerank_top=4)
    ]


@pytest.mark.parametrize("failure", [(500, {}), (200, [{"index": 0, "score": float("nan")}])])
def test_a_failure_is_an_error_or_the_order_before_with_a_note(
    docs: vecver.Dataset, server: rerank_server.Server, failure: tuple[int, Any]
) -> None:
    server.script.append(failure)
    with pytest.raises(BackendError):
        docs.search(QUESTION, reranker=by(server))
    server.script.append(failure)
    server.requests.clear()
    kept = docs.search([QUESTION, "a valve"], k=3, offset=1, reranker=by(server, on_failure="keep"))
    plain = docs.search([QUESTION, "a valve"], k=3, offset=1)
    assert len(server.requests) == 1  # the second query is not sent to an endpoint that has just failed
    for answer, other in zip(kept, plain, strict=True):
        assert answer.hits == other.hits and answer.receipt == other.receipt
        (note,) = answer.notes
        assert note.startswith("the hits were not reranked: ") and server.url in note
        assert vecver.Answer.from_json(answer.to_json()).notes == answer.notes


def test_a_slow_reranker_is_given_up(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    server.script.append(0.05)
    kept = docs.search(QUESTION, k=3, reranker=by(server, timeout=0.2, on_failure="keep"))
    assert "in time" in kept.notes[0] and len(kept) == 3


def test_a_given_vector_needs_its_text(repository: vecver.Repository, server: rerank_server.Server) -> None:
    docs, vector = repository.dataset("given"), vector_of("a question")
    with pytest.raises(InvalidInputError) as caught:
        docs.search(vector, reranker=by(server))
    assert caught.value.code == "needs_text"
    answer = docs.search({"text": QUESTION, "vector": vector}, k=4, reranker=by(server))
    assert sorted(hit.key for hit in answer) != [] and answer[0].reranked
    assert answer.receipt["query"]["text"] == QUESTION
    assert (
        np.frombuffer(__import__("base64").b64decode(answer.receipt["query"]["vector"]), "<f4").tolist()
        == vector.tolist()
    )
    outcome = replayed(repository, answer.receipt)
    assert outcome.identical and any("given beside its text" in note for note in outcome.notes)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"reranker": 3}, "invalid_reranker"),
        ({"reranker": vecver.Reranker("m", timeout=0)}, "invalid_reranker"),
        ({"reranker": vecver.Reranker("m", timeout=float("nan"))}, "invalid_reranker"),
        ({"reranker": vecver.Reranker("m", on_failure="hope")}, "invalid_reranker"),  # type: ignore[arg-type]
        ({"reranker": "tei:"}, "bad_reranker_url"),
        ({"rerank_top": 5}, "conflicting_options"),
        ({"reranker": "m", "rerank_top": 0}, "invalid_rerank_top"),
        ({"reranker": "m", "rerank_top": True}, "invalid_rerank_top"),
        ({"reranker": "m", "rerank_top": 10**9}, "invalid_rerank_top"),
        ({"reranker": "m", "diversity": 0.5}, "conflicting_options"),
    ],
)
def test_what_cannot_be_reranked_is_refused(docs: vecver.Dataset, how: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        docs.search(QUESTION, **how)
    assert caught.value.code == code and caught.value.hint


def test_what_is_like_a_document_has_no_text(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    with pytest.raises(InvalidInputError, match="no text"):
        docs.more_like("3.md", reranker=by(server))


def test_a_key_is_nowhere_in_an_answer(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    answer = docs.search(QUESTION, reranker=by(server, api_key="very-secret"))
    assert server.keys[-1] == "Bearer very-secret" and "very-secret" not in json.dumps(answer.to_json()) + repr(answer)


# -- measures --------------------------------------------------------------------------------------


def raised_by(docs: vecver.Dataset, server: rerank_server.Server) -> str:
    """The document that the reranker puts highest of those that stood lower before."""
    hows: tuple[dict[str, Any], ...] = ({}, {"reranker": by(server), "rerank_top": 20})
    before, after = ([hit.document for hit in docs.search(QUESTION, k=20, mode="keyword", **how)] for how in hows)
    return next(name for rank, name in enumerate(after) if rank < before.index(name))


def test_relevance_with_a_reranker_is_kept_under_its_fingerprint(
    docs: vecver.Dataset, server: rerank_server.Server
) -> None:
    pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")
    first = raised_by(docs, server)
    judged = [{"query": QUESTION, "documents": [first]}, {"query": "one more pump", "documents": [first]}]
    docs.add_questions("judged", judged)
    how: dict[str, Any] = {"questions": "judged", "measures": "RR@20", "mode": "keyword"}
    plain = docs.eval(**how)
    reranked = docs.eval(**how, reranker=by(server), rerank_top=20)
    assert reranked["RR@20"] > plain["RR@20"] and not reranked.reused
    assert reranked.engine["rerank"]["top"] == 20 and len(reranked.engine["rerank"]["fingerprint"]) == 32
    asked = len(server.requests)
    assert docs.eval(**how, reranker=by(server), rerank_top=20).reused and len(server.requests) == asked
    assert docs.eval(**how)["RR@20"] == plain["RR@20"], "the run without it is its own"
    assert not docs.eval(**how, reranker=by(server), rerank_top=5).reused

    def mean(**more: Any) -> float | None:
        (version,) = docs.measure_history(**how, **more)
        return version.measures["RR@20"].mean if version.measures else None

    assert mean() == plain["RR@20"] and mean(reranker=by(server), rerank_top=20) == reranked["RR@20"]
    assert mean(reranker=by(server)) is mean(reranker="tei:http://127.0.0.1:1/rerank", rerank_top=20) is None
    compared = docs.compare("main", "main", questions="judged", mode="keyword", reranker=by(server), rerank_top=20)
    assert compared.rbo == 1.0 and compared.measures["RR@10"].after > 0


def test_a_reranker_that_fails_while_a_version_is_measured(docs: vecver.Dataset, server: rerank_server.Server) -> None:
    """As told: the call fails, or the order before counts, and is not kept under the reranker's name."""
    pytest.importorskip("ir_measures", reason="no ir-measures: install vecver[eval]")
    name = raised_by(docs, server)
    questions = [{"query": text, "documents": [name]} for text in ("which pump fails?", "another pump")]
    before = docs.eval(questions=questions, measures="RR@20", mode="keyword")
    server.script = [(500, "no"), (500, "no"), (500, "no")]
    with pytest.raises(BackendError):
        docs.eval(questions=questions, measures="RR@20", mode="keyword", reranker=by(server))
    server.script = [(200, []), (200, [])]
    kept = docs.eval(questions=questions, measures="RR@20", mode="keyword", reranker=by(server, on_failure="keep"))
    assert kept["RR@20"] == before["RR@20"]
    assert kept.not_kept is not None
    assert kept.not_kept.startswith("the hits were not reranked: ") and kept.not_kept.endswith("(of 2 questions)")
    server.script = []
    whole = docs.eval(questions=questions, measures="RR@20", mode="keyword", reranker=by(server, on_failure="keep"))
    assert not whole.reused and whole.not_kept is None and whole["RR@20"] != before["RR@20"]


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"reranker": 7}, "invalid_reranker"),
        ({"reranker": vecver.Reranker("tei:http://127.0.0.1/rerank", timeout=0)}, "invalid_reranker"),
        ({"rerank_top": 5}, "conflicting_options"),
        ({"reranker": "tei:http://127.0.0.1/rerank", "rerank_top": 0}, "invalid_rerank_top"),
        ({"reranker": "http://127.0.0.1/rerank"}, "unknown_reranker"),
    ],
)
def test_rerankers_that_measure_nothing(docs: vecver.Dataset, how: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        docs.eval(questions=[{"query": QUESTION, "documents": ["1.md"]}], **how)
    assert raised.value.code == code
