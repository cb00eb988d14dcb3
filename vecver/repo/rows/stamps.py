"""Stamps: which large files this machine hashed and found sound, so that later processes need not hash them again.

    <local>/verified.json   by segment, and by index and digest: size, inode and times of each file when it was hashed

That file belongs to this machine and is no part of the repository. If it is missing, everything is hashed once more.

Decisions
1. A file whose size, inode and times (of content and of entry) are those it had when it was hashed counts as sound.
   Bit rot changes none of them: `verify="always"` and `vecver check` hash again. A file written within the last seconds
   is not stamped, since one tick of the clock may hide a change.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from vecver.repo import objects
from vecver.repo.rows.segment_files import path_of

if TYPE_CHECKING:
    from vecver.repo.rows.verdict import FileStates
    from vecver.store import Store

Kind = Literal["segments", "indexes"]

_STAMPED_BYTES: Final = 4 << 20  # fewer are hashed by every process: that takes some milliseconds
_FRESH_SECONDS: Final = 2.0
_FILE: Final = "verified.json"


class Stamps:
    """The stamps of one repository. A store that keeps nothing on this machine has none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def has(self, kind: Kind, name: str, files: FileStates) -> bool:
        """True if these very files were hashed before. `name` begins with a segment's id."""
        return _size(files) >= _STAMPED_BYTES and self._read(kind).get(name) == files

    def add(self, kind: Kind, name: str, files: FileStates) -> None:
        """Stamp files that were just hashed. If that cannot be written, each process hashes them."""
        if _size(files) < _STAMPED_BYTES:
            return
        newest = max(max(file[2:]) for file in files)
        if not (path := self._path()) or time.time_ns() - newest < _FRESH_SECONDS * 1e9:
            return
        with self._lock, contextlib.suppress(OSError):
            stamps = {"segments": self._read("segments"), "indexes": self._read("indexes")}
            stamps[kind][name] = files
            present = {kind: self._present(files) for kind, files in stamps.items()}
            part = path.with_name(f"{_FILE}.{os.getpid()}")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.write_text(json.dumps({"format": objects.FORMAT, **present}), "utf-8")
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)

    def forget(self) -> None:
        """Drop all stamps, also those of other processes."""
        if path := self._path():
            with contextlib.suppress(OSError):
                path.unlink()

    def _read(self, kind: Kind) -> dict[str, FileStates]:
        """The stamps of one kind by name; empty if they cannot be read."""
        if not (path := self._path()):
            return {}
        try:
            stamps = json.loads(path.read_bytes()).get(kind, {})
            return {name: tuple(tuple(file) for file in files) for name, files in stamps.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _present(self, stamps: dict[str, FileStates]) -> dict[str, FileStates]:
        """The stamps of segments that still exist."""
        ids = {name: name.partition("/")[0] for name in stamps}
        return {name: stamps[name] for name, id in ids.items() if self._store.path(path_of(id, "segment.json"))}

    def _path(self) -> Path | None:
        return self._store.local / _FILE if self._store.local else None


def _size(files: FileStates) -> int:
    return sum(file[0] for file in files)


def file_states(paths: Sequence[str | Path]) -> FileStates | None:
    """The files as they are now; None where one is missing."""
    try:
        stats = [os.stat(path) for path in paths]
    except OSError:
        return None
    return tuple((each.st_size, each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for each in stats)
