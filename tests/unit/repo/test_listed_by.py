"""The documents that list a chunk: by columns as by their ids, in every version, and counted as memory."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from helpers import open_on
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of

import vecver
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows.listed_by import listed_by
from vecver.repo.rows.sorted_keys import find, order_of, prefixes
from vecver.store import MemoryStore

WORDS = st.lists(st.sampled_from(["one", "two", "three", "four", "five"]), min_size=1, max_size=4)


def opened(docs: vecver.Dataset, revision: str) -> Snapshot:
    return versions_of(docs).snapshot(docs.resolve(revision))


def places_of(snapshot: Snapshot) -> list[tuple[int, int]]:
    """Every live chunk."""
    return [(number, int(row)) for number, live in enumerate(snapshot.layout.segments) for row in live.chunks]


def test_by_hand() -> None:
    keys = np.zeros((4, 16), np.uint8)
    keys[:, 0] = [5, 6, 7, 8]
    order, listed = order_of(keys), keys[[1, 0, 1, 3]]
    columns = listed_by(
        np.array([0, 2, 2, 4]), listed, keys, lambda wanted: find(prefixes(keys)[order], order, keys, wanted)
    )
    assert [columns(row) for row in range(4)] == [[0], [0, 2], [], [2]] and columns.nbytes == 4 * 5 + 4 * 4
    straight = listed_by(np.array([0, 3, 4]), keys, keys, lambda _: (_ for _ in ()).throw(AssertionError))
    assert [straight(row) for row in range(4)] == [[0], [0], [0], [1]]


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), WORDS, min_size=1), min_size=1, max_size=4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_same_documents_as_by_their_ids(states: list[dict[str, list[str]]], optimized: bool) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    for state in states:
        records = [{"id": name, "text": "\n\n".join(words)} for name, words in state.items()]
        docs.ingest(records, embedder="hashing", chunk_tokens=16, allow_removals=True)
    if optimized:
        docs.optimize()
    for commit in docs.log():
        snapshot = opened(docs, commit.id)
        places = places_of(snapshot)
        assert snapshot.owners(places) == snapshot._owners_by_id(places)


def test_columns_are_made_when_they_are_worth_it_and_counted() -> None:
    docs = open_on(MemoryStore()).dataset("d")
    docs.ingest([{"id": str(n), "text": f"text {n}"} for n in range(200)], embedder="hashing")
    snapshot = opened(docs, "main")
    (segment,) = snapshot.segments
    before, places = segment.nbytes, places_of(snapshot)
    assert [segment.listing_documents(0) for _ in range(6)] == [None] * 6 and segment.nbytes == before
    owners = snapshot.owners(places)
    assert segment.listing_documents(0) is not None and segment.nbytes == before + 4 * 201 + 4 * 200
    assert owners == snapshot._owners_by_id(places)


def test_a_hit_that_is_made_is_a_hit() -> None:
    hit = vecver.Hit(1, 0.5, "3fe0000000000000", "a.md", "0" * 32, (0, 4), "text", "title", {"year": 2024})
    made = vecver.Hit.made(dict(vars(hit)))
    assert made == hit and repr(made) == repr(hit) and vars(made) == vars(hit)
    assert list(vars(made)) == [field.name for field in fields(hit)]
