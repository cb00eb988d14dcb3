"""Crashes: whatever stops a writer, and wherever, the branch is at its old commit or its new one, and all goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from failing import Failing, PowerFailure, assert_nothing_is_half_there, power_failure
from helpers import ingest, open_on, records, texts_of

import vecver
from vecver import repo
from vecver.errors import NotFoundError
from vecver.store import LocalStore, MemoryStore, Store

OLD = {"a": "one", "b": "two", "c": "three"}
NEW = {"a": "one", "b": "changed", "d": "four"}


def first(docs: vecver.Dataset) -> None:
    ingest(docs, NEW)


def rollback(docs: vecver.Dataset) -> None:
    docs.rollback("main", to="old")


def promote(docs: vecver.Dataset) -> None:
    docs.promote("prod", "old")


def tag(docs: vecver.Dataset) -> None:
    docs.tag("fresh", "old")


def state(store: Store) -> dict[str, Any]:
    """What a user sees: every ref, and what its version holds."""
    docs = open_on(store).dataset("d")
    refs = {**docs.branches(), **docs.tags(), **docs.aliases()}
    return {name: texts_of(docs, name) for name in refs}


def prepared(store: Store, verb: Callable[[vecver.Dataset], None]) -> Store:
    """A repository with one version called `old`, unless the verb is to make the first one."""
    docs = open_on(store).dataset("d")
    if verb is not first:
        ingest(docs, OLD)
        docs.tag("old")
        if verb is rollback:
            ingest(docs, NEW)
    return store


def next_ingest(docs: vecver.Dataset) -> None:
    ingest(docs, NEW)


VERBS = [first, next_ingest, rollback, promote, tag]


def outcomes(verb: Callable[[vecver.Dataset], None]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What is seen before and after, and how many operations lie between."""
    store = prepared(MemoryStore(), verb)
    before = state(store)
    counting = Failing(store, 10**9, done=False, die=power_failure)
    verb(open_on(counting).dataset("d"))
    return before, state(store), counting.count


def assert_all_goes_on(store: Store, verb: Callable[[vecver.Dataset], None], before: Any, after: Any) -> bool:
    """Old or new, clean, and the next writer gets through; says whether it was new."""
    found = state(store)
    assert found in (before, after)
    assert_nothing_is_half_there(store)
    docs = open_on(store).dataset("d")
    assert docs.repository.check().problems == ()
    ingest(docs, {**NEW, "e": "five"})
    assert texts_of(docs) == {**NEW, "e": "five"}
    assert docs.repository.check().problems == ()
    if found != after and verb is not first:
        verb(docs)
    return bool(found == after)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_power_failure_at_every_operation(verb: Callable[[vecver.Dataset], None], done: bool) -> None:
    before, after, count = outcomes(verb)
    assert before != after and count > 8
    new = []
    for n in range(count):
        store = prepared(MemoryStore(), verb)
        with pytest.raises(PowerFailure):
            verb(open_on(Failing(store, n, done=done, die=power_failure)).dataset("d"))
        new.append(assert_all_goes_on(store, verb, before, after))
    assert new == sorted(new), "a later failure undid what an earlier one left done"
    assert new.count(False) > 4


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_process_that_ends_at_any_operation(tmp_path: Path, done: bool) -> None:
    """`os._exit` in a child, on a directory; at every seventh operation, which one shifts with `done`."""
    before, after, count = outcomes(next_ingest)
    for n in range(int(done), count, 7):
        place = LocalStore(tmp_path / str(n))
        prepared(place, next_ingest)
        child = os.fork()
        if not child:
            try:
                ingest(open_on(Failing(place, n, done=done, die=lambda: os._exit(9))).dataset("d"), NEW)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert_all_goes_on(place, next_ingest, before, after)


def test_half_a_repository_is_none(store: Store) -> None:
    for done in (False, True):
        with pytest.raises(PowerFailure):
            repo.create(Failing(store, 1, done=done, die=power_failure))
        assert repo.exists(store) == done
    with pytest.raises(NotFoundError):
        vecver.open(store).dataset("d").resolve()


def test_what_a_crash_leaves_behind_does_not_pile_up_in_names(tmp_path: Path) -> None:
    """The same ingest, cut off again and again, writes the same names."""
    place = LocalStore(tmp_path)
    prepared(place, next_ingest)
    _, _, count = outcomes(next_ingest)
    for _ in range(3):
        with pytest.raises(PowerFailure):
            ingest(open_on(Failing(place, count - 8, done=False, die=power_failure)).dataset("d"), NEW)
    assert len({name.split("/")[1] for name in place.list("segments/")}) == 2


# -- for real ---------------------------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from helpers import ingest, open_on
from vecver.store import LocalStore, MemoryStore
ingest(open_on(MemoryStore()).dataset("warm"), {"a": "everything is imported by now"})
docs = open_on(LocalStore(__import__("pathlib").Path(sys.argv[1]))).dataset("d")
print("ready", flush=True)
for number in range(int(sys.argv[3]), 10**6):
    ingest(docs, {f"d{i}": f"text {i} of {number if i % 50 == 0 else 0}" for i in range(300)})
    print(number, flush=True)
"""


@pytest.mark.deep
def test_kill_minus_nine_at_random_times(tmp_path: Path) -> None:
    """Sixty writers are killed while they commit one version after the other; each begins where the last one stood."""
    chance = random.Random(7)
    docs = open_on(LocalStore(tmp_path)).dataset("d")
    committed = 0
    for _ in range(60):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent.parent), str(committed + 1)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout and writer.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.05, 0.4))
        writer.send_signal(signal.SIGKILL)
        told = writer.stdout.read().split()
        writer.wait()
        if not docs.branches():
            assert not told
            continue
        before, committed = committed, _number_in(docs)
        assert committed in ((int(told[-1]), int(told[-1]) + 1) if told else (before, before + 1))
        assert docs.repository.check().problems == ()
    assert len(list(docs.log())) == committed > 0


def _number_in(docs: vecver.Dataset) -> int:
    """Which version the branch is at, whole."""
    texts = texts_of(docs)
    number = int(texts["d0"].split()[-1])
    assert texts == {f"d{i}": f"text {i} of {number if i % 50 == 0 else 0}" for i in range(300)}
    return number


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
        repository._embedders["counting"] = embedder  # type: ignore[assignment]
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
