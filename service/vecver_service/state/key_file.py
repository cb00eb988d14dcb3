"""API keys in a JSON file: what VECVER_KEYS names, and what older vecvers kept in the state folder.

Decisions
1. A file that VECVER_KEYS names stays JSON: operators mount it read-only, write it with their tools, or share it
   between services. Keys without that setting are in the service's database.
2. Where keys moved from `keys.json` to a database, that file says so. Without it an older vecver, or this one after
   the database was lost, would find no keys and serve this machine's users without any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from vecver.errors import IntegrityError
from vecver_service.state import files


@dataclass(frozen=True)
class Key:
    """A key as it is stored."""

    id: str
    name: str
    scopes: tuple[str, ...]
    digest: str  # sha256 of the whole token, hex
    created: str  # ISO 8601, UTC


class KeyFile:
    """The keys in a JSON file. Changes, of this process or another, are seen at the next request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version: tuple[int, int, int] | None = None  # inode, modification time and size of what was read
        self._content = _Content({}, None)

    def exist(self) -> bool:
        """Was a key made, even if none is left?"""
        return self._read() is not None

    def all(self) -> list[Key]:
        """Every key, oldest first. Raises OSError, IntegrityError."""
        return list(self._keys().values())

    def get(self, id: str) -> Key | None:
        """The key with this id. Raises OSError, IntegrityError."""
        return self._keys().get(id)

    def add(self, key: Key) -> None:
        """Store a key. Raises OSError, IntegrityError: the file is as it was then."""
        with self._changing():
            self._write({**self._keys(), key.id: key})

    def remove(self, id: str) -> Key | None:
        """Remove and return a key, if there is one with this id. Raises as `add`."""
        with self._changing():
            keys = dict(self._keys())
            key = keys.pop(id, None)
            if key is not None:
                self._write(keys)
        return key

    def moved_to(self) -> Path | None:
        """The database to which the keys moved. Raises OSError, IntegrityError."""
        content = self._read()
        return self.path.with_name(content.moved_to) if content and content.moved_to else None

    def _keys(self) -> dict[str, Key]:
        content = self._read()
        return content.keys if content else {}

    def _read(self) -> _Content | None:
        try:
            info = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._version = None
            return None
        version = (info.st_ino, info.st_mtime_ns, info.st_size)
        if self._version != version:
            self._content, self._version = _parsed(self.path), version
        return self._content

    def _write(self, keys: dict[str, Key]) -> None:
        body = {"format": 1, "keys": [asdict(key) for key in keys.values()]}
        files.save(self.path, json.dumps(body, indent=2), mode=0o600)  # a revoked key stays so after a power cut

    @contextmanager
    def _changing(self) -> Iterator[None]:
        files.make_folder(self.path.parent, 0o700)
        with FileLock(lock_of(self.path)):
            yield


def lock_of(path: Path) -> Path:
    """The lock that is held while a file of keys changes."""
    return path.with_name(path.name + ".lock")


def save_pointer(path: Path, database: str) -> None:
    """Let a file of keys say that they are in a database beside it. Raises OSError."""
    note = f"The API keys of this service are in {database}. This file keeps older vecvers from running without them."
    files.save(path, json.dumps({"format": 2, "moved_to": database, "note": note}, indent=2), mode=0o600)


@dataclass(frozen=True)
class _Content:
    keys: dict[str, Key]
    moved_to: str | None  # the name of the database that has them instead


def _parsed(path: Path) -> _Content:
    try:
        value = json.loads(path.read_text("utf-8"))
        if "moved_to" in value:
            return _Content({}, str(value["moved_to"]))
        keys = [Key(**{**key, "scopes": tuple(key["scopes"])}) for key in value["keys"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"the file of API keys cannot be read: {path}",
            code="keys_damaged",
            hint="restore it from a backup; or stop the service, move the file away, and make new keys first",
        ) from error
    return _Content({key.id: key for key in keys}, None)
