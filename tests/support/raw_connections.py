"""Connections of plain bytes to a service, and services whose timeouts are short."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from serving import running
from vecver_service import worker
from vecver_service.app import create_app
from vecver_service.http import connections
from vecver_service.settings import ServiceSettings

import vecver

Json = dict[str, Any]
DATASET = "/v1/datasets/d"
SEARCH = f"{DATASET}/search"
PATIENCE = 0.6  # seconds: of the services here


@contextmanager
def service(place: Path, **settings: Any) -> Iterator[Any]:
    """A client of a service on the repository, whose jobs wait."""
    state = str(place / f"state-{time.monotonic_ns()}")
    own = ServiceSettings(state=state, **settings)
    app = create_app(vecver.open(place / "kb"), own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.Worker, "start", lambda self: None)
        patch.setattr(worker.Worker, "stop", lambda self, seconds: None)
        patch.setattr(connections, "_settings", lambda: ServiceSettings(header_timeout=PATIENCE, timeout=PATIENCE))
        client: Any = httpx.Client(timeout=30)
        with running(app) as url, client:
            client.base_url, client.app = url, app
            yield client


class Line:
    """A connection of bytes."""

    def __init__(self, client: Any) -> None:
        at = urlsplit(str(client.base_url))
        self._socket = socket.create_connection((at.hostname, at.port), timeout=30)

    def say(self, data: bytes) -> Line:
        self._socket.sendall(data)
        return self

    def half_close(self) -> Line:
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def hear(self, answers: int = 0) -> bytes:
        """What comes until the other side closes, or so many answers have begun."""
        heard = b""
        while not answers or heard.count(b"HTTP/1.1 ") < answers:
            try:
                part = self._socket.recv(1 << 16)
            except ConnectionResetError:
                break
            if not part:
                break
            heard += part
        return heard

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def alive(client: Any) -> None:
    answer = client.post(SEARCH, json={"query": "text", "k": 1})
    assert answer.status_code == 200 and len(answer.json()["hits"]) == 1


def request(body: bytes = b"", *, method: str = "POST", path: str = SEARCH, extra: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def problem(heard: bytes) -> Json:
    """The error that an answer is."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head, heard[:500]
    value: Json = json.loads(body)
    assert value["instance"].encode() in head and str(value["status"]).encode() in head.split(b"\r\n")[0]
    return value


QUERY = b'{"query":"text","k":1}'
