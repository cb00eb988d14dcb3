"""A moment: what one operation has read of a bucket so far, and what it has asked for or sent without waiting.

Decisions
1. Within a moment a name is read once. Nothing is lost by a value that is a little old: whatever is decided by it takes
   effect by a `swap`, which compares with what lies there. Who must know what happened since, for example since a lock
   was got, calls `ahead` again: that asks for the names anew.
2. A `put` is sent without waiting for its reply, but each write waits for the one before. So children are still
   written before their parents, while the operation reads on meanwhile. An error of a write is raised by the next one,
   which therefore is not sent, or at the end of the moment.
3. A lock may be taken ahead, while something else is sent. It protects the same steps as one that is taken when it is
   asked for, since those come later still. Nobody waits for anything that another holds while it has such a lock:
   otherwise two could wait for each other, or gc for a writer that has not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future, wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from vecver.errors import VecverError

if TYPE_CHECKING:
    from vecver.store.leases import Held


class Moment:
    """What one thread has read and sent; requests are made by `workers`."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers
        self._bodies: dict[str, Future[bytes | None]] = {}
        self._sizes: dict[str, Future[int | None]] = {}
        self._write: Future[None] | None = None
        self._writing = ""  # its name
        self._locks: dict[str, Future[Held | None]] = {}  # taken ahead, and not yet asked for
        self._aside: list[Future[None]] = []

    def ahead(
        self,
        bodies: Iterable[str],
        read: Callable[[str], bytes | None],
        sizes: Iterable[str],
        measure: Callable[[str], int | None],
        *,
        anew: bool,
    ) -> None:
        """Ask for these names now; `anew`: whatever was read of them before."""
        bodies, sizes = list(bodies), list(sizes)
        if anew:
            self.forget(*bodies, *sizes)
        self._bodies |= {name: self._workers.submit(read, name) for name in bodies if not self.knows(name)}
        self._sizes |= {name: self._workers.submit(measure, name) for name in sizes if not self.knows(name)}

    def body(self, name: str, read: Callable[[str], bytes | None]) -> bytes | None:
        """The bytes of a name, None if there are none, as they were first seen."""
        if name not in self._bodies:
            self.know(name, read(name))
        return self._bodies[name].result()

    def size(self, name: str, measure: Callable[[str], int | None]) -> int | None:
        """The bytes that a name has, None if it has none, as it was first seen."""
        if name in self._bodies:
            body = self._bodies[name].result()
            return None if body is None else len(body)
        return self._sizes[name].result() if name in self._sizes else measure(name)

    def knows(self, name: str) -> bool:
        return name in self._bodies

    def know(self, name: str, body: bytes | None) -> None:
        """From now on these are the bytes of a name."""
        known: Future[bytes | None] = Future()
        known.set_result(body)
        self._bodies[name] = known
        self._sizes.pop(name, None)

    def forget(self, *names: str) -> None:
        """Let these names be read again."""
        for name in names:
            self._bodies.pop(name, None)
            self._sizes.pop(name, None)

    def forget_all(self) -> None:
        """Let every name be read again."""
        self._bodies.clear()
        self._sizes.clear()

    def send(self, name: str, write: Callable[[], None]) -> None:
        """Write after what was sent before, without waiting for the reply. Raises the error of the write before."""
        self.settle()
        self._write, self._writing = self._workers.submit(write), name

    # -- locks and other work -----------------------------------------------------------------------

    def take_ahead(self, names: Iterable[str], attempt: Callable[[str], Held | None]) -> None:
        """Begin to take these locks."""
        self._locks |= {name: self._workers.submit(attempt, name) for name in names if name not in self._locks}

    def claimed(self, name: str) -> Held | None:
        """A lock that was taken ahead, which is the caller's from now on; None if it was not got."""
        ahead = self._locks.pop(name, None)
        return ahead.result() if ahead else None

    def give_back(self, names: Iterable[str] | None, release: Callable[[Held], None]) -> None:
        """Let those of these locks go that were taken ahead and not asked for; None: all."""
        for name in [*self._locks] if names is None else names:
            if ahead := self._locks.pop(name, None):
                ahead.add_done_callback(partial(_give_back, release))

    def aside(self, work: Future[None]) -> None:
        """Let the moment last until this has ended."""
        self._aside.append(work)

    def wait_aside(self) -> None:
        """Wait for what is done aside, whether it succeeds or not."""
        wait(self._aside)

    def settle(self, prefix: str = "") -> None:
        """Wait for what was sent, if its name begins with `prefix`. Raises its error."""
        if self._write is not None and self._writing.startswith(prefix):
            sent, self._write = self._write, None
            sent.result()


def _give_back(release: Callable[[Held], None], ahead: Future[Held | None]) -> None:
    with suppress(VecverError, CancelledError):  # it was not got
        if held := ahead.result():
            release(held)
