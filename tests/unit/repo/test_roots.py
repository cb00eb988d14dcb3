"""Roots: the multiset hash, and that a version's roots depend on what it holds and on nothing else."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from helpers import SPACE, ingest, open_on, records, vector_of
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.repo.rows.roots import LANES, Roots, lanes_of
from vecver.store import MemoryStore

rows = st.lists(st.binary(max_size=40), max_size=30)


# -- the hash ---------------------------------------------------------------------------------------


def test_lanes_are_the_sums_that_plain_integers_give() -> None:
    given_rows = [b"one", b"two", b"two", b""] + [f"row {i}".encode() for i in range(5000)]
    sums = [0] * 1024
    for row in given_rows:
        expanded = hashlib.shake_128(row).digest(2048)
        for lane in range(1024):
            sums[lane] += expanded[2 * lane] + 256 * expanded[2 * lane + 1]
    assert lanes_of(given_rows).tolist() == [total % 65536 for total in sums]


def test_golden_roots() -> None:
    roots = Roots(lanes_of([b"one", b"two"]), lanes_of([]))
    assert roots.content[:4].tolist() == _by_hand(b"one", b"two")
    assert roots.vector_root == hashlib.sha256(bytes(2048)).hexdigest()
    assert roots.content_root == "c2e387a341668c5e5315be87f16d274e3e89b8df0c4a518e84310223316a8087"


@given(rows, st.randoms())
def test_order_does_not_matter(given_rows: list[bytes], random: Any) -> None:
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    assert np.array_equal(lanes_of(given_rows), lanes_of(shuffled))


@given(rows, rows)
def test_what_was_added_can_be_taken_away(some: list[bytes], more: list[bytes]) -> None:
    a, b = Roots(lanes_of(some), lanes_of(more)), Roots(lanes_of(more), lanes_of(some))
    both = Roots(lanes_of(some + more), lanes_of(more + some))
    assert ((a + b).content_root, (a + b).vector_root) == (both.content_root, both.vector_root)
    assert ((a + b - b).content_root, (a + b - b).vector_root) == (a.content_root, a.vector_root)


@given(rows, st.binary(max_size=40))
def test_one_row_more_or_the_same_row_twice_is_another_multiset(some: list[bytes], row: bytes) -> None:
    roots = [Roots(lanes_of(some + [row] * times), lanes_of([])).content_root for times in range(3)]
    assert len(set(roots)) == 3


def _by_hand(*given_rows: bytes) -> list[int]:
    return [
        sum(
            int.from_bytes(hashlib.shake_128(row).digest(2 * LANES)[2 * lane : 2 * lane + 2], "little")
            for row in given_rows
        )
        % 2**16
        for lane in range(4)
    ]


# -- of a version -----------------------------------------------------------------------------------

corpora = st.dictionaries(
    st.text("abc", min_size=1, max_size=2), st.text("xyz", min_size=1, max_size=3), min_size=1, max_size=8
)


def roots_of(docs: vecver.Dataset, at: str = "main") -> tuple[str, str]:
    commit = docs.show(at)
    return commit.content_root, commit.vector_root


def fresh() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


def all_at_once(texts: dict[str, str]) -> tuple[str, str]:
    docs = fresh()
    ingest(docs, texts)
    return roots_of(docs)


@settings(max_examples=30, deadline=None)
@given(corpora, st.lists(corpora, max_size=4), st.randoms())
def test_no_history_shows_in_the_roots(texts: dict[str, str], before: list[dict[str, str]], random: Any) -> None:
    """Whatever was there before, in whatever order the documents come, on whichever branch."""
    docs = fresh()
    for number, other in enumerate(before):
        ingest(docs, other)
        if number % 2:
            docs.branch(f"b{number}")
            ingest(docs, {**texts, **other}, branch=f"b{number}")
    shuffled = list(texts.items())
    random.shuffle(shuffled)
    ingest(docs, dict(shuffled))
    assert roots_of(docs) == all_at_once(texts)
    assert docs.repository.check().clean


@settings(max_examples=20, deadline=None)
@given(corpora, st.integers(1, 4))
def test_nor_do_the_number_of_commits(texts: dict[str, str], size: int) -> None:
    docs, items = fresh(), list(texts.items())
    for start in range(0, len(items), size):
        docs.ingest(records(dict(items[start : start + size])), space=SPACE, metric="ip", keep_missing=True)
    assert docs.show().counts == {"documents": len(texts), "chunks": len(texts)}
    assert roots_of(docs) == all_at_once(texts)


@settings(max_examples=20, deadline=None)
@given(corpora, corpora)
def test_rolling_back_brings_the_roots_back(texts: dict[str, str], others: dict[str, str]) -> None:
    docs = fresh()
    ingest(docs, texts)
    before = roots_of(docs)
    if ingest(docs, others).changed:
        docs.rollback("main")
    assert roots_of(docs) == before == all_at_once(texts)
    assert docs.repository.check().clean


def test_a_vector_counts_for_one_root_and_a_text_for_both() -> None:
    docs = fresh()
    ingest(docs, {"a": "one", "b": "two"})
    content, vector = roots_of(docs)
    docs.ingest([*records({"a": "one"}), {"id": "b", "text": "two", "vector": vector_of("other")}], space=SPACE)
    assert roots_of(docs)[0] == content and roots_of(docs)[1] != vector
    ingest(docs, {"a": "one", "b": "three"})
    assert roots_of(docs)[0] != content and roots_of(docs)[1] != vector
    ingest(docs, {"a": "one", "b": "two"})
    assert roots_of(docs) == (content, vector)


@pytest.mark.parametrize("change", [{"title": "T"}, {"year": 2024}, {"year": 2024.0}, {"year": "2024"}, {"year": True}])
def test_metadata_and_titles_are_content(change: dict[str, Any]) -> None:
    docs = fresh()
    docs.ingest(records({"a": "one"}, year=2023), space=SPACE, metric="ip")
    content, vector = roots_of(docs)
    assert docs.ingest(records({"a": "one"}, **{"year": 2023, **change}), space=SPACE).chunks["removed"] == 0
    assert roots_of(docs)[0] != content and roots_of(docs)[1] == vector
    assert docs.show().counts == {"documents": 1, "chunks": 1}


def test_the_source_label_is_no_content() -> None:
    roots = set()
    for label in ("here", "there"):
        docs = fresh()
        docs.ingest(records({"a": "one"}), space=SPACE, metric="ip", label=label)
        roots.add(roots_of(docs))
    assert len(roots) == 1
