"""The front desk for a repository behind a service: the handle that `vecver.connect` gives.

It has the methods and the values of `Repository`, so that a script changes one line.
"""

from __future__ import annotations

from vecver import repo
from vecver.model import DatasetRemoval, Json, Replay
from vecver.remote.dataset import RemoteDataset
from vecver.remote.http import Wire, path_of, read


class RemoteRepository:
    """A repository behind a service. Made by `vecver.connect`.

    What needs the repository's own machine stays with its operator: `check`, `gc`.
    """

    def __init__(self, wire: Wire) -> None:
        """Raises BackendError where no vecver answers, AccessError."""
        self._wire = wire
        self._id = read(wire.get(path_of()), lambda it: str(it["repository"]))

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
        found = self._wire.get(path_of("datasets"))
        return read(found, lambda it: sorted(one["name"] for one in it["datasets"]))

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
        done = self._wire.write("DELETE", path_of("datasets", name), params={"confirm": name})
        return read(done, DatasetRemoval.from_json)

    def replay(self, receipt: Json) -> Replay:
        """Recompute an answer from its receipt, there. Raises InvalidInputError, NotFoundError."""
        return read(self._wire.ask(path_of("replay"), {"receipt": receipt}), Replay.from_json)

    def close(self) -> None:
        """Let go of every connection. The handle is of no use then."""
        self._wire.close()

    def __enter__(self) -> RemoteRepository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<vecver repository {self.url}>"


def connect(url: str, api_key: str | None = None, *, timeout: float = 60.0, retries: int = 2) -> RemoteRepository:
    """The repository behind the service at `url`: the handle has the methods of what `vecver.open` gives.

    `api_key` is sent to that URL alone, and shown nowhere; over http, which is not refused, it can be read on the
    way, and by the proxy that HTTP_PROXY names (NO_PROXY: hosts that are asked directly). `timeout`: seconds that a
    call may take, its attempts together; an ingest is waited for as long as it runs. `retries`: attempts after the
    first, where nothing answered or the service is busy. No call is done twice by them.

    Raises InvalidInputError (no URL, no key), BackendError (no vecver answers there), AccessError.
    """
    wire = Wire(url, api_key, timeout=timeout, retries=retries)
    try:
        return RemoteRepository(wire)
    except BaseException:
        wire.close()
        raise
