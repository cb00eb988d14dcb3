"""A store in this process's memory: for tests and temporary repositories."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vecver.store.api import (
    LAPSE,
    PIECE_BYTES,
    Still,
    absent,
    get_or_none,
    locked,
    reading,
    still_held,
    swap_lost,
    writing,
)
from vecver.store.no_round_trips import NoRoundTrips


class MemoryStore(NoRoundTrips):
    """See `Store`. Repositories that are given the same object share its bytes."""

    url = "memory://"

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def put(self, name: str, data: bytes | Path) -> None:
        content = _taken(data) if isinstance(data, Path) else bytes(data)
        with self._lock:
            self._bytes[name] = content

    def put_all(self, files: Mapping[str, Path]) -> None:
        for name, file in files.items():
            self.put(name, file)

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        try:
            return self._bytes[name]
        except KeyError as error:
            raise absent(name) from error

    def get_all(self, names: Iterable[str]) -> Sequence[bytes | None]:
        return [get_or_none(self, name) for name in names]

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        return memoryview(self.get(name))

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        content = self.get(name)
        for begin in range(start, len(content), PIECE_BYTES):
            yield content[begin : begin + PIECE_BYTES]

    def bring(self, names: Iterable[str]) -> None:
        pass

    def path(self, name: str) -> Path | None:
        return None

    def size(self, name: str) -> int | None:
        content = self._bytes.get(name)
        return None if content is None else len(content)

    def list(self, prefix: str) -> Iterator[str]:
        with self._lock:
            names = sorted(name for name in self._bytes if name.startswith(prefix))
        yield from names

    def delete(self, *names: str) -> None:
        with self._lock:
            for name in names:
                self._bytes.pop(name, None)

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        with self._lock:
            if self._bytes.get(name) != expected:
                raise swap_lost(name)
            self._bytes[name] = bytes(new)

    @contextlib.contextmanager
    def lock(self, name: str, seconds: float, lapse: float = LAPSE) -> Iterator[Still]:
        with self._lock:
            lock = self._locks[name]
        if not lock.acquire(timeout=seconds):
            raise locked(name, seconds)
        try:
            yield still_held
        finally:
            lock.release()

    def scratch(self) -> Path:
        import tempfile

        with writing("scratch"):
            return Path(tempfile.mkdtemp(prefix="vecver-"))

    @property
    def folder(self) -> Path | None:
        return None

    @property
    def local(self) -> Path | None:
        return None

    def uncached(self) -> MemoryStore:
        return self


def _taken(file: Path) -> bytes:
    with reading(str(file)):
        content = file.read_bytes()
        file.unlink()
    return content
