"""What embedding servers are sent and answer. Makes no request.

    openai, vllm, infinity   POST URL/embeddings   {model, input, encoding_format}  -> {data: [{index, embedding}]}
    voyage                   POST URL/embeddings   {model, input, input_type}       -> {data: [{index, embedding}]}
    cohere                   POST URL/v2/embed     {model, texts, input_type, …}    -> {embeddings: {float: [[…]]}}
    ollama                   POST URL/api/embed    {model, input, truncate}         -> {embeddings: [[…]]}
    tei                      POST URL/embed        {inputs, truncate}               -> [[…]]

Decisions
1. Servers are asked not to truncate: a text that is too long is refused and named, never cut in silence.
2. Voyage and Cohere embed documents and questions differently, so they are told which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecver.model import Json


class WrongCount(ValueError):
    """The answer has more or fewer vectors than there are texts."""


@dataclass(frozen=True)
class Shape:
    """One kind of server."""

    path: str  # below the URL
    batch: int  # texts that one request may have
    body: Callable[[str, Sequence[str], bool], Json]  # (model, texts, whether they are questions)
    rows: Callable[[Any, int], list[Any]]  # (the answer, number of texts): vectors in the order of the texts
    url: str = ""  # where it is asked if no URL is given


def _openai(model: str, texts: Sequence[str], query: bool) -> Json:
    return {"model": model, "input": list(texts), "encoding_format": "float"}


def _voyage(model: str, texts: Sequence[str], query: bool) -> Json:
    return {"model": model, "input": list(texts), "input_type": "query" if query else "document", "truncation": False}


def _cohere(model: str, texts: Sequence[str], query: bool) -> Json:
    kind = "search_query" if query else "search_document"
    return {"model": model, "texts": list(texts), "input_type": kind, "embedding_types": ["float"], "truncate": "NONE"}


def _ollama(model: str, texts: Sequence[str], query: bool) -> Json:
    return {"model": model, "input": list(texts), "truncate": False}


def _tei(model: str, texts: Sequence[str], query: bool) -> Json:
    return {"inputs": list(texts), "truncate": False}


def _by_index(answer: Any, count: int) -> list[Any]:
    items = sorted(answer["data"], key=lambda item: item["index"])
    indices = [item["index"] for item in items]
    if indices != list(range(count)):
        raise WrongCount(f"it has the vectors {indices[:5]}... for {count} texts")
    return [item["embedding"] for item in items]


def _in_order(rows: Any, count: int) -> list[Any]:
    if not isinstance(rows, list):
        raise TypeError(f"{type(rows).__name__} in place of vectors")
    if len(rows) != count:
        raise WrongCount(f"it has {len(rows)} vectors for {count} texts")
    return rows


SHAPES: Final = {
    "openai": Shape("embeddings", 128, _openai, _by_index, "https://api.openai.com/v1"),
    "vllm": Shape("embeddings", 128, _openai, _by_index),
    "infinity": Shape("embeddings", 128, _openai, _by_index),
    "voyage": Shape("embeddings", 128, _voyage, _by_index, "https://api.voyageai.com/v1"),
    "cohere": Shape(
        "v2/embed", 96, _cohere, lambda a, n: _in_order(a["embeddings"]["float"], n), "https://api.cohere.com"
    ),
    "ollama": Shape("api/embed", 64, _ollama, lambda a, n: _in_order(a["embeddings"], n), "http://localhost:11434"),
    "tei": Shape("embed", 32, _tei, lambda a, n: _in_order(a, n)),
}
