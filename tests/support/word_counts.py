"""A model of embeddings that can be worked out by hand: how often each of four words stands in a text."""

from __future__ import annotations

import time
from collections.abc import Sequence

WORDS = ("pump", "valve", "key", "lift")


def counts(text: str) -> list[float]:
    """One number a word, and a small one so that no text has a vector of zeros."""
    return [*(float(text.lower().count(word)) for word in WORDS), 0.125]


class Slow:
    """Takes `seconds` for every call, as a model or a network would, without the interpreter's lock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        time.sleep(self.seconds)
        return [counts(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]
