"""Segments: what is written comes back, the same rows give the same bytes, and no segment is ever another's part."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import document, vectors_of
from helpers import DIM, SPACE, ingest, open_on, records, texts_of, vector_of
from hypothesis import given
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.digest import key
from vecver.errors import BackendError, IntegrityError, InvalidInputError, SpaceMismatchError
from vecver.model import Space, Vectors
from vecver.repo import Draft, NewDocument, Segment, metadata_of
from vecver.repo.rows import sorted_keys
from vecver.repo.rows.schema import chunk_key, document_id, metadata_columns
from vecver.repo.rows.sorted_keys import as_keys
from vecver.store import LocalStore, MemoryStore, Store

THE_SPACE = Space("given:test", DIM, "ip")


def write(store: Store, documents: Sequence[NewDocument], sizes: Sequence[int] = (1000,)) -> Segment:
    """One segment with these documents, their rows added in pieces of the given sizes."""
    draft = Draft(store, None, THE_SPACE)
    rows = draft.stage(documents)
    start = 0
    for size in [*sizes, len(rows)]:
        piece = rows.slice(start, size)
        if len(piece):
            draft.add(piece, vectors_of(piece.table.column("text").to_pylist()))
        start += size
    (live,) = draft.finish()[0].segments
    return Segment(store, live.segment)


# -- round trip -------------------------------------------------------------------------------------

DOCUMENTS = [
    document("a.md", ["one", "two", "two", "\0 ünï 日本 😀"]),
    document("b", []),
    document("ordner/ç d", ["one"], {"year": 2024}),
]


def test_what_is_written_comes_back(store: Store) -> None:
    segment = Segment(store, write(store, DOCUMENTS).id)
    texts = ["one", "two", "two", "\0 ünï 日本 😀", "one"]
    owners = ["a.md"] * 4 + ["ordner/ç d"]
    keys = [chunk_key(o, t, n) for o, t, n in zip(owners, texts, [0, 0, 1, 0, 0], strict=True)]
    assert len(set(keys)) == 5
    assert segment.chunks.column("text").to_pylist() == texts
    assert segment.chunks.column("document").to_pylist() == owners
    assert [bytes(row) for row in segment.keys] == keys
    assert [bytes(row) for row in segment.embedded] == [key(text.encode()) for text in texts]
    assert segment.vectors.tobytes() == vectors_of(texts).tobytes()
    assert (str(segment.vectors.dtype), segment.vectors.shape) == ("float32", (5, DIM))
    assert not segment.vectors.flags.writeable
    assert (segment.chunk_count, segment.document_count, segment.space) == (5, 3, THE_SPACE)
    first, second, third = segment.documents.to_pylist()
    assert first["chunks"] == keys[:4] and second["chunks"] == [] and third["chunks"] == keys[4:]
    assert (first["starts"], first["ends"]) == ([0, 10, 20, 30], [3, 13, 23, 40])
    assert (third["id"], third["digest"].hex(), third["title"]) == (
        document_id("ordner/ç d"),
        "ab" * 32,
        "Title of ordner/ç d",
    )
    assert [metadata_of(segment.documents, row) for row in range(3)] == [{}, {}, {"year": 2024}]


def test_rows_are_found_by_every_key(store: Store) -> None:
    segment = write(store, DOCUMENTS)
    which, rows = segment.find_keys(segment.keys[[3, 0]])
    assert (which.tolist(), rows.tolist()) == ([0, 1], [3, 0])
    which, rows = segment.find_embedded(as_keys([key(b"none"), key(b"one"), key(b"two")]))
    assert (which.tolist(), rows.tolist()) == ([1, 1, 2, 2], [0, 4, 1, 2])
    which, rows = segment.find_documents(as_keys([document_id("b"), document_id("c")]))
    assert (which.tolist(), rows.tolist()) == ([0], [1])
    assert [len(found) for found in segment.find_keys(as_keys([]))] == [0, 0]


@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 6), max_size=8))
def test_finding_is_comparing_whole_keys(having: list[int], wanted: list[int]) -> None:
    """Keys that differ only in their last byte share the prefix by which they are sorted."""
    keys, asked = (as_keys([bytes([n // 2] * 15 + [n % 2]) for n in numbers]) for numbers in (having, wanted))
    order = sorted_keys.order_of(keys)
    which, rows = sorted_keys.find(sorted_keys.prefixes(keys)[order], order, keys, asked)
    expected = [(i, row) for i, row in product(range(len(wanted)), range(len(having))) if wanted[i] == having[row]]
    assert list(zip(which.tolist(), rows.tolist(), strict=True)) == expected
    few = sorted_keys.find_few(order, keys, asked)
    assert [column.tolist() for column in few] == [which.tolist(), rows.tolist()]


def test_a_segment_may_hold_no_chunks(store: Store) -> None:
    """As one does that only changes metadata: the chunks stay where they lie."""
    segment = Segment(store, write(store, [document("b", [])]).id)
    assert (segment.chunk_count, segment.document_count, segment.vectors.shape) == (0, 1, (0, DIM))
    assert len(segment.chunks) == 0 and segment.max_norm == 0.0
    assert [len(found) for found in segment.find_keys(as_keys([key(b"x")]))] == [0, 0]
    assert segment.find_documents(as_keys([document_id("b")]))[1].tolist() == [0]


def test_no_norm_is_larger_than_the_largest(store: Store) -> None:
    segment = write(store, [document("a", ["one", "two", "three"])])
    largest = np.sqrt((vectors_of(["one", "two", "three"]).astype(np.float64) ** 2).sum(axis=1)).max()
    assert largest < segment.max_norm <= largest + 0.002


# -- metadata ---------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), min_size=1, max_size=6))
def test_metadata_comes_back_exactly(given_: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    table = pa.table({"id": pa.array(range(len(given_))), **metadata_columns(given_)})
    for row, fields in enumerate(given_):
        found = metadata_of(table, row)
        assert found == fields and [type(found[n]) for n in sorted(found)] == [type(fields[n]) for n in sorted(fields)]


def test_metadata_of_all_types_beside_each_other(repository: vecver.Repository) -> None:
    given_: list[Any] = [
        1,
        1.0,
        "1",
        True,
        [],
        ["a", "b"],
        [1, "a"],
        {"deep": [None, {"x": 1.5}]},
        -(2**63),
        1e300,
        "",
        -0.0,
    ]
    docs = repository.dataset("d")
    entries = [
        {**entry, "f.x": value} for value, entry in zip(given_, records({f"d{i}": "t" for i in range(12)}), strict=True)
    ]
    docs.ingest(entries[:6], space=SPACE, metric="ip")
    docs.ingest(entries, space=SPACE, metric="ip")  # half of them lie in another segment now
    snapshot = versions_of(docs).snapshot(docs.resolve())
    found = [metadata_of(*snapshot.document(f"d{i}"))["f.x"] for i in range(len(given_))]  # type: ignore[misc]
    assert [(type(v), repr(v)) for v in found] == [(type(v), repr(v)) for v in given_]
    assert repository.check().clean


# -- the same bytes ---------------------------------------------------------------------------------


def test_the_same_rows_are_the_same_segment() -> None:
    ids = {write(store, DOCUMENTS).id for store in (MemoryStore(), MemoryStore())}
    assert len(ids) == 1
    other = write(MemoryStore(), DOCUMENTS[::-1])
    assert other.id not in ids


# -- other segments ---------------------------------------------------------------------------------


def test_one_datasets_first_rows_are_not_anothers_part() -> None:
    """The first 2048 rows of `b` are, byte for byte, the one segment of `a`. (It was deleted as a part of `b`.)"""
    repository = open_on(MemoryStore())
    many = {f"d{i:05}": f"text {i}" for i in range(3000)}
    ingest(repository.dataset("a"), dict(list(many.items())[:2048]))
    ingest(repository.dataset("b"), many)
    assert repository.check().problems == ()
    assert len(texts_of(repository.dataset("a"))) == 2048


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("file", ["lookup.npy", "documents.arrow"])
def test_each_file_that_does_not_fit_is_a_full_disk(tmp_path: Path, file: str) -> None:
    draft = Draft(LocalStore(tmp_path), None, THE_SPACE)
    draft.add(draft.stage(DOCUMENTS), vectors_of(["one", "two", "two", "\0 ünï 日本 😀", "one"]))
    (scratch,) = (tmp_path / "tmp").iterdir()
    (scratch / file).symlink_to("/dev/full")
    with pytest.raises(BackendError) as caught:
        draft.finish()
    assert caught.value.code == "store_full"


def test_a_segment_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecver.repo.write.draft.MAX_ROWS", 2000)
    docs = open_on(MemoryStore()).dataset("a")
    many = {f"d{i:05}": f"text {i}" for i in range(5000)}
    ingest(docs, many)
    layout = versions_of(docs).snapshot(docs.resolve()).layout
    assert [live.chunk_count for live in layout.segments] == [2048, 2048, 904]
    assert texts_of(docs) == many and docs.repository.check().clean


# -- refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [np.zeros((1, DIM + 1), "f4"), np.zeros((2, DIM), "f4"), np.full((1, DIM), np.nan, "f4")]
)
def test_vectors_of_another_shape_or_not_finite_are_refused(bad: Vectors) -> None:
    draft = Draft(MemoryStore(), None, THE_SPACE)
    with pytest.raises(InvalidInputError) as caught:
        draft.add(draft.stage([document("a", ["one"])]), bad)
    assert caught.value.code == "invalid_vectors"
    draft.discard()


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    segment = write(store, DOCUMENTS)
    place = tmp_path / f"segments/{segment.id}/vectors.npy"
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(IntegrityError) as caught:
        _ = Segment(store, segment.id).vectors
    assert caught.value.code == "wrong_size"


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_a_full_disk_leaves_no_segment_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    store, replace, left = LocalStore(tmp_path), os.replace, iter(range(100))

    def full(*names: Any) -> None:
        if next(left) >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*names)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BackendError) as caught:
        write(store, DOCUMENTS)
    assert caught.value.code == "store_full"
    monkeypatch.undo()
    assert not any(name.endswith("segment.json") for name in store.list(""))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert write(store, DOCUMENTS).chunk_count == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_fills_while_rows_stream_is_told_apart(tmp_path: Path) -> None:
    draft = Draft(LocalStore(tmp_path), None, THE_SPACE)
    rows = draft.stage([document("a", ["one"])])
    assert draft._writer
    draft._writer._vectors.close()
    draft._writer._vectors = open("/dev/full", "wb")  # noqa: SIM115
    draft.add(rows, vectors_of(["one"]))
    with pytest.raises(BackendError) as caught:
        draft.finish()
    assert caught.value.code == "store_full"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_versions_of_another_space_are_told_apart(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "one", "b": "two"})
    docs.ingest([{"id": "a", "text": "one", "vector": [1.0, 2.0]}], space="small", metric="l2")
    assert docs.show().recipe.space == Space("given:small", 2, "l2")
    assert docs.search([1.0, 2.0])[0].score == 0.0
    with pytest.raises(SpaceMismatchError):
        docs.search(vector_of("one"))
    assert docs.search(vector_of("one"), at="main~1", k=1)[0].document == "a"
    assert repository.check().clean


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_rows_are_taken_from_many_batches(sizes: list[int], data: st.DataObject) -> None:
    import pyarrow as pa

    from vecver.repo.rows.schema import taken

    total = sum(sizes)
    rows = data.draw(st.lists(st.integers(0, total - 1), max_size=20))
    numbers = iter(range(total))
    batches = [pa.record_batch({"n": [next(numbers) for _ in range(size)]}) for size in sizes]
    assert taken(pa.Table.from_batches(batches), np.array(rows, np.int64)).column("n").to_pylist() == rows
