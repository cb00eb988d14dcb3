"""Lets queries that many threads ask at once go through the model together; knows neither model nor texts.

Who comes while the model is busy waits; who enters next takes all that wait along. No thread of its own, no
window of time: one who comes alone is served at once.

Decisions
- 2026-11-21 A caller's error is its own: where a batch fails, its callers are embedded one by one.
- 2026-11-21 As many are inside as the embedder says, two for a model on two cores. CPU milliseconds a query of
  8 words, each caller for itself, with one inside, with two, for 8 and 32 threads: torch on two threads 15.2,
  13.7, 14.7 and 17.1, 7.3, 9.2; on one 15.1, 9.2, 10.5 and 14.2, 6.3, 7.4; OpenVINO 8.4, 6.6, 7.8 and 8.3,
  5.0, 5.8. With one inside least is spent, but at 2 and 8 callers a core was idle: torch on two threads
  answered a fifth fewer than with each for itself. With two inside it was as many, within the noise of a
  machine at load 6 to 10, and with 32 callers 1.9 times as many (torch, one thread 2.0, OpenVINO 1.2).
- 2026-11-21 Callers lead each other, oldest first, 32 texts at most: a call with a thousand queries goes in
  pieces, and others get in between. A leader that is interrupted puts back those whom it took, itself not.
- 2026-11-21 What a library raises beside Exception is its text's too: a panic in Rust (tokenizers) is one, and went
  to whoever led, while the text stayed in the queue and failed everybody after.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

import numpy as np
import numpy.typing as npt

from vecver.model import Embedder, TokenCounts, Vectors

MOST = 32  # texts taken along, unless one call has more


@dataclass(eq=False)
class _Asked:
    """The texts of one caller, and where it finds its vectors."""

    texts: list[str]
    answer: Future[Vectors] = field(default_factory=Future)


class Together:
    """The embedder that it is given, for many threads: the same vectors, in fewer turns."""

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
        self._waiting = list[_Asked]()  # oldest first
        self._inside = 0  # callers in the model

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
        """As the embedder's: documents wait for nobody."""
        return self._embedder.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """`(n, dim)` float32, each row with the bits that it has alone. Raises what its own texts make of it."""
        parts = [self._answer(list(texts[start : start + MOST])) for start in range(0, len(texts), MOST)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)

    def _answer(self, texts: list[str]) -> Vectors:
        mine = _Asked(texts)
        with self._changed:
            self._waiting.append(mine)
        try:
            while taken := self._enter(mine):
                try:
                    self._embed(taken)
                finally:
                    self._leave(taken)
        except BaseException:
            self._withdraw(mine)
            raise
        return mine.answer.result()

    def _enter(self, mine: _Asked) -> list[_Asked]:
        """Those whom the caller is to embed, once there is room; nobody, once its own answer is there."""
        with self._changed:
            self._changed.wait_for(
                lambda: mine.answer.done() or (mine in self._waiting and self._inside < self.at_once)
            )
            if mine.answer.done():
                return []
            taken = self._oldest()
            del self._waiting[: len(taken)]
            self._inside += 1
            return taken

    def _oldest(self) -> list[_Asked]:
        taken, room = list[_Asked](), MOST
        for asked in self._waiting:
            room -= len(asked.texts)
            if taken and room < 0:
                break
            taken.append(asked)
        return taken

    def _leave(self, taken: list[_Asked]) -> None:
        with self._changed:
            self._inside -= 1
            self._waiting[:0] = [asked for asked in taken if not asked.answer.done()]
            self._changed.notify_all()

    def _withdraw(self, mine: _Asked) -> None:
        """Its caller is interrupted, and waits for it no more."""
        with self._changed:
            if mine in self._waiting:
                self._waiting.remove(mine)

    def _embed(self, taken: list[_Asked]) -> None:
        """Answers these callers, each with its own vectors or its own error."""
        try:
            vectors = self._embedder.embed_queries([text for asked in taken for text in asked.texts])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as failure:
            if len(taken) == 1:
                taken[0].answer.set_exception(failure)
                return
            for asked in taken:
                self._embed([asked])
            return
        ends = np.cumsum([len(asked.texts) for asked in taken])
        for asked, rows in zip(taken, np.split(vectors, ends[:-1]), strict=True):
            asked.answer.set_result(rows)
