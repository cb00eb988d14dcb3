"""A small reranking endpoint on loopback: it answers in the form of each API, and badly on request."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from vecver.model import Json


def shorter_is_better(query: str, texts: list[str]) -> list[float]:
    """The scores that the endpoint gives: 1 / (1 + length)."""
    return [1 / (1 + len(text)) for text in texts]


class Server:
    """`script` holds what to answer next: (status, body), or seconds to wait for each byte; empty: the truth."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.script: list[tuple[int, Any] | float] = []
        self.requests: list[Json] = []
        self.keys: list[str | None] = []

    def answer(self, body: Json, key: str | None) -> tuple[int, Any, float]:
        self.requests.append(body)
        self.keys.append(key)
        step = self.script.pop(0) if self.script else 0.0
        if isinstance(step, tuple):
            return *step, 0.0
        return 200, ranked(body), step


def ranked(body: Json) -> Any:
    """The true answer, worst first: only `index` says which text a score belongs to."""
    texts = body["texts"] if "texts" in body else body["documents"]
    scores = shorter_is_better(body["query"], texts)
    if "texts" in body:
        return [{"index": i, "score": score} for i, score in enumerate(scores)][::-1]
    results = [{"index": i, "relevance_score": score} for i, score in enumerate(scores)]
    return {"id": "1", "results": results[::-1], "usage": {"total_tokens": 7}}


@contextmanager
def running() -> Iterator[Server]:
    """A server on loopback, for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer, wait = state.answer(body, self.headers["authorization"])
            data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status if self.path == "/rerank" else 404)
            for name, value in {"content-length": str(len(data)), "location": f"{state.url}/elsewhere"}.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in [data[i : i + 1] for i in range(len(data))] if wait else [data]:
                time.sleep(wait)
                try:
                    self.wfile.write(piece)
                    self.wfile.flush()
                except OSError:  # who asked has gone
                    return

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state = Server(f"http://127.0.0.1:{http.server_port}/rerank")
        Thread(target=http.serve_forever, daemon=True).start()
        yield state
        http.shutdown()
