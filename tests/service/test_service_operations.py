"""The service for operators: settings, logs, metrics, traces, readiness, damaged and full disks."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import ingest
from inside import versions_of
from small_service import QUERY, TEXTS, asked, wait_until_ready

import vecver
from vecver.cli import main
from vecver.errors import InvalidInputError

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


def test_paths_of_the_machine_are_masked_and_ids_of_documents_are_not(tmp_path: Path) -> None:
    import tempfile

    cover, tmp = PathMask([(str(tmp_path / "kb"), "(repository)")]), tempfile.gettempdir()
    told = f"{tmp_path}/kb/refs is damaged; see '{tmp}/x', file://{tmp}/y and docs{tmp}/a.md"
    hidden = f"(repository)/refs is damaged; see '(temporary files)/x', file://(temporary files)/y and docs{tmp}/a.md"
    assert cover({"why": [told]}) == {"why": [hidden]}


def test_an_allowed_folder_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert permitted(str(tmp_path / "docs"), ("~/docs",)) == str((tmp_path / "docs").resolve())


def test_every_request_is_logged(client: TestClient) -> None:
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


def test_metrics_count_requests_and_phases(client: TestClient) -> None:
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
def test_other_versions_are_served_when_one_cannot_be_opened(
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
def test_other_datasets_are_listed_when_a_ref_is_damaged(client: TestClient, tmp_path: Path, ref: str) -> None:
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


def test_idempotency_keys_are_kept_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver_service.state import idempotency

    done: list[int] = []
    first = idempotency.Once(Database(tmp_path / "state"))
    write = lambda: (200, done.append(1) or len(done))  # noqa: E731
    assert [first.do("me", "key", "asked", write) for _ in range(2)] == [(200, 1), (200, 1)]
    monkeypatch.setattr(idempotency, "KEPT_SECONDS", -1)
    later = idempotency.Once(Database(tmp_path / "state"))
    assert later.do("me", "other", "asked", write) == (200, 2)
    assert later.do("me", "key", "asked", write) == (200, 3)


def test_slow_searches_of_one_key_leave_threads_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when their callers were answered at the deadline and the searches are still running."""
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


def test_a_cursor_that_names_no_store_is_refused(client: TestClient) -> None:
    assert client.get("/v1/vector_stores", params={"after": "d@gone"}).json()["code"] == "invalid_cursor"


def test_a_service_does_not_create_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECVER_REPO", str(tmp_path / "mistyped"))
    refused = CliRunner().invoke(main, ["serve", "--workers", "2"])
    assert refused.exit_code == 3 and "vecver init" in refused.output and not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize("where", ["promote", "ingest"])
def test_a_full_state_folder_is_reported(where: str, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error was "something went wrong", with the hint to try again."""

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
def test_an_unusable_state_folder_is_reported_once(
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


def test_the_html_pages_load_nothing_from_other_hosts(client: TestClient) -> None:
    home, vecver_version = client.get("/sign-in"), version("vecver")
    assert home.status_code == 200 and vecver_version in home.text and "handbook" in home.text
    assert "default-src 'none'" in home.headers["content-security-policy"]
    docs = client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', docs)
    assert len(loaded) == 3 and all(name.startswith("/docs/") for name in loaded)
    for name in loaded:
        assert len(client.get(name).content) > 500, name
    assert client.get("/docs/other.js").status_code == 404 and client.get("/redoc").status_code == 404
