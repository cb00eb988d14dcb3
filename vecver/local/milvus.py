"""Which Milvus a dataset is published to and searched through, and the way in. Each is entered once a handle."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vecver import flows, index, repo
from vecver.errors import InvalidInputError, say
from vecver.model import Milvus

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.repo import Publications, Versions

EMBEDDED = "milvus.db"  # in the repository's folder


class Entrance:
    """The way from a repository to Milvus. `default`: the one that was named when the repository was opened."""

    def __init__(self, versions: Versions, default: Milvus | None) -> None:
        self._versions = versions
        self._default = default
        self._connections: dict[Milvus, index.milvus.Connection] = {}
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
        return flows.Through(self._entered(at), self._book(dataset, at))

    def book(self, dataset: str, to: str | Milvus | None) -> tuple[str, Publications]:
        """Where that Milvus is, and what is known of a dataset there; nothing is entered."""
        at = self._meant(dataset, to)
        return self._place(at), self._book(dataset, at)

    def holds(self, dataset: str, to: str | Milvus) -> bool:
        """Is something of a dataset published there, as far as is known here?"""
        ledger = self.book(dataset, to)[1].read()
        return bool(ledger.collections or ledger.pending or ledger.intent)

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
        ledgers = repo.ledger.ledgers(self._versions.store, self._versions.key(dataset))
        known = [Milvus(one.uri, one.database) for one in ledgers if one.collections or one.pending]
        if len(known) > 1:
            raise InvalidInputError(
                f"{dataset} is published in {' and '.join(at.uri or 'the embedded Milvus' for at in known)}",
                code="several_milvus",
                hint=say(
                    "say which is meant: to=URI, or milvus= where the repository is opened",
                    cli="say which is meant: --to URI, or VECVER_MILVUS",
                ),
            )
        return known[0] if known else self._default or Milvus()  # no secret goes where only a repository sends it

    def _entered(self, at: Milvus) -> index.milvus.Connection:
        with self._entering:
            if at not in self._connections:
                self._connections[at] = index.milvus.connect(at, self._embedded)
            return self._connections[at]

    def _book(self, dataset: str, at: Milvus) -> Publications:
        uri = self._place(at) if at.uri else ""
        return self._versions.publications(dataset, uri, at.database)

    def _place(self, at: Milvus) -> str:
        return index.milvus.address(at, self._embedded)

    @property
    def _embedded(self) -> Path | None:
        found = self._versions.store.path("vecver.json")
        return found.parent / EMBEDDED if found else None


def named(uri: str, known: Milvus | None) -> Milvus:
    """The Milvus at an address; secrets are given to none but the one that they were named with."""
    return replace(known, uri=uri) if known is not None and known.uri in ("", uri) else Milvus(uri)
