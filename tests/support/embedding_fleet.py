"""Small embedding servers on loopback that behave badly: limits, poison, pauses, and models that change."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from json_server import Answer, answering

PATHS = {"/v1/embeddings", "/embed", "/api/embed", "/v2/embed"}


def vector(text: str, model: str = "toy", dim: int = 16) -> list[float]:
    """A vector for a text under a model."""
    seed = int.from_bytes(hashlib.sha256(f"{model}\0{text}".encode()).digest()[:8], "little")
    return [float(x) for x in np.random.default_rng(seed).standard_normal(dim)]


class Node:
    """One server. `trouble` may answer instead; `texts`: all that were embedded, in the order of the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.model, self.dim, self.pause_s = "toy", 16, 0.0
        self.requests: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.times: list[float] = []
        self.trouble: Callable[[list[str]], Answer | None] = lambda texts: None
        self.lock = threading.Lock()
        self.inside = self.most_inside = 0

    def answer(self, path: str, body: dict[str, Any], key: str | None) -> Answer:
        if path not in PATHS:
            return 404, {}, {}
        texts: list[str] = body.get("input") or body.get("inputs") or body.get("texts") or []
        with self.lock:
            self.requests.append(body)
            self.times.append(time.monotonic())
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        try:
            time.sleep(self.pause_s)
            if trouble := self.trouble(texts):
                return trouble
            rows = [vector(text, self.model, self.dim) for text in texts]
            with self.lock:
                self.texts += texts
            return 200, shaped(path, rows), {}
        finally:
            with self.lock:
                self.inside -= 1


def shaped(path: str, rows: list[Any]) -> Any:
    """Vectors as the API at a path answers them."""
    if path == "/embed":
        return rows
    if path == "/api/embed":
        return {"embeddings": rows}
    if path == "/v2/embed":
        return {"embeddings": {"float": rows}}
    return {"data": [{"index": i, "embedding": row} for i, row in enumerate(rows)][::-1]}


@contextmanager
def fleet(count: int) -> Iterator[list[Node]]:
    """So many servers, for as long as the context lasts."""
    nodes = [Node() for _ in range(count)]
    with ExitStack() as stack:
        for node in nodes:
            node.url = stack.enter_context(answering(node.answer))
        yield nodes
