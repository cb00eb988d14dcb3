"""Writers that are stopped: no half commit is visible, no garbage piles up, and nothing is embedded twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from failing import Failing, PowerFailure, power_failure
from helpers import ingest, open_on, records, texts_of
from inside import session_of

import vecver
from vecver import repo
from vecver.errors import NotFoundError
from vecver.model import TokenCounts
from vecver.store import LocalStore, MemoryStore, Store

OLD = {"a": "one", "b": "two", "c": "three"}
NEW = {"a": "one", "b": "changed", "d": "four"}


def prepared(store: Store) -> Store:
    """A repository with one version."""
    ingest(open_on(store).dataset("d"), OLD)
    return store


def test_half_a_repository_is_none(store: Store) -> None:
    for done in (False, True):
        with pytest.raises(PowerFailure):
            repo.create(Failing(store, 1, done=done, die=power_failure))
        assert repo.exists(store) == done
    with pytest.raises(NotFoundError):
        vecver.open(store).dataset("d").resolve()


def test_what_a_crash_leaves_behind_does_not_pile_up_in_names(tmp_path: Path) -> None:
    """The same ingest, cut off several times, writes the same names."""
    place = LocalStore(tmp_path)
    prepared(place)
    counting = Failing(prepared(MemoryStore()), 10**9, done=False, die=power_failure)
    ingest(open_on(counting).dataset("d"), NEW)
    for _ in range(3):
        with pytest.raises(PowerFailure):
            ingest(open_on(Failing(place, counting.count - 12, done=False, die=power_failure)).dataset("d"), NEW)
    assert len({name.split("/")[1] for name in place.list("segments/")}) == 2


# -- an embedder that gives up ----------------------------------------------------------------------


class Embedding:
    """Eight dimensions; counts its texts, and gives up at the n-th batch."""

    name, dim, metric, max_tokens, fingerprint = "counting", 8, "ip", 1000, "f" * 32
    recipe = {"name": "counting"}  # noqa: RUF012
    environment: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, batches: int) -> None:
        self.batches, self.texts = batches, list[str]()

    def count_tokens(self, texts: Any) -> Any:
        import numpy as np

        return np.array([len(text.split()) for text in texts])

    def token_counts(self, texts: Any) -> TokenCounts:
        counts = self.count_tokens(texts)
        return TokenCounts(counts, 0 * counts, 0 * counts)

    def embed(self, texts: Any) -> Any:
        import numpy as np
        from helpers import vector_of

        if not self.batches:
            raise PowerFailure
        self.batches -= 1
        self.texts += texts
        return np.stack([vector_of(text) for text in texts])

    def embed_queries(self, texts: Any) -> Any:
        return self.embed(texts)


def test_what_an_interrupted_ingest_embedded_is_not_embedded_again(store: Store) -> None:
    """Through the front door: 3,000 records in groups of 512, cut off at the fourth and then at the second batch."""
    entries = [{"id": f"d{i:04}", "text": f"this is text {i}"} for i in range(3000)]
    embedded = list[str]()
    for batches in (3, 1, 10**6):
        repository, embedder = open_on(store), Embedding(batches)
        session_of(repository).embedders._opened["counting"] = embedder  # type: ignore[assignment]
        docs = repository.dataset("d")
        try:
            docs.ingest(entries, embedder="counting", chunker="whole")
        except PowerFailure:
            assert docs.branches() == {} and list(store.list("segments/")) == [] != list(store.list("parts/"))
        embedded += embedder.texts
    assert sorted(embedded) == sorted(entry["text"] for entry in entries)
    assert list(store.list("parts/")) == [] and len(list(store.list("segments/"))) == 5
    assert docs.show().counts == {"documents": 3000, "chunks": 3000}
    assert texts_of(docs)["d2999"] == "this is text 2999" and docs.repository.check().clean


def test_records_that_bring_vectors_leave_no_parts(store: Store) -> None:
    docs = open_on(store).dataset("d")
    endless = records({f"d{i}": f"text {i}" for i in range(3000)})

    def breaking() -> Any:
        yield from endless
        raise PowerFailure

    with pytest.raises(PowerFailure):
        docs.ingest(breaking(), space="test")
    assert {name.split("/")[0] for name in store.list("")} == {"vecver.json"}
