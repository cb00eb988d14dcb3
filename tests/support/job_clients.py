"""A service without keys in this process, and uploads of vectors to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from helpers import records
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings

import vecver

Json = dict[str, Any]


@contextmanager
def client_of(place: Path, **settings: Any) -> Iterator[TestClient]:
    """A service on the repository `kb`, without keys."""
    repository = vecver.open(place / "kb", create=True, author="tester")
    app = create_app(repository, ServiceSettings(state=str(place / "state"), no_auth=True, **settings))
    with TestClient(app) as client:
        yield client


def upload(client: TestClient, texts: dict[str, str], **query: Any) -> Json:
    body = "".join(json.dumps({**one, "vector": one["vector"].tolist()}) + "\n" for one in records(texts))
    query = {"label": "texts", "space": "test", "metric": "ip", **query}
    headers = {"content-type": "application/x-ndjson"}
    response = client.post("/v1/datasets/d/ingest", params=query, content=body, headers=headers)
    assert response.status_code == 202, response.text
    return dict(response.json())
