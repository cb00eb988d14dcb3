"""A long history: a commit costs what changed, and a text is embedded once, whichever version had it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from helpers import SPACE, open_on, records, texts_of
from inside import session_of

import vecver
from vecver.digest import digest_json
from vecver.model import Json, TokenCounts
from vecver.store import MemoryStore, Store


class Counting(MemoryStore):
    """Counts what is written and how often anything is read."""

    def __init__(self) -> None:
        super().__init__()
        self.done: Counter[str] = Counter()

    def put(self, name: str, data: Any) -> None:
        super().put(name, data)
        self.done.update(files=1, bytes=self.size(name) or 0)

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        super().swap(name, expected, new)
        self.done.update(files=1, bytes=len(new))

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        self.done.update(reads=1)
        return super().get(name, fixed=fixed)


def added(turn: int) -> list[Json]:
    return records({f"doc {turn}": f"text {turn}"})


def changed(turn: int) -> list[Json]:
    return records({"doc": f"text {turn}"})


def embedded(turn: int) -> list[Json]:
    return [{"id": f"doc {turn}", "text": f"text {turn}"}]


def costs(make: Any, windows: list[tuple[int, int]]) -> list[Counter[str]]:
    """What the commits of each window did together."""
    store = Counting()
    docs = open_on(store).dataset("d")
    how: dict[str, Any] = {"embedder": "hashing"} if make is embedded else {"space": "test"}
    found = [Counter[str]() for _ in windows]
    for turn in range(windows[-1][1]):
        store.done.clear()
        docs.ingest(make(turn), keep_missing=True, **how)
        for window, (first, last) in zip(found, windows, strict=True):
            if first <= turn < last:
                window.update(store.done)
    return found


@pytest.mark.parametrize("make", [added, changed, embedded])
def test_a_commit_writes_and_reads_as_much_however_many_there_were(make: Any) -> None:
    early, late = costs(make, [(20, 56), (92, 128)])
    assert late["files"] <= 1.2 * early["files"] and late["bytes"] <= 1.2 * early["bytes"]
    assert late["reads"] <= 1.5 * early["reads"], "of tables there are a handful of each size"


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("make", [added, changed, embedded])
def test_the_same_over_two_thousand(make: Any) -> None:
    early, late = costs(make, [(68, 132), (1936, 2000)])
    assert late["files"] <= 1.2 * early["files"] and late["bytes"] <= 1.2 * early["bytes"]


# -- what was embedded before ---------------------------------------------------------------------


class Embedding:
    """Notes what it embeds."""

    name, dim, metric, max_tokens, fingerprint = "test", 8, "ip", 1000, "test"
    recipe: Json = {"name": "test"}  # noqa: RUF012
    environment: Json = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.texts: list[str] = []

    def count_tokens(self, texts: Any) -> Any:
        return np.array([len(text.split()) for text in texts])

    def token_counts(self, texts: Any) -> TokenCounts:
        counts = self.count_tokens(texts)
        return TokenCounts(counts, 0 * counts, 0 * counts)

    def embed(self, texts: Any) -> Any:
        from helpers import vector_of

        self.texts += texts
        return np.stack([vector_of(text) for text in texts])

    def embed_queries(self, texts: Any) -> Any:
        return self.embed(texts)


def opened(store: Store) -> tuple[vecver.Repository, Embedding]:
    repository, embedder = open_on(store), Embedding()
    session_of(repository).embedders._opened["counting"] = embedder  # type: ignore[assignment]
    return repository, embedder


def ingest(docs: vecver.Dataset, texts: dict[str, str], **how: Any) -> None:
    texts_only = [{"id": id, "text": text} for id, text in texts.items()]
    docs.ingest(texts_only, embedder="counting", chunker="whole", allow_removals=True, **how)


def edited(store: Store, versions: int = 24) -> None:
    """Versions in which each text is replaced by the next: no segment of the first is named by the last."""
    docs = opened(store)[0].dataset("d")
    for turn in range(versions):
        ingest(docs, {"a": f"text {turn}", f"b{turn}": f"more {turn}"})


EVERYTHING = {f"x{turn}": f"text {turn}" for turn in range(24)} | {f"y{turn}": f"more {turn}" for turn in range(24)}


@pytest.mark.parametrize("dataset", ["d", "other"])
def test_a_text_of_an_old_version_is_not_embedded_again(store: Store, dataset: str) -> None:
    edited(store)
    repository, embedder = opened(store)
    ingest(repository.dataset(dataset), EVERYTHING)
    assert embedder.texts == [] and texts_of(repository.dataset(dataset)) == EVERYTHING
    assert repository.check().problems == ()


def test_nor_after_optimize_and_gc(store: Store) -> None:
    edited(store)
    opened(store)[0].dataset("d").optimize()
    for _ in range(2):
        opened(store)[0].gc(grace=timedelta(0), apply=True)
    repository, embedder = opened(store)
    ingest(repository.dataset("d"), EVERYTHING)
    assert embedder.texts == [] and texts_of(repository.dataset("d")) == EVERYTHING


def test_nor_in_a_repository_that_never_noted_where_vectors_lie(store: Store) -> None:
    """As those are that an older vecver wrote. Looking writes nothing; the next commit notes all of them."""
    edited(store)
    for name in list(store.list("vectors/")):
        store.delete(name)
    repository, embedder = opened(store)
    ingest(repository.dataset("d"), EVERYTHING, dry_run=True)
    assert embedder.texts == [] and not list(store.list("vectors/"))
    ingest(repository.dataset("d"), {"z": "new"})
    assert embedder.texts == ["new"] and len(list(store.list("vectors/"))) == 1
    ingest(repository.dataset("d"), EVERYTHING)
    assert embedder.texts == ["new"] and texts_of(repository.dataset("d")) == EVERYTHING


# One row of a second segment, where there is no segment at all; and its prefix is that of no text.
LOST = b"vecplace" + np.array([1, 0, 7], "<u8").tobytes() + np.array([1], "<u4").tobytes()


@pytest.mark.parametrize("damage", [b"", b"vecplace", b"{}\n" * 20, b"vecplace" + b"\xff" * 16, LOST])
def test_damaged_notes_cost_embedding_again_and_nothing_else(store: Store, damage: bytes) -> None:
    edited(store, 3)
    for name in list(store.list("vectors/")):
        store.put(name, damage)
    repository, embedder = opened(store)
    ingest(repository.dataset("other"), {"x": "text 0", "y": "new"})
    assert sorted(embedder.texts) == ["new", "text 0"], "each once; in which order is the batches' own affair"
    assert texts_of(repository.dataset("other")) == {"x": "text 0", "y": "new"} and repository.check().clean


def test_notes_stay_few(store: Store) -> None:
    edited(store, 30)
    assert len(list(store.list("vectors/"))) <= 16


def test_a_log_that_was_read_is_not_read_again() -> None:
    store = Counting()
    docs = open_on(store).dataset("d")
    for turn in range(12):
        docs.ingest(added(turn), space=SPACE, keep_missing=True)
    read = open_on(store).dataset("d")
    first = list(read.log())
    before = store.done["reads"]
    again = list(read.log())
    assert store.done["reads"] - before <= 6, (
        "where `main` stands of three kinds of refs, and that there is such a version"
    )
    assert [commit.id for commit in again] == [commit.id for commit in first] == [commit.id for commit in docs.log()]
    assert all(digest_json(commit.to_json()) == commit.id for commit in again)
    assert len({id(commit.recipe) for commit in again}) == 1, "equal recipes are one object"
