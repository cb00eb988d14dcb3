"""Filters as masks: what is kept of them stays within its budget, and selects what a row by row reading does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import open_on
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import InvalidInputError
from vecver.flows.searching import filtering, selections
from vecver.flows.searching.selections import SelectionCache, name_of
from vecver.repo.rows.sorted_keys import as_keys
from vecver.store import MemoryStore


@pytest.fixture
def docs() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


def put(docs: vecver.Dataset, numbers: range, version: int) -> str:
    """Records whose fields say their number and version; their vectors are drawn by these."""
    rows = [
        {"id": f"d{i}", "text": f"text {i} of {version}", "vector": [1.0, i, version], "n": i, "v": version}
        for i in numbers
    ]
    docs.ingest(rows, space="s", label="r", keep_missing=True, allow_removals=True)
    return docs.resolve()


def opened(docs: vecver.Dataset, at: str = "main") -> repo.Snapshot:
    return versions_of(docs).snapshot(docs.resolve(at))


def selected_keys(snapshot: repo.Snapshot, selection: selections.Selection) -> set[bytes]:
    """The keys of the rows of all parts that a selection leaves."""
    keys = set[bytes]()
    for part in filtering.filtered(snapshot, selection):
        assert part.live is not None
        rows = np.flatnonzero(np.unpackbits(part.live, count=len(part.vectors), bitorder="little"))
        assert len(rows) == part.live_count
        keys |= {key.tobytes() for key in part.keys[rows]}
    return keys


def keys_by_reading(docs: vecver.Dataset, at: str, keep: Any) -> set[bytes]:
    return {bytes.fromhex(chunk.key) for chunk in docs.chunks(at) if keep(docs.get(chunk.document, at=at).metadata)}


@pytest.mark.parametrize("optimized", [False, True])
def test_a_filter_selects_the_chunks_of_its_documents_at_every_version(docs: vecver.Dataset, optimized: bool) -> None:
    """Several segments, large and gathered ones; documents whose newest row lies in another segment than the first."""
    ids = [put(docs, range(0, 60), 0), put(docs, range(10, 20), 1), put(docs, range(15, 18), 2)]
    docs.delete(["d0", "d16"])
    ids.append(docs.resolve())
    same = {"id": "d30", "text": "text 30 of 0", "vector": [1.0, 30, 0], "n": 30, "v": 1}
    assert docs.ingest([same], space="s", label="r", keep_missing=True).chunks["reused"] == 1
    ids.append(docs.resolve())
    if optimized:
        docs.optimize()
    for id in ids:
        snapshot = opened(docs, id)
        for filter, keep in (
            ({"n": {"$lt": 17}}, lambda row: row["n"] < 17),
            ({"v": 1}, lambda row: row["v"] == 1),
            ({"v": {"$gt": 7}}, lambda row: False),
            ({"$document": {"$in": ["d0", "d15", "d16"]}}, lambda row: row["n"] in (0, 15, 16)),
        ):
            selection = filtering.matching(snapshot, filter)
            assert selection is not None
            expected = keys_by_reading(docs, id, keep)
            assert selected_keys(snapshot, selection) == expected, (id, filter)
            keys = as_keys(sorted(expected)) if expected else np.zeros((0, 16), np.uint8)
            assert selection.holds(*snapshot.find_chunks(keys)).all()
            hits = docs.search([1.0, 0.0, 0.0], at=id, k=1000, filter=filter).hits
            assert {bytes.fromhex(hit.key) for hit in hits} == expected


def test_the_document_of_a_row_is_the_live_one(docs: vecver.Dataset) -> None:
    put(docs, range(0, 30), 0)
    put(docs, range(5, 8), 1)
    docs.optimize()
    for at in ("main", "main~1"):
        snapshot = opened(docs, at)
        for number, live in enumerate(snapshot.layout.segments):
            rows = np.array(list(live.chunks), np.int64)
            for row, document in zip(rows.tolist(), snapshot.row_documents.of_rows(number, rows).tolist(), strict=True):
                (owner,) = snapshot.owners([(number, row)])
                assert snapshot.row_documents.place(document) == (owner.segment, owner.row)
        assert snapshot.nbytes > snapshot.row_documents.nbytes > 0


def test_chunks_and_documents_are_left_out(docs: vecver.Dataset) -> None:
    put(docs, range(0, 30), 0)
    put(docs, range(3, 6), 1)
    snapshot = opened(docs)
    selection = filtering.matching(snapshot, {"n": {"$lt": 10}})
    for chosen, numbers in ((selection, range(10)), (None, range(30))):
        left = filtering.leaving_out(snapshot, chosen, ["d4", "d7"])
        assert left is not None
        kept = set(numbers) - {4, 7}
        assert selected_keys(snapshot, left) == keys_by_reading(docs, "main", lambda row, kept=kept: row["n"] in kept)
    assert filtering.leaving_out(snapshot, selection, []) is selection


def test_a_repeated_filter_is_evaluated_once(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    put(docs, range(20), 0)
    snapshot, first = opened(docs), {"v": 0, "n": {"$lt": 5}}
    selection = filtering.matching(snapshot, first)
    monkeypatch.setattr(filtering, "match", lambda *_, **__: pytest.fail("evaluated again"))
    assert filtering.matching(snapshot, {"n": {"$lt": 5}, "v": 0}) is selection


def test_filters_that_only_look_alike_are_not_mixed_up(docs: vecver.Dataset) -> None:
    put(docs, range(3), 0)
    snapshot = opened(docs)
    assert filtering.matching(snapshot, {"n": {"$in": [1, 2]}})
    with pytest.raises(InvalidInputError):
        filtering.matching(snapshot, {"n": {"$in": (1, 2)}})
    names = [name_of({"n": value}) for value in (1, 1.0, True, "1", [1], None)]
    assert len(set(names)) == len(names) and None not in names
    assert name_of({"n": float("nan")}) is None and name_of({"n": np.int64(1)}) is None
    assert name_of({"n": 1}, True) != name_of({"n": 1}, False)


def test_ten_thousand_filters_stay_within_the_budget(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    put(docs, range(20), 0)
    cache, snapshot = SelectionCache(100 * 3000), opened(docs)
    monkeypatch.setattr(filtering, "CACHE", cache)
    often = filtering.matching(snapshot, {"n": 3})
    for limit in range(10_000):
        filtering.matching(snapshot, {"n": {"$lt": limit}})
        assert cache.nbytes <= cache.budget
        if limit % 50 == 0:
            assert filtering.matching(snapshot, {"n": 3}) is often, "what is used stays"
    assert 50 < len(cache) <= 200


def test_what_is_kept_goes_with_its_version(docs: vecver.Dataset) -> None:
    put(docs, range(20), 0)
    cache, snapshot = SelectionCache(10_000), opened(docs)
    selection = filtering.matching(snapshot, {"n": 1})
    assert selection is not None
    cache.put(snapshot, "a", selection)
    large = SelectionCache(10)
    large.put(snapshot, "a", selection)
    assert cache.get(snapshot, "a") is selection and large.get(snapshot, "a") is None and len(large) == 0
    assert cache.get(opened(docs), "b") is None
