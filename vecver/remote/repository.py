"""The handles that `vecver.connect` gives: a repository behind a service, and its datasets.

They have the methods and values of `Repository` and `Dataset`, so that a script changes one line.

Decisions
1. Both classes stand in this file because each gives out the other. The calls of a dataset are in rooms below, which
   know the HTTP client and no repository.
"""

from __future__ import annotations

from vecver import repo
from vecver.model import DatasetRemoval, Json, Replay
from vecver.remote.editing import RemoteEditing
from vecver.remote.history import RemoteHistory
from vecver.remote.ingesting import RemoteIngesting
from vecver.remote.merging import RemoteMerging
from vecver.remote.reading import RemoteReading
from vecver.remote.searching import RemoteSearching
from vecver.wire import Wire, path_of, read


class RemoteRepository:
    """A repository behind a service. Made by `vecver.connect`.

    `check` and `gc` need the repository's own machine; only its operator can run them.
    """

    def __init__(self, wire: Wire) -> None:
        """Raises BackendError (no vecver answers there), AccessError."""
        self._wire = wire
        self._id = read(wire.get(path_of()), lambda body: str(body["repository"]))

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._wire.url

    @property
    def id(self) -> str:
        """Its identity, 32 hex characters, as receipts name it."""
        return self._id

    def dataset(self, name: str) -> RemoteDataset:
        """A handle on a dataset, which need not have a version yet. Raises InvalidInputError for a bad name."""
        repo.check_name("dataset", name)
        return RemoteDataset(self, name)

    def datasets(self) -> list[str]:
        """The names of all datasets that have a version and that the key may read, sorted."""
        body = self._wire.get(path_of("datasets"))
        return read(body, lambda it: sorted(value["name"] for value in it["datasets"]))

    def rename_dataset(self, old: str, new: str) -> RemoteDataset:
        """As `Repository.rename_dataset`; the key must be an admin's of both names."""
        repo.check_name("dataset", old)
        self._wire.write("POST", path_of("datasets", old, "rename"), {"to": new})
        return RemoteDataset(self, new)

    def delete_dataset(self, name: str, *, apply: bool = False) -> DatasetRemoval:
        """As `Repository.delete_dataset`; the key must be an admin's."""
        repo.check_name("dataset", name)
        if not apply:
            return read(self._wire.get(path_of("datasets", name, "removal")), DatasetRemoval.from_json)
        body = self._wire.write("DELETE", path_of("datasets", name), params={"confirm": name})
        return read(body, DatasetRemoval.from_json)

    def replay(self, receipt: Json) -> Replay:
        """Let the service recompute an answer from its receipt. Raises InvalidInputError, NotFoundError."""
        return read(self._wire.ask(path_of("replay"), {"receipt": receipt}), Replay.from_json)

    def close(self) -> None:
        """Close every connection. The handle cannot be used afterwards."""
        self._wire.close()

    def __enter__(self) -> RemoteRepository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<vecver repository {self.url}>"


class RemoteDataset(RemoteIngesting, RemoteEditing, RemoteMerging, RemoteSearching, RemoteReading, RemoteHistory):
    """A dataset behind a service, with the methods of `Dataset`; each raises what that raises.

    And AccessError (the key may not), BackendError (no answer). What needs the repository's own machine stays with
    its operator: `optimize`, `recall` and `measures`, `snapshot`, `status`, and of Milvus `republish` and
    `unpublish`.
    """

    def __init__(self, repository: RemoteRepository, name: str) -> None:
        super().__init__(repository._wire, name)
        self.repository = repository

    def __repr__(self) -> str:
        return f"<vecver dataset {self.name} in {self.repository.url}>"


def connect(url: str, api_key: str | None = None, *, timeout: float = 60.0, retries: int = 2) -> RemoteRepository:
    """The repository behind the service at `url`: the handle has the methods of what `vecver.open` gives.

    `api_key` is sent to that URL only and never shown. Over http, which is not refused, anybody on the way can read
    it, and so can the proxy that HTTP_PROXY names (NO_PROXY: hosts that are asked directly). `timeout`: seconds for a
    call, all its attempts together; an ingest is waited for as long as it runs. `retries`: attempts after the first
    when nothing answers or the service is busy. A repeated attempt never repeats a write.

    Raises InvalidInputError (no URL, no key), BackendError (no vecver answers there), AccessError.
    """
    wire = Wire(url, api_key, timeout=timeout, retries=retries)
    try:
        return RemoteRepository(wire)
    except BaseException:
        wire.close()
        raise
