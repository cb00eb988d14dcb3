"""A small service for the tests of routes, keys and operations, and databases of both kinds for those of its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postgres_server import PostgresServer, postgres_running
from small_service import small_service

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from vecver_service.state.database import Database


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with small_service(tmp_path) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests of a session, which must leave it running."""
    with postgres_running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Opens one and the same database again, as another process of the service would, of each kind."""
    from vecver_service.state.database import Database
    from vecver_service.state.postgres_address import parse
    from vecver_service.state.postgres_engine import PostgresEngine

    opened: list[Database] = []
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None

    def open_again() -> Database:
        folder = tmp_path / "state" if url is None else tmp_path / f"state{len(opened)}"
        opened.append(Database(folder if url is None else PostgresEngine(parse(url), folder)))
        return opened[-1]

    yield open_again
    for database in opened:
        database.close()
