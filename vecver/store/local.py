"""A store in a directory of a local file system.

A write goes to a temporary file, is synced, renamed into place, and the directory is synced
(restic's order): after a power failure a name holds its old bytes or its new ones.

Decisions
1. One lock file for all conditional writes, not one per name: a swap takes under a millisecond. The kernel releases
   `flock` when its process ends.
2. `put` replaces an existing file: names are digests, so the bytes are the same, and writing them again repairs a
   damaged object.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from vecver.disk import make_folder, sync_folder
from vecver.errors import BackendError, VecverError
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
    unreachable,
    writing,
)
from vecver.store.mapping import map_file
from vecver.store.no_round_trips import NoRoundTrips

LOCK_SECONDS = 30
_PIECE_BYTES = 1 << 20
ABANDONED_SECONDS = 24 * 3600  # a scratch folder in which nothing was written for so long
_SETTLED_NS = 2_500_000_000  # a folder that was not changed for so long has a time of its own
_LOCK, _LOCKS, _SCRATCH = "lock", "locks", "tmp"  # files of the store itself, not listed as names
_LOCAL = "local"  # caches of this machine, not listed either


class LocalStore(NoRoundTrips):
    """See `Store`. Nothing is created before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.url = str(self.root)

    def put(self, name: str, data: bytes | Path) -> None:
        with writing(name, self._at(name)):
            if isinstance(data, Path):
                self._publish(data, name)
                return
            part = make_folder(self._at(_SCRATCH)) / f"part-{os.urandom(8).hex()}"
            try:
                with open(part, "xb") as file:
                    file.write(data)
                self._publish(part, name)
            finally:
                part.unlink(missing_ok=True)

    def put_all(self, files: Mapping[str, Path]) -> None:
        folders = dict[Path, None]()  # each is synced once, not once a file
        for name, file in files.items():
            with writing(name, self._at(name)):
                folders[self._rename_synced(file, name)] = None
        for folder in folders:
            with writing(str(folder)):
                sync_folder(folder)

    def get(self, name: str, *, fixed: bool = False) -> bytes:
        try:
            return _bytes_of(f"{self.url}/{name}")
        except OSError:
            with reading(name, self._at(name)):
                raise

    def get_all(self, names: Iterable[str]) -> Sequence[bytes | None]:
        return [get_or_none(self, name) for name in names]

    def map(self, name: str, *, fixed: bool = False) -> memoryview:
        with reading(name, self._at(name)):
            if self.size(name) is None:
                raise absent(name)
            return map_file(self._at(name))

    def stream(self, name: str, start: int = 0) -> Iterator[bytes]:
        with reading(name, self._at(name)), open(self._at(name), "rb") as file:
            file.seek(start)
            while piece := file.read(PIECE_BYTES):
                yield piece

    def bring(self, names: Iterable[str]) -> None:
        pass

    def path(self, name: str) -> Path | None:
        return self._at(name) if self.size(name) is not None else None

    def size(self, name: str) -> int | None:
        try:
            status = os.stat(f"{self.url}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreachable(name, self._at(name), error) from error
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def list(self, prefix: str) -> Iterator[str]:
        names, top = [], str(self.root / prefix)
        with reading(prefix, self._at(prefix)):
            for folder, folders, files in os.walk(top, onerror=_unless_missing):
                if folder == self.url:  # the store's own files are not listed
                    folders[:] = [name for name in folders if name not in (_SCRATCH, _LOCKS, _LOCAL)]
                    files = [name for name in files if name != _LOCK]
                place = folder[len(self.url) :].lstrip(os.sep).replace(os.sep, "/")
                names += [f"{place}/{file}" if place else file for file in files]
        yield from sorted(names)

    def folder_stamp(self, prefix: str) -> tuple[int, int, int] | None:
        """What changes whenever a name directly below `prefix`, which ends with "/", is put or deleted.

        None where that happened so lately that another change could have the same time: file systems count in steps of
        up to two seconds.
        """
        try:
            status = os.stat(f"{self.url}/{prefix}")
        except FileNotFoundError:
            return (0, 0, 0)
        except OSError:
            return None
        is_settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
        return (status.st_dev, status.st_ino, status.st_mtime_ns) if is_settled else None

    def delete(self, *names: str) -> None:
        changed = dict.fromkeys(self._removed(name) for name in names)
        for folder in changed:  # synced once each, or a power failure could bring back some of the names
            with writing(str(folder)), contextlib.suppress(FileNotFoundError, NotADirectoryError):  # there is none
                sync_folder(folder)

    def _removed(self, name: str) -> Path:
        """Remove `name`; returns the folder to sync."""
        with writing(name, self._at(name)):
            path = self._at(name)
            with contextlib.suppress(NotADirectoryError, IsADirectoryError):  # not a file of the store
                path.unlink(missing_ok=True)
            try:
                path.parent.rmdir()  # the folder goes with its last file
            except OSError:
                return path.parent
            return path.parent.parent

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        with self._locked():
            present = self.get(name) if self.size(name) is not None else None
            if present != expected:
                raise swap_lost(name)
            self.put(name, new)

    def lock(self, name: str, seconds: float, lapse: float = LAPSE) -> AbstractContextManager[Still]:
        return self._held(f"{_LOCKS}/{name}", seconds, locked(name, seconds))

    def scratch(self) -> Path:
        import tempfile

        with writing(_SCRATCH, self._at(_SCRATCH)):
            folder = make_folder(self._at(_SCRATCH))
            _sweep(folder)
            return Path(tempfile.mkdtemp(dir=folder))

    @contextlib.contextmanager
    def part(self, digest: str) -> Iterator[Path | None]:
        """The file in which bytes with this digest are collected, which stays if they break off.

        It is to be `put` when it is whole, and goes when nothing was written to it for a day. None where another
        process collects the same.
        """
        from filelock import FileLock, Timeout

        part = self._at(_SCRATCH) / f"incoming-{digest}"
        with writing(_SCRATCH, self._at(_SCRATCH)):
            lock = FileLock(make_folder(part.parent) / f"{part.name}.lock", timeout=0)
            with contextlib.suppress(Timeout):
                lock.acquire()
        try:
            yield part if lock.is_locked else None
        finally:
            lock.release()

    @property
    def folder(self) -> Path | None:
        return self.root

    @property
    def local(self) -> Path | None:
        return self.root / _LOCAL

    def uncached(self) -> LocalStore:
        return self

    def _at(self, name: str) -> Path:
        return self.root / name

    def _publish(self, part: Path, name: str) -> None:
        sync_folder(self._rename_synced(part, name))

    def _rename_synced(self, part: Path, name: str) -> Path:
        """Sync a finished file and move it to `name`; the folder that is yet to be synced."""
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        target = self._at(name)
        folder = make_folder(target.parent)
        try:
            os.replace(part, target)
        except FileNotFoundError:  # a `delete` took the folder away with its last file meanwhile
            os.replace(part, make_folder(folder) / target.name)
        return folder

    def _locked(self) -> AbstractContextManager[Still]:
        return self._held(
            _LOCK,
            LOCK_SECONDS,
            BackendError(
                f"another process has held {self._at(_LOCK)} for {LOCK_SECONDS} s",
                code="store_locked",
                hint="find the process that hangs, or try again",
                retryable=True,
            ),
        )

    @contextlib.contextmanager
    def _held(self, name: str, seconds: float, refused: VecverError) -> Iterator[Still]:
        """Hold a lock file; the kernel releases it when the process ends. Raises `refused` after `seconds`."""
        from filelock import FileLock, Timeout

        with writing(name, self._at(name)):
            path = self._at(name)
            lock = FileLock(make_folder(path.parent) / path.name, timeout=seconds)
            try:
                lock.acquire()
            except Timeout as error:
                raise refused from error
        try:
            yield still_held
        finally:
            lock.release()


def _bytes_of(path: str) -> bytes:
    """A file's bytes. Each search reads a ref: with `pathlib` that takes 47 us, so 12."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(file, _PIECE_BYTES)]
        while len(pieces[-1]) == _PIECE_BYTES:
            pieces.append(os.read(file, _PIECE_BYTES))
    finally:
        os.close(file)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _sweep(folder: Path) -> None:
    """Remove the files and scratch folders of killed writers: those in which nothing was written for a day."""
    limit = time.time() - ABANDONED_SECONDS
    for left in folder.iterdir():
        with contextlib.suppress(OSError):  # another process removes it at this moment
            if not left.is_dir():
                if left.stat().st_mtime < limit:
                    left.unlink()
            elif max(path.stat().st_mtime for path in (left, *left.iterdir())) < limit:
                _remove(left)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
