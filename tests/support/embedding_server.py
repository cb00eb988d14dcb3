"""A small OpenAI-compatible embeddings endpoint on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from json_server import Answer, answering

from vecver.model import Json


class Server:
    """A small OpenAI-compatible endpoint. `script` holds what to answer next; empty: the truth."""

    def __init__(self) -> None:
        self.url = ""
        self.script: list[Answer] = []
        self.requests: list[Json] = []
        self.keys: list[str | None] = []

    def respond(self, path: str, body: Json, key: str | None) -> Answer:
        status, answer, headers = self.answer(body, key)
        return (status if path == "/v1/embeddings" else 404), answer, headers

    def answer(self, body: Json, key: str | None) -> Answer:
        self.requests.append(body)
        self.keys.append(key)
        return self.script.pop(0) if self.script else (200, embeddings(body["input"]), {})


def embeddings(texts: list[str], **changes: Any) -> Json:
    """The answer to `texts`: backwards, since only `index` says which is which; vector (3, length of text)."""
    items = [{"index": i, "embedding": [3.0, float(len(text))], **changes} for i, text in enumerate(texts)]
    return {"object": "list", "data": items[::-1]}


@contextmanager
def running() -> Iterator[Server]:
    """A server on loopback, for as long as the context lasts."""
    server = Server()
    with answering(server.respond) as url:
        server.url = f"{url}/v1"
        yield server
