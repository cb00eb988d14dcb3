"""Decides which Milvus a dataset is published to and searched through, and connects to each once a session."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vecver import flows, index, repo
from vecver.errors import InvalidInputError, say

if TYPE_CHECKING:
    from vecver.flows import Progress
    from vecver.model import Milvus
    from vecver.repo import Publications, Versions

EMBEDDED = "milvus.db"  # in the repository's folder


class MilvusConnections:
    """The Milvus servers of a repository. `default`: the one that was named when the repository was opened."""

    def __init__(self, versions: Versions, default: Milvus | None) -> None:
        self._versions = versions
        self._default = default
        self._connections: dict[Milvus, index.milvus.Connection] = {}
        self._connecting = threading.Lock()

    def publisher(
        self,
        dataset: str,
        to: str | Milvus | None = None,
        progress: Progress | None = None,
        bulk: str | None = None,
    ) -> flows.Publisher:
        """The publisher of a dataset to a Milvus; `bulk`: where it puts files for the server's bulk import, if there.

        Raises InvalidInputError (no such address, no bulk import), BackendError.
        """
        milvus = self._chosen(dataset, to)
        book, connection = self._publications(dataset, milvus), self._connection(milvus)
        importer = None
        if bulk is not None:
            connection.check_imports()
            importer = flows.Importer(connection, book, flows.open_storage(bulk), progress)
        return flows.Publisher(self._versions, dataset, connection, book, progress, importer)

    def open(self, dataset: str) -> flows.OpenMilvus:
        """The Milvus that a dataset is searched through. Raises InvalidInputError, BackendError."""
        milvus = self._chosen(dataset, None)
        return flows.OpenMilvus(self._connection(milvus), self._publications(dataset, milvus))

    def publications(self, dataset: str, to: str | Milvus | None) -> tuple[str, Publications]:
        """The address of a Milvus, and the record of what is published there of a dataset. Connects to nothing."""
        milvus = self._chosen(dataset, to)
        return self._address(milvus), self._publications(dataset, milvus)

    def has_published(self, dataset: str, to: str | Milvus) -> bool:
        """Does the record say that something of a dataset is published there?"""
        ledger = self.publications(dataset, to)[1].read()
        return bool(ledger.collections or ledger.pending or ledger.intent)

    def close(self) -> None:
        """Close every connection; the next call connects again."""
        with self._connecting:
            while self._connections:
                self._connections.popitem()[1].close()

    def _chosen(self, dataset: str, to: str | Milvus | None) -> Milvus:
        """The Milvus named; else the session's; else the one where the dataset is published; else the embedded one."""
        from vecver.model import Milvus

        if isinstance(to, Milvus):
            return to
        if to is not None:
            return with_secrets_of(self._default, "" if to == "embedded" else to)
        if self._default is not None and self._default.uri:
            return self._default
        ledgers = repo.ledger.ledgers(self._versions.store, self._versions.key(dataset))
        holding = [Milvus(ledger.uri, ledger.database) for ledger in ledgers if ledger.collections or ledger.pending]
        if len(holding) > 1:
            raise InvalidInputError(
                f"{dataset} is published in {' and '.join(milvus.uri or 'the embedded Milvus' for milvus in holding)}",
                code="several_milvus",
                hint=say(
                    "say which is meant: to=URI, or milvus= where the repository is opened",
                    cli="say which is meant: --to URI, or VECVER_MILVUS",
                ),
            )
        # An address that only the repository names never gets the session's secrets.
        return holding[0] if holding else self._default or Milvus()

    def _connection(self, milvus: Milvus) -> index.milvus.Connection:
        with self._connecting:
            if milvus not in self._connections:
                self._connections[milvus] = index.milvus.connect(milvus, self._embedded)
            return self._connections[milvus]

    def _publications(self, dataset: str, milvus: Milvus) -> Publications:
        uri = self._address(milvus) if milvus.uri else ""
        return self._versions.publications(dataset, uri, milvus.database)

    def _address(self, milvus: Milvus) -> str:
        return index.milvus.address(milvus, self._embedded)

    @property
    def _embedded(self) -> Path | None:
        """The file of the embedded Milvus; None where the repository is no folder."""
        folder = self._versions.store.folder
        return folder / EMBEDDED if folder else None


def with_secrets_of(default: Milvus | None, uri: str) -> Milvus:
    """The Milvus at an address; it gets the secrets of `default` only if those were given for this address or none."""
    from vecver.model import Milvus

    if default is not None and default.uri in ("", uri):
        return replace(default, uri=uri)
    return Milvus(uri)
