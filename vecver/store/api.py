"""The interface of a store, and the errors that every store raises.

Names are `/`-separated, without `.` and `..`. A write becomes visible whole, in one step, and is durable when the call
returns. This is enough to survive a power failure: the layers above write children before parents, and make all of it
visible by one `swap`.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from vecver.errors import BackendError, ConflictError, NotFoundError, check_first

Still = Callable[[], None]  # raises ConflictError(code="lock_lost") unless a lock is still held
PIECE_BYTES = 4 << 20  # of a large object, read at once
LAPSE = 20.0  # seconds after which a remote store takes a lock from a holder that is not heard of


@runtime_checkable
class Store(Protocol):
    """Bytes under names. A missing name raises NotFoundError(code="object_missing"), a failing store BackendError."""

    url: str

    def put(self, name: str, data: bytes | Path) -> None:
        """Store bytes, or a finished file from `scratch()` (it is moved), under `name`, replacing what is there."""

    def put_all(self, files: Mapping[str, Path]) -> None:
        """As many `put`s of finished files, in this order, all durable when the call returns.

        Each becomes visible whole. After a power failure during the call any of them may be missing, so an object
        that announces the others must be `put` afterwards.
        """

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        """All bytes of `name`. `fixed`: its bytes never change, so those that this machine kept are as good."""

    def get_all(self, names: Iterable[str]) -> Sequence[bytes | None]:
        """The bytes of each name, None for a missing one; a remote store is asked for all at once."""

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        """The bytes of `name` without reading them all: memory-mapped where the store can. `fixed`: see `get`."""

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of `name` from `start` on, a piece at a time; nothing is kept. For objects that never change."""

    def bring(self, names: Iterable[str]) -> None:
        """Make ready to `map` these `fixed` names: a remote store fetches those that this machine lacks, at once.

        A missing name is no error here.
        """

    def path(self, name: str) -> Path | None:
        """The path of `name` if it is a plain file, or of the copy that `map` reads; else None."""

    def size(self, name: str) -> int | None:
        """Bytes of `name`, or None if there is no such name."""

    def holds(self, name: str, content: memoryview) -> bool:
        """Does a hash that the store itself took of `name` say that it holds these bytes?

        False also where there is no such hash, or it is of a kind that says nothing of the bytes.
        """

    def has_all(self, names: Iterable[str]) -> Sequence[bool]:
        """Whether there is each name; a remote store is asked for all at once."""

    def list(self, prefix: str) -> Iterator[str]:
        """Every name that begins with `prefix`, which ends with `/` or is empty; sorted."""

    def list_all(self, prefixes: Iterable[str]) -> Sequence[Sequence[str]]:
        """The names that `list` gives for each prefix; a remote store is asked for all at once."""

    def delete(self, *names: str) -> None:
        """Remove `names`, durably when the call returns. Missing names are no error."""

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        """Write `new` if `name` holds `expected` now (None: is absent), else ConflictError(code="swap_lost")."""

    def lock(self, name: str, seconds: float, lapse: float = LAPSE) -> AbstractContextManager[Still]:
        """An exclusive lock among all processes; it is released when its process ends, however it ends.

        For work that is long and safe to repeat. Raises ConflictError(code="locked") if another process holds it for
        `seconds`. A remote store gives it to another once its holder was not heard of for `lapse` seconds. So a holder
        calls what it is given before each step that two holders must not take: that raises
        ConflictError(code="lock_lost") if another may hold the lock by now.
        """

    def scratch(self) -> Path:
        """A new private directory for files that will be `put`; the caller removes it."""

    @property
    def folder(self) -> Path | None:
        """The folder in which the names are plain files, if there is one."""

    @property
    def local(self) -> Path | None:
        """A folder for what this machine notes about the store; it may not exist, and its content may vanish."""

    def moment(
        self,
        bodies: Iterable[str] = (),
        sizes: Iterable[str] = (),
        *,
        locks: Iterable[str] = (),
        anew: bool = False,
        age_s: float = 0.0,
    ) -> AbstractContextManager[None]:
        """One operation of this thread; may be nested. For a remote store it saves waiting, for others it is nothing.

        Each name is read once in it, unless another process held a lock that this one waited for, and `put`s of bytes
        are sent without waiting, one after the other; all are durable when it ends, and before a `swap` is sent.
        `bodies` and `sizes` are names that will be asked for: they are read at once, even again if `anew`. `locks` will
        be asked for too: those that nobody holds are taken at once, and are given back when this ends, or as soon as
        the thread waits for a lock. `age_s`: of `bodies` it is enough to know what a remote store had so many seconds
        ago, or what this process wrote since.
        """

    def aside(self, work: Callable[[], None]) -> None:
        """Do something that the operation does not depend on: a remote store does it beside, until the moment ends.

        `work` raises nothing that matters, and reads what the store has, not what the moment has read.
        """

    def knows(self, bodies: Iterable[str], age_s: float) -> bool:
        """Would a moment with these bodies and this age begin without a request?"""

    def uncached(self) -> Store:
        """This store, where each name is read from where it lies at least once, whatever this machine has kept."""


def get_or_none(store: Store, name: str) -> bytes | None:
    """The bytes of `name`, None if there is no such name: one request of a remote store."""
    try:
        return store.get(name)
    except NotFoundError:
        return None


def still_held() -> None:
    """What `lock` gives where the system holds the lock: nobody can take it away."""


def absent(name: str) -> NotFoundError:
    """The error for a name that the store does not have."""
    return NotFoundError(
        f"the store has no {name}",
        code="object_missing",
        hint=check_first("restore what it names from a copy of the repository"),
        name=name,
    )


def swap_lost(name: str) -> ConflictError:
    """The error for a swap whose expectation did not hold."""
    return ConflictError(
        f"{name} was changed by somebody else",
        code="swap_lost",
        hint="read it again and repeat the change",
        name=name,
    )


def locked(name: str, seconds: float) -> ConflictError:
    """The error for a lock that somebody else holds."""
    return ConflictError(
        f"another process has held {name} for {seconds:.0f} s",
        code="locked",
        hint="wait until it has finished, then try again",
        name=name,
    )


@contextlib.contextmanager
def writing(name: str, place: Path | None = None) -> Iterator[None]:
    """Turns an OSError while `name` is written, at the path `place`, into a BackendError."""
    try:
        yield
    except OSError as error:
        raise unreachable(name, place, error) from error


@contextlib.contextmanager
def reading(name: str, place: Path | None = None) -> Iterator[None]:
    """As `writing`; a missing file, or a folder in its place, is a NotFoundError."""
    with writing(name, place):
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise absent(name) from error


def unreachable(name: str, place: Path | None, error: OSError) -> BackendError:
    """The error for an OSError on `name`."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return BackendError(
        f"the store could not reach {place or name}: {error.strerror or error}",
        code="store_full" if full else "store_failed",
        hint="free space and try again; nothing was changed" if full else "check the path and its rights",
        retryable=full,
        name=name,
    )
