"""Keeps copies of a remote store's objects as files of this machine, which readers map; all processes share them.

    <folder>/<store>/<name>.<number>    the bytes, read-only; <store> and <name> are digests
                    /<name>.json        which file, its ETag on the store, and its size, inode and times when written
                    /local/             what this machine noted about the copies (`Store.local`)
    <folder>/scratch/                   files that are being written

Everything may be deleted at any time: what is mapped stays mapped, and what is gone is fetched again.

Decisions
1. A copy whose size, inode or times are not those that were noted was changed by hand, and is fetched again. Whether
   the bytes are those that were meant is decided above, by digests, once for each state of the file.
2. The copies used longest ago go first when all together exceed `limit`. The use is the time of the note, since that
   of the bytes must not change. Looking at all copies takes milliseconds, so it is done once for every sixteenth of
   the limit that was added.
3. Without room on the disk nothing is kept, and the caller reads what it fetched from memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

LIMIT: Final = 32 << 30  # bytes
_USED_SECONDS: Final = 60.0  # a use is noted once within them
_ABANDONED_SECONDS: Final = 24 * 3600.0
_SHARE: Final = 16  # of the limit is added between two looks at everything


@dataclass(frozen=True)
class Copy:
    """A copy that is as it was written: its file, and the ETag of the object (None: the store gives none)."""

    path: Path
    e_tag: str | None


def default_folder() -> Path:
    """The folder for caches of this platform and user."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "vecver"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vecver"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "vecver" / "cache"
    return Path.home() / ".cache" / "vecver"


class Cache:
    """The copies of one store in `folder`; `store` tells stores apart.

    `keep` and `scratch` raise OSError (no room, no right to write); the others then do as if nothing were kept.
    """

    def __init__(self, folder: Path, store: str, limit: int = LIMIT) -> None:
        self.folder = folder.expanduser().absolute()
        self.limit = limit
        self._place = self.folder / _named(store)
        self._added: int | None = None  # bytes since all copies were looked at; None: never in this process

    @property
    def local(self) -> Path:
        """The folder for this machine's notes about the copies; it may not exist."""
        return self._place / "local"

    def find(self, name: str) -> Copy | None:
        """The copy of an object, unless there is none or it was changed by hand."""
        note = self._note(name)
        try:
            value = json.loads(note.read_bytes())
            path, state = self._place / value["file"], tuple(value["state"])
            if _state(path) != state:
                return None
            if time.time() - note.stat().st_mtime > _USED_SECONDS:
                os.utime(note)
            return Copy(path, value["e_tag"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, part: Path, name: str, e_tag: str | None) -> Copy:
        """Take a finished file as the copy of an object. Raises OSError (no room, no right to write)."""
        path = self._place / f"{_named(name)}.{secrets.token_hex(4)}"
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.chmod(0o400)
        os.replace(part, path)
        state = _state(path)
        note = path.with_suffix(f"{path.suffix}-note")
        note.write_text(json.dumps({"file": path.name, "e_tag": e_tag, "state": state}), "utf-8")
        old = self._file_of(name)
        os.replace(note, self._note(name))
        if old:
            old.unlink(missing_ok=True)
        self._count(state[0])
        return Copy(path, e_tag)

    def drop(self, name: str) -> None:
        """Forget the copy of an object."""
        path = self._file_of(name)
        with contextlib.suppress(OSError):
            self._note(name).unlink(missing_ok=True)
            if path:
                path.unlink(missing_ok=True)

    def scratch(self) -> Path:
        """A new private folder on the file system of the copies; the caller removes it. Raises OSError."""
        import tempfile

        place = self.folder / "scratch"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=place))

    # -- within ---------------------------------------------------------------------------------

    def _note(self, name: str) -> Path:
        return self._place / f"{_named(name)}.json"

    def _file_of(self, name: str) -> Path | None:
        """The file that the note names, whatever became of it."""
        try:
            return self._place / str(json.loads(self._note(name).read_bytes())["file"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _count(self, size: int) -> None:
        """Make room for copies that were added."""
        if self._added is not None:
            self._added += size
            if self._added < self.limit / _SHARE:
                return
        self._added = 0
        with contextlib.suppress(OSError):
            _shrink(self.folder, self.limit)


def _shrink(folder: Path, limit: int) -> None:
    """Delete what was used longest ago until `limit` is kept, and what killed processes left."""
    now, files = time.time(), list[tuple[float, int, Path]]()
    for path in folder.glob("*/*"):
        with contextlib.suppress(OSError):  # another process deletes it at this moment
            if path.parent.name == "scratch":
                if now - max(each.stat().st_mtime for each in (path, *path.iterdir())) > _ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
            elif path.suffix != ".json" and path.is_file():
                note, used = path.with_suffix(".json"), 0.0
                with contextlib.suppress(OSError):
                    used = note.stat().st_mtime
                files.append((used, path.stat().st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        total -= size


def _named(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:40]


def _state(path: Path) -> tuple[int, int, int, int]:
    """What changes when a file does. Raises OSError."""
    status = os.stat(path)
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
