"""Batches queries that many threads embed at once. It starts no thread and waits for no time window.

A caller that arrives while the model is busy waits. The next caller that enters embeds all waiting queries with its
own. A caller that arrives alone is served at once.

Decisions
1. A caller's error stays its own: if a batch fails, its callers are embedded one by one.
2. The embedder says how many callers may be inside, two for a model on two cores. CPU milliseconds a query of 8 words
   (each caller for itself, one inside, two inside) for 8 and 32 threads: torch on two threads 15.2, 13.7, 14.7 and
   17.1, 7.3, 9.2; on one 15.1, 9.2, 10.5 and 14.2, 6.3, 7.4; OpenVINO 8.4, 6.6, 7.8 and 8.3, 5.0, 5.8. One inside costs
   least CPU, but at 2 and 8 callers a core was idle: torch on two threads answered a fifth fewer than with each caller
   for itself. With two inside it answered as many, within the noise of a machine at load 6 to 10, and with 32 callers
   1.9 times as many (torch on one thread 2.0, OpenVINO 1.2).
3. The oldest callers go first, 32 texts at most: a call with a thousand queries is split, and others get in between. A
   caller that is interrupted puts the requests it took back into the queue, except its own.
4. Errors outside `Exception` belong to the text that raised them too: a panic in Rust (tokenizers) is one. It used to
   reach the caller that led the batch, while the text stayed in the queue and failed everyone after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError
from vecver.model import Embedder, PartEmbedder, TokenCounts, Vectors

MOST = 32  # texts in a batch of several calls
SLICE = 64  # texts embedded at once; so many at most are embedded again after an interruption
SLICE_GPU = 512  # as many keep a GPU busy


@dataclass(eq=False)
class _Request:
    """The texts of one caller, and the future of their vectors."""

    texts: list[str]
    answer: Future[Vectors] = field(default_factory=Future)


class Together:
    """Wraps an embedder for many threads: the same vectors, with fewer runs of the model."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.dim, self.metric, self.max_tokens = (
            embedder.name,
            embedder.dim,
            embedder.metric,
            embedder.max_tokens,
        )
        self.recipe, self.fingerprint, self.environment = embedder.recipe, embedder.fingerprint, embedder.environment
        self._changed = Condition()  # guards the two below
        self._waiting = list[_Request]()  # oldest first
        self._inside = 0  # callers running the model

    @property
    def at_once(self) -> int:
        """As the embedder's."""
        return self._embedder.at_once

    def count_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """As the embedder's."""
        return self._embedder.count_tokens(texts)

    def token_counts(self, texts: Sequence[str]) -> TokenCounts:
        """As the embedder's."""
        return self._embedder.token_counts(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the embedder's, without waiting."""
        return self._embedder.embed(texts)

    def embed_parts(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Vectors | BackendError]]:
        """(positions, their vectors) as they are made; or (one position, why an endpoint refused this text).

        Of a model on this machine SLICE texts at once, on a GPU SLICE_GPU, short ones first: similar lengths need
        little padding.
        """
        if isinstance(self._embedder, PartEmbedder):
            yield from self._embedder.embed_parts(texts)
            return
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        size = SLICE_GPU if self._embedder.environment.get("device") == "cuda" else SLICE
        for start in range(0, len(order), size):
            part = order[start : start + size]
            yield part, self._embedder.embed([texts[i] for i in part])

    @property
    def may_refuse(self) -> bool:
        """Whether single texts may be refused, as endpoints do."""
        return isinstance(self._embedder, PartEmbedder)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, each row with the bits it has alone. Raises the embedder's errors for these texts."""
        parts = [self._answer(list(texts[start : start + MOST])) for start in range(0, len(texts), MOST)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)

    def _answer(self, texts: list[str]) -> Vectors:
        request = _Request(texts)
        with self._changed:
            self._waiting.append(request)
        try:
            while batch := self._enter(request):
                try:
                    self._embed(batch)
                finally:
                    self._leave(batch)
        except BaseException:
            self._withdraw(request)
            raise
        return request.answer.result()

    def _enter(self, request: _Request) -> list[_Request]:
        """Waits, then returns the requests that this caller must embed; none once its own vectors are ready."""
        with self._changed:
            self._changed.wait_for(
                lambda: request.answer.done() or (request in self._waiting and self._inside < self.at_once)
            )
            if request.answer.done():
                return []
            batch = self._oldest_requests()
            del self._waiting[: len(batch)]
            self._inside += 1
            return batch

    def _oldest_requests(self) -> list[_Request]:
        batch, room = list[_Request](), MOST
        for request in self._waiting:
            room -= len(request.texts)
            if batch and room < 0:
                break
            batch.append(request)
        return batch

    def _leave(self, batch: list[_Request]) -> None:
        with self._changed:
            self._inside -= 1
            self._waiting[:0] = [request for request in batch if not request.answer.done()]
            self._changed.notify_all()

    def _withdraw(self, request: _Request) -> None:
        """Remove the request of an interrupted caller."""
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)

    def _embed(self, batch: list[_Request]) -> None:
        """Embed these requests; each gets its vectors or its error."""
        try:
            vectors = self._embedder.embed_queries([text for request in batch for text in request.texts])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as failure:
            if len(batch) == 1:
                batch[0].answer.set_exception(failure)
                return
            for request in batch:
                self._embed([request])
            return
        ends = np.cumsum([len(request.texts) for request in batch])
        for request, rows in zip(batch, np.split(vectors, ends[:-1]), strict=True):
            request.answer.set_result(rows)
