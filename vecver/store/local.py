"""A store in a directory of a local file system.

A write goes to a temporary file, is synced, renamed into place, and the directory is synced
(restic's order): after a power failure a name holds its old bytes or its new ones.

Decisions
- 2026-11-21 one lock file for all conditional writes, not one per name: a swap takes under a
  millisecond, and `flock` is released by the kernel whatever happens to the holder.
- 2026-11-21 `put` replaces without asking: names are digests, so a second write is the same bytes,
  and writing again repairs an object that rotted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout

from vecver.errors import BackendError, ConflictError, NotFoundError, VecverError

LOCK_SECONDS = 30


class LocalStore:
    """See `Store`. Nothing is created before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.url = str(self.root)

    def put(self, name: str, data: bytes | Path) -> None:
        with _translated(name):
            if isinstance(data, Path):
                self._publish(data, name)
                return
            temporary = Path(tempfile.mkdtemp(dir=self._made("tmp")))
            try:
                part = temporary / "part"
                part.write_bytes(data)
                self._publish(part, name)
            finally:
                part.unlink(missing_ok=True)
                temporary.rmdir()

    def get(self, name: str) -> bytes:
        with _translated(name):
            return self._at(name).read_bytes()

    def map(self, name: str) -> pa.Buffer:
        with _translated(name):
            path = self._at(name)
            if path.stat().st_size == 0:
                return pa.py_buffer(b"")
            with pa.memory_map(str(path)) as source:
                return source.read_buffer()

    def path(self, name: str) -> Path | None:
        return self._at(name)

    def size(self, name: str) -> int | None:
        try:
            return self._at(name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def list(self, prefix: str) -> Iterator[str]:
        found = []
        for folder, _, files in os.walk(self.root / prefix):
            relative = Path(folder).relative_to(self.root)
            found += [(relative / file).as_posix() for file in files]
        yield from sorted(found)

    def delete(self, name: str) -> None:
        with _translated(name):
            path = self._at(name)
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the folder goes with its last file
                path.parent.rmdir()

    def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
        with self._locked():
            found = self.get(name) if self.size(name) is not None else None
            if found != expected:
                raise ConflictError(
                    f"{name} was changed by somebody else",
                    code="swap_lost",
                    hint="read it again and repeat the change",
                    name=name,
                )
            self.put(name, new)

    def scratch(self) -> Path:
        with _translated("tmp"):
            return Path(tempfile.mkdtemp(dir=self._made("tmp")))

    def _at(self, name: str) -> Path:
        return self.root / name

    def _made(self, folder: str) -> Path:
        """`folder` below the root, created and durable if it was not there."""
        path = self.root / folder
        missing = [p for p in (path, *path.parents) if not p.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)
        return path

    def _publish(self, part: Path, name: str) -> None:
        target = self._at(name)
        self._made(str(target.parent.relative_to(self.root)))
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        _sync_folder(target.parent)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _translated("lock"):
            lock = FileLock(self._made("") / "lock", timeout=LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise BackendError(
                f"another process has held {lock.lock_file} for {LOCK_SECONDS} s",
                code="store_locked",
                hint="find the process that hangs, or try again",
                retryable=True,
            ) from error
        try:
            yield
        finally:
            lock.release()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(PermissionError):  # Windows cannot open a folder; its rename is durable without
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except VecverError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"the store has no {name}",
            code="object_missing",
            hint="run `vecver check` to see what else is missing",
            name=name,
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise BackendError(
            f"the store could not reach {name}: {error.strerror or error}",
            code="store_full" if full else "store_failed",
            hint="free space and repeat the command; nothing was changed" if full else "check the path and its rights",
            retryable=full,
            name=name,
        ) from error
