"""The secret that signs the sessions of the pages: one for all processes of a service, so that a restart ends none."""

from __future__ import annotations

import secrets

from vecver_service.state.database import Database

_NAME = "session secret"


def session_secret(database: Database) -> bytes:
    """32 random bytes, made the first time. Raises as `Database.transaction`."""
    with database.reading() as connection:
        row = connection.execute("SELECT value FROM facts WHERE name = ?", (_NAME,)).fetchone()
    if row is None:
        with database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (_NAME, secrets.token_hex(32)))
        return session_secret(database)
    return bytes.fromhex(row[0])
