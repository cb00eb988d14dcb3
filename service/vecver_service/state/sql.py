"""What the tables are reached through: a connection, a lock, and the two kinds of database that give them.

The SQL of keys, jobs, first answers and the audit log is the same for both; all that differs is behind `Engine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection in autocommit mode, for one thread at a time."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Rows:
        """Run a statement whose values stand as `?`."""

    def close(self) -> None: ...


class Lock(Protocol):
    """A lock among all processes of a service, which goes when its process ends, however it ends."""

    def acquire(self) -> bool:
        """Take it, without waiting. False: another holds it."""

    def release(self) -> None: ...


class Engine(Protocol):
    """A kind of database. Its methods raise OSError or BackendError where it cannot be reached."""

    folder: Path  # for files of this process and those beside it
    shared: bool  # processes of other machines may use it

    def exists(self) -> bool:
        """Have the tables been made?"""

    def prepare(self) -> None:
        """Make the tables where there are none. Raises ConflictError, IntegrityError too."""

    def connect(self) -> Connection: ...

    def usable(self, connection: Connection, idle_s: float) -> bool:
        """May a connection that nobody used for so long be used again?"""

    def clean(self, connection: Connection) -> bool:
        """Is nothing left open on it?"""

    def errors(self) -> AbstractContextManager[None]:
        """Raises errors of the system or of the house for those of the driver."""

    def begin(self, connection: Connection, *, durable: bool) -> None:
        """Begin a transaction; no other one writes until it ends."""

    def commit(self, connection: Connection) -> None: ...

    def roll_back(self, connection: Connection) -> None:
        """Undo the transaction, if there still is one; raises nothing."""

    def lock(self, kind: str, name: str) -> Lock: ...

    def forget_locks(self, kind: str, seconds: float) -> None:
        """Delete what locks left that nobody has held for so long."""

    def changing_keys(self, transaction: AbstractContextManager[Connection]) -> AbstractContextManager[Connection]:
        """A transaction that changes keys: `keys_version` differs afterwards, also where nothing was changed."""

    def reachable(self) -> bool:
        """Did it answer when it was looked at last?"""

    def keys_version(self) -> object | None:
        """Differs from before when the keys may have changed; costs no query. None: unknown."""

    def close(self) -> None: ...
