"""What tests of publishing share: documents that change in every way, brute force over them, and proofs of a Milvus."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import Ticking, open_on, vector_of
from inside import session_of

import vecver
from vecver import index
from vecver.errors import BackendError, NotPublishedError
from vecver.model import Report, Vectors
from vecver.repo import Collection, Ledger
from vecver.repo.rows.schema import chunk_key
from vecver.store import Store


class Doc(NamedTuple):
    """A document of one chunk. The three change by themselves: a text gives a new key, the others do not."""

    text: str
    seed: str  # of its vector
    year: int


Content = Mapping[str, Doc]
QUERIES = np.stack([vector_of(f"question {i}") for i in range(2)])


def opened(store: Store, uri: str = "", **how: Any) -> vecver.Dataset:
    """A handle of its own on the dataset "d"; the repository is made if there is none."""
    return open_on(store, clock=Ticking(), milvus=vecver.Milvus(uri, **how)).dataset("d")


def ingest(docs: vecver.Dataset, content: Content, **how: Any) -> Report:
    """A version that holds exactly this."""
    rows = [
        {"id": id, "text": doc.text, "vector": vector_of(doc.seed), "year": doc.year} for id, doc in content.items()
    ]
    return docs.ingest(rows, space="test", metric="ip", allow_removals=True, **how)


def best(content: Content, query: Vectors, k: int) -> list[tuple[str, float]]:
    """(document, score) of the true top k, equal scores in the order of their chunk keys; by brute force."""
    scored = [(-float(vector_of(doc.seed) @ query), chunk_key(id, doc.text, 0), id) for id, doc in content.items()]
    return [(id, -score) for score, _, id in sorted(scored)[:k]]


def assert_right(docs: vecver.Dataset, at: Any, content: Content, k: int = 5) -> None:
    """Through Milvus, and by it alone: what FAISS says, bit for bit, what brute force says, and the metadata."""
    index, exact = docs.publication(at).index, docs.search(list(QUERIES), at=at, k=k, exact=True)
    for how in {True, index == "FLAT"}:
        there = docs.search(list(QUERIES), at=at, k=k, exact=how, engine="milvus")
        for query, one, other in zip(QUERIES, there, exact, strict=True):
            assert one.hits == other.hits
            assert [(hit.document, hit.score) for hit in one] == best(content, query, k)
            assert [hit.metadata["year"] for hit in one] == [content[hit.document].year for hit in one]
            # a scan of the repository would hide what Milvus has lost
            assert one.receipt["engine"]["name"] == ("milvus" if index == "FLAT" or not how else "exact")


def ledger_of(docs: vecver.Dataset, uri: str = "") -> Ledger:
    """What is known of the dataset in a Milvus."""
    return session_of(docs).milvus.publications("d", uri or None)[1].read()


def assert_clean(docs: vecver.Dataset, uri: str = "", *, finished: bool = True) -> None:
    """The repository is whole, and the Milvus holds of every version what it should; `finished`: and nothing else."""
    assert docs.repository.check().problems == ()
    ledger = ledger_of(docs, uri)
    rows = 0
    if ledger.collections or ledger.intent or ledger.pending:
        check = docs.repository.check(milvus=uri)
        rows = check.objects
        assert check.problems == ()
    if not finished:
        return
    assert (ledger.intent, ledger.dropped, ledger.pending) == (None, (), ())
    assert rows == sum(collection.rows for collection in ledger.collections)
    assert sorted(connection_of(docs, uri)._client.list_collections()) == sorted(c.name for c in ledger.collections)
    for collection in ledger.collections:
        assert_numbered(collection)


def assert_numbered(collection: Collection) -> None:
    """No two versions of a collection have one ordinal."""
    ordinals = [state.ordinal for state in collection.states]
    assert ordinals == sorted(set(ordinals)) and ordinals[-1] <= collection.last


def connection_of(docs: vecver.Dataset, uri: str = "") -> index.milvus.Connection:
    """The way into a Milvus that this handle uses."""
    return session_of(docs).milvus.publisher("d", uri or None).connection


def let_go(folder: Path) -> None:
    """End milvus-lite in a repository's folder, so that another process can open it."""
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server(str(folder / "milvus.db"))


def copied(folder: Path, target: Path) -> Path:
    """The files as they are now: what a power failure at this moment leaves."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(folder, target))


def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """milvus-lite has an index at once: pymilvus need not sleep half a second before it looks."""
    from pymilvus.client import grpc_handler

    class Awake:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def sleep(self, seconds: float) -> None:
            time.sleep(min(seconds, 0.01))

    monkeypatch.setattr(grpc_handler, "time", Awake())


# -- a chain of versions -------------------------------------------------------------------------


@lru_cache(1000)
def version(number: int, size: int = 60) -> dict[str, Doc]:
    """The documents of the n-th version: each changes them in every way, and brings back what it was before."""
    chance = random.Random(number)
    content = {f"d{i}": Doc(f"text {i}", f"seed {i}", 2000) for i in range(size)}
    for id in chance.sample(sorted(content), size // 4):
        how = chance.randrange(4)
        if how == 0:
            del content[id]
        else:
            new: tuple[Any, ...] = (f"text of {number % 3}", f"seed of {number % 5}", 2000 + number % 4)
            content[id] = Doc._make(new[i] if i == how - 1 else old for i, old in enumerate(content[id]))
    content["number"] = Doc(f"number {number}", f"number {number}", number)
    return content


def publish_chain(docs: vecver.Dataset, numbers: Iterable[int], told: Callable[[int], None]) -> None:
    """Ingest and publish one version after the other, each under its tag; one that is there already is not made."""
    for number in numbers:
        if f"v{number}" not in docs.tags():
            ingest(docs, version(number))
            docs.tag(f"v{number}")
        docs.publish(f"v{number}")
        told(number)


class Reader(threading.Thread):
    """Searches published versions of a chain with a separate handle until stopped; wrong answers are in `wrong`.

    Every other search is of the newest published version, the others of any older one.
    """

    def __init__(self, docs: vecver.Dataset, *, patient: bool = False) -> None:
        super().__init__(daemon=True)
        self.docs, self.patient = docs, patient  # patient: the server may be away
        self.asked, self.unanswered, self.wrong = 0, 0, list[str]()
        self._known: set[str] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        chance = random.Random(0)
        while not self._ended.is_set():
            tags = sorted(self.docs.tags(), key=lambda tag: int(tag[1:]))
            if tags:
                self._ask(chance.choice([tags[-1], chance.choice(tags)]), chance.choice(QUERIES))
            time.sleep(0.02)

    def _ask(self, tag: str, query: Vectors) -> None:
        try:
            answer = self.docs.search(query, at=tag, k=5, engine="milvus")
        except NotPublishedError:
            if tag in self._known:
                self.wrong.append(f"{tag} is not published any more")
            return
        except Exception as error:
            if self.patient and isinstance(error, BackendError):
                self.unanswered += 1
            else:
                self.wrong.append(f"{tag}: {error!r}")
            return
        self._known.add(tag)
        self.asked += 1
        if [(hit.document, hit.score) for hit in answer] != best(version(int(tag[1:])), query, 5):
            self.wrong.append(f"{tag}: {[(hit.document, hit.score) for hit in answer]}")
        if answer.receipt["engine"]["name"] != "milvus":
            self.wrong.append(f"{tag}: Milvus answered short, the repository was scanned")

    def stopped(self) -> Reader:
        self._ended.set()
        self.join(120)
        return self
