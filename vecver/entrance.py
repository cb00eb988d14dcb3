"""Which Milvus a dataset is published to and searched through, and the way in. Each is entered once a handle."""

from __future__ import annotations

import threading
from pathlib import Path

from vecver import flows, index, repo
from vecver.flows import Progress
from vecver.model import Milvus
from vecver.repo import Publications, Versions

EMBEDDED = "milvus.db"  # in the repository's folder


class Entrance:
    """The way from a repository to Milvus. `default`: the one that was named when the repository was opened."""

    def __init__(self, versions: Versions, default: Milvus | None) -> None:
        self._versions = versions
        self._default = default
        self._connections: dict[str, index.milvus.Connection] = {}
        self._books: dict[str, Publications] = {}
        self._entering = threading.Lock()

    def publisher(
        self, dataset: str, to: str | Milvus | None = None, progress: Progress | None = None
    ) -> flows.Publisher:
        """Who publishes a dataset there. Raises InvalidInputError (no such address), BackendError."""
        at = self._meant(dataset, to)
        return flows.Publisher(self._versions, dataset, self._entered(at), self._book(dataset, at), progress)

    def through(self, dataset: str) -> flows.Through:
        """What a search goes through."""
        at = self._meant(dataset, None)
        book = self._book(dataset, at)  # kept: it parses a ledger only when that has changed
        return flows.Through(self._entered(at), self._books.setdefault(book.path, book))

    def book(self, dataset: str, to: str | Milvus | None) -> tuple[str, Publications]:
        """Where that Milvus is, and what is known of a dataset there; nothing is entered."""
        at = self._meant(dataset, to)
        return self._place(at), self._book(dataset, at)

    def close(self) -> None:
        """Let go of all that were entered; the next call enters again."""
        with self._entering:
            while self._connections:
                self._connections.popitem()[1].close()

    def _meant(self, dataset: str, to: str | Milvus | None) -> Milvus:
        """The Milvus named; else that of this handle; else the one where the dataset is; else the embedded one."""
        if isinstance(to, Milvus):
            return to
        if to is not None:
            return named("" if to == "embedded" else to, self._default)
        if self._default is not None and self._default.uri:
            return self._default
        ledgers = repo.publications.ledgers(self._versions.store, dataset)
        known = [ledger for ledger in ledgers if ledger.collections or ledger.pending]
        if len(known) == 1:
            return named(known[0].uri, self._default, known[0].database)
        return self._default or Milvus()

    def _entered(self, at: Milvus) -> index.milvus.Connection:
        with self._entering:
            name = repr((self._place(at), at.database))
            if name not in self._connections:
                self._connections[name] = index.milvus.connect(at, self._embedded)
            return self._connections[name]

    def _book(self, dataset: str, at: Milvus) -> Publications:
        uri = self._place(at) if at.uri else ""
        return self._versions.publications(dataset, uri, at.database)

    def _place(self, at: Milvus) -> str:
        return index.milvus.address(at, self._embedded)

    @property
    def _embedded(self) -> Path | None:
        found = self._versions.store.path("vecver.json")
        return found.parent / EMBEDDED if found else None


def named(uri: str, known: Milvus | None, database: str = "") -> Milvus:
    """The Milvus at an address; secrets are given to none but the one that they were named with."""
    if known is not None and known.uri in ("", uri):
        return Milvus(**{**known.__dict__, "uri": uri, "database": known.database or database})
    return Milvus(uri, database)
