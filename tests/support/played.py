"""A service that is played: written replies for each path, and a list of the requests that came."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

import vecver
from vecver.model import (
    Coverage,
    Failure,
    Hit,
    Move,
    Publication,
    Report,
)
from vecver.remote.repository import RemoteRepository
from vecver.wire import Wire

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = pytest.importorskip("httpx2", reason="no httpx2: install vecver[client]")


HIT = Hit(
    rank=1,
    score=0.1 + 0.2,
    score_bits="3fd3333333333334",
    document="guide/Wärme.md",
    key="0f" * 16,
    span=(3, 17),
    text="bleed\u2028the valve",
    title="",
    metadata={"year": 2024, "tags": ["a", "b"], "deep": {"x": None}},
    headings=("Heating", "Valves"),
    header="| Part | Price |",
    page=3,
)
REPORT = Report(
    dataset="handbook",
    commit="c" * 64,
    changed=True,
    documents={"added": 1, "changed": 0, "removed": 0, "unchanged": 2, "failed": 1},
    chunks={"live": 9, "embedded": 3, "reused": 0, "removed": 0},
    failures=(Failure("a.pdf", "encrypted", "It needs a password."),),
    seconds={"parse": 0.125, "chunk": 0.0, "embed": 1.5, "write": 0.25},
    tokens=120,
    names={"added": ("b.md",), "changed": (), "removed": ()},
    notes=("not published", "b.md: Page 3 holds no text."),
    coverage={"b.md": Coverage(9, 7, 1, ("Page 3 holds no text.",))},
    unseen={"c.md": "The embedder minilm does not know 97% of its tokens."},
)
PUBLICATION = Publication(
    uri="http://localhost:19530",
    database="",
    collection="handbook_1",
    alias="",
    ordinal=3,
    filter="born <= 3 and died > 3",
    metric="IP",
    index="FLAT",
    dim=8,
    fields=("vector", "text"),
    dataset="handbook",
    commit="c" * 64,
    chunks=9,
)


SECRET = "vv_0badcafe_secret"
PROBLEM = {
    "type": "urn:vecver:error:ref_moved",
    "title": "Conflict",
    "status": 409,
    "detail": "the alias 'prod' was moved by somebody else",
    "category": "ConflictError",
    "code": "ref_moved",
    "hint": "look at it again",
    "context": {"found": "c" * 64},
    "instance": "req-1",
}
MOVE = Move("handbook", "alias", "prod", None, "c" * 64, "alice", "2026-01-01T00:00:00.000000+00:00", "promote", None)
JOB: dict[str, Any] = {"id": "20260101T000000-0", "state": "queued", "progress": {}, "result": None, "error": None}

Reply = httpx2.Response | Exception


@dataclass
class Played:
    """Answers each request with the next reply that was written down for its path, the last one for ever."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    requests: list[httpx2.Request] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        replies = self.replies.get(f"{request.method} {request.url.path}", [answer({"code": "x"}, 404)])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def connect(self, **how: Any) -> vecver.RemoteRepository:
        self.replies.setdefault("GET /v1", [answer({"repository": "f" * 32})])
        repository = RemoteRepository(Wire("http://kb.test/", SECRET, transport=httpx2.MockTransport(self), **how))
        self.requests.clear()
        return repository

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


def answer(body: Any, status: int = 200, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        return httpx2.Response(status, text=body, headers=names)
    return httpx2.Response(status, json=body, headers=names)
