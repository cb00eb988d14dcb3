"""The service as operators and OpenAI's clients meet it: keys, settings, logs, measurements, traces, vector stores."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import ingest, vector_of
from inside import versions_of
from paths import GOLDEN

import vecver
from vecver.cli import main
from vecver.errors import ConflictError, IntegrityError, InvalidInputError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from vecver_service import logs
from vecver_service.app import create_app
from vecver_service.http.problems import PathMask
from vecver_service.http.uploads import permitted
from vecver_service.settings import ServiceSettings, load_settings
from vecver_service.state.database import Database
from vecver_service.state.keys import Keys

Json = dict[str, Any]
TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(20)}
QUERY = [float(x) for x in vector_of("a question")]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A service without keys on a repository with two versions of `d`: `v1`, and `main` with one text changed."""
    repository = vecver.open(tmp_path / "kb", create=True, author="tester")
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    docs.tag("v1")
    docs.promote("prod", "v1")
    ingest(docs, {**TEXTS, "doc-3": "another text"})
    settings = ServiceSettings(state=str(tmp_path / "state"), no_auth=True)
    with TestClient(create_app(repository, settings)) as client:
        yield client


def asked(client: TestClient, headers: Json | None = None, **body: Any) -> Any:
    return client.post("/v1/datasets/d/search", json=body, headers=headers)


def wait_until_ready(client: TestClient) -> None:
    until = time.monotonic() + 120
    while client.get("/readyz").status_code != 200 and time.monotonic() < until:
        time.sleep(0.05)


# -- search --------------------------------------------------------------------------------------


def test_an_answer_is_that_of_the_library_and_names_its_commit(client: TestClient, tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb").dataset("d")
    for ref in ("prod", "main", "main~1", docs.resolve("v1")):
        response = asked(client, vector=QUERY, ref=ref, k=5)
        assert response.json() == json.loads(json.dumps(docs.search(QUERY, at=ref, k=5).to_json()))
        assert response.headers["vecver-commit"] == response.json()["commit"] == docs.resolve(ref)


def test_hits_say_where_their_chunks_stand_and_filters_ask_for_it(tmp_path: Path) -> None:
    """As JSON of the house, as attributes of OpenAI's results, and in the published schema."""
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


def test_several_questions_are_answered_in_their_order(client: TestClient) -> None:
    vectors = [[float(x) for x in vector_of(text)] for text in ("a", "b", "c")]
    told = asked(client, vectors=vectors, k=3, receipt=False).json()
    alone = [asked(client, vector=vector, k=3, receipt=False).json() for vector in vectors]
    assert told["answers"] == alone and "receipt" not in alone[0]
    assert told["commit"] == alone[0]["commit"]


def test_a_vector_may_be_its_bits(client: TestClient) -> None:
    import base64

    bits = base64.b64encode(np.array(QUERY, "<f4").tobytes()).decode()
    assert asked(client, vector=bits).json() == asked(client, vector=QUERY).json()
    assert asked(client, vector=bits[:-8]).json()["code"] in ("wrong_dimension", "invalid_vector")


def test_what_a_caller_has_is_not_sent_again(client: TestClient) -> None:
    first = asked(client, vector=QUERY, ref="prod")
    again = asked(client, {"If-None-Match": first.headers["etag"]}, vector=QUERY, ref="prod")
    assert again.status_code == 304 and not again.content
    assert again.headers["vecver-commit"] == first.headers["vecver-commit"]
    client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": "main"})
    assert asked(client, {"If-None-Match": first.headers["etag"]}, vector=QUERY, ref="prod").status_code == 200


def test_an_answer_is_proved_later(client: TestClient) -> None:
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


def test_pages_join_to_the_whole(client: TestClient) -> None:
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


def test_a_ref_is_put_from_where_it_was_seen(client: TestClient) -> None:
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


def test_a_rollback_that_is_sent_twice_happens_once(client: TestClient) -> None:
    for ref in ("main", "v1", "main"):
        client.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": ref})
    before = len(client.get("/v1/datasets/d/aliases/prod/moves").json()["moves"])
    send = lambda: client.post("/v1/datasets/d/rollback", json={"ref": "prod"}, headers={"Idempotency-Key": "1"})  # noqa: E731
    assert send().json() == send().json()
    assert len(client.get("/v1/datasets/d/aliases/prod/moves").json()["moves"]) == before + 1


# -- OpenAI --------------------------------------------------------------------------------------


def test_a_rollback_that_happened_is_not_done_again_because_the_audit_log_was_full(
    client: TestClient, tmp_path: Path
) -> None:
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


# -- keys ----------------------------------------------------------------------------------------


@pytest.fixture(params=["keys.json", "service.sqlite"])
def key_path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where keys are stored: a file that VECVER_KEYS names, or the service's database."""
    return tmp_path / str(request.param)


def test_a_key_is_shown_once_and_only_its_digest_is_kept(key_path: Path) -> None:
    keys = Keys(key_path)
    assert not keys.needed() and not key_path.exists(), "reading makes nothing"
    key, token = keys.add("ci", ["d:write", "*:read"])
    for path in (one for one in key_path.parent.iterdir() if one.is_file()):
        assert token.split("_")[2].encode() not in path.read_bytes()
        assert path.name.endswith(".lock") or path.stat().st_mode & 0o077 == 0
    assert token.split("_")[2] not in repr(keys.all())
    assert keys.find(token) == key and Keys(key_path).find(token) == key
    for wrong in (
        "",
        token[:-1],
        token + "x",
        token.swapcase(),
        f"vv_{key.id}_{'x' * 43}",
        "é" * 55,
        "vv_00000000_" + "a" * 43,
    ):
        assert keys.find(wrong) is None
    Keys(key_path).revoke(key.id)
    assert keys.find(token) is None and keys.needed() and Keys(key_path).needed()


def test_each_change_of_keys_is_seen_by_every_service_at_its_next_request(key_path: Path) -> None:
    changing, serving = Keys(key_path), Keys(key_path)
    for _ in range(50):
        key, token = changing.add("ci", ["*:read"])
        assert serving.find(token) == key
        changing.revoke(key.id)
        assert serving.find(token) is None


def test_a_revocation_that_was_killed_before_it_was_announced_is_seen_in_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing, serving = Keys(tmp_path / "service.sqlite"), Keys(tmp_path / "service.sqlite")
    key, token = changing.add("ci", ["*:read"])
    assert serving.find(token)
    monkeypatch.setattr("vecver_service.state.keys.os.utime", lambda *_, **__: None)
    changing.revoke(key.id)
    time.sleep(1)
    assert serving.find(token) is None


def test_a_scope_holds_those_before_it_for_its_dataset_only(tmp_path: Path) -> None:
    from vecver_service.state.keys import Caller

    caller = Caller("1", "ci", ("a:write", "b:read", "c:admin"))
    allowed = {(s, d) for s in ("read", "write", "admin") for d in ("a", "b", "c", "d", "*") if caller.may(s, d)}
    assert allowed == {("read", "a"), ("write", "a"), ("read", "b"), *((s, "c") for s in ("read", "write", "admin"))}
    assert Caller("1", "ci", ("*:read",)).may("read", "anything") and not Caller("1", "ci", ("*:read",)).may(
        "write", "x"
    )


@pytest.mark.parametrize("scopes", [[], ["d"], ["d:"], [":read"], ["d:own"], ["read"]])
def test_a_scope_that_is_none_is_refused(key_path: Path, scopes: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Keys(key_path).add("ci", scopes)
    assert caught.value.code == "invalid_scope" and not key_path.exists()


def test_keys_that_cannot_be_read_open_nothing(tmp_path: Path, client: TestClient) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(IntegrityError):
        Keys(tmp_path / "keys.json").find("vv_")
    repository = client.app.state.deps.repository  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError, match="API keys"):  # an older vecver's, to be moved to the database
        create_app(repository, ServiceSettings(state=str(tmp_path)))
    closed = create_app(repository, ServiceSettings(state=str(tmp_path / "other"), keys=str(tmp_path / "keys.json")))
    with TestClient(closed) as other:
        assert other.get("/v1/datasets").status_code == 500


def test_a_service_whose_last_key_is_revoked_or_lost_is_not_open(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True)
    keys = Keys(tmp_path / "state/service.sqlite")
    key, token = keys.add("ops", ["*:admin"])
    assert keys.path.parent.stat().st_mode & 0o077 == 0, "uploads and answers lie there"
    with TestClient(create_app(repository, ServiceSettings(state=str(tmp_path / "state")))) as client:
        assert client.get("/v1", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        keys.revoke(key.id)
        assert client.get("/v1").status_code == 401
        assert client.get("/v1", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        keys.path.unlink()
        assert client.get("/v1").status_code == 401


def test_the_command_line_makes_lists_and_revokes_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, words, catch_exceptions=False)

    assert "no keys" in run("key", "list").output
    made = json.loads(run("key", "add", "ci", "--scope", "d:read", "--json").output)
    assert Keys(tmp_path / "kb.service/service.sqlite").find(made["key"])
    assert made["id"] in run("key", "list").output and made["key"] not in run("key", "list").output
    assert run("key", "revoke", made["id"]).exit_code == 0 and run("key", "revoke", made["id"]).exit_code == 3


def test_two_repositories_do_not_share_a_state_folder(tmp_path: Path) -> None:
    """One would do the other's jobs, in its own datasets."""
    settings = ServiceSettings(state=str(tmp_path / "state"), no_auth=True)
    one, other = (vecver.open(tmp_path / name, create=True) for name in ("a", "b"))
    create_app(one, settings)
    with pytest.raises(ConflictError, match="another repository"):
        create_app(other, settings)
    create_app(vecver.open(tmp_path / "a"), settings)


def test_a_service_for_others_wants_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))
    refused = CliRunner().invoke(main, ["serve", "--host", "0.0.0.0"])
    assert refused.exit_code == 2 and "no API key" in refused.output


def test_keys_that_cannot_be_read_are_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))
    monkeypatch.setenv("VECVER_KEYS", str(tmp_path))
    refused = CliRunner().invoke(main, ["serve"])
    assert refused.exit_code == 5 and "API keys cannot be read" in refused.output


# -- operations ----------------------------------------------------------------------------------


def test_settings_come_from_the_environment_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text('repo = "/kb"\nmax_k = 50\nport = 9000\nfolders = ["/a", "/b"]\n')
    monkeypatch.setenv("VECVER_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("VECVER_PORT", "9001")
    monkeypatch.setenv("VECVER_WARM", "d@prod, e@v1")
    found = load_settings()
    assert (found.max_k, found.port, found.folders, found.warm) == (50, 9001, ("/a", "/b"), ("d@prod", "e@v1"))
    assert found.state_folder("/data/kb") == Path("/data/kb.service")
    monkeypatch.setenv("VECVER_MAX_K", "many")
    with pytest.raises(InvalidInputError, match="VECVER_MAX_K"):
        load_settings()


def test_paths_of_the_machine_are_covered_and_those_of_documents_are_not(tmp_path: Path) -> None:
    import tempfile

    cover, tmp = PathMask([(str(tmp_path / "kb"), "(repository)")]), tempfile.gettempdir()
    told = f"{tmp_path}/kb/refs is damaged; see '{tmp}/x', file://{tmp}/y and docs{tmp}/a.md"
    hidden = f"(repository)/refs is damaged; see '(temporary files)/x', file://(temporary files)/y and docs{tmp}/a.md"
    assert cover({"why": [told]}) == {"why": [hidden]}


def test_an_allowed_folder_may_be_named_from_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert permitted(str(tmp_path / "docs"), ("~/docs",)) == str((tmp_path / "docs").resolve())


def test_every_request_is_a_line_of_the_log(client: TestClient) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logs.JsonLines())
    log = logging.getLogger("vecver.service")
    log.addHandler(handler)
    log.setLevel("INFO")
    try:
        asked(client, {"X-Request-ID": "mine-1"}, vector=QUERY, ref="prod")
        answer = asked(client, {"X-Request-ID": "no\tid"}, vector=QUERY, ref="nowhere")
    finally:
        log.removeHandler(handler)
    first, second = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (first["request"], first["status"], first["dataset"]) == ("mine-1", 200, "d")
    assert first["commit"] == client.get("/v1/datasets/d/aliases/prod").json()["commit"]
    assert set(first["phases_ms"]) == {"embed", "propose", "re-score", "fetch"}
    assert (second["status"], second["code"]) == (404, "revision_not_found")
    assert second["request"] == answer.headers["x-request-id"] == answer.json()["instance"] != "no\tid"


def test_prometheus_reads_requests_and_phases(client: TestClient) -> None:
    asked(client, vectors=[QUERY, QUERY])
    text = client.get("/metrics").text
    assert 'vecver_queries_total{dataset="d",engine="faiss"} 2.0' in text
    for phase in ("embed", "propose", "re-score", "fetch"):
        assert f'vecver_search_phase_seconds_count{{dataset="d",phase="{phase}"}} 1.0' in text
    route = 'method="POST",route="/v1/datasets/{dataset}/search",status="200"'
    assert f"vecver_request_seconds_count{{{route}}} 1.0" in text


def test_a_search_is_traced_where_traces_are_collected(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="no opentelemetry-sdk: install vecver[test]")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from vecver_service import searching

    spans = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(searching, "_TRACER", provider.get_tracer("vecver"))
    commit = asked(client, vector=QUERY).json()["commit"]
    (span,) = spans.get_finished_spans()
    assert span.name == "vecver.search" and span.attributes
    assert span.attributes["vecver.commit"] == commit
    assert float(str(span.attributes["vecver.propose_ms"])) >= 0


def test_a_service_is_ready_when_its_aliases_are_open(client: TestClient) -> None:
    wait_until_ready(client)
    assert client.get("/readyz").json() == {"status": "ready"} and client.get("/healthz").json() == {"status": "ok"}
    versions = versions_of(client.app.state.deps.repository)  # type: ignore[attr-defined]
    assert client.get("/v1/datasets/d/aliases/prod").json()["commit"] in versions.opened.ids()


@pytest.mark.parametrize("warm", [(), ("no name@prod", "d@v1"), ("d@nowhere",)])
def test_what_cannot_be_opened_keeps_nothing_else_from_being_served(
    client: TestClient, tmp_path: Path, warm: tuple[str, ...]
) -> None:
    ingest(vecver.open(tmp_path / "kb").dataset("e"), TEXTS)
    (tmp_path / "kb/refs/d/aliases/prod").write_bytes(b"")
    settings = ServiceSettings(state=str(tmp_path / "other"), no_auth=True, warm=warm)
    with TestClient(create_app(vecver.open(tmp_path / "kb"), settings)) as other:
        wait_until_ready(other)
        assert other.get("/readyz").status_code == 200
        assert other.post("/v1/datasets/e/search", json={"vector": QUERY}).status_code == 200


@pytest.mark.parametrize("ref", ["branches/main", "tags/v1"])
def test_a_damaged_ref_hides_no_other_dataset(client: TestClient, tmp_path: Path, ref: str) -> None:
    ingest(vecver.open(tmp_path / "kb").dataset("e"), TEXTS)
    (tmp_path / "kb/refs/d" / ref).write_bytes(b"")
    damaged, sound = client.get("/v1/datasets").json()["datasets"]
    assert sound == {"name": "e", "head": client.get("/v1/datasets/e").json()["head"], "documents": 20, "chunks": 20}
    if ref == "branches/main":
        assert (damaged["name"], damaged["head"], damaged["error"]["category"]) == ("d", None, "IntegrityError")
    assert "e@main" in [store["id"] for store in client.get("/v1/vector_stores").json()["data"]]


def test_a_version_that_cannot_be_opened_is_not_promoted(client: TestClient, tmp_path: Path) -> None:
    before = client.get("/v1/datasets/d/aliases").json()
    repository = vecver.open(tmp_path / "kb")
    app = create_app(repository, ServiceSettings(state=str(tmp_path / "other"), no_auth=True))
    for vectors in (tmp_path / "kb").rglob("vectors.npy"):
        vectors.unlink()
    with TestClient(app) as other:
        assert other.post("/v1/datasets/d/promote", json={"alias": "prod", "ref": "v1"}).status_code >= 400
    assert client.get("/v1/datasets/d/aliases").json() == before


def test_what_happened_a_day_ago_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver_service.state import idempotency

    done: list[int] = []
    first = idempotency.Once(Database(tmp_path / "state"))
    write = lambda: (200, done.append(1) or len(done))  # noqa: E731
    assert [first.do("me", "key", "asked", write) for _ in range(2)] == [(200, 1), (200, 1)]
    monkeypatch.setattr(idempotency, "KEPT_SECONDS", -1)
    later = idempotency.Once(Database(tmp_path / "state"))
    assert later.do("me", "other", "asked", write) == (200, 2)
    assert later.do("me", "key", "asked", write) == (200, 3)


def test_slow_searches_of_one_key_leave_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where their callers were answered at the deadline, and the searches go on."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx2
    from serving import running

    repository, go = vecver.open(tmp_path / "kb", create=True), threading.Event()
    ingest(repository.dataset("d"), TEXTS)
    real = vecver.Dataset.search

    def search(docs: vecver.Dataset, query: Any, **how: Any) -> Any:
        if how["k"] == 7:
            go.wait(120)
        return real(docs, query, **how)

    monkeypatch.setattr(vecver.Dataset, "search", search)
    settings = ServiceSettings(state=str(tmp_path / "state"), threads=4, timeout=5.0)
    keys = Keys(settings.keys_file(""))
    tokens = [keys.add(name, ["d:read"])[1] for name in ("slow", "other")]
    with running(create_app(repository, settings)) as url:

        def ask(token: str, k: int) -> int:
            headers = {"authorization": f"Bearer {token}"}
            with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
                body = {"vector": QUERY, "k": k}
                return int(client.post("/v1/datasets/d/search", json=body).status_code)

        with ThreadPoolExecutor(12) as threads:
            slow = [threads.submit(ask, tokens[0], 7) for _ in range(12)]
            assert {one.result() for one in slow} == {503}
            assert [ask(tokens[1], 3) for _ in range(5)] == [200] * 5
            assert ask(tokens[0], 3) == 503, "its own places are taken until they end"
            go.set()
            until = time.monotonic() + 60
            while ask(tokens[0], 3) != 200:
                assert time.monotonic() < until


def test_an_option_that_is_given_twice_is_refused(client: TestClient) -> None:
    for path in ("/v1/datasets/d/commits?ref=main&ref=v1", "/v1/jobs?dataset=d&limit=3&dataset=e"):
        told = client.get(path)
        assert (told.status_code, told.json()["code"]) == (422, "repeated_option")


def test_a_page_after_a_store_that_is_gone_is_no_first_page(client: TestClient) -> None:
    assert client.get("/v1/vector_stores", params={"after": "d@gone"}).json()["code"] == "invalid_cursor"


def test_a_service_makes_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "mistyped"))
    refused = CliRunner().invoke(main, ["serve", "--workers", "2"])
    assert refused.exit_code == 3 and "vecver init" in refused.output and not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize("where", ["promote", "ingest"])
def test_a_full_state_folder_is_told_as_such(where: str, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was "something went wrong", and the hint was to try again."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vecver_service.state.sqlite.commit", full)
    headers = {"idempotency-key": "1", "content-type": "application/x-ndjson"}
    if where == "promote":
        told = client.post("/v1/datasets/d/promote", json={"alias": "prod"}, headers={"idempotency-key": "1"})
    else:
        told = client.post("/v1/datasets/d/ingest", params={"label": "x"}, content=b'{"id":"a"}\n', headers=headers)
    assert (told.status_code, told.json()["code"]) == (503, "state_full")
    assert told.json()["context"] == {"retryable": False} and "free space" in told.json()["hint"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_says_once_that_its_state_folder_cannot_be_its_own(
    workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers ended at once, were begun again without end, and nobody was told why on a line of its own."""
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: pytest.fail("it was begun"))
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "kb"))
    vecver.open(tmp_path / "kb", create=True)
    create_app(vecver.open(tmp_path / "other", create=True), ServiceSettings(state=str(tmp_path / "state")))
    monkeypatch.setenv("VECVER_STATE", str(tmp_path / "state"))
    refused = CliRunner().invoke(main, ["serve", "--workers", workers])
    assert refused.exit_code == 4 and "another repository" in refused.output
    monkeypatch.setenv("VECVER_STATE", str(tmp_path / "state/repository/below-a-file"))
    refused = CliRunner().invoke(main, ["serve", "--workers", workers])
    assert refused.exit_code == 2 and "VECVER_STATE" in refused.output


def test_the_pages_for_people_load_nothing_from_elsewhere(client: TestClient) -> None:
    home, vecver_version = client.get("/"), version("vecver")
    assert home.status_code == 200 and vecver_version in home.text and "handbook" in home.text
    assert "default-src 'none'" in home.headers["content-security-policy"]
    docs = client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', docs)
    assert len(loaded) == 3 and all(name.startswith("/docs/") for name in loaded)
    for name in loaded:
        assert len(client.get(name).content) > 500, name
    assert client.get("/docs/other.js").status_code == 404 and client.get("/redoc").status_code == 404
