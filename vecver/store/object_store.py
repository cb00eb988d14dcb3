"""A store in a bucket: S3, Google Cloud Storage, Azure, and services that speak as one of them.

An object is visible whole and durable when a write returns; `swap` is a conditional write; a lock is a lease.

Decisions
1. Bytes under a name that callers call `fixed` are read once by this machine and then from its cache. Other names are
   asked for each time; a large one that has not changed is not sent again (If-None-Match).
2. What was just written is not read back: `put` keeps a copy, and `swap` knows the tag of what it or `get` saw last.
   If that tag is refused the object is read and compared, so that equal bytes written by another count as expected.
3. A service that ignores conditions would lose updates in silence. Each is tried once by each machine, before the first
   write that relies on them: a second create, and an update of what is not there, must be refused.
4. `uncached` reads each name from the bucket once more, for `check`, and through the cache after that: hashing and then
   decoding a segment must not fetch it twice.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from copy import copy
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from vecver.errors import BackendError, NotFoundError, VecverError
from vecver.store.api import LAPSE, PIECE_BYTES, Still, absent, reading, swap_lost, writing
from vecver.store.cache import Cache, Copy
from vecver.store.lately import Lately
from vecver.store.leases import FOLDER, Leases
from vecver.store.mapping import map_file
from vecver.store.moment import Moment
from vecver.store.requests import Requests, Tag

if TYPE_CHECKING:
    from vecver.store.clouds import Bucket

S = TypeVar("S")
T = TypeVar("T")

AT_ONCE: Final = 16  # requests of one call
_IN_MEMORY: Final = 256 << 20  # bytes that are mapped from memory where nothing can be cached
_REMEMBERED: Final = 1024  # objects whose last seen bytes have their tag kept


class ObjectStore:
    """See `Store`. Nothing is asked or written before the first use. `cache` None: nothing is kept on this machine."""

    def __init__(self, bucket: Bucket, cache: Cache | None) -> None:
        self.url = bucket.url
        self._requests = Requests(bucket.objects, bucket.url)
        self._leases = Leases(self._requests)
        self.cache = cache
        self._seen: OrderedDict[str, tuple[bytes, Tag]] = OrderedDict()  # name -> digest of its bytes, tag
        self._lock = threading.Lock()
        self._lately = Lately(self._read_or_none)
        self._fetched: set[str] | None = None  # of `uncached`: the names that were read from the bucket
        self._thread = threading.local()  # .moment: what this thread's operation has read
        self._proved = [False]  # that conditions are kept; shared by copies

    # -- reading --------------------------------------------------------------------------------

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        moment = self._moment
        if moment and (not fixed or moment.knows(name)):
            body = moment.body(name, self._read_or_none)
            if body is None:
                raise absent(name)
            return body
        if fixed and (kept := self._kept(name)):
            with contextlib.suppress(OSError):  # deleted at this moment
                return kept.path.read_bytes()
        return self._read(name, fixed)

    def _read(self, name: str, fixed: bool = False) -> bytes:
        found = self._requests.get(name)
        assert found, "an unconditional read gives bytes"
        self._saw(name, found.body, found.tag)
        if fixed:
            self._keep(name, found.body, found.tag)
        return found.body

    def get_all(self, names: Iterable[str]) -> Sequence[bytes | None]:
        names = list(names)
        if moment := self._moment:
            moment.ahead(names, self._read_or_none, (), self._requests.size, anew=False)
            return [moment.body(name, self._read_or_none) for name in names]
        return self._at_once(self._read_or_none, names)

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        self._settle(name)
        kept = self._kept(name)
        if not kept or not fixed:
            kept = self._newest(name, kept)
        if kept:
            with contextlib.suppress(OSError):  # deleted at this moment
                return map_file(kept.path)
        return self._in_memory(name)

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        self._settle(name)
        if kept := self._kept(name):
            with contextlib.suppress(OSError):  # deleted at this moment
                content = map_file(kept.path)
                pieces = range(start, len(content), PIECE_BYTES)
                yield from (bytes(content[begin : begin + PIECE_BYTES]) for begin in pieces)
                return
        yield from self._requests.stream(name, start)

    def bring(self, names: Iterable[str]) -> None:
        if self.cache:
            self._at_once(self._fetched_or_missing, [name for name in names if not self._kept(name)])

    def _fetched_or_missing(self, name: str) -> None:
        with contextlib.suppress(NotFoundError):
            self._newest(name, None)

    def path(self, name: str) -> Path | None:
        kept = self._kept(name)
        return kept.path if kept else None

    def size(self, name: str) -> int | None:
        moment = self._moment
        return moment.size(name, self._requests.size) if moment else self._requests.size(name)

    def holds(self, name: str, content: memoryview) -> bool:
        self._settle(name)
        return self._requests.has_hash_of(name, content)

    def has_all(self, names: Iterable[str]) -> Sequence[bool]:
        names = list(names)
        for name in names:
            self._settle(name)
        return [size is not None for size in self._at_once(self._requests.size, names)]

    def list(self, prefix: str) -> Iterator[str]:
        self._settle(prefix)
        yield from self._listed(prefix)

    def list_all(self, prefixes: Iterable[str]) -> Sequence[Sequence[str]]:
        prefixes = list(prefixes)
        for prefix in prefixes:
            self._settle(prefix)
        return self._at_once(self._listed, prefixes)

    # -- writing --------------------------------------------------------------------------------

    def put(self, name: str, data: bytes | Path) -> None:
        if isinstance(data, Path):
            self._settle()
            with reading(str(data), data):
                data.stat()
            tag = self._requests.put(name, data)
            if not self._keep(name, data, tag):
                data.unlink()
        elif moment := self._moment:
            moment.send(name, partial(self._put, name, data))
            moment.know(name, data)
        else:
            self._put(name, data)

    def _put(self, name: str, data: bytes) -> None:
        self._keep(name, data, self._requests.put(name, data))
        self._lately.wrote(name)

    def put_all(self, files: Mapping[str, Path]) -> None:
        self._settle()
        self._at_once(lambda item: self.put(*item), list(files.items()))

    def delete(self, *names: str) -> None:
        self._settle()
        for name in names:
            self._forget(name)
        self._at_once(self._requests.delete, names)
        for name in names:
            self._lately.wrote(name)

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        self._settle()
        self._prove_conditions()
        seen = None if expected is None else self._tag_of(name, expected)
        try:
            tag = self._requests.put_if(name, new, seen) if seen or expected is None else None
            if tag is None and expected is not None:
                tag = self._swap_as_read(name, expected, new)
        finally:
            self._forget(name)  # also where it is not known what became of the request
        if tag is None:
            raise swap_lost(name)
        self._saw(name, new, tag)
        if moment := self._moment:
            moment.know(name, new)

    def _swap_as_read(self, name: str, expected: bytes, new: bytes) -> Tag | None:
        """Write `new` in the place of `expected`, whatever its tag; None if something else lies there."""
        while True:
            try:
                found = self._requests.get(name)
            except NotFoundError:
                return None
            if not found or found.body != expected:
                return None
            if tag := self._requests.put_if(name, new, found.tag):
                return tag

    @contextlib.contextmanager
    def lock(self, name: str, seconds: float, lapse: float = LAPSE) -> Iterator[Still]:
        self._prove_conditions()
        moment = self._moment
        taken = moment.claimed(name) if moment else None
        with self._leases.held(name, seconds, lapse, self._waited, taken) as still:
            yield still

    # -- this machine ---------------------------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        return None

    @property
    def local(self) -> Path | None:
        return self.cache.local if self.cache else None

    def scratch(self) -> Path:
        import tempfile

        if self.cache:
            with contextlib.suppress(OSError):
                return self.cache.scratch()
        with writing("scratch"):
            return Path(tempfile.mkdtemp(prefix="vecver-"))

    @contextlib.contextmanager
    def moment(
        self,
        bodies: Iterable[str] = (),
        sizes: Iterable[str] = (),
        *,
        locks: Iterable[str] = (),
        anew: bool = False,
        age_s: float = 0.0,
    ) -> Iterator[None]:
        outer, locks = self._moment, list(locks)
        moment = outer or Moment(self._workers)
        if locks:
            self._prove_conditions()
            moment.take_ahead(locks, self._leases.attempt)
        if age_s:
            bodies = self._not_known(moment, bodies, age_s)
        read = self._lately.read if age_s else self._read_or_none
        moment.ahead(bodies, read, sizes, self._requests.size, anew=anew)
        try:
            if outer:
                yield
            else:
                with self._begun(moment):
                    yield
        finally:
            moment.give_back(locks, self._leases.release)

    @contextlib.contextmanager
    def _begun(self, moment: Moment) -> Iterator[None]:
        """What is sent within is durable at its end."""
        self._thread.moment = moment
        try:
            yield
        except BaseException:
            with contextlib.suppress(VecverError):
                moment.settle()
            raise
        else:
            moment.settle()
        finally:
            self._thread.moment = None
            moment.wait_aside()

    def aside(self, work: Callable[[], None]) -> None:
        if moment := self._moment:
            moment.aside(self._beside.submit(work))
        else:
            work()

    def _not_known(self, moment: Moment, bodies: Iterable[str], age_s: float) -> Sequence[str]:
        """Let a moment know what was read of these names lately; the other names."""
        missing = []
        for name in bodies:
            if found := self._lately.find(name, age_s, self._workers):
                if not moment.knows(name):
                    moment.know(name, found[0])
            else:
                missing.append(name)
        return missing

    def knows(self, bodies: Iterable[str], age_s: float) -> bool:
        return all(self._lately.has(name, age_s) for name in bodies)

    @property
    def _moment(self) -> Moment | None:
        return getattr(self._thread, "moment", None)

    def _settle(self, prefix: str = "") -> None:
        """Wait for what was sent, if its name begins with `prefix`."""
        if moment := self._moment:
            moment.settle(prefix)

    def _waited(self) -> None:
        """Another holds a lock: what was read before is old, and nobody may wait for locks that were taken ahead."""
        if moment := self._moment:
            moment.forget_all()
            moment.give_back(None, self._leases.release)

    def uncached(self) -> ObjectStore:
        other = copy(self)
        other._fetched = set()
        other._thread = threading.local()
        return other

    def _kept(self, name: str) -> Copy | None:
        """This machine's copy of an object; None if there is none, or the bucket must be read first."""
        if not self.cache or (self._fetched is not None and name not in self._fetched):
            return None
        return self.cache.find(name)

    def _keep(self, name: str, data: bytes | Path, tag: Tag) -> bool:
        """Keep a copy of what was written or read; a file is moved. False where that is not possible."""
        if not self.cache:
            return False
        try:
            part = data if isinstance(data, Path) else self.cache.scratch() / "part"
        except OSError:
            return False
        try:
            if not isinstance(data, Path):
                part.write_bytes(data)
            self.cache.keep(part, name, tag.e_tag)
        except OSError:
            return False
        finally:
            if part is not data:
                shutil.rmtree(part.parent, ignore_errors=True)
        if self._fetched is not None:
            self._fetched.add(name)
        return True

    def _newest(self, name: str, kept: Copy | None) -> Copy | None:
        """A copy of an object as it is now, which is the one that was kept if that has not changed.

        None where nothing can be kept.
        """
        if not self.cache:
            return None
        try:
            part = self.cache.scratch() / "part"
        except OSError:
            return None
        try:
            tag = self._requests.fetch(name, part, kept.e_tag if kept else None)
            if tag is None:
                return kept
            fetched = self.cache.keep(part, name, tag.e_tag)
        except OSError:
            return None
        finally:
            shutil.rmtree(part.parent, ignore_errors=True)
        if self._fetched is not None:
            self._fetched.add(name)
        return fetched

    def _in_memory(self, name: str) -> memoryview:
        """An object where nothing can be kept. Raises BackendError (store_full) if it is too large for that."""
        if self.cache and (self.size(name) or 0) > _IN_MEMORY:
            raise BackendError(
                f"there is no room in {self.cache.folder} for a copy of {name}",
                code="store_full",
                hint="free space there, or let VECVER_CACHE (cache= in Python) name a folder on another disk",
                retryable=True,
                name=name,
            )
        return memoryview(self.get(name))

    # -- within ---------------------------------------------------------------------------------

    def _listed(self, prefix: str) -> Sequence[str]:
        """The names below a prefix, sorted; without locks."""
        names = self._requests.names(prefix)
        return sorted(name for name in names if name.startswith(prefix) and not name.startswith(f"{FOLDER}/"))

    def _read_or_none(self, name: str) -> bytes | None:
        try:
            return self._read(name)
        except NotFoundError:
            return None

    def _saw(self, name: str, body: bytes, tag: Tag) -> None:
        """Remember which tag these bytes have."""
        with self._lock:
            self._seen[name] = sha256(body).digest(), tag
            self._seen.move_to_end(name)
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)

    def _tag_of(self, name: str, body: bytes) -> Tag | None:
        """The tag that these bytes had when they were last seen under this name."""
        with self._lock:
            digest, tag = self._seen.get(name, (b"", None))
        return tag if digest == sha256(body).digest() else None

    def _forget(self, name: str) -> None:
        """Let no copy of an object be used any more."""
        with self._lock:
            self._seen.pop(name, None)
        self._lately.wrote(name)
        if moment := self._moment:
            moment.forget(name)
        if self.cache:
            self.cache.drop(name)

    def _at_once(self, call: Callable[[S], T], items: Sequence[S]) -> Sequence[T]:
        """`call` for each item, many at a time. Raises the first error once all have ended."""
        if len(items) < 2:
            return [call(item) for item in items]
        futures = [self._workers.submit(call, item) for item in items]
        wait(futures)
        return [future.result() for future in futures]

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="vecver-store")

    @cached_property
    def _beside(self) -> ThreadPoolExecutor:
        """Threads that may wait for `_workers`, which wait for nobody."""
        return ThreadPoolExecutor(4, thread_name_prefix="vecver-aside")

    def _prove_conditions(self) -> None:
        """Raises BackendError (store_unconditional) if this service writes although a condition does not hold."""
        marker = self.local / "conditions" if self.local else None
        if self._proved[0] or (marker and marker.exists()):
            return
        name = f"{FOLDER}/conditions-{secrets.token_hex(8)}"
        first = self._requests.put_if(name, b"1", None)
        second = self._requests.put_if(name, b"2", None)
        self._requests.put(name, b"3")
        late = self._requests.put_if(name, b"4", first) if first and first.mode() else None
        self._requests.delete(name)
        if not first or not first.mode() or second or late:
            raise BackendError(
                f"{self.url} ignores conditions of writes, so two writers would overwrite each other",
                code="store_unconditional",
                hint="use a service that keeps If-None-Match and If-Match, or a folder; nothing was changed",
                url=self.url,
            )
        self._proved[0] = True
        if marker:
            with contextlib.suppress(OSError):
                marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                marker.touch()
