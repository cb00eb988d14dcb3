"""Records to export, and what tests of exports ask of folders and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, vector_of

import vecver
from vecver.errors import VecverError
from vecver.model import Json
from vecver.repo import ROW_FILES

METADATA: list[Any] = [1, 1.0, "1", True, [], ["a", "b"], [1, "a"], {"deep": [None]}, -(2**63), 1e300, "", -0.0]
QUERIES = [vector_of(f"question {i}") for i in range(6)]
ALL = {*ROW_FILES, "snapshot.json", "index.faiss", "README.md", "SHA256SUMS"}


def entries(count: int, version: int = 0) -> list[Json]:
    """Records whose metadata have every type; every third changes with the version, every fifth is equal text."""
    given = []
    for i in range(count):
        text = "twin" if i % 5 == 0 else f"text {i} of {version if i % 3 == 0 else 0}"
        fields = {"any": METADATA[i % len(METADATA)], "odd": bool(i % 2)} if i % 7 else {}
        given.append({"id": f"d/ü {i}", "text": text, "title": f"T{i % 4}", "vector": vector_of(text), **fields})
    return given


def given(repository: vecver.Repository, count: int = 3) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, {f"doc-{i}": f"text {i}" for i in range(count)})
    return docs


def code_of(call: Callable[[], Any], kind: type[VecverError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint
    return caught.value.code


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
