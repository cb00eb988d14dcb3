"""Opens what a service keeps beside its repository: in a folder, or in a database that replicas share."""

from __future__ import annotations

import os
from pathlib import Path

import vecver
from vecver.errors import ConflictError
from vecver.local.uploads import Uploads
from vecver_service.settings import ServiceSettings
from vecver_service.state import files
from vecver_service.state.database import Database
from vecver_service.state.jobs import Jobs
from vecver_service.state.keys import Keys
from vecver_service.state.postgres_address import parse
from vecver_service.state.postgres_engine import PostgresEngine

_REPOSITORY = "repository"  # name of the fact that says whose state it is


def open_database(settings: ServiceSettings, repository: str) -> Database:
    """The database of the service on the repository at this address, not reached yet. Raises InvalidInputError."""
    if settings.database:
        return _shared(settings, settings.state_folder(repository))
    return Database(settings.state_folder(repository), settings.keys_file(repository))


def open_keys(settings: ServiceSettings, repository: str, database: Database | None = None) -> Keys:
    """The API keys: in the file that VECVER_KEYS names, else in the database."""
    if settings.database and not settings.keys:
        return Keys(database or _shared(settings, Path(os.devnull)))  # keys need no folder
    return Keys(settings.keys_file(repository))


def _shared(settings: ServiceSettings, folder: Path) -> Database:
    return Database(PostgresEngine(parse(settings.database.get_secret_value()), folder))


def open_jobs(settings: ServiceSettings, repository: vecver.Repository, database: Database) -> Jobs:
    """The jobs. Replicas share their uploads through the repository's store."""
    return Jobs(database, settings.jobs_kept, Uploads(repository) if database.engine.shared else None)


def reserve_state(database: Database, repository: vecver.Repository) -> None:
    """Reserve a database for this repository: another's jobs would run in this one.

    Raises ConflictError (it is another's), InvalidInputError (its folder cannot be made or written), BackendError.
    """
    if not database.engine.shared:
        files.own_folder(database.folder, repository)
        return
    with files.making(database.folder):
        pass
    with database.transaction() as connection:
        statement = "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO NOTHING"
        connection.execute(statement, (_REPOSITORY, repository.id))
        (id,) = connection.execute("SELECT value FROM facts WHERE name = ?", (_REPOSITORY,)).fetchone()
    if id != repository.id:
        raise ConflictError(
            f"the database of VECVER_DATABASE holds the jobs of another repository, {id[:12]}",
            code="state_taken",
            hint="give each repository a database of its own: CREATE DATABASE makes one",
        )
