"""The secret that signs the sessions of the pages, and which sessions were signed out before their time.

Both are the same for all processes of a service, and a restart changes neither.
"""

from __future__ import annotations

import secrets
import time

from vecver_service.state.database import Database

_NAME, _ENDED = "session secret", "ended session "  # names of facts; the second before the id of one
_FORGET = "DELETE FROM facts WHERE CASE WHEN name LIKE ? THEN CAST(value AS DOUBLE PRECISION) < ? ELSE FALSE END"


def session_secret(database: Database) -> bytes:
    """32 random bytes, made the first time. Raises as `Database.transaction`."""
    with database.reading() as connection:
        row = connection.execute("SELECT value FROM facts WHERE name = ?", (_NAME,)).fetchone()
    if row is None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO NOTHING", (_NAME, secrets.token_hex(32)))
        return session_secret(database)
    return bytes.fromhex(row[0])


class EndedSessions:
    """The sessions that were signed out; each is kept until it would have ended by itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, id: str, until: float) -> None:
        """End a session, which lasts `until` (seconds since 1970) otherwise. Raises as `Database.transaction`."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET, (f"{_ENDED}%", time.time()))
            connection.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT DO NOTHING", (_ENDED + id, str(until)))

    def __contains__(self, id: str) -> bool:
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM facts WHERE name = ?", (_ENDED + id,)).fetchone() is not None
