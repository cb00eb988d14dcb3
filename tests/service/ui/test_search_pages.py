"""Search on a page: the hits of the face, their receipt, a replay, and two versions side by side with reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")
pytest.importorskip("jinja2", reason="no jinja2: install vecver[service]")
pytest.importorskip("ir_measures", reason="no ir_measures: install vecver[eval]")

import rerank_server
from visited import Page, Visited, visited

ROOT = "/datasets/notes/search"
QUESTION = "brass key of the radiator"
TEXTS = {
    "radiator": "Turn the brass key of the radiator a quarter turn.",
    "boiler": "The boiler wants pressure before winter.",
    "hook": "The brass key hangs on the second hook.",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with visited(tmp_path_factory.mktemp("search")) as service:
        docs = service.repository.dataset("notes")
        for texts in (TEXTS, {**TEXTS, "rival": "A brass key of another radiator."}):
            docs.ingest([{"id": id, "text": text} for id, text in texts.items()], embedder="hashing", label="n")
        docs.promote("prod", "main~1")
        service.sign_in("all")
        yield service


def test_the_page_has_the_hits_of_the_face_and_their_receipt(service: Visited) -> None:
    docs = service.repository.dataset("notes")
    answer = docs.search(QUESTION, at="prod", k=2)
    page = Page(service.page(f"{ROOT}?{urlencode({'q': QUESTION, 'at': 'prod', 'k': 2})}"))
    documents = [link for link in page.links() if "/document?" in link]
    assert [f"chunk={hit.key}" in link for hit, link in zip(answer, documents, strict=True)] == [True, True]
    assert all(f"{hit.score:.3f}" in page.text for hit in answer)
    assert [tag for tag, _ in page.elements].count("mark") >= 3
    (address,) = [link for link in page.links() if "/receipt?" in link]
    receipt = service.client.get(address)
    assert "attachment" in receipt.headers["content-disposition"]
    assert receipt.json()["hits"] == answer.receipt["hits"]
    kept = json.loads(page.field("receipt"))
    assert kept["hits"] == answer.receipt["hits"]
    token = page.field("form_token")
    replayed = service.client.post("/datasets/notes/replay", data={"form_token": token, "receipt": json.dumps(kept)})
    assert "Identical" in replayed.text
    kept["hits"][0][2] = "0" * 16
    forged = service.client.post("/datasets/notes/replay", data={"form_token": token, "receipt": json.dumps(kept)})
    assert "Not identical" in forged.text or forged.status_code == 422


def test_two_versions_stand_side_by_side_with_what_changed_and_why(service: Visited) -> None:
    docs = service.repository.dataset("notes")
    (compared,) = docs.compare("prod", "main", questions=[{"query": QUESTION}]).per_question
    assert [change.document for change in compared.entered] == ["rival"]
    page = Page(service.page(f"{ROOT}?{urlencode({'q': QUESTION, 'at': 'prod', 'against': 'main', 'k': 4})}"))
    assert "1 entered, 0 left" in page.text and f"{compared.rbo:.3f}" in page.text
    assert "new document" in page.text, "the reason of the one that entered"
    assert len([tag for tag, values in page.elements if tag == "path"]) == 3, "a line for each document of both"


@pytest.mark.parametrize("receipt", ["", "[]", "{}", "nonsense", '{"dataset": 5}', '{"dataset": "notes", "hits": 1}'])
def test_what_is_no_receipt_is_refused(service: Visited, receipt: str) -> None:
    token = Page(service.page(ROOT)).field("form_token")
    answer = service.client.post("/datasets/notes/replay", data={"form_token": token, "receipt": receipt})
    assert answer.status_code == 422 and "What to do" in answer.text


def test_words_and_both_rank_on_the_page_as_in_the_face(service: Visited) -> None:
    pytest.importorskip("Stemmer", reason="no PyStemmer")
    docs = service.repository.dataset("notes")
    for mode in ("keyword", "hybrid"):
        answer = docs.search("key hook", at="main", k=3, mode=mode)
        page = Page(service.page(f"{ROOT}?{urlencode({'q': 'key hook', 'at': 'main', 'k': 3, 'mode': mode})}"))
        links = [link for link in page.links() if "/document?" in link]
        assert [f"chunk={hit.key}" in link for hit, link in zip(answer, links, strict=True)] == [True] * len(answer)
        (address,) = [link for link in page.links() if "/receipt?" in link]
        assert service.client.get(address).json()["hits"] == answer.receipt["hits"]
        assert f"--mode {mode}" in page.text
    nothing = Page(service.page(f"{ROOT}?{urlencode({'q': 'the of and', 'at': 'main', 'mode': 'keyword'})}"))
    assert "reads no word of the query" in nothing.text
    assert service.client.get(f"{ROOT}?q=x&mode=other").status_code == 422


def test_a_reranker_of_the_service_orders_the_hits_and_no_other_may_be_named(
    service: Visited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reranker" not in service.page(ROOT), "nothing is offered where none was set up"
    with rerank_server.running() as server:
        monkeypatch.setenv("VECVER_RERANKERS", json.dumps({"short": f"tei:{server.url}"}))
        with visited(tmp_path / "other", keys=False) as other:
            notes = other.repository.dataset("notes")
            notes.ingest([{"id": id, "text": text} for id, text in TEXTS.items()], embedder="hashing", label="n")
            asked = {"q": QUESTION, "at": "main", "k": 3, "reranker": "short"}
            page = Page(other.page(f"{ROOT}?{urlencode(asked)}"))
            links = [link for link in page.links() if "/document?" in link]
            shortest_first = sorted(TEXTS, key=lambda id: len(TEXTS[id]))
            assert [f"id={id}&" in link for id, link in zip(shortest_first, links, strict=True)] == [True] * 3
            assert page.text.count("reranked") == 3 and "--rerank short" in page.text
            (address,) = [link for link in page.links() if "/receipt?" in link]
            receipt = other.client.get(address).json()
            assert receipt["options"]["rerank"]["model"].startswith("tei:")
            both = other.page(f"{ROOT}?{urlencode({**asked, 'against': 'main'})}")
            assert "0 entered, 0 left and 0 moved" in Page(both).text
            refused = other.client.get(f"{ROOT}?{urlencode({**asked, 'reranker': f'tei:{server.url}'})}")
            assert refused.status_code == 422 and "no reranker" in refused.text
