"""API keys: who calls, and what they may do. Digests of the keys are stored, never the keys.

A key is `vv_ID_SECRET`, its secret 32 random bytes: no password that could be guessed, so one sha256 is enough.
Scopes are "DATASET:read", "DATASET:write", "DATASET:admin", with "*" for all datasets; each includes those before it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vecver.errors import BackendError, InvalidInputError, NotFoundError
from vecver_service.state import files, migration, older_files, schema
from vecver_service.state.database import Database
from vecver_service.state.key_file import Key, KeyFile

SCOPES = ("read", "write", "admin")
ALL = "*"
_TOKEN = re.compile(r"vv_([0-9a-f]{8})_[\w-]{43}")


@dataclass(frozen=True)
class Caller:
    """Who made a request."""

    id: str  # of the key; "" where none is needed
    name: str  # signs commits and ref moves
    scopes: tuple[str, ...]

    def may(self, scope: str, dataset: str) -> bool:
        """May they do this to a dataset (ALL: to every one)?"""
        enough = SCOPES[SCOPES.index(scope) :]
        return any(f"{where}:{held}" in self.scopes for where in (dataset, ALL) for held in enough)


class Keys:
    """The keys of a service. Changes, of this process or another, are seen at the next request; those in a shared
    database within a second or two, and while it is away the keys that were read last hold.

    `where`: the service's database or its path, or a JSON file (`VECVER_KEYS`); one that says where its keys moved is
    followed. Methods raise BackendError where that cannot be read or written, IntegrityError where it is damaged.
    """

    def __init__(self, where: Path | Database) -> None:
        database = where if isinstance(where, Database) else None
        self.path = where.folder / schema.FILE_NAME if isinstance(where, Database) else where
        self._file = None if self.path.name == schema.FILE_NAME else KeyFile(self.path)
        self._table = _KeyTable(database) if database else None
        self._closed = False  # a key was made

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        with self._store() as store:
            return store.all()

    def needed(self) -> bool:
        """Must a caller have a key? From the first that is made on, and after the last is revoked."""
        if self._closed:
            return True
        with self._store() as store:
            self._closed = store.exist()
        return self._closed

    def find(self, token: str) -> Key | None:
        """The key that a token is; None if it is none. Takes the same time however wrong it is."""
        form = _TOKEN.fullmatch(token)
        with self._store() as store:
            key = store.get(form[1] if form else "")
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        same = hmac.compare_digest(digest, key.digest if key else "0" * 64)
        return key if same else None

    def get(self, id: str) -> Key | None:
        """The key with this id; None if it never was or is revoked."""
        with self._store() as store:
            return store.get(id)

    def may(self, id: str, scope: str, dataset: str) -> bool:
        """May the key with this id do this, now? No, if it was revoked. Reads the keys: it is not for each request."""
        keys = {key.id: key for key in self.all()}
        return id in keys and Caller(id, keys[id].name, keys[id].scopes).may(scope, dataset)

    def add(self, name: str, scopes: list[str]) -> tuple[Key, str]:
        """A new key, and its token, which is stored nowhere. Raises InvalidInputError."""
        _check(name, scopes)
        id = secrets.token_hex(4)
        token = f"vv_{id}_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        key = Key(id, name, tuple(dict.fromkeys(scopes)), digest, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._store() as store:
            store.add(key)
        return key, token

    def revoke(self, id: str) -> Key:
        """Take a key away. Raises NotFoundError."""
        with self._store() as store:
            key = store.remove(id)
        if key is None:
            raise NotFoundError(f"there is no key {id!r}", code="key_not_found", hint="`vecver key list` has them")
        return key

    @contextmanager
    def _store(self) -> Iterator[_KeyTable | KeyFile]:
        """Where the keys are now."""
        with files.reaching(self.path):
            moved_to = self._file.moved_to() if self._file else self.path
            if moved_to is None:
                assert self._file
                yield self._file
                return
            if self._table is None:
                self._table = _KeyTable(Database(moved_to.parent))
            yield self._table


class _KeyTable:
    """The keys in the service's database. Reading makes no database, and moves no keys of an older vecver."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version: object | None = None  # of the keys that were read
        self._keys: dict[str, Key] | None = None

    def exist(self) -> bool:
        """Was a key made, even if none is left?"""
        if older := self._older():
            return older.exist()
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM facts WHERE name = 'key made'").fetchone() is not None

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        if older := self._older():
            return older.all()
        with self._database.reading() as connection:
            return [_key(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY rowid")]

    def get(self, id: str) -> Key | None:
        """The key with this id."""
        if older := self._older():
            return older.get(id)
        version = self._database.engine.keys_version()  # before the keys are read: a change between is seen later
        if version is None or version != self._version:
            try:
                self._keys = {key.id: key for key in self.all()}
                self._version = version
            except BackendError:
                if self._keys is None or not self._database.engine.shared:
                    raise
        return (self._keys or {}).get(id)

    def add(self, key: Key) -> None:
        """Store a key; it is on the disk when this returns."""
        with self._database.changing_keys() as connection:
            schema.insert_key(connection, key)

    def remove(self, id: str) -> Key | None:
        """Remove and return the key with this id, if there is one; it stays removed after a power cut."""
        with self._database.changing_keys() as connection:
            row = connection.execute(f"DELETE FROM keys WHERE id = ? RETURNING {_COLUMNS}", (id,)).fetchone()
        return _key(row) if row else None

    def _older(self) -> KeyFile | None:
        """The file that has the keys until the service makes its database."""
        if self._database.exists():
            return None
        file = KeyFile(self._database.folder / older_files.KEYS)
        migration.check_not_lost(self._database.folder / schema.FILE_NAME, file)
        return file


_COLUMNS = "id, name, scopes, digest, created"


def _key(row: tuple[str, str, str, str, str]) -> Key:
    id, name, scopes, digest, created = row
    return Key(id, name, tuple(json.loads(scopes)), digest, created)


def _check(name: str, scopes: list[str]) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise InvalidInputError(
            "a key needs a name, which signs what is written with it",
            code="invalid_name",
            hint="up to 100 printable characters, such as ci or alice",
        )
    for scope in scopes:
        where, _, what = scope.rpartition(":")
        if not where or what not in SCOPES:
            raise InvalidInputError(
                f"{scope!r} is no scope",
                code="invalid_scope",
                hint="DATASET:read, DATASET:write or DATASET:admin; * is all",
            )
    if not scopes:
        raise InvalidInputError(
            "a key without a scope opens nothing", code="invalid_scope", hint="--scope handbook:read"
        )
