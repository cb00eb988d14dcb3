"""Searches, refs and the audit log over HTTP, and OpenAI's client on vector stores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ingest, vector_of
from paths import GOLDEN
from small_service import QUERY, TEXTS, asked

import vecver

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings
from vecver_service.state.database import Database
from vecver_service.state.keys import Keys

Json = dict[str, Any]


# -- search --------------------------------------------------------------------------------------


def test_an_answer_equals_the_librarys_and_names_its_commit(client: TestClient, tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb").dataset("d")
    for ref in ("prod", "main", "main~1", docs.resolve("v1")):
        response = asked(client, vector=QUERY, ref=ref, k=5)
        assert response.json() == json.loads(json.dumps(docs.search(QUERY, at=ref, k=5).to_json()))
        assert response.headers["vecver-commit"] == response.json()["commit"] == docs.resolve(ref)


def test_hits_and_filters_have_the_position_of_chunks(tmp_path: Path) -> None:
    """In our JSON, in the attributes of OpenAI's results, and in the published schema."""
    shutil.copytree(GOLDEN / "v3", tmp_path / "kb")
    repository = vecver.open(tmp_path / "kb")
    expected = repository.dataset("handbook").search("radiator", filter={"page": 2})
    assert [(hit.page, hit.headings) for hit in expected] == [(2, ("Heating", "Parts"))]
    settings = ServiceSettings(state=str(tmp_path / "state"), no_auth=True)
    with TestClient(create_app(repository, settings)) as client:
        body = {"query": "radiator", "filter": {"page": 2}}
        answer = client.post("/v1/datasets/handbook/search", json=body).json()
        assert vecver.Answer.from_json(answer) == expected
        assert client.post("/v1/replay", json={"receipt": answer["receipt"]}).json()["identical"] is True
        filters = {"type": "eq", "key": "headings", "value": "Parts"}
        page = client.post(
            "/v1/vector_stores/handbook@main/search", json={"query": "radiator", "filters": filters}
        ).json()
        assert [one["attributes"] for one in page["data"]] == [{"page": 2, "headings": '["Heating", "Parts"]'}]
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Hit"]
        assert set(answer["hits"][0]) <= set(schema["properties"]) >= {"sheet", "line"}


def test_several_queries_are_answered_in_order(client: TestClient) -> None:
    vectors = [[float(x) for x in vector_of(text)] for text in ("a", "b", "c")]
    told = asked(client, vectors=vectors, k=3, receipt=False).json()
    alone = [asked(client, vector=vector, k=3, receipt=False).json() for vector in vectors]
    assert told["answers"] == alone and "receipt" not in alone[0]
    assert told["commit"] == alone[0]["commit"]


def test_a_vector_may_be_base64(client: TestClient) -> None:
    import base64

    bits = base64.b64encode(np.array(QUERY, "<f4").tobytes()).decode()
    assert asked(client, vector=bits).json() == asked(client, vector=QUERY).json()
    assert asked(client, vector=bits[:-8]).json()["code"] in ("wrong_dimension", "invalid_vector")


def test_an_answer_with_a_known_etag_is_not_sent_again(client: TestClient) -> None:
    first = asked(client, vector=QUERY, ref="prod")
    again = asked(client, {"If-None-Match": first.headers["etag"]}, vector=QUERY, ref="prod")
    assert again.status_code == 304 and not again.content
    assert again.headers["vecver-commit"] == first.headers["vecver-commit"]
    client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": "main"})
    assert asked(client, {"If-None-Match": first.headers["etag"]}, vector=QUERY, ref="prod").status_code == 200


def test_a_receipt_can_be_replayed(client: TestClient) -> None:
    receipt = asked(client, vector=QUERY, ref="prod").json()["receipt"]
    assert client.post("/v1/replay", json={"receipt": receipt}).json()["identical"] is True
    receipt["hits"][0], receipt["hits"][1] = receipt["hits"][1], receipt["hits"][0]
    assert client.post("/v1/replay", json={"receipt": receipt}).json()["identical"] is False


def test_a_search_in_flight_finishes_on_the_version_that_it_began_with(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias that moves between resolving and ranking changes nothing of that answer."""
    from vecver import index

    old, real = client.get("/v1/datasets/d/aliases/prod").json()["commit"], index.search

    def moved(*args: Any, **how: Any) -> Any:
        monkeypatch.setattr(index, "search", real)
        client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": "main"})
        return real(*args, **how)

    monkeypatch.setattr(index, "search", moved)
    told = asked(client, vector=QUERY, ref="prod").json()
    assert told["commit"] == old
    assert client.get("/v1/datasets/d/aliases/prod").json()["commit"] != old
    assert client.post("/v1/replay", json={"receipt": told["receipt"]}).json()["identical"] is True


def test_one_short_search_computes_at_a_time_and_none_waits_for_long(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, dim = client.app.state.deps.search_lock, len(QUERY)  # type: ignore[attr-defined]
    right = asked(client, vector=QUERY).json()
    assert asked(client, vector=[1.0] * (dim + 1)).status_code == 422 and not lock.locked(), "an error releases it"
    with lock:
        assert asked(client, vector=QUERY, exact=True).json()["hits"] == right["hits"], "a long search does not wait"
        monkeypatch.setattr("vecver_service.searching._LOCK_TIMEOUT_S", 0.01)
        assert asked(client, vector=QUERY).json() == right
    assert not lock.locked()


def test_pages_join_to_the_complete_list(client: TestClient) -> None:
    for page in range(3):
        ingest_more = {"documents": [{"id": f"n{page}", "text": "t", "vector": QUERY}]}
        query = {"label": f"s{page}", "space": "test"}
        assert client.post("/v1/datasets/d/ingest", json=ingest_more, params=query).status_code == 202
    client.get("/v1/jobs")  # some of them may be done by now, or not: the pages are of one version
    for route, name in (("commits", "commits"), ("documents", "documents")):
        ref = client.get("/v1/datasets/d/commits/v1").json()["commit"] if route == "documents" else "main~0"
        whole = client.get(f"/v1/datasets/d/{route}", params={"ref": ref, "limit": 1000}).json()[name]
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page_query: dict[str, Any] = {"ref": ref, "limit": 2, **({"cursor": cursor} if cursor else {})}
            page_of = client.get(f"/v1/datasets/d/{route}", params=page_query).json()
            found, cursor = [*found, *page_of[name]], page_of["next"]
            if cursor is None:
                break
        assert found[-len(whole) :] == whole


# -- refs ----------------------------------------------------------------------------------------


def test_a_ref_moves_on_the_condition_of_if_match(client: TestClient) -> None:
    seen = client.get("/v1/datasets/d/aliases/prod").headers["etag"]
    head = client.get("/v1/datasets/d").json()["head"]
    put = lambda condition: client.put("/v1/datasets/d/aliases/prod", json={"ref": "main"}, headers=condition)  # noqa: E731
    refused = put({"If-Match": f'"{head}"'})
    assert refused.status_code == 409 and refused.json()["context"]["found"] == seen.strip('"')
    assert put({"If-None-Match": "*"}).status_code == 409
    assert put({"If-Match": seen}).status_code == 200
    assert client.get("/v1/datasets/d/aliases/prod").json()["commit"] == head
    assert (
        client.put("/v1/datasets/d/aliases/new", json={"ref": "v1"}, headers={"If-None-Match": "*"}).status_code == 201
    )
    assert client.put("/v1/datasets/d/tags/v1", json={"ref": "main"}, headers={"If-Match": seen}).status_code == 409
    assert [move["name"] for move in client.get("/v1/datasets/d/aliases/prod/moves").json()["moves"]] == ["prod"] * 2


def test_a_repeated_rollback_happens_once(client: TestClient) -> None:
    for ref in ("main", "v1", "main"):
        client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": ref})
    before = len(client.get("/v1/datasets/d/aliases/prod/moves").json()["moves"])
    send = lambda: client.post("/v1/datasets/d/rollback", json={"ref": "prod"}, headers={"Idempotency-Key": "1"})  # noqa: E731
    assert send().json() == send().json()
    assert len(client.get("/v1/datasets/d/aliases/prod/moves").json()["moves"]) == before + 1


def test_a_rollback_is_not_repeated_after_the_audit_log_was_full(client: TestClient, tmp_path: Path) -> None:
    for ref in ("main", "v1", "main"):
        client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": ref})
    back = lambda: client.post(  # noqa: E731
        "/v1/datasets/d/rollback", json={"ref": "prod"}, headers={"Idempotency-Key": "once"}
    )
    database = Database(tmp_path / "state")
    with database.transaction() as connection:
        connection.execute("ALTER TABLE audit RENAME TO moved")  # it cannot be written
    assert back().json()["code"] == "audit_failed"
    with database.transaction() as connection:
        connection.execute("ALTER TABLE moved RENAME TO audit")
    stands = client.get("/v1/datasets/d/aliases/prod").json()["commit"]
    assert stands == client.get("/v1/datasets/d/tags/v1").json()["commit"], "it went back once"
    assert back().json()["code"] == "outcome_unknown"
    assert client.get("/v1/datasets/d/aliases/prod").json()["commit"] == stands


def test_a_line_of_an_older_audit_log_that_broke_off_hides_no_other(tmp_path: Path) -> None:
    """A full disk cut it off; the database that replaced the file keeps it as it is."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/audit.jsonl").write_text('{"action": "tag", "outcome": "done"}\n{"time": "2026')
    repository = vecver.open(tmp_path / "kb", create=True)
    ingest(repository.dataset("d"), TEXTS)
    with TestClient(create_app(repository, ServiceSettings(state=str(tmp_path / "state"), no_auth=True))) as client:
        promote = {"alias": "prod", "ref": "main"}
        assert client.post("/v1/datasets/d/promote", json=promote).status_code == 201
        newest, torn, oldest = client.get("/v1/audit").json()["entries"]
    assert (newest["action"], newest["outcome"], oldest["action"]) == ("promote", "done", "tag")
    assert torn == {"outcome": "unreadable", "line": '{"time": "2026'}


# -- OpenAI --------------------------------------------------------------------------------------


def test_openais_client_searches_a_pinned_vector_store(tmp_path: Path) -> None:
    """The real client, unmodified, over a real connection."""
    openai = pytest.importorskip("openai", reason="no openai: install vecver[test]")
    from serving import running

    repository = vecver.open(tmp_path / "kb", create=True)
    docs = repository.dataset("handbook")
    rows = [{"id": f"d{i}", "text": f"radiator {'air ' * i}", "year": 2020 + i, "lang": "en"} for i in range(6)]
    docs.ingest(rows, embedder="hashing")
    docs.promote("prod")
    docs.ingest(
        [*rows, {"id": "new", "text": "radiator air", "year": 2030, "lang": "de"}],
        embedder="hashing",
    )
    settings = ServiceSettings(state=str(tmp_path / "state"))
    _, key = Keys(settings.keys_file("")).add("app", ["handbook:read"])
    with running(create_app(repository, settings)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        page = client.vector_stores.search("handbook@prod", query="radiator air", max_num_results=3)
        expected = docs.search("radiator air", at="prod", k=3)
        assert [(one.file_id, one.score) for one in page.data] == [(hit.document, hit.score) for hit in expected]
        assert [one.content[0].text for one in page.data] == [hit.text for hit in expected]
        assert page.data[0].attributes["lang"] == "en" and "new" not in {one.file_id for one in page.data}
        assert page.commit == docs.resolve("prod")
        filters = {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2023}]}
        some = client.vector_stores.search("handbook@main", query=["radiator", "air"], filters=filters)
        assert {one.attributes["year"] for one in some.data} == {2023, 2024, 2025, 2030}
        least = {"score_threshold": expected[1].score}
        best = client.vector_stores.search("handbook@prod", query="radiator air", ranking_options=least)
        assert [one.file_id for one in best.data] == [hit.document for hit in expected[:2]]
        for how in ({"mode": "keyword"}, {"mode": "hybrid", "weight": 0.25}, {"mode": "hybrid", "fusion": "rrf"}):
            page = client.vector_stores.search("handbook@prod", query="air", max_num_results=4, extra_body=how)
            assert [(one.file_id, one.score) for one in page.data] == [
                (hit.document, hit.score) for hit in docs.search("air", at="prod", k=4, **how)
            ]
        for wrong in ({"mode": "words"}, {"weight": 0.5}, {"mode": "hybrid", "weight": 1.5}):
            with pytest.raises(openai.UnprocessableEntityError):
                client.vector_stores.search("handbook@prod", query="air", extra_body=wrong)
        stores = list(client.vector_stores.list(limit=1))
        assert {one.id for one in stores} == {"handbook@main", "handbook@prod"}
        store = client.vector_stores.retrieve("handbook@prod")
        assert store.file_counts.completed == 6 and store.metadata["commit"] == docs.resolve("prod")
        with pytest.raises(openai.NotFoundError) as caught:
            client.vector_stores.search("handbook@nowhere", query="x")
        assert "nowhere" in caught.value.message and caught.value.code == "revision_not_found"
        with pytest.raises(openai.PermissionDeniedError):
            client.vector_stores.search("other@main", query="x")
        with pytest.raises(openai.UnprocessableEntityError):
            client.vector_stores.search("handbook@prod", query="x", rewrite_query=True)
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0).vector_stores.list()
