"""A small OpenAI-compatible embeddings endpoint on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from vecver.model import Json

# -- an endpoint ---------------------------------------------------------------------------------


class Server:
    """A small OpenAI-compatible endpoint. `script` holds what to answer next; empty: the truth."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: list[tuple[int, Any, dict[str, str]]] = []
        self.requests: list[Json] = []
        self.keys: list[str | None] = []

    def answer(self, body: Json, key: str | None) -> tuple[int, Any, dict[str, str]]:
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

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer, headers = state.answer(body, self.headers["authorization"])
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status if self.path == "/v1/embeddings" else 404)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state = Server(f"http://127.0.0.1:{http.server_port}/v1")
        Thread(target=http.serve_forever, daemon=True).start()
        yield state
        http.shutdown()
