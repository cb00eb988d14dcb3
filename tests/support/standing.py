"""A chunker for tests that says where chunks stand: one chunk a line, written by `line`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from vecver import pipeline
from vecver.model import Chunk, Json, Parsed


def line(text: str, embedded: str | None = None, **position: Any) -> str:
    """A chunk as a line of a document: its text, what is embedded of it, and where it stands."""
    return json.dumps([text, embedded or text, position])


def cut_at_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on documents are cut into their lines, which `line` made."""
    monkeypatch.setattr(pipeline, "chunk", _chunk)


def _chunk(documents: Sequence[Parsed], recipe: Json, count: Callable[..., Any]) -> list[list[Chunk]]:
    return [_of(document.text) for document in documents]


def _of(text: str) -> list[Chunk]:
    chunks, start = list[Chunk](), 0
    for row in filter(None, text.splitlines()):
        own, embedded, position = json.loads(row)
        position = {**position, "headings": tuple(position.get("headings", ()))}
        chunks.append(Chunk(start, start + len(own), own, embedded, **position))
        start += len(own) + 2
    return chunks
