"""Locks on a store that cannot hold them for us: an object says who holds a lock, and is renewed while that lives.

    locks/<name>    {"holder": a random number, "beat": times renewed, "lapse": seconds}

Decisions
1. A lease lapses when it has not been renewed for `lapse` seconds of the *store's* clock, which dates every write. The
   clocks of two machines are never compared. What time it is there is asked once, by writing an object and looking at
   its date; from then on this machine's monotonic clock counts. One that is late by a second, since dates have no
   fractions, only waits longer.
2. A holder that is stopped for longer than `lapse` loses its lease without knowing. So it asks `Held` before each step
   that only a holder may take, and trusts its lease for half of `lapse` only, counted from before the last renewal was
   sent. The question costs no request. `vecver.repo.maintain.gc` and `naming` say why nothing is lost in the moment
   between that question and the step.
3. Releasing deletes the object without waiting for the reply. A lease that may have lapsed is left where it is, since
   deleting it could take away that of its successor.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property

from vecver.errors import BackendError, ConflictError, NotFoundError, VecverError
from vecver.store.api import LAPSE, locked
from vecver.store.requests import Found, Requests, Tag

FOLDER = "locks"
_SKEW = 2.0  # seconds that a date of the store may be late
_PAUSE = 0.5  # the longest between two looks at a lease


class Held:
    """A lease that is held, as far as its holder knows."""

    def __init__(self, name: str, holder: str, lapse: float, sent: float, tag: Tag) -> None:
        self.name = name
        self.holder = holder
        self.tag = tag
        self._lapse = lapse
        self._sent = sent  # when the last renewal was sent, by `_now`
        self._beat = 0

    def __call__(self) -> None:
        """Raises ConflictError (code lock_lost) if another may hold the lock by now."""
        if not self.is_sure:
            raise ConflictError(
                f"this process was stopped for too long and has lost {self.name}",
                code="lock_lost",
                hint="try again; nothing was lost",
                name=self.name,
            )

    @property
    def is_sure(self) -> bool:
        """False if the lease may have lapsed."""
        return _now() < self._sent + self._lapse / 2

    def body(self) -> bytes:
        """The lease as it is stored next."""
        self._beat += 1
        return _body(self.holder, self._beat, self._lapse)

    def renewed(self, sent: float, tag: Tag) -> None:
        self._sent, self.tag = sent, tag


class Leases:
    """The leases on one bucket."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._released: dict[str, Future[None]] = {}  # by name: what this process sent of late to let leases go

    @contextlib.contextmanager
    def held(
        self,
        name: str,
        seconds: float,
        lapse: float,
        waited: Callable[[], None] = lambda: None,
        taken: Held | None = None,
    ) -> Iterator[Held]:
        """Hold a lease, renewed in a thread. Raises ConflictError (code locked) after waiting for `seconds`.

        `waited` is called if another held it before. `taken`: the lease, if `attempt` has got it.
        """
        held = (self._still(taken) if taken else None) or self._take(name, seconds, lapse, waited)
        done = threading.Event()
        threading.Thread(target=self._renew, args=(held, lapse, done), name="vecver-lease", daemon=True).start()
        try:
            yield held
        finally:
            done.set()
            self.release(held)

    def attempt(self, name: str, lapse: float = LAPSE) -> Held | None:
        """Take a lease that nobody holds; None if somebody may. It is not renewed before `held` is entered with it."""
        self._wait_released(name)
        sent, holder = _now(), secrets.token_hex(8)
        tag = self._requests.put_if(_path(name), _body(holder, 0, lapse), None)
        return Held(name, holder, lapse, sent, tag) if tag else None

    def _still(self, held: Held) -> Held | None:
        """A lease that was taken a while ago, renewed if it may have lapsed; None if another has got it."""
        sent = _now()
        if not held.is_sure:
            tag = self._requests.put_if(_path(held.name), held.body(), held.tag)
            if tag is None:
                return None
            held.renewed(sent, tag)
        return held

    def release(self, held: Held) -> None:
        """Let a lease go, without waiting for the reply."""
        if held.is_sure:
            self._released[held.name] = self._releasing.submit(self._release, held)

    def _wait_released(self, name: str) -> None:
        """Wait for the reply if this process is letting the lease go: else it would meet its own, and wait longer."""
        if released := self._released.pop(name, None):
            wait([released])

    @cached_property
    def _releasing(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(2, thread_name_prefix="vecver-release")

    def _take(self, name: str, seconds: float, lapse: float, waited: Callable[[], None] = lambda: None) -> Held:
        self._wait_released(name)
        end, holder = _now() + seconds, secrets.token_hex(8)
        first = _body(holder, 0, lapse)
        seen: Tag | None = None
        while True:
            sent = _now()
            if tag := self._requests.put_if(_path(name), first, seen):
                return Held(name, holder, lapse, sent, tag)
            seen = None
            waited()
            found = self._look(name)
            if found is not None and self._has_lapsed(found):
                seen = found.tag
            elif _now() >= end:
                raise locked(name, seconds)
            else:
                time.sleep(random.uniform(0.05, _PAUSE) if seconds else 0)

    def _look(self, name: str) -> Found | None:
        try:
            return self._requests.get(_path(name))
        except NotFoundError:  # released meanwhile
            return None

    def _has_lapsed(self, found: Found) -> bool:
        age = _now() + self._ahead - found.changed.timestamp()
        return age > _lapse_of(found.body) + _SKEW

    def _renew(self, held: Held, lapse: float, done: threading.Event) -> None:
        """Renew a lease until it is released; one that was lost, or that cannot be renewed, is left to lapse."""
        while not done.wait(lapse / 5):
            sent = _now()
            try:
                tag = self._requests.put_if(_path(held.name), held.body(), held.tag)
            except BackendError:
                continue
            if tag is None:
                return
            held.renewed(sent, tag)

    def _release(self, held: Held) -> None:
        with contextlib.suppress(VecverError):  # then it lapses
            if held.is_sure:
                self._requests.delete(_path(held.name))

    @cached_property
    def _ahead(self) -> float:
        """What the store's clock says more than ours at least, in seconds."""
        path = f"{FOLDER}/clock-{secrets.token_hex(8)}"
        self._requests.put(path, b"")
        after = _now()
        found = self._requests.get(path)
        self._requests.delete(path)
        return found.changed.timestamp() - after if found else 0.0


def _path(name: str) -> str:
    return f"{FOLDER}/{name}"


def _body(holder: str, beat: int, lapse: float) -> bytes:
    return json.dumps({"holder": holder, "beat": beat, "lapse": lapse}).encode()


def _lapse_of(body: bytes) -> float:
    """After how many seconds a stored lease lapses."""
    try:
        return float(json.loads(body)["lapse"])
    except (ValueError, KeyError, TypeError):  # not ours
        return LAPSE


def _now() -> float:
    """Seconds that go on while this machine sleeps, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
