"""What a type checker says of calls; `tests/unit/test_types.py` lets mypy read this file, and nothing runs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import vecver
from vecver import Answer, Chunks, Commit, Count, Dataset, Document, Fields, Log, RemoteDataset, Snapshot, StoredChunk

Numbers = list[float]


def searched(docs: Dataset, vectors: npt.NDArray[np.float32], numbers: Numbers) -> None:
    assert_type(docs.search("text"), Answer)
    assert_type(docs.search("text", at="prod", k=3, filter={"year": 2024}), Answer)
    assert_type(docs.search(["a", "b"]), list[Answer])
    assert_type(docs.search(("a", "b")), list[Answer])
    assert_type(docs.search(np.ones(8)), Answer)
    assert_type(docs.search(np.ones(8, np.float32), exact=True), Answer)
    matrix = np.ones((2, 8))
    assert_type(docs.search(matrix), list[Answer])
    assert_type(docs.search(numbers), Answer)
    assert_type(docs.search([0.5, 1]), Answer)
    assert_type(docs.search([numbers, numbers]), list[Answer])
    assert_type(docs.search([np.ones(8), np.ones(8)]), list[Answer])
    assert_type(docs.search(vectors), Answer)  # of as many dimensions as it may have
    for hit in docs.search("text"):
        assert_type(hit, vecver.Hit)
    assert_type(docs.search("text")[0], vecver.Hit)
    assert_type(docs.search("text")[:2], tuple[vecver.Hit, ...])
    assert_type(docs.more_like("a.md", k=3), Answer)


def searched_elsewhere(remote: RemoteDataset, opened: Snapshot) -> None:
    assert_type(remote.search("text", engine="milvus"), Answer)
    assert_type(remote.search(["a"]), list[Answer])
    matrix = np.ones((2, 8))
    assert_type(remote.search(matrix), list[Answer])
    assert_type(opened.search("text", k=3), Answer)
    assert_type(opened.search(np.ones(8)), Answer)
    assert_type(opened.search(["a"]), list[Answer])


def read(docs: Dataset | RemoteDataset, ids: Iterator[str]) -> None:
    assert_type(docs.documents(prefix="guide/"), list[str])
    assert_type(docs.get("a.md"), Document)
    assert_type(docs.get("a.md", missing="skip"), Document | None)
    assert_type(docs.get(["a.md"]), list[Document])
    assert_type(docs.get(ids, missing="skip"), list[Document])
    assert_type(docs.chunks(), Chunks)
    assert_type(next(docs.chunks()), StoredChunk)
    assert_type([chunk.text for chunk in docs.chunks()], list[str])
    assert_type(docs.chunk("0" * 32), StoredChunk)
    assert_type(docs.count(), Count)
    assert_type(docs.fields(), Fields)
    assert_type(docs.fields()["year"], vecver.Field)
    assert_type(docs.log(), Log)
    assert_type(next(docs.log()), Commit)
    assert_type(list(docs.log()), list[Commit])
    assert_type(vecver.__version__, str)


def refused(docs: Dataset, opened: Snapshot, what: Any) -> None:
    docs.search("text", limit=3)  # type: ignore[call-overload]
    docs.search("text", k="3")  # type: ignore[call-overload]
    docs.search({"a": 1})  # type: ignore[call-overload]
    opened.search("text", at="main")  # type: ignore[call-overload]
    docs.get(3)  # type: ignore[call-overload]
    docs.get("a.md", missing="ignore")  # type: ignore[call-overload]
    docs.documents(limit="3")  # type: ignore[arg-type]
    docs.search("text").hits = what  # type: ignore[misc]
