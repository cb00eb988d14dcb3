"""A service for hostile requests, and what every answer to one must hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
from helpers import SPACE, records
from serving import running
from vecver_service.app import create_app
from vecver_service.settings import ServiceSettings

import vecver

Json = dict[str, Any]
PROBLEM = {"type", "title", "status", "detail", "category", "code", "hint", "context", "instance"}
TEXTS, VECTORS = "/v1/datasets/texts", "/v1/datasets/vectors"
STORE = "/v1/vector_stores/texts/search"
UPLOAD = f"{TEXTS}/ingest?label=x&dry_run=true"


@dataclass(frozen=True)
class Served:
    """A service without keys on two datasets: of texts, and of vectors that were given."""

    url: str
    client: Any
    app: Any
    place: Path
    receipt: Json

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json", **headers: Any) -> Any:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, path, content=content, headers={"content-type": kind, **headers})

    def left(self) -> set[str]:
        """The folders of uploads that belong to no job: of requests that were refused, none."""
        return set(os.listdir(self.place / "state/jobs")) - {job.id for job in self.app.state.deps.jobs.all()}


@contextmanager
def service_of_two_datasets(place: Path) -> Iterator[Served]:
    """A service on a repository with the datasets `texts` and `vectors`."""
    repository = vecver.open(place / "kb", create=True, author="tester")
    texts = repository.dataset("texts")
    documents = [
        {"id": f"doc-{i}", "text": f"text number {i}", "year": 2020 + i, "tags": ["a"], "ok": True, "s": "x"}
        for i in range(6)
    ]
    texts.ingest(documents, embedder="hashing")
    repository.dataset("vectors").ingest(records({f"doc-{i}": f"t{i}" for i in range(6)}), space=SPACE, metric="ip")
    settings = ServiceSettings(
        state=str(place / "state"), max_upload=1 << 20, max_body=1 << 20, max_files=20, folders=(str(place / "open"),)
    )
    app = create_app(repository, settings)
    with running(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Served(url, client, app, place, texts.search("text", k=3).receipt)


def assert_told(answer: Any) -> None:
    """An answer, or an error as the contract says; of our making, never of our failing."""
    assert answer.status_code < 500, answer.text
    assert not 300 <= answer.status_code < 400 or answer.status_code == 304
    assert answer.headers["x-request-id"]
    assert not re.search(r"/tmp/|/root|site-packages|Traceback", answer.text), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        if answer.request.method == "HEAD":
            return
        problem = answer.json()
        assert set(problem) - {"error", "hint_python"} == PROBLEM  # said where Python's client is told otherwise
        assert (problem["status"], problem["instance"]) == (answer.status_code, answer.headers["x-request-id"])


def refused(answer: Any, *codes: str) -> None:
    """Told as an error, with one of these codes."""
    assert_told(answer)
    assert answer.status_code >= 400, answer.text
    assert answer.json()["code"] in codes, answer.text
