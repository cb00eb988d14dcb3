"""A small service in this process: twenty documents in dataset `d`, with a tag, an alias, and no keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import ingest, vector_of

import vecver

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

Json = dict[str, Any]
TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(20)}
QUERY = [float(x) for x in vector_of("a question")]


@contextmanager
def small_service(folder: Path) -> Iterator[TestClient]:
    """A service without keys on a repository with two versions of `d`: `v1`, and `main` with one text changed."""
    from fastapi.testclient import TestClient
    from vecver_service.app import create_app
    from vecver_service.settings import ServiceSettings

    repository = vecver.open(folder / "kb", create=True, author="tester")
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    docs.tag("v1")
    docs.promote("prod", "v1")
    ingest(docs, {**TEXTS, "doc-3": "another text"})
    settings = ServiceSettings(state=str(folder / "state"), no_auth=True)
    with TestClient(create_app(repository, settings)) as client:
        yield client


def asked(client: TestClient, headers: Json | None = None, **body: Any) -> Any:
    """The answer to a search of `d`."""
    return client.post("/v1/datasets/d/search", json=body, headers=headers)


def wait_until_ready(client: TestClient) -> None:
    """Wait until the service has opened its versions; two minutes at most."""
    until = time.monotonic() + 120
    while client.get("/readyz").status_code != 200 and time.monotonic() < until:
        time.sleep(0.05)
