"""API keys: who calls, and what they may do. A file holds digests of the keys, never the keys.

A key is `vv_ID_SECRET`, its secret 32 random bytes: no word of a person, so one sha256 is enough to store.
Scopes are "DATASET:read", "DATASET:write", "DATASET:admin", with "*" for all datasets; each holds those before it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from vecver.errors import IntegrityError, InvalidInputError, NotFoundError
from vecver_service.state import files

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


@dataclass(frozen=True)
class Key:
    """A key as it is stored."""

    id: str
    name: str
    scopes: tuple[str, ...]
    digest: str  # sha256 of the whole token, hex
    created: str  # ISO 8601, UTC


class Keys:
    """The keys in a file. Changes, of this process or another, are seen at the next request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None  # inode, modification time and size of what was read
        self._keys: dict[str, Key] = {}
        self._closed = False  # there was a file

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        return list(self._read().values())

    def needed(self) -> bool:
        """Must a caller have one? So it is from the first that is made, and after the last is revoked."""
        self._read()
        return self._closed

    def find(self, token: str) -> Key | None:
        """The key that a token is; None if it is none. Takes the same time however wrong it is."""
        keys, form = self._read(), _TOKEN.fullmatch(token)
        known = keys.get(form[1]) if form else None
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        same = hmac.compare_digest(digest, known.digest if known else "0" * 64)
        return known if same else None

    def add(self, name: str, scopes: list[str]) -> tuple[Key, str]:
        """A new key, and its token, which is nowhere else. Raises InvalidInputError."""
        _check(name, scopes)
        id = secrets.token_hex(4)
        token = f"vv_{id}_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        key = Key(id, name, tuple(dict.fromkeys(scopes)), digest, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._changing():
            self._write({**self._read(), id: key})
        return key, token

    def revoke(self, id: str) -> Key:
        """Take a key away. Raises NotFoundError."""
        with self._changing():
            keys = dict(self._read())
            if id not in keys:
                raise NotFoundError(f"there is no key {id!r}", code="key_not_found", hint="`vecver key list` has them")
            key = keys.pop(id)
            self._write(keys)
        return key

    def _read(self) -> dict[str, Key]:
        with files.reaching(self.path):
            try:
                info = self.path.stat()
            except (FileNotFoundError, NotADirectoryError):
                self._seen, self._keys = None, {}
                return self._keys
        self._closed = True
        seen = (info.st_ino, info.st_mtime_ns, info.st_size)
        if self._seen != seen:
            self._keys, self._seen = self._parsed(), seen
        return self._keys

    def _parsed(self) -> dict[str, Key]:
        try:
            value = json.loads(self.path.read_text("utf-8"))
            keys = [Key(**{**one, "scopes": tuple(one["scopes"])}) for one in value["keys"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                "the file of API keys cannot be read", code="keys_damaged", hint="restore it, or make new keys"
            ) from error
        return {key.id: key for key in keys}

    def _write(self, keys: dict[str, Key]) -> None:
        body = json.dumps({"format": 1, "keys": [asdict(key) for key in keys.values()]}, indent=2)
        files.save(self.path, body, mode=0o600)  # a key that was revoked stays so after a power cut

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the file alone. Raises BackendError where that cannot be done: it is as it was then."""
        with files.reaching(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # the state folder, where it is new
            with FileLock(self.path.with_name(self.path.name + ".lock")):
                yield


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
