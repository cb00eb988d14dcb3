"""A service whose shared database is away: when it starts, and later."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest
from postgres_server import PASSWORD, postgres_running
from small_service import QUERY, TEXTS, wait_until_ready

import vecver
from vecver.errors import BackendError

pytest.importorskip("fastapi", reason="no fastapi: install vecver[service]")

from fastapi.testclient import TestClient
from pydantic import SecretStr
from vecver_service.app import create_app
from vecver_service.opening import open_keys
from vecver_service.settings import ServiceSettings

SEARCH = {"vector": QUERY, "ref": "prod", "k": 1}


def test_a_service_does_not_start_without_its_database_and_outlasts_it(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True, author="tester")
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    docs.promote("prod", "main")
    with postgres_running() as server:
        url = server.new_database()
        settings = ServiceSettings(state=str(tmp_path / "state"), database=SecretStr(url))
        server.stop()
        with pytest.raises(BackendError, match="does not answer") as refused:
            create_app(repository, settings)
        assert refused.value.exit_code == 7 and PASSWORD not in str(refused.value)

        server.start()
        app = create_app(repository, settings)
        keys = open_keys(settings, repository.url)
        _, token = keys.add("app", ["*:admin"])
        with TestClient(app, headers={"authorization": f"Bearer {token}"}) as client:
            wait_until_ready(client)
            search = lambda: client.post("/v1/datasets/d/search", json=SEARCH)  # noqa: E731
            soon(lambda: search().status_code == 200)
            assert client.get("/readyz").json() == {"status": "ready"}

            server.stop()
            soon(lambda: client.get("/readyz").json() == {"status": "ready", "database": "away"})
            assert client.get("/readyz").status_code == 200 and search().status_code == 200
            assert client.get("/v1/jobs", headers={"authorization": "Bearer vv_unknown"}).status_code == 401
            for method, path, body in (
                ("POST", "/v1/datasets/d/rollback", {"ref": "prod"}),
                ("POST", "/v1/datasets/d/ingest?label=t", {"documents": [{"id": "a", "text": "b"}]}),
                ("GET", "/v1/jobs", None),
                ("GET", "/v1/audit", None),
            ):
                answer = client.request(method, path, json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "state_unreachable"), path
                assert answer.headers["retry-after"] and PASSWORD not in answer.text
            assert docs.aliases()["prod"] == docs.show().id

            server.start()
            soon(lambda: client.get("/readyz").json() == {"status": "ready"})
            tag = client.put("/v1/datasets/d/tags/after", json={"ref": "main"})
            assert tag.status_code < 300 and client.get("/v1/audit").json()["entries"][0]["outcome"] == "done"
        keys._table._database.close()  # type: ignore[union-attr]


def soon(holds: Callable[[], Any]) -> None:
    """Waits until it holds."""
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until, "it did not come to hold"
        time.sleep(0.05)
